/* drivers/memif_relay.c - see memif_relay.h. */
#include "drivers/memif_relay.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "drivers/port_gate.h"
#include "drivers/unix_socket.h"

enum {
    LINKS = 8,
    BACKLOG = 8,
    MESSAGE_BYTES = 128, /* of memif's, always */
    FDS = 4,             /* that come with one: memif sends one */
    TYPE_CONNECTED = 7,
    MAP_WAIT_MS = 1000,
    PART_WAIT_MS = 5000
};

struct link {
    int peer;   /* -1: there is no such link */
    int driver; /* of the same connection */
    bool is_joined;
};

struct mr_memif_relay {
    struct mr_memif_relay_config config;
    char peer[MR_UNIX_NAME_MAX];
    char driver[MR_UNIX_NAME_MAX];
    int listener;
    int wake; /* readable: stop */
    struct link links[LINKS];
    pthread_t thread;
};

/* ------------------------------------------------------------------ messages */

struct message {
    uint8_t bytes[MESSAGE_BYTES]; /* begins with the type, 16 bits of the machine's order */
    uint32_t fd_count;
    int fds[FDS];
};

static void close_fds(const struct message *message)
{
    for (uint32_t i = 0; i < message->fd_count; i++)
        close(message->fds[i]);
}

static void take_fds(struct msghdr *header, struct message *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len <= CMSG_LEN(sizeof(message->fds))) {
            message->fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(message->fds, CMSG_DATA(c), message->fd_count * sizeof(int));
        }
}

/* False: the sender is gone, or has sent what is no message of memif's. */
static bool receive(int fd, struct message *message)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(message->fds))];
    struct iovec part = {.iov_base = message->bytes, .iov_len = sizeof(message->bytes)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};

    message->fd_count = 0;
    ssize_t size = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0)
        return false;
    take_fds(&header, message);
    if (size == MESSAGE_BYTES && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return true;
    close_fds(message);
    return false;
}

static uint16_t type_of(const struct message *message)
{
    uint16_t type;

    memcpy(&type, message->bytes, sizeof(type));
    return type;
}

/* Send it, and part with its descriptors.  False: the receiver is gone, or has not read for long.
 */
static bool send_on(int fd, struct message *message)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(message->fds))] = {0};
    struct iovec part = {.iov_base = message->bytes, .iov_len = sizeof(message->bytes)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    size_t size = message->fd_count * sizeof(int);

    if (message->fd_count > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(c), message->fds, size);
    }
    bool is_sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == MESSAGE_BYTES;
    close_fds(message);
    return is_sent;
}

/* ------------------------------------------------------------------ sockets */

/* -1 with errno set: who should listen does not, or accepts nobody for a second. */
static int connect_to(const char *name)
{
    static const struct timeval patience = {.tv_sec = 1};
    struct sockaddr_un address;
    socklen_t size = mr_unix_socket_address(name, &address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&address, size) == 0)
        return fd;
    close(fd);
    return -1;
}

static int listen_at(const char *name)
{
    struct sockaddr_un address;
    socklen_t size = mr_unix_socket_address(name, &address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (bind(fd, (const struct sockaddr *)&address, size) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

static const char *listening_name(const struct mr_memif_relay *relay)
{
    return relay->config.is_server ? relay->peer : relay->driver;
}

/* ------------------------------------------------------------------ links */

static void pause_ms(int ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000L};

    (void)nanosleep(&pause, NULL);
}

/* Have the driver take apart what it has, and wait until it has done so: it closes its socket last.
 */
static void part_from_driver(int driver)
{
    struct pollfd from = {.fd = driver, .events = POLLIN};
    struct message message;

    (void)shutdown(driver, SHUT_WR); /* it may still speak, to one who listens */
    while (poll(&from, 1, PART_WAIT_MS) > 0 && receive(driver, &message))
        close_fds(&message);
    close(driver);
}

static void end(struct mr_memif_relay *relay, struct link *link)
{
    if (link->is_joined)
        mr_port_gate_close(relay->config.gate);
    part_from_driver(link->driver);
    close(link->peer); /* hears of it when all is done */
    *link = (struct link){.peer = -1, .driver = -1};
}

static struct link *free_link(struct mr_memif_relay *relay)
{
    for (int i = 0; i < LINKS; i++)
        if (relay->links[i].peer < 0)
            return &relay->links[i];
    return NULL;
}

static void stop_listening(struct mr_memif_relay *relay)
{
    const char *name = listening_name(relay);

    if (relay->listener < 0)
        return;
    close(relay->listener);
    relay->listener = -1;
    if (name[0] != '@')
        unlink(name);
}

/* One side has come: go to the other one for it.  A client's driver comes once. */
static void begin(struct mr_memif_relay *relay, struct link *link)
{
    bool is_server = relay->config.is_server;
    int came = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);

    if (came >= 0 && !is_server)
        stop_listening(relay);
    int went = came < 0 ? -1 : connect_to(is_server ? relay->driver : relay->peer);

    if (went >= 0) {
        *link = (struct link){.peer = is_server ? came : went, .driver = is_server ? went : came};
        return;
    }
    if (came >= 0)
        close(came);
    pause_ms(10); /* too many files are open, or the driver is slow: it may pass */
}

static void join(struct mr_memif_relay *relay, struct link *link)
{
    link->is_joined = true;
    mr_port_gate_open(relay->config.gate);
}

/* The driver has everything mapped when it says CONNECTED. */
static void hear_driver(struct mr_memif_relay *relay, struct link *link)
{
    struct message message;
    bool is_heard = receive(link->driver, &message);

    if (is_heard && relay->config.is_server && type_of(&message) == TYPE_CONNECTED)
        join(relay, link);
    if (!is_heard || !send_on(link->peer, &message))
        end(relay, link);
}

/* Or, if it is a client, some time after it was told so. */
static void wait_for_map(struct mr_memif_relay *relay, struct link *link)
{
    for (int ms = 0; ms < MAP_WAIT_MS; ms++) {
        if (relay->config.is_mapped(relay->config.context)) {
            join(relay, link);
            return;
        }
        pause_ms(1);
    }
}

/* What comes after CONNECTED can only be DISCONNECT, or an error that the driver takes for one. */
static void hear_peer(struct mr_memif_relay *relay, struct link *link)
{
    struct message message;

    if (link->is_joined || !receive(link->peer, &message)) {
        end(relay, link);
        return;
    }
    bool is_last = !relay->config.is_server && type_of(&message) == TYPE_CONNECTED;
    if (!send_on(link->driver, &message))
        end(relay, link);
    else if (is_last)
        wait_for_map(relay, link);
}

/* ------------------------------------------------------------------ the thread */

enum {
    WAKE,
    LISTENER,
    FIRST_LINK,
    POLLED = FIRST_LINK + 2 * LINKS
};

static void write_polled(struct mr_memif_relay *relay, struct pollfd polled[POLLED])
{
    for (int i = 0; i < POLLED; i++)
        polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    polled[WAKE].fd = relay->wake;
    polled[LISTENER].fd = free_link(relay) != NULL ? relay->listener : -1;
    for (int i = 0; i < LINKS; i++) {
        polled[FIRST_LINK + 2 * i].fd = relay->links[i].driver;
        polled[FIRST_LINK + 2 * i + 1].fd = relay->links[i].peer;
    }
}

static void *run(void *argument)
{
    struct mr_memif_relay *relay = argument;
    struct pollfd polled[POLLED];

    for (;;) {
        write_polled(relay, polled);
        if (poll(polled, POLLED, -1) < 0)
            continue;
        if (polled[WAKE].revents != 0)
            break;
        for (int i = 0; i < LINKS; i++) {
            struct link *link = &relay->links[i];

            if (polled[FIRST_LINK + 2 * i].revents != 0)
                hear_driver(relay, link);
            if (polled[FIRST_LINK + 2 * i + 1].revents != 0 && link->peer >= 0)
                hear_peer(relay, link);
        }
        if (polled[LISTENER].revents != 0)
            begin(relay, free_link(relay));
    }
    for (int i = 0; i < LINKS; i++)
        if (relay->links[i].peer >= 0)
            end(relay, &relay->links[i]);
    return NULL;
}

/* Signals are for threads that know what to do about them. */
static int start_thread(struct mr_memif_relay *relay)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&relay->thread, NULL, run, relay);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* ------------------------------------------------------------------ the control thread */

static void release(struct mr_memif_relay *relay)
{
    stop_listening(relay);
    if (relay->wake >= 0)
        close(relay->wake);
    free(relay);
}

struct mr_memif_relay *mr_memif_relay_start(const struct mr_memif_relay_config *config,
                                            struct mr_fault *fault)
{
    struct mr_memif_relay *relay = calloc(1, sizeof(*relay));

    if (relay == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return NULL;
    }
    relay->config = *config;
    snprintf(relay->peer, sizeof(relay->peer), "%s", config->peer);
    snprintf(relay->driver, sizeof(relay->driver), "%s", config->driver);
    for (int i = 0; i < LINKS; i++)
        relay->links[i] = (struct link){.peer = -1, .driver = -1};
    relay->wake = eventfd(0, EFD_CLOEXEC);
    relay->listener = relay->wake < 0 ? -1 : listen_at(listening_name(relay));
    int error = relay->listener < 0 ? errno : start_thread(relay);
    if (error == 0)
        return relay;
    mr_fault_set(fault, error, "cannot listen at %s: %s", listening_name(relay), strerror(error));
    release(relay);
    return NULL;
}

void mr_memif_relay_stop(struct mr_memif_relay *relay)
{
    const uint64_t one = 1;

    if (relay == NULL)
        return;
    while (write(relay->wake, &one, sizeof(one)) < 0) { /* a signal */
    }
    pthread_join(relay->thread, NULL);
    release(relay);
}
