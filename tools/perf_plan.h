/*
 * tools/perf_plan.h - what a user of `millrace perf client` asks for, and what ended a run: text
 * in, text out.
 *
 *     --op "up=512,down=4000,weight=10"  --mr_perf_kind_parse()-->  struct mr_perf_kind
 *     figures of a run  --mr_perf_judge()-->  what limited it
 *
 * Threads: any.
 */
#ifndef MR_TOOLS_PERF_PLAN_H
#define MR_TOOLS_PERF_PLAN_H

#include "base/fault.h"
#include "drivers/port_loss.h"
#include "tools/perf_load.h"

#define MR_PERF_NAME    64  /* bytes of a kind's name */
#define MR_PERF_WHY     256 /* bytes of a judgement */

#define MR_PERF_PERCENT 24 /* bytes of one */

/* "12.3 %" of a part, 0..1: three digits that matter, and no power of ten; returns `text`. */
const char *mr_perf_percent(double part, char text[MR_PERF_PERCENT]);

/* Words, separated by commas: up=SIZE, down=SIZE (K, M, G of 1,024; `endless`), uni, connect,
 * resume, early, weight=N.  False with `fault` set. */
bool mr_perf_kind_parse(const char *text, struct mr_perf_kind *kind_out, struct mr_fault *fault);

/* "up 512 down 4000", "connect resume"; returns `text`. */
const char *mr_perf_kind_name(const struct mr_perf_kind *kind, char text[MR_PERF_NAME]);

/* Losses on purpose, words separated by commas: sent=PERCENT, received=PERCENT, of `option` (for
 * messages).  False with `fault` set. */
bool mr_perf_loss_parse(const char *option, const char *text, struct mr_port_loss_rates *rates_out,
                        struct mr_fault *fault);

/* The highest rate that is kept, as RFC 2544, Section 26.1, looks for a throughput: twice as much
 * while it is, then between the best that was and the least that was not. */
struct mr_perf_search {
    double good; /* the best that was kept; 0: none */
    double bad;  /* the least that was not; 0: none */
    double at;   /* to be tried now */
};

#define MR_PERF_SEARCH_STEP 1.02 /* `bad` / `good` at the end */
#define MR_PERF_SEARCH_MAX  1e8  /* operations per second; no more is tried */

/* What was tried last was kept, or not.  False: `good` is the result. */
bool mr_perf_search_next(struct mr_perf_search *search, bool was_kept);

enum mr_perf_limit {
    MR_PERF_LIMIT_NOTHING,      /* of it was measured */
    MR_PERF_LIMIT_RATE,         /* what was asked for, and it was kept */
    MR_PERF_LIMIT_GENERATOR,    /* this side's polling cores */
    MR_PERF_LIMIT_PORT,         /* frames were dropped or refused */
    MR_PERF_LIMIT_CWND,         /* congestion control of who sends, with losses or without */
    MR_PERF_LIMIT_FLOW_CONTROL, /* the windows of who receives */
    MR_PERF_LIMIT_CONCURRENCY,  /* closed loop: operations at a time, over the round trip */
    MR_PERF_LIMIT_PEER,         /* the peer, or the path to it */
    MR_PERF_LIMIT_FAR_PORT,     /* frames were dropped or refused there */
    MR_PERF_LIMIT_FAR_CPU,      /* the server's polling cores */
};

/* What a server said of itself (perf_far_report.h), of the measured time. */
struct mr_perf_far_figures {
    bool is_known;         /* it was asked, and answered */
    double busiest;        /* part of the time in which its busiest polling core worked, 0..1 */
    char stage[16];        /* of all its cores' time, the largest */
    double stage_part;     /* of their busy time */
    double port_drop_part; /* frames that its port dropped or refused, of all */
    double loss_part;      /* packets lost, of those it sent */
    double limited[MR_PERF_LIMITERS]; /* of the samples of its connections, 0..1 */
    struct mr_port_losses losses;     /* on purpose */
    bool knows_waits;
    double core_wait; /* part of the time in which a polling thread waited for its CPU */
};

/* Of the measured time. */
struct mr_perf_figures {
    bool is_open_loop;
    bool was_not_kept; /* the rate, though nearly all was done: begun late, or failed */
    bool sends;        /* bytes go up, beside the requests' headers */
    bool receives;     /* bytes come down */
    bool is_endless;   /* some of them until the run ends */
    double rate;       /* operations per second that were asked for, open loop */
    double due;        /* likewise, that came due: by chance a little more, or less */
    double begun;      /* likewise, that began */
    double done;
    double busiest; /* part of the time in which the busiest polling core worked, 0..1 */
    bool knows_waits;
    double core_wait;      /* part of the time in which a polling thread waited for its CPU, which
                              others had: the thread that waited most, 0..1; 0: not known */
    const char *stage;     /* of its time, the largest */
    double stage_part;     /* of its busy time */
    double port_drop_part; /* frames dropped or refused, of all */
    double late_part; /* of the operations that began, a millisecond or more after they were due */
    double late_stalled_part; /* of these, where this side had stood still when they were due */
    double silent_s;          /* nothing came for so long at once, with something asked for */
    double silent_part;       /* the same, of the time */
    bool is_silent_at_end;    /* nothing had come since */
    double stalled_part;      /* of the time, in which a polling core did not poll */
    double loss_part;         /* packets lost, of those sent */
    double limited[MR_PERF_LIMITERS]; /* of the samples, 0..1 */
    struct mr_perf_far_figures far;
};

/* What limited it, with the figures that say so, for people. */
enum mr_perf_limit mr_perf_judge(const struct mr_perf_figures *figures, char why_out[MR_PERF_WHY]);

/* "generator", "port", ...: for programs. */
const char *mr_perf_limit_name(enum mr_perf_limit limit);

#endif /* MR_TOOLS_PERF_PLAN_H */
