/* quic/path_policy.c - see path_policy.h. */
#include "quic/path_policy.h"

#include "base/compiler.h"

static const uint16_t reflectors[] = {
    0,     /* nobody's */
    7,     /* echo */
    13,    /* daytime */
    17,    /* quote of the day */
    19,    /* character generator */
    37,    /* time */
    53,    /* DNS */
    69,    /* TFTP */
    111,   /* portmapper */
    123,   /* NTP */
    137,   /* NetBIOS */
    138,   /* NetBIOS */
    161,   /* SNMP */
    389,   /* CLDAP */
    500,   /* IKE */
    520,   /* RIP */
    1900,  /* SSDP */
    3702,  /* WS-Discovery */
    5353,  /* multicast DNS */
    5355,  /* LLMNR */
    11211, /* memcached */
};

bool mr_port_is_reflector(uint16_t port)
{
    for (uint32_t i = 0; i < MR_COUNT_OF(reflectors); i++) {
        if (reflectors[i] == port)
            return true;
    }
    return false;
}

/* 127/8, ::1 */
static bool is_loopback(const struct mr_addr *addr)
{
    static const uint8_t one[16] = {[15] = 1};

    return mr_addr_is_ipv4(addr) ? addr->ip[12] == 127 : memcmp(addr->ip, one, sizeof(one)) == 0;
}

/* 0/8, 224/4 and above; ::, ff00::/8 */
static bool is_one_host(const struct mr_addr *addr)
{
    static const uint8_t none[16] = {0};

    if (mr_addr_is_ipv4(addr))
        return addr->ip[12] != 0 && addr->ip[12] < 224;
    return addr->ip[0] != 0xff && memcmp(addr->ip, none, sizeof(none)) != 0;
}

bool mr_path_is_permitted(const struct mr_addr *remote, const struct mr_path_addr *current)
{
    if (mr_port_is_reflector(remote->port))
        return false;
    if (memcmp(remote->ip, current->remote.ip, sizeof(remote->ip)) == 0)
        return true;
    return is_one_host(remote) && memcmp(remote->ip, current->local.ip, sizeof(remote->ip)) != 0 &&
           (!is_loopback(remote) || is_loopback(&current->remote));
}
