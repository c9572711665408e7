/*
 * http3/h3_lines.h - field lines that are encoded once, for heads that come again and again.
 *
 *     head:  00 00 | lines of a file | lines of this second |
 *
 * They refer to nothing but the static table, so that they mean the same in any section that has no
 * dynamic table (RFC 9204, Section 4.5.1), and go into it one behind the other; the pseudo-header
 * fields are in the first (RFC 9114, Section 4.3).
 *
 * Values; owner: who has them.  Threads: the layer's.
 * Limits: MR_H3_LINES_MAX bytes.
 */
#ifndef MR_HTTP3_H3_LINES_H
#define MR_HTTP3_H3_LINES_H

#include "http3/h3_conn.h"

enum {
    MR_H3_LINES_MAX = 188 /* bytes of them, encoded */
};

struct mr_h3_lines {
    uint16_t size;          /* of `bytes`; 0: there are none */
    uint16_t section_bytes; /* decoded, RFC 9114, Section 4.2.2 */
    uint8_t bytes[MR_H3_LINES_MAX];
};

/* Encode `count` fields, none of them Priority.  False, and size 0: they do not fit. */
bool mr_h3_lines_make(struct mr_h3 *h3, const struct mr_field_line *lines, size_t count,
                      struct mr_h3_lines *lines_out);

/* May the stream's head be made of such lines?  Not with a dynamic table, for one. */
bool mr_h3_takes_lines(const struct mr_h3 *h3, const struct mr_h3_stream *stream);

/* Send a head made of two of them, on a stream that takes them.  Results as mr_h3_send_head(). */
int mr_h3_send_lines(struct mr_h3 *h3, struct mr_h3_stream *stream, const struct mr_h3_lines *first,
                     const struct mr_h3_lines *second, const struct mr_h3_body *body);

#endif /* MR_HTTP3_H3_LINES_H */
