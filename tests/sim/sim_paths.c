/* tests/sim/sim_paths.c - see sim_paths.h. */
#include "tests/sim/sim_paths.h"

#include <errno.h>

#include "tests/sim/sim_nat.h"

#define FIRST_LAST  50 /* of the client's addresses, last byte */
#define CLIENT_PORT 6000
#define RETRY_NS                                                                                   \
    (50 * MR_MS) /* until an open that could not be, a failure too early, is tried again */

uint8_t sim_paths_number(const struct mr_addr *client)
{
    uint8_t last = client->ip[15];

    return last > FIRST_LAST && last < FIRST_LAST + SIM_PATHS_MAX ? (uint8_t)(last - FIRST_LAST)
                                                                  : 0;
}

static uint64_t after(uint64_t start_ns, uint64_t ns)
{
    return ns == 0 ? 0 : start_ns + ns;
}

void sim_paths_init(struct sim_paths *paths, const struct sim_config *config,
                    struct sim_network *net, struct mr_endpoint *client, struct mr_endpoint *server,
                    uint64_t start_ns)
{
    *paths = (struct sim_paths){.config = config, .ep = {client, server}, .start_ns = start_ns};
    for (uint32_t i = 0; i < SIM_PATHS_MAX; i++) {
        const struct sim_path *path = &config->paths[i];

        paths->at[i].id = i == 0 ? 0 : -1;
        paths->at[i].open_ns = i == 0 ? 0 : after(start_ns, path->open_ns);
        paths->at[i].abandon_ns = after(start_ns, path->abandon_ns);
        paths->at[i].backup_ns = after(start_ns, path->backup_ns);
        paths->at[i].fail_ns = after(start_ns, path->fail_ns);
        paths->at[i].heal_ns = after(start_ns, path->heal_ns);
        if (i == 0)
            continue;
        net->link[i][0] = path->link[0];
        net->link[i][1] = path->link[1];
    }
}

void sim_paths_note(struct sim_paths *paths, uint64_t received, uint64_t now)
{
    if (paths->received > 0)
        paths->stalled_ns = MR_MAX(paths->stalled_ns, now - paths->received_ns);
    if (received != paths->received)
        paths->received_ns = now;
    paths->received = received;
}

static uint64_t sooner(uint64_t next, uint64_t at)
{
    return at != 0 && at < next ? at : next;
}

uint64_t sim_paths_next(const struct sim_paths *paths)
{
    uint64_t next = MR_NEVER;

    for (uint32_t i = 0; i < SIM_PATHS_MAX; i++) {
        next = sooner(next, paths->at[i].open_ns);
        next = sooner(next, paths->at[i].abandon_ns);
        next = sooner(next, paths->at[i].backup_ns);
        next = sooner(next, paths->at[i].fail_ns);
        next = sooner(next, paths->at[i].heal_ns);
    }
    return next;
}

static bool is_due(uint64_t *at, uint64_t now)
{
    if (*at == 0 || *at > now)
        return false;
    *at = 0;
    return true;
}

static void open_path(struct sim_paths *paths, uint32_t i, mr_handle client, uint64_t now)
{
    struct mr_path_addr addr = {.local = sim_address((uint8_t)(FIRST_LAST + i), CLIENT_PORT)};
    int64_t id = mr_conn_path_open(paths->ep[0], client, &addr, now);

    paths->at[i].id = id;
    /* no connection ID; the handshake runs; nothing is agreed yet */
    if (id == -EAGAIN || id == -EBUSY || id == -EOPNOTSUPP)
        paths->at[i].open_ns = now + RETRY_NS;
}

void sim_paths_step(struct sim_paths *paths, struct sim_network *net, mr_handle client,
                    mr_handle server, uint64_t now)
{
    for (uint32_t i = 0; i < SIM_PATHS_MAX; i++) {
        const struct sim_path *path = &paths->config->paths[i];

        if (is_due(&paths->at[i].open_ns, now)) {
            open_path(paths, i, client, now);
            paths->has_acted = true;
        }
        if (is_due(&paths->at[i].abandon_ns, now) && paths->at[i].id >= 0) {
            (void)mr_conn_path_abandon(paths->ep[path->is_server],
                                       path->is_server ? server : client, (uint32_t)paths->at[i].id,
                                       now);
            paths->has_acted = true;
        }
        if (is_due(&paths->at[i].backup_ns, now) && paths->at[i].id >= 0) {
            (void)mr_conn_path_set_backup(paths->ep[0], client, (uint32_t)paths->at[i].id, true);
            paths->has_acted = true;
        }
        if (is_due(&paths->at[i].fail_ns, now)) {
            net->is_down[i] = net->bytes[i][1] >= path->fail_bytes;
            paths->at[i].fail_ns = net->is_down[i] ? 0 : now + RETRY_NS;
        }
        if (is_due(&paths->at[i].heal_ns, now))
            net->is_down[i] = false;
    }
}

/* ------------------------------------------------------------------ random worlds */

static uint64_t some_time(struct mr_random *random, uint32_t one_in, uint64_t max)
{
    return mr_random_below(random, one_in) == 0 ? 1 + mr_random_below(random, max) : 0;
}

struct sim_config sim_config_multipath(uint64_t seed)
{
    struct sim_config config = sim_config_random(seed);
    struct mr_random random;

    mr_random_init_number(&random, seed + 100);
    config.paths_max = 2 + (uint32_t)mr_random_below(&random, SIM_PATHS_MAX - 1);
    for (int i = 0; i < 2; i++)
        config.extensions[i] |= MR_EXTENSION_MULTIPATH;
    for (uint32_t i = 0; i < config.paths_max; i++) {
        struct sim_path *path = &config.paths[i];

        for (int k = 0; k < 2; k++) {
            path->link[k] = config.link[k];
            path->link[k].delay_ns = MR_MS + mr_random_below(&random, 200 * MR_MS);
            path->link[k].jitter_ns = path->link[k].delay_ns;
            path->link[k].loss = (double)mr_random_below(&random, 50) / 1000;
            path->link[k].mtu = mr_random_below(&random, 2) == 0 ? 1472 : 1300;
        }
        path->open_ns = 10 * MR_MS + mr_random_below(&random, 2 * MR_SECOND);
        path->abandon_ns = some_time(&random, 3, 5 * MR_SECOND);
        path->is_server = mr_random_below(&random, 2) == 0;
        path->backup_ns = some_time(&random, 3, 3 * MR_SECOND);
        path->fail_ns = some_time(&random, 3, 4 * MR_SECOND);
        if (path->fail_ns != 0)
            path->heal_ns = mr_random_below(&random, 2) == 0
                                ? path->fail_ns + mr_random_below(&random, 5 * MR_SECOND)
                                : 0;
    }
    return config;
}
