/* bench/engine_tls.c - see engine_tls.h. */
#include "bench/engine_tls.h"

#include "control/certificate.h"

int engine_tls_make(enum mr_role role, const struct mr_tls_server_config *config,
                    struct mr_tls_context *out, struct mr_fault *fault)
{
    static struct mr_certificate made;
    struct mr_tls_server_config server = *config;
    int answer = 0;

    if (made.key_pem[0] == '\0')
        answer = mr_certificate_make(&made, &(struct mr_certificate_options){0}, fault);
    if (answer != 0)
        return answer;
    server.certificate = &made;
    const struct mr_tls_client_config client = {.ca_pem = made.certificate_pem,
                                                .ciphers = config->ciphers,
                                                .has_early_data = config->has_early_data};
    return role == MR_SERVER ? mr_tls_context_server(out, &server, fault)
                             : mr_tls_context_client(out, &client, fault);
}
