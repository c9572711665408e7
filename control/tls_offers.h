/*
 * control/tls_offers.h - the protocols (ALPN, RFC 7301) that a ClientHello offers, and lists of
 * them.
 *
 * Threads: any; of a ClientHello: the one that handles it.
 */
#ifndef MR_CONTROL_TLS_OFFERS_H
#define MR_CONTROL_TLS_OFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/handoff.h"
#include "quic/tls.h"

#define MR_TLS_OFFERS_MAX 512 /* bytes */

/* Where the list `offers` in wire form has `alpn`: at its length byte; NULL: nowhere. */
const unsigned char *mr_tls_find_offer(const unsigned char *offers, size_t size, const char *alpn);

/* Remember what the ClientHello offers that `ssl` (OpenSSL's SSL, in its callback for a
 * ClientHello) handles, until this thread handles another: OpenSSL shows it only there.  Of a list
 * that is longer than MR_TLS_OFFERS_MAX, what is behind does not count. */
void mr_tls_note_offers(void *ssl);

/* Does it offer `alpn`?  In the callback for the server's name, which comes next. */
bool mr_tls_client_offers(const void *ssl, const char *alpn);

/* The protocols that a server name may speak. */
struct mr_tls_protocols {
    uint32_t count;
    struct {
        char server_name[MR_LISTENER_SERVER]; /* "": any */
        char alpn[MR_ATTACH_NAME];
    } of[MR_LISTENERS_MAX];
};

/* The listeners' protocols, each with the server name that it is for. */
void mr_tls_protocols_list(const struct mr_handoff *handoff,
                           struct mr_tls_protocols *protocols_out);

/* The protocols of all listeners in wire form, each once.  Returns the bytes. */
size_t mr_tls_protocols_wire(const struct mr_handoff *handoff, uint8_t wire[MR_TLS_ALPN_MAX]);

/* The first of the listeners' protocols that the client offers for its name; NULL: none. */
const unsigned char *mr_tls_choose_offer(const struct mr_tls_protocols *protocols, const char *name,
                                         const unsigned char *offers, size_t size);

#endif /* MR_CONTROL_TLS_OFFERS_H */
