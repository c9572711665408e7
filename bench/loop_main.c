/*
 * bench/loop_main.c - what waiting and reading files costs a loop, by backend: `loop`.
 *
 *     a ready descriptor     of 2,000 eventfds that are watched, 1, 64 or all are ready; its
 * handler reads it a read of 4 KiB        of a file that lies in memory, 1 or 32 at a time
 *
 * Medians over short slices, the backends in turns.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "bench/samples.h"
#include "millrace/loop.h"

enum {
    SLICES = 200,
    FDS = 2000,
    READS = 512, /* per slice */
    SIZE = 4096,
    FILE_SIZE = 1 << 20
};

static struct side {
    struct mr_loop *loop; /* NULL: refused */
    int fds[FDS];
} sides[2], *now;

static uint32_t told;

static struct {
    char bytes[32][SIZE];
    int fd;
    uint32_t asked;
    uint32_t done;
} file;

static void take(void *context, uint32_t events)
{
    uint64_t value;

    (void)events;
    MR_ASSERT(read(*(int *)context, &value, sizeof(value)) == sizeof(value));
    told++;
}

/* ns per descriptor of `count` that are ready. */
static double ready_slice(uint32_t count)
{
    uint64_t one = 1;

    for (uint32_t i = 0; i < count; i++)
        MR_ASSERT(write(now->fds[i * (FDS / count)], &one, sizeof(one)) == sizeof(one));
    told = 0;
    uint64_t begin = mr_bench_now_ns();
    while (told < count)
        (void)mr_loop_run_once(now->loop, MR_FOREVER);
    return (double)(mr_bench_now_ns() - begin) / count;
}

static void read_next(void *bytes, int64_t result)
{
    MR_ASSERT(result == SIZE || result == 0);
    file.done += result == SIZE;
    if (file.asked < READS &&
        mr_loop_pread(now->loop, file.fd, bytes, SIZE,
                      (uint64_t)file.asked % (FILE_SIZE / SIZE) * SIZE, read_next, bytes) == 0)
        file.asked++;
}

/* ns per read, `depth` at a time. */
static double read_slice(uint32_t depth)
{
    uint64_t begin = mr_bench_now_ns();

    file.asked = file.done = 0;
    for (uint32_t i = 0; i < depth; i++)
        read_next(file.bytes[i], 0);
    while (file.done < READS)
        (void)mr_loop_run_once(now->loop, MR_FOREVER);
    return (double)(mr_bench_now_ns() - begin) / READS;
}

static const struct row {
    const char *name;
    double (*slice)(uint32_t count);
    uint32_t count;
} rows[] = {
    {"1 of 2,000 descriptors is ready", ready_slice, 1},
    {"64 of 2,000 descriptors are", ready_slice, 64},
    {"all of 2,000 descriptors are", ready_slice, FDS},
    {"pread of 4 KiB, 1 at a time", read_slice, 1},
    {"pread of 4 KiB, 32 at a time", read_slice, 32},
};

static void make_file(void)
{
    char path[] = "/tmp/mr_loop_XXXXXX";

    file.fd = mkstemp(path);
    unlink(path);
    for (int i = 0; i < FILE_SIZE / SIZE; i++)
        MR_ASSERT(write(file.fd, file.bytes[0], SIZE) == SIZE);
}

static void raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * FDS + 100) {
        fprintf(stderr, "loop: needs %d descriptors; raise the limit: ulimit -n\n", 2 * FDS + 100);
        exit(1);
    }
}

static void make_side(struct side *side, enum mr_loop_backend backend)
{
    struct mr_loop_config config = {.is_detached = true, .backend = backend};
    struct mr_error error = {""};

    if (mr_loop_new(&config, &side->loop, &error) != 0) {
        fprintf(stderr, "loop: %s\n", error.text);
        return;
    }
    for (uint32_t i = 0; i < FDS; i++) {
        side->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        MR_ASSERT(side->fds[i] >= 0);
        MR_ASSERT(mr_loop_watch(side->loop, side->fds[i], POLLIN, take, &side->fds[i]) == 0);
    }
}

static void measure(const struct row *row)
{
    static struct mr_samples samples[2];

    for (int i = 0; i < 2; i++)
        samples[i].count = 0;
    for (int slice = 0; slice < 2 * SLICES; slice++) {
        now = &sides[slice % 2];
        if (now->loop != NULL)
            mr_samples_add(&samples[slice % 2], row->slice(row->count));
    }
    printf("%-34s", row->name);
    for (int i = 0; i < 2; i++) {
        if (samples[i].count == 0)
            printf(" %10s", "refused");
        else
            printf(" %10.0f", mr_samples_median(&samples[i]));
    }
    printf("\n");
}

int main(void)
{
    raise_limit();
    make_file();
    make_side(&sides[0], MR_LOOP_EPOLL);
    make_side(&sides[1], MR_LOOP_URING);
    printf("%-34s %10s %10s\n", "ns each, median", "epoll", "io_uring");
    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        measure(&rows[i]);
    for (int i = 0; i < 2; i++)
        mr_loop_free(sides[i].loop);
    return 0;
}
