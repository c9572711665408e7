/*
 * http3/counters.h - every counter of an HTTP/3 server or client, in one list.
 *
 * MR_H3_COUNTER_LIST gives each counter's field, which is also its name, and its help text.
 * To add a counter, add a line.
 *
 * Owner: one struct mr_h3_counters per server or client.  Threads: written by the transport's
 * thread only, read by any (base/count.h).
 */
#ifndef MR_HTTP3_COUNTERS_H
#define MR_HTTP3_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/count.h"

/* clang-format off */
#define MR_H3_COUNTER_LIST(X)                                                                       \
    /* connections */                                                                               \
    X(connections_opened,     "HTTP/3 connections opened")                                          \
    X(connections_closed,     "HTTP/3 connections over")                                            \
    X(connections_refused,    "connections closed at once: connections_max or the heap is used up") \
    X(connection_errors,      "connections closed by us with an error code")                        \
    X(goaways_sent,           "GOAWAY frames sent")                                                 \
    X(goaways_received,       "GOAWAY frames received")                                             \
    X(streams_refused,        "unidirectional streams stopped: too many of their connection")       \
    /* requests */                                                                                  \
    X(requests,               "requests whose header section was accepted")                         \
    X(requests_early,         "requests that may be copies: in 0-RTT, or with Early-Data (RFC 8470)") \
    X(requests_retried,       "requests sent again after 425 (Too Early)")                          \
    X(requests_refused,       "requests refused: a pool, the heap or a limit is used up, or drain") \
    X(requests_malformed,     "messages refused: malformed (RFC 9114, Section 4.1.2)")              \
    X(requests_too_large,     "requests answered with 431: field section, or what is kept of it, over a limit") \
    X(paths_too_large,        "requests answered with 414: the path over a limit")                  \
    X(bodies_too_large,       "requests answered with 413: content over a limit")                   \
    X(requests_cancelled,     "requests the peer gave up")                                          \
    X(requests_timed_out,     "requests ended by a timeout of ours")                                \
    X(requests_done,          "requests or responses that ended well")                              \
    X(responses_200,          "responses: whole representations")                                   \
    X(responses_206,          "responses: one range")                                               \
    X(responses_304,          "responses: not modified")                                            \
    X(responses_other,        "responses: redirects and errors")                                    \
    X(priority_updates,       "PRIORITY_UPDATE frames taken (RFC 9218)")                            \
    X(priority_updates_dropped, "PRIORITY_UPDATE dropped: too long, or too many unopened streams")  \
    /* content */                                                                                   \
    X(body_bytes_sent,        "content bytes given to the transport")                               \
    X(body_bytes_received,    "content bytes received")                                             \
    X(cache_hits,             "requests answered from the cache")                                   \
    X(cache_misses,           "requests for a file that was not cached, or had changed")            \
    X(cache_evictions,        "cached files dropped for newer ones")                                \
    X(files_opened,           "files opened")                                                       \
    X(files_refused,          "requests answered with 503: no file descriptor or memory for a file")  \
    X(file_reads,             "reads of files")                                                     \
    X(file_read_bytes,        "bytes read from files")                                              \
    X(files_changed,          "transfers ended because the file shrank or could not be read")       \
    X(buffer_waits,           "times a request had to wait for a file buffer")                      \
    X(work_waits,             "times the work queue was full")                                      \
    X(send_waits,             "times the transport had no room for a send")                         \
    X(streams_blocked,        "header sections that had to wait for entries of QPACK's table")        \
    X(tunnels_opened,         "tunnels opened by extended CONNECT (RFC 9220)")                      \
    X(tunnels_refused,        "tunnels refused: too many, or the application's answer")             \
    X(datagrams_sent,         "HTTP datagrams sent, as DATAGRAM frames or capsules (RFC 9297)")     \
    X(datagrams_received,     "HTTP datagrams received, likewise")                                  \
    X(datagrams_dropped,      "HTTP datagrams dropped: no such tunnel, or too long a capsule")      \
    X(greased,                "connections with reserved frames and a reserved stream of ours (RFC 9114)") \
    X(capsules_skipped,       "capsules of unknown types")                                          \
    /* memory */                                                                                    \
    X(heap_refused,           "allocations refused: the connection's share is used up")             \
    X(heap_exhausted,         "allocations refused: the heap is used up")
/* clang-format on */

/* All zero at start. */
struct mr_h3_counters {
#define MR_H3_COUNTER_FIELD(field, help) uint64_t field;
    MR_H3_COUNTER_LIST(MR_H3_COUNTER_FIELD)
#undef MR_H3_COUNTER_FIELD
};

#define MR_H3_COUNTERS (sizeof(struct mr_h3_counters) / sizeof(uint64_t)) /* how many there are */

/* A counter's name.  `index` < MR_H3_COUNTERS, in the order of the list. */
static inline const char *mr_h3_counter_name(size_t index)
{
    static const char *const names[] = {
#define MR_H3_COUNTER_NAME(field, help) #field,
        MR_H3_COUNTER_LIST(MR_H3_COUNTER_NAME)
#undef MR_H3_COUNTER_NAME
    };
    return names[index];
}

/* What it counts, one line of English. */
static inline const char *mr_h3_counter_help(size_t index)
{
    static const char *const helps[] = {
#define MR_H3_COUNTER_HELP(field, help) help,
        MR_H3_COUNTER_LIST(MR_H3_COUNTER_HELP)
#undef MR_H3_COUNTER_HELP
    };
    return helps[index];
}

/* Read a counter by its index, from any thread. */
static inline uint64_t mr_h3_counter_value(const struct mr_h3_counters *counters, size_t index)
{
    return mr_count_value((const uint64_t *)(const void *)counters + index);
}

#endif /* MR_HTTP3_COUNTERS_H */
