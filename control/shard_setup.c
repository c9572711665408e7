/* control/shard_setup.c - see shard_setup.h. */
#include "control/shard_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/clock.h"

#define PINNED_SHARE    2 /* streams may hold one buffer in so many */
#define RETRY_SHARE     2 /* above half of the handshakes allowed, addresses are validated */
#define NEIGHBOUR_PATHS 4096
#define MODELS_MAX      4096u /* of BBR; 8 KB each */

/* Of a datagram over IPv6; the port's MTU may allow less. */
static uint32_t payload_max(const struct mr_shard_setup *setup)
{
    return (setup->mtu == 0 ? MR_SETUP_MTU : setup->mtu) - MR_SETUP_IP_HEADERS;
}

static void fill_endpoint(const struct mr_shard_setup *setup, const struct mr_limits *limits,
                          struct mr_endpoint_config *e)
{
    struct mr_clock clock = mr_clock_init();

    e->server = setup->server;
    e->client = setup->client;
    e->static_key = setup->tokens->reset;
    e->tokens = setup->tokens;
    e->cc = setup->congestion;
    e->has_ecn = setup->has_ecn;
    e->has_resume = setup->has_resume;
    memcpy(e->preferred, setup->preferred, sizeof(e->preferred));
    e->payload_max = payload_max(setup);
    e->retry_above = setup->has_retry ? 0 : MR_MAX(limits->handshakes_max / RETRY_SHARE, 1u);
    e->key_update_after = setup->key_update_after;
    e->idle_timeout_ns = setup->idle_timeout_ns;
    e->sleep_after_ns = setup->sleep_after_ns;
    e->keep_alive_ns = setup->keep_alive_ns;
    e->stream_window_max = setup->stream_window_max;
    e->conn_window_max = setup->conn_window_max;
    e->streams_bidi_max = setup->streams_bidi_max;
    e->streams_uni_max = setup->streams_uni_max;
    e->datagram_max = UINT16_MAX;
    e->extensions = setup->extensions;
    e->paths_max = setup->paths_max;
    e->wall_offset_s = (uint64_t)time(NULL) - mr_clock_now(&clock) / MR_SECOND;
    e->cid = (struct mr_cid_format){.kind = (uint8_t)setup->cid_kind,
                                    .node = setup->node,
                                    .config = setup->cid_config,
                                    .is_encrypted = setup->cid_key != NULL};
    e->cid_key = setup->cid_key;
    e->cid_renew_ns = setup->cid_renew_ns;
    e->has_new_token = true;
    e->has_keylog = setup->keylog_fd >= 0;
    (void)getrandom(e->seed, sizeof(e->seed), 0);
}

struct mr_shard_config mr_shard_setup(const struct mr_shard_setup *setup)
{
    struct mr_shard_config shard = {
        .payload_max = payload_max(setup),
        .net = mr_net_config_default(),
        .limits = mr_limits_for(setup->connections),
        .crypto = setup->crypto,
        .local_port = setup->local_port,
        .polling = setup->polling,
        .work = setup->work,
        .tls_work = setup->tls_work,
        .keylog_fd = setup->keylog_fd,
    };

    mr_limits_let_sleep(&shard.limits, setup->awake);
    if ((setup->extensions & MR_EXTENSION_MULTIPATH) != 0)
        mr_limits_add_paths(&shard.limits, setup->paths_max);
    if (setup->congestion == MR_CC_BBR)
        shard.limits.models_max = MR_MIN(setup->connections, MODELS_MAX);
    shard.limits.pinned_max = setup->rx_mbufs / PINNED_SHARE; /* the port keeps the rest */
    shard.net.self = *setup->self;
    shard.net.gateway4 = setup->gateway4;
    shard.net.gateway6 = setup->gateway6;
    shard.net.learns_from_traffic = setup->server != NULL;
    shard.net.detects_duplicates = true;
    shard.net.path_count = NEIGHBOUR_PATHS;
    (void)getrandom(shard.net.key, sizeof(shard.net.key), 0);
    fill_endpoint(setup, &shard.limits, &shard.endpoint);
    return shard;
}

bool mr_keylog_open(struct mr_keylog *log, const char *path, const char *what,
                    struct mr_fault *fault)
{
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC;

    *log = (struct mr_keylog){.fd = -1, .path = path};
    if (path == NULL || path[0] == '\0')
        return true;
    log->fd = open(path, flags | O_EXCL, 0600);
    log->is_new = log->fd >= 0;
    if (log->fd < 0 && errno == EEXIST)
        log->fd = open(path, flags, 0600);
    if (log->fd < 0)
        mr_fault_set(fault, errno, "%s %s: %s; name a file that this user may write", what, path,
                     strerror(errno));
    return log->fd >= 0;
}

/* Is what stands at the path still the file that is open, and is there nothing in it? */
static bool is_empty_still(const struct mr_keylog *log)
{
    struct stat open_file;
    struct stat named;

    return fstat(log->fd, &open_file) == 0 && open_file.st_size == 0 &&
           lstat(log->path, &named) == 0 && named.st_dev == open_file.st_dev &&
           named.st_ino == open_file.st_ino;
}

void mr_keylog_close(struct mr_keylog *log)
{
    if (log->fd < 0)
        return;
    if (log->is_new && is_empty_still(log))
        unlink(log->path);
    close(log->fd);
    log->fd = -1;
}
