/*
 * tests/support/events_world.h - two registrations (millrace/events.h) joined by a transport in
 * memory, and a handler that writes down what it is told.
 *
 *     client (side 0): conn, streams             server (side 1): listener, conns, streams
 *
 * A node is an object's context: its name in the trace, and what it does beside the usual: accept
 * connections and streams, consume everything, close an object with its last event.  The trace of a
 * side reads "L.NEW_CONNECTION C.CONNECTED S.RECEIVE(5) ...".
 *
 * For tests only: one world at a time, panics on misuse.
 */
#ifndef MR_TESTS_SUPPORT_EVENTS_WORLD_H
#define MR_TESTS_SUPPORT_EVENTS_WORLD_H

#include "app/events.h"
#include "millrace/events.h"
#include "tests/support/loop_transport.h"

enum {
    CLIENT = 0,
    SERVER = 1,
    WORLD_TRACE = 16384,
    WORLD_NODES = 64,
    WORLD_BYTES = 1 << 20,
};

struct node;

/* More than the usual.  True: `answer_out` is the handler's answer, the usual is not done. */
typedef bool (*node_react)(struct node *node, struct mr_ev *event, enum mr_ev_answer *answer_out);

struct node {
    const char *name;
    unsigned side;
    node_react react;
    mr_object object;         /* of the last event */
    struct node *conn_node;   /* listeners: of their connections */
    struct node *stream_node; /* connections: of the peer's streams */
    uint32_t told[MR_EV_SEND_SHUTDOWN_COMPLETE + 1];
    struct mr_ev last; /* of the last event; its pointers are stale */
    size_t received;
    uint8_t *bytes; /* received; NULL: not kept */
    bool has_fin;
    uint32_t inside; /* handlers of it on the stack */
};

struct world {
    struct loop_config config;
    struct mr_registration_limits limits;
    struct loop *loop;
    struct mr_registration *reg[2];
    char trace[2][WORLD_TRACE];
    size_t trace_size[2];
    bool is_quiet; /* no trace */
    struct node listener, server_conn, server_stream;
    struct node conn, stream;
};

extern struct world world;

/* The usual nodes, a loop of a seed, default limits, no registration yet. */
void world_prepare(uint64_t seed);

/* Make registrations and the loop, listen with the `listener` node, drive both once. */
void world_start(void);

/* world_prepare(seed), world_start(), connect with the `conn` node, run until nothing moves. */
void world_connect(uint64_t seed);

/* Run until nothing moves, checking invariants. */
void world_run(void);

/* Close what is left, run, check that nothing is left, free. */
void world_end(void);

/* The handler whose context is a node. */
enum mr_ev_answer node_handler(void *context, struct mr_ev *event);

struct mr_connect_options world_options(void);

/* Open a stream of the client's connection with `node`. */
int world_open(struct node *node, uint32_t flags, mr_object *stream_out);

/* Send text on a stream of a side. */
int world_send(unsigned side, mr_object stream, const char *text, uint32_t flags, void *context);

/* Append to a side's trace. */
void world_note(unsigned side, const char *text);

/* Forget what was written down. */
void world_forget(void);

#endif /* MR_TESTS_SUPPORT_EVENTS_WORLD_H */
