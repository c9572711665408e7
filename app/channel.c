/* app/channel.c - see millrace/channel.h. */
#include "millrace/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "millrace/fiber_socket.h"
#include "millrace/fiber_sync.h"

/* ------------------------------------------------------------------ QUIC */

static ssize_t read_sock(void *context, void *buffer, size_t size)
{
    return mr_sock_read(context, buffer, size);
}

static ssize_t write_sock(void *context, const void *buffer, size_t size)
{
    return mr_sock_write(context, buffer, size);
}

static void abort_sock(void *context)
{
    (void)mr_sock_reset(context, 0);
}

struct mr_channel mr_channel_of_sock(struct mr_sock *stream)
{
    return (struct mr_channel){
        .read = read_sock, .write = write_sock, .context = stream, .abort = abort_sock};
}

/* ------------------------------------------------------------------ the kernel */

static ssize_t read_fd(void *context, void *buffer, size_t size)
{
    const struct mr_fd_pair *pair = context;

    for (;;) {
        ssize_t taken = read(pair->in, buffer, size);
        if (taken >= 0)
            return taken;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int result = mr_fiber_wait_fd(pair->loop, pair->in, POLLIN, MR_FOREVER);
        if (result < 0)
            return result;
    }
}

static bool is_pending(int signal)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, signal) == 1;
}

/* write(2) to what is no socket: no flag of it keeps SIGPIPE away.  So the signal waits meanwhile,
 * and is taken back, unless the application itself had it waiting. */
static ssize_t write_quietly(int fd, const void *buffer, size_t size)
{
    static const struct timespec at_once;
    sigset_t own, before;

    sigemptyset(&own);
    sigaddset(&own, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &own, &before);
    bool is_theirs = sigismember(&before, SIGPIPE) == 1 && is_pending(SIGPIPE);
    ssize_t taken = write(fd, buffer, size);
    int error = errno;
    if (taken < 0 && error == EPIPE && !is_theirs)
        (void)sigtimedwait(&own, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return taken;
}

static ssize_t write_fd(void *context, const void *buffer, size_t size)
{
    const struct mr_fd_pair *pair = context;
    bool is_socket = true; /* until it says that it is none */
    size_t done = 0;

    while (done < size) {
        const uint8_t *rest = (const uint8_t *)buffer + done;
        ssize_t taken = is_socket ? send(pair->out, rest, size - done, MSG_NOSIGNAL)
                                  : write_quietly(pair->out, rest, size - done);
        if (taken < 0 && errno == ENOTSOCK) {
            is_socket = false;
            continue;
        }
        if (taken >= 0) {
            done += (size_t)taken;
            continue;
        }
        int result = -errno;
        if (errno == EAGAIN || errno == EINTR)
            result = mr_fiber_wait_fd(pair->loop, pair->out, POLLOUT, MR_FOREVER);
        if (result < 0)
            return done > 0 ? (ssize_t)done : result;
    }
    return (ssize_t)done;
}

/* A pipe cannot be ended by those who do not own it. */
static void abort_fd(void *context)
{
    const struct mr_fd_pair *pair = context;

    (void)shutdown(pair->out, SHUT_RDWR);
}

struct mr_channel mr_channel_of_fds(struct mr_fd_pair *pair)
{
    return (struct mr_channel){
        .read = read_fd, .write = write_fd, .context = pair, .abort = abort_fd};
}

/* ------------------------------------------------------------------ memory */

/* One direction: bytes from `begin` on, `used` of them, around the end. */
struct direction {
    uint8_t *bytes;
    size_t begin;
    size_t used;
    bool is_ended;  /* by the writer */
    bool is_broken; /* by the reader */
    struct mr_fiber_condition changed;
};

struct memory_end {
    struct mr_memory_pair *pair;
    struct direction *in;
    struct direction *out;
};

struct mr_memory_pair {
    size_t room;
    struct direction directions[2];
    struct memory_end ends[2];
};

struct mr_memory_pair *mr_memory_pair_new(size_t room)
{
    if (room == 0 || room > (SIZE_MAX - sizeof(struct mr_memory_pair)) / 2)
        return NULL;
    struct mr_memory_pair *pair = calloc(1, sizeof(*pair) + 2 * room);
    if (pair == NULL)
        return NULL;
    pair->room = room;
    for (unsigned i = 0; i < 2; i++) {
        pair->directions[i].bytes = (uint8_t *)(pair + 1) + i * room;
        pair->ends[i] = (struct memory_end){
            .pair = pair, .in = &pair->directions[i], .out = &pair->directions[1 - i]};
    }
    return pair;
}

static ssize_t read_memory(void *context, void *buffer, size_t size)
{
    struct memory_end *end = context;
    struct direction *in = end->in;

    while (in->used == 0 && !in->is_ended && !in->is_broken) {
        int result = mr_fiber_condition_wait(&in->changed, NULL, MR_FOREVER);
        if (result < 0)
            return result;
    }
    if (in->is_broken)
        return -EBADF;
    size_t take = MR_MIN(MR_MIN(size, in->used), end->pair->room - in->begin);
    memcpy(buffer, in->bytes + in->begin, take);
    in->begin = (in->begin + take) % end->pair->room;
    in->used -= take;
    (void)mr_fiber_condition_broadcast(&in->changed);
    return (ssize_t)take;
}

static ssize_t write_memory(void *context, const void *buffer, size_t size)
{
    struct memory_end *end = context;
    struct direction *out = end->out;
    size_t room = end->pair->room;
    size_t done = 0;

    while (done < size) {
        if (out->is_broken || out->is_ended)
            return done > 0 ? (ssize_t)done : -EPIPE;
        size_t at = (out->begin + out->used) % room;
        size_t take = MR_MIN(MR_MIN(size - done, room - out->used), room - at);
        memcpy(out->bytes + at, (const uint8_t *)buffer + done, take);
        out->used += take;
        done += take;
        (void)mr_fiber_condition_broadcast(&out->changed);
        if (take > 0)
            continue;
        int result = mr_fiber_condition_wait(&out->changed, NULL, MR_FOREVER);
        if (result < 0)
            return done > 0 ? (ssize_t)done : result;
    }
    return (ssize_t)done;
}

static void close_memory(void *context)
{
    struct memory_end *own = context;

    own->out->is_ended = true;
    own->in->is_broken = true;
    (void)mr_fiber_condition_broadcast(&own->out->changed);
    (void)mr_fiber_condition_broadcast(&own->in->changed);
}

struct mr_channel mr_memory_pair_end(struct mr_memory_pair *pair, unsigned end)
{
    return (struct mr_channel){.read = read_memory,
                               .write = write_memory,
                               .context = &pair->ends[end],
                               .abort = close_memory};
}

void mr_memory_pair_close(struct mr_memory_pair *pair, unsigned end)
{
    close_memory(&pair->ends[end]);
}

void mr_memory_pair_free(struct mr_memory_pair *pair)
{
    free(pair);
}
