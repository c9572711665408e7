/*
 * control/shard_setup.h - the configuration of a shard on a real port, from the few things in which
 * programs differ.
 *
 * Owner: none.  Threads: the control thread; reads clocks and the system's randomness.
 */
#ifndef MR_CONTROL_SHARD_SETUP_H
#define MR_CONTROL_SHARD_SETUP_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/shard.h"

#define MR_SETUP_MTU        1500u /* bytes of an IP packet, if nothing else is asked for */
#define MR_SETUP_IP_HEADERS 48u   /* IPv6 and UDP */
#define MR_SETUP_BASE_MB    64    /* for DPDK's own, rings and descriptors */

struct mr_shard_setup {
    const struct mr_tls_context *server; /* or NULL */
    const struct mr_tls_context *client; /* or NULL */
    enum mr_aead_backend crypto;
    enum mr_polling polling;
    uint16_t local_port;     /* UDP */
    uint32_t connections;    /* at once, per shard */
    uint32_t awake;          /* of them; 0: all */
    uint64_t sleep_after_ns; /* as in quic/endpoint.h */
    uint32_t mtu;            /* bytes of the largest IP packet; 0: MR_SETUP_MTU */
    uint32_t rx_mbufs;       /* per shard */
    bool has_retry;          /* every address is validated with Retry */
    enum mr_cc_kind congestion;
    bool has_ecn;              /* packets are marked, on paths that bear it */
    bool has_resume;           /* connections begin with what the last one had (RFC 9959) */
    uint64_t key_update_after; /* packets, as in quic/endpoint.h */
    uint64_t idle_timeout_ns;
    uint64_t keep_alive_ns;     /* of clients, as in quic/endpoint.h */
    uint64_t stream_window_max; /* bytes that a stream may hold unread */
    uint64_t conn_window_max;
    uint32_t streams_bidi_max; /* that a peer may have open */
    uint32_t streams_uni_max;
    uint32_t extensions; /* of enum mr_extension */
    uint32_t paths_max;  /* of a connection, with MR_EXTENSION_MULTIPATH */
    enum mr_cid_kind cid_kind;
    uint32_t node; /* written into connection IDs */
    uint8_t cid_config;
    const uint8_t *cid_key; /* NULL: they are in plain text; borrowed as tokens is */
    uint64_t cid_renew_ns;  /* 0: they do not age */
    const struct mr_net_self *self;
    struct mr_ip gateway4; /* unspecified: none */
    struct mr_ip gateway6;
    struct mr_addr preferred[2]; /* as in quic/endpoint.h */
    struct mr_work_pool *work;
    struct mr_work_pool *tls_work;         /* NULL: TLS jobs run on polling threads */
    int keylog_fd;                         /* -1: none */
    const struct mr_token_secrets *tokens; /* static key, reset and address tokens; borrowed until
                                              the shards are made */
};

/* Memory per buffer, roughly, KiB: a frame, and what DPDK wants around it. */
static inline uint32_t mr_setup_mbuf_kb(uint32_t mtu)
{
    return mtu > MR_SETUP_MTU ? 14 : 3;
}

/* A file that key log lines are appended to. */
struct mr_keylog {
    int fd;           /* which writing does not block; -1: none */
    const char *path; /* borrowed */
    bool is_new;      /* it was not there before */
};

/* Open it, `path` "" or NULL: none.  False with `fault` set, which calls the setting `what`. */
bool mr_keylog_open(struct mr_keylog *log, const char *path, const char *what,
                    struct mr_fault *fault);

/* Close it.  One that was made here, and got nothing, goes. */
void mr_keylog_close(struct mr_keylog *log);

/* What mr_group_make() takes for its shards. */
struct mr_shard_config mr_shard_setup(const struct mr_shard_setup *setup);

#endif /* MR_CONTROL_SHARD_SETUP_H */
