/*
 * tests/interop/link_model.h - what happens to the frames of a link: when each arrives, or that it
 * does not.
 *
 *                 +-- one of each direction --------------------------------------+
 *     client ---> | NAT -> blackhole, drop list, loss -> queue -> rate -> delay   | ---> server
 *                 +---------------------------------------------------------------+
 *
 * The queue holds so many packets as wait for the wire; one more is dropped at its tail.  Only UDP
 * is treated badly: what finds addresses gets through.  A NAT gives the client another port or
 * address at times, and forgets the one before. Pure: time and frames come from the caller, chance
 * from a seed.
 *
 * Owner: the link.  Threads: one.
 */
#ifndef MR_TESTS_INTEROP_LINK_MODEL_H
#define MR_TESTS_INTEROP_LINK_MODEL_H

#include "base/random.h"
#include "tests/interop/link_frame.h"

enum {
    LINK_DROPS_MAX = 64,       /* of a drop list */
    LINK_CORRUPT_BYTES = 50,   /* of a datagram, one of which is changed */
    LINK_WAITING_MAX = 1 << 14 /* starts of packets that are remembered */
};

enum link_side {
    LINK_CLIENT,
    LINK_SERVER,
    LINK_SIDES
};

enum link_rebind {
    LINK_REBIND_NONE,
    LINK_REBIND_PORT,
    LINK_REBIND_ADDRESS
};

struct link_config {
    uint64_t delay_ns;
    uint64_t bits_per_s;
    uint32_t queue;           /* packets */
    uint32_t loss_percent;    /* of each direction */
    uint32_t corrupt_percent; /* likewise */
    uint32_t burst;           /* packets lost or corrupted one after the other, at most */
    uint64_t on_ns;           /* a blackhole: so long everything gets through, */
    uint64_t off_ns;          /* so long nothing; 0: none */
    enum link_rebind rebind;
    uint64_t rebind_first_ns; /* since the first packet */
    uint64_t rebind_every_ns;
    uint32_t drop_count[LINK_SIDES];
    uint32_t drops[LINK_SIDES][LINK_DROPS_MAX]; /* towards that side, counted from 1 */
    uint64_t seed;
};

/* What was done, towards each side. */
struct link_counts {
    uint64_t packets; /* UDP, that came to the link */
    uint64_t passed;
    uint64_t listed; /* dropped by the list */
    uint64_t lost;   /* by chance */
    uint64_t blackholed;
    uint64_t overflowed; /* the queue was full */
    uint64_t stale;      /* for a port or address that the NAT has forgotten */
    uint64_t corrupted;
    uint64_t crossed;          /* of other traffic: passed, */
    uint64_t cross_overflowed; /* and dropped, as the queue was full */
};

/* One direction's wire. */
struct link_wire {
    uint64_t busy_until_ns;
    uint32_t first; /* of the ring of starts */
    uint32_t waiting;
    uint32_t run; /* lost or corrupted, one after the other */
    uint64_t starts[LINK_WAITING_MAX];
};

struct link_model {
    struct link_config config;
    struct mr_random random;
    uint64_t begun_ns; /* the first packet; 0: none yet */
    uint32_t binding;  /* of the NAT: how often it changed */
    uint16_t client_port;
    uint8_t client_host;
    struct link_wire wire[LINK_SIDES];
    struct link_counts counts[LINK_SIDES];
};

void link_model_init(struct link_model *model, const struct link_config *config);

/*
 * A frame of `size` bytes goes to `side`; it is changed in place by NAT and corruption.  When it
 * arrives, ns; 0: never.
 */
uint64_t link_model_pass(struct link_model *model, enum link_side side, uint8_t *bytes, size_t size,
                         uint64_t now);

/* A frame of other traffic, which shares queue and wire with the rest and meets no other evil. When
 * it arrives, ns; 0: never. */
uint64_t link_model_cross(struct link_model *model, enum link_side side, size_t size, uint64_t now);

/* Is this last byte of an IPv4 address one that the NAT has made up? */
bool link_model_owns(const struct link_model *model, int host);

#endif /* MR_TESTS_INTEROP_LINK_MODEL_H */
