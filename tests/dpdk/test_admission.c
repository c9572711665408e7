/* tests/dpdk/test_admission.c - the contract of control/admission.h: the kernel's 127.0.0.1 and ::1
 * are there on every machine, 198.18.255.254 on none. */
#include "control/admission.h"

#include <string.h>

#include "base/fault.h"
#include "dataplane/shard.h"
#include "tests/dpdk/dpdk_harness.h"

static struct mr_port_admission admission;

static struct mr_net_self self_of(const char *const *prefixes)
{
    struct mr_net_self self = {.vlan = 7};

    for (; *prefixes != NULL; prefixes++)
        CU_ASSERT_FATAL(mr_prefix_parse(*prefixes, &self.address[self.address_count++]));
    return self;
}

static void addresses_of_our_own_are_no_others(void)
{
    struct mr_net_self self =
        self_of((const char *const[]){"198.18.255.254/24", "fd00::fffe/64", NULL});
    struct mr_fault fault = {0};

    CU_ASSERT_FATAL(mr_admission_begin(&admission, &self, &fault));
    CU_ASSERT_EQUAL(admission.address_count, 2);
    CU_ASSERT(!admission.address[0].is_shared && !admission.address[1].is_shared);
    CU_ASSERT(!self.is_shared && !admission.asks_aside && admission.vlan == 7);
    CU_ASSERT_EQUAL(self.address_count, 2);
}

static void an_ipv4_address_of_the_kernel_is_shared(void)
{
    struct mr_net_self self =
        self_of((const char *const[]){"198.18.255.254/24", "127.0.0.1/8", NULL});
    struct mr_fault fault = {0};

    CU_ASSERT_FATAL(mr_admission_begin(&admission, &self, &fault));
    CU_ASSERT(!admission.address[0].is_shared && admission.address[1].is_shared);
    CU_ASSERT(self.is_shared && admission.asks_aside);
    CU_ASSERT_EQUAL(self.address_count, 2); /* who asks over ARP needs no address */
}

static void with_a_shared_ipv6_address_comes_a_link_local_one(void)
{
    struct mr_net_self self = self_of((const char *const[]){"::1/128", NULL});
    struct mr_net_self again = self_of((const char *const[]){"::1/128", NULL});
    struct mr_fault fault = {0};

    CU_ASSERT_FATAL(mr_admission_begin(&admission, &self, &fault));
    CU_ASSERT(self.is_shared && admission.address[0].is_shared);
    CU_ASSERT_EQUAL_FATAL(self.address_count, 2);
    CU_ASSERT(mr_ip_is_link_local(&self.address[1].ip) && self.address[1].bits == 64);
    CU_ASSERT_EQUAL_FATAL(admission.address_count, 2);
    CU_ASSERT(!admission.address[1].is_shared);
    CU_ASSERT_EQUAL(memcmp(admission.address[1].ip, self.address[1].ip.bytes, 16), 0);
    CU_ASSERT_FATAL(mr_admission_begin(&admission, &again, &fault));
    CU_ASSERT_FALSE(mr_ip_equal(&self.address[1].ip, &again.address[1].ip)); /* it is random */
}

static void without_room_for_it_the_fault_says_how_many_there_may_be(void)
{
    struct mr_net_self self = self_of(
        (const char *const[]){"::1/128", "fd00::f1/64", "fd00::f2/64", "fd00::f3/64", "fd00::f4/64",
                              "fd00::f5/64", "fd00::f6/64", "fd00::f7/64", NULL});
    struct mr_fault fault = {0};

    CU_ASSERT_FALSE(mr_admission_begin(&admission, &self, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "give 7 at most"));
}

static bool is_open(uint32_t port)
{
    return (admission.open_ports[port / 64] >> port % 64 & 1) != 0;
}

static void all_ports_of_all_shards_are_open_and_no_others(void)
{
    struct mr_shard_config shard = {.local_port = 443,
                                    .client_ports = {.first = 50000, .count = 8, .step = 2},
                                    .more_ports = (const uint16_t[]){63, 65535},
                                    .more_port_count = 2};
    uint32_t count = 0;

    memset(&admission, 0, sizeof(admission));
    mr_admission_open(&admission, &shard);
    for (uint32_t port = 0; port <= UINT16_MAX; port++)
        count += is_open(port);
    CU_ASSERT_EQUAL(count, 11);
    CU_ASSERT(is_open(443) && is_open(50000) && is_open(50007) && is_open(63) && is_open(65535));
}

static void what_the_kernel_gives_up_is_ours_and_what_it_takes_is_told(void)
{
    struct mr_net_self self =
        self_of((const char *const[]){"127.0.0.1/8", "198.18.255.254/24", NULL});
    struct mr_fault fault = {0};
    struct mr_ip ip;

    CU_ASSERT_FATAL(mr_admission_begin(&admission, &self, &fault));
    CU_ASSERT_EQUAL(mr_admission_look(&admission, &ip), MR_ADMISSION_SAME);
    admission.address[1].is_shared = true; /* as if it had been */
    CU_ASSERT_EQUAL(mr_admission_look(&admission, &ip), MR_ADMISSION_FREED);
    CU_ASSERT(mr_ip_equal(&ip, &self.address[1].ip) && !admission.address[1].is_shared);
    admission.address[0].is_shared = false;
    CU_ASSERT_EQUAL(mr_admission_look(&admission, &ip), MR_ADMISSION_TAKEN);
    CU_ASSERT(mr_ip_equal(&ip, &self.address[0].ip));
    CU_ASSERT_FALSE(admission.address[0].is_shared); /* frames stay as they were */
    admission.address[1].is_shared = true;
    CU_ASSERT_EQUAL(mr_admission_look(&admission, &ip), MR_ADMISSION_FREED); /* it can be mended */
}

static CU_TestInfo tests[] = {
    {"addresses of our own are no others'", addresses_of_our_own_are_no_others},
    {"an IPv4 address of the kernel's is shared", an_ipv4_address_of_the_kernel_is_shared},
    {"with a shared IPv6 address comes a link-local one",
     with_a_shared_ipv6_address_comes_a_link_local_one},
    {"without room for it the fault says how many there may be",
     without_room_for_it_the_fault_says_how_many_there_may_be},
    {"all ports of all shards are open, and no others",
     all_ports_of_all_shards_are_open_and_no_others},
    {"what the kernel gives up is ours, and what it takes is told",
     what_the_kernel_gives_up_is_ours_and_what_it_takes_is_told},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/admission", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
