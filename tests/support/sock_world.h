/*
 * tests/support/sock_world.h - sockets over the loop of tests/support/loop_transport.h: two hosts,
 * a client's and a server's, in one thread and virtual time.
 *
 *     host[CLIENT] -- registration -- loop -- registration -- host[SERVER]
 *          \------------ ops.run(): one step of everything -------/
 *
 * A blocking call of either side steps the world until it is woken; meanwhile `react`, if set, is
 * called after each step and plays the other side with non-blocking calls.
 *
 * For tests only: one world at a time, mallocs, panics on misuse.
 */
#ifndef MR_TESTS_SUPPORT_SOCK_WORLD_H
#define MR_TESTS_SUPPORT_SOCK_WORLD_H

#include "app/events.h"
#include "app/socket_host.h"
#include "tests/support/loop_transport.h"

enum {
    CLIENT = 0,
    SERVER = 1,
    WORLD_TIMERS = 64,
    WORLD_WATCHES = 256,
};

#define MS UINT64_C(1000000)

struct world_timer {
    uint64_t at;
    void (*handler)(void *argument); /* NULL: free */
    void *argument;
};

struct world_watch {
    int fd;
    uint32_t events; /* 0: free */
    void (*handler)(void *argument, uint32_t events);
    void *argument;
};

struct sock_world {
    struct loop_config config;
    struct mr_registration_limits limits;
    struct loop *loop;
    struct mr_registration *reg[2];
    struct mr_sock_host *host[2];
    struct mr_sock *listener; /* the server's */
    struct mr_sock *conn;     /* the client's */
    struct mr_sock *peer;     /* the server's end of it */
    void (*react)(void);
    void (*act)(void); /* at act_at */
    uint64_t act_at;
    bool is_inside;   /* a step is under way */
    bool is_checking; /* invariants after each step; as prepared: true */
    uint64_t steps;
    struct world_timer timer[WORLD_TIMERS];
    struct world_watch watch[WORLD_WATCHES];
    struct mr_loop_entry *posted;
    struct mr_loop_entry *posted_tail;
};

extern struct sock_world world;

/* A plain loop of a seed, default limits. */
void world_prepare(uint64_t seed);

/* Make both sides; the server listens with a backlog of 16, its sockets do not block. */
void world_start(void);

/* world_prepare(), world_start(), a connection of which both ends are open and do not block. */
void world_connect(uint64_t seed);

/* A pair of ends of a new stream of the client's, none of them blocking; the peer learns of it by a
 * byte, which is read. */
void world_stream(struct mr_sock **client_out, struct mr_sock **server_out);

/* The same, for sending one way; the byte is read. */
void world_uni(struct mr_sock **sender_out, struct mr_sock **receiver_out);

/* After `ns`, once, in a step: the other side's turn.  It is the world's `react`. */
void world_later(uint64_t ns, void (*what)(void));

/* Step once.  True: something moved. */
bool world_step(void);

/* Until nothing has moved for a while. */
void world_run(void);

uint64_t world_now(void);

/* Close listener and connection, end everything, check that nothing is left, free. */
void world_end(void);

struct mr_connect_options world_options(void);

void world_stats(unsigned side, struct mr_sock_host_stats *stats_out);

#endif /* MR_TESTS_SUPPORT_SOCK_WORLD_H */
