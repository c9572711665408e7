/*
 * dataplane/client_ports.h - the UDP ports of a client's shards: which are whose, and where a
 * connection goes from one of them when it migrates.
 *
 *     first           first + step                    first + count
 *     | 0 | 1 | 2 | 3 | 0 | 1 | 2 | 3 | 0 | ...           |        shards
 *
 * Every `step`-th port is one shard's: two shards never send from the same, and answers come back
 * to where they belong.  All of a group's lie below 65,536: there is no port 0.
 *
 * Owner: a value.  Threads: any.
 */
#ifndef MR_DATAPLANE_CLIENT_PORTS_H
#define MR_DATAPLANE_CLIENT_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#define MR_CLIENT_PORTS_EACH 4u /* ports of a shard: to one and from there to others */

struct mr_client_ports {
    uint16_t first;
    uint16_t count; /* of all shards; 0: ports are not divided */
    uint16_t step;  /* shards */
    uint16_t index; /* this shard's */
};

/* The highest port with which a group of `shards` may begin. */
static inline uint16_t mr_client_ports_first_max(uint32_t shards)
{
    return (uint16_t)(UINT16_MAX + 1u - shards * MR_CLIENT_PORTS_EACH);
}

/* Is it one of another shard's? */
static inline bool mr_client_ports_is_others(const struct mr_client_ports *p, uint16_t port)
{
    uint16_t at = (uint16_t)(port - p->first);

    return at < p->count && at % p->step != p->index;
}

/* The open port behind `port`, round about, that is not another shard's; 0: there is no other.
 * `is_open` says which are open, and is never asked for 0. */
static inline uint16_t mr_client_ports_next(const struct mr_client_ports *p, uint16_t port,
                                            bool (*is_open)(const void *context, uint16_t port),
                                            const void *context)
{
    for (uint32_t i = 1; i <= UINT16_MAX; i++) {
        uint16_t next = (uint16_t)(port + i);

        if (next != 0 && next != port && !mr_client_ports_is_others(p, next) &&
            is_open(context, next))
            return next;
    }
    return 0;
}

#endif /* MR_DATAPLANE_CLIENT_PORTS_H */
