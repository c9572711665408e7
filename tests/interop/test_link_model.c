/* Tests of tests/interop/link_model.h: a link that is slow, long or bad is so in the way it says.
 */
#include "tests/interop/link_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "tests/unit/harness.h"

enum {
    HEADERS = 14 + 20 + 8,
    PAYLOAD = 1200,
    FRAME = HEADERS + PAYLOAD,
    CLIENT_PORT = 40000,
};

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)
#define START  (100 * SECOND)

/* A datagram over IPv4 between 198.18.0.1 (client) and 198.18.0.2, port 443. */
static void make_frame(uint8_t frame[FRAME], bool is_up, uint16_t client_port)
{
    struct link_frame f;

    memset(frame, 0x5a, FRAME);
    memcpy(frame + 12, "\x08\x00\x45\x00", 4);
    mr_store_be16(frame + 16, FRAME - 14);
    memcpy(frame + 18, "\0\0\0\0\x40\x11\0\0\xc6\x12\0\x01\xc6\x12\0\x02", 16);
    frame[29] = is_up ? 1 : 2;
    frame[33] = is_up ? 2 : 1;
    mr_store_be16(frame + 34, is_up ? client_port : 443);
    mr_store_be16(frame + 36, is_up ? 443 : client_port);
    mr_store_be16(frame + 38, 8 + PAYLOAD);
    CU_ASSERT_FATAL(link_frame_parse(&f, frame, FRAME));
    link_frame_seal(&f);
}

static bool is_sealed(uint8_t frame[FRAME])
{
    uint8_t copy[FRAME];
    struct link_frame f;

    memcpy(copy, frame, FRAME);
    return link_frame_parse(&f, copy, FRAME) &&
           (link_frame_seal(&f), memcmp(copy, frame, FRAME) == 0);
}

static struct link_config plain(void)
{
    return (struct link_config){
        .delay_ns = 15 * MS, .bits_per_s = 10000000, .queue = 25, .burst = 3, .seed = 1};
}

static struct link_model *new_model(const struct link_config *config)
{
    struct link_model *model = malloc(sizeof(*model));

    CU_ASSERT_PTR_NOT_NULL_FATAL(model);
    link_model_init(model, config);
    return model;
}

static uint64_t pass(struct link_model *model, enum link_side side, uint64_t now)
{
    uint8_t frame[FRAME];

    make_frame(frame, side == LINK_SERVER, CLIENT_PORT);
    return link_model_pass(model, side, frame, FRAME, now);
}

static void a_packet_takes_its_bits_and_the_delay(void)
{
    struct link_config config = plain();
    struct link_model *model = new_model(&config);
    uint64_t bits = FRAME * UINT64_C(8) * SECOND / config.bits_per_s;

    CU_ASSERT_EQUAL(pass(model, LINK_SERVER, START), START + bits + 15 * MS);
    CU_ASSERT_EQUAL(pass(model, LINK_SERVER, START), START + 2 * bits + 15 * MS); /* behind it */
    CU_ASSERT_EQUAL(pass(model, LINK_CLIENT, START), START + bits + 15 * MS); /* the other way */
    free(model);
}

static void one_more_than_the_queue_holds_is_dropped(void)
{
    struct link_config config = plain();
    struct link_model *model = new_model(&config);

    for (int i = 0; i < 1 + 25; i++) /* one is on the wire */
        CU_ASSERT_NOT_EQUAL(pass(model, LINK_SERVER, START), 0);
    CU_ASSERT_EQUAL(pass(model, LINK_SERVER, START), 0);
    CU_ASSERT_EQUAL(model->counts[LINK_SERVER].overflowed, 1);
    CU_ASSERT_NOT_EQUAL(pass(model, LINK_SERVER, START + 3 * MS / 2),
                        0); /* one place is free again */
    CU_ASSERT_EQUAL(pass(model, LINK_SERVER, START + 3 * MS / 2), 0);
    free(model);
}

static void a_list_names_packets_by_their_number(void)
{
    struct link_config config = plain();
    config.drop_count[LINK_SERVER] = 2;
    config.drops[LINK_SERVER][0] = 2;
    config.drops[LINK_SERVER][1] = 4;
    struct link_model *model = new_model(&config);

    for (uint32_t i = 1; i <= 5; i++) {
        CU_ASSERT_EQUAL(pass(model, LINK_SERVER, START + i * SECOND) == 0, i == 2 || i == 4);
        CU_ASSERT_NOT_EQUAL(pass(model, LINK_CLIENT, START + i * SECOND), 0);
    }
    CU_ASSERT_EQUAL(model->counts[LINK_SERVER].listed, 2);
    free(model);
}

static void loss_is_as_frequent_as_asked_and_never_longer_than_the_burst(void)
{
    struct link_config config = plain();
    config.loss_percent = 30;
    struct link_model *model = new_model(&config);
    uint32_t lost = 0;
    uint32_t run = 0;
    uint32_t longest = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        bool is_lost = pass(model, LINK_SERVER, START + i * 10 * MS) == 0;

        lost += is_lost;
        run = is_lost ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    CU_ASSERT_TRUE(lost > 2700 && lost < 3200);
    CU_ASSERT_EQUAL(longest, 3);
    free(model);
}

static void corruption_changes_one_of_the_first_bytes_and_keeps_the_checksum(void)
{
    struct link_config config = plain();
    config.corrupt_percent = 100;
    struct link_model *model = new_model(&config);

    for (uint32_t i = 0; i < 300; i++) {
        uint8_t frame[FRAME];
        uint32_t changed = 0;

        make_frame(frame, true, CLIENT_PORT);
        CU_ASSERT_NOT_EQUAL(link_model_pass(model, LINK_SERVER, frame, FRAME, START + i * 10 * MS),
                            0);
        CU_ASSERT_TRUE(is_sealed(frame));
        for (uint32_t k = 0; k < PAYLOAD; k++) {
            changed += frame[HEADERS + k] != 0x5a;
            CU_ASSERT_TRUE(frame[HEADERS + k] == 0x5a || k < LINK_CORRUPT_BYTES);
        }
        CU_ASSERT_EQUAL(changed, i % 4 == 3 ? 0 : 1); /* three in a row, not four */
    }
    free(model);
}

static void version_negotiation_is_not_corrupted(void)
{
    struct link_config config = plain();
    config.corrupt_percent = 100;
    struct link_model *model = new_model(&config);
    uint8_t frame[FRAME];
    uint8_t copy[FRAME];
    struct link_frame f;

    make_frame(frame, false, CLIENT_PORT);
    memcpy(frame + HEADERS, "\x80\0\0\0\0", 5);
    CU_ASSERT_FATAL(link_frame_parse(&f, frame, FRAME));
    link_frame_seal(&f);
    memcpy(copy, frame, FRAME);
    CU_ASSERT_NOT_EQUAL(link_model_pass(model, LINK_CLIENT, frame, FRAME, START), 0);
    CU_ASSERT_EQUAL(memcmp(copy, frame, FRAME), 0);
    free(model);
}

static void a_blackhole_opens_and_closes(void)
{
    struct link_config config = plain();
    config.on_ns = 5 * SECOND;
    config.off_ns = 2 * SECOND;
    struct link_model *model = new_model(&config);

    for (uint32_t s = 0; s < 21; s++)
        CU_ASSERT_EQUAL(pass(model, LINK_CLIENT, START + s * SECOND + MS * (s > 0)) == 0,
                        s % 7 >= 5);
    free(model);
}

/* Send one up; the port and host that the server sees. */
static void look(struct link_model *model, uint64_t now, uint16_t *port, uint8_t *host)
{
    uint8_t frame[FRAME];

    make_frame(frame, true, CLIENT_PORT);
    CU_ASSERT_NOT_EQUAL(link_model_pass(model, LINK_SERVER, frame, FRAME, now), 0);
    CU_ASSERT_TRUE(is_sealed(frame));
    *port = mr_load_be16(frame + 34);
    *host = frame[29];
}

/* Does an answer to that port and host reach the client, as one to it? */
static bool answers(struct link_model *model, uint64_t now, uint16_t port, uint8_t host)
{
    uint8_t frame[FRAME];

    make_frame(frame, false, port);
    frame[33] = host;
    if (link_model_pass(model, LINK_CLIENT, frame, FRAME, now) == 0)
        return false;
    CU_ASSERT_TRUE(is_sealed(frame));
    return mr_load_be16(frame + 36) == CLIENT_PORT && frame[33] == 1;
}

static void check_rebinding(enum link_rebind rebind)
{
    struct link_config config = plain();
    config.rebind = rebind;
    config.rebind_first_ns = SECOND;
    config.rebind_every_ns = 5 * SECOND;
    struct link_model *model = new_model(&config);
    uint16_t port[3];
    uint8_t host[3];

    look(model, START, &port[0], &host[0]);
    CU_ASSERT_EQUAL(port[0], CLIENT_PORT);
    CU_ASSERT_EQUAL(host[0], 1);
    CU_ASSERT_TRUE(answers(model, START, port[0], host[0]));
    look(model, START + 2 * SECOND, &port[1], &host[1]);
    look(model, START + 7 * SECOND, &port[2], &host[2]);
    CU_ASSERT_EQUAL(port[1] != port[0], rebind == LINK_REBIND_PORT);
    CU_ASSERT_EQUAL(host[1] != host[0], rebind == LINK_REBIND_ADDRESS);
    CU_ASSERT_TRUE(port[2] != port[1] || host[2] != host[1]);
    CU_ASSERT_TRUE(answers(model, START + 7 * SECOND, port[2], host[2]));
    CU_ASSERT_FALSE(answers(model, START + 7 * SECOND, port[1], host[1]));
    CU_ASSERT_EQUAL(model->counts[LINK_CLIENT].stale, 1);
    CU_ASSERT_EQUAL(link_model_owns(model, host[2]), rebind == LINK_REBIND_ADDRESS);
    free(model);
}

static void a_nat_gives_other_ports_and_forgets_the_old_ones(void)
{
    check_rebinding(LINK_REBIND_PORT);
}

static void a_nat_gives_other_addresses_and_forgets_the_old_ones(void)
{
    check_rebinding(LINK_REBIND_ADDRESS);
}

static void what_is_no_udp_only_takes_the_delay(void)
{
    struct link_config config = plain();
    config.loss_percent = 100;
    config.burst = 1000;
    struct link_model *model = new_model(&config);
    uint8_t arp[60] = {[12] = 0x08, [13] = 0x06, [21] = 1, [41] = 7};
    const uint8_t mac[LINK_MAC] = {2, 0, 0, 0, 0, 9};

    CU_ASSERT_EQUAL(link_model_pass(model, LINK_SERVER, arp, sizeof(arp), START), START + 15 * MS);
    CU_ASSERT_EQUAL(link_arp_wanted(arp, sizeof(arp)), 7);
    link_arp_answer(arp, mac);
    CU_ASSERT_EQUAL(link_arp_wanted(arp, sizeof(arp)), -1);
    CU_ASSERT_EQUAL(arp[21], 2);
    CU_ASSERT_EQUAL(arp[31], 7);
    CU_ASSERT_EQUAL(memcmp(arp + 22, mac, LINK_MAC), 0);
    free(model);
}

CU_TestInfo link_tests[] = {
    {"a packet takes its bits and the delay", a_packet_takes_its_bits_and_the_delay},
    {"one more than the queue holds is dropped", one_more_than_the_queue_holds_is_dropped},
    {"a list names packets by their number", a_list_names_packets_by_their_number},
    {"loss is as frequent as asked and never longer than the burst",
     loss_is_as_frequent_as_asked_and_never_longer_than_the_burst},
    {"corruption changes one of the first bytes and keeps the checksum",
     corruption_changes_one_of_the_first_bytes_and_keeps_the_checksum},
    {"version negotiation is not corrupted", version_negotiation_is_not_corrupted},
    {"a blackhole opens and closes", a_blackhole_opens_and_closes},
    {"a nat gives other ports and forgets the old ones",
     a_nat_gives_other_ports_and_forgets_the_old_ones},
    {"a nat gives other addresses and forgets the old ones",
     a_nat_gives_other_addresses_and_forgets_the_old_ones},
    {"what is no udp only takes the delay", what_is_no_udp_only_takes_the_delay},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "interop/link", .pTests = link_tests},
    CU_SUITE_INFO_NULL,
};
