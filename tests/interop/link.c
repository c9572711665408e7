/*
 * tests/interop/link.c - a slow, long or bad link between two network namespaces.
 *
 *     namespace of the client                                   namespace of the server
 *     its end of the TAP ---- link: NAT, loss, queue, rate, delay ---- its end of the TAP
 *
 *     link --client NETNS:IF --server NETNS:IF [--delay MS] [--rate MBIT/S] [--queue PACKETS] ...
 *
 * With --cross, either side has a second TAP, IFx, for other traffic that shares queue and wire.
 * Makes both TAPs (whose kernel's ends are the caller's to set up), says "link: ready", passes
 * frames on until SIGTERM or for --seconds, and prints what it did as JSON.  With --pcap PREFIX,
 * PREFIX.client.pcap and PREFIX.server.pcap hold what that side has sent and got.  TAPs have no
 * offloads: each frame is one packet, with checksums.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/interop/link_model.h"

#define SECOND UINT64_C(1000000000)

enum {
    FRAME_MAX = 2048,
    FRAMES_MAX = 8192, /* under way in one direction; more are dropped */
    READS_AT_ONCE = 64,
    PATH_MAX_BYTES = 512,
    SECONDS_DEFAULT = 600,
};

/* A frame under way. */
struct flying {
    uint64_t at_ns;
    uint16_t size;
    bool is_cross;
    uint8_t bytes[FRAME_MAX];
};

struct end {
    char netns[64];
    char interface[IFNAMSIZ];
    int fd;
    int cross_fd; /* of the other traffic; -1: there is none */
    FILE *pcap;
    uint8_t mac[LINK_MAC]; /* of who is there, as of its last frame */
    /* towards this side */
    struct flying *ring;
    uint32_t first;
    uint32_t count;
    uint64_t dropped; /* the ring was full, or the TAP took none */
};

struct link {
    struct end ends[LINK_SIDES];
    struct link_model model;
    const char *pcap_prefix;
    uint64_t seconds;
    bool has_cross;
};

static volatile sig_atomic_t has_ended;

static void on_signal(int number)
{
    (void)number;
    has_ended = 1;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void die(const char *what, const char *name)
{
    fprintf(stderr, "link: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

/* ------------------------------------------------------------------ captures */

static FILE *open_pcap(const char *prefix, const char *side)
{
    /* nanoseconds, version 2.4, Ethernet */
    static const uint32_t head[] = {0xa1b23c4d, 0x00040002, 0, 0, FRAME_MAX, 1};
    char path[PATH_MAX_BYTES];

    if (prefix == NULL)
        return NULL;
    snprintf(path, sizeof(path), "%s.%s.pcap", prefix, side);
    FILE *file = fopen(path, "wbe");
    if (file == NULL || fwrite(head, sizeof(head), 1, file) != 1)
        die("capture", path);
    return file;
}

static void capture(FILE *file, const uint8_t *bytes, size_t size)
{
    uint64_t now = clock_ns(CLOCK_REALTIME);
    uint32_t head[] = {(uint32_t)(now / SECOND), (uint32_t)(now % SECOND), (uint32_t)size,
                       (uint32_t)size};

    if (file == NULL)
        return;
    fwrite(head, sizeof(head), 1, file);
    fwrite(bytes, size, 1, file);
}

/* ------------------------------------------------------------------ ends */

static void enter(const char *netns)
{
    char path[PATH_MAX_BYTES];

    snprintf(path, sizeof(path), "/run/netns/%s", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        die("namespace", netns);
    close(fd);
}

static int open_tap(const char *interface, const char *suffix)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s%s", interface, suffix);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        die("interface", request.ifr_name);
    return fd;
}

static void open_end(const struct link *link, struct end *end, const char *side)
{
    enter(end->netns);
    end->fd = open_tap(end->interface, "");
    end->cross_fd = link->has_cross ? open_tap(end->interface, "x") : -1;
    end->pcap = open_pcap(link->pcap_prefix, side);
    end->ring = calloc(FRAMES_MAX, sizeof(*end->ring));
    if (end->ring == NULL)
        die("memory", side);
}

static void push(struct end *end, const uint8_t *bytes, size_t size, bool is_cross, uint64_t at_ns)
{
    if (end->count == FRAMES_MAX) {
        end->dropped++;
        return;
    }
    struct flying *frame = &end->ring[(end->first + end->count) % FRAMES_MAX];
    frame->at_ns = at_ns;
    frame->size = (uint16_t)size;
    frame->is_cross = is_cross;
    memcpy(frame->bytes, bytes, size);
    end->count++;
}

/* ------------------------------------------------------------------ passing on */

/* The server asks for an address of the NAT: answer in the client's name.  True: done. */
static bool answer_arp(struct link *link, enum link_side from, uint8_t *bytes, size_t size,
                       uint64_t now)
{
    if (from != LINK_SERVER || !link_model_owns(&link->model, link_arp_wanted(bytes, size)))
        return false;
    link_arp_answer(bytes, link->ends[LINK_CLIENT].mac);
    push(&link->ends[LINK_SERVER], bytes, size, false, now);
    return true;
}

static void take_frame(struct link *link, enum link_side from, uint8_t *bytes, size_t size,
                       uint64_t now)
{
    enum link_side to = from == LINK_CLIENT ? LINK_SERVER : LINK_CLIENT;

    capture(link->ends[from].pcap, bytes, size);
    memcpy(link->ends[from].mac, bytes + LINK_MAC, LINK_MAC);
    if (answer_arp(link, from, bytes, size, now))
        return;
    uint64_t at = link_model_pass(&link->model, to, bytes, size, now);
    if (at != 0)
        push(&link->ends[to], bytes, size, false, at);
}

static void read_end(struct link *link, enum link_side from)
{
    uint8_t bytes[FRAME_MAX];

    for (int i = 0; i < READS_AT_ONCE; i++) {
        ssize_t size = read(link->ends[from].fd, bytes, sizeof(bytes));
        if (size < 2 * LINK_MAC + 2)
            return;
        take_frame(link, from, bytes, (size_t)size, clock_ns(CLOCK_MONOTONIC));
    }
}

/* Frames of the other traffic. */
static void read_cross(struct link *link, enum link_side from)
{
    enum link_side to = from == LINK_CLIENT ? LINK_SERVER : LINK_CLIENT;
    uint8_t bytes[FRAME_MAX];

    for (int i = 0; i < READS_AT_ONCE && link->has_cross; i++) {
        ssize_t size = read(link->ends[from].cross_fd, bytes, sizeof(bytes));
        if (size <= 0)
            return;
        uint64_t at = link_model_cross(&link->model, to, (size_t)size, clock_ns(CLOCK_MONOTONIC));
        if (at != 0)
            push(&link->ends[to], bytes, (size_t)size, true, at);
    }
}

static void deliver(struct end *end, uint64_t now)
{
    while (end->count > 0 && end->ring[end->first].at_ns <= now) {
        const struct flying *frame = &end->ring[end->first];

        int fd = frame->is_cross ? end->cross_fd : end->fd;

        if (write(fd, frame->bytes, frame->size) != (ssize_t)frame->size)
            end->dropped++;
        else if (!frame->is_cross)
            capture(end->pcap, frame->bytes, frame->size);
        end->first = (end->first + 1) % FRAMES_MAX;
        end->count--;
    }
}

/* Wait for a frame, or until one is due. */
static void wait_for_work(struct link *link, uint64_t now, uint64_t until)
{
    struct pollfd fds[2 * LINK_SIDES];

    for (int i = 0; i < LINK_SIDES; i++) {
        const struct end *end = &link->ends[i];

        fds[2 * i] = (struct pollfd){.fd = end->fd, .events = POLLIN};
        fds[2 * i + 1] = (struct pollfd){.fd = end->cross_fd, .events = POLLIN};
        if (end->count > 0 && end->ring[end->first].at_ns < until)
            until = end->ring[end->first].at_ns;
    }
    uint64_t left = until > now ? until - now : 0;
    struct timespec span = {(time_t)(left / SECOND), (long)(left % SECOND)};
    (void)ppoll(fds, 2 * LINK_SIDES, &span, NULL);
}

static void run(struct link *link)
{
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + link->seconds * SECOND;

    for (uint64_t now = 0; !has_ended && now < end;) {
        now = clock_ns(CLOCK_MONOTONIC);
        wait_for_work(link, now, end < now + SECOND / 10 ? end : now + SECOND / 10);
        for (int i = 0; i < LINK_SIDES; i++) {
            read_end(link, (enum link_side)i);
            read_cross(link, (enum link_side)i);
        }
        now = clock_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < LINK_SIDES; i++)
            deliver(&link->ends[i], now);
    }
}

/* ------------------------------------------------------------------ results */

static void print_counts(const struct link *link, enum link_side side, const char *name)
{
    const struct link_counts *c = &link->model.counts[side];

    printf("\"%s\": {\"packets\": %llu, \"passed\": %llu, \"listed\": %llu, \"lost\": %llu, "
           "\"blackholed\": %llu, \"overflowed\": %llu, \"stale\": %llu, \"corrupted\": %llu, "
           "\"crossed\": %llu, \"cross_overflowed\": %llu, \"dropped\": %llu}",
           name, (unsigned long long)c->packets, (unsigned long long)c->passed,
           (unsigned long long)c->listed, (unsigned long long)c->lost,
           (unsigned long long)c->blackholed, (unsigned long long)c->overflowed,
           (unsigned long long)c->stale, (unsigned long long)c->corrupted,
           (unsigned long long)c->crossed, (unsigned long long)c->cross_overflowed,
           (unsigned long long)link->ends[side].dropped);
}

static void finish(struct link *link)
{
    for (int i = 0; i < LINK_SIDES; i++) {
        if (link->ends[i].pcap != NULL && fclose(link->ends[i].pcap) != 0)
            die("capture", link->ends[i].interface);
    }
    printf("{");
    print_counts(link, LINK_CLIENT, "to_client");
    printf(", ");
    print_counts(link, LINK_SERVER, "to_server");
    printf(", \"bindings\": %u}\n", link->model.binding);
}

/* ------------------------------------------------------------------ the command line */

static double number(const char *name, const char *text, double max)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0 && value <= max)) {
        fprintf(stderr, "link: --%s %s: not a number from 0 to %g\n", name, text, max);
        exit(2);
    }
    return value;
}

static void take_end(struct end *end, const char *text)
{
    const char *colon = strchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof(end->netns) ||
        strlen(colon + 1) >= sizeof(end->interface)) {
        fprintf(stderr, "link: %s: not NETNS:INTERFACE\n", text);
        exit(2);
    }
    memcpy(end->netns, text, (size_t)(colon - text));
    strcpy(end->interface, colon + 1);
}

/* "2,3,7" */
static void take_drops(struct link_config *config, enum link_side side, const char *text)
{
    while (*text != '\0' && config->drop_count[side] < LINK_DROPS_MAX) {
        char *end;
        config->drops[side][config->drop_count[side]++] = (uint32_t)strtoul(text, &end, 10);
        if (end == text) {
            fprintf(stderr, "link: %s: not a list of numbers\n", text);
            exit(2);
        }
        text = *end == ',' ? end + 1 : end;
    }
}

static void take_rebind(struct link_config *config, const char *text)
{
    config->rebind = strcmp(text, "port") == 0      ? LINK_REBIND_PORT
                     : strcmp(text, "address") == 0 ? LINK_REBIND_ADDRESS
                                                    : LINK_REBIND_NONE;
    if (config->rebind == LINK_REBIND_NONE) {
        fprintf(stderr, "link: --rebind %s: neither port nor address\n", text);
        exit(2);
    }
}

static void take_option(struct link *link, struct link_config *c, int letter, const char *name)
{
    switch (letter) {
    case 'c':
        take_end(&link->ends[LINK_CLIENT], optarg);
        break;
    case 's':
        take_end(&link->ends[LINK_SERVER], optarg);
        break;
    case 'd':
        c->delay_ns = (uint64_t)(number(name, optarg, 60000) * 1e6);
        break;
    case 'r':
        c->bits_per_s = (uint64_t)(number(name, optarg, 100000) * 1e6);
        break;
    case 'q':
        c->queue = (uint32_t)number(name, optarg, LINK_WAITING_MAX);
        break;
    case 'l':
        c->loss_percent = (uint32_t)number(name, optarg, 100);
        break;
    case 'x':
        c->corrupt_percent = (uint32_t)number(name, optarg, 100);
        break;
    case 'b':
        c->burst = (uint32_t)number(name, optarg, 1000);
        break;
    case 'o':
        c->on_ns = (uint64_t)(number(name, optarg, 3600) * 1e9);
        break;
    case 'f':
        c->off_ns = (uint64_t)(number(name, optarg, 3600) * 1e9);
        break;
    case 'n':
        take_rebind(c, optarg);
        break;
    case '1':
        c->rebind_first_ns = (uint64_t)(number(name, optarg, 3600) * 1e9);
        break;
    case 'e':
        c->rebind_every_ns = (uint64_t)((number(name, optarg, 3600) + 1e-3) * 1e9);
        break;
    case 'D':
        take_drops(c, LINK_SERVER, optarg);
        break;
    case 'C':
        take_drops(c, LINK_CLIENT, optarg);
        break;
    case 'X':
        link->has_cross = true;
        break;
    case 'S':
        c->seed = (uint64_t)number(name, optarg, 1e15);
        break;
    case 'p':
        link->pcap_prefix = optarg;
        break;
    case 't':
        link->seconds = (uint64_t)number(name, optarg, 1e6);
        break;
    default:
        exit(2);
    }
}

static void parse(struct link *link, int argc, char **argv)
{
    static const struct option options[] = {
        {"client", 1, NULL, 'c'},
        {"server", 1, NULL, 's'},
        {"delay", 1, NULL, 'd'},
        {"rate", 1, NULL, 'r'},
        {"queue", 1, NULL, 'q'},
        {"loss", 1, NULL, 'l'},
        {"corrupt", 1, NULL, 'x'},
        {"burst", 1, NULL, 'b'},
        {"on", 1, NULL, 'o'},
        {"off", 1, NULL, 'f'},
        {"rebind", 1, NULL, 'n'},
        {"rebind-first", 1, NULL, '1'},
        {"rebind-every", 1, NULL, 'e'},
        {"drop-to-server", 1, NULL, 'D'},
        {"drop-to-client", 1, NULL, 'C'},
        {"cross", 0, NULL, 'X'},
        {"seed", 1, NULL, 'S'},
        {"pcap", 1, NULL, 'p'},
        {"seconds", 1, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    struct link_config config = {
        .delay_ns = 15000000,
        .bits_per_s = 10000000,
        .queue = 25,
        .burst = 3,
        .on_ns = 5 * SECOND,
        .rebind_first_ns = SECOND,
        .rebind_every_ns = 5 * SECOND,
        .seed = 1,
    };
    int index;
    int letter;

    link->seconds = SECONDS_DEFAULT;
    while ((letter = getopt_long(argc, argv, "", options, &index)) != -1)
        take_option(link, &config, letter, letter == '?' ? "" : options[index].name);
    if (link->ends[LINK_CLIENT].netns[0] == '\0' || link->ends[LINK_SERVER].netns[0] == '\0') {
        fprintf(stderr, "usage: link --client NETNS:IF --server NETNS:IF [options]\n");
        exit(2);
    }
    config.bits_per_s += config.bits_per_s == 0;
    link_model_init(&link->model, &config);
}

int main(int argc, char **argv)
{
    static struct link link;
    const struct sigaction action = {.sa_handler = on_signal};

    parse(&link, argc, argv);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    open_end(&link, &link.ends[LINK_CLIENT], "client");
    open_end(&link, &link.ends[LINK_SERVER], "server");
    printf("link: ready\n");
    fflush(stdout);
    run(&link);
    finish(&link);
    return 0;
}
