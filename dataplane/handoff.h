/*
 * dataplane/handoff.h - which application gets an accepted connection: the policy table.
 *
 *     connection (UDP port, ALPN, SNI) --first listener that matches--> listener
 *     listener's inline application, of the shard that accepted
 *     or its rings that are attached --policy--> one of them; none: the connection is refused
 *
 * The control thread makes a table and publishes it to every shard (mr_app_host_set_policy()); the
 * shard reads it when it accepts, so that connections go on being accepted while the control thread
 * is blocked.  A table never changes once it is published; a new one replaces it.
 *
 * Owner: the control thread.  Threads: any may read a published table.
 * Limits: MR_LISTENERS_MAX listeners.
 */
#ifndef MR_DATAPLANE_HANDOFF_H
#define MR_DATAPLANE_HANDOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/attach_layout.h"

#define MR_LISTENERS_MAX   64 /* a ring's are a bit mask */
#define MR_LISTENER_SERVER 256

enum mr_handoff_policy {
    MR_HANDOFF_ROUND_ROBIN,  /* the rings in turn */
    MR_HANDOFF_LEAST_LOADED, /* the ring with the fewest connections */
    MR_HANDOFF_ACCEPT        /* only to rings that wait with ACCEPT, first come first served */
};

/* What becomes of connections whose application is gone. */
enum mr_handoff_death {
    MR_DEATH_CLOSE,  /* closed with `death_code` */
    MR_DEATH_INHERIT /* given to another ring of the listener; none: closed */
};

struct mr_handoff_listener {
    char name[MR_ATTACH_NAME];
    char application[MR_ATTACH_NAME];     /* whose rings may serve it */
    char alpn[MR_ATTACH_NAME];            /* "": any */
    char server_name[MR_LISTENER_SERVER]; /* SNI, in lower case; "": any; "*.x": any label of x */
    uint16_t port;                        /* 0: any */
    uint8_t member;                       /* 0: `application` attaches; n + 1: it is the inline
                                             application number n of dataplane/dispatch.h */
    uint8_t policy;                       /* enum mr_handoff_policy */
    uint8_t death;                        /* enum mr_handoff_death */
    bool prefers_node;                    /* rings of threads on the shard's NUMA node first */
    uint64_t refuse_code;                 /* nobody takes the connection */
    uint64_t death_code;
    uint32_t conns_max; /* of one ring; 0: its objects are the limit */
};

struct mr_handoff {
    uint32_t listener_count;
    struct mr_handoff_listener listener[MR_LISTENERS_MAX];
};

/*
 * Number of the first listener that matches, MR_LISTENERS_MAX: none.  `alpn` is compared byte by
 * byte, `server_name` in any case; a client that sent no SNI has "", which only a listener for any
 * name takes.  O(listeners).
 */
uint32_t mr_handoff_find(const struct mr_handoff *handoff, uint16_t port, const char *alpn,
                         const char *server_name);

/*
 * Is `name` what `pattern` stands for: equal in any case, or one non-empty label before the rest of
 * "*.rest"?  Neither "rest" itself nor two labels before it match (RFC 9525, Section 6.3).
 */
bool mr_server_name_matches(const char *pattern, const char *name);

#endif /* MR_DATAPLANE_HANDOFF_H */
