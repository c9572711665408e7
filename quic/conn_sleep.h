/*
 * quic/conn_sleep.h - connections at rest, in a third of the memory.
 *
 *     handle, timer --> number --+--> place in the pool of connections     awake
 *                                +--> place in the pool of sleepers        asleep
 *
 *     connection ID --> place                                             awake: not by the number
 *                   --> MR_CID_ASLEEP | number                            asleep
 *
 * What the peer is silent on, and nobody wants anything of, is packed: the image that
 * mr_conn_detach() leaves of the connection, as it moves to other shards, as its difference from
 * that of a new one (quic/pack.h).  Its streams are packed behind it, if they are at rest, too
 * (quic/stream_rest.h), and their objects given back: the six that HTTP/3 keeps open for life take
 * some 150 bytes.  Nothing of it is lost but expanded keys, packets sent that need
 * no answer, and a model of BBR, which begins anew.  Its name, its connection IDs, its reset token,
 * the address that its peer sees, and its timer stay where they are.
 *
 * It wakes when a packet comes with a connection ID of its own, when its timer fires, and when
 * anybody does something with its handle; to look at it (mr_conn_info()) it need not.
 *
 * A hand goes round the places of the awake, a step at a time, while fewer than a quarter of them
 * are free, or of the objects of streams: it puts to sleep what rests for sleep_after_ns, or, while
 * fewer than an eighth are, at all.  What keeps the others awake is counted (kept_awake_*).  Where
 * no place is free for one that should wake, or not as many for its streams: a packet is dropped,
 * an operation says -ENOMEM, a timer fires later, a close is done later (limit_awake).
 *
 * Owner: the endpoint.  Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_SLEEP_H
#define MR_QUIC_CONN_SLEEP_H

#include "quic/conn.h"

#define MR_SLEEPER_SIZE      1280                   /* bytes of a struct mr_sleeper */
#define MR_SLEEPER_BYTES     (MR_SLEEPER_SIZE - 24) /* of them, for what is packed */
#define MR_SLEEPER_PARTS     4 /* that a connection with many streams may take */
#define MR_SLEEP_STREAM_ROOM ((MR_SLEEPER_PARTS - 1) * MR_SLEEPER_BYTES)
#define MR_SLEEP_STREAMS_MAX 128          /* streams of a connection that sleeps */
#define MR_SLEEP_ROOM_MAX    8            /* put to sleep for an operation that needs room */
#define MR_SLEEP_CLOSE_LOOKS 512          /* numbers, for sleepers that are to be closed */
#define MR_SLEEP_LOOKS       64           /* places that a step of the hand looks at */
#define MR_SLEEP_STEP_MAX    16           /* connections that it puts to sleep */
#define MR_SLEEP_STEP_NS     MR_MS        /* from step to step, */
#define MR_SLEEP_SCARCE_NS   (MR_MS / 10) /* while places are scarce, and it finds some */
#define MR_SLEEP_RETRY_NS    (10 * MR_MS) /* a timer that found no place to wake its connection */
#define MR_SLEEP_AFTER_NS    (2 * MR_SECOND) /* the default of sleep_after_ns */

/* A connection at rest; a pool object. */
struct mr_sleeper {
    uint32_t number;       /* the connection's */
    uint32_t next;         /* another one, in whose bytes its streams go on; MR_NONE */
    uint64_t close_code;   /* with MR_PLACE_CLOSES */
    uint16_t size;         /* bytes of its image */
    uint16_t stream_bytes; /* of its streams, in all its sleepers */
    uint16_t streams;
    uint8_t cc_kind; /* enum mr_cc_kind */
    uint8_t zero;
    uint8_t bytes[MR_SLEEPER_BYTES]; /* its image, packed: it holds secrets; its streams */
};

_Static_assert(sizeof(struct mr_sleeper) == MR_SLEEPER_SIZE, "no padding");

/*
 * Put the connection to sleep, if it is at rest.  Not between the steps of a receive burst, nor
 * between build and seal.  0; -ESTALE; -EBUSY: something keeps it awake (counted), or it sleeps
 * already; -ENOMEM: no sleeper is free (limit_sleepers).
 */
int mr_conn_sleep(struct mr_endpoint *ep, mr_handle conn);

/* ---- for the trunk ---- */

/* What new connections are like: what sleepers are packed against. */
void mr_sleep_init(struct mr_endpoint *ep);

/* How many streams the one with this number has, which sleeps. */
uint32_t mr_sleep_streams(const struct mr_endpoint *ep, uint32_t number);

/* A stream to look at: its connection may sleep on, then it is put into `copy`.  NULL: stale.
 * O(streams) then. */
const struct mr_stream *mr_stream_look(const struct mr_endpoint *ep, mr_handle handle,
                                       struct mr_stream *copy);

/* The streams of a connection that sleeps, one after the other, the oldest first: to look at.  What
 * it takes is secret: wiped by mr_sleep_walk_end(). */
struct mr_sleep_walk {
    struct mr_conn conn; /* without lists */
    size_t at;
    size_t size;
    uint8_t bytes[MR_SLEEP_STREAM_ROOM];
};
void mr_sleep_walk_begin(const struct mr_endpoint *ep, uint32_t number, struct mr_sleep_walk *walk);
bool mr_sleep_walk_next(const struct mr_endpoint *ep, struct mr_sleep_walk *walk,
                        struct mr_stream *stream_out);
void mr_sleep_walk_end(struct mr_sleep_walk *walk);

/* Are all of the connection's streams at rest, and not too many? */
bool mr_sleep_streams_rest(const struct mr_endpoint *ep, const struct mr_conn *conn);

/* Pack them, the oldest first.  The bytes at `out`; SIZE_MAX: more than `room`. */
size_t mr_sleep_pack_streams(const struct mr_endpoint *ep, const struct mr_conn *conn, uint8_t *out,
                             size_t room);

/* Give back what was packed: their handles lead to the connection's number. */
void mr_sleep_put_streams(struct mr_endpoint *ep, struct mr_conn *conn);

/* Give the connection its streams again: there are places for them. */
void mr_sleep_take_streams(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *bytes,
                           size_t size);

/* Ask for the memory that mr_conn_rouse() will touch. */
void mr_sleep_ask(const struct mr_endpoint *ep, uint32_t number);

/* Wake the one with this number, if it sleeps: its connection; NULL: no place is free (counted).
 * One of a packet does not make room: others of its burst have their places. */
struct mr_conn *mr_conn_rouse(struct mr_endpoint *ep, uint32_t number, bool makes_room);

/* A place was taken, or there was none for a stream: the hand may have to go. */
void mr_sleep_on_taken(struct mr_endpoint *ep);

/* Close the sleeper, for which there is no place to wake it now, as soon as there is one. */
void mr_sleep_close(struct mr_endpoint *ep, uint32_t number, uint64_t code);

/* Close the sleepers, too: as many at a time as there are places to wake them. */
void mr_sleep_close_all(struct mr_endpoint *ep, uint64_t code);

/*
 * The connection drains, its last event is told, and its place is needed: it may be freed at once,
 * since its connection IDs get no stateless resets for as long as it would have drained (RFC 9000,
 * Section 10.2: "Endpoints that have some alternative means to ensure that late-arriving packets do
 * not induce a response [...] MAY end these states earlier").  Thus many sleepers can be closed by
 * their peers at a time.
 */
bool mr_sleep_cuts_draining(struct mr_endpoint *ep, const struct mr_conn *conn);

/* It is time, ep->now, for a step of the hand. */
void mr_sleep_expire(struct mr_endpoint *ep);

/* Free the sleepers; nobody is awake any more. */
void mr_sleep_fini(struct mr_endpoint *ep);

/* Panic unless numbers and sleepers name each other. */
void mr_sleep_check(const struct mr_endpoint *ep);

#endif /* MR_QUIC_CONN_SLEEP_H */
