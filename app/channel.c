/* app/channel.c - see millrace/channel.h. */
#include "millrace/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
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

struct mr_channel mr_channel_of_sock(struct mr_sock *stream)
{
    return (struct mr_channel){.read = read_sock, .write = write_sock, .context = stream};
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

static ssize_t write_fd(void *context, const void *buffer, size_t size)
{
    const struct mr_fd_pair *pair = context;
    size_t done = 0;

    while (done < size) {
        ssize_t taken = write(pair->out, (const uint8_t *)buffer + done, size - done);
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

struct mr_channel mr_channel_of_fds(struct mr_fd_pair *pair)
{
    return (struct mr_channel){.read = read_fd, .write = write_fd, .context = pair};
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

struct mr_channel mr_memory_pair_end(struct mr_memory_pair *pair, unsigned end)
{
    return (struct mr_channel){
        .read = read_memory, .write = write_memory, .context = &pair->ends[end]};
}

void mr_memory_pair_close(struct mr_memory_pair *pair, unsigned end)
{
    struct memory_end *own = &pair->ends[end];

    own->out->is_ended = true;
    own->in->is_broken = true;
    (void)mr_fiber_condition_broadcast(&own->out->changed);
    (void)mr_fiber_condition_broadcast(&own->in->changed);
}

void mr_memory_pair_free(struct mr_memory_pair *pair)
{
    free(pair);
}
