/*
 * millrace/error.h - why something failed, in one line for people: cause and remedy.
 *
 * Functions that can fail for many reasons take a struct mr_error, which may be NULL; they return
 * -errno as well.
 *
 * Owner: the caller.  Threads: any; nothing is shared.
 */
#ifndef MILLRACE_ERROR_H
#define MILLRACE_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* "" when nothing has failed. */
struct mr_error {
    char text[256];
};

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_ERROR_H */
