/*
 * quic/conn_control.c - which congestion control a path has, and where its model lies.
 */
#include "quic/bbr.h"
#include "quic/conn.h"

void mr_path_begin_control(struct mr_endpoint *ep, struct mr_path *path, uint64_t now)
{
    enum mr_cc_kind kind = ep->config.cc;
    uint32_t index = kind == MR_CC_BBR ? mr_pool_get(&ep->models) : MR_NONE;

    if (index != MR_NONE) {
        mr_cc_init_bbr(&path->cc, mr_pool_at(&ep->models, index), MR_INITIAL_MIN, 0,
                       mr_random_u64(&ep->random), now);
        path->cc.bbr.index = index;
        return;
    }
    if (kind == MR_CC_BBR) {
        mr_count(&ep->counters.limit_models);
        kind = MR_CC_CUBIC;
    }
    mr_cc_init(&path->cc, kind, MR_INITIAL_MIN, 0);
}

void mr_path_end_control(struct mr_endpoint *ep, struct mr_path *path)
{
    if (path->cc.ops != &mr_cc_bbr_ops)
        return;
    mr_pool_put(&ep->models, path->cc.bbr.index);
    mr_cc_init(&path->cc, MR_CC_CUBIC, path->cc.datagram_size, 0); /* refers to nothing */
}
