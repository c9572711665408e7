/*
 * tests/support/raw_h3.h - a peer that sends any bytes on any stream, against our server or our
 * client.
 *
 *     raw client --loop-- mr_h3_server          mr_h3_client --loop-- raw server
 *
 * It knows no rule of HTTP/3; what came back is kept per stream.  For tests only.
 */
#ifndef MR_TESTS_SUPPORT_RAW_H3_H
#define MR_TESTS_SUPPORT_RAW_H3_H

#include "http3/client.h"
#include "http3/server.h"
#include "tests/support/loop_transport.h"

enum {
    RAW_STREAMS_MAX = 128,
    RAW_BYTES_MAX = 65536,
    RAW_IN_MAX = 8192,
};

#define RAW_NONE UINT64_MAX /* no code */

/* Bytes being put together. */
struct raw_bytes {
    size_t size;
    uint8_t data[RAW_BYTES_MAX];
};

void raw_put(struct raw_bytes *bytes, const void *data, size_t size);
void raw_put_varint(struct raw_bytes *bytes, uint64_t value);
void raw_put_frame(struct raw_bytes *bytes, uint64_t type, const void *payload, size_t size);

/* A frame whose payload is one varint. */
void raw_put_id_frame(struct raw_bytes *bytes, uint64_t type, uint64_t id);

/* The beginning of a control stream: its type, and SETTINGS without any parameter. */
void raw_put_control(struct raw_bytes *bytes);

/* A field section: prefix, then fields as literals, any bytes. */
void raw_begin_section(struct raw_bytes *section);
void raw_put_field(struct raw_bytes *section, const char *name, const char *value);
void raw_put_field_bytes(struct raw_bytes *section, const char *name, size_t name_size,
                         const char *value, size_t value_size);

/* ":method: GET", ":scheme: https", ":authority: localhost", ":path: path" */
void raw_put_get(struct raw_bytes *section, const char *path);

/* A HEADERS frame with the section. */
void raw_put_headers(struct raw_bytes *bytes, const struct raw_bytes *section);

/* Bytes that came. */
struct raw_in {
    size_t size;
    uint8_t data[RAW_IN_MAX];
};

struct raw_stream {
    mr_handle handle;
    uint64_t id;
    bool is_ours; /* we opened it */
    struct raw_in in;
    bool has_fin;
    bool is_closed;
    uint64_t reset_code; /* RAW_NONE: not reset */
    uint64_t stop_code;
};

struct raw_peer {
    struct mr_application application;
    struct mr_transport *transport;
    unsigned side;
    mr_handle conn;
    bool is_connected;
    bool is_closed;
    bool is_application;
    uint64_t close_code; /* RAW_NONE: open */
    uint32_t stream_count;
    struct raw_stream *streams;
};

/* Prepare a peer for side 0 (client) or 1 (server) of a loop; free(peer->streams) after the loop.
 */
void raw_peer_init(struct raw_peer *peer, unsigned side);

/* Our server over `root` (NULL: a directory with a.txt is made), and a raw client that is
 * connected; with has_hq, by HTTP/0.9. */
struct raw_server_test {
    struct raw_peer raw;
    struct loop *loop;
    struct mr_h3_server *server;
    char root[64];
};

struct raw_server_test *raw_server_test_new(const struct mr_h3_server_config *config,
                                            const struct loop_config *loop);
void raw_server_test_free(struct raw_server_test *test);

/* Our client, connected to a raw server, with one GET under way as the server's first request
 * stream. */
struct raw_client_test {
    struct raw_peer raw;
    struct loop *loop;
    struct mr_h3_client *client;
    mr_h3_client_conn conn;
    mr_h3_client_request request;
    bool is_done;
    bool is_closed;
    uint32_t headers;
    uint32_t done_count; /* of all requests; result is the first's */
    uint32_t goaways;
    uint64_t closed_code;
    struct mr_h3_result result;
    struct mr_h3_response response;
};

struct raw_client_test *raw_client_test_new(bool is_head);

/* The same with another configuration; NULL: as above. */
struct raw_client_test *raw_client_test_new_with(const struct mr_h3_client_config *config,
                                                 const struct loop_config *loop, bool is_head);
void raw_client_test_free(struct raw_client_test *test);

/* The raw server's view of the client's request; never NULL. */
struct raw_stream *raw_client_test_request(struct raw_client_test *test);

/* Open a stream; -1 if the limit is reached. */
int raw_open(struct raw_peer *peer, bool is_uni);

/* Send; the bytes are copied.  The loop does the rest. */
void raw_send(struct raw_peer *peer, int stream, const struct raw_bytes *bytes, bool is_last);
void raw_reset(struct raw_peer *peer, int stream, uint64_t code);
void raw_stop(struct raw_peer *peer, int stream, uint64_t code);

/* The stream the other side opened with the type (unidirectional); NULL: none. */
struct raw_stream *raw_find_uni(struct raw_peer *peer, uint64_t type);

/* Is it one of the other side's that has no meaning (RFC 9114, Section 6.2.3)?  They come now and
 * then. */
bool raw_is_reserved(const struct raw_stream *stream);

/* The fields of the first head that came on a stream, "name: value\n" each; "": none.  Valid until
 * the next call. */
const char *raw_fields(const struct raw_stream *stream);

/* The :status of the response at the beginning of what came on a stream; 0: none. */
unsigned raw_status(const struct raw_stream *stream);

/* The payload of the first frame of `type` in what came, from byte `at` on; NULL: none. */
const uint8_t *raw_find_frame(const struct raw_stream *stream, size_t at, uint64_t type,
                              size_t *size_out);

#endif /* MR_TESTS_SUPPORT_RAW_H3_H */
