/*
 * millrace/trace.h - what an application's HTTP/3 does on a connection, for the connection's trace
 * (a qlog file, where the datapath writes one).
 *
 *     HTTP/3 --struct mr_trace_http3, bytes--> transport's `trace` --> file
 *
 * Owner: the caller, during the call.  Threads: the transport's.
 */
#ifndef MILLRACE_TRACE_H
#define MILLRACE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/priority.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MR_TRACE_HTTP3_BYTES = 1024, /* that follow a record; of more, none */
    MR_TRACE_HTTP3_LEFT_OUT = 0xffff
};

enum mr_trace_http3_kind {
    MR_TRACE_HTTP3_STREAM,   /* the type of a stream is known */
    MR_TRACE_HTTP3_FRAME,    /* a frame was made, or read */
    MR_TRACE_HTTP3_DATAGRAM, /* an HTTP datagram was sent, or came */
    MR_TRACE_HTTP3_PRIORITY, /* of a request stream: its first, or another one */
    MR_TRACE_HTTP3_KINDS
};

#define MR_TRACE_HTTP3_REQUEST UINT64_MAX /* type of a request stream */

/*
 * A record.  Bytes follow it of some FRAMEs: the payload of SETTINGS, GOAWAY, MAX_PUSH_ID and
 * PRIORITY_UPDATE; of HEADERS the pseudo-header fields, each a byte with the size of its name, the
 * name, two bytes with the size of its value, low byte first, the value.  A size of
 * MR_TRACE_HTTP3_LEFT_OUT: the value is not there.
 */
struct mr_trace_http3 {
    uint64_t stream;                  /* its ID */
    uint64_t type;                    /* of the STREAM, or of the FRAME, as on the wire */
    uint64_t size;                    /* FRAME, DATAGRAM: bytes of payload */
    uint32_t fields;                  /* HEADERS: field lines */
    uint8_t kind;                     /* enum mr_trace_http3_kind */
    bool is_ours;                     /* we opened, sent or decided it; else the peer */
    bool is_first;                    /* PRIORITY: there was none before */
    struct mr_priority before, after; /* PRIORITY */
};

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_TRACE_H */
