/* tests/unit/test_h3_trace.c - http3/h3_trace.h: what a server tells its transport's trace. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http3/server_internal.h"
#include "tests/support/h3_cases.h"
#include "tests/unit/harness.h"

enum {
    SERVER = 1,
    LOG_MAX = 8192
};

/* What was told, a line each: kind, stream, type, bytes of payload, fields; then the bytes. */
static struct {
    struct mr_transport_ops ops;
    bool is_traced;
    uint32_t asked;
    char text[LOG_MAX];
    size_t size;
} log_;

static void append(const char *bytes, size_t size)
{
    CU_ASSERT_TRUE_FATAL(log_.size + size < LOG_MAX);
    for (size_t i = 0; i < size; i++)
        log_.text[log_.size++] = bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.';
    log_.text[log_.size] = '\0';
}

static int record_trace(struct mr_transport *t, mr_handle conn, const struct mr_trace_http3 *record,
                        struct mr_view bytes)
{
    static const char *const kinds[MR_TRACE_HTTP3_KINDS] = {"stream", "frame", "datagram",
                                                            "priority"};
    char line[128];

    (void)t;
    if (record == NULL) {
        log_.asked++;
        return log_.is_traced ? 0 : -ENOENT;
    }
    CU_ASSERT_NOT_EQUAL(conn, MR_HANDLE_NONE);
    CU_ASSERT_TRUE(bytes.size <= MR_TRACE_HTTP3_BYTES);
    int size = snprintf(
        line, sizeof(line), "[%s %s %u type %x size %u fields %u u=%u>%u ",
        record->is_ours ? "our" : "peer", kinds[record->kind], (unsigned)record->stream,
        (unsigned)record->type, record->kind == MR_TRACE_HTTP3_FRAME ? 0 : (unsigned)record->size,
        record->fields, record->is_first ? 9 : record->before.urgency, record->after.urgency);
    append(line, (size_t)size);
    append((const char *)bytes.data, bytes.size);
    append("]", 1);
    return 0;
}

static bool was_told(const char *text)
{
    bool is_there = strstr(log_.text, text) != NULL;

    if (!is_there)
        fprintf(stderr, "no %s in %s\n", text, log_.text);
    return is_there;
}

/* A server with a connection, from now on traced, or not. */
static struct raw_server_test *begin(bool is_traced)
{
    struct raw_server_test *test = raw_server_test_new(NULL, NULL);
    struct mr_transport *t = loop_transport(test->loop, SERVER);

    memset(&log_, 0, sizeof(log_));
    log_.is_traced = is_traced;
    log_.ops = *t->ops;
    log_.ops.trace = record_trace;
    t->ops = &log_.ops;
    h3_begin_bytes();
    raw_put_control(&h3_bytes);
    raw_put_frame(&h3_bytes, 0xf0700, "\0u=6", 4);
    h3_send_new(test, true, false);
    h3_begin_bytes();
    return test;
}

static int request(struct raw_server_test *test)
{
    h3_begin_bytes();
    raw_put_get(&h3_section, "/a.txt?token=QUERY");
    raw_put_field(&h3_section, "cookie", "COOKIE");
    raw_put_field(&h3_section, "authorization", "CREDENTIALS");
    raw_put_headers(&h3_bytes, &h3_section);
    raw_put_frame(&h3_bytes, 0x21, "grease", 6);
    return h3_send_new(test, false, true);
}

static void streams_frames_and_priorities_are_told(void)
{
    struct raw_server_test *test = begin(true);

    request(test);
    CU_ASSERT_TRUE(was_told("[peer stream 2 type 0 "));
    CU_ASSERT_TRUE(was_told("[peer frame 2 type 4 "));
    CU_ASSERT_TRUE(was_told("[peer frame 2 type f0700 size 0 fields 0 u=0>0 .u=6]"));
    CU_ASSERT_TRUE(was_told("[peer stream 0 type ffffffff "));
    CU_ASSERT_TRUE(was_told("[peer frame 0 type 1 size 0 fields 6 "));
    CU_ASSERT_TRUE(was_told(":method..GET"));
    CU_ASSERT_TRUE(was_told("[peer priority 0 type 0 size 0 fields 0 u=9>6 "));
    CU_ASSERT_TRUE(was_told("[peer frame 0 type 21 "));
    CU_ASSERT_TRUE(was_told("[our frame 0 type 1 "));
    CU_ASSERT_TRUE(was_told(":status..200"));
    CU_ASSERT_TRUE(was_told("[our frame 0 type 0 ")); /* DATA */
    loop_go_away(test->loop, SERVER);
    CU_ASSERT_TRUE(loop_run(test->loop, H3_STEPS));
    CU_ASSERT_TRUE(was_told("[our frame 3 type 7 size 0 fields 0 u=0>0 .]")); /* GOAWAY 4 */
    raw_server_test_free(test);
}

static void what_is_private_is_not_told(void)
{
    struct raw_server_test *test = begin(true);

    request(test);
    CU_ASSERT_TRUE(was_told(":path../a.txt?")); /* no further than the query */
    CU_ASSERT_PTR_NULL(strstr(log_.text, "QUERY"));
    CU_ASSERT_PTR_NULL(strstr(log_.text, "token"));
    CU_ASSERT_PTR_NULL(strstr(log_.text, "ookie"));
    CU_ASSERT_PTR_NULL(strstr(log_.text, "COOKIE"));
    CU_ASSERT_PTR_NULL(strstr(log_.text, "authorization"));
    CU_ASSERT_PTR_NULL(strstr(log_.text, "CREDENTIALS"));
    raw_server_test_free(test);
}

static void a_field_that_is_long_is_there_without_its_value(void)
{
    static char path[1001];
    struct raw_server_test *test = begin(true);

    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    h3_begin_bytes();
    raw_put_get(&h3_section, path);
    raw_put_headers(&h3_bytes, &h3_section);
    h3_send_new(test, false, true);
    CU_ASSERT_TRUE(was_told(":path.."));
    CU_ASSERT_PTR_NULL(strstr(log_.text, "aaaa"));
    raw_server_test_free(test);
}

static void nothing_is_told_where_nothing_is_traced(void)
{
    struct raw_server_test *test = begin(false);

    request(test);
    CU_ASSERT_TRUE(log_.asked > 0);
    CU_ASSERT_EQUAL(log_.size, 0);
    log_.is_traced = true;
    request(test);
    CU_ASSERT_TRUE(was_told("[peer frame 4 type 1 ")); /* from the next events on */
    raw_server_test_free(test);
}

static CU_TestInfo tests[] = {
    {"streams, frames and priorities are told", streams_frames_and_priorities_are_told},
    {"what is private is not told", what_is_private_is_not_told},
    {"a field that is long is there without its value",
     a_field_that_is_long_is_there_without_its_value},
    {"nothing is told where nothing is traced", nothing_is_told_where_nothing_is_traced},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/h3_trace", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
