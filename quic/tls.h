/*
 * quic/tls.h - TLS 1.3 as a job: copied CRYPTO bytes in, a list of values out.
 *
 * One struct mr_tls is one handshake.  The trunk never calls OpenSSL and OpenSSL
 * never sees a connection: it reads from and writes into a struct mr_tls_job only,
 * so a job may run on any thread while its connection goes on receiving.
 *
 *     mr_tls_start_server() or mr_tls_start_client()        once per handshake
 *        |
 *     mr_tls_job_prepare(job, tls)                           shard     <--------+
 *     mr_tls_job_input(job, level, bytes, size)              shard, 0..n times  |
 *     mr_tls_job_run(job)                                    any thread         |
 *     read the job's outputs, in the order below             shard              |
 *     mr_tls_job_wipe(job)                                   shard              |
 *        |                                                                      |
 *        +--- job->is_done?  no: when more CRYPTO bytes are there --------------+
 *        | yes
 *     mr_tls_free(tls)
 *
 * A client's first job has no input and yields the ClientHello; a server's first
 * job needs some.  Outputs are meant to be applied in this order: `secrets` (as
 * listed), then `output` bytes level by level, then the flags.  A failed job has
 * no outputs but `error` and `reason`: send CONNECTION_CLOSE with keys that exist.
 *
 * Secrets appear like this (r: we open with it, w: we seal with it):
 *     server: [EARLY r] HANDSHAKE w, APP w, HANDSHAKE r | APP r with the client's Finished
 *     client: [EARLY w] | HANDSHAKE r and w, APP r and w with the server's Finished
 * The exact order inside one job is OpenSSL's; go by the list, not by this picture.
 *
 * Memory: struct mr_tls is small; OpenSSL's object behind it is 16 KB when fresh and
 * 40 to 47 KB half-open, so the number of handshakes in flight is limited by the
 * trunk's pool (limits.handshakes_max).  struct mr_tls_job is about 70 KB; one per
 * thread that runs jobs is enough.
 *
 * Owner: mr_tls and job belong to the shard; a job out on another thread owns its
 * mr_tls until it comes back.  A struct mr_tls must not move while it is started.
 */
#ifndef MR_QUIC_TLS_H
#define MR_QUIC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/aead.h"
#include "quic/keys.h"
#include "quic/replay.h"
#include "quic/tls_message.h"
#include "quic/types.h"

/* How the reason of a certificate that a client refused begins, where it is not who signed it. */
#define MR_TLS_OTHER_NAME   "certificate verify failed: it is for "
#define MR_TLS_EXPIRED      "certificate verify failed: it expired on "
#define MR_TLS_TOO_EARLY    "certificate verify failed: it is not valid before "

#define MR_TLS_HELLO_MAX    16384 /* bytes of a message that a server takes; more: the job fails */
#define MR_TLS_INPUT_MAX    16384 /* CRYPTO bytes taken by one job; feed the rest with the next */
#define MR_TLS_OUTPUT_MAX   32768 /* CRYPTO bytes of one job, all levels; more: the job fails */
#define MR_TLS_PARAMS_MAX   8192  /* peer's transport parameters; more: the job fails */
#define MR_TLS_SECRETS_MAX  8     /* in one job; OpenSSL yields at most 5 */
#define MR_TLS_TICKET_MAX   8192  /* bytes; a larger ticket is dropped (is_ticket_dropped) */
#define MR_TLS_REMEMBER_MAX 512   /* bytes of transport parameters kept in a ticket */
#define MR_TLS_KEYLOG_MAX   2048  /* bytes of one job; lines that do not fit are dropped */
#define MR_TLS_REASON_MAX   256
#define MR_TLS_ALPN_MAX     255 /* bytes of a list in wire form */
#define MR_TLS_NAME_MAX     255 /* bytes of a server name */

/* TLS alerts that this module raises itself (RFC 8446, Section 6). */
enum mr_tls_alert {
    MR_ALERT_UNEXPECTED_MESSAGE = 10,
    MR_ALERT_INTERNAL_ERROR = 80,
    MR_ALERT_MISSING_EXTENSION = 109,
    MR_ALERT_NO_APPLICATION_PROTOCOL = 120
};

/*
 * What all handshakes of one side share: certificate, trust, groups, ticket keys.  Built by
 * control/tls_context.h, read-only afterwards; any number of threads may use it.
 */
struct mr_tls_context {
    void *ssl_ctx; /* OpenSSL's SSL_CTX */
    enum mr_role role;
    bool has_keylog;     /* all jobs carry key log lines, whether or not they want them */
    bool has_early_data; /* 0-RTT: offered by clients that want it and have a ticket, accepted by
                            servers */
    struct mr_replay
        *replay; /* server: which ClientHellos were seen; borrowed, NULL: none is kept */
    uint64_t (*clock)(void); /* for `replay` and the age of tickets, monotonic, ns */
    uint8_t alpn_size;
    uint8_t alpn[MR_TLS_ALPN_MAX]; /* server: what it speaks, most wanted first, in wire form */
};

/* One handshake.  All zero bytes: not started. */
struct mr_tls {
    void *ssl; /* OpenSSL's SSL; NULL when not started, before a server's first job, or freed */
    const struct mr_tls_context *context;
    struct mr_tls_job *job;        /* while one runs */
    uint8_t *params;               /* our transport parameters; OpenSSL reads them late */
    const char *name;              /* client: the server's, behind params */
    struct mr_tls_message message; /* where the peer's CRYPTO stream of read_level stands */
    uint32_t params_size;          /* of ours */
    uint32_t version; /* of QUIC, in use: the trunk's to set; a server's job may change it */
    uint32_t original_version; /* private: of the ClientHello */
    uint64_t early_tag; /* server: what its 0-RTT depends on, in one number, the trunk's to set: a
                           ticket that was made with another one gives no 0-RTT */
    uint64_t ticket_read_ns; /* private: when the age of the client's ticket was looked at */
    uint8_t versions;   /* server: that it accepts, enum mr_version_set; 0: it stays in `version` */
    uint8_t read_level; /* enum mr_level of the CRYPTO bytes wanted next */
    uint8_t write_level;
    bool is_insecure;
    bool is_complete;
    bool is_failed;
    bool has_params; /* the peer's came */
    bool has_ticket; /* client: one came */
};

_Static_assert(sizeof(struct mr_tls) <= 88, "thousands of these are pooled");

struct mr_tls_client_options {
    const char *server_name; /* DNS name or IP address that the certificate must carry; names also
                                go into SNI */
    const uint8_t *alpn;     /* wire form: length byte, name, ... */
    size_t alpn_size;        /* 2..MR_TLS_ALPN_MAX */
    bool is_insecure;        /* accept any certificate */
    const uint8_t *ticket;   /* of an earlier connection, NULL: none.  An unfit one is ignored */
    size_t ticket_size;
    const uint8_t *params; /* our transport parameters, encoded */
    size_t params_size;
    uint32_t version; /* of QUIC: a ticket of another one is unfit */
    bool wants_early; /* offer 0-RTT, if the ticket allows it */
};

/* A new secret.  Its cipher is inside. */
struct mr_tls_secret {
    struct mr_secret secret;
    uint8_t level; /* enum mr_level */
    bool is_write; /* we seal with it; else we open with it */
};

/* CRYPTO bytes to send at one level: at job->output_bytes + begin. */
struct mr_tls_output {
    uint32_t begin;
    uint32_t size;
};

enum mr_tls_early {
    MR_EARLY_NONE, /* not offered, or not known yet */
    MR_EARLY_ACCEPTED,
    MR_EARLY_REJECTED /* client: send it again as 1-RTT data */
};

struct mr_tls_job {
    struct mr_tls *tls; /* set by prepare */
    uint64_t owner;     /* the trunk's: which connection */

    /* ---- in ---- */
    enum mr_level input_level; /* set by mr_tls_job_input() */
    uint32_t input_size;
    uint32_t input_taken;   /* private: read by OpenSSL so far */
    uint32_t remember_size; /* client: transport parameters to keep in tickets; set before run if
                               wanted */

    /* ---- out ---- */
    bool wants_keylog; /* in, set before run: keep key log lines */
    bool is_failed;    /* `error` and `reason` say why; nothing else below is valid */
    bool is_complete;  /* the handshake is complete (RFC 9001, Section 4.1.1); stays true in later
                          jobs */
    bool is_done;      /* nothing more is wanted of this mr_tls: free it */
    bool is_resumed;   /* valid when complete */
    bool has_params;   /* the peer's transport parameters came in this job */
    bool has_alpn;     /* alpn and server_name are valid */
    bool is_ticket_dropped; /* one was larger than MR_TLS_TICKET_MAX */
    enum mr_tls_early early;
    uint32_t version; /* of QUIC, to go on in: server, as negotiated with the ClientHello */
    uint64_t error;   /* for CONNECTION_CLOSE: MR_CRYPTO_ERROR + alert, or a transport code */
    uint32_t secret_count;
    struct mr_tls_secret secrets[MR_TLS_SECRETS_MAX];
    struct mr_tls_output output[MR_LEVELS];
    uint32_t output_size;
    uint32_t params_size;
    uint32_t ticket_size; /* client: the newest ticket that came in this job; 0: none */
    uint32_t keylog_size;
    uint8_t alpn_size;
    char alpn[MR_TLS_ALPN_MAX + 1];        /* the protocol chosen, NUL-terminated */
    char server_name[MR_TLS_NAME_MAX + 1]; /* SNI, "" if none */
    char reason[MR_TLS_REASON_MAX];        /* for people, "" unless failed */
    uint8_t remember[MR_TLS_REMEMBER_MAX]; /* in */
    uint8_t input_bytes[MR_TLS_INPUT_MAX]; /* in */
    uint8_t output_bytes[MR_TLS_OUTPUT_MAX];
    uint8_t params[MR_TLS_PARAMS_MAX];
    uint8_t ticket[MR_TLS_TICKET_MAX];
    char keylog[MR_TLS_KEYLOG_MAX]; /* whole lines in NSS format, each with its newline */
};

/*
 * Begin a handshake.  `params`: our transport parameters, encoded; copied.  A client's costs about
 * 2 us; what OpenSSL holds of a server's its first job makes.  False: out of memory, or OpenSSL
 * refused the options; `tls` is then not started.
 */
bool mr_tls_start_server(struct mr_tls *tls, const struct mr_tls_context *context,
                         const uint8_t *params, size_t params_size);
bool mr_tls_start_client(struct mr_tls *tls, const struct mr_tls_context *context,
                         const struct mr_tls_client_options *options);

/* Free what OpenSSL holds; `tls` is not started afterwards.  Allowed at any time but while a job
 * runs, and more than once. */
void mr_tls_free(struct mr_tls *tls);

/* Make `job` empty, for `tls`.  Touches none of the big buffers. */
void mr_tls_job_prepare(struct mr_tls_job *job, struct mr_tls *tls);

/*
 * Append `size` CRYPTO bytes that follow all earlier ones of `level`.  One job takes bytes of one
 * level. Returns how many were taken: fewer than `size` when the job is full or already carries
 * another level.
 */
size_t mr_tls_job_input(struct mr_tls_job *job, enum mr_level level, const uint8_t *bytes,
                        size_t size);

/*
 * Let TLS eat the input and write the outputs.  100 to 600 us when keys are agreed on or
 * certificates checked. Bytes of a level that TLS has left behind, or left over when the level
 * changes, fail the job with PROTOCOL_VIOLATION (RFC 9001, Section 4.1.3).
 */
void mr_tls_job_run(struct mr_tls_job *job);

/* Overwrite the secrets and key log of `job`. */
void mr_tls_job_wipe(struct mr_tls_job *job);

/*
 * The transport parameters remembered in a ticket (what the job that made it had in `remember`),
 * borrowed. False if `ticket` is not one of ours.
 */
bool mr_tls_ticket_params(const uint8_t *ticket, size_t size, const uint8_t **params_out,
                          size_t *params_size_out);

/* The token in a ticket of `name` and QUIC's `version`, borrowed; its size, 0: none, or `ticket` is
 * NULL, or of others. */
size_t mr_tls_ticket_token(const uint8_t *ticket, size_t size, const char *name, uint32_t version,
                           const uint8_t **token_out);

/* The past of the connection that a ticket of `name` came from, borrowed: MR_TICKET_PAST_SIZE bytes
 * (tls_ticket.h).  NULL if `ticket` is NULL, or of others. */
const uint8_t *mr_tls_ticket_past(const uint8_t *ticket, size_t size, const char *name);

/* What a ticket is told that its session knows nothing of. */
struct mr_tls_ticket_with {
    const uint8_t *past;
    const uint8_t *token;
    size_t token_size;
};

/* Copy a ticket to `dst` with `with` in it.  Bytes written; 0: `room` is too small. */
size_t mr_tls_ticket_with(const uint8_t *ticket, size_t size, const struct mr_tls_ticket_with *with,
                          uint8_t *dst, size_t room);

/* The QUIC version of the connection that a ticket came from; 0: it is not one of ours. */
uint32_t mr_tls_ticket_version(const uint8_t *ticket, size_t size);

/*
 * Where the peer's CRYPTO stream of the APP level stands, kept by the connection because it
 * outlives mr_tls: after the handshake only NewSessionTicket messages from a server are legal.
 */
struct mr_tls_late {
    struct mr_tls_message message;
};

/*
 * Look at the next `size` APP-level CRYPTO bytes, before they are given to a job or, with no mr_tls
 * left, dropped. `role` is our own.  Returns 0, or the error to close with when the peer sent
 * anything else than a NewSessionTicket: MR_CRYPTO_ERROR + MR_ALERT_UNEXPECTED_MESSAGE for a TLS
 * KeyUpdate (RFC 9001, Section 6), MR_PROTOCOL_VIOLATION for a CertificateRequest (RFC 9001,
 * Section 4.4).
 */
uint64_t mr_tls_late_error(struct mr_tls_late *late, enum mr_role role, const uint8_t *bytes,
                           size_t size);

/*
 * Give the SSL_CTX in context->ssl_ctx the callbacks that lead into jobs: ALPN choice, ClientHello
 * checks, tickets, key log.  For control/tls_context.c, once per context.
 */
void mr_tls_context_attach(struct mr_tls_context *context);

#endif /* MR_QUIC_TLS_H */
