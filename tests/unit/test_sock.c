/* Tests of millrace/socket.h over a transport in memory, in one thread and virtual time. */
#include "millrace/socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/sock_bytes.h"

static uint64_t waits(unsigned side)
{
    struct mr_sock_host_stats stats;

    world_stats(side, &stats);
    return stats.waits;
}

/* ------------------------------------------------------------------ writing */

static void a_blocking_write_returns_when_all_was_handed_to_the_port(void)
{
    open_world();
    block(ours, true);
    world.react = drain;
    loop_hold_acks(world.loop, CLIENT, true);
    /* Less than the send buffer: no acknowledgement is needed, but the window is smaller. */
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 200000), 200000);
    CU_ASSERT(in_size + world.config.stream_window + COMPACT >=
              200000); /* the rest is over there */
    world.react = NULL;
    drain();
    CU_ASSERT_EQUAL(in_size, 200000); /* everything was delivered when the call returned */
    CU_ASSERT_EQUAL(memcmp(in, out, in_size), 0);
    CU_ASSERT_EQUAL(mr_sock_get(ours, MR_SOCK_UNACKED), 200000);
    loop_hold_acks(world.loop, CLIENT, false);
    close_pair();
}

static void a_write_larger_than_the_buffer_goes_through_it(void)
{
    open_world();
    block(ours, true);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 5000), 0);
    world.react = drain;
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, BIG), BIG);
    CU_ASSERT(mr_sock_get(ours, MR_SOCK_UNACKED) <= 5000);
    world.react = NULL;
    drain();
    CU_ASSERT_EQUAL(in_size, BIG);
    CU_ASSERT_EQUAL(memcmp(in, out, BIG), 0);
    close_pair();
}

static uint64_t release_at; /* acknowledgements are held until then */

static void drain_and_release(void)
{
    drain();
    if (world_now() >= release_at)
        loop_hold_acks(world.loop, CLIENT, false);
}

static void with_acked_it_waits_for_the_acknowledgement(void)
{
    open_world();
    block(ours, true);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_WRITE_ACKED, 1), 0);
    loop_hold_acks(world.loop, CLIENT, true);
    world.react = drain_and_release;
    release_at = world_now() + 50 * MS;
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1000), 1000);
    CU_ASSERT(world_now() >= release_at);
    CU_ASSERT_EQUAL(mr_sock_get(ours, MR_SOCK_UNACKED), 0);
    /* Without, it comes back before. */
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_WRITE_ACKED, 0), 0);
    loop_hold_acks(world.loop, CLIENT, true);
    release_at = world_now() + 50 * MS;
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1000), 1000);
    CU_ASSERT(world_now() < release_at);
    loop_hold_acks(world.loop, CLIENT, false);
    close_pair();
}

static void a_later_write_is_not_taken_for_handed_by_an_earlier_ones_notice(void)
{
    open_world();
    block(ours, true);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_WRITE_TIMEOUT, 20 * MS), 0);
    size_t window = world.config.stream_window;
    /* The first gives up before it is handed over; nobody reads. */
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, window + COMPACT + 10), -EINPROGRESS);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out + window + COMPACT + 10, 1000), -EINPROGRESS);
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_WRITE_TIMEOUT, 0), 0);
    world.react = drain;
    CU_ASSERT_EQUAL(mr_sock_write(ours, out + window + COMPACT + 1010, 1000), 1000);
    world.react = NULL;
    drain();
    CU_ASSERT_EQUAL(in_size, window + COMPACT + 2010);
    CU_ASSERT_EQUAL(memcmp(in, out, in_size), 0);
    close_pair();
}

static void a_non_blocking_write_takes_what_there_is_room_for(void)
{
    open_world();
    CU_ASSERT_EQUAL(mr_sock_set(ours, MR_SOCK_SEND_BUFFER, 3000), 0);
    uint64_t before = waits(CLIENT);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, BIG), 3000);
    loop_hold_acks(world.loop, CLIENT, true);
    uint64_t steps = world.steps;
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, BIG), -EAGAIN);
    CU_ASSERT(world.steps - steps <= 1); /* one look at the world */
    CU_ASSERT_EQUAL(waits(CLIENT), before);
    CU_ASSERT_EQUAL(mr_sock_ready(ours) & POLLOUT, 0);
    loop_hold_acks(world.loop, CLIENT, false);
    world.react = drain;
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(ours) & POLLOUT, POLLOUT);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 10), 10);
    world_run();
    CU_ASSERT_EQUAL(in_size, 3010);
    close_pair();
}

static void a_closed_window_holds_nobody_up(void)
{
    size_t taken = 0;
    ssize_t n;

    open_world(); /* nobody reads at the other end */
    while ((n = mr_sock_write(ours, out, 10000)) > 0)
        taken += (size_t)n;
    CU_ASSERT_EQUAL(n, -EAGAIN);
    world_run();
    while ((n = mr_sock_write(ours, out, 10000)) > 0)
        taken += (size_t)n;
    CU_ASSERT_EQUAL(n, -EAGAIN);
    /* What the peer's window takes is acknowledged, and no more. */
    CU_ASSERT_EQUAL(mr_sock_get(ours, MR_SOCK_UNACKED), 256 * 1024);
    CU_ASSERT(taken <= 256 * 1024 + COMPACT + world.config.stream_window);
    CU_ASSERT_EQUAL(waits(CLIENT), 0);
    close_pair();
}

static void pieces_are_written_in_order(void)
{
    struct iovec pieces[] = {{out, 10}, {NULL, 0}, {out + 10, 5000}, {out + 5010, 1}};

    open_world();
    CU_ASSERT_EQUAL(mr_sock_writev(ours, pieces, 4), 5011);
    world.react = drain;
    block(ours, true);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(mr_sock_writev(ours, pieces, 4), 5011);
    world_run();
    CU_ASSERT_EQUAL(in_size, 4 * 5011);
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(memcmp(in + i * 5011, out, 5011), 0);
    CU_ASSERT_EQUAL(mr_sock_writev(ours, pieces, 0), 0);
    close_pair();
}

static void writes_survive_a_transport_that_refuses(void)
{
    in_size = 0;
    fill(out, sizeof(out), 9);
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct mr_sock_host_stats stats;
        in_size = 0;
        world_connect(seed);
        world_stream(&ours, &theirs);
        loop_set_refuse(world.loop, 60);
        block(ours, true);
        world.react = drain;
        CU_ASSERT_EQUAL(mr_sock_write(ours, out, 100000), 100000);
        CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
        world_run();
        CU_ASSERT_EQUAL(in_size, 100000);
        CU_ASSERT_EQUAL(memcmp(in, out, in_size), 0);
        CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), 0);
        world_stats(CLIENT, &stats);
        CU_ASSERT(stats.retries > 0);
        close_pair();
    }
}

/* ------------------------------------------------------------------ reading */

static void read_all_gives_exactly_the_message(void)
{
    open_world();
    block(theirs, true);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 100000), 100000);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, sizeof(in)), 100000);
    CU_ASSERT_EQUAL(memcmp(in, out, 100000), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1), 0);
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, sizeof(in)), 0);
    close_pair();
}

static void read_all_waits_for_the_end(void)
{
    open_world();
    block(theirs, true);
    CU_ASSERT_EQUAL(mr_sock_set(theirs, MR_SOCK_READ_TIMEOUT, 10 * MS), 0);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 5000), 5000);
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, sizeof(in)), -ETIMEDOUT);
    block(theirs, false);
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, sizeof(in)), -EAGAIN);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out + 5000, 10), 10);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, sizeof(in)), 5010); /* it goes on where it was */
    CU_ASSERT_EQUAL(memcmp(in, out, 5010), 0);
    close_pair();
}

/* What is in the smaller buffer's place is somebody else's. */
static void read_all_goes_on_with_a_smaller_buffer_never(void)
{
    open_world();
    block(theirs, false);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 800), 800);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, 1000), -EAGAIN);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out + 800, 1500), 1500);
    world_run();
    memset(in, 0xaa, sizeof(in));
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, 100), -EMSGSIZE);
    for (size_t i = 0; i < sizeof(in); i++)
        if (in[i] != 0xaa)
            CU_FAIL_FATAL("a byte behind the buffer");
    close_pair();
}

static void read_all_refuses_more_than_the_buffer(void)
{
    open_world();
    block(theirs, true);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 5000), 5000);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, 4999), -EMSGSIZE);
    close_pair();
    open_world();
    block(theirs, true);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 5000), 5000);
    CU_ASSERT_EQUAL(mr_sock_shutdown(ours), 0);
    CU_ASSERT_EQUAL(mr_sock_read_all(theirs, in, 5000), 5000);
    close_pair();
}

static void a_non_blocking_read_takes_what_is_there(void)
{
    size_t total = 0;
    ssize_t n;

    open_world();
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 10), -EAGAIN);
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 20000), 20000);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 7), 7);
    total = 7;
    while (total < 20000) {
        n = mr_sock_read(theirs, in + total, 1000);
        if (n == -EAGAIN)
            continue; /* it has looked, and there will be more */
        CU_ASSERT_FATAL(n > 0);
        total += (size_t)n;
    }
    CU_ASSERT_EQUAL(memcmp(in, out, total), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1000), -EAGAIN);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 1000), -EAGAIN);
    CU_ASSERT_EQUAL(waits(SERVER), 0);
    CU_ASSERT_EQUAL(mr_sock_read(theirs, in, 0), 0);
    close_pair();
}

static void what_is_not_read_extends_no_window(void)
{
    size_t window;
    ssize_t n;

    open_world();
    window = world.config.stream_window;
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 200000), 200000);
    world_run();
    uint64_t unacked = mr_sock_get(ours, MR_SOCK_UNACKED);
    CU_ASSERT(unacked >= 200000 - window - COMPACT);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_get(ours, MR_SOCK_UNACKED), unacked); /* it does not move */
    n = mr_sock_read(theirs, in, 1);
    CU_ASSERT_EQUAL(n, 1);
    in_size = 1;
    drain();
    world_run();
    CU_ASSERT(mr_sock_get(ours, MR_SOCK_UNACKED) < unacked);
    close_pair();
}

/* ------------------------------------------------------------------ accepting, opening */

static struct mr_sock *dial(void)
{
    struct mr_connect_options options = world_options();
    struct mr_sock *conn;

    CU_ASSERT_EQUAL(mr_sock_host_connect(world.host[CLIENT], &options, true, &conn), -EINPROGRESS);
    return conn;
}

static void of_two_acceptors_one_gets_the_connection(void)
{
    struct mr_sock *got[2];

    open_world();
    struct mr_sock *client = dial();
    world_run();
    /* Both have seen it ready. */
    CU_ASSERT_EQUAL(mr_sock_ready(world.listener), POLLIN);
    CU_ASSERT_EQUAL(mr_sock_ready(world.listener), POLLIN);
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &got[0]), 0);
    CU_ASSERT_EQUAL(mr_sock_ready(world.listener), 0);
    uint64_t steps = world.steps;
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &got[1]), -EAGAIN);
    CU_ASSERT_PTR_NULL(got[1]);
    CU_ASSERT_EQUAL(waits(SERVER), 0); /* it looked at the world, and did not wait */
    CU_ASSERT(world.steps - steps <= 1);
    mr_sock_close(got[0], 0);
    mr_sock_close(client, 0);
    close_pair();
}

static void more_than_the_backlog_are_refused(void)
{
    struct mr_sock *client[20];
    struct mr_sock *conn;
    struct mr_sock_host_stats stats;
    int refused = 0;

    open_world();
    for (int i = 0; i < 20; i++)
        client[i] = dial();
    world_run();
    for (int i = 0; i < 20; i++) {
        refused +=
            mr_sock_error(client[i], NULL, NULL) != 0 || (mr_sock_ready(client[i]) & POLLHUP) != 0;
        mr_sock_close(client[i], 0);
    }
    CU_ASSERT_EQUAL(refused, 4);
    world_stats(SERVER, &stats);
    CU_ASSERT_EQUAL(stats.refused, 4);
    for (int i = 0; i < 16; i++) { /* they are accepted although they are closed by now */
        CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &conn), 0);
        mr_sock_close(conn, 0);
    }
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &conn), -EAGAIN);
    close_pair();
}

static void streams_are_opened_up_to_the_peers_limit(void)
{
    struct mr_sock *stream[256];
    struct mr_sock *more;
    uint32_t count = 0;
    int error;

    open_world();
    while ((error = mr_sock_open(world.conn, 0, &stream[count])) == 0)
        count++;
    CU_ASSERT_EQUAL(error, -EAGAIN);
    CU_ASSERT_EQUAL(count, world.config.bidi_max - 1);
    CU_ASSERT_EQUAL(mr_sock_ready(world.conn) & POLLOUT, 0);
    block(world.conn, true);
    CU_ASSERT_EQUAL(mr_sock_set(world.conn, MR_SOCK_WRITE_TIMEOUT, 3 * MS), 0);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &more), -ETIMEDOUT);
    mr_sock_close(stream[0], 0);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &more), 0); /* waits until it is over */
    mr_sock_close(more, 0);
    for (uint32_t i = 1; i < count; i++)
        mr_sock_close(stream[i], 0);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(world.conn) & POLLOUT, POLLOUT);
    block(world.conn, false);
    for (count = 0; mr_sock_open(world.conn, 0, &stream[count]) == 0; count++)
        continue;
    CU_ASSERT_EQUAL(mr_sock_ready(world.conn) & POLLOUT, 0);
    loop_cut(world.loop);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(world.conn) & POLLOUT, POLLOUT); /* it fails at once */
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &more), -ENOTCONN);
    for (uint32_t i = 0; i < count; i++)
        mr_sock_close(stream[i], 0);
    close_pair();
}

static void requests_are_served_in_turn_and_in_parallel(void)
{
    enum {
        COUNT = 8
    };
    struct mr_sock *a[COUNT], *b[COUNT];
    char text[32];

    open_world();
    block(world.peer, true);
    for (int i = 0; i < COUNT; i++) { /* in turn */
        struct mr_sock *s, *t;
        CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &s), 0);
        int size = snprintf(text, sizeof(text), "request %d", i);
        CU_ASSERT_EQUAL(mr_sock_write(s, text, (size_t)size), size);
        CU_ASSERT_EQUAL(mr_sock_shutdown(s), 0);
        CU_ASSERT_EQUAL(mr_sock_accept_stream(world.peer, &t), 0);
        CU_ASSERT_EQUAL(mr_sock_read_all(t, in, 100), size);
        CU_ASSERT_EQUAL(mr_sock_write(t, in, (size_t)size), size);
        CU_ASSERT_EQUAL(mr_sock_shutdown(t), 0);
        block(s, true);
        CU_ASSERT_EQUAL(mr_sock_read_all(s, in + 100, 100), size);
        CU_ASSERT_EQUAL(memcmp(in + 100, text, (size_t)size), 0);
        mr_sock_close(s, 0);
        mr_sock_close(t, 0);
    }
    for (int i = 0; i < COUNT; i++) { /* in parallel, answered backwards */
        CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &a[i]), 0);
        block(a[i], true);
        CU_ASSERT_EQUAL(mr_sock_write(a[i], &i, sizeof(i)), sizeof(i));
        CU_ASSERT_EQUAL(mr_sock_shutdown(a[i]), 0);
    }
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(mr_sock_accept_stream(world.peer, &b[i]), 0);
    for (int i = COUNT - 1; i >= 0; i--) {
        int number;
        CU_ASSERT_EQUAL(mr_sock_read_all(b[i], &number, sizeof(number)), sizeof(number));
        number = number * 100 + (int)mr_sock_stream_id(b[i]);
        CU_ASSERT_EQUAL(mr_sock_write(b[i], &number, sizeof(number)), sizeof(number));
        CU_ASSERT_EQUAL(mr_sock_shutdown(b[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        int number = 0;
        CU_ASSERT_EQUAL(mr_sock_read_all(a[i], &number, sizeof(number)), sizeof(number));
        CU_ASSERT_EQUAL(number, i * 100 + (int)mr_sock_stream_id(a[i]));
        mr_sock_close(a[i], 0);
        mr_sock_close(b[i], 0);
    }
    close_pair();
}

static void datagrams_are_kept_whole(void)
{
    uint8_t buffer[64];

    world_prepare(1);
    in_size = 0;
    world.config.datagram_max = 1200;
    world_start();
    block(world.listener, true);
    world.conn = dial();
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &world.peer), 0);
    CU_ASSERT_EQUAL(mr_sock_set(world.peer, MR_SOCK_READ_TIMEOUT, 3 * MS), 0);
    CU_ASSERT_EQUAL(mr_sock_recv_datagram(world.peer, buffer, sizeof(buffer)), -ETIMEDOUT);
    CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, "one", 3), 0);
    CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, "", 0), 0);
    CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, out, 1201), -EMSGSIZE);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(world.peer) & (POLLIN | POLLPRI), POLLPRI);
    CU_ASSERT_EQUAL(mr_sock_recv_datagram(world.peer, buffer, 2), -ENOBUFS);
    CU_ASSERT_EQUAL(mr_sock_recv_datagram(world.peer, buffer, sizeof(buffer)), 3);
    CU_ASSERT_EQUAL(memcmp(buffer, "one", 3), 0);
    CU_ASSERT_EQUAL(mr_sock_recv_datagram(world.peer, buffer, sizeof(buffer)), 0);
    CU_ASSERT_EQUAL(mr_sock_ready(world.peer) & POLLPRI, 0);
    block(world.conn, true); /* waits for room, whenever there is none */
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, &i, sizeof(i)), 0);
    for (int i = 0; i < 100; i++) {
        int number = -1;
        CU_ASSERT_EQUAL(mr_sock_recv_datagram(world.peer, &number, sizeof(number)), sizeof(number));
        CU_ASSERT_EQUAL(number, i);
    }
    CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, "x", 1), 0);
    ours = theirs = NULL;
    close_pair();
}

/* A peer does not fill our memory: 128 wait, the others are dropped and counted. */
static void datagrams_that_nobody_reads_are_dropped(void)
{
    struct mr_sock_host_stats stats;
    int number, kept = 0;

    world_prepare(1);
    in_size = 0;
    world.config.datagram_max = 1200;
    world_start();
    block(world.listener, true);
    world.conn = dial();
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &world.peer), 0);
    block(world.conn, true);
    block(world.peer, false);
    for (int i = 0; i < 200; i++) {
        CU_ASSERT_EQUAL(mr_sock_send_datagram(world.conn, &i, sizeof(i)), 0);
        world_run();
    }
    while (mr_sock_recv_datagram(world.peer, &number, sizeof(number)) > 0) {
        CU_ASSERT_EQUAL(number, kept);
        kept++;
    }
    CU_ASSERT_EQUAL(kept, 128);
    mr_sock_host_stats(world.host[SERVER], &stats);
    CU_ASSERT_EQUAL(stats.datagrams_dropped, 72);
    ours = theirs = NULL;
    close_pair();
}

static void wrong_kinds_are_told(void)
{
    struct mr_sock *s = NULL;

    open_world();
    CU_ASSERT_EQUAL(mr_sock_read(world.conn, in, 1), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_write(world.conn, in, 1), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_accept(ours, &s), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_accept_stream(world.listener, &s), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_open(ours, 0, &s), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_shutdown(world.conn), -EINVAL);
    CU_ASSERT_EQUAL(mr_sock_recv_datagram(ours, in, 1), -EINVAL);
    CU_ASSERT_PTR_EQUAL(mr_sock_conn(ours), world.conn);
    CU_ASSERT_EQUAL(mr_sock_stream_id(ours), 0);
    CU_ASSERT_EQUAL(mr_sock_stream_id(theirs), 0);
    mr_sock_set_context(ours, in);
    CU_ASSERT_PTR_EQUAL(mr_sock_context(ours), in);
    struct mr_conn_info info;
    CU_ASSERT_EQUAL(mr_sock_info(world.conn, &info), 0);
    CU_ASSERT(info.is_client);
    close_pair();
}

static void a_datapath_that_drains_gives_no_more_connections(void)
{
    struct mr_sock *accepted, *none;

    open_world();
    struct mr_sock *early = dial(); /* and not accepted yet */
    world_run();
    loop_go_away(world.loop, SERVER);
    world_run();
    CU_ASSERT_EQUAL(mr_sock_ready(world.listener) & POLLIN, POLLIN);
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &accepted), 0);
    for (int blocks = 0; blocks < 2; blocks++) {
        block(world.listener, blocks);
        CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &none), -ESHUTDOWN);
    }
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1000), 1000); /* those that are there go on */
    world_run();
    drain();
    CU_ASSERT_EQUAL(in_size, 1000);
    mr_sock_close(accepted, 0);
    mr_sock_close(early, 0);
    close_pair();
}

static void a_world_that_ends_leaves_sockets_that_say_so(void)
{
    open_world();
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1000), 1000);
    struct mr_sock *unaccepted = dial();
    world_run();
    loop_free(world.loop);
    struct mr_sock *late;
    CU_ASSERT_EQUAL(mr_sock_host_listen(world.host[0], "any", 0, &late), -ENOTCONN);
    for (unsigned s = 0; s < 2; s++) {
        mr_sock_host_free(world.host[s]);
        mr_registration_free(world.reg[s]);
    }
    CU_ASSERT_EQUAL(mr_sock_write(ours, out, 1), -EPIPE);
    CU_ASSERT_EQUAL(mr_sock_read(ours, in, 1), -ENOTCONN);
    CU_ASSERT(mr_sock_error(ours, NULL, NULL) != 0);
    block(world.listener, true);
    struct mr_sock *conn;
    CU_ASSERT_EQUAL(mr_sock_accept(world.listener, &conn), -ENOTCONN);
    CU_ASSERT_EQUAL(mr_sock_open(world.conn, 0, &conn), -ENOTCONN);
    mr_sock_close(unaccepted, 0);
    mr_sock_close(world.conn, 0);
    mr_sock_close(ours, 0);
    mr_sock_close(theirs, 0);
    mr_sock_close(world.listener, 0);
    mr_sock_close(world.peer, 0);
}

static CU_TestInfo writing[] = {
    {"M5 a blocking write returns when all was handed to the port",
     a_blocking_write_returns_when_all_was_handed_to_the_port},
    {"M5 T11 a write larger than the send buffer goes through it",
     a_write_larger_than_the_buffer_goes_through_it},
    {"M5 with MR_SOCK_WRITE_ACKED it waits for the acknowledgement",
     with_acked_it_waits_for_the_acknowledgement},
    {"M5 a later write is not taken for handed by an earlier one's notice",
     a_later_write_is_not_taken_for_handed_by_an_earlier_ones_notice},
    {"T7 a non-blocking write takes what there is room for",
     a_non_blocking_write_takes_what_there_is_room_for},
    {"M8 T7 a closed window holds nobody up", a_closed_window_holds_nobody_up},
    {"pieces are written in order", pieces_are_written_in_order},
    {"writes survive a transport that refuses", writes_survive_a_transport_that_refuses},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo reading[] = {
    {"M6 read_all gives exactly the message", read_all_gives_exactly_the_message},
    {"M6 read_all waits for the end", read_all_waits_for_the_end},
    {"M6 read_all refuses more than the buffer", read_all_refuses_more_than_the_buffer},
    {"M3 what is read goes on into a smaller buffer never",
     read_all_goes_on_with_a_smaller_buffer_never},
    {"T6 a non-blocking read takes what is there", a_non_blocking_read_takes_what_is_there},
    {"what is not read extends no window", what_is_not_read_extends_no_window},
    {"datagrams are kept whole", datagrams_are_kept_whole},
    {"M3 datagrams that nobody reads are dropped", datagrams_that_nobody_reads_are_dropped},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo objects[] = {
    {"T8 of two acceptors one gets the connection", of_two_acceptors_one_gets_the_connection},
    {"more than the backlog are refused", more_than_the_backlog_are_refused},
    {"M4 streams are opened up to the peer's limit", streams_are_opened_up_to_the_peers_limit},
    {"T2 requests are served in turn and in parallel", requests_are_served_in_turn_and_in_parallel},
    {"wrong kinds are told", wrong_kinds_are_told},
    {"a datapath that drains gives no more connections",
     a_datapath_that_drains_gives_no_more_connections},
    {"a world that ends leaves sockets that say so", a_world_that_ends_leaves_sockets_that_say_so},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/socket: writing", .pTests = writing},
    {.pName = "app/socket: reading", .pTests = reading},
    {.pName = "app/socket: objects", .pTests = objects},
    CU_SUITE_INFO_NULL,
};
