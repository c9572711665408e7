#include "bench/floor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "bench/floor_internal.h"
#include "control/eal.h"

#define HUGEPAGE (UINT64_C(2) << 20) /* bytes */

/* All that is made once and used by every run. */
struct floor {
    const struct mr_floor_options *options;
    struct floor_wire *wire;
    struct floor_sender *sender;
    struct floor_receiver *receiver;
    uint8_t *data;
    size_t data_mapped; /* bytes */
    bool data_has_hugepages;
};

/* What one run says. */
struct run {
    double goodput_gbps;
    double sender_ns;
    double receiver_ns;
    double stage_ns[MR_FLOOR_STAGES];
    uint64_t packets;
    uint64_t errors;
};

const char *mr_floor_stage_name(enum mr_floor_stage stage)
{
    static const char *const names[MR_FLOOR_STAGES] = {
        [MR_FLOOR_TAKE] = "take",       [MR_FLOOR_BUILD] = "build", [MR_FLOOR_SEAL] = "seal",
        [MR_FLOOR_ENQUEUE] = "enqueue", [MR_FLOOR_ACKED] = "acked", [MR_FLOOR_DEQUEUE] = "dequeue",
        [MR_FLOOR_UNMASK] = "unmask",   [MR_FLOOR_OPEN] = "open",   [MR_FLOOR_CHECK] = "check",
        [MR_FLOOR_RETURN] = "return",   [MR_FLOOR_ACK] = "ack",
    };

    return names[stage];
}

struct mr_floor_options mr_floor_defaults(void)
{
    return (struct mr_floor_options){.sender_worker = 0,
                                     .receiver_worker = 1,
                                     .backend = MR_AEAD_AUTO,
                                     .cipher = MR_CIPHER_AES_128_GCM,
                                     .packet_bytes = 1452,
                                     .buffers_count = 1791,
                                     .run_count = 5,
                                     .run_ms = 1000,
                                     .warm_ms = 200,
                                     .data_bytes = (size_t)256 << 20};
}

static bool are_valid(const struct mr_floor_options *options)
{
    return options->sender_worker != options->receiver_worker &&
           options->packet_bytes >= MR_FLOOR_PACKET_MIN &&
           options->packet_bytes <= MR_FLOOR_PACKET_MAX && options->buffers_count >= FLOOR_BURST &&
           options->buffers_count <= MR_FLOOR_BUFFERS_MAX && options->run_count >= 1 &&
           options->run_count <= MR_FLOOR_RUNS_MAX && options->run_ms >= 1 &&
           options->data_bytes >= options->packet_bytes;
}

/* ------------------------------------------------------------------ memory */

/* Map the working set, on 2 MiB pages where there are some, and touch all of it. */
static int map_data(struct floor *floor)
{
    size_t size = (floor->options->data_bytes + HUGEPAGE - 1) & ~(HUGEPAGE - 1);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    void *data =
        mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB | MAP_POPULATE, -1, 0);

    floor->data_has_hugepages = data != MAP_FAILED;
    if (data == MAP_FAILED)
        data = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (data == MAP_FAILED)
        return -ENOMEM;
    if (!floor->data_has_hugepages)
        madvise(data, size, MADV_HUGEPAGE); /* a wish */
    floor->data = data;
    floor->data_mapped = size;
    memset(data, 0x5a, size);
    return 0;
}

static struct rte_mempool *create_pool(const char *name, uint32_t count)
{
    return rte_pktmbuf_pool_create_by_ops(name, count, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                          SOCKET_ID_ANY, "ring_sp_sc");
}

static struct rte_ring *create_ring(const char *name)
{
    return rte_ring_create(name, FLOOR_RING_COUNT, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static int create_wire(struct floor *floor)
{
    struct floor_wire *wire = floor->wire;

    wire->data = create_ring("floor-data");
    wire->acks = create_ring("floor-acks");
    wire->data_pool = create_pool("floor-data", floor->options->buffers_count);
    wire->ack_pool = create_pool("floor-acks", FLOOR_ACK_BUFFERS);
    wire->data_size = floor->options->packet_bytes - FLOOR_SEALED(FLOOR_STREAM_SIZE);
    return wire->data != NULL && wire->acks != NULL && wire->data_pool != NULL &&
                   wire->ack_pool != NULL
               ? 0
               : -ENOMEM;
}

static int create_workers(struct floor *floor)
{
    floor->wire = rte_zmalloc("floor", sizeof(*floor->wire), MR_CACHE_LINE);
    floor->sender = rte_zmalloc("floor", sizeof(*floor->sender), MR_CACHE_LINE);
    floor->receiver = rte_zmalloc("floor", sizeof(*floor->receiver), MR_CACHE_LINE);
    return floor->wire != NULL && floor->sender != NULL && floor->receiver != NULL ? 0 : -ENOMEM;
}

static int open_backends(struct floor *floor)
{
    floor->sender->keys.aead = mr_aead_open(floor->options->backend);
    floor->receiver->keys.aead = mr_aead_open(floor->options->backend);
    return floor->sender->keys.aead != NULL && floor->receiver->keys.aead != NULL ? 0 : -ENOTSUP;
}

static void clear_keys(struct floor_keys *keys)
{
    if (keys->aead == NULL)
        return;
    mr_aead_key_clear(keys->aead, &keys->seal);
    mr_aead_key_clear(keys->aead, &keys->open);
    mr_hp_key_clear(keys->aead, &keys->seal_hp);
    mr_hp_key_clear(keys->aead, &keys->open_hp);
}

static void close_wire(struct floor_wire *wire)
{
    rte_ring_free(wire->data);
    rte_ring_free(wire->acks);
    rte_mempool_free(wire->data_pool);
    rte_mempool_free(wire->ack_pool);
}

static void close_floor(struct floor *floor)
{
    if (floor->sender != NULL && floor->receiver != NULL) {
        clear_keys(&floor->sender->keys);
        clear_keys(&floor->receiver->keys);
        mr_aead_close(floor->sender->keys.aead);
        mr_aead_close(floor->receiver->keys.aead);
    }
    if (floor->wire != NULL)
        close_wire(floor->wire);
    rte_free(floor->wire);
    rte_free(floor->sender);
    rte_free(floor->receiver);
    if (floor->data != NULL)
        munmap(floor->data, floor->data_mapped);
}

static int open_floor(struct floor *floor)
{
    int result = create_workers(floor);

    if (result == 0)
        result = open_backends(floor);
    if (result == 0)
        result = create_wire(floor);
    if (result == 0)
        result = map_data(floor);
    return result;
}

/* ------------------------------------------------------------------ one run */

/* Fixed keys, new ones for each run: no run comes near what a key may seal. */
static bool set_keys(struct floor_keys *keys, enum mr_cipher cipher, uint8_t seal_seed,
                     uint8_t open_seed)
{
    uint8_t seal[MR_AEAD_KEY_MAX];
    uint8_t open[MR_AEAD_KEY_MAX];

    memset(seal, seal_seed, sizeof(seal));
    memset(open, open_seed, sizeof(open));
    return mr_aead_key_set(keys->aead, &keys->seal, cipher, seal, seal, true) &&
           mr_aead_key_set(keys->aead, &keys->open, cipher, open, open, false) &&
           mr_hp_key_set(keys->aead, &keys->seal_hp, cipher, seal) &&
           mr_hp_key_set(keys->aead, &keys->open_hp, cipher, open);
}

static void write_header_template(uint8_t headers[FLOOR_PACKET_AT])
{
    static const uint8_t template[FLOOR_PACKET_AT] = {
        [12] = 0x08,                       /* Ethernet: IPv4 */
        [14] = 0x45, [20] = 0x40,          /* IPv4: no options, do not fragment */
        [22] = 64,   [23] = 17,            /* hop limit, UDP */
        [26] = 198,  18,          0,    1, /* from */
        198,         18,          0,    2, /* to */
        0x11,        0x51,        0x11, 0x51,
    };

    memcpy(headers, template, sizeof(template));
}

static bool prepare_run(struct floor *floor, uint32_t index)
{
    struct floor_sender *sender = floor->sender;
    struct floor_receiver *receiver = floor->receiver;
    uint8_t seed = (uint8_t)(2 * index);
    enum mr_cipher cipher = floor->options->cipher;

    clear_keys(&sender->keys);
    clear_keys(&receiver->keys);
    *sender = (struct floor_sender){.keys.aead = sender->keys.aead,
                                    .wire = floor->wire,
                                    .data = floor->data,
                                    .data_bytes = floor->options->data_bytes};
    *receiver = (struct floor_receiver){.keys.aead = receiver->keys.aead, .wire = floor->wire};
    write_header_template(sender->headers);
    write_header_template(receiver->headers);
    atomic_store_explicit(&floor->wire->phase, FLOOR_WARM, memory_order_relaxed);
    return set_keys(&sender->keys, cipher, seed, seed + 1) &&
           set_keys(&receiver->keys, cipher, seed + 1, seed);
}

static void sleep_ms(uint32_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
}

static void enter_phase(struct floor *floor, enum floor_phase phase)
{
    /* relaxed: the workers' results are read after they are joined */
    atomic_store_explicit(&floor->wire->phase, phase, memory_order_relaxed);
}

static void work(struct floor *floor)
{
    const struct mr_floor_options *options = floor->options;

    mr_eal_launch(options->receiver_worker, mr_floor_receive, floor->receiver);
    mr_eal_launch(options->sender_worker, mr_floor_send, floor->sender);
    sleep_ms(options->warm_ms);
    enter_phase(floor, FLOOR_MEASURE);
    sleep_ms(options->run_ms);
    enter_phase(floor, FLOOR_STOP);
    mr_eal_join(options->sender_worker);
    mr_eal_join(options->receiver_worker);
}

/* Put what was under way back into its pool. */
static void drain(struct rte_ring *ring, struct rte_mempool *pool)
{
    void *mbuf;

    while (rte_ring_sc_dequeue(ring, &mbuf) == 0)
        rte_mempool_put(pool, mbuf);
}

static double cycles_to_ns(uint64_t cycles)
{
    return (double)cycles * 1e9 / (double)rte_get_tsc_hz();
}

/* Fill the stages [begin, end) from `meter`; returns their sum, ns per packet. */
static double stage_times(const struct floor_meter *meter, struct run *run, int begin, int end)
{
    double sum = 0;

    for (int i = begin; i < end && meter->packets > 0; i++) {
        run->stage_ns[i] = cycles_to_ns(meter->cycles[i]) / (double)meter->packets;
        sum += run->stage_ns[i];
    }
    return sum;
}

static struct run read_run(const struct floor *floor)
{
    const struct floor_meter *sent = &floor->sender->meter;
    const struct floor_meter *received = &floor->receiver->meter;
    struct run run = {.packets = received->packets,
                      .errors = floor->sender->errors + floor->receiver->errors};

    run.sender_ns = stage_times(sent, &run, 0, MR_FLOOR_RECEIVER);
    run.receiver_ns = stage_times(received, &run, MR_FLOOR_RECEIVER, MR_FLOOR_STAGES);
    run.goodput_gbps =
        (double)received->bytes * 8 / cycles_to_ns(received->ended - received->began);
    return run;
}

/* ------------------------------------------------------------------ several runs */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The figure of `count` values, of which the `best_is_high` or low one is the best.  Sorts them. */
static struct mr_floor_figure figure_of(double *values, uint32_t count, bool best_is_high)
{
    qsort(values, count, sizeof(values[0]), compare_doubles);
    double low = values[0];
    double high = values[count - 1];

    return (struct mr_floor_figure){.best = best_is_high ? high : low,
                                    .median = values[count / 2],
                                    .worst = best_is_high ? low : high};
}

static void summarise(const struct run *runs, uint32_t count, struct mr_floor_result *result)
{
    double goodput[MR_FLOOR_RUNS_MAX];
    double sender[MR_FLOOR_RUNS_MAX];
    double receiver[MR_FLOOR_RUNS_MAX];
    const struct run *best = &runs[0];

    for (uint32_t i = 0; i < count; i++) {
        goodput[i] = runs[i].goodput_gbps;
        sender[i] = runs[i].sender_ns;
        receiver[i] = runs[i].receiver_ns;
        result->packets += runs[i].packets;
        if (runs[i].goodput_gbps > best->goodput_gbps)
            best = &runs[i];
    }
    result->goodput_gbps = figure_of(goodput, count, true);
    result->sender_ns = figure_of(sender, count, false);
    result->receiver_ns = figure_of(receiver, count, false);
    memcpy(result->stage_ns, best->stage_ns, sizeof(result->stage_ns));
    result->run_count = count;
}

static int run_all(struct floor *floor, struct mr_floor_result *result)
{
    struct run runs[MR_FLOOR_RUNS_MAX];
    uint32_t count = floor->options->run_count;

    for (uint32_t i = 0; i < count; i++) {
        if (!prepare_run(floor, i))
            return -ENOMEM;
        work(floor);
        drain(floor->wire->data, floor->wire->data_pool);
        drain(floor->wire->acks, floor->wire->ack_pool);
        runs[i] = read_run(floor);
        if (runs[i].errors > 0 || runs[i].packets == 0)
            return -EIO;
    }
    summarise(runs, count, result);
    return 0;
}

int mr_floor_measure(const struct mr_floor_options *options, struct mr_floor_result *result_out)
{
    struct floor floor = {.options = options};

    *result_out = (struct mr_floor_result){.backend = "none"};
    if (!are_valid(options))
        return -EINVAL;

    int result = open_floor(&floor);
    if (result == 0)
        result = run_all(&floor, result_out);
    if (result == 0) {
        result_out->backend = mr_aead_name(floor.sender->keys.aead);
        result_out->data_has_hugepages = floor.data_has_hugepages;
    }
    close_floor(&floor);
    return result;
}
