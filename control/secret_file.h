/*
 * control/secret_file.h - files of secrets: who may use them, and how they are replaced while
 * others read them.
 *
 *     FILE         regular, no permission for everybody
 *     FILE.new     what is written before it takes FILE's name
 *     FILE.lock    held by who replaces
 *
 * Owner: the caller.  Threads: any; the control thread's.
 * Limits: PATH_MAX bytes of a path.
 */
#ifndef MR_CONTROL_SECRET_FILE_H
#define MR_CONTROL_SECRET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/fault.h"

#define MR_SECRET_FILE_MODES 0007 /* permissions that a file must not give */

/*
 * Open to read.  `what` it holds is a plural, for the message.  A descriptor; -errno with the
 * reason in `fault`: it is not there (-ENOENT) or may not be read, is no regular file (-EINVAL), or
 * is everybody's to use (-EPERM).
 */
int mr_secret_file_open(const char *path, const char *what, struct stat *info_out,
                        struct mr_fault *fault);

/* Replace the file, or make it: by renaming, with the permissions of the one before, else 0600.  0;
 * -errno with the reason in `fault`, and the file is as it was. */
int mr_secret_file_write(const char *path, const void *bytes, size_t size, struct mr_fault *fault);

/* The lock's descriptor, to be closed; -EAGAIN without words: another process has it, and we do not
 * wait; -errno with the reason in `fault`. */
int mr_secret_file_lock(const char *path, bool waits, struct mr_fault *fault);

#endif /* MR_CONTROL_SECRET_FILE_H */
