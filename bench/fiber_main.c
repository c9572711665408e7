/*
 * bench/fiber_main.c - what fibers cost, next to threads: `fiber`.
 *
 *     call and return of the two stacks    the bare switch, there and back
 *     a yield                              two switches and the ready list, two fibers in turn
 *     spawn, run, join                     with a warm stack
 *     the same of a thread                 pthread_create, pthread_join
 *     a wake-up by switchback              from one fiber to another
 *     the same between threads             two pipes, as blocking servers have it
 *
 * Medians over short slices, and ratios.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/fiber_context.h"
#include "bench/samples.h"
#include "millrace/fiber.h"

enum {
    SLICES = 200,
    SWITCHES = 2000, /* per slice */
    SPAWNS = 500,
    THREADS = 20,
    STACK = 64 * 1024
};

static double since(uint64_t begin, int count)
{
    return (double)(mr_bench_now_ns() - begin) / count;
}

/* ------------------------------------------------------------------ the bare switch */

static struct mr_context here;
static struct mr_context there;

static void go_back(void *argument)
{
    (void)argument;
    for (;;)
        mr_context_switch(&there, &here);
}

static double switch_slice(void)
{
    uint64_t begin = mr_bench_now_ns();

    for (int i = 0; i < SWITCHES; i++)
        mr_context_switch(&here, &there);
    return since(begin, 2 * SWITCHES);
}

/* ------------------------------------------------------------------ fibers */

static int64_t yield_often(void *argument)
{
    (void)argument;
    for (int i = 0; i < SWITCHES; i++)
        mr_fiber_yield();
    return 0;
}

static int64_t end_at_once(void *argument)
{
    (void)argument;
    return 0;
}

static double yield_slice(void)
{
    struct mr_fiber *other = NULL;

    mr_fiber_spawn(yield_often, NULL, "other", NULL, &other);
    uint64_t begin = mr_bench_now_ns();
    yield_often(NULL);
    double result = since(begin, 2 * SWITCHES);
    mr_fiber_join(other, MR_FOREVER, NULL);
    return result;
}

static double spawn_slice(void)
{
    uint64_t begin = mr_bench_now_ns();

    for (int i = 0; i < SPAWNS; i++) {
        struct mr_fiber *fiber = NULL;

        mr_fiber_spawn(end_at_once, NULL, "short", NULL, &fiber);
        mr_fiber_join(fiber, MR_FOREVER, NULL);
    }
    return since(begin, SPAWNS);
}

static struct mr_switchback backs[2];

/* Wake the other end, and wait to be woken. */
static int64_t bounce(void *argument)
{
    int own = *(const int *)argument;

    for (int i = 0; i < SWITCHES; i++) {
        struct mr_switchback other = backs[1 - own];

        backs[own] = mr_fiber_switchback();
        if (other.fn != NULL)
            other.fn(other.arg, i);
        mr_hub_switch(MR_FOREVER, NULL);
    }
    backs[1 - own].fn(backs[1 - own].arg, 0);
    return 0;
}

static double wake_slice(void)
{
    static int numbers[2] = {0, 1};
    struct mr_fiber *other = NULL;

    backs[0] = backs[1] = (struct mr_switchback){NULL, NULL};
    mr_fiber_spawn(bounce, &numbers[1], "other", NULL, &other);
    uint64_t begin = mr_bench_now_ns();
    bounce(&numbers[0]);
    double result = since(begin, 2 * SWITCHES);
    mr_fiber_join(other, MR_FOREVER, NULL);
    return result;
}

/* ------------------------------------------------------------------ threads */

static void *end_thread(void *argument)
{
    return argument;
}

static double thread_slice(void)
{
    uint64_t begin = mr_bench_now_ns();

    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, end_thread, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return since(begin, THREADS);
}

struct pipes {
    int to[2];
    int from[2];
};

static void *bounce_bytes(void *argument)
{
    const struct pipes *pipes = argument;
    char byte;

    while (read(pipes->to[0], &byte, 1) == 1 && write(pipes->from[1], &byte, 1) == 1)
        ;
    return NULL;
}

static double pipe_slice(const struct pipes *pipes)
{
    uint64_t begin = mr_bench_now_ns();
    char byte = 0;

    for (int i = 0; i < THREADS; i++)
        if (write(pipes->to[1], &byte, 1) != 1 || read(pipes->from[0], &byte, 1) != 1)
            return -1;
    return since(begin, 2 * THREADS);
}

/* ------------------------------------------------------------------ all of it */

static struct {
    struct mr_samples bare;
    struct mr_samples yield;
    struct mr_samples spawn;
    struct mr_samples wake;
    struct mr_samples thread;
    struct mr_samples pipe;
} costs;

static int64_t measure(void *argument)
{
    const struct pipes *pipes = argument;

    for (int i = 0; i < SLICES; i++) {
        mr_samples_add(&costs.bare, switch_slice());
        mr_samples_add(&costs.yield, yield_slice());
        mr_samples_add(&costs.spawn, spawn_slice());
        mr_samples_add(&costs.wake, wake_slice());
        mr_samples_add(&costs.thread, thread_slice());
        mr_samples_add(&costs.pipe, pipe_slice(pipes));
    }
    return 0;
}

static void print(void)
{
    double spawn = mr_samples_median(&costs.spawn);
    double wake = mr_samples_median(&costs.wake);
    double thread = mr_samples_median(&costs.thread);
    double bounced = mr_samples_median(&costs.pipe);

    printf("bare switch          %8.1f ns\n", mr_samples_median(&costs.bare));
    printf("yield                %8.1f ns\n", mr_samples_median(&costs.yield));
    printf("fiber: spawn, join   %8.1f ns\n", spawn);
    printf("thread: create, join %8.1f ns   %.0f times a fiber's\n", thread, thread / spawn);
    printf("fiber: wake-up       %8.1f ns\n", wake);
    printf("thread: wake-up      %8.1f ns   %.0f times a fiber's\n", bounced, bounced / wake);
}

int main(void)
{
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    void *stack = aligned_alloc(4096, STACK);
    struct pipes pipes;
    pthread_t thread;

    if (hub == NULL || stack == NULL || pipe(pipes.to) != 0 || pipe(pipes.from) != 0 ||
        pthread_create(&thread, NULL, bounce_bytes, &pipes) != 0)
        return 1;
    mr_context_init_thread(&here);
    mr_context_init(&there, stack, STACK, go_back, NULL);
    mr_fiber_spawn(measure, &pipes, "measure", &detached, NULL);
    mr_hub_run(hub);
    mr_hub_close(hub, NULL);
    close(pipes.to[1]);
    pthread_join(thread, NULL);
    print();
    free(stack);
    return 0;
}
