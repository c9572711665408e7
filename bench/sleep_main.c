/*
 * bench/sleep_main.c - what it costs to put a connection to sleep and to wake it: `sleep
 * [connections]`.
 *
 * Connections at rest, as a server has them with eight connection IDs of its own and eight of the
 * peer's, without peers: made, put to sleep in the order in which the hand meets them, and woken
 * in random order, so many that no cache holds them.  Prints ns of each, and the bytes of an image.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "bench/samples.h"
#include "quic/conn_sleep.h"

enum {
    CONNECTIONS_DEFAULT = 100000,
    ROUNDS = 5,
    AHEAD = 2, /* mr_sleep_ask() runs so far ahead, as the look-up of a burst does */
    WORD = 8
};

static void *memory; /* the endpoint's */

_Noreturn MR_COLD static void die(const char *what)
{
    fprintf(stderr, "sleep: %s\n", what);
    exit(1);
}

static struct mr_endpoint *make_endpoint(struct mr_aead *aead, uint32_t connections)
{
    static const uint8_t static_key[32] = {1};
    struct mr_limits limits = mr_limits_for(connections);
    const struct mr_endpoint_config config = {.cid = {.node = 1},
                                              .aead = aead,
                                              .static_key = static_key,
                                              .seed = {1, 2, 3, 4},
                                              .payload_max = 1452,
                                              .idle_timeout_ns = 30 * MR_SECOND,
                                              .stream_window_max = 1 << 20,
                                              .conn_window_max = 4 << 20,
                                              .streams_bidi_max = 128,
                                              .streams_uni_max = 3,
                                              .extensions = MR_EXTENSIONS_DEFAULT};

    limits.awake_max = connections - 1; /* the last ones sleep from the beginning */
    limits.sleepers_max = connections;
    memory = aligned_alloc(MR_CACHE_LINE, (mr_endpoint_footprint(&limits) + MR_CACHE_LINE - 1) &
                                              ~(size_t)(MR_CACHE_LINE - 1));
    struct mr_endpoint *ep =
        memory == NULL ? NULL : mr_endpoint_init(memory, &limits, &config, MR_SECOND);
    if (ep == NULL)
        die("not enough memory; ask for fewer connections");
    return ep;
}

static void fill(struct mr_random *random, void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at++)
        ((uint8_t *)bytes)[at] = (uint8_t)mr_random_below(random, 256);
}

/* As AES-128-GCM has them. */
static void make_keys(struct mr_random *random, struct mr_key_state *keys)
{
    struct mr_secret *secrets[] = {&keys->seal_secret, &keys->open_secret};
    struct mr_key_material *materials[] = {&keys->seal, &keys->open};

    for (int i = 0; i < 2; i++) {
        fill(random, secrets[i]->bytes, 32);
        secrets[i]->size = 32;
        fill(random, materials[i]->key, 16);
        fill(random, materials[i]->iv, sizeof(materials[i]->iv));
        fill(random, materials[i]->hp, 16);
    }
    keys->can_seal = keys->can_open = true;
    keys->update_at_count = (UINT64_C(1) << 21) + mr_random_below(random, UINT64_C(1) << 21);
}

/* Its handshake is over, and a few packets went both ways. */
static mr_handle make_conn(struct mr_endpoint *ep, struct mr_random *random)
{
    struct mr_path_addr path = {.local = {.port = 443}, .remote = {.port = 5000}};

    fill(random, path.remote.ip, sizeof(path.remote.ip));
    struct mr_conn *conn = mr_conn_new(ep, MR_SERVER, &path, MR_SECOND);
    if (conn == NULL)
        die("a connection could not be made");
    conn->state = MR_CONN_OPEN;
    mr_conn_end_handshake(ep, conn);
    ep->handshakes_in_flight = 0;
    conn->is_confirmed = conn->is_handshake_done_acked = conn->is_connected = true;
    conn->has_peer_params = conn->path.is_validated = true;
    conn->version = MR_VERSION_1;
    make_keys(random, &conn->key_state);
    conn->issued_limit = MR_CIDS_ISSUED_MAX;
    mr_cid_issue_all(ep, conn);
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++) {
        struct mr_peer_cid *cid = &conn->peer_cids[i];

        *cid = (struct mr_peer_cid){.sequence = i, .is_used = true, .has_token = true};
        cid->cid.size = MR_LOCAL_CID_SIZE;
        fill(random, cid->cid.bytes, MR_LOCAL_CID_SIZE);
        fill(random, cid->reset_token, MR_RESET_TOKEN);
    }
    mr_cid_track_token(ep, conn);
    conn->app.received.count = 1;
    conn->app.received.range[0].hi = mr_random_below(random, 100);
    conn->app.sent.base = conn->app.sent.scan = conn->app.sent.next = mr_random_below(random, 100);
    conn->app.largest_at_ns = conn->last_received_ns =
        MR_SECOND + mr_random_below(random, MR_SECOND);
    conn->packets_sent = conn->app.sent.next;
    conn->app.wants = 0;
    mr_conn_unready(ep, conn);
    mr_conn_timer_update(ep, conn);
    mr_handle handle = mr_conn_handle(conn);
    if (mr_pool_free_count(&ep->conns) == 0 && mr_conn_sleep(ep, handle) != 0)
        die("a connection that was just made does not rest");
    return handle;
}

static void shuffle(struct mr_random *random, mr_handle *handles, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint64_t other = mr_random_below(random, i);
        mr_handle kept = handles[i - 1];

        handles[i - 1] = handles[other];
        handles[other] = kept;
    }
}

/* ns for each of the `count`. */
static double put_to_sleep(struct mr_endpoint *ep, const mr_handle *handles, uint32_t count)
{
    uint64_t begin = mr_bench_now_ns();
    uint32_t slept = 0;

    for (uint32_t i = 0; i < count; i++)
        slept += mr_conn_sleep(ep, handles[i]) == 0;
    double took = (double)(mr_bench_now_ns() - begin);
    if (slept + 2 < count)
        die("some do not sleep");
    return took / slept;
}

static double wake(struct mr_endpoint *ep, const mr_handle *handles, uint32_t count)
{
    uint64_t begin = mr_bench_now_ns();

    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            mr_sleep_ask(ep, (uint32_t)handles[i + AHEAD]);
        if (mr_conn_rouse(ep, (uint32_t)handles[i], false) == NULL)
            die("one does not wake");
    }
    return (double)(mr_bench_now_ns() - begin) / count;
}

static uint64_t image_bytes(const struct mr_endpoint *ep)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < ep->sleepers.fresh; i++)
        sum += ((const struct mr_sleeper *)mr_pool_at(&ep->sleepers, i))->size;
    return sum / ep->sleepers.fresh;
}

int main(int argc, char **argv)
{
    bool is_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    uint32_t count =
        argc > 1 + is_json ? (uint32_t)strtoul(argv[1 + is_json], NULL, 0) : CONNECTIONS_DEFAULT;
    struct mr_samples sleep = {.count = 0};
    struct mr_samples woken = {.count = 0};
    struct mr_aead *aead = mr_aead_open(MR_AEAD_NULL);
    mr_handle *handles = calloc(count + 1, sizeof(*handles));
    struct mr_random random;

    if (count < 4 || aead == NULL || handles == NULL)
        die("give a number of connections, 4 or more");
    mr_random_init_number(&random, 1);
    struct mr_endpoint *ep = make_endpoint(aead, count);
    for (uint32_t i = 0; i < count; i++)
        handles[i] = make_conn(ep, &random);
    uint64_t bytes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        mr_samples_add(&sleep, put_to_sleep(ep, handles, count));
        bytes = image_bytes(ep);
        shuffle(&random, handles, count);
        mr_samples_add(&woken, wake(ep, handles, count - 1)); /* the last one sleeps on */
    }
    if (is_json)
        printf("{\"bench\":\"sleep\",\"connections\":%u,\"sleep_ns\":%.0f,\"wake_ns\":%.0f,"
               "\"image_bytes\":%" PRIu64 "}\n",
               count, mr_samples_median(&sleep), mr_samples_median(&woken), bytes);
    else
        printf("%u connections: to sleep %.0f ns, awake %.0f ns, an image of %" PRIu64 " bytes\n",
               count, mr_samples_median(&sleep), mr_samples_median(&woken), bytes);
    mr_endpoint_fini(ep);
    mr_aead_close(aead);
    free(handles);
    free(memory);
    return 0;
}
