/*
 * tests/sim/sim.h - two endpoints, a network between them, virtual time.
 *
 *     client application  <->  endpoint  <->  network  <->  endpoint  <->  server application
 *
 * Time jumps to the next event: a datagram's arrival or an endpoint's deadline.
 * Everything random comes from one seed.  The network loses, delays, reorders,
 * duplicates, corrupts and drops what is larger than its MTU.
 *
 * The applications: the client opens streams; each asks for a number of bytes and
 * may bring some; both sides check every byte against its offset.  Beside, each side sends
 * unreliable datagrams: none arrives twice, or changed.
 */
#ifndef MR_TESTS_SIM_H
#define MR_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "quic/endpoint.h"

#define SIM_STREAMS_MAX   64
#define SIM_DATAGRAMS_MAX 512
#define SIM_DATAGRAM_MAX  9216
#define SIM_IN_FLIGHT_MAX 8192
#define SIM_BUFFERS       4096 /* of a side */

/* What a link does to ECN marks. */
enum sim_ecn {
    SIM_ECN_PASSED,
    SIM_ECN_BLEACHED, /* taken off */
    SIM_ECN_DROPPED,  /* packets with a mark are lost */
    SIM_ECN_SWAPPED,  /* ECT(0) becomes ECT(1), and the other way round */
    SIM_ECN_ALL_CE,
    SIM_ECN_KINDS
};

/* One direction's behaviour. */
struct sim_link {
    double loss; /* probability of each */
    double duplicate;
    double corrupt;
    double reorder;    /* of being delayed by up to jitter_ns more */
    uint64_t delay_ns; /* one way */
    uint64_t jitter_ns;
    uint64_t rate_bps; /* 0: unlimited */
    uint64_t queue_ns; /* longest wait for the rate; more is dropped */
    uint64_t mark_ns;  /* packets with a mark that wait longer for the rate get CE; 0: never */
    enum sim_ecn ecn;
    uint32_t mtu; /* UDP payload */
};

#define SIM_PATHS_MAX 4 /* of the client: each from an address of its own */

/* A further path of the client's (draft-ietf-quic-multipath).  Times after the start; 0: never. */
struct sim_path {
    struct sim_link link[2];
    uint64_t open_ns;
    uint64_t abandon_ns; /* by the client, or */
    bool is_server;      /* by the server */
    uint64_t fail_ns;    /* nothing passes any more, */
    uint64_t fail_bytes; /* but not before it has carried so many down, */
    uint64_t heal_ns;    /* until then */
    uint64_t backup_ns;  /* the client would rather not have it used */
};

/* 0-RTT in the client's connection, with the ticket of a first one. */
enum sim_early {
    SIM_EARLY_NONE,
    SIM_EARLY_ACCEPTED,
    SIM_EARLY_REFUSED, /* the server takes none any more */
    SIM_EARLY_KINDS
};

/* How the applications give streams up: bits. */
enum sim_abort {
    SIM_RESET = 1,   /* the client sends no more */
    SIM_STOP = 2,    /* the client wants no more */
    SIM_RESET_AT = 4 /* either sends no more but what was guaranteed */
};

struct sim_config {
    uint64_t seed;
    struct sim_link link[2]; /* [0] client to server, [1] back */
    uint32_t streams;        /* that the client opens, <= SIM_STREAMS_MAX */
    uint64_t down_bytes;     /* per stream */
    uint64_t up_bytes;
    uint32_t extensions[2]; /* client, server: of enum mr_extension */
    uint32_t datagrams;     /* that each side sends, <= SIM_DATAGRAMS_MAX */
    enum mr_cc_kind cc;
    bool has_ecn;
    enum mr_cipher cipher;
    enum mr_aead_backend backend;
    uint32_t retry_above; /* of the server; 0: always Retry */
    uint32_t payload_max;
    uint64_t time_limit_ns; /* virtual */
    uint64_t idle_timeout_ns;
    uint64_t keep_alive_ns; /* of the client; 0: none */
    uint64_t mtu_change_ns; /* after the start the links' MTU becomes mtu_change; 0: never */
    uint32_t mtu_change;
    bool tells_too_big;       /* who sends what the MTU does not let through is told */
    uint64_t rebind_every_ns; /* the client's NAT changes its port; 0: never */
    uint64_t rest_max_ns;   /* after each stream the client rests, so long at most, before it opens
                               the next; meanwhile both sides are put to sleep; 0: it opens all */
    uint64_t beat_every_ns; /* the client sends an empty datagram; 0: never */
    uint32_t rebinds_max;   /* so often at most; 0: any number */
    bool rebinds_late; /* not before both sides have confirmed the handshake, which RFC 9000 wants
                          to stay where it is (Section 9), and are where the server prefers */
    bool rebinds_address;          /* and its address, every other time */
    uint64_t migrate_every_ns;     /* the client goes to another port of its own; 0: never */
    bool has_preferred;            /* the server asks for another address */
    uint64_t update_keys_every_ns; /* both sides ask for key updates; 0: never */
    uint64_t stall_max_ns; /* each side is off its processor now and then, so long at most; 0: never
                            */
    uint64_t pause_at_ns;  /* after the start both sides do not run for pause_ns */
    uint64_t pause_ns;     /* 0: never */
    uint64_t job_max_ns;   /* longest TLS job; 0: done at once */
    enum sim_early early;
    struct mr_saved_path saved; /* without 0-RTT: what the client's token says of the path, and its
                                   ticket; window 0: it has none */
    uint8_t versions[2];        /* of QUIC, that the client wants: struct mr_connect_options */
    uint32_t paths_max;         /* of a connection, of each side; 0: one */
    struct sim_path paths[SIM_PATHS_MAX]; /* [0]: the first, of which only times count */
    uint8_t server_versions;              /* that the server accepts, enum mr_version_set; 0: all */
    uint8_t aborts;                       /* of enum sim_abort: some streams, on the way */
    bool has_ticket;  /* the client has a ticket, and a token, of a first connection */
    bool is_replayed; /* with early: somebody sends the client's first flight again when all is over
                       */
    bool has_priorities;       /* the server's streams have: the later opened, the more urgent */
    enum mr_cid_kind cid_kind; /* of the server's connection IDs */
    bool is_cid_encrypted;     /* the server's connection IDs are QUIC-LB's under a key */
    uint64_t cid_renew_ns;     /* peers go over to new connection IDs after it; 0: never */
    uint64_t cid_config_ns;    /* after the start the server has another such key; 0: never */
    uint64_t restart_bytes;    /* when the client has so many, the server forgets all; 0: never */
};

/* What the network did, and what anybody on it can see. */
struct sim_sightings {
    uint64_t lost;
    uint64_t reordered; /* came before one that was sent earlier */
    uint64_t corrupted;
    uint64_t rebound; /* times that the NAT changed its mapping */
    uint64_t spins;   /* turns of the spin bit in what the client sends */
    uint64_t greased; /* packets without the QUIC bit */
    uint64_t routed;  /* packets of the client's whose connection ID named the server's shard */
};

/* What HTTP/3 did: sim_http3.h. */
struct sim_http3 {
    uint64_t priority_updates; /* taken by the server */
    uint64_t tunnels;          /* opened at both sides */
    uint64_t datagrams;        /* received in DATAGRAM frames, by the side that got less */
    uint64_t inserted;         /* into the table of what the client sends */
    uint64_t blocked;          /* heads that waited for entries, both ways */
};

struct sim_result {
    bool is_complete; /* every stream delivered every byte, both ways, and ended */
    bool is_client_closed;
    bool is_server_closed;
    uint64_t client_error;
    uint64_t server_error;
    char client_reason[128];
    char server_reason[128];
    uint64_t bytes_down;
    uint64_t bytes_up;
    uint64_t bad_bytes;   /* that differ from what was sent; a datagram that is not right is one */
    uint64_t transfer_ns; /* from the client's first packet to the end of its last stream */
    uint64_t duration_ns; /* virtual */
    uint64_t datagrams;
    uint64_t digest; /* of every datagram sent, for comparing runs */
    uint64_t key_updates;
    uint64_t rebindings;                /* the server followed, the port */
    uint64_t migrations;                /* and the address, or to its preferred one */
    uint64_t migrations_done;           /* by the client */
    uint32_t mtu[2];                    /* of the client's path and the server's, at last */
    bool is_classic[2];                 /* they are under Prague, and took the queue for one */
    uint64_t path_bytes[SIM_PATHS_MAX]; /* down, as the network had them */
    uint64_t stalled_ns;            /* longest time without a byte for the client's application */
    uint64_t leaks;                 /* buffers, nodes or segments not given back */
    struct mr_counters counters[2]; /* client, server; without a first connection's */
    struct sim_sightings seen;
    uint64_t replays_refused; /* of 0-RTT, by the server's register */
    uint64_t reliable_resets;
    uint64_t stops;          /* streams that the client wanted no more of, at the server */
    uint32_t pairs;          /* of streams, that ended at the client one after the other */
    uint32_t pairs_in_order; /* of them those whose first was the more urgent */
    uint32_t version;        /* of QUIC, at last */
    struct sim_http3 http3;
    uint64_t moves;     /* between shards: sim_move.h */
    uint64_t preferred; /* the client's packets go to the preferred address */
    enum mr_cc_kind cc; /* of the server's path, at last */
};

/* A mild network and one stream of 100 KB, to start from. */
struct sim_config sim_config_default(uint64_t seed);

/* A network and a load drawn from the seed: what `make test` runs for many seeds. */
struct sim_config sim_config_random(uint64_t seed);

/* A network that loses nothing, and sides that are kept from running at random: every connection
 * must be made and every byte arrive. */
struct sim_config sim_config_starved(uint64_t seed);

/* Of both endpoints: few of everything. */
struct mr_limits sim_limits(void);

/* A number in [lo, hi], small ones as likely as large ones. */
uint64_t sim_draw(struct mr_random *random, uint64_t lo, uint64_t hi);

/* Run until all is done and both sides have closed, or the time limit.  Aborts on broken
 * invariants. */
void sim_run(const struct sim_config *config, struct sim_result *result);

#endif /* MR_TESTS_SIM_H */
