/*
 * quic/loss.h - when loss detection must act next, and in which packet number space.
 *
 * The one loss detection timer of RFC 9002 (Sections 6.1.2, 6.2 and Appendix A.8)
 * as a pure function of a small struct, which the connection keeps up to date:
 *
 *     any space has a loss time       -> MR_LOSS_TIME    detect losses in that space
 *     server may not send any more    -> MR_LOSS_IDLE    until the client is heard of again
 *     ack-eliciting packets in flight -> MR_LOSS_PTO     send probes in that space
 *     the handshake may be stuck      -> MR_LOSS_UNBLOCK send a probe, so that the peer goes on
 *     otherwise                       -> MR_LOSS_IDLE
 *
 * Stuck may be a client that does not know that the server has validated its address, and a server
 * whose handshake is not confirmed: what it needs next was lost, and its client's next attempt may
 * be far away.  A server's probes get rarer whatever is acknowledged meanwhile.
 *
 * Owner: one per connection.  Threads: the connection's shard.
 */
#ifndef MR_QUIC_LOSS_H
#define MR_QUIC_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/rtt.h"
#include "quic/types.h"

struct mr_loss_space {
    uint64_t last_ack_eliciting_ns; /* when the last ack-eliciting packet was sent */
    uint64_t loss_time_ns;          /* when the next packet is lost by time; MR_NEVER */
    uint32_t ack_eliciting_count;   /* ack-eliciting packets in flight */
    uint32_t zero;                  /* in place of padding, as in struct mr_sent */
};

struct mr_loss {
    struct mr_loss_space space[MR_SPACES];
    uint64_t restart_ns; /* when the last ACK, PTO or discard restarted the PTO timer */
    uint16_t pto_count;  /* PTOs in a row, over all spaces */
    uint8_t idle_probes; /* server: probes of the handshake with nothing in flight */
    bool is_server;
    bool handshake_confirmed; /* RFC 9001, Section 4.1.2 */
    bool has_validated;       /* the peer must have validated our address; always at a server */
    bool has_handshake_keys;
    bool is_amplification_limited; /* server: must not send (RFC 9000, Section 8.1) */
};

enum mr_loss_action {
    MR_LOSS_IDLE,    /* no timer */
    MR_LOSS_TIME,    /* look for lost packets in `space` */
    MR_LOSS_PTO,     /* mr_loss_on_pto(), then send one or two ack-eliciting packets in `space` */
    MR_LOSS_UNBLOCK, /* mr_loss_on_unblock(), then send one, Initials padded to 1200 bytes */
};

struct mr_loss_timer {
    uint64_t at_ns; /* MR_NEVER if the action is MR_LOSS_IDLE; may have passed already */
    enum mr_loss_action action;
    enum mr_space space;
};

/* Nothing was sent in any space. */
void mr_loss_init(struct mr_loss *loss, enum mr_role role, uint64_t now);

/* When to act, and how (RFC 9002, Appendices A.8 and A.9). */
struct mr_loss_timer mr_loss_timer(const struct mr_loss *loss, const struct mr_rtt *rtt);

/*
 * An ACK frame newly acknowledged packets in `space`: the backoff ends, except at a client that is
 * not certain that the server has validated its address (RFC 9002, Section 6.2.1).  An ACK in the
 * Handshake space makes it certain.
 */
void mr_loss_on_acked(struct mr_loss *loss, enum mr_space space, uint64_t now);

/* A probe timeout has expired: the next one is twice as long. */
void mr_loss_on_pto(struct mr_loss *loss, uint64_t now);

/* MR_LOSS_UNBLOCK is due: the next probe takes twice as long. */
void mr_loss_on_unblock(struct mr_loss *loss, uint64_t now);

/* The handshake has got on: there is something to send. */
void mr_loss_on_handshake_keys(struct mr_loss *loss);

/*
 * The keys of `space` are discarded: forget its times, end the backoff (RFC 9002, Section 6.2.2 and
 * Appendix A.11).
 */
void mr_loss_on_discarded(struct mr_loss *loss, enum mr_space space, uint64_t now);

#endif /* MR_QUIC_LOSS_H */
