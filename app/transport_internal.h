/*
 * app/transport_internal.h - structs of the transport_*.c files: objects, records, rings.
 *
 *     transport_ring.c     life, the poll
 *     transport_ops.c      the table of operations
 *     transport_send.c     segments -> chunks -> SENDs
 *     transport_receive.c  slots -> views -> RELEASEs; datagrams
 *     transport_take.c     completions -> objects
 *     transport_tell.c     objects -> events
 *     transport_path.c     several paths of a connection
 *     transport_move.c     connections that change their ring
 *     transport_object.c   objects, records, submissions
 */
#ifndef MR_APP_TRANSPORT_INTERNAL_H
#define MR_APP_TRANSPORT_INTERNAL_H

#include "app/attach_internal.h"
#include "app/transport_ring.h"
#include "base/pool.h"
#include "base/table.h"
#include "base/wheel.h"

#define MR_RT_CQES_PER_POLL   256    /* of one ring */
#define MR_RT_EVENTS          64     /* in one call */
#define MR_RT_EVENTS_PER_POLL 4096   /* the rest waits for the next poll */
#define MR_RT_CHUNK           65536u /* bytes copied for one SEND, at most */
#define MR_RT_CHUNK_DIRECT    (1u << 20)
#define MR_RT_CHUNKS_PER_TURN 4    /* of one stream, then the next one has its turn */
#define MR_RT_COPY_MAX        1024 /* bytes of a send() with MR_SEND_COPY */
#define MR_RT_REASON_MAX      96   /* bytes of a close's reason; the datapath cuts off more */
#define MR_RT_TICKET_ROOM     4096
#define MR_RT_DATAGRAMS_OUT   64 /* of one connection, not answered */

/* Circular lists of object indexes; an object is in each once at most. */
enum mr_rt_list {
    MR_RT_NEWS,  /* has something to tell */
    MR_RT_PUMP,  /* stream: has bytes to submit; of its ring */
    MR_RT_WANTS, /* connection: INFO, TICKET or LIST found no memory; of its ring */
    MR_RT_OVER,  /* its end is being told */
    MR_RT_LEAVE, /* connection: MOVED came, MOVE_ACK is not said yet */
    MR_RT_LISTS
};

struct mr_rt_queue {
    uint32_t head; /* MR_NONE: empty */
    uint32_t tail;
};

/* A receive slot's bytes that the application has not consumed. */
struct mr_rt_piece {
    uint32_t next;
    uint32_t size;
    uint64_t address; /* as the completion says */
    const uint8_t *data;
    uint8_t ring; /* that it goes back to */
};

/* Bytes that the application gave to send, not submitted yet. */
struct mr_rt_segment {
    uint32_t next;
    uint32_t flags; /* of enum mr_send_flags: FIN, NOTIFY */
    const uint8_t *data;
    uint64_t size;
    void *block;    /* of MR_SEND_COPY: memory of the send area; NULL: the application's */
    bool is_direct; /* SEND can name the bytes */
    uint8_t ring;   /* whose the block is */
};

/* A submission that is out, and what has to be remembered of it. */
struct mr_rt_record {
    uint32_t pool_link; /* the pool's while it is free */
    uint32_t generation;
    uint32_t next; /* SEND: of the stream */
    uint32_t size;
    uint8_t op;
    uint8_t flags;       /* SEND: enum mr_sqe_flags */
    uint8_t ring;        /* whose the block is */
    uint8_t answered_at; /* SEND: the ring that it counts at */
    bool is_used;
    bool is_refused; /* SEND: to be submitted again */
    mr_handle object;
    void *block; /* of the send area; NULL: none */
    uint64_t address;
    uint64_t end; /* SEND: offset in the stream */
};

/* What only a connection has. */
struct mr_rt_conn {
    uint32_t pool_link;
    uint32_t streams;  /* objects */
    uint32_t first;    /* of its streams; MR_NONE */
    uint32_t spare[2]; /* stream opened to find out about a limit; MR_NONE */
    uint64_t limit[2]; /* [is_uni]: streams that may be opened in all */
    uint64_t opened[2];
    bool wants_streams[2]; /* -EAGAIN was said */
    bool is_probing[2];    /* the spare is being opened */
    bool is_client;
    bool is_told; /* CONNECTED was */
    bool has_info;
    bool is_info_out;
    bool is_ticket_out;
    bool is_paths_out;
    bool wants_info, wants_ticket, wants_paths;
    bool has_new_path;    /* told with the INFO that says which */
    bool has_new_paths;   /* told with the LIST that says which */
    bool has_path_answer; /* `path_called`: told with it, too */
    bool is_closing;      /* the application closed it */
    bool is_datagram_held, was_datagram_refused;
    bool has_left;     /* MOVE_ACK was answered: the old ring has nothing more about it */
    uint64_t move;     /* number of the one that MOVED told of */
    uint32_t listener; /* of an accepted one */
    uint32_t datagrams_out;
    uint32_t path_count;
    struct mr_path_info *paths; /* of the last LIST; NULL: there was none */
    int64_t path_answer;        /* of the last call about them; -ENOENT: there was none */
    int64_t path_called;
    struct mr_rt_queue datagrams; /* pieces */
    struct mr_ring_info info;
    char reason[MR_RT_REASON_MAX + 1]; /* of its end */
    uint8_t *ticket;
    uint32_t ticket_size;
};

/* What only a stream has. */
struct mr_rt_stream {
    uint32_t conn; /* object */
    uint32_t prev; /* of the connection's */
    uint32_t next;
    uint64_t id; /* UINT64_MAX: not known yet */
    bool is_ours;
    bool can_send;
    bool can_receive;

    /* sending */
    uint64_t queued_to; /* given by the application */
    uint64_t submitted_to;
    uint64_t acked_to;
    uint64_t notify_to;
    struct mr_rt_queue segments;
    uint64_t head_done; /* bytes of the first one that were submitted */
    struct mr_rt_queue records;
    uint32_t record_count;
    bool has_fin_queued;
    bool is_send_over; /* FIN aside: reset, stopped */
    bool has_reset_at; /* reset but for `reliable` bytes */
    uint64_t reliable;
    uint64_t reset_code;
    bool was_refused; /* -EAGAIN was said */
    bool is_refused;  /* the datapath refused a SEND; those behind it come back, too */

    /* receiving */
    uint64_t received_to;
    uint64_t released_to;
    uint64_t shown_to;
    struct mr_rt_queue pieces;
    uint32_t head_used; /* bytes of the first one that were released */
    bool has_fin;
    bool is_fin_shown;
    bool is_reset;
    bool is_reliable;  /* the peer's reset came behind bytes that it guaranteed */
    bool is_reset_due; /* behind what was received: told when that is released */
    bool is_stopped;
};

struct mr_rt_object {
    uint32_t pool_link;
    uint32_t index;
    uint32_t generation;
    uint32_t next[MR_RT_LISTS];
    bool is_listed[MR_RT_LISTS];
    bool is_used;
    bool is_stream;
    bool is_forced; /* its end is told whatever is left to be read */
    bool is_over;   /* its end is told */
    bool is_hidden; /* the application knows nothing of it */
    bool is_moving; /* between two rings: nothing can be submitted about it */
    bool is_application;
    bool is_remote;
    uint8_t ring;
    uint32_t alias; /* n + 1; 0: none */
    uint32_t kinds; /* not told yet */
    uint64_t user_data;
    uint64_t name; /* the datapath's handle; 0: not known yet */
    uint64_t wire; /* what submissions call it: the alias until the name is known */
    uint64_t error;
    const char *reason;
    uint32_t conn_data; /* connection: of the pool `conns` */
    struct mr_rt_stream stream;
};

struct mr_rt_ring {
    struct mr_ring *ring;
    struct mr_rt_queue lists[MR_RT_LISTS];
    uint32_t sends_out;
    uint32_t sends_max;
    uint32_t alias_free;
    uint32_t *aliases;   /* free ones */
    struct mr_sqe *late; /* submissions that found the queue full: a circle */
    uint32_t late_begin;
    uint32_t late_count;
    uint32_t late_room; /* a power of two */
    struct mr_table8 by_name;
    void *table;
    bool is_gone;
};

/* A submission about an object that moves, for when it has a name again. */
struct mr_rt_held {
    mr_handle object;
    struct mr_sqe sqe;
    uint32_t reason_size; /* of CLOSE */
    char reason[MR_RT_REASON_MAX];
};

struct mr_rt_work {
    int64_t (*function)(void *argument);
    void *argument;
    uint64_t user_data;
};

struct mr_ring_transport {
    struct mr_transport transport; /* first */
    struct mr_ring_transport_config config;
    const struct mr_application *app;
    struct mr_attachment *attachment;
    uint64_t now;
    uint64_t looked_at; /* when it was last asked whether the datapath lives */
    struct mr_pool objects;
    struct mr_pool conns;
    struct mr_pool records;
    struct mr_pool segments;
    struct mr_pool pieces;
    struct mr_pool timers;
    struct mr_wheel wheel;
    struct mr_wheel_node *nodes;
    struct mr_rt_work *work; /* a circle */
    uint32_t work_begin;
    uint32_t work_count;
    struct mr_rt_queue news;
    struct mr_rt_queue over;
    struct mr_rt_queue leaving;
    struct mr_rt_held *held;
    uint32_t held_count;
    uint32_t held_room;
    struct mr_event events[MR_RT_EVENTS];
    uint32_t event_count;
    bool is_delivering;
    bool is_going_away; /* GO_AWAY was told: every shard says it */
    uint32_t next_ring; /* connect() */
    uint32_t ring_count;
    struct mr_ring_transport_stats stats;
    struct mr_rt_ring rings[]; /* ring_count */
};

struct mr_rt_timer {
    uint32_t pool_link;
    uint64_t user_data;
};

/* ---- transport_object.c ---- */

static inline struct mr_rt_object *mr_rt_at(const struct mr_ring_transport *t, uint32_t index)
{
    return mr_pool_at(&t->objects, index);
}

static inline struct mr_rt_conn *mr_rt_conn_of(const struct mr_ring_transport *t,
                                               const struct mr_rt_object *object)
{
    return mr_pool_at(&t->conns, object->conn_data);
}

/* The connection of a stream. */
static inline struct mr_rt_object *mr_rt_parent(const struct mr_ring_transport *t,
                                                const struct mr_rt_object *object)
{
    return mr_rt_at(t, object->stream.conn);
}

static inline struct mr_rt_ring *mr_rt_ring_of(struct mr_ring_transport *t,
                                               const struct mr_rt_object *object)
{
    return &t->rings[object->ring];
}

/* What the application calls it. */
static inline mr_handle mr_rt_handle(const struct mr_rt_object *object)
{
    return (mr_handle)object->generation << 32 | (object->index + 1);
}

/* By handle; NULL: stale. */
struct mr_rt_object *mr_rt_find(const struct mr_ring_transport *t, mr_handle handle);

/* By the datapath's name on a ring; NULL: unknown. */
struct mr_rt_object *mr_rt_by_name(const struct mr_ring_transport *t, const struct mr_rt_ring *ring,
                                   uint64_t name);

/* New objects.  NULL: none is free.  `with_alias`: we make it; else the datapath did. */
struct mr_rt_object *mr_rt_conn_new(struct mr_ring_transport *t, uint32_t ring, bool with_alias);
struct mr_rt_object *mr_rt_stream_new(struct mr_ring_transport *t, struct mr_rt_object *conn,
                                      bool with_alias);

/* The datapath's name is known.  False: no room for it. */
bool mr_rt_set_name(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t name);

/* Free it and all that it has; a connection must have no streams. */
void mr_rt_object_free(struct mr_ring_transport *t, struct mr_rt_object *object);

/* Something happened to it. */
void mr_rt_mark(struct mr_ring_transport *t, struct mr_rt_object *object, uint32_t kinds);

/* It is over, and its streams are, if it has any: told whatever is left. */
void mr_rt_end(struct mr_ring_transport *t, struct mr_rt_object *object, uint64_t error,
               const char *reason);

void mr_rt_push(struct mr_ring_transport *t, struct mr_rt_queue *queue, enum mr_rt_list which,
                struct mr_rt_object *object);
struct mr_rt_object *mr_rt_pop(struct mr_ring_transport *t, struct mr_rt_queue *queue,
                               enum mr_rt_list which);

/* A record with a block for `op`; NULL: none is free. */
struct mr_rt_record *mr_rt_record_new(struct mr_ring_transport *t, struct mr_rt_object *object,
                                      uint8_t op, void *block);
struct mr_rt_record *mr_rt_record_find(const struct mr_ring_transport *t, uint64_t user_data,
                                       uint8_t op);
void mr_rt_record_free(struct mr_ring_transport *t, struct mr_rt_record *record);
static inline uint64_t mr_rt_record_word(const struct mr_ring_transport *t,
                                         const struct mr_rt_record *record)
{
    return (uint64_t)record->generation << 32 | mr_pool_index(&t->records, record);
}

/* Queues in pools of things that begin with `next`. */
void mr_rt_queue_push(const struct mr_pool *pool, struct mr_rt_queue *queue, uint32_t index);
uint32_t mr_rt_queue_pop(const struct mr_pool *pool, struct mr_rt_queue *queue);

/* Submit an entry, now or as soon as there is room. */
void mr_rt_submit(struct mr_ring_transport *t, struct mr_rt_ring *ring, const struct mr_sqe *sqe);

/* The next free entry, NULL: none, or others come first. */
struct mr_sqe *mr_rt_sqe(struct mr_rt_ring *ring);

/* Hand over what is late, as far as there is room. */
void mr_rt_submit_late(struct mr_rt_ring *ring);

/* Take the object out of a list, if it is in it.  O(the list). */
void mr_rt_unlist(struct mr_ring_transport *t, struct mr_rt_queue *queue, enum mr_rt_list which,
                  struct mr_rt_object *object);

/* ---- transport_take.c ---- */

/* Take completions of a ring.  Returns how many. */
uint32_t mr_rt_take(struct mr_ring_transport *t, struct mr_rt_ring *ring);

/* Fetch what is known about a connection. */
void mr_rt_want_info(struct mr_ring_transport *t, struct mr_rt_object *conn);
void mr_rt_want_ticket(struct mr_ring_transport *t, struct mr_rt_object *conn);
void mr_rt_want_paths(struct mr_ring_transport *t, struct mr_rt_object *conn);

/* Fetch for those that found no memory. */
void mr_rt_fetch_wanted(struct mr_ring_transport *t, struct mr_rt_ring *ring);

/* The ring is gone: all that it had is over. */
void mr_rt_ring_gone(struct mr_ring_transport *t, struct mr_rt_ring *ring);

/* The limit that we know of may be old: ask by opening a stream that the application gets when it
 * asks again; MR_EVENT_STREAMS_ALLOWED says so.  False: no object is free. */
bool mr_rt_probe(struct mr_ring_transport *t, struct mr_rt_object *conn, bool is_uni);

/* The limits have grown, or are asked for again: tell whoever waits for streams. */
void mr_rt_look_for_streams(struct mr_ring_transport *t, struct mr_rt_object *conn);

/* Fetch now what is wanted. */
void mr_rt_fetch(struct mr_ring_transport *t, struct mr_rt_object *conn);

/* Open the stream `object`. */
void mr_rt_submit_open(struct mr_ring_transport *t, struct mr_rt_object *object);

/* ---- transport_tell.c ---- */

void mr_rt_add_event(struct mr_ring_transport *t, const struct mr_event *event);
void mr_rt_deliver(struct mr_ring_transport *t);
/* Tell all news.  Returns how many events. */
uint32_t mr_rt_tell(struct mr_ring_transport *t);

/* ---- transport_ops.c ---- */
extern const struct mr_transport_ops mr_rt_ops;

#endif /* MR_APP_TRANSPORT_INTERNAL_H */
