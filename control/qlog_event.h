/*
 * control/qlog_event.h - a record of a trace (quic/trace.h) as events of qlog.
 *
 *     START      -> connection_started, version_information, recovery_parameters_set
 *     METRICS    -> recovery_metrics_updated, and recovery:metrics_updated for qvis
 *     SENT       -> packet_sent with its frames
 *     HTTP3      -> http3:frame_created, ... (qlog_http3.c)
 *     LOST       -> loglevel:warning: records were dropped
 *     ...
 *
 * Names and fields are those of draft-ietf-quic-qlog-quic-events-13,
 * draft-ietf-quic-qlog-h3-events-13 and, for `loglevel`, draft-ietf-quic-qlog-main-schema-14.
 * Nothing secret is in them: no tokens of stateless resets, no address tokens, no keys, no data.
 *
 * Pure functions: they read the record, whatever is in it, and make JSON of json-c.
 */
#ifndef MR_CONTROL_QLOG_EVENT_H
#define MR_CONTROL_QLOG_EVENT_H

#include <stdint.h>

#include "quic/trace.h"

struct json_object; /* of json-c */

#define MR_QLOG_EVENTS_MAX 4 /* of one record */

struct mr_qlog_event {
    const char *name;         /* "quic:packet_sent" */
    const char *category;     /* "transport": what older tools call it by */
    struct json_object *data; /* the caller's */
};

/* A record that is whole, its head looked at; how many events it gives. */
uint32_t mr_qlog_events(const struct mr_trace_head *head, const uint8_t *body,
                        struct mr_qlog_event out[MR_QLOG_EVENTS_MAX]);

/* The packed frames of the `size` bytes at `frames` (quic/trace_frames.h), an array. */
struct json_object *mr_qlog_frames(const uint8_t *frames, size_t size, uint32_t ack_delay_exponent);

/* The body of a record of HTTP/3 (millrace/trace.h); how many events it gives. */
uint32_t mr_qlog_http3(const uint8_t *body, size_t size,
                       struct mr_qlog_event out[MR_QLOG_EVENTS_MAX]);

/* Transport parameters as TLS has them; `object` gets a member each. */
void mr_qlog_parameters(struct json_object *object, const uint8_t *bytes, size_t size);

/* ---- members ---- */
void mr_qlog_put(struct json_object *object, const char *key, const char *text);
void mr_qlog_put_number(struct json_object *object, const char *key, uint64_t value);
void mr_qlog_put_bool(struct json_object *object, const char *key, bool value);
void mr_qlog_put_hex(struct json_object *object, const char *key, const uint8_t *bytes,
                     size_t size);
/* Milliseconds, with nanoseconds behind the point. */
void mr_qlog_put_ms(struct json_object *object, const char *key, uint64_t ns);

/* Text that may be anything: printable ASCII as `key`; else in hex as `key_bytes`, unless NULL. */
void mr_qlog_put_peers_text(struct json_object *object, const char *key, const char *key_bytes,
                            const uint8_t *bytes, size_t size);

/* The name of an error, and its number where it has none. */
void mr_qlog_put_error(struct json_object *object, const char *key, uint64_t error, bool is_app);

#endif /* MR_CONTROL_QLOG_EVENT_H */
