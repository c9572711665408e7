/* control/attach.c - see attach.h. */
#include "control/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/log.h"
#include "control/attach_internal.h"

#define ATTACHMENTS_MAX      64
#define USER_ATTACHMENTS_MAX 16
#define REGION_BYTES_MAX     (UINT64_C(1) << 30)
#define ATTACHMENT_BYTES_MAX (UINT64_C(256) << 20)
#define DRAIN_LOOK_NS        UINT64_C(2000000)   /* between looks at rings that end */
#define LIFE_LOOK_NS         UINT64_C(200000000) /* at those that should not */

/* ------------------------------------------------------------------ waking */

/*
 * On a shard's thread.  A socket pair and no eventfd: an eventfd's O_NONBLOCK belongs to the open
 * file description, which the application would share; it could take the flag away, fill the
 * counter, and so have the shard block in write().  Here the flag is this call's own, and our end
 * is nobody else's.  A full socket means that the application has a wake-up it did not read:
 * nothing is lost.
 */
static void wake(void *argument)
{
    const struct attachment *attachment = argument;

    (void)!send(attachment->wake_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ------------------------------------------------------------------ the end */

static void free_rings(struct attachment *attachment)
{
    for (uint32_t i = 0; i < attachment->ring_count; i++)
        mr_region_free(&attachment->rings[i].region);
    if (attachment->wake_fd >= 0)
        close(attachment->wake_fd);
    free(attachment);
}

/* Let go: the shards will, in their own time. */
static void end(struct mr_attachments *a, struct attachment *attachment)
{
    if (attachment->is_ending)
        return;
    attachment->is_ending = true;
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        const struct ring *ring = &attachment->rings[i];

        if (ring->number >= 0)
            mr_app_host_detach(a->config.hosts[ring->shard], (uint32_t)ring->number);
    }
}

static bool is_by_reference(const struct attachment *attachment)
{
    return (attachment->flags & MR_RING_BY_REFERENCE) != 0;
}

/* Say why, if anybody is still there, and let go.  A thread of our own process uses our mapping: it
 * stays until that thread has closed its connection. */
static void end_with_reason(struct mr_attachments *a, struct attachment *attachment, int error,
                            const struct mr_fault *fault)
{
    if (attachment->client != NULL && !attachment->is_ending)
        mr_client_refuse(attachment->client, error, fault);
    if (attachment->client != NULL && !is_by_reference(attachment)) {
        mr_client_close(attachment->client);
        attachment->client = NULL;
    }
    end(a, attachment);
}

/* Forget the rings that their shards have let go of; true: all. */
static bool forget_rings(struct mr_attachments *a, struct attachment *attachment)
{
    bool is_all = true;

    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        struct ring *ring = &attachment->rings[i];
        struct mr_app_host *host = a->config.hosts[ring->shard];

        if (ring->number < 0)
            continue;
        if (mr_app_host_ring_state(host, (uint32_t)ring->number) != MR_APP_RING_DRAINED) {
            is_all = false;
            continue;
        }
        mr_app_host_forget(host, (uint32_t)ring->number);
        ring->number = -1;
    }
    return is_all;
}

/* Give back the memory of rings that nobody uses; true: all. */
static bool free_regions(struct mr_attachments *a, struct attachment *attachment)
{
    bool is_all = true;

    if (is_by_reference(attachment) && attachment->client != NULL)
        return false;
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        struct ring *ring = &attachment->rings[i];

        if (ring->number >= 0) {
            is_all = false;
        } else if (ring->region.memory != NULL) {
            a->stats.region_bytes -= ring->region.size;
            mr_region_free(&ring->region);
        }
    }
    return is_all;
}

/* A shard has let go of a ring that nobody asked it to let go of. */
static bool is_broken(const struct mr_attachments *a, const struct attachment *attachment,
                      uint32_t *shard_out)
{
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        const struct ring *ring = &attachment->rings[i];
        enum mr_app_ring_state state =
            mr_app_host_ring_state(a->config.hosts[ring->shard], (uint32_t)ring->number);

        *shard_out = ring->shard;
        if (state != MR_APP_RING_ATTACHING && state != MR_APP_RING_ATTACHED)
            return true;
    }
    return false;
}

static void look_at_life(struct mr_attachments *a, struct attachment *attachment)
{
    struct mr_fault fault;
    uint32_t shard;

    if (attachment->is_ending || !is_broken(a, attachment, &shard))
        return;
    int error =
        mr_fault_set(&fault, EPROTO,
                     "shard %u let go of the ring: an index in it was impossible; something "
                     "else than the library wrote there",
                     shard);
    end_with_reason(a, attachment, error, &fault);
}

static void publish(struct mr_attachments *a)
{
    for (uint32_t i = 0; i < a->config.host_count; i++) {
        uint64_t bit = UINT64_C(1) << i;

        if ((a->unpublished & bit) != 0 &&
            mr_app_host_set_policy(a->config.hosts[i], &a->policy) == 0)
            a->unpublished &= ~bit;
    }
}

uint64_t mr_attachments_look(struct mr_attachments *a, uint64_t now)
{
    bool waits = false;

    if (a->unpublished != 0)
        publish(a);
    for (struct attachment **link = &a->first; *link != NULL;) {
        struct attachment *attachment = *link;

        look_at_life(a, attachment);
        if (attachment->is_ending)
            waits |= !forget_rings(a, attachment);
        if (!attachment->is_ending || !free_regions(a, attachment)) {
            link = &attachment->next;
            continue;
        }
        *link = attachment->next;
        a->stats.attachments--;
        a->stats.ended++;
        free_rings(attachment);
    }
    if (waits || a->unpublished != 0)
        return now + DRAIN_LOOK_NS;
    return a->first != NULL ? now + LIFE_LOOK_NS : MR_CONTROL_NEVER;
}

void mr_attachments_client_gone(struct mr_attachments *a, struct mr_client *client)
{
    struct attachment *attachment = mr_client_context(client);

    if (attachment == NULL)
        return;
    attachment->client = NULL;
    end(a, attachment);
}

int mr_attachments_detach(struct mr_attachments *a, uint64_t number, struct mr_fault *fault)
{
    struct attachment *attachment = a->first;
    struct mr_fault why;

    while (attachment != NULL && attachment->number != number)
        attachment = attachment->next;
    if (attachment == NULL)
        return mr_fault_set(fault, ENOENT, "there is no attachment %llu; `apps` lists them",
                            (unsigned long long)number);
    int error = mr_fault_set(&why, ECONNABORTED, "detached by the operator");
    end_with_reason(a, attachment, error, &why);
    return 0;
}

void mr_attachments_detach_all(struct mr_attachments *a)
{
    for (struct attachment *attachment = a->first; attachment != NULL;
         attachment = attachment->next) {
        struct mr_fault why;
        int error = mr_fault_set(&why, ESHUTDOWN, "the datapath ends");

        end_with_reason(a, attachment, error, &why);
    }
}

void mr_attachments_drain(struct mr_attachments *a)
{
    a->is_draining = true;
}

/* ------------------------------------------------------------------ attaching */

static void note_unlocked(struct mr_attachments *a, struct attachment *attachment)
{
    attachment->is_locked = false;
    a->stats.unlocked_regions++;
    if (a->has_complained)
        return;
    a->has_complained = true;
    mr_log(MR_LOG_WARN,
           "memory of rings cannot be locked and may be swapped out; raise `ulimit -l` "
           "(RLIMIT_MEMLOCK) above %llu KiB",
           (unsigned long long)(a->config.region_bytes_max >> 10));
}

/* To which shards of this one's port the attachment has rings. */
static void add_siblings(const struct mr_attachments *a, uint32_t shard, uint64_t shards,
                         struct mr_app_ring_config *config)
{
    uint32_t count = a->config.port_shards;
    uint64_t mask = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;

    config->first_shard = shard / count * count;
    config->siblings = shards >> config->first_shard & mask;
}

static int attach_ring(struct mr_attachments *a, struct attachment *attachment, struct ring *ring,
                       const struct mr_attach_plan *plan, struct mr_fault *fault)
{
    struct mr_app_ring_config config = {.wake = wake,
                                        .argument = attachment,
                                        .listeners = attachment->listeners,
                                        .timers_max = a->config.timers_max,
                                        .numa_node = attachment->node,
                                        .attachment = attachment->number,
                                        .user = (uint64_t)attachment->peer.uid + 1,
                                        .is_held = true};
    int result = mr_region_make(&ring->region, plan->ring_bytes, fault);

    add_siblings(a, ring->shard, plan->shards, &config);
    if (result != 0)
        return result;
    a->stats.region_bytes += ring->region.size;
    attachment->region_bytes += ring->region.size;
    if (!ring->region.is_locked)
        note_unlocked(a, attachment);
    mr_ring_region_make(&config.region, ring->region.memory, &plan->sizes, ring->shard);
    ring->number = mr_app_host_attach(a->config.hosts[ring->shard], &config);
    if (ring->number == -ENOSPC)
        return mr_fault_set(fault, ENOSPC,
                            "shard %u has no room for another ring: %d are the most, and each is "
                            "promised its %u objects and %u SENDs; lower rings.objects and "
                            "rings.sends, or raise limits.connections",
                            ring->shard, MR_APP_RINGS_MAX, plan->sizes.objects_max,
                            plan->sizes.sends_max);
    if (ring->number < 0)
        return mr_fault_set(fault, -ring->number, "shard %u: %s", ring->shard,
                            strerror(-ring->number));
    return 0;
}

static int attach_rings(struct mr_attachments *a, struct attachment *attachment,
                        const struct mr_attach_plan *plan, struct mr_fault *fault)
{
    for (uint64_t left = plan->shards; left != 0; left &= left - 1) {
        struct ring *ring = &attachment->rings[attachment->ring_count++];

        *ring = (struct ring){.shard = (uint32_t)__builtin_ctzll(left),
                              .number = -1,
                              .region = {.fd = -1, .seal_fd = -1}};
        int result = attach_ring(a, attachment, ring, plan, fault);
        if (result != 0) {
            ring->number = -1;
            return result;
        }
    }
    return 0;
}

static struct mr_message message_head(enum mr_message_type type, size_t size)
{
    return (struct mr_message){.magic = MR_ATTACH_MAGIC,
                               .version = MR_ATTACH_VERSION,
                               .type = (uint16_t)type,
                               .size = (uint32_t)size};
}

/* What fails here breaks the client, which is noticed by whoever owns it. */
static void answer(const struct mr_attachments *a, struct attachment *attachment, int wake_fd)
{
    struct mr_client *client = attachment->client;
    struct mr_message_attached attached = {
        .head = message_head(MR_MESSAGE_ATTACHED, sizeof(attached)),
        .ring_count = attachment->ring_count,
        .listener_count = (uint32_t)__builtin_popcountll(attachment->listeners),
        .attachment = attachment->number};
    bool has_base = is_by_reference(attachment);

    mr_client_send(client, &attached.head, NULL, 0, wake_fd);
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        struct ring *ring = &attachment->rings[i];
        struct mr_message_ring message = {
            .head = message_head(MR_MESSAGE_RING, sizeof(message)),
            .shard = ring->shard,
            .size = ring->region.size,
            .base = has_base ? (uint64_t)(uintptr_t)ring->region.memory : 0};

        mr_client_send(client, &message.head, NULL, 0, ring->region.fd);
        ring->region.fd = -1;
    }
    for (uint64_t left = attachment->listeners; left != 0; left &= left - 1) {
        uint32_t number = (uint32_t)__builtin_ctzll(left);
        const struct mr_handoff_listener *listener = &a->policy.listener[number];
        struct mr_message_listener message = {
            .head = message_head(MR_MESSAGE_LISTENER, sizeof(message)),
            .number = number,
            .port = listener->port};

        memcpy(message.name, listener->name, sizeof(message.name));
        memcpy(message.alpn, listener->alpn, sizeof(message.alpn));
        mr_client_send(client, &message.head, NULL, 0, -1);
    }
}

static struct attachment *new_attachment(struct mr_attachments *a, struct mr_client *client,
                                         const struct mr_message_attach *wish, uint32_t ring_count)
{
    struct attachment *attachment =
        calloc(1, sizeof(*attachment) + ring_count * sizeof(attachment->rings[0]));

    if (attachment == NULL)
        return NULL;
    attachment->number = ++a->last_number;
    attachment->peer = *mr_client_peer(client);
    attachment->node = (int32_t)wish->node - 1;
    attachment->wake_fd = -1;
    attachment->flags = wish->flags;
    attachment->listeners = mr_attach_listeners(&a->policy, wish->name);
    attachment->is_locked = true;
    memcpy(attachment->name, wish->name, strnlen(wish->name, MR_ATTACH_NAME - 1));
    attachment->next = a->first;
    a->first = attachment;
    a->stats.attachments++;
    return attachment;
}

static int attach(struct mr_attachments *a, struct mr_client *client,
                  const struct mr_message_attach *wish, struct mr_fault *fault)
{
    struct mr_attach_plan plan;
    int pair[2];
    int result = mr_attach_plan(a, wish, mr_client_peer(client), &plan, fault);

    if (result != 0)
        return result;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return mr_fault_set(fault, errno, "cannot make a wake socket: %s; raise `ulimit -n`",
                            strerror(errno));
    struct attachment *attachment = new_attachment(a, client, wish, plan.ring_count);
    if (attachment == NULL) {
        close(pair[0]);
        close(pair[1]);
        return mr_fault_set(fault, ENOMEM, "no memory for an attachment");
    }
    attachment->wake_fd = pair[0];
    result = attach_rings(a, attachment, &plan, fault);
    if (result != 0) { /* what is attached already goes as it does when an application dies */
        close(pair[1]);
        end(a, attachment);
        return result;
    }
    attachment->is_whole = true;
    attachment->client = client;
    mr_client_set_context(client, attachment);
    answer(a, attachment, pair[1]);
    return 0;
}

/* Nobody can punch holes into the rings any more: the shards may look at them. */
static int begin(struct mr_attachments *a, struct attachment *attachment, struct mr_fault *fault)
{
    if (attachment == NULL)
        return mr_fault_set(fault, EPROTO, "MAPPED comes after ATTACH");
    if (attachment->is_ending) /* by reference: its client is kept until it goes itself */
        return mr_fault_set(fault, ECONNABORTED, "the attachment ended before it was mapped");
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        struct ring *ring = &attachment->rings[i];
        int result = mr_region_seal(&ring->region);

        if (result != 0)
            return mr_fault_set(fault, -result, "the ring of shard %u cannot be sealed: %s",
                                ring->shard, strerror(-result));
    }
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        const struct ring *ring = &attachment->rings[i];

        mr_app_host_begin(a->config.hosts[ring->shard], (uint32_t)ring->number);
    }
    return 0;
}

int mr_attachments_mapped(struct mr_attachments *a, struct mr_client *client,
                          struct mr_fault *fault)
{
    struct mr_message ready = message_head(MR_MESSAGE_READY, sizeof(ready));
    struct attachment *attachment = mr_client_context(client);
    int result = begin(a, attachment, fault);

    if (result != 0) {
        a->stats.refused++;
        return result; /* its client goes, and it does with it */
    }
    attachment->has_begun = true;
    a->stats.attached++;
    mr_client_attach(client);
    mr_client_send(client, &ready, NULL, 0, -1);
    return 0;
}

/* Is one on its way out, be it that nobody has noticed yet? */
static bool is_any_leaving(const struct mr_attachments *a)
{
    bool is_any = false;

    for (const struct attachment *each = a->first; each != NULL; each = each->next)
        is_any |= each->is_whole &&
                  (each->is_ending || (each->client != NULL && mr_client_has_ended(each->client)));
    return is_any;
}

int mr_attachments_attach(struct mr_attachments *a, struct mr_client *client,
                          const struct mr_message_attach *wish, bool may_wait,
                          struct mr_fault *fault)
{
    int result = mr_client_context(client) == NULL
                     ? attach(a, client, wish, fault)
                     : mr_fault_set(fault, EISCONN, "ATTACH comes once; MAPPED is due");

    if (may_wait && (result == -EDQUOT || result == -ENOSPC) && is_any_leaving(a))
        return -EAGAIN;
    a->stats.refused += result != 0;
    return result;
}

/* ------------------------------------------------------------------ policy */

/* Is every listener that somebody may serve still there? */
static bool keeps_listeners(const struct mr_attachments *a, const struct mr_handoff *policy)
{
    for (uint32_t i = 0; i < a->policy.listener_count && a->first != NULL; i++) {
        const struct mr_handoff_listener *old = &a->policy.listener[i];
        const struct mr_handoff_listener *new = &policy->listener[i];

        if (i >= policy->listener_count || strcmp(old->name, new->name) != 0 ||
            strcmp(old->application, new->application) != 0)
            return false;
    }
    return true;
}

int mr_attachments_set_policy(struct mr_attachments *a, const struct mr_handoff *policy,
                              struct mr_fault *fault)
{
    MR_ASSERT(policy->listener_count <= MR_LISTENERS_MAX);
    if (!keeps_listeners(a, policy))
        return mr_fault_set(fault, EBUSY,
                            "applications are attached: their listeners cannot go, change their "
                            "place or their application; add new ones at the end, or detach them");
    a->policy = *policy;
    a->unpublished =
        a->config.host_count == 64 ? UINT64_MAX : (UINT64_C(1) << a->config.host_count) - 1;
    publish(a);
    return 0;
}

const struct mr_handoff *mr_attachments_policy(const struct mr_attachments *a)
{
    return &a->policy;
}

/* ------------------------------------------------------------------ looking */

static void describe(const struct mr_attachments *a, const struct attachment *attachment,
                     struct mr_attachment_info *info)
{
    *info = (struct mr_attachment_info){.number = attachment->number,
                                        .peer = attachment->peer,
                                        .region_bytes = attachment->region_bytes,
                                        .node = attachment->node,
                                        .has_begun = attachment->has_begun,
                                        .is_ending = attachment->is_ending,
                                        .is_by_reference =
                                            (attachment->flags & MR_RING_BY_REFERENCE) != 0,
                                        .is_locked = attachment->is_locked,
                                        .ring_count = attachment->ring_count};
    memcpy(info->name, attachment->name, sizeof(info->name));
    for (uint32_t i = 0; i < attachment->ring_count; i++) {
        const struct ring *ring = &attachment->rings[i];
        struct mr_attachment_ring *out = &info->ring[i];

        out->shard = ring->shard;
        out->state = MR_APP_RING_FREE;
        if (ring->number < 0)
            continue;
        const struct mr_app_host *host = a->config.hosts[ring->shard];
        out->state = mr_app_host_ring_state(host, (uint32_t)ring->number);
        mr_app_host_ring_stats(host, (uint32_t)ring->number, &out->stats);
    }
}

bool mr_attachments_next(const struct mr_attachments *a, uint64_t number,
                         struct mr_attachment_info *info)
{
    const struct attachment *best = NULL;

    for (const struct attachment *each = a->first; each != NULL; each = each->next)
        if (each->number > number && (best == NULL || each->number < best->number))
            best = each;
    if (best != NULL)
        describe(a, best, info);
    return best != NULL;
}

struct mr_attachments_stats mr_attachments_stats(const struct mr_attachments *a)
{
    return a->stats;
}

struct mr_app_host_stats mr_attachments_host_stats(const struct mr_attachments *a)
{
    struct mr_app_host_stats sum = {0};
    uint64_t *to = (uint64_t *)(void *)&sum;

    for (uint32_t i = 0; i < a->config.host_count; i++) {
        const uint64_t *from =
            (const uint64_t *)(const void *)mr_app_host_stats(a->config.hosts[i]);

        for (size_t k = 0; k < sizeof(sum) / sizeof(uint64_t); k++) /* a shard writes them */
            to[k] += __atomic_load_n(&from[k], __ATOMIC_RELAXED);
    }
    return sum;
}

const char *mr_attachment_state_name(enum mr_app_ring_state state)
{
    static const char *const names[] = {[MR_APP_RING_FREE] = "gone",
                                        [MR_APP_RING_ATTACHING] = "attaching",
                                        [MR_APP_RING_ATTACHED] = "attached",
                                        [MR_APP_RING_LETTING_GO] = "letting go",
                                        [MR_APP_RING_DRAINED] = "drained"};

    return names[state];
}

/* ------------------------------------------------------------------ life */

static void fill_defaults(struct mr_attachments_config *config)
{
    if (config->sizes.submit_count == 0)
        config->sizes = mr_ring_sizes_default();
    if (config->port_shards == 0)
        config->port_shards = MR_MAX(config->host_count, 1u);
    if (config->attachments_max == 0)
        config->attachments_max = ATTACHMENTS_MAX;
    if (config->user_attachments_max == 0)
        config->user_attachments_max = USER_ATTACHMENTS_MAX;
    if (config->region_bytes_max == 0)
        config->region_bytes_max = REGION_BYTES_MAX;
    if (config->user_bytes_max == 0)
        config->user_bytes_max = config->region_bytes_max;
    if (config->attachment_bytes_max == 0)
        config->attachment_bytes_max = ATTACHMENT_BYTES_MAX;
}

struct mr_attachments *mr_attachments_new(const struct mr_attachments_config *config)
{
    struct mr_attachments *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return NULL;
    MR_ASSERT(config->host_count <= MR_ATTACH_RINGS_MAX);
    a->config = *config;
    fill_defaults(&a->config);
    return a;
}

void mr_attachments_free(struct mr_attachments *a)
{
    if (a == NULL)
        return;
    while (a->first != NULL) {
        struct attachment *attachment = a->first;

        a->first = attachment->next;
        (void)forget_rings(a, attachment);
        free_rings(attachment);
    }
    free(a);
}
