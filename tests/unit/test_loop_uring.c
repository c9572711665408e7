/* Tests of app/loop_uring.c and loop_uring_file.c: files, closing, threads, processes, refusal. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "tests/unit/loop_backend.h"

#define MS UINT64_C(1000000)

static struct mr_loop *loop;

static void open_loop(struct mr_loop_config config)
{
    config.is_detached = true;
    CU_ASSERT_EQUAL_FATAL(loop_backend_new(&config, &loop), 0);
}

/* False: io_uring is refused here, and the test skipped. */
static bool open_uring(void)
{
    if (loop_backend != MR_LOOP_URING)
        return false;
    open_loop((struct mr_loop_config){0});
    return true;
}

struct ear {
    uint32_t calls;
    uint32_t events;
    int fd;
    bool reads;
};

static void hear(void *context, uint32_t events)
{
    struct ear *ear = context;
    char bytes[64];

    ear->calls++;
    ear->events = events;
    if (ear->reads)
        CU_ASSERT(read(ear->fd, bytes, sizeof(bytes)) > 0);
}

static void watch(struct ear *ear, uint32_t events)
{
    CU_ASSERT_EQUAL(mr_loop_watch(loop, ear->fd, events, events == 0 ? NULL : hear, ear), 0);
}

static void make_pipe(int *ends)
{
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
}

static void put(int fd, const char *text)
{
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* ------------------------------------------------------------------ files */

static char scratch[64];

static int make_file(size_t size)
{
    char bytes[4096];

    snprintf(scratch, sizeof(scratch), "/tmp/mr_loop_XXXXXX");
    int fd = mkstemp(scratch);
    CU_ASSERT_FATAL(fd >= 0);
    for (size_t at = 0; at < size; at += sizeof(bytes)) {
        memset(bytes, (int)('a' + at / sizeof(bytes) % 26), sizeof(bytes));
        CU_ASSERT_EQUAL(pwrite(fd, bytes, MR_MIN(sizeof(bytes), size - at), (off_t)at),
                        (ssize_t)MR_MIN(sizeof(bytes), size - at));
    }
    return fd;
}

static void end_file(int fd)
{
    close(fd);
    unlink(scratch);
}

struct answer {
    uint32_t calls;
    int64_t result;
};

static void note_answer(void *context, int64_t result)
{
    struct answer *a = context;

    a->calls++;
    a->result = result;
}

static int64_t wait_for(struct answer *a)
{
    while (a->calls == 0)
        CU_ASSERT_FATAL(mr_loop_run_once(loop, 5000 * MS) >= 0);
    CU_ASSERT_EQUAL(a->calls, 1);
    a->calls = 0;
    return a->result;
}

/* Threads that are not the kernel's. */
static uint32_t own_threads(void)
{
    char path[300], name[32] = "";
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/task");

    for (const struct dirent *e; (e = readdir(folder)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            continue;
        count += fgets(name, sizeof(name), file) != NULL && strncmp(name, "iou-", 4) != 0;
        fclose(file);
    }
    closedir(folder);
    return count;
}

static void files_need_no_thread_of_the_pool(void)
{
    struct answer a = {0};
    char text[16] = "";

    if (!open_uring())
        return;
    uint32_t threads = own_threads();
    int fd = make_file(0);
    close(fd);
    CU_ASSERT_EQUAL(mr_loop_open(loop, scratch, O_RDWR, 0, note_answer, &a), 0);
    fd = (int)wait_for(&a);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CU_ASSERT_EQUAL(mr_loop_pwrite(loop, fd, "hello", 5, 3, note_answer, &a), 0);
    CU_ASSERT_EQUAL(a.calls, 0); /* never inside the call */
    CU_ASSERT_EQUAL(wait_for(&a), 5);
    CU_ASSERT_EQUAL(mr_loop_fsync(loop, fd, note_answer, &a), 0);
    CU_ASSERT_EQUAL(wait_for(&a), 0);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, text, sizeof(text), 3, note_answer, &a), 0);
    CU_ASSERT_EQUAL(wait_for(&a), 5); /* short: the end of the file */
    CU_ASSERT_STRING_EQUAL(text, "hello");
    CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, text, 4, 8, note_answer, &a), 0);
    CU_ASSERT_EQUAL(wait_for(&a), 0);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, text, 4, UINT64_MAX, note_answer, &a), 0);
    CU_ASSERT_EQUAL(wait_for(&a), -EINVAL);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, 12345, text, 4, 0, note_answer, &a), 0);
    CU_ASSERT_EQUAL(wait_for(&a), -EBADF);
    CU_ASSERT_EQUAL(mr_loop_open(loop, "/nonexistent/file", O_RDONLY, 0, note_answer, &a), 0);
    CU_ASSERT_EQUAL(wait_for(&a), -ENOENT);
    CU_ASSERT_PTR_NULL(loop->offload);
    CU_ASSERT_EQUAL(own_threads(), threads);
    end_file(fd);
    mr_loop_free(loop);
}

enum {
    FILE_SIZE = 1 << 20
};

/* A part of it lies in memory, the rest on the disk: one call reads both, and interrupts nobody. */
static void a_read_that_needs_the_disk_interrupts_no_wait(void)
{
    static char bytes[FILE_SIZE];
    struct answer a = {0};

    if (!open_uring())
        return;
    int fd = make_file(FILE_SIZE);
    int outer = epoll_create1(EPOLL_CLOEXEC);
    poll(NULL, 0, 100); /* the end of the test's before this one may interrupt, once */
    struct epoll_event event = {.events = EPOLLIN};
    CU_ASSERT_EQUAL(epoll_ctl(outer, EPOLL_CTL_ADD, mr_loop_fd(loop), &event), 0);
    for (int i = 0; i < 8; i++) {
        fsync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        CU_ASSERT_EQUAL(pread(fd, bytes, 4096, 0), 4096);
        memset(bytes, 0, sizeof(bytes));
        CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, bytes, FILE_SIZE, 0, note_answer, &a), 0);
        while (a.calls == 0) {
            (void)mr_exec_poll(loop);
            if (a.calls == 0)
                CU_ASSERT_EQUAL_FATAL(epoll_wait(outer, &event, 1, 5000), 1);
        }
        CU_ASSERT_EQUAL(wait_for(&a), FILE_SIZE);
        for (size_t at = 0; at < FILE_SIZE; at += 4096)
            CU_ASSERT_EQUAL_FATAL(bytes[at], (char)('a' + at / 4096 % 26));
    }
    close(outer);
    end_file(fd);
    mr_loop_free(loop);
}

enum {
    READS = 4096
};

static void more_files_than_the_ring_holds_wait_their_turn(void)
{
    static char bytes[READS];
    static struct answer answers[READS];
    struct answer last = {0};
    uint32_t right = 0;

    if (!open_uring())
        return;
    memset(answers, 0, sizeof(answers));
    int fd = make_file(FILE_SIZE);
    for (uint64_t i = 0; i < READS; i++)
        CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, &bytes[i], 1, i * 256, note_answer, &answers[i]),
                        0);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, bytes, 1, 0, note_answer, &last), -EAGAIN);
    while (answers[READS - 1].calls == 0)
        CU_ASSERT_FATAL(mr_loop_run_once(loop, 5000 * MS) > 0);
    for (uint32_t i = 0; i < READS; i++)
        right += answers[i].calls == 1 && answers[i].result == 1 &&
                 bytes[i] == (char)('a' + i * 256 / 4096 % 26);
    CU_ASSERT_EQUAL(right, READS);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, fd, bytes, 1, 0, note_answer, &last), 0);
    CU_ASSERT_EQUAL(wait_for(&last), 1);
    end_file(fd);
    mr_loop_free(loop);
}

/* Nobody will ever write: the call is cancelled, and its buffer is the caller's again. */
static void freeing_cancels_a_read_that_does_not_end(void)
{
    struct answer a = {0};
    char byte = 'b';
    int ends[2];

    if (!open_uring())
        return;
    make_pipe(ends);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, ends[0], &byte, 1, 0, note_answer, &a), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 10 * MS), 0);
    uint64_t begin = mr_loop_clock();
    mr_loop_free(loop);
    CU_ASSERT(mr_loop_clock() - begin < 5000 * MS);
    put(ends[1], "x");
    CU_ASSERT_EQUAL(a.calls, 0);
    CU_ASSERT_EQUAL(byte, 'b');
    CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1); /* it took nothing */
    close(ends[0]);
    close(ends[1]);
}

/* ------------------------------------------------------------------ closing */

static void the_end_of_a_watch_lets_go_of_the_file(void)
{
    struct ear ear = {0};
    int ends[2];

    if (!open_uring())
        return;
    signal(SIGPIPE, SIG_IGN);
    make_pipe(ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0); /* the kernel has it */
    watch(&ear, 0);
    close(ends[0]);
    CU_ASSERT_EQUAL(write(ends[1], "x", 1), -1);
    CU_ASSERT_EQUAL(errno, EPIPE);
    close(ends[1]);
    make_pipe(ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
    mr_loop_free(loop);
    close(ends[0]);
    CU_ASSERT_EQUAL(write(ends[1], "x", 1), -1); /* so does the end of the loop */
    close(ends[1]);
}

/* Closed without ending its watch, as epoll allows: the kernel still has the file. */
static void a_closed_descriptor_is_not_told_nor_what_has_its_number(void)
{
    struct ear old = {0}, new = {0};
    int a[2], b[2];

    if (!open_uring())
        return;
    make_pipe(a);
    old.fd = a[0];
    watch(&old, POLLIN);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 0), 0);
    close(a[0]);
    put(a[1], "x"); /* its poll is answered */
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);

    make_pipe(b);
    CU_ASSERT_EQUAL_FATAL(b[0], a[0]);
    put(b[1], "y");
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);
    new.fd = b[0];
    watch(&new, POLLIN);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(new.calls, 1);
    CU_ASSERT_EQUAL(old.calls, 0);
    watch(&new, 0);
    close(a[1]);
    close(b[0]);
    close(b[1]);
    mr_loop_free(loop);
}

/* ------------------------------------------------------------------ threads */

static void *run_a_while(void *argument)
{
    for (int i = 0; i < 3; i++)
        MR_ASSERT(mr_loop_run_once(argument, MS) == 0);
    return NULL;
}

/* The kernel serves a ring to one thread only, which is gone. */
static void another_thread_takes_over_what_is_watched_and_read(void)
{
    struct answer a = {0};
    struct ear ear = {.reads = true};
    pthread_t thread;
    int ends[2], slow[2];
    char byte = 0;

    if (!open_uring())
        return;
    make_pipe(ends);
    make_pipe(slow);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    struct pollfd p = {.fd = mr_loop_fd(loop), .events = POLLIN};
    CU_ASSERT_EQUAL(mr_loop_pread(loop, slow[0], &byte, 1, 0, note_answer, &a), 0);
    for (uint32_t i = 0; i < 5; i++) { /* there and back */
        CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_a_while, loop), 0);
        pthread_join(thread, NULL);
        put(ends[1], "x");
        CU_ASSERT_EQUAL(poll(&p, 1, 5000), 1);
        CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
        CU_ASSERT_EQUAL(ear.calls, i + 1);
        CU_ASSERT_EQUAL(a.calls, 0);
    }
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_a_while, loop), 0);
    pthread_join(thread, NULL);
    watch(&ear, 0); /* here, and that thread has its poll */
    put(slow[1], "y");
    CU_ASSERT_EQUAL(wait_for(&a), 1);
    CU_ASSERT_EQUAL(byte, 'y');
    mr_loop_free(loop);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(slow[i]);
    }
}

/* ------------------------------------------------------------------ processes, refusal */

/* What a child process comes to. */
static int child_does(int (*function)(void))
{
    int status = -1;
    pid_t child = fork();

    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        _exit(function());
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int use_the_parents_loop(void)
{
    int result = mr_loop_run_once(loop, 0);

    mr_loop_free(loop);
    return result == -ECHILD ? 0 : 1;
}

static int use_a_loop_of_its_own(void)
{
    struct mr_loop_config config = {.is_detached = true, .backend = MR_LOOP_URING};
    struct ear ear = {.reads = true};
    int ends[2];

    if (mr_loop_new(&config, &loop, NULL) != 0)
        return 1;
    make_pipe(ends);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    put(ends[1], "x");
    int result = mr_loop_run_once(loop, 5000 * MS);
    mr_loop_free(loop);
    return result == 1 && ear.calls == 1 ? 0 : 2;
}

static void after_fork_the_loop_is_the_parents(void)
{
    struct ear ear = {.reads = true};
    struct answer a = {0};
    int ends[2], slow[2];
    char byte;

    if (!open_uring())
        return;
    make_pipe(ends);
    make_pipe(slow);
    ear.fd = ends[0];
    watch(&ear, POLLIN);
    CU_ASSERT_EQUAL(mr_loop_pread(loop, slow[0], &byte, 1, 0, note_answer, &a), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);
    CU_ASSERT_EQUAL(child_does(use_the_parents_loop), 0);
    CU_ASSERT_EQUAL(child_does(use_a_loop_of_its_own), 0);
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, MS), 0);
    put(ends[1], "x");
    CU_ASSERT_EQUAL(mr_loop_run_once(loop, 5000 * MS), 1);
    CU_ASSERT_EQUAL(ear.calls, 1);
    put(slow[1], "y");
    CU_ASSERT_EQUAL(wait_for(&a), 1);
    watch(&ear, 0);
    mr_loop_free(loop);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(slow[i]);
    }
}

/* As in a container whose filter forbids io_uring_setup(2). */
static int be_refused(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = MR_COUNT_OF(steps), .filter = steps};
    struct mr_loop_config config = {.is_detached = true, .backend = MR_LOOP_URING};
    struct mr_error error = {""};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    int result = mr_loop_new(&config, &loop, &error);
    if (result != -ENOSYS || loop != NULL ||
        strstr(error.text, "kernel.io_uring_disabled") == NULL ||
        strstr(error.text, "MR_LOOP_EPOLL") == NULL)
        return 1;
    config.backend = MR_LOOP_EPOLL;
    return mr_loop_new(&config, &loop, &error) == 0 ? 0 : 2;
}

static void a_refusal_says_what_to_do(void)
{
    struct mr_loop_config config = {.is_detached = true, .backend = MR_LOOP_URING};
    struct mr_error error = {""};
    int result = mr_loop_new(&config, &loop, &error);

    mr_loop_free(loop);
    if (result == -ENOTSUP) { /* built without */
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "liburing"));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "MR_LOOP_EPOLL"));
        return;
    }
    int status = child_does(be_refused);
    if (status == 77)
        mr_test_skip("no seccomp filters here");
    else
        CU_ASSERT_EQUAL(status, 0);
    config.backend = (enum mr_loop_backend)2;
    CU_ASSERT_EQUAL(mr_loop_new(&config, &loop, &error), -EINVAL);
    CU_ASSERT_PTR_NULL(loop);
}

static CU_TestInfo tests[] = {
    {"T23 T18 files need no thread of the pool", files_need_no_thread_of_the_pool},
    {"T23 T18 a read that needs the disk interrupts no wait",
     a_read_that_needs_the_disk_interrupts_no_wait},
    {"T23 more files than the ring holds wait their turn",
     more_files_than_the_ring_holds_wait_their_turn},
    {"T23 freeing cancels a read that does not end", freeing_cancels_a_read_that_does_not_end},
    {"T23 the end of a watch lets go of the file", the_end_of_a_watch_lets_go_of_the_file},
    {"T23 a closed descriptor is not told, nor what has its number",
     a_closed_descriptor_is_not_told_nor_what_has_its_number},
    {"T23 another thread takes over what is watched and read",
     another_thread_takes_over_what_is_watched_and_read},
    {"T23 after fork() the loop is the parent's", after_fork_the_loop_is_the_parents},
    {"T23 a refusal says what to do", a_refusal_says_what_to_do},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/loop_uring", .pSetUpFunc = loop_backend_uring, .pTests = tests},
    CU_SUITE_INFO_NULL,
};
