/*
 * tests/dpdk/hostile.c - an application that means harm to the datapath and to its neighbours.
 *
 *     hostile MODE SOCKET ADDRESS PORT SECONDS
 *
 *     random    bytes anywhere in its region, header and indexes included
 *     entries   submissions of random operations, handles, addresses and sizes
 *     payload   bytes that change while they are sent
 *     hoard     asks an echo for data and gives no slot back
 *     open      connections and streams until every limit is met
 *     silent    submissions whose completions it never takes
 *
 * Says `hostile: busy` once it is at it, and `hostile: done` with what it saw.  Being let go of is
 * what it must expect.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "millrace/ring.h"
#include "millrace/transport.h"

#define BLOCK 4096

static struct mr_attachment *attachment;
static struct mr_ring *ring;
static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint64_t stop_at_ns;
static uint64_t refused; /* completions that said no */
static uint64_t taken;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static bool goes_on(void)
{
    return now_ns() < stop_at_ns && mr_attach_is_alive(attachment);
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* What came, unreleased unless `releases`. */
static void take(bool releases)
{
    struct mr_cqe cqe;

    while (mr_ring_take(ring, &cqe, 1) == 1) {
        struct mr_sqe *sqe = NULL;

        taken++;
        refused += cqe.type == MR_CQE_DONE && cqe.result < 0;
        if (releases && cqe.type == MR_CQE_DATA && cqe.size > 0)
            sqe = mr_ring_sqe(ring);
        if (sqe != NULL)
            mr_sqe_release(sqe, &cqe);
    }
    mr_ring_submit(ring);
}

/* ------------------------------------------------------------------ an honest begin */

static void connect_as(const char *address, const char *port, uint32_t alias)
{
    struct mr_ring_connect *wish = mr_ring_alloc(ring, sizeof(*wish));
    struct mr_sqe *sqe = mr_ring_sqe(ring);

    if (wish == NULL || sqe == NULL)
        return;
    *wish = (struct mr_ring_connect){.port = (uint16_t)atoi(port),
                                     .alpn_size = 5,
                                     .alpn = "\004echo",
                                     .server_name = "localhost"};
    wish->ip[10] = wish->ip[11] = 0xff;
    inet_pton(AF_INET, address, &wish->ip[12]);
    mr_sqe_connect(sqe, mr_ring_offset(ring, wish));
    sqe->alias = alias + 1;
    mr_ring_submit(ring);
}

static void open_stream(uint32_t conn_alias, uint32_t alias)
{
    struct mr_sqe *sqe = mr_ring_sqe(ring);

    if (sqe == NULL)
        return;
    mr_sqe_open(sqe, MR_RING_ALIAS | conn_alias, MR_OPEN_BIDI);
    sqe->alias = alias + 1;
    mr_ring_submit(ring);
}

static void send_block(uint32_t alias, const uint8_t *memory)
{
    struct mr_sqe *sqe = mr_ring_sqe(ring);

    if (sqe == NULL)
        return;
    mr_sqe_send(sqe, MR_RING_ALIAS | alias, mr_ring_offset(ring, memory), BLOCK, MR_SQE_AGAIN);
    mr_ring_submit(ring);
}

/* ------------------------------------------------------------------ the modes */

static void write_randomly(uint8_t *base, uint64_t size)
{
    for (uint64_t round = 0; now_ns() < stop_at_ns; round++) { /* is_gone is overwritten, too */
        /* Half of it where it hurts most: header, indexes, entries. */
        uint64_t at = next_random() % (round % 2 == 0 ? size : 65536);
        uint64_t word = next_random();

        memcpy(base + (at & ~UINT64_C(7)), &word, 8);
    }
}

static void submit_randomly(void)
{
    while (goes_on()) {
        struct mr_sqe *sqe = mr_ring_sqe(ring);

        if (sqe == NULL) {
            take(false);
            continue;
        }
        uint8_t *bytes = (uint8_t *)sqe;
        for (size_t i = 0; i < sizeof(*sqe); i += 8) {
            uint64_t word = next_random();
            memcpy(bytes + i, &word, 8);
        }
        sqe->op = (uint8_t)(next_random() % (MR_OPS + 1u));
        if (next_random() % 2 == 0)
            sqe->handle = MR_RING_ALIAS | next_random() % 8;
        if (next_random() % 4 != 0) { /* near what is allowed */
            sqe->address &= 0xfffff;
            sqe->size &= 0xffff;
            sqe->alias &= 7;
            sqe->value &= 0xff;
        }
        mr_ring_submit(ring);
        take(next_random() % 2 == 0);
    }
}

static void change_payload(uint8_t *memory)
{
    while (goes_on()) {
        send_block(1, memory);
        for (int i = 0; i < 200; i++)
            memory[next_random() % BLOCK] ^= 0xff;
        take(true);
    }
}

static void hoard(const uint8_t *memory)
{
    while (goes_on()) {
        send_block(1, memory);
        take(false);
        rest();
    }
}

static void open_everything(const char *address, const char *port)
{
    for (uint32_t alias = 2; goes_on(); alias++) {
        uint32_t aliases = mr_ring_alias_count(ring);

        connect_as(address, port, alias % aliases);
        for (uint32_t i = 1; i < 20; i++)
            open_stream(alias % aliases, (alias + i * 7) % aliases);
        take(true);
        rest();
    }
}

static void be_silent(void)
{
    while (goes_on()) {
        if (mr_ring_sqe(ring) == NULL)
            rest();
        mr_ring_submit(ring);
    }
}

static bool run(const char *mode, char **argv, uint8_t *memory)
{
    uint8_t *base = memory - mr_ring_offset(ring, memory);
    uint64_t size = ((const struct mr_ring_header *)(const void *)base)->region_size;

    if (strcmp(mode, "random") == 0)
        write_randomly(base, size);
    else if (strcmp(mode, "entries") == 0)
        submit_randomly();
    else if (strcmp(mode, "payload") == 0)
        change_payload(memory);
    else if (strcmp(mode, "hoard") == 0)
        hoard(memory);
    else if (strcmp(mode, "open") == 0)
        open_everything(argv[3], argv[4]);
    else if (strcmp(mode, "silent") == 0)
        be_silent();
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct mr_error error;

    if (argc != 6) {
        fprintf(stderr, "usage: %s MODE SOCKET ADDRESS PORT SECONDS\n", argv[0]);
        return 2;
    }
    if (mr_attach(&(struct mr_attach_config){.control = argv[2], .name = "hostile"}, &attachment,
                  &error) != 0) {
        fprintf(stderr, "hostile: %s\n", error.text);
        return 1;
    }
    stop_at_ns = now_ns() + UINT64_C(1000000000) * (uint64_t)atoi(argv[5]);
    ring = mr_attach_ring(attachment, 0);
    uint8_t *memory = mr_ring_alloc(ring, BLOCK);
    memset(memory, 'h', BLOCK);
    connect_as(argv[3], argv[4], 0);
    open_stream(0, 1);
    send_block(1, memory);
    printf("hostile: busy\n");
    fflush(stdout);
    if (!run(argv[1], argv, memory)) {
        fprintf(stderr, "hostile: there is no mode %s\n", argv[1]);
        return 2;
    }
    printf("hostile: done; %s, %llu completions, %llu of them refusals\n",
           mr_attach_is_alive(attachment) ? "attached" : "let go of", (unsigned long long)taken,
           (unsigned long long)refused);
    mr_detach(attachment);
    return 0;
}
