/* http3/h3_lines.c - see h3_lines.h. */
#include "http3/h3_lines.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "http3/h3_internal.h"

enum {
    PREFIX_SIZE = 2 /* of a section that refers to no dynamic table */
};

_Static_assert(2 * ((int)MR_H3_LINES_MAX + (int)MR_H3_FRAME_HEADER_MAX) + PREFIX_SIZE <=
                   (int)MR_H3_HEAD_MAX,
               "a head of them is one that is sent");

bool mr_h3_lines_make(struct mr_h3 *h3, const struct mr_field_line *lines, size_t count,
                      struct mr_h3_lines *lines_out)
{
    size_t size;
    const uint8_t *section = mr_qpack_encode(&h3->encoder, lines, count, &size);
    uint64_t bytes = mr_h3_section_bytes(lines, count);

    lines_out->size = 0;
    if (section == NULL || size - PREFIX_SIZE > MR_H3_LINES_MAX || bytes > UINT16_MAX)
        return false;
    MR_ASSERT(section[0] == 0 && section[1] == 0); /* no table: RFC 9204, Section 4.5.1 */
    lines_out->size = (uint16_t)(size - PREFIX_SIZE);
    lines_out->section_bytes = (uint16_t)bytes;
    memcpy(lines_out->bytes, section + PREFIX_SIZE, lines_out->size);
    return true;
}

bool mr_h3_takes_lines(const struct mr_h3 *h3, const struct mr_h3_stream *stream)
{
    const struct mr_h3_conn *conn = stream->conn;

    return !conn->is_hq && conn->table.encoder == NULL && !conn->owes_grease_head &&
           !h3->is_traced && !conn->is_closing;
}

int mr_h3_send_lines(struct mr_h3 *h3, struct mr_h3_stream *stream, const struct mr_h3_lines *first,
                     const struct mr_h3_lines *second, const struct mr_h3_body *body)
{
    uint8_t head[MR_H3_HEAD_MAX];
    size_t size = (size_t)PREFIX_SIZE + first->size + second->size;

    MR_DASSERT(mr_h3_takes_lines(h3, stream));
    if ((uint64_t)first->section_bytes + second->section_bytes >
        stream->conn->peer.field_section_max)
        return -EMSGSIZE;
    size_t at = mr_h3_frame_put_header(head, MR_H3_FRAME_HEADERS, size);
    memset(head + at, 0, PREFIX_SIZE);
    at += PREFIX_SIZE;
    memcpy(head + at, first->bytes, first->size);
    at += first->size;
    memcpy(head + at, second->bytes, second->size);
    at += second->size;
    if (body->size > 0)
        at += mr_h3_frame_put_header(head + at, MR_H3_FRAME_DATA, body->size);
    return mr_h3_send_copy(h3, stream, head, at, body->size == 0 && !body->is_open);
}
