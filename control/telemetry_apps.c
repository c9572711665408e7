/* control/telemetry_apps.c - see telemetry_apps.h. */
#include "control/telemetry_apps.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "control/telemetry.h"

static struct mr_telemetry_app shown[MR_TELEMETRY_APPS];
static uint32_t shown_count;
static uint32_t more_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the three */

static void answer_app(struct mr_telemetry_answer *answer, const struct mr_telemetry_app *app)
{
    char key[32];

    snprintf(key, sizeof(key), "%s%llu", app->is_inline ? "inline" : "attachment",
             (unsigned long long)app->number);
    mr_telemetry_begin(answer, key);
    mr_telemetry_text(answer, "name", app->name);
    mr_telemetry_number(answer, "conns", app->conns);
    if (app->is_inline) {
        mr_telemetry_number(answer, "events", app->events);
        mr_telemetry_number(answer, "stalls", app->stalls);
        mr_telemetry_number(answer, "longest_stall_ns", app->longest_stall_ns);
    } else {
        mr_telemetry_number(answer, "pid", app->pid);
        mr_telemetry_number(answer, "submissions", app->submissions);
        mr_telemetry_number(answer, "completions", app->completions);
        mr_telemetry_number(answer, "wakes", app->wakes);
        mr_telemetry_number(answer, "bytes_received", app->bytes_received);
        mr_telemetry_number(answer, "bytes_sent", app->bytes_sent);
    }
    mr_telemetry_end(answer);
}

/* On DPDK's thread, one answer at a time. */
static void answer_apps(void *argument, const char *parameters, struct mr_telemetry_answer *answer)
{
    static struct mr_telemetry_app copy[MR_TELEMETRY_APPS]; /* large */

    (void)argument;
    (void)parameters;
    pthread_mutex_lock(&lock);
    uint32_t count = shown_count;
    uint32_t more = more_count;
    memcpy(copy, shown, count * sizeof(copy[0]));
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < count; i++)
        answer_app(answer, &copy[i]);
    if (more > 0)
        mr_telemetry_number(answer, "more", more);
}

bool mr_telemetry_apps_add(struct mr_fault *fault)
{
    return mr_telemetry_add(&(struct mr_telemetry_command){.name = "/millrace/apps",
                                                           .help = "Attached and inline "
                                                                   "applications",
                                                           .answer = answer_apps},
                            fault);
}

void mr_telemetry_apps_publish(const struct mr_telemetry_app *rows, uint32_t count)
{
    pthread_mutex_lock(&lock);
    shown_count = MR_MIN(count, (uint32_t)MR_TELEMETRY_APPS);
    more_count = count - shown_count;
    memcpy(shown, rows, shown_count * sizeof(shown[0]));
    pthread_mutex_unlock(&lock);
}
