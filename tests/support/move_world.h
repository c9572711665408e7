/*
 * tests/support/move_world.h - three shards and a peer, a bad network, and a connection that moves
 * between the shards.
 *
 *     shard 0 \
 *     shard 1  > -- network (tests/sim/sim_network.h) -- peer
 *     shard 2 /
 *
 * Datagrams of the peer arrive at one of the shards, like with RSS, not always the owner's; shards
 * pass them on.  An application at each side sends and checks a pattern on every stream, both ways,
 * and numbered datagrams, and checks that events come when and where they may.  Virtual time, one
 * seed.
 */
#ifndef MR_TESTS_SUPPORT_MOVE_WORLD_H
#define MR_TESTS_SUPPORT_MOVE_WORLD_H

#include "control/tls_context.h"
#include "quic/conn_move.h"
#include "tests/sim/sim_nat.h"
#include "tests/sim/sim_network.h"

#define MOVE_SHARDS        3
#define MOVE_PEER          3 /* node number of the peer */
#define MOVE_NODES         4
#define MOVE_STREAMS_MAX   32
#define MOVE_DATAGRAMS_MAX 64
#define MOVE_BUFFERS       2048
#define MOVE_RECORD_MAX    (4u << 20)

struct move_config {
    uint64_t seed;
    enum mr_role role; /* of the shards */
    double loss;
    double reorder;
    const struct sim_link *links; /* both directions, in place of these two; NULL: made of them */
    uint64_t rebind_every_ns;     /* the client's NAT forgets it, once it can move; 0: never */
    uint32_t rebinds_max;         /* so often at most */
    uint64_t keep_alive_ns;       /* of the client; 0: none */
    uint32_t streams;
    uint64_t bytes;          /* of each stream, each way */
    uint64_t rest_at;        /* after so many of them a stream rests; 0: not any more */
    uint32_t datagrams;      /* that each side sends, at most MOVE_DATAGRAMS_MAX */
    bool is_slow_reader;     /* leaves data unread, so that records carry it */
    bool is_cut_off;         /* what is under way when the connection leaves gets lost */
    bool is_bbr;             /* congestion control, for which the shards have two models each */
    bool wants_resets;       /* some streams are reset and stopped */
    struct mr_limits limits; /* of the shards; all 0: ample */
};

/* Ample ones: what `limits` of all 0 stands for. */
struct mr_limits move_world_limits(void);

/* A stream, as the application of one side knows it. */
struct move_stream {
    mr_handle handle;
    uint64_t id;
    uint64_t queued; /* sent, from the application's view */
    uint64_t acked;
    uint64_t received;
    bool is_fin_queued;
    bool has_fin;
    bool is_closed;
    bool was_aborted;
    bool was_opened; /* the peer's: STREAM_OPENED was told */
};

struct move_app {
    enum mr_role role;
    mr_handle conn;
    uint32_t node; /* where its connection is; MR_NONE: between two shards */
    bool is_connected;
    bool is_closed;
    bool has_asked_close;
    uint64_t error;
    uint32_t stream_count;
    uint32_t closed_count;
    uint32_t moves;          /* told by MOVED_IN */
    uint32_t in_handler;     /* handlers that run now */
    uint64_t wrong;          /* events or bytes that must not be */
    const char *first_wrong; /* what it was */
    uint32_t datagrams_sent;
    uint32_t datagrams_received;
    bool is_datagram_refused; /* until WRITABLE */
    bool has_datagrams;       /* told by DATAGRAM, until there is none */
    bool has_come[MOVE_DATAGRAMS_MAX];
    struct move_stream streams[MOVE_STREAMS_MAX];
};

struct move_node {
    struct mr_endpoint *ep;
    void *memory;
    struct sim_buffer *buffers;
    struct sim_buffer *free_buffers[MOVE_BUFFERS];
    uint32_t free_count;
};

/* Where a move is. */
enum move_phase {
    MOVE_NONE,
    MOVE_EXPORTED, /* the record is on its way */
    MOVE_IMPORTED, /* the old shard has not told MOVED yet */
    MOVE_TOLD,     /* the new shard may not tell yet */
};

struct move_world {
    struct move_config config;
    struct sim_network net;
    struct sim_nat nat;
    uint64_t next_rebind_ns; /* MR_NEVER: not any more, or not yet */
    struct mr_random random;
    uint64_t now;
    struct mr_aead *aead;
    struct mr_tls_context server_tls;
    struct mr_tls_context client_tls;
    struct mr_certificate certificate;
    void *library;
    struct move_node node[MOVE_NODES];
    struct move_app app[2]; /* [0] the shards', [1] the peer's */
    uint32_t rss;           /* the shard that datagrams arrive at */
    uint32_t longest_way;   /* most shards that a datagram has passed */
    bool is_deaf;           /* the shards' application fetches no events */
    /* the move under way */
    enum move_phase phase;
    uint32_t from;
    uint32_t to;
    mr_handle old_conn;
    mr_handle new_conn;
    struct mr_conn_record *record;
    uint32_t moved;     /* moves done */
    uint32_t came_back; /* moves that were undone */
};

/* The shards and the peer, nothing connected.  Free with move_world_close(). */
struct move_world *move_world_open(const struct move_config *config);

/* Connect, and run until the shards' connection can move (its handshake and, at a client, the wait
 * for tickets are over).  False: it came to nothing. */
bool move_world_connect(struct move_world *w);

/* Advance to the next event, do what is due, check every invariant.  False: nothing will happen. */
bool move_world_step(struct move_world *w);

/* Steps, until `span_ns` have passed. */
void move_world_run(struct move_world *w, uint64_t span_ns);

/* A move and its parts.  Each answers as the engine's function does. */
int move_world_export(struct move_world *w, uint32_t to);
int move_world_import(struct move_world *w);
int move_world_undo(struct move_world *w); /* import where it came from */
void move_world_tell(struct move_world *w);
void move_world_arrive(struct move_world *w);

/* All of them, one after the other. */
int move_world_move(struct move_world *w, uint32_t to);

/* One of the parts, to another shard, some of the time: call it after each step.  False: it was
 * refused, for another reason than that the connection cannot move now. */
bool move_world_roam(struct move_world *w);

/* Let the applications act: receive events, read, send. */
void move_world_settle(struct move_world *w);

/* Did every datagram that was sent arrive, read or dropped because of a slow reader?  Only where
 * nothing gets lost on the way. */
bool move_world_has_all_datagrams(const struct move_world *w);

/* Every stream delivered every byte both ways, in order, with FIN, acknowledged, and closed. */
bool move_world_is_done(const struct move_world *w);

/* Close from the peer's side and wait until nothing is left anywhere, forwarding included. */
void move_world_finish(struct move_world *w);

/* Free everything.  Returns how much was not given back: buffers, table entries, objects. */
uint64_t move_world_close(struct move_world *w);

#endif /* MR_TESTS_SUPPORT_MOVE_WORLD_H */
