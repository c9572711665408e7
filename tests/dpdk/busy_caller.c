/*
 * tests/dpdk/busy_caller.c - an attached application that never sleeps: it calls an echo, one
 * message after the other on one stream, and looks at its completions without waiting for them.
 *
 *     busy_caller SOCKET ADDRESS PORT SECONDS      prints `done N`, or `failed`
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "millrace/ring.h"
#include "millrace/transport.h"

#define MESSAGE 64

struct caller {
    struct mr_ring *ring;
    uint8_t *memory; /* of the send area */
    uint32_t received;
    uint64_t done;
    bool has_failed;
};

static struct mr_sqe *take_sqe(struct mr_ring *ring)
{
    struct mr_sqe *sqe;

    while ((sqe = mr_ring_sqe(ring)) == NULL)
        mr_ring_submit(ring);
    return sqe;
}

static void say(struct caller *c, uint64_t stream)
{
    memset(c->memory, (uint8_t)c->done, MESSAGE);
    c->received = 0;
    mr_sqe_send(take_sqe(c->ring), stream, mr_ring_offset(c->ring, c->memory), MESSAGE,
                MR_SQE_QUIET | MR_SQE_COPY);
}

static void hear(struct caller *c, const struct mr_cqe *cqe)
{
    const uint8_t *bytes = mr_ring_data(c->ring, cqe);

    for (uint32_t i = 0; i < cqe->size; i++)
        c->has_failed |= bytes[i] != (uint8_t)c->done;
    c->received += cqe->size;
    mr_sqe_release(take_sqe(c->ring), cqe);
    if (c->received < MESSAGE)
        return;
    c->done++;
    say(c, cqe->stream);
}

static void take(struct caller *c, const struct mr_cqe *cqe)
{
    if (cqe->type == MR_CQE_EVENT && (cqe->kinds & MR_EVENT_CONNECTED) != 0) {
        struct mr_sqe *sqe = take_sqe(c->ring);

        mr_sqe_open(sqe, cqe->conn, MR_OPEN_BIDI);
        sqe->alias = 1;
        say(c, MR_RING_ALIAS | 0);
    } else if (cqe->type == MR_CQE_DATA) {
        hear(c, cqe);
    } else if ((cqe->type == MR_CQE_EVENT && (cqe->kinds & MR_EVENT_CLOSED) != 0) ||
               (cqe->type == MR_CQE_DONE && cqe->result < 0) || cqe->type == MR_CQE_GONE) {
        c->has_failed = true;
    }
}

static bool start(struct caller *c, struct mr_attachment *attachment, const char *address,
                  const char *port)
{
    c->ring = mr_attach_ring(attachment, 0);
    c->memory = mr_ring_alloc(c->ring, MESSAGE);
    struct mr_ring_connect *wish = mr_ring_alloc(c->ring, sizeof(*wish));

    *wish = (struct mr_ring_connect){.ip = {[10] = 0xff, 0xff},
                                     .port = (uint16_t)atoi(port),
                                     .alpn_size = 5,
                                     .alpn = "\004echo",
                                     .server_name = "localhost"};
    mr_sqe_connect(take_sqe(c->ring), mr_ring_offset(c->ring, wish));
    return inet_pton(AF_INET, address, &wish->ip[12]) == 1;
}

int main(int argc, char **argv)
{
    struct caller c = {0};
    struct mr_attachment *attachment;
    struct mr_error error;

    if (argc != 5)
        return 2;
    if (mr_attach(&(struct mr_attach_config){.control = argv[1], .name = "busy"}, &attachment,
                  &error) != 0 ||
        !start(&c, attachment, argv[2], argv[3])) {
        printf("failed: %s\n", error.text);
        return 1;
    }
    for (time_t end = time(NULL) + atoi(argv[4]); time(NULL) < end && !c.has_failed;) {
        struct mr_cqe cqe;

        mr_ring_submit(c.ring);
        while (mr_ring_take(c.ring, &cqe, 1) == 1)
            take(&c, &cqe);
    }
    printf("%s %llu\n", c.has_failed ? "failed" : "done", (unsigned long long)c.done);
    mr_detach(attachment);
    return c.has_failed;
}
