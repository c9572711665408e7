/*
 * fuzz/fuzz_http_fields.c - property test of the readers of field values: http3/range.h, date.h,
 * conditional.h, mime.h, message.h, priority.h.
 *
 * The input is a value, as it is and mapped to an alphabet of such values.  Properties:
 *   1. a range lies in the representation and is not empty;
 *   2. a date that is read is written and read back as itself;
 *   3. the entity tag of a version matches itself, wherever it stands in a list of entity tags;
 *   4. a priority that is read is one, and is written and read back as itself;
 *   5. no reader reads beyond the value (ASan), and a message's size is never above its limit.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "http3/conditional.h"
#include "http3/date.h"
#include "http3/message.h"
#include "http3/mime.h"
#include "http3/priority.h"
#include "http3/range.h"

enum {
    TEXT_MAX = 300,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_range(const char *text, size_t size, uint64_t whole)
{
    struct mr_range range = {0};

    if (mr_range_parse(text, size, whole, &range) != MR_RANGE_PART)
        return;
    MR_ASSERT(range.size > 0);
    MR_ASSERT(range.first < whole);
    MR_ASSERT(range.size <= whole - range.first);
}

static void check_date(const char *text, size_t size)
{
    char again[MR_DATE_SIZE];
    int64_t seconds;
    int64_t seconds_again;

    if (!mr_date_parse(text, size, &seconds, 1700000000))
        return;
    if (seconds > 253402300799) /* a leap second at the end of the year 9999 */
        return;
    mr_date_format(again, seconds);
    MR_ASSERT(mr_date_parse(again, sizeof(again), &seconds_again, 1700000000));
    MR_ASSERT(seconds == seconds_again);
}

static void check_priority(const char *text, size_t size)
{
    char written[MR_PRIORITY_TEXT];
    struct mr_priority priority = mr_priority_default();
    struct mr_priority again = mr_priority_default();

    if (!mr_priority_parse((struct mr_text){text, size}, &priority)) {
        MR_ASSERT(priority.urgency == MR_PRIORITY_URGENCY && !priority.is_incremental);
        return;
    }
    MR_ASSERT(priority.urgency < MR_URGENCIES);
    uint32_t written_size = mr_priority_format(priority, written);
    MR_ASSERT(mr_priority_parse((struct mr_text){written, written_size}, &again));
    MR_ASSERT(again.urgency == priority.urgency);
    MR_ASSERT(again.is_incremental == priority.is_incremental);
}

static void check_conditions(const char *text, const struct mr_file_version *version)
{
    char list[2 * TEXT_MAX + MR_ETAG_MAX];
    char etag[MR_ETAG_MAX];
    struct mr_conditions odd = {.if_match = text,
                                .if_none_match = text,
                                .if_range = text,
                                .if_modified_since = text,
                                .if_unmodified_since = text};
    struct mr_conditions dates = {.if_modified_since = text, .if_unmodified_since = text};

    (void)mr_conditions_evaluate(&odd, version, 1700000000);
    (void)mr_conditions_evaluate(&dates, version, 1700000000);
    (void)mr_conditions_allow_range(&odd, version, 1700000000);
    mr_etag_format(etag, version);
    strcpy(list, "\"x\" , W/\"y\",");
    strcat(list, etag);
    strcat(list, ",");
    strcat(list, text);
    struct mr_conditions match = {.if_none_match = list};
    MR_ASSERT(mr_conditions_evaluate(&match, version, 0) == MR_CONDITION_NOT_MODIFIED);
}

/* Name and value are parts of the text. */
static void check_message(const char *text, size_t size, enum mr_message_kind kind)
{
    static struct mr_message message;
    struct mr_message_limits limits = {500, 20, 30, 200};
    enum mr_message_verdict verdict = MR_MESSAGE_OK;

    mr_message_begin(&message, kind, &limits);
    for (size_t at = 0; at + 8 < size && verdict == MR_MESSAGE_OK; at += 8) {
        enum mr_h3_field field;
        size_t name_size = (unsigned char)text[at] % 8;
        verdict = mr_message_add(&message, (struct mr_text){text + at, name_size},
                                 (struct mr_text){text + at + name_size, 8 - name_size}, &field);
        MR_ASSERT(verdict != MR_MESSAGE_OK || message.section_bytes <= limits.section_bytes);
    }
    (void)mr_message_end(&message);
}

static void check(const char *text, size_t size, uint64_t number)
{
    struct mr_file_version version = {
        .inode = number, .size = number >> 7, .modified_ns = (int64_t)(number >> 1)};

    char *exact = malloc(size + 1); /* so that ASan sees a reader that goes too far */

    MR_ASSERT(exact != NULL);
    memcpy(exact + 1, text, size);
    check_range(exact + 1, size, number);
    check_range(exact + 1, size, number % 100);
    check_date(exact + 1, size);
    check_priority(exact + 1, size);
    free(exact);
    check_conditions(text, &version);
    (void)mr_mime_type(text);
    for (int kind = 0; kind < 3; kind++)
        check_message(text, size, (enum mr_message_kind)kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char alphabet[] = "bytes=0-9,-1 SunNovGMT:W/\"*\tui?();.";
    static const char *const starts[] = {"bytes=", "Sun, 06 Nov ", "Sunday, 06-Nov-", "Sun Nov  ",
                                         "\"",     "u=1, i=?0;",   ":method",         "u="};
    char text[TEXT_MAX + 1];
    uint64_t number = 0;

    if (size < 9)
        return 0;
    memcpy(&number, data, 8);
    number >>= data[8] % 64;
    const char *start = starts[data[8] % 8];
    size_t at = strlen(start);
    memcpy(text, start, at);
    for (size_t i = 9; i < size && at < TEXT_MAX; i++)
        text[at++] = data[8] < 128 ? alphabet[data[i] % (sizeof(alphabet) - 1)] : (char)data[i];
    text[at] = '\0';
    check(text, strlen(text), number);
    check_message(text, at, MR_MESSAGE_REQUEST);
    return 0;
}
