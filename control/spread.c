/* control/spread.c - see spread.h. */
#include "control/spread.h"

#include <stdio.h>

struct mr_spread mr_spread_judge(const uint64_t *received, uint32_t queues, uint64_t connections)
{
    struct mr_spread spread = {.state = MR_SPREAD_GOOD};

    while (spread.queue < queues && received[spread.queue] > 0)
        spread.queue++;
    if (spread.queue < queues)
        spread.state = connections < (uint64_t)queues * MR_SPREAD_CONNECTIONS ? MR_SPREAD_UNKNOWN
                                                                              : MR_SPREAD_BAD;
    return spread;
}

void mr_spread_describe(const struct mr_spread *spread, uint32_t queues, char *text_out,
                        uint32_t size)
{
    if (spread->state == MR_SPREAD_BAD)
        snprintf(text_out, size, "none at %u", spread->queue);
    else if (spread->state == MR_SPREAD_GOOD)
        snprintf(text_out, size, "all");
    else
        snprintf(text_out, size, "known after %u connections", queues * MR_SPREAD_CONNECTIONS);
}
