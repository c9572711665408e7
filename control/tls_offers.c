/* control/tls_offers.c - see tls_offers.h. */
#include "control/tls_offers.h"

#include <string.h>

#include <openssl/ssl.h>

#include "base/compiler.h"

#define LIST_HEAD 2 /* bytes: the list's size, RFC 7301, Section 3.1 */

const unsigned char *mr_tls_find_offer(const unsigned char *offers, size_t size, const char *alpn)
{
    size_t wanted = strlen(alpn);

    for (size_t at = 0; at < size; at += 1u + offers[at])
        if (offers[at] == wanted && at + 1 + wanted <= size &&
            memcmp(offers + at + 1, alpn, wanted) == 0)
            return offers + at;
    return NULL;
}

/* A handshake's callbacks follow each other on one thread. */
static _Thread_local struct {
    const void *ssl;
    size_t size;
    unsigned char bytes[MR_TLS_OFFERS_MAX];
} noted;

void mr_tls_note_offers(void *ssl)
{
    const unsigned char *bytes = NULL;
    size_t size = 0;

    noted.ssl = ssl;
    noted.size = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes,
                                  &size) != 1 ||
        size <= LIST_HEAD)
        return;
    noted.size = MR_MIN(size - LIST_HEAD, sizeof(noted.bytes));
    memcpy(noted.bytes, bytes + LIST_HEAD, noted.size);
}

bool mr_tls_client_offers(const void *ssl, const char *alpn)
{
    return noted.ssl == ssl && mr_tls_find_offer(noted.bytes, noted.size, alpn) != NULL;
}

/* ------------------------------------------------------------------ of the listeners */

size_t mr_tls_protocols_wire(const struct mr_handoff *handoff, uint8_t wire[MR_TLS_ALPN_MAX])
{
    size_t used = 0;

    for (uint32_t i = 0; i < handoff->listener_count; i++) {
        const char *alpn = handoff->listener[i].alpn;
        size_t size = strlen(alpn);

        if (size == 0 || mr_tls_find_offer(wire, used, alpn) != NULL ||
            used + 1 + size > MR_TLS_ALPN_MAX)
            continue;
        wire[used] = (uint8_t)size;
        memcpy(wire + used + 1, alpn, size);
        used += 1 + size;
    }
    return used;
}

void mr_tls_protocols_list(const struct mr_handoff *handoff, struct mr_tls_protocols *protocols_out)
{
    for (uint32_t i = 0; i < handoff->listener_count; i++) {
        const struct mr_handoff_listener *listener = &handoff->listener[i];

        if (listener->alpn[0] == '\0')
            continue;
        memcpy(protocols_out->of[protocols_out->count].server_name, listener->server_name,
               sizeof(listener->server_name));
        memcpy(protocols_out->of[protocols_out->count++].alpn, listener->alpn,
               sizeof(listener->alpn));
    }
}

const unsigned char *mr_tls_choose_offer(const struct mr_tls_protocols *protocols, const char *name,
                                         const unsigned char *offers, size_t offers_size)
{
    for (uint32_t i = 0; i < protocols->count; i++) {
        const char *server_name = protocols->of[i].server_name;
        const unsigned char *offer;

        if (server_name[0] != '\0' && !mr_server_name_matches(server_name, name))
            continue;
        offer = mr_tls_find_offer(offers, offers_size, protocols->of[i].alpn);
        if (offer != NULL)
            return offer;
    }
    return NULL;
}
