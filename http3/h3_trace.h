/*
 * http3/h3_trace.h - what the connection layer tells the trace of a connection (millrace/trace.h).
 *
 *     h3_recv.c, h3_send.c, ... --if h3->is_traced--> here --> transport's `trace`
 *
 * All but mr_h3_trace_look() are called behind h3->is_traced only, so that it costs one comparison
 * where nothing is traced.  Of a field section its pseudo-header fields are told, and how many
 * fields there are; no other name or value, and of a path nothing behind its query's '?'.
 *
 * Owner: struct mr_h3.  Threads: the transport's.
 */
#ifndef MR_HTTP3_H3_TRACE_H
#define MR_HTTP3_H3_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "http3/message.h"
#include "millrace/transport.h"

struct mr_field_line;
struct mr_h3;
struct mr_h3_conn;
struct mr_h3_stream;

enum {
    MR_H3_TRACED_BYTES = 512 /* of a section's pseudo-header fields; others lose their values */
};

/* Pseudo-header fields of a section, for a trace, as millrace/trace.h says. */
struct mr_h3_traced {
    uint32_t count; /* of all fields */
    uint32_t size;  /* bytes in use */
    uint8_t bytes[MR_H3_TRACED_BYTES];
};

/* Is there anything to tell?  Asked once for each burst of events: a connection that a trace begins
 * with is told of from the next on. */
MR_COLD void mr_h3_trace_look(struct mr_h3 *h3);

/* The type of a stream is known; MR_TRACE_HTTP3_REQUEST: a request's. */
MR_COLD void mr_h3_trace_stream(struct mr_h3 *h3, const struct mr_h3_stream *stream, uint64_t type,
                                bool is_ours);

/* A datagram of the request stream `id`, `size` bytes of content. */
MR_COLD void mr_h3_trace_datagram(struct mr_h3 *h3, const struct mr_h3_conn *conn, uint64_t id,
                                  size_t size, bool is_ours);

/* The stream has its priority now; `before` NULL: its first. */
MR_COLD void mr_h3_trace_priority(struct mr_h3 *h3, const struct mr_h3_stream *stream,
                                  const struct mr_priority *before, bool is_ours);

/* The frame that stream->frame is in has come, with `size` bytes of payload; NULL: not kept. */
MR_COLD void mr_h3_trace_got(struct mr_h3 *h3, const struct mr_h3_stream *stream, uint64_t size,
                             const uint8_t *payload);

/* Frames of ours; of DATA, the last, the header alone. */
MR_COLD void mr_h3_trace_made(struct mr_h3 *h3, const struct mr_h3_stream *stream,
                              const uint8_t *frames, size_t size);

/* A field of a section. */
MR_COLD void mr_h3_trace_field(struct mr_h3_traced *section, struct mr_text name,
                               struct mr_text value);

/* A HEADERS frame of `size` bytes has come; h3->traced has its fields. */
MR_COLD void mr_h3_trace_section(struct mr_h3 *h3, const struct mr_h3_stream *stream, size_t size);

/* A head of ours: its fields, its frame and the header of what follows. */
MR_COLD void mr_h3_trace_head(struct mr_h3 *h3, const struct mr_h3_stream *stream,
                              const struct mr_field_line *lines, size_t count, struct mr_view head);

#endif /* MR_HTTP3_H3_TRACE_H */
