/*
 * tests/support/loop_transport.h - two applications joined by a transport in memory, in one thread.
 *
 *     side 0 (client)                                    side 1 (server)
 *     ops -> send queues --pieces--> receive buffers -> events
 *                        <---acks---
 *
 * A whole mr_transport for each side: connections, streams, flow control, acknowledgements, timers,
 * work.  One step moves some of everything; what and how much comes from a seed, so that a failing
 * run repeats.  Data is delivered in copies of exact size (ASan sees every overrun), and when bytes
 * are acknowledged they are compared with what the sender's buffer holds then: a buffer that was
 * used again too early is a failure, as it would be a corrupt retransmission.
 *
 * For tests only: it uses malloc, and panics on misuse.
 */
#ifndef MR_TESTS_SUPPORT_LOOP_TRANSPORT_H
#define MR_TESTS_SUPPORT_LOOP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/transport.h"

struct loop;

/* Which events a connection's end brings to its streams. */
enum loop_close_order {
    LOOP_STREAMS_LAST,  /* the streams' CLOSED after the connection's */
    LOOP_STREAMS_FIRST, /* before it */
    LOOP_STREAMS_NONE,  /* the connection's only */
};

struct loop_config {
    uint64_t seed;
    size_t stream_window; /* bytes that may be received and not released */
    size_t piece_max;     /* bytes delivered to a stream in one step, at most */
    size_t view_max;      /* bytes of one view of receive(), at most */
    size_t queue_max;     /* bytes queued on a stream: more is -EAGAIN */
    uint32_t bidi_max;    /* streams that the client may have open on a connection */
    uint32_t uni_max;     /* that either side may open on a connection */
    uint32_t work_max;    /* work at once */
    uint32_t batch_max;   /* events in one call */
    uint32_t
        refuse_percent;    /* chance that a call for which there is room says -ENOMEM or -EAGAIN */
    uint32_t idle_percent; /* chance that a stream's data or acks do not move in a step */
    enum loop_close_order close_order;
    bool refuses_reset_at;          /* the peers do not take it */
    uint32_t datagram_max;          /* bytes of the largest datagram, <= 1200; 0: none are taken */
    uint32_t datagram_queue_max;    /* that may be on their way, and that may wait to be read */
    uint32_t datagram_lost_percent; /* chance that a datagram does not arrive */
    bool has_early;                 /* servers take 0-RTT: until loop_confirm() all may be copies */
    bool has_tickets;               /* clients get LOOP_TICKET when they are connected, */
    bool has_ticket_heads;          /* and what comes after the first is its head, in capitals */
    bool is_careless; /* buffers may change before they are acknowledged: somebody is hostile */
};

#define LOOP_TICKET "a ticket of the loop's, in which the path it came from is remembered: nothing"

struct loop_config loop_config_default(uint64_t seed);

/* Join `client` and `server`; calls on_start of both.  Both must outlive the loop. */
struct loop *loop_new(const struct loop_config *config, const struct mr_application *client,
                      const struct mr_application *server);

/* Calls on_stop of both. */
void loop_free(struct loop *loop);

/* Move some of everything once, deliver what it causes.  False: nothing moved, and nothing is due.
 */
bool loop_step(struct loop *loop);

/* Step until nothing moves and no work is out, at most `steps` times; timers may be pending. False:
 * it still moves. */
bool loop_run(struct loop *loop, uint64_t steps);

/* Let `ns` pass: timers that fall due in it fire, everything moves. */
void loop_pass(struct loop *loop, uint64_t ns);

/* One step is this long. */
#define LOOP_STEP_NS UINT64_C(100000)

struct mr_transport *loop_transport(struct loop *loop, unsigned side);

/* The handshakes of all connections are complete: MR_EVENT_CONFIRMED. */
void loop_confirm(struct loop *loop);

/* The path lets datagrams of so many bytes through from now on, <= 1200. */
void loop_set_datagram_max(struct loop *loop, uint32_t bytes);

/* Cut every connection: CLOSED without an application's code, as after an idle timeout. */
void loop_cut(struct loop *loop);

/* Connections from now on come to this listener's number. */
void loop_set_listener(struct loop *loop, uint32_t listener);

/* Raise MR_EVENT_GO_AWAY on a side. */
void loop_go_away(struct loop *loop, unsigned side);

/* Hold work back (true), or let it run (false, as at first). */
void loop_hold_work(struct loop *loop, bool is_held);

/* Hold acknowledgements of what `side` sends back. */
void loop_hold_acks(struct loop *loop, unsigned side, bool is_held);

/* As loop_config.refuse_percent, from now on. */
void loop_set_refuse(struct loop *loop, uint32_t percent);

/* ---- moves between two shards of a side ---- */

struct mr_move_hooks;

/* A second shard for a side, with an application of its own, and the hooks of both; calls its
 * on_start.  New connections come to shard 0, unless loop_accept_on() says otherwise. */
void loop_add_shard(struct loop *loop, unsigned side, const struct mr_application *application,
                    const struct mr_move_hooks *first, const struct mr_move_hooks *second);
void loop_accept_on(struct loop *loop, uint32_t shard);
struct mr_transport *loop_shard_transport(struct loop *loop, unsigned side, uint32_t shard);

/* A connection as a side calls it now, and the shard that has it. */
struct loop_conn_place {
    mr_handle conn; /* MR_HANDLE_NONE: there is none */
    uint32_t shard;
};

/* Number `index` of the connections that live. */
struct loop_conn_place loop_conn_at(const struct loop *loop, unsigned side, uint32_t index);

/* Ask that the connection goes from shard `shard` to the other, as the control thread does.  0 or
 * -errno. */
int loop_order_move(struct loop *loop, unsigned side, uint32_t shard, mr_handle conn);

/* Moves stay where they are, between two stages. */
void loop_hold_moves(struct loop *loop, bool is_held);

/* The next that is offered is refused with `error` < 0, although its application takes it. */
void loop_refuse_move(struct loop *loop, int error);

/* A local port from which the client's datagrams never arrive. */
#define LOOP_DEAF_PORT 9

/* Paths of a connection, those that are over, too. */
#define LOOP_PATHS 5

/* What `side` said last of the newest stream with the ID, if it lives. */
struct mr_priority loop_priority(const struct loop *loop, unsigned side, uint64_t id);

/* Objects that live; 0 when all is over. */
uint32_t loop_stream_count(const struct loop *loop);
uint32_t loop_conn_count(const struct loop *loop);
uint32_t loop_work_count(const struct loop *loop);

#endif /* MR_TESTS_SUPPORT_LOOP_TRANSPORT_H */
