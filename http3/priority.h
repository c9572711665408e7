/*
 * http3/priority.h - priority parameters: the value of a Priority field or of a PRIORITY_UPDATE
 * frame (RFC 9218, Sections 4 and 5), and those that came for streams that are not open yet.
 *
 *     u=5, i        a Dictionary (RFC 8941, Section 3.2): urgency 0-7, incremental or not
 *
 * The whole value is parsed strictly, also of what is not understood; then unknown parameters,
 * values out of range and values of another type are ignored (Section 4).
 *
 * Pure: no stream, no connection.  O(size).
 */
#ifndef MR_HTTP3_PRIORITY_H
#define MR_HTTP3_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "http3/message.h"
#include "millrace/transport.h"

enum {
    MR_PRIORITY_URGENCY = 3, /* RFC 9218, Section 4.1: the default; not incremental: Section 4.2 */
    MR_PRIORITIES_WAITING = 16, /* per connection, of streams that are not open yet; more: the frame
                                   is dropped and counted, its stream has the priority of its
                                   field */
    MR_PRIORITY_VALUE_MAX = 64, /* bytes of a value in PRIORITY_UPDATE; longer: the frame is dropped
                                   and counted */
};

/* What a request without any signal has. */
static inline struct mr_priority mr_priority_default(void)
{
    return (struct mr_priority){.urgency = MR_PRIORITY_URGENCY};
}

/* Change what the value names in *priority.  False: it is no Dictionary, nothing is changed. */
bool mr_priority_parse(struct mr_text value, struct mr_priority *priority);

enum {
    MR_PRIORITY_TEXT = 8 /* bytes, with the end: "u=7, i" */
};

/* Write it as a value, both parameters where they are not the default; its size. */
uint32_t mr_priority_format(struct mr_priority priority, char text_out[MR_PRIORITY_TEXT]);

/* Priorities of streams that are not open yet.  All zero: none. */
struct mr_priorities {
    uint32_t count;
    uint64_t entry[MR_PRIORITIES_WAITING]; /* stream ID << 2 (a request's ends in 00), and the
                                              priority in its low four bits */
};

/* Keep the newest for the request stream `id`.  False: no room, dropped.  O(MR_PRIORITIES_WAITING).
 */
bool mr_priorities_put(struct mr_priorities *p, uint64_t id, struct mr_priority priority);

/* The stream `id` opens: take its priority out.  False: none waits. */
bool mr_priorities_take(struct mr_priorities *p, uint64_t id, struct mr_priority *priority_out);

#endif /* MR_HTTP3_PRIORITY_H */
