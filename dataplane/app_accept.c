/*
 * dataplane/app_accept.c - which ring gets a new connection: the policy, ACCEPTs that wait, heirs.
 *
 * Whoever waits with ACCEPT is served before those who only listen, in the order in which the
 * ACCEPTs came, whichever ring's they are.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "quic/counters.h"

#define IN_LISTENER offsetof(struct mr_app_accept, in_listener)
#define IN_RING     offsetof(struct mr_app_accept, in_ring)
#define LATER       1

/* A connection that looks for a ring. */
struct search {
    const struct mr_handoff_listener *listener;
    uint32_t number;
    uint32_t objects; /* that it needs */
};

static const struct mr_handoff_listener *listener_at(const struct mr_app_host *host,
                                                     uint32_t number)
{
    if (host->policy == NULL || number >= host->policy->handoff.listener_count)
        return NULL;
    return &host->policy->handoff.listener[number];
}

static bool may_serve(const struct mr_app_ring *ring, uint32_t listener)
{
    return (ring->config.listeners >> listener & 1) != 0;
}

/* Its limits let it have one more. */
static bool has_place(const struct mr_app_ring *ring, const struct search *search)
{
    return ring->is_attached && ring->config.objects_max - ring->objects >= search->objects &&
           (search->listener->conns_max == 0 || ring->conn_count < search->listener->conns_max);
}

static bool listens(const struct mr_app_ring *ring, const struct search *search)
{
    return (ring->listens >> search->number & 1) != 0 && has_place(ring, search);
}

/* ------------------------------------------------------------------ ACCEPT */

static void drop_accept(struct mr_app_host *host, uint32_t index)
{
    const struct mr_app_accept *accept = mr_pool_at(&host->accepts, index);
    struct mr_app_ring *ring = &host->rings[accept->ring];

    mr_app_chain_remove(&host->accepting[accept->listener], &host->accepts, IN_LISTENER, index);
    mr_app_chain_remove(&ring->accepts, &host->accepts, IN_RING, index);
    ring->accept_count--;
    mr_pool_put(&host->accepts, index);
}

void mr_app_accepts_drop(struct mr_app_host *host, struct mr_app_ring *ring)
{
    while (ring->accepts.head != MR_NONE)
        drop_accept(host, ring->accepts.head);
}

int mr_app_accept(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t listener,
                  uint64_t user_data)
{
    if (listener >= MR_LISTENERS_MAX || !may_serve(ring, (uint32_t)listener))
        return -ENOENT;
    if (ring->accept_count == MR_APP_ACCEPTS_MAX)
        return -ENOBUFS;
    uint32_t index = mr_pool_get(&host->accepts);
    MR_ASSERT(index != MR_NONE);
    *(struct mr_app_accept *)mr_pool_at(&host->accepts, index) = (struct mr_app_accept){
        .user_data = user_data, .ring = ring->index, .listener = (uint32_t)listener};
    mr_app_chain_push(&host->accepting[listener], &host->accepts, IN_LISTENER, index);
    mr_app_chain_push(&ring->accepts, &host->accepts, IN_RING, index);
    ring->accept_count++;
    return LATER;
}

int mr_app_listen(struct mr_app_host *host, struct mr_app_ring *ring, uint64_t listener, bool is_on)
{
    uint64_t mask = ring->config.listeners;

    (void)host;
    if (listener != MR_RING_EVERY) {
        if (listener >= MR_LISTENERS_MAX || !may_serve(ring, (uint32_t)listener))
            return -ENOENT;
        mask = UINT64_C(1) << listener;
    }
    ring->listens = is_on ? ring->listens | mask : ring->listens & ~mask;
    return 0;
}

/* ------------------------------------------------------------------ choosing */

/* The first ACCEPT of the listener whose ring has a place; MR_NONE: none waits. */
static uint32_t find_accept(struct mr_app_host *host, const struct search *search)
{
    uint32_t index = host->accepting[search->number].head;

    while (index != MR_NONE) {
        const struct mr_app_accept *accept = mr_pool_at(&host->accepts, index);

        if (has_place(&host->rings[accept->ring], search))
            break;
        index = accept->in_listener.next;
    }
    return index;
}

static bool is_near(const struct mr_app_host *host, const struct mr_app_ring *ring)
{
    return host->config.numa_node >= 0 && ring->config.numa_node == host->config.numa_node;
}

/* Is `ring` to be preferred to `best`, which comes before it in turn? */
static bool is_better(const struct mr_app_host *host, const struct search *search,
                      const struct mr_app_ring *ring, const struct mr_app_ring *best)
{
    if (best == NULL)
        return true;
    if (search->listener->prefers_node && is_near(host, ring) != is_near(host, best))
        return is_near(host, ring);
    return search->listener->policy == MR_HANDOFF_LEAST_LOADED &&
           ring->conn_count < best->conn_count;
}

/* Of the rings that listen, beginning with the one whose turn it is; NULL: none. */
static struct mr_app_ring *choose_listening(struct mr_app_host *host, const struct search *search)
{
    struct mr_app_ring *best = NULL;

    if (search->listener->policy == MR_HANDOFF_ACCEPT)
        return NULL;
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++) {
        uint32_t index = (host->next_ring[search->number] + i) % MR_APP_RINGS_MAX;
        struct mr_app_ring *ring = &host->rings[index];

        if (mr_app_is_active(host, index) && listens(ring, search) &&
            is_better(host, search, ring, best))
            best = ring;
    }
    if (best != NULL)
        host->next_ring[search->number] = best->index + 1;
    return best;
}

/* The ring for the search; *accept_out: by this ACCEPT, MR_NONE: unasked. */
static struct mr_app_ring *choose_ring(struct mr_app_host *host, const struct search *search,
                                       uint32_t *accept_out)
{
    *accept_out = find_accept(host, search);
    if (*accept_out == MR_NONE)
        return choose_listening(host, search);
    return &host->rings[((struct mr_app_accept *)mr_pool_at(&host->accepts, *accept_out))->ring];
}

/* Answer the ACCEPT with the connection. */
static void answer_accept(struct mr_app_host *host, struct mr_app_object *conn, uint32_t accept)
{
    if (accept == MR_NONE)
        return;
    conn->user_data = ((struct mr_app_accept *)mr_pool_at(&host->accepts, accept))->user_data;
    conn->is_accept_due = true;
    drop_accept(host, accept);
}

static struct mr_app_object *refuse(struct mr_app_host *host, mr_handle handle, uint64_t code)
{
    mr_count_add(&host->stats.conns_refused, 1);
    host->transport->ops->close(host->transport, handle, code,
                                host->is_going_away ? "the server drains"
                                                    : "no application takes it");
    return NULL;
}

struct mr_app_object *mr_app_accept_connection(struct mr_app_host *host, mr_handle handle)
{
    struct mr_conn_info info = {.alpn = ""};
    struct search search = {.number = MR_LISTENERS_MAX, .objects = 1};
    uint32_t accept;

    if (host->policy != NULL &&
        host->transport->ops->conn_info(host->transport, handle, &info) == 0)
        search.number =
            mr_handoff_find(&host->policy->handoff, info.local.port, info.alpn, info.server_name);
    search.listener = listener_at(host, search.number);
    if (search.listener == NULL || info.is_client)
        return refuse(host, handle, host->config.refuse_code);
    if (host->is_going_away)
        return refuse(host, handle, search.listener->refuse_code);
    struct mr_app_ring *ring = choose_ring(host, &search, &accept);
    struct mr_app_object *conn = ring == NULL ? NULL : mr_app_object_new(host, ring, handle, NULL);
    if (conn == NULL)
        return refuse(host, handle, search.listener->refuse_code);
    conn->listener = search.number;
    answer_accept(host, conn, accept);
    mr_count_add(&host->stats.conns_accepted, 1);
    return conn;
}

/* ------------------------------------------------------------------ death */

struct mr_app_ring *mr_app_heir(struct mr_app_host *host, struct mr_app_object *conn)
{
    struct search search = {.listener = listener_at(host, conn->listener),
                            .number = conn->listener,
                            .objects = 1 + conn->streams};
    uint32_t accept;

    if (search.listener == NULL || search.listener->death != MR_DEATH_INHERIT)
        return NULL;
    struct mr_app_ring *heir = choose_ring(host, &search, &accept);
    if (heir == NULL)
        return NULL;
    mr_app_object_give(host, conn, heir);
    answer_accept(host, conn, accept);
    mr_count_add(&host->stats.conns_inherited, 1);
    return heir;
}

uint64_t mr_app_death_code(const struct mr_app_host *host, const struct mr_app_object *conn)
{
    const struct mr_handoff_listener *listener = listener_at(host, conn->listener);

    return listener == NULL ? host->config.death_code : listener->death_code;
}
