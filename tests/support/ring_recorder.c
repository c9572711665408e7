/* tests/support/ring_recorder.c - see ring_recorder.h. */
#include "tests/support/ring_recorder.h"

#include <stdio.h>

#include "base/assert.h"
#include "tests/unit/harness.h"

struct recorder rec;

/* ------------------------------------------------------------------ recorders */

static void on_start(void *context, struct mr_transport *transport)
{
    ((struct rec_side *)context)->t = transport;
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    struct rec_side *side = context;

    side->calls++;
    for (size_t i = 0; i < count && side->count < REC_EVENTS_MAX; i++) {
        snprintf(side->reasons[side->count], sizeof(side->reasons[0]), "%s", events[i].reason);
        side->events[side->count++] = events[i];
    }
}

/* The first event with `kind`; NULL: there is none. */
const struct mr_event *rec_seen(unsigned side, uint32_t kind)
{
    for (uint32_t i = 0; i < rec.sides[side].count; i++)
        if ((rec.sides[side].events[i].kinds & kind) != 0)
            return &rec.sides[side].events[i];
    return NULL;
}

uint32_t rec_times(unsigned side, uint32_t kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < rec.sides[side].count; i++)
        count += (rec.sides[side].events[i].kinds & kind) != 0;
    return count;
}

void rec_forget(void)
{
    rec.sides[0].count = rec.sides[1].count = 0;
}

static uint64_t read_clock(void *context)
{
    (void)context;
    return rec.clock_ns;
}

void rec_step(void)
{
    rec.clock_ns += 1000;
    ring_world_step(rec.world);
    for (int i = 0; i < 2; i++)
        mr_ring_transport_poll(rec.sides[i].rt);
}

/* Until the side has seen it. */
const struct mr_event *rec_wait_for(unsigned side, uint32_t kind)
{
    for (int i = 0; i < 1000 && rec_seen(side, kind) == NULL; i++)
        rec_step();
    CU_ASSERT_PTR_NOT_NULL_FATAL(rec_seen(side, kind));
    return rec_seen(side, kind);
}

void rec_run(int steps)
{
    while (steps-- > 0)
        rec_step();
}

/* ------------------------------------------------------------------ a rec.world */

void rec_prepare(void)
{
    rec.config = ring_world_config_default(1);
    rec.limits = mr_ring_transport_config_default();
    rec.limits.clock = read_clock;
    rec.clock_ns = 5000000000;
    rec.rings = 1;
    rec.config.loop.datagram_max = 1200;
}

void rec_start(void)
{
    static struct mr_application apps[2];

    rec.world = ring_world_new(&rec.config);
    for (unsigned i = 0; i < 2; i++) {
        rec.sides[i].count = rec.sides[i].calls = 0;
        apps[i] = (struct mr_application){.name = "recorder",
                                          .context = &rec.sides[i],
                                          .on_start = on_start,
                                          .on_events = on_events};
        rec.sides[i].attachment = ring_world_attach(rec.world, i, rec.rings);
        rec.limits.listens = i == REC_SERVER;
        rec.sides[i].rt = mr_ring_transport_new(rec.sides[i].attachment, &rec.limits, &apps[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(rec.sides[i].rt);
    }
    rec_run(3);
}

struct mr_connect_options rec_options(void)
{
    return (struct mr_connect_options){.server_name = "localhost",
                                       .alpn = (const uint8_t *)"\002h3",
                                       .alpn_size = 3,
                                       .user_data = REC_CONN_WORD};
}

void rec_start_connected(void)
{
    struct mr_connect_options options = rec_options();

    rec_start();
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->connect(rec.sides[REC_CLIENT].t, &options, &rec.conn), 0);
    rec_wait_for(REC_CLIENT, MR_EVENT_CONNECTED);
    rec_wait_for(REC_SERVER, MR_EVENT_CONNECTED);
}

void rec_finish(void)
{
    for (int i = 0; i < 2; i++) {
        mr_ring_transport_check(rec.sides[i].rt);
        mr_ring_transport_free(rec.sides[i].rt);
        mr_detach(rec.sides[i].attachment);
    }
    ring_world_free(rec.world);
}

mr_handle rec_open_stream(uint32_t flags, uint64_t word)
{
    mr_handle stream = 0;

    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->open(rec.sides[REC_CLIENT].t, rec.conn, flags, word, &stream),
        0);
    return stream;
}

int rec_send(unsigned side, mr_handle stream, const void *data, size_t size, uint32_t flags)
{
    struct mr_view view = {data, size};

    return rec.sides[side].t->ops->send(rec.sides[side].t, stream, &view, 1, flags);
}
