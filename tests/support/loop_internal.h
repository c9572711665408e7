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
    MOVES_MAX = 16,
    PLACES = 4, /* [shard * 2 + side] */
    DATAGRAM_MAX = 1200,
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
    uint64_t notify_at; /* SENT is due when `moved` is there; 0: not asked for */
    bool has_fin;       /* queued */
    bool fin_moved;
    bool fin_acked;
    bool fin_released; /* the receiver has consumed the end */
    bool is_reset;     /* by its sender, or by its sender's answer to a stop */
    bool has_reset_at; /* reset but for `reliable` bytes */
    uint64_t reliable;
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
    bool is_open[2];   /* the side knows it and has not seen its end */
    bool has_ended[2]; /* the side saw its end: a late reset opens nothing */
    uint64_t user_data[2];
    uint32_t pending[2]; /* events */
    uint64_t error[2];
    struct pipe pipe[2];            /* [s]: what side s sends */
    struct mr_priority priority[2]; /* [s]: as side s said last */
};

/* A datagram on its way, or waiting to be read. */
struct loop_datagram {
    struct loop_datagram *next;
    size_t size;
    uint8_t data[]; /* of exact size: ASan sees every overrun */
};

/* Datagrams in order. */
struct datagram_list {
    struct loop_datagram *head;
    uint32_t count;
};

/* One of several paths. */
struct loop_path {
    uint32_t id;
    uint16_t port; /* the client's */
    uint8_t ip[16];
    int state;           /* enum mr_path_info_state */
    uint32_t steps_left; /* until it is validated */
    bool is_backup[2];   /* to that side */
};

struct conn {
    bool is_live;
    uint32_t generation;
    bool is_open[2];
    uint32_t shard[2]; /* of each side */
    uint32_t moves[2]; /* that it has behind it: its handles differ */
    bool is_away[2];   /* no shard has it */
    bool is_held[2];   /* its new shard tells nothing of it yet */
    uint64_t user_data[2];
    uint32_t pending[2];
    uint64_t opened[2][2]; /* [side][is_uni]: streams ever opened */
    uint32_t live_opened[2][2];
    bool wants_streams[2];
    bool is_connected;
    bool is_early; /* at the server: what came may be a copy */
    bool is_closed;
    bool is_application;
    uint32_t listener;
    unsigned closed_by; /* 2: neither */
    uint64_t code;
    char reason[REASON_MAX];
    uint16_t port;        /* what the client asked for */
    uint16_t client_port; /* where it came from last */
    char alpn[32];
    char server_name[256];
    bool is_resumed;
    struct datagram_list sent[2];    /* [s]: by side s, on their way */
    struct datagram_list waiting[2]; /* [s]: for side s to read */
    bool wants_datagrams[2];         /* -EAGAIN was said: WRITABLE follows */
    uint32_t path_count;             /* 0: nobody has asked */
    struct loop_path path[LOOP_PATHS];
};

struct timer {
    uint64_t at;
    uint64_t user_data;
    unsigned place;
};

struct work {
    int64_t (*function)(void *argument);
    void *argument;
    uint64_t user_data;
    unsigned place;
};

struct side {
    struct mr_transport transport; /* first: cast back by the operations */
    struct loop *loop;
    unsigned index;
    uint32_t shard;
    const struct mr_application *application; /* NULL: there is no such shard */
    const struct mr_move_hooks *hooks;        /* NULL: nothing moves */
    bool wants_go_away;
    bool is_ack_held;
    bool is_inside;
};

/* What becomes of a move, a stage in a step. */
enum loop_stage {
    LOOP_NO_MOVE,
    LOOP_ASKED,    /* its application may refuse */
    LOOP_OFFERED,  /* it was packed */
    LOOP_ANSWERED, /* it was taken */
    LOOP_TOLD      /* the old shard has told its last event */
};

struct loop_move {
    enum loop_stage stage;
    uint32_t conn;
    unsigned side;
    uint32_t from;
    mr_handle old;
    bool is_own;
    void *baggage;
};

struct loop {
    struct loop_config config;
    uint32_t tickets; /* that were asked for */
    struct side side[PLACES];
    uint64_t now;
    uint64_t random;
    uint32_t listener; /* of the next connections */
    uint32_t accepting_shard;
    bool are_moves_held;
    int move_refusal; /* that the next shard to take one answers */
    struct loop_move move[MOVES_MAX];
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

/* As `side` calls them. */
mr_handle loop_conn_handle(const struct loop *loop, const struct conn *conn, unsigned side);
mr_handle loop_stream_handle(const struct loop *loop, const struct stream *stream, unsigned side);

/* After `back` moves fewer than it has behind it. */
mr_handle loop_old_conn_handle(const struct loop *loop, const struct conn *conn, unsigned side,
                               uint32_t back);
mr_handle loop_old_stream_handle(const struct loop *loop, const struct stream *stream,
                                 unsigned side, uint32_t back);

struct conn *loop_find_conn(struct side *side, mr_handle handle); /* NULL: stale */

/* The transport's `path`; and a step of the paths that are being validated. */
int64_t loop_path(struct mr_transport *t, mr_handle handle, const struct mr_path_call *call);
void loop_move_paths(struct loop *loop, struct conn *conn);

/* Does this shard of the side tell of the connection? */
static inline bool loop_tells(const struct side *side, const struct conn *conn)
{
    return conn->shard[side->index] == side->shard && !conn->is_away[side->index] &&
           !conn->is_held[side->index];
}

/* ---- loop_moves.c ---- */

int loop_move_begin(struct side *side, mr_handle conn, uint32_t shard, bool is_own);
int64_t loop_moved_streams(struct side *side, mr_handle conn, struct mr_moved_stream *out,
                           size_t room);
void loop_moves_step(struct loop *loop);

/* Nothing more comes, or goes, this way. */
bool loop_sending_is_over(const struct pipe *pipe);
bool loop_receiving_is_over(const struct pipe *pipe);

void loop_close_conn(struct conn *conn, unsigned by, uint64_t code, const char *reason);
void loop_free_pieces(struct pipe *pipe);

void loop_put_datagram(struct datagram_list *list, struct loop_datagram *datagram);
struct loop_datagram *loop_take_datagram(struct datagram_list *list); /* NULL: there is none */
void loop_free_datagrams(struct conn *conn);

#endif /* MR_TESTS_SUPPORT_LOOP_INTERNAL_H */
