/* tests/unit/test_qlog.c - control/qlog.h: files of what a test peer really sent. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/qlog.h"
#include "tests/support/peer_cases.h"

#define FILE_MAX (1 << 20)

/* A writer, its folder and a tracer for the endpoint under test. */
struct world {
    char folder[64];
    struct mr_qlog *qlog;
    struct mr_tracer *tracer;
    struct peer *peer;
};

static struct world open_world(const struct mr_qlog_config *config)
{
    struct world w = {.folder = "/tmp/millrace-qlog-XXXXXX"};
    struct mr_qlog_config all = *config;
    struct mr_fault fault = {0};

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(w.folder));
    all.folder = w.folder;
    w.qlog = mr_qlog_open(&all, &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.qlog);
    w.tracer = mr_qlog_add(w.qlog, &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.tracer);
    return w;
}

static void start_peer(struct world *w, enum mr_role under_test, uint32_t what)
{
    const struct mr_trace_rule rule = {.what = what};

    w->peer = peer_new(&(struct peer_options){.under_test = under_test, .datagram_max = 1000});
    mr_endpoint_set_tracer(peer_endpoint(w->peer), w->tracer, w->peer->now);
    mr_endpoint_trace_new(peer_endpoint(w->peer), &rule);
}

static void end_peer(struct world *w)
{
    if (w->peer != NULL)
        peer_end(w->peer);
    w->peer = NULL;
}

/* The file in the folder whose name ends so, with what came before in `path_out`; "": none. */
static void find_file(const struct world *w, const char *ending, char path_out[400])
{
    DIR *folder = opendir(w->folder);

    path_out[0] = '\0';
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t size = strlen(entry->d_name);

        if (size > strlen(ending) && strcmp(entry->d_name + size - strlen(ending), ending) == 0)
            snprintf(path_out, 400, "%s/%s", w->folder, entry->d_name);
    }
    closedir(folder);
}

static uint32_t count_files(const struct world *w)
{
    DIR *folder = opendir(w->folder);
    uint32_t count = 0;

    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static size_t read_file(const char *path, char *text)
{
    FILE *file = fopen(path, "r");
    size_t size = file == NULL ? 0 : fread(text, 1, FILE_MAX - 1, file);

    if (file != NULL)
        fclose(file);
    text[size] = '\0';
    return size;
}

/* The records of the .sqlog file with this ending, each whole; an array, the caller's. */
static struct json_object *read_records(const struct world *w, const char *ending)
{
    static char text[FILE_MAX];
    struct json_object *records = json_object_new_array();
    char path[400];

    find_file(w, ending, path);
    CU_ASSERT_NOT_EQUAL_FATAL(path[0], '\0');
    size_t size = read_file(path, text);
    for (char *at = text; at < text + size;) {
        CU_ASSERT_EQUAL_FATAL(*at, 0x1e); /* RFC 7464, Section 2.2 */
        char *end = strchr(at, '\n');
        CU_ASSERT_PTR_NOT_NULL_FATAL(end);
        *end = '\0';
        struct json_object *record = json_tokener_parse(at + 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(record);
        json_object_array_add(records, record);
        at = end + 1;
    }
    return records;
}

static struct json_object *member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = member(object, key);

    return value == NULL ? "" : json_object_get_string(value);
}

static uint64_t number_of(struct json_object *object, const char *key)
{
    struct json_object *value = member(object, key);

    return value == NULL ? UINT64_MAX : json_object_get_uint64(value);
}

/* The data of event number `nth` of this name; NULL. */
static struct json_object *event(struct json_object *records, const char *name, uint32_t nth)
{
    for (size_t i = 1; i < json_object_array_length(records); i++) {
        struct json_object *record = json_object_array_get_idx(records, i);

        if (strcmp(text_of(record, "name"), name) == 0 && nth-- == 0)
            return member(record, "data");
    }
    return NULL;
}

static void close_world(struct world *w)
{
    char path[400];

    end_peer(w);
    mr_qlog_close(w->qlog);
    for (;;) {
        find_file(w, "log", path);
        if (path[0] == '\0')
            find_file(w, "keys", path);
        if (path[0] == '\0')
            break;
        unlink(path);
    }
    CU_ASSERT_EQUAL(rmdir(w->folder), 0);
}

/* ------------------------------------------------------------------ tests */

/* "The length field of the Crypto frame MUST be logged in the qlog `raw.length` field."
 * (draft-ietf-quic-qlog-quic-events: CryptoFrame)  "If the stream frame contains a length field, it
 * MUST be logged in the qlog `raw.length` field." (draft-ietf-quic-qlog-quic-events: StreamFrame)
 * "If the datagram frame contains a length field, it MUST be logged in the qlog `raw.length`
 * field." (draft-ietf-quic-qlog-quic-events: DatagramFrame) */
static void the_file_has_what_the_peer_really_sent(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_DONE);
    uint64_t pn = w.peer->next_pn[MR_SPACE_APP];
    PEER_SEND(w.peer, "\x0f\x00\x40\x07\x03"
                      "abc"                                  /* STREAM 0, offset 7, FIN */
                      "\x04\x04\x21\x05"                     /* RESET_STREAM 4, 0x21, 5 */
                      "\x12\x44\xd2"                         /* MAX_STREAMS 1234 */
                      "\x1a\x01\x02\x03\x04\x05\x06\x07\x08" /* PATH_CHALLENGE */
                      "\x14\x09"                             /* DATA_BLOCKED 9 */
                      "\x31\x02"
                      "hi" /* DATAGRAM */
                      "\x00\x00");
    end_peer(&w);
    mr_qlog_flush(w.qlog);

    struct json_object *records = read_records(&w, "_server.sqlog");
    struct json_object *received = NULL;
    struct json_object *data;
    for (uint32_t i = 0; (data = event(records, "quic:packet_received", i)) != NULL; i++) {
        struct json_object *header = member(data, "header");
        struct json_object *first = json_object_array_get_idx(member(data, "frames"), 0);
        if (i == 0) { /* the client's hello */
            CU_ASSERT_STRING_EQUAL(text_of(first, "frame_type"), "crypto");
            CU_ASSERT_TRUE(number_of(member(first, "raw"), "length") > 200);
        }
        if (strcmp(text_of(header, "packet_type"), "1RTT") == 0 &&
            number_of(header, "packet_number") == pn)
            received = data;
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(received);
    CU_ASSERT_EQUAL(number_of(member(received, "header"), "key_phase"), 0);
    CU_ASSERT_EQUAL(number_of(member(received, "raw"), "payload_length"), 32);
    const char *frames =
        json_object_to_json_string_ext(member(received, "frames"), JSON_C_TO_STRING_PLAIN);
    CU_ASSERT_STRING_EQUAL(
        frames,
        "[{\"frame_type\":\"stream\",\"stream_id\":0,\"offset\":7,\"fin\":true,"
        "\"length\":3,\"raw\":{\"length\":3,\"payload_length\":3}},"
        "{\"frame_type\":\"reset_stream\",\"stream_id\":4,\"error\":\"unknown\",\"error_code\":33,"
        "\"final_size\":5},"
        "{\"frame_type\":\"max_streams\",\"maximum\":1234,\"stream_type\":\"bidirectional\"},"
        "{\"frame_type\":\"path_challenge\",\"data\":\"0102030405060708\"},"
        "{\"frame_type\":\"data_blocked\",\"limit\":9},"
        "{\"frame_type\":\"datagram\",\"raw\":{\"length\":2,\"payload_length\":2}},"
        "{\"frame_type\":\"padding\",\"raw\":{\"length\":2,\"payload_length\":2}}]");
    json_object_put(records);
    close_world(&w);
}

static bool has_lower_case_names(struct json_object *value)
{
    bool is_ok = true;

    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++)
            is_ok = is_ok && has_lower_case_names(json_object_array_get_idx(value, i));
    } else if (json_object_is_type(value, json_type_object)) {
        struct json_object_iter at;
        json_object_object_foreachC(value, at)
        {
            for (const char *c = at.key; *c != '\0'; c++)
                is_ok = is_ok && (*c < 'A' || *c > 'Z');
            is_ok = is_ok && has_lower_case_names(at.val);
        }
    }
    return is_ok;
}

/* draft-ietf-quic-qlog-main-schema  "It MUST have a value that is an absolute URI; see
 * {{schema-uri}} for rules and guidance." (draft-ietf-quic-qlog-main-schema: Abstract LogFile
 * Class)  "Concrete log file schemas MUST identify themselves using a URI {{!RFC3986}}."
 * (draft-ietf-quic-qlog-main-schema: Concrete Log File Schema URIs)  "Each qlog event MUST contain
 * the mandatory fields: "time" ({{time-based-fields}}), "name" ({{event-types-and-schema}}), and
 * "data" ({{data-field}})." (draft-ietf-quic-qlog-main-schema: Abstract Event Class)  "Each event
 * MUST include a "time" field to indicate the timestamp that it occurred."
 * (draft-ietf-quic-qlog-main-schema: Timestamps)  "When using the "monotonic" clock type, the epoch
 * field MUST have the value "unknown"." (draft-ietf-quic-qlog-main-schema: Timestamps)  "Note that
 * if at least one event in a trace has a different value for a given field, this field MUST NOT be
 * added to common_fields but instead defined on each event individually."
 * (draft-ietf-quic-qlog-main-schema: CommonFields)  "The value of a qlog event `name` field MUST be
 * the concatenation of namespace identifier, colon (':'), and event type identifier (for example:
 * quic:packet_sent)." (draft-ietf-quic-qlog-main-schema: Concrete Event Types and Event Schemas)
 * "In addition, all qlog field names MUST be lowercase when serialized to JSON."
 * (draft-ietf-quic-qlog-main-schema: qlog to JSON mapping)  "While not specifically required by the
 * JSON-SEQ specification, all qlog field names MUST be lowercase when serialized to JSON-SEQ."
 * (draft-ietf-quic-qlog-main-schema: qlog to JSON Text Sequences mapping)  "Until such an RFC
 * exists, implementations MUST NOT identify themselves using this URI."
 * (draft-ietf-quic-qlog-quic-events: Draft Event Schema Identification)  "Implementations of draft
 * versions of the event schema MUST append the string "-" and the corresponding draft number to the
 * URI." (draft-ietf-quic-qlog-quic-events: Draft Event Schema Identification)  "Until such
 * an RFC exists, implementations MUST NOT identify themselves using this URI."
 * (draft-ietf-quic-qlog-h3-events: Draft Event Schema Identification)  "Implementations of draft
 * versions of the event schema MUST append the string "-" and the corresponding draft number to the
 * URI." (draft-ietf-quic-qlog-h3-events: Draft Event Schema Identification) */
static void records_are_as_their_schema_says(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_DONE);
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    struct json_object *records = read_records(&w, "_server.sqlog");
    struct json_object *top = json_object_array_get_idx(records, 0);
    CU_ASSERT_STRING_EQUAL(text_of(top, "file_schema"), "urn:ietf:params:qlog:file:sequential");
    struct json_object *trace = member(top, "trace");
    struct json_object *schemas = member(trace, "event_schemas");
    CU_ASSERT_STRING_EQUAL(json_object_get_string(json_object_array_get_idx(schemas, 0)),
                           "urn:ietf:params:qlog:events:quic-13");
    CU_ASSERT_STRING_EQUAL(json_object_get_string(json_object_array_get_idx(schemas, 1)),
                           "urn:ietf:params:qlog:events:http3-13");
    struct json_object *reference = member(member(trace, "common_fields"), "reference_time");
    if (strcmp(text_of(reference, "clock_type"), "monotonic") == 0)
        CU_ASSERT_STRING_EQUAL(text_of(reference, "epoch"), "unknown");
    CU_ASSERT_TRUE(json_object_array_length(records) > 5);
    for (size_t i = 1; i < json_object_array_length(records); i++) {
        struct json_object *record = json_object_array_get_idx(records, i);
        CU_ASSERT_PTR_NOT_NULL(member(record, "time"));
        CU_ASSERT_PTR_NOT_NULL(member(record, "data"));
        CU_ASSERT_TRUE(strncmp(text_of(record, "name"), "quic:", 5) == 0 ||
                       strcmp(text_of(record, "name"), "recovery:metrics_updated") == 0 ||
                       strncmp(text_of(record, "name"), "http3:", 6) == 0 ||
                       strncmp(text_of(record, "name"), "loglevel:", 9) == 0);
        CU_ASSERT_TRUE(has_lower_case_names(record));
    }
    CU_ASSERT_TRUE(has_lower_case_names(top));
    json_object_put(records);
    close_world(&w);
}

static void the_file_is_called_by_the_first_connection_id(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});
    char name[64] = "/";
    char path[400];

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_HELLO);
    const struct mr_handshake *hs = mr_conn_handshake(peer_endpoint(w.peer), peer_conn(w.peer));
    for (uint32_t i = 0; i < hs->original_dcid.size; i++)
        snprintf(name + strlen(name), 3, "%02x", hs->original_dcid.bytes[i]);
    strcat(name, "_server.sqlog");
    mr_qlog_flush(w.qlog);
    find_file(&w, ".sqlog", path);
    CU_ASSERT_PTR_NOT_NULL(strstr(path, name));
    struct json_object *records = read_records(&w, ".sqlog");
    struct json_object *header = json_object_array_get_idx(records, 0);
    CU_ASSERT_STRING_EQUAL(text_of(header, "file_schema"), "urn:ietf:params:qlog:file:sequential");
    CU_ASSERT_STRING_EQUAL(text_of(header, "serialization_format"), "application/qlog+json-seq");
    struct json_object *common = member(member(header, "trace"), "common_fields");
    CU_ASSERT_EQUAL(strncmp(text_of(common, "group_id"), name + 1, hs->original_dcid.size * 2u), 0);
    CU_ASSERT_PTR_NOT_NULL(event(records, "quic:connection_started", 0));
    CU_ASSERT_PTR_NOT_NULL(event(records, "quic:parameters_set", 1)); /* ours and the peer's */
    json_object_put(records);
    close_world(&w);
}

static void nothing_is_written_when_it_is_off(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});
    struct mr_qlog_stats stats;

    start_peer(&w, MR_SERVER, 0);
    peer_run(w.peer, PEER_DONE);
    PEER_SEND(w.peer, "\x01");
    CU_ASSERT_EQUAL(mr_spsc_count(&w.tracer->ring, 1), 0);
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    mr_qlog_stats(w.qlog, &stats);
    CU_ASSERT_EQUAL(stats.files + stats.events + stats.bytes, 0);
    CU_ASSERT_EQUAL(count_files(&w), 0);
    close_world(&w);
}

static void a_connection_is_traced_and_stopped_while_it_runs(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});

    start_peer(&w, MR_SERVER, 0);
    peer_run(w.peer, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(w.peer);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, w.peer->conn, MR_TRACE_KEYS, w.peer->now), -EBUSY);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, w.peer->conn + 1, MR_TRACE_EVENTS, w.peer->now), -ESTALE);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, w.peer->conn, MR_TRACE_EVENTS, w.peer->now), 0);
    PEER_SEND(w.peer, "\x01");
    CU_ASSERT_EQUAL(mr_conn_trace(ep, w.peer->conn, 0, w.peer->now), 0);
    PEER_SEND(w.peer, "\x14\x05");
    mr_qlog_flush(w.qlog);
    struct json_object *records = read_records(&w, "_server.sqlog");
    struct json_object *first = event(records, "quic:packet_received", 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_STRING_EQUAL(
        json_object_to_json_string_ext(member(first, "frames"), JSON_C_TO_STRING_PLAIN),
        "[{\"frame_type\":\"ping\"}]");
    CU_ASSERT_PTR_NULL(event(records, "quic:packet_received", 1));
    CU_ASSERT_PTR_NOT_NULL(event(records, "loglevel:info", 0)); /* it was stopped */
    json_object_put(records);
    close_world(&w);
}

static void key_log_lines_are_in_a_file_of_their_own_that_is_private(void)
{
    static char text[FILE_MAX];
    struct world w = open_world(&(struct mr_qlog_config){0});
    char path[400];
    struct stat status;

    start_peer(&w, MR_CLIENT, MR_TRACE_KEYS);
    peer_run(w.peer, PEER_DONE);
    mr_qlog_flush(w.qlog);
    find_file(&w, ".sqlog", path);
    CU_ASSERT_EQUAL(path[0], '\0');
    find_file(&w, "_client.keys", path);
    CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 0777, 0600);
    read_file(path, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "CLIENT_TRAFFIC_SECRET_0 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "SERVER_HANDSHAKE_TRAFFIC_SECRET "));
    close_world(&w);
}

static void put_param(struct mr_writer *w, uint64_t id, size_t size)
{
    mr_write_varint(w, id);
    mr_write_varint(w, size);
    uint8_t *value = mr_write_later(w, size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    memset(value, 0xab, size);
}

/* ngtcp2, CVE-2026-40170: parameters went to qlog through a buffer of 1,024 bytes.  "As such, this
 * field MUST be correct for all settings included in a single event instance."
 * (draft-ietf-quic-qlog-quic-events: parameters_set)  "If the settings from two sides are required,
 * they MUST be logged as two separate event instances." (draft-ietf-quic-qlog-quic-events:
 * parameters_set) */
static void transport_parameters_of_any_size_are_shown(void)
{
    static uint8_t params[3 * MR_TRACE_BODY_MAX];
    struct world w = open_world(&(struct mr_qlog_config){0});

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(w.peer);
    struct mr_writer writer = mr_writer(params, sizeof(params));
    put_param(&writer, 27, 2048);
    for (uint64_t i = 0; i < 20; i++)
        put_param(&writer, 31 * i + 58, 8);
    mr_trace_params(ep, peer_conn(w.peer), params, mr_writer_size(&writer), true);
    put_param(&writer, 27, 2 * MR_TRACE_BODY_MAX); /* more than a record holds: it is cut */
    mr_trace_params(ep, peer_conn(w.peer), params, mr_writer_size(&writer), true);
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    struct json_object *records = read_records(&w, "_server.sqlog");
    for (uint32_t i = 2; i < 4; i++) {
        struct json_object *set = event(records, "quic:parameters_set", i);
        struct json_object *unknown = member(set, "unknown_parameters");
        CU_ASSERT_PTR_NOT_NULL_FATAL(unknown);
        CU_ASSERT_EQUAL(json_object_array_length(unknown), 21);
        struct json_object *first = json_object_array_get_idx(unknown, 0);
        CU_ASSERT_EQUAL(number_of(first, "id"), 27);
        CU_ASSERT_EQUAL(strlen(text_of(first, "value")), 4096);
    }
    json_object_put(records);
    close_world(&w);
}

static void losses_probes_and_ends_are_told(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_DONE);
    PEER_SEND(w.peer, "\x08\x00x"); /* a stream, on which the application answers */
    mr_handle stream =
        peer_conn(w.peer)->stream_head == MR_NONE
            ? MR_HANDLE_NONE
            : mr_handle_of(
                  peer_conn(w.peer)->stream_head,
                  mr_stream_at(peer_endpoint(w.peer), peer_conn(w.peer)->stream_head)->generation,
                  true);
    struct mr_view view = {.data = (const uint8_t *)"hello", .size = 5};
    CU_ASSERT_EQUAL(mr_stream_send(peer_endpoint(w.peer), stream, &view, 1, 0), 0);
    peer_advance(w.peer, 2 * MR_SECOND);      /* nobody acknowledges: probes */
    PEER_SEND(w.peer, "\x1c\x0a\x04\x03why"); /* PROTOCOL_VIOLATION */
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    struct json_object *records = read_records(&w, "_server.sqlog");
    struct json_object *timer = event(records, "quic:timer_updated", 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(timer);
    CU_ASSERT_STRING_EQUAL(text_of(timer, "timer_type"), "pto");
    struct json_object *closed = event(records, "quic:connection_closed", 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(closed);
    CU_ASSERT_STRING_EQUAL(text_of(closed, "initiator"), "remote");
    CU_ASSERT_STRING_EQUAL(text_of(closed, "connection_error"), "protocol_violation");
    CU_ASSERT_STRING_EQUAL(text_of(closed, "reason"), "why");
    CU_ASSERT_PTR_NOT_NULL(event(records, "quic:recovery_metrics_updated", 1));
    CU_ASSERT_PTR_NOT_NULL(event(records, "quic:stream_state_updated", 0));
    json_object_put(records);
    close_world(&w);
}

static void a_file_ends_at_its_limit_and_says_so(void)
{
    struct world w = open_world(&(struct mr_qlog_config){.file_bytes = 16384});
    struct mr_qlog_stats stats;

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_DONE);
    for (int i = 0; i < 200; i++)
        PEER_SEND(w.peer, "\x01");
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    mr_qlog_stats(w.qlog, &stats);
    CU_ASSERT_EQUAL(stats.cut, 1);
    CU_ASSERT_TRUE(stats.bytes < 16384 + 4096);
    struct json_object *records = read_records(&w, ".sqlog");
    struct json_object *warning = event(records, "loglevel:warning", 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(warning);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of(warning, "message"), "size limit"));
    double before = 0;
    for (size_t i = 1; i < json_object_array_length(records); i++) {
        double time = json_object_get_double(member(json_object_array_get_idx(records, i), "time"));

        CU_ASSERT_TRUE(time >= before);
        before = time;
    }
    json_object_put(records);
    close_world(&w);
}

static void no_more_files_are_begun_than_are_allowed(void)
{
    struct world w = open_world(&(struct mr_qlog_config){.files_max = 2});
    struct mr_qlog_stats stats;

    for (int i = 0; i < 4; i++) {
        start_peer(&w, MR_CLIENT, MR_TRACE_EVENTS);
        peer_run(w.peer, PEER_DONE);
        end_peer(&w);
    }
    mr_qlog_flush(w.qlog);
    mr_qlog_stats(w.qlog, &stats);
    CU_ASSERT_EQUAL(stats.files, 2);
    CU_ASSERT_EQUAL(stats.open, 0);
    CU_ASSERT_EQUAL(stats.refused, 2);
    CU_ASSERT_EQUAL(count_files(&w), 2);
    close_world(&w);
}

/* Who sends datagrams that only look like Initials gets no files, and uses up none that were asked
 * for. */
static void garbage_begins_no_file(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});
    _Atomic uint32_t next = 2;
    const struct mr_trace_rule rule = {.what = MR_TRACE_EVENTS, .next = &next};

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    mr_endpoint_trace_new(peer_endpoint(w.peer), &rule);
    peer_run(w.peer, PEER_HELLO);
    CU_ASSERT_EQUAL(next, 1);
    for (uint8_t i = 1; i <= 5; i++) {
        struct peer_raw raw = w.peer->hello;
        raw.bytes[6] ^= i; /* the connection ID that the keys are made of */
        peer_deliver(w.peer, raw.bytes, raw.size);
    }
    CU_ASSERT_EQUAL(peer_counters(w.peer)->dropped_undecryptable, 5);
    CU_ASSERT_EQUAL(next, 1);
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    CU_ASSERT_EQUAL(count_files(&w), 1);
    close_world(&w);
}

static void a_file_that_is_there_is_left_alone(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});

    for (int i = 0; i < 3; i++) { /* the same seed: the same connection IDs */
        start_peer(&w, MR_CLIENT, MR_TRACE_EVENTS);
        peer_run(w.peer, PEER_HELLO);
        end_peer(&w);
    }
    mr_qlog_flush(w.qlog);
    CU_ASSERT_EQUAL(count_files(&w), 3);
    close_world(&w);
}

static void a_bad_folder_is_named(void)
{
    static const char *const bad[] = {"/nowhere/at/all", "/dev/null", "/proc/1/attr"};

    for (size_t i = 0; i < MR_COUNT_OF(bad); i++) {
        struct mr_fault fault = {0};

        if (i == 2 && getuid() == 0)
            continue; /* root may */
        CU_ASSERT_PTR_NULL(mr_qlog_open(&(struct mr_qlog_config){.folder = bad[i]}, &fault));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, bad[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "; ")); /* a remedy */
    }
}

/* Two tracers of one writer: the second goes on where the first stopped, whatever ring is looked at
 * first. */
static void a_trace_that_moves_keeps_its_file_and_its_order(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});
    struct mr_fault fault = {0};
    struct mr_tracer *second = mr_qlog_add(w.qlog, &fault);
    struct mr_trace_start start = {
        .name = {.size = 4, .bytes = "move"}, .what = MR_TRACE_EVENTS, .role = MR_SERVER};
    struct mr_trace_bytes nothing = {.size = 0};
    struct mr_tracer *at = w.tracer;
    struct mr_tracer *other = second;

    uint32_t place = mr_tracer_begin(at, MR_TRACE_EVENTS, 0);
    uint64_t number = at->traced[place].number;
    mr_tracer_write(at, place, MR_TRACE_START,
                    (struct mr_trace_bytes){.at = &start, .size = sizeof(start)}, nothing);
    for (uint64_t i = 0; i < 50; i++) {
        struct mr_trace_change mtu = {.before = i, .after = i + 1};
        struct mr_trace_ticket ticket = {
            .number = number, .from = at->number, .moves = i + 1, .what = MR_TRACE_EVENTS};

        at->now_ns = i * MR_MS;
        mr_tracer_write(at, place, MR_TRACE_MTU,
                        (struct mr_trace_bytes){.at = &mtu, .size = sizeof(mtu)}, nothing);
        mr_tracer_end(at, place, MR_TRACE_MOVED);
        struct mr_tracer *before = at;
        at = other;
        other = before;
        place = mr_tracer_begin(at, MR_TRACE_EVENTS, number);
        mr_tracer_write(at, place, MR_TRACE_ARRIVAL,
                        (struct mr_trace_bytes){.at = &ticket, .size = sizeof(ticket)}, nothing);
    }
    mr_tracer_end(at, place, MR_TRACE_OVER);
    mr_qlog_flush(w.qlog);
    CU_ASSERT_EQUAL(count_files(&w), 1);
    struct json_object *records = read_records(&w, "7665_server.sqlog");
    for (uint32_t i = 0; i < 50; i++) {
        struct json_object *mtu = event(records, "quic:mtu_updated", i);
        CU_ASSERT_PTR_NOT_NULL_FATAL(mtu);
        CU_ASSERT_EQUAL(number_of(mtu, "old"), i);
    }
    json_object_put(records);
    close_world(&w);
}

/* It goes to a shard that traces as many as it can: its file ends there, with what was before. */
static void a_trace_that_a_shard_refuses_ends_its_file(void)
{
    struct world w = open_world(&(struct mr_qlog_config){0});
    struct mr_fault fault = {0};
    struct mr_tracer *full = mr_qlog_add(w.qlog, &fault);
    struct mr_trace_start start = {
        .name = {.size = 4, .bytes = "move"}, .what = MR_TRACE_EVENTS, .role = MR_SERVER};
    struct mr_trace_bytes nothing = {.size = 0};
    struct mr_qlog_stats stats;
    uint32_t place = mr_tracer_begin(w.tracer, MR_TRACE_EVENTS, 0);
    struct mr_trace_ticket ticket = {.number = w.tracer->traced[place].number,
                                     .from = w.tracer->number,
                                     .moves = 1,
                                     .what = MR_TRACE_EVENTS};

    for (int i = 0; i < MR_TRACED_MAX; i++)
        CU_ASSERT_NOT_EQUAL(mr_tracer_begin(full, MR_TRACE_EVENTS, 0), MR_NONE);
    CU_ASSERT_EQUAL(mr_tracer_begin(full, MR_TRACE_EVENTS, ticket.number), MR_NONE);
    mr_tracer_write(w.tracer, place, MR_TRACE_START,
                    (struct mr_trace_bytes){.at = &start, .size = sizeof(start)}, nothing);
    mr_tracer_end(w.tracer, place, MR_TRACE_MOVED);
    mr_qlog_flush(w.qlog);
    mr_qlog_stats(w.qlog, &stats);
    CU_ASSERT_EQUAL(stats.open, 1);
    CU_ASSERT_TRUE(mr_tracer_refuse(full, &ticket));
    mr_qlog_flush(w.qlog);
    mr_qlog_stats(w.qlog, &stats);
    CU_ASSERT_EQUAL(stats.open, 0);
    struct json_object *records = read_records(&w, "7665_server.sqlog");
    CU_ASSERT_PTR_NOT_NULL(event(records, "quic:connection_started", 0));
    CU_ASSERT_PTR_NOT_NULL(event(records, "loglevel:warning", 0));
    json_object_put(records);
    close_world(&w);
}

/* Even where no other record has room, so often; and every trace can end all the same. */
static void a_full_ring_has_room_for_refusals_and_ends(void)
{
    static struct mr_tracer tracer;
    struct mr_trace_bytes nothing = {.size = 0};
    const struct mr_trace_ticket ticket = {.number = 7, .what = MR_TRACE_EVENTS};
    uint32_t place[MR_TRACED_MAX];

    mr_tracer_init(&tracer, 1);
    for (int i = 0; i < MR_TRACED_MAX; i++)
        place[i] = mr_tracer_begin(&tracer, MR_TRACE_EVENTS, 0);
    while (mr_tracer_write(&tracer, place[0], MR_TRACE_ALPN, nothing, nothing)) {
    }
    for (int i = 0; i < MR_TRACE_REFUSALS; i++)
        CU_ASSERT_TRUE(mr_tracer_refuse(&tracer, &ticket));
    CU_ASSERT_FALSE(mr_tracer_refuse(&tracer, &ticket));
    for (int i = 0; i < MR_TRACED_MAX; i++)
        mr_tracer_end(&tracer, place[i], MR_TRACE_OVER);
    CU_ASSERT_EQUAL(tracer.count, 0);
}

/* "The event is emitted when the spin bit changes value, it SHOULD NOT be emitted if the spin bit
 * is set without changing its value."  (draft-ietf-quic-qlog-quic-events: spin_bit_updated) */
static void the_spin_bit_is_told_when_it_changes(void)
{
    static const uint8_t bits[] = {0, MR_PACKET_SPIN, MR_PACKET_SPIN, 0, 0};
    struct world w = open_world(&(struct mr_qlog_config){0});

    start_peer(&w, MR_SERVER, MR_TRACE_EVENTS);
    peer_run(w.peer, PEER_DONE);
    struct mr_conn *conn = peer_conn(w.peer);
    conn->path.is_spinning = true;
    for (size_t i = 0; i < MR_COUNT_OF(bits); i++) {
        conn->path.spin = bits[i];
        conn->app.wants |= MR_WANT_PING;
        mr_conn_wake(peer_endpoint(w.peer), conn);
        peer_drain(w.peer);
    }
    end_peer(&w);
    mr_qlog_flush(w.qlog);
    struct json_object *records = read_records(&w, "_server.sqlog");
    CU_ASSERT_STRING_EQUAL(text_of(event(records, "quic:spin_bit_updated", 0), "state"), "true");
    CU_ASSERT_STRING_EQUAL(text_of(event(records, "quic:spin_bit_updated", 1), "state"), "false");
    CU_ASSERT_PTR_NULL(event(records, "quic:spin_bit_updated", 2));
    json_object_put(records);
    close_world(&w);
}

/* ------------------------------------------------------------------ HTTP/3 */

static void http_3_of_other_connections_is_not_told(void)
{
    static const uint8_t bytes[MR_TRACE_HTTP3_BYTES + 1] = {0};
    const struct mr_trace_http3 record = {.kind = MR_TRACE_HTTP3_FRAME, .type = 4};
    struct world w = open_world(&(struct mr_qlog_config){0});
    struct mr_view view = {bytes, sizeof(bytes)};

    start_peer(&w, MR_SERVER, 0);
    peer_run(w.peer, PEER_DONE);
    struct mr_endpoint *ep = peer_endpoint(w.peer);
    mr_handle conn = w.peer->conn;
    CU_ASSERT_FALSE(mr_endpoint_is_tracing(ep));
    CU_ASSERT_EQUAL(mr_conn_trace_http3(ep, conn, &record, view, w.peer->now), -ENOENT);
    CU_ASSERT_EQUAL(mr_conn_trace(ep, conn, MR_TRACE_EVENTS, w.peer->now), 0);
    CU_ASSERT_TRUE(mr_endpoint_is_tracing(ep));
    CU_ASSERT_EQUAL(mr_conn_trace_http3(ep, conn, &record, view, w.peer->now), -EINVAL);
    CU_ASSERT_EQUAL(mr_conn_trace_http3(ep, conn + 1, &record, view, w.peer->now), -ESTALE);
    view.size--;
    uint32_t written = 0; /* the ring fills up, or the writer is quick */
    while (written < 2 * MR_TRACE_RING_WORDS / (MR_TRACE_HTTP3_BYTES / 8) &&
           mr_conn_trace_http3(ep, conn, &record, view, w.peer->now) == 0)
        written++;
    CU_ASSERT_TRUE(written > 100);
    close_world(&w);
}

static CU_TestInfo tests[] = {
    {"the file has what the peer really sent", the_file_has_what_the_peer_really_sent},
    {"records are as their schema says", records_are_as_their_schema_says},
    {"the file is called by the first connection ID",
     the_file_is_called_by_the_first_connection_id},
    {"nothing is written when it is off", nothing_is_written_when_it_is_off},
    {"a connection is traced and stopped while it runs",
     a_connection_is_traced_and_stopped_while_it_runs},
    {"key log lines are in a file of their own that is private",
     key_log_lines_are_in_a_file_of_their_own_that_is_private},
    {"transport parameters of any size are shown", transport_parameters_of_any_size_are_shown},
    {"losses, probes and ends are told", losses_probes_and_ends_are_told},
    {"a file ends at its limit and says so", a_file_ends_at_its_limit_and_says_so},
    {"no more files are begun than are allowed", no_more_files_are_begun_than_are_allowed},
    {"garbage begins no file", garbage_begins_no_file},
    {"a file that is there is left alone", a_file_that_is_there_is_left_alone},
    {"a bad folder is named", a_bad_folder_is_named},
    {"a trace that moves keeps its file and its order",
     a_trace_that_moves_keeps_its_file_and_its_order},
    {"a trace that a shard refuses ends its file", a_trace_that_a_shard_refuses_ends_its_file},
    {"the spin bit is told when it changes", the_spin_bit_is_told_when_it_changes},
    {"HTTP/3 of other connections is not told", http_3_of_other_connections_is_not_told},
    {"a full ring has room for refusals and ends", a_full_ring_has_room_for_refusals_and_ends},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/qlog", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
