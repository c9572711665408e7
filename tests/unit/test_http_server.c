/* Tests of http3/server.h and http3/client.h together, over a transport in memory and real files.
 */
#include "http3/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

/* A pair that serves a few files. */
static struct h3_pair *new_pair(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_write_text(pair, "index.html", "<p>index</p>");
    h3_pair_write_text(pair, "a.txt", "0123456789");
    h3_pair_write_text(pair, "with space.css", "body {}");
    h3_pair_write_text(pair, "empty", "");
    h3_pair_write_pattern(pair, "big.bin", 3000000);
    h3_pair_mkdir(pair, "docs");
    h3_pair_write_text(pair, "docs/index.html", "<p>docs</p>");
    h3_pair_mkdir(pair, "bare");
    h3_pair_write_text(pair, "bare/<x>.txt", "x");
    return pair;
}

static struct h3_pair *started_pair(void)
{
    struct h3_pair *pair = new_pair();

    h3_pair_start_default(pair);
    return pair;
}

static void check_done(const struct h3_fetch *fetch, uint32_t status)
{
    CU_ASSERT_TRUE(fetch->is_done);
    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(fetch->result.status, status);
    CU_ASSERT_EQUAL(fetch->result.body_bytes, fetch->body_size);
    if (fetch->result.outcome != MR_H3_DONE || fetch->result.status != status)
        printf("# outcome %d, status %u, %s\n", (int)fetch->result.outcome, fetch->result.status,
               fetch->reason);
}

static void check_body(const struct h3_fetch *fetch, const char *text)
{
    CU_ASSERT_EQUAL(fetch->body_size, strlen(text));
    CU_ASSERT_EQUAL(fetch->response.content_length, strlen(text));
    CU_ASSERT_STRING_EQUAL(fetch->body == NULL ? "" : fetch->body, text);
}

static void serves_a_file_with_its_type_length_and_validators(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch = h3_pair_get(pair, "/a.txt");

    check_done(fetch, 200);
    check_body(fetch, "0123456789");
    CU_ASSERT_STRING_EQUAL(fetch->content_type, "text/plain; charset=utf-8");
    CU_ASSERT_EQUAL(strlen(fetch->last_modified), 29);
    CU_ASSERT_EQUAL(fetch->etag[0], '"');
    CU_ASSERT_TRUE(fetch->result.first_byte_ns >= fetch->result.sent_ns);
    CU_ASSERT_EQUAL(fetch->headers, 1);
    h3_pair_free(pair);
}

static void serves_a_large_file_byte_for_byte(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch =
        h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/big.bin"});

    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    h3_pair_run(pair);
    check_done(fetch, 200);
    CU_ASSERT_EQUAL(fetch->body_size, 3000000);
    CU_ASSERT_FALSE(fetch->is_wrong);
    h3_pair_free(pair);
}

static struct h3_fetch *fetch_range(struct h3_pair *pair, const char *path, const char *range)
{
    return h3_pair_fetch(pair, &(struct mr_h3_request_options){.path = path, .range = range});
}

static void answers_head_with_the_head_of_get(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch =
        h3_pair_fetch(pair, &(struct mr_h3_request_options){.path = "/big.bin", .is_head = true});

    check_done(fetch, 200);
    CU_ASSERT_EQUAL(fetch->body_size, 0);
    CU_ASSERT_EQUAL(fetch->response.content_length, 3000000);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, file_reads), 0);
    h3_pair_free(pair);
}

static void answers_a_directory_with_its_index(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *root = h3_pair_get(pair, "/");
    const struct h3_fetch *docs = h3_pair_get(pair, "/docs/?q=1");

    check_done(root, 200);
    check_body(root, "<p>index</p>");
    CU_ASSERT_STRING_EQUAL(root->content_type, "text/html; charset=utf-8");
    check_done(docs, 200);
    check_body(docs, "<p>docs</p>");
    h3_pair_free(pair);
}

static void redirects_a_directory_without_its_slash(void)
{
    struct h3_pair *pair = started_pair();
    h3_pair_mkdir(pair, "docs/a b");
    const struct h3_fetch *docs = h3_pair_get(pair, "/docs");
    const struct h3_fetch *deeper = h3_pair_get(pair, "/docs/a%20b");

    check_done(docs, 301);
    CU_ASSERT_STRING_EQUAL(docs->location, "./docs/");
    check_done(deeper, 301);
    CU_ASSERT_STRING_EQUAL(deeper->location, "./a%20b/");
    h3_pair_free(pair);
}

static void a_redirect_keeps_the_query(void)
{
    static const char *const cases[][2] = {
        {"/docs?q=1", "./docs/?q=1"},
        {"/docs?", "./docs/?"},
        {"/docs?a=%20/../&b?c", "./docs/?a=%20/../&b?c"},
        {"/docs?x#y\xc3", "./docs/?x%23y%C3"},
    };
    struct h3_pair *pair = started_pair();
    char path[1200] = "/docs?";

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        const struct h3_fetch *fetch = h3_pair_get(pair, cases[i][0]);

        check_done(fetch, 301);
        CU_ASSERT_STRING_EQUAL(fetch->location, cases[i][1]);
    }
    memset(path + 6, 'q', sizeof(path) - 7);
    for (size_t size = 500; size < 950; size += 50) { /* what has no room is not cut */
        path[size] = '\0';
        const struct h3_fetch *fetch = h3_pair_get(pair, path);
        CU_ASSERT(fetch->result.status == 301 || fetch->result.status == 414);
        CU_ASSERT_EQUAL(fetch->result.status == 301, size + 2 <= 2 + 3 * 255 + 1);
        path[size] = 'q';
    }
    h3_pair_free(pair);
}

static void answers_404_for_what_is_not_there(void)
{
    static const char *const paths[] = {
        "/none", "/docs/none", "/none/a.txt", "/a.txt/", "/a.txt/b", "/bare/", "/bare/index.html",
    };
    struct h3_pair *pair = started_pair();

    for (size_t i = 0; i < MR_COUNT_OF(paths); i++) {
        const struct h3_fetch *fetch = h3_pair_get(pair, paths[i]);
        check_done(fetch, 404);
        CU_ASSERT_TRUE(fetch->body_size > 0);
    }
    h3_pair_free(pair);
}

static void answers_403_for_what_it_may_not_read(void)
{
    struct h3_pair *pair = started_pair();
    char path[128];

    if (geteuid() == 0) {
        mr_test_skip("root may read every file");
        h3_pair_free(pair);
        return;
    }
    snprintf(path, sizeof(path), "%s/a.txt", pair->root);
    chmod(path, 0);
    check_done(h3_pair_get(pair, "/a.txt"), 403);
    h3_pair_free(pair);
}

static void decodes_percent_encoding_and_drops_the_query(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *encoded = h3_pair_get(pair, "/with%20space.css");
    const struct h3_fetch *odd = h3_pair_get(pair, "/%61.txt?x=/../../etc/passwd");
    const struct h3_fetch *dots = h3_pair_get(pair, "//docs/./../a.txt");

    check_done(encoded, 200);
    check_body(encoded, "body {}");
    CU_ASSERT_STRING_EQUAL(encoded->content_type, "text/css; charset=utf-8");
    check_done(odd, 200);
    check_body(odd, "0123456789");
    check_done(dots, 200);
    check_body(dots, "0123456789");
    h3_pair_free(pair);
}

static void refuses_traversal_nul_and_broken_encoding(void)
{
    static const char *const paths[] = {
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/docs/../../etc/passwd",
        "/..%2fetc/passwd",
        "/docs/%2e%2e/%2e%2e/",
        "/a.txt%00.html",
        "/%00",
        "/a%2",
        "/a%zz",
        "/docs%2findex.html",
        "/a.txt%0a",
        "/..",
    };
    struct h3_pair *pair = started_pair();

    for (size_t i = 0; i < MR_COUNT_OF(paths); i++)
        check_done(h3_pair_get(pair, paths[i]), 400);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, files_opened), 0);
    h3_pair_free(pair);
}

static void follows_links_inside_the_root_and_refuses_those_that_lead_out(void)
{
    struct h3_pair *pair = started_pair();

    h3_pair_link(pair, "a.txt", "inside");
    h3_pair_link(pair, "../a.txt", "docs/up");
    h3_pair_link(pair, "/etc/passwd", "absolute");
    h3_pair_link(pair, "../../../../../../etc/passwd", "relative");
    h3_pair_link(pair, "/", "everything");
    h3_pair_link(pair, "/proc/self/root", "magic");
    h3_pair_link(pair, "loop", "loop");
    check_done(h3_pair_get(pair, "/inside"), 200);
    check_done(h3_pair_get(pair, "/docs/up"), 200);
    check_done(h3_pair_get(pair, "/absolute"), 404);
    check_done(h3_pair_get(pair, "/relative"), 404);
    check_done(h3_pair_get(pair, "/everything/etc/passwd"), 404);
    check_done(h3_pair_get(pair, "/magic/etc/passwd"), 404);
    check_done(h3_pair_get(pair, "/loop"), 404);
    h3_pair_free(pair);
}

static void serves_only_regular_files(void)
{
    struct h3_pair *pair = started_pair();
    char path[128];

    snprintf(path, sizeof(path), "%s/fifo", pair->root);
    CU_ASSERT_EQUAL(mkfifo(path, 0644), 0);
    check_done(h3_pair_get(pair, "/fifo"), 404);
    h3_pair_free(pair);
}

static void answers_one_range_with_206(void)
{
    static const struct {
        const char *path;
        const char *range;
        const char *body;
        uint64_t first;
    } cases[] = {
        {"/a.txt", "bytes=0-0", "0", 0},    {"/a.txt", "bytes=2-4", "234", 2},
        {"/a.txt", "bytes=7-", "789", 7},   {"/a.txt", "bytes=-3", "789", 7},
        {"/a.txt", "bytes=8-100", "89", 8}, {"/a.txt", "bytes=-100", "0123456789", 0},
    };
    struct h3_pair *pair = started_pair();

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        const struct h3_fetch *fetch = fetch_range(pair, cases[i].path, cases[i].range);
        check_done(fetch, 206);
        check_body(fetch, cases[i].body);
        CU_ASSERT_EQUAL(fetch->response.range_first, cases[i].first);
        CU_ASSERT_EQUAL(fetch->response.range_size, 10);
    }
    h3_pair_free(pair);
}

static void answers_a_range_of_a_large_file_byte_for_byte(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch = h3_pair_begin(
        pair, &(struct mr_h3_request_options){.path = "/big.bin", .range = "bytes=100001-2500000"});

    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    fetch->pattern_at = 100001;
    h3_pair_run(pair);
    check_done(fetch, 206);
    CU_ASSERT_EQUAL(fetch->body_size, 2400000);
    CU_ASSERT_FALSE(fetch->is_wrong);
    h3_pair_free(pair);
}

static void answers_416_for_a_range_beyond_the_end_and_says_the_length(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch = fetch_range(pair, "/a.txt", "bytes=10-");

    check_done(fetch, 416);
    CU_ASSERT_EQUAL(fetch->response.range_first, UINT64_MAX);
    check_done(fetch_range(pair, "/a.txt", "bytes=-0"), 416);
    check_done(fetch_range(pair, "/empty", "bytes=0-"), 416);
    h3_pair_free(pair);
}

static void answers_several_or_odd_ranges_with_the_whole(void)
{
    static const char *const ranges[] = {
        "bytes=0-1,3-4", "bytes=4-2", "items=0-1", "bytes=", "bytes=a-b", "bytes=1-2x",
    };
    struct h3_pair *pair = started_pair();

    for (size_t i = 0; i < MR_COUNT_OF(ranges); i++) {
        const struct h3_fetch *fetch = fetch_range(pair, "/a.txt", ranges[i]);
        check_done(fetch, 200);
        check_body(fetch, "0123456789");
    }
    h3_pair_free(pair);
}

static void answers_304_if_the_entity_tag_matches(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *first = h3_pair_get(pair, "/a.txt");
    const struct h3_fetch *again = h3_pair_fetch(
        pair, &(struct mr_h3_request_options){.path = "/a.txt", .if_none_match = first->etag});
    const struct h3_fetch *any = h3_pair_fetch(
        pair, &(struct mr_h3_request_options){.path = "/a.txt", .if_none_match = "*"});
    const struct h3_fetch *other = h3_pair_fetch(
        pair, &(struct mr_h3_request_options){.path = "/a.txt", .if_none_match = "\"x\", W/\"y\""});

    check_done(again, 304);
    CU_ASSERT_EQUAL(again->body_size, 0);
    CU_ASSERT_STRING_EQUAL(again->etag, first->etag);
    check_done(any, 304);
    check_done(other, 200);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, responses_304), 2);
    h3_pair_free(pair);
}

static void serves_an_empty_file(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *fetch = h3_pair_get(pair, "/empty");

    check_done(fetch, 200);
    check_body(fetch, "");
    h3_pair_free(pair);
}

static void lists_a_directory_if_asked_to(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(2);

    config.has_listings = true;
    h3_pair_start(pair, &config, &loop);
    const struct h3_fetch *fetch = h3_pair_get(pair, "/bare/");
    check_done(fetch, 200);
    CU_ASSERT_STRING_EQUAL(fetch->content_type, "text/html; charset=utf-8");
    CU_ASSERT_PTR_NOT_NULL(strstr(fetch->body, "<a href=\"./%3Cx%3E.txt\">&lt;x&gt;.txt</a>"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fetch->body, "<a href=\"../\">"));
    check_body(h3_pair_get(pair, "/docs/"), "<p>docs</p>");
    h3_pair_free(pair);
}

static void answers_from_the_cache_until_the_file_changes(void)
{
    struct h3_pair *pair = started_pair();

    check_body(h3_pair_get(pair, "/a.txt"), "0123456789");
    CU_ASSERT_EQUAL(h3_pair_counter(pair, cache_hits), 0);
    check_body(h3_pair_get(pair, "/a.txt"), "0123456789");
    CU_ASSERT_EQUAL(h3_pair_counter(pair, cache_hits), 1);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, files_opened), 1);

    h3_pair_write_text(pair, "a.txt", "changed"); /* seen once the entry is a second old */
    loop_pass(pair->loop, UINT64_C(1500000000));
    check_body(h3_pair_get(pair, "/a.txt"), "changed");

    loop_pass(pair->loop, UINT64_C(1500000000));
    check_body(h3_pair_get(pair, "/a.txt"), "changed"); /* looked at, found the same */
    CU_ASSERT_EQUAL(h3_pair_counter(pair, cache_hits), 2);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, file_reads), 2);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).files, 0);
    h3_pair_free(pair);
}

/* Three requests before the entry is too old, in the last quarter of its time. */
static void one_request_looks_at_the_file_for_all(void)
{
    struct h3_pair *pair = started_pair();
    const struct mr_h3_request_options options = {.path = "/a.txt"};

    check_body(h3_pair_get(pair, "/a.txt"), "0123456789");
    loop_pass(pair->loop, UINT64_C(500000000));
    check_body(h3_pair_get(pair, "/a.txt"), "0123456789");
    CU_ASSERT_EQUAL(h3_pair_counter(pair, files_opened), 1); /* nobody yet */
    loop_pass(pair->loop, UINT64_C(300000000));
    for (uint64_t round = 2; round < 4; round++) {
        const struct h3_fetch *first = h3_pair_begin(pair, &options);
        const struct h3_fetch *second = h3_pair_begin(pair, &options);
        const struct h3_fetch *third = h3_pair_begin(pair, &options);

        h3_pair_run(pair);
        check_body(first, "0123456789");
        check_body(second, "0123456789");
        check_body(third, "0123456789");
        CU_ASSERT_EQUAL(h3_pair_counter(pair, files_opened), round);
        loop_pass(pair->loop, UINT64_C(800000000));
    }
    h3_pair_write_text(pair, "a.txt", "changed");
    check_body(h3_pair_get(pair, "/a.txt"), "changed"); /* the one that looks */
    check_body(h3_pair_get(pair, "/a.txt"), "changed");
    CU_ASSERT_EQUAL(h3_pair_counter(pair, files_opened), 4);
    h3_pair_free(pair);
}

/* As `touch -r` and some ways of restoring a backup do. */
static void a_change_that_keeps_size_and_date_is_seen(void)
{
    struct h3_pair *pair = started_pair();
    struct stat before;
    struct stat after;
    char path[128];
    int tries = 0;

    snprintf(path, sizeof(path), "%s/a.txt", pair->root);
    check_body(h3_pair_get(pair, "/a.txt"), "0123456789");
    CU_ASSERT_EQUAL(stat(path, &before), 0);
    do { /* the file system's clock is coarse */
        FILE *file = fopen(path, "r+");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        fputs("abcdefghij", file);
        fclose(file);
        struct timespec times[2] = {before.st_atim, before.st_mtim};
        CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
        CU_ASSERT_EQUAL(stat(path, &after), 0);
        usleep(1000);
    } while (after.st_ctim.tv_nsec == before.st_ctim.tv_nsec && tries++ < 1000);
    CU_ASSERT_EQUAL(after.st_ino, before.st_ino);
    CU_ASSERT_EQUAL(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    loop_pass(pair->loop, UINT64_C(1500000000));
    check_body(h3_pair_get(pair, "/a.txt"), "abcdefghij");
    h3_pair_free(pair);
}

static void answers_ranges_and_conditions_from_the_cache(void)
{
    struct h3_pair *pair = started_pair();
    const struct h3_fetch *first = h3_pair_get(pair, "/a.txt");
    const struct h3_fetch *part = fetch_range(pair, "/a.txt", "bytes=3-5");
    const struct h3_fetch *again = h3_pair_fetch(
        pair, &(struct mr_h3_request_options){.path = "/a.txt", .if_none_match = first->etag});

    check_done(part, 206);
    check_body(part, "345");
    check_done(again, 304);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, files_opened), 1);
    h3_pair_free(pair);
}

/* Between looking at a file and reading it, it becomes `text`. */
static void check_change_while_loading(const char *text)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch = h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/a.txt"});

    while (h3_pair_counter(pair, files_opened) == 0)
        loop_step(pair->loop);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, file_reads), 1); /* it is on its way to the cache */
    h3_pair_write_text(pair, "a.txt", text);
    h3_pair_run(pair);
    check_done(fetch, 200);
    check_body(fetch, text);
    const struct h3_fetch *again = h3_pair_get(pair, "/a.txt");
    check_body(again, text);
    CU_ASSERT_STRING_EQUAL(again->etag, fetch->etag);
    CU_ASSERT_TRUE(h3_pair_counter(pair, files_changed) > 0);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, cache_hits), text[0] != '\0'); /* nothing to cache */
    h3_pair_free(pair);
}

static void a_file_that_changes_while_it_is_loaded_is_served_as_it_is_then(void)
{
    check_change_while_loading("abcdefghij"); /* the same size */
    check_change_while_loading("short");
    check_change_while_loading("much longer than it was before");
    check_change_while_loading("");
}

static void resets_a_response_whose_file_shrinks(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch =
        h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/big.bin"});
    char path[128];

    snprintf(path, sizeof(path), "%s/big.bin", pair->root);
    while (fetch->body_size < 100000)
        loop_step(pair->loop);
    CU_ASSERT_EQUAL(truncate(path, 200000), 0);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(fetch->result.outcome, MR_H3_RESET);
    CU_ASSERT_EQUAL(fetch->result.code, 0x102); /* H3_INTERNAL_ERROR */
    CU_ASSERT_EQUAL(h3_pair_counter(pair, files_changed), 1);
    mr_h3_client_close(pair->client, pair->conn);
    h3_pair_run(pair);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    h3_pair_free(pair);
}

static void holds_the_server_back_while_the_user_takes_little(void)
{
    struct h3_pair *pair = started_pair();
    struct h3_fetch *fetch = h3_pair_begin(
        pair, &(struct mr_h3_request_options){.path = "/big.bin", .range = "bytes=0-299999"});

    fetch->checks_pattern = true;
    fetch->keeps_body = false;
    fetch->take_max = 100;
    h3_pair_run(pair);
    check_done(fetch, 206);
    CU_ASSERT_FALSE(fetch->is_wrong);
    CU_ASSERT_EQUAL(fetch->body_size, 300000);
    h3_pair_free(pair);
}

static void streams_sixty_four_mebibytes_byte_for_byte(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(5);

    config.buffer_bytes = 262144;
    config.buffers_max = 32;
    loop.stream_window = 4 << 20;
    loop.piece_max = 2 << 20;
    loop.view_max = 65536;
    h3_pair_write_pattern(pair, "huge.bin", 64 << 20);
    h3_pair_start(pair, &config, &loop);
    struct h3_fetch *fetch =
        h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/huge.bin"});
    fetch->keeps_body = false;
    fetch->checks_pattern = true;
    h3_pair_run(pair);
    check_done(fetch, 200);
    CU_ASSERT_EQUAL(fetch->body_size, 64 << 20);
    CU_ASSERT_FALSE(fetch->is_wrong);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, file_read_bytes), 64 << 20);
    h3_pair_free(pair);
}

static void serves_files_beyond_four_gibibytes(void)
{
    struct h3_pair *pair = started_pair();
    char path[128];

    snprintf(path, sizeof(path), "%s/sparse", pair->root);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    CU_ASSERT_EQUAL(ftruncate(fd, INT64_C(5) << 30), 0);
    CU_ASSERT_EQUAL(pwrite(fd, "here", 4, INT64_C(4294967294)), 4);
    close(fd);
    const struct h3_fetch *head =
        h3_pair_fetch(pair, &(struct mr_h3_request_options){.path = "/sparse", .is_head = true});
    check_done(head, 200);
    CU_ASSERT_EQUAL(head->response.content_length, UINT64_C(5) << 30);
    const struct h3_fetch *part = fetch_range(pair, "/sparse", "bytes=4294967294-4294967297");
    check_done(part, 206);
    check_body(part, "here");
    CU_ASSERT_EQUAL(part->response.range_first, UINT64_C(4294967294));
    CU_ASSERT_EQUAL(part->response.range_size, UINT64_C(5) << 30);
    h3_pair_free(pair);
}

/* The transport lets a client open another stream as soon as one is over. */
static void a_request_that_is_answered_makes_room_for_the_next_at_once(void)
{
    struct h3_pair *pair = new_pair();
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    struct loop_config loop = loop_config_default(1);

    config.requests_per_conn_max = 1;
    h3_pair_start(pair, &config, &loop);
    struct h3_fetch *first = h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/a.txt"});
    while (h3_pair_counter(pair, responses_200) == 0)
        loop_step(pair->loop);
    loop_hold_work(pair->loop, true); /* the file stays open */
    (void)loop_run(pair->loop, 1000);
    check_done(first, 200);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).files, 1);
    struct h3_fetch *second =
        h3_pair_begin(pair, &(struct mr_h3_request_options){.path = "/a.txt"});
    (void)loop_run(pair->loop, 1000);
    check_done(second, 200);
    CU_ASSERT_EQUAL(h3_pair_counter(pair, requests_refused), 0);
    loop_hold_work(pair->loop, false);
    h3_pair_run(pair);
    h3_pair_free(pair);
}

static void closes_cleanly_and_gives_everything_back(void)
{
    struct h3_pair *pair = started_pair();

    check_done(h3_pair_get(pair, "/big.bin"), 200);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).requests, 0);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).files, 0);
    CU_ASSERT_EQUAL(mr_h3_server_usage(pair->server).buffers, 0);
    CU_ASSERT_EQUAL(mr_h3_client_close(pair->client, pair->conn), 0);
    h3_pair_run(pair);
    CU_ASSERT_EQUAL(pair->closed_count, 1);
    CU_ASSERT_EQUAL(pair->closed.code, 0x100);
    CU_ASSERT_TRUE(pair->closed.is_application);
    CU_ASSERT_TRUE(h3_pair_is_idle(pair));
    CU_ASSERT_EQUAL(loop_conn_count(pair->loop), 0);
    CU_ASSERT_EQUAL(loop_stream_count(pair->loop), 0);
    h3_pair_free(pair);
}

static void a_bad_configuration_is_named_with_its_remedy(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);
    struct mr_h3_server *server = NULL;
    struct mr_fault fault = {0};

    CU_ASSERT_EQUAL(mr_h3_server_new(&config, &server, &fault), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no directory"));
    config.root = "/does/not/exist";
    CU_ASSERT_EQUAL(mr_h3_server_new(&config, &server, &fault), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/does/not/exist"));
    config.root = "/etc/passwd";
    CU_ASSERT_EQUAL(mr_h3_server_new(&config, &server, &fault), -ENOTDIR);
    config.root = "/tmp";
    config.buffer_bytes = 100000;
    CU_ASSERT_EQUAL(mr_h3_server_new(&config, &server, &fault), -EINVAL);
    config.buffer_bytes = 65536;
    config.index = "a/b";
    CU_ASSERT_EQUAL(mr_h3_server_new(&config, &server, &fault), -EINVAL);
    CU_ASSERT_PTR_NULL(server);
}

CU_TestInfo http_server_tests[] = {
    {"serves a file with its type length and validators",
     serves_a_file_with_its_type_length_and_validators},
    {"serves a large file byte for byte", serves_a_large_file_byte_for_byte},
    {"answers head with the head of get", answers_head_with_the_head_of_get},
    {"answers a directory with its index", answers_a_directory_with_its_index},
    {"a redirect keeps the query", a_redirect_keeps_the_query},
    {"redirects a directory without its slash", redirects_a_directory_without_its_slash},
    {"answers 404 for what is not there", answers_404_for_what_is_not_there},
    {"answers 403 for what it may not read", answers_403_for_what_it_may_not_read},
    {"decodes percent encoding and drops the query", decodes_percent_encoding_and_drops_the_query},
    {"refuses traversal nul and broken encoding", refuses_traversal_nul_and_broken_encoding},
    {"follows links inside the root and refuses those that lead out",
     follows_links_inside_the_root_and_refuses_those_that_lead_out},
    {"serves only regular files", serves_only_regular_files},
    {"answers one range with 206", answers_one_range_with_206},
    {"answers a range of a large file byte for byte",
     answers_a_range_of_a_large_file_byte_for_byte},
    {"answers 416 for a range beyond the end and says the length",
     answers_416_for_a_range_beyond_the_end_and_says_the_length},
    {"answers several or odd ranges with the whole", answers_several_or_odd_ranges_with_the_whole},
    {"answers 304 if the entity tag matches", answers_304_if_the_entity_tag_matches},
    {"serves an empty file", serves_an_empty_file},
    {"lists a directory if asked to", lists_a_directory_if_asked_to},
    {"answers from the cache until the file changes",
     answers_from_the_cache_until_the_file_changes},
    {"one request looks at the file for all", one_request_looks_at_the_file_for_all},
    {"a change that keeps size and date is seen", a_change_that_keeps_size_and_date_is_seen},
    {"answers ranges and conditions from the cache", answers_ranges_and_conditions_from_the_cache},
    {"a file that changes while it is loaded is served as it is then",
     a_file_that_changes_while_it_is_loaded_is_served_as_it_is_then},
    {"resets a response whose file shrinks", resets_a_response_whose_file_shrinks},
    {"holds the server back while the user takes little",
     holds_the_server_back_while_the_user_takes_little},
    {"streams sixty four mebibytes byte for byte", streams_sixty_four_mebibytes_byte_for_byte},
    {"serves files beyond four gibibytes", serves_files_beyond_four_gibibytes},
    {"a request that is answered makes room for the next at once",
     a_request_that_is_answered_makes_room_for_the_next_at_once},
    {"closes cleanly and gives everything back", closes_cleanly_and_gives_everything_back},
    {"a bad configuration is named with its remedy", a_bad_configuration_is_named_with_its_remedy},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/server", .pTests = http_server_tests},
    CU_SUITE_INFO_NULL,
};
