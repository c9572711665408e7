/*
 * bench/engine_tls.h - TLS contexts for two endpoints of one program.
 *
 * Owner: the caller.  Threads: one at a time.
 */
#ifndef MR_BENCH_ENGINE_TLS_H
#define MR_BENCH_ENGINE_TLS_H

#include "base/fault.h"
#include "control/tls_context.h"

/*
 * A context of the role, for mr_tls_context_free(): of what `config` says for the server, and the
 * client takes its ciphers and 0-RTT from there.  The certificate is one that the program makes for
 * itself, the same each time, and that the client trusts.  0, or -errno with *fault.
 */
int engine_tls_make(enum mr_role role, const struct mr_tls_server_config *config,
                    struct mr_tls_context *out, struct mr_fault *fault);

#endif /* MR_BENCH_ENGINE_TLS_H */
