/* Tests of tools/fetch.h against a server that answers whatever the test wants. */
#include "tools/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quic/types.h"
#include "tests/support/raw_h3.h"
#include "tests/unit/harness.h"

enum {
    STEPS = 100000,
    PASSES = 200,
    PASS_MS = 20,
};

struct world {
    struct raw_peer raw;
    struct loop *loop;
    struct mr_fetch fetch;
    struct mr_fetcher fetcher;
    struct mr_fault fault;
    char path[64];
};

static struct raw_bytes section;
static struct raw_bytes bytes;

static struct world *begin(void)
{
    struct world *w = calloc(1, sizeof(*w));
    struct loop_config loop = loop_config_default(1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    snprintf(w->path, sizeof(w->path), "/tmp/mr-fetch-XXXXXX");
    w->fetch.authority = "localhost";
    w->fetch.path = "/file";
    w->fetch.fd = mkstemp(w->path);
    CU_ASSERT_FATAL(w->fetch.fd >= 0);
    w->fetcher.connect.server_name = "localhost";
    w->fetcher.timeout_ns = 10 * MR_SECOND;
    w->fetcher.at_once = 1;
    w->fetcher.fetch_count = 1;
    w->fetcher.fetches = &w->fetch;
    CU_ASSERT_FATAL(mr_fetcher_make(&w->fetcher, &w->fault));
    raw_peer_init(&w->raw, 1);
    w->loop = loop_new(&loop, mr_fetcher_application(&w->fetcher), &w->raw.application);
    return w;
}

static void end(struct world *w)
{
    loop_free(w->loop);
    mr_fetcher_free(&w->fetcher);
    free(w->raw.streams);
    close(w->fetch.fd);
    unlink(w->path);
    free(w);
}

/* Let time pass until `is_reached`, or for long. */
static void pass_until(struct world *w, bool (*is_reached)(const struct world *w))
{
    for (int i = 0; i < PASSES && !is_reached(w); i++) {
        loop_pass(w->loop, PASS_MS * MR_MS);
        loop_run(w->loop, STEPS);
    }
    CU_ASSERT_FATAL(is_reached(w));
}

static int request_stream(const struct world *w)
{
    for (uint32_t i = 0; i < w->raw.stream_count; i++) {
        if (w->raw.streams[i].id == 0 && !w->raw.streams[i].is_ours)
            return (int)i;
    }
    return -1;
}

static bool is_asked(const struct world *w)
{
    return request_stream(w) >= 0;
}

static bool is_over(const struct world *w)
{
    return mr_fetcher_is_over(&w->fetcher);
}

/* The server answers the request with this status and content-length, and three bytes. */
static void answer(struct world *w, const char *status, const char *length)
{
    pass_until(w, is_asked);
    bytes.size = 0;
    raw_begin_section(&section);
    raw_put_field(&section, ":status", status);
    if (length != NULL)
        raw_put_field(&section, "content-length", length);
    if (strcmp(status, "206") == 0)
        raw_put_field(&section, "content-range", "bytes 0-2/10");
    raw_put_headers(&bytes, &section);
    raw_put_frame(&bytes, 0, "abc", 3);
    raw_send(&w->raw, request_stream(w), &bytes, true);
    pass_until(w, is_over);
}

static void a_file_is_fetched(void)
{
    struct world *w = begin();
    struct stat info;

    answer(w, "200", "3");
    CU_ASSERT_EQUAL(w->fetcher.end, MR_FETCHER_DONE);
    CU_ASSERT_EQUAL(w->fetch.end, MR_FETCH_DONE);
    CU_ASSERT_EQUAL(fstat(w->fetch.fd, &info), 0);
    CU_ASSERT_EQUAL(info.st_size, 3);
    end(w);
}

static void a_part_that_nobody_asked_for_is_not_the_file(void)
{
    struct world *w = begin();

    answer(w, "206", "3");
    CU_ASSERT_EQUAL(w->fetch.end, MR_FETCH_STATUS);
    CU_ASSERT_EQUAL(w->fetch.status, 206);
    end(w);
}

static void content_that_contradicts_its_length_is_the_servers_fault(void)
{
    struct world *w = begin();

    answer(w, "200", "5");
    CU_ASSERT_EQUAL(w->fetch.end, MR_FETCH_MALFORMED);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->fetch.reason, "less content than its content-length"));
    end(w);
    w = begin();
    answer(w, "200", "2");
    CU_ASSERT_EQUAL(w->fetch.end, MR_FETCH_MALFORMED);
    CU_ASSERT_PTR_NOT_NULL(strstr(w->fetch.reason, "more content than its content-length"));
    end(w);
}

static CU_TestInfo tests[] = {
    {"a file is fetched", a_file_is_fetched},
    {"a part that nobody asked for is not the file", a_part_that_nobody_asked_for_is_not_the_file},
    {"content that contradicts its length is the server's fault",
     content_that_contradicts_its_length_is_the_servers_fault},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "tools/fetch", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
