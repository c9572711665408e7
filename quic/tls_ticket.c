#include "quic/tls_ticket.h"

#include <string.h>

#include "quic/wire_fields.h"

#define IS_INSECURE 1 /* in flags */

static const uint8_t magic[MR_TICKET_MAGIC_SIZE] = {'m', 'r', 't', '4'};

bool mr_tls_ticket_read(struct mr_tls_ticket *ticket, const uint8_t *bytes, size_t size)
{
    struct mr_reader r = mr_reader(bytes, size);
    const uint8_t *start = mr_read_bytes(&r, sizeof(magic));
    ticket->past = mr_read_bytes(&r, MR_TICKET_PAST_SIZE);
    uint8_t flags = mr_read_u8(&r);

    ticket->is_insecure = (flags & IS_INSECURE) != 0;
    ticket->version = mr_read_u32(&r);
    ticket->token_size = mr_read_varint(&r);
    ticket->token = mr_read_bytes(&r, ticket->token_size);
    ticket->name_size = mr_read_varint(&r);
    ticket->name = mr_read_bytes(&r, ticket->name_size);
    ticket->params_size = mr_read_varint(&r);
    ticket->params = mr_read_bytes(&r, ticket->params_size);
    ticket->session_size = mr_reader_left(&r);
    ticket->session = mr_read_bytes(&r, ticket->session_size);
    return !r.failed && flags <= IS_INSECURE && memcmp(start, magic, sizeof(magic)) == 0;
}

static void write_head(struct mr_writer *w, const uint8_t *past)
{
    static const uint8_t nothing[MR_TICKET_PAST_SIZE];

    mr_write_bytes(w, magic, sizeof(magic));
    mr_write_bytes(w, past != NULL ? past : nothing, MR_TICKET_PAST_SIZE);
}

size_t mr_tls_ticket_write_head(const uint8_t past[MR_TICKET_PAST_SIZE], uint8_t *dst, size_t room)
{
    struct mr_writer w = mr_writer(dst, room);

    write_head(&w, past);
    return mr_writer_size(&w);
}

size_t mr_tls_ticket_write(const struct mr_tls_ticket *ticket, uint8_t *dst, size_t room)
{
    struct mr_writer w = mr_writer(dst, room);

    write_head(&w, ticket->past);
    mr_write_u8(&w, ticket->is_insecure ? IS_INSECURE : 0);
    mr_write_be(&w, ticket->version, 4);
    mr_write_varint(&w, ticket->token_size);
    mr_write_bytes(&w, ticket->token, ticket->token_size);
    mr_write_varint(&w, ticket->name_size);
    mr_write_bytes(&w, ticket->name, ticket->name_size);
    mr_write_varint(&w, ticket->params_size);
    mr_write_bytes(&w, ticket->params, ticket->params_size);
    if (mr_writer_room(&w) < ticket->session_size)
        return 0;
    return mr_writer_size(&w);
}
