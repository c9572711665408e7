/*
 * tests/dpdk/test_cid_rules.c - control/cid_rules.h and drivers/port_rules.h, with a card whose
 * driver is the test: rte_flow's calls are wrapped by the linker.
 */
#include "control/cid_rules.h"

#include <errno.h>
#include <string.h>

#include <rte_flow.h>

#include "base/log.h"
#include "tests/dpdk/dpdk_harness.h"

enum {
    SHARDS = 3
};

/* What the driver was asked for. */
static struct {
    uint32_t refuses_at; /* the rule that is refused, UINT32_MAX: none */
    bool fails_late;     /* not when it is asked about, but when it is to be made */
    uint32_t made;
    uint32_t destroyed;
    struct {
        enum rte_flow_item_type ip;
        uint16_t queue;
        uint16_t size;
        uint8_t bytes[MR_PORT_MATCH];
        uint8_t mask[MR_PORT_MATCH];
    } rule[16];
} driver;

int __wrap_rte_flow_validate(uint16_t port, const struct rte_flow_attr *attr,
                             const struct rte_flow_item *pattern,
                             const struct rte_flow_action *actions, struct rte_flow_error *error);
struct rte_flow *__wrap_rte_flow_create(uint16_t port, const struct rte_flow_attr *attr,
                                        const struct rte_flow_item *pattern,
                                        const struct rte_flow_action *actions,
                                        struct rte_flow_error *error);
int __wrap_rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error);

int __wrap_rte_flow_validate(uint16_t port, const struct rte_flow_attr *attr,
                             const struct rte_flow_item *pattern,
                             const struct rte_flow_action *actions, struct rte_flow_error *error)
{
    (void)port;
    CU_ASSERT(attr->ingress == 1 && attr->egress == 0);
    CU_ASSERT_EQUAL(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
    CU_ASSERT_EQUAL(pattern[2].type, RTE_FLOW_ITEM_TYPE_UDP);
    CU_ASSERT_EQUAL(pattern[3].type, RTE_FLOW_ITEM_TYPE_RAW);
    CU_ASSERT_EQUAL(pattern[4].type, RTE_FLOW_ITEM_TYPE_END);
    CU_ASSERT_EQUAL(actions[0].type, RTE_FLOW_ACTION_TYPE_QUEUE);
    CU_ASSERT_EQUAL(actions[1].type, RTE_FLOW_ACTION_TYPE_END);
    if (driver.made < driver.refuses_at || driver.fails_late)
        return 0;
    error->message = "this card cannot";
    return -ENOTSUP;
}

struct rte_flow *__wrap_rte_flow_create(uint16_t port, const struct rte_flow_attr *attr,
                                        const struct rte_flow_item *pattern,
                                        const struct rte_flow_action *actions,
                                        struct rte_flow_error *error)
{
    const struct rte_flow_item_raw *raw = pattern[3].spec;
    const struct rte_flow_item_raw *mask = pattern[3].mask;
    const struct rte_flow_action_queue *queue = actions[0].conf;
    uint32_t at = driver.made;

    (void)port;
    (void)attr;
    if (at == driver.refuses_at) {
        error->message = "the table is full";
        rte_errno = ENOSPC;
        return NULL;
    }
    CU_ASSERT_FATAL(at < MR_COUNT_OF(driver.rule) && raw->length <= MR_PORT_MATCH);
    CU_ASSERT(raw->relative == 1 && raw->search == 0 && raw->offset == 0);
    driver.rule[at].ip = pattern[1].type;
    driver.rule[at].queue = queue->index;
    driver.rule[at].size = raw->length;
    memcpy(driver.rule[at].bytes, raw->pattern, raw->length);
    memcpy(driver.rule[at].mask, mask->pattern, raw->length);
    driver.made++;
    return (struct rte_flow *)(void *)&driver.rule[at];
}

int __wrap_rte_flow_destroy(uint16_t port, struct rte_flow *flow, struct rte_flow_error *error)
{
    (void)port;
    (void)error;
    CU_ASSERT_PTR_EQUAL(flow, &driver.rule[driver.made - 1 - driver.destroyed]);
    driver.destroyed++;
    return 0;
}

static struct mr_port card(void)
{
    return (struct mr_port){
        .is_card = true, .traits.queue_count = SHARDS, .spec = "pci:0000:03:00.0"};
}

static void reset(uint32_t refuses_at, bool fails_late)
{
    memset(&driver, 0, sizeof(driver));
    driver.refuses_at = refuses_at;
    driver.fails_late = fails_late;
}

static bool has_match(const struct mr_port_match *match, const uint8_t *payload)
{
    for (size_t i = 0; i < match->size; i++)
        if ((payload[i] & match->mask[i]) != match->bytes[i])
            return false;
    return true;
}

/* ---- matches ---- */

/* RFC 9000, Section 17.3.1: a short header, whose other bits are protected, and then the
 * connection ID. */
static void short_headers_match_the_shard_that_issued_their_connection_id(void)
{
    for (uint8_t kind = MR_CID_QUIC_LB; kind <= MR_CID_KATRAN_3; kind++)
        for (uint16_t shard = 0; shard < 64; shard++)
            for (uint64_t i = 0; i < 64; i++) {
                struct mr_cid_format issuer = {
                    .kind = kind, .node = 1234, .shard = shard, .generation = 1};
                struct mr_cid cid = mr_cid_encode(&issuer, i * UINT64_C(0x9e3779b97f4a7c15));
                uint8_t payload[1 + MR_LOCAL_CID_SIZE] = {(uint8_t)(i * 37 & 0x7f)};
                struct mr_cid_format other = issuer;

                memcpy(payload + 1, cid.bytes, cid.size);
                struct mr_port_match match = mr_cid_rules_match(&issuer);
                CU_ASSERT_EQUAL(match.queue, shard);
                CU_ASSERT(has_match(&match, payload));
                other.shard = (uint16_t)((shard + 1 + i) % 64);
                match = mr_cid_rules_match(&other);
                CU_ASSERT_EQUAL(has_match(&match, payload), other.shard == shard);
                payload[0] |= 0x80;
                match = mr_cid_rules_match(&issuer);
                CU_ASSERT_FALSE(has_match(&match, payload));
            }
}

/* ---- rules ---- */

static const struct mr_cid_format format = {.node = 7, .config = 2, .generation = 3};

static void a_card_that_can_gets_two_rules_for_each_shard(void)
{
    struct mr_cid_rules rules = {0};
    struct mr_port port = card();
    char text[80];

    reset(UINT32_MAX, false);
    mr_cid_rules_try(&rules, &port, &format, SHARDS);
    CU_ASSERT_EQUAL(rules.state, MR_CID_RULES_TRIAL_RUN);
    CU_ASSERT_EQUAL(driver.made, 2 * SHARDS);
    for (uint32_t i = 0; i < 2 * SHARDS; i++) {
        struct mr_cid_format issuer = format;

        issuer.shard = (uint16_t)(i / 2);
        struct mr_port_match match = mr_cid_rules_match(&issuer);
        CU_ASSERT_EQUAL(driver.rule[i].ip,
                        i % 2 == 0 ? RTE_FLOW_ITEM_TYPE_IPV4 : RTE_FLOW_ITEM_TYPE_IPV6);
        CU_ASSERT_EQUAL(driver.rule[i].queue, i / 2);
        CU_ASSERT_EQUAL(driver.rule[i].size, match.size);
        CU_ASSERT_EQUAL(memcmp(driver.rule[i].bytes, match.bytes, match.size), 0);
        CU_ASSERT_EQUAL(memcmp(driver.rule[i].mask, match.mask, match.size), 0);
    }
    mr_cid_rules_describe(&rules, text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(text, "trial");
    mr_port_rules_drop(&port, &rules.rules);
    CU_ASSERT_EQUAL(driver.destroyed, 2 * SHARDS);
}

static void a_card_that_refuses_has_none_and_its_reason_is_told(void)
{
    for (uint32_t at = 0; at < 2 * SHARDS; at++) {
        for (int is_late = 0; is_late < 2; is_late++) {
            struct mr_cid_rules rules = {0};
            struct mr_port port = card();
            char text[80];

            reset(at, is_late != 0);
            mr_cid_rules_try(&rules, &port, &format, SHARDS);
            CU_ASSERT_EQUAL(rules.state, MR_CID_RULES_REFUSED);
            CU_ASSERT_EQUAL(rules.rules.count, 0);
            CU_ASSERT_EQUAL(driver.made, at);
            CU_ASSERT_EQUAL(driver.destroyed, at);
            mr_cid_rules_describe(&rules, text, sizeof(text));
            CU_ASSERT_STRING_EQUAL(text, is_late != 0 ? "refused: the table is full"
                                                      : "refused: this card cannot");
        }
    }
}

static void a_port_that_is_no_card_is_not_asked(void)
{
    struct mr_cid_rules rules = {0};
    struct mr_port port = card();
    char text[80];

    port.is_card = false;
    reset(UINT32_MAX, false);
    mr_cid_rules_try(&rules, &port, &format, SHARDS);
    mr_cid_rules_describe(&rules, text, sizeof(text));
    CU_ASSERT_STRING_EQUAL(text, "refused: the port is no card");
    CU_ASSERT_EQUAL(driver.made, 0);
}

/* ---- their trial ---- */

static void a_trial_needs_a_thousand_datagrams(void)
{
    CU_ASSERT_EQUAL(mr_cid_rules_verdict(0, 0), MR_CID_RULES_TRIAL_RUN);
    CU_ASSERT_EQUAL(mr_cid_rules_verdict(999, 999), MR_CID_RULES_TRIAL_RUN);
    CU_ASSERT_EQUAL(mr_cid_rules_verdict(1000, 0), MR_CID_RULES_IN_USE);
    CU_ASSERT_EQUAL(mr_cid_rules_verdict(1000, 100), MR_CID_RULES_IN_USE);
    CU_ASSERT_EQUAL(mr_cid_rules_verdict(1000, 101), MR_CID_RULES_WITHDRAWN);
}

static void rules_that_lead_astray_are_withdrawn_and_others_stay(void)
{
    for (int is_right = 0; is_right < 2; is_right++) {
        struct mr_cid_rules rules = {0};
        struct mr_port port = card();
        char text[80];

        reset(UINT32_MAX, false);
        mr_cid_rules_try(&rules, &port, &format, SHARDS);
        mr_cid_rules_judge(&rules, &port, 500, 400);
        CU_ASSERT_EQUAL(rules.state, MR_CID_RULES_TRIAL_RUN);
        mr_cid_rules_judge(&rules, &port, 5000, is_right != 0 ? 10 : 3700);
        mr_cid_rules_describe(&rules, text, sizeof(text));
        CU_ASSERT_STRING_EQUAL(text, is_right != 0 ? "in use" : "withdrawn");
        CU_ASSERT_EQUAL(driver.destroyed, is_right != 0 ? 0 : 2 * SHARDS);
        mr_cid_rules_judge(&rules, &port, 10000, is_right != 0 ? 10000 : 0); /* it is over */
        mr_cid_rules_describe(&rules, text, sizeof(text));
        CU_ASSERT_STRING_EQUAL(text, is_right != 0 ? "in use" : "withdrawn");
    }
}

static int be_quiet(void)
{
    mr_log_configure(&(struct mr_log_options){.level = MR_LOG_ERROR});
    return 0;
}

static CU_TestInfo tests[] = {
    {"short headers match the shard that issued their connection ID",
     short_headers_match_the_shard_that_issued_their_connection_id},
    {"a card that can gets two rules for each shard",
     a_card_that_can_gets_two_rules_for_each_shard},
    {"a card that refuses has none, and its reason is told",
     a_card_that_refuses_has_none_and_its_reason_is_told},
    {"a port that is no card is not asked", a_port_that_is_no_card_is_not_asked},
    {"a trial needs a thousand datagrams", a_trial_needs_a_thousand_datagrams},
    {"rules that lead astray are withdrawn, and others stay",
     rules_that_lead_astray_are_withdrawn_and_others_stay},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/cid_rules", .pTests = tests, .pInitFunc = be_quiet},
    CU_SUITE_INFO_NULL,
};
