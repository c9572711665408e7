/* tests/unit/test_neighbour.c - the contract of dataplane/neighbour.h. */
#include "dataplane/neighbour.h"

#include <stdlib.h>

#include "tests/unit/harness.h"

#define S UINT64_C(1000000000)

struct fixture {
    struct mr_neighbours *table;
    struct mr_net_counters counters;
    void *mem;
};

static const struct mr_mac mac_a = {{2, 0, 0, 0, 0, 0xa}};
static const struct mr_mac mac_b = {{2, 0, 0, 0, 0, 0xb}};

static void begin_limited(struct fixture *f, uint32_t entries, uint32_t waiting,
                          uint32_t per_second)
{
    static const uint8_t key[16] = {1, 2, 3};
    struct mr_neighbour_limits limits = {
        .entries_max = entries, .waiting_max = waiting, .new_per_second = per_second};

    *f = (struct fixture){0};
    f->mem = aligned_alloc(64, (mr_neighbours_footprint(&limits) + 63) & ~(size_t)63);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f->mem);
    f->table = mr_neighbours_init(f->mem, &limits, key, &f->counters);
}

static void begin(struct fixture *f)
{
    begin_limited(f, 64, 64, 1000);
}

static void end(struct fixture *f)
{
    mr_neighbour_check(f->table);
    free(f->mem);
}

static struct mr_ip host(uint32_t n)
{
    return mr_ip_from_v4((const uint8_t[]){198, 18, (uint8_t)(n >> 8), (uint8_t)n});
}

static enum mr_neighbour_answer resolve(struct fixture *f, uint32_t n, uint64_t now,
                                        struct mr_mac *mac)
{
    struct mr_ip ip = host(n);
    enum mr_neighbour_answer answer = mr_neighbour_resolve(f->table, &ip, mac, now);

    mr_neighbour_check(f->table);
    return answer;
}

static void learn(struct fixture *f, uint32_t n, const struct mr_mac *mac,
                  enum mr_neighbour_source source, uint64_t now)
{
    struct mr_ip ip = host(n);

    mr_neighbour_learn(f->table, &ip, mac, source, now);
    mr_neighbour_check(f->table);
}

static bool wait_for(struct fixture *f, uint32_t n, void *packet)
{
    struct mr_ip ip = host(n);

    return mr_neighbour_wait(f->table, &ip, packet);
}

static enum mr_neighbour_state state(const struct fixture *f, uint32_t n)
{
    struct mr_ip ip = host(n);

    return mr_neighbour_state(f->table, &ip);
}

/* How many solicitations are to be sent; the last one's kind. */
static uint32_t solicits(struct fixture *f, bool *is_unicast)
{
    struct mr_neighbour_solicit solicit = {0};
    uint32_t n = 0;

    while (mr_neighbour_take_solicit(f->table, &solicit))
        n++;
    if (is_unicast != NULL)
        *is_unicast = solicit.is_unicast;
    return n;
}

/* Host n, reachable at mac_a since `now`. */
static void make_reachable(struct fixture *f, uint32_t n, uint64_t now)
{
    struct mr_mac mac;

    resolve(f, n, now, &mac);
    learn(f, n, &mac_a, MR_NEIGHBOUR_ANSWER, now);
    CU_ASSERT_EQUAL(state(f, n), MR_NEIGHBOUR_REACHABLE);
    solicits(f, NULL);
}

static void an_unknown_address_is_asked_for_and_then_known(void)
{
    struct fixture f;
    struct mr_mac mac = {0};
    bool is_unicast;

    begin(&f);
    CU_ASSERT_EQUAL(resolve(&f, 1, 0, &mac), MR_NEIGHBOUR_WAIT);
    CU_ASSERT_EQUAL(solicits(&f, &is_unicast), 1);
    CU_ASSERT_FALSE(is_unicast);
    CU_ASSERT_EQUAL(resolve(&f, 1, 10, &mac), MR_NEIGHBOUR_WAIT);
    CU_ASSERT_EQUAL(solicits(&f, NULL), 0); /* one at a time */
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_ANSWER, 20);
    CU_ASSERT_EQUAL(resolve(&f, 1, 30, &mac), MR_NEIGHBOUR_KNOWN);
    CU_ASSERT(mr_mac_equal(&mac, &mac_a));
    CU_ASSERT_EQUAL(f.counters.net_neighbour_learned, 1);
    CU_ASSERT_EQUAL(mr_neighbour_deadline(f.table) > 30, true);
    end(&f);
}

static void three_unanswered_questions_are_a_failure_for_a_while(void)
{
    struct fixture f;
    struct mr_mac mac;

    begin(&f);
    resolve(&f, 1, 0, &mac);
    for (uint64_t t = 1; t <= 2; t++) {
        CU_ASSERT_EQUAL(solicits(&f, NULL), 1);
        CU_ASSERT(mr_neighbour_deadline(f.table) <= t * S);
        mr_neighbour_expire(f.table, t * S - 1);
        CU_ASSERT_EQUAL(solicits(&f, NULL), 0);
        mr_neighbour_expire(f.table, t * S);
    }
    CU_ASSERT_EQUAL(solicits(&f, NULL), 1);
    mr_neighbour_expire(f.table, 3 * S);
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_FAILED);
    CU_ASSERT_EQUAL(solicits(&f, NULL), 0);
    CU_ASSERT_EQUAL(mr_neighbour_deadline(f.table), UINT64_MAX);
    CU_ASSERT_EQUAL(resolve(&f, 1, 3 * S + MR_NEIGHBOUR_FAILED_NS - 1, &mac), MR_NEIGHBOUR_UNKNOWN);
    CU_ASSERT_EQUAL(resolve(&f, 1, 3 * S + MR_NEIGHBOUR_FAILED_NS, &mac), MR_NEIGHBOUR_WAIT);
    CU_ASSERT_EQUAL(solicits(&f, NULL), 1);
    end(&f);
}

static void packets_wait_and_come_back_in_order(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_neighbour_released released;
    int packet[MR_NEIGHBOUR_WAITING_MAX + 1];

    begin(&f);
    resolve(&f, 1, 0, &mac);
    for (int i = 0; i < MR_NEIGHBOUR_WAITING_MAX; i++)
        CU_ASSERT(wait_for(&f, 1, &packet[i]));
    CU_ASSERT_FALSE(wait_for(&f, 1, &packet[MR_NEIGHBOUR_WAITING_MAX]));
    CU_ASSERT_FALSE(mr_neighbour_take_released(f.table, &released));
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_ANSWER, 5);
    for (int i = 0; i < MR_NEIGHBOUR_WAITING_MAX; i++) {
        CU_ASSERT_FATAL(mr_neighbour_take_released(f.table, &released));
        CU_ASSERT_PTR_EQUAL(released.packet, &packet[i]);
        CU_ASSERT(released.is_resolved && mr_mac_equal(&released.mac, &mac_a));
    }
    CU_ASSERT_FALSE(mr_neighbour_take_released(f.table, &released));
    CU_ASSERT_EQUAL(mr_neighbour_waiting_count(f.table), 0);
    end(&f);
}

static void packets_for_a_silent_neighbour_come_back_unresolved(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_neighbour_released released;
    int packet;

    begin(&f);
    resolve(&f, 1, 0, &mac);
    CU_ASSERT(wait_for(&f, 1, &packet));
    for (uint64_t t = 1; t <= 3; t++)
        mr_neighbour_expire(f.table, t * S);
    CU_ASSERT_FATAL(mr_neighbour_take_released(f.table, &released));
    CU_ASSERT_FALSE(released.is_resolved);
    CU_ASSERT_PTR_EQUAL(released.packet, &packet);
    end(&f);
}

static void all_waiting_packets_have_one_limit(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_neighbour_released released;
    int packet;

    begin_limited(&f, 64, 16, 1000);
    for (uint32_t n = 1; n <= 3; n++)
        resolve(&f, n, 0, &mac);
    for (uint32_t i = 0; i < 16; i++)
        CU_ASSERT(wait_for(&f, 1 + i / 8, &packet));
    CU_ASSERT_FALSE(wait_for(&f, 3, &packet));
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_ANSWER, 5);
    CU_ASSERT_FALSE(wait_for(&f, 3, &packet)); /* released ones count until they are taken */
    CU_ASSERT(mr_neighbour_take_released(f.table, &released));
    CU_ASSERT(wait_for(&f, 3, &packet));
    mr_neighbour_release_all(f.table);
    for (int i = 0; i < 16; i++)
        CU_ASSERT(mr_neighbour_take_released(f.table, &released));
    CU_ASSERT_FALSE(mr_neighbour_take_released(f.table, &released));
    end(&f);
}

static void an_old_address_is_probed_when_it_is_used(void)
{
    struct fixture f;
    struct mr_mac mac;
    bool is_unicast;

    begin(&f);
    make_reachable(&f, 1, 0);
    CU_ASSERT_EQUAL(resolve(&f, 1, MR_NEIGHBOUR_REACHABLE_NS - 1, &mac), MR_NEIGHBOUR_KNOWN);
    CU_ASSERT_EQUAL(solicits(&f, NULL), 0);
    CU_ASSERT_EQUAL(resolve(&f, 1, MR_NEIGHBOUR_REACHABLE_NS, &mac), MR_NEIGHBOUR_KNOWN);
    CU_ASSERT(mr_mac_equal(&mac, &mac_a));
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_PROBE);
    CU_ASSERT_EQUAL(solicits(&f, &is_unicast), 1);
    CU_ASSERT(is_unicast);
    uint32_t generation = mr_neighbour_generation(f.table);
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_REACHABLE_NS + 1);
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_REACHABLE);
    CU_ASSERT_EQUAL(mr_neighbour_generation(f.table), generation);
    end(&f);
}

static void an_unanswered_probe_forgets_and_says_so(void)
{
    struct fixture f;
    struct mr_mac mac;
    uint64_t t = MR_NEIGHBOUR_REACHABLE_NS;

    begin(&f);
    make_reachable(&f, 1, 0);
    resolve(&f, 1, t, &mac);
    uint32_t generation = mr_neighbour_generation(f.table);
    for (int i = 1; i <= 3; i++)
        mr_neighbour_expire(f.table, t + (uint64_t)i * S);
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_NONE);
    CU_ASSERT_NOT_EQUAL(mr_neighbour_generation(f.table), generation);
    CU_ASSERT_EQUAL(mr_neighbour_count(f.table), 0);
    CU_ASSERT_EQUAL(resolve(&f, 1, t + 4 * S, &mac), MR_NEIGHBOUR_WAIT);
    end(&f);
}

static void an_answer_with_another_address_is_a_change(void)
{
    struct fixture f;
    struct mr_mac mac;

    begin(&f);
    make_reachable(&f, 1, 0);
    resolve(&f, 1, MR_NEIGHBOUR_REACHABLE_NS, &mac);
    uint32_t generation = mr_neighbour_generation(f.table);
    learn(&f, 1, &mac_b, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_REACHABLE_NS);
    CU_ASSERT_EQUAL(resolve(&f, 1, MR_NEIGHBOUR_REACHABLE_NS, &mac), MR_NEIGHBOUR_KNOWN);
    CU_ASSERT(mr_mac_equal(&mac, &mac_b));
    CU_ASSERT_NOT_EQUAL(mr_neighbour_generation(f.table), generation);
    CU_ASSERT_EQUAL(f.counters.net_neighbour_changed, 1);
    end(&f);
}

enum before {
    UNKNOWN,
    INCOMPLETE,
    REACHABLE,
    STALE,
    PROBE,
    GATEWAY,
    STATIC
};

/* What each source may do to an entry of each state: "what is believed" of neighbour.h. */
static const struct {
    enum before before;
    enum mr_neighbour_source source;
    enum mr_neighbour_state after;
    bool is_b; /* mac_b was believed */
} beliefs[] = {
    {UNKNOWN, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_NONE, false},
    {UNKNOWN, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_NONE, false},
    {UNKNOWN, MR_NEIGHBOUR_SHARED, MR_NEIGHBOUR_NONE, false},
    {UNKNOWN, MR_NEIGHBOUR_REQUEST, MR_NEIGHBOUR_STALE, true},
    {UNKNOWN, MR_NEIGHBOUR_TRAFFIC, MR_NEIGHBOUR_STALE, true},
    {INCOMPLETE, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_REACHABLE, true},
    {INCOMPLETE, MR_NEIGHBOUR_SHARED, MR_NEIGHBOUR_REACHABLE, true},
    {INCOMPLETE, MR_NEIGHBOUR_REQUEST, MR_NEIGHBOUR_STALE, true},
    {INCOMPLETE, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_STALE, true},
    {INCOMPLETE, MR_NEIGHBOUR_TRAFFIC, MR_NEIGHBOUR_STALE, true},
    {REACHABLE, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_PROBE, false},
    {REACHABLE, MR_NEIGHBOUR_SHARED, MR_NEIGHBOUR_PROBE, false},
    {REACHABLE, MR_NEIGHBOUR_REQUEST, MR_NEIGHBOUR_PROBE, false},
    {REACHABLE, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_PROBE, false},
    {REACHABLE, MR_NEIGHBOUR_TRAFFIC, MR_NEIGHBOUR_REACHABLE, false},
    {STALE, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_STALE, true},
    {STALE, MR_NEIGHBOUR_REQUEST, MR_NEIGHBOUR_STALE, true},
    {STALE, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_STALE, true},
    {STALE, MR_NEIGHBOUR_TRAFFIC, MR_NEIGHBOUR_STALE, false},
    {PROBE, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_REACHABLE, true},
    {PROBE, MR_NEIGHBOUR_REQUEST, MR_NEIGHBOUR_PROBE, false},
    {PROBE, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_PROBE, false},
    {GATEWAY, MR_NEIGHBOUR_REQUEST, MR_NEIGHBOUR_INCOMPLETE, false},
    {GATEWAY, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_INCOMPLETE, false},
    {GATEWAY, MR_NEIGHBOUR_TRAFFIC, MR_NEIGHBOUR_INCOMPLETE, false},
    {GATEWAY, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_REACHABLE, true},
    {STATIC, MR_NEIGHBOUR_ANSWER, MR_NEIGHBOUR_REACHABLE, false},
    {STATIC, MR_NEIGHBOUR_CLAIM, MR_NEIGHBOUR_REACHABLE, false},
};

/* Bring host 1 into a state, known at mac_a; returns the time. */
static uint64_t bring_into(struct fixture *f, enum before before)
{
    struct mr_ip ip = host(1);
    struct mr_mac mac;
    uint64_t now = 1;

    if (before == GATEWAY)
        mr_neighbour_set_gateway(f->table, &ip);
    if (before == STATIC)
        mr_neighbour_set_static(f->table, &ip, &mac_a);
    if (before == INCOMPLETE || before == GATEWAY)
        resolve(f, 1, now, &mac);
    if (before == REACHABLE || before == PROBE)
        make_reachable(f, 1, now);
    if (before == STALE)
        learn(f, 1, &mac_a, MR_NEIGHBOUR_REQUEST, now);
    if (before == PROBE) {
        now += MR_NEIGHBOUR_REACHABLE_NS;
        resolve(f, 1, now, &mac);
    }
    return now;
}

static void only_answers_are_believed_against_what_is_known(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(beliefs); i++) {
        struct fixture f;
        struct mr_mac mac = {0};

        begin(&f);
        uint64_t now = bring_into(&f, beliefs[i].before);
        learn(&f, 1, &mac_b, beliefs[i].source, now);
        CU_ASSERT_EQUAL(state(&f, 1), beliefs[i].after);
        if (beliefs[i].after != MR_NEIGHBOUR_NONE && beliefs[i].after != MR_NEIGHBOUR_INCOMPLETE) {
            CU_ASSERT_EQUAL(resolve(&f, 1, now, &mac), MR_NEIGHBOUR_KNOWN);
            CU_ASSERT_EQUAL(mr_mac_equal(&mac, &mac_b), beliefs[i].is_b);
        }
        end(&f);
    }
}

static void a_contradiction_makes_everybody_be_asked(void)
{
    struct fixture f;
    struct mr_neighbour_solicit solicit = {0};
    struct mr_mac mac;

    begin(&f);
    make_reachable(&f, 1, 0);
    solicits(&f, NULL);
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_REQUEST, 1);
    CU_ASSERT_EQUAL(solicits(&f, NULL), 0); /* it says what is known */
    learn(&f, 1, &mac_b, MR_NEIGHBOUR_REQUEST, 2);
    CU_ASSERT(mr_neighbour_take_solicit(f.table, &solicit));
    CU_ASSERT_FALSE(solicit.is_unicast);
    learn(&f, 1, &mac_b, MR_NEIGHBOUR_ANSWER, 3);
    CU_ASSERT_EQUAL(resolve(&f, 1, 4, &mac), MR_NEIGHBOUR_KNOWN);
    CU_ASSERT(mr_mac_equal(&mac, &mac_b));
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_REACHABLE);

    uint64_t old = 4 + MR_NEIGHBOUR_REACHABLE_NS;
    resolve(&f, 1, old, &mac);
    CU_ASSERT(mr_neighbour_take_solicit(f.table, &solicit));
    CU_ASSERT(solicit.is_unicast); /* no doubt this time, only age */
    end(&f);
}

static void impossible_addresses_are_refused(void)
{
    static const struct mr_mac group = {{1, 0, 0, 0, 0, 1}};
    static const struct mr_mac zero;
    struct fixture f;
    struct mr_mac mac;

    begin(&f);
    resolve(&f, 1, 0, &mac);
    learn(&f, 1, &group, MR_NEIGHBOUR_ANSWER, 1);
    learn(&f, 1, &zero, MR_NEIGHBOUR_ANSWER, 1);
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_INCOMPLETE);
    CU_ASSERT_EQUAL(f.counters.net_neighbour_refused, 2);
    struct mr_ip broadcast = mr_ip_from_v4((const uint8_t[]){255, 255, 255, 255});
    mr_neighbour_learn(f.table, &broadcast, &mac_a, MR_NEIGHBOUR_REQUEST, 1);
    CU_ASSERT_EQUAL(mr_neighbour_count(f.table), 1);
    end(&f);
}

static void a_static_address_never_ages(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_ip ip = host(1);

    begin(&f);
    CU_ASSERT(mr_neighbour_set_static(f.table, &ip, &mac_a));
    CU_ASSERT_EQUAL(resolve(&f, 1, 1000 * MR_NEIGHBOUR_REACHABLE_NS, &mac), MR_NEIGHBOUR_KNOWN);
    CU_ASSERT_EQUAL(solicits(&f, NULL), 0);
    end(&f);
}

static void what_waited_goes_to_the_static_address(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_ip ip = host(1);
    struct mr_neighbour_released released;
    int packet;

    begin(&f);
    resolve(&f, 1, 0, &mac);
    CU_ASSERT(wait_for(&f, 1, &packet));
    uint32_t generation = mr_neighbour_generation(f.table);
    CU_ASSERT(mr_neighbour_set_static(f.table, &ip, &mac_a));
    CU_ASSERT_NOT_EQUAL(mr_neighbour_generation(f.table), generation);
    CU_ASSERT_FATAL(mr_neighbour_take_released(f.table, &released));
    CU_ASSERT(released.is_resolved && mr_mac_equal(&released.mac, &mac_a));
    CU_ASSERT_EQUAL(solicits(&f, NULL), 0);
    mr_neighbour_expire(f.table, 10 * S);
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_REACHABLE);
    end(&f);
}

static void a_gateway_that_died_is_asked_for_again(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_ip ip = host(1);
    uint64_t t = MR_NEIGHBOUR_REACHABLE_NS;

    begin(&f);
    CU_ASSERT(mr_neighbour_set_gateway(f.table, &ip));
    make_reachable(&f, 1, 0);
    resolve(&f, 1, t, &mac);
    for (int i = 1; i <= 3; i++)
        mr_neighbour_expire(f.table, t + (uint64_t)i * S);
    CU_ASSERT_EQUAL(mr_neighbour_count(f.table), 1);
    CU_ASSERT_EQUAL(resolve(&f, 1, t + 4 * S, &mac), MR_NEIGHBOUR_WAIT);
    learn(&f, 1, &mac_b, MR_NEIGHBOUR_REQUEST, t + 4 * S); /* still believes answers only */
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_INCOMPLETE);
    end(&f);
}

/* 8 entries are one set: failed ones go first, then the least recently used. */
static void a_full_cache_evicts_the_failed_and_the_least_used(void)
{
    struct fixture f;
    struct mr_mac mac;

    begin_limited(&f, 8, 64, 1000);
    for (uint32_t n = 0; n < 8; n++)
        make_reachable(&f, n, n + 1);
    resolve(&f, 0, 100, &mac); /* host 1 is now the least recently used */
    resolve(&f, 20, 101, &mac);
    CU_ASSERT_EQUAL(state(&f, 1), MR_NEIGHBOUR_NONE);
    CU_ASSERT_EQUAL(state(&f, 0), MR_NEIGHBOUR_REACHABLE);
    for (uint64_t t = 1; t <= 3; t++)
        mr_neighbour_expire(f.table, 101 + t * S);
    CU_ASSERT_EQUAL(state(&f, 20), MR_NEIGHBOUR_FAILED);
    resolve(&f, 21, 200, &mac);
    CU_ASSERT_EQUAL(state(&f, 20), MR_NEIGHBOUR_NONE);
    CU_ASSERT_EQUAL(state(&f, 2), MR_NEIGHBOUR_REACHABLE);
    CU_ASSERT_EQUAL(f.counters.net_neighbour_evicted, 2);
    end(&f);
}

static void what_packets_wait_for_is_not_evicted(void)
{
    struct fixture f;
    struct mr_mac mac;
    int packet;

    begin_limited(&f, 8, 64, 1000);
    struct mr_ip ip = host(0);
    mr_neighbour_set_gateway(f.table, &ip);
    ip = host(1);
    mr_neighbour_set_static(f.table, &ip, &mac_a);
    for (uint32_t n = 2; n < 8; n++) {
        resolve(&f, n, n, &mac);
        CU_ASSERT(wait_for(&f, n, &packet));
    }
    CU_ASSERT_EQUAL(resolve(&f, 20, 10, &mac), MR_NEIGHBOUR_FULL);
    CU_ASSERT_EQUAL(f.counters.net_neighbour_full, 1);
    mr_neighbour_release_all(f.table);
    struct mr_neighbour_released released;
    while (mr_neighbour_take_released(f.table, &released))
        ;
    end(&f);
}

static void new_addresses_have_a_rate(void)
{
    struct fixture f;
    struct mr_mac mac;
    uint32_t begun = 0;

    begin_limited(&f, 1024, 64, 10);
    for (uint32_t n = 0; n < 500; n++)
        begun += resolve(&f, n, 0, &mac) == MR_NEIGHBOUR_WAIT;
    CU_ASSERT_EQUAL(begun, 10);
    for (uint32_t n = 500; n < 1000; n++)
        begun += resolve(&f, n, S / 2, &mac) == MR_NEIGHBOUR_WAIT;
    CU_ASSERT_EQUAL(begun, 15);
    for (uint32_t n = 1000; n < 1500; n++)
        learn(&f, n, &mac_a, MR_NEIGHBOUR_REQUEST, S / 2);
    CU_ASSERT_EQUAL(mr_neighbour_count(f.table), 15);
    end(&f);
}

static void answers_are_shared_even_if_another_shard_asked(void)
{
    struct fixture f;
    struct mr_neighbour_update update;

    begin(&f);
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_ANSWER, 0);
    CU_ASSERT_FATAL(mr_neighbour_take_update(f.table, &update));
    struct mr_ip ip = host(1);
    CU_ASSERT(mr_ip_equal(&update.ip, &ip) && mr_mac_equal(&update.mac, &mac_a));
    learn(&f, 1, &mac_a, MR_NEIGHBOUR_SHARED, 0);
    learn(&f, 2, &mac_a, MR_NEIGHBOUR_REQUEST, 0);
    CU_ASSERT_FALSE(mr_neighbour_take_update(f.table, &update)); /* no rumours, no echoes */
    for (uint32_t n = 0; n < 100; n++)
        learn(&f, n, &mac_a, MR_NEIGHBOUR_ANSWER, 0);
    uint32_t count = 0;
    while (mr_neighbour_take_update(f.table, &update))
        count++;
    CU_ASSERT_EQUAL(count, MR_NEIGHBOUR_UPDATES_MAX);
    end(&f);
}

/* Which of 64 addresses 64 entries keep depends on a secret: nobody can choose addresses that
 * collide. */
static void where_an_address_lies_depends_on_the_key(void)
{
    uint64_t kept[2] = {0};

    for (uint8_t k = 0; k < 2; k++) {
        struct mr_neighbour_limits limits = {
            .entries_max = 64, .waiting_max = 1, .new_per_second = 1000};
        uint8_t key[16] = {[9] = k};
        struct fixture f;

        begin(&f);
        f.table = mr_neighbours_init(f.mem, &limits, key, &f.counters);
        for (uint32_t n = 0; n < 64; n++)
            learn(&f, n + 1, &mac_a, MR_NEIGHBOUR_REQUEST, n);
        for (uint32_t n = 0; n < 64; n++)
            kept[k] |= (uint64_t)(state(&f, n + 1) != MR_NEIGHBOUR_NONE) << n;
        end(&f);
    }
    CU_ASSERT_NOT_EQUAL(kept[0], kept[1]);
}

/* An entry that is evicted while its solicitation is queued must not have the next one asked for
 * twice. */
static void an_evicted_entry_leaves_no_solicitation_behind(void)
{
    struct fixture f;
    struct mr_mac mac;
    struct mr_neighbour_solicit solicit;

    begin_limited(&f, 8, 64, 1000);
    for (uint32_t n = 0; n < 12; n++)
        resolve(&f, n, n + 1, &mac);
    uint32_t count = 0;
    while (mr_neighbour_take_solicit(f.table, &solicit)) {
        struct mr_ip oldest = host(4);
        CU_ASSERT(memcmp(&solicit.ip, &oldest, sizeof(oldest)) >= 0);
        count++;
    }
    CU_ASSERT_EQUAL(count, 8);
    end(&f);
}

static CU_TestInfo states[] = {
    {"an unknown address is asked for and then known",
     an_unknown_address_is_asked_for_and_then_known},
    {"three unanswered questions are a failure for a while",
     three_unanswered_questions_are_a_failure_for_a_while},
    {"an old address is probed when it is used", an_old_address_is_probed_when_it_is_used},
    {"an unanswered probe forgets and says so", an_unanswered_probe_forgets_and_says_so},
    {"an answer with another address is a change", an_answer_with_another_address_is_a_change},
    {"a static address never ages", a_static_address_never_ages},
    {"what waited goes to the static address", what_waited_goes_to_the_static_address},
    {"a gateway that died is asked for again", a_gateway_that_died_is_asked_for_again},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo waiting[] = {
    {"packets wait and come back in order", packets_wait_and_come_back_in_order},
    {"packets for a silent neighbour come back unresolved",
     packets_for_a_silent_neighbour_come_back_unresolved},
    {"all waiting packets have one limit", all_waiting_packets_have_one_limit},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo belief[] = {
    {"only answers are believed against what is known",
     only_answers_are_believed_against_what_is_known},
    {"a contradiction makes everybody be asked", a_contradiction_makes_everybody_be_asked},
    {"impossible addresses are refused", impossible_addresses_are_refused},
    {"answers are shared even if another shard asked",
     answers_are_shared_even_if_another_shard_asked},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo limits[] = {
    {"a full cache evicts the failed and the least used",
     a_full_cache_evicts_the_failed_and_the_least_used},
    {"what packets wait for is not evicted", what_packets_wait_for_is_not_evicted},
    {"new addresses have a rate", new_addresses_have_a_rate},
    {"where an address lies depends on the key", where_an_address_lies_depends_on_the_key},
    {"an evicted entry leaves no solicitation behind",
     an_evicted_entry_leaves_no_solicitation_behind},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/neighbour states", .pTests = states},
    {.pName = "dataplane/neighbour waiting", .pTests = waiting},
    {.pName = "dataplane/neighbour belief", .pTests = belief},
    {.pName = "dataplane/neighbour limits", .pTests = limits},
    CU_SUITE_INFO_NULL,
};
