/*
 * tests/support/ring_recorder.h - ring transports at both ends of a world, with applications that
 * write every event down: for tests of operations, one by one.
 *
 *     rec_prepare(); rec.config... = ...; rec_start_connected();
 *     rec_open_stream(), rec_send(), ... rec_wait_for(REC_SERVER, MR_EVENT_READABLE) ...
 *     rec_finish();
 *
 * For tests only.  Threads: one.
 */
#ifndef MR_TESTS_SUPPORT_RING_RECORDER_H
#define MR_TESTS_SUPPORT_RING_RECORDER_H

#include "app/transport_ring.h"
#include "tests/support/ring_world.h"

#define REC_CONN_WORD UINT64_C(0xc0ffee) /* user_data of the connection */

enum {
    REC_CLIENT = RING_WORLD_CLIENT,
    REC_SERVER = RING_WORLD_SERVER,
    REC_EVENTS_MAX = 1024
};

struct rec_side {
    struct mr_attachment *attachment;
    struct mr_ring_transport *rt;
    struct mr_transport *t;
    struct mr_event events[REC_EVENTS_MAX];
    char reasons[REC_EVENTS_MAX][64];
    uint32_t count;
    uint32_t calls; /* of on_events */
};

struct recorder {
    struct ring_world *world;
    struct ring_world_config config;
    struct mr_ring_transport_config limits;
    struct rec_side sides[2];
    uint64_t clock_ns; /* of both transports */
    uint32_t rings;    /* of each */
    mr_handle conn;    /* the client's */
};

extern struct recorder rec;

/* Defaults, to be changed before rec_start(). */
void rec_prepare(void);
void rec_start(void);
void rec_start_connected(void);
void rec_finish(void);

/* Move the world and poll both, once; so often. */
void rec_step(void);
void rec_run(int steps);

/* The first event with one of `kinds`; NULL: there is none.  How many there are.  Forget all. */
const struct mr_event *rec_seen(unsigned side, uint32_t kinds);
uint32_t rec_times(unsigned side, uint32_t kinds);
void rec_forget(void);

/* Move until there is one; a fatal failure of the test, if there never is. */
const struct mr_event *rec_wait_for(unsigned side, uint32_t kinds);

/* A wish that the world's server grants. */
struct mr_connect_options rec_options(void);

/* On the client's connection; must succeed. */
mr_handle rec_open_stream(uint32_t flags, uint64_t user_data);

int rec_send(unsigned side, mr_handle stream, const void *data, size_t size, uint32_t flags);

#endif /* MR_TESTS_SUPPORT_RING_RECORDER_H */
