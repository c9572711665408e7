/* tests/dpdk/test_port.c - the contract of drivers/port.h: specs and their errors, a pair of memif
 * ports. */
#include "drivers/port.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_mempool.h>

#include "base/bytes.h"
#include "control/eal.h"
#include "drivers/memif.h"
#include "drivers/port_facts.h"
#include "drivers/port_rss.h"
#include "drivers/xdp_port.h"
#include "tests/dpdk/dpdk_harness.h"

enum {
    POOL = 8191,
    BURST = 32
};

static struct rte_mempool *pool_in_use;

static struct rte_mempool *pool_of_test(void)
{
    static struct rte_mempool *pool;

    if (pool == NULL)
        pool = dpdk_pool("port", POOL);
    return pool_in_use != NULL ? pool_in_use : pool;
}

static struct mr_port *open_spec(const char *spec, uint16_t queues, struct mr_fault *fault)
{
    struct rte_mempool *pools[MR_PORT_QUEUES_MAX + 1];
    struct mr_port_config config = {.spec = spec, .rx_pools = pools, .queue_count = queues};

    for (int i = 0; i <= MR_PORT_QUEUES_MAX; i++)
        pools[i] = pool_of_test();
    fault->text[0] = '\0';
    return mr_port_open(&config, fault);
}

/* Opening fails, and the fault names the port and contains `words`. */
static void check_fault(const char *spec, const char *words)
{
    struct mr_fault fault;
    struct mr_port *port = open_spec(spec, 1, &fault);

    CU_ASSERT_PTR_NULL(port);
    CU_ASSERT_EQUAL(strncmp(fault.text, "port ", 5), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, spec));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, words));
    if (strstr(fault.text, words) == NULL)
        printf("# %s\n", fault.text);
    mr_port_close(port);
}

static void an_unknown_kind_lists_those_there_are(void)
{
    check_fault("tab:mr0", "tap:NAME, af_packet:IFACE, af_xdp:IFACE, pci:ADDRESS, "
                           "memif:role=server|client,socket=PATH or loopback");
    check_fault("", "unknown port kind");
    check_fault("tapx:mr0", "unknown port kind");
    check_fault("af_xdpx:eth0", "unknown port kind");
}

/* A build without af_xdp says so, whatever is written. */
static void malformed_specs_of_af_xdp_are_refused(void)
{
    static const char *const cases[][2] = {
        {"af_xdp:", "an interface's name"},
        {"af_xdp", "an interface's name"},
        {"af_xdp:eth0=1", "an interface's name"},
        {"af_xdp:eth0,", "nothing behind a comma"},
        {"af_xdp:eth0,,busy_budget=1", "nothing behind a comma"},
        {"af_xdp:eth0,busy_budget=1025", "busy_budget=1025"},
        {"af_xdp:eth0,busy_budget=", "busy_budget="},
        {"af_xdp:eth0,busy_budget=-1", "busy_budget=-1"},
        {"af_xdp:eth0,zero-copy=auto", "zero-copy=auto"},
        {"af_xdp:eth0,mac=01:00:00:00:00:01", "mac=01"},
        {"af_xdp:eth0,color=red", "color=red"},
    };
    struct mr_fault fault = {0};

    bool is_built = mr_xdp_port_check("eth0", &fault);
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++)
        check_fault(cases[i][0], is_built ? cases[i][1] : "built without af_xdp");
}

static void malformed_specs_are_refused(void)
{
    check_fault("tap:", "an interface's name");
    check_fault("tap:averyveryverylongname", "an interface's name");
    check_fault("tap:a/b", "an interface's name");
    check_fault("tap:mr0,mac=01:00:00:00:00:01", "mac=");
    check_fault("tap:mr0,mac=2", "mac=");
    check_fault("tap:mr0,mac=00:00:00:00:00:00", "mac=");
    check_fault("tap:mr0,mac=-2:00:00:00:00:01", "mac=");
    check_fault("tap:mr0,", "nothing behind a comma");
    check_fault("tap:mr0,,mac=02:00:00:00:00:01", "nothing behind a comma");
    check_fault("tap:mr%d", "an interface's name");
    check_fault("tap:..", "an interface's name");
    check_fault("tap:mr0=1", "an interface's name");
    check_fault("memif:role=server,socket=@x,", "nothing behind a comma");
    check_fault("tap:mr0,speed=9", "unknown option speed");
    check_fault("pci:", " is no PCI address, such as 0000:3b:00.0");
    check_fault("pci:3b:00", "3b:00 is no PCI address");
    check_fault("pci:3b:00.0,", "nothing behind a comma");
    check_fault("pci:3b:00.0,speed=9", "unknown option speed: mac, tso, launch and rss are known");
    check_fault("pci:3b:00.0,tso=maybe", "tso=maybe: write tso=auto, tso=yes or tso=no");
    check_fault("pci:3b:00.0,launch=auto", "launch=auto: write launch=yes or launch=no");
    check_fault("pci:3b:00.0,rss=yes", "rss=yes: write rss=random or rss=symmetric");
    check_fault("pci:3b:00.0,rss=", "rss=: write rss=random or rss=symmetric");
    check_fault("pci:fffe:ff:1f.7,tso=no,launch=yes,rss=symmetric", "no network card at");
    check_fault("pci:fffe:ff:1f.7,rss=random", "no network card at");
    check_fault("tap:mr0,tso=yes", "unknown option tso: only mac is known");
    check_fault("tap:mr0,rss=random", "unknown option rss: only mac is known");
    check_fault("pci:3b:00.0,mac=01:00:00:00:00:01", "mac=");
    check_fault("memif:", "needs role=");
    check_fault("memif:role=server", "needs role=");
    check_fault("memif:role=boss,socket=/tmp/x", "role=boss");
    check_fault("memif:role=server,socket=relative", "socket=relative");
    check_fault("memif:role=server,socket=/tmp/x,id=-1", "id=-1");
    check_fault("memif:role=server,socket=/tmp/x,color=red", "color=red");
    check_fault("memif:role=server,socket=/tmp/x,zero-copy=yes", "the client's to choose");
}

static void a_port_has_one_to_64_queues(void)
{
    struct mr_fault fault;

    CU_ASSERT_PTR_NULL(open_spec("memif:role=server,socket=@mr-queues", 0, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "queues"));
    CU_ASSERT_PTR_NULL(
        open_spec("memif:role=server,socket=@mr-queues", MR_PORT_QUEUES_MAX + 1, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "queues"));
}

static void an_interface_must_exist_and_be_permitted(void)
{
    check_fault("af_packet:nosuch0",
                geteuid() == 0 ? "no interface nosuch0; there are: lo" : "run with sudo");
    if (geteuid() != 0)
        check_fault("tap:mr-test", "needs root or CAP_NET_ADMIN: run with sudo");
    else
        check_fault("tap:lo", "an interface lo exists already");
    if (geteuid() == 0 && access("/dev/net/tun", F_OK) == 0)
        check_fault("tap:default", "choose another name");
    if (geteuid() == 0)
        check_fault("af_packet:lo", "interface lo is the loopback");
    struct mr_fault fault;
    if (mr_xdp_port_check("nosuch0", &fault))
        check_fault("af_xdp:nosuch0",
                    geteuid() == 0 ? "no interface nosuch0; there are: lo" : "is missing: CAP_");
}

static void a_card_must_be_there(void)
{
    check_fault("pci:fffe:ff:1f.7", "no network card at fffe:ff:1f.7; there are: ");
}

static void a_port_that_is_no_card_has_no_table_and_no_rules(void)
{
    const struct mr_port_rss_change change = {.lo = 0, .hi = 1, .queue = 0};
    struct mr_fault fault = {0};
    struct mr_port *port = open_spec("memif:role=server,socket=@mr-test-no-card", 2, &fault);
    struct mr_port_rss rss;

    CU_ASSERT_PTR_NOT_NULL_FATAL(port);
    CU_ASSERT_EQUAL(mr_port_rss_read(port, &rss), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(mr_port_rss_change(port, &change, &fault), -EOPNOTSUPP);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "only cards"));
    mr_port_close(port);
}

static void a_memif_client_needs_its_server_first(void)
{
    check_fault("memif:role=client,socket=@mr-nobody", "no memif server answers");
    check_fault("memif:role=client,socket=/tmp/mr-nobody.sock", "no memif server answers");
}

/* A server at `path` is refused for these words, and what is there stays. */
static void check_kept(const char *path, const char *words)
{
    char spec[128];
    struct stat before;
    struct stat after;

    CU_ASSERT_EQUAL_FATAL(lstat(path, &before), 0);
    snprintf(spec, sizeof(spec), "memif:role=server,socket=%s", path);
    check_fault(spec, words);
    CU_ASSERT_EQUAL(lstat(path, &after), 0);
    CU_ASSERT_EQUAL(after.st_ino, before.st_ino);
}

static void a_memif_server_removes_nothing_but_a_left_over_socket(void)
{
    char directory[] = "/tmp/mr-port-XXXXXX";
    char file[40];
    char link[40];
    char missing[80];

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/file", directory);
    snprintf(link, sizeof(link), "%s/link", directory);
    snprintf(missing, sizeof(missing), "memif:role=server,socket=%s/none/socket", directory);
    FILE *text = fopen(file, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    fclose(text);
    CU_ASSERT_EQUAL(symlink(file, link), 0);
    check_kept(file, "a regular file");
    check_kept(link, "a symbolic link");
    check_kept(directory, "a directory");
    check_fault(missing, "there is no directory");
    unlink(link);
    unlink(file);
    rmdir(directory);
}

/* ---- a pair ---- */

struct pair {
    struct mr_port *server;
    struct mr_port *client;
};

/* `options` are both sides', `more` the client's. */
static void pair_open(struct pair *pair, const char *socket, const char *options, const char *more,
                      uint16_t queues)
{
    char spec[128];
    struct mr_fault fault;

    snprintf(spec, sizeof(spec), "memif:role=server,socket=%s%s", socket, options);
    pair->server = open_spec(spec, queues, &fault);
    if (pair->server == NULL)
        printf("# %s\n", fault.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair->server);
    CU_ASSERT_FALSE(mr_port_is_up(pair->server));
    snprintf(spec, sizeof(spec), "memif:role=client,socket=%s%s%s", socket, options, more);
    pair->client = open_spec(spec, queues, &fault);
    if (pair->client == NULL)
        printf("# %s\n", fault.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair->client);
    CU_ASSERT(mr_port_is_up(pair->client));
}

static void pair_close(struct pair *pair)
{
    mr_port_close(pair->client);
    mr_port_close(pair->server);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool_of_test()), POOL);
}

/* Send 32 frames of `size` bytes from `from` to `to` on `queue`; how many arrived as they were. */
static uint32_t exchange(struct mr_port *from, struct mr_port *to, uint16_t queue, uint16_t size)
{
    struct rte_mbuf *mbufs[BURST];
    uint32_t good = 0;
    uint32_t got = 0;

    CU_ASSERT_EQUAL(mr_port_rx_burst(to, queue, mbufs, BURST),
                    0); /* a client gives buffers when it polls */
    CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(pool_of_test(), mbufs, BURST), 0);
    for (uint32_t i = 0; i < BURST; i++)
        memset(rte_pktmbuf_append(mbufs[i], size), (int)i + 1, size);
    uint16_t sent = mr_port_tx_burst(from, queue, mbufs, BURST);
    rte_pktmbuf_free_bulk(mbufs + sent, BURST - sent);
    for (uint32_t tries = 0; got < sent && tries < 1000; tries++) {
        uint16_t n = mr_port_rx_burst(to, queue, mbufs, BURST);

        for (uint16_t i = 0; i < n; i++) {
            const uint8_t *data = rte_pktmbuf_mtod(mbufs[i], const uint8_t *);
            good += mbufs[i]->pkt_len == size && data[0] == got + i + 1 &&
                    data[size - 1] == got + i + 1;
        }
        rte_pktmbuf_free_bulk(mbufs, n);
        got += n;
    }
    return good;
}

static void frames_cross_a_memif_both_ways_on_every_queue(void)
{
    struct pair pair;
    struct mr_port_stats stats;

    pair_open(&pair, "@mr-pair", "", "", 2);
    CU_ASSERT_EQUAL(pair.server->traits.queue_count, 2);
    CU_ASSERT_EQUAL(pair.server->traits.mtu, MR_PORT_MTU);
    CU_ASSERT_STRING_EQUAL(pair.server->traits.kind, "memif");
    CU_ASSERT_TRUE(pair.server->traits.is_memory);
    for (uint16_t queue = 0; queue < 2; queue++) {
        CU_ASSERT_EQUAL(exchange(pair.client, pair.server, queue, 1494), BURST);
        CU_ASSERT_EQUAL(exchange(pair.server, pair.client, queue, 60), BURST);
    }
    mr_port_stats(pair.server, &stats);
    CU_ASSERT_EQUAL(stats.rx_packets, 2 * BURST);
    CU_ASSERT_EQUAL(stats.tx_packets, 2 * BURST);
    CU_ASSERT_EQUAL(stats.tx_bytes, 2 * BURST * 60);
    CU_ASSERT_EQUAL(mr_port_rx_fd(pair.server, 0), -1);
    pair_close(&pair);
}

/* DPDK keeps the mbufs that lie in such a port's rings when it is closed, so the pool is its own.
 */
static void a_zero_copy_memif_works_as_well(void)
{
    struct pair pair;

    pool_in_use = dpdk_pool("zero", POOL);
    pair_open(&pair, "@mr-zero", "", ",zero-copy=yes", 1);
    CU_ASSERT_EQUAL(exchange(pair.client, pair.server, 0, 1494), BURST);
    CU_ASSERT_EQUAL(exchange(pair.server, pair.client, 0, 1494), BURST);
    mr_port_close(pair.client);
    mr_port_close(pair.server);
    pool_in_use = NULL;
}

static void a_memif_address_is_used_once(void)
{
    struct pair pair;
    struct mr_fault fault;
    char path[64];

    snprintf(path, sizeof(path), "/tmp/mr-test-%d.sock", (int)getpid());
    char spec[128];
    snprintf(spec, sizeof(spec), "memif:role=server,socket=%s,id=9", path);
    pair_open(&pair, path, "", "", 1);

    /* Another process would see a server that answers; this one has it as a second interface of the
     * same socket. */
    CU_ASSERT_PTR_NULL(open_spec(spec, 1, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "address in use"));
    pair_close(&pair);
}

/* DPDK's driver, by itself, forgets an interrupt handler and dies of it. */
static void who_connects_and_leaves_does_no_harm(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char spec[160];
    struct mr_fault fault;
    struct pair pair;

    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/mr-leave-%d.sock", (int)getpid());
    snprintf(spec, sizeof(spec), "memif:role=server,socket=%s", address.sun_path);
    pair.server = open_spec(spec, 1, &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair.server);
    for (int i = 0; i < 20; i++) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

        CU_ASSERT_EQUAL(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
    }
    snprintf(spec, sizeof(spec), "memif:role=client,socket=%s", address.sun_path);
    pair.client = open_spec(spec, 1, &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair.client);
    CU_ASSERT_EQUAL(exchange(pair.client, pair.server, 0, 100), BURST);
    pair_close(&pair);
    CU_ASSERT_NOT_EQUAL(access(address.sun_path, F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access(mr_eal_folder(), F_OK), 0);
}

/* Such as one that was killed left behind, of the same number; another is in use. */
static void a_drivers_socket_is_made_where_nobody_listens(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct mr_memif_sockets sockets[3] = {0};
    struct mr_fault fault;
    int fds[2];

    CU_ASSERT_TRUE_FATAL(mr_memif_name_driver(&sockets[0], &fault));
    unsigned long number = strtoul(strstr(sockets[0].driver, "/memif") + 6, NULL, 10);
    for (int i = 0; i < 2; i++) {
        snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/memif%lu", mr_eal_folder(),
                 number + 1 + (unsigned long)i);
        fds[i] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        CU_ASSERT_EQUAL(bind(fds[i], (const struct sockaddr *)&address, sizeof(address)), 0);
    }
    CU_ASSERT_EQUAL(listen(fds[0], 1), 0);
    close(fds[1]);
    CU_ASSERT_TRUE_FATAL(mr_memif_name_driver(&sockets[1], &fault));
    CU_ASSERT_STRING_EQUAL(sockets[1].driver, address.sun_path);
    CU_ASSERT_NOT_EQUAL(access(sockets[1].driver, F_OK), 0);
    close(fds[0]);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/memif%lu", mr_eal_folder(),
             number + 1);
    unlink(address.sun_path);

    CU_ASSERT_EQUAL(chmod(mr_eal_folder(), 0755), 0);
    CU_ASSERT_FALSE(mr_memif_name_driver(&sockets[2], &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no folder of ours alone"));
    mr_memif_leave_folder();
    CU_ASSERT_NOT_EQUAL(access(mr_eal_folder(), F_OK), 0);
}

/* ---- an lcore that polls while the other side goes ---- */

static struct {
    struct mr_port *port;
    atomic_uint rounds;
    atomic_bool is_over;
} echo;

/* Send back what comes, without a pause. */
static int echo_frames(void *argument)
{
    struct rte_mbuf *mbufs[BURST];

    (void)argument;
    while (!atomic_load_explicit(&echo.is_over, memory_order_relaxed)) {
        uint16_t n = mr_port_rx_burst(echo.port, 0, mbufs, BURST);
        uint16_t sent = mr_port_tx_burst(echo.port, 0, mbufs, n);

        rte_pktmbuf_free_bulk(mbufs + sent, (unsigned)n - sent);
        atomic_fetch_add_explicit(&echo.rounds, 1, memory_order_relaxed);
    }
    return 0;
}

/* The port has heard that its other side is gone. */
static void wait_for_end(const struct mr_port *port)
{
    for (int ms = 0; ms < 5000 && mr_port_is_up(port); ms++)
        usleep(1000);
    CU_ASSERT_FALSE(mr_port_is_up(port));
}

static void wait_for_rounds(uint32_t rounds)
{
    uint32_t begin = atomic_load_explicit(&echo.rounds, memory_order_relaxed);

    while (atomic_load_explicit(&echo.rounds, memory_order_relaxed) - begin < rounds)
        usleep(100);
}

/* Without a gate 1 in 10 rounds or so ends the program. */
static void a_port_may_be_polled_while_its_other_side_goes(void)
{
    struct rte_mbuf *mbufs[BURST];
    struct pair pair;
    char socket[32];

    for (int round = 0; round < 40; round++) {
        snprintf(socket, sizeof(socket), "@mr-polled-%d", round);
        pair_open(&pair, socket, "", "", 1);
        echo.port = round % 2 == 0 ? pair.server : pair.client;
        echo.is_over = false;
        mr_eal_launch(0, echo_frames, NULL);
        wait_for_rounds(10);
        struct mr_port *other = echo.port == pair.server ? pair.client : pair.server;
        CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(pool_of_test(), mbufs, BURST), 0);
        for (int i = 0; i < BURST; i++)
            rte_pktmbuf_append(mbufs[i], 1000);
        CU_ASSERT_EQUAL(mr_port_rx_burst(other, 0, mbufs, 0), 0); /* a client gives buffers */
        uint16_t sent = mr_port_tx_burst(other, 0, mbufs, BURST);
        rte_pktmbuf_free_bulk(mbufs + sent, (unsigned)BURST - sent);
        mr_port_close(other);
        wait_for_end(echo.port);
        wait_for_rounds(10);
        echo.is_over = true;
        mr_eal_join(0);
        mr_port_close(echo.port);
        CU_ASSERT_EQUAL(rte_mempool_avail_count(pool_of_test()), POOL);
    }
}

static void check_counter(const struct mr_port *port, const char *name, uint64_t value)
{
    static struct mr_port_counter counters[MR_PORT_COUNTERS_MAX];
    uint32_t count = mr_port_counters(port, counters, MR_PORT_COUNTERS_MAX);
    uint32_t i = 0;

    while (i < count && strcmp(counters[i].name, name) != 0)
        i++;
    CU_ASSERT_FATAL(i < count);
    CU_ASSERT_EQUAL(counters[i].value, value);
}

/* Frames of 1,000 bytes each way, since the port was opened. */
static void check_counted(const struct mr_port *port, uint64_t frames)
{
    struct mr_port_stats stats;

    mr_port_stats(port, &stats);
    CU_ASSERT_EQUAL(stats.rx_packets, frames);
    CU_ASSERT_EQUAL(stats.rx_bytes, 1000 * frames);
    CU_ASSERT_EQUAL(stats.tx_packets, frames);
    CU_ASSERT_EQUAL(stats.tx_bytes, 1000 * frames);
    check_counter(port, "rx_good_packets", frames);
    check_counter(port, "tx_q0_bytes", 1000 * frames);
}

/* A server may be connected to again and again, and counts on. */
static void a_server_waits_for_the_next_client(void)
{
    struct mr_fault fault;
    struct pair pair;

    pair_open(&pair, "@mr-again", "", "", 1);
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(exchange(pair.client, pair.server, 0, 1000), BURST);
        if (i == 0)
            check_fault("memif:role=client,socket=@mr-again", "Already connected");
        CU_ASSERT_EQUAL(exchange(pair.server, pair.client, 0, 1000), BURST);
        check_counted(pair.server, (i + 1) * BURST);
        check_counted(pair.client, BURST);
        mr_port_close(pair.client);
        wait_for_end(pair.server);
        check_counted(pair.server, (i + 1) * BURST);
        pair.client = open_spec("memif:role=client,socket=@mr-again", 1, &fault);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pair.client);
        check_counted(pair.server, (i + 1) * BURST);
    }
    pair_close(&pair);
}

static void both_sides_need_as_many_queues(void)
{
    static const struct {
        uint16_t queues;
        const char *why;
    } others[] = {{1, "the client has 1 queue, the server 2"},
                  {3, "the client has more queues than the server, which has 2"}};
    struct mr_fault fault;
    struct pair pair;

    pair_open(&pair, "@mr-as-many", "", "", 2); /* leaves rings behind */
    mr_port_close(pair.client);
    wait_for_end(pair.server);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CU_ASSERT_PTR_NULL(
            open_spec("memif:role=client,socket=@mr-as-many", others[i].queues, &fault));
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, others[i].why));
        CU_ASSERT_FALSE(mr_port_is_up(pair.server));
        for (uint16_t queue = 0; queue < 2; queue++)
            CU_ASSERT_EQUAL(mr_port_rx_burst(pair.server, queue, &(struct rte_mbuf *){NULL}, 1), 0);
    }
    pair.client = open_spec("memif:role=client,socket=@mr-as-many", 2, &fault);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pair.client);
    for (uint16_t queue = 0; queue < 2; queue++)
        CU_ASSERT_EQUAL(exchange(pair.client, pair.server, queue, 1000), BURST);
    pair_close(&pair);
}

/* A server that was killed leaves its socket file behind. */
static void a_left_over_socket_is_no_obstacle(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct pair pair;

    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/mr-left-%d.sock", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    CU_ASSERT_EQUAL(access(address.sun_path, F_OK), 0);
    pair_open(&pair, address.sun_path, "", "", 1);
    CU_ASSERT_EQUAL(exchange(pair.client, pair.server, 0, 100), BURST);
    pair_close(&pair);
    unlink(address.sun_path);
}

static void ours_is_the_address_that_the_spec_names(void)
{
    struct pair pair;

    pair_open(&pair, "@mr-mac", ",mac=02:00:00:00:00:77", "", 1);
    CU_ASSERT_EQUAL(pair.server->traits.mac[0], 2);
    CU_ASSERT_EQUAL(pair.server->traits.mac[5], 0x77);
    pair_close(&pair);
}

/* ---- pools ---- */

static void a_pool_that_is_too_large_says_how_much_there_is(void)
{
    struct mr_mbuf_pool_config config = {
        .name = "huge", .count = 1000000, .numa_node = SOCKET_ID_ANY};
    struct mr_fault fault = {0};

    CU_ASSERT_PTR_NULL(mr_mbuf_pool_create(&config, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "not enough memory for 1000000 packet buffers"));
    unsigned need = 0;
    unsigned left = 0;
    const char *numbers = strstr(fault.text, "they need");
    CU_ASSERT_PTR_NOT_NULL_FATAL(numbers);
    CU_ASSERT_EQUAL(sscanf(numbers, "they need %u MB, DPDK has %u MB left", &need, &left), 2);
    CU_ASSERT_TRUE(need > left);
    if (!mr_eal_info()->has_hugepages) /* a buffer each in a page */
        CU_ASSERT_EQUAL(need, 1000000u / 256 + 1);
    config.count = 10;
    config.name = "port";
    CU_ASSERT_PTR_NOT_NULL(pool_of_test());
    CU_ASSERT_PTR_NULL(mr_mbuf_pool_create(&config, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "exists already"));
    config.frame_max = MR_MBUF_FRAME_MAX + 1;
    CU_ASSERT_PTR_NULL(mr_mbuf_pool_create(&config, &fault));
}

static void an_mbuf_and_its_reference_find_each_other(void)
{
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool_of_test());

    CU_ASSERT_PTR_NOT_NULL_FATAL(mbuf);
    CU_ASSERT_PTR_EQUAL(mr_mbuf_of_buf(mr_buf_of_mbuf(mbuf)), mbuf);
    CU_ASSERT_PTR_EQUAL((uint8_t *)mr_buf_of_mbuf(mbuf) + MR_CACHE_LINE, mbuf->buf_addr);
    CU_ASSERT_EQUAL((uintptr_t)rte_pktmbuf_mtod(mbuf, uint8_t *) % MR_CACHE_LINE, 0);
    CU_ASSERT(rte_pktmbuf_tailroom(mbuf) >= 2048);
    rte_pktmbuf_free(mbuf);
}

static void a_pool_holds_jumbo_frames_if_asked(void)
{
    struct mr_mbuf_pool_config config = {.name = "jumbo",
                                         .count = 7,
                                         .frame_max = 9018,
                                         .is_fifo = true,
                                         .numa_node = SOCKET_ID_ANY};
    struct mr_fault fault = {0};
    struct rte_mempool *pool = mr_mbuf_pool_create(&config, &fault);

    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
    CU_ASSERT(rte_pktmbuf_tailroom(mbuf) >= 9018);
    CU_ASSERT(mr_mbuf_pool_footprint(7, 9018) >= 7 * 9018);
    rte_pktmbuf_free(mbuf);
    rte_mempool_free(pool);
}

static CU_TestInfo specs[] = {
    {"an unknown kind lists those there are", an_unknown_kind_lists_those_there_are},
    {"malformed specs of af_xdp are refused", malformed_specs_of_af_xdp_are_refused},
    {"malformed specs are refused", malformed_specs_are_refused},
    {"a port has one to 64 queues", a_port_has_one_to_64_queues},
    {"an interface must exist and be permitted", an_interface_must_exist_and_be_permitted},
    {"a card must be there", a_card_must_be_there},
    {"a port that is no card has no table and no rules",
     a_port_that_is_no_card_has_no_table_and_no_rules},
    {"a memif client needs its server first", a_memif_client_needs_its_server_first},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo memif[] = {
    {"frames cross a memif both ways on every queue",
     frames_cross_a_memif_both_ways_on_every_queue},
    {"a zero-copy memif works as well", a_zero_copy_memif_works_as_well},
    {"a memif address is used once", a_memif_address_is_used_once},
    {"who connects and leaves does no harm", who_connects_and_leaves_does_no_harm},
    {"a driver's socket is made where nobody listens",
     a_drivers_socket_is_made_where_nobody_listens},
    {"a port may be polled while its other side goes",
     a_port_may_be_polled_while_its_other_side_goes},
    {"a server waits for the next client", a_server_waits_for_the_next_client},
    {"a server removes nothing but a left-over socket",
     a_memif_server_removes_nothing_but_a_left_over_socket},
    {"a left-over socket is no obstacle", a_left_over_socket_is_no_obstacle},
    {"ours is the address that the spec names", ours_is_the_address_that_the_spec_names},
    {"both sides need as many queues", both_sides_need_as_many_queues},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo pools[] = {
    {"a pool that is too large says how much there is",
     a_pool_that_is_too_large_says_how_much_there_is},
    {"an mbuf and its reference find each other", an_mbuf_and_its_reference_find_each_other},
    {"a pool holds jumbo frames if asked", a_pool_holds_jumbo_frames_if_asked},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/port specs", .pInitFunc = dpdk_start, .pTests = specs},
    {.pName = "drivers/port memif", .pInitFunc = dpdk_start, .pTests = memif},
    {.pName = "drivers/mbuf_pool", .pInitFunc = dpdk_start, .pTests = pools},
    CU_SUITE_INFO_NULL,
};
