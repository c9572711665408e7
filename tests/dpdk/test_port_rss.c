/*
 * tests/dpdk/test_port_rss.c - drivers/port_rss.h: keys, by the Toeplitz hash of the tree
 * (drivers/wire_rss.h); and a card whose driver is the test: the calls are wrapped by the linker.
 */
#include "drivers/port_rss.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include <rte_flow.h>

#include "base/random.h"
#include "drivers/port.h"
#include "drivers/wire_rss.h"
#include "tests/unit/harness.h"

enum {
    KEYS = 50,
    FLOWS = 10000,
    TUPLE4 = 12, /* two addresses, two ports */
    TUPLE6 = 36
};

/* ------------------------------------------------------------------ keys */

static struct mr_random random_of(uint64_t seed)
{
    struct mr_random random;

    mr_random_init(&random, (const uint64_t[4]){seed, 2, 3, 4});
    return random;
}

/* A flow as one side sends it, and as the other does. */
static void draw_flow(struct mr_random *random, uint32_t size, uint8_t *there, uint8_t *back)
{
    uint32_t ip = (size - 4) / 2;

    for (uint32_t i = 0; i < size; i++)
        there[i] = (uint8_t)mr_random_u64(random);
    memcpy(back, there + ip, ip);
    memcpy(back + ip, there, ip);
    memcpy(back + size - 4, there + size - 2, 2);
    memcpy(back + size - 2, there + size - 4, 2);
}

/* Flows whose two directions have the same hash, of FLOWS; how many of them each slot got. */
static uint32_t spread(const uint8_t *key, uint32_t size, uint32_t *slots, uint32_t slot_count)
{
    static struct mr_rss rss;
    struct mr_random random = random_of(1);
    uint8_t there[TUPLE6];
    uint8_t back[TUPLE6];
    uint32_t alike = 0;

    mr_rss_init(&rss, key, 1);
    memset(slots, 0, slot_count * sizeof(*slots));
    for (uint32_t i = 0; i < FLOWS; i++) {
        draw_flow(&random, size, there, back);
        uint32_t hash = mr_rss_hash_bytes(&rss, there, size);

        alike += hash == mr_rss_hash_bytes(&rss, back, size);
        slots[hash % slot_count]++;
    }
    return alike;
}

/* The sum of squares is one that chance alone exceeds once in e^25 times (Laurent and Massart 2000,
 * Lemma 1, of count - 1 degrees of freedom). */
static bool is_even(const uint32_t *slots, uint32_t count)
{
    double expected = (double)FLOWS / count;
    double off = 0;

    for (uint32_t i = 0; i < count; i++)
        off += (slots[i] - expected) * (slots[i] - expected) / expected;
    return off <= count - 1 + 2 * sqrt((count - 1) * 25.0) + 2 * 25.0;
}

static void check_keys(enum mr_port_rss_mode mode, uint32_t size, uint32_t alike)
{
    static const uint32_t counts[] = {2, 3, 4, 16, 128, MR_PORT_RSS_SLOTS};
    uint32_t slots[MR_PORT_RSS_SLOTS];
    uint8_t key[MR_RSS_KEY_SIZE];

    for (int i = 0; i < KEYS; i++) {
        CU_ASSERT_FATAL(mr_port_rss_draw(mode, key, sizeof(key)));
        for (size_t c = 0; c < MR_COUNT_OF(counts); c++) {
            CU_ASSERT_EQUAL(spread(key, size, slots, counts[c]), alike);
            CU_ASSERT(is_even(slots, counts[c]));
        }
    }
}

static void a_symmetric_key_hashes_both_directions_alike_and_reaches_all_slots_evenly(void)
{
    check_keys(MR_PORT_RSS_SYMMETRIC, TUPLE4, FLOWS);
    check_keys(MR_PORT_RSS_SYMMETRIC, TUPLE6, FLOWS);
}

static void a_random_key_tells_them_apart_and_spreads_as_evenly(void)
{
    check_keys(MR_PORT_RSS_RANDOM, TUPLE4, 0);
    check_keys(MR_PORT_RSS_RANDOM, TUPLE6, 0);
}

/* Ports of one client, all of them, by every slot: no two of 65,536 have one hash. */
static void a_symmetric_key_gives_each_port_of_a_client_a_hash_of_its_own(void)
{
    static bool has_come[65536];
    static struct mr_rss rss;
    uint8_t key[MR_RSS_KEY_SIZE];
    uint8_t tuple[TUPLE4] = {198, 18, 0, 2, 198, 18, 0, 1, 0, 0, 1, 187};

    for (int i = 0; i < KEYS; i++) {
        CU_ASSERT_FATAL(mr_port_rss_draw(MR_PORT_RSS_SYMMETRIC, key, sizeof(key)));
        memset(has_come, 0, sizeof(has_come));
        mr_rss_init(&rss, key, 1);
        for (uint32_t port = 0; port < 65536; port++) {
            tuple[8] = (uint8_t)(port >> 8);
            tuple[9] = (uint8_t)port;
            uint16_t hash = (uint16_t)mr_rss_hash_bytes(&rss, tuple, sizeof(tuple));

            CU_ASSERT_FALSE(has_come[hash]);
            has_come[hash] = true;
        }
    }
}

static void keys_differ_and_have_the_size_asked_for(void)
{
    static const uint32_t sizes[] = {2, 7, 40, 52, MR_PORT_RSS_KEY};

    for (int mode = MR_PORT_RSS_RANDOM; mode <= MR_PORT_RSS_SYMMETRIC; mode++)
        for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
            uint8_t keys[8][MR_PORT_RSS_KEY + 1] = {0};
            uint32_t same = 0;

            for (int k = 0; k < 8; k++) {
                CU_ASSERT(mr_port_rss_draw((enum mr_port_rss_mode)mode, keys[k], sizes[i]));
                CU_ASSERT_EQUAL(keys[k][sizes[i]], 0);
                same += k > 0 && memcmp(keys[k], keys[0], sizes[i]) == 0;
            }
            CU_ASSERT(same <= 2); /* 15 bits of chance, at least */
        }
}

/* ------------------------------------------------------------------ the card */

#define OFFERED                                                                                    \
    (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV4_UDP |                          \
     RTE_ETH_RSS_NONFRAG_IPV6_UDP)
#define CARD 3 /* its number with DPDK */

static struct {
    uint64_t offered;    /* flow types */
    uint8_t key_size;    /* bytes */
    uint32_t refuses_at; /* the rule that is refused; UINT32_MAX: none */
    bool fails_late;     /* not when it is asked about, but when it is to be made */
    bool keeps_key;      /* refuses another */
    uint32_t made;
    uint32_t destroyed;
    uint64_t rule_types[2];
    uint8_t key[MR_PORT_RSS_KEY];
} driver;

static void reset(void)
{
    memset(&driver, 0, sizeof(driver));
    driver.offered = OFFERED;
    driver.key_size = 40;
    driver.refuses_at = UINT32_MAX;
}

static struct rte_eth_dev_info info_of_card(void)
{
    return (struct rte_eth_dev_info){.flow_type_rss_offloads = driver.offered,
                                     .hash_key_size = driver.key_size,
                                     .reta_size = 128};
}

int __wrap_rte_flow_validate(uint16_t port, const struct rte_flow_attr *attr,
                             const struct rte_flow_item *pattern,
                             const struct rte_flow_action *actions, struct rte_flow_error *error);
struct rte_flow *__wrap_rte_flow_create(uint16_t port, const struct rte_flow_attr *attr,
                                        const struct rte_flow_item *pattern,
                                        const struct rte_flow_action *actions,
                                        struct rte_flow_error *error);
int __wrap_rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error);
int __wrap_rte_eth_dev_rss_hash_update(uint16_t port, struct rte_eth_rss_conf *conf);
int __wrap_rte_eth_dev_rss_hash_conf_get(uint16_t port, struct rte_eth_rss_conf *conf);
int __wrap_rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info);
int __wrap_rte_eth_dev_rss_reta_query(uint16_t port, struct rte_eth_rss_reta_entry64 *table,
                                      uint16_t size);

/* As ice and iavf want it: no key, no queues, the type of the pattern. */
int __wrap_rte_flow_validate(uint16_t port, const struct rte_flow_attr *attr,
                             const struct rte_flow_item *pattern,
                             const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    const struct rte_flow_action_rss *rss = actions[0].conf;

    CU_ASSERT_EQUAL(port, CARD);
    CU_ASSERT(attr->ingress == 1 && attr->egress == 0);
    CU_ASSERT_EQUAL(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
    CU_ASSERT_EQUAL(pattern[2].type, RTE_FLOW_ITEM_TYPE_UDP);
    CU_ASSERT_EQUAL(pattern[3].type, RTE_FLOW_ITEM_TYPE_END);
    CU_ASSERT_EQUAL(actions[0].type, RTE_FLOW_ACTION_TYPE_RSS);
    CU_ASSERT_EQUAL(actions[1].type, RTE_FLOW_ACTION_TYPE_END);
    CU_ASSERT_EQUAL(rss->func, RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ);
    CU_ASSERT(rss->level == 0 && rss->key_len == 0 && rss->queue_num == 0 && rss->queue == NULL);
    CU_ASSERT_EQUAL(rss->types, pattern[1].type == RTE_FLOW_ITEM_TYPE_IPV4
                                    ? RTE_ETH_RSS_NONFRAG_IPV4_UDP
                                    : RTE_ETH_RSS_NONFRAG_IPV6_UDP);
    error->message = "this card cannot";
    return driver.made < driver.refuses_at || driver.fails_late ? 0 : -ENOTSUP;
}

struct rte_flow *__wrap_rte_flow_create(uint16_t port, const struct rte_flow_attr *attr,
                                        const struct rte_flow_item *pattern,
                                        const struct rte_flow_action *actions,
                                        struct rte_flow_error *error)
{
    const struct rte_flow_action_rss *rss = actions[0].conf;

    (void)port;
    (void)attr;
    (void)pattern;
    (void)error;
    if (driver.made == driver.refuses_at)
        return NULL;
    CU_ASSERT_FATAL(driver.made < MR_COUNT_OF(driver.rule_types));
    driver.rule_types[driver.made] = rss->types;
    return (struct rte_flow *)(void *)&driver.rule_types[driver.made++];
}

int __wrap_rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error)
{
    (void)port;
    (void)error;
    CU_ASSERT_PTR_EQUAL(flow, &driver.rule_types[driver.made - 1 - driver.destroyed]);
    driver.destroyed++;
    return 0;
}

int __wrap_rte_eth_dev_rss_hash_update(uint16_t port, struct rte_eth_rss_conf *conf)
{
    CU_ASSERT_EQUAL(port, CARD);
    CU_ASSERT_EQUAL(conf->rss_key_len, driver.key_size);
    CU_ASSERT_EQUAL(conf->rss_hf, driver.offered);
    if (driver.keeps_key)
        return -ENOTSUP;
    memcpy(driver.key, conf->rss_key, driver.key_size);
    return 0;
}

int __wrap_rte_eth_dev_rss_hash_conf_get(uint16_t port, struct rte_eth_rss_conf *conf)
{
    (void)port;
    memcpy(conf->rss_key, driver.key, driver.key_size);
    conf->rss_hf = driver.offered;
    return 0;
}

int __wrap_rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info)
{
    (void)port;
    *info = info_of_card();
    return 0;
}

int __wrap_rte_eth_dev_rss_reta_query(uint16_t port, struct rte_eth_rss_reta_entry64 *table,
                                      uint16_t size)
{
    (void)port;
    (void)table;
    CU_ASSERT_EQUAL(size, 128);
    return 0;
}

static bool has_period(const uint8_t *key, uint32_t size)
{
    return memcmp(key, key + 2, size - 2) == 0;
}

/* What is asked for when the device is configured: nothing, or a key. */
static bool asks(uint16_t queue_count, enum mr_port_rss_mode mode)
{
    struct rte_eth_dev_info info = info_of_card();
    struct mr_port_rss_request request;
    struct rte_eth_conf conf = {0};

    mr_port_rss_ask(&request, &info, queue_count, mode, &conf);
    if (conf.rxmode.mq_mode != RTE_ETH_MQ_RX_RSS) {
        CU_ASSERT_PTR_NULL(conf.rx_adv_conf.rss_conf.rss_key);
        return false;
    }
    CU_ASSERT_EQUAL(conf.rx_adv_conf.rss_conf.rss_key_len, driver.key_size);
    CU_ASSERT_EQUAL(conf.rx_adv_conf.rss_conf.rss_hf, driver.offered);
    CU_ASSERT_EQUAL(has_period(conf.rx_adv_conf.rss_conf.rss_key, driver.key_size),
                    mode == MR_PORT_RSS_SYMMETRIC);
    return true;
}

static void a_card_of_several_queues_is_asked_to_hash_with_a_key_of_that_kind(void)
{
    for (int mode = MR_PORT_RSS_RANDOM; mode <= MR_PORT_RSS_SYMMETRIC; mode++) {
        reset();
        CU_ASSERT(asks(2, (enum mr_port_rss_mode)mode));
        CU_ASSERT_FALSE(asks(1, (enum mr_port_rss_mode)mode));
        driver.key_size = 52;
        CU_ASSERT(asks(4, (enum mr_port_rss_mode)mode));
        driver.key_size = 1;
        CU_ASSERT_FALSE(asks(4, (enum mr_port_rss_mode)mode));
        driver.key_size = MR_PORT_RSS_KEY + 1;
        CU_ASSERT_FALSE(asks(4, (enum mr_port_rss_mode)mode));
        reset();
        driver.offered = 0;
        CU_ASSERT_FALSE(asks(4, (enum mr_port_rss_mode)mode));
    }
}

static bool take_function(void)
{
    struct rte_eth_dev_info info = info_of_card();

    return mr_port_rss_take_function(CARD, &info);
}

static bool says_symmetric(bool has_function)
{
    struct mr_port card = {.ethdev = CARD,
                           .is_card = true,
                           .has_symmetric_hash = has_function,
                           .traits.queue_count = 4};
    struct mr_port_rss rss;

    CU_ASSERT_EQUAL(mr_port_rss_read(&card, &rss), 0);
    CU_ASSERT_EQUAL(memcmp(rss.key, driver.key, driver.key_size), 0);
    return rss.is_symmetric;
}

static void a_symmetric_function_has_a_random_key(void)
{
    reset();
    CU_ASSERT(mr_port_rss_draw(MR_PORT_RSS_SYMMETRIC, driver.key, 40));
    CU_ASSERT(says_symmetric(false));
    CU_ASSERT(take_function());
    CU_ASSERT_EQUAL(driver.made, 2);
    CU_ASSERT_EQUAL(driver.destroyed, 0);
    CU_ASSERT_EQUAL(driver.rule_types[0] | driver.rule_types[1],
                    RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP);
    CU_ASSERT_FALSE(has_period(driver.key, 40));
    CU_ASSERT(says_symmetric(true));
    CU_ASSERT_FALSE(says_symmetric(false));
}

/* Of one of both only, or none, or with the key that is there: then it stays as it was. */
static void without_a_function_the_key_stays(void)
{
    for (uint32_t at = 0; at <= 2; at++)
        for (int is_late = 0; is_late < 2; is_late++) {
            uint8_t key[40];

            reset();
            CU_ASSERT(mr_port_rss_draw(MR_PORT_RSS_SYMMETRIC, key, sizeof(key)));
            memcpy(driver.key, key, sizeof(key));
            driver.refuses_at = at;
            driver.fails_late = is_late != 0;
            driver.keeps_key = at == 2;
            CU_ASSERT_FALSE(take_function());
            CU_ASSERT_EQUAL(driver.made, at);
            CU_ASSERT_EQUAL(driver.destroyed, at);
            CU_ASSERT_EQUAL(memcmp(driver.key, key, sizeof(key)), 0);
            CU_ASSERT(says_symmetric(false));
        }
}

static CU_TestInfo keys[] = {
    {"a symmetric key hashes both directions alike and reaches all slots evenly",
     a_symmetric_key_hashes_both_directions_alike_and_reaches_all_slots_evenly},
    {"a random key tells them apart and spreads as evenly",
     a_random_key_tells_them_apart_and_spreads_as_evenly},
    {"a symmetric key gives each port of a client a hash of its own",
     a_symmetric_key_gives_each_port_of_a_client_a_hash_of_its_own},
    {"keys differ, and have the size asked for", keys_differ_and_have_the_size_asked_for},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo card[] = {
    {"a card of several queues is asked to hash with a key of that kind",
     a_card_of_several_queues_is_asked_to_hash_with_a_key_of_that_kind},
    {"a symmetric function has a random key", a_symmetric_function_has_a_random_key},
    {"without a function the key stays", without_a_function_the_key_stays},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "keys", .pTests = keys},
    {.pName = "the card", .pTests = card},
    CU_SUITE_INFO_NULL,
};
