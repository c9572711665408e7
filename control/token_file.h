/*
 * control/token_file.h - the secrets of stateless resets and address tokens in a file, so that a
 * server that begins again is known to the peers of the one before.
 *
 *     FILE   | magic, version | writing | present | reset secret | secrets of address tokens |
 *                1       1         1         1          32           MR_TOKEN_KEYS x 32
 *
 * A peer remembers the tokens of stateless resets for as long as its connection: their secret stays
 * for the life of the file.  Those of address tokens are replaced in turn
 * (control/token_rotation.h). The file is made, with mode 0600, if it is not there.  Processes of
 * one service may share it: whoever finds it too old puts a new secret in, under a lock (FILE.lock)
 * and by renaming; the others see that it has changed.
 *
 * Owner: the caller; wipe what was read.  Threads: the control thread's.
 */
#ifndef MR_CONTROL_TOKEN_FILE_H
#define MR_CONTROL_TOKEN_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "quic/token.h"

/* Which file it was that was read last. */
struct mr_token_file {
    const char *path; /* borrowed */
    uint64_t device;
    uint64_t inode;
    int64_t written_s; /* seconds since 1970 */
};

/*
 * Read the secrets, or make new ones and the file.  0; -errno with the reason in `fault`: it is no
 * regular file, everybody's to use (control/secret_file.h), not of this kind, or cannot be written.
 */
int mr_token_file_open(struct mr_token_file *file, const char *path,
                       struct mr_token_secrets *secrets_out, struct mr_fault *fault);

/*
 * Has another process changed the file, or was it written before `since_s`?  Then it is read again,
 * in the second case with a new secret that writes tokens (INT64_MIN: never).  1: *secrets_out is
 * what is in it now; 0: nothing is new; -errno with the reason in `fault`, and nothing is new.
 */
int mr_token_file_look(struct mr_token_file *file, struct mr_token_secrets *secrets_out,
                       int64_t since_s, struct mr_fault *fault);

#endif /* MR_CONTROL_TOKEN_FILE_H */
