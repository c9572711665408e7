/*
 * app/events_internal.h - what the parts of a registration share.
 *
 *     events.c         transport events -> typed events, in order; on_start, on_poll, on_stop
 *     events_object.c  objects, sends, deferred work; telling a handler
 *     events_stream.c  receiving, completions of sends, a stream's and a connection's end
 *     events_api.c     mr_ev_x(): done at once, or queued
 *     events_call.c    the queue of other threads' calls
 *     events_guest.c   applications of millrace/transport.h beside handlers
 *
 * What a call causes is not a queue entry but a bit in its object (`due`), and the object is once
 * on a list; it is told when no handler is on the stack.
 *
 * An object is given up (mr_ev_close()) before, or after, the transport lets go of it; it goes back
 * to the pool when both happened, nothing of it is on the list and no function works on it
 * (`pins`).
 */
#ifndef MR_APP_EVENTS_INTERNAL_H
#define MR_APP_EVENTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "app/events.h"
#include "base/compiler.h"
#include "base/pool.h"
#include "base/spsc.h"
#include "base/table.h"

enum {
    LISTENERS_MAX = 64,
    GUESTS_MAX = 8,
    LISTENER_NAME = 64,
    OBJECT_NAME = 24,
    VIEWS_MAX = 16,     /* of one RECEIVE */
    RECEIVE_ROUNDS = 4, /* of one stream, before others have their turn */
    DATAGRAM_ROUNDS = 32,
    DATAGRAM_BYTES = 65536,
    DEPTH_MAX = 2, /* MR_EV_INLINE */
};

/* user_data of transport objects that we do not want to hear of any more. */
#define USER_DATA_IGNORED UINT64_MAX

enum object_kind {
    OBJECT_FREE,
    OBJECT_SET_ASIDE, /* for other threads to make objects of */
    OBJECT_LISTENER,
    OBJECT_CONN,
    OBJECT_STREAM,
    OBJECT_GUEST, /* a connection of a guest's */
};

/* What is to be told when no handler is on the stack, in this order. */
enum object_due {
    DUE_START = 1,
    DUE_SEND = 2,    /* sends whose bytes are acknowledged already */
    DUE_RECEIVE = 4, /* of a stream: bytes; of a connection: datagrams */
    DUE_OVER = 8,    /* STOP_COMPLETE */
};

struct object {
    mr_ev_handler handler;
    void *context;
    mr_handle handle; /* the transport's; MR_HANDLE_NONE: none yet, or over */
    uint32_t index;
    uint32_t generation;
    uint32_t pins;
    uint32_t deferred_next;
    uint32_t conn; /* of a stream */
    uint32_t next; /* streams of a connection */
    uint32_t previous;
    uint32_t streams; /* of a connection: the first */
    uint32_t sends_head;
    uint32_t sends_tail;
    uint64_t queued;   /* offset behind the last byte given */
    uint64_t acked_to; /* offset */
    uint64_t received; /* offset of the first byte not consumed */
    size_t shown;      /* bytes of the RECEIVE that is pending */
    int status;        /* why a listener stopped */
    uint32_t guest;    /* of OBJECT_GUEST */
    uint8_t kind;      /* enum object_kind */
    uint8_t due;       /* enum object_due */
    bool is_deferred;  /* on the list */
    bool is_given_up;
    bool is_over; /* its last event was told */
    bool is_shut; /* by us */
    bool is_fin_sent;
    bool is_aborted;   /* sending: by us or the peer */
    bool is_pending;   /* a RECEIVE is shown */
    bool is_fin_shown; /* with it */
    bool is_fin_late;  /* the end came behind what was shown, and was not told */
    bool is_fin_taken;
    bool is_disabled; /* mr_ev_receive_enable() */
    char name[OBJECT_NAME];
};

struct send {
    uint64_t end; /* offset behind its bytes */
    void *context;
    uint32_t next;
};

/* Whose connections they are; index in the array is the answer's. */
struct listener {
    char name[LISTENER_NAME];
    bool is_used;
    bool is_every;   /* no name */
    bool is_on;      /* resolved: number is right */
    uint32_t number; /* the transport's */
    uint32_t object; /* MR_NONE: a guest's */
    uint32_t guest;
};

struct guest {
    struct mr_transport transport; /* first: cast back by the operations */
    struct mr_registration *registration;
    const struct mr_application *application;
    bool is_started;
};

struct guest_call {
    uint64_t user_data;
    uint32_t guest;
};

enum call_type {
    CALL_LISTEN,
    CALL_CONNECT,
    CALL_OPEN,
    CALL_SET_HANDLER,
    CALL_SET_NAME,
    CALL_SEND,
    CALL_SEND_DATAGRAM,
    CALL_RECEIVE_COMPLETE,
    CALL_RECEIVE_ENABLE,
    CALL_SHUTDOWN,
    CALL_RESET_AT,
    CALL_CLOSE,
    CALL_TYPES
};

/* A call, as it is queued. */
struct call {
    uint32_t type;
    uint32_t flags;
    mr_object object;
    mr_object made; /* LISTEN, CONNECT, OPEN: set aside */
    mr_ev_handler handler;
    void *context; /* of the handler, or of the send */
    uint64_t value;
    size_t count; /* views */
    bool has_name;
    struct mr_connect_options options;
    uint8_t bytes[MR_EV_CALL_BYTES] MR_ALIGNED(16);
};

/* Towards the registration's thread. */
struct calls {
    pthread_mutex_t mutex; /* among the other threads */
    struct call *call;
    uint32_t spare;       /* a call that was begun and not queued; MR_NONE: none */
    struct mr_spsc queue; /* other threads -> ours: indexes of calls */
    struct mr_spsc free;  /* ours -> other threads: indexes of calls */
    struct mr_spsc stock; /* ours -> other threads: objects set aside */
    void *queue_mem;
    void *free_mem;
    void *stock_mem;
};

struct mr_registration {
    struct mr_application application;
    struct mr_events_host host;
    struct mr_transport *transport; /* NULL: not started */
    _Atomic(const void *) owner;    /* the registration's thread: address of a variable of it */
    uint32_t depth;                 /* handlers on the stack */
    uint32_t driving;               /* on_events or on_poll is on the stack */
    bool is_stopping;               /* on_stop is */
    struct mr_pool objects;
    void *objects_mem;
    _Atomic uint32_t alive;
    struct mr_pool sends;
    void *sends_mem;
    struct mr_table8 conns; /* handle -> index of object */
    void *conns_mem;
    uint32_t deferred_head;
    uint32_t deferred_tail;
    uint32_t deferred_count;
    struct listener listener[LISTENERS_MAX];
    uint64_t late_code; /* of the listener that was shut down last: for connections that come yet */
    struct guest guest[GUESTS_MAX];
    uint32_t guest_count;
    struct mr_pool guest_calls;
    void *guest_calls_mem;
    struct calls calls;
    struct mr_conn_info info;
    struct mr_events_stats stats;
    uint8_t datagram[DATAGRAM_BYTES];
};

/* ---- events_object.c ---- */

/* NULL: none is free. */
struct object *mr_events_make(struct mr_registration *r, enum object_kind kind);
/* Turn an object that was set aside into one of `kind`. */
struct object *mr_events_adopt(struct mr_registration *r, mr_object id, enum object_kind kind);
struct object *mr_events_at(const struct mr_registration *r, uint32_t index);
mr_object mr_events_id(const struct object *o);
/* NULL: not there any more, or given up. */
struct object *mr_events_find(const struct mr_registration *r, mr_object id);
/* The same, given up or not. */
struct object *mr_events_find_any(const struct mr_registration *r, mr_object id);
void mr_events_pin(struct object *o);
void mr_events_unpin(struct mr_registration *r, struct object *o);
/* Give it back to the pool, if nothing needs it any more. */
void mr_events_maybe_free(struct mr_registration *r, struct object *o);

void mr_events_add_stream(struct mr_registration *r, struct object *conn, struct object *stream);

/* Tie a connection to the transport's handle; false: no room. */
bool mr_events_tie(struct mr_registration *r, struct object *o, mr_handle handle);
void mr_events_untie(struct mr_registration *r, struct object *o);

void mr_events_defer(struct mr_registration *r, struct object *o, uint32_t due);
/* Take the first object off the list; NULL: it is empty. */
struct object *mr_events_next_deferred(struct mr_registration *r);
/* A call was made: on_poll must be called, the transport driven.  Wakes whoever does that, unless
 * it does now. */
void mr_events_stir(struct mr_registration *r);

/* Call the object's handler, if it has one and is not given up. */
enum mr_ev_answer mr_events_tell(struct mr_registration *r, struct object *o, struct mr_ev *event);

/* ---- events_stream.c ---- */

void mr_events_receive(struct mr_registration *r, struct object *s);
void mr_events_receive_datagrams(struct mr_registration *r, struct object *c);
int mr_events_take(struct mr_registration *r, struct object *s, size_t size);
bool mr_events_note_send(struct mr_registration *r, struct object *s, size_t size, void *context);
void mr_events_complete_sends(struct mr_registration *r, struct object *s, uint64_t acked_to);
/* The stream is over in the transport (`error` as of CLOSED), or for us: tell its last events. */
void mr_events_end_stream(struct mr_registration *r, struct object *s, const struct mr_event *why);
void mr_events_end_conn(struct mr_registration *r, struct object *c, const struct mr_event *why);
void mr_events_end_listener(struct mr_registration *r, struct object *o, int status);
bool mr_events_can_end_now(const struct mr_registration *r, const struct object *o);

/* ---- events.c ---- */

/* Tell what is due of the object. */
void mr_events_run_due(struct mr_registration *r, struct object *o);
struct listener *mr_events_listener_of(struct mr_registration *r, uint32_t object);
/* Make the listener's number right; 0 or -errno. */
int mr_events_resolve(struct mr_registration *r, struct listener *l);

/* ---- events_api.c ---- */

/* Do what another thread has queued. */
void mr_events_execute(struct mr_registration *r, struct call *call);
/* A listener's place; -EEXIST, -EINVAL, -ENOSPC. */
int mr_events_add_listener(struct mr_registration *r, const char *name, struct listener **out);

/* ---- events_call.c ---- */

bool mr_events_calls_new(struct calls *calls, uint32_t count, uint32_t stock);
void mr_events_calls_free(struct calls *calls);
/* True on the registration's thread. */
bool mr_events_is_owner(const struct mr_registration *r);
void mr_events_own(struct mr_registration *r);
/* A call to fill, the mutex taken; NULL: none is free, nothing is taken. */
struct call *mr_events_begin_call(struct mr_registration *r, enum call_type type);
/* Queue it (0), or give it back and return `error`. */
int mr_events_end_call(struct mr_registration *r, struct call *call, int error);
/* An object set aside; 0: none.  Within begin and end. */
mr_object mr_events_take_stock(struct mr_registration *r);
/* Set objects aside. */
void mr_events_fill_stock(struct mr_registration *r);
uint32_t mr_events_run_calls(struct mr_registration *r);
bool mr_events_has_calls(const struct mr_registration *r);

/* ---- events_guest.c ---- */

void mr_events_start_guests(struct mr_registration *r);
void mr_events_stop_guests(struct mr_registration *r);
uint32_t mr_events_poll_guests(struct mr_registration *r);
/* Events of one guest's connections, or all that the transport has to tell to everyone. */
void mr_events_to_guest(struct mr_registration *r, uint32_t guest, const struct mr_event *events,
                        size_t count);
/* TIMER or WORK_DONE. */
void mr_events_guest_call_done(struct mr_registration *r, const struct mr_event *event);
void mr_events_guests_go_away(struct mr_registration *r, const struct mr_event *event);

#endif /* MR_APP_EVENTS_INTERNAL_H */
