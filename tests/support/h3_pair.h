/*
 * tests/support/h3_pair.h - an HTTP/3 server over a temporary directory, and its client, joined by
 * a loop.
 *
 * For tests only.
 */
#ifndef MR_TESTS_SUPPORT_H3_PAIR_H
#define MR_TESTS_SUPPORT_H3_PAIR_H

#include "http3/client.h"
#include "http3/pattern.h"
#include "http3/server.h"
#include "tests/support/loop_transport.h"

enum {
    H3_FETCHES_MAX = 4096,
    H3_TEXT_MAX = 256,
};

/* One request and what came of it. */
struct h3_fetch {
    mr_h3_client_request request;
    bool is_done;
    uint32_t headers; /* calls of on_headers */
    struct mr_h3_result result;
    char reason[H3_TEXT_MAX];
    struct mr_h3_response response;
    char content_type[H3_TEXT_MAX];
    char etag[H3_TEXT_MAX];
    char last_modified[H3_TEXT_MAX];
    char location[H3_TEXT_MAX];
    char *body; /* kept if keeps_body; NUL-terminated */
    uint64_t body_size;
    bool keeps_body;
    bool checks_pattern; /* compare with the pair's pattern from offset `pattern_at` on */
    uint64_t pattern_at;
    bool is_wrong;      /* it differed */
    size_t take_max;    /* bytes taken in one on_data; 0: all */
    uint64_t cancel_at; /* cancel once so many bytes came; 0: not */
};

struct h3_pair {
    char root[64];
    bool is_hq;              /* the client speaks HTTP/0.9; set before the start */
    uint32_t client_table;   /* bytes of the client's table for what it sends */
    uint32_t client_blocked; /* streams that may wait for QPACK at the client */
    bool has_tunnels;        /* the client may ask for some */
    struct loop *loop;
    struct mr_h3_server *server;
    struct mr_h3_client *client;
    mr_h3_client_conn conn; /* the first connection */
    struct mr_h3_closed closed;
    uint32_t connected_count;
    uint32_t closed_count;
    uint32_t goaway_count;
    struct mr_pattern pattern;
    uint32_t fetch_count;
    struct h3_fetch fetch[H3_FETCHES_MAX];
};

/* A temporary directory to serve; h3_pair_free() removes it. */
struct h3_pair *h3_pair_new(void);
void h3_pair_free(struct h3_pair *pair);

/* Small pools; change what matters, then start. */
struct mr_h3_server_config h3_pair_server_config(const struct h3_pair *pair);

/* Make server and client, for a test that joins them by something else than a loop. */
void h3_pair_make(struct h3_pair *pair, const struct mr_h3_server_config *config);

/* Start server, client and loop, and open a connection. */
void h3_pair_start(struct h3_pair *pair, const struct mr_h3_server_config *config,
                   const struct loop_config *loop);

/* Start with defaults. */
void h3_pair_start_default(struct h3_pair *pair);

/* Another connection. */
mr_h3_client_conn h3_pair_connect(struct h3_pair *pair);

/* Files and directories below the root. */
void h3_pair_write(struct h3_pair *pair, const char *name, const void *data, size_t size);
void h3_pair_write_text(struct h3_pair *pair, const char *name, const char *text);
void h3_pair_write_pattern(struct h3_pair *pair, const char *name, uint64_t size);
void h3_pair_mkdir(struct h3_pair *pair, const char *name);
void h3_pair_link(struct h3_pair *pair, const char *target, const char *name);

/* Make a request on the first connection; the fetch is filled while the loop runs. */
struct h3_fetch *h3_pair_begin(struct h3_pair *pair, const struct mr_h3_request_options *options);

/* Make a request and run the loop until it is done. */
struct h3_fetch *h3_pair_get(struct h3_pair *pair, const char *path);
struct h3_fetch *h3_pair_fetch(struct h3_pair *pair, const struct mr_h3_request_options *options);

/* Run the loop until nothing moves. */
void h3_pair_run(struct h3_pair *pair);

/* A counter of the server. */
#define h3_pair_counter(pair, name) (mr_h3_server_counters((pair)->server)->name)

/* True if the server holds nothing but cached files. */
bool h3_pair_is_idle(const struct h3_pair *pair);

#endif /* MR_TESTS_SUPPORT_H3_PAIR_H */
