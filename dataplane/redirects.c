/*
 * dataplane/redirects.c - rings that carry datagrams between the shards of one port.
 *
 * Each ring has one producer and one consumer; a full ring is a drop that the
 * sender counts: no shard waits for another, and none can fill another's queue
 * beyond its own ring.
 */
#include "dataplane/redirects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache_line.h"
#include "base/compiler.h"
#include "base/spsc.h"
#include "dataplane/shard.h"

#define UPDATE_WORDS 4 /* of the ring, for one neighbour: so many divide its capacity */

struct lane {
    struct mr_spsc ring;
    uint64_t items[MR_REDIRECT_RING];
    struct mr_spsc update_ring;
    uint64_t updates[MR_REDIRECT_UPDATES * UPDATE_WORDS];
};

MR_ASSERT_OWN_LINE(struct lane, items);
MR_ASSERT_OWN_LINE(struct lane, update_ring);
MR_ASSERT_OWN_LINE(struct lane, updates);
MR_ASSERT_WHOLE_LINES(struct lane);
_Static_assert(sizeof(struct mr_neighbour_update) <= UPDATE_WORDS * sizeof(uint64_t),
               "an update fits its words");

struct mr_redirects {
    uint32_t shard_count;
    struct lane *lanes; /* [from][to] */
};

struct mr_redirects *mr_redirects_make(uint32_t shard_count, struct mr_fault *fault)
{
    struct mr_redirects *redirects = malloc(sizeof(*redirects));
    size_t size = (size_t)shard_count * shard_count * sizeof(struct lane);

    if (redirects != NULL) {
        redirects->shard_count = shard_count;
        redirects->lanes = aligned_alloc(MR_CACHE_LINE, (size + MR_CACHE_LINE - 1) / MR_CACHE_LINE *
                                                            MR_CACHE_LINE);
    }
    if (redirects == NULL || redirects->lanes == NULL) {
        free(redirects);
        mr_fault_set(fault, ENOMEM, "rings between shards: not enough memory");
        return NULL;
    }
    memset(redirects->lanes, 0, size);
    for (uint32_t i = 0; i < shard_count * shard_count; i++) {
        struct lane *lane = &redirects->lanes[i];

        mr_spsc_init(&lane->ring, lane->items, MR_REDIRECT_RING);
        mr_spsc_init(&lane->update_ring, lane->updates, MR_REDIRECT_UPDATES * UPDATE_WORDS);
    }
    return redirects;
}

void mr_redirects_free(struct mr_redirects *redirects)
{
    if (redirects == NULL)
        return;
    for (uint32_t i = 0; i < redirects->shard_count * redirects->shard_count; i++) {
        void *mbuf;

        while (mr_spsc_pop_pointers(&redirects->lanes[i].ring, &mbuf, 1) == 1)
            rte_pktmbuf_free(mbuf);
    }
    free(redirects->lanes);
    free(redirects);
}

uint32_t mr_redirects_count(const struct mr_redirects *redirects)
{
    return redirects->shard_count;
}

bool mr_redirects_push(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                       struct rte_mbuf *mbuf)
{
    void *item = mbuf;

    return to < redirects->shard_count &&
           mr_spsc_push_pointers(&redirects->lanes[from * redirects->shard_count + to].ring, &item,
                                 1) == 1;
}

uint32_t mr_redirects_pop(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                          struct rte_mbuf **mbufs, uint32_t room)
{
    return mr_spsc_pop_pointers(&redirects->lanes[from * redirects->shard_count + to].ring,
                                (void **)mbufs, room);
}

bool mr_redirects_push_update(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                              const struct mr_neighbour_update *update)
{
    struct mr_spsc *ring = &redirects->lanes[from * redirects->shard_count + to].update_ring;
    uint64_t words[UPDATE_WORDS] = {0};

    memcpy(words, update, sizeof(*update));
    return mr_spsc_room(ring, UPDATE_WORDS) >= UPDATE_WORDS &&
           mr_spsc_push(ring, words, UPDATE_WORDS) == UPDATE_WORDS;
}

/* Words are pushed, and so found, four at a time. */
bool mr_redirects_pop_update(struct mr_redirects *redirects, uint32_t from, uint32_t to,
                             struct mr_neighbour_update *update_out)
{
    uint64_t words[UPDATE_WORDS];

    if (mr_spsc_pop(&redirects->lanes[from * redirects->shard_count + to].update_ring, words,
                    UPDATE_WORDS) != UPDATE_WORDS)
        return false;
    memcpy(update_out, words, sizeof(*update_out));
    return true;
}
