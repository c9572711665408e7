/*
 * quic/endpoint_memory.h - how much of an endpoint's memory is in use, and by what.
 *
 * All memory is laid out at the start (quic/limits.h); objects are taken from pools.
 * What is counted here is the objects that are taken.  Tables and timers have a place
 * for each connection that there may be, used or not: mr_endpoint_footprint() has those.
 *
 * Owner: the endpoint.  Threads: the shard's only.
 */
#ifndef MR_QUIC_ENDPOINT_MEMORY_H
#define MR_QUIC_ENDPOINT_MEMORY_H

#include <stdint.h>

struct mr_endpoint;

/* 64-bit words only: they are added up over shards. */
struct mr_endpoint_memory {
    uint64_t conns;                /* objects of connections awake, those that close included */
    uint64_t conn_bytes;           /* the same in bytes */
    uint64_t asleep;               /* connections that sleep */
    uint64_t sleepers;             /* objects of those that sleep: one of each, or more if it has
                                      many streams (quic/conn_sleep.h) */
    uint64_t sleeper_bytes;        /* the same in bytes */
    uint64_t handshakes;           /* states of handshakes */
    uint64_t handshakes_peak;      /* at a time, ever */
    uint64_t handshakes_max;       /* that there may be: limits.handshakes_max */
    uint64_t handshake_bytes;      /* of `handshakes` */
    uint64_t handshake_bytes_each; /* of one */
    uint64_t streams;              /* objects of streams, of connections awake */
    uint64_t streams_asleep;   /* streams that sleep with their connections, in their sleepers */
    uint64_t stream_bytes;     /* of the former, and the numbers of both */
    uint64_t key_bytes;        /* expanded 1-RTT keys: a cache, limits.active_keys_max */
    uint64_t name_bytes;       /* server names that were asked for, each once */
    uint64_t other_bytes;      /* of all other pools: sent records, pieces, ... */
    uint64_t other_bytes_peak; /* the pools' peaks added up */
    uint64_t table_entries;    /* connection IDs, reset tokens, streams, names */
    uint64_t timers;           /* that are set */
};

/* Bytes of one object of a connection awake. */
uint32_t mr_endpoint_object_bytes(void);

/* O(1). */
void mr_endpoint_memory(const struct mr_endpoint *ep, struct mr_endpoint_memory *out);

#endif /* MR_QUIC_ENDPOINT_MEMORY_H */
