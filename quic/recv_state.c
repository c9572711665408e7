/* quic/recv_state.c - see recv_state.h. */
#include "quic/recv_state.h"

#include <stdint.h>

#include "base/assert.h"

/* clang-format off */
enum { NO = MR_RECV_STATES, /* the event cannot happen here */
       RC = MR_RECV_RECV,        SK = MR_RECV_SIZE_KNOWN,
       DR = MR_RECV_DATA_RECVD,  DD = MR_RECV_DATA_READ,
       RR = MR_RECV_RESET_RECVD, RD = MR_RECV_RESET_READ };

/* The first three events are the peer's: packets come late and twice, so they are allowed everywhere. */
static const uint8_t next_state[MR_RECV_STATES][MR_RECV_EVENTS] = {
    /*                        data  fin  reset  all_data  data_read  reset_read */
    [MR_RECV_RECV]        = {   RC,  SK,    RR,       NO,        NO,         NO },
    [MR_RECV_SIZE_KNOWN]  = {   SK,  SK,    RR,       DR,        NO,         NO },
    [MR_RECV_DATA_RECVD]  = {   DR,  DR,    DR,       NO,        DD,         NO },
    [MR_RECV_DATA_READ]   = {   DD,  DD,    DD,       NO,        NO,         NO },
    [MR_RECV_RESET_RECVD] = {   RR,  RR,    RR,       NO,        NO,         RD },
    [MR_RECV_RESET_READ]  = {   RD,  RD,    RD,       NO,        NO,         NO },
};
/* clang-format on */

bool mr_recv_state_allows(enum mr_recv_state state, enum mr_recv_event event)
{
    MR_ASSERT(state < MR_RECV_STATES);
    MR_ASSERT(event < MR_RECV_EVENTS);
    return next_state[state][event] != NO;
}

enum mr_recv_state mr_recv_state_next(enum mr_recv_state state, enum mr_recv_event event)
{
    MR_ASSERT(mr_recv_state_allows(state, event));
    return (enum mr_recv_state)next_state[state][event];
}

bool mr_recv_state_is_final(enum mr_recv_state state)
{
    return state == MR_RECV_DATA_READ || state == MR_RECV_RESET_READ;
}

bool mr_recv_state_wants_credit(enum mr_recv_state state)
{
    return state == MR_RECV_RECV;
}

bool mr_recv_state_wants_stop(enum mr_recv_state state)
{
    return state == MR_RECV_RECV || state == MR_RECV_SIZE_KNOWN;
}
