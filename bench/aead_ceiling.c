#include "bench/aead_ceiling.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "bench/samples.h"

#define BURST        32
#define POOL_BYTES   (1u << 20) /* of packet buffers in circulation: they stay in a core's L2 */
#define DATA_MIN     (1u << 20)
#define HEADER_SIZE  13 /* first byte, connection ID of 8, packet number of 4 */
#define PN_SIZE      4
#define FRAME_HEADER 12     /* of a STREAM frame */
#define PIECE_NS_MIN 100000 /* short: most pieces then see no other task */
#define PIECES_MIN   64     /* of a slice, however long another task had the core */

/* One run: keys, packets, data. */
struct run {
    struct mr_aead *aead;
    struct mr_aead_key seal_key;
    struct mr_aead_key open_key;
    struct mr_hp_key hp;
    uint8_t *packets;
    uint8_t *data;
    size_t data_bytes;
    size_t data_at;
    uint32_t packet_bytes;
    uint32_t stride;
    uint32_t packet_count; /* a multiple of BURST */
    uint32_t packet_at;
    uint64_t pn;
    struct mr_seal_job jobs[BURST];
    struct mr_seal_copy copies[BURST];
};

struct mr_aead_ceiling {
    struct run run;
    struct mr_samples pieces; /* of the last slice */
};

/* ------------------------------------------------------------------ memory */

/* Huge pages where the kernel gives them: without, address translation is measured, too. */
static uint8_t *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, size, MADV_HUGEPAGE);
    memset(memory, 0x5a, size);
    return memory;
}

static void unmap(uint8_t *memory, size_t size)
{
    if (memory != NULL)
        munmap(memory, size);
}

static size_t pool_bytes(const struct run *run)
{
    return (size_t)run->packet_count * run->stride;
}

/* An odd number of cache lines apart, so that the packets spread over all sets of a cache. */
static void lay_out(struct run *run, uint32_t packet_bytes)
{
    uint32_t lines = (packet_bytes + 128) / MR_CACHE_LINE | 1;

    run->packet_bytes = packet_bytes;
    run->stride = lines * MR_CACHE_LINE;
    run->packet_count = MR_MAX(POOL_BYTES / run->stride / BURST, 2u) * BURST;
}

static bool set_keys(struct run *run, enum mr_cipher cipher)
{
    static const uint8_t key[MR_AEAD_KEY_MAX] = {1, 2, 3};
    static const uint8_t iv[MR_AEAD_IV] = {4, 5, 6};
    static const uint8_t hp[MR_AEAD_KEY_MAX] = {7, 8, 9};

    return mr_aead_key_set(run->aead, &run->seal_key, cipher, key, iv, true) &&
           mr_aead_key_set(run->aead, &run->open_key, cipher, key, iv, false) &&
           mr_hp_key_set(run->aead, &run->hp, cipher, hp);
}

static bool run_begin(struct run *run, struct mr_aead *aead, enum mr_cipher cipher,
                      uint32_t packet_bytes, size_t data_bytes)
{
    MR_ASSERT(packet_bytes >= MR_CEILING_PACKET_MIN);
    MR_ASSERT(packet_bytes <= MR_CEILING_PACKET_MAX);
    MR_ASSERT(data_bytes >= DATA_MIN);
    memset(run, 0, sizeof(*run));
    run->aead = aead;
    run->data_bytes = data_bytes;
    lay_out(run, packet_bytes);
    run->packets = map(pool_bytes(run));
    run->data = map(data_bytes);
    return run->packets != NULL && run->data != NULL && set_keys(run, cipher);
}

static void run_end(struct run *run)
{
    mr_aead_key_clear(run->aead, &run->seal_key);
    mr_aead_key_clear(run->aead, &run->open_key);
    mr_hp_key_clear(run->aead, &run->hp);
    unmap(run->packets, pool_bytes(run));
    unmap(run->data, run->data_bytes);
}

/* ------------------------------------------------------------------ seal */

/* The next bytes of the application, in order, as a sender would take them. */
static const uint8_t *next_data(struct run *run, uint32_t size)
{
    if (run->data_at + size > run->data_bytes)
        run->data_at = 0;

    const uint8_t *data = run->data + run->data_at;
    run->data_at += size;
    return data;
}

static void write_header(uint8_t *packet, uint64_t pn)
{
    packet[0] = 0x40 | (PN_SIZE - 1);
    memset(packet + 1, 0x77, HEADER_SIZE - PN_SIZE - 1);
    for (uint32_t i = 0; i < PN_SIZE; i++)
        packet[HEADER_SIZE - 1 - i] = (uint8_t)(pn >> (8 * i));
    memset(packet + HEADER_SIZE, 0x0f, FRAME_HEADER);
}

static void prepare(struct run *run, uint32_t i)
{
    uint32_t payload = run->packet_bytes - HEADER_SIZE - MR_AEAD_TAG;
    uint32_t data_size = payload - FRAME_HEADER;
    uint8_t *packet = run->packets + (size_t)run->packet_at * run->stride;

    run->packet_at = (run->packet_at + 1) % run->packet_count;
    write_header(packet, run->pn);
    run->copies[i] = (struct mr_seal_copy){
        .source = next_data(run, data_size), .size = data_size, .at = HEADER_SIZE + FRAME_HEADER};
    run->jobs[i] = (struct mr_seal_job){.key = &run->seal_key,
                                        .hp = &run->hp,
                                        .packet = packet,
                                        .copies = &run->copies[i],
                                        .pn = run->pn++,
                                        .header_size = HEADER_SIZE,
                                        .payload_size = (uint16_t)payload,
                                        .pn_size = PN_SIZE,
                                        .copy_count = 1};
}

static void seal_burst(struct run *run)
{
    for (uint32_t i = 0; i < BURST; i++)
        prepare(run, i);
    mr_seal_burst(run->aead, run->jobs, BURST);
}

struct mr_aead_ceiling *mr_aead_ceiling_open(struct mr_aead *aead, enum mr_cipher cipher,
                                             uint32_t packet_bytes, size_t data_bytes)
{
    struct mr_aead_ceiling *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    if (run_begin(&c->run, aead, cipher, packet_bytes, data_bytes))
        return c;
    mr_aead_ceiling_close(c);
    return NULL;
}

void mr_aead_ceiling_close(struct mr_aead_ceiling *c)
{
    if (c == NULL)
        return;
    run_end(&c->run);
    free(c);
}

double mr_aead_ceiling_slice(struct mr_aead_ceiling *c, double seconds)
{
    double piece_ns = MR_MAX(seconds * 1e9 / MR_SAMPLES_MAX, (double)PIECE_NS_MIN);
    uint64_t now = mr_bench_now_ns();
    uint64_t end = now + (uint64_t)(seconds * 1e9);

    c->pieces.count = 0;
    while (now < end || c->pieces.count < PIECES_MIN) {
        uint64_t piece_begin = mr_bench_now_ns();
        uint64_t packets = 0;

        do {
            seal_burst(&c->run);
            packets += BURST;
            now = mr_bench_now_ns();
        } while ((double)(now - piece_begin) < piece_ns);
        mr_samples_add(&c->pieces, (double)(now - piece_begin) / (double)packets);
    }
    return mr_samples_median(&c->pieces);
}

double mr_aead_ceiling_ns(struct mr_aead *aead, enum mr_cipher cipher, uint32_t packet_bytes,
                          size_t data_bytes, double seconds)
{
    struct mr_aead_ceiling *c = mr_aead_ceiling_open(aead, cipher, packet_bytes, data_bytes);
    double ns = c == NULL ? -1 : mr_aead_ceiling_slice(c, seconds);

    mr_aead_ceiling_close(c);
    return ns;
}

/* ------------------------------------------------------------------ open */

/* Seal a burst, open it under the clock; returns ns per packet. */
static double open_burst(struct run *run)
{
    struct mr_open_job jobs[BURST];

    seal_burst(run);
    for (uint32_t i = 0; i < BURST; i++)
        jobs[i] = (struct mr_open_job){.key = &run->open_key,
                                       .hp = &run->hp,
                                       .packet = run->jobs[i].packet,
                                       .expected_pn = run->jobs[i].pn,
                                       .pn_offset = HEADER_SIZE - PN_SIZE,
                                       .size = (uint16_t)run->packet_bytes};

    uint64_t begin = mr_bench_now_ns();
    mr_unmask_burst(run->aead, jobs, BURST);
    mr_open_burst(run->aead, jobs, BURST);
    double ns = (double)(mr_bench_now_ns() - begin) / BURST;

    for (uint32_t i = 0; i < BURST; i++)
        MR_ASSERT(jobs[i].is_open);
    return ns;
}

double mr_aead_open_ceiling_ns(struct mr_aead *aead, enum mr_cipher cipher, uint32_t packet_bytes,
                               double seconds)
{
    static _Thread_local struct mr_samples samples;
    struct run run;
    uint64_t end = mr_bench_now_ns() + (uint64_t)(seconds * 1e9);

    samples.count = 0;
    bool is_ready = run_begin(&run, aead, cipher, packet_bytes, DATA_MIN);
    while (is_ready && mr_bench_now_ns() < end)
        mr_samples_add(&samples, open_burst(&run));
    run_end(&run);
    return mr_samples_median(&samples);
}
