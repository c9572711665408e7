/* control/control_socket.c - see control_socket.h. */
#include "control/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "drivers/unix_socket.h"

#define LEAVING_MAX      16 /* clients beyond the limit that are being told so */
#define EVENTS           32 /* of epoll, at a time */
#define MESSAGES_AT_ONCE 8  /* of a client, then the others' turn */
#define IDLE_TIMES       12 /* silences that a client may keep once it has said something */
#define LINGER_NS        UINT64_C(1000000000) /* that a client may take to read why it is closed */

_Static_assert(MR_CONTROL_NEVER == UINT64_MAX, "the least of times is the next");

/* A message that a client has not taken yet. */
struct output {
    struct output *next;
    size_t size;
    int fd; /* -1: none */
    uint8_t bytes[];
};

struct mr_client {
    int fd; /* -1: free */
    int process_fd;
    uint32_t index;
    uint32_t generation; /* of the slot: an event may be about the one before */
    uint32_t wanted;     /* events that epoll was asked for */
    struct mr_control_socket *socket;
    struct mr_client_peer peer;
    void *context;
    struct output *first; /* that waits */
    struct output **last;
    size_t queued_bytes;
    uint64_t heard_ns; /* when it connected, said something, or took something */
    bool has_spoken;
    bool is_attached;
    bool is_broken;  /* on_gone is due */
    bool is_leaving; /* the handler knows it no more */
    bool is_told;    /* leaving: everything is sent */
};

struct mr_control_socket {
    struct mr_control_socket_config config;
    struct mr_control_handler handler;
    char path[MR_UNIX_NAME_MAX];
    dev_t device; /* of the socket's file */
    ino_t inode;
    bool has_file;
    int epoll_fd;
    int listen_fd;
    int timer_fd;
    int spare_fd; /* given up to answer a client when no other is left */
    uint64_t timer_ns;
    uint32_t slot_count;
    struct mr_client *clients;
    struct mr_client_message message;
    uint8_t bytes[MR_CLIENT_MESSAGE_MAX];
};

enum event_source {
    SOURCE_LISTEN,
    SOURCE_TIMER,
    SOURCE_CLIENT,
    SOURCE_PROCESS /* of an attached client */
};

uint64_t mr_control_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------ epoll */

static uint64_t event_word(enum event_source source, uint32_t index, uint32_t generation)
{
    return (uint64_t)generation << 32 | index << 8 | source;
}

static int watch(struct mr_control_socket *s, int operation, int fd, uint32_t events, uint64_t word)
{
    struct epoll_event event = {.events = events, .data.u64 = word};

    return epoll_ctl(s->epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

/* Ask for what the client can do something with now. */
static void watch_client(struct mr_client *c)
{
    uint32_t wanted = c->first != NULL ? EPOLLOUT : EPOLLIN | EPOLLRDHUP;

    if (wanted != c->wanted)
        (void)watch(c->socket, EPOLL_CTL_MOD, c->fd, wanted,
                    event_word(SOURCE_CLIENT, c->index, c->generation));
    c->wanted = wanted;
}

/* ------------------------------------------------------------------ sending */

/* One message; 0, or -errno. */
static int send_message(int fd, struct iovec *parts, size_t part_count, int passed)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};

    if (passed >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(rights), &passed, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ? 0 : -errno;
}

static void free_output(struct output *output)
{
    if (output->fd >= 0)
        close(output->fd);
    free(output);
}

static void forget_outputs(struct mr_client *c)
{
    while (c->first != NULL) {
        struct output *output = c->first;

        c->first = output->next;
        free_output(output);
    }
    c->last = &c->first;
    c->queued_bytes = 0;
}

static int queue_message(struct mr_client *c, const struct iovec parts[2], int fd)
{
    size_t size = parts[0].iov_len + parts[1].iov_len;
    struct output *output =
        c->queued_bytes + size > MR_CLIENT_QUEUE_MAX ? NULL : malloc(sizeof(*output) + size);

    if (output == NULL)
        return -ENOBUFS;
    *output = (struct output){.size = size, .fd = fd};
    memcpy(output->bytes, parts[0].iov_base, parts[0].iov_len);
    if (parts[1].iov_len > 0)
        memcpy(output->bytes + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);
    *c->last = output;
    c->last = &output->next;
    c->queued_bytes += size;
    return 0;
}

int mr_client_send(struct mr_client *c, const struct mr_message *head, const void *more,
                   size_t size, int fd)
{
    struct iovec parts[2] = {{.iov_base = (void *)(uintptr_t)head, .iov_len = head->size - size},
                             {.iov_base = (void *)(uintptr_t)more, .iov_len = size}};
    int result = c->is_broken ? -EPIPE : -EAGAIN;

    if (!c->is_broken && c->first == NULL)
        result = send_message(c->fd, parts, size > 0 ? 2 : 1, fd);
    if (result == -EAGAIN) {
        result = queue_message(c, parts, fd);
        if (result == 0)
            fd = -1; /* the queue's */
    }
    if (fd >= 0)
        close(fd);
    c->is_broken |= result != 0;
    return result;
}

/* What waits, as far as it goes. */
static void flush(struct mr_client *c, uint64_t now)
{
    while (c->first != NULL) {
        struct output *output = c->first;
        struct iovec part = {.iov_base = output->bytes, .iov_len = output->size};
        int result = send_message(c->fd, &part, 1, output->fd);

        if (result == -EAGAIN)
            return;
        if (result != 0) {
            c->is_broken = true;
            return;
        }
        c->heard_ns = now;
        c->first = output->next;
        c->queued_bytes -= output->size;
        if (c->first == NULL)
            c->last = &c->first;
        free_output(output);
    }
}

void mr_client_refuse(struct mr_client *c, int error, const struct mr_fault *fault)
{
    struct mr_message_refused refused = {.head = {.magic = MR_ATTACH_MAGIC,
                                                  .version = MR_ATTACH_VERSION,
                                                  .type = MR_MESSAGE_REFUSED,
                                                  .size = sizeof(refused)},
                                         .error = -error};

    snprintf(refused.why, sizeof(refused.why), "%s", fault->text);
    mr_client_send(c, &refused.head, NULL, 0, -1);
}

/* ------------------------------------------------------------------ clients come and go */

const struct mr_client_peer *mr_client_peer(const struct mr_client *c)
{
    return &c->peer;
}

void mr_client_set_context(struct mr_client *c, void *context)
{
    c->context = context;
}

void *mr_client_context(const struct mr_client *c)
{
    return c->context;
}

void mr_client_close(struct mr_client *c)
{
    c->is_leaving = true;
    c->context = NULL;
}

void mr_client_attach(struct mr_client *c)
{
    c->is_attached = true;
    c->process_fd = c->peer.pid > 0 ? (int)syscall(SYS_pidfd_open, c->peer.pid, 0) : -1;
    if (c->process_fd >= 0)
        (void)watch(c->socket, EPOLL_CTL_ADD, c->process_fd, EPOLLIN,
                    event_word(SOURCE_PROCESS, c->index, c->generation));
}

bool mr_client_has_ended(struct mr_client *c)
{
    struct pollfd ends[2] = {{.fd = c->fd, .events = POLLRDHUP},
                             {.fd = c->process_fd, .events = POLLIN}};

    c->is_broken |= poll(ends, MR_COUNT_OF(ends), 0) > 0;
    return c->is_broken;
}

/* The handler is told, once. */
static void leave(struct mr_client *c)
{
    if (!c->is_leaving)
        c->socket->handler.on_gone(c->socket->handler.context, c);
    mr_client_close(c);
}

static void free_client(struct mr_client *c)
{
    leave(c);
    forget_outputs(c);
    if (c->process_fd >= 0)
        close(c->process_fd);
    close(c->fd);
    c->fd = -1;
    c->generation++;
}

static struct mr_client *new_client(struct mr_control_socket *s, int fd, uint64_t now)
{
    struct ucred who = {0};
    socklen_t size = sizeof(who);
    uint32_t index = 0;

    while (index < s->slot_count && s->clients[index].fd >= 0)
        index++;
    if (index == s->slot_count)
        return NULL;
    struct mr_client *c = &s->clients[index];
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
    *c = (struct mr_client){.fd = fd,
                            .process_fd = -1,
                            .index = index,
                            .generation = c->generation,
                            .socket = s,
                            .wanted = EPOLLIN | EPOLLRDHUP,
                            .heard_ns = now,
                            .peer = {.pid = who.pid, .uid = who.uid, .gid = who.gid}};
    c->last = &c->first;
    if (watch(s, EPOLL_CTL_ADD, fd, c->wanted, event_word(SOURCE_CLIENT, index, c->generation)) ==
        0)
        return c;
    c->fd = -1;
    return NULL;
}

uint32_t mr_control_socket_client_count(const struct mr_control_socket *s)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < s->slot_count; i++)
        count += s->clients[i].fd >= 0 && !s->clients[i].is_leaving;
    return count;
}

/* No descriptor is left: give up the spare one, so that the client hears of it and does not wait
 * for ever, at our cost: its connection would be reported again and again. */
static void turn_away(struct mr_control_socket *s)
{
    if (s->spare_fd < 0)
        return;
    close(s->spare_fd);
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_clients(struct mr_control_socket *s, uint64_t now)
{
    for (uint32_t i = 0; i < LEAVING_MAX; i++) {
        uint32_t count = mr_control_socket_client_count(s);
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE))
            turn_away(s);
        if (fd < 0)
            return;
        struct mr_client *c = new_client(s, fd, now);
        if (c == NULL) {
            close(fd);
            continue;
        }
        if (count < s->config.clients_max)
            continue;
        struct mr_fault fault;
        int error = mr_fault_set(&fault, EUSERS,
                                 "%u programs are connected to the control socket, which is the "
                                 "most; end one, `millrace ctl apps` lists those attached",
                                 count);
        mr_client_refuse(c, error, &fault);
        mr_client_close(c);
    }
}

/* ------------------------------------------------------------------ receiving */

/* A message of `size` bytes at `bytes`; false: nothing more is heard from this client. */
static bool take_message(struct mr_client *c, const void *bytes, size_t size, bool is_cut)
{
    struct mr_control_socket *s = c->socket;
    struct mr_fault fault = {0};
    int result = 0;

    if (c->is_leaving)
        return true; /* it has not read yet that it is to go */
    if (is_cut)
        result = mr_fault_set(&fault, EPROTO, "a message has at most %zu bytes and no descriptors",
                              MR_CLIENT_MESSAGE_MAX);
    else if (c->is_attached)
        result = mr_fault_set(&fault, EISCONN,
                              "an attached application has nothing to say on the control socket; "
                              "connect once more for commands");
    else
        result = mr_client_message_parse(&s->message, bytes, size, &fault);
    bool is_understood = result == 0;
    if (result == 0)
        result = s->handler.on_message(s->handler.context, c, &s->message, &fault);
    if (result == 0)
        return true;
    mr_client_refuse(c, result, &fault);
    if (is_understood && s->message.type == MR_MESSAGE_COMMAND)
        return true;
    leave(c);
    return false;
}

static void hear(struct mr_client *c, uint64_t now)
{
    struct mr_control_socket *s = c->socket;

    for (int i = 0; i < MESSAGES_AT_ONCE && c->first == NULL && !c->is_broken; i++) {
        struct iovec part = {.iov_base = s->bytes, .iov_len = sizeof(s->bytes)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        ssize_t size = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (size <= 0) {
            c->is_broken = true;
            return;
        }
        if (!c->is_leaving)
            c->heard_ns = now;
        c->has_spoken = true;
        if (!take_message(c, s->bytes, (size_t)size,
                          (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0))
            return;
    }
}

/* ------------------------------------------------------------------ time */

/* Until when the client may go on like this. */
static uint64_t deadline_of(const struct mr_client *c)
{
    uint64_t silence = c->socket->config.silence_ns;

    if (c->is_leaving)
        return c->heard_ns + MR_MIN(silence, LINGER_NS);
    if (c->first != NULL || !c->has_spoken)
        return c->heard_ns + silence;
    return c->is_attached ? MR_CONTROL_NEVER : c->heard_ns + IDLE_TIMES * silence;
}

/* Free who is done, or out of time; returns when the next one may be. */
static uint64_t settle_clients(struct mr_control_socket *s, uint64_t now)
{
    uint64_t next = MR_CONTROL_NEVER;

    for (uint32_t i = 0; i < s->slot_count; i++) {
        struct mr_client *c = &s->clients[i];

        if (c->fd < 0)
            continue;
        if (c->is_leaving && c->first == NULL && !c->is_told) {
            c->is_told = true;
            c->heard_ns = now;
            shutdown(c->fd, SHUT_WR);
        }
        if (c->is_broken || now >= deadline_of(c)) {
            free_client(c);
            continue;
        }
        watch_client(c);
        next = MR_MIN(next, deadline_of(c));
    }
    return next;
}

static void set_timer(struct mr_control_socket *s, uint64_t at_ns)
{
    struct itimerspec at = {0};

    if (at_ns == s->timer_ns)
        return;
    s->timer_ns = at_ns;
    if (at_ns != MR_CONTROL_NEVER) {
        at.it_value.tv_sec = (time_t)(at_ns / 1000000000);
        at.it_value.tv_nsec = (long)(at_ns % 1000000000);
    }
    (void)timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void mr_control_socket_hurry(struct mr_control_socket *s)
{
    set_timer(s, 1);
}

/* ------------------------------------------------------------------ the loop */

static void handle_client(struct mr_control_socket *s, const struct epoll_event *event,
                          enum event_source source, uint64_t now)
{
    uint32_t index = (uint32_t)event->data.u64 >> 8;
    struct mr_client *c = &s->clients[index];

    if (c->fd < 0 || c->generation != (uint32_t)(event->data.u64 >> 32))
        return;
    if (source == SOURCE_PROCESS) {
        c->is_broken = true;
        return;
    }
    if ((event->events & EPOLLOUT) != 0)
        flush(c, now);
    if ((event->events & (EPOLLIN | EPOLLRDHUP)) != 0)
        hear(c, now);
    if ((event->events & (EPOLLERR | EPOLLHUP)) != 0) /* what it said before was heard */
        c->is_broken = true;
}

static void handle_event(struct mr_control_socket *s, const struct epoll_event *event, uint64_t now)
{
    enum event_source source = (enum event_source)(event->data.u64 & 0xff);
    uint64_t ticks;

    switch (source) {
    case SOURCE_LISTEN:
        accept_clients(s, now);
        break;
    case SOURCE_TIMER:
        (void)!read(s->timer_fd, &ticks, sizeof(ticks));
        s->timer_ns = MR_CONTROL_NEVER;
        break;
    case SOURCE_CLIENT:
    case SOURCE_PROCESS:
        handle_client(s, event, source, now);
        break;
    }
}

int mr_control_socket_poll(struct mr_control_socket *s, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t timeout_ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    int count = epoll_wait(s->epoll_fd, events, EVENTS,
                           timeout_ns == UINT64_MAX ? -1 : (int)MR_MIN(timeout_ms, INT_MAX));
    int result = count < 0 ? -errno : count;
    uint64_t now = mr_control_now();

    for (int i = 0; i < count; i++)
        handle_event(s, &events[i], now);
    uint64_t next = s->handler.on_time(s->handler.context, now);
    uint64_t clients = settle_clients(s, now);
    set_timer(s, MR_MIN(next, clients));
    return result;
}

int mr_control_socket_fd(const struct mr_control_socket *s)
{
    return s->epoll_fd;
}

/* ------------------------------------------------------------------ open and close */

static int find_group(const char *name, gid_t *gid_out, struct mr_fault *fault)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    const struct group *entry = getgrnam(name);

    if (entry == NULL && (*end != '\0' || end == name || number > INT_MAX))
        return mr_fault_set(fault, ENOENT,
                            "there is no group %s on this machine; make it with `groupadd %s`, or "
                            "name another",
                            name, name);
    *gid_out = entry != NULL ? entry->gr_gid : (gid_t)number;
    return 0;
}

/* Through a descriptor of the socket's file: the name could have become somebody else's link. */
static int set_rights(const struct mr_control_socket *s, int file_fd, struct mr_fault *fault)
{
    char link[32];
    gid_t gid = (gid_t)-1;

    if (s->config.group != NULL) {
        int result = find_group(s->config.group, &gid, fault);
        if (result != 0)
            return result;
        if (fchownat(file_fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) != 0)
            return mr_fault_set(fault, errno,
                                "cannot give %s to the group %s: %s; be a member of it, or run as "
                                "root",
                                s->path, s->config.group, strerror(errno));
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file_fd);
    if (chmod(link, s->config.mode) != 0)
        return mr_fault_set(fault, errno, "cannot give %s its mode: %s", s->path, strerror(errno));
    return 0;
}

static int bind_path(struct mr_control_socket *s, struct mr_fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, s->path, sizeof(s->path));
    (void)fchmod(s->listen_fd, s->config.mode & 0700); /* what the file begins with */
    if (bind(s->listen_fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    return mr_fault_set(fault, errno, "cannot make the socket %s: %s; name another with --control",
                        s->path, strerror(errno));
}

/* The file never has more rights than it is to have, and nobody can connect before it has them. */
static int listen_at_path(struct mr_control_socket *s, struct mr_fault *fault)
{
    struct stat file;

    s->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return mr_fault_set(fault, errno, "cannot make a socket: %s", strerror(errno));
    int result = bind_path(s, fault);
    if (result != 0)
        return result;
    int file_fd = open(s->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file_fd < 0 || fstat(file_fd, &file) != 0 || !S_ISSOCK(file.st_mode)) {
        result = mr_fault_set(fault, ESTALE, "somebody replaced the socket %s just now", s->path);
    } else {
        s->has_file = true;
        s->device = file.st_dev;
        s->inode = file.st_ino;
        result = set_rights(s, file_fd, fault);
    }
    if (file_fd >= 0)
        close(file_fd);
    if (result == 0 && listen(s->listen_fd, MR_CLIENTS_MAX) != 0)
        result = mr_fault_set(fault, errno, "cannot listen at %s: %s", s->path, strerror(errno));
    return result;
}

static int make_set(struct mr_control_socket *s, struct mr_fault *fault)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->epoll_fd < 0 || s->timer_fd < 0 || s->spare_fd < 0)
        return mr_fault_set(fault, errno, "cannot make the control socket's descriptors: %s",
                            strerror(errno));
    int result = watch(s, EPOLL_CTL_ADD, s->listen_fd, EPOLLIN, SOURCE_LISTEN);
    if (result == 0)
        result = watch(s, EPOLL_CTL_ADD, s->timer_fd, EPOLLIN, SOURCE_TIMER);
    if (result != 0)
        return mr_fault_set(fault, -result, "cannot watch the control socket: %s",
                            strerror(-result));
    return 0;
}

static int set_path(struct mr_control_socket *s, const char *path, struct mr_fault *fault)
{
    if (path == NULL || path[0] == '\0' || path[0] == '@')
        return mr_fault_set(fault, EINVAL,
                            "the control socket needs a path, whose rights say who may connect");
    int result = mr_unix_socket_take(path, "--control", fault);
    if (result == 0)
        snprintf(s->path, sizeof(s->path), "%s", path);
    return result;
}

struct mr_control_socket *mr_control_socket_open(const struct mr_control_socket_config *config,
                                                 const struct mr_control_handler *handler,
                                                 struct mr_fault *fault)
{
    struct mr_control_socket *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        mr_fault_set(fault, ENOMEM, "no memory for the control socket");
        return NULL;
    }
    s->config = *config;
    s->handler = *handler;
    s->config.mode = config->mode != 0 ? config->mode & 0777 : MR_CONTROL_MODE;
    s->config.clients_max = config->clients_max != 0 ? config->clients_max : MR_CLIENTS_MAX;
    s->config.silence_ns = config->silence_ns != 0 ? config->silence_ns : MR_CLIENT_SILENCE_NS;
    s->epoll_fd = s->listen_fd = s->timer_fd = s->spare_fd = -1;
    s->timer_ns = MR_CONTROL_NEVER;
    s->slot_count = s->config.clients_max + LEAVING_MAX;
    s->clients = calloc(s->slot_count, sizeof(*s->clients));
    for (uint32_t i = 0; i < s->slot_count && s->clients != NULL; i++)
        s->clients[i].fd = -1;
    if (s->clients == NULL)
        mr_fault_set(fault, ENOMEM, "no memory for the control socket's clients");
    else if (set_path(s, config->path, fault) == 0 && listen_at_path(s, fault) == 0 &&
             make_set(s, fault) == 0)
        return s;
    mr_control_socket_close(s);
    return NULL;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Only what is still ours: a later datapath may have taken the path. */
static void remove_file(const struct mr_control_socket *s)
{
    struct stat file;

    if (s->has_file && lstat(s->path, &file) == 0 && file.st_dev == s->device &&
        file.st_ino == s->inode)
        unlink(s->path);
}

void mr_control_socket_close(struct mr_control_socket *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->slot_count && s->clients != NULL; i++)
        if (s->clients[i].fd >= 0)
            free_client(&s->clients[i]);
    remove_file(s);
    close_fd(s->listen_fd);
    close_fd(s->timer_fd);
    close_fd(s->spare_fd);
    close_fd(s->epoll_fd);
    free(s->clients);
    free(s);
}
