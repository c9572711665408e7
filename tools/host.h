/*
 * tools/host.h - one host on a network: what `millrace edge` and `millrace get` share.
 *
 *     options --mr_host_plan()--> addresses, gateways     checked; nothing is held yet
 *             --mr_host_open()--> EAL, helper threads, port, buffers, shards
 *             --mr_host_launch()-> polling               mr_host_close() undoes all of it
 *
 * Whatever a user can get wrong ends as a struct mr_fault, and before EAL starts where that is
 * possible.
 *
 * Owner: the command.  Threads: the control thread.
 */
#ifndef MR_TOOLS_HOST_H
#define MR_TOOLS_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/group.h"
#include "control/qlog.h"
#include "control/shard_setup.h"
#include "control/tls_context.h"
#include "tools/options.h"

#define MR_HOST_ROWS 13 /* of the table of shared options, its end included */

/* As given on the command line. */
struct mr_host_options {
    const char *port;                /* drivers/port.h has the kinds */
    struct mr_option_list addresses; /* "198.18.0.2/24" */
    struct mr_option_list gateways;
    uint32_t shards;
    uint32_t io_lcores;
    int crypto; /* index in mr_crypto_choices */
    int polling;
    int hugepages;  /* enum mr_hugepages */
    int congestion; /* enum mr_cc_kind */
    int ecn;        /* 0: packets are marked, on paths that bear it; 1: off */
    uint32_t mtu;   /* bytes of the largest IP packet; 0: 1500 */
    const char *cores;
    const char *keylog;      /* file; NULL: none */
    const char *qlog_folder; /* NULL: what QLOGDIR says, or none */
    int qlog;                /* which connections: 0 all, 1 those asked for */
    bool is_verbose;
};

struct mr_host_options mr_host_options_default(void);

/* The rows for the options that both commands have: --port to --verbose, and the end. */
void mr_host_option_rows(struct mr_host_options *options, struct mr_option rows_out[MR_HOST_ROWS]);

/* For commands that let the user choose; NULL-terminated, in the order of the index. */
extern const char *const mr_crypto_choices[];
enum mr_aead_backend mr_crypto_of(int choice);
extern const char *const mr_polling_choices[];

/* What the command adds. */
struct mr_host_config {
    const char *name;                          /* of its pools */
    const struct mr_application *applications; /* one per shard */
    const struct mr_tls_context *server;       /* or NULL */
    const struct mr_tls_context *client;       /* or NULL */
    uint16_t local_port;                       /* UDP */
    struct mr_addr preferred[2];               /* as in quic/endpoint.h */
    uint32_t connections;                      /* at once, per shard */
    uint32_t awake;                            /* of them; the others sleep; 0: all */
    const char *token_key_file;                /* NULL: secrets of tokens are this process's */
    uint32_t helpers;                          /* threads that read and write files */
    uint32_t tls_helpers;                      /* threads for TLS jobs; 0: the polling threads */
    uint32_t rx_mbufs;                         /* per shard */
    bool has_retry;                            /* every address is validated with Retry */
    uint32_t payload_max;                      /* UDP payload to send; 0: what the port takes */
    uint64_t key_update_after;                 /* packets; 0: the engine's own choice */
    uint64_t idle_timeout_ns;
    uint64_t keep_alive_ns;     /* of clients, as in quic/endpoint.h; 0: none */
    uint64_t stream_window_max; /* bytes that a stream may hold unread */
    uint64_t conn_window_max;
    uint32_t streams_bidi_max; /* that a peer may have open */
    uint32_t streams_uni_max;  /* likewise; 0: what HTTP/3 needs */
    uint32_t paths_max;        /* of a connection at a time; 0 and 1: multipath is not offered */
};

struct mr_host {
    struct mr_host_options options;
    struct mr_net_self self;
    struct mr_ip gateway4; /* unspecified: none */
    struct mr_ip gateway6;
    struct mr_group group;
    struct mr_work_pool *work;
    struct mr_work_pool *tls_work; /* NULL: TLS jobs run on polling threads */
    struct mr_keylog keylog;
    struct mr_qlog *qlog; /* NULL: nothing is traced */
    bool has_eal;
    struct mr_token_secrets secrets; /* of the file that the configuration names, or random */
};

/* Check the options; nothing is held afterwards.  False with `fault` set: the command line is
 * wrong. */
bool mr_host_plan(struct mr_host *host, const struct mr_host_options *options,
                  struct mr_fault *fault);

/* Open the key log, start EAL, helpers, port and shards; they do not poll yet.  False with `fault`
 * set; then close it all the same. */
bool mr_host_open(struct mr_host *host, const struct mr_host_config *config,
                  struct mr_fault *fault);

/*
 * Nobody else has an address of ours?  False with `fault` set: this machine's kernel has one, on a
 * port that it has a part in.
 */
bool mr_host_check_addresses(const struct mr_host *host, struct mr_fault *fault);

/* The same of other hosts, as far as has been heard by now from those on the port's network. */
bool mr_host_check_network(const struct mr_host *host, struct mr_fault *fault);

/* Have we an address of that family? */
bool mr_host_has_family(const struct mr_host *host, bool is_v4);

/* Is there a way to the server?  False with `fault` set: the shard would only say that there is
 * none. */
bool mr_host_check_route(const struct mr_host *host, const struct mr_ip *server,
                         struct mr_fault *fault);

/* A random local port for clients. */
uint16_t mr_host_client_port(const struct mr_host *host);

/* The addresses of --addr as names of a certificate: how many. */
size_t mr_host_names(const struct mr_host *host, char text[][MR_IP_TEXT], const char *names_out[]);

/* Wait for a cable, a peer.  False with `fault` set: not in time, or interrupted. */
bool mr_host_wait_for_port(const struct mr_host *host, double seconds, struct mr_fault *fault);

/* Let the shards poll. */
void mr_host_launch(struct mr_host *host);

/* End the polling: connections are closed, within `patience_ns`.  Counters stay readable. */
void mr_host_stop(struct mr_host *host, uint64_t patience_ns);

/* Free everything but EAL.  Returns the mbufs that did not come back to their pools. */
uint32_t mr_host_close(struct mr_host *host);

/* What a failed command ends with: `millrace COMMAND: why` as one line on standard error. */
void mr_tool_complain(const char *command, const struct mr_fault *fault);

/* ---- signals ---- */

/* From here on SIGINT, SIGTERM and, unless it is ignored, SIGHUP wait for mr_signal_wait(), in this
 * thread and those it starts; SIGPIPE and SIGXFSZ are ignored: the write fails.  Before any thread
 * is started. */
void mr_signal_block(void);

/* Wait at most `ns` for one of them.  True: it came, the user wants an end. */
bool mr_signal_wait(uint64_t ns);

/* The same, and no longer than until `fd` can be read. */
bool mr_signal_wait_beside(int fd, uint64_t ns);

#endif /* MR_TOOLS_HOST_H */
