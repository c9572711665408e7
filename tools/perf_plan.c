/* tools/perf_plan.c - see perf_plan.h. */
#include "tools/perf_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tools/options.h"

#define WORD          32
#define BUSY          0.95  /* a core that works so much of its time is full */
#define KEPT          0.99  /* of the rate that was asked for */
#define DROPS         0.001 /* of the frames */
#define MOSTLY        0.5   /* of the samples */
#define WEIGHT_MAX    1e9
#define LIMITED_CWND  0 /* as mr_perf_limiter_name() has them */
#define LIMITED_PACED 1
#define LIMITED_FLOW  2

/* ------------------------------------------------------------------ kinds */

static bool take_size(const char *text, uint64_t *out)
{
    if (strcmp(text, "endless") == 0) {
        *out = MR_PERF_ENDLESS;
        return true;
    }
    return mr_parse_size(text, out) && *out < MR_PERF_ENDLESS;
}

static bool take_weight(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return *end == '\0' && end != text && *out > 0 && *out <= WEIGHT_MAX;
}

static bool take_word(const char *word, struct mr_perf_kind *kind)
{
    if (strncmp(word, "up=", 3) == 0)
        return take_size(word + 3, &kind->up_bytes);
    if (strncmp(word, "down=", 5) == 0)
        return take_size(word + 5, &kind->down_bytes);
    if (strncmp(word, "weight=", 7) == 0)
        return take_weight(word + 7, &kind->weight);
    if (strcmp(word, "uni") == 0)
        return kind->is_uni = true;
    if (strcmp(word, "connect") == 0)
        return kind->is_connection = true;
    if (strcmp(word, "resume") == 0)
        return kind->is_resumed = kind->is_connection = true;
    if (strcmp(word, "rebind") == 0)
        return kind->is_rebind = true;
    if (strcmp(word, "early") == 0)
        return kind->is_early = kind->is_resumed = kind->is_connection = true;
    return false;
}

bool mr_perf_kind_parse(const char *text, struct mr_perf_kind *kind_out, struct mr_fault *fault)
{
    char word[WORD];

    *kind_out = (struct mr_perf_kind){.weight = 1};
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");

        snprintf(word, sizeof(word), "%.*s", (int)size, at);
        if (size >= sizeof(word) || !take_word(word, kind_out)) {
            mr_fault_set(
                fault, EINVAL,
                "--op %s: \"%s\" is none of up=SIZE, down=SIZE (or endless), uni, connect, "
                "resume, early, rebind, weight=N",
                text, word);
            return false;
        }
        at += size;
        if (*at == '\0')
            break;
    }
    if (kind_out->is_early && kind_out->up_bytes == 0 && kind_out->down_bytes == 0) {
        mr_fault_set(fault, EINVAL, "--op %s: nothing would go in 0-RTT; add up=SIZE or down=SIZE",
                     text);
        return false;
    }
    if (kind_out->is_rebind && (kind_out->is_connection || kind_out->is_uni ||
                                kind_out->up_bytes > 0 || kind_out->down_bytes > 0)) {
        mr_fault_set(fault, EINVAL,
                     "--op %s: nothing is asked for beside a rebind; add another --op", text);
        return false;
    }
    if (kind_out->is_connection && (kind_out->is_uni || kind_out->up_bytes == MR_PERF_ENDLESS ||
                                    kind_out->down_bytes == MR_PERF_ENDLESS)) {
        mr_fault_set(fault, EINVAL,
                     "--op %s: a connection of its own ends with one bidirectional request; leave "
                     "out uni and endless",
                     text);
        return false;
    }
    return true;
}

static size_t add_size(char *text, size_t at, const char *what, uint64_t size)
{
    if (size == MR_PERF_ENDLESS)
        return at + (size_t)snprintf(text + at, MR_PERF_NAME - at, " %s endless", what);
    if (size == 0)
        return at;
    return at + (size_t)snprintf(text + at, MR_PERF_NAME - at, " %s %llu", what,
                                 (unsigned long long)size);
}

const char *mr_perf_kind_name(const struct mr_perf_kind *kind, char text[MR_PERF_NAME])
{
    const char *how = kind->is_early        ? "early"
                      : kind->is_resumed    ? "resume"
                      : kind->is_connection ? "connect"
                      : kind->is_uni        ? "uni"
                      : kind->is_rebind     ? "rebind"
                                            : "stream";
    size_t at = (size_t)snprintf(text, MR_PERF_NAME, "%s", how);

    at = add_size(text, at, "up", kind->up_bytes);
    add_size(text, at, "down", kind->down_bytes);
    return text;
}

/* ------------------------------------------------------------------ the highest rate */

bool mr_perf_search_next(struct mr_perf_search *s, bool was_kept)
{
    if (was_kept)
        s->good = s->at;
    else
        s->bad = s->at;
    if (s->bad == 0) {
        s->at = MR_MIN(2 * s->good, MR_PERF_SEARCH_MAX);
        return s->good < MR_PERF_SEARCH_MAX;
    }
    if (s->good == 0) {
        s->at = s->bad / 2;
        return s->at >= 1;
    }
    s->at = (s->good + s->bad) / 2;
    return s->bad / s->good > MR_PERF_SEARCH_STEP;
}

/* ------------------------------------------------------------------ what limited it */

static enum mr_perf_limit judge_sending(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    double path = f->limited[LIMITED_CWND] + f->limited[LIMITED_PACED];

    if (path >= MOSTLY) {
        snprintf(why, MR_PERF_WHY,
                 "congestion control: in %.0f %% of the samples connections waited for window or "
                 "pacing, with %.2g %% of the packets lost",
                 100 * path, 100 * f->loss_part);
        return MR_PERF_LIMIT_CWND;
    }
    if (f->limited[LIMITED_FLOW] >= MOSTLY) {
        snprintf(why, MR_PERF_WHY,
                 "the peer's flow control: in %.0f %% of the samples connections had used up its "
                 "windows",
                 100 * f->limited[LIMITED_FLOW]);
        return MR_PERF_LIMIT_FLOW_CONTROL;
    }
    return MR_PERF_LIMIT_NOTHING;
}

static enum mr_perf_limit judge_rest(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    if (!f->is_open_loop && !f->sends && !f->receives) {
        snprintf(why, MR_PERF_WHY,
                 "operations at a time, over the time that each takes: this side's cores work %.0f "
                 "%% of their time; more of --streams or --connections shows who is full first",
                 100 * f->busiest);
        return MR_PERF_LIMIT_CONCURRENCY;
    }
    if (f->far.is_known) {
        snprintf(why, MR_PERF_WHY,
                 "the path, or what waits on it: this side's cores work %.0f %% of their time, the "
                 "server's %.0f %%, and neither port dropped anything",
                 100 * f->busiest, 100 * f->far.busiest);
        return MR_PERF_LIMIT_PEER;
    }
    snprintf(why, MR_PERF_WHY,
             "the peer, or the path to it: this side's cores work %.0f %% of their time, and "
             "nothing was dropped here",
             100 * f->busiest);
    return MR_PERF_LIMIT_PEER;
}

enum mr_perf_limit mr_perf_judge(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    if (f->begun == 0 && f->done == 0 && !f->sends && !f->receives) {
        snprintf(why, MR_PERF_WHY, "no operation was begun");
        return MR_PERF_LIMIT_NOTHING;
    }
    if (f->port_drop_part >= DROPS) {
        snprintf(why, MR_PERF_WHY,
                 "the port: %.2g %% of the frames were dropped or refused by it (counters under "
                 "`port`)",
                 100 * f->port_drop_part);
        return MR_PERF_LIMIT_PORT;
    }
    if (f->far.is_known && f->far.port_drop_part >= DROPS) {
        snprintf(why, MR_PERF_WHY,
                 "the server's port: %.2g %% of the frames were dropped or refused by it (counters "
                 "under `far_side`)",
                 100 * f->far.port_drop_part);
        return MR_PERF_LIMIT_FAR_PORT;
    }
    if (f->is_open_loop && f->done >= KEPT * f->asked) {
        snprintf(why, MR_PERF_WHY, "the rate that was asked for: %.0f of %.0f operations/s",
                 f->done, f->asked);
        return MR_PERF_LIMIT_RATE;
    }
    if (f->busiest >= BUSY) {
        snprintf(why, MR_PERF_WHY,
                 "this side's CPU: its busiest polling core works %.0f %% of the time, %.0f %% of "
                 "that in stage `%s`; more --shards, or faster cores",
                 100 * f->busiest, 100 * f->stage_part, f->stage);
        return MR_PERF_LIMIT_GENERATOR;
    }
    if (f->far.is_known && f->far.busiest >= BUSY) {
        snprintf(why, MR_PERF_WHY,
                 "the server's CPU: its busiest polling core works %.0f %% of the time, %.0f %% of "
                 "that in stage `%s`; this side's %.0f %%",
                 100 * f->far.busiest, 100 * f->far.stage_part, f->far.stage, 100 * f->busiest);
        return MR_PERF_LIMIT_FAR_CPU;
    }
    enum mr_perf_limit limit = f->sends ? judge_sending(f, why) : MR_PERF_LIMIT_NOTHING;
    return limit != MR_PERF_LIMIT_NOTHING ? limit : judge_rest(f, why);
}

const char *mr_perf_limit_name(enum mr_perf_limit limit)
{
    static const char *const names[] = {
        [MR_PERF_LIMIT_NOTHING] = "nothing measured", [MR_PERF_LIMIT_RATE] = "rate",
        [MR_PERF_LIMIT_GENERATOR] = "generator",      [MR_PERF_LIMIT_PORT] = "port",
        [MR_PERF_LIMIT_CWND] = "congestion control",  [MR_PERF_LIMIT_FLOW_CONTROL] = "flow control",
        [MR_PERF_LIMIT_CONCURRENCY] = "concurrency",  [MR_PERF_LIMIT_PEER] = "peer or path",
        [MR_PERF_LIMIT_FAR_PORT] = "far port",        [MR_PERF_LIMIT_FAR_CPU] = "far CPU",
    };

    return names[limit];
}
