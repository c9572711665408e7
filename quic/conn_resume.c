/*
 * quic/conn_resume.c - Careful Resume of a server's connections; see conn_resume.h.
 */
#include "quic/conn_resume.h"

/* The window from which on a client is told what its path carries. */
static uint64_t first_to_tell(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    bool tells = ep->config.has_resume && ep->config.has_new_token && conn->role == MR_SERVER;

    return tells ? MR_RESUME_WINDOW_MIN : MR_NEVER;
}

/* NULL: nothing is resumed, or not any more. */
static struct mr_resume *resume_of(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    return extra != NULL && (extra->uses & MR_EXTRA_RESUME) != 0 ? &extra->resume : NULL;
}

void mr_conn_resume_begin(struct mr_endpoint *ep, struct mr_conn *conn,
                          const struct mr_saved_path *saved)
{
    struct mr_resume resume;

    conn->tell_window = first_to_tell(ep, conn);
    if (!ep->config.has_resume || mr_cc_kind_of(&conn->path.cc) >= MR_CC_SELF_CONTAINED ||
        !mr_resume_begin(&resume, saved))
        return;
    if (mr_pool_free_count(&ep->extras) <= ep->limits.extras_max / 2) { /* paths need them more */
        mr_count(&ep->counters.limit_extras);
        return;
    }
    struct mr_conn_extra *extra = mr_conn_extra_use(ep, conn, MR_EXTRA_RESUME);
    if (extra != NULL)
        extra->resume = resume;
}

static void count_step(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_resume_step step)
{
    switch (step) {
    case MR_RESUME_JUMPED:
        mr_count(&ep->counters.resumes_begun);
        return;
    case MR_RESUME_RETREATED:
        mr_count(&ep->counters.resumes_retreated);
        return;
    case MR_RESUME_VALIDATED:
        mr_count(&ep->counters.resumes_validated);
        mr_conn_extra_end(ep, conn, MR_EXTRA_RESUME);
        return;
    case MR_RESUME_OVER:
        mr_conn_extra_end(ep, conn, MR_EXTRA_RESUME);
        return;
    default:
        return;
    }
}

/* What the path carries has doubled since the client was told. */
static void tell(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t carried)
{
    if (carried < conn->tell_window || !conn->is_confirmed)
        return;
    conn->tell_window = carried >= MR_RESUME_WINDOW_MAX ? MR_NEVER : 2 * carried;
    mr_conn_want(ep, conn, &conn->app, MR_WANT_NEW_TOKEN);
}

MR_COLD void mr_conn_resume_on_acked(struct mr_endpoint *ep, struct mr_conn *conn,
                                     const struct mr_cc_ack *ack, uint64_t now)
{
    struct mr_resume *resume = resume_of(ep, conn);
    struct mr_cc *cc = &conn->path.cc;

    if (resume == NULL) {
        tell(ep, conn, MR_MIN(mr_cc_window(cc), cc->in_flight + ack->bytes));
        return;
    }
    count_step(ep, conn,
               mr_resume_on_acked(resume, cc,
                                  &(struct mr_resume_ack){.bytes = ack->bytes,
                                                          .newest_sent_ns = ack->newest_sent_ns,
                                                          .min_rtt_ns = conn->path.rtt.min_ns,
                                                          .is_app_limited = ack->is_app_limited},
                                  now));
}

MR_COLD void mr_conn_resume_on_congestion(struct mr_endpoint *ep, struct mr_conn *conn,
                                          uint64_t now)
{
    struct mr_resume *resume = resume_of(ep, conn);
    uint64_t told = mr_conn_saved_path(ep, conn).window;

    if (resume != NULL)
        count_step(ep, conn, mr_resume_on_congestion(resume, &conn->path.cc, now));
    if (mr_cc_window(&conn->path.cc) >= told / 2)
        return;
    conn->tell_window = MR_MAX(2 * mr_cc_window(&conn->path.cc), MR_RESUME_WINDOW_MIN);
    mr_conn_want(ep, conn, &conn->app, MR_WANT_NEW_TOKEN);
}

void mr_conn_resume_leave_path(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_resume *resume = resume_of(ep, conn);

    conn->tell_window = first_to_tell(ep, conn);
    if (resume == NULL)
        return;
    mr_resume_abandon(resume, &conn->path.cc);
    mr_conn_extra_end(ep, conn, MR_EXTRA_RESUME);
}

struct mr_saved_path mr_conn_saved_path(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    uint64_t window = MR_MIN(conn->tell_window / 2, MR_RESUME_WINDOW_MAX);
    bool is_known = ep->config.has_resume && conn->role == MR_SERVER &&
                    window >= MR_RESUME_WINDOW_MIN && conn->path.rtt.min_ns > 0;

    if (!is_known)
        return (struct mr_saved_path){0};
    return (struct mr_saved_path){.window = (uint32_t)window,
                                  .rtt_us =
                                      (uint32_t)MR_MIN(conn->path.rtt.min_ns / MR_US, UINT32_MAX)};
}
