/*
 * http3/server_internal.h - what server.c (memory, events), exchange.c (a request and its
 * response), response.c (heads) and transfer.c (content) share.
 *
 * An exchange's life:
 *
 *     RECEIVING -> OPENING -> (LOADING | LISTING) -> SENDING -> SENT -> gone
 *         |           |              |                  |        |
 *         +-----------+--------------+------------------+--------+----> GONE (stream over, work
 * still out)
 *
 * An extended CONNECT goes from RECEIVING to TUNNEL (exchange_tunnel.c).
 *
 * Owner: one server.  Threads: the transport's.
 */
#ifndef MR_HTTP3_SERVER_INTERNAL_H
#define MR_HTTP3_SERVER_INTERNAL_H

#include "base/pool.h"
#include "http3/cache.h"
#include "http3/conditional.h"
#include "http3/date.h"
#include "http3/files.h"
#include "http3/h3_conn.h"
#include "http3/range.h"
#include "http3/server.h"
#include "http3/tunnel.h"

enum {
    MR_EXCHANGE_TEXT_MAX = 1024,  /* bytes of the fields of a request that are kept; more: 431 */
    MR_EXCHANGE_BODY_MAX = 65536, /* bytes of content of a request that are read over; more: 413 */
    MR_EXCHANGE_RESTARTS_MAX = 2, /* when a file changes while it is loaded */
    MR_TRANSFER_AHEAD = 2,        /* buffers read and not yet given to the transport */
    MR_INDEX_NAME_MAX = 128,
};

/* Tags of timers and work in user data. */
enum {
    MR_SERVER_TAG_TICK = MR_H3_TAG_USER,
    MR_SERVER_TAG_CLOCK,
    MR_SERVER_TAG_EXCHANGE, /* work of an exchange: its index */
    MR_SERVER_TAG_BUFFER,   /* work of a buffer: its index */
};

enum mr_exchange_state {
    MR_EXCHANGE_RECEIVING, /* the request */
    MR_EXCHANGE_OPENING,   /* OPEN is out */
    MR_EXCHANGE_LOADING,   /* READ into a cache entry is out */
    MR_EXCHANGE_LISTING,   /* waits for a buffer, or LIST is out */
    MR_EXCHANGE_SENDING,   /* head and content, as far as the transport takes them */
    MR_EXCHANGE_SENT,      /* all is given to the transport */
    MR_EXCHANGE_TUNNEL,    /* accepted: it lasts until either side ends it */
    MR_EXCHANGE_GONE,      /* aborted, or the stream is over */
};

/* Where content comes from. */
enum mr_content_source {
    MR_CONTENT_NONE,
    MR_CONTENT_TEXT,   /* static text */
    MR_CONTENT_CACHE,  /* a pinned entry */
    MR_CONTENT_FILE,   /* through buffers */
    MR_CONTENT_BUFFER, /* one buffer: a listing */
};

enum mr_buffer_state {
    MR_BUFFER_READING,
    MR_BUFFER_READY,
    MR_BUFFER_SENT, /* the transport refers to it until `stream_end` is acknowledged */
};

/* Memory that file content passes through. */
struct mr_file_buffer {
    uint32_t pool_link;
    uint8_t state;
    struct mr_file_buffer *next; /* of its exchange, in the order of content */
    struct mr_exchange *exchange;
    uint8_t *data;
    uint64_t stream_end;
    struct mr_file_job job;
};

struct mr_exchange {
    uint32_t pool_link;
    uint8_t state;
    uint8_t source;
    bool is_live;    /* in use */
    bool is_counted; /* among its connection's */
    bool is_head;    /* HEAD: no content */
    bool is_head_sent;
    bool is_job_out;  /* `job` is at a helper or waits for one */
    bool is_waiting;  /* for a buffer */
    bool wants_retry; /* the transport had no room, no event follows */
    bool is_text_full;
    uint8_t target_verdict;
    uint8_t restarts;
    uint16_t status;
    uint16_t text_used;
    struct mr_exchange *next_waiting;
    struct mr_exchange *next_retry;
    struct mr_h3_stream *stream;    /* NULL: over */
    struct mr_http3_tunnel *tunnel; /* NULL: it is none */
    uint64_t conn_word;
    uint64_t progress_ns; /* when the peer last moved it on */
    uint64_t body_received;
    const char *range_field;
    struct mr_conditions conditions;

    const char *content_type;
    const char *static_text;
    struct mr_file_version version;
    struct mr_range part; /* of the content that is sent */
    uint64_t whole;       /* size of the representation */
    struct mr_cache_entry *entry;
    int fd;           /* -1: none */
    uint64_t read_to; /* content given to readers, bytes from part.first on */
    uint64_t sent_to; /* content given to the transport, likewise */
    struct mr_file_buffer *buffers;
    struct mr_file_buffer **buffers_tail;
    uint32_t buffer_count;
    uint32_t ahead_count; /* of them not sent */
    uint32_t reads_out;
    struct mr_file_job job;
    char text[MR_EXCHANGE_TEXT_MAX];
};

/* What a head that is being read asks for: one at a time, since a section is decoded in one go. */
struct mr_tunnel_head {
    char protocol[64];
    char authority[MR_AUTHORITY_MAX + 1];
    char path[1024];
};

struct mr_h3_server {
    struct mr_h3_server_config config;
    struct mr_h3_counters counters;
    struct mr_application application;
    struct mr_h3_limits limits;
    struct mr_siphash_key hash_key;
    size_t footprint;
    int root_fd;
    bool has_index;
    char index[MR_INDEX_NAME_MAX];
    bool is_started;
    bool is_tick_armed;
    bool is_clock_out;
    uint32_t files_open;
    uint32_t jobs_out;
    uint32_t ticks;
    uint32_t expire_index;   /* where the next look for timeouts begins */
    size_t heap_base;        /* bytes of the layer's heap in use without any connection */
    uint32_t transfers;      /* exchanges that send files through buffers */
    int64_t clock_offset_ns; /* wall clock - transport's clock */
    int64_t date_second;
    char date[MR_DATE_SIZE];
    struct mr_h3_lines date_lines; /* the field of it */
    struct mr_h3 h3;
    struct mr_pool exchanges;
    struct mr_pool buffers;
    struct mr_pool tunnels;
    struct mr_tunnel_head tunnel_head;
    uint8_t *buffer_memory;
    uint32_t *conn_exchanges;    /* per connection index: exchanges that live */
    struct mr_exchange *waiting; /* for a buffer */
    struct mr_exchange **waiting_tail;
    struct mr_exchange *served; /* the one that is being given a buffer */
    struct mr_exchange *retry;
    struct mr_file_job *jobs; /* that wait for the work queue */
    struct mr_file_job **jobs_tail;
    struct mr_file_job clock_job;
    struct mr_cache cache;
};

/* ---- server.c ---- */

/* Seconds since 1970. */
int64_t mr_server_wall_second(struct mr_h3_server *server);

/* The Date field's value now: MR_DATE_SIZE bytes. */
const char *mr_server_date(struct mr_h3_server *server);

/* The same as the field. */
const struct mr_h3_lines *mr_server_date_lines(struct mr_h3_server *server);

/* Have a helper run the job, now or when the work queue has room. */
void mr_server_submit(struct mr_h3_server *server, struct mr_file_job *job, uint64_t tag,
                      uint64_t index);

/* ---- exchange.c ---- */

extern const struct mr_h3_user
    mr_exchange_user; /* the callbacks of the layer; on_other is server.c's */

/* The exchange's own job is done. */
void mr_exchange_job_done(struct mr_h3_server *server, struct mr_exchange *x);

/* Go on as far as possible: there may be room, or a buffer. */
void mr_exchange_continue(struct mr_h3_server *server, struct mr_exchange *x);

/* End it with `code`. */
void mr_exchange_abort(struct mr_h3_server *server, struct mr_exchange *x, uint64_t code);

/* Call mr_exchange_continue() when there may be room again. */
void mr_exchange_retry_later(struct mr_h3_server *server, struct mr_exchange *x);

/* Free it, if its stream is over and no work of it is out. */
void mr_exchange_release(struct mr_h3_server *server, struct mr_exchange *x);

/* ---- exchange_tunnel.c ---- */

/* A field of a head, when the server has tunnels. */
void mr_exchange_tunnel_field(struct mr_h3_server *server, enum mr_h3_field field,
                              struct mr_text value);

/* The head is an extended CONNECT: 200, it is a tunnel now; else the status that answers it. */
uint16_t mr_exchange_tunnel_begin(struct mr_h3_server *server, struct mr_exchange *x,
                                  const struct mr_message *message);

/* There may be room; the tunnel is over, if it is one; its memory is not needed any more. */
void mr_exchange_tunnel_continue(struct mr_h3_server *server, struct mr_exchange *x);
void mr_exchange_tunnel_end(struct mr_h3_server *server, struct mr_exchange *x, int error,
                            const char *reason);
void mr_exchange_tunnel_release(struct mr_h3_server *server, struct mr_exchange *x);

/* ---- response.c ---- */

/* Is it a status that mr_response_text() knows? */
bool mr_response_is_known(uint16_t status);

/* Send the head that the exchange's status and content ask for.  Results as mr_h3_send_head(). */
int mr_response_send_head(struct mr_h3_server *server, struct mr_exchange *x);

/* The text that goes with a status other than 200, 206 and 304. */
const char *mr_response_text(uint16_t status);

/* Does the Location of a redirect to "target/" have room, query included? */
bool mr_response_can_redirect(const struct mr_target *target);

/* Bytes of content that follow the head. */
uint64_t mr_response_content_size(const struct mr_exchange *x);

/* ---- transfer.c ---- */

/* Give the transport as much content as there is and it takes.  False: the exchange was aborted. */
bool mr_transfer_pump(struct mr_h3_server *server, struct mr_exchange *x);

/* Take a buffer; NULL: the exchange is told by mr_exchange_continue() when there is one. */
struct mr_file_buffer *mr_transfer_take_buffer(struct mr_h3_server *server, struct mr_exchange *x);

void mr_transfer_acked(struct mr_h3_server *server, struct mr_exchange *x, uint64_t acked_to);
void mr_transfer_read_done(struct mr_h3_server *server, struct mr_file_buffer *buffer);

/* Give all buffers back; no read is out. */
void mr_transfer_end(struct mr_h3_server *server, struct mr_exchange *x);

#endif /* MR_HTTP3_SERVER_INTERNAL_H */
