/* tools/perf_rebind.c - the operation `rebind` of perf_load.h: a kept connection goes on from
 * another UDP port (RFC 9000, Section 9), and is over when the new path is in use. */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "tools/perf_load_internal.h"

static int migrate(const struct mr_perf_load *load, const struct mr_perf_conn *c)
{
    const struct mr_transport_ops *ops = load->transport->ops;
    const struct mr_address another_port = {0};

    return ops->migrate == NULL ? -EOPNOTSUPP
                                : ops->migrate(load->transport, c->conn, &another_port);
}

/* It will not be possible later either: told once, as a failure. */
static void give_up(struct mr_perf_load *load, int error)
{
    load->has_no_rebind = true;
    mr_perf_count(&load->shared.counts.failed, 1);
    mr_perf_note_reason(load, "a connection cannot go to another port", strerror(-error),
                        (uint64_t)-error);
}

bool mr_perf_begin_rebind(struct mr_perf_load *load, struct mr_perf_op *op, struct mr_perf_conn *c)
{
    if (c == NULL)
        c = mr_perf_find_conn(load);
    if (c == NULL || c->rebind != MR_NONE || load->has_no_rebind)
        return false;
    int error = migrate(load, c);
    if (error == -EOPNOTSUPP || error == -EINVAL || error == -EADDRNOTAVAIL)
        give_up(load, error);
    if (error != 0)
        return false; /* or the path before is probed still, or connection IDs are on their way */
    op->conn = (uint32_t)(c - load->conns);
    c->rebind = (uint32_t)(op - load->ops);
    return true;
}

void mr_perf_end_rebind(struct mr_perf_load *load, struct mr_perf_conn *c, bool is_done)
{
    if (c->rebind == MR_NONE)
        return;
    struct mr_perf_op *op = &load->ops[c->rebind];
    c->rebind = MR_NONE;
    if (!is_done)
        mr_perf_note_reason(load, "a new path did not answer", "", 0);
    mr_perf_finish(load, op, is_done);
    mr_perf_let_go(load, op);
}
