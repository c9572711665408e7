/*
 * bench/recovery_main.c - what loss recovery costs per packet: `recovery [runs]`.
 *
 * One number space sends bursts of 32 packets with one STREAM frame each and gets an ACK for every
 * 32, a given number of packets behind; congestion control and the pacer take their part as in the
 * engine.  The median of the runs is printed, in ns of the process's CPU time per packet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/compiler.h"
#include "quic/cc.h"
#include "quic/pacer.h"
#include "quic/rtt.h"
#include "quic/sent.h"

enum {
    BURST = 32,
    PACKETS = 1 << 21,
    RUNS_MAX = 99,
    CHUNKS = 2048,
    BLOCKS = 4096,
    SIZE = 1450
};

/* What is measured. */
struct scene {
    const char *name;
    uint32_t flight;     /* packets between sending and ACK, a multiple of BURST */
    uint32_t loss_every; /* one packet in so many is lost; 0: none */
    uint32_t frames;     /* per packet */
    bool has_control;    /* congestion control and pacer as well */
};

static const struct scene scenes[] = {
    {"sent, 64 packets in flight", 64, 0, 1, false},
    {"sent, 2,048 packets in flight", 2048, 0, 1, false},
    {"sent, 32,768 packets in flight", 32768, 0, 1, false},
    {"sent, 2,048 in flight, 2 frames", 2048, 0, 2, false},
    {"sent, 2,048 in flight, 1 % lost", 2048, 100, 1, false},
    {"all, 2,048 packets in flight", 2048, 0, 1, true},
};

struct rig {
    struct mr_pool chunks;
    struct mr_pool blocks;
    struct mr_sent sent;
    struct mr_cc cc;
    struct mr_pacer pacer;
    struct mr_rtt rtt;
    uint64_t now;
    uint64_t acked_bytes; /* keeps the compiler honest */
};

static void *allocate(size_t size)
{
    void *mem = calloc(1, size);

    if (mem == NULL) {
        perror("recovery");
        exit(1);
    }
    return mem;
}

static struct mr_pacer_input pacer_input(const struct rig *rig)
{
    return (struct mr_pacer_input){.window = mr_cc_window(&rig->cc),
                                   .smoothed_ns = rig->rtt.smoothed_ns,
                                   .datagram_size = SIZE,
                                   .is_slow_start = mr_cc_in_slow_start(&rig->cc)};
}

static void send_burst(struct rig *rig, const struct scene *scene)
{
    for (uint32_t i = 0; i < BURST; i++) {
        if (!mr_sent_reserve(&rig->sent))
            abort();
        struct mr_sent_packet *packet = mr_sent_begin(&rig->sent);
        for (uint32_t f = 0; f < scene->frames && mr_sent_can_add(&rig->sent, packet); f++) {
            struct mr_sent_frame frame = {
                .kind = MR_SENT_STREAM, .offset = rig->now, .object = f, .length = SIZE - 50};
            mr_sent_add_frame(&rig->sent, packet, &frame);
        }
        struct mr_sent_info info = {
            .time_ns = rig->now, .size = SIZE, .flags = MR_SENT_IN_FLIGHT | MR_SENT_ACK_ELICITING};
        mr_sent_commit(&rig->sent, packet, &info);
        if (scene->has_control) {
            mr_cc_on_sent(&rig->cc, SIZE, rig->now);
            mr_pacer_allow(&rig->pacer, rig->now);
            mr_pacer_on_sent(&rig->pacer, SIZE);
        }
    }
}

static uint64_t acknowledge(struct rig *rig, struct mr_sent_range range, uint64_t *newest_sent_ns)
{
    const struct mr_sent_packet *packet;
    struct mr_sent_frames at;
    struct mr_sent_ack ack;
    uint64_t bytes = 0;
    uint64_t pn;

    mr_sent_ack_begin(&ack, &rig->sent, range);
    while ((packet = mr_sent_ack_next(&ack, &pn)) != NULL) {
        for (const struct mr_sent_frame *frame = mr_sent_frame_first(&at, &rig->sent, packet);
             frame != NULL; frame = mr_sent_frame_next(&at))
            rig->acked_bytes += frame->length + frame->object;
        bytes += packet->size;
        *newest_sent_ns = packet->time_ns;
    }
    return bytes;
}

static uint64_t find_losses(struct rig *rig)
{
    struct mr_sent_loss_params params = {.now = rig->now,
                                         .delay_ns = mr_rtt_loss_delay(&rig->rtt),
                                         .persistent_ns = mr_rtt_persistent_duration(&rig->rtt),
                                         .first_sample_ns = rig->rtt.first_sample_ns};
    const struct mr_sent_packet *packet;
    struct mr_sent_loss loss;
    uint64_t bytes = 0;
    uint64_t pn;

    mr_sent_loss_begin(&loss, &rig->sent, &params);
    while ((packet = mr_sent_loss_next(&loss, &pn)) != NULL)
        bytes += packet->size;
    return bytes;
}

/* An ACK frame for the burst that ends with `largest`; lost packets make it two ranges. */
static void receive_ack(struct rig *rig, const struct scene *scene, uint64_t largest)
{
    struct mr_sent_range range = {.lo = 0, .hi = largest};
    struct mr_cc_ack sums = {.smoothed_ns = rig->rtt.smoothed_ns, .rtt_ns = rig->rtt.latest_ns};

    if (scene->loss_every != 0) {
        uint64_t lost = largest - largest % scene->loss_every;

        range.lo = lost < largest ? lost + 1 : largest;
        sums.bytes = acknowledge(rig, range, &sums.newest_sent_ns);
        range = (struct mr_sent_range){.lo = lost + 1 - MR_MIN(scene->loss_every, lost),
                                       .hi = lost - (lost > 0)};
    }
    sums.bytes += acknowledge(rig, range, &sums.newest_sent_ns);
    mr_rtt_add(&rig->rtt,
               &(struct mr_rtt_sample){.latest_ns = rig->now - sums.newest_sent_ns,
                                       .handshake_confirmed = true},
               rig->now);
    rig->acked_bytes += find_losses(rig);
    mr_sent_release(&rig->sent, rig->now - 3 * mr_rtt_pto(&rig->rtt, MR_SPACE_APP));
    if (scene->has_control) {
        struct mr_pacer_input input = pacer_input(rig);

        mr_cc_on_acked(&rig->cc, &sums, rig->now);
        mr_pacer_update(&rig->pacer, &input, rig->now);
    }
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double run(struct rig *rig, const struct scene *scene)
{
    uint64_t first = mr_sent_next(&rig->sent);
    double begin = cpu_ns();

    for (uint64_t sent = 0; sent < PACKETS; sent += BURST) {
        rig->now += 10 * MR_US;
        send_burst(rig, scene);
        if (sent + BURST >= scene->flight)
            receive_ack(rig, scene, first + sent + BURST - scene->flight + BURST - 1);
    }
    double per_packet = (cpu_ns() - begin) / PACKETS;

    mr_cc_on_discarded(&rig->cc, rig->cc.in_flight);
    mr_sent_discard(&rig->sent);
    return per_packet;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int runs = argc > 1 ? atoi(argv[1]) : 5;
    static struct rig rig;

    if (runs < 1 || runs > RUNS_MAX) {
        fprintf(stderr, "usage: recovery [runs, 1 to %d]\n", RUNS_MAX);
        return 2;
    }
    mr_chunks_init(&rig.chunks, allocate(mr_chunks_footprint(CHUNKS)), CHUNKS);
    mr_sent_blocks_init(&rig.blocks, allocate(mr_sent_blocks_footprint(BLOCKS)), BLOCKS);
    mr_sent_init(&rig.sent, &rig.chunks, &rig.blocks);
    mr_cc_init(&rig.cc, MR_CC_CUBIC, SIZE, 0);
    mr_rtt_init(&rig.rtt, MR_MS);
    struct mr_pacer_input input = pacer_input(&rig);
    rig.now = MR_SECOND;
    mr_pacer_init(&rig.pacer, &input, rig.now);

    for (size_t i = 0; i < MR_COUNT_OF(scenes); i++) {
        double ns[RUNS_MAX];
        for (int r = 0; r < runs; r++)
            ns[r] = run(&rig, &scenes[i]);
        qsort(ns, (size_t)runs, sizeof(ns[0]), by_value);
        printf("%-34s %6.2f ns per packet\n", scenes[i].name, ns[runs / 2]);
    }
    return rig.acked_bytes == 0;
}
