/*
 * control/qlog.h - traces of connections (quic/trace.h) as qlog files in a folder.
 *
 *     shard 0 --tracer 0--.
 *                          >-- a thread of its own --> FOLDER/8394c8f03e515708_server.sqlog
 *     shard 1 --tracer 1--'                            FOLDER/8394c8f03e515708_server.keys
 *
 * One file for each traced connection, in JSON text sequences (RFC 7464), called by the
 * connection's original DCID (of a connection whose handshake was over when its trace began: by a
 * connection ID of ours) and our side; key log lines, where they are wanted, are in a file beside
 * it that only its owner can read.  Its first record has what draft-ietf-quic-qlog-main-schema
 * asks for, and what the viewer qvis does.  The folder must be there.
 *
 * A connection that moves to another shard keeps its file: its events stay in order.
 *
 * Owner: the caller.  Threads: the control thread's, but for what the writer's thread does itself.
 *
 * | limit | default | beyond it |
 * |---|---|---|
 * | files begun in all | 10,000 | connections are not traced (qlog_files_refused) |
 * | bytes of a file | 256 MiB | the file says so, and ends |
 * | traced at once, of one shard | MR_TRACED_MAX | not traced (limit_traces) |
 * | records that wait, of one shard | MR_TRACE_RING_WORDS | dropped; the file says how many |
 */
#ifndef MR_CONTROL_QLOG_H
#define MR_CONTROL_QLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "quic/trace.h"

#define MR_QLOG_TRACERS_MAX 256
#define MR_QLOG_FILES       10000
#define MR_QLOG_FILE_BYTES  (UINT64_C(256) << 20)

struct mr_qlog_config {
    const char *folder;  /* borrowed while it is opened */
    uint32_t files_max;  /* 0: MR_QLOG_FILES */
    uint64_t file_bytes; /* 0: MR_QLOG_FILE_BYTES */
};

struct mr_qlog_stats {
    uint64_t files;   /* begun */
    uint64_t open;    /* of them */
    uint64_t events;  /* written */
    uint64_t bytes;   /* written */
    uint64_t refused; /* connections whose file could not be begun */
    uint64_t cut;     /* files that ended at their limit, or could not be written to */
};

struct mr_qlog;

/* A writer and its thread; files are begun when connections are.  NULL with `fault` set: the folder
 * is not there, or not ours to write in; no memory. */
struct mr_qlog *mr_qlog_open(const struct mr_qlog_config *config, struct mr_fault *fault);

/* A tracer for one more shard; the writer's, like its memory.  NULL: no memory, or
 * MR_QLOG_TRACERS_MAX are made. */
struct mr_tracer *mr_qlog_add(struct mr_qlog *qlog, struct mr_fault *fault);

/* What rules that count share: at most so many connections of all shards. */
_Atomic uint32_t *mr_qlog_next(struct mr_qlog *qlog);

/* Any thread. */
void mr_qlog_stats(const struct mr_qlog *qlog, struct mr_qlog_stats *stats_out);

/* Wait until what was traced so far is in the files.  For tests. */
void mr_qlog_flush(struct mr_qlog *qlog);

/* Write what there is, close the files and free everything; the shards do not run any more.  NULL
 * is allowed. */
void mr_qlog_close(struct mr_qlog *qlog);

#endif /* MR_CONTROL_QLOG_H */
