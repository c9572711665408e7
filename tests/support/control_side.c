/* tests/support/control_side.c - see control_side.h. */
#include "tests/support/control_side.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int control_side_connect(struct control_side *side, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *side = (struct control_side){.wake_fd = -1};
    for (uint32_t i = 0; i < CONTROL_SIDE_RINGS; i++)
        side->ring[i].fd = -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    side->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (side->fd < 0)
        return -errno;
    if (connect(side->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return 0;
    int error = errno;
    close(side->fd);
    side->fd = -1;
    return -error;
}

void control_side_close(struct control_side *side)
{
    for (uint32_t i = 0; i < CONTROL_SIDE_RINGS; i++) {
        struct control_ring *ring = &side->ring[i];

        if (ring->memory != NULL && ring->base == 0)
            munmap(ring->memory, ring->size);
        if (ring->fd >= 0)
            close(ring->fd);
    }
    if (side->wake_fd >= 0)
        close(side->wake_fd);
    if (side->fd >= 0)
        close(side->fd);
    *side = (struct control_side){.fd = -1, .wake_fd = -1};
    for (uint32_t i = 0; i < CONTROL_SIDE_RINGS; i++)
        side->ring[i].fd = -1;
}

bool control_side_say(struct control_side *side, const void *bytes, size_t size)
{
    return send(side->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

struct mr_message_attach control_side_wish(const char *name)
{
    struct mr_message_attach wish = {.head = {.magic = MR_ATTACH_MAGIC,
                                              .version = MR_ATTACH_VERSION,
                                              .type = MR_MESSAGE_ATTACH,
                                              .size = sizeof(wish)}};

    snprintf(wish.name, sizeof(wish.name), "%s", name);
    return wish;
}

bool control_side_command(struct control_side *side, const char *text)
{
    struct {
        struct mr_message head;
        char text[MR_ATTACH_TEXT_MAX];
    } message = {.head = {.magic = MR_ATTACH_MAGIC,
                          .version = MR_ATTACH_VERSION,
                          .type = MR_MESSAGE_COMMAND,
                          .size = (uint32_t)(sizeof(message.head) + strlen(text))}};

    memcpy(message.text, text, strlen(text));
    return control_side_say(side, &message, message.head.size);
}

/* A descriptor that came along; -1: none. */
static int passed_fd(struct msghdr *header)
{
    const struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    int fd = -1;

    if (rights != NULL && rights->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
    return fd;
}

int control_side_hear(struct control_side *side, struct control_message *message, int timeout_ms)
{
    struct pollfd readable = {.fd = side->fd, .events = POLLIN};
    struct iovec part = {.iov_base = message->bytes, .iov_len = sizeof(message->bytes)};
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};

    (void)poll(&readable, 1, timeout_ms);
    ssize_t size = recvmsg(side->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size <= 0)
        return size < 0 ? -errno : 0;
    message->size = (size_t)size;
    message->fd = passed_fd(&header);
    bool is_whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
                    message->head.magic == MR_ATTACH_MAGIC && message->head.size == message->size;
    return is_whole ? 1 : -EBADMSG;
}

static int open_ring(struct control_side *side, const struct control_message *message)
{
    struct control_ring *ring = &side->ring[side->ring_count];
    struct mr_fault fault;

    if (side->ring_count == CONTROL_SIDE_RINGS || message->fd < 0)
        return -EBADMSG;
    side->ring_count++;
    ring->shard = message->ring.shard;
    ring->fd = message->fd;
    ring->size = message->ring.size;
    ring->base = message->ring.base;
    if (ring->base != 0)
        ring->memory = (void *)(uintptr_t)ring->base;
    else
        ring->memory = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
    if (ring->memory == MAP_FAILED ||
        mr_ring_region_open(&ring->region, ring->memory, ring->size, &fault) != 0)
        return -EBADMSG;
    struct mr_mailbox submissions = mr_ring_submissions(&ring->region);
    struct mr_mailbox completions = mr_ring_completions(&ring->region);
    mr_outbox_init(&ring->submissions, &submissions);
    mr_inbox_init(&ring->completions, &completions);
    return 0;
}

static int next_of(struct control_side *side, struct control_message *message,
                   enum mr_message_type type, int timeout_ms)
{
    int result = control_side_hear(side, message, timeout_ms);

    if (result <= 0)
        return result == 0 ? -ECONNRESET : result;
    if (message->head.type == MR_MESSAGE_REFUSED) {
        side->refused = message->refused;
        return -message->refused.error;
    }
    return message->head.type == type ? 0 : -EBADMSG;
}

static bool say_mapped(struct control_side *side)
{
    struct mr_message mapped = {.magic = MR_ATTACH_MAGIC,
                                .version = MR_ATTACH_VERSION,
                                .type = MR_MESSAGE_MAPPED,
                                .size = sizeof(mapped)};

    return control_side_say(side, &mapped, sizeof(mapped));
}

int control_side_map(struct control_side *side, int timeout_ms)
{
    struct control_message *message = malloc(sizeof(*message));
    int result =
        message == NULL ? -ENOMEM : next_of(side, message, MR_MESSAGE_ATTACHED, timeout_ms);
    uint32_t rings = 0;
    uint32_t listeners = 0;

    if (result == 0) {
        side->wake_fd = message->fd;
        side->attachment = message->attached.attachment;
        rings = message->attached.ring_count;
        listeners = message->attached.listener_count;
    }
    for (uint32_t i = 0; i < rings && result == 0; i++) {
        result = next_of(side, message, MR_MESSAGE_RING, timeout_ms);
        if (result == 0)
            result = open_ring(side, message);
    }
    for (uint32_t i = 0; i < listeners && result == 0; i++) {
        result = next_of(side, message, MR_MESSAGE_LISTENER, timeout_ms);
        if (result == 0)
            side->listener[side->listener_count++ % CONTROL_SIDE_RINGS] = message->listener;
    }
    free(message);
    if (result == 0 && !say_mapped(side))
        result = -EPIPE;
    return result;
}

int control_side_ready(struct control_side *side, int timeout_ms)
{
    struct control_message *message = malloc(sizeof(*message));
    int result = message == NULL ? -ENOMEM : next_of(side, message, MR_MESSAGE_READY, timeout_ms);

    free(message);
    return result;
}

int control_side_attached(struct control_side *side, int timeout_ms)
{
    int result = control_side_map(side, timeout_ms);

    return result == 0 ? control_side_ready(side, timeout_ms) : result;
}

char *control_side_result(struct control_side *side, int timeout_ms)
{
    struct control_message *message = malloc(sizeof(*message));
    char *text = NULL;
    size_t size = 0;
    bool has_more = message != NULL;

    side->refused.error = 0;
    while (has_more && next_of(side, message, MR_MESSAGE_RESULT, timeout_ms) == 0) {
        size_t part = message->size - sizeof(message->head);

        text = realloc(text, size + part + 1);
        if (text == NULL)
            break;
        memcpy(text + size, message->bytes + sizeof(message->head), part);
        size += part;
        text[size] = '\0';
        has_more = (message->head.flags & 1) != 0;
    }
    free(message);
    if (has_more) {
        free(text);
        return NULL;
    }
    return text;
}
