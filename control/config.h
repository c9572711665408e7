/*
 * control/config.h - what a datapath for attached applications is to be: read from a file, changed
 * by the command line, checked as a whole.
 *
 *     mr_config_init()  defaults
 *     mr_config_read()  a YAML file over them              FILE:LINE: what; remedy
 *     mr_config_set()   options of the command line        --option: what; remedy
 *     mr_config_check() whatever only the whole can tell   either of both
 *
 * The result is plain: no pointers, fixed limits, nothing to free.  Every setting is a row of
 * mr_config_settings (control/setting.h), which the file, the command line and
 * docs/configuration.md share.
 *
 * Owner: the caller; a struct mr_config is large (200 KB), keep it off the stack.  Threads: none of
 * its own.
 */
#ifndef MR_CONTROL_CONFIG_H
#define MR_CONTROL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/ring_region.h"
#include "control/setting.h"
#include "dataplane/handoff.h"
#include "dataplane/net_addr.h"

#define MR_CONFIG_FILE_MAX     (1u << 20) /* bytes */
#define MR_CONFIG_PATH         256        /* bytes of a path, its end included */
#define MR_CONFIG_PORTS        4
#define MR_CONFIG_MTU_MAX      9000 /* bytes of an IP packet */
#define MR_CONFIG_ADDRESSES    8    /* of a port, as many as its network layer takes */
#define MR_CONFIG_GATEWAYS     2    /* of a port: one for each family */
#define MR_CONFIG_ADDRESS      (MR_IP_TEXT + 4)
#define MR_CONFIG_PREFERRED    2 /* of a port: one for each family */
#define MR_CONFIG_IP_PORT      (MR_IP_TEXT + 8)
#define MR_CONFIG_CERTIFICATES 32
#define MR_CONFIG_NAMES        16         /* of a certificate */
#define MR_CONFIG_INLINE       8          /* applications inside the datapath */
#define MR_CONFIG_SOCKET       108        /* bytes of a Unix socket's path, its end included */
#define MR_CONFIG_ALPN         4          /* of a certificate */
#define MR_CONFIG_LINES        128        /* rows of mr_config_settings and of its items */
#define MR_CONFIG_OPTION       UINT32_MAX /* a "line": it came from the command line */
#define MR_CONFIG_NAME         48         /* bytes of a setting's name, its end included */

struct mr_config_port {
    char spec[MR_CONFIG_PATH]; /* drivers/port.h has the kinds */
    uint32_t address_count;
    uint32_t gateway_count;
    char addresses[MR_CONFIG_ADDRESSES][MR_CONFIG_ADDRESS]; /* "198.18.0.2/24" */
    char gateways[MR_CONFIG_GATEWAYS][MR_IP_TEXT];
    uint32_t preferred_count;
    char preferred[MR_CONFIG_PREFERRED][MR_CONFIG_IP_PORT]; /* "198.18.0.3:4433" */
};

struct mr_config_certificate {
    uint32_t name_count;
    char names[MR_CONFIG_NAMES][MR_LISTENER_SERVER]; /* lower case; "*.x" */
    uint32_t alpn_count;
    char alpn[MR_CONFIG_ALPN][MR_ATTACH_NAME]; /* that clients must offer one of; none: any */
    char certificate[MR_CONFIG_PATH];
    char key[MR_CONFIG_PATH];
    char ocsp[MR_CONFIG_PATH]; /* "": nothing is stapled */
    bool has_early_data;       /* 0-RTT is offered, and taken, if it is at all */
};

/* An application inside the datapath (millrace/inline.h). */
struct mr_config_inline {
    char name[MR_ATTACH_NAME];
    char object[MR_CONFIG_PATH];
    char argument[MR_CONFIG_PATH]; /* "": none */
};

/* Error codes that connections are closed with where no listener says which. */
struct mr_config_codes {
    uint64_t refuse; /* no listener matches; of streams: no object is free */
    uint64_t death;  /* the attached application that opened them is gone */
};

/* Who may attach, and how much of this process they may take. */
struct mr_config_control {
    char socket[MR_CONFIG_SOCKET];
    uint32_t mode;
    char group[MR_ATTACH_NAME]; /* "": the process's own */
    uint32_t attachments;       /* at once */
    uint32_t attachments_per_user;
    uint64_t region_bytes; /* of one attachment's rings together */
    uint64_t user_bytes;   /* of one user's attachments; 0: see mr_config_quota() */
    uint64_t total_bytes;  /* of all attachments' */
};

struct mr_config_limits {
    uint32_t connections; /* at once, of all shards */
    uint32_t awake;       /* of them; 0: all (quic/conn_sleep.h) */
    uint32_t connects;    /* that one ring opens; 0: a quarter of its shard's */
    uint32_t streams;     /* that a peer may open, of a connection, each direction */
    uint64_t stream_window_bytes;
    uint64_t conn_window_bytes;
    uint64_t idle_timeout_ns;
    uint64_t sleep_after_ns;
};

/* What is offered to peers, and used with those that do as well: 0: off, 1: on. */
struct mr_config_transport {
    uint8_t spin_bit;
    uint8_t quic_bit;
    uint8_t ack_frequency;
    uint8_t reset_stream_at;
    uint8_t address_discovery; /* 0: off, 1: observe, 2: ask, 3: both */
    uint32_t paths;            /* of a connection at a time; 1: multipath is off */
    uint64_t keep_alive_ns;    /* silence that a client breaks while it awaits an answer; 0: off */
};

enum mr_config_balance_kind {
    MR_BALANCE_OFF,
    MR_BALANCE_LOAD, /* from busy shards to others */
    MR_BALANCE_RSS   /* to where datagrams arrive */
};

/* When connections move between shards although nobody asks for it. */
struct mr_config_balance {
    uint8_t kind;          /* enum mr_config_balance_kind */
    uint32_t moves;        /* that a shard begins in a second */
    uint32_t gap_percent;  /* LOAD: the busiest is busier than another by more than this, */
    uint32_t busy_percent; /* and busy for more than this */
    uint64_t stay_ns;      /* one that has moved stays so long */
};

/* What an application's rings are when it does not say: counts are powers of two. */
struct mr_config_rings {
    uint32_t submit_count;
    uint32_t complete_count;
    uint32_t slot_bytes;
    uint32_t slot_count;
    uint64_t send_bytes;
    uint32_t objects_max;
    uint32_t sends_max;
};

/* Traces of connections. */
struct mr_config_qlog {
    char folder[MR_CONFIG_PATH]; /* "": none is traced */
    uint8_t connections;         /* 0: all, 1: those asked for */
    uint32_t files;              /* begun in all */
    uint64_t file_bytes;         /* of one */
};

/* What connection IDs say to load balancers. */
struct mr_config_routing {
    uint8_t format; /* enum mr_cid_kind */
    uint32_t node;
    uint32_t config;               /* config rotation bits */
    char key_file[MR_CONFIG_PATH]; /* "": they are in plain text */
    uint64_t renew_after_ns;       /* 0: never */
    uint8_t card_rules;            /* 1: cards choose shards by connection ID, where they can */
};

struct mr_config_tls {
    uint32_t certificate_count;
    struct mr_config_certificate certificates[MR_CONFIG_CERTIFICATES]; /* the first is default */
    uint8_t unknown_name;                 /* 0: the default certificate, 1: refused */
    uint8_t tickets;                      /* per handshake */
    uint8_t helpers;                      /* threads for TLS jobs; 0: the polling threads */
    uint8_t early_data;                   /* 0-RTT: 0: off, 1: on */
    uint32_t early_data_entries;          /* of the register of first flights */
    uint8_t ticket_keys_kept;             /* earlier keys that still decrypt */
    char ticket_key_file[MR_CONFIG_PATH]; /* "": keys are random, of this process */
    char token_key_file[MR_CONFIG_PATH];  /* "": secrets of tokens are this process's */
    uint64_t token_rotation_ns;           /* of address tokens (Retry, NEW_TOKEN); 0: never */
    uint64_t ticket_rotation_ns;          /* 0: never */
    uint64_t watch_ns;                    /* between looks at the files; 0: never */
};

struct mr_config {
    uint32_t port_count;
    struct mr_config_port ports[MR_CONFIG_PORTS];
    uint32_t shards;
    uint32_t mtu;               /* bytes of an IP packet */
    uint32_t io_lcores;         /* of each port; 0: shards receive and send by themselves */
    char cores[MR_CONFIG_PATH]; /* "": any */
    uint8_t hugepages;          /* enum mr_hugepages */
    uint8_t polling;            /* 0: adaptive, 1: busy */
    uint8_t crypto;             /* 0: auto, 1: openssl, 2: ipsec-mb */
    uint8_t retry;              /* 0: auto, 1: always */
    uint8_t congestion;         /* enum mr_cc_kind */
    uint8_t ecn;                /* 0: packets are marked, on paths that bear it; 1: off */
    uint8_t congestion_resume;  /* 0: off; 1: connections begin with what the last one had */
    bool has_telemetry;
    bool is_verbose;
    char keylog[MR_CONFIG_PATH]; /* "": none */
    struct mr_config_qlog qlog;
    uint64_t drain_ns; /* patience at the end */
    struct mr_config_control control;
    struct mr_config_balance balance;
    struct mr_config_limits limits;
    struct mr_config_transport transport;
    struct mr_config_routing routing;
    struct mr_config_rings rings;
    struct mr_config_tls tls;
    struct mr_config_codes codes;
    uint32_t inline_count;
    struct mr_config_inline inline_apps[MR_CONFIG_INLINE];
    struct mr_handoff handoff; /* the listeners */

    /* Where things came from, for messages: 0 default, MR_CONFIG_OPTION, or a line of `file`. */
    char file[MR_CONFIG_PATH];
    uint32_t line[MR_CONFIG_LINES]; /* by number of the row */
    uint32_t port_line[MR_CONFIG_PORTS];
    uint32_t certificate_line[MR_CONFIG_CERTIFICATES];
    uint32_t inline_line[MR_CONFIG_INLINE];
    uint32_t listener_line[MR_LISTENERS_MAX];
};

/* Every setting; ends with a NULL path. */
extern const struct mr_setting mr_config_settings[];

/* Words for `congestion`, in the order of enum mr_cc_kind, and for `ecn`; NULL at the end. */
extern const char *const mr_config_congestions[];
extern const char *const mr_config_ecns[];

/* Set the defaults. */
void mr_config_init(struct mr_config *config);

/*
 * Read a regular file of at most MR_CONFIG_FILE_MAX bytes over what is there; a list in the file
 * replaces the one that is there.  0, or -errno with the reason in `fault`: "FILE:LINE: what;
 * remedy".  After a failure `config` is undefined.
 */
int mr_config_read(struct mr_config *config, const char *path, struct mr_fault *fault);

/* The same of `size` bytes of text; `name` stands for the file in messages. */
int mr_config_parse(struct mr_config *config, const char *name, const char *text, size_t size,
                    struct mr_fault *fault);

/*
 * Set what `--option TEXT` says.  Values replace what is there; the first of a list's options
 * replaces the list, further ones append.  Options of a port or certificate (--port, --addr, ...)
 * are of the first one, which is made if need be.  A flag's text is "yes".  False with `fault` set.
 */
bool mr_config_set(struct mr_config *config, const char *option, const char *text,
                   struct mr_fault *fault);

/*
 * Check what single values cannot show: names are unique, lists are complete, sizes fit each other,
 * networks hold their gateways.  False with `fault` set.
 */
bool mr_config_check(const struct mr_config *config, struct mr_fault *fault);

/* What a shard gets of what all share; of a configuration that was checked. */
struct mr_config_share {
    uint32_t connections;   /* at once */
    uint32_t awake;         /* of them; 0: all */
    uint32_t connects;      /* that one ring opens */
    uint32_t user_connects; /* that all rings of one user open */
    uint32_t objects;       /* of all its rings together: connections and streams, */
    uint32_t sends;         /* SENDs that are not acknowledged */
};

struct mr_config_share mr_config_share(const struct mr_config *config);

/* What attached applications may take.  A default gives way to a lower limit that was given. */
struct mr_config_quota {
    uint32_t attachments;
    uint32_t attachments_per_user;
    uint64_t region_bytes; /* of one attachment */
    uint64_t user_bytes; /* of one user's; half of the total, or one attachment's if that is more */
    uint64_t total_bytes;
};

struct mr_config_quota mr_config_quota(const struct mr_config *config);

/* An application's rings when it does not say. */
struct mr_ring_sizes mr_config_ring_sizes(const struct mr_config *config);

/*
 * The row that `path` ("control.socket"; of items "listeners.name") or `option` names, or NULL.
 * `list_out`, unless NULL: the row of the items that it belongs to, NULL for none.
 */
const struct mr_setting *mr_config_find_path(const char *path, const struct mr_setting **list_out);
const struct mr_setting *mr_config_find_option(const char *option,
                                               const struct mr_setting **list_out);

/* The number of a row in `line`. */
uint32_t mr_config_row_number(const struct mr_setting *row);

/* What its user calls a setting: "cores" where a file says it, or is read at all; "--cores" where
 * the command line says it, or there is no file. */
void mr_config_name(const struct mr_config *config, const char *path, char name[MR_CONFIG_NAME]);

/*
 * Say where a setting came from, in front of `fault`, which something later found: "FILE:LINE:
 * cores", or its name as above.  Returns false.
 */
bool mr_config_blame(const struct mr_config *config, const char *path, struct mr_fault *fault);

#endif /* MR_CONTROL_CONFIG_H */
