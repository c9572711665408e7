/*
 * app/attach.c - see millrace/ring.h: attach to a running datapath over its control socket
 * (millrace/attach_layout.h).
 *
 * Everything is collected first, and becomes an attachment at the end: what fails in between is
 * undone in one place.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "app/attach_internal.h"

#define NS_PER_S    UINT64_C(1000000000)
#define RETRY_NS    (NS_PER_S / 20) /* between two tries to connect */
#define TELL_NS     NS_PER_S        /* of waiting for a datapath, then it is said */
#define ANSWER_S    10              /* the datapath takes at most, region by region */
#define MESSAGE_MAX 1024

/* An attachment on its way. */
struct attempt {
    const struct mr_attach_config *config;
    const char *path;
    struct mr_fault *fault;
    struct mr_attach_region regions[MR_ATTACH_RINGS_MAX];
    struct mr_attach_listener listeners[MR_ATTACH_LISTENERS_MAX];
    struct mr_attach_parts parts;
};

/* A message as it came. */
struct received {
    union {
        struct mr_message head;
        struct mr_message_attached attached;
        struct mr_message_ring ring;
        struct mr_message_listener listener;
        struct mr_message_refused refused;
        uint8_t bytes[MESSAGE_MAX];
    };
    int fd; /* -1: none came with it */
};

/* ------------------------------------------------------------------ connecting */

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int explain_connect(const char *path, int error, struct mr_fault *fault)
{
    switch (error) {
    case ENOENT:
        return mr_fault_set(fault, error,
                            "%s: there is no such socket; start the datapath, or "
                            "name its control socket in $MILLRACE_CONTROL",
                            path);
    case ECONNREFUSED:
        return mr_fault_set(fault, error, "%s: nobody listens there any more; start the datapath",
                            path);
    case ENOTSOCK:
    case EPROTOTYPE:
        return mr_fault_set(fault, error,
                            "%s: that is no datapath's control socket; name the one that the "
                            "datapath was started with",
                            path);
    case EACCES:
    case EPERM:
        return mr_fault_set(fault, EACCES,
                            "%s: this user may not attach; the configuration's "
                            "control socket names the group that may",
                            path);
    default:
        return mr_fault_set(fault, error, "%s: cannot connect: %s", path, strerror(error));
    }
}

/* Worth trying again: it may come up. */
static bool is_passing(int error)
{
    return error == ENOENT || error == ECONNREFUSED || error == EAGAIN;
}

/* 0, or the error's number.  To connect to what is no socket is refused, too. */
static int connect_once(int fd, const struct sockaddr_un *address)
{
    struct stat file;
    int result;

    do
        result = connect(fd, (const struct sockaddr *)(const void *)address, sizeof(*address));
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return 0;
    int error = errno;
    bool is_other =
        error == ECONNREFUSED && stat(address->sun_path, &file) == 0 && !S_ISSOCK(file.st_mode);
    return is_other ? ENOTSOCK : error;
}

/* Whoever sits there is to know why nothing happens. */
static void tell_wait(const struct attempt *at, int error)
{
    struct mr_fault why;

    explain_connect(at->path, error, &why);
    if (at->config->on_wait != NULL)
        at->config->on_wait(at->config->wait_context, why.text);
    else
        fprintf(stderr, "millrace: waiting for the datapath at %s\n", why.text);
}

static int connect_patiently(struct attempt *at)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ANSWER_S};
    uint64_t begin = clock_ns();
    bool is_told = false;

    if (strlen(at->path) >= sizeof(address.sun_path))
        return mr_fault_set(at->fault, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
                            at->path, sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, at->path);
    at->parts.control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (at->parts.control_fd < 0)
        return mr_fault_set(at->fault, errno, "cannot make a socket: %s", strerror(errno));
    (void)setsockopt(at->parts.control_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(at->parts.control_fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    for (;;) {
        int error = connect_once(at->parts.control_fd, &address);
        uint64_t waited = clock_ns() - begin;

        if (error == 0)
            return 0;
        if (!is_passing(error) || waited >= at->config->patience_ns)
            return explain_connect(at->path, error, at->fault);
        if (!is_told && waited >= TELL_NS)
            tell_wait(at, error);
        is_told = waited >= TELL_NS;
        nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
    }
}

/* ------------------------------------------------------------------ messages */

static int explain_silence(const struct attempt *at, int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return mr_fault_set(at->fault, ETIMEDOUT,
                            "%s: the datapath did not answer for %d s; its control thread hangs",
                            at->path, ANSWER_S);
    return mr_fault_set(at->fault, error, "%s: the datapath ended the connection: %s", at->path,
                        strerror(error));
}

/* The NUMA node that the thread runs on, + 1; 0: unknown.  Its rings are to be near it. */
static uint32_t own_node(void)
{
    unsigned node;

    return getcpu(NULL, &node) == 0 ? node + 1 : 0;
}

static int say(const struct attempt *at, const struct mr_message *head)
{
    ssize_t sent = send(at->parts.control_fd, head, head->size, MSG_NOSIGNAL);

    return sent == (ssize_t)head->size ? 0 : explain_silence(at, errno);
}

static bool is_name(const char *name)
{
    size_t length = strnlen(name, MR_ATTACH_NAME);

    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return length > 0 && length < MR_ATTACH_NAME;
}

static int send_wish(const struct attempt *at)
{
    const struct mr_attach_config *config = at->config;
    const char *name = config->name == NULL ? "app" : config->name;
    struct mr_message_attach wish = {
        .head = {.magic = MR_ATTACH_MAGIC,
                 .version = MR_ATTACH_VERSION,
                 .type = MR_MESSAGE_ATTACH,
                 .size = sizeof(wish)},
        .flags = (config->is_by_reference ? (uint32_t)MR_RING_BY_REFERENCE : 0) |
                 (config->can_move ? (uint32_t)MR_RING_MOVES : 0) |
                 (config->wants_reasons ? (uint32_t)MR_RING_REASONS : 0),
        .node = own_node(),
        .shards = config->shards,
        .submit_count = config->submit_count,
        .complete_count = config->complete_count,
        .slot_size = config->slot_size,
        .slot_count = config->slot_count,
        .send_bytes = config->send_bytes,
    };

    if (!is_name(name))
        return mr_fault_set(at->fault, EINVAL,
                            "an application's name has 1 to %d characters of printable ASCII "
                            "without spaces: '%.*s'",
                            MR_ATTACH_NAME - 1, MR_ATTACH_NAME, name);
    strcpy(wish.name, name);
    return say(at, &wish.head);
}

/* The first descriptor of a message; others are closed. */
static int descriptor_of(struct msghdr *message)
{
    int first = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (first < 0)
                first = fd;
            else
                close(fd);
        }
    }
    return first;
}

static int check_head(const struct attempt *at, const struct received *in, size_t size)
{
    if (size < sizeof(in->head) || in->head.magic != MR_ATTACH_MAGIC)
        return mr_fault_set(at->fault, EPROTO, "%s: who answers there is not millrace", at->path);
    if (in->head.version != MR_ATTACH_VERSION)
        return mr_fault_set(at->fault, EPROTO,
                            "%s: the datapath speaks version %u, this library %u; use the library "
                            "that came with the datapath",
                            at->path, in->head.version, MR_ATTACH_VERSION);
    return 0;
}

static int explain_refusal(const struct attempt *at, const struct received *in)
{
    int error = in->refused.error;

    if (error <= 0 || error > 4095)
        error = EPERM;
    return mr_fault_set(at->fault, error, "%s: refused: %.*s", at->path,
                        (int)sizeof(in->refused.why) - 1, in->refused.why);
}

/* Receive the message that must come now, of `size` bytes; `in->fd` is the caller's, also when it
 * fails. */
static int receive(const struct attempt *at, struct received *in, uint16_t type, size_t size)
{
    union {
        struct cmsghdr head;
        uint8_t bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec bytes = {.iov_base = in->bytes, .iov_len = sizeof(in->bytes)};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control)};
    ssize_t got;

    memset(in, 0, sizeof(*in));
    in->fd = -1;
    do
        got = recvmsg(at->parts.control_fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return explain_silence(at, got == 0 ? ECONNRESET : errno);
    in->fd = descriptor_of(&message);
    if ((message.msg_flags & MSG_CTRUNC) != 0 && in->fd < 0)
        return mr_fault_set(at->fault, EMFILE,
                            "%s: no descriptor is free for what the datapath sent; raise "
                            "`ulimit -n`",
                            at->path);
    int result = check_head(at, in, (size_t)got);
    if (result != 0)
        return result;
    if (in->head.type == MR_MESSAGE_REFUSED && (size_t)got == sizeof(in->refused))
        return explain_refusal(at, in);
    if (in->head.type != type || (size_t)got != size || in->head.size != size)
        return mr_fault_set(at->fault, EPROTO,
                            "%s: the datapath said message %u of %zd bytes where %u was due",
                            at->path, in->head.type, got, type);
    return 0;
}

/* ------------------------------------------------------------------ what comes */

/* Map what came with the message; the descriptor is not needed any longer then. */
static int map_region(struct attempt *at, const struct received *in,
                      struct mr_attach_region *region)
{
    struct stat st;
    uint64_t size = in->ring.size;

    if (in->ring.base != 0 && at->config->is_by_reference) {
        *region =
            (struct mr_attach_region){.memory = (void *)(uintptr_t)in->ring.base, .size = size};
        return 0;
    }
    if (in->fd < 0 || fstat(in->fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size < size ||
        size == 0 || size > SIZE_MAX)
        return mr_fault_set(at->fault, EPROTO,
                            "%s: shard %u's region is smaller than the datapath says", at->path,
                            in->ring.shard);
    void *memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, in->fd, 0);
    if (memory == MAP_FAILED)
        return mr_fault_set(at->fault, errno, "cannot map %llu bytes of shard %u's region: %s",
                            (unsigned long long)size, in->ring.shard, strerror(errno));
    *region = (struct mr_attach_region){.memory = memory, .size = size, .is_mapped = true};
    return 0;
}

static int receive_ring(struct attempt *at)
{
    struct received in;
    int result = receive(at, &in, MR_MESSAGE_RING, sizeof(in.ring));

    if (result == 0)
        result = map_region(at, &in, &at->regions[at->parts.region_count]);
    if (in.fd >= 0)
        close(in.fd);
    if (result == 0)
        at->parts.region_count++;
    return result;
}

static int receive_listener(struct attempt *at)
{
    struct received in;
    struct mr_attach_listener *listener = &at->listeners[at->parts.listener_count];
    int result = receive(at, &in, MR_MESSAGE_LISTENER, sizeof(in.listener));

    if (in.fd >= 0)
        close(in.fd);
    if (result != 0)
        return result;
    listener->number = in.listener.number;
    memcpy(listener->name, in.listener.name, sizeof(listener->name));
    listener->name[sizeof(listener->name) - 1] = '\0';
    at->parts.listener_count++;
    return 0;
}

static int receive_all(struct attempt *at)
{
    struct received in;
    int result = receive(at, &in, MR_MESSAGE_ATTACHED, sizeof(in.attached));

    at->parts.wake_fd = in.fd;
    if (result != 0)
        return result;
    if (in.fd < 0 || in.attached.ring_count == 0 || in.attached.ring_count > MR_ATTACH_RINGS_MAX ||
        in.attached.listener_count > MR_ATTACH_LISTENERS_MAX)
        return mr_fault_set(
            at->fault, EPROTO, "%s: the datapath gave %u rings, %u listeners and %s wake socket",
            at->path, in.attached.ring_count, in.attached.listener_count, in.fd < 0 ? "no" : "a");
    at->parts.number = in.attached.attachment;
    while (result == 0 && at->parts.region_count < in.attached.ring_count)
        result = receive_ring(at);
    while (result == 0 && at->parts.listener_count < in.attached.listener_count)
        result = receive_listener(at);
    return result;
}

/* Everything is mapped: the shards may begin. */
static int begin(const struct attempt *at)
{
    struct mr_message mapped = {.magic = MR_ATTACH_MAGIC,
                                .version = MR_ATTACH_VERSION,
                                .type = MR_MESSAGE_MAPPED,
                                .size = sizeof(mapped)};
    struct received in;
    int result = say(at, &mapped);

    if (result != 0)
        return result;
    result = receive(at, &in, MR_MESSAGE_READY, sizeof(in.head));
    if (in.fd >= 0)
        close(in.fd);
    return result;
}

static void undo(struct attempt *at)
{
    if (at->parts.control_fd >= 0)
        close(at->parts.control_fd);
    if (at->parts.wake_fd >= 0)
        close(at->parts.wake_fd);
    for (uint32_t i = 0; i < at->parts.region_count; i++)
        if (at->regions[i].is_mapped)
            munmap(at->regions[i].memory, (size_t)at->regions[i].size);
}

static const char *path_of(const struct mr_attach_config *config)
{
    const char *path = config->control;

    if (path == NULL)
        path = getenv("MILLRACE_CONTROL");
    return path == NULL || *path == '\0' ? "/run/millrace.sock" : path;
}

int mr_attach(const struct mr_attach_config *config, struct mr_attachment **attachment_out,
              struct mr_error *error)
{
    struct mr_fault fault = {0};
    struct attempt at = {.config = config, .path = path_of(config), .fault = &fault};

    at.parts = (struct mr_attach_parts){
        .regions = at.regions, .listeners = at.listeners, .wake_fd = -1, .control_fd = -1};
    int result = connect_patiently(&at);
    if (result == 0)
        result = send_wish(&at);
    if (result == 0)
        result = receive_all(&at);
    if (result == 0)
        result = begin(&at);
    if (result == 0)
        result = mr_attachment_from_memory(&at.parts, attachment_out, &fault);
    if (result != 0)
        undo(&at);
    if (error != NULL)
        memcpy(error->text, fault.text, sizeof(error->text));
    return result;
}
