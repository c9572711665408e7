/*
 * drivers/memif_message.h - the words of memif's protocol, as far as the relay has to know them.
 *
 *     server                        client
 *     HELLO  how many rings    ->
 *                              <-   INIT  id, secret
 *                              <-   ADD_REGION  memory
 *                              <-   ADD_RING  one for each queue and direction
 *                              <-   CONNECT
 *     CONNECTED                ->
 *     DISCONNECT  reason       <->
 *
 * A message is a packet of a SOCK_SEQPACKET socket, 128 bytes in the machine's order, and the
 * client says the next one when the server has answered with ACK.
 *
 * Owner: the caller.  Threads: any, a message is one's.
 */
#ifndef MR_DRIVERS_MEMIF_MESSAGE_H
#define MR_DRIVERS_MEMIF_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#define MR_MEMIF_MESSAGE_BYTES 128
#define MR_MEMIF_MESSAGE_FDS   4  /* that come with one: memif sends one */
#define MR_MEMIF_REASON        96 /* bytes of a text, with its end */

enum mr_memif_type {
    MR_MEMIF_HELLO = 2,
    MR_MEMIF_ADD_RING = 5,
    MR_MEMIF_CONNECT = 6,
    MR_MEMIF_CONNECTED = 7,
    MR_MEMIF_DISCONNECT = 8
};

struct mr_memif_message {
    uint8_t bytes[MR_MEMIF_MESSAGE_BYTES];
    uint32_t fd_count;
    int fds[MR_MEMIF_MESSAGE_FDS];
};

struct mr_memif_ring {
    uint16_t index;
    bool is_to_server;
};

/* False: the sender is gone, or has sent what is no message of memif's, or nothing. */
bool mr_memif_message_receive(int fd, struct mr_memif_message *message_out);

/* Send it, and part with its descriptors.  False: the receiver is gone, or has not read for long.
 */
bool mr_memif_message_send(int fd, struct mr_memif_message *message);

/* Part with the descriptors of a message that is not sent on. */
void mr_memif_message_drop(const struct mr_memif_message *message);

/* One of enum mr_memif_type, or another number. */
uint16_t mr_memif_message_type(const struct mr_memif_message *message);

/* Of a HELLO: with how many queues, one ring each way, may a client come? */
uint32_t mr_memif_message_queues(const struct mr_memif_message *message);

/* Of an ADD_RING. */
struct mr_memif_ring mr_memif_message_ring(const struct mr_memif_message *message);

/* Of a DISCONNECT; what cannot be printed is '?'. */
void mr_memif_message_reason(const struct mr_memif_message *message,
                             char reason_out[MR_MEMIF_REASON]);

/* A DISCONNECT. */
struct mr_memif_message mr_memif_message_disconnect(const char reason[MR_MEMIF_REASON]);

#endif /* MR_DRIVERS_MEMIF_MESSAGE_H */
