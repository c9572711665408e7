/* What controllers leave each other: two flows of different kinds share a bottleneck. */
#include "base/compiler.h"
#include "quic/bbr.h"
#include "quic/pacer.h"
#include "tests/unit/harness.h"

#define SIZE         1200
#define RTT          (20 * MR_MS)
#define BYTES_PER_NS 0.00625 /* 50 Mbit/s */
#define QUEUE        4096    /* packets in flight of a flow, at most */
#define FLOWS        2

struct flow {
    struct mr_cc cc;
    struct mr_bbr bbr;
    struct mr_pacer pacer;
    uint64_t smoothed_ns;
    uint64_t delivered;
    uint32_t first;
    uint32_t count;
    struct {
        uint64_t sent_ns;
        uint64_t back_ns; /* 0: lost */
        bool is_ce;
    } packet[QUEUE];
};

struct link {
    struct flow flow[FLOWS];
    uint64_t now;
    uint64_t free_ns; /* when the bottleneck has sent all it has */
    uint64_t queue_ns;
    uint64_t mark_ns; /* 0: none */
};

static void update_pacer(struct flow *f, uint64_t now)
{
    struct mr_pacer_input input = {.smoothed_ns = f->smoothed_ns, .datagram_size = SIZE};

    input.window = mr_cc_pacing_window(&f->cc, f->smoothed_ns, &input.is_slow_start);
    mr_pacer_update(&f->pacer, &input, now);
}

static struct link *open_link(enum mr_cc_kind a, enum mr_cc_kind b, uint64_t queue_ns)
{
    static struct link l;
    enum mr_cc_kind kinds[FLOWS] = {a, b};

    l = (struct link){.now = MR_SECOND, .free_ns = MR_SECOND, .queue_ns = queue_ns};
    for (int i = 0; i < FLOWS; i++) {
        struct flow *f = &l.flow[i];

        f->smoothed_ns = RTT;
        if (kinds[i] == MR_CC_BBR)
            mr_cc_init_bbr(&f->cc, &f->bbr, SIZE, 0, 5 + (uint64_t)i, l.now);
        else
            mr_cc_init(&f->cc, kinds[i], SIZE, 0);
        struct mr_pacer_input input = {
            .window = f->cc.window, .smoothed_ns = RTT, .datagram_size = SIZE};
        mr_pacer_init(&f->pacer, &input, l.now);
    }
    return &l;
}

static void send(struct link *l, struct flow *f)
{
    uint64_t starts = MR_MAX(l->free_ns, l->now);
    uint32_t at = (f->first + f->count++) % QUEUE;

    f->packet[at].sent_ns = l->now;
    f->packet[at].back_ns = 0;
    f->packet[at].is_ce = l->mark_ns > 0 && starts - l->now > l->mark_ns;
    if (starts - l->now <= l->queue_ns) {
        l->free_ns = starts + (uint64_t)(SIZE / BYTES_PER_NS);
        f->packet[at].back_ns = l->free_ns + RTT;
    }
    mr_cc_on_sent(&f->cc, SIZE, l->now);
    mr_pacer_on_sent(&f->pacer, SIZE);
}

/* Take the losses in front of the first packet that comes back, and that packet. */
static void take(struct link *l, struct flow *f)
{
    uint64_t lost_ns = 0;
    uint32_t lost = 0;

    for (; f->count > 0 && f->packet[f->first].back_ns == 0; lost++, f->count--) {
        lost_ns = f->packet[f->first].sent_ns;
        f->first = (f->first + 1) % QUEUE;
    }
    if (lost > 0) {
        mr_cc_on_lost(&f->cc, (uint64_t)lost * SIZE);
        mr_cc_on_loss(&f->cc, &(struct mr_cc_loss){(uint64_t)lost * SIZE, lost_ns, 1}, l->now);
        mr_cc_on_congestion(&f->cc, lost_ns, l->now);
    }
    if (f->count == 0)
        return;
    uint64_t sent_ns = f->packet[f->first].sent_ns;
    uint64_t ce = f->packet[f->first].is_ce;
    f->first = (f->first + 1) % QUEUE;
    f->count--;
    f->delivered += SIZE;
    f->smoothed_ns = (7 * f->smoothed_ns + l->now - sent_ns) / 8;
    mr_cc_on_ecn(&f->cc, &(struct mr_cc_ecn){1, ce, sent_ns, l->now - sent_ns}, l->now);
    mr_cc_on_acked(&f->cc,
                   &(struct mr_cc_ack){.bytes = SIZE,
                                       .newest_sent_ns = sent_ns,
                                       .rtt_ns = l->now - sent_ns,
                                       .smoothed_ns = f->smoothed_ns},
                   l->now);
    update_pacer(f, l->now);
    mr_cc_check(&f->cc);
}

static uint64_t next_back(const struct flow *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->packet[(f->first + i) % QUEUE].back_ns != 0)
            return f->packet[(f->first + i) % QUEUE].back_ns;
    }
    return MR_NEVER;
}

static void step(struct link *l)
{
    uint64_t next = l->now + RTT; /* at the latest: what is lost as a whole is noticed then */

    for (int i = 0; i < FLOWS; i++) {
        struct flow *f = &l->flow[i];

        while (f->count < QUEUE && mr_cc_room(&f->cc) >= SIZE &&
               mr_pacer_allow(&f->pacer, l->now) > 0)
            send(l, f);
        next = MR_MIN(next, next_back(f));
        if (mr_cc_room(&f->cc) >= SIZE)
            next = MR_MIN(next, mr_pacer_next(&f->pacer, l->now));
    }
    l->now = MR_MAX(next, l->now + 1);
    for (int i = 0; i < FLOWS; i++) {
        struct flow *f = &l->flow[i];

        if (next_back(f) <= l->now || (next_back(f) == MR_NEVER && f->count > 0))
            take(l, f);
    }
}

/* The first flow's part of what both get from the 10th to the 60th second. */
static double share(struct link *l)
{
    uint64_t before[FLOWS];

    while (l->now < 11 * MR_SECOND)
        step(l);
    for (int i = 0; i < FLOWS; i++)
        before[i] = l->flow[i].delivered;
    while (l->now < 61 * MR_SECOND)
        step(l);
    double a = (double)(l->flow[0].delivered - before[0]);
    double b = (double)(l->flow[1].delivered - before[1]);
    printf("# %s %.3f, %s %.3f of the link\n", l->flow[0].cc.ops->name,
           a / (BYTES_PER_NS * 50 * MR_SECOND), l->flow[1].cc.ops->name,
           b / (BYTES_PER_NS * 50 * MR_SECOND));
    CU_ASSERT_TRUE(a + b > 0.85 * BYTES_PER_NS * 50 * MR_SECOND);
    return a / (a + b);
}

static void two_of_a_kind_share_alike(void)
{
    static const enum mr_cc_kind kinds[] = {MR_CC_CUBIC, MR_CC_NEWRENO, MR_CC_BBR};

    for (size_t i = 0; i < MR_COUNT_OF(kinds); i++) {
        double part = share(open_link(kinds[i], kinds[i], 2 * RTT));
        CU_ASSERT_TRUE(part > 0.25 && part < 0.75);
    }
    struct link *l = open_link(MR_CC_PRAGUE, MR_CC_PRAGUE, 2 * RTT);
    l->mark_ns = MR_MS;
    double part = share(l);
    CU_ASSERT_TRUE(part > 0.25 && part < 0.75);
    CU_ASSERT_FALSE(l->flow[0].cc.prague.is_classic || l->flow[1].cc.prague.is_classic);
}

/* Where marks come late, Prague finds out, and leaves CUBIC its part; not where they come early. */
static void prague_leaves_cubic_its_part_of_a_classic_queue(void)
{
    static const uint64_t marks[] = {6 * MR_MS, 10 * MR_MS, 20 * MR_MS};

    for (size_t i = 0; i < MR_COUNT_OF(marks); i++) {
        struct link *l = open_link(MR_CC_PRAGUE, MR_CC_CUBIC, 4 * RTT);

        l->mark_ns = marks[i];
        double part = share(l);
        CU_ASSERT_TRUE(part > 0.25 && part < 0.75);
        CU_ASSERT_TRUE(l->flow[0].cc.prague.is_classic);
    }
}

/* draft-ietf-ccwg-bbr, Section "Bandwidth Probing and Coexistence with Reno/CUBIC": neither
 * starves. */
static void bbr_and_cubic_leave_each_other_a_part(void)
{
    static const uint64_t queues[] = {RTT, 2 * RTT, 4 * RTT};

    for (size_t i = 0; i < MR_COUNT_OF(queues); i++) {
        double part = share(open_link(MR_CC_BBR, MR_CC_CUBIC, queues[i]));
        CU_ASSERT_TRUE(part > 0.1 && part < 0.9);
    }
}

static CU_TestInfo tests[] = {
    {"two of a kind share alike", two_of_a_kind_share_alike},
    {"Prague leaves CUBIC its part of a classic queue",
     prague_leaves_cubic_its_part_of_a_classic_queue},
    {"BBR and CUBIC leave each other a part", bbr_and_cubic_leave_each_other_a_part},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "congestion control, shared", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
