/*
 * quic/limits.h - every limit of an endpoint, in one struct; all memory is laid out from it at
 * start.
 *
 * Pools are overcommitted: each limit has a defined answer when it is hit, and a counter
 * (quic/counters.h).
 */
#ifndef MR_QUIC_LIMITS_H
#define MR_QUIC_LIMITS_H

#include <stdint.h>

struct mr_limits {
    uint32_t connections_max; /* more: Initials are dropped, connect() says -EAGAIN */
    uint32_t awake_max; /* of them, the others sleep (quic/conn_sleep.h); more: Initials and packets
                           of sleepers are dropped, operations say -ENOMEM; 0, or connections_max:
                           none ever sleeps */
    uint32_t sleepers_max;       /* connections asleep; more: they stay awake */
    uint32_t handshakes_max;     /* in flight; more: Initials are dropped, connect() says -EAGAIN */
    uint32_t streams_max;        /* of all connections awake; more: the packet that opens one is not
                                    acknowledged, open() says -ENOMEM, a sleeper does not wake */
    uint32_t stream_numbers_max; /* of all connections, asleep or awake; more: as above; fewer than
                                    streams_max: as many */
    uint32_t segments_max;       /* send segments; more: send() says -ENOMEM */
    uint32_t ranges_max;  /* received and acknowledged ranges, reassembly nodes; more: the packet is
                             not acknowledged */
    uint32_t chunks_max;  /* 1 KiB chunks: sent records and their directories, copied send data;
                             more: sending waits */
    uint32_t compact_max; /* 2 KiB buffers that received pieces are copied to, small ones and those
                             beyond pinned_max; more, or more of a stream that is not read than is
                             its share: the packet is not acknowledged */
    uint32_t
        datagram_chunks_max;     /* 1 KiB chunks of datagrams (RFC 9221) that wait to be sent or to
                                    be read; more: sending says -ENOMEM, arriving ones are dropped */
    uint32_t datagram_queue_max; /* of them in one direction of a connection; more: sending says
                                    -EAGAIN, arriving ones are dropped */
    uint32_t names_max; /* different server names that connections asked for; more: conn_info shows
                           none */
    uint32_t multipaths_max;   /* connections that offer multipath; more: it is not offered */
    uint32_t path_records_max; /* further paths of connections; more: no connection ID is given for
                                  another path, and none that comes is kept */
    uint32_t extras_max; /* connections that answer path challenges at a time; more: a challenge is
                            not answered */
    uint32_t models_max; /* connections under BBR; more: they are under CUBIC */
    uint32_t pinned_max; /* port buffers that streams may hold in all; more: data is copied to
                            compact buffers */
    uint32_t active_keys_max; /* connections with expanded 1-RTT keys; more: the least recently used
                                 are dropped and rebuilt */
};

/* Limits for `connections` connections, with room for all of them to be active at a moderate rate.
 */
struct mr_limits mr_limits_for(uint32_t connections);

/* Places of awake connections that are kept free while others can sleep: a quarter. */
static inline uint32_t mr_limits_spare(const struct mr_limits *limits)
{
    return limits->awake_max / 4 + 1;
}

/* Let all but `awake` of the connections sleep: awake_max, and sleepers_max with a place for each
 * of the others, and for those that the hand keeps places free of; streams_max as for the awake,
 * and numbers for the streams of all.  0, or not fewer than connections_max: none sleeps. */
void mr_limits_let_sleep(struct mr_limits *limits, uint32_t awake);

/* The same with a number in awake_max: where none sleeps, connections_max. */
struct mr_limits mr_limits_resolved(const struct mr_limits *limits);

/* Room for connections that have up to `paths` paths at a time, the first of which needs none. */
void mr_limits_add_paths(struct mr_limits *limits, uint32_t paths);

#endif /* MR_QUIC_LIMITS_H */
