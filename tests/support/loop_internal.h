/*
 * tests/support/loop_internal.h - what loop_ops.c (the operations) and loop_transport.c (movement
 * and events) share.
 */
#ifndef MR_TESTS_SUPPORT_LOOP_INTERNAL_H
#define MR_TESTS_SUPPORT_LOOP_INTERNAL_H

#include "base/assert.h"
#include "base/compiler.h"
#include "tests/support/loop_transport.h"

enum {
    CONNS_MAX = 128,
    STREAMS_MAX = 4096,
    TIMERS_MAX = 1024,
    WORK_MAX = 1024,
    COPY_MAX = 1024,
    REASON_MAX = 128,
};

/* Bytes queued by one send(). */
struct segment {
    struct segment *next;
    const uint8_t *data; /* the application's, or `copy` */
    uint8_t *copy;       /* NULL: by reference */
    uint8_t *delivered;  /* what the peer was given, for the comparison at the acknowledgement */
    size_t size;
    uint64_t offset; /* in the stream */
};

/* Bytes shown to the receiver: one malloc each. */
struct piece {
    struct piece *next;
    uint8_t *data;
    size_t size;
};

/* One direction of a stream. */
struct pipe {
    bool exists;
    struct segment *segments; /* not acknowledged */
    uint64_t queued;          /* offsets */
    uint64_t moved;
    uint64_t acked;
    uint64_t released;
    bool has_fin; /* queued */
    bool fin_moved;
    bool fin_acked;
    bool fin_released; /* the receiver has consumed the end */
    bool is_reset;     /* by its sender, or by its sender's answer to a stop */
    bool is_stopped;
    bool was_refused; /* -EAGAIN was said: WRITABLE follows */
    uint64_t code;
    struct piece *pieces; /* from the first unreleased byte on */
    size_t head_released; /* of the first piece */
    uint64_t shown;       /* offset to which receive() has shown */
};

struct stream {
    bool is_live;
    uint32_t generation;
    uint32_t conn;
    uint64_t id;
    bool is_open[2]; /* the side knows it and has not seen its end */
    uint64_t user_data[2];
    uint32_t pending[2]; /* events */
    uint64_t error[2];
    struct pipe pipe[2]; /* [s]: what side s sends */
};

struct conn {
    bool is_live;
    uint32_t generation;
    bool is_open[2];
    uint64_t user_data[2];
    uint32_t pending[2];
    uint64_t opened[2][2]; /* [side][is_uni]: streams ever opened */
    uint32_t live_opened[2][2];
    bool wants_streams[2];
    bool is_connected;
    bool is_closed;
    bool is_application;
    unsigned closed_by; /* 2: neither */
    uint64_t code;
    char reason[REASON_MAX];
};

struct timer {
    uint64_t at;
    uint64_t user_data;
    unsigned side;
};

struct work {
    int64_t (*function)(void *argument);
    void *argument;
    uint64_t user_data;
    unsigned side;
};

struct side {
    struct mr_transport transport; /* first: cast back by the operations */
    struct loop *loop;
    unsigned index;
    const struct mr_application *application;
    bool wants_go_away;
    bool is_ack_held;
    bool is_inside;
};

struct loop {
    struct loop_config config;
    struct side side[2];
    uint64_t now;
    uint64_t random;
    bool is_work_held;
    bool has_moved;
    uint32_t conn_count;
    uint32_t stream_count;
    uint32_t timer_count;
    uint32_t work_count;
    uint32_t stream_top;
    uint32_t conn_top;
    struct conn conn[CONNS_MAX];
    struct stream stream[STREAMS_MAX];
    struct timer timer[TIMERS_MAX];
    struct work work[WORK_MAX];
};

static inline uint64_t next_random(struct loop *loop) /* xorshift64 */
{
    loop->random ^= loop->random << 13;
    loop->random ^= loop->random >> 7;
    loop->random ^= loop->random << 17;
    return loop->random;
}

static inline bool chance(struct loop *loop, uint32_t percent)
{
    return percent > 0 && next_random(loop) % 100 < percent;
}

/* 1 .. max */
static inline size_t some(struct loop *loop, size_t max)
{
    return 1 + (size_t)(next_random(loop) % max);
}

extern const struct mr_transport_ops loop_ops;

mr_handle loop_conn_handle(const struct loop *loop, const struct conn *conn);
mr_handle loop_stream_handle(const struct loop *loop, const struct stream *stream);

/* Nothing more comes, or goes, this way. */
bool loop_sending_is_over(const struct pipe *pipe);
bool loop_receiving_is_over(const struct pipe *pipe);

void loop_close_conn(struct conn *conn, unsigned by, uint64_t code, const char *reason);
void loop_free_pieces(struct pipe *pipe);

#endif /* MR_TESTS_SUPPORT_LOOP_INTERNAL_H */
