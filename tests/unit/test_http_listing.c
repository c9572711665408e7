/* Tests of http3/listing.h. */
#include "http3/listing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

static char page[65536];

/* The listing of the pair's root under the name `path`, in `room` bytes; its size. */
static size_t list(const struct h3_pair *pair, const char *path, size_t room)
{
    size_t size = 0;
    int fd = open(pair->root, O_RDONLY | O_DIRECTORY);

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    memset(page, 0, sizeof(page));
    int root_fd = open(pair->root, O_RDONLY | O_DIRECTORY);
    CU_ASSERT_EQUAL(mr_listing_write(fd, root_fd, path, page, room, &size), 0);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1); /* closed */
    close(root_fd);
    CU_ASSERT_TRUE(size <= room);
    page[size < sizeof(page) ? size : sizeof(page) - 1] = '\0'; /* behind it may be half an entry */
    return size;
}

static void directories_come_first_then_files_by_name(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_write_text(pair, "b.txt", "");
    h3_pair_write_text(pair, "a.txt", "");
    h3_pair_write_text(pair, ".hidden", "");
    h3_pair_mkdir(pair, "z");
    h3_pair_link(pair, "z", "link");
    h3_pair_link(pair, "nowhere", "dangling");
    list(pair, "", sizeof(page));
    const char *link = strstr(page, "<a href=\"./link/\">link/</a>");
    const char *z = strstr(page, "<a href=\"./z/\">z/</a>");
    const char *a = strstr(page, "<a href=\"./a.txt\">a.txt</a>");
    const char *b = strstr(page, "<a href=\"./b.txt\">b.txt</a>");
    CU_ASSERT_PTR_NOT_NULL_FATAL(link);
    CU_ASSERT_TRUE(link < z && z < a && a < b);
    CU_ASSERT_PTR_NULL(strstr(page, "hidden"));
    CU_ASSERT_PTR_NULL(strstr(page, "dangling"));
    CU_ASSERT_PTR_NULL(strstr(page, "../")); /* the root has no parent */
    CU_ASSERT_PTR_NULL(strstr(page, "more entries"));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "</html>"));
    h3_pair_free(pair);
}

static void what_a_request_could_not_get_is_left_out(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_mkdir(pair, "sub");
    h3_pair_write_text(pair, "good", "");
    h3_pair_link(pair, "/etc/passwd", "out");
    h3_pair_link(pair, "../..", "sub/up");
    h3_pair_link(pair, "../good", "sub/sibling");
    h3_pair_link(pair, "loop", "loop");
    h3_pair_write_text(pair, "two\nlines", "");
    h3_pair_write_text(pair, "del\x7f", "");
    list(pair, "", sizeof(page));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "./good\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "./sub/\""));
    for (size_t i = 0; i < 4; i++) {
        static const char *const names[] = {"./out", "./loop", "lines", "./del"};

        CU_ASSERT_PTR_NULL(strstr(page, names[i]));
    }
    struct h3_fetch *fetch;
    struct loop_config loop = loop_config_default(1);
    struct mr_h3_server_config config = h3_pair_server_config(pair);
    config.has_listings = true;
    h3_pair_start(pair, &config, &loop);
    fetch = h3_pair_get(pair, "/sub/"); /* the links of a folder are seen from the root */
    CU_ASSERT_EQUAL(fetch->result.status, 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(fetch->body, "./sibling\""));
    CU_ASSERT_PTR_NULL(strstr(fetch->body, "./up"));
    h3_pair_free(pair);
}

static void links_are_looked_at_within_a_limit(void)
{
    static char large[1 << 20];
    struct h3_pair *pair = h3_pair_new();
    char name[32];
    size_t size = 0;

    for (int i = 0; i <= MR_LISTING_LINKS_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        h3_pair_link(pair, "nowhere", name);
    }
    int fd = open(pair->root, O_RDONLY | O_DIRECTORY);
    int root_fd = open(pair->root, O_RDONLY | O_DIRECTORY);
    CU_ASSERT_EQUAL(mr_listing_write(fd, root_fd, "", large, sizeof(large), &size), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(large, "There are more entries"));
    close(root_fd);
    h3_pair_free(pair);
}

static void names_are_never_taken_for_markup(void)
{
    struct h3_pair *pair = h3_pair_new();

    h3_pair_write_text(pair, "<script>&\"'.txt", "");
    list(pair, "a<b", sizeof(page));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "href=\"./%3Cscript%3E%26%22%27.txt\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, ">&lt;script&gt;&amp;&quot;'.txt<"));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "<h1>/a&lt;b</h1>"));
    CU_ASSERT_PTR_NULL(strstr(page, "<script"));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "href=\"../\""));
    h3_pair_free(pair);
}

static void a_page_that_is_too_small_ends_with_a_whole_entry_and_says_so(void)
{
    struct h3_pair *pair = h3_pair_new();
    char name[256];

    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "%03d-%0200d", i, 0);
        h3_pair_write_text(pair, name, "");
    }
    size_t size = list(pair, "x", MR_LISTING_ROOM_MIN);
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "There are more entries than this page shows."));
    CU_ASSERT_PTR_NOT_NULL(strstr(page, "</a></li>\n</ul>"));
    CU_ASSERT_STRING_EQUAL(page + size - 15, "</body></html>\n");
    h3_pair_free(pair);
}

static void what_is_no_directory_is_an_error(void)
{
    size_t size = 1;
    int fd = open("/etc/passwd", O_RDONLY);

    CU_ASSERT_EQUAL(mr_listing_write(fd, -1, "", page, sizeof(page), &size), ENOTDIR);
    CU_ASSERT_EQUAL(size, 0);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), -1);
}

CU_TestInfo http_listing_tests[] = {
    {"directories come first then files by name", directories_come_first_then_files_by_name},
    {"what a request could not get is left out", what_a_request_could_not_get_is_left_out},
    {"links are looked at within a limit", links_are_looked_at_within_a_limit},
    {"names are never taken for markup", names_are_never_taken_for_markup},
    {"a page that is too small ends with a whole entry and says so",
     a_page_that_is_too_small_ends_with_a_whole_entry_and_says_so},
    {"what is no directory is an error", what_is_no_directory_is_an_error},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/listing", .pTests = http_listing_tests},
    CU_SUITE_INFO_NULL,
};
