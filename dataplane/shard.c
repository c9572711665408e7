/*
 * dataplane/shard.c - a shard's life: memory, start, the loop around its iterations, idling,
 * stopping.
 */
#include "dataplane/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <rte_pause.h>

#include "dataplane/shard_internal.h"

#define IDLE_SPIN_NS  (100 * MR_US) /* without work before the first sleep */
#define SLEEP_MIN_NS  (20 * MR_US)
#define SLEEP_MAX_NS  MR_MS
#define STALL_DEFAULT (20 * MR_US)
#define LARGE_BYTES   ((size_t)256 << 20)

const char *mr_stage_name(enum mr_stage stage)
{
    static const char *const names[MR_STAGES] = {"rx",  "lookup", "open", "frames", "app",
                                                 "tls", "build",  "seal", "tx",     "other"};

    return names[stage];
}

/* ------------------------------------------------------------------ memory */

static size_t align_up(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

static void init_timers(struct mr_shard *s)
{
    mr_wheel_init(&s->timers, s->timer_nodes, MR_TIMERS_MAX, mr_clock_now(&s->clock));
    for (uint32_t i = 0; i < MR_TIMERS_MAX; i++)
        s->timer[i].next_free = i + 1 < MR_TIMERS_MAX ? i + 1 : MR_NONE;
}

/* The endpoint and the network layer, in the memory behind the shard. */
static bool init_parts(struct mr_shard *s, uint8_t *mem, struct mr_fault *fault)
{
    struct mr_shard_config *config = &s->config;

    if (config->endpoint.aead == NULL) {
        config->endpoint.aead = mr_aead_open(config->crypto);
        s->owns_aead = true;
    }
    if (config->endpoint.aead == NULL) {
        mr_fault_set(
            fault, ENOTSUP,
            "packet protection: this back end is not available here; choose another with --crypto");
        return false;
    }
    config->endpoint.cid.shard = (uint16_t)config->index;
    config->endpoint.remembered = config->application->remembered;
    config->endpoint.spaces_departures = config->launch_clock != NULL;
    s->chains.is_trial = config->port->traits.segments_max > 1;
    s->launch = (struct mr_launch){.clock = config->launch_clock,
                                   .flag = config->port->traits.launch_flag,
                                   .offset = config->port->traits.launch_offset};
    s->ep = mr_endpoint_init(mem, &config->limits, &config->endpoint, mr_clock_now(&s->clock));
    if (s->ep == NULL) {
        mr_fault_set(fault, ENOMEM, "endpoint: OpenSSL is out of memory");
        return false;
    }
    config->net.port = &config->port->traits;
    config->net.pool = config->send_pool;
    s->net = mr_net_init(mem + align_up(mr_endpoint_footprint(&config->limits)), &config->net,
                         mr_clock_now(&s->clock));
    mr_net_open_port(s->net, config->local_port);
    for (uint32_t i = 0; i < config->client_ports.count; i++)
        mr_net_open_port(s->net, (uint16_t)(config->client_ports.first + i));
    for (uint32_t i = 0; i < config->more_port_count; i++)
        mr_net_open_port(s->net, config->more_ports[i]);
    return true;
}

/* Memory for so many connections that the processor cannot keep the places of ordinary pages: large
 * pages, where the kernel has some. */
static void prefer_large_pages(void *mem, size_t size)
{
    if (size >= LARGE_BYTES)
        (void)madvise(mem, size, MADV_HUGEPAGE); /* refused: a kernel without them */
}

struct mr_shard *mr_shard_make(const struct mr_shard_config *config, struct mr_fault *fault)
{
    size_t size = align_up(sizeof(struct mr_shard)) +
                  align_up(mr_endpoint_footprint(&config->limits)) +
                  align_up(mr_net_footprint(&config->net));
    struct mr_shard *s = aligned_alloc(4096, size);

    if (s == NULL) {
        mr_fault_set(fault, ENOMEM,
                     "shard: %zu MiB of memory are not to be had; lower the number of connections",
                     size >> 20);
        return NULL;
    }
    prefer_large_pages(s, size);
    memset(s, 0, sizeof(*s));
    s->config = *config;
    if (s->config.stall_ns == 0)
        s->config.stall_ns = STALL_DEFAULT;
    s->memory = s;
    s->footprint = size;
    s->transport.ops = &mr_inline_ops;
    s->moves.moves = config->moves;
    s->clock = mr_clock_init();
    init_timers(s);
    if (!init_parts(s, (uint8_t *)s + align_up(sizeof(*s)), fault)) {
        mr_shard_free(s);
        return NULL;
    }
    return s;
}

static void free_mbufs(struct mr_shard *s)
{
    struct mr_buf *buf = mr_endpoint_take_released(s->ep);

    while (buf != NULL) {
        struct mr_buf *next = buf->next;

        rte_pktmbuf_free(mr_mbuf_of_buf(buf));
        buf = next;
    }
    for (uint32_t i = 0; i < s->waiting_count; i++)
        rte_pktmbuf_free(s->waiting[s->waiting_first + i]);
    for (uint32_t i = 0; i < s->spare_count; i++)
        rte_pktmbuf_free(s->spare[i]);
    s->waiting_count = s->spare_count = 0;
}

void mr_shard_free(struct mr_shard *s)
{
    if (s == NULL)
        return;
    if (s->ep != NULL) {
        mr_endpoint_fini(s->ep);
        free_mbufs(s);
    }
    if (s->net != NULL)
        mr_net_fini(s->net);
    if (s->owns_aead)
        mr_aead_close(s->config.endpoint.aead);
    free(s->memory);
}

/* ------------------------------------------------------------------ the loop */

static void sleep_ns(uint64_t ns)
{
    struct timespec span = {.tv_sec = 0, .tv_nsec = (long)ns};

    nanosleep(&span, NULL);
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Nothing to do: in adaptive mode sleep ever longer, but not beyond the next deadline.  A port that
 * takes no frames (a memif without its peer) does not keep us awake. */
static void idle(struct mr_shard *s)
{
    if (s->config.polling == MR_POLLING_BUSY) {
        rte_pause();
        return;
    }
    uint64_t idle_ns = s->now - s->idle_since_ns;
    if (idle_ns < IDLE_SPIN_NS) {
        rte_pause();
        return;
    }
    uint64_t span = s->work_out + s->tls_out > 0
                        ? SLEEP_MIN_NS
                        : MR_MIN(MR_MAX(idle_ns / 4, SLEEP_MIN_NS), SLEEP_MAX_NS);
    uint64_t deadline = earliest(mr_endpoint_deadline(s->ep),
                                 earliest(mr_net_deadline(s->net), mr_wheel_next(&s->timers)));
    if (deadline <= s->now)
        return;
    mr_shard_count(&s->stats.sleeps, 1);
    sleep_ns(MR_MIN(span, deadline - s->now));
}

static void publish_state(struct mr_shard *s)
{
    atomic_store_explicit(&s->conn_count, mr_endpoint_conn_count(s->ep), memory_order_relaxed);
}

static void iterate(struct mr_shard *s)
{
    uint32_t work = mr_shard_poll(s);

    publish_state(s); /* a connection may have gone although nothing was done */
    if (work > 0)
        s->idle_since_ns = s->now;
    else
        idle(s);
}

static void tell_drain(struct mr_shard *s)
{
    struct mr_event event = {.kinds = MR_EVENT_GO_AWAY, .reason = ""};

    s->config.application->on_events(s->config.application->context, &event, 1);
}

/* Change keys of address tokens as ordered, if anything is. */
static void follow_token_order(struct mr_shard *s)
{
    /* acquire: pairs with the release in mr_shard_give_token_order() */
    struct mr_token_order *order = atomic_load_explicit(&s->token_order, memory_order_acquire);

    if (order == NULL)
        return;
    if (order->swaps)
        mr_endpoint_swap_token_key(s->ep, order->number, &order->key);
    if (order->writes)
        mr_endpoint_write_tokens_with(s->ep, order->number);
    /* release: pairs with the acquire in mr_shard_token_order_is_done() */
    atomic_store_explicit(&s->token_order, NULL, memory_order_release);
}

/* Close what is open and go on until it is gone, work is back, or patience ends. */
static void wind_down(struct mr_shard *s, uint64_t patience_ns)
{
    uint64_t until = mr_clock_now(&s->clock) + patience_ns;

    mr_endpoint_close_all(s->ep, s->config.close_code, mr_clock_now(&s->clock));
    while (s->work_out + s->tls_out > 0 ||
           (mr_endpoint_conn_count(s->ep) > 0 && mr_clock_now(&s->clock) < until))
        iterate(s);
    for (int i = 0; i < 16; i++) /* the last packets */
        mr_shard_poll(s);
    while (s->work_out + s->tls_out > 0) /* what those have begun */
        iterate(s);
}

void mr_shard_begin(struct mr_shard *s)
{
    s->now = mr_clock_now(&s->clock);
    s->idle_since_ns = s->now;
    s->config.application->on_start(s->config.application->context, &s->transport);
}

static uint64_t stop_patience(const struct mr_shard *s)
{
    return atomic_load_explicit(&s->stop_patience_ns, memory_order_relaxed);
}

bool mr_shard_turn(struct mr_shard *s)
{
    if (stop_patience(s) != 0)
        return false;
    iterate(s);
    if (atomic_load_explicit(&s->wants_drain, memory_order_relaxed)) {
        atomic_store_explicit(&s->wants_drain, false, memory_order_relaxed);
        tell_drain(s);
    }
    follow_token_order(s);
    mr_shard_follow_order(s);
    return true;
}

void mr_shard_end(struct mr_shard *s)
{
    wind_down(s, stop_patience(s));
    s->config.application->on_stop(s->config.application->context);
    publish_state(s);
}

int mr_shard_main(void *argument)
{
    struct mr_shard *s = argument;

    mr_shard_begin(s);
    while (mr_shard_turn(s)) {
    }
    mr_shard_end(s);
    return 0;
}

/* ------------------------------------------------------------------ from other threads */

void mr_shard_stop(struct mr_shard *s, uint64_t patience_ns)
{
    atomic_store_explicit(&s->stop_patience_ns, MR_MAX(patience_ns, (uint64_t)1),
                          memory_order_relaxed);
}

void mr_shard_set_tracer(struct mr_shard *s, struct mr_tracer *tracer,
                         const struct mr_trace_rule *rule)
{
    mr_endpoint_set_tracer(s->ep, tracer, mr_clock_now(&s->clock));
    mr_endpoint_trace_new(s->ep, rule);
}

void mr_shard_drain(struct mr_shard *s)
{
    atomic_store_explicit(&s->wants_drain, true, memory_order_relaxed);
}

void mr_shard_give_token_order(struct mr_shard *s, struct mr_token_order *order)
{
    MR_ASSERT(mr_shard_token_order_is_done(s));
    /* release: pairs with the acquire in follow_token_order() */
    atomic_store_explicit(&s->token_order, order, memory_order_release);
}

bool mr_shard_token_order_is_done(const struct mr_shard *s)
{
    /* acquire: pairs with the release in follow_token_order() */
    return atomic_load_explicit(&s->token_order, memory_order_acquire) == NULL;
}

void mr_shard_read_stats(const struct mr_shard *s, struct mr_shard_stats *out)
{
    const uint64_t *from = (const uint64_t *)(const void *)&s->stats;
    uint64_t *to = (uint64_t *)(void *)out;

    for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++)
        to[i] = atomic_load_explicit((const _Atomic uint64_t *)(const void *)&from[i],
                                     memory_order_relaxed);
}

const struct mr_counters *mr_shard_counters(const struct mr_shard *s)
{
    return mr_endpoint_counters(s->ep);
}

const struct mr_net_counters *mr_shard_net_counters(const struct mr_shard *s)
{
    return mr_net_counters(s->net);
}

uint32_t mr_shard_conn_count(const struct mr_shard *s)
{
    return atomic_load_explicit(&s->conn_count, memory_order_relaxed);
}

struct mr_transport *mr_shard_transport(struct mr_shard *s)
{
    return &s->transport;
}

size_t mr_shard_footprint(const struct mr_shard *s)
{
    return s->footprint;
}
