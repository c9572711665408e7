/* drivers/memif_relay.c - see memif_relay.h. */
#include "drivers/memif_relay.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
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
#include "base/log.h"
#include "drivers/memif_message.h"
#include "drivers/port_gate.h"
#include "drivers/unix_socket.h"

enum {
    LINKS = 8,
    BACKLOG = 8,
    MAP_WAIT_MS = 1000,
    PART_WAIT_MS = 5000
};

struct link {
    int peer;   /* -1: there is no such link */
    int driver; /* of the same connection */
    bool is_joined;
    uint64_t to_server; /* rings that a client has added: bit i is that of index i */
    uint64_t to_client;
};

_Static_assert(MR_PORT_GATE_QUEUES <= 64, "a bit for each ring");

struct mr_memif_relay {
    struct mr_memif_relay_config config;
    char peer[MR_UNIX_NAME_MAX];
    char driver[MR_UNIX_NAME_MAX];
    int listener;
    int wake; /* readable: stop */
    struct link links[LINKS];
    pthread_t thread;
    atomic_bool is_refused; /* the text below is written, and stays */
    char refusal[MR_MEMIF_REASON];
};

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
    struct mr_memif_message message;

    (void)shutdown(driver, SHUT_WR); /* it may still speak, to one who listens */
    while (poll(&from, 1, PART_WAIT_MS) > 0 && mr_memif_message_receive(driver, &message))
        mr_memif_message_drop(&message);
    close(driver);
}

static void end(struct mr_memif_relay *relay, struct link *link)
{
    if (link->is_joined) {
        mr_port_gate_close(relay->config.gate);
        relay->config.turn(relay->config.context, false);
    }
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
    relay->config.turn(relay->config.context, true);
    mr_port_gate_open(relay->config.gate);
}

/* The driver has everything mapped when it says CONNECTED. */
static void hear_driver(struct mr_memif_relay *relay, struct link *link)
{
    struct mr_memif_message message;
    bool is_heard = mr_memif_message_receive(link->driver, &message);

    if (is_heard && relay->config.is_server &&
        mr_memif_message_type(&message) == MR_MEMIF_CONNECTED)
        join(relay, link);
    if (!is_heard || !mr_memif_message_send(link->peer, &message))
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

/* ------------------------------------------------------------------ refusals */

/* A server that has not, or not any more, joined us says why; the first reason counts. */
static void keep_refusal(struct mr_memif_relay *relay, const char reason[MR_MEMIF_REASON])
{
    if (atomic_load_explicit(&relay->is_refused, memory_order_relaxed))
        return;
    memcpy(relay->refusal, reason, sizeof(relay->refusal));
    /* release: pairs with the acquire in mr_memif_relay_refusal() */
    atomic_store_explicit(&relay->is_refused, true, memory_order_release);
}

/* Tell all who can do something about it, and part. */
static void refuse(struct mr_memif_relay *relay, struct link *link,
                   const char reason[MR_MEMIF_REASON])
{
    struct mr_memif_message message = mr_memif_message_disconnect(reason);

    (void)mr_memif_message_send(link->peer, &message); /* it may be gone */
    if (relay->config.is_server)
        mr_log(MR_LOG_WARN,
               "memif %s: refused a client: %s; give both as many (--shards, --io-lcores)",
               relay->peer, reason);
    else
        keep_refusal(relay, reason);
    end(relay, link);
}

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

/* False: with this ring a client has more queues than we. */
static bool add_ring(const struct mr_memif_relay *relay, struct link *link,
                     const struct mr_memif_message *message, char reason_out[MR_MEMIF_REASON])
{
    struct mr_memif_ring ring = mr_memif_message_ring(message);
    uint32_t ours = relay->config.queue_count;

    snprintf(reason_out, MR_MEMIF_REASON,
             "the client has more queues than the server, which has %u", ours);
    if (ring.index >= ours)
        return false;
    *(ring.is_to_server ? &link->to_server : &link->to_client) |= UINT64_C(1) << ring.index;
    return true;
}

/* The driver would poll rings that are not there, or were an earlier client's, and does not count:
 * it is not told to connect unless each of its queues has both. */
static bool has_all_rings(const struct mr_memif_relay *relay, const struct link *link,
                          char reason_out[MR_MEMIF_REASON])
{
    uint32_t theirs = (uint32_t)__builtin_popcountll(link->to_server & link->to_client);
    uint32_t ours = relay->config.queue_count;

    snprintf(reason_out, MR_MEMIF_REASON, "the client has %u queue%s, the server %u", theirs,
             plural(theirs), ours);
    return theirs == ours;
}

/* A client's driver would leave some of its queues without rings, likewise. */
static bool takes_all_queues(const struct mr_memif_relay *relay,
                             const struct mr_memif_message *message,
                             char reason_out[MR_MEMIF_REASON])
{
    uint32_t theirs = mr_memif_message_queues(message);
    uint32_t ours = relay->config.queue_count;

    snprintf(reason_out, MR_MEMIF_REASON, "the server takes %u queue%s, the client has %u", theirs,
             plural(theirs), ours);
    return theirs >= ours;
}

/* Can the driver live with what the other side says? */
static bool is_bearable(struct mr_memif_relay *relay, struct link *link,
                        const struct mr_memif_message *message, char reason_out[MR_MEMIF_REASON])
{
    uint16_t type = mr_memif_message_type(message);

    if (relay->config.is_server && type == MR_MEMIF_ADD_RING)
        return add_ring(relay, link, message, reason_out);
    if (relay->config.is_server && type == MR_MEMIF_CONNECT)
        return has_all_rings(relay, link, reason_out);
    if (!relay->config.is_server && type == MR_MEMIF_HELLO)
        return takes_all_queues(relay, message, reason_out);
    return true;
}

/* ------------------------------------------------------------------ what the other side says */

/* What comes after CONNECTED can only be DISCONNECT, or an error that the driver takes for one. */
static void hear_peer(struct mr_memif_relay *relay, struct link *link)
{
    struct mr_memif_message message;
    char reason[MR_MEMIF_REASON];

    if (link->is_joined || !mr_memif_message_receive(link->peer, &message)) {
        end(relay, link);
        return;
    }
    if (!is_bearable(relay, link, &message, reason)) {
        mr_memif_message_drop(&message);
        refuse(relay, link, reason);
        return;
    }
    uint16_t type = mr_memif_message_type(&message);
    if (!relay->config.is_server && type == MR_MEMIF_DISCONNECT) {
        mr_memif_message_reason(&message, reason);
        keep_refusal(relay, reason);
    }
    if (!mr_memif_message_send(link->driver, &message))
        end(relay, link);
    else if (!relay->config.is_server && type == MR_MEMIF_CONNECTED)
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

const char *mr_memif_relay_refusal(const struct mr_memif_relay *relay)
{
    /* acquire: pairs with the release in keep_refusal() */
    return atomic_load_explicit(&relay->is_refused, memory_order_acquire) ? relay->refusal : NULL;
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
