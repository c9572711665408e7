/* tools/perf_far_report.c - see perf_far_report.h. */
#include "tools/perf_far_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/control_socket.h"
#include "control/eal.h"
#include "dataplane/clock.h"
#include "tools/bench.h"
#include "tools/perf_facts.h"
#include "tools/report.h"

/* ------------------------------------------------------------------ the secret */

bool mr_perf_secret_read(const char *path, struct mr_perf_secret *secret, struct mr_fault *fault)
{
    FILE *from = fopen(path, "re");

    if (from == NULL) {
        mr_fault_set(fault, errno, "%.100s: %s", path, strerror(errno));
        return false;
    }
    bool is_read = fgets(secret->text, sizeof(secret->text), from) != NULL;
    fclose(from);
    size_t size = is_read ? strcspn(secret->text, "\r\n") : 0;
    if (size < MR_FAR_SECRET_MIN || secret->text[size] == '\0') {
        mr_fault_set(fault, EINVAL,
                     "%.100s: its first line is to be a secret of %d to %d characters; make one "
                     "with: head -c 24 /dev/urandom | base64 > FILE",
                     path, MR_FAR_SECRET_MIN, MR_FAR_SECRET_MAX - 1);
        return false;
    }
    secret->text[size] = '\0';
    return true;
}

static bool is_secret(const struct mr_perf_secret *secret, const char *text)
{
    size_t size = strlen(secret->text);
    unsigned difference = 0;

    if (strlen(text) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned)(secret->text[i] ^ text[i]);
    return difference == 0;
}

/* ------------------------------------------------------------------ JSON */

static const char *text_of(struct json_object *json, const char *name)
{
    struct json_object *member = NULL;

    if (!json_object_object_get_ex(json, name, &member) ||
        !json_object_is_type(member, json_type_string))
        return "";
    return json_object_get_string(member);
}

static struct json_object *member_of(struct json_object *json, const char *name)
{
    struct json_object *member = NULL;

    return json_object_object_get_ex(json, name, &member) ? member : NULL;
}

static double number_of(struct json_object *json, const char *name)
{
    return json_object_get_double(member_of(json, name));
}

/* All of `text`, one object.  NULL: it is not. */
static struct json_object *parse(const char *text, size_t size)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *json = NULL;

    if (tokener != NULL)
        json = json_tokener_parse_ex(tokener, text, (int)size);
    bool is_whole = tokener != NULL && json_tokener_get_error(tokener) == json_tokener_success &&
                    json_object_is_type(json, json_type_object);
    json_tokener_free(tokener);
    if (is_whole)
        return json;
    json_object_put(json);
    return NULL;
}

/* ------------------------------------------------------------------ the server */

static bool is_part(double value)
{
    return value >= 0 && value <= 1;
}

/* "loss": {"sent": part, "received": part}; without it those of the start. */
static enum mr_far_order read_loss(struct json_object *json, struct mr_far_request *out)
{
    struct json_object *loss = member_of(json, "loss");

    out->has_rates = loss != NULL;
    out->rates = (struct mr_port_loss_rates){.received = number_of(loss, "received"),
                                             .sent = number_of(loss, "sent")};
    return is_part(out->rates.received) && is_part(out->rates.sent) ? MR_FAR_ORDER_LOSS
                                                                    : MR_FAR_ORDER_UNKNOWN;
}

void mr_far_order_read(const char *text, size_t size, const struct mr_perf_secret *secret,
                       struct mr_far_request *out)
{
    struct json_object *json = parse(text, size);

    *out = (struct mr_far_request){.order = MR_FAR_ORDER_UNKNOWN};
    if (json == NULL)
        return;
    const char *name = text_of(json, "order");
    if (!is_secret(secret, text_of(json, "secret")))
        out->order = MR_FAR_ORDER_DENIED;
    else if (strcmp(name, "report") == 0)
        out->order = MR_FAR_ORDER_REPORT;
    else if (strcmp(name, "stop") == 0)
        out->order = MR_FAR_ORDER_STOP;
    else if (strcmp(name, "loss") == 0)
        out->order = read_loss(json, out);
    json_object_put(json);
}

static struct json_object *facts_json(const struct mr_host *host,
                                      const struct mr_port_loss_rates *loss)
{
    struct json_object *facts = json_object_new_object();
    struct json_object *port = json_object_new_object();
    struct mr_port_facts of_port;

    mr_port_facts(host->group.port, &of_port);
    mr_perf_add_port_facts(port, host->options.port, &of_port);
    json_object_object_add(facts, "machine", mr_perf_machine_json());
    json_object_object_add(facts, "port", port);
    json_object_object_add(facts, "loss", mr_perf_loss_rates_json(loss));
    return facts;
}

static struct json_object *port_counts_json(const struct mr_port *port, uint64_t refused)
{
    static struct mr_port_counter counter[MR_PORT_COUNTERS_MAX]; /* the control thread's */
    struct json_object *json = json_object_new_object();
    struct json_object *counters = json_object_new_object();
    struct mr_port_stats stats;
    uint32_t count = mr_port_counters(port, counter, MR_PORT_COUNTERS_MAX);

    mr_port_stats(port, &stats);
    mr_perf_add_port_stats(json, &stats);
    mr_bench_count(json, "tx_refused", refused);
    for (uint32_t i = 0; i < count; i++)
        mr_bench_count(counters, counter[i].name, counter[i].value);
    json_object_object_add(json, "counters", counters);
    return json;
}

/* Time that each polling core was busy, and all of them by stage. */
static void add_time(struct json_object *counts, const struct mr_host *host)
{
    struct mr_clock clock = mr_clock_init();
    struct json_object *shards = json_object_new_array();
    struct json_object *stages = json_object_new_object();
    uint64_t stage_cycles[MR_STAGES] = {0};

    for (uint32_t i = 0; i < host->options.shards; i++) {
        struct mr_shard_stats stats;

        mr_shard_read_stats(host->group.shards[i], &stats);
        json_object_array_add(
            shards, json_object_new_int64((int64_t)mr_clock_ns(&clock, stats.busy_cycles)));
        for (int k = 0; k < MR_STAGES; k++)
            stage_cycles[k] += stats.stage_cycles[k];
    }
    for (int k = 0; k < MR_STAGES; k++)
        mr_bench_count(stages, mr_stage_name((enum mr_stage)k),
                       mr_clock_ns(&clock, stage_cycles[k]));
    json_object_object_add(counts, "busy_ns", shards);
    json_object_object_add(counts, "stage_ns", stages);
}

/* How long each polling thread waited for its CPU; null: the kernel does not tell. */
static struct json_object *waits_json(void)
{
    struct json_object *list = json_object_new_array();

    for (uint32_t i = 0; i < mr_eal_info()->worker_count; i++) {
        uint64_t ns;

        json_object_array_add(list, mr_perf_core_wait(i, &ns) ? json_object_new_int64((int64_t)ns)
                                                              : NULL);
    }
    return list;
}

static struct json_object *report_json(const struct mr_host *host,
                                       const struct mr_perf_server_counts *server)
{
    struct json_object *json = json_object_new_object();
    struct json_object *counts = json_object_new_object();
    struct json_object *samples = json_object_new_object();
    struct mr_port_losses losses;
    struct mr_report report;

    mr_report_read(&report, &host->group);
    mr_port_losses(host->group.port, &losses);
    mr_bench_count(counts, "ns", mr_control_now());
    add_time(counts, host);
    json_object_object_add(counts, "core_wait_ns", waits_json());
    json_object_object_add(counts, "port",
                           port_counts_json(host->group.port, report.stats.tx_refused));
    json_object_object_add(counts, "loss", mr_perf_losses_json(&losses));
    json_object_object_add(counts, "quic", mr_perf_counters_json(NULL, &report));
    mr_bench_count(counts, "operations", server->requests);
    mr_bench_count(counts, "streams_refused", server->streams_refused);
    mr_bench_count(counts, "bytes_received", server->bytes_received);
    mr_bench_count(counts, "bytes_queued", server->bytes_queued);
    for (uint32_t i = 0; i < MR_PERF_LIMITERS; i++)
        mr_bench_count(samples, mr_perf_limiter_name(i), server->limited[i]);
    json_object_object_add(counts, "not_sending_for", samples);
    json_object_object_add(json, "facts", facts_json(host, &losses.rates));
    json_object_object_add(json, "counts", counts);
    return json;
}

struct json_object *mr_far_obey(enum mr_far_order order, const struct mr_host *host,
                                const struct mr_perf_server_counts *counts)
{
    struct json_object *json;

    if (order <= MR_FAR_ORDER_LOSS)
        return report_json(host, counts);
    json = json_object_new_object();
    mr_bench_text(json, "error",
                  order == MR_FAR_ORDER_DENIED ? "its secret is another one"
                                               : "it does not know this order");
    return json;
}

/* ------------------------------------------------------------------ the client */

void mr_far_order_write(const char *order, const struct mr_port_loss_rates *rates,
                        const struct mr_perf_secret *secret, char text_out[MR_FAR_ORDER_MAX + 1])
{
    struct json_object *json = json_object_new_object();

    mr_bench_text(json, "secret", secret->text);
    mr_bench_text(json, "order", order);
    if (rates != NULL)
        json_object_object_add(json, "loss", mr_perf_loss_rates_json(rates));
    snprintf(text_out, MR_FAR_ORDER_MAX + 1, "%s", json_object_to_json_string(json));
    json_object_put(json);
}

struct json_object *mr_far_answer_read(const char *text, struct mr_fault *fault)
{
    struct json_object *json = parse(text, strlen(text));
    const char *error = json == NULL ? "it does not answer in JSON" : text_of(json, "error");

    if (error[0] == '\0' && member_of(json, "counts") != NULL && member_of(json, "facts") != NULL)
        return json;
    mr_fault_set(fault, EPROTO, "the far side: %.100s",
                 error[0] != '\0' ? error : "its answer is not a report");
    json_object_put(json);
    return NULL;
}

/* What `end` counts beyond `begin`; both have the same members, or NULL. */
static struct json_object *difference(struct json_object *begin, struct json_object *end)
{
    struct json_object *out = NULL;
    struct json_object_iter of;

    if (json_object_get_type(begin) != json_object_get_type(end))
        return NULL;
    switch (json_object_get_type(end)) {
    case json_type_int:
        return json_object_new_int64(json_object_get_int64(end) - json_object_get_int64(begin));
    case json_type_array:
        out = json_object_new_array();
        for (size_t i = 0; i < json_object_array_length(end); i++)
            json_object_array_add(out, difference(json_object_array_get_idx(begin, i),
                                                  json_object_array_get_idx(end, i)));
        return out;
    case json_type_object:
        out = json_object_new_object();
        json_object_object_foreachC(end, of)
        {
            json_object_object_add(out, of.key, difference(member_of(begin, of.key), of.val));
        }
        return out;
    default:
        return NULL;
    }
}

static void find_stage(struct json_object *stages, double busy_ns, struct mr_perf_far_figures *f)
{
    struct json_object_iter of;
    double most = 0;

    if (!json_object_is_type(stages, json_type_object))
        return;
    json_object_object_foreachC(stages, of)
    {
        double ns = json_object_get_double(of.val);

        if (ns <= most)
            continue;
        most = ns;
        snprintf(f->stage, sizeof(f->stage), "%s", of.key);
    }
    f->stage_part = busy_ns > 0 ? most / busy_ns : 0;
}

static uint64_t count_of(struct json_object *json, const char *name)
{
    return (uint64_t)json_object_get_int64(member_of(json, name));
}

static void take_losses(struct json_object *json, struct mr_port_losses *losses)
{
    *losses = (struct mr_port_losses){.received = count_of(json, "received"),
                                      .received_lost = count_of(json, "received_lost"),
                                      .sent = count_of(json, "sent"),
                                      .sent_lost = count_of(json, "sent_lost")};
}

/* Why its connections were not sending; a server that does not say leaves zeros. */
static void take_limited(struct json_object *samples, struct mr_perf_far_figures *f)
{
    double sum = 0;

    for (uint32_t i = 0; i < MR_PERF_LIMITERS; i++)
        sum += number_of(samples, mr_perf_limiter_name(i));
    for (uint32_t i = 0; i < MR_PERF_LIMITERS && sum > 0; i++)
        f->limited[i] = number_of(samples, mr_perf_limiter_name(i)) / sum;
}

/* A server that does not say is not known to have waited. */
static void take_waits(struct json_object *waits, double ns, struct mr_perf_far_figures *f)
{
    if (!json_object_is_type(waits, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(waits); i++) {
        struct json_object *of_one = json_object_array_get_idx(waits, i);

        f->knows_waits |= of_one != NULL;
        f->core_wait = MR_MAX(f->core_wait, MR_MIN(json_object_get_double(of_one) / ns, 1.0));
    }
}

static bool take_figures(struct json_object *counts, struct mr_perf_far_figures *f)
{
    struct json_object *busy = member_of(counts, "busy_ns");
    struct json_object *port = member_of(counts, "port");
    struct json_object *quic = member_of(counts, "quic");
    double ns = number_of(counts, "ns");
    double sum = 0;

    *f = (struct mr_perf_far_figures){.is_known = true};
    if (ns <= 0 || !json_object_is_type(busy, json_type_array) ||
        !json_object_is_type(port, json_type_object))
        return false;
    for (size_t i = 0; i < json_object_array_length(busy); i++) {
        double of_one = json_object_get_double(json_object_array_get_idx(busy, i));

        sum += of_one;
        f->busiest = MR_MAX(f->busiest, MR_MIN(of_one / ns, 1.0));
    }
    find_stage(member_of(counts, "stage_ns"), sum, f);
    take_waits(member_of(counts, "core_wait_ns"), ns, f);
    take_losses(member_of(counts, "loss"), &f->losses);
    take_limited(member_of(counts, "not_sending_for"), f);
    double sent = number_of(quic, "packets_sent");
    f->loss_part = sent > 0 ? number_of(quic, "packets_lost") / sent : 0;
    double frames = number_of(port, "rx_packets") + number_of(port, "tx_packets");
    double drops = number_of(port, "rx_missed") + number_of(port, "rx_no_buffer") +
                   number_of(port, "rx_errors") + number_of(port, "tx_errors");
    f->port_drop_part = frames > 0 ? drops / frames : 0;
    return true;
}

struct json_object *mr_far_between(struct json_object *begin, struct json_object *end,
                                   struct mr_perf_far_figures *f)
{
    struct json_object *counts = difference(member_of(begin, "counts"), member_of(end, "counts"));
    struct json_object *json;

    if (!take_figures(counts, f)) {
        json_object_put(counts);
        return NULL;
    }
    json = json_object_new_object();
    mr_bench_real(json, "busiest", f->busiest);
    mr_bench_ratio(json, "cpu_share", 1 - f->core_wait, f->knows_waits);
    mr_bench_text(json, "stage", f->stage);
    mr_bench_real(json, "stage_part", f->stage_part);
    mr_bench_real(json, "port_drop_part", f->port_drop_part);
    mr_bench_real(json, "loss_part", f->loss_part);
    json_object_object_add(json, "not_sending_for", mr_perf_limited_json(f->limited));
    json_object_object_add(json, "counts", counts);
    json_object_object_add(json, "facts", json_object_get(member_of(end, "facts")));
    return json;
}
