/* drivers/memif_message.c - see memif_message.h. */
#include "drivers/memif_message.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"

/* Where what is; nothing is aligned. */
enum {
    HELLO_TO_CLIENT = 40, /* 16 bits each: the largest index of a ring */
    HELLO_TO_SERVER = 42,
    RING_FLAGS = 2,
    RING_INDEX = 4,
    RING_IS_TO_SERVER = 1,
    DISCONNECT_REASON = 6
};

_Static_assert(DISCONNECT_REASON + MR_MEMIF_REASON <= MR_MEMIF_MESSAGE_BYTES, "a reason fits");

static uint16_t read_u16(const struct mr_memif_message *message, uint32_t offset)
{
    uint16_t value;

    memcpy(&value, message->bytes + offset, sizeof(value));
    return value;
}

/* ---- through sockets ---- */

void mr_memif_message_drop(const struct mr_memif_message *message)
{
    for (uint32_t i = 0; i < message->fd_count; i++)
        close(message->fds[i]);
}

static void take_fds(struct msghdr *header, struct mr_memif_message *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
            c->cmsg_len <= CMSG_LEN(sizeof(message->fds))) {
            message->fd_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(message->fds, CMSG_DATA(c), message->fd_count * sizeof(int));
        }
}

bool mr_memif_message_receive(int fd, struct mr_memif_message *message)
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
    if (size == (ssize_t)sizeof(message->bytes) &&
        (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return true;
    mr_memif_message_drop(message);
    return false;
}

bool mr_memif_message_send(int fd, struct mr_memif_message *message)
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
    bool is_sent =
        sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(message->bytes);
    mr_memif_message_drop(message);
    return is_sent;
}

/* ---- what they say ---- */

uint16_t mr_memif_message_type(const struct mr_memif_message *message)
{
    return read_u16(message, 0);
}

uint32_t mr_memif_message_queues(const struct mr_memif_message *message)
{
    return 1u + MR_MIN(read_u16(message, HELLO_TO_CLIENT), read_u16(message, HELLO_TO_SERVER));
}

struct mr_memif_ring mr_memif_message_ring(const struct mr_memif_message *message)
{
    return (struct mr_memif_ring){.index = read_u16(message, RING_INDEX),
                                  .is_to_server =
                                      (read_u16(message, RING_FLAGS) & RING_IS_TO_SERVER) != 0};
}

void mr_memif_message_reason(const struct mr_memif_message *message,
                             char reason_out[MR_MEMIF_REASON])
{
    memcpy(reason_out, message->bytes + DISCONNECT_REASON, MR_MEMIF_REASON);
    reason_out[MR_MEMIF_REASON - 1] = '\0';
    for (char *c = reason_out; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

struct mr_memif_message mr_memif_message_disconnect(const char reason[MR_MEMIF_REASON])
{
    static const uint16_t type = MR_MEMIF_DISCONNECT;
    struct mr_memif_message message = {.fd_count = 0};

    memcpy(message.bytes, &type, sizeof(type));
    memcpy(message.bytes + DISCONNECT_REASON, reason, strnlen(reason, MR_MEMIF_REASON - 1));
    return message;
}
