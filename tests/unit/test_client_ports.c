/* Tests of dataplane/client_ports.h. */
#include "dataplane/client_ports.h"

#include "base/compiler.h"
#include "tests/unit/harness.h"

static bool open_ports[65536];

static bool is_open(const void *context, uint16_t port)
{
    CU_ASSERT_PTR_NULL(context);
    CU_ASSERT_NOT_EQUAL(port, 0);
    return open_ports[port];
}

static void open_all(uint16_t first, uint32_t count)
{
    memset(open_ports, 0, sizeof(open_ports));
    for (uint32_t i = 0; i < count; i++)
        open_ports[(uint16_t)(first + i)] = true;
}

/* However many shards there are, and wherever their ports begin: each goes round its own, and comes
 * back where it began only when it was at all of them. */
static void shards_never_meet(void)
{
    static const uint32_t shards[] = {1, 2, 3, 7, 64};

    for (size_t k = 0; k < MR_COUNT_OF(shards); k++) {
        const uint16_t firsts[] = {1, 49152, mr_client_ports_first_max(shards[k])};

        for (size_t f = 0; f < MR_COUNT_OF(firsts); f++) {
            static uint8_t owner[65536];
            uint32_t count = shards[k] * MR_CLIENT_PORTS_EACH;

            memset(owner, 0, sizeof(owner));
            open_all(firsts[f], count);
            for (uint32_t i = 0; i < shards[k]; i++) {
                struct mr_client_ports p = {.first = firsts[f],
                                            .count = (uint16_t)count,
                                            .step = (uint16_t)shards[k],
                                            .index = (uint16_t)i};
                uint16_t begin = (uint16_t)(firsts[f] + i);
                uint16_t port = begin;

                for (uint32_t n = 0; n < MR_CLIENT_PORTS_EACH; n++) {
                    CU_ASSERT(port >= firsts[f] && port < firsts[f] + count);
                    CU_ASSERT_EQUAL(owner[port], 0);
                    owner[port] = (uint8_t)(i + 1);
                    port = mr_client_ports_next(&p, port, is_open, NULL);
                }
                CU_ASSERT_EQUAL(port, begin);
            }
        }
    }
}

/* The last of them is the last that there is: none is 0, and none begins anew at 1. */
static void the_highest_ports_fit(void)
{
    CU_ASSERT_EQUAL(mr_client_ports_first_max(1), 65532);
    CU_ASSERT_EQUAL(mr_client_ports_first_max(1) + MR_CLIENT_PORTS_EACH - 1, 65535);
    CU_ASSERT_EQUAL(mr_client_ports_first_max(64), 65280);
}

/* A connection that came from another shard leaves that one's ports. */
static void a_connection_that_moved_goes_to_its_new_shards_ports(void)
{
    struct mr_client_ports p = {.first = 50000, .count = 8, .step = 2, .index = 1};

    open_all(50000, 8);
    CU_ASSERT_EQUAL(mr_client_ports_next(&p, 50000, is_open, NULL), 50001);
    CU_ASSERT_EQUAL(mr_client_ports_next(&p, 50006, is_open, NULL), 50007);
    CU_ASSERT_EQUAL(mr_client_ports_next(&p, 50007, is_open, NULL), 50001);
}

/* Where ports are not divided, each that is open will do; a single one is no other. */
static void without_shares_any_open_port_will_do(void)
{
    struct mr_client_ports p = {.count = 0};

    open_all(443, 1);
    CU_ASSERT_EQUAL(mr_client_ports_next(&p, 443, is_open, NULL), 0);
    open_ports[65535] = true;
    CU_ASSERT_EQUAL(mr_client_ports_next(&p, 443, is_open, NULL), 65535);
    CU_ASSERT_EQUAL(mr_client_ports_next(&p, 65535, is_open, NULL), 443);
}

static CU_TestInfo tests[] = {
    {"shards never meet", shards_never_meet},
    {"the highest ports fit", the_highest_ports_fit},
    {"a connection that moved goes to its new shard's ports",
     a_connection_that_moved_goes_to_its_new_shards_ports},
    {"without shares any open port will do", without_shares_any_open_port_will_do},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/client_ports", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
