/*
 * tests/fuzz/fuzz_neighbour.c - property test of dataplane/neighbour.h against a model.
 *
 * The input is a program of four-byte steps over 24 addresses, a clock that moves by small and
 * large steps, and packets that are numbers.  The model remembers, per address, the last Ethernet
 * address that was told by an answer or told at all.  Properties:
 *   1. the invariants of mr_neighbour_check() hold after every step;
 *   2. every packet that was let wait comes back exactly once, resolved or not, and no other;
 *   3. an Ethernet address that is given out was told for that IP address;
 *   4. the gateway's and no other than an answer's; a static entry's is what was set;
 *   5. nothing waits longer than four seconds of a clock that is ticked every second;
 *   6. a solicitation is for an address that was asked for;
 *   7. no more entries than allowed, and no more waiting packets.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "dataplane/neighbour.h"

enum {
    STEP = 4,
    HOSTS = 24,
    MACS = 5,
    PACKETS = 256,
    ENTRIES = 16,
    WAITING = 32,
    GATEWAY = 0,
    STATIC = 1
};

struct model {
    struct mr_neighbours *table;
    struct mr_net_counters counters;
    uint64_t now;
    uint32_t told[HOSTS];     /* a bit per Ethernet address ever told */
    uint32_t answered[HOSTS]; /* likewise by answers */
    bool was_asked[HOSTS];
    uint8_t waits[PACKETS];
    uint64_t waits_since[PACKETS];
    uint32_t next_packet;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Half of the hosts are IPv6. */
static struct mr_ip ip_of(uint32_t host)
{
    struct mr_ip v6 = {{0xfd, [15] = (uint8_t)host}};

    return host % 2 == 0 ? mr_ip_from_v4((const uint8_t[]){198, 18, 0, (uint8_t)(host + 1)}) : v6;
}

static uint32_t host_of(const struct mr_ip *ip)
{
    return mr_ip_is_v4(ip) ? ip->bytes[15] - 1u : ip->bytes[15];
}

static struct mr_mac mac_of(uint32_t n)
{
    return (struct mr_mac){{2, 0, 0, 0, 0, (uint8_t)(n + 1)}};
}

static void check_given(const struct model *m, uint32_t host, const struct mr_mac *mac)
{
    uint32_t bit = 1u << (mac->bytes[5] - 1);

    MR_ASSERT(m->told[host] & bit);
    if (host == GATEWAY)
        MR_ASSERT(m->answered[host] & bit);
    if (host == STATIC)
        MR_ASSERT(mac->bytes[5] == 1);
}

static void resolve(struct model *m, uint32_t host)
{
    struct mr_ip ip = ip_of(host);
    struct mr_mac mac = {0};
    enum mr_neighbour_answer answer = mr_neighbour_resolve(m->table, &ip, &mac, m->now);

    m->was_asked[host] = true;
    if (answer == MR_NEIGHBOUR_KNOWN)
        check_given(m, host, &mac);
    if (answer != MR_NEIGHBOUR_WAIT)
        return;
    uint32_t packet = m->next_packet % PACKETS;
    if (!m->waits[packet] && mr_neighbour_wait(m->table, &ip, &m->waits[packet])) {
        m->waits[packet] = 1;
        m->waits_since[packet] = m->now;
        m->next_packet++;
    }
}

static void learn(struct model *m, uint32_t host, uint32_t mac, enum mr_neighbour_source source)
{
    struct mr_ip ip = ip_of(host);
    struct mr_mac address = mac_of(mac);

    m->told[host] |= 1u << mac;
    if (source == MR_NEIGHBOUR_ANSWER || source == MR_NEIGHBOUR_SHARED)
        m->answered[host] |= 1u << mac;
    mr_neighbour_learn(m->table, &ip, &address, source, m->now);
}

static void take_released(struct model *m)
{
    struct mr_neighbour_released released;

    while (mr_neighbour_take_released(m->table, &released)) {
        uint8_t *packet = released.packet;

        MR_ASSERT(*packet == 1);
        *packet = 0;
        if (released.is_resolved)
            MR_ASSERT(released.mac.bytes[0] == 2);
    }
}

static void take_solicits(struct model *m)
{
    struct mr_neighbour_solicit solicit;

    while (mr_neighbour_take_solicit(m->table, &solicit)) {
        MR_ASSERT(m->was_asked[host_of(&solicit.ip)]);
        if (solicit.is_unicast)
            MR_ASSERT(solicit.mac.bytes[0] == 2);
    }
}

/* Let up to 40 s pass, a second at a time. */
static void pass(struct model *m, uint64_t ns)
{
    while (ns > 0) {
        uint64_t step = ns < MR_NEIGHBOUR_RETRANS_NS ? ns : MR_NEIGHBOUR_RETRANS_NS;

        m->now += step;
        ns -= step;
        mr_neighbour_expire(m->table, m->now);
        MR_ASSERT(mr_neighbour_deadline(m->table) > m->now);
    }
    take_released(m);
    for (uint32_t i = 0; i < PACKETS; i++)
        MR_ASSERT(!m->waits[i] || m->now - m->waits_since[i] <= 5 * MR_NEIGHBOUR_RETRANS_NS);
}

static void step(struct model *m, const uint8_t *data)
{
    struct mr_neighbour_update update;
    uint32_t host = data[1] % HOSTS;

    if (data[0] < 100)
        resolve(m, host);
    else if (data[0] < 190)
        learn(m, host, data[2] % MACS,
              (enum mr_neighbour_source)(data[3] % (MR_NEIGHBOUR_SHARED + 1)));
    else if (data[0] < 230)
        pass(m, (uint64_t)data[2] * 5000000);
    else if (data[0] < 236)
        pass(m, (uint64_t)data[2] * 160000000);
    else if (data[0] < 245)
        take_solicits(m);
    else if (data[0] < 254)
        take_released(m);
    else
        while (mr_neighbour_take_update(m->table, &update))
            MR_ASSERT(m->answered[host_of(&update.ip)] & 1u << (update.mac.bytes[5] - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mr_neighbour_limits limits = {
        .entries_max = ENTRIES, .waiting_max = WAITING, .new_per_second = 50};
    static struct model m;
    struct mr_ip gateway = ip_of(GATEWAY);
    struct mr_ip fixed = ip_of(STATIC);
    struct mr_mac fixed_mac = mac_of(0);
    uint8_t key[16] = {0};

    if (size < sizeof(key))
        return 0;
    memcpy(key, data, sizeof(key));
    m = (struct model){0};
    void *mem = aligned_alloc(64, (mr_neighbours_footprint(&limits) + 63) & ~(size_t)63);
    MR_ASSERT(mem != NULL);
    m.table = mr_neighbours_init(mem, &limits, key, &m.counters);
    MR_ASSERT(mr_neighbour_set_gateway(m.table, &gateway));
    MR_ASSERT(mr_neighbour_set_static(m.table, &fixed, &fixed_mac));
    m.told[STATIC] = 1;

    for (data += 16, size -= 16; size >= STEP; data += STEP, size -= STEP) {
        step(&m, data);
        mr_neighbour_check(m.table);
        MR_ASSERT(mr_neighbour_count(m.table) <= ENTRIES);
        MR_ASSERT(mr_neighbour_waiting_count(m.table) <= WAITING);
    }

    take_released(&m);
    mr_neighbour_release_all(m.table);
    take_released(&m);
    MR_ASSERT(memchr(m.waits, 1, sizeof(m.waits)) == NULL);
    free(mem);
    return 0;
}
