/*
 * tools/bench_http3.h - the applications of `millrace bench request --http3`: the file server of
 * `millrace edge`, and clients that ask for one file over and over.
 *
 * The file has known content (http3/pattern.h) and lies in a folder of its own,
 * which is removed at the end.
 *
 * Owner: the bench.  Threads: make and free: the control thread; what was made
 * belongs to its shard's worker.
 */
#ifndef MR_TOOLS_BENCH_HTTP3_H
#define MR_TOOLS_BENCH_HTTP3_H

#include "http3/client.h"
#include "http3/pattern.h"
#include "http3/server.h"
#include "tools/bench.h"

#define MR_BENCH_HTTP3_FILE "/content" /* what is asked for */

struct mr_bench_http3;

/* Make servers alone, for clients of the caller's: load->connections for each shard, and
 * load->down_bytes of the file.  NULL with `fault` set. */
struct mr_bench_http3 *mr_bench_http3_serve(struct mr_bench *bench,
                                            const struct mr_bench_load *load,
                                            struct mr_fault *fault);

/* Of shard `i`. */
struct mr_h3_server *mr_bench_http3_server(const struct mr_bench_http3 *http3, uint32_t i);

/* Make servers and clients for `load` (its connections, streams and down_bytes), and start the
 * bench with them.  NULL with `fault` set. */
struct mr_bench_http3 *mr_bench_http3_start(struct mr_bench *bench,
                                            const struct mr_bench_load *load,
                                            struct mr_fault *fault);

/* After mr_bench_stop().  NULL is allowed. */
void mr_bench_http3_free(struct mr_bench_http3 *http3);

#endif /* MR_TOOLS_BENCH_HTTP3_H */
