/* tools/perf_plan.c - see perf_plan.h. */
#include "tools/perf_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tools/options.h"

#define WORD         32
#define BUSY         0.95  /* a core that works so much of its time is full */
#define KEPT         0.99  /* of the rate that was asked for */
#define DROPS        0.001 /* of the frames */
#define LATE         0.01  /* of the operations */
#define STALLED      0.01  /* of the time: what is due then is late */
#define STALLED_MUCH 0.1   /* of the time: nothing else limits more */
#define MOSTLY       0.5   /* of the samples */
#define SHARED       0.1   /* of the time that a polling thread waits for its CPU */
#define SILENT_S     1     /* a server that is there has something to say */
#define WEIGHT_MAX   1e9

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

/* Does the word at `at`, up to its '=', stand before it in `text`, too? */
static bool is_given_twice(const char *text, const char *at)
{
    size_t size = strcspn(at, ",=");

    for (const char *before = text; before < at; before += strcspn(before, ",") + 1) {
        if (strcspn(before, ",=") == size && strncmp(before, at, size) == 0)
            return true;
    }
    return false;
}

/* Is there a number behind `prefix`, be it one that is out of range? */
static bool has_number(const char *word, const char *prefix)
{
    const char *from = word + strlen(prefix);
    char *end;

    if (strncmp(word, prefix, strlen(prefix)) != 0)
        return false;
    (void)strtod(from, &end);
    return end != from;
}

/* What is wrong with a word that was not taken. */
static const char *fault_of_kind(const char *word)
{
    if (has_number(word, "up=") || has_number(word, "down="))
        return "is out of range: SIZE is a number below 2^60, with K, M, G or T of 1,024 behind "
               "it, or endless";
    if (has_number(word, "weight="))
        return "is out of range: a weight is above 0, and at most 1e9";
    return "is none of up=SIZE, down=SIZE (or endless), uni, connect, resume, early, rebind, "
           "weight=N";
}

bool mr_perf_kind_parse(const char *text, struct mr_perf_kind *kind_out, struct mr_fault *fault)
{
    char word[WORD];

    *kind_out = (struct mr_perf_kind){.weight = 1};
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");

        snprintf(word, sizeof(word), "%.*s", (int)size, at);
        if (size >= sizeof(word) || !take_word(word, kind_out)) {
            mr_fault_set(fault, EINVAL, "--op %.60s: \"%s\" %s", text, word, fault_of_kind(word));
            return false;
        }
        if (is_given_twice(text, at)) {
            mr_fault_set(fault, EINVAL, "--op %.60s: \"%s\" is there twice", text, word);
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

/* ------------------------------------------------------------------ losses */

/* "1", "0.5%": the part of a whole. */
static bool take_percent(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end) / 100;
    return end != text && (*end == '\0' || strcmp(end, "%") == 0) && *out >= 0 && *out <= 1;
}

bool mr_perf_loss_parse(const char *option, const char *text, struct mr_port_loss_rates *rates,
                        struct mr_fault *fault)
{
    char word[WORD];

    *rates = (struct mr_port_loss_rates){0};
    for (const char *at = text;; at++) {
        size_t size = strcspn(at, ",");

        snprintf(word, sizeof(word), "%.*s", (int)size, at);
        if (size >= sizeof(word) ||
            !((strncmp(word, "sent=", 5) == 0 && take_percent(word + 5, &rates->sent)) ||
              (strncmp(word, "received=", 9) == 0 && take_percent(word + 9, &rates->received)))) {
            bool is_number = has_number(word, "sent=") || has_number(word, "received=");

            mr_fault_set(fault, EINVAL, "%s %.60s: \"%s\" %s, like sent=1,received=0.5", option,
                         text, word,
                         is_number ? "is not between 0 and 100 %"
                                   : "is none of sent=PERCENT, received=PERCENT");
            return false;
        }
        if (is_given_twice(text, at)) {
            mr_fault_set(fault, EINVAL, "%s %.60s: \"%s\" is there twice", option, text, word);
            return false;
        }
        at += size;
        if (*at == '\0')
            return true;
    }
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

const char *mr_perf_percent(double part, char text[MR_PERF_PERCENT])
{
    double percent = 100 * part;

    if (percent > 0 && percent < 1e-4)
        snprintf(text, MR_PERF_PERCENT, "under 0.0001 %%");
    else
        snprintf(text, MR_PERF_PERCENT, percent >= 99.95 ? "%.0f %%" : "%.3g %%", percent);
    return text;
}

/* One side's connections. */
static enum mr_perf_limit judge_sending(const char *whose, const char *windows,
                                        const double limited[MR_PERF_LIMITERS], double loss_part,
                                        char why[MR_PERF_WHY])
{
    double path = limited[MR_PERF_BY_CWND] + limited[MR_PERF_BY_PACING];
    char lost[MR_PERF_PERCENT];

    if (path >= MOSTLY) {
        snprintf(why, MR_PERF_WHY,
                 "%scongestion control: in %.0f %% of the samples connections waited for window or "
                 "pacing, with %s of the packets lost",
                 whose, 100 * path, mr_perf_percent(loss_part, lost));
        return MR_PERF_LIMIT_CWND;
    }
    if (limited[MR_PERF_BY_FLOW_CONTROL] >= MOSTLY) {
        snprintf(why, MR_PERF_WHY,
                 "%s flow control: in %.0f %% of the samples connections had used up its windows "
                 "(--stream-window, --connection-window there)",
                 windows, 100 * limited[MR_PERF_BY_FLOW_CONTROL]);
        return MR_PERF_LIMIT_FLOW_CONTROL;
    }
    return MR_PERF_LIMIT_NOTHING;
}

/* Of the operations, those that waited for a place, not for this side to look. */
static double waited_part(const struct mr_perf_figures *f)
{
    return f->late_part - f->late_stalled_part;
}

static enum mr_perf_limit judge_rest(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    char waited[MR_PERF_PERCENT];

    if (!f->is_open_loop && !f->is_endless) {
        snprintf(why, MR_PERF_WHY,
                 "operations at a time, over the time that each takes: this side's cores work %.0f "
                 "%% of their time; more of --streams or --connections shows who is full first",
                 100 * f->busiest);
        return MR_PERF_LIMIT_CONCURRENCY;
    }
    if (f->is_open_loop && waited_part(f) >= LATE) {
        snprintf(why, MR_PERF_WHY,
                 "operations at a time, over the time that each takes: %s of those due waited "
                 "for a free place; more of --streams or --connections shows who is full first",
                 mr_perf_percent(waited_part(f), waited));
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

static bool is_port_full(const double limited[MR_PERF_LIMITERS])
{
    return limited[MR_PERF_BY_PORT] >= MOSTLY;
}

/* So much that it is what limits.  What was due meanwhile is late, but a search does not mind that
 * (perf_search.c), and where others waited for a place there is more: then it matters if there was
 * no time left. */
static bool has_stood_still(const struct mr_perf_figures *f)
{
    if (!f->is_open_loop)
        return f->stalled_part >= STALLED_MUCH;
    if (f->stalled_part < STALLED)
        return false;
    return f->busiest + f->stalled_part >= BUSY || (!f->was_not_kept && waited_part(f) < LATE);
}

/* Each of these names what limits, or nothing: then it was something else. */

static enum mr_perf_limit judge_silence(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    if (f->silent_s < SILENT_S)
        return MR_PERF_LIMIT_NOTHING;
    if (!f->is_silent_at_end) {
        /* As with has_stood_still(): what was due then waited; otherwise it is lost time. */
        if (f->silent_part < (f->is_open_loop ? STALLED : STALLED_MUCH))
            return MR_PERF_LIMIT_NOTHING;
        snprintf(why, MR_PERF_WHY,
                 "the server, or the path to it: nothing came from there for %.1f s, with "
                 "operations under way, until it went on; look at its log, and what else runs on "
                 "its machine",
                 f->silent_s);
        return MR_PERF_LIMIT_PEER;
    }
    snprintf(why, MR_PERF_WHY,
             "the server, or the path to it: nothing came from there in the last %.1f s of what "
             "was measured, with something asked for; look at its log, and whether it still runs",
             f->silent_s);
    return MR_PERF_LIMIT_PEER;
}

/* Whatever else was seen may come of that. */
static enum mr_perf_limit judge_sharing(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    char share[MR_PERF_PERCENT];

    if (f->core_wait > SHARED) {
        snprintf(why, MR_PERF_WHY,
                 "the generator: its core was shared: a polling thread had %s of it; give it a "
                 "core of its own with --cores",
                 mr_perf_percent(1 - f->core_wait, share));
        return MR_PERF_LIMIT_GENERATOR;
    }
    if (!f->far.is_known || f->far.core_wait <= SHARED)
        return MR_PERF_LIMIT_NOTHING;
    snprintf(why, MR_PERF_WHY,
             "the server: its core was shared: a polling thread waited for it %s of the time; give "
             "it a core of its own with --cores",
             mr_perf_percent(f->far.core_wait, share));
    return MR_PERF_LIMIT_FAR_CPU;
}

static enum mr_perf_limit judge_drops(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    char dropped[MR_PERF_PERCENT];

    if (f->port_drop_part >= DROPS) {
        snprintf(why, MR_PERF_WHY,
                 "the port: %s of the frames were dropped or refused by it (counters under `port`)",
                 mr_perf_percent(f->port_drop_part, dropped));
        return MR_PERF_LIMIT_PORT;
    }
    if (!f->far.is_known || f->far.port_drop_part < DROPS)
        return MR_PERF_LIMIT_NOTHING;
    snprintf(why, MR_PERF_WHY,
             "the server's port: %s of the frames were dropped or refused by it (counters under "
             "`far_side`)",
             mr_perf_percent(f->far.port_drop_part, dropped));
    return MR_PERF_LIMIT_FAR_PORT;
}

static enum mr_perf_limit judge_rate(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    if (!f->is_open_loop || f->was_not_kept || f->late_part >= LATE || f->done < KEPT * f->due)
        return MR_PERF_LIMIT_NOTHING;
    snprintf(why, MR_PERF_WHY,
             "the rate that was asked for, %.6g operations/s: %.6g/s came due, %.6g/s were done",
             f->rate, f->due, f->done);
    return MR_PERF_LIMIT_RATE;
}

static enum mr_perf_limit judge_full_ports(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    if (is_port_full(f->limited)) {
        snprintf(why, MR_PERF_WHY,
                 "the port: in %.0f %% of the samples its transmit queue was full, and frames "
                 "waited for it",
                 100 * f->limited[MR_PERF_BY_PORT]);
        return MR_PERF_LIMIT_PORT;
    }
    if (!f->far.is_known || !is_port_full(f->far.limited))
        return MR_PERF_LIMIT_NOTHING;
    snprintf(why, MR_PERF_WHY,
             "the server's port: in %.0f %% of the samples its transmit queue was full, and frames "
             "waited for it",
             100 * f->far.limited[MR_PERF_BY_PORT]);
    return MR_PERF_LIMIT_FAR_PORT;
}

static enum mr_perf_limit judge_cores(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    char stalled[MR_PERF_PERCENT];

    if (has_stood_still(f)) {
        snprintf(why, MR_PERF_WHY,
                 "this side's CPU: its polling cores stood still for %s of the time, a "
                 "millisecond or more at once, as something else ran on them; give --cores that "
                 "are free",
                 mr_perf_percent(f->stalled_part, stalled));
        return MR_PERF_LIMIT_GENERATOR;
    }
    if (f->busiest >= BUSY) {
        snprintf(why, MR_PERF_WHY,
                 "this side's CPU: its busiest polling core works %.0f %% of the time, %.0f %% of "
                 "that in stage `%s`; more --shards, or faster cores",
                 100 * f->busiest, 100 * f->stage_part, f->stage);
        return MR_PERF_LIMIT_GENERATOR;
    }
    if (!f->far.is_known || f->far.busiest < BUSY)
        return MR_PERF_LIMIT_NOTHING;
    snprintf(why, MR_PERF_WHY,
             "the server's CPU: its busiest polling core works %.0f %% of the time, %.0f %% of "
             "that in stage `%s`; this side's %.0f %%",
             100 * f->far.busiest, 100 * f->far.stage_part, f->far.stage, 100 * f->busiest);
    return MR_PERF_LIMIT_FAR_CPU;
}

static enum mr_perf_limit judge_windows(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    enum mr_perf_limit limit = MR_PERF_LIMIT_NOTHING;

    if (f->sends)
        limit = judge_sending("", "the peer's", f->limited, f->loss_part, why);
    if (limit == MR_PERF_LIMIT_NOTHING && f->receives && f->far.is_known)
        limit =
            judge_sending("the server's ", "this side's", f->far.limited, f->far.loss_part, why);
    return limit;
}

enum mr_perf_limit mr_perf_judge(const struct mr_perf_figures *f, char why[MR_PERF_WHY])
{
    static enum mr_perf_limit (*const in_order[])(const struct mr_perf_figures *, char *) = {
        judge_silence,    judge_sharing, judge_drops,   judge_rate,
        judge_full_ports, judge_cores,   judge_windows,
    };
    enum mr_perf_limit limit = MR_PERF_LIMIT_NOTHING;

    if (f->begun == 0 && f->done == 0 && !f->is_endless) {
        /* One that is longer than what was measured is under way, and may say why. */
        limit = judge_silence(f, why);
        if (limit == MR_PERF_LIMIT_NOTHING)
            limit = judge_windows(f, why);
        if (limit == MR_PERF_LIMIT_NOTHING)
            snprintf(why, MR_PERF_WHY,
                     "nothing that was measured: no operation began or ended in that time");
        return limit;
    }
    for (size_t i = 0; i < MR_COUNT_OF(in_order) && limit == MR_PERF_LIMIT_NOTHING; i++)
        limit = in_order[i](f, why);
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
