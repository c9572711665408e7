#include "control/telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <rte_telemetry.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/group_datapath.h"

#define NAME_SIZE 32 /* bytes of a group's name */

struct mr_telemetry_answer {
    struct rte_tel_data *root;
    struct rte_tel_data *group; /* NULL: members go into the root */
    char name[NAME_SIZE];
};

/* DPDK keeps names for the life of the process: a command that is stopped keeps its row. */
static struct mr_telemetry_command commands[MR_TELEMETRY_COMMANDS];
static uint32_t command_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of both, while an answer is made */

/* ------------------------------------------------------------------ answers */

void mr_telemetry_begin(struct mr_telemetry_answer *answer, const char *name)
{
    MR_ASSERT(answer->group == NULL);
    answer->group = rte_tel_data_alloc();
    snprintf(answer->name, sizeof(answer->name), "%s", name);
    if (answer->group != NULL)
        rte_tel_data_start_dict(answer->group);
}

void mr_telemetry_end(struct mr_telemetry_answer *answer)
{
    if (answer->group != NULL &&
        rte_tel_data_add_dict_container(answer->root, answer->name, answer->group, 0) != 0)
        rte_tel_data_free(answer->group);
    answer->group = NULL;
}

/* Where members go now.  What DPDK has no room for is left out. */
static struct rte_tel_data *place(struct mr_telemetry_answer *answer)
{
    return answer->group != NULL ? answer->group : answer->root;
}

void mr_telemetry_number(struct mr_telemetry_answer *answer, const char *name, uint64_t value)
{
    (void)rte_tel_data_add_dict_u64(place(answer), name, value);
}

void mr_telemetry_text(struct mr_telemetry_answer *answer, const char *name, const char *text)
{
    (void)rte_tel_data_add_dict_string(place(answer), name, text);
}

/* ------------------------------------------------------------------ commands */

static struct mr_telemetry_command *find(const char *name)
{
    for (uint32_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* DPDK has a request; on its thread. */
static int on_command(const char *name, const char *parameters, struct rte_tel_data *data)
{
    struct mr_telemetry_answer answer = {.root = data};
    const struct mr_telemetry_command *command;

    rte_tel_data_start_dict(data);
    pthread_mutex_lock(&lock);
    command = find(name);
    if (command != NULL && command->answer != NULL)
        command->answer(command->argument, parameters != NULL ? parameters : "", &answer);
    pthread_mutex_unlock(&lock);
    MR_ASSERT(answer.group == NULL);
    return 0;
}

/* A row for the command.  NULL with `fault` set. */
static struct mr_telemetry_command *make_row(const struct mr_telemetry_command *command,
                                             struct mr_fault *fault)
{
    struct mr_telemetry_command *row = find(command->name);
    int error;

    if (row != NULL)
        return row;
    if (command_count == MR_TELEMETRY_COMMANDS) {
        mr_fault_set(fault, ENOSPC, "telemetry command %s: there are %d already; leave one out",
                     command->name, MR_TELEMETRY_COMMANDS);
        return NULL;
    }
    error = rte_telemetry_register_cmd(command->name, on_command, command->help);
    if (error != 0) {
        mr_fault_set(fault, -error, "telemetry command %s: DPDK refuses it; choose another name",
                     command->name);
        return NULL;
    }
    return &commands[command_count++];
}

bool mr_telemetry_add(const struct mr_telemetry_command *command, struct mr_fault *fault)
{
    struct mr_telemetry_command *row;

    pthread_mutex_lock(&lock);
    row = make_row(command, fault);
    if (row != NULL)
        *row = *command;
    pthread_mutex_unlock(&lock);
    return row != NULL;
}

void mr_telemetry_stop(void)
{
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < command_count; i++)
        commands[i].answer = NULL;
    pthread_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------ the shards' */

static void add_net(struct mr_telemetry_answer *answer, const struct mr_net_counters *counters)
{
#define X(name, help) mr_telemetry_number(answer, #name, counters->name);
    MR_NET_COUNTERS(X)
#undef X
}

static void add_shards(struct mr_telemetry_answer *answer, const struct mr_shard_stats *s)
{
    mr_telemetry_number(answer, "loops", s->loops);
    mr_telemetry_number(answer, "busy_loops", s->busy_loops);
    mr_telemetry_number(answer, "busy_cycles", s->busy_cycles);
    for (uint32_t i = 0; i < MR_STAGES; i++) {
        char name[NAME_SIZE];

        snprintf(name, sizeof(name), "cycles_%s", mr_stage_name((enum mr_stage)i));
        mr_telemetry_number(answer, name, s->stage_cycles[i]);
    }
    mr_telemetry_number(answer, "datagrams_sent", s->datagrams_sent);
    mr_telemetry_number(answer, "datagrams_received", s->datagrams_received);
    mr_telemetry_number(answer, "tx_refused", s->tx_refused);
    mr_telemetry_number(answer, "chains_withdrawn", s->chains_withdrawn);
    mr_telemetry_number(answer, "send_pool_empty", s->send_pool_empty);
    mr_telemetry_number(answer, "redirect_dropped", s->redirect_dropped);
    mr_telemetry_number(answer, "redirected_in", s->redirected_in);
    mr_telemetry_number(answer, "updates_dropped", s->updates_dropped);
    mr_telemetry_number(answer, "sleeps", s->sleeps);
    mr_telemetry_number(answer, "stalls", s->stalls);
    mr_telemetry_number(answer, "late_loops", s->late_loops);
    mr_telemetry_number(answer, "tls_cycles", s->tls_cycles);
    mr_telemetry_number(answer, "tls_jobs", s->tls_jobs);
    mr_telemetry_number(answer, "balance_rounds", s->balance_rounds);
    mr_telemetry_number(answer, "balance_vain", s->balance_vain);
    mr_telemetry_number(answer, "balance_moves", s->balance_moves);
    mr_telemetry_number(answer, "balance_refused", s->balance_refused);
    mr_telemetry_number(answer, "balance_unready", s->balance_unready);
    mr_telemetry_number(answer, "balance_large", s->balance_large);
    mr_telemetry_number(answer, "balance_limited", s->balance_limited);
    mr_telemetry_number(answer, "moves_refused_paths", s->moves_refused_paths);
}

static void answer_counters(void *argument, const char *parameters,
                            struct mr_telemetry_answer *answer)
{
    struct mr_group_sums sums;

    (void)parameters;
    mr_group_set_sums(argument, &sums);
    mr_telemetry_begin(answer, "quic");
    for (size_t i = 0; i < MR_COUNTERS; i++)
        mr_telemetry_number(answer, mr_counter_name(i), mr_counter_value(&sums.quic, i));
    mr_telemetry_end(answer);
    mr_telemetry_begin(answer, "net");
    add_net(answer, &sums.net);
    mr_telemetry_end(answer);
    mr_telemetry_begin(answer, "shards");
    add_shards(answer, &sums.stats);
    mr_telemetry_end(answer);
}

static void answer_conns(void *argument, const char *parameters, struct mr_telemetry_answer *answer)
{
    const struct mr_group_set *set = argument;
    uint64_t total = 0;

    (void)parameters;
    for (uint32_t i = 0; i < mr_group_set_shard_count(set); i++) {
        struct mr_group *group;
        uint32_t index;
        uint32_t count = mr_shard_conn_count(mr_group_set_shard(set, i, &group, &index));
        char name[NAME_SIZE];

        snprintf(name, sizeof(name), "shard%u", i);
        mr_telemetry_number(answer, name, count);
        total += count;
    }
    mr_telemetry_number(answer, "total", total);
}

bool mr_telemetry_add_groups(const struct mr_group_set *set, struct mr_fault *fault)
{
    void *argument = (void *)(uintptr_t)set; /* only read */
    const struct mr_telemetry_command counters = {
        .name = "/millrace/counters",
        .help = "Counters of QUIC, of the network layer and of the shards' loops: sums",
        .answer = answer_counters,
        .argument = argument};
    const struct mr_telemetry_command conns = {.name = "/millrace/conns",
                                               .help = "Connections, of each shard",
                                               .answer = answer_conns,
                                               .argument = argument};

    return mr_telemetry_add(&counters, fault) && mr_telemetry_add(&conns, fault);
}
