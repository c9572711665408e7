/*
 * bench/mailbox_main.c - what it costs to hand an entry to another core: `mailbox`.
 *
 *     ping-pong of one cache line        the least that any hand-over costs: half a round trip
 *     ping-pong of one entry             base/mailbox.h, both ways
 *     entries in batches of 32           one way, as fast as they go
 *
 * Two pinned threads; medians over short slices, and the ratio of the second to the first.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mailbox.h"
#include "bench/samples.h"

enum {
    SLICES = 400,
    ROUNDS = 500, /* per slice */
    BATCH = 32,
    BATCHES = 200, /* per slice */
    COUNT = 1024   /* entries of a queue */
};

struct queue {
    _Alignas(64) uint8_t entries[COUNT][MR_MAILBOX_ENTRY];
    _Alignas(64) _Atomic uint32_t tail;
    _Alignas(64) _Atomic uint32_t head;
};

/* What the two threads share. */
static struct queue there;
static struct queue back;
static struct {
    _Alignas(64) _Atomic uint32_t line;
    _Alignas(64) _Atomic int task; /* of the helper; -1: end */
} shared;

enum task {
    NOTHING,
    ECHO_LINE,
    ECHO_ENTRIES,
    SINK
};

static struct mr_mailbox box_of(struct queue *queue)
{
    return (struct mr_mailbox){
        .entries = queue->entries, .tail = &queue->tail, .head = &queue->head, .count = COUNT};
}

static void pin(unsigned core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(core, &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static enum task task_now(void)
{
    return (enum task)atomic_load_explicit(&shared.task, memory_order_acquire);
}

/* ------------------------------------------------------------------ the other core */

static void echo_line(void)
{
    uint32_t seen = 0;

    while (task_now() == ECHO_LINE) {
        uint32_t now = atomic_load_explicit(&shared.line, memory_order_acquire);

        if ((now & 1) == 0 || now == seen)
            continue;
        seen = now;
        atomic_store_explicit(&shared.line, now + 1, memory_order_release);
    }
}

static void echo_entries(struct mr_inbox *in, struct mr_outbox *out)
{
    uint64_t entry[8];

    while (task_now() == ECHO_ENTRIES) {
        if (!mr_inbox_take(in, entry))
            continue;
        mr_inbox_done(in);
        memcpy(mr_outbox_next(out), entry, sizeof(entry));
        mr_outbox_publish(out);
    }
}

static void sink(struct mr_inbox *in)
{
    uint64_t entry[8];

    while (task_now() == SINK || mr_inbox_count(in, 1) > 0) {
        uint32_t count = mr_inbox_count(in, BATCH);

        for (uint32_t i = 0; i < count; i++)
            mr_inbox_take(in, entry);
        if (count > 0)
            mr_inbox_done(in);
    }
}

static void *help(void *argument)
{
    struct mr_mailbox to_us = box_of(&there);
    struct mr_mailbox from_us = box_of(&back);
    struct mr_inbox in;
    struct mr_outbox out;

    (void)argument;
    pin(1);
    mr_inbox_init(&in, &to_us);
    mr_outbox_init(&out, &from_us);
    for (enum task task; (int)(task = task_now()) >= 0;) {
        if (task == ECHO_LINE)
            echo_line();
        else if (task == ECHO_ENTRIES)
            echo_entries(&in, &out);
        else if (task == SINK)
            sink(&in);
    }
    return NULL;
}

/* ------------------------------------------------------------------ this core */

static void set_task(int task)
{
    atomic_store_explicit(&shared.task, task, memory_order_release);
}

/* ns of half a round trip. */
static double line_slice(void)
{
    uint64_t begin = mr_bench_now_ns();
    uint32_t value = atomic_load_explicit(&shared.line, memory_order_relaxed);

    for (int i = 0; i < ROUNDS; i++) {
        value++;
        atomic_store_explicit(&shared.line, value++, memory_order_release);
        while (atomic_load_explicit(&shared.line, memory_order_acquire) != value)
            ;
    }
    return (double)(mr_bench_now_ns() - begin) / ROUNDS / 2;
}

static double entry_slice(struct mr_outbox *out, struct mr_inbox *in)
{
    uint64_t entry[8] = {0};
    uint64_t begin = mr_bench_now_ns();

    for (int i = 0; i < ROUNDS; i++) {
        entry[0]++;
        memcpy(mr_outbox_next(out), entry, sizeof(entry));
        mr_outbox_publish(out);
        while (!mr_inbox_take(in, entry))
            ;
        mr_inbox_done(in);
    }
    return (double)(mr_bench_now_ns() - begin) / ROUNDS / 2;
}

/* ns per entry. */
static double batch_slice(struct mr_outbox *out)
{
    uint64_t entry[8] = {0};
    uint64_t begin = mr_bench_now_ns();

    for (int i = 0; i < BATCHES; i++) {
        while (mr_outbox_room(out, BATCH) < BATCH)
            ;
        for (int k = 0; k < BATCH; k++)
            memcpy(mr_outbox_next(out), entry, sizeof(entry));
        mr_outbox_publish(out);
    }
    return (double)(mr_bench_now_ns() - begin) / BATCHES / BATCH;
}

int main(void)
{
    static struct mr_samples lines;
    static struct mr_samples entries;
    static struct mr_samples batches;
    struct mr_mailbox to_it = box_of(&there);
    struct mr_mailbox from_it = box_of(&back);
    struct mr_outbox out;
    struct mr_inbox in;
    pthread_t helper;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        printf("not measured: 1 core\n");
        return 0;
    }
    pin(0);
    mr_outbox_init(&out, &to_it);
    mr_inbox_init(&in, &from_it);
    if (pthread_create(&helper, NULL, help, NULL) != 0)
        return 1;
    for (int i = 0; i < SLICES; i++) {
        set_task(ECHO_LINE);
        mr_samples_add(&lines, line_slice());
        set_task(ECHO_ENTRIES);
        mr_samples_add(&entries, entry_slice(&out, &in));
        set_task(SINK);
        mr_samples_add(&batches, batch_slice(&out));
        set_task(NOTHING);
    }
    set_task(-1);
    pthread_join(helper, NULL);
    double line = mr_samples_median(&lines);
    double entry = mr_samples_median(&entries);

    printf("cache line, one way   %7.1f ns\n", line);
    printf("entry, one way        %7.1f ns   %.2f of a cache line's\n", entry, entry / line);
    printf("entries, batches of %d %6.1f ns each, %.1f million/s\n", BATCH,
           mr_samples_median(&batches), 1e3 / mr_samples_median(&batches));
    return 0;
}
