/*
 * quic/tls_internal.h - what quic/tls.c, quic/tls_callbacks.c and quic/tls_verify.c share.
 */
#ifndef MR_QUIC_TLS_INTERNAL_H
#define MR_QUIC_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "base/compiler.h"
#include "quic/tls.h"

/* Note why the running job will fail, in words (printf-style).  The first cause stays. */
void mr_tls_explain(struct mr_tls *tls, const char *fmt, ...) MR_PRINTF(2, 3);

/*
 * Fail the running job with a code for CONNECTION_CLOSE, unless it has failed already.  `reason` is
 * used if nothing better was explained.
 */
void mr_tls_fail(struct mr_tls *tls, uint64_t error, const char *reason);

static inline void mr_tls_fail_alert(struct mr_tls *tls, uint8_t alert, const char *reason)
{
    mr_tls_fail(tls, MR_CRYPTO_ERROR + (uint64_t)alert, reason);
}

/* For SSL_set_quic_tls_cbs(), with the struct mr_tls as argument. */
extern const OSSL_DISPATCH mr_tls_callbacks[];

/* For SSL_set_msg_callback() of a client that offers 0-RTT. */
void mr_tls_on_message(int is_write, int version, int type, const void *bytes, size_t size,
                       SSL *ssl, void *argument);

/* What a server writes into tickets, and when it takes 0-RTT with one. */
void mr_tls_early_attach(struct mr_tls_context *context);

/* OpenSSL's verify callback: explains what is wrong with the certificate, changes nothing. */
int mr_tls_verify(int is_right, X509_STORE_CTX *store);

/* What QUIC demands of a ClientHello, before anything costly is computed for it: OpenSSL's callback
 * of a server. */
int mr_tls_on_client_hello(SSL *ssl, int *alert, void *argument);

#endif /* MR_QUIC_TLS_INTERNAL_H */
