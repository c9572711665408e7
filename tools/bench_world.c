/* tools/bench_world.c - see bench_world.h. */
#include "tools/bench_world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "control/eal.h"
#include "control/early_data.h"

#define SERVER_PORT   443
#define CLIENT_PORT   50000
#define PATIENCE_NS   (200 * MR_MS)
#define IP_HEADERS    48 /* IPv6 and UDP */
#define FRAME_HEADERS 80

struct mr_world_config mr_world_config_default(void)
{
    return (struct mr_world_config){
        .client_worker = MR_WORLD_BEHIND,
        .server_shards = 1,
        .client_shards = 1,
        .payload_max = 1452,
        .connections = 64,
        .crypto = MR_AEAD_AUTO,
        .cipher = MR_CIPHER_AES_128_GCM,
        .polling = MR_POLLING_BUSY,
        .alpn = (const uint8_t *)"\004perf",
        .alpn_size = 5,
        .window_max = (uint64_t)512 << 20,
        .streams_max = 1024,
        .idle_timeout_ns = 30 * MR_SECOND,
        .tickets = 1,
        .server_tx_mbufs = MR_SHARD_POOL_MBUFS,
        .client_tx_mbufs = MR_SHARD_POOL_MBUFS,
    };
}

struct mr_address mr_world_server_address(void)
{
    struct mr_address address = {.port = SERVER_PORT};
    struct mr_ip ip;

    mr_ip_parse("198.18.0.1", &ip);
    memcpy(address.ip, ip.bytes, sizeof(address.ip));
    return address;
}

/* ------------------------------------------------------------------ TLS */

static const char *cipher_suite(enum mr_cipher cipher)
{
    static const char *const suites[] = {[MR_CIPHER_AES_128_GCM] = "TLS_AES_128_GCM_SHA256",
                                         [MR_CIPHER_AES_256_GCM] = "TLS_AES_256_GCM_SHA384",
                                         [MR_CIPHER_CHACHA20_POLY1305] =
                                             "TLS_CHACHA20_POLY1305_SHA256"};

    return suites[cipher];
}

static bool make_tls(struct mr_world *w, struct mr_fault *fault)
{
    struct mr_certificate certificate;
    struct mr_tls_server_config server = {.certificate = &certificate,
                                          .alpn = w->config.alpn,
                                          .alpn_size = w->config.alpn_size,
                                          .ciphers = cipher_suite(w->config.cipher),
                                          .tickets = w->config.tickets,
                                          .has_early_data = w->config.has_early_data};

    if (server.has_early_data) {
        w->replay = mr_early_data_make(MR_EARLY_ENTRIES, fault);
        if (w->replay == NULL)
            return false;
        server.replay = w->replay;
    }
    if (mr_certificate_make(&certificate, &(struct mr_certificate_options){0}, fault) != 0)
        return false;
    w->client_library =
        mr_tls_library_new(); /* clients are elsewhere: servers share nothing with them */
    struct mr_tls_client_config client = {.library = w->client_library,
                                          .ca_pem = certificate.certificate_pem,
                                          .ciphers = cipher_suite(w->config.cipher),
                                          .has_early_data = w->config.has_early_data};
    w->has_server_tls = mr_tls_context_server(&w->server_tls, &server, fault) == 0;
    w->has_client_tls =
        w->has_server_tls && mr_tls_context_client(&w->client_tls, &client, fault) == 0;
    mr_certificate_wipe(&certificate);
    return w->has_client_tls;
}

/* ------------------------------------------------------------------ groups */

static void fill_endpoint(const struct mr_world *w, struct mr_endpoint_config *e)
{
    const struct mr_world_config *config = &w->config;

    e->static_key = w->static_key;
    e->cc = MR_CC_CUBIC;
    e->payload_max = config->payload_max;
    e->retry_above = UINT32_MAX;
    e->idle_timeout_ns = config->idle_timeout_ns;
    e->sleep_after_ns = MR_SECOND;
    e->stream_window_max = config->window_max;
    e->conn_window_max = config->window_max * 2;
    e->streams_bidi_max = config->streams_max;
    e->streams_uni_max = 16;
    e->datagram_max = UINT16_MAX;
    e->extensions =
        MR_EXTENSIONS_DEFAULT | (config->paths_max > 1 ? (uint32_t)MR_EXTENSION_MULTIPATH : 0);
    e->extensions &= ~config->extensions_off;
    e->ack_packets = config->ack_packets;
    e->paths_max = config->paths_max;
    e->wall_offset_s = (uint64_t)time(NULL);
    e->cid.node = 1;
    (void)getrandom(e->seed, sizeof(e->seed), 0);
}

static struct mr_shard_config shard_config(const struct mr_world *w, bool is_server)
{
    const struct mr_world_config *config = &w->config;
    struct mr_shard_config shard = {
        .payload_max = config->payload_max,
        .net = mr_net_config_default(),
        .limits = mr_limits_for(config->connections),
        .crypto = config->crypto,
        .local_port = is_server ? SERVER_PORT : CLIENT_PORT,
        .polling = config->polling,
        .work = w->work,
        .tls_work = is_server ? w->tls_work : NULL,
        .keylog_fd = -1,
    };

    mr_prefix_parse(is_server ? "198.18.0.1/15" : "198.18.0.2/15", &shard.net.self.address[0]);
    shard.net.self.address_count = 1;
    shard.net.learns_from_traffic = true;
    shard.net.path_count = 64;
    (void)getrandom(shard.net.key, sizeof(shard.net.key), 0);
    if (config->paths_max > 1)
        mr_limits_add_paths(&shard.limits, config->paths_max);
    fill_endpoint(w, &shard.endpoint);
    if (is_server)
        mr_limits_let_sleep(&shard.limits, config->awake);
    if (is_server)
        shard.balance = config->server_balance;
    shard.endpoint.server = is_server ? &w->server_tls : NULL;
    shard.endpoint.client = is_server ? NULL : &w->client_tls;
    return shard;
}

static uint32_t client_worker(const struct mr_world_config *config)
{
    return config->client_worker != MR_WORLD_BEHIND
               ? config->client_worker
               : config->server_worker +
                     mr_group_workers(config->server_shards, config->server_io_lcores);
}

static bool make_group(struct mr_world *w, struct mr_port *port, bool is_server,
                       struct mr_fault *fault)
{
    struct mr_group_config config = {
        .name = w->names[is_server ? 0 : 1],
        .port = port,
        .shard_count = is_server ? w->config.server_shards : w->config.client_shards,
        .io_lcores = is_server ? w->config.server_io_lcores : 0,
        .first_worker = is_server ? w->config.server_worker : client_worker(&w->config),
        .work_first = is_server ? 0 : w->config.server_shards,
        .shard = shard_config(w, is_server),
        .applications = is_server ? w->config.server_applications : w->config.client_applications,
        .rx_pools = w->config.wire.is_copied ? w->rx_pools[is_server ? 0 : 1] : NULL,
        .tx_mbufs = is_server ? w->config.server_tx_mbufs : w->config.client_tx_mbufs,
    };

    return mr_group_make(is_server ? &w->server : &w->client, &config, fault);
}

static bool make_wire(struct mr_world *w, struct mr_port *ends[MR_WIRE_ENDS],
                      struct mr_fault *fault)
{
    struct mr_wire_config config = w->config.wire;

    config.side[0].queue_count =
        (uint16_t)mr_group_queues(w->config.server_shards, w->config.server_io_lcores);
    config.side[1].queue_count = (uint16_t)w->config.client_shards;
    config.mtu = (uint16_t)(w->config.payload_max + IP_HEADERS);
    for (int i = 0; i < MR_WIRE_ENDS && config.is_copied; i++) {
        if (!mr_group_make_rx_pools(w->names[i], config.side[i].queue_count, 0,
                                    w->config.payload_max + FRAME_HEADERS, NULL, w->rx_pools[i],
                                    fault))
            return false;
        config.side[i].rx_pools = w->rx_pools[i];
    }
    return mr_wire_open(&config, ends, fault);
}

bool mr_world_make(struct mr_world *w, const struct mr_world_config *config, struct mr_fault *fault)
{
    struct mr_port *ends[MR_WIRE_ENDS];

    memset(w, 0, sizeof(*w));
    w->config = *config;
    w->clock = mr_clock_init();
    snprintf(w->names[0], sizeof(w->names[0]), "server%u", config->number);
    snprintf(w->names[1], sizeof(w->names[1]), "client%u", config->number);
    (void)getrandom(w->static_key, sizeof(w->static_key), 0);
    if (!make_tls(w, fault))
        goto failed;
    if (config->helper_count > 0) {
        w->work = mr_work_pool_start(config->helper_count,
                                     config->server_shards + config->client_shards, fault);
        if (w->work == NULL)
            goto failed;
    }
    if (config->tls_helpers > 0) {
        w->tls_work = mr_work_pool_start(config->tls_helpers, config->server_shards, fault);
        if (w->tls_work == NULL)
            goto failed;
    }
    if (!make_wire(w, ends, fault))
        goto failed;
    w->has_server = make_group(w, ends[0], true, fault);
    if (!w->has_server) {
        mr_port_close(ends[1]);
        goto failed;
    }
    w->has_client = make_group(w, ends[1], false, fault);
    if (w->has_client)
        return true;

failed:
    mr_world_free(w);
    return false;
}

void mr_world_launch(struct mr_world *w)
{
    mr_group_launch(&w->server);
    mr_group_launch(&w->client);
}

void mr_world_stop(struct mr_world *w)
{
    mr_group_stop(&w->client, PATIENCE_NS);
    mr_group_join(&w->client);
    mr_group_stop(&w->server, PATIENCE_NS);
    mr_group_join(&w->server);
}

uint32_t mr_world_free(struct mr_world *w)
{
    uint32_t leaked[2] = {0, 0};

    if (w->has_client)
        mr_group_close(&w->client);
    if (w->has_server)
        mr_group_close(&w->server);
    if (w->has_client)
        mr_group_free(&w->client, &leaked[0]);
    if (w->has_server)
        mr_group_free(&w->server, &leaked[1]);
    mr_work_pool_stop(w->work);
    mr_work_pool_stop(w->tls_work);
    if (w->has_server_tls)
        mr_tls_context_free(&w->server_tls);
    if (w->has_client_tls)
        mr_tls_context_free(&w->client_tls);
    mr_tls_library_free(w->client_library);
    mr_early_data_free(w->replay);
    memset(w, 0, sizeof(*w));
    return leaked[0] + leaked[1];
}
