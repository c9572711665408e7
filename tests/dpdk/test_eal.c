/* tests/dpdk/test_eal.c - the contract of control/eal.h: what is refused before DPDK starts, and
 * what then runs. */
#include "control/eal.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "tests/unit/harness.h"

/* Starting fails, and the fault contains `words`. */
static void check_fault(const struct mr_eal_config *config, const char *words)
{
    struct mr_fault fault = {0};

    CU_ASSERT_FALSE(mr_eal_start(config, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, words));
    if (strstr(fault.text, words) == NULL)
        printf("# %s\n", fault.text);
}

static void too_few_cores_are_named(void)
{
    struct mr_eal_config config = {.worker_count = MR_EAL_WORKERS_MAX + 1};

    check_fault(&config, "too many");
    config.worker_count = 2;
    config.cores = "0";
    check_fault(&config, "too few cores: 2 polling threads need a core each and there are 1");
}

static void a_malformed_list_of_cores_is_refused(void)
{
    static const char *const lists[] = {"", "a", "0,", ",0", "0-", "1-0", "0 1", "0x1", "-1"};

    for (size_t i = 0; i < MR_COUNT_OF(lists); i++)
        check_fault(&(struct mr_eal_config){.cores = lists[i], .worker_count = 1},
                    "malformed list of cores");
    check_fault(&(struct mr_eal_config){.cores = "1000", .worker_count = 1},
                "core 1000 does not exist");
    check_fault(&(struct mr_eal_config){.cores = "5000", .worker_count = 1},
                "malformed list of cores");
}

/* More than any machine of the tests has. */
static void hugepages_that_are_asked_for_must_be_there(void)
{
    struct mr_eal_config config = {
        .hugepages = MR_HUGEPAGES_REQUIRED, .memory_mb = 4000000, .shares_cores = true};

    check_fault(&config, "too few huge pages: 4000000 MB of them are asked for; reserve them with");
}

static int report_cpu(void *argument)
{
    *(int *)argument = sched_getcpu();
    return 7;
}

static void workers_run_on_their_cores(void)
{
    struct mr_eal_config config = {
        .worker_count = 3, .memory_mb = 64, .hugepages = MR_HUGEPAGES_OFF, .shares_cores = true};
    struct mr_fault fault = {0};
    cpu_set_t before;
    cpu_set_t after;

    sched_getaffinity(0, sizeof(before), &before);
    bool is_started = mr_eal_start(&config, &fault);
    if (!is_started)
        printf("# %s\n", fault.text);
    CU_ASSERT_FATAL(is_started);
    sched_getaffinity(0, sizeof(after), &after);
    CU_ASSERT(CPU_EQUAL(&before, &after)); /* the control thread stays where it may run */
    CU_ASSERT_EQUAL(mr_eal_info()->worker_count, 3);
    CU_ASSERT_EQUAL(mr_eal_info()->memory_mb, 64);
    CU_ASSERT_FALSE(mr_eal_info()->has_hugepages);

    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 3; i++) {
            int cpu = -1;

            mr_eal_launch(i, report_cpu, &cpu);
            CU_ASSERT_EQUAL(mr_eal_join(i), 7);
            CU_ASSERT_EQUAL(cpu, mr_eal_info()->worker_cpu[i]);
        }
}

/* Runs after the one above. */
static void a_second_start_is_refused_in_words(void)
{
    struct mr_eal_config config = {.memory_mb = 64, .hugepages = MR_HUGEPAGES_OFF};

    check_fault(&config, "DPDK does not start");
    CU_ASSERT_NOT_EQUAL(mr_eal_log()[0], '\0');
    mr_eal_log_clear();
    CU_ASSERT_EQUAL(mr_eal_log()[0], '\0');
}

/* Last: EAL is gone afterwards. */
static void stopping_leaves_nothing_behind(void)
{
    char path[64];

    mr_eal_stop();
    snprintf(path, sizeof(path), "/var/run/dpdk/millrace-%d", (int)getpid());
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static CU_TestInfo tests[] = {
    {"too few cores are named", too_few_cores_are_named},
    {"a malformed list of cores is refused", a_malformed_list_of_cores_is_refused},
    {"hugepages that are asked for must be there", hugepages_that_are_asked_for_must_be_there},
    {"workers run on their cores", workers_run_on_their_cores},
    {"a second start is refused in words", a_second_start_is_refused_in_words},
    {"stopping leaves nothing behind", stopping_leaves_nothing_behind},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/eal", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
