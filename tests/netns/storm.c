/*
 * tests/netns/storm.c - bad datagrams at a running server, and honest clients among them.
 *
 *     storm SERVER PORT COUNT RATE SEED     such as: storm 198.18.0.2 443 1000000 50000 1
 *
 * Sends COUNT datagrams, RATE a second: noise; long headers of any version and connection IDs;
 * genuine datagrams of the clients with a few bits, bytes or ends changed, repeated, or joined; and
 * Initials that open with the right keys and hold any frames.  Half of them come from the clients'
 * own ports.
 *
 * Prints one line: sent N, connections N, answers N, failures N.  Exit 1 if an honest client saw a
 * failure.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "quic/frame.h"
#include "quic/keys.h"
#include "quic/packet.h"
#include "tests/netns/storm_client.h"

#define CLIENTS     4
#define BATCH       32
#define PAYLOAD     1472
#define CHANGES_MAX 6
#define SETTLE_NS   (3 * MR_SECOND) /* honest traffic only, before and after */
#define OLD_CIDS    16              /* of Initials, that later ones use again */

struct storm {
    struct mr_random random;
    struct storm_samples samples;
    struct storm_client *clients[CLIENTS];
    int socket;
    struct mr_aead *aead;
    struct mr_cid cids[OLD_CIDS];
    uint32_t cid_count;
    uint64_t sent;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * MR_SECOND + (uint64_t)t.tv_nsec;
}

static uint32_t below(struct storm *s, uint32_t n)
{
    return (uint32_t)mr_random_below(&s->random, n);
}

static void fill(struct storm *s, uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)mr_random_u64(&s->random);
}

/* ------------------------------------------------------------------ kinds of bad datagrams */

static uint32_t noise(struct storm *s, uint8_t *bytes)
{
    uint32_t size = below(s, 4) == 0 ? below(s, 40) : below(s, PAYLOAD + 1);

    fill(s, bytes, size);
    return size;
}

/* A long header that looks right, and noise. */
static uint32_t long_header(struct storm *s, uint8_t *bytes)
{
    static const uint32_t versions[] = {MR_VERSION_1, MR_VERSION_2, 0, 0x1a2a3a4a, 0xff00001d};
    uint32_t size = below(s, 2) == 0 ? 1200 : below(s, PAYLOAD + 1);
    uint32_t version = versions[below(s, MR_COUNT_OF(versions))];
    uint32_t at = 5;

    fill(s, bytes, PAYLOAD);
    bytes[0] = (uint8_t)(0x80 | (below(s, 8) == 0 ? 0 : 0x40) | below(s, 64));
    for (int i = 0; i < 4; i++)
        bytes[1 + i] = (uint8_t)(version >> (24 - 8 * i));
    for (int i = 0; i < 2; i++) {
        bytes[at] = (uint8_t)(below(s, 8) == 0 ? below(s, 256) : below(s, MR_CID_MAX + 1));
        at += 1u + bytes[at];
        if (at >= PAYLOAD - 4)
            return size;
    }
    if (below(s, 2) == 0)
        bytes[at] = 0; /* no token */
    return size;
}

static void change(struct storm *s, uint8_t *bytes, uint32_t *size)
{
    const struct storm_sample *other = &s->samples.sample[below(s, STORM_SAMPLES)];
    uint32_t at = *size == 0 ? 0 : below(s, below(s, 2) == 0 ? MR_MIN(*size, 64u) : *size);

    switch (below(s, 6)) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << below(s, 8));
        break;
    case 1:
        bytes[at] = (uint8_t)below(s, 256);
        break;
    case 2:
        *size = below(s, *size + 1);
        break;
    case 3: /* what follows is another's */
        if (other->size > at) {
            memcpy(bytes + at, other->bytes + at, other->size - at);
            *size = other->size;
        }
        break;
    case 4: /* two in one */
        if (*size + other->size <= PAYLOAD) {
            memcpy(bytes + *size, other->bytes, other->size);
            *size += other->size;
        }
        break;
    case 5:
        while (*size < PAYLOAD && below(s, 64) != 0)
            bytes[(*size)++] = (uint8_t)below(s, 256);
        break;
    }
}

/* A genuine datagram, changed a little, or sent again as it was. */
static uint32_t spoiled(struct storm *s, uint8_t *bytes)
{
    uint64_t kept = MR_MIN(s->samples.count, (uint64_t)STORM_SAMPLES);

    if (kept == 0)
        return noise(s, bytes);
    const struct storm_sample *sample = &s->samples.sample[below(s, (uint32_t)kept)];
    uint32_t size = sample->size;
    memcpy(bytes, sample->bytes, size);
    for (uint32_t changes = below(s, CHANGES_MAX); changes > 0; changes--)
        change(s, bytes, &size);
    return size;
}

/* Any frames: known types with small numbers, or noise. */
static uint32_t any_frames(struct storm *s, uint8_t *bytes, uint32_t room)
{
    uint32_t size = 0;

    while (size + 80 < room && below(s, 12) != 0) {
        bytes[size++] = (uint8_t)below(s, below(s, 8) == 0 ? 256 : 0x1f);
        for (uint32_t i = below(s, 5); i > 0; i--)
            bytes[size++] = (uint8_t)(below(s, 4) == 0 ? below(s, 256) : below(s, 64));
        if (below(s, 3) == 0) {
            uint32_t rest = below(s, 64);

            fill(s, bytes + size, rest);
            size += rest;
        }
    }
    return MR_MAX(size, 4u);
}

static struct mr_cid any_cid(struct storm *s)
{
    if (s->cid_count > 0 && below(s, 2) == 0)
        return s->cids[below(s, MR_MIN(s->cid_count, (uint32_t)OLD_CIDS))];
    struct mr_cid cid = {.size = (uint8_t)(8 + below(s, MR_CID_MAX - 7))};
    fill(s, cid.bytes, cid.size);
    s->cids[s->cid_count++ % OLD_CIDS] = cid;
    return cid;
}

/* An Initial that a server can open. */
static uint32_t sealed(struct storm *s, uint8_t *bytes)
{
    struct mr_cid dcid = any_cid(s);
    struct mr_cid scid = {.size = 8};
    struct mr_initial_secrets secrets;
    struct mr_key_material material;
    struct mr_aead_key key = {0};
    struct mr_hp_key hp = {0};
    struct mr_writer w = mr_writer(bytes, PAYLOAD);
    uint64_t pn = below(s, 8);

    mr_keys_initial(MR_VERSION_1, &dcid, &secrets);
    mr_keys_derive(MR_VERSION_1, &secrets.of[MR_CLIENT], &material);
    mr_aead_key_set(s->aead, &key, material.cipher, material.key, material.iv, true);
    mr_hp_key_set(s->aead, &hp, material.cipher, material.hp);

    struct mr_packet_header header = {.type = MR_PACKET_INITIAL,
                                      .version = MR_VERSION_1,
                                      .dcid = mr_cid_view(&dcid),
                                      .scid = mr_cid_view(&scid)};
    uint8_t *hole = mr_packet_write_long(&w, &header, pn, 4);
    uint32_t head = (uint32_t)mr_writer_size(&w);
    uint32_t size = any_frames(s, bytes + head, 1200 - head - MR_AEAD_TAG);
    if (below(s, 8) != 0) { /* padded as it should be */
        memset(bytes + head + size, 0, 1200 - head - MR_AEAD_TAG - size);
        size = 1200 - head - MR_AEAD_TAG;
    }
    mr_packet_set_length(hole, 4 + size + MR_AEAD_TAG);
    struct mr_seal_job job = {.key = &key,
                              .hp = &hp,
                              .packet = bytes,
                              .pn = pn,
                              .header_size = (uint16_t)head,
                              .payload_size = (uint16_t)size,
                              .pn_size = 4};
    mr_seal_burst(s->aead, &job, 1);
    mr_aead_key_clear(s->aead, &key);
    mr_hp_key_clear(s->aead, &hp);
    return head + size + MR_AEAD_TAG;
}

/* ------------------------------------------------------------------ sending */

static void send_batch(struct storm *s, uint32_t count)
{
    static uint32_t (*const kinds[])(struct storm *, uint8_t *) = {
        noise, long_header, sealed, spoiled, spoiled, spoiled, spoiled, spoiled};
    static uint8_t bytes[BATCH][PAYLOAD + STORM_DATAGRAM];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec pieces[BATCH];
    int from = below(s, 2) == 0 ? s->socket : storm_client_socket(s->clients[below(s, CLIENTS)]);

    for (uint32_t i = 0; i < count; i++) {
        pieces[i].iov_base = bytes[i];
        pieces[i].iov_len = kinds[below(s, MR_COUNT_OF(kinds))](s, bytes[i]);
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (uint32_t done = 0; done < count;) {
        int more = sendmmsg(from, messages + done, count - done, 0);

        done += more > 0 ? (uint32_t)more : 1; /* an ICMP error of an earlier one: go on */
    }
    s->sent += count;
}

static void run_clients(struct storm *s)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        storm_client_run(s->clients[i], now_ns());
}

/* Answers to the storm's own socket are nobody's. */
static void forget_answers(const struct storm *s)
{
    uint8_t bytes[STORM_DATAGRAM];

    while (recv(s->socket, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
        continue;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void settle(struct storm *s)
{
    for (uint64_t end = now_ns() + SETTLE_NS; now_ns() < end; nap())
        run_clients(s);
}

static void rage(struct storm *s, uint64_t count, uint64_t rate)
{
    uint64_t begin = now_ns();

    while (s->sent < count) {
        uint64_t due = (now_ns() - begin) / 1000 * rate / 1000000;

        for (uint32_t i = 0; i < 4 && s->sent < count && s->sent < due; i++)
            send_batch(s, (uint32_t)MR_MIN(count - s->sent, (uint64_t)BATCH));
        run_clients(s);
        forget_answers(s);
        if (s->sent >= due)
            nap();
    }
}

/* ------------------------------------------------------------------ the program */

static bool open_storm(struct storm *s, const char *server, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};

    s->aead = mr_aead_open(MR_AEAD_OPENSSL);
    s->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->aead == NULL || s->socket < 0 || inet_pton(AF_INET, server, &to.sin_addr) != 1 ||
        connect(s->socket, (const struct sockaddr *)&to, sizeof(to)) != 0)
        return false;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        s->clients[i] = storm_client_make(server, port, &s->samples);
        if (s->clients[i] == NULL)
            return false;
    }
    return true;
}

static int report(const struct storm *s)
{
    struct storm_counts all = {0};

    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct storm_counts *one = storm_client_counts(s->clients[i]);

        all.connections += one->connections;
        all.answers += one->answers;
        all.failures += one->failures;
        if (all.failure[0] == '\0')
            memcpy(all.failure, one->failure, sizeof(all.failure));
    }
    printf("sent %llu, connections %llu, answers %llu, failures %llu%s%s\n",
           (unsigned long long)s->sent, (unsigned long long)all.connections,
           (unsigned long long)all.answers, (unsigned long long)all.failures,
           all.failures > 0 ? ": " : "", all.failure);
    return all.failures > 0 || all.answers == 0;
}

int main(int argc, char **argv)
{
    static struct storm storm;

    if (argc != 6) {
        fprintf(stderr, "usage: storm SERVER PORT COUNT RATE SEED\n");
        return 2;
    }
    mr_random_init_number(&storm.random, strtoull(argv[5], NULL, 10));
    if (!open_storm(&storm, argv[1], (uint16_t)atoi(argv[2]))) {
        fprintf(stderr, "storm: no sockets or no memory\n");
        return 2;
    }
    settle(&storm);
    rage(&storm, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    settle(&storm);
    int status = report(&storm);
    for (uint32_t i = 0; i < CLIENTS; i++)
        storm_client_free(storm.clients[i]);
    mr_aead_close(storm.aead);
    return status;
}
