/*
 * quic/conn_resume.c - Careful Resume; see conn_resume.h.
 */
#include "quic/conn_resume.h"

#include <string.h>

#include "quic/wire_fields.h"

#define IP_SIZE     16
#define PAST_LOCAL  16
#define PAST_REMOTE (PAST_LOCAL + IP_SIZE)

_Static_assert(MR_TICKET_PAST_SIZE == PAST_REMOTE + IP_SIZE, "the past is all of these");
_Static_assert(MR_TICKET_HEAD_SIZE == MR_TICKET_MAGIC_SIZE + MR_TICKET_PAST_SIZE,
               "what applications write over");

/* The window from which on a client, or its application, is told what its path carries. */
static uint64_t first_to_tell(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    bool tells = ep->config.has_resume && (ep->config.has_new_token || conn->role == MR_CLIENT);

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

static void tell_now(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->role == MR_SERVER)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_NEW_TOKEN);
    else
        mr_conn_event(ep, conn, MR_EVENT_TICKET);
}

/* What the path carries has doubled since the client was told. */
static void tell(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t carried)
{
    if (carried < conn->tell_window || !conn->is_confirmed)
        return;
    conn->tell_window = carried >= MR_RESUME_WINDOW_MAX ? MR_NEVER : 2 * carried;
    tell_now(ep, conn);
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
    tell_now(ep, conn);
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
    bool is_known =
        ep->config.has_resume && window >= MR_RESUME_WINDOW_MIN && conn->path.rtt.min_ns > 0;

    if (!is_known)
        return (struct mr_saved_path){0};
    return (struct mr_saved_path){.window = (uint32_t)window,
                                  .rtt_us =
                                      (uint32_t)MR_MIN(conn->path.rtt.min_ns / MR_US, UINT32_MAX)};
}

struct mr_saved_path mr_conn_past_read(const struct mr_endpoint *ep, const struct mr_conn *conn,
                                       const uint8_t *past, uint64_t now)
{
    const struct mr_path_addr *addr = &conn->path.addr;

    if (past == NULL)
        return (struct mr_saved_path){0};
    uint64_t written_s = mr_load_u64(past + 8);
    uint64_t now_s = mr_endpoint_wall_s(ep, now);
    bool is_fresh = now_s - written_s <= MR_RESUME_LIFETIME_S; /* nor is what is yet to come */
    bool is_here = memcmp(past + PAST_LOCAL, addr->local.ip, IP_SIZE) == 0 &&
                   memcmp(past + PAST_REMOTE, addr->remote.ip, IP_SIZE) == 0;
    if (!is_fresh || !is_here)
        return (struct mr_saved_path){0};
    return (struct mr_saved_path){.window = mr_load_u32(past), .rtt_us = mr_load_u32(past + 4)};
}

bool mr_conn_past_write(const struct mr_endpoint *ep, const struct mr_conn *conn, uint64_t now,
                        uint8_t past[MR_TICKET_PAST_SIZE])
{
    struct mr_saved_path saved = mr_conn_saved_path(ep, conn);

    memset(past, 0, MR_TICKET_PAST_SIZE);
    if (saved.window == 0)
        return false;
    mr_store_be(past, saved.window, 4);
    mr_store_be(past + 4, saved.rtt_us, 4);
    mr_store_be(past + 8, mr_endpoint_wall_s(ep, now), 8);
    memcpy(past + PAST_LOCAL, conn->path.addr.local.ip, IP_SIZE);
    memcpy(past + PAST_REMOTE, conn->path.addr.remote.ip, IP_SIZE);
    return true;
}
