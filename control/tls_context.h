/*
 * control/tls_context.h - build what all handshakes of one side share.
 *
 *     certificate, key, ALPN, groups  --mr_tls_context_server()-->  struct mr_tls_context
 *     trusted certificates            --mr_tls_context_client()-->  (quic/tls.h)
 *
 * Every mistake of a user ends as a struct mr_fault that names the file, the cause
 * and the remedy.  TLS 1.3 only, as QUIC demands (RFC 9001, Section 4.2).
 *
 * Owner: the control plane; endpoints borrow the context until they are finished.
 * Threads: built and freed by the control thread; read by all.
 */
#ifndef MR_CONTROL_TLS_CONTEXT_H
#define MR_CONTROL_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/certificate.h"
#include "quic/tls.h"

#define MR_FINGERPRINT_TEXT 65 /* bytes: SHA-256 in hexadecimal and the end */
#define MR_TICKET_KEYS_SIZE 80 /* bytes: name, MAC key, encryption key */

/* Defaults: fastest first; a client's ClientHello carries a key share of the first group. */
#define MR_TLS_GROUPS  "X25519:P-256:X25519MLKEM768"
#define MR_TLS_CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

struct mr_tls_server_config {
    /* PEM: the server's certificate, then its chain; the key without passphrase. */
    const char *certificate_path;
    const char *key_path;
    const struct mr_certificate *certificate; /* instead of the two paths */

    const uint8_t *alpn; /* wire form, most wanted first, e.g. "\x02h3" */
    size_t alpn_size;
    const char *groups;  /* colon list, NULL: MR_TLS_GROUPS */
    const char *ciphers; /* colon list, NULL: MR_TLS_CIPHERS */

    /* MR_TICKET_KEYS_SIZE bytes, the same in all processes of a service; NULL: random, so that
     * tickets end with this context. */
    const uint8_t *ticket_keys;
    uint8_t tickets; /* per handshake, 0..4; each costs 12 us */

    bool allows_expired;      /* take a certificate that is out of date */
    bool has_early_data;      /* accept 0-RTT (RFC 9001, Sections 4.6 and 9.2) */
    struct mr_replay *replay; /* whose first flights it remembers, control/early_data.h; NULL: a
                                 copy of a first flight is taken for one */
    bool has_keylog;
    void *library; /* one of its own, or of control/tls_seeded.h; NULL: the process's */
};

struct mr_tls_client_config {
    const char *ca_path; /* PEM file, or folder with hashed names; NULL: ca_pem, or the system's */
    const char *ca_pem;  /* text of trusted certificates */
    const char *groups;  /* as above */
    const char *ciphers;
    bool is_insecure; /* no connection will check certificates: none need be trusted */
    bool has_early_data;
    bool has_keylog;
    void *library; /* as above */
};

/*
 * Check that the OpenSSL this process runs with has a QUIC TLS interface, once at start.
 * 0; -ENOTSUP: it is older than 3.5.
 */
int mr_tls_library_check(struct mr_fault *fault);

/* OpenSSL's state of its own, for the `library` of contexts: what several threads use of the same
 * is counted by atomics that they take from each other.  NULL: no memory.  Free it after its
 * contexts. */
void *mr_tls_library_new(void);
void mr_tls_library_free(void *library);

/*
 * Build `context`.  0, or -errno with the reason in `fault` and nothing held: -ENOENT, -EACCES, ...
 * from files, -EINVAL for their content and for options.
 */
int mr_tls_context_server(struct mr_tls_context *context, const struct mr_tls_server_config *config,
                          struct mr_fault *fault);
int mr_tls_context_client(struct mr_tls_context *context, const struct mr_tls_client_config *config,
                          struct mr_fault *fault);

/* Write the SHA-256 of a server's own certificate (of its DER form) in hexadecimal. */
void mr_tls_context_fingerprint(const struct mr_tls_context *context,
                                char text_out[MR_FINGERPRINT_TEXT]);

/* No handshake of it may be in flight. */
void mr_tls_context_free(struct mr_tls_context *context);

#endif /* MR_CONTROL_TLS_CONTEXT_H */
