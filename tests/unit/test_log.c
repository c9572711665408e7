/* Tests of base/log.h: what is written into a pipe. */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/harness.h"

#define SECOND   UINT64_C(1000000000)
#define NOV_2026 (UINT64_C(1795215845) * SECOND) /* 2026-11-20T23:04:05Z */

static int pipe_fds[2];
static uint64_t fake_time;
static char text[1 << 16];

static uint64_t read_fake_time(void)
{
    return fake_time;
}

static void open_pipe(void)
{
    CU_ASSERT_EQUAL_FATAL(pipe2(pipe_fds, O_NONBLOCK), 0);
    fake_time = NOV_2026;
}

static void close_pipe(void)
{
    mr_log_configure(&(struct mr_log_options){.level = MR_LOG_INFO});
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void configure(enum mr_log_level level, bool has_clock)
{
    mr_log_configure(&(struct mr_log_options){
        .level = level, .unix_time = has_clock ? read_fake_time : NULL, .fd = pipe_fds[1]});
}

/* What was logged since the last call. */
static const char *logged(void)
{
    ssize_t size = read(pipe_fds[0], text, sizeof(text) - 1);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static size_t count_lines(const char *lines)
{
    size_t count = 0;

    for (; *lines != '\0'; lines++)
        count += *lines == '\n';
    return count;
}

static void a_line_has_time_level_and_text(void)
{
    configure(MR_LOG_INFO, true);
    fake_time += 123456789;
    mr_log(MR_LOG_WARN, "certificate %s expires in %d days", "x.pem", 3);
    CU_ASSERT_STRING_EQUAL(logged(),
                           "2026-11-20T23:04:05.123Z warn  certificate x.pem expires in 3 days\n");

    configure(MR_LOG_INFO, false);
    mr_log(MR_LOG_ERROR, "gone");
    CU_ASSERT_STRING_EQUAL(logged(), "error gone\n");
}

static void less_urgent_lines_are_not_shown(void)
{
    configure(MR_LOG_WARN, false);
    mr_log(MR_LOG_INFO, "chatter");
    mr_log(MR_LOG_DEBUG, "chatter");
    CU_ASSERT_STRING_EQUAL(logged(), "");
    CU_ASSERT_TRUE(mr_log_is_shown(MR_LOG_WARN));
    CU_ASSERT_FALSE(mr_log_is_shown(MR_LOG_INFO));

    configure(MR_LOG_DEBUG, false);
    mr_log(MR_LOG_DEBUG, "detail");
    CU_ASSERT_STRING_EQUAL(logged(), "debug detail\n");
}

static void text_from_outside_cannot_forge_a_line(void)
{
    configure(MR_LOG_INFO, false);
    mr_log(MR_LOG_INFO, "sni %s", "a\nerror forged\r\x1b[2J");
    CU_ASSERT_STRING_EQUAL(logged(), "info  sni a?error forged??[2J\n");
}

static void a_long_line_is_cut_visibly(void)
{
    char longer[2 * MR_LOG_LINE_SIZE];

    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    configure(MR_LOG_INFO, true);
    mr_log(MR_LOG_INFO, "%s", longer);
    const char *line = logged();
    CU_ASSERT_EQUAL(strlen(line), MR_LOG_LINE_SIZE);
    CU_ASSERT_STRING_EQUAL(line + MR_LOG_LINE_SIZE - 5, "x...\n");
}

static void a_flood_is_cut_and_counted(void)
{
    configure(MR_LOG_INFO, true);
    for (int i = 0; i < MR_LOG_BURST + 50; i++)
        mr_log(MR_LOG_WARN, "flood");
    CU_ASSERT_EQUAL(count_lines(logged()), MR_LOG_BURST);
    CU_ASSERT_EQUAL(mr_log_dropped(), 50);

    fake_time += SECOND;
    mr_log(MR_LOG_INFO, "calm");
    CU_ASSERT_STRING_EQUAL(logged(), "2026-11-20T23:04:06.000Z warn  50 more lines were not shown\n"
                                     "2026-11-20T23:04:06.000Z info  calm\n");
    mr_log(MR_LOG_INFO, "calm");
    CU_ASSERT_EQUAL(count_lines(logged()), 1); /* reported once */
}

static void errors_are_never_dropped(void)
{
    configure(MR_LOG_INFO, true);
    for (int i = 0; i < MR_LOG_BURST; i++)
        mr_log(MR_LOG_INFO, "flood");
    logged();
    mr_log(MR_LOG_ERROR, "fire");
    CU_ASSERT_STRING_EQUAL(logged(), "2026-11-20T23:04:05.000Z error fire\n");
    CU_ASSERT_EQUAL(mr_log_dropped(), 0);
}

static void *log_many(void *letter)
{
    for (int i = 0; i < 200; i++)
        mr_log(MR_LOG_INFO, "%.*s", 40, (const char *)letter);
    return NULL;
}

static void lines_of_two_threads_never_mix(void)
{
    static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    pthread_t thread;
    int lines = 0;

    configure(MR_LOG_INFO, false);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, log_many, (void *)(uintptr_t)a), 0);
    log_many((void *)(uintptr_t)b);
    pthread_join(thread, NULL);
    logged();
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        CU_ASSERT_EQUAL(strncmp(line, "info  ", 6), 0);
        CU_ASSERT(strcmp(line + 6, a) == 0 || strcmp(line + 6, b) == 0);
    }
    CU_ASSERT_EQUAL(lines, 400);
}

static void levels_have_names(void)
{
    CU_ASSERT_EQUAL(mr_log_level_from_name("error"), MR_LOG_ERROR);
    CU_ASSERT_EQUAL(mr_log_level_from_name("debug"), MR_LOG_DEBUG);
    CU_ASSERT_EQUAL(mr_log_level_from_name("loud"), MR_LOG_LEVELS);
}

static CU_TestInfo tests[] = {
    {"a line has time, level and text", a_line_has_time_level_and_text},
    {"less urgent lines are not shown", less_urgent_lines_are_not_shown},
    {"text from outside cannot forge a line", text_from_outside_cannot_forge_a_line},
    {"a long line is cut visibly", a_long_line_is_cut_visibly},
    {"a flood is cut and counted", a_flood_is_cut_and_counted},
    {"errors are never dropped", errors_are_never_dropped},
    {"lines of two threads never mix", lines_of_two_threads_never_mix},
    {"levels have names", levels_have_names},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "base/log", .pSetUpFunc = open_pipe, .pTearDownFunc = close_pipe, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
