/* dataplane/net_addr.c - see net_addr.h. */
#include "dataplane/net_addr.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

bool mr_mac_is_zero(const struct mr_mac *mac)
{
    static const struct mr_mac zero;

    return mr_mac_equal(mac, &zero);
}

bool mr_ip_is_unspecified(const struct mr_ip *ip)
{
    static const struct mr_ip none;

    return memcmp(ip, &none, sizeof(none)) == 0 ||
           (mr_ip_is_v4(ip) && mr_load_be32(ip->bytes + 12) == 0);
}

bool mr_ip_is_multicast(const struct mr_ip *ip)
{
    return mr_ip_is_v4(ip) ? (ip->bytes[12] & 0xf0) == 0xe0 : ip->bytes[0] == 0xff;
}

bool mr_ip_is_loopback(const struct mr_ip *ip)
{
    static const struct mr_ip one = {.bytes[15] = 1};

    return mr_ip_is_v4(ip) ? ip->bytes[12] == 127 : mr_ip_equal(ip, &one);
}

bool mr_ip_is_link_local(const struct mr_ip *ip)
{
    if (mr_ip_is_v4(ip))
        return ip->bytes[12] == 169 && ip->bytes[13] == 254;
    return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

bool mr_ip_is_unicast(const struct mr_ip *ip)
{
    if (mr_ip_is_v4(ip))
        return ip->bytes[12] != 0 && ip->bytes[12] != 127 &&
               ip->bytes[12] < 224; /* 240/4 and broadcast too */
    return !mr_ip_is_unspecified(ip) && !mr_ip_is_multicast(ip) && !mr_ip_is_loopback(ip);
}

/* The bits of byte `index` that a prefix of `bits` bits covers. */
static uint8_t byte_mask(uint32_t bits, uint32_t index)
{
    if (bits >= 8 * (index + 1))
        return 0xff;
    if (bits <= 8 * index)
        return 0;
    return (uint8_t)(0xff00u >> (bits - 8 * index));
}

bool mr_prefix_contains(const struct mr_prefix *prefix, const struct mr_ip *ip)
{
    for (uint32_t i = 0; i < sizeof(ip->bytes); i++)
        if ((prefix->ip.bytes[i] ^ ip->bytes[i]) & byte_mask(prefix->bits, i))
            return false;
    return true;
}

bool mr_prefix_is_broadcast(const struct mr_prefix *prefix, const struct mr_ip *ip)
{
    if (!mr_ip_is_v4(ip) || prefix->bits > 126 || !mr_prefix_contains(prefix, ip))
        return false;

    uint32_t host =
        mr_load_be32(ip->bytes + 12) & (uint32_t)(UINT64_C(0xffffffff) >> (prefix->bits - 96));
    return host == 0 || host == (uint32_t)(UINT64_C(0xffffffff) >> (prefix->bits - 96));
}

struct mr_ip mr_ip_solicited_node(const struct mr_ip *ip)
{
    struct mr_ip group = {.bytes = {0xff, 0x02, [11] = 0x01, [12] = 0xff}};

    memcpy(group.bytes + 13, ip->bytes + 13, 3);
    return group;
}

struct mr_mac mr_mac_of_multicast(const struct mr_ip *ip)
{
    struct mr_mac mac = {{0x33, 0x33, ip->bytes[12], ip->bytes[13], ip->bytes[14], ip->bytes[15]}};

    if (mr_ip_is_v4(ip))
        mac = (struct mr_mac){
            {0x01, 0x00, 0x5e, (uint8_t)(ip->bytes[13] & 0x7f), ip->bytes[14], ip->bytes[15]}};
    return mac;
}

struct mr_ip mr_ip_link_local_of(const struct mr_mac *mac)
{
    const uint8_t *m = mac->bytes;

    return (struct mr_ip){{0xfe, 0x80, 0, 0, 0, 0, 0, 0, (uint8_t)(m[0] ^ 0x02), m[1], m[2], 0xff,
                           0xfe, m[3], m[4], m[5]}};
}

/* ---- text ---- */

/* Read a number of at most `digits_max` digits and value `max`; false if there is none. */
static bool read_number(const char **text, uint32_t base, uint32_t digits_max, uint32_t max,
                        uint32_t *value_out)
{
    uint32_t digits = 0;

    *value_out = 0;
    for (; digits <= digits_max; digits++, (*text)++) {
        char c = **text;
        uint32_t digit = c >= '0' && c <= '9'                 ? (uint32_t)(c - '0')
                         : base == 16 && c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : base == 16 && c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                              : base;
        if (digit == base)
            break;
        *value_out = *value_out * base + digit;
    }
    return digits > 0 && digits <= digits_max && *value_out <= max;
}

/* Read "a.b.c.d"; leading zeros are refused, some read them as octal. */
static bool read_v4(const char **text, uint8_t v4[4])
{
    for (int i = 0; i < 4; i++) {
        const char *begin = *text;
        uint32_t byte;

        if (!read_number(text, 10, 3, 255, &byte) || (*begin == '0' && *text - begin > 1))
            return false;
        if (i < 3 && *(*text)++ != '.')
            return false;
        v4[i] = (uint8_t)byte;
    }
    return true;
}

/* One group of an IPv6 address, or the last 32 bits as IPv4; the bytes read, 0 if malformed. */
static uint32_t read_group(const char **text, uint8_t *bytes, uint32_t room)
{
    const char *begin = *text;
    uint32_t group;

    if (room >= 4 && read_v4(text, bytes))
        return 4;
    *text = begin;
    if (room < 2 || !read_number(text, 16, 4, 0xffff, &group))
        return 0;
    mr_store_be16(bytes, (uint16_t)group);
    return 2;
}

static bool is_v6_end(char c)
{
    return c == '\0' || c == '/';
}

static bool read_v6(const char **text, uint8_t bytes[16])
{
    uint32_t used = 0;
    uint32_t gap = 16; /* where "::" stands; 16: nowhere */

    memset(bytes, 0, 16);
    if ((*text)[0] == ':' && (*text)[1] == ':') {
        gap = 0;
        *text += 2;
    }
    while (!is_v6_end(**text)) {
        uint32_t n = read_group(text, bytes + used, 16 - used);

        used += n;
        if (n == 0 || (n == 4 && !is_v6_end(**text)))
            return false;
        if (is_v6_end(**text))
            break;
        if (*(*text)++ != ':')
            return false;
        if (**text == ':' && gap == 16) {
            gap = used;
            (*text)++;
        } else if (is_v6_end(**text)) {
            return false;
        }
    }
    if (gap == 16)
        return used == 16;
    memmove(bytes + 16 - (used - gap), bytes + gap, used - gap);
    memset(bytes + gap, 0, 16 - used);
    return used <= 14;
}

/* Read an address; `*text` is moved behind it. */
static bool read_ip(const char **text, struct mr_ip *ip_out)
{
    uint8_t v4[4];

    if (strchr(*text, ':') != NULL)
        return read_v6(text, ip_out->bytes);
    if (!read_v4(text, v4))
        return false;
    *ip_out = mr_ip_from_v4(v4);
    return true;
}

bool mr_ip_parse(const char *text, struct mr_ip *ip_out)
{
    return read_ip(&text, ip_out) && *text == '\0';
}

/* What lies behind the address of "IP:PORT" or "[IP]:PORT"; NULL: the text is an address alone. */
static const char *port_of(const char *text)
{
    const char *colon = strrchr(text, ':');

    if (*text == '[')
        return colon != NULL && colon[-1] == ']' ? colon : NULL;
    return colon == strchr(text, ':') ? colon : NULL; /* two of them: IPv6 */
}

bool mr_ip_port_parse(const char *text, struct mr_ip *ip_out, uint16_t *port_out)
{
    const char *colon = port_of(text);
    size_t size = colon == NULL ? strlen(text) : (size_t)(colon - text);
    bool is_bracketed = *text == '[';
    char host[MR_IP_TEXT] = "";
    uint32_t port = 0;

    if (is_bracketed) {
        if (size < 2 || text[size - 1] != ']')
            return false;
        text++;
        size -= 2;
    }
    if (size >= sizeof(host))
        return false;
    memcpy(host, text, size);
    if (!mr_ip_parse(host, ip_out) || (is_bracketed && mr_ip_is_v4(ip_out)))
        return false;
    if (colon == NULL)
        return true;
    colon++;
    if (!read_number(&colon, 10, 5, UINT16_MAX, &port) || port == 0 || *colon != '\0')
        return false;
    *port_out = (uint16_t)port;
    return true;
}

bool mr_prefix_parse(const char *text, struct mr_prefix *prefix_out)
{
    bool is_v6 = strchr(text, ':') != NULL;
    uint32_t bits = is_v6 ? 128 : 32;

    if (!read_ip(&text, &prefix_out->ip))
        return false;
    if (*text == '/') {
        text++;
        if (!read_number(&text, 10, 3, bits, &bits))
            return false;
    }
    prefix_out->bits = (uint8_t)(is_v6 ? bits : bits + 96);
    return *text == '\0';
}

bool mr_mac_parse(const char *text, struct mr_mac *mac_out)
{
    for (int i = 0; i < 6; i++) {
        const char *begin = text;
        uint32_t byte;

        if (!read_number(&text, 16, 2, 255, &byte) || text - begin != 2)
            return false;
        if (i < 5 && *text++ != ':')
            return false;
        mac_out->bytes[i] = (uint8_t)byte;
    }
    return *text == '\0';
}

/* The longest run of at least two zero groups, RFC 5952, Section 4.2; its length, 0: none. */
static uint32_t longest_zeros(const struct mr_ip *ip, uint32_t *begin_out)
{
    uint32_t best = 0;
    uint32_t run = 0;

    *begin_out = 8;
    for (uint32_t i = 0; i < 8; i++) {
        run = mr_load_be16(ip->bytes + 2 * i) == 0 ? run + 1 : 0;
        if (run > best && run > 1) {
            best = run;
            *begin_out = i + 1 - run;
        }
    }
    return best;
}

static void format_v6(const struct mr_ip *ip, char text[MR_IP_TEXT])
{
    uint32_t gap;
    uint32_t zeros = longest_zeros(ip, &gap);
    size_t used = 0;

    for (uint32_t i = 0; i < 8; i++) {
        if (i == gap) {
            used += (size_t)snprintf(text + used, MR_IP_TEXT - used, "::");
            i += zeros - 1;
            continue;
        }
        used +=
            (size_t)snprintf(text + used, MR_IP_TEXT - used, "%s%x",
                             i > 0 && i != gap + zeros ? ":" : "", mr_load_be16(ip->bytes + 2 * i));
    }
}

const char *mr_ip_format(const struct mr_ip *ip, char text[MR_IP_TEXT])
{
    const uint8_t *v4 = ip->bytes + 12;

    if (mr_ip_is_v4(ip))
        snprintf(text, MR_IP_TEXT, "%u.%u.%u.%u", v4[0], v4[1], v4[2], v4[3]);
    else
        format_v6(ip, text);
    return text;
}

const char *mr_mac_format(const struct mr_mac *mac, char text[MR_MAC_TEXT])
{
    const uint8_t *m = mac->bytes;

    snprintf(text, MR_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
             m[5]);
    return text;
}
