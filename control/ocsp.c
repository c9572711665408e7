/* control/ocsp.c - see ocsp.h. */
#include "control/ocsp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/compiler.h"

#define SKEW_S 300 /* seconds that clocks may differ */

/* What a context keeps, for as long as a handshake has it. */
struct stapled {
    int64_t until_s;
    size_t size;
    uint8_t der[];
};

/* ------------------------------------------------------------------ in handshakes */

static void free_stapled(void *parent, void *stapled, CRYPTO_EX_DATA *data, int index,
                         long argument, void *more)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argument;
    (void)more;
    free(stapled);
}

/* Where contexts keep it; -1: nowhere. */
static int stapled_index(void)
{
    static int index = -1; /* the control thread's, before any handshake */

    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_stapled);
    return index;
}

/* A client asks for it. */
static int on_status(SSL *ssl, void *argument)
{
    int index = (int)(intptr_t)argument;
    const struct stapled *stapled = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), index);

    if (stapled == NULL || time(NULL) >= stapled->until_s)
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(stapled->der, stapled->size);
    if (copy == NULL || SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)stapled->size) != 1) {
        OPENSSL_free(copy);
        return SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* ------------------------------------------------------------------ checks */

/* The issuer in the context's chain, or the certificate itself if it is its own; NULL. */
static X509 *find_issuer(SSL_CTX *ctx, X509 *certificate)
{
    STACK_OF(X509) *chain = NULL;

    if (X509_check_issued(certificate, certificate) == X509_V_OK)
        return certificate;
    if (SSL_CTX_get0_chain_certs(ctx, &chain) != 1 || chain == NULL)
        SSL_CTX_get_extra_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        if (X509_check_issued(sk_X509_value(chain, i), certificate) == X509_V_OK)
            return sk_X509_value(chain, i);
    }
    return NULL;
}

/* Signed by the issuer, or by somebody whom it has charged with that. */
static bool is_signed_for(OCSP_BASICRESP *basic, X509 *issuer)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *certificates = sk_X509_new_null();
    bool is_good = store != NULL && certificates != NULL &&
                   X509_STORE_add_cert(store, issuer) == 1 &&
                   X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                   sk_X509_push(certificates, issuer) > 0 &&
                   OCSP_basic_verify(basic, certificates, store, 0) == 1;

    sk_X509_free(certificates);
    X509_STORE_free(store);
    return is_good;
}

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *when)
{
    struct tm utc;

    return when != NULL && ASN1_TIME_to_tm(when, &utc) == 1 ? (int64_t)timegm(&utc) : -1;
}

/* What it says of this certificate, and until when that counts. */
static int check_status(OCSP_BASICRESP *basic, X509 *certificate, X509 *issuer, const char *path,
                        int64_t now_s, int64_t *until_s_out, struct mr_fault *fault)
{
    ASN1_GENERALIZEDTIME *from = NULL;
    ASN1_GENERALIZEDTIME *until = NULL;
    int status = V_OCSP_CERTSTATUS_UNKNOWN;
    bool is_about = false;

    for (int i = 0; i < OCSP_resp_count(basic) && !is_about; i++) { /* the digest is theirs */
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_OBJECT *digest = NULL;
        OCSP_CERTID *theirs = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single);

        (void)OCSP_id_get0_info(NULL, &digest, NULL, NULL, theirs);
        OCSP_CERTID *ours = OCSP_cert_to_id(EVP_get_digestbyobj(digest), certificate, issuer);
        is_about = ours != NULL && OCSP_id_cmp(ours, theirs) == 0;
        if (is_about)
            status = OCSP_single_get0_status(single, NULL, NULL, &from, &until);
        OCSP_CERTID_free(ours);
    }
    if (!is_about)
        return mr_fault_set(
            fault, EINVAL, "%s: is not about the certificate beside it; fetch the right one", path);
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return mr_fault_set(fault, EINVAL, "%s: says that the certificate is %s; replace that",
                            path, OCSP_cert_status_str(status));
    *until_s_out = until == NULL ? INT64_MAX : seconds_of(until);
    if (seconds_of(from) < 0 || seconds_of(from) > now_s + SKEW_S)
        return mr_fault_set(fault, EINVAL, "%s: is of the future; look at the clock", path);
    if (*until_s_out <= now_s)
        return mr_fault_set(fault, ESTALE, "%s: is too old; fetch a new one", path);
    return 0;
}

static int check(const struct mr_tls_context *context, OCSP_RESPONSE *response, const char *path,
                 int64_t now_s, int64_t *until_s_out, struct mr_fault *fault)
{
    SSL_CTX *ctx = context->ssl_ctx;
    X509 *certificate = SSL_CTX_get0_certificate(ctx);
    X509 *issuer = find_issuer(ctx, certificate);

    if (issuer == NULL)
        return mr_fault_set(fault, EINVAL,
                            "%s: cannot be checked: the certificate's chain lacks its issuer; add "
                            "it",
                            path);
    if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return mr_fault_set(fault, EINVAL,
                            "%s: the responder answered with an error (%s); fetch "
                            "it again",
                            path, OCSP_response_status_str(OCSP_response_status(response)));
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    int result = basic == NULL
                     ? mr_fault_set(fault, EINVAL, "%s: no basic response", path)
                     : check_status(basic, certificate, issuer, path, now_s, until_s_out, fault);
    if (result == 0 && !is_signed_for(basic, issuer))
        result = mr_fault_set(fault, EINVAL,
                              "%s: is not signed for the certificate's issuer; fetch the right one",
                              path);
    OCSP_BASICRESP_free(basic);
    return result;
}

/* ------------------------------------------------------------------ the file */

/* The file's bytes, the caller's to free; NULL with `fault` set. */
static struct stapled *read_file(const char *path, struct mr_fault *fault)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stapled *stapled = NULL;
    struct stat info;

    if (fd < 0) {
        mr_fault_set(fault, errno, "cannot read %s: %s; check the path", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0 ||
        info.st_size > MR_OCSP_FILE_MAX) {
        mr_fault_set(fault, EINVAL, "%s: no regular file of 1 to %d bytes; check the path", path,
                     MR_OCSP_FILE_MAX);
    } else if ((stapled = malloc(sizeof(*stapled) + (size_t)info.st_size)) == NULL) {
        mr_fault_set(fault, ENOMEM, "no memory for %s", path);
    } else {
        stapled->size = (size_t)info.st_size;
        if (read(fd, stapled->der, stapled->size) != info.st_size) {
            mr_fault_set(fault, EIO, "cannot read %s; try again", path);
            free(stapled);
            stapled = NULL;
        }
    }
    close(fd);
    return stapled;
}

int mr_ocsp_staple(const struct mr_tls_context *context, const char *path, int64_t now_s,
                   int64_t *until_s_out, struct mr_fault *fault)
{
    struct stapled *stapled = read_file(path, fault);
    int index = stapled_index();

    if (stapled == NULL)
        return -EINVAL;
    ERR_clear_error();
    const unsigned char *at = stapled->der;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)stapled->size);
    int result = 0;
    if (response == NULL || at != stapled->der + stapled->size)
        result = mr_fault_set(fault, EINVAL, "%s: no OCSP response in DER form", path);
    if (result == 0)
        result = check(context, response, path, now_s, until_s_out, fault);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    stapled->until_s = result == 0 ? *until_s_out : 0;
    if (result == 0 && (index < 0 || SSL_CTX_set_ex_data(context->ssl_ctx, index, stapled) != 1))
        result = mr_fault_set(fault, ENOMEM, "no memory for %s", path);
    if (result != 0) {
        free(stapled);
        return result;
    }
    SSL_CTX_set_tlsext_status_cb(context->ssl_ctx, on_status);
    SSL_CTX_set_tlsext_status_arg(context->ssl_ctx, (void *)(intptr_t)index);
    return 0;
}
