/* app/attachment.c - see attach_internal.h: an attachment of regions that are there. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/attach_internal.h"

#define NS_PER_S UINT64_C(1000000000)

/* ------------------------------------------------------------------ life */

int mr_attachment_from_memory(const struct mr_attach_parts *parts,
                              struct mr_attachment **attachment_out, struct mr_fault *fault)
{
    uint32_t count = parts->region_count;

    if (count == 0 || count > MR_ATTACH_RINGS_MAX ||
        parts->listener_count > MR_ATTACH_LISTENERS_MAX)
        return mr_fault_set(fault, EPROTO, "an attachment of %u rings and %u listeners", count,
                            parts->listener_count);
    struct mr_attachment *a = calloc(1, sizeof(*a) + count * sizeof(a->rings[0]));
    if (a == NULL)
        return mr_fault_set(fault, ENOMEM, "no memory for %u rings", count);
    for (; a->ring_count < count; a->ring_count++) {
        int result = mr_ring_init(&a->rings[a->ring_count], &parts->regions[a->ring_count], fault);
        if (result == 0)
            continue;
        while (a->ring_count > 0)
            mr_ring_fini(&a->rings[--a->ring_count]);
        free(a);
        return result;
    }
    a->listener_count = parts->listener_count;
    if (a->listener_count > 0)
        memcpy(a->listeners, parts->listeners, a->listener_count * sizeof(a->listeners[0]));
    a->wake_fd = parts->wake_fd;
    a->control_fd = parts->control_fd;
    a->number = parts->number;
    *attachment_out = a;
    return 0;
}

void mr_detach(struct mr_attachment *a)
{
    if (a == NULL)
        return;
    if (a->wake_fd >= 0)
        close(a->wake_fd);
    if (a->control_fd >= 0)
        close(a->control_fd);
    for (uint32_t i = 0; i < a->ring_count; i++) {
        if (a->rings[i].mapped > 0)
            munmap(a->rings[i].region.base, a->rings[i].mapped);
        mr_ring_fini(&a->rings[i]);
    }
    free(a);
}

uint32_t mr_attach_ring_count(const struct mr_attachment *a)
{
    return a->ring_count;
}

struct mr_ring *mr_attach_ring(struct mr_attachment *a, uint32_t index)
{
    return index < a->ring_count ? &a->rings[index] : NULL;
}

int mr_attach_listener(const struct mr_attachment *a, const char *name)
{
    for (uint32_t i = 0; i < a->listener_count; i++)
        if (strncmp(a->listeners[i].name, name, MR_ATTACH_NAME) == 0)
            return (int)a->listeners[i].number;
    return -ENOENT;
}

/* ------------------------------------------------------------------ liveness */

/* The other end of a socket is closed. */
static bool has_hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd};

    return fd >= 0 && poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR)) != 0;
}

static bool has_gone_ring(const struct mr_attachment *a)
{
    for (uint32_t i = 0; i < a->ring_count; i++)
        if (mr_ring_is_gone(&a->rings[i]))
            return true;
    return false;
}

bool mr_attach_is_alive(const struct mr_attachment *a)
{
    return !has_gone_ring(a) && !has_hung_up(a->wake_fd) && !has_hung_up(a->control_fd);
}

static bool is_draining(const struct mr_attachment *a)
{
    for (uint32_t i = 0; i < a->ring_count; i++)
        if (a->rings[i].is_draining)
            return true;
    return false;
}

/* What the datapath said when it let go of us; it stays where it is.  False: nothing. */
static bool last_words(const struct mr_attachment *a, struct mr_message_refused *refused_out)
{
    ssize_t size = a->control_fd < 0 ? 0
                                     : recv(a->control_fd, refused_out, sizeof(*refused_out),
                                            MSG_DONTWAIT | MSG_PEEK);

    return size == (ssize_t)sizeof(*refused_out) && refused_out->head.magic == MR_ATTACH_MAGIC &&
           refused_out->head.type == MR_MESSAGE_REFUSED;
}

enum mr_datapath_state mr_attach_state(const struct mr_attachment *a, struct mr_error *why_out)
{
    static const char *const words[] = {[MR_DATAPATH_THERE] = "",
                                        [MR_DATAPATH_DRAINING] = "the datapath drains",
                                        [MR_DATAPATH_GONE] = "the datapath is gone"};
    struct mr_message_refused last;
    bool has_words = last_words(a, &last);
    enum mr_datapath_state state = MR_DATAPATH_THERE;

    if (has_words)
        state = last.error == ESHUTDOWN ? MR_DATAPATH_DRAINED : MR_DATAPATH_DETACHED;
    else if (!mr_attach_is_alive(a))
        state = MR_DATAPATH_GONE;
    else if (is_draining(a))
        state = MR_DATAPATH_DRAINING;
    if (why_out != NULL)
        snprintf(why_out->text, sizeof(why_out->text), "%.*s", (int)sizeof(last.why) - 1,
                 has_words ? last.why : words[state]);
    return state;
}

static bool has_completions(struct mr_attachment *a)
{
    for (uint32_t i = 0; i < a->ring_count; i++)
        if (mr_ring_has_completions(&a->rings[i]))
            return true;
    return false;
}

/* ------------------------------------------------------------------ waiting */

int mr_attach_fd(const struct mr_attachment *a)
{
    return a->wake_fd;
}

static void take_words_back(struct mr_attachment *a, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mr_inbox_woke(a->rings[i].region.sleeps);
}

bool mr_attach_arm(struct mr_attachment *a)
{
    if (!mr_attach_is_alive(a))
        return false;
    for (uint32_t i = 0; i < a->ring_count; i++) {
        struct mr_ring *ring = &a->rings[i];

        if (!ring->has_current && mr_inbox_may_sleep(&ring->completions, ring->region.sleeps))
            continue;
        take_words_back(a, i);
        return false;
    }
    return true;
}

void mr_attach_disarm(struct mr_attachment *a)
{
    uint8_t bytes[256];

    take_words_back(a, a->ring_count);
    if (a->wake_fd < 0)
        return;
    while (recv(a->wake_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Wait for either descriptor; NULL: for ever.  As ppoll(). */
static int wait_for_fds(const struct mr_attachment *a, const uint64_t *deadline)
{
    struct pollfd fds[2] = {{.fd = a->wake_fd, .events = POLLIN}, {.fd = a->control_fd}};
    struct timespec left = {0};

    if (deadline != NULL) {
        uint64_t now = clock_ns();
        uint64_t ns = *deadline > now ? *deadline - now : 0;
        left =
            (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    }
    return ppoll(fds, 2, deadline == NULL ? NULL : &left, NULL);
}

int mr_attach_wait(struct mr_attachment *a, uint64_t timeout_ns)
{
    uint64_t now = timeout_ns == UINT64_MAX ? 0 : clock_ns();
    uint64_t deadline = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;

    for (;;) {
        if (!mr_attach_arm(a)) {
            if (has_completions(a))
                return 1;
            if (!mr_attach_is_alive(a))
                return -ENOTCONN;
            continue; /* one came, and was none */
        }
        int ready = wait_for_fds(a, deadline == UINT64_MAX ? NULL : &deadline);
        int error = errno;
        mr_attach_disarm(a);
        if (has_completions(a))
            return 1;
        if (ready < 0)
            return -error;
        if (ready == 0)
            return mr_attach_is_alive(a) ? 0 : -ENOTCONN;
    }
}
