/* tests/support/fake_host.c - see fake_host.h. */
#include "tests/support/fake_host.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct fake_ring {
    struct mr_app_ring_config config;
    _Atomic int state; /* enum mr_app_ring_state */
    struct mr_inbox submissions;
    struct mr_outbox completions;
    uint64_t answered;
    uint32_t drain_left;
    atomic_bool is_begun;
};

struct mr_app_host {
    struct fake_host_knobs knobs;
    struct mr_handoff policy;
    struct mr_app_host_stats stats;
    struct fake_ring rings[MR_APP_RINGS_MAX];
};

struct mr_app_host *mr_app_host_new(const struct mr_app_host_config *config,
                                    const uint8_t hash_key[16])
{
    (void)config;
    (void)hash_key;
    return calloc(1, sizeof(struct mr_app_host));
}

void mr_app_host_free(struct mr_app_host *host)
{
    free(host);
}

struct fake_host_knobs *fake_host_knobs(struct mr_app_host *host)
{
    return &host->knobs;
}

const struct mr_handoff *fake_host_policy(const struct mr_app_host *host)
{
    return &host->policy;
}

const struct mr_app_ring_config *fake_host_ring(const struct mr_app_host *host, uint32_t ring)
{
    return &host->rings[ring].config;
}

static void set_state(struct fake_ring *ring, enum mr_app_ring_state state)
{
    atomic_store_explicit(&ring->state, (int)state, memory_order_release);
}

enum mr_app_ring_state mr_app_host_ring_state(const struct mr_app_host *host, uint32_t ring)
{
    return (enum mr_app_ring_state)atomic_load_explicit(&host->rings[ring].state,
                                                        memory_order_acquire);
}

uint32_t fake_host_ring_count(const struct mr_app_host *host)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++)
        count += mr_app_host_ring_state(host, i) != MR_APP_RING_FREE;
    return count;
}

int mr_app_host_attach(struct mr_app_host *host, const struct mr_app_ring_config *config)
{
    uint32_t index = 0;

    if (host->knobs.attach_error != 0)
        return host->knobs.attach_error;
    while (index < MR_APP_RINGS_MAX && mr_app_host_ring_state(host, index) != MR_APP_RING_FREE)
        index++;
    if (index == MR_APP_RINGS_MAX)
        return -ENOSPC;
    struct fake_ring *ring = &host->rings[index];
    struct mr_mailbox submissions = mr_ring_submissions(&config->region);
    struct mr_mailbox completions = mr_ring_completions(&config->region);
    ring->config = *config;
    ring->answered = 0;
    ring->is_begun = !config->is_held;
    ring->drain_left = host->knobs.drain_for;
    mr_inbox_init(&ring->submissions, &submissions);
    mr_outbox_init(&ring->completions, &completions);
    set_state(ring, MR_APP_RING_ATTACHING);
    return (int)index;
}

void mr_app_host_begin(struct mr_app_host *host, uint32_t ring)
{
    MR_ASSERT(host->rings[ring].config.is_held);
    host->rings[ring].is_begun = true;
}

void mr_app_host_detach(struct mr_app_host *host, uint32_t ring)
{
    enum mr_app_ring_state state = mr_app_host_ring_state(host, ring);

    MR_ASSERT(state != MR_APP_RING_FREE);
    if (state == MR_APP_RING_ATTACHING || state == MR_APP_RING_ATTACHED)
        set_state(&host->rings[ring], MR_APP_RING_LETTING_GO);
}

void mr_app_host_forget(struct mr_app_host *host, uint32_t ring)
{
    MR_ASSERT(mr_app_host_ring_state(host, ring) == MR_APP_RING_DRAINED);
    set_state(&host->rings[ring], MR_APP_RING_FREE);
}

int mr_app_host_set_policy(struct mr_app_host *host, const struct mr_handoff *policy)
{
    if (host->knobs.is_busy)
        return -EBUSY;
    host->policy = *policy;
    return 0;
}

void mr_app_host_ring_stats(const struct mr_app_host *host, uint32_t ring,
                            struct mr_app_ring_stats *stats)
{
    *stats = (struct mr_app_ring_stats){.submissions = host->rings[ring].answered, .conns = 7};
}

const struct mr_app_host_stats *mr_app_host_stats(const struct mr_app_host *host)
{
    return &host->stats;
}

void fake_host_break(struct mr_app_host *host, uint32_t ring)
{
    set_state(&host->rings[ring], MR_APP_RING_LETTING_GO);
}

void fake_host_wake(struct mr_app_host *host, uint32_t ring)
{
    host->rings[ring].config.wake(host->rings[ring].config.argument);
}

/* Each NOP is done at once. */
static void answer(struct mr_app_host *host, struct fake_ring *ring)
{
    struct mr_sqe sqe;
    struct mr_cqe *cqe;

    while (mr_outbox_room(&ring->completions, 1) > 0 && mr_inbox_take(&ring->submissions, &sqe)) {
        cqe = mr_outbox_next(&ring->completions);
        *cqe = (struct mr_cqe){.type = MR_CQE_DONE, .op = sqe.op, .user_data = sqe.user_data};
        ring->answered++;
        atomic_fetch_add_explicit((_Atomic uint64_t *)&host->stats.submissions, 1,
                                  memory_order_relaxed);
    }
    mr_inbox_done(&ring->submissions);
    if (mr_outbox_publish_waking(&ring->completions, ring->config.region.sleeps))
        ring->config.wake(ring->config.argument);
}

void fake_host_poll(struct mr_app_host *host)
{
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX && !host->knobs.is_hung; i++) {
        struct fake_ring *ring = &host->rings[i];

        switch (mr_app_host_ring_state(host, i)) {
        case MR_APP_RING_ATTACHING: {
            int expected = MR_APP_RING_ATTACHING;

            if (!ring->is_begun)
                break;
            atomic_compare_exchange_strong(&ring->state, &expected, MR_APP_RING_ATTACHED);
            break;
        }
        case MR_APP_RING_ATTACHED:
            answer(host, ring);
            break;
        case MR_APP_RING_LETTING_GO:
            if (ring->drain_left > 0) {
                ring->drain_left--;
                break;
            }
            atomic_store_explicit(ring->config.region.is_gone, 1, memory_order_release);
            ring->config.wake(ring->config.argument);
            set_state(ring, MR_APP_RING_DRAINED);
            break;
        case MR_APP_RING_DRAINED:
        case MR_APP_RING_FREE:
            break;
        }
    }
}
