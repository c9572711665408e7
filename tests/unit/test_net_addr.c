/* tests/unit/test_net_addr.c - the contract of dataplane/net_addr.h. */
#include "dataplane/net_addr.h"

#include "tests/unit/harness.h"

static struct mr_ip ip_of(const char *text)
{
    struct mr_ip ip = {0};

    CU_ASSERT_FATAL(mr_ip_parse(text, &ip));
    return ip;
}

static void addresses_are_read_and_written(void)
{
    static const struct {
        const char *text;
        const char *written;
    } rows[] = {
        {"198.18.0.2", "198.18.0.2"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"fd00::", "fd00::"},
        {"fd00::2", "fd00::2"},
        {"FD00:0:0:1::A", "fd00:0:0:1::a"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
        {"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::ffff:198.18.0.2", "198.18.0.2"},
        {"64:ff9b::198.18.0.2", "64:ff9b::c612:2"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
    };
    char text[MR_IP_TEXT];

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_ip ip = ip_of(rows[i].text);
        CU_ASSERT_STRING_EQUAL(mr_ip_format(&ip, text), rows[i].written);
        struct mr_ip again = ip_of(text);
        CU_ASSERT(mr_ip_equal(&ip, &again));
    }
}

static void malformed_addresses_are_refused(void)
{
    static const char *const rows[] = {
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.04",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1..3.4",
        "a.b.c.d",
        "1.2.3.4/24",
        ":",
        ":::",
        "1:",
        ":1",
        "1::2::3",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "g::",
        "fd00::1 ",
        "1:2:3",
        "::1.2.3.4:5",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:1.2.3.4",
        "-1.2.3.4",
    };
    struct mr_ip ip;

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        CU_ASSERT_FALSE(mr_ip_parse(rows[i], &ip));
}

static void a_mapped_address_is_ipv4(void)
{
    struct mr_ip v4 = ip_of("198.18.0.2");
    struct mr_ip v6 = ip_of("fd00::2");

    CU_ASSERT(mr_ip_is_v4(&v4));
    CU_ASSERT_FALSE(mr_ip_is_v4(&v6));
}

static void addresses_have_classes(void)
{
    enum {
        UNICAST = 1,
        MULTICAST = 2,
        LOOPBACK = 4,
        LINK_LOCAL = 8,
        UNSPECIFIED = 16
    };
    static const struct {
        const char *text;
        int classes;
    } rows[] = {
        {"198.18.0.2", UNICAST},
        {"0.0.0.0", UNSPECIFIED},
        {"0.1.2.3", 0},
        {"127.0.0.1", LOOPBACK},
        {"224.0.0.1", MULTICAST},
        {"239.255.255.255", MULTICAST},
        {"240.0.0.1", 0},
        {"255.255.255.255", 0},
        {"169.254.1.1", UNICAST | LINK_LOCAL},
        {"223.255.255.254", UNICAST},
        {"::", UNSPECIFIED},
        {"::1", LOOPBACK},
        {"fd00::1", UNICAST},
        {"ff02::1", MULTICAST},
        {"fe80::1", UNICAST | LINK_LOCAL},
        {"febf::1", UNICAST | LINK_LOCAL},
        {"fec0::1", UNICAST},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_ip ip = ip_of(rows[i].text);
        int classes =
            (mr_ip_is_unicast(&ip) ? UNICAST : 0) | (mr_ip_is_multicast(&ip) ? MULTICAST : 0) |
            (mr_ip_is_loopback(&ip) ? LOOPBACK : 0) | (mr_ip_is_link_local(&ip) ? LINK_LOCAL : 0) |
            (mr_ip_is_unspecified(&ip) ? UNSPECIFIED : 0);
        CU_ASSERT_EQUAL(classes, rows[i].classes);
    }
}

static void a_prefix_contains_its_link(void)
{
    static const struct {
        const char *prefix;
        const char *ip;
        bool contains;
        bool is_broadcast;
    } rows[] = {
        {"198.18.0.2/24", "198.18.0.255", true, true},
        {"198.18.0.2/24", "198.18.0.0", true, true},
        {"198.18.0.2/24", "198.18.0.254", true, false},
        {"198.18.0.2/24", "198.18.1.2", false, false},
        {"198.18.0.2/15", "198.19.255.255", true, true},
        {"198.18.0.2/15", "198.20.0.0", false, false},
        {"198.18.0.2/31", "198.18.0.3", true, false},
        {"198.18.0.2", "198.18.0.2", true, false},
        {"198.18.0.2", "198.18.0.3", false, false},
        {"0.0.0.0/0", "9.9.9.9", true, false},
        {"fd00::2/64", "fd00::ffff:1:2:3", true, false},
        {"fd00::2/64", "fd00:0:0:1::2", false, false},
        {"fd00::2/61", "fd00:0:0:7::2", true, false},
        {"fd00::2/61", "fd00:0:0:8::2", false, false},
        {"fd00::2/61", "fd00:0:0:8000::2", false, false},
        {"fd00::2", "fd00::2", true, false},
        {"::/0", "fd00::2", true, false},
        {"198.18.0.2/24", "fd00::2", false, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_ip ip = ip_of(rows[i].ip);
        struct mr_prefix prefix;

        CU_ASSERT_FATAL(mr_prefix_parse(rows[i].prefix, &prefix));
        CU_ASSERT_EQUAL(mr_prefix_contains(&prefix, &ip), rows[i].contains);
        CU_ASSERT_EQUAL(mr_prefix_is_broadcast(&prefix, &ip), rows[i].is_broadcast);
    }
}

static void malformed_prefixes_are_refused(void)
{
    static const char *const rows[] = {"198.18.0.2/33", "198.18.0.2/",    "fd00::2/129",
                                       "fd00::/-1",     "198.18.0.2/24x", "/24",
                                       "198.18.0.2//24"};
    struct mr_prefix prefix;

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        CU_ASSERT_FALSE(mr_prefix_parse(rows[i], &prefix));
}

static void ethernet_addresses_are_read_and_written(void)
{
    static const char *const bad[] = {"",
                                      "02:00:00:00:00",
                                      "02:00:00:00:00:01:02",
                                      "2:0:0:0:0:1",
                                      "02-00-00-00-00-01",
                                      "02:00:00:00:00:0g",
                                      "02:00:00:00:00:01 "};
    struct mr_mac mac;
    char text[MR_MAC_TEXT];

    CU_ASSERT_FATAL(mr_mac_parse("02:00:5e:aB:00:01", &mac));
    CU_ASSERT_STRING_EQUAL(mr_mac_format(&mac, text), "02:00:5e:ab:00:01");
    for (size_t i = 0; i < MR_COUNT_OF(bad); i++)
        CU_ASSERT_FALSE(mr_mac_parse(bad[i], &mac));
}

static void groups_have_their_ethernet_addresses(void)
{
    struct mr_ip ip = ip_of("fd00::1234:5678:9abc");
    struct mr_ip group = mr_ip_solicited_node(&ip);
    struct mr_ip expected = ip_of("ff02::1:ff78:9abc");
    struct mr_mac mac = mr_mac_of_multicast(&group);
    char text[MR_MAC_TEXT];

    CU_ASSERT(mr_ip_equal(&group, &expected));
    CU_ASSERT_STRING_EQUAL(mr_mac_format(&mac, text), "33:33:ff:78:9a:bc");
    ip = ip_of("239.129.2.3");
    mac = mr_mac_of_multicast(&ip);
    CU_ASSERT_STRING_EQUAL(mr_mac_format(&mac, text), "01:00:5e:01:02:03");
    CU_ASSERT(mr_mac_is_multicast(&mac));
}

/* RFC 4291, Appendix A: 34-56-78-9A-BC-DE becomes 36:56:78:FF:FE:9A:BC:DE. */
static void a_link_local_address_holds_the_ethernet_address(void)
{
    struct mr_mac mac = {{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}};
    struct mr_ip ip = mr_ip_link_local_of(&mac);
    struct mr_ip expected = ip_of("fe80::3656:78ff:fe9a:bcde");

    CU_ASSERT(mr_ip_equal(&ip, &expected));
}

static void addresses_with_ports_are_read(void)
{
    static const struct {
        const char *text;
        const char *ip; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"198.18.0.2", "198.18.0.2", 443},
        {"198.18.0.2:4433", "198.18.0.2", 4433},
        {"fd00::2", "fd00::2", 443},
        {"[fd00::2]", "fd00::2", 443},
        {"[fd00::2]:65535", "fd00::2", 65535},
        {"198.18.0.2:", NULL, 0},
        {"198.18.0.2:0", NULL, 0},
        {"198.18.0.2:65536", NULL, 0},
        {"198.18.0.2:4x", NULL, 0},
        {"[198.18.0.2]:1", NULL, 0},
        {"[fd00::2", NULL, 0},
        {"[fd00::2]1", NULL, 0},
        {"", NULL, 0},
        {":443", NULL, 0},
        {"[]", NULL, 0},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_ip ip;
        uint16_t port = 443;
        char text[MR_IP_TEXT];
        bool is_read = mr_ip_port_parse(cases[i].text, &ip, &port);

        CU_ASSERT_EQUAL(is_read, cases[i].ip != NULL);
        if (!is_read)
            continue;
        CU_ASSERT_STRING_EQUAL(mr_ip_format(&ip, text), cases[i].ip);
        CU_ASSERT_EQUAL(port, cases[i].port);
    }
}

static CU_TestInfo tests[] = {
    {"addresses with ports are read", addresses_with_ports_are_read},
    {"addresses are read and written", addresses_are_read_and_written},
    {"malformed addresses are refused", malformed_addresses_are_refused},
    {"a mapped address is IPv4", a_mapped_address_is_ipv4},
    {"addresses have classes", addresses_have_classes},
    {"a prefix contains its link", a_prefix_contains_its_link},
    {"malformed prefixes are refused", malformed_prefixes_are_refused},
    {"Ethernet addresses are read and written", ethernet_addresses_are_read_and_written},
    {"groups have their Ethernet addresses", groups_have_their_ethernet_addresses},
    {"a link-local address holds the Ethernet address",
     a_link_local_address_holds_the_ethernet_address},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/net_addr", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
