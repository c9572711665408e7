/* Tests of http3/message.h: limits, and what conformance_rfc9114 does not look at. */
#include "http3/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static const struct mr_message_limits limits = {
    .section_bytes = 1000, .fields = 10, .name_bytes = 20, .value_bytes = 300};
static struct mr_message message;
static enum mr_h3_field field;

static enum mr_message_verdict add(const char *name, const char *value)
{
    return mr_message_add(&message, (struct mr_text){name, strlen(name)},
                          (struct mr_text){value, strlen(value)}, &field);
}

static void begin(enum mr_message_kind kind)
{
    mr_message_begin(&message, kind, &limits);
}

static void names_the_fields_it_knows(void)
{
    static const struct {
        const char *name;
        const char *value;
        enum mr_h3_field field;
    } cases[] = {
        {":method", "HEAD", MR_FIELD_METHOD},
        {":scheme", "HTTPS", MR_FIELD_SCHEME},
        {":authority", "h:443", MR_FIELD_AUTHORITY},
        {":path", "/", MR_FIELD_PATH},
        {"range", "bytes=0-1", MR_FIELD_RANGE},
        {"if-none-match", "*", MR_FIELD_IF_NONE_MATCH},
        {"content-length", "12", MR_FIELD_CONTENT_LENGTH},
        {"te", "Trailers", MR_FIELD_TE},
        {"x-other", "", MR_FIELD_OTHER},
    };

    begin(MR_MESSAGE_REQUEST);
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        CU_ASSERT_EQUAL(add(cases[i].name, cases[i].value), MR_MESSAGE_OK);
        CU_ASSERT_EQUAL(field, cases[i].field);
    }
    CU_ASSERT_EQUAL(mr_message_end(&message), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(message.method, MR_METHOD_HEAD);
    CU_ASSERT_EQUAL(message.content_length, 12);
}

/* The others, at a response, where no value but these is looked at. */
static void names_all_the_fields_it_knows(void)
{
    static const struct {
        const char *name;
        enum mr_h3_field field;
    } cases[] = {
        {"host", MR_FIELD_HOST},
        {"capsule-protocol", MR_FIELD_CAPSULE_PROTOCOL},
        {"content-range", MR_FIELD_CONTENT_RANGE},
        {"content-type", MR_FIELD_CONTENT_TYPE},
        {"early-data", MR_FIELD_EARLY_DATA},
        {"etag", MR_FIELD_ETAG},
        {"if-match", MR_FIELD_IF_MATCH},
        {"if-modified-since", MR_FIELD_IF_MODIFIED_SINCE},
        {"if-range", MR_FIELD_IF_RANGE},
        {"if-unmodified-since", MR_FIELD_IF_UNMODIFIED_SINCE},
        {"last-modified", MR_FIELD_LAST_MODIFIED},
        {"location", MR_FIELD_LOCATION},
        {"priority", MR_FIELD_PRIORITY},
        {"server", MR_FIELD_SERVER},
        {"nost", MR_FIELD_OTHER},
        {"hostt", MR_FIELD_OTHER},
        {"t", MR_FIELD_OTHER},
        {"if-unmodified-sinces", MR_FIELD_OTHER},
    };
    static const char *const forbidden[] = {"connection", "keep-alive", "proxy-connection",
                                            "transfer-encoding", "upgrade"};

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        begin(MR_MESSAGE_RESPONSE);
        CU_ASSERT_EQUAL(add(cases[i].name, "h"), MR_MESSAGE_OK);
        CU_ASSERT_EQUAL(field, cases[i].field);
    }
    for (size_t i = 0; i < MR_COUNT_OF(forbidden); i++) {
        begin(MR_MESSAGE_RESPONSE);
        CU_ASSERT_EQUAL(add(forbidden[i], "h"), MR_MESSAGE_MALFORMED);
        CU_ASSERT_EQUAL(field, MR_FIELD_CONNECTION_SPECIFIC);
    }
}

static enum mr_message_verdict verdict_of(const char *name, const char *value, size_t size)
{
    begin(MR_MESSAGE_REQUEST);
    return mr_message_add(&message, (struct mr_text){name, strlen(name)},
                          (struct mr_text){value, size}, &field);
}

/* RFC 9110, Section 5.5: "Field values containing CR, LF, or NUL characters are invalid and
 * dangerous"; a path has no blank either. */
static void every_byte_of_a_value_is_looked_at(void)
{
    for (size_t size = 1; size <= 20; size++) {
        char *value = malloc(size); /* so that a sanitizer sees who reads beyond it */

        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        for (size_t at = 0; at < size; at++) {
            for (int c = 0; c < 256; c++) {
                bool is_inside = at > 0 && at + 1 < size;
                bool is_blank = c == ' ' || c == '\t';
                bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;

                memset(value, 'v', size);
                value[at] = (char)c;
                CU_ASSERT_EQUAL(verdict_of("x", value, size) == MR_MESSAGE_OK,
                                is_blank ? is_inside : !is_control);
                if (at > 0) {
                    value[0] = '/';
                    CU_ASSERT_EQUAL(verdict_of(":path", value, size) == MR_MESSAGE_OK,
                                    !is_blank && !is_control);
                }
            }
        }
        free(value);
    }
    CU_ASSERT_EQUAL(verdict_of("x", "", 0), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(verdict_of(":path", "", 0), MR_MESSAGE_MALFORMED);
    CU_ASSERT_EQUAL(verdict_of(":scheme", "", 0), MR_MESSAGE_MALFORMED);
}

static void counts_a_field_with_32_bytes_beside_its_name_and_value(void)
{
    char value[200];

    memset(value, 'a', sizeof(value));
    begin(MR_MESSAGE_RESPONSE);
    CU_ASSERT_EQUAL(add(":status", "200"), MR_MESSAGE_OK); /* 42 */
    value[199] = '\0';
    for (int i = 0; i < 4; i++) /* 1 + 199 + 32 = 232 */
        CU_ASSERT_EQUAL(add("x", value), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(message.section_bytes, 970);
    CU_ASSERT_EQUAL(add("x", ""), MR_MESSAGE_TOO_LARGE); /* 1003 */
}

static void limits_the_number_of_fields_and_their_sizes(void)
{
    char value[400];

    memset(value, 'a', sizeof(value));
    begin(MR_MESSAGE_TRAILERS);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(add("x", ""), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add("x", ""), MR_MESSAGE_TOO_LARGE);
    begin(MR_MESSAGE_TRAILERS);
    CU_ASSERT_EQUAL(add("a-name-of-20-bytes--", ""), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add("a-name-of-21-bytes---", ""), MR_MESSAGE_TOO_LARGE);
    begin(MR_MESSAGE_TRAILERS);
    value[300] = '\0';
    CU_ASSERT_EQUAL(add("x", value), MR_MESSAGE_OK);
    value[300] = 'a';
    value[301] = '\0';
    CU_ASSERT_EQUAL(add("x", value), MR_MESSAGE_TOO_LARGE);
}

static void blanks_around_a_value_are_not_part_of_it(void)
{
    static const char *const values[] = {" a", "a ", "\ta", "a\t", " "};

    for (size_t i = 0; i < MR_COUNT_OF(values); i++) {
        begin(MR_MESSAGE_TRAILERS);
        CU_ASSERT_EQUAL(add("x", values[i]), MR_MESSAGE_MALFORMED);
    }
    begin(MR_MESSAGE_TRAILERS);
    CU_ASSERT_EQUAL(add("x", "a b\tc"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add("y", "\xc3\xa4\xff"), MR_MESSAGE_OK); /* obs-text */
    CU_ASSERT_EQUAL(add("z", "\x7f"), MR_MESSAGE_MALFORMED);
}

static void a_scheme_without_authority_needs_none(void)
{
    begin(MR_MESSAGE_REQUEST);
    CU_ASSERT_EQUAL(add(":method", "GET"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":scheme", "urn"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":path", "/"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(mr_message_end(&message), MR_MESSAGE_OK);
}

static void options_of_a_star_and_connect_are_well_formed(void)
{
    begin(MR_MESSAGE_REQUEST);
    CU_ASSERT_EQUAL(add(":method", "OPTIONS"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":scheme", "https"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":authority", "h"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":path", "*"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(mr_message_end(&message), MR_MESSAGE_OK);
    begin(MR_MESSAGE_REQUEST);
    CU_ASSERT_EQUAL(add(":method", "CONNECT"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":authority", "h:443"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(mr_message_end(&message), MR_MESSAGE_OK);
}

static void authorities_are_compared_without_case(void)
{
    begin(MR_MESSAGE_REQUEST);
    CU_ASSERT_EQUAL(add(":method", "GET"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":scheme", "https"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":authority", "Example.org"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add(":path", "/"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(add("host", "example.ORG"), MR_MESSAGE_OK);
    CU_ASSERT_EQUAL(mr_message_end(&message), MR_MESSAGE_OK);
}

static void trailers_have_neither_pseudo_headers_nor_a_length(void)
{
    begin(MR_MESSAGE_TRAILERS);
    CU_ASSERT_EQUAL(add(":status", "200"), MR_MESSAGE_MALFORMED);
    begin(MR_MESSAGE_TRAILERS);
    CU_ASSERT_EQUAL(add("content-length", "1"), MR_MESSAGE_MALFORMED);
    begin(MR_MESSAGE_TRAILERS);
    CU_ASSERT_EQUAL(mr_message_end(&message), MR_MESSAGE_OK);
}

CU_TestInfo h3_message_tests[] = {
    {"names the fields it knows", names_the_fields_it_knows},
    {"names all the fields it knows", names_all_the_fields_it_knows},
    {"every byte of a value is looked at", every_byte_of_a_value_is_looked_at},
    {"counts a field with 32 bytes beside its name and value",
     counts_a_field_with_32_bytes_beside_its_name_and_value},
    {"limits the number of fields and their sizes", limits_the_number_of_fields_and_their_sizes},
    {"blanks around a value are not part of it", blanks_around_a_value_are_not_part_of_it},
    {"a scheme without authority needs none", a_scheme_without_authority_needs_none},
    {"options of a star and connect are well formed",
     options_of_a_star_and_connect_are_well_formed},
    {"authorities are compared without case", authorities_are_compared_without_case},
    {"trailers have neither pseudo headers nor a length",
     trailers_have_neither_pseudo_headers_nor_a_length},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/message", .pTests = h3_message_tests},
    CU_SUITE_INFO_NULL,
};
