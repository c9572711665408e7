/* Tests of quic/tls_message.h and quic/tls_ticket.h. */
#include "quic/tls_message.h"

#include <string.h>

#include "quic/tls_ticket.h"

#define HEAD (MR_TICKET_MAGIC_SIZE + MR_TICKET_PAST_SIZE)
#include "quic/types.h"
#include "tests/unit/harness.h"

static const uint8_t stream[] = {1, 0, 0, 2, 'a', 'b', 4, 0, 0, 0, 24, 0, 1, 0};

static void chunks_end_where_messages_end(void)
{
    struct mr_tls_message message = {.header_size = 0};

    CU_ASSERT_EQUAL(mr_tls_message_type(&message), -1);
    CU_ASSERT_EQUAL(mr_tls_message_next(&message, stream, 0), 0);
    CU_ASSERT_EQUAL(mr_tls_message_next(&message, stream, sizeof(stream)), 6);
    CU_ASSERT_EQUAL(mr_tls_message_type(&message), 1);
    CU_ASSERT_EQUAL(mr_tls_message_length(&message), 2);
    CU_ASSERT_EQUAL(mr_tls_message_next(&message, stream + 6, sizeof(stream) - 6), 4);
    CU_ASSERT_EQUAL(mr_tls_message_type(&message), 4);
    CU_ASSERT_EQUAL(mr_tls_message_length(&message), 0);
    CU_ASSERT_EQUAL(mr_tls_message_next(&message, stream + 10, sizeof(stream) - 10), 4);
    CU_ASSERT_EQUAL(mr_tls_message_type(&message), 24);
    CU_ASSERT_EQUAL(mr_tls_message_length(&message), 256);
    CU_ASSERT_EQUAL(message.body_left, 256);
}

static void a_message_may_come_byte_by_byte(void)
{
    static const int types[] = {1, 1, 1, 1, 1, 1, 4, 4, 4, 4, 24, 24, 24, 24};
    struct mr_tls_message message = {.header_size = 0};

    for (size_t i = 0; i < sizeof(stream); i++) {
        CU_ASSERT_EQUAL(mr_tls_message_next(&message, stream + i, 1), 1);
        CU_ASSERT_EQUAL(mr_tls_message_type(&message), types[i]);
        CU_ASSERT_EQUAL(mr_tls_message_length(&message) > 0, (i >= 3 && i < 6) || i == 13);
    }
}

static const uint8_t past[MR_TICKET_PAST_SIZE] = "the past";

static const struct mr_tls_ticket ticket = {
    .past = past,
    .token = (const uint8_t *)"TOKEN",
    .token_size = 5,
    .name = (const uint8_t *)"localhost",
    .name_size = 9,
    .params = (const uint8_t *)"PP",
    .params_size = 2,
    .session_size = 5,
    .version = MR_VERSION_2,
    .is_insecure = true,
};

static void a_ticket_is_read_as_it_was_written(void)
{
    uint8_t bytes[128];
    size_t head = mr_tls_ticket_write(&ticket, bytes, sizeof(bytes));
    struct mr_tls_ticket back;

    CU_ASSERT_EQUAL(head, HEAD + 1 + 4 + 1 + 5 + 1 + 9 + 1 + 2);
    memcpy(bytes + head, "S-E-S", 5);
    CU_ASSERT(mr_tls_ticket_read(&back, bytes, head + 5));
    CU_ASSERT_EQUAL(memcmp(back.past, past, sizeof(past)), 0);
    CU_ASSERT_EQUAL(back.name_size, 9);
    CU_ASSERT_EQUAL(memcmp(back.name, "localhost", 9), 0);
    CU_ASSERT_EQUAL(back.params_size, 2);
    CU_ASSERT_EQUAL(memcmp(back.params, "PP", 2), 0);
    CU_ASSERT_EQUAL(back.session_size, 5);
    CU_ASSERT_EQUAL(memcmp(back.session, "S-E-S", 5), 0);
    CU_ASSERT(back.is_insecure);
    CU_ASSERT_EQUAL(back.version, MR_VERSION_2);
    CU_ASSERT_EQUAL(back.token_size, 5);
    CU_ASSERT_EQUAL(memcmp(back.token, "TOKEN", 5), 0);
}

static void a_ticket_needs_room_for_its_session_too(void)
{
    uint8_t bytes[128];

    CU_ASSERT_EQUAL(mr_tls_ticket_write(&ticket, bytes, HEAD + 29), HEAD + 24);
    for (size_t room = 0; room < HEAD + 29; room++)
        CU_ASSERT_EQUAL(mr_tls_ticket_write(&ticket, bytes, room), 0);
}

/* What is known of the path is written anew when the rest is not at hand. */
static void a_head_replaces_the_past_alone(void)
{
    static const uint8_t newer[MR_TICKET_PAST_SIZE] = "a newer one";
    uint8_t bytes[128];
    size_t head = mr_tls_ticket_write(&ticket, bytes, sizeof(bytes));
    struct mr_tls_ticket back;

    CU_ASSERT_EQUAL(mr_tls_ticket_write_head(newer, bytes, HEAD - 1), 0);
    CU_ASSERT_EQUAL(mr_tls_ticket_write_head(newer, bytes, sizeof(bytes)), HEAD);
    CU_ASSERT_FALSE(mr_tls_ticket_read(&back, bytes, HEAD));
    CU_ASSERT_TRUE(mr_tls_ticket_read(&back, bytes, head));
    CU_ASSERT_EQUAL(memcmp(back.past, newer, sizeof(newer)), 0);
    CU_ASSERT_EQUAL(memcmp(back.token, "TOKEN", 5), 0);
}

static void what_is_no_ticket_is_refused(void)
{
    uint8_t bytes[128];
    size_t head = mr_tls_ticket_write(&ticket, bytes, sizeof(bytes));
    struct mr_tls_ticket back;

    for (size_t size = 0; size < head; size++)
        CU_ASSERT_FALSE(mr_tls_ticket_read(&back, bytes, size));
    for (size_t at = 0; at < 4; at++) {
        bytes[at] ^= 1;
        CU_ASSERT_FALSE(mr_tls_ticket_read(&back, bytes, head));
        bytes[at] ^= 1;
    }
    bytes[HEAD] = 2; /* a flag of another age */
    CU_ASSERT_FALSE(mr_tls_ticket_read(&back, bytes, head));
}

static CU_TestInfo tests[] = {
    {"chunks end where messages end", chunks_end_where_messages_end},
    {"a message may come byte by byte", a_message_may_come_byte_by_byte},
    {"a ticket is read as it was written", a_ticket_is_read_as_it_was_written},
    {"a head replaces the past alone", a_head_replaces_the_past_alone},
    {"a ticket needs room for its session too", a_ticket_needs_room_for_its_session_too},
    {"what is no ticket is refused", what_is_no_ticket_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/tls_message", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
