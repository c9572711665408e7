/*
 * http3/qpack.h - QPACK (RFC 9204) by nghttp3, within memory that we bound.
 *
 *     peer's encoder stream ---> decoder (one per connection: dynamic table) ---> fields
 *     field sections --------->     |
 *                                   +--> our decoder stream
 *     fields ---> encoder (one per server or client: static table only) ---> field sections
 *     peer's decoder stream ---> feedback: must be empty but for cancellations
 *       or, if wanted, a table (one per connection) ---> field sections, our encoder stream
 *
 * Field sections are decoded whole, in one go, so that at most one is under way.  One that refers
 * to entries that have not come is not begun: its bytes stay where they are until they have.
 *
 * nghttp3 allocates out of a struct mr_heap; every connection has a share, beyond which it gets
 * nothing.
 *
 * Owner: one server or client.  Threads: the owner's only.
 */
#ifndef MR_HTTP3_QPACK_H
#define MR_HTTP3_QPACK_H

#include <nghttp3/nghttp3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http3/counters.h"
#include "http3/heap.h"
#include "http3/message.h"

enum {
    MR_QPACK_FEEDBACK_MAX =
        4096, /* bytes that may wait for our decoder stream; more: the connection is closed */
    MR_QPACK_SECTION_MAX = 4096, /* bytes of a section that we encode */
};

/* A share of a heap, as nghttp3 sees it.  Must not move while in use. */
struct mr_heap_share {
    struct mr_heap *heap;
    struct mr_h3_counters *counters;
    size_t used;
    size_t limit;
    nghttp3_mem mem;
};

void mr_heap_share_init(struct mr_heap_share *share, struct mr_heap *heap,
                        struct mr_h3_counters *counters, size_t limit);

/* As malloc and free, out of the share; NULL if it or the heap is used up (counted). */
void *mr_heap_share_alloc(struct mr_heap_share *share, size_t size);
void mr_heap_share_free(struct mr_heap_share *share, void *payload);

/* ---- decoding ---- */

struct mr_qpack_decoder {
    nghttp3_qpack_decoder *decoder;
    uint32_t capacity;
    uint32_t blocked_max;
};

/* A decoder with a dynamic table of at most `capacity` bytes, for whose entries the sections of
 * `blocked_max` streams may wait; 0: none.  False: no memory. */
bool mr_qpack_decoder_init(struct mr_qpack_decoder *decoder, struct mr_heap_share *share,
                           uint32_t capacity, uint32_t blocked_max);
void mr_qpack_decoder_fini(struct mr_qpack_decoder *decoder);

/* Bytes of the peer's encoder stream.  0, or the connection's error code. */
uint64_t mr_qpack_decoder_read(struct mr_qpack_decoder *decoder, const uint8_t *data, size_t size);

/* Takes a field; false: decode no more of this section.  The texts are valid during the call. */
typedef bool (*mr_qpack_field_function)(void *context, struct mr_text name, struct mr_text value);

/* A field section that came as a whole. */
struct mr_qpack_section {
    uint64_t stream_id;
    const uint8_t *data;
    size_t size;
};

/*
 * Decode all of a section; meanwhile the share is as much larger as it needs.  0 (also if `take`
 * wanted no more: the peer is told that the stream was cancelled), or the connection's error code.
 * *needs_out: 0, or the section refers to entries that have not come, nothing was decoded, and it
 * can be when mr_qpack_decoder_inserted() is as large (RFC 9204, Section 2.1.2); with a blocked_max
 * of 0 that is an error.
 */
uint64_t mr_qpack_decode(struct mr_qpack_decoder *decoder, struct mr_heap_share *share,
                         const struct mr_qpack_section *section, mr_qpack_field_function take,
                         void *context, uint64_t *needs_out);

/* Entries that the peer has inserted so far. */
uint64_t mr_qpack_decoder_inserted(const struct mr_qpack_decoder *decoder);

/* A section on this stream will not be decoded.  0, or the connection's error code. */
uint64_t mr_qpack_decoder_cancel(struct mr_qpack_decoder *decoder, uint64_t stream_id);

/* Bytes that wait for our decoder stream, at most MR_QPACK_FEEDBACK_MAX; take() writes that many
 * and forgets them. */
size_t mr_qpack_decoder_feedback_size(const struct mr_qpack_decoder *decoder);
void mr_qpack_decoder_take_feedback(struct mr_qpack_decoder *decoder, uint8_t *dst, size_t size);

/* ---- encoding ---- */

struct mr_qpack_encoder {
    nghttp3_qpack_encoder *encoder;
    uint8_t scratch[MR_QPACK_SECTION_MAX];
};

/* A field to send: name in lower case. */
struct mr_field_line {
    const char *name;
    struct mr_text value;
};

bool mr_qpack_encoder_init(struct mr_qpack_encoder *encoder, struct mr_heap_share *share);
void mr_qpack_encoder_fini(struct mr_qpack_encoder *encoder);

enum {
    MR_FIELD_LINES_MAX = 16
};

/* Bytes of a section with these fields, at most. */
size_t mr_qpack_encoded_max(const struct mr_field_line *lines, size_t count);

/*
 * Encode `count` <= MR_FIELD_LINES_MAX fields as a section.  Returns it (valid until the next call)
 * and its size, or NULL if they do not fit MR_QPACK_SECTION_MAX.
 */
const uint8_t *mr_qpack_encode(struct mr_qpack_encoder *encoder, const struct mr_field_line *lines,
                               size_t count, size_t *size_out);

/*
 * The same with a dynamic table, one per connection, within the peer's limits.  What it inserts
 * waits for our encoder stream; until that is sent, and when its share of memory is used up, the
 * static table has to do.
 */
struct mr_qpack_table {
    nghttp3_qpack_encoder *encoder; /* NULL: there is none */
    const nghttp3_mem *mem;
    nghttp3_buf instructions; /* not sent yet */
    bool is_given_up; /* memory ran out: nothing is added, what was sent can be acknowledged */
};

/* The peer's limits are known: a table of at most `capacity` bytes of its `peer_capacity`, and
 * sections on at most `blocked_max` streams that may come before what they refer to.  False: there
 * is none. */
bool mr_qpack_table_init(struct mr_qpack_table *table, struct mr_heap_share *share,
                         uint64_t peer_capacity, uint32_t capacity, uint32_t blocked_max);
void mr_qpack_table_fini(struct mr_qpack_table *table);

/* As mr_qpack_encode(), for a stream; NULL also: use that. */
const uint8_t *mr_qpack_table_encode(struct mr_qpack_table *table, struct mr_qpack_encoder *encoder,
                                     uint64_t stream_id, const struct mr_field_line *lines,
                                     size_t count, size_t *size_out);

/* What waits for our encoder stream; `size` bytes of it were sent. */
const uint8_t *mr_qpack_table_instructions(const struct mr_qpack_table *table, size_t *size_out);
void mr_qpack_table_sent(struct mr_qpack_table *table, size_t size);

/* Bytes of the peer's decoder stream.  0, or the connection's error code. */
uint64_t mr_qpack_table_read(struct mr_qpack_table *table, const uint8_t *data, size_t size);

/* The peer's decoder stream, when nothing we sent refers to a dynamic table.  All zero: at its
 * start. */
struct mr_qpack_feedback {
    bool is_inside; /* of a number that goes on */
    uint8_t bytes;  /* of it */
};

/* Bytes of the peer's decoder stream.  0, or the connection's error code. */
uint64_t mr_qpack_feedback_read(struct mr_qpack_feedback *feedback, const uint8_t *data,
                                size_t size);

#endif /* MR_HTTP3_QPACK_H */
