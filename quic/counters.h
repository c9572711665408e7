/*
 * quic/counters.h - every counter of the engine, in one list.
 *
 * MR_COUNTER_LIST gives each counter's field, name and help text; the name is the field's, so that
 * it is the same in code, telemetry and logs.  To add a counter, add a line.
 *
 * Owner: one struct mr_counters per endpoint.  Threads: written by the shard only, read by any
 * (base/count.h).
 */
#ifndef MR_QUIC_COUNTERS_H
#define MR_QUIC_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/count.h"

/* clang-format off */
#define MR_COUNTER_LIST(X)                                                                                            \
    /* traffic */                                                                                                     \
    X(datagrams_received,         "datagrams handed to the engine")                                                   \
    X(datagrams_sent,             "datagrams built by the engine")                                                    \
    X(bytes_received,             "UDP payload bytes received")                                                       \
    X(bytes_sent,                 "UDP payload bytes sent")                                                           \
    X(packets_received,           "packets opened and processed")                                                     \
    X(packets_sent,               "packets sealed and sent")                                                          \
    X(stream_bytes_received,      "stream data bytes received for the first time")                                    \
    X(stream_bytes_sent,          "stream data bytes sent, retransmissions included")                                 \
    X(datagram_frames_received,   "DATAGRAM frames received, dropped ones included")                                  \
    X(datagram_frames_sent,       "DATAGRAM frames sent")                                                             \
    X(datagram_frames_lost,       "DATAGRAM frames in packets declared lost, not sent again")                         \
    X(datagram_frames_too_big,    "datagrams dropped unsent: larger than the path lets through now")                  \
    X(acks_received,              "ACK frames received")                                                              \
    X(acks_sent,                  "ACK frames sent")                                                                  \
    /* datagrams and packets that were dropped, by reason */                                                          \
    X(dropped_empty,              "datagrams dropped: no bytes")                                                      \
    X(dropped_short,              "packets dropped: end inside their header or their Length")                         \
    X(dropped_malformed,          "packets dropped: header breaks a rule of its version")                             \
    X(dropped_no_fixed_bit,       "packets dropped: fixed bit is zero")                                               \
    X(dropped_small_initial,      "client Initials dropped: datagram under 1,200 bytes")                              \
    X(dropped_small_unsampled,    "packets dropped: too short for a header-protection sample")                        \
    X(dropped_unknown_cid,        "packets dropped: connection ID is not one of ours")                                \
    X(dropped_other_cid,          "coalesced packets dropped: connection ID differs from the first packet's")         \
    X(dropped_unsupported_version, "packets dropped: version not supported and not answered")                         \
    X(dropped_version_mismatch,   "packets dropped: version differs from the connection's")                           \
    X(dropped_no_key,             "packets dropped: no key for their level, not yet or no longer")                    \
    X(dropped_early,              "packets dropped: 0-RTT that is refused")                                           \
    X(dropped_undecryptable,      "packets dropped: authentication failed")                                           \
    X(dropped_duplicate,          "packets dropped: number was processed before")                                     \
    X(dropped_too_old,            "packets dropped: number below the remembered window")                              \
    X(dropped_closing,            "packets dropped: connection is closing or draining")                               \
    X(dropped_not_accepting,      "Initials dropped: endpoint accepts no connections")                                \
    X(dropped_pending_full,       "packets dropped: too many wait for keys of a running handshake step")              \
    X(dropped_retry_invalid,      "Retry packets dropped: integrity tag wrong, second Retry, or too late")            \
    X(dropped_vn_invalid,         "Version Negotiation packets dropped: not an answer to us, or too late")            \
    /* limits that were hit, see quic/limits.h */                                                                     \
    X(limit_connections,          "connections refused: connections_max")                                             \
    X(limit_awake,                "connections refused, packets dropped, operations and timers put off: awake_max")   \
    X(limit_sleepers,             "connections at rest that stay awake: sleepers_max")                                \
    X(limit_handshakes,           "connections refused: handshakes_max")                                              \
    X(limit_streams,              "streams refused or delayed: streams_max")                                          \
    X(limit_segments,             "sends refused: segments_max")                                                      \
    X(limit_ranges,               "packets not acknowledged: ranges_max")                                             \
    X(limit_chunks,               "sends delayed: chunks_max")                                                        \
    X(limit_compact,              "packets not acknowledged: compact_max")                                            \
    X(limit_datagram_chunks,      "datagrams not queued, sent or received: datagram_chunks_max")                      \
    X(limit_datagrams_sent,       "datagrams refused to their sender: datagram_queue_max")                            \
    X(limit_datagrams_received,   "datagrams dropped on arrival, their application is slow: datagram_queue_max")      \
    X(limit_extras,               "challenges not answered, paths not taken, addresses or counts not kept: extras_max")\
    X(limit_undos,                "losses that will not be taken back: no block of chunks_max was left")              \
    X(limit_multipaths,           "connections that do not offer multipath: multipaths_max")                          \
    X(limit_path_records,         "further paths without connection IDs: path_records_max")                           \
    X(limit_models,               "connections under CUBIC instead of BBR: models_max")                               \
    X(limit_names,                "server names not kept: names_max")                                                 \
    X(limit_pinned,               "received pieces copied to compact buffers: pinned_max")                            \
    X(limit_active_keys,          "expanded keys dropped to make room: active_keys_max")                              \
    X(limit_path_candidates,      "PATH_CHALLENGE frames of a new path not answered: another is being probed")        \
    X(limit_path_cids,            "new paths not taken: no connection ID of the peer's is left")                      \
    X(limit_path_packets,         "answers and probes beside the path in use not sent: too many are out")             \
    X(limit_path_windows,         "new paths begun with a small window: another began just before")                   \
    X(limit_path_challenges,      "PATH_CHALLENGE frames not answered: too many wait")                                \
    X(limit_cids,                 "connections closed: too many connection IDs issued to us or retired")              \
    X(limit_cid_renewals,         "renewals of old connection IDs put off: the table has none to spare")              \
    X(limit_cid_nonces,           "connection IDs that no load balancer can route: MR_CID_NONCES of the configuration are used") \
    X(limit_crypto_buffer,        "connections closed: CRYPTO data beyond the buffer limit")                          \
    X(limit_ack_ranges,           "ranges of received packets forgotten, older ones refused: MR_ACK_RANGES_MAX")          \
    X(limit_events,               "event collections that ended with a full array")                                   \
    /* before a connection exists */                                                                                  \
    X(amplification_blocked,      "sends held back: three times the unvalidated peer's bytes reached")                \
    X(version_negotiations_sent,  "Version Negotiation packets sent")                                                 \
    X(versions_changed,           "connections whose version the server changed compatibly (RFC 9368)")               \
    X(version_negotiations_received, "Version Negotiation packets received and acted upon")                           \
    X(retries_sent,               "Retry packets sent")                                                               \
    X(retries_received,           "Retry packets received and acted upon")                                            \
    X(stateless_resets_sent,      "stateless resets sent")                                                            \
    X(resets_withheld,            "stateless resets not sent: the connection may have moved to another shard")        \
    X(stateless_resets_received,  "stateless resets received and acted upon")                                         \
    X(tokens_valid,               "address tokens accepted")                                                          \
    X(tokens_expired,             "address tokens refused: expired")                                                  \
    X(tokens_wrong_address,       "address tokens refused: other address")                                            \
    X(tokens_wrong_cid,           "address tokens refused: other connection ID")                                      \
    X(tokens_wrong_kind,          "address tokens refused: not of a kind expected here")                              \
    X(tokens_malformed,           "address tokens refused: not ours, altered, or of impossible size")                 \
    X(tokens_received,            "NEW_TOKEN frames whose token is kept")                                             \
    X(limit_new_tokens,           "NEW_TOKEN frames ignored: too long, or too late")                                  \
    X(tokens_sent,                "NEW_TOKEN frames sent")                                                            \
    X(redirects_out,              "datagrams handed to the shard that owns them")                                     \
    X(datagrams_forwarded,        "datagrams passed on to the shard that their connection moved to")                  \
    X(dropped_hops,               "datagrams dropped: too many shards had passed them on")                            \
    X(dropped_unknown_server,     "packets to a client from an address that is not its server's")                     \
    X(dropped_old_address,        "packets to an address that was left for the preferred one")                        \
    X(dropped_reflector,          "datagrams of no connection from a port of a reflector")                            \
    X(moves_out,                  "connections that moved to another shard")                                          \
    X(moves_in,                   "connections that came from another shard")                                         \
    X(moves_failed,               "connections that came back: the other shard could not take them")                  \
    /* connections */                                                                                                 \
    X(connections_accepted,       "connections accepted")                                                             \
    X(connections_opened,         "connections opened by us")                                                         \
    X(connections_closed,         "connections whose state was freed")                                                \
    X(connections_slept,          "connections at rest that were put to sleep")                                       \
    X(connections_woken,          "connections that woke from sleep")                                                 \
    X(drains_cut_short,           "draining connections freed early: places for those that wake were scarce")         \
    X(kept_awake_handshakes,      "looks at a connection that stays awake: its handshake goes on, or it is closing or moving") \
    X(kept_awake_streams,         "looks at a connection that stays awake: one of its streams does not rest")         \
    X(kept_awake_events,          "looks at a connection that stays awake: events of it are not collected")           \
    X(kept_awake_datagrams,       "looks at a connection that stays awake: datagrams wait")                           \
    X(kept_awake_sending,         "looks at a connection that stays awake: something is to be sent or acknowledged")  \
    X(kept_awake_acks,            "looks at a connection that stays awake: it owes an ACK")                           \
    X(kept_awake_paths,           "looks at a connection that stays awake: a path is checked or kept, or it has several") \
    X(kept_awake_keys,            "looks at a connection that stays awake: the keys before an update are kept")       \
    X(kept_awake_mtu,             "looks at a connection that stays awake: a probe of the MTU is on its way")         \
    X(kept_awake_traced,          "looks at a connection that stays awake: it is traced")                             \
    X(kept_awake_large,           "looks at a connection that stays awake: packed, it is larger than a sleeper")      \
    X(handshakes_completed,       "handshakes completed")                                                             \
    X(handshakes_failed,          "handshakes failed")                                                                \
    X(handshakes_resumed,         "handshakes that resumed a session")                                                \
    X(early_data_accepted,        "connections whose 0-RTT data was accepted")                                        \
    X(early_data_rejected,        "connections whose 0-RTT data was rejected")                                        \
    X(idle_timeouts,              "connections ended by idle timeout")                                                \
    X(keep_alive_pings,           "PINGs of clients that awaited an answer and heard nothing")                        \
    X(handshake_timeouts,         "connections ended by handshake timeout")                                           \
    X(protocol_errors,            "connections closed by us with a transport error")                                  \
    X(peer_errors,                "connections closed by the peer with a transport error")                            \
    X(connections_ended,          "connections closed by the peer without an error")                                  \
    X(application_closes,         "connections closed by either application")                                         \
    X(aead_limit_closes,          "connections closed: AEAD usage limit reached")                                     \
    X(key_updates_started,        "key updates started by us")                                                        \
    X(key_updates_received,       "key updates started by peers")                                                     \
    X(keys_rebuilt,               "expanded keys rebuilt for a connection that woke up")                              \
    X(path_challenges_sent,       "PATH_CHALLENGE frames sent")                                                       \
    X(paths_validated,            "paths validated")                                                                  \
    X(paths_failed,               "path validations that failed")                                                     \
    X(paths_refused,              "addresses not taken as a path: a reflector's port, or no single host's")           \
    X(multipath_agreed,           "connections that may have several paths, and stay in their shard")                \
    X(multipath_opened,           "further paths opened, by us or a peer")                                            \
    X(paths_silent,               "times that a path did not answer, and its data was sent by others")                \
    X(paths_abandoned,            "paths abandoned: our PATH_ABANDON frames, answers included")                       \
    X(paths_abandoned_received,   "PATH_ABANDON frames received for paths that were there")                           \
    X(paths_forgotten,            "abandoned paths whose state was freed")                                            \
    X(paths_blocked_received,     "PATHS_BLOCKED and PATH_CIDS_BLOCKED frames received")                              \
    X(migrations_begun,           "changes of our address begun by us")                                               \
    X(migrations_done,            "of them those that were validated")                                                \
    X(migrations,                 "changes of a peer's address followed")                                             \
    X(rebindings,                 "changes of a peer's port only")                                                    \
    X(cids_issued,                "connection IDs issued to peers")                                                   \
    X(cids_renewed,               "times that a peer was asked to go over to new connection IDs")                       \
    X(cids_retired,               "connection IDs of ours retired by peers")                                          \
    /* recovery and congestion */                                                                                     \
    X(packets_lost,               "packets declared lost")                                                            \
    X(packets_lost_spurious,      "packets declared lost and acknowledged later")                                     \
    X(bytes_lost,                 "bytes of packets declared lost")                                                   \
    X(ptos,                       "probe timeouts that fired")                                                        \
    X(flights_repeated,           "flights of a server sent again before their probe timeout: the client asks once more") \
    X(congestion_events,          "reductions of a congestion window")                                                \
    X(resumes_begun,              "connections that jumped to half of the window of an earlier one")                  \
    X(resumes_validated,          "of them those whose jump arrived without congestion")                              \
    X(resumes_retreated,          "of them those that met congestion, and went back")                                 \
    X(congestion_undone,          "congestion events taken back: all of their losses were acknowledged later")         \
    X(persistent_congestions,     "persistent congestions")                                                           \
    X(ecn_ce_received,            "packets received with ECN CE")                                                     \
    X(ecn_validated,              "paths on which ECN validation succeeded")                                          \
    X(ecn_ce_reported,            "packets of ours that peers received with ECN CE")                                  \
    X(ecn_failures,               "paths on which ECN validation failed")                                             \
    X(observed_addresses_sent,    "OBSERVED_ADDRESS frames sent")                                                     \
    X(observed_addresses_received, "OBSERVED_ADDRESS frames received")                                               \
    X(ack_frequency_sent,         "ACK_FREQUENCY frames sent")                                                        \
    X(ack_frequency_received,     "ACK_FREQUENCY frames received and obeyed")                                         \
    X(ack_frequency_obsolete,     "ACK_FREQUENCY frames ignored: a newer one had come")                               \
    X(immediate_acks_received,    "IMMEDIATE_ACK frames received")                                                    \
    X(acks_of_unsent,             "connections closed: a packet never sent was acknowledged")                         \
    /* memory */                                                                                                      \
    X(copies_to_compact,          "received pieces copied to compact buffers")                                        \
    X(buffers_released,           "port buffers given back")                                                          \
    X(stream_data_dropped,        "received stream frames not kept, packet not acknowledged")                         \
    X(crypto_after_handshake,     "CRYPTO frames ignored: TLS state was given back")                                   \
    X(mtu_raised,                 "path MTU searches that found a larger size")                                       \
    X(mtu_black_holes,            "path MTUs taken back: large packets were lost, or all")                            \
    X(too_big_taken,              "ICMP messages about packets too big that a connection heeded")                     \
    X(too_big_ignored,            "ICMP messages about packets too big: nothing new, no path's, or under 1,200 bytes") \
    X(limit_too_big,              "ICMP messages about packets too big dropped: too many waited")                     \
    X(replies_dropped,            "stateless answers dropped: too many wait")                                         \
    X(retries_needed,             "Initials answered with Retry or refused: too many handshakes in flight")           \
    X(refusals_needed,            "Initials answered with CONNECTION_CLOSE: no connection free, or a wrong token")           \
    X(trace_records_lost,         "records of traced connections dropped: the ring to the writer was full")            \
    X(limit_traces,               "connections not traced: as many are, or the ring to the writer is full")            \
    X(keylog_dropped,             "key log lines dropped: nobody fetched the earlier ones")                           \
    X(tls_jobs,                   "TLS jobs given out")                                                               \
    X(streams_opened,             "streams opened by either side")                                                    \
    X(streams_reset_sent,         "RESET_STREAM frames sent")                                                         \
    X(streams_reset_received,     "RESET_STREAM frames received")
/* clang-format on */

/* Use 1: a field each.  All zero at start. */
struct mr_counters {
#define MR_COUNTER_FIELD(field, help) uint64_t field;
    MR_COUNTER_LIST(MR_COUNTER_FIELD)
#undef MR_COUNTER_FIELD
};

#define MR_COUNTERS (sizeof(struct mr_counters) / sizeof(uint64_t)) /* how many there are */

/* Use 2: its name.  `index` < MR_COUNTERS, in the order of the list. */
static inline const char *mr_counter_name(size_t index)
{
    static const char *const names[] = {
#define MR_COUNTER_NAME(field, help) #field,
        MR_COUNTER_LIST(MR_COUNTER_NAME)
#undef MR_COUNTER_NAME
    };
    return names[index];
}

/* Use 3: what it counts, one line of English. */
static inline const char *mr_counter_help(size_t index)
{
    static const char *const helps[] = {
#define MR_COUNTER_HELP(field, help) help,
        MR_COUNTER_LIST(MR_COUNTER_HELP)
#undef MR_COUNTER_HELP
    };
    return helps[index];
}

/* Read a counter by its index, from any thread. */
static inline uint64_t mr_counter_value(const struct mr_counters *counters, size_t index)
{
    return mr_count_value((const uint64_t *)(const void *)counters + index);
}

#endif /* MR_QUIC_COUNTERS_H */
