/*
 * tests/support/control_side.h - a program at the control socket, made of raw sockets: what
 * `millrace ctl` and an attached application do, and whatever else a test wants to say.
 *
 * Nothing waits, except where a timeout is given: a test that polls the socket's other end itself
 * goes on.
 */
#ifndef MR_TESTS_SUPPORT_CONTROL_SIDE_H
#define MR_TESTS_SUPPORT_CONTROL_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mailbox.h"
#include "base/ring_region.h"
#include "millrace/attach_layout.h"

#define CONTROL_SIDE_RINGS 8

struct control_ring {
    uint32_t shard;
    int fd;
    uint64_t size;
    uint64_t base;
    void *memory;
    struct mr_ring_region region;
    struct mr_outbox submissions;
    struct mr_inbox completions;
};

struct control_side {
    int fd;
    int wake_fd;
    uint64_t attachment;
    uint32_t ring_count;
    struct control_ring ring[CONTROL_SIDE_RINGS];
    uint32_t listener_count;
    struct mr_message_listener listener[CONTROL_SIDE_RINGS];
    struct mr_message_refused refused; /* the last one; error 0: none */
};

/* A message as it came. */
struct control_message {
    union {
        struct mr_message head;
        struct mr_message_attached attached;
        struct mr_message_ring ring;
        struct mr_message_listener listener;
        struct mr_message_refused refused;
        uint8_t bytes[MR_ATTACH_REPLY_MAX + 1];
    };
    size_t size;
    int fd; /* -1: none came */
};

/* Connect; 0 or -errno. */
int control_side_connect(struct control_side *side, const char *path);

/* Close everything. */
void control_side_close(struct control_side *side);

/* Say `size` bytes as one message; false: it could not be sent. */
bool control_side_say(struct control_side *side, const void *bytes, size_t size);

/* An ATTACH for application `name`, everything else default. */
struct mr_message_attach control_side_wish(const char *name);

bool control_side_command(struct control_side *side, const char *text);

/* The next message.  1; 0: the other end has closed; -EAGAIN: nothing within `timeout_ms`; or
 * -errno. */
int control_side_hear(struct control_side *side, struct control_message *message_out,
                      int timeout_ms);

/* The answer to an ATTACH.  0: rings are mapped, and MAPPED is said; else what hear says, or the
 * refusal's -errno. */
int control_side_map(struct control_side *side, int timeout_ms);

/* The answer to MAPPED.  0: attached; else as above. */
int control_side_ready(struct control_side *side, int timeout_ms);

/* Both, where somebody else polls the other end. */
int control_side_attached(struct control_side *side, int timeout_ms);

/* The text of a RESULT in any number of messages, to be freed; NULL: `refused` says why, or the
 * other end has closed. */
char *control_side_result(struct control_side *side, int timeout_ms);

#endif /* MR_TESTS_SUPPORT_CONTROL_SIDE_H */
