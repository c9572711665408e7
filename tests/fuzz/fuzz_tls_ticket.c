/*
 * fuzz/fuzz_tls_ticket.c - property test of quic/tls_ticket.h.
 *
 * The input is a ticket as an application gives it back, as it is and behind a head that is right.
 * Properties:
 *   1. no read leaves the bytes, and every piece lies inside them, in order;
 *   2. what was read is written in no more bytes, and reads back as the same;
 *   3. in less room than that nothing is written.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "quic/tls_ticket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of the piece. */
static const uint8_t *after(const uint8_t *at, const uint8_t *piece, size_t size)
{
    MR_ASSERT(piece >= at);
    return piece + size;
}

static void check_pieces(const struct mr_tls_ticket *t, const uint8_t *bytes, size_t size)
{
    const uint8_t *at = after(bytes, t->past, MR_TICKET_PAST_SIZE);

    at = after(at, t->token, t->token_size);
    at = after(at, t->name, t->name_size);
    at = after(at, t->params, t->params_size);
    at = after(at, t->session, t->session_size);
    MR_ASSERT(at == bytes + size);
}

static bool is_equal(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

static void check_again(const struct mr_tls_ticket *t, size_t size)
{
    uint8_t *copy = malloc(size);
    struct mr_tls_ticket again;

    MR_ASSERT(copy != NULL);
    size_t head = mr_tls_ticket_write(t, copy, size);
    size_t all = head + t->session_size;
    MR_ASSERT(head > 0 && all <= size);
    memcpy(copy + head, t->session, t->session_size);
    MR_ASSERT(mr_tls_ticket_read(&again, copy, all));
    MR_ASSERT(memcmp(again.past, t->past, MR_TICKET_PAST_SIZE) == 0);
    MR_ASSERT(is_equal(again.token, again.token_size, t->token, t->token_size));
    MR_ASSERT(is_equal(again.name, again.name_size, t->name, t->name_size));
    MR_ASSERT(is_equal(again.params, again.params_size, t->params, t->params_size));
    MR_ASSERT(is_equal(again.session, again.session_size, t->session, t->session_size));
    MR_ASSERT(again.version == t->version && again.is_insecure == t->is_insecure);
    MR_ASSERT(mr_tls_ticket_write(t, copy, all - 1) == 0);
    free(copy);
}

static void check(const uint8_t *head, size_t head_size, const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(head_size + size + 1);
    uint8_t *bytes = exact + 1; /* ASan sees the byte before, too */
    struct mr_tls_ticket ticket;

    MR_ASSERT(exact != NULL);
    if (head_size > 0)
        memcpy(bytes, head, head_size);
    if (size > 0)
        memcpy(bytes + head_size, data, size);
    if (mr_tls_ticket_read(&ticket, bytes, head_size + size)) {
        check_pieces(&ticket, bytes, head_size + size);
        check_again(&ticket, head_size + size);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t past[MR_TICKET_PAST_SIZE];
    uint8_t head[MR_TICKET_MAGIC_SIZE + MR_TICKET_PAST_SIZE + 1];
    size_t made = mr_tls_ticket_write_head(past, head, sizeof(head));

    check(NULL, 0, data, size);
    check(head, made, data, size);
    head[made] = 0; /* flags */
    check(head, made + 1, data, size);
    return 0;
}
