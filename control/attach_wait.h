/*
 * control/attach_wait.h - applications whose ATTACH waits for what others that have ended still
 * have: an attachment of their user, rings, memory.
 *
 *     ATTACH --no room, others end--> waits --another has ended--> ATTACHED, or REFUSED
 *
 * An application that begins when another has just ended would be refused otherwise: its death is
 * seen a moment later, and its shards take some milliseconds to let go.
 *
 * Owner: the control socket's handler.  Threads: the control thread's.
 * Limits: the control socket's clients; MR_ATTACH_WAIT_NS.
 */
#ifndef MR_CONTROL_ATTACH_WAIT_H
#define MR_CONTROL_ATTACH_WAIT_H

#include "control/attach.h"

#define MR_ATTACH_WAIT_NS UINT64_C(1000000000) /* then it is refused after all */

struct mr_attach_wait;

struct mr_attach_waits {
    struct mr_attachments *attachments;
    struct mr_attach_wait *first; /* in the order in which they came */
};

/* `client` said ATTACH: as mr_attachments_attach(), at once or later.  0: it is, or will be
 * answered; -errno with the reason in `fault`: refused. */
int mr_attach_waits_attach(struct mr_attach_waits *waits, struct mr_client *client,
                           const struct mr_message_attach *wish, struct mr_fault *fault);

/* `client`, waiting or not, is gone. */
void mr_attach_waits_client_gone(struct mr_attach_waits *waits, const struct mr_client *client);

/* Try again what waits.  Returns when to be called next, or MR_CONTROL_NEVER. */
uint64_t mr_attach_waits_look(struct mr_attach_waits *waits, uint64_t now_ns);

void mr_attach_waits_free(struct mr_attach_waits *waits);

#endif /* MR_CONTROL_ATTACH_WAIT_H */
