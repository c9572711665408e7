/* Tests of millrace/http3.h: URLs, a folder that is served, pages that are fetched, in memory. */
#include "millrace/http3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    STEPS = 1000000,
    BIG = 300000
};

/* ------------------------------------------------------------------ URLs */

static void urls_are_taken_apart(void)
{
    static const struct {
        const char *text, *host, *authority, *path;
        uint16_t port;
    } rows[] = {
        {"https://host", "host", "host", "/", 443},
        {"https://host/", "host", "host", "/", 443},
        {"https://host:443/a/b?c=d", "host", "host", "/a/b?c=d", 443},
        {"https://host:4433/a#part", "host", "host:4433", "/a", 4433},
        {"https://host?query", "host", "host", "/?query", 443},
        {"https://10.0.0.1:1", "10.0.0.1", "10.0.0.1:1", "/", 1},
        {"https://[fd00::1]:4433/x", "fd00::1", "[fd00::1]:4433", "/x", 4433},
        {"https://[fd00::1]", "fd00::1", "[fd00::1]", "/", 443},
    };
    struct mr_http3_url url;

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        CU_ASSERT_EQUAL(mr_http3_url_parse(rows[i].text, &url), 0);
        CU_ASSERT_STRING_EQUAL(url.host, rows[i].host);
        CU_ASSERT_STRING_EQUAL(url.authority, rows[i].authority);
        CU_ASSERT_STRING_EQUAL(url.path, rows[i].path);
        CU_ASSERT_EQUAL(url.port, rows[i].port);
    }
}

static void what_is_no_url_is_refused(void)
{
    static const char *const texts[] = {"",
                                        "host",
                                        "http://host",
                                        "https://",
                                        "https:///path",
                                        "https://:1",
                                        "https://host:",
                                        "https://host:0",
                                        "https://h:65536",
                                        "https://h:1a",
                                        "https://[]",
                                        "https://[fd00",
                                        "https://[fd00::1]a",
                                        "https://u@host/",
                                        "https://ho st/",
                                        "https://h/\n",
                                        "https://h:99999999999"};
    static char large[4096] = "https://";
    struct mr_http3_url url;

    for (size_t i = 0; i < MR_COUNT_OF(texts); i++)
        CU_ASSERT_EQUAL(mr_http3_url_parse(texts[i], &url), -EINVAL);
    memset(large + 8, 'h', MR_HTTP3_NAME);
    CU_ASSERT_EQUAL(mr_http3_url_parse(large, &url), -ENAMETOOLONG);
    memset(large + 8, 0, sizeof(large) - 8);
    memset(large + 8, 'h', MR_HTTP3_NAME - 1);
    CU_ASSERT_EQUAL(mr_http3_url_parse(large, &url), 0);
    memset(large + 9, '/', 1024);
    CU_ASSERT_EQUAL(mr_http3_url_parse(large, &url), -ENAMETOOLONG);
}

/* ------------------------------------------------------------------ a server and a client */

struct page {
    uint32_t told;
    int error;
    uint32_t status;
    size_t size;
    char type[64];
    char reason[96];
    char *body;
};

static struct h3_pair *files;
static struct mr_http3_server *server;
static struct mr_http3_client *client;
static struct loop *loop;

static void take(void *context, const struct mr_http3_page *from)
{
    struct page *page = context;

    page->told++;
    page->error = from->error;
    page->status = from->status;
    page->size = from->size;
    snprintf(page->type, sizeof(page->type), "%s", from->content_type);
    snprintf(page->reason, sizeof(page->reason), "%s", from->reason);
    page->body = calloc(1, from->size + 1);
    if (from->size > 0)
        memcpy(page->body, from->body, from->size);
    CU_ASSERT_PTR_NOT_NULL(from->reason);
}

static int want(const char *path, size_t size_max, struct page *page)
{
    struct mr_http3_url url = {.host = "host", .authority = "host", .port = 443};
    const struct mr_http3_request request = {.url = &url, .size_max = size_max};

    memset(page, 0, sizeof(*page));
    snprintf(url.path, sizeof(url.path), "%s", path);
    return mr_http3_get(client, &request, take, page);
}

static void make(uint32_t pages_max)
{
    files = h3_pair_new();
    h3_pair_write_text(files, "index.html", "<p>welcome</p>");
    h3_pair_write_text(files, "empty", "");
    h3_pair_write_pattern(files, "big", BIG);
    h3_pair_mkdir(files, "sub");
    h3_pair_write_text(files, "sub/one.txt", "one");
    const struct mr_http3_server_config config = {
        .root = files->root, .has_listings = true, .connections_max = 100};
    CU_ASSERT_EQUAL_FATAL(mr_http3_server_new(&config, &server, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(
        mr_http3_client_new(&(struct mr_http3_client_config){pages_max}, &client, NULL), 0);
}

static void join_them(uint64_t seed)
{
    struct loop_config config = loop_config_default(seed);

    loop =
        loop_new(&config, mr_http3_client_application(client), mr_http3_server_application(server));
}

static void end(void)
{
    loop_free(loop);
    mr_http3_client_free(client);
    mr_http3_server_free(server);
    h3_pair_free(files);
}

static void pages_come_whole_with_their_status(void)
{
    static const struct {
        const char *path, *body, *type;
        uint32_t status;
    } rows[] = {{"/", "<p>welcome</p>", "text/html", 200},
                {"/index.html", "<p>welcome</p>", "text/html", 200},
                {"/sub/one.txt", "one", "text/plain", 200},
                {"/empty", "", "", 200},
                {"/missing", NULL, "", 404}};
    struct page page;

    make(0);
    join_them(1);
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        CU_ASSERT_EQUAL(want(rows[i].path, 0, &page), 0);
        CU_ASSERT_EQUAL(page.told, 0); /* never inside the call */
        CU_ASSERT_TRUE(loop_run(loop, STEPS));
        CU_ASSERT_EQUAL_FATAL(page.told, 1);
        CU_ASSERT_EQUAL(page.error, 0);
        CU_ASSERT_EQUAL(page.status, rows[i].status);
        if (rows[i].body != NULL) {
            CU_ASSERT_STRING_EQUAL(page.body, rows[i].body);
            CU_ASSERT_EQUAL(strncmp(page.type, rows[i].type, strlen(rows[i].type)), 0);
        }
        free(page.body);
    }
    CU_ASSERT_EQUAL(want("/sub/", 0, &page), 0);
    CU_ASSERT_TRUE(loop_run(loop, STEPS));
    CU_ASSERT_PTR_NOT_NULL(strstr(page.body, "one.txt"));
    free(page.body);
    end();
}

static void many_pages_come_at_once_and_no_more_than_allowed(void)
{
    struct page pages[5];

    for (uint64_t seed = 1; seed <= 5; seed++) {
        make(4);
        join_them(seed);
        for (int i = 0; i < 4; i++)
            CU_ASSERT_EQUAL(want("/big", 0, &pages[i]), 0);
        CU_ASSERT_EQUAL(want("/big", 0, &pages[4]), -EAGAIN);
        CU_ASSERT_TRUE(loop_run(loop, STEPS));
        for (int i = 0; i < 4; i++) {
            CU_ASSERT_EQUAL_FATAL(pages[i].told, 1);
            CU_ASSERT_EQUAL(pages[i].size, BIG);
            CU_ASSERT_EQUAL(memcmp(pages[i].body, pages[0].body, BIG), 0);
        }
        CU_ASSERT_EQUAL(want("/", 0, &pages[4]), 0); /* there is room again */
        CU_ASSERT_TRUE(loop_run(loop, STEPS));
        CU_ASSERT_EQUAL_FATAL(pages[4].told, 1);
        for (int i = 0; i < 5; i++)
            free(pages[i].body);
        end();
    }
}

/* Pages that are asked for one after the other, each when the one before is told of. */
struct chain {
    struct page page;
    int left;
};

static void take_and_ask(void *context, const struct mr_http3_page *from)
{
    struct chain *chain = context;
    struct mr_http3_url url = {.host = "host", .authority = "host", .port = 443, .path = "/"};
    const struct mr_http3_request request = {.url = &url};

    free(chain->page.body);
    take(&chain->page, from);
    CU_ASSERT_EQUAL(from->error, 0);
    if (--chain->left > 0)
        CU_ASSERT_EQUAL_FATAL(mr_http3_get(client, &request, take_and_ask, chain), 0);
}

static void a_page_that_ends_makes_room_for_another(void)
{
    struct mr_http3_url url = {.host = "host", .authority = "host", .port = 443, .path = "/big"};
    const struct mr_http3_request request = {.url = &url};

    for (uint32_t max = 1; max <= 3; max++) {
        struct chain chains[3];

        memset(chains, 0, sizeof(chains));
        make(max);
        join_them(max);
        for (uint32_t i = 0; i < max; i++) {
            chains[i].left = 10;
            CU_ASSERT_EQUAL(mr_http3_get(client, &request, take_and_ask, &chains[i]), 0);
        }
        CU_ASSERT_TRUE(loop_run(loop, STEPS));
        for (uint32_t i = 0; i < max; i++) {
            CU_ASSERT_EQUAL(chains[i].page.told, 10);
            free(chains[i].page.body);
        }
        end();
    }
}

static void what_is_larger_than_wanted_is_not_kept(void)
{
    struct page page;

    make(0);
    join_them(1);
    CU_ASSERT_EQUAL(want("/big", BIG - 1, &page), 0);
    CU_ASSERT_TRUE(loop_run(loop, STEPS));
    CU_ASSERT_EQUAL_FATAL(page.told, 1);
    CU_ASSERT_EQUAL(page.error, -EMSGSIZE);
    free(page.body);
    CU_ASSERT_EQUAL(want("/big", BIG, &page), 0);
    CU_ASSERT_TRUE(loop_run(loop, STEPS));
    CU_ASSERT_EQUAL(page.error, 0);
    CU_ASSERT_EQUAL(page.size, BIG);
    free(page.body);
    end();
}

static void requests_wait_for_the_loop(void)
{
    struct page pages[2], third;

    make(2);
    CU_ASSERT_EQUAL(want("/", 0, &pages[0]), 0);
    CU_ASSERT_EQUAL(want("/sub/one.txt", 0, &pages[1]), 0);
    CU_ASSERT_EQUAL(want("/", 0, &third), -EAGAIN);
    join_them(1);
    CU_ASSERT_TRUE(loop_run(loop, STEPS));
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(pages[i].told, 1);
        CU_ASSERT_EQUAL(pages[i].status, 200);
        free(pages[i].body);
    }
    end();
}

/* A transport whose connection is over before it is told of: both come in one event. */
static uint64_t told_word;

static int late_connect(struct mr_transport *t, const struct mr_connect_options *options,
                        mr_handle *conn_out)
{
    (void)t;
    told_word = options->user_data;
    *conn_out = 1;
    return 0;
}

static int late_open(struct mr_transport *t, mr_handle conn, uint32_t flags, uint64_t user_data,
                     mr_handle *stream_out)
{
    (void)t, (void)conn, (void)flags, (void)user_data, (void)stream_out;
    return -ESTALE;
}

static int late_timer(struct mr_transport *t, uint64_t delay_ns, uint64_t user_data)
{
    (void)t, (void)delay_ns, (void)user_data;
    return 0;
}

static uint64_t late_now(const struct mr_transport *t)
{
    (void)t;
    return 1;
}

/* A page's connection is closed: what the fetcher is told. */
static void check_reason(const struct mr_event *closed, const char *wanted)
{
    static const struct mr_transport_ops ops = {
        .connect = late_connect, .open = late_open, .timer = late_timer, .now = late_now};
    struct mr_transport transport = {&ops};
    struct mr_event event = *closed;
    struct page page;

    make(0);
    const struct mr_application *application = mr_http3_client_application(client);
    application->on_start(application->context, &transport);
    CU_ASSERT_EQUAL(want("/", 0, &page), 0);
    event.kinds = MR_EVENT_CONNECTED | MR_EVENT_CLOSED;
    event.conn = 1;
    event.user_data = told_word;
    application->on_events(application->context, &event, 1);
    CU_ASSERT_EQUAL_FATAL(page.told, 1);
    CU_ASSERT_EQUAL(page.error, -ECONNRESET);
    CU_ASSERT_STRING_EQUAL(page.reason, wanted);
    free(page.body);
    application->on_stop(application->context);
    mr_http3_client_free(client);
    mr_http3_server_free(server);
    h3_pair_free(files);
}

static void why_a_connection_has_ended_is_never_without_words(void)
{
    static const struct {
        uint64_t code;
        bool is_application, is_remote;
        const char *reason, *wanted;
    } cases[] = {
        {6, true, true, "nobody is here", "nobody is here"},
        {0x100, true, true, "", "the server closed the connection: H3_NO_ERROR (0x100)"},
        {0x107, true, true, "closed by the peer",
         "the server closed the connection: H3_EXCESSIVE_LOAD (0x107)"},
        {0, true, true, "", "the server closed the connection: unknown error (0x0)"},
        {0x7, false, true, "", "the server closed the connection: QUIC's code (0x7)"},
        {0, false, false, "closed", "the client closed the connection: QUIC's code (0x0)"},
        {0x12a, false, true, "", "the certificate is not accepted (TLS alert 42)"},
        {0x128, false, true, "no", "the handshake failed (TLS alert 40)"},
        {0, false, false, "the datapath is gone", "the datapath is gone"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct mr_event closed = {.error = cases[i].code,
                                        .is_application = cases[i].is_application,
                                        .is_remote = cases[i].is_remote,
                                        .reason = cases[i].reason};
        check_reason(&closed, cases[i].wanted);
    }
}

static void a_connection_that_is_lost_is_told_once(void)
{
    struct page pages[3];

    make(0);
    join_them(1);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(want("/big", 0, &pages[i]), 0);
    for (int i = 0; i < 30; i++)
        loop_step(loop);
    loop_cut(loop);
    CU_ASSERT_TRUE(loop_run(loop, STEPS));
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(pages[i].told, 1);
        CU_ASSERT_TRUE(pages[i].error == -ECONNRESET || pages[i].error == -ECONNREFUSED);
        free(pages[i].body);
    }
    end();
}

static void a_client_ends_with_pages_under_way(void)
{
    struct page pages[2];

    make(0);
    CU_ASSERT_EQUAL(want("/big", 0, &pages[0]), 0);
    join_them(1);
    CU_ASSERT_EQUAL(want("/big", 0, &pages[1]), 0);
    for (int i = 0; i < 30; i++)
        loop_step(loop);
    end();
    CU_ASSERT_EQUAL(pages[0].told + pages[1].told, 0);
    mr_http3_client_free(NULL);
    mr_http3_server_free(NULL);
}

static void what_cannot_be_served_says_why(void)
{
    const struct mr_http3_server_config config = {.root = "/nonexistent"};
    struct mr_error error = {0};

    CU_ASSERT_EQUAL(mr_http3_server_new(&config, &server, &error), -ENOENT);
    CU_ASSERT_PTR_NULL(server);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/nonexistent"));
    CU_ASSERT_EQUAL(mr_http3_server_new(&(struct mr_http3_server_config){0}, &server, NULL),
                    -EINVAL);
}

static CU_TestInfo tests[] = {
    {"why a connection has ended is never without words",
     why_a_connection_has_ended_is_never_without_words},
    {"urls are taken apart", urls_are_taken_apart},
    {"what is no url is refused", what_is_no_url_is_refused},
    {"G21 pages come whole, with their status", pages_come_whole_with_their_status},
    {"G21 many pages come at once, and no more than allowed",
     many_pages_come_at_once_and_no_more_than_allowed},
    {"G21 a page that ends makes room for another", a_page_that_ends_makes_room_for_another},
    {"what is larger than wanted is not kept", what_is_larger_than_wanted_is_not_kept},
    {"requests wait for the loop", requests_wait_for_the_loop},
    {"a connection that is lost is told once", a_connection_that_is_lost_is_told_once},
    {"a client ends with pages under way", a_client_ends_with_pages_under_way},
    {"what cannot be served says why", what_cannot_be_served_says_why},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/http3", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
