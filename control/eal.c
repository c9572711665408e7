/* control/eal.c - see eal.h. */
#include "control/eal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/fault.h"
#include "control/cpu_list.h"
#include "drivers/dpdk_log.h"

enum {
    ARGUMENTS_MAX = 32,
    DESCRIPTORS = 24,            /* files of EAL, a port, and what comes and goes at the start */
    DESCRIPTORS_PER_WORKER = 10, /* its pipes, a port's queue, helper threads */
    LIST_SIZE = 2048,            /* bytes of a list of lcores */
    HUGE_SHIFT_2M = 21 << 26,    /* MAP_HUGE_2MB */
    HUGE_SHIFT_1G = 30 << 26     /* MAP_HUGE_1GB */
};

_Static_assert(MR_EAL_WORKERS_MAX < RTE_MAX_LCORE, "worker i is lcore i + 1");

static struct mr_eal_info eal;
static bool has_telemetry;

/* ---- CPUs ---- */

bool mr_eal_check_cores(const char *cores, struct mr_fault *fault)
{
    struct mr_cpu_list list;

    return mr_cpu_list_parse(cores, NULL, &list, fault);
}

/* Give every worker its CPU. */
static bool assign_cpus(const struct mr_eal_config *config, const struct mr_cpu_list *usable,
                        struct mr_fault *fault)
{
    struct mr_cpu_list list = *usable;

    if (config->cores != NULL && !mr_cpu_list_parse(config->cores, usable, &list, fault))
        return false;
    if (config->worker_count > MR_EAL_WORKERS_MAX) {
        mr_fault_set(fault, EINVAL, "%u polling cores are too many: at most %d",
                     config->worker_count, MR_EAL_WORKERS_MAX);
        return false;
    }
    if (config->worker_count > list.count && !config->shares_cores) {
        mr_fault_set(
            fault, EINVAL,
            "too few cores: %u polling threads need a core each and there are %u; use fewer "
            "shards or more cores",
            config->worker_count, list.count);
        return false;
    }
    for (uint32_t i = 0; i < config->worker_count; i++)
        eal.worker_cpu[i] = list.cpu[i % list.count];
    eal.worker_count = config->worker_count;
    eal.cpu_count = usable->count;
    return true;
}

/* "0@(0,1),1@0,2@1": lcore 0 is the control thread, on every CPU; lcore i + 1 is worker i. */
static void write_lcores(const struct mr_cpu_list *usable, char text[LIST_SIZE])
{
    int used = snprintf(text, LIST_SIZE, "0@(");

    for (uint32_t i = 0; i < usable->count && used < LIST_SIZE - 16; i++)
        used += snprintf(text + used, (size_t)(LIST_SIZE - used), "%s%u", i > 0 ? "," : "",
                         usable->cpu[i]);
    used += snprintf(text + used, (size_t)(LIST_SIZE - used), ")");
    for (uint32_t i = 0; i < eal.worker_count && used < LIST_SIZE - 16; i++)
        used +=
            snprintf(text + used, (size_t)(LIST_SIZE - used), ",%u@%u", i + 1, eal.worker_cpu[i]);
}

/* ---- memory ---- */

/* Can `size` bytes of huge pages be had? */
static bool can_map(size_t size, int page_flag, size_t page)
{
    size_t rounded = (size + page - 1) & ~(page - 1);
    void *mem = mmap(NULL, rounded, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | page_flag, -1, 0);

    if (mem == MAP_FAILED)
        return false;
    munmap(mem, rounded);
    return true;
}

static bool choose_memory(const struct mr_eal_config *config, struct mr_fault *fault)
{
    eal.memory_mb = config->memory_mb > 0 ? config->memory_mb : MR_EAL_MEMORY_MB;
    size_t size = (size_t)eal.memory_mb << 20;

    eal.has_hugepages =
        config->hugepages != MR_HUGEPAGES_OFF && (can_map(size, HUGE_SHIFT_2M, (size_t)1 << 21) ||
                                                  can_map(size, HUGE_SHIFT_1G, (size_t)1 << 30));
    if (config->hugepages == MR_HUGEPAGES_REQUIRED && !eal.has_hugepages) {
        mr_fault_set(fault, ENOMEM,
                     "too few huge pages: %u MB of them are asked for; reserve them with `sysctl "
                     "vm.nr_hugepages=%u`, or run without",
                     eal.memory_mb, eal.memory_mb / 2 + 1);
        return false;
    }
    return true;
}

/* ---- what DPDK needs of the system, and does not ask for ---- */

/* The number of descriptors allowed: as many as the process may allow itself, which DPDK would do,
 * too. */
static rlim_t descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

uint32_t mr_eal_free_descriptors(uint32_t most)
{
    rlim_t limit = descriptor_limit();
    uint32_t count = 0;

    for (rlim_t fd = 0; fd < limit && count < most; fd++)
        count += fcntl((int)fd, F_GETFD) < 0;
    return count;
}

static bool check_descriptors(const struct mr_eal_config *config, struct mr_fault *fault)
{
    uint32_t needed = DESCRIPTORS + config->worker_count * DESCRIPTORS_PER_WORKER;

    if (mr_eal_free_descriptors(needed) == needed)
        return true;
    mr_fault_set(fault, EMFILE,
                 "too few file descriptors: %u more are needed and the limit is %llu; raise it, "
                 "with `ulimit -n 1024` for example",
                 needed, (unsigned long long)descriptor_limit());
    return false;
}

/* DPDK reads its CPUs from there. */
static bool check_sysfs(struct mr_fault *fault)
{
    static const char path[] = "/sys/devices/system/cpu";

    if (access(path, R_OK | X_OK) == 0)
        return true;
    mr_fault_set(fault, errno,
                 "cannot read %s: %s; DPDK needs it: `mount -t sysfs sysfs /sys`, or give this "
                 "container its /sys",
                 path, strerror(errno));
    return false;
}

/* ---- start ---- */

struct arguments {
    int count;
    char *text[ARGUMENTS_MAX];
    char lcores[LIST_SIZE];
    char memory[16];
    char prefix[48];
};

/* The texts, which EAL refers to for as long as it runs. */
static char *argument_texts[ARGUMENTS_MAX];

static void add(struct arguments *arguments, const char *text)
{
    static char empty[1];

    MR_ASSERT(arguments->count < ARGUMENTS_MAX);
    argument_texts[arguments->count] = strdup(text);
    arguments->text[arguments->count] =
        argument_texts[arguments->count] != NULL ? argument_texts[arguments->count] : empty;
    arguments->count++;
}

static void write_arguments(const struct mr_eal_config *config, const struct mr_cpu_list *usable,
                            struct arguments *to)
{
    write_lcores(usable, to->lcores);
    snprintf(to->memory, sizeof(to->memory), "%u", eal.memory_mb);
    snprintf(to->prefix, sizeof(to->prefix), "millrace-%d", (int)getpid());

    add(to, "millrace");
    add(to, "--lcores");
    add(to, to->lcores);
    add(to, "--main-lcore");
    add(to, "0");
    add(to, "-m");
    add(to, to->memory);
    add(to, "--file-prefix");
    add(to, to->prefix);
    if (!config->has_telemetry)
        add(to, "--no-telemetry");
    MR_ASSERT(config->card_count <= MR_EAL_CARDS_MAX);
    for (uint32_t i = 0; i < config->card_count; i++) {
        add(to, "-a");
        add(to, config->cards[i]);
    }
    if (config->card_count == 0)
        add(to, "--no-pci");
    if (eal.has_hugepages) {
        add(to, "--in-memory");
    } else {
        add(to, "--no-huge"); /* --in-memory would be refused beside it */
        add(to, "--no-shconf");
    }
    /* memif's zero-copy mode asks for it; later versions refuse it beside --no-huge. */
    if (eal.has_hugepages || RTE_VER_YEAR < 25)
        add(to, "--single-file-segments");
}

/* EAL prints some failures to the standard streams itself, beside its log: they lead nowhere
 * meanwhile. */
struct quiet {
    int kept[2];
};

static void quieten(struct quiet *quiet)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        quiet->kept[i] = nowhere < 0 ? -1 : dup(STDOUT_FILENO + i);
        if (quiet->kept[i] >= 0)
            dup2(nowhere, STDOUT_FILENO + i);
    }
    if (nowhere >= 0)
        close(nowhere);
}

static void speak_again(const struct quiet *quiet)
{
    fflush(stdout); /* what EAL left in the buffer */
    for (int i = 0; i < 2; i++)
        if (quiet->kept[i] >= 0) {
            dup2(quiet->kept[i], STDOUT_FILENO + i);
            close(quiet->kept[i]);
        }
}

static int init_quietly(struct arguments *arguments, bool is_verbose)
{
    struct quiet quiet;

    if (is_verbose)
        return rte_eal_init(arguments->count, arguments->text);
    quieten(&quiet);
    int result = rte_eal_init(arguments->count, arguments->text);
    speak_again(&quiet);
    return result;
}

static int report_thread(void *to)
{
    *(int32_t *)to = (int32_t)gettid();
    return 0;
}

static void explain_failure(struct mr_fault *fault)
{
    if (rte_errno == ENOMEM)
        mr_fault_set(fault, ENOMEM,
                     "too little memory: %u MB are asked for; free some, or raise `ulimit -v` (%s)",
                     eal.memory_mb, mr_dpdk_log_last());
    else
        mr_fault_set(fault, rte_errno, "DPDK does not start: %s (%s); --verbose shows all it says",
                     rte_strerror(rte_errno), mr_dpdk_log_last());
}

/* Without telemetry it is empty: nothing is shared. */
static void remove_folder(void)
{
    rmdir(rte_eal_get_runtime_dir());
}

bool mr_eal_start(const struct mr_eal_config *config, struct mr_fault *fault)
{
    struct arguments arguments = {0};
    struct mr_cpu_list usable;

    mr_cpu_list_of_thread(&usable);
    if (!assign_cpus(config, &usable, fault) || !check_sysfs(fault) ||
        !check_descriptors(config, fault) || !choose_memory(config, fault))
        return false;

    write_arguments(config, &usable, &arguments);
    mr_dpdk_log_start(config->is_verbose);
    if (init_quietly(&arguments, config->is_verbose) < 0) {
        explain_failure(fault);
        remove_folder();
        return false;
    }
    has_telemetry = config->has_telemetry;
    remove_folder();
    for (uint32_t i = 0; i < eal.worker_count; i++)
        mr_eal_launch(i, report_thread, &eal.worker_thread[i]);
    for (uint32_t i = 0; i < eal.worker_count; i++)
        mr_eal_join(i);
    return true;
}

const char *mr_eal_folder(void)
{
    return rte_eal_get_runtime_dir();
}

/* DPDK would take its telemetry socket away when the process ends, and leave the folder. */
static void remove_socket(void)
{
    static const char *const names[] = {"dpdk_telemetry.v2", "dpdk_telemetry.v1"};
    char path[PATH_MAX];

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", rte_eal_get_runtime_dir(), names[i]);
        unlink(path);
    }
    remove_folder();
}

void mr_eal_stop(void)
{
    rte_eal_mp_wait_lcore();
    if (has_telemetry)
        remove_socket();
    rte_eal_cleanup();
    for (size_t i = 0; i < ARGUMENTS_MAX; i++) {
        free(argument_texts[i]);
        argument_texts[i] = NULL;
    }
}

const struct mr_eal_info *mr_eal_info(void)
{
    return &eal;
}

/* ---- workers ---- */

void mr_eal_launch(uint32_t index, int (*main)(void *argument), void *argument)
{
    MR_ASSERT(index < eal.worker_count);
    int error = rte_eal_remote_launch(main, argument, index + 1);
    MR_ASSERT(error == 0);
}

int mr_eal_join(uint32_t index)
{
    MR_ASSERT(index < eal.worker_count);
    return rte_eal_wait_lcore(index + 1);
}

const char *mr_eal_log(void)
{
    return mr_dpdk_log();
}

void mr_eal_log_clear(void)
{
    mr_dpdk_log_clear();
}
