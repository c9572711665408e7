/*
 * quic/recv_state.h - states of the receiving part of a stream (RFC 9000, Section 3.2).
 *
 *     RECV --fin--> SIZE_KNOWN --all data--> DATA_RECVD --read--> DATA_READ
 *      |               |
 *      +----reset------+----reset--> RESET_RECVD --read--> RESET_READ
 *
 * Pure functions over a table: no side effects.  The caller acts on the change
 * of state.  Frames may arrive in every state: what comes late changes nothing.
 * A reset that arrives after all data is ignored (RFC 9000, Section 3.2 allows it).
 */
#ifndef MR_QUIC_RECV_STATE_H
#define MR_QUIC_RECV_STATE_H

#include <stdbool.h>

enum mr_recv_state {
    MR_RECV_RECV,        /* receiving data, final size unknown */
    MR_RECV_SIZE_KNOWN,  /* FIN has arrived, not all data */
    MR_RECV_DATA_RECVD,  /* all data has arrived */
    MR_RECV_DATA_READ,   /* final: the application has consumed all data */
    MR_RECV_RESET_RECVD, /* RESET_STREAM has arrived */
    MR_RECV_RESET_READ,  /* final: the application knows of the reset */
    MR_RECV_STATES
};

enum mr_recv_event {
    MR_RECV_ON_DATA,       /* STREAM without FIN arrived */
    MR_RECV_ON_FIN,        /* STREAM with FIN arrived */
    MR_RECV_ON_RESET,      /* RESET_STREAM arrived */
    MR_RECV_ON_ALL_DATA,   /* every byte up to the final size has arrived */
    MR_RECV_ON_DATA_READ,  /* the application has consumed every byte */
    MR_RECV_ON_RESET_READ, /* the application was told of the reset */
    MR_RECV_EVENTS
};

/* True if `event` may happen in `state`.  The peer's events may in every state. */
bool mr_recv_state_allows(enum mr_recv_state state, enum mr_recv_event event);

/* The state after `event`.  The event must be allowed. */
enum mr_recv_state mr_recv_state_next(enum mr_recv_state state, enum mr_recv_event event);

/* True in the two final states. */
bool mr_recv_state_is_final(enum mr_recv_state state);

/* True if MAX_STREAM_DATA is of use: in RECV only (RFC 9000, Section 3.2). */
bool mr_recv_state_wants_credit(enum mr_recv_state state);

/* True if STOP_SENDING is of use: in RECV and SIZE_KNOWN (RFC 9000, Section 3.5). */
bool mr_recv_state_wants_stop(enum mr_recv_state state);

#endif /* MR_QUIC_RECV_STATE_H */
