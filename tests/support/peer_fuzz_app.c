/* tests/support/peer_fuzz_app.c - see peer_fuzz_app.h. */
#include "tests/support/peer_fuzz_app.h"

#include "base/assert.h"
#include "quic/conn_move.h"
#include "quic/conn_sleep.h"
#include "tests/support/peer_internal.h"

#define CODE_NEAR     7
#define RECORD_MAX    (1 << 20)
#define ANOTHER_SHARD 5

static uint8_t content[1 << 16]; /* sent by reference: the same in every run */
static uint8_t sum;              /* of what was read */

static mr_handle first_conn(const struct mr_endpoint *ep)
{
    uint32_t hand = 0;

    return mr_endpoint_next_conn(ep, &hand);
}

static mr_handle choose_conn(struct peer_fuzz *f, const struct mr_endpoint *ep)
{
    uint8_t how = peer_fuzz_take(f);
    uint32_t hand = how >= 224 ? how % 4u : 0;

    return how >= 250 ? peer_fuzz_take_word(f) : mr_endpoint_next_conn(ep, &hand);
}

/* The same of a connection that sleeps. */
static mr_handle stream_asleep(const struct mr_endpoint *ep, uint32_t number, unsigned nth)
{
    static struct mr_sleep_walk walk;
    struct mr_stream stream = {.handle = MR_HANDLE_NONE};

    mr_sleep_walk_begin(ep, number, &walk);
    while (mr_sleep_walk_next(ep, &walk, &stream) && nth-- > 0)
        continue;
    mr_sleep_walk_end(&walk);
    return stream.handle;
}

/* The stream number `nth` of the connection, or the last before it. */
static mr_handle stream_at(const struct mr_endpoint *ep, mr_handle conn_handle, unsigned nth)
{
    const struct mr_conn *conn = mr_conn_of_number(ep, conn_handle);
    const struct mr_stream *stream = NULL;

    if (conn == NULL)
        return mr_conn_is_asleep(ep, conn_handle) ? stream_asleep(ep, (uint32_t)conn_handle, nth)
                                                  : MR_HANDLE_NONE;
    for (uint32_t i = conn->stream_head; i != MR_NONE && nth + 1 > 0; nth--) {
        stream = mr_stream_at(ep, i);
        i = stream->conn_next;
    }
    return stream == NULL ? MR_HANDLE_NONE : stream->handle;
}

static mr_handle choose_stream(struct peer_fuzz *f, const struct mr_endpoint *ep)
{
    mr_handle conn = choose_conn(f, ep);
    uint8_t how = peer_fuzz_take(f);

    return how >= 252 ? peer_fuzz_take_word(f) : stream_at(ep, conn, how % 6u);
}

static void send_some(struct peer_fuzz *f, struct mr_endpoint *ep)
{
    mr_handle stream = choose_stream(f, ep);
    uint8_t flags = peer_fuzz_take(f);
    uint8_t how = peer_fuzz_take(f);
    size_t size = how < 128 ? how : how < 250 ? (size_t)how * 64 : sizeof(content);
    struct mr_view views[2] = {{content, size}, {content + 1, how % 3}};

    flags = flags % 8 == 0 ? flags / 8 % 8 : flags / 8 % 8 & (uint8_t)~MR_SEND_FIN;
    (void)mr_stream_send(ep, stream, views, 1 + how % 2, flags);
}

static void read_some(struct mr_endpoint *ep, mr_handle stream, size_t most)
{
    struct mr_view views[16];
    bool fin;
    int64_t count = mr_stream_receive(ep, stream, views, 16, &fin);

    for (int64_t i = 0; i < count; i++) { /* it is all there */
        sum = (uint8_t)(sum + views[i].data[0] + views[i].data[views[i].size - 1]);
    }
    if (count >= 0)
        (void)mr_stream_release(ep, stream, MR_MIN(most, mr_views_size(views, (size_t)count)));
}

static void read_datagrams(struct mr_endpoint *ep, mr_handle conn)
{
    uint8_t bytes[1500];

    while (mr_conn_receive_datagram(ep, conn, bytes, sizeof(bytes)) >= 0)
        continue;
}

void peer_fuzz_read_all(struct peer_fuzz *f)
{
    struct mr_endpoint *ep = peer_endpoint(f->p);
    mr_handle conn = first_conn(ep);

    for (unsigned i = 0; i < 8; i++)
        read_some(ep, stream_at(ep, conn, i), SIZE_MAX);
    read_datagrams(ep, conn);
}

static void send_datagram(struct peer_fuzz *f, struct mr_endpoint *ep)
{
    mr_handle conn = choose_conn(f, ep);
    uint8_t how = peer_fuzz_take(f);
    struct mr_view view = {content, how < 200 ? how : (size_t)how * 5};

    (void)mr_conn_send_datagram(ep, conn, &view, 1);
}

static void change_paths(struct peer_fuzz *f, struct mr_endpoint *ep)
{
    uint8_t how = peer_fuzz_take(f);
    mr_handle conn = choose_conn(f, ep);
    struct mr_path_addr addr = {.local = f->p->path.local};
    struct mr_path_info info[4];

    addr.local.port = (uint16_t)(addr.local.port + how / 4 % 4);
    if (how < 96)
        (void)mr_conn_path_open(ep, conn, &addr, f->p->now);
    else if (how < 144)
        (void)mr_conn_path_abandon(ep, conn, how % 4u, f->p->now);
    else if (how < 224)
        (void)mr_conn_path_set_backup(ep, conn, how / 2 % 4u, how % 2 == 0);
    else
        (void)mr_conn_paths(ep, conn, info, MR_COUNT_OF(info));
}

static void go_elsewhere(struct peer_fuzz *f, struct mr_endpoint *ep)
{
    struct mr_addr local = f->p->path.local;
    uint8_t how = peer_fuzz_take(f);

    local.port = (uint16_t)(local.port + how % 4);
    local.ip[15] = (uint8_t)(local.ip[15] + how / 4 % 3);
    if (how >= 128)
        change_paths(f, ep);
    else
        (void)mr_conn_migrate(ep, choose_conn(f, ep), &local, f->p->now);
}

/* The network says something of our packets, whether or not it is true. */
static void send_hint(struct peer_fuzz *f, struct mr_endpoint *ep)
{
    uint8_t quoted[64] = {0x40};
    uint8_t how = peer_fuzz_take(f);
    struct mr_conn *conn = mr_conn_of_handle(ep, first_conn(ep));

    memcpy(quoted + 1, conn == NULL ? f->p->scid.bytes : mr_cid_current(conn)->cid.bytes,
           PEER_CID_SIZE);
    if (how % 8 == 7)
        (void)mr_endpoint_unreachable(ep, &f->p->path, f->p->hello.bytes, f->p->hello.size);
    else
        (void)mr_endpoint_too_big(ep, &f->p->path, 1100 + how * 2u, quoted, how % 65u);
}

/* What the control thread does to a shard. */
static void control(struct peer_fuzz *f, struct mr_endpoint *ep)
{
    static const uint8_t key[MR_CID_KEY] = {1, 2, 3};
    uint8_t ticket[MR_TLS_TICKET_MAX];
    uint8_t how = peer_fuzz_take(f);

    if (how < 128 && f->p->options.cid_kind == MR_CID_QUIC_LB)
        (void)mr_endpoint_set_cid_config(ep, how % MR_CID_CONFIGS, how % 2 == 0 ? NULL : key);
    else if (how < 200)
        mr_endpoint_paused(ep, (uint64_t)how * MR_MS);
    else
        (void)mr_conn_ticket(ep, first_conn(ep), ticket, sizeof(ticket), f->p->now);
}

/* Away to another shard, which has no room for it: everything is as before. */
static void go_and_come(struct mr_endpoint *ep, mr_handle conn, uint64_t now)
{
    static _Alignas(max_align_t) uint8_t record[RECORD_MAX];
    const struct mr_conn_export to = {
        .record = (void *)record, .room = sizeof(record), .shard = ANOTHER_SHARD};

    if (mr_conn_export(ep, conn, &to, now) == 0)
        MR_ASSERT(mr_conn_import(ep, to.record, now, &conn) == 0);
}

static void close_or_ask(struct peer_fuzz *f, struct mr_endpoint *ep, enum mr_role role)
{
    mr_handle conn = choose_conn(f, ep);
    struct mr_conn_info info;
    uint8_t how = peer_fuzz_take(f);

    if (how < 8)
        (void)mr_conn_close(ep, conn, peer_fuzz_near(f, CODE_NEAR), "enough", f->p->now);
    else if (how < 40)
        go_and_come(ep, conn, f->p->now);
    else if (how < 120 && role == f->p->role && f->p->is_alone)
        (void)mr_conn_update_keys(ep, conn, f->p->now);
    else if (how < 160)
        control(f, ep);
    else if (how < 200)
        (void)mr_conn_info(ep, conn, &info);
    else if (how < 250)
        read_datagrams(ep, conn);
    else
        mr_endpoint_close_all(ep, CODE_NEAR, f->p->now);
}

void peer_fuzz_app(struct peer_fuzz *f, enum mr_role role)
{
    struct mr_endpoint *ep = f->p->side[role].ep;
    uint8_t op = peer_fuzz_take(f);
    mr_handle stream;

    if (op < 8)
        (void)mr_conn_sleep(ep, choose_conn(f, ep));
    else if (op < 40)
        (void)mr_stream_open(ep, choose_conn(f, ep), op % 4 == 0 ? MR_OPEN_UNI : MR_OPEN_BIDI, 1,
                             &stream);
    else if (op < 100)
        send_some(f, ep);
    else if (op < 140)
        read_some(ep, choose_stream(f, ep), peer_fuzz_near(f, SIZE_MAX));
    else if (op < 155)
        (void)mr_stream_reset(ep, choose_stream(f, ep), peer_fuzz_near(f, CODE_NEAR));
    else if (op < 180)
        (void)mr_stream_reset_at(ep, choose_stream(f, ep), CODE_NEAR,
                                 peer_fuzz_near(f, peer_fuzz_take(f)));
    else if (op < 190)
        (void)mr_stream_stop(ep, choose_stream(f, ep), peer_fuzz_near(f, CODE_NEAR));
    else if (op < 200)
        (void)mr_stream_set_priority(
            ep, choose_stream(f, ep),
            (struct mr_priority){.urgency = op % 9u, .is_incremental = op % 2 == 0});
    else if (op < 220)
        send_datagram(f, ep);
    else if (op < 230)
        go_elsewhere(f, ep);
    else if (op < 240)
        send_hint(f, ep);
    else
        close_or_ask(f, ep, role);
    peer_drain_side(f->p, &f->p->side[role]);
    peer_settle(f->p, &f->p->side[role]);
}
