/*
 * control/ticket_keys.h - the keys that session tickets are sealed with: a new one from time to
 * time, earlier ones kept for a while.
 *
 *     keys: | newest: seals and opens | earlier: opens | ... |      mr_ticket_keys_rotate() shifts
 *     file: the same, MR_TICKET_KEYS_SIZE bytes each, newest first
 *
 * Processes of one service share a file: whoever finds it too old puts a new key in front, under a
 * lock (FILE.lock) and by renaming, and the others read it again when it has changed.
 *
 * A key is as OpenSSL has it: name (16), HMAC-SHA256 key (32), AES-256-CBC key (32); tickets are
 * RFC 5077's, Section 4.
 *
 * Owner: the control thread.  Threads: any may use keys that do not change meanwhile.
 */
#ifndef MR_CONTROL_TICKET_KEYS_H
#define MR_CONTROL_TICKET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/tls_context.h"

#define MR_TICKET_KEYS_MAX 8
#define MR_TICKET_KEY_NAME 16 /* bytes: how a key begins */

struct mr_ticket_keys {
    uint32_t count;
    uint8_t key[MR_TICKET_KEYS_MAX][MR_TICKET_KEYS_SIZE];
};

/* Put a random key in front; `kept` < MR_TICKET_KEYS_MAX earlier ones stay.  0, or -errno. */
int mr_ticket_keys_rotate(struct mr_ticket_keys *keys, uint32_t kept, struct mr_fault *fault);

/* The number of the key that `name` (MR_TICKET_KEY_NAME bytes) belongs to; MR_TICKET_KEYS_MAX:
 * none.
 */
uint32_t mr_ticket_keys_find(const struct mr_ticket_keys *keys, const uint8_t *name);

void mr_ticket_keys_wipe(struct mr_ticket_keys *keys);

/*
 * Read a file.  0, or -errno with the reason in `fault` and `keys` as they were: it is missing, no
 * regular file, everybody's to use (control/secret_file.h), or no whole number of keys.
 */
int mr_ticket_keys_read(struct mr_ticket_keys *keys, const char *path, struct mr_fault *fault);

/*
 * Put a new key in front of the file's if the file was written before `since_s` (seconds since
 * 1970) or is not there, and read it.  1: that was done; 0: it is new enough, or another process is
 * at it, `keys` are as they were; -errno with the reason in `fault`.
 */
int mr_ticket_keys_renew(struct mr_ticket_keys *keys, const char *path, uint32_t kept,
                         int64_t since_s, struct mr_fault *fault);

#endif /* MR_CONTROL_TICKET_KEYS_H */
