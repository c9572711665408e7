/*
 * millrace/attach_layout.h - what an application and a running datapath say to each other over the
 * control socket.
 *
 * A Unix socket of type SOCK_SEQPACKET: one message, one datagram, each beginning with a struct
 * mr_message.  One connection of the socket is one attachment: one thread of an application, with
 * one ring to each shard it asked for.  Whoever closes the connection, or dies, ends the
 * attachment.
 *
 *     application                                datapath
 *       ATTACH {name, sizes, ...}  ------------>   checks limits, makes regions
 *                                  <------------   ATTACHED {rings, listeners} + wake socket
 *                                  <------------   RING {shard, size} + memfd      (one per ring)
 *                                  <------------   LISTENER {number, name}    (one per listener)
 *       maps the regions
 *       MAPPED                     ------------>   seals them: nobody maps them to write, or makes
 *                                                  holes in them, from here on
 *                                  <------------   READY: the shards look at the rings
 *       ... rings ...
 *       (closes)                   ------------>   lets go of the rings
 *                                  <------------   REFUSED {errno, why}, and closes: it lets go
 *                                                  itself; ESHUTDOWN: it ends, in order
 *
 *       COMMAND {text}             ------------>   of `millrace ctl`; another connection
 *                                  <------------   RESULT {JSON}
 *     anything that cannot be      <------------   REFUSED {errno, why}
 *
 * The wake socket is one end of a socket pair: the datapath writes a byte into the other when the
 * application sleeps and there is something for it.  It is no eventfd, whose O_NONBLOCK the
 * application could take away from under a polling thread.
 *
 * Everything is in this machine's byte order; sizes and positions change only with
 * MR_ATTACH_VERSION.
 *
 * Owner: whoever sends a message, until it is sent; each side looks at a copy of its own.
 * Threads: any; the messages of one connection belong to one thread at a time.
 */
#ifndef MILLRACE_ATTACH_LAYOUT_H
#define MILLRACE_ATTACH_LAYOUT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MR_ATTACH_MAGIC     UINT32_C(0x6874616d) /* "math" */
#define MR_ATTACH_VERSION   2
#define MR_ATTACH_NAME      32    /* bytes of a name, its end included */
#define MR_ATTACH_TEXT_MAX  4096  /* bytes of a command */
#define MR_ATTACH_REPLY_MAX 65536 /* bytes of one RESULT message; longer ones come in several */
#define MR_ATTACH_RINGS_MAX 64

enum mr_message_type {
    MR_MESSAGE_ATTACH = 1,
    MR_MESSAGE_ATTACHED,
    MR_MESSAGE_RING,
    MR_MESSAGE_LISTENER,
    MR_MESSAGE_REFUSED,
    MR_MESSAGE_COMMAND,
    MR_MESSAGE_RESULT,
    MR_MESSAGE_MAPPED,
    MR_MESSAGE_READY
};

/* How every message begins. */
struct mr_message {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t size;  /* bytes of the whole message */
    uint32_t flags; /* RESULT: 1 more of it follows */
};

/* ATTACH.  A size of 0: the datapath's default. */
struct mr_message_attach {
    struct mr_message head;
    char name[MR_ATTACH_NAME]; /* the application's, as the configuration's listeners say it */
    uint32_t flags;            /* enum mr_ring_flags */
    uint32_t node;             /* NUMA node of the thread, + 1; 0: unknown */
    uint64_t shards;           /* bit mask; 0: all */
    uint32_t submit_count;
    uint32_t complete_count;
    uint32_t slot_size;
    uint32_t slot_count;
    uint64_t send_bytes;
};

/* ATTACHED; comes with the wake socket. */
struct mr_message_attached {
    struct mr_message head;
    uint32_t ring_count;
    uint32_t listener_count; /* of this application */
    uint64_t attachment;     /* its number, as `millrace ctl apps` shows it */
};

/* RING; comes with the region. */
struct mr_message_ring {
    struct mr_message head;
    uint32_t shard;
    uint32_t reserved;
    uint64_t size; /* bytes of the region */
    uint64_t base; /* MR_RING_BY_REFERENCE: where it is mapped already in this process; else 0 */
};

/* LISTENER. */
struct mr_message_listener {
    struct mr_message head;
    uint32_t number;
    uint32_t port;
    char name[MR_ATTACH_NAME];
    char alpn[MR_ATTACH_NAME];
};

/* REFUSED. */
struct mr_message_refused {
    struct mr_message head;
    int32_t error; /* errno, positive */
    char why[256];
};

/* MAPPED and READY: a struct mr_message.  COMMAND and RESULT: one, and text without an end. */

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_ATTACH_LAYOUT_H */
