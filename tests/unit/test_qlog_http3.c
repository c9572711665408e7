/* tests/unit/test_qlog_http3.c - control/qlog_http3.c: records of HTTP/3 as events. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/qlog_event.h"
#include "millrace/trace.h"
#include "tests/unit/harness.h"

#define BYTES(text) (text), sizeof(text) - 1

/* A record, its bytes, and the events that it gives. */
static const struct row {
    struct mr_trace_http3 record; /* `size` is that of the bytes */
    const char *bytes;
    size_t size;
    const char *name;
    const char *data;
    const char *second_name;
    const char *second_data;
} rows[] = {
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0x04, .is_ours = true},
     BYTES("\x01\x50\x00\x07\x08\x08\x01\x21\x05\x0a\x06"),
     "http3:frame_created",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"settings\",\"settings\":["
     "{\"name\":\"settings_qpack_max_table_capacity\",\"value\":4096},"
     "{\"name\":\"settings_qpack_blocked_streams\",\"value\":8},"
     "{\"name\":\"settings_enable_connect_protocol\",\"value\":1},"
     "{\"name\":\"reserved\",\"value\":5},"
     "{\"name\":\"unknown\",\"name_bytes\":10,\"value\":6}],"
     "\"raw\":{\"payload_length\":11}}}",
     "http3:parameters_set",
     "{\"initiator\":\"local\",\"max_table_capacity\":4096,"
     "\"blocked_streams_count\":8,\"extended_connect\":1}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0x01, .fields = 9},
     BYTES("\x07:method\x03\x00GET"
           "\x05:path\xff\xff"
           "\x0a:authority\x02\x00\x01z"),
     "http3:frame_parsed",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"headers\",\"headers\":["
     "{\"name\":\":method\",\"value\":\"GET\"},{\"name\":\":path\"},"
     "{\"name\":\":authority\",\"value_bytes\":\"017a\"}],\"field_count\":9,"
     "\"raw\":{\"payload_length\":36}}}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0x07},
     BYTES("\x48\x00"),
     "http3:frame_parsed",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"goaway\",\"id\":2048,"
     "\"raw\":{\"payload_length\":2}}}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0xf0700},
     BYTES("\x08u=1, i\xff"),
     "http3:frame_parsed",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"priority_update\",\"stream_id\":8,"
     "\"priority_field_value\":\"u=1, i%ff\",\"raw\":{\"payload_length\":8}}}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0x21 + 0x1f * 5},
     BYTES(""),
     "http3:frame_parsed",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"reserved\",\"frame_type_bytes\":188,"
     "\"raw\":{\"payload_length\":0}}}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0x07},
     BYTES("\x48"),
     "http3:frame_parsed",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"unknown\",\"frame_type_bytes\":7,"
     "\"raw\":{\"payload_length\":1}}}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0x01, .fields = 9},
     BYTES("\x07:method\x09\x00GE"),
     "http3:frame_parsed",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"headers\",\"headers\":[],"
     "\"field_count\":9,\"raw\":{\"payload_length\":12}}}"},
    {{.kind = MR_TRACE_HTTP3_STREAM, .stream = 2, .type = 3},
     BYTES(""),
     "http3:stream_type_set",
     "{\"initiator\":\"remote\",\"stream_id\":2,\"stream_type\":\"qpack_decode\"}"},
    {{.kind = MR_TRACE_HTTP3_STREAM, .stream = 6, .type = 77},
     BYTES(""),
     "http3:stream_type_set",
     "{\"initiator\":\"remote\",\"stream_id\":6,\"stream_type\":\"unknown\","
     "\"stream_type_bytes\":77}"},
    {{.kind = MR_TRACE_HTTP3_DATAGRAM, .stream = 8},
     BYTES("twelve bytes"),
     "http3:datagram_parsed",
     "{\"quarter_stream_id\":2,\"raw\":{\"payload_length\":12}}"},
    {{.kind = MR_TRACE_HTTP3_PRIORITY,
      .before = {.urgency = 3},
      .after = {.urgency = 1, .is_incremental = true}},
     BYTES(""),
     "http3:priority_updated",
     "{\"stream_id\":0,\"old\":\"u=3\",\"new\":\"u=1, i\","
     "\"trigger\":\"client_signal_received\",\"reason\":\"client_signal_only\"}"},
    {{.kind = MR_TRACE_HTTP3_FRAME, .stream = 4, .type = 0xf0702, .is_ours = true},
     BYTES(""),
     "http3:frame_created",
     "{\"stream_id\":4,\"frame\":{\"frame_type\":\"unknown\",\"frame_type_bytes\":984834,"
     "\"raw\":{\"payload_length\":0}}}"},
    {{.kind = MR_TRACE_HTTP3_STREAM, .type = MR_TRACE_HTTP3_REQUEST, .is_ours = true},
     BYTES(""),
     "http3:stream_type_set",
     "{\"initiator\":\"local\",\"stream_id\":0,\"stream_type\":\"request\"}"},
};

/* The events of a record whose body has `size` of its bytes. */
static uint32_t events_of(const struct row *row, size_t size, struct mr_qlog_event *out)
{
    uint8_t body[sizeof(struct mr_trace_http3) + MR_TRACE_HTTP3_BYTES];
    struct mr_trace_http3 record = row->record;

    record.size = row->size;
    memcpy(body, &record, sizeof(record));
    memcpy(body + sizeof(record), row->bytes, row->size);
    uint8_t *cut = malloc(size + 1); /* ASan sees what is read behind it */
    CU_ASSERT_PTR_NOT_NULL_FATAL(cut);
    memcpy(cut + 1, body, size);
    uint32_t count = mr_qlog_http3(cut + 1, size, out);
    free(cut);
    return count;
}

static void expect_event(const struct mr_qlog_event *event, const char *name, const char *data)
{
    const char *text = json_object_to_json_string_ext(
        event->data, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

    CU_ASSERT_STRING_EQUAL(event->name, name);
    CU_ASSERT_STRING_EQUAL(event->category, "http");
    CU_ASSERT_STRING_EQUAL(text, data);
    if (strcmp(text, data) != 0)
        fprintf(stderr, "%s\n", text);
}

static void records_are_told_in_the_terms_of_the_draft(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mr_qlog_event events[MR_QLOG_EVENTS_MAX];
        uint32_t count = events_of(&rows[i], sizeof(struct mr_trace_http3) + rows[i].size, events);

        CU_ASSERT_EQUAL_FATAL(count, rows[i].second_name == NULL ? 1 : 2);
        expect_event(&events[0], rows[i].name, rows[i].data);
        if (count == 2)
            expect_event(&events[1], rows[i].second_name, rows[i].second_data);
        for (uint32_t k = 0; k < count; k++)
            json_object_put(events[k].data);
    }
}

static struct json_object *member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

/* "An instance of `HTTP3HTTPField` MUST include either the `name` or `name_bytes` field and MAY
 * include both." (draft-ietf-quic-qlog-h3-events: HTTP3HeadersFrame) */
static void a_field_has_its_name(void)
{
    const struct row row = {{.kind = MR_TRACE_HTTP3_FRAME, .type = 0x01},
                            BYTES("\x05:path\x00\x00"
                                  "\x02:\xff\xff\xff"
                                  "\x00\x00\x00")};
    struct mr_qlog_event events[MR_QLOG_EVENTS_MAX];

    CU_ASSERT_EQUAL_FATAL(events_of(&row, sizeof(row.record) + row.size, events), 1);
    struct json_object *fields = member(member(events[0].data, "frame"), "headers");
    CU_ASSERT_EQUAL_FATAL(json_object_array_length(fields), 3);
    for (size_t i = 0; i < 3; i++) {
        struct json_object *field = json_object_array_get_idx(fields, i);
        CU_ASSERT_TRUE(member(field, "name") != NULL || member(field, "name_bytes") != NULL);
    }
    json_object_put(events[0].data);
}

/* Wherever it ends. */
static void a_record_that_is_cut_off_is_read_no_further(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t size = 0; size <= sizeof(struct mr_trace_http3) + rows[i].size; size++) {
            struct mr_qlog_event events[MR_QLOG_EVENTS_MAX];
            uint32_t count = events_of(&rows[i], size, events);

            CU_ASSERT_EQUAL(count == 0, size < sizeof(struct mr_trace_http3));
            for (uint32_t k = 0; k < count; k++)
                json_object_put(events[k].data);
        }
    }
}

static CU_TestInfo tests[] = {
    {"records are told in the terms of the draft", records_are_told_in_the_terms_of_the_draft},
    {"a field has its name", a_field_has_its_name},
    {"a record that is cut off is read no further", a_record_that_is_cut_off_is_read_no_further},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/qlog_http3", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
