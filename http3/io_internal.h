/*
 * http3/io_internal.h - what io.c (what the caller tells, and is told), io_ops.c (the application's
 * operations) and io_object.c (objects and their lists) share.
 */
#ifndef MR_HTTP3_IO_INTERNAL_H
#define MR_HTTP3_IO_INTERNAL_H

#include "base/pool.h"
#include "millrace/http3_io.h"

enum {
    MR_IO_TIMERS = 64,
    MR_IO_WORKS = 64,
    MR_IO_REASON_MAX = 96,
    MR_IO_NAME_MAX = 256,
    MR_IO_ALPN_MAX = 32
};

/* Bytes that the application gave to send. */
struct mr_io_segment {
    struct mr_io_segment *next;
    const uint8_t *data;
    size_t size;
    bool is_fin;
    uint8_t copy[]; /* of MR_SEND_COPY */
};

/* What a CONNECT needs, until it has come about. */
struct mr_io_wanted {
    struct mr_connect_options options;
    char server_name[MR_IO_NAME_MAX];
    uint8_t alpn[MR_IO_ALPN_MAX];
    uint8_t ticket[]; /* options.ticket_size */
};

/* A list of objects, each in it once. */
struct mr_io_list {
    struct mr_io_object *first, *last;
};

enum mr_io_list_number {
    MR_IO_NEWS,
    MR_IO_WISHES,
    MR_IO_LISTS
};

/* A connection or a stream. */
struct mr_io_object {
    uint32_t pool_link; /* the pool's, while free */
    uint32_t generation;
    struct mr_io_object *in_list[MR_IO_LISTS]; /* the next */
    bool is_listed[MR_IO_LISTS];
    bool is_used;
    bool is_stream;
    bool is_over;   /* CLOSED is told, or about to be */
    uint32_t kinds; /* events that are not told yet */
    uint32_t wants; /* wishes that are not told yet: 1 << enum mr_http3_io_kind */
    void *user;
    uint64_t user_data;
    uint64_t error;   /* of RESET, STOPPED, CLOSED */
    uint64_t code[2]; /* of the wishes RESET or CLOSE, and STOP */
    bool is_application, is_remote;
    char reason[MR_IO_REASON_MAX];

    /* a connection */
    struct mr_io_object *streams, *last_stream; /* oldest first */
    struct mr_io_wanted *wanted;                /* NULL: accepted, or it has come about */
    uint64_t opened[2]; /* [is_uni]: streams that the application has opened, */
    uint64_t made[2];   /* and of those, made by the caller */
    bool is_closing;    /* the application has closed it */

    /* a stream */
    struct mr_io_object *conn, *next, *previous;
    uint64_t id;
    struct mr_priority priority;
    bool is_open;                    /* on the wire */
    bool is_open_told, is_send_told; /* the wish, and nothing has come of it yet */
    bool is_send_over, is_receive_over;
    bool has_fin; /* was given to send */
    bool was_refused;
    struct mr_io_segment *segments, *last_segment;
    size_t queued;
    uint64_t sent_to;
    const uint8_t *fed; /* during mr_http3_io_feed() */
    size_t fed_size;
    bool is_feeding, is_fed_fin;
    bool is_held; /* not all was taken */
};

struct mr_io_timer {
    uint64_t due_ns;
    uint64_t user_data;
    bool is_armed;
};

struct mr_io_work {
    int64_t (*function)(void *argument);
    void *argument;
    uint64_t user_data;
};

struct mr_http3_io {
    struct mr_transport transport; /* first */
    struct mr_http3_io_config config;
    const struct mr_application *application;
    uint64_t now;
    struct mr_pool objects;
    void *memory;
    uint32_t conn_count, stream_count;
    struct mr_io_list lists[MR_IO_LISTS];
    struct mr_io_timer timers[MR_IO_TIMERS];
    struct mr_io_work works[MR_IO_WORKS];
    uint32_t work_count;
    bool is_inside; /* of the application */
};

/* ---- io_object.c ---- */

static inline bool mr_io_is_uni(const struct mr_io_object *o)
{
    return (o->id & 2) != 0;
}

mr_handle mr_io_handle_of(const struct mr_http3_io *io, const struct mr_io_object *o);

/* By handle; NULL: stale.  The latter two: of that kind, and not over. */
struct mr_io_object *mr_io_find(const struct mr_http3_io *io, mr_handle handle);
struct mr_io_object *mr_io_find_stream(const struct mr_http3_io *io, mr_handle handle);
struct mr_io_object *mr_io_find_conn(const struct mr_http3_io *io, mr_handle handle);

/* New ones; NULL: there is no room. */
struct mr_io_object *mr_io_make_conn(struct mr_http3_io *io);
struct mr_io_object *mr_io_make_stream(struct mr_http3_io *io, struct mr_io_object *conn);

/* Its END was told. */
void mr_io_forget(struct mr_http3_io *io, struct mr_io_object *o);

/* The oldest bytes are sent, or never will be. */
void mr_io_drop_segment(struct mr_io_object *o);

/* Put it into a list; take the first out of one, NULL: it is empty. */
void mr_io_push(struct mr_http3_io *io, enum mr_io_list_number which, struct mr_io_object *o);
struct mr_io_object *mr_io_pop(struct mr_http3_io *io, enum mr_io_list_number which);

/* The application is to hear of events; the caller, of a wish. */
void mr_io_tell(struct mr_http3_io *io, struct mr_io_object *o, uint32_t kinds);
void mr_io_want(struct mr_http3_io *io, struct mr_io_object *o, enum mr_http3_io_kind kind);

/* The next OPEN of its kind, in the order of their numbers. */
void mr_io_want_open(struct mr_http3_io *io, const struct mr_io_object *conn, bool is_uni);

/* A SEND, if there are bytes to send and none was told. */
void mr_io_want_send(struct mr_http3_io *io, struct mr_io_object *o);

/* A stream that is over in both ways has ended. */
void mr_io_look_at_end(struct mr_http3_io *io, struct mr_io_object *o);

/* ---- io_ops.c ---- */

extern const struct mr_transport_ops mr_io_operations;

#endif /* MR_HTTP3_IO_INTERNAL_H */
