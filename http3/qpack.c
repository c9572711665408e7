/* http3/qpack.c - see qpack.h. */
#include "http3/qpack.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/frame.h"

enum {
    PREFIX_ROOM = 16,   /* a section's prefix: two integers */
    LINE_OVERHEAD = 16, /* bytes of a field line beside name and value, at most */
    SECTION_FACTOR =
        3, /* memory for a string of a section: twice its size if Huffman-coded, and some */
    SECTION_BASE = 2048,  /* for what nghttp3 keeps beside */
    NUMBER_BYTES_MAX = 11 /* of a prefixed integer below 2^62, RFC 9204, Section 4.1.1 */
};

/* What nghttp3's archive has instead of stderr (meson.build): only its functions for debugging name
 * it, which nobody calls. */
extern FILE *mr_qpack_no_stream __attribute__((visibility("hidden")));
FILE *mr_qpack_no_stream;

/* ---- memory ---- */

void *mr_heap_share_alloc(struct mr_heap_share *share, size_t size)
{
    if (size > share->limit || share->used > share->limit - size) {
        mr_count(&share->counters->heap_refused);
        return NULL;
    }
    void *payload = mr_heap_alloc(share->heap, size);
    if (payload == NULL) {
        mr_count(&share->counters->heap_exhausted);
        return NULL;
    }
    share->used += mr_heap_size_of(payload);
    return payload;
}

void mr_heap_share_free(struct mr_heap_share *share, void *payload)
{
    if (payload == NULL)
        return;
    share->used -= mr_heap_size_of(payload);
    mr_heap_free(share->heap, payload);
}

static void *share_malloc(size_t size, void *user_data)
{
    return mr_heap_share_alloc(user_data, size);
}

static void share_free(void *payload, void *user_data)
{
    mr_heap_share_free(user_data, payload);
}

static void *share_calloc(size_t count, size_t size, void *user_data)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *payload = mr_heap_share_alloc(user_data, bytes);
    if (payload != NULL)
        memset(payload, 0, bytes);
    return payload;
}

static void *share_realloc(void *payload, size_t size, void *user_data)
{
    if (payload != NULL && mr_heap_size_of(payload) >= size)
        return payload;

    void *larger = mr_heap_share_alloc(user_data, size);
    if (larger != NULL && payload != NULL) {
        memcpy(larger, payload, mr_heap_size_of(payload));
        mr_heap_share_free(user_data, payload);
    }
    return larger;
}

void mr_heap_share_init(struct mr_heap_share *share, struct mr_heap *heap,
                        struct mr_h3_counters *counters, size_t limit)
{
    *share = (struct mr_heap_share){
        .heap = heap,
        .counters = counters,
        .limit = limit,
        .mem = {.user_data = share,
                .malloc = share_malloc,
                .free = share_free,
                .calloc = share_calloc,
                .realloc = share_realloc},
    };
}

/* ---- decoding ---- */

bool mr_qpack_decoder_init(struct mr_qpack_decoder *decoder, struct mr_heap_share *share,
                           uint32_t capacity, uint32_t blocked_max)
{
    decoder->capacity = capacity;
    decoder->blocked_max = blocked_max;
    return nghttp3_qpack_decoder_new(&decoder->decoder, capacity, blocked_max, &share->mem) == 0;
}

void mr_qpack_decoder_fini(struct mr_qpack_decoder *decoder)
{
    nghttp3_qpack_decoder_del(decoder->decoder);
    decoder->decoder = NULL;
}

/* The connection's error code for one of nghttp3's.  RFC 9204, Section 7.4: what is too large to be
 * decoded is `too_large`. */
static uint64_t error_code(nghttp3_ssize result, uint64_t too_large)
{
    switch (result) {
    case NGHTTP3_ERR_QPACK_DECOMPRESSION_FAILED:
        return MR_QPACK_DECOMPRESSION_FAILED;
    case NGHTTP3_ERR_QPACK_ENCODER_STREAM_ERROR:
        return MR_QPACK_ENCODER_STREAM_ERROR;
    case NGHTTP3_ERR_QPACK_HEADER_TOO_LARGE:
        return too_large;
    case NGHTTP3_ERR_QPACK_FATAL: /* too much feedback waits */
    case NGHTTP3_ERR_NOMEM:
        return MR_H3_EXCESSIVE_LOAD;
    default:
        return MR_H3_INTERNAL_ERROR;
    }
}

uint64_t mr_qpack_decoder_read(struct mr_qpack_decoder *decoder, const uint8_t *data, size_t size)
{
    nghttp3_ssize used = nghttp3_qpack_decoder_read_encoder(decoder->decoder, data, size);

    return used < 0 ? error_code(used, MR_QPACK_ENCODER_STREAM_ERROR) : 0;
}

static struct mr_text text_of(const nghttp3_rcbuf *buf)
{
    nghttp3_vec vec = nghttp3_rcbuf_get_buf(buf);

    return (struct mr_text){(const char *)vec.base, vec.len};
}

/* Decode to the end of the section, or until `take` has enough. */
static uint64_t decode_fields(struct mr_qpack_decoder *decoder, nghttp3_qpack_stream_context *state,
                              const struct mr_qpack_section *section, mr_qpack_field_function take,
                              void *context, uint64_t *needs_out)
{
    const uint8_t *data = section->data;
    size_t size = section->size;

    for (;;) {
        nghttp3_qpack_nv nv;
        uint8_t flags;
        nghttp3_ssize used =
            nghttp3_qpack_decoder_read_request(decoder->decoder, state, &nv, &flags, data, size, 1);
        if (used < 0)
            return error_code(used, MR_QPACK_DECOMPRESSION_FAILED);
        if ((flags & NGHTTP3_QPACK_DECODE_FLAG_BLOCKED) != 0) {
            *needs_out = nghttp3_qpack_stream_context_get_ricnt(state);
            return decoder->blocked_max > 0 ? 0 : MR_QPACK_DECOMPRESSION_FAILED;
        }
        data += used;
        size -= (size_t)used;
        if ((flags & NGHTTP3_QPACK_DECODE_FLAG_EMIT) != 0) {
            bool goes_on = take(context, text_of(nv.name), text_of(nv.value));
            nghttp3_rcbuf_decref(nv.name);
            nghttp3_rcbuf_decref(nv.value);
            if (!goes_on)
                return mr_qpack_decoder_cancel(decoder, section->stream_id);
        }
        if ((flags & NGHTTP3_QPACK_DECODE_FLAG_FINAL) != 0)
            return 0;
    }
}

uint64_t mr_qpack_decode(struct mr_qpack_decoder *decoder, struct mr_heap_share *share,
                         const struct mr_qpack_section *section, mr_qpack_field_function take,
                         void *context, uint64_t *needs_out)
{
    nghttp3_qpack_stream_context *state;
    size_t limit = share->limit;
    uint64_t code = MR_H3_EXCESSIVE_LOAD;

    *needs_out = 0;
    share->limit += SECTION_FACTOR * section->size + SECTION_BASE;
    if (nghttp3_qpack_stream_context_new(&state, (int64_t)section->stream_id, &share->mem) == 0) {
        code = decode_fields(decoder, state, section, take, context, needs_out);
        nghttp3_qpack_stream_context_del(state);
    }
    share->limit = limit;
    if (code == 0 && mr_qpack_decoder_feedback_size(decoder) > MR_QPACK_FEEDBACK_MAX)
        code = MR_H3_EXCESSIVE_LOAD;
    return code;
}

uint64_t mr_qpack_decoder_inserted(const struct mr_qpack_decoder *decoder)
{
    return nghttp3_qpack_decoder_get_icnt(decoder->decoder);
}

uint64_t mr_qpack_decoder_cancel(struct mr_qpack_decoder *decoder, uint64_t stream_id)
{
    if (decoder->capacity == 0) /* RFC 9204, Section 2.2.2.2: may be left out */
        return 0;

    int result = nghttp3_qpack_decoder_cancel_stream(decoder->decoder, (int64_t)stream_id);
    return result < 0 ? error_code(result, MR_H3_INTERNAL_ERROR) : 0;
}

size_t mr_qpack_decoder_feedback_size(const struct mr_qpack_decoder *decoder)
{
    return decoder->capacity == 0 ? 0
                                  : nghttp3_qpack_decoder_get_decoder_streamlen(decoder->decoder);
}

void mr_qpack_decoder_take_feedback(struct mr_qpack_decoder *decoder, uint8_t *dst, size_t size)
{
    nghttp3_buf buf = {.begin = dst, .end = dst + size, .pos = dst, .last = dst};

    nghttp3_qpack_decoder_write_decoder(decoder->decoder, &buf);
    MR_ASSERT(buf.last == dst + size);
}

/* ---- encoding ---- */

bool mr_qpack_encoder_init(struct mr_qpack_encoder *encoder, struct mr_heap_share *share)
{
    return nghttp3_qpack_encoder_new(&encoder->encoder, 0, &share->mem) == 0;
}

void mr_qpack_encoder_fini(struct mr_qpack_encoder *encoder)
{
    nghttp3_qpack_encoder_del(encoder->encoder);
    encoder->encoder = NULL;
}

/* Values that hardly ever come twice, and would only push others out of a table. */
static bool differs_each_time(const char *name)
{
    static const char *const names[] = {"date",           "etag",          "last-modified",
                                        "content-length", "content-range", "range",
                                        "location",       "if-none-match", ":path"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Bytes that a field needs at most: its strings are Huffman-coded only if that is shorter. */
static size_t line_max(size_t name_size, size_t value_size)
{
    return name_size + value_size + LINE_OVERHEAD;
}

size_t mr_qpack_encoded_max(const struct mr_field_line *lines, size_t count)
{
    size_t need = PREFIX_ROOM;

    for (size_t i = 0; i < count; i++)
        need += line_max(strlen(lines[i].name), lines[i].value.size);
    return need;
}

/* nghttp3's form of the fields.  Returns the bytes they need at most. */
static size_t to_nv(nghttp3_nv *nv, const struct mr_field_line *lines, size_t count)
{
    size_t need = PREFIX_ROOM;

    for (size_t i = 0; i < count; i++) {
        nv[i] = (nghttp3_nv){
            .name = (const uint8_t *)lines[i].name,
            .value = (const uint8_t *)lines[i].value.data,
            .namelen = strlen(lines[i].name),
            .valuelen = lines[i].value.size,
            .flags = NGHTTP3_NV_FLAG_NO_COPY_NAME | NGHTTP3_NV_FLAG_NO_COPY_VALUE,
        };
        need += line_max(nv[i].namelen, nv[i].valuelen);
    }
    return need;
}

/* Encode into the scratch buffer; what is inserted goes to `instructions`.  NULL: no memory. */
static const uint8_t *encode(nghttp3_qpack_encoder *with, uint8_t *scratch,
                             nghttp3_buf *instructions, uint64_t stream_id, const nghttp3_nv *nv,
                             size_t count, size_t *size_out)
{
    uint8_t prefix[PREFIX_ROOM];
    nghttp3_buf pbuf = {prefix, prefix + sizeof(prefix), prefix, prefix};
    nghttp3_buf rbuf = {scratch + PREFIX_ROOM, scratch + MR_QPACK_SECTION_MAX,
                        scratch + PREFIX_ROOM, scratch + PREFIX_ROOM};

    if (nghttp3_qpack_encoder_encode(with, &pbuf, &rbuf, instructions, (int64_t)stream_id, nv,
                                     count) != 0)
        return NULL;
    size_t prefix_size = nghttp3_buf_len(&pbuf);
    *size_out = prefix_size + nghttp3_buf_len(&rbuf);
    memcpy(rbuf.pos - prefix_size, pbuf.pos, prefix_size);
    return rbuf.pos - prefix_size;
}

const uint8_t *mr_qpack_encode(struct mr_qpack_encoder *encoder, const struct mr_field_line *lines,
                               size_t count, size_t *size_out)
{
    nghttp3_nv nv[MR_FIELD_LINES_MAX];
    nghttp3_buf none = {0}; /* without a dynamic table nothing is written to it */

    MR_ASSERT(count <= MR_FIELD_LINES_MAX);
    if (to_nv(nv, lines, count) > MR_QPACK_SECTION_MAX)
        return NULL;
    const uint8_t *section =
        encode(encoder->encoder, encoder->scratch, &none, 0, nv, count, size_out);
    MR_ASSERT(section != NULL); /* nothing is allocated */
    return section;
}

/* ---- encoding with a table ---- */

bool mr_qpack_table_init(struct mr_qpack_table *table, struct mr_heap_share *share,
                         uint64_t peer_capacity, uint32_t capacity, uint32_t blocked_max)
{
    *table = (struct mr_qpack_table){.mem = &share->mem};
    if (peer_capacity == 0 || peer_capacity > MR_QPACK_TABLE_MAX || capacity == 0 ||
        nghttp3_qpack_encoder_new(&table->encoder, (size_t)peer_capacity, &share->mem) != 0)
        return false;
    nghttp3_qpack_encoder_set_max_dtable_capacity(table->encoder,
                                                  MR_MIN((size_t)peer_capacity, (size_t)capacity));
    nghttp3_qpack_encoder_set_max_blocked_streams(table->encoder, blocked_max);
    return true;
}

void mr_qpack_table_fini(struct mr_qpack_table *table)
{
    if (table->encoder == NULL)
        return;
    nghttp3_qpack_encoder_del(table->encoder);
    nghttp3_buf_free(&table->instructions, table->mem);
    table->encoder = NULL;
}

const uint8_t *mr_qpack_table_encode(struct mr_qpack_table *table, struct mr_qpack_encoder *encoder,
                                     uint64_t stream_id, const struct mr_field_line *lines,
                                     size_t count, size_t *size_out)
{
    nghttp3_nv nv[MR_FIELD_LINES_MAX];

    MR_ASSERT(count <= MR_FIELD_LINES_MAX);
    if (table->encoder == NULL || table->is_given_up || nghttp3_buf_len(&table->instructions) > 0 ||
        to_nv(nv, lines, count) > MR_QPACK_SECTION_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++)
        nv[i].flags |= differs_each_time(lines[i].name) ? 0 : NGHTTP3_NV_FLAG_TRY_INDEX;
    const uint8_t *section = encode(table->encoder, encoder->scratch, &table->instructions,
                                    stream_id, nv, count, size_out);
    table->is_given_up = section == NULL; /* it may know of entries that were never sent */
    if (section == NULL)
        nghttp3_buf_reset(&table->instructions);
    return section;
}

const uint8_t *mr_qpack_table_instructions(const struct mr_qpack_table *table, size_t *size_out)
{
    *size_out = nghttp3_buf_len(&table->instructions);
    return table->instructions.pos;
}

void mr_qpack_table_sent(struct mr_qpack_table *table, size_t size)
{
    table->instructions.pos += size;
    if (nghttp3_buf_len(&table->instructions) > 0)
        return;
    nghttp3_buf_free(&table->instructions, table->mem);
    table->instructions = (nghttp3_buf){0};
}

uint64_t mr_qpack_table_read(struct mr_qpack_table *table, const uint8_t *data, size_t size)
{
    nghttp3_ssize used = nghttp3_qpack_encoder_read_decoder(table->encoder, data, size);

    return used < 0 ? MR_QPACK_DECODER_STREAM_ERROR : 0;
}

/*
 * RFC 9204, Section 4.4: 1xxxxxxx acknowledges a section, 01xxxxxx cancels a stream, 00xxxxxx
 * counts insertions.  We never sent what the first and the last speak of.
 */
uint64_t mr_qpack_feedback_read(struct mr_qpack_feedback *feedback, const uint8_t *data,
                                size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (feedback->is_inside) {
            feedback->is_inside = (data[i] & 0x80) != 0;
            if (++feedback->bytes > NUMBER_BYTES_MAX)
                return MR_QPACK_DECODER_STREAM_ERROR;
            continue;
        }
        if ((data[i] & 0xc0) != 0x40)
            return MR_QPACK_DECODER_STREAM_ERROR;
        feedback->is_inside = (data[i] & 0x3f) == 0x3f;
        feedback->bytes = 1;
    }
    return 0;
}
