/* app/loop_timer.c - timers on base/wheel.h; see loop_internal.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>

#include "app/loop_internal.h"
#include "base/compiler.h"

enum {
    EXPIRE_MAX = 64,
};

/* Nodes and timers are made when the first one is set: a loop without timers pays for none. */
static bool begin(struct mr_loop *loop)
{
    struct timers *t = &loop->timers;
    uint32_t count = loop->config.timers_max;

    t->nodes = malloc(sizeof(*t->nodes) * (size_t)count);
    t->pool_mem = malloc(mr_pool_footprint(count, sizeof(struct timer), 8));
    if (t->nodes == NULL || t->pool_mem == NULL) {
        mr_loop_timers_free(loop);
        return false;
    }
    mr_wheel_init(&t->wheel, t->nodes, count, mr_loop_clock());
    mr_pool_init(&t->pool, t->pool_mem, count, sizeof(struct timer), 8);
    return true;
}

void mr_loop_timers_free(struct mr_loop *loop)
{
    free(loop->timers.nodes);
    free(loop->timers.pool_mem);
    loop->timers = (struct timers){0};
}

/* Generations outlive a timer's use: they lie behind the word that the pool writes. */
static mr_timer id_of(uint32_t index, const struct timer *timer)
{
    return (uint64_t)timer->generation << 32 | (index + 1);
}

mr_timer mr_loop_timer(struct mr_loop *loop, uint64_t delay_ns, void (*handler)(void *context),
                       void *context)
{
    struct timers *t = &loop->timers;

    if (t->nodes == NULL && !begin(loop))
        return 0;
    uint32_t fresh = t->pool.fresh;
    uint32_t index = mr_pool_get(&t->pool);
    if (index == MR_NONE)
        return 0;
    struct timer *timer = mr_pool_at(&t->pool, index);
    uint32_t generation = index == fresh ? 0 : timer->generation;
    uint64_t now = mr_loop_clock(); /* not the round's: a delay counts from this call */
    *timer = (struct timer){
        .handler = handler, .context = context, .generation = generation + 1, .is_set = true};
    if (timer->generation == 0)
        timer->generation = 1;
    mr_wheel_set(&t->wheel, index,
                 delay_ns > MR_WHEEL_DEADLINE_MAX - now ? MR_WHEEL_DEADLINE_MAX : now + delay_ns);
    if (!mr_loop_is_inside(loop))
        mr_loop_set_timer_fd(loop);
    return id_of(index, timer);
}

/* The timer of this name; NULL: called or cancelled already. */
static struct timer *find(const struct timers *t, mr_timer id)
{
    uint32_t index = (uint32_t)id - 1;

    if (t->nodes == NULL || id == 0 || index >= t->pool.fresh)
        return NULL;
    struct timer *timer = mr_pool_at(&t->pool, index);
    return timer->is_set && timer->generation == (uint32_t)(id >> 32) ? timer : NULL;
}

static void release(struct timers *t, struct timer *timer)
{
    uint32_t index = mr_pool_index(&t->pool, timer);

    timer->is_set = false;
    mr_wheel_clear(&t->wheel, index);
    mr_pool_put(&t->pool, index);
}

bool mr_loop_cancel(struct mr_loop *loop, mr_timer timer)
{
    struct timer *found = find(&loop->timers, timer);

    if (found == NULL)
        return false;
    release(&loop->timers, found);
    return true;
}

void mr_loop_run_timers(struct mr_loop *loop)
{
    struct timers *t = &loop->timers;
    uint32_t due[EXPIRE_MAX];
    mr_timer ids[EXPIRE_MAX];

    if (t->nodes == NULL || mr_wheel_next(&t->wheel) > loop->run.now)
        return;
    uint32_t count = mr_wheel_expire(
        &t->wheel, due, MR_MIN(loop->config.batch, (uint32_t)EXPIRE_MAX), loop->run.now);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = id_of(due[i], mr_pool_at(&t->pool, due[i]));
    for (uint32_t i = 0; i < count; i++) {
        struct timer *timer = find(t, ids[i]); /* a handler may have cancelled it */
        if (timer == NULL)
            continue;
        struct timer copy = *timer;
        release(t, timer);
        copy.handler(copy.context);
        mr_loop_called(loop, "timer", (const void *)(uintptr_t)copy.handler);
    }
    loop->run.has_more |= mr_wheel_next(&t->wheel) <= loop->run.now;
}

uint64_t mr_loop_deadline(const struct mr_loop *loop)
{
    uint64_t deadline =
        loop->timers.nodes == NULL ? UINT64_MAX : mr_wheel_next(&loop->timers.wheel);

    if (loop->has_source)
        deadline = MR_MIN(deadline, loop->source.deadline(loop->source.context));
    return deadline;
}

void mr_loop_set_timer_fd(struct mr_loop *loop)
{
    if (!loop->is_fd_used)
        return;
    uint64_t at = mr_loop_deadline(loop);
    if (at == loop->timer_fd_at)
        return;
    struct itimerspec when = {0};
    if (at != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(at / 1000000000);
        when.it_value.tv_nsec = (long)(at % 1000000000);
    }
    if (at == 0)
        when.it_value.tv_nsec = 1; /* all zero would clear it */
    (void)timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    loop->timer_fd_at = at;
}
