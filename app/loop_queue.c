/* app/loop_queue.c - calls of other threads; see loop_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "base/compiler.h"

enum {
    SPARE_MAX = 256,
};

struct post {
    struct mr_loop_entry entry; /* first */
    struct mr_loop *loop;
    void (*function)(void *argument);
    void *argument;
    struct post *next_spare;
};

void mr_loop_queue_new(struct mr_loop *loop)
{
    pthread_mutex_init(&loop->queue.mutex, NULL);
}

/* ------------------------------------------------------------------ waking */

void mr_loop_wake(void *context)
{
    struct mr_loop *loop = context;
    static const uint64_t one = 1;

    /* acq_rel, here and in take_wake: whoever comes second sees what the first has queued */
    if (atomic_exchange_explicit(&loop->is_woken, true, memory_order_acq_rel))
        return;
    ssize_t size = write(loop->wake_fd, &one, sizeof(one));
    (void)size; /* it cannot be full */
}

void mr_loop_stir(void *context)
{
    struct mr_loop *loop = context;

    if (mr_loop_is_inside(loop))
        loop->run.is_stirred = true;
    else
        mr_loop_wake(loop);
}

/* Before the queue is looked at: who queues from now on wakes again. */
static void take_wake(struct mr_loop *loop)
{
    uint64_t count;

    /* relaxed: a look; if it is old, the descriptor is readable */
    if (!atomic_load_explicit(&loop->is_woken, memory_order_relaxed))
        return;
    ssize_t size = read(loop->wake_fd, &count, sizeof(count));
    (void)size; /* nothing yet: whoever set the word writes behind us, for one round in vain */
    atomic_exchange_explicit(&loop->is_woken, false, memory_order_acq_rel);
}

/* ------------------------------------------------------------------ posting */

void mr_loop_post_entry(struct mr_loop *loop, struct mr_loop_entry *entry)
{
    struct queue *q = &loop->queue;

    entry->next = NULL;
    pthread_mutex_lock(&q->mutex);
    if (q->last == NULL)
        q->first = entry;
    else
        q->last->next = entry;
    q->last = entry;
    pthread_mutex_unlock(&q->mutex);
    mr_loop_wake(loop);
}

static void call_post(struct mr_loop_entry *entry)
{
    struct post *post = (struct post *)entry;
    struct queue *q = &post->loop->queue;
    void (*function)(void *argument) = post->function;
    void *argument = post->argument;

    pthread_mutex_lock(&q->mutex);
    bool is_kept = q->spare_count < SPARE_MAX;
    if (is_kept) {
        post->next_spare = q->spare;
        q->spare = post;
        q->spare_count++;
    }
    pthread_mutex_unlock(&q->mutex);
    if (!is_kept)
        free(post);
    function(argument);
}

int mr_loop_post(struct mr_loop *loop, void (*function)(void *argument), void *argument)
{
    struct queue *q = &loop->queue;

    pthread_mutex_lock(&q->mutex);
    struct post *post = q->spare;
    if (post != NULL) {
        q->spare = post->next_spare;
        q->spare_count--;
    }
    pthread_mutex_unlock(&q->mutex);
    if (post == NULL)
        post = malloc(sizeof(*post));
    if (post == NULL)
        return -ENOMEM;
    *post = (struct post){
        .entry = {.handler = call_post}, .loop = loop, .function = function, .argument = argument};
    mr_loop_post_entry(loop, &post->entry);
    return 0;
}

/* ------------------------------------------------------------------ running */

static struct mr_loop_entry *take_first(struct queue *q)
{
    pthread_mutex_lock(&q->mutex);
    struct mr_loop_entry *entry = q->first;
    if (entry != NULL)
        q->first = entry->next;
    if (q->first == NULL)
        q->last = NULL;
    pthread_mutex_unlock(&q->mutex);
    return entry;
}

bool mr_loop_has_queue(struct mr_loop *loop)
{
    pthread_mutex_lock(&loop->queue.mutex);
    bool has_entry = loop->queue.first != NULL;
    pthread_mutex_unlock(&loop->queue.mutex);
    return has_entry;
}

/* What is named in reports: for posts the function that was given. */
static const void *function_of(const struct mr_loop_entry *entry)
{
    if (entry->handler == call_post)
        return (const void *)(uintptr_t)((const struct post *)(const void *)entry)->function;
    return (const void *)(uintptr_t)entry->handler;
}

void mr_loop_run_queue(struct mr_loop *loop)
{
    uint32_t count = 0;

    take_wake(loop);
    for (; count < loop->config.batch; count++) {
        struct mr_loop_entry *entry = take_first(&loop->queue);
        if (entry == NULL)
            return;
        const void *function = function_of(entry);
        entry->handler(entry);
        mr_loop_called(loop, "post", function);
    }
    loop->run.has_more |= mr_loop_has_queue(loop);
}

/* Entries that are left: posts and work are ours, others the application's. */
void mr_loop_queue_free(struct mr_loop *loop)
{
    struct queue *q = &loop->queue;

    for (struct mr_loop_entry *entry; (entry = take_first(q)) != NULL;) {
        if (entry->handler == call_post)
            free(entry);
        else
            (void)mr_loop_drop_work(entry);
    }
    while (q->spare != NULL) {
        struct post *post = q->spare;
        q->spare = post->next_spare;
        free(post);
    }
    pthread_mutex_destroy(&q->mutex);
}
