/*
 * tests/fuzz/fuzz_tls.c - property test of quic/tls.h against a hostile wire.
 *
 * Each input plans one real handshake between a client and a server: the size of the pieces in
 * which CRYPTO bytes arrive, and up to three spoilings of what travels (a byte changed, inserted,
 * removed, the end cut, garbage added, bytes moved to another level).  Properties:
 *   1. without spoiling, both ends complete, whatever the pieces;
 *   2. ends that both complete share all secrets;
 *   3. a failed job has no outputs, a reason, and an error that CONNECTION_CLOSE may carry;
 *   4. an end that has failed fails every later job;
 *   5. mr_tls_late_error() passes what an unspoiled server sends after the handshake.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/tls_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SPOILINGS_MAX = 3,
    HEAD = 3,    /* count, size of pieces */
    SPOILING = 6 /* where, what, position (2), value (2) */
};

struct input {
    const uint8_t *spoilings;
    size_t count;
    size_t piece;
};

static struct mr_tls_context contexts[2];
static struct tls_end client;
static struct tls_end server;
static const uint8_t h3[] = {2, 'h', '3'};

static void open_contexts(void)
{
    static struct mr_certificate certificate;
    static const struct mr_certificate_options options;
    struct mr_fault fault;

    MR_ASSERT(mr_certificate_make(&certificate, &options, &fault) == 0);
    const struct mr_tls_server_config server_config = {
        .certificate = &certificate, .alpn = h3, .alpn_size = sizeof(h3), .tickets = 2};
    const struct mr_tls_client_config client_config = {.ca_pem = certificate.certificate_pem};
    MR_ASSERT(mr_tls_context_server(&contexts[MR_SERVER], &server_config, &fault) == 0);
    MR_ASSERT(mr_tls_context_client(&contexts[MR_CLIENT], &client_config, &fault) == 0);
}

static struct input parse(const uint8_t *data, size_t size)
{
    struct input input = {.piece = MR_TLS_INPUT_MAX};

    if (size < HEAD)
        return input;
    input.spoilings = data + HEAD;
    input.count = data[0] % (SPOILINGS_MAX + 1);
    if (input.count > (size - HEAD) / SPOILING)
        input.count = (size - HEAD) / SPOILING;
    input.piece = 1 + ((size_t)data[1] << 8 | data[2]) % 2000;
    return input;
}

/* ------------------------------------------------------------------ spoiling */

static void insert(struct tls_wire *wire, size_t at, uint8_t value)
{
    if (wire->size == TLS_WIRE_SIZE)
        return;
    memmove(wire->bytes + at + 1, wire->bytes + at, wire->size - at);
    wire->bytes[at] = value;
    wire->size++;
}

static void move_to(struct tls_wire *from, struct tls_wire *to, size_t at)
{
    size_t size = from->size - at;

    if (to == from || to->size + size > TLS_WIRE_SIZE)
        return;
    memcpy(to->bytes + to->size, from->bytes + at, size);
    to->size += size;
    from->size = at;
}

/* Spoil what `end` has sent and was not delivered yet. */
static void spoil(struct tls_end *end, const uint8_t *step)
{
    struct tls_wire *wire = &end->out[step[0] >> 1 & 3];
    size_t room = wire->size - wire->delivered;
    size_t at = wire->delivered + (room == 0 ? 0 : ((size_t)step[2] << 8 | step[3]) % room);

    if (room == 0)
        return;
    switch (step[1] % 6) {
    case 0:
        wire->bytes[at] ^= step[4];
        break;
    case 1:
        insert(wire, at, step[4]);
        break;
    case 2:
        memmove(wire->bytes + at, wire->bytes + at + 1, wire->size - at - 1);
        wire->size--;
        break;
    case 3:
        wire->size = at;
        break;
    case 4:
        for (uint8_t i = 0; i < step[5]; i++)
            insert(wire, wire->size, (uint8_t)(step[4] * i));
        break;
    default:
        move_to(wire, &end->out[step[5] & 3], at);
        break;
    }
}

static bool spoil_all(struct tls_end *end, const struct input *input)
{
    bool is_any = false;

    for (size_t i = 0; i < input->count; i++) {
        const uint8_t *step = input->spoilings + i * SPOILING;

        if ((step[0] & 1) != (end == &server))
            continue;
        spoil(end, step);
        is_any = true;
    }
    return is_any;
}

/* ------------------------------------------------------------------ properties */

static void check_failure(struct tls_end *end)
{
    static const uint8_t byte = 1;

    if (!end->is_failed)
        return;
    MR_ASSERT(end->error != 0);
    MR_ASSERT(end->error < 0x200);
    MR_ASSERT(strlen(end->reason) > 0); /* tls_end_run() asserts the rest of property 3 */
    end->is_failed = false;
    tls_end_run(end, MR_LEVEL_INITIAL, &byte, 1);
    MR_ASSERT(end->is_failed);
}

static void check_secrets(void)
{
    for (int level = MR_LEVEL_HANDSHAKE; level < MR_LEVELS; level++)
        for (int is_write = 0; is_write < 2; is_write++) {
            const struct mr_secret *a = &client.secrets[level][is_write];
            const struct mr_secret *b = &server.secrets[level][!is_write];

            MR_ASSERT(a->size >= 32);
            MR_ASSERT(a->cipher == b->cipher);
            MR_ASSERT(memcmp(a->bytes, b->bytes, a->size) == 0);
        }
}

static void check_late(void)
{
    struct mr_tls_late late = {.message = {0}};
    const struct tls_wire *wire = &server.out[MR_LEVEL_APP];

    MR_ASSERT(wire->delivered > 0);
    MR_ASSERT(mr_tls_late_error(&late, MR_CLIENT, wire->bytes, wire->delivered) == 0);
}

static void start(void)
{
    const struct mr_tls_client_options options = {.server_name = "localhost",
                                                  .alpn = h3,
                                                  .alpn_size = sizeof(h3),
                                                  .params = h3,
                                                  .params_size = sizeof(h3)};

    memset(&client, 0, sizeof(client));
    memset(&server, 0, sizeof(server));
    MR_ASSERT(mr_tls_start_client(&client.tls, &contexts[MR_CLIENT], &options));
    MR_ASSERT(mr_tls_start_server(&server.tls, &contexts[MR_SERVER], h3, sizeof(h3)));
    tls_end_run(&client, MR_LEVEL_INITIAL, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = parse(data, size);
    bool is_spoiled = false;
    bool is_any = true;

    if (contexts[0].ssl_ctx == NULL)
        open_contexts();
    start();
    for (int turn = 0; turn < 6 && is_any; turn++) {
        is_spoiled = spoil_all(&client, &input) || is_spoiled;
        is_any = tls_deliver(&client, &server, input.piece);
        is_spoiled = spoil_all(&server, &input) || is_spoiled;
        is_any = tls_deliver(&server, &client, input.piece) || is_any;
    }
    MR_ASSERT(is_spoiled || (client.is_done && server.is_done));
    if (client.is_complete && server.is_complete)
        check_secrets();
    if (!is_spoiled)
        check_late();
    check_failure(&client);
    check_failure(&server);
    tls_pair_free(&client, &server);
    return 0;
}
