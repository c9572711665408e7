/*
 * control/certificate.h - make a self-signed certificate, for demonstrations and tests.
 *
 * ECDSA P-256, with the subject alternative names given; "localhost", 127.0.0.1 and
 * ::1 are always among them.
 *
 * Owner: the caller.  Threads: any.  Allocates inside OpenSSL only.
 */
#ifndef MR_CONTROL_CERTIFICATE_H
#define MR_CONTROL_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_CERTIFICATE_PEM_MAX   8192
#define MR_CERTIFICATE_NAMES_MAX 32 /* names of one certificate; more are refused */

/* A certificate (chain) and its private key as PEM text, NUL-terminated.  Wipe after use. */
struct mr_certificate {
    char certificate_pem[MR_CERTIFICATE_PEM_MAX];
    char key_pem[MR_CERTIFICATE_PEM_MAX];
};

struct mr_certificate_options {
    const char *const *names; /* DNS names and IP addresses beyond localhost */
    size_t name_count;
    int64_t begins_in_seconds; /* of its validity, relative to now; 0: an hour ago */
    int64_t ends_in_seconds;   /* 0: in 13 days; browsers take at most 14 by hash */
    int64_t now_seconds;       /* what "now" is, since 1970; 0: the system's clock */
    void *library;             /* of control/tls_seeded.h, for simulations; NULL: the real one */
};

/* Make a key and a certificate signed with it.  0, or -errno with the reason in `fault`. */
int mr_certificate_make(struct mr_certificate *certificate,
                        const struct mr_certificate_options *options, struct mr_fault *fault);

/* Write both as PEM files; the key is readable by its owner only.  0, or -errno with the reason in
 * `fault`. */
int mr_certificate_write(const struct mr_certificate *certificate, const char *certificate_path,
                         const char *key_path, struct mr_fault *fault);

/* Overwrite the key. */
void mr_certificate_wipe(struct mr_certificate *certificate);

#endif /* MR_CONTROL_CERTIFICATE_H */
