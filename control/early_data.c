#include "control/early_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/random.h>

#include "base/compiler.h"

struct early_data {
    struct mr_replay replay;
    void *memory;
};

uint64_t mr_early_data_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct mr_replay *mr_early_data_make(uint32_t entries, struct mr_fault *fault)
{
    size_t size = mr_replay_footprint(entries);
    struct early_data *early = calloc(1, sizeof(*early));
    struct mr_siphash_key key;

    if (early != NULL)
        early->memory = aligned_alloc(MR_CACHE_LINE, size);
    if (early == NULL || early->memory == NULL) {
        mr_fault_set(fault, ENOMEM, "out of memory for the register of 0-RTT, %zu bytes", size);
        free(early);
        return NULL;
    }
    if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key)) {
        mr_fault_set(fault, errno, "no random bytes for the register of 0-RTT");
        mr_early_data_free(&early->replay);
        return NULL;
    }
    memset(early->memory, 0, size);
    mr_replay_init(&early->replay, early->memory, entries, &key);
    return &early->replay;
}

void mr_early_data_free(struct mr_replay *replay)
{
    struct early_data *early =
        replay == NULL ? NULL : MR_CONTAINER_OF(replay, struct early_data, replay);

    if (early == NULL)
        return;
    free(early->memory);
    free(early);
}
