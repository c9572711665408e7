/* tests/sim/sim_ticket.c - see sim_ticket.h. */
#include "tests/sim/sim_ticket.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#define DATAGRAM 1500
#define ROUNDS   200

struct buffer {
    struct mr_buf buf;
    uint8_t bytes[DATAGRAM];
};

static void run(struct mr_endpoint *ep, uint64_t now)
{
    struct mr_tls_job *job;
    struct mr_event events[16];

    while (mr_endpoint_take_jobs(ep, &job, 1) > 0) {
        mr_tls_job_run(job);
        mr_endpoint_complete_job(ep, job, now);
    }
    while (mr_endpoint_events(ep, events, MR_COUNT_OF(events)) == MR_COUNT_OF(events)) {
    }
    for (struct mr_buf *buf = mr_endpoint_take_released(ep); buf != NULL;) {
        struct mr_buf *next = buf->next;

        free(MR_CONTAINER_OF(buf, struct buffer, buf));
        buf = next;
    }
}

static void deliver(struct mr_endpoint *to, const struct mr_outgoing *out, uint64_t now)
{
    struct buffer *buffer = calloc(1, sizeof(*buffer));
    struct mr_datagram datagram = {
        .data = buffer->bytes,
        .buf = &buffer->buf,
        .size = out->size,
        .path = {.local = out->path.remote, .remote = out->path.local},
    };

    memcpy(buffer->bytes, out->data, out->size);
    mr_endpoint_receive(to, &datagram, 1, now);
    run(to, now);
}

static void carry(struct mr_endpoint *from, struct mr_endpoint *to, uint64_t now)
{
    uint8_t bytes[DATAGRAM];
    struct mr_outgoing out = {.data = bytes, .room = sizeof(bytes)};

    run(from, now);
    while (mr_endpoint_send(from, &out, 1, now) > 0)
        deliver(to, &out, now);
}

static void one_round(struct mr_endpoint *client, struct mr_endpoint *server, uint64_t *now)
{
    carry(client, server, *now);
    carry(server, client, *now);
    *now += MR_MS;
    mr_endpoint_expire(client, *now);
    mr_endpoint_expire(server, *now);
}

size_t sim_ticket_get(struct mr_endpoint *client, struct mr_endpoint *server,
                      const struct mr_connect_options *options, const struct mr_addr *local,
                      uint8_t *dst, uint64_t *now)
{
    mr_handle conn;
    int64_t size = 0;

    MR_ASSERT(mr_conn_connect(client, options, local, *now, &conn) == 0);
    for (int i = 0; i < ROUNDS && size == 0; i++) {
        one_round(client, server, now);
        size = mr_conn_ticket(client, conn, dst, SIM_TICKET_MAX, *now);
    }
    MR_ASSERT(size > 0);
    for (int i = 0; i < ROUNDS; i++) /* what else the first connection has to say */
        one_round(client, server, now);
    mr_conn_close(client, conn, 0, "a ticket was all", *now);
    while (mr_endpoint_conn_count(client) + mr_endpoint_conn_count(server) > 0)
        one_round(client, server, now);
    run(client, *now);
    run(server, *now);
    return (size_t)size;
}
