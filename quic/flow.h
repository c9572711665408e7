/*
 * quic/flow.h - flow control: credit for bytes and for streams, given and taken (RFC 9000, Section
 * 4).
 *
 * Four small values.  Bytes, for a connection or for a stream:
 *
 *     struct mr_flow_recv   what the peer may send:  consumed <= received <= limit
 *     struct mr_flow_send   what we may send:        used <= limit
 *
 * and streams of one type, for a connection:
 *
 *     struct mr_streams_recv  that the peer may open
 *     struct mr_streams_send  that we may open
 *
 * A stream counts offsets, the connection the sum over its streams.  The receive
 * window grows by itself: when an update follows the last within two round
 * trips, the application keeps up and the window was the limit; it doubles.  A gap holds
 * up what is consumed and not what arrives: a stream whose application waits for one
 * doubles its window as soon as half of it has arrived beyond.  An update gives half a
 * window as long as it may grow.  One at its maximum is all there will be, and what an
 * update has not given yet is not there for its sender: it is given in eighths, or fourths.
 *
 * Owner: a connection or stream, by value.  Threads: the shard's only.
 * Everything is O(1) and allocates nothing.
 */
#ifndef MR_QUIC_FLOW_H
#define MR_QUIC_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/types.h"
#include "quic/varint.h"

#define MR_STREAMS_COUNT_MAX (UINT64_C(1) << 60) /* RFC 9000, Section 4.6 */
#define MR_FLOW_STEP_SHARE   8                   /* of a window that grows no more: an update */
#define MR_FLOW_STEP_MIN     (64 * 1024)         /* bytes; but not less than this, */
#define MR_FLOW_STEP_MOST    4                   /* or than this share of a small one */

/* ------------------------------------------------------- bytes, receiving */

struct mr_flow_recv {
    uint64_t limit;    /* as advertised; never falls */
    uint64_t received; /* highest offset, or the sum of streams' */
    uint64_t consumed; /* by the application */
    uint64_t window;   /* bytes granted beyond consumed */
    uint64_t window_max;
    uint64_t updated_ns; /* time of the last update; 0: none */
};

/* The initial limit is `window`, as our transport parameters state it.  `window` <= `window_max` <=
 * 2^62 - 1. */
static inline void mr_flow_recv_init(struct mr_flow_recv *f, uint64_t window, uint64_t window_max)
{
    *f = (struct mr_flow_recv){.limit = window, .window = window, .window_max = window_max};
}

/* True if `bytes` more may arrive; else the connection ends with MR_FLOW_CONTROL_ERROR (RFC 9000,
 * Section 4.1). */
static inline bool mr_flow_recv_allows(const struct mr_flow_recv *f, uint64_t bytes)
{
    return bytes <= f->limit - f->received;
}

/* `bytes` more have arrived; they must be allowed. */
static inline void mr_flow_recv_add(struct mr_flow_recv *f, uint64_t bytes)
{
    MR_DASSERT(mr_flow_recv_allows(f, bytes));
    f->received += bytes;
}

/* The application has consumed `bytes` more (or they were discarded with their stream). */
static inline void mr_flow_recv_consume(struct mr_flow_recv *f, uint64_t bytes)
{
    MR_DASSERT(bytes <= f->received - f->consumed);
    f->consumed += bytes;
}

/* True if an update would give half a window, or an eighth of the largest one, a fourth of a small
 * one: time for MAX_DATA or MAX_STREAM_DATA. */
static inline bool mr_flow_recv_is_due(const struct mr_flow_recv *f)
{
    uint64_t left = f->window / 2;

    if (f->window == f->window_max)
        left =
            f->window - MR_MAX(f->window / MR_FLOW_STEP_SHARE,
                               MR_MIN(f->window / MR_FLOW_STEP_MOST, (uint64_t)MR_FLOW_STEP_MIN));
    return f->limit - f->consumed <= left && f->limit < MR_VARINT_MAX;
}

/* True if an update would give anything. */
static inline bool mr_flow_recv_can_rise(const struct mr_flow_recv *f)
{
    return f->limit < MR_MIN(f->consumed + f->window, MR_VARINT_MAX);
}

/* Half of the window has arrived, and nothing can be consumed for a gap: double it.  False: less
 * has, or it is as large as may be. */
static inline bool mr_flow_recv_grow_early(struct mr_flow_recv *f)
{
    if (f->limit - f->received > f->window / 2 || f->window == f->window_max)
        return false;
    f->window = MR_MIN(f->window * 2, f->window_max);
    return true;
}

/* A connection's window is at least twice that of a stream of it, as far as it may grow: a stream
 * that is not read leaves credit to the others. */
static inline void mr_flow_recv_cover(struct mr_flow_recv *conn, const struct mr_flow_recv *stream)
{
    conn->window = MR_MAX(conn->window, MR_MIN(2 * stream->window, conn->window_max));
}

/*
 * Raise the limit to consumed + window, after growing the window if the last update is less than
 * two round trips ago. `srtt_ns` 0: no sample yet, the window stays.  Returns the new limit, to be
 * sent.
 */
static inline uint64_t mr_flow_recv_update(struct mr_flow_recv *f, uint64_t srtt_ns, uint64_t now)
{
    if (f->updated_ns != 0 && now - f->updated_ns < 2 * srtt_ns)
        f->window = MR_MIN(f->window * 2, f->window_max);
    f->updated_ns = now;

    uint64_t limit = MR_MIN(f->consumed + f->window, MR_VARINT_MAX);
    f->limit = MR_MAX(f->limit, limit);
    return f->limit;
}

/* --------------------------------------------------------- bytes, sending */

struct mr_flow_send {
    uint64_t limit;      /* the peer's */
    uint64_t used;       /* new bytes sent so far */
    uint64_t blocked_at; /* limit that a BLOCKED frame was sent for; UINT64_MAX: none */
};

static inline void mr_flow_send_init(struct mr_flow_send *f, uint64_t limit)
{
    *f = (struct mr_flow_send){.limit = limit, .blocked_at = UINT64_MAX};
}

/* Bytes that may be sent. */
static inline uint64_t mr_flow_send_room(const struct mr_flow_send *f)
{
    return f->limit - f->used;
}

/* `bytes` <= room of new data were sent; retransmissions take no credit. */
static inline void mr_flow_send_use(struct mr_flow_send *f, uint64_t bytes)
{
    MR_ASSERT(bytes <= mr_flow_send_room(f));
    f->used += bytes;
}

/* The peer's limit, from a parameter or frame.  True if it rose; a lower one is ignored (RFC 9000,
 * Section 4.1). */
static inline bool mr_flow_send_raise(struct mr_flow_send *f, uint64_t limit)
{
    if (limit <= f->limit)
        return false;
    f->limit = limit;
    return true;
}

/* True if there is no credit: with data waiting, a BLOCKED frame is called for unless one was sent
 * for this limit. */
static inline bool mr_flow_send_is_exhausted(const struct mr_flow_send *f)
{
    return f->used == f->limit;
}

static inline bool mr_flow_send_wants_blocked(const struct mr_flow_send *f)
{
    return mr_flow_send_is_exhausted(f) && f->blocked_at != f->limit;
}

/* A DATA_BLOCKED or STREAM_DATA_BLOCKED frame was written.  Returns the limit it states. */
static inline uint64_t mr_flow_send_blocked_sent(struct mr_flow_send *f)
{
    f->blocked_at = f->limit;
    return f->limit;
}

/* The BLOCKED frame that stated `limit` is lost: if we are blocked there still, it is wanted again.
 */
static inline void mr_flow_send_blocked_lost(struct mr_flow_send *f, uint64_t limit)
{
    if (f->blocked_at == limit)
        f->blocked_at = UINT64_MAX;
}

/* ---------------------------------------------------------------- streams */

struct mr_streams_recv { /* of one type */
    uint64_t limit;      /* streams that the peer may open in all, as advertised; never falls */
    uint64_t opened;     /* so far; opening one opens all lower ones of its type */
    uint64_t closed;
    uint64_t open_max; /* open at a time */
};

/* The initial limit is `open_max`, as our transport parameters state it; <= MR_STREAMS_COUNT_MAX.
 */
static inline void mr_streams_recv_init(struct mr_streams_recv *s, uint64_t open_max)
{
    *s = (struct mr_streams_recv){.limit = open_max, .open_max = open_max};
}

/*
 * True if the peer may use its stream number `ordinal` (stream ID / 4); else the connection ends
 * with MR_STREAM_LIMIT_ERROR (RFC 9000, Section 4.6).
 */
static inline bool mr_streams_recv_allows(const struct mr_streams_recv *s, uint64_t ordinal)
{
    return ordinal < s->limit;
}

/* Open `ordinal`, which is allowed, and all below.  Returns how many are new: [opened - n, opened).
 */
static inline uint64_t mr_streams_recv_open(struct mr_streams_recv *s, uint64_t ordinal)
{
    MR_DASSERT(mr_streams_recv_allows(s, ordinal));
    if (ordinal < s->opened)
        return 0;
    uint64_t count = ordinal + 1 - s->opened;
    s->opened = ordinal + 1;
    return count;
}

static inline void mr_streams_recv_close(struct mr_streams_recv *s)
{
    MR_DASSERT(s->closed < s->opened);
    s->closed++;
}

/* The limit that the closed streams allow for. */
static inline uint64_t mr_streams_recv_target(const struct mr_streams_recv *s)
{
    return MR_MIN(s->closed + s->open_max, MR_STREAMS_COUNT_MAX);
}

/* True if MAX_STREAMS would give an eighth of open_max, or the peer has used up its credit and
 * there is some. */
static inline bool mr_streams_recv_is_due(const struct mr_streams_recv *s)
{
    uint64_t gain = mr_streams_recv_target(s) - s->limit;

    return gain > 0 && (gain >= s->open_max / 8 || s->opened == s->limit);
}

/* Raise the limit.  Returns the new one, to be sent in MAX_STREAMS. */
static inline uint64_t mr_streams_recv_update(struct mr_streams_recv *s)
{
    s->limit = MR_MAX(s->limit, mr_streams_recv_target(s));
    return s->limit;
}

struct mr_streams_send { /* of one type */
    uint64_t limit;      /* the peer's */
    uint64_t opened;
    uint64_t blocked_at; /* limit that STREAMS_BLOCKED was sent for; UINT64_MAX: none */
    bool is_wanted;      /* an open was refused since the limit last rose */
};

static inline void mr_streams_send_init(struct mr_streams_send *s, uint64_t limit)
{
    *s = (struct mr_streams_send){.limit = limit, .blocked_at = UINT64_MAX};
}

/* True if `limit`, read from MAX_STREAMS or a transport parameter, is one that a peer may state
 * (RFC 9000, Section 4.6). */
static inline bool mr_streams_limit_is_valid(uint64_t limit)
{
    return limit <= MR_STREAMS_COUNT_MAX;
}

/* Take the next stream number.  False: the peer's limit is reached, remembered for STREAMS_BLOCKED.
 */
static inline bool mr_streams_send_open(struct mr_streams_send *s, uint64_t *ordinal_out)
{
    if (s->opened >= s->limit) {
        s->is_wanted = true;
        return false;
    }
    *ordinal_out = s->opened++;
    return true;
}

/* The peer's limit.  True if it rose and an open was refused before: raise
 * MR_EVENT_STREAMS_ALLOWED. */
static inline bool mr_streams_send_raise(struct mr_streams_send *s, uint64_t limit)
{
    if (limit <= s->limit)
        return false;
    s->limit = limit;

    bool was_wanted = s->is_wanted;
    s->is_wanted = false;
    return was_wanted;
}

static inline bool mr_streams_send_wants_blocked(const struct mr_streams_send *s)
{
    return s->is_wanted && s->blocked_at != s->limit;
}

/* STREAMS_BLOCKED was written.  Returns the limit it states. */
static inline uint64_t mr_streams_send_blocked_sent(struct mr_streams_send *s)
{
    s->blocked_at = s->limit;
    return s->limit;
}

/* The STREAMS_BLOCKED frame that stated `limit` is lost. */
static inline void mr_streams_send_blocked_lost(struct mr_streams_send *s, uint64_t limit)
{
    if (s->blocked_at == limit)
        s->blocked_at = UINT64_MAX;
}

#endif /* MR_QUIC_FLOW_H */
