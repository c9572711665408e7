/*
 * tests/fuzz/fuzz_ticket.c - property test of quic/tls_ticket.h and quic/version.h.
 *
 * The input's first byte picks what the rest is: a ticket as it is, the pieces of one that is
 * written, or transport parameters of a client.  Properties:
 *   1. no read leaves the bytes, and every piece lies inside them;
 *   2. what reads as a ticket gives, written again, the same pieces;
 *   3. a ticket is written whole or, where the room is one byte too small, not at all;
 *   4. the version that a server goes on in is one that it accepts, or the client's own: the first
 *      that the client lists, if it is the client's choice that the list begins with;
 *   5. saying which was chosen changes four bytes, if there is a place for it, and no others.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/tls_ticket.h"
#include "quic/version.h"
#include "quic/wire_fields.h"

#define ROOM          70000
#define AVAILABLE_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t written[ROOM];

static void check_inside(const uint8_t *piece, size_t piece_size, const uint8_t *data, size_t size)
{
    MR_ASSERT(piece_size <= size);
    MR_ASSERT(piece >= data);
    MR_ASSERT(piece + piece_size <= data + size);
}

static void check_same(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    MR_ASSERT(a_size == b_size);
    MR_ASSERT(a_size == 0 || memcmp(a, b, a_size) == 0);
}

/* Write it, and read what was written. */
static void write_again(const struct mr_tls_ticket *ticket)
{
    struct mr_tls_ticket again;
    size_t head = mr_tls_ticket_write(ticket, written, sizeof(written));

    MR_ASSERT(head > 0);
    size_t size = head + ticket->session_size;
    MR_ASSERT(mr_tls_ticket_write(ticket, written, size - 1) == 0);
    MR_ASSERT(mr_tls_ticket_write(ticket, written, size) == head);
    if (ticket->session_size > 0)
        memcpy(written + head, ticket->session, ticket->session_size);
    MR_ASSERT(mr_tls_ticket_read(&again, written, size));
    check_same(again.token, again.token_size, ticket->token, ticket->token_size);
    check_same(again.name, again.name_size, ticket->name, ticket->name_size);
    check_same(again.params, again.params_size, ticket->params, ticket->params_size);
    check_same(again.session, again.session_size, ticket->session, ticket->session_size);
    if (ticket->past != NULL)
        MR_ASSERT(memcmp(again.past, ticket->past, MR_TICKET_PAST_SIZE) == 0);
    MR_ASSERT(again.version == ticket->version);
    MR_ASSERT(again.is_insecure == ticket->is_insecure);
}

static void read_ticket(const uint8_t *data, size_t size)
{
    struct mr_tls_ticket ticket;

    if (!mr_tls_ticket_read(&ticket, data, size))
        return;
    check_inside(ticket.past, MR_TICKET_PAST_SIZE, data, size);
    check_inside(ticket.token, ticket.token_size, data, size);
    check_inside(ticket.name, ticket.name_size, data, size);
    check_inside(ticket.params, ticket.params_size, data, size);
    check_inside(ticket.session, ticket.session_size, data, size);
    write_again(&ticket);
}

/* Cut a piece off the front. */
static const uint8_t *cut(const uint8_t **data, size_t *left, size_t *size_out)
{
    const uint8_t *piece = *data;
    size_t size = *left == 0 ? 0 : 1 + *piece % *left;

    *data += size;
    *left -= size;
    *size_out = size;
    return piece;
}

static void write_ticket(const uint8_t *data, size_t size)
{
    struct mr_tls_ticket ticket = {.version = (uint32_t)size, .is_insecure = size % 2 != 0};
    size_t at;

    ticket.token = cut(&data, &size, &ticket.token_size);
    ticket.name = cut(&data, &size, &ticket.name_size);
    ticket.params = cut(&data, &size, &ticket.params_size);
    ticket.session = cut(&data, &size, &ticket.session_size);
    write_again(&ticket);
    size_t whole = mr_tls_ticket_write(&ticket, written, sizeof(written)) + ticket.session_size;
    at = size == 0 ? 0 : data[0] * whole / 256; /* damaged */
    written[at] ^= size < 2 ? 1 : data[1];
    uint8_t *exact = malloc(whole);
    MR_ASSERT(exact != NULL);
    memcpy(exact, written, whole);
    read_ticket(exact, whole);
    read_ticket(exact + 1, whole - 1);
    free(exact);
}

static size_t differences(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += a[i] != b[i];
    return count;
}

static void check_version(const uint8_t *params, size_t size, uint32_t original)
{
    for (uint8_t accepted = 0; accepted <= MR_VERSIONS_ALL; accepted++) {
        uint32_t version = mr_version_negotiate(params, size, original, accepted);

        MR_ASSERT(version == original || mr_version_is_in(version, accepted));
    }
}

static void negotiate(const uint8_t *data, size_t size)
{
    uint32_t original = size % 2 == 0 ? MR_VERSION_1 : MR_VERSION_2;
    uint8_t *copy = malloc(size + 1);

    MR_ASSERT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    check_version(data, size, original);
    bool is_set = mr_version_set_chosen(copy, size, original);
    MR_ASSERT(differences(copy, data, size) <= (is_set ? sizeof(original) : 0));
    check_version(copy, size, original);
    free(copy);
}

/* The first of a client's versions that a server accepts, whichever the client chose. */
static void choose(const uint8_t *data, size_t size)
{
    static const uint32_t versions[] = {MR_VERSION_2, MR_VERSION_1, 0x0a0a0a0a, 1};
    uint8_t params[2 + 4 + 4 * AVAILABLE_MAX] = {MR_PARAM_VERSION_INFORMATION, 4};
    uint8_t accepted = size % (MR_VERSIONS_ALL + 1);
    uint32_t original = versions[size % MR_COUNT_OF(versions)];
    uint32_t wanted = original;
    bool is_found = false;

    for (size_t i = 0; i < MR_MIN(size, (size_t)AVAILABLE_MAX); i++) {
        uint32_t version = versions[data[i] % MR_COUNT_OF(versions)];

        mr_store_be(params + 2 + params[1], version, 4);
        params[1] = (uint8_t)(params[1] + 4);
        if (!is_found && mr_version_is_in(version, accepted))
            wanted = version;
        is_found |= mr_version_is_in(version, accepted);
    }
    MR_ASSERT(mr_version_set_chosen(params, 2u + params[1], original));
    MR_ASSERT(mr_version_negotiate(params, 2u + params[1], original, accepted) == wanted);
    MR_ASSERT(mr_version_negotiate(params, 2u + params[1], ~original, accepted) == ~original);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > ROOM / 2)
        return 0;
    if (data[0] % 4 == 0)
        read_ticket(data + 1, size - 1);
    else if (data[0] % 4 == 1)
        write_ticket(data + 1, size - 1);
    else if (data[0] % 4 == 2)
        negotiate(data + 1, size - 1);
    else
        choose(data + 1, data[0] / 4 % size);
    return 0;
}
