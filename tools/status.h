/*
 * tools/status.h - what a status that is not the file means for who asked, and what to do.
 *
 * Threads: any.
 */
#ifndef MR_TOOLS_STATUS_H
#define MR_TOOLS_STATUS_H

#include <stdint.h>

/* "meaning; remedy", of an HTTP status code (RFC 9110, Section 15), known or not.  Static. */
const char *mr_status_advice(uint32_t status);

#endif /* MR_TOOLS_STATUS_H */
