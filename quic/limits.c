/* quic/limits.c - see limits.h. */
#include "quic/limits.h"

#include <stdbool.h>

#include "base/compiler.h"

#define STREAMS_EACH 8u /* the six that HTTP/3 keeps open, and two requests */

static uint32_t streams_of(uint32_t connections)
{
    return MR_MAX(4096u, MR_MIN(connections * STREAMS_EACH, 524288u));
}

struct mr_limits mr_limits_for(uint32_t connections)
{
    /* Few connections each get much; many share what moderate traffic needs. */
    return (struct mr_limits){
        .connections_max = connections,
        .handshakes_max = MR_MIN(connections, 1024u),
        .streams_max = streams_of(connections),
        .segments_max = MR_MAX(16384u, MR_MIN(connections * 8u, 524288u)),
        .ranges_max = MR_MAX(65536u, MR_MIN(connections * 4u, 262144u)),
        .chunks_max = MR_MAX(16384u, MR_MIN(connections * 4u, 262144u)),
        .compact_max = MR_MAX(32768u, MR_MIN(connections, 65536u)),
        .datagram_chunks_max = MR_MAX(2048u, MR_MIN(connections, 16384u)),
        .datagram_queue_max = 128,
        .names_max = MR_MIN(connections, 4096u),
        .extras_max = MR_MAX(64u, MR_MIN(connections, 4096u)),
        .multipaths_max = 0, /* nor are there several paths unless somebody wants them */
        .path_records_max = 0,
        .models_max = 0, /* who configures BBR says how many */
        .pinned_max = 8192,
        .active_keys_max = MR_MIN(connections, 4096u),
    };
}

void mr_limits_let_sleep(struct mr_limits *limits, uint32_t awake)
{
    bool sleeps = awake > 0 && awake < limits->connections_max;

    limits->awake_max = sleeps ? awake : 0;
    limits->sleepers_max = sleeps ? limits->connections_max - awake + mr_limits_spare(limits) : 0;
    if (!sleeps)
        return;
    limits->stream_numbers_max =
        MR_MAX(limits->stream_numbers_max,
               MR_MAX(limits->streams_max, limits->connections_max * STREAMS_EACH));
    limits->streams_max = MR_MIN(limits->streams_max, streams_of(awake));
}

struct mr_limits mr_limits_resolved(const struct mr_limits *limits)
{
    struct mr_limits resolved = *limits;

    resolved.stream_numbers_max = MR_MAX(resolved.stream_numbers_max, resolved.streams_max);
    if (resolved.awake_max != 0 && resolved.awake_max < resolved.connections_max)
        return resolved;
    resolved.awake_max = resolved.connections_max;
    resolved.sleepers_max = 0;
    return resolved;
}

#define MULTIPATHS_MAX   1024 /* connections; a record of a path takes 4 KiB */
#define PATH_RECORDS_MAX 2048

void mr_limits_add_paths(struct mr_limits *limits, uint32_t paths)
{
    if (paths < 2)
        return;
    limits->multipaths_max = MR_MIN(limits->connections_max, (uint32_t)MULTIPATHS_MAX);
    limits->path_records_max =
        MR_MIN(limits->multipaths_max * (paths - 1), (uint32_t)PATH_RECORDS_MAX);
    limits->extras_max += limits->path_records_max;
}
