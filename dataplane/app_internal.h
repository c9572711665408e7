/* dataplane/app_internal.h - structs of the app_*.c files: objects, rings, the host. */
#ifndef MR_DATAPLANE_APP_INTERNAL_H
#define MR_DATAPLANE_APP_INTERNAL_H

#include "base/cache_line.h"
#include "base/copy_ahead.h"
#include "base/spsc.h"
#include "base/table.h"
#include "base/wheel.h"
#include "dataplane/app_chain.h"
#include "dataplane/app_host.h"

#define MR_APP_SUBMISSIONS_PER_POLL 64   /* of one ring; the rest waits for the next iteration */
#define MR_APP_OBJECTS_PER_POLL     64   /* that become completions, of one ring */
#define MR_APP_WIND_DOWN_PER_POLL   16   /* connections, of one ring that is let go of */
#define MR_APP_GATHER               64   /* views that are copied with one look at a stream */
#define MR_APP_STREAM_SHARE         2    /* of free receive slots: a stream holds 1/2 at most */
#define MR_APP_COPY_MAX             1024 /* bytes of a SEND with MR_SQE_COPY */
#define MR_APP_COMMANDS             256  /* two for each ring, with room to spare */
#define MR_APP_SCRATCH              65536
#define MR_APP_MOVES                16   /* connections that leave, at a time */
#define MR_APP_MOVE_STREAMS         1024 /* of one; with more it stays */

/* Lists of a ring's objects; an object is in each once at most. */
enum mr_app_list {
    MR_APP_NEWS,   /* has news for its application */
    MR_APP_HUNGRY, /* its data waits for a receive slot */
    MR_APP_RETRY,  /* a stream whose SENDs wait for the transport's memory */
    MR_APP_LISTS
};

/* A connection or stream of an attached application. */
struct mr_app_object {
    mr_handle handle; /* the transport's; MR_HANDLE_NONE: it is over there, not told here */
    uint64_t user_data;
    uint64_t given_to;    /* stream: end of what SENDs gave, those that wait included */
    uint64_t told_to;     /* stream: end of the data told of */
    uint64_t released_to; /* stream: end of what the transport got back */
    uint64_t acked_to;
    uint64_t error;
    uint64_t id;       /* stream: as on the wire */
    uint64_t reliable; /* with has_reset_at */
    uint64_t reset_code;
    uint32_t index;
    uint32_t generation; /* odd while in use; 31 bits */
    uint32_t ring;       /* its application's; perhaps let go of */
    uint32_t conn;       /* stream: its connection's object */
    uint32_t listener;   /* connection: that accepted it; MR_NONE: the application opened it */
    uint32_t alias;      /* n + 1; 0: none */
    uint32_t streams;    /* connection: objects of its streams */
    uint32_t kinds;      /* enum mr_event_kind not told yet */
    uint32_t lasting;    /* RESET and STOPPED that were: an heir must know */
    uint32_t held;       /* receive slots */
    uint32_t reason;     /* connection that is over: n + 1 of the slot with the reason; 0: none */
    uint32_t move;       /* connection: n + 1 of host->moves; 0: it does not leave */
    uint32_t old_shard;  /* connection that came: as the application calls it */
    uint64_t old_name;   /* of one that came: what the application called it */
    int32_t stays;       /* connection: why it does not leave after all, to be told; 0: nothing */
    int32_t send_error;  /* of the SENDs that wait, and all later ones; 0: none */
    struct mr_app_link lists[MR_APP_LISTS];
    struct mr_app_link kin;      /* connection: in its ring's, stream: in its connection's */
    struct mr_app_chain kindred; /* connection: its streams */
    struct mr_app_chain sends;   /* the transport has them, not acknowledged, in order */
    struct mr_app_chain waiting; /* behind those: the transport has no room yet */
    bool is_listed[MR_APP_LISTS];
    bool is_stream;
    bool is_connecting; /* connection that the application opened: its handshake goes on */
    bool is_readable;   /* the transport may have more */
    bool is_application;
    bool is_remote;
    bool is_accept_due; /* an ACCEPT is to be answered with it */
    bool is_inherited;
    bool is_buried;   /* connection: being closed, its ring is let go of */
    bool is_hoarded;  /* connection: being closed, its ring gave no receive slot back */
    bool is_refusing; /* a SEND was refused, and no MR_SQE_AGAIN came */
    bool has_fin;     /* a SEND with MR_SQE_FIN was taken */
    bool is_fin_told;
    bool is_fin_due;   /* by reference: the end is behind what was released, and to be told alone */
    bool has_reset_at; /* the application resets it, but for `reliable` bytes */
    bool is_reset_at_done; /* the transport was told: it takes no more */
    bool is_reliable;      /* the peer's RESET came behind bytes that it guaranteed */
    bool is_stopped;       /* by the application: what was told is gone */
    bool is_frozen; /* connection: of it and its streams nothing is told; it leaves, or arrives */
    bool is_away;   /* connection: it was packed; the transport knows nothing of it */
};

/* A SEND that is not acknowledged. */
struct mr_app_send {
    uint64_t end; /* offset in the stream */
    uint64_t user_data;
    const uint8_t *data;
    uint32_t size;
    uint32_t ring; /* whose memory it is */
    struct mr_app_link link;
    uint8_t flags;          /* enum mr_sqe_flags */
    bool is_silent;         /* was another application's, of the shard that it came from */
    _Atomic uint32_t *home; /* its memory is of a ring of another shard, which counts it; NULL: of
                               `ring` */
};

/* A TIMER: in its ring's `running` or `fired`. */
struct mr_app_timer {
    struct mr_app_link link;
    uint64_t user_data;
    uint32_t ring;
};

/* What becomes of a connection that is to go to another shard. */
enum mr_app_move_state {
    MR_APP_MOVE_ASKED, /* MOVED is to be told */
    MR_APP_MOVE_TOLD,  /* MOVE_ACK is waited for */
    MR_APP_MOVE_ACKED, /* it may go as soon as it can */
    MR_APP_MOVE_DUE,   /* the transport was asked to */
    MR_APP_MOVE_AWAY   /* it was packed: only its end, or its way back, is to come */
};

struct mr_app_move {
    uint32_t conn; /* object; MR_NONE: free */
    uint32_t to;   /* shard of the port */
    uint64_t number;
    uint64_t until;
    enum mr_app_move_state state;
};

/* An ACCEPT that waits. */
struct mr_app_accept {
    struct mr_app_link in_listener; /* all rings', in the order in which they came */
    struct mr_app_link in_ring;
    uint64_t user_data;
    uint32_t ring;
    uint32_t listener;
};

/* A receive slot: for whose data it was taken. */
struct mr_app_slot {
    uint32_t object; /* MR_NONE: free */
    uint32_t generation;
};

struct mr_app_ring {
    struct mr_app_ring_config config;
    struct mr_ring_region region;
    struct mr_inbox submissions;
    struct mr_outbox completions;
    uint32_t index;
    struct mr_app_chain lists[MR_APP_LISTS];
    struct mr_app_chain conns;
    struct mr_app_chain buried;  /* connections that only wait for their end */
    struct mr_app_chain running; /* timers */
    struct mr_app_chain fired;
    struct mr_app_chain accepts;
    uint32_t objects; /* connections and streams, buried ones included */
    uint32_t conn_count;
    uint32_t opened;     /* of these, by CONNECT */
    uint32_t connecting; /* of these, whose handshake goes on */
    uint32_t sends;      /* whose memory is this ring's, whoever has the stream now */
    uint32_t timers;
    uint32_t accept_count;
    uint32_t free_count;
    uint32_t news; /* enum mr_event_kind that concern no object */
    uint32_t *free_slots;
    struct mr_app_slot *slots;
    uint32_t *aliases; /* objects; MR_NONE: free */
    uint64_t listens;  /* bit mask of listeners */
    uint64_t hoards_since;
    bool is_attached;
    bool is_by_reference;
    bool may_wake; /* completions were handed over: mr_app_wake() */
    struct mr_app_ring_stats stats;

    _Atomic uint32_t state; /* enum mr_app_ring_state */

    /* written by other shards */
    MR_ALIGNED(MR_CACHE_LINE)
    _Atomic uint32_t foreign; /* SENDs there that name this ring's memory */

    /* the control thread's */
    MR_ALIGNED(MR_CACHE_LINE) void *memory;
    bool is_detaching;
};

MR_ASSERT_OWN_LINE(struct mr_app_ring, foreign);
MR_ASSERT_OWN_LINE(struct mr_app_ring, memory);
MR_ASSERT_WHOLE_LINES(struct mr_app_ring);

/* A published policy. */
struct mr_app_policy {
    uint64_t epoch;
    struct mr_handoff handoff;
};

struct mr_app_host {
    struct mr_application application;
    struct mr_move_hooks hooks;
    struct mr_app_host_config config;
    struct mr_transport *transport;
    struct mr_pool objects;
    struct mr_pool sends;
    struct mr_pool timers;
    struct mr_pool accepts;
    struct mr_table8 by_handle; /* the transport's -> object */
    struct mr_wheel wheel;      /* of `timers` */
    const struct mr_app_policy *policy;
    struct mr_app_chain accepting[MR_LISTENERS_MAX];
    uint32_t next_ring[MR_LISTENERS_MAX]; /* that a new connection is offered to first */
    uint64_t active;                      /* bit mask of rings that the shard knows */
    bool is_going_away;
    uint32_t move_count;
    uint64_t last_move;
    mr_handle stayed; /* the last connection that did not go, and why */
    int stayed_error;
    struct mr_app_move moves[MR_APP_MOVES];
    struct mr_app_ring rings[MR_APP_RINGS_MAX];
    struct mr_app_host_stats stats;
    mr_copy_ahead copy;
    uint8_t scratch[MR_APP_SCRATCH]; /* what must not change while it is looked at */

    /* from the control thread to the shard, and back */
    struct mr_spsc commands;
    uint64_t command_words[MR_APP_COMMANDS];
    MR_ALIGNED(MR_CACHE_LINE) const struct mr_app_policy *_Atomic newest;
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t epoch_seen;

    /* the control thread's */
    MR_ALIGNED(MR_CACHE_LINE)
    const struct mr_app_policy *previous; /* the one before the newest; NULL: freed */
    uint32_t promised_objects;
    uint32_t promised_sends;
    uint32_t promised_timers;
    void *table; /* memory of by_handle */
    struct mr_wheel_node *nodes;
};

MR_ASSERT_OWN_LINE(struct mr_app_host, command_words);
MR_ASSERT_OWN_LINE(struct mr_app_host, newest);
MR_ASSERT_OWN_LINE(struct mr_app_host, epoch_seen);
MR_ASSERT_OWN_LINE(struct mr_app_host, previous);

/* Does the shard know ring number `ring`? */
static inline bool mr_app_is_active(const struct mr_app_host *host, uint32_t ring)
{
    return (host->active >> ring & 1) != 0;
}

/* ---- app_object.c ---- */

static inline struct mr_app_object *mr_app_object_at(const struct mr_app_host *host, uint32_t index)
{
    return mr_pool_at(&host->objects, index);
}

/* The handle that the application knows. */
static inline uint64_t mr_app_handle(const struct mr_app_object *object)
{
    return (uint64_t)object->generation << 32 | object->index;
}

/* Is nothing told of the object, because its connection leaves or arrives? */
static inline bool mr_app_is_frozen(const struct mr_app_host *host,
                                    const struct mr_app_object *object)
{
    return object->is_stream ? mr_app_object_at(host, object->conn)->is_frozen : object->is_frozen;
}

/* Is its connection on its way to another shard? */
static inline bool mr_app_is_away(const struct mr_app_host *host,
                                  const struct mr_app_object *object)
{
    return object->is_stream ? mr_app_object_at(host, object->conn)->is_away : object->is_away;
}

/* A new object of ring `ring`; NULL: none is free, or its ring has no more. */
struct mr_app_object *mr_app_object_new(struct mr_app_host *host, struct mr_app_ring *ring,
                                        mr_handle handle, struct mr_app_object *conn);
void mr_app_object_free(struct mr_app_host *host, struct mr_app_object *object);
void mr_app_set_connecting(struct mr_app_host *host, struct mr_app_object *conn, bool is_on);
bool mr_app_may_open_conn(const struct mr_app_host *host, const struct mr_app_ring *ring);

/* NULL: unknown. */
struct mr_app_object *mr_app_object_of(const struct mr_app_host *host, mr_handle handle);

/* By the application's handle or alias; NULL: stale, or another ring's. */
struct mr_app_object *mr_app_object_find(const struct mr_app_host *host,
                                         const struct mr_app_ring *ring, uint64_t handle);

/* It has news: put it on its ring's list. */
void mr_app_object_mark(struct mr_app_host *host, struct mr_app_object *object, uint32_t kinds);

/* Give a connection and its streams to ring `heir`, as news; their SENDs stay the old ring's. */
void mr_app_object_give(struct mr_app_host *host, struct mr_app_object *conn,
                        struct mr_app_ring *heir);

/* From its ring's connections to those that are buried. */
void mr_app_object_bury(struct mr_app_host *host, struct mr_app_object *conn);

/* Put the object at the end of a list, if it is not in it; take the first one out, NULL: none. */
void mr_app_list_push(struct mr_app_host *host, struct mr_app_object *object,
                      enum mr_app_list which);
struct mr_app_object *mr_app_list_pop(struct mr_app_host *host, struct mr_app_ring *ring,
                                      enum mr_app_list which);

/* Take the object out of a list, if it is in it. */
void mr_app_list_drop(struct mr_app_host *host, struct mr_app_object *object,
                      enum mr_app_list which);

/* ---- app_accept.c ---- */

/* Find a ring for a new connection, or refuse it: NULL. */
struct mr_app_object *mr_app_accept_connection(struct mr_app_host *host, mr_handle handle);

/* Who inherits the connection of a ring that is let go of, by its listener; NULL: nobody. */
struct mr_app_ring *mr_app_heir(struct mr_app_host *host, struct mr_app_object *conn);

/* The code with which a connection is closed for its application's death. */
uint64_t mr_app_death_code(const struct mr_app_host *host, const struct mr_app_object *conn);

/* LISTEN and ACCEPT: 0, 1: later, -errno. */
int mr_app_listen(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t listener,
                  bool is_on);
int mr_app_accept(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t listener,
                  uint64_t user_data);

/* Forget the ring's ACCEPTs. */
void mr_app_accepts_drop(struct mr_app_host *host, struct mr_app_ring *ring);

/* ---- app_ring.c ---- */

/* A SEND at another shard names memory of the ring whose count this is: one more, one less. */
void mr_app_ring_hold(_Atomic uint32_t *foreign);
void mr_app_ring_let(_Atomic uint32_t *foreign);

/* Do what the control thread asked for. */
void mr_app_take_commands(struct mr_app_host *host);

/* Everything that is to be done for a ring.  Returns how much. */
uint32_t mr_app_ring_poll(struct mr_app_host *host, struct mr_app_ring *ring);

/* A connection of a ring that is let go of is over: free it and what it has. */
void mr_app_ring_free_conn(struct mr_app_host *host, struct mr_app_object *conn);

/* TIMER: 1: later, -errno. */
int mr_app_timer_start(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t delay_ns,
                       uint64_t user_data);
uint32_t mr_app_timers_expire(struct mr_app_host *host);

/* Tell all applications that the datapath is gone. */
void mr_app_rings_stop(struct mr_app_host *host);

/* ---- app_submit.c ---- */

/* Carry out submissions, as long as their completions have room.  Returns how many. */
uint32_t mr_app_submissions(struct mr_app_host *host, struct mr_app_ring *ring);

/* ---- app_complete.c ---- */

/* Room for a completion? */
bool mr_app_has_room(struct mr_app_ring *ring);

/* Write one; there must be room. */
void mr_app_complete(struct mr_app_host *host, struct mr_app_ring *ring, const struct mr_cqe *cqe);

/* What every completion about an object says. */
struct mr_cqe mr_app_about(const struct mr_app_host *host, const struct mr_app_object *object,
                           enum mr_cqe_type type);

/* Turn objects' news into completions, as far as there is room, and hand them over.  Returns how
 * many. */
uint32_t mr_app_completions(struct mr_app_host *host, struct mr_app_ring *ring);

/* Hand over what was written. */
void mr_app_publish(struct mr_app_ring *ring);

/* Wake who sleeps, if anything was handed over since the last time.  An iteration later than that:
 * asking at once would wait until it has reached the other core. */
void mr_app_wake(struct mr_app_host *host, struct mr_app_ring *ring);

/* ---- app_receive.c ---- */

/* Tell of received data and datagrams.  False: no room. */
bool mr_app_receive(struct mr_app_host *host, struct mr_app_ring *ring,
                    struct mr_app_object *object);

/* Why a connection is over, into a slot, if its application wants that and one is free; then, that
 * the entry for CLOSED names it, and the slot is the application's. */
void mr_app_keep_reason(struct mr_app_host *host, struct mr_app_object *conn, const char *reason);
void mr_app_tell_reason(struct mr_app_ring *ring, struct mr_app_object *conn, struct mr_cqe *cqe);

/* Tell of an end that is due alone, whatever became of the stream.  False: no room. */
bool mr_app_receive_end(struct mr_app_host *host, struct mr_app_ring *ring,
                        struct mr_app_object *object);

/* RELEASE: 0 or -errno. */
int mr_app_release_slot(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t address);
int mr_app_release_bytes(struct mr_app_host *host, struct mr_app_object *object, uint32_t size);

#endif /* MR_DATAPLANE_APP_INTERNAL_H */
