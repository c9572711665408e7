/* tests/sim/sim_trace.c - see sim_trace.h. */
#include "tests/sim/sim_trace.h"

#include <json-c/json.h>
#include <stdlib.h>

#include "base/assert.h"
#include "control/qlog_event.h"
#include "quic/packet.h"

#define TRACED_PATHS 16 /* path IDs whose numbers are looked at */

struct mr_tracer *sim_trace_new(struct mr_endpoint *ep, uint64_t now)
{
    const struct mr_trace_rule rule = {.what = MR_TRACE_EVENTS};
    struct mr_tracer *tracer = aligned_alloc(MR_CACHE_LINE, sizeof(*tracer));

    MR_ASSERT(tracer != NULL);
    mr_tracer_init(tracer, 1);
    mr_endpoint_set_tracer(ep, tracer, now);
    mr_endpoint_trace_new(ep, &rule);
    return tracer;
}

static void look(const struct mr_trace_head *head, const uint8_t *body)
{
    struct mr_qlog_event events[MR_QLOG_EVENTS_MAX];
    uint32_t count = mr_qlog_events(head, body, events);

    for (uint32_t i = 0; i < count; i++) {
        struct json_object *again = json_tokener_parse(json_object_to_json_string(events[i].data));

        MR_ASSERT(again != NULL);
        json_object_put(again);
        json_object_put(events[i].data);
    }
}

void sim_trace_read(struct mr_tracer *tracer)
{
    static uint64_t record[MR_TRACE_RECORD_MAX];
    struct mr_trace_head head;
    struct mr_trace_packet packet;
    /* Numbers from the next one on, since the last call, by path. */
    uint64_t sent[TRACED_PATHS][MR_PACKET_TYPES] = {{0}};
    uint64_t time_ns = 0;

    while (mr_tracer_read(tracer, record)) {
        const uint8_t *body = (const uint8_t *)(record + 3);

        memcpy(&head, record, sizeof(head));
        MR_ASSERT(head.kind < MR_TRACE_KINDS);
        MR_ASSERT(head.time_ns >= time_ns);
        time_ns = head.time_ns;
        look(&head, body);
        if (head.kind != MR_TRACE_SENT || tracer->started > 1)
            continue;
        memcpy(&packet, body, sizeof(packet));
        uint64_t *next = &sent[packet.path % TRACED_PATHS][packet.type];
        MR_ASSERT(packet.number + 1 > *next || packet.path >= TRACED_PATHS);
        MR_ASSERT(packet.frame_size < packet.size);
        *next = packet.number + 1;
    }
}

void sim_trace_free(struct mr_tracer *tracer)
{
    if (tracer == NULL)
        return;
    sim_trace_read(tracer);
    MR_ASSERT(tracer->count == 0);
    free(tracer);
}
