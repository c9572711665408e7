/*
 * control/tls_set.h - several certificates behind one TLS context, chosen by the name that a client
 * asks for; replaced while handshakes run.
 *
 *     handshake --SNI--> current version: exact name, else *.wildcard, else the first, or refused
 *                            |
 *                        a site's SSL_CTX        the version before goes when nobody reads it
 *
 * The endpoint gets one struct mr_tls_context (mr_tls_set_context()) for its whole life.  When a
 * ClientHello has come, a callback looks the site up and gives its SSL_CTX to the handshake, which
 * holds it by OpenSSL's own count from then on.  Readers are counted while they look up, which
 * takes a microsecond; the control thread publishes a new version and frees what it replaced when
 * it has seen no reader since.  No locks, and nobody waits.
 *
 * Protocols (ALPN) are those of the listeners whose server name matches, in the listeners' order.
 * The UDP port is not known here: a listener of another port may be chosen, and mr_handoff_find()
 * then finds none.
 *
 * Owner: the control thread.  Threads: the control thread's; handshakes on any.
 * Limits: MR_CONFIG_CERTIFICATES sites of MR_CONFIG_NAMES names; a lookup reads all of them.
 */
#ifndef MR_CONTROL_TLS_SET_H
#define MR_CONTROL_TLS_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/config.h"
#include "control/tls_context.h"

struct mr_tls_set;

struct mr_tls_set_config {
    const struct mr_config_tls *tls;   /* copied */
    const struct mr_handoff *handoff;  /* whose protocols are offered; copied */
    const struct mr_certificate *made; /* the only one, where `tls` has none; borrowed until made */
    bool has_keylog;
    bool has_early_data;
    struct mr_replay *replay; /* as in struct mr_tls_server_config */
    bool allows_expired;
};

/* What a reload did; `fault` of it is the first failure's. */
struct mr_tls_reload {
    uint32_t replaced; /* certificates */
    uint32_t failed;   /* that stay what they were */
};

/*
 * Read all certificates, and the keys of tickets, which are made if their file is not there.
 * `now_s`: seconds since 1970.  NULL with `fault` set.
 */
struct mr_tls_set *mr_tls_set_make(const struct mr_tls_set_config *config, struct mr_fault *fault,
                                   int64_t now_s);

/* For struct mr_endpoint_config; valid until mr_tls_set_free(). */
const struct mr_tls_context *mr_tls_set_context(const struct mr_tls_set *set);

/*
 * Read the certificates whose files have changed since they were last read, with `is_forced` all.
 * Each that cannot be used keeps what it was; the others are replaced for the handshakes that begin
 * from now on.  False with `fault` set if any failed.
 */
bool mr_tls_set_reload(struct mr_tls_set *set, bool is_forced, struct mr_tls_reload *result_out,
                       struct mr_fault *fault);

/* Take other certificates and listeners: all of them, or, with false and `fault` set, none.  Keys
 * of tickets stay; `made`, has_keylog and has_early_data are not looked at again. */
bool mr_tls_set_update(struct mr_tls_set *set, const struct mr_tls_set_config *config,
                       struct mr_fault *fault);

/* Put a new key of tickets in front, as if its time had come. */
bool mr_tls_set_rotate(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s);

/*
 * What is to be done from time to time, each second or so: free what was replaced, rotate keys of
 * tickets when it is time, read their file when it has changed, and reload what has changed, each
 * tls.watch_ns.  False with `fault` set: something could not be done, and is as it was.
 */
bool mr_tls_set_poll(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s);

/* Certificates now; the SHA-256 of number `index`. */
uint32_t mr_tls_set_count(const struct mr_tls_set *set);
void mr_tls_set_fingerprint(const struct mr_tls_set *set, uint32_t index,
                            char text_out[MR_FINGERPRINT_TEXT]);

/* Versions that were replaced and are not freed yet. */
uint32_t mr_tls_set_retired_count(const struct mr_tls_set *set);

/* No handshake may be in flight. */
void mr_tls_set_free(struct mr_tls_set *set);

#endif /* MR_CONTROL_TLS_SET_H */
