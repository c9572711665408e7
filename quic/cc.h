/*
 * quic/cc.h - how much may be in flight on one path: congestion control behind one small table.
 *
 *     send room = window - in_flight         mr_cc_room()
 *
 * The controller counts bytes in flight itself: every packet that is in flight
 * (ack-eliciting or padded, RFC 9002, Section 2) is reported once by
 * mr_cc_on_sent() and once by mr_cc_on_acked(), mr_cc_on_lost() or
 * mr_cc_on_discarded().
 *
 * One ACK frame is handled in this order (RFC 9002, Appendix A.7): mr_rtt_add();
 * mr_cc_on_ecn() if ECN counts rose; mr_cc_on_lost(), mr_cc_on_loss() and
 * mr_cc_on_congestion() with the newest loss if packets were lost, and
 * mr_cc_on_persistent_congestion() where established; mr_cc_on_acked() once with
 * the sum of what was newly acknowledged.
 *
 * Recovery (RFC 9002, Section 7.3.2) is common to the algorithms: one reduction per
 * recovery period, which lasts until a packet sent after its start is acknowledged.
 *
 * Owner: one per path, embedded.  Threads: the connection's shard.
 * Nothing allocates or fails.
 */
#ifndef MR_QUIC_CC_H
#define MR_QUIC_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "quic/hystart.h"
#include "quic/types.h"

#define MR_CC_INITIAL_PACKETS 10    /* RFC 9002, Section 7.2 */
#define MR_CC_INITIAL_BYTES   14720 /* limit of the initial window, unless two datagrams are more */
#define MR_CC_MINIMUM_PACKETS 2     /* kMinimumWindow */
#define MR_CC_UNLIMITED       UINT64_MAX /* slow start threshold before the first congestion event */
#define MR_CC_WINDOW_MAX      (UINT64_C(1) << 40) /* bytes; window_max is at most this */

enum mr_cc_kind {
    MR_CC_CUBIC,   /* RFC 9438, with HyStart++ (RFC 9406); the default */
    MR_CC_NEWRENO, /* RFC 9002, Section 7 */
    MR_CC_PRAGUE,  /* an answer to many CE marks (L4S) */
    MR_CC_BBR,     /* BBRv3; with a model of its own: mr_cc_init_bbr() of quic/bbr.h */
    MR_CC_KINDS
};
#define MR_CC_SELF_CONTAINED                                                                       \
    MR_CC_BBR /* the kinds before it need nothing beside a struct mr_cc                            \
               */

struct mr_cc;
struct mr_bbr;

/* What losses take, to be given back if there were none.  BBR keeps its part in its model. */
struct mr_cc_saved {
    uint64_t window;
    uint64_t ssthresh;
    union {
        uint64_t epoch_ns; /* this and the rest: CUBIC's */
        uint64_t acked;    /* NewReno's */
        uint64_t before;   /* BBR's window before loss or ProbeRTT held it down */
    };
    double max;
    double estimate;
    double prior;
    float k_s;
    uint32_t lost; /* the owner's (quic/conn_undo.h) */
};

/* What one ACK frame newly acknowledged on this path. */
struct mr_cc_ack {
    uint64_t bytes;          /* sum of the sizes of in-flight packets newly acknowledged */
    uint64_t newest_sent_ns; /* when the newest of them was sent */
    uint64_t rtt_ns;         /* the frame's RTT sample; 0 if it gave none */
    uint64_t smoothed_ns;    /* smoothed RTT */
    bool is_app_limited;     /* data or the peer's credit, not the window, held the sender back */
};

/* What one loss detection found, without MTU probes. */
struct mr_cc_loss {
    uint64_t bytes;
    uint64_t newest_sent_ns; /* when the newest of them was sent */
    uint32_t ranges;         /* of packet numbers that follow each other */
};

/* What an ACK frame with valid ECN counts says of packets sent with a mark. */
struct mr_cc_ecn {
    uint64_t packets; /* that arrived meanwhile */
    uint64_t ce;      /* of these with CE */
    uint64_t sent_ns; /* when the newest packet newly acknowledged was sent */
    uint64_t rtt_ns;  /* the frame's RTT sample; 0 if it gave none */
};

/* An algorithm.  Called by the functions below only; those marked * may be NULL. */
struct mr_cc_ops {
    const char *name;
    bool is_smooth; /* its bottleneck marks short queues: no bursts */
    void (*init)(struct mr_cc *cc);

    /* The first packet is sent after nothing was in flight. */
    void (*on_restart)(struct mr_cc *cc, uint64_t now);

    /* Packets were acknowledged that were sent outside recovery, and the window was in use. */
    void (*on_acked)(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now);

    /* Packets were acknowledged, but the window must not grow (RFC 9002, Section 7.8). */
    void (*on_app_limited)(struct mr_cc *cc, uint64_t now);

    /* Reduce window and threshold: once per recovery period. */
    void (*on_congestion)(struct mr_cc *cc);

    /* The window fell to the minimum. */
    void (*on_persistent_congestion)(struct mr_cc *cc);

    /* * Instead of on_acked() and on_app_limited(), in recovery too. */
    void (*on_every_ack)(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now);

    /* * `bytes` were sent, and are in flight already. */
    void (*on_sent)(struct mr_cc *cc, uint64_t bytes, uint64_t now);

    /* * Packets were lost, and are not in flight any more; on_congestion() may follow. */
    void (*on_lost)(struct mr_cc *cc, const struct mr_cc_loss *loss, uint64_t now);

    /* * What else the algorithm saves of itself, and gives back while the window is still as it is:
     * what the losses left, or larger than the saved one. */
    void (*on_save)(const struct mr_cc *cc, struct mr_cc_saved *saved);
    void (*on_undo)(struct mr_cc *cc, const struct mr_cc_saved *saved);

    /* * Instead of on_congestion() for CE.  True: the window was reduced. */
    bool (*on_ecn)(struct mr_cc *cc, const struct mr_cc_ecn *ecn, uint64_t now);

    /* * Nothing is left to send. */
    void (*on_drained)(struct mr_cc *cc);

    /* * The window from which the pacer (quic/pacer.h), not in slow start, computes the rate
     * wanted. */
    uint64_t (*pacing_window)(const struct mr_cc *cc, uint64_t smoothed_ns);

    /* * Panic unless its invariants hold. */
    void (*check)(const struct mr_cc *cc);
};

/* CUBIC beyond slow start.  Windows in bytes, times in ns, RFC 9438, Section 4.1. */
struct mr_cc_cubic {
    struct mr_hystart hystart;
    double max;           /* W_max */
    double estimate;      /* W_est */
    double prior;         /* cwnd_prior */
    float k_s;            /* K, seconds */
    float fraction;       /* of the window, below its last byte: 0 <= fraction < 1 */
    uint64_t epoch_ns;    /* t_epoch, moved on while the window may not grow; MR_NEVER: not begun */
    uint64_t last_ack_ns; /* end of the time that counts */
};

struct mr_cc_newreno {
    uint64_t acked; /* bytes acknowledged in congestion avoidance since the window last grew */
};

struct mr_cc_prague {
    double alpha;        /* of the window, what a round trip full of CE would cost twice: 0..1 */
    double fraction;     /* of a byte that the window has grown by */
    uint64_t packets;    /* that came with a mark in this round trip */
    uint64_t ce;         /* of these with CE */
    uint64_t round_ns;   /* when it began */
    uint64_t reduced_ns; /* when the window was reduced for CE last */
    uint64_t base_ns;    /* least round trip time of the path; MR_NEVER */
    uint64_t least_ns;   /* and of this round trip; MR_NEVER */
    uint8_t classic;     /* how often marks came late, less how often early: 0..8 */
    bool is_classic;     /* the queue is a classic one: between 0 and 8 as before */
};

struct mr_cc_bbr {
    struct mr_bbr *model; /* borrowed */
    uint32_t index;       /* the owner's: which object of its pool that is */
};

struct mr_cc {
    const struct mr_cc_ops *ops;
    uint64_t window;            /* congestion window, bytes */
    uint64_t ssthresh;          /* bytes; MR_CC_UNLIMITED while slow start has never ended */
    uint64_t in_flight;         /* bytes */
    uint64_t window_max;        /* bytes; the window never grows beyond */
    uint64_t recovery_start_ns; /* if has_recovery: packets sent up to here give no growth */
    uint32_t datagram_size;     /* max_datagram_size, bytes */
    bool has_begun;             /* something was acknowledged or lost */
    bool has_recovery;          /* a recovery period was begun and not cancelled */
    bool is_jumping;            /* the window is tried out (quic/resume.h), over one round trip */
    union {
        struct mr_cc_cubic cubic;
        struct mr_cc_newreno newreno;
        struct mr_cc_prague prague;
        struct mr_cc_bbr bbr;
    };
};

_Static_assert(sizeof(struct mr_cc) <= 128, "two cache lines per path");

/* Start with the initial window, of a kind below MR_CC_SELF_CONTAINED; `window_max_bytes` bounds it
 * for good, 0: MR_CC_WINDOW_MAX. */
void mr_cc_init(struct mr_cc *cc, enum mr_cc_kind kind, uint32_t datagram_size,
                uint64_t window_max_bytes);

/* Which algorithm it is; and the algorithm of a copy whose `ops` did not come along. */
enum mr_cc_kind mr_cc_kind_of(const struct mr_cc *cc);
void mr_cc_attach(struct mr_cc *cc, enum mr_cc_kind kind);

/*
 * The largest datagram of the path is now `datagram_size`.  Before anything was acknowledged or
 * lost the initial window is computed again; it never falls below the minimum window (RFC 9002,
 * Section 7.2).
 */
void mr_cc_set_datagram_size(struct mr_cc *cc, uint32_t datagram_size);

/* `bytes` were sent in packets that are in flight: one, or a burst at once.  Probes count too. */
static inline void mr_cc_on_sent(struct mr_cc *cc, uint64_t bytes, uint64_t now)
{
    if (cc->in_flight == 0)
        cc->ops->on_restart(cc, now);
    cc->in_flight += bytes;
    if (cc->ops->on_sent != NULL)
        cc->ops->on_sent(cc, bytes, now);
}

/* Nothing is left to send, and window or pacer are not why. */
static inline void mr_cc_on_drained(struct mr_cc *cc)
{
    if (cc->ops->on_drained != NULL)
        cc->ops->on_drained(cc);
}

/* Once per ACK frame that newly acknowledges in-flight packets. */
void mr_cc_on_acked(struct mr_cc *cc, const struct mr_cc_ack *ack, uint64_t now);

/* `bytes` in flight were declared lost.  That is no congestion yet: think of MTU probes. */
void mr_cc_on_lost(struct mr_cc *cc, uint64_t bytes);

/* What was lost, other than MTU probes; after mr_cc_on_lost(), before mr_cc_on_congestion(). */
static inline void mr_cc_on_loss(struct mr_cc *cc, const struct mr_cc_loss *loss, uint64_t now)
{
    if (cc->ops->on_lost != NULL)
        cc->ops->on_lost(cc, loss, now);
}

/* `bytes` in flight will never be acknowledged: keys were dropped (RFC 9002, Section 6.4). */
void mr_cc_on_discarded(struct mr_cc *cc, uint64_t bytes);

/*
 * A packet sent at `sent_ns` was lost (the newest of those found together) or the ECN-CE count rose
 * (then the largest acknowledged packet's time).  No reaction if it was sent before the current
 * recovery period began. Returns true if a recovery period was entered: one packet may then be sent
 * at once, whatever the window.
 */
bool mr_cc_on_congestion(struct mr_cc *cc, uint64_t sent_ns, uint64_t now);

/* True if the loss of a packet sent at `sent_ns` would begin a recovery period. */
bool mr_cc_is_news(const struct mr_cc *cc, uint64_t sent_ns);

/* Remember what the losses that are about to be told may take: before mr_cc_on_loss(). */
void mr_cc_save(const struct mr_cc *cc, struct mr_cc_saved *saved);

/*
 * The losses since mr_cc_save() were none, and no congestion was seen otherwise: the recovery
 * period is over, and what it took is given back, unless the window has grown beyond that already.
 */
void mr_cc_undo(struct mr_cc *cc, const struct mr_cc_saved *saved);

/* ECN counts are right and have risen.  True: the window was reduced. */
static inline bool mr_cc_on_ecn(struct mr_cc *cc, const struct mr_cc_ecn *ecn, uint64_t now)
{
    if (cc->ops->on_ecn != NULL)
        return cc->ops->on_ecn(cc, ecn, now);
    return ecn->ce > 0 && mr_cc_on_congestion(cc, ecn->sent_ns, now);
}

/* RFC 9002, Section 7.6.2: fall to the minimum window and begin slow start again. */
void mr_cc_on_persistent_congestion(struct mr_cc *cc);

/* The congestion window, bytes. */
static inline uint64_t mr_cc_window(const struct mr_cc *cc)
{
    return cc->window;
}

/* Bytes that may be sent before the window is full. */
static inline uint64_t mr_cc_room(const struct mr_cc *cc)
{
    return cc->window > cc->in_flight ? cc->window - cc->in_flight : 0;
}

/* What the pacer is to take for window and slow start (quic/pacer.h): bytes per smoothed RTT. */
static inline uint64_t mr_cc_pacing_window(const struct mr_cc *cc, uint64_t smoothed_ns,
                                           bool *is_slow_start_out)
{
    *is_slow_start_out = false;
    if (cc->ops->pacing_window != NULL)
        return cc->ops->pacing_window(cc, smoothed_ns);
    if (cc->is_jumping)
        return cc->window * 4 / 5; /* at MR_PACER_GAIN: one window per round trip */
    *is_slow_start_out = cc->window < cc->ssthresh;
    return cc->window;
}

/* What the pacer is to take for is_smooth, as soon as the round trip is known. */
static inline bool mr_cc_is_smooth(const struct mr_cc *cc)
{
    return cc->ops->is_smooth;
}

static inline uint64_t mr_cc_ssthresh(const struct mr_cc *cc)
{
    return cc->ssthresh;
}

static inline bool mr_cc_in_slow_start(const struct mr_cc *cc)
{
    return cc->window < cc->ssthresh;
}

/* The smallest window that congestion leaves, bytes. */
static inline uint64_t mr_cc_minimum(const struct mr_cc *cc)
{
    return (uint64_t)MR_CC_MINIMUM_PACKETS * cc->datagram_size;
}

/* Panic unless every invariant holds.  For tests, fuzzers and MR_DEBUG. */
void mr_cc_check(const struct mr_cc *cc);

/* The algorithms (cc_bbr.c, cc_cubic.c, cc_newreno.c, cc_prague.c). */
extern const struct mr_cc_ops mr_cc_bbr_ops;
extern const struct mr_cc_ops mr_cc_cubic_ops;
extern const struct mr_cc_ops mr_cc_newreno_ops;
extern const struct mr_cc_ops mr_cc_prague_ops;

/*
 * Congestion came at a window that was tried out, not grown: fall to `bytes` or below, with no
 * memory of a larger window to return to.  After mr_cc_on_congestion() or mr_cc_on_ecn().
 */
void mr_cc_forget(struct mr_cc *cc, uint64_t bytes);

/* Set the window to `bytes`, within the minimum and window_max.  For the algorithms. */
void mr_cc_set_window(struct mr_cc *cc, uint64_t bytes);

/* Grow by `bytes`, up to the slow start threshold.  For the algorithms. */
void mr_cc_grow_slow_start(struct mr_cc *cc, uint64_t bytes);

#endif /* MR_QUIC_CC_H */
