/* Tests of app/transport_ring.h, operation by operation: connections and streams. */
#include <errno.h>
#include <stdlib.h>

#include "app/attach_internal.h"
#include "tests/support/ring_recorder.h"
#include "tests/unit/harness.h"

enum {
    CODE = 77
};

/* ------------------------------------------------------------------ connections */

static void a_connection_is_told_with_what_is_known_of_it(void)
{
    struct mr_conn_info info;

    rec_prepare();
    rec_start_connected();
    const struct mr_event *event = rec_seen(REC_CLIENT, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(event->conn, rec.conn);
    CU_ASSERT_EQUAL(event->user_data, REC_CONN_WORD);
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->conn_info(rec.sides[REC_CLIENT].t, rec.conn, &info), 0);
    CU_ASSERT(info.is_client);
    CU_ASSERT_STRING_EQUAL(info.alpn, "h3");
    CU_ASSERT_EQUAL(info.streams_bidi_limit, rec.config.loop.bidi_max);
    CU_ASSERT_EQUAL(info.datagram_max, 1200);
    event = rec_seen(REC_SERVER, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(
        rec.sides[REC_SERVER].t->ops->conn_info(rec.sides[REC_SERVER].t, event->conn, &info), 0);
    CU_ASSERT(!info.is_client);
    CU_ASSERT_STRING_EQUAL(info.server_name, "localhost");
    CU_ASSERT_STRING_EQUAL(info.alpn, "h3");
    rec_finish();
}

static void words_come_back_with_every_event(void)
{
    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 41);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    CU_ASSERT_EQUAL(rec_wait_for(REC_CLIENT, MR_EVENT_ACKED)->user_data, 41);
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_STREAM_OPENED)->user_data, 0);
    mr_handle other = rec_seen(REC_SERVER, MR_EVENT_STREAM_OPENED)->stream;
    CU_ASSERT_EQUAL(rec.sides[REC_SERVER].t->ops->set_user_data(rec.sides[REC_SERVER].t, other, 42),
                    0);
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->set_user_data(rec.sides[REC_CLIENT].t, stream, 43), 0);
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->set_user_data(rec.sides[REC_CLIENT].t, rec.conn, 44), 0);
    rec_forget();
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "def", 3, MR_SEND_FIN), 0);
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_READABLE)->user_data, 42);
    CU_ASSERT_EQUAL(rec_wait_for(REC_CLIENT, MR_EVENT_ACKED)->user_data, 43);
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->close(rec.sides[REC_CLIENT].t, rec.conn, CODE, "bye"), 0);
    rec_forget();
    rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED);
    rec_run(20);
    CU_ASSERT_EQUAL(rec.sides[REC_CLIENT].events[rec.sides[REC_CLIENT].count - 1].user_data, 44);
    rec_finish();
}

static void a_close_reaches_both_sides_streams_first(void)
{
    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    rec_wait_for(REC_SERVER, MR_EVENT_READABLE);
    rec_forget();
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->close(rec.sides[REC_CLIENT].t, rec.conn, CODE, "bye"), 0);
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->close(rec.sides[REC_CLIENT].t, rec.conn, 1, "again"), 0);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), -ESTALE);
    rec_run(50);
    for (unsigned i = 0; i < 2; i++) {
        const struct rec_side *s = &rec.sides[i];

        CU_ASSERT_EQUAL(rec_times(i, MR_EVENT_CLOSED), 2);
        CU_ASSERT_NOT_EQUAL(rec_seen(i, MR_EVENT_CLOSED)->stream, MR_HANDLE_NONE);
        CU_ASSERT_EQUAL(s->events[s->count - 1].stream, MR_HANDLE_NONE);
        CU_ASSERT_EQUAL(s->events[s->count - 1].error, CODE);
        CU_ASSERT(s->events[s->count - 1].is_application);
        CU_ASSERT_EQUAL(s->events[s->count - 1].is_remote, i == REC_SERVER);
        CU_ASSERT_EQUAL(mr_ring_transport_objects(s->rt), 0);
    }
    rec_finish();
}

static void stale_handles_are_said_to_be_stale(void)
{
    struct mr_view view = {(const uint8_t *)"x", 1};
    struct mr_conn_info info;
    uint8_t bytes[8];
    mr_handle out;
    bool fin;

    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->close(t, rec.conn, CODE, NULL), 0);
    rec_run(50);
    CU_ASSERT_EQUAL(t->ops->close(t, rec.conn, 0, NULL), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->open(t, rec.conn, 0, 0, &out), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->conn_info(t, rec.conn, &info), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, bytes, 8), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->send_datagram(t, rec.conn, &view, 1), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->receive_datagram(t, rec.conn, bytes, 8), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->set_user_data(t, rec.conn, 0), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->send(t, stream, &view, 1, 0), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->receive(t, stream, &view, 1, &fin), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->release(t, stream, 0), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->reset(t, stream, 0), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->stop(t, stream, 0), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->stream_id(t, stream), UINT64_MAX);
    CU_ASSERT_EQUAL(t->ops->close(t, 0, 0, NULL), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->close(t, UINT64_MAX, 0, NULL), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->close(t, stream, 0, NULL), -ESTALE);
    rec_finish();
}

static void a_wish_that_cannot_be_is_refused_at_once(void)
{
    struct mr_connect_options options = rec_options();
    struct mr_transport *t;
    char name[300];

    rec_prepare();
    rec_start();
    t = rec.sides[REC_CLIENT].t;
    options.alpn_size = 0;
    CU_ASSERT_EQUAL(t->ops->connect(t, &options, &rec.conn), -EINVAL);
    options.alpn_size = 200;
    CU_ASSERT_EQUAL(t->ops->connect(t, &options, &rec.conn), -EINVAL);
    options = rec_options();
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    options.server_name = name;
    CU_ASSERT_EQUAL(t->ops->connect(t, &options, &rec.conn), -EINVAL);
    rec_finish();
}

static void what_the_datapath_refuses_is_closed(void)
{
    struct mr_connect_options options = rec_options();

    rec_prepare();
    rec.config.loop.refuse_percent = 100;
    rec_start();
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->connect(rec.sides[REC_CLIENT].t, &options, &rec.conn), 0);
    const struct mr_event *event = rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(event->conn, rec.conn);
    CU_ASSERT_EQUAL(event->error, MR_RING_ERROR_REFUSED);
    CU_ASSERT(!event->is_application);
    CU_ASSERT_EQUAL(event->kinds, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(mr_ring_transport_objects(rec.sides[REC_CLIENT].rt), 0);
    CU_ASSERT_EQUAL(mr_attach_ring(rec.sides[REC_CLIENT].attachment, 0)->area.used, 0);
    rec_finish();
}

static void connections_go_to_the_rings_in_turn(void)
{
    struct mr_connect_options options = rec_options();

    rec_prepare();
    rec.rings = 3;
    rec_start();
    for (int i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(
            rec.sides[REC_CLIENT].t->ops->connect(rec.sides[REC_CLIENT].t, &options, &rec.conn), 0);
    rec_run(50);
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_CONNECTED), 6);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_CONNECTED), 6);
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t ring = 0; ring < 3; ring++) {
            struct mr_app_ring_stats stats;

            mr_app_host_ring_stats(ring_world_host(rec.world, side), ring, &stats);
            CU_ASSERT_EQUAL(stats.conns, 2);
        }
    rec_finish();
}

static void a_ticket_is_fetched_before_it_is_told(void)
{
    uint8_t ticket[128];

    rec_prepare();
    rec.config.loop.has_tickets = true;
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, ticket, sizeof(ticket)), 0);
    CU_ASSERT_EQUAL(rec_wait_for(REC_CLIENT, MR_EVENT_TICKET)->conn, rec.conn);
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, ticket, 3), -ENOBUFS);
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, ticket, sizeof(ticket)), sizeof(LOOP_TICKET));
    CU_ASSERT_EQUAL(memcmp(ticket, LOOP_TICKET, sizeof(LOOP_TICKET)), 0);
    rec_run(10);
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_TICKET), 1); /* the same again is no news */

    struct mr_connect_options options = rec_options();
    struct mr_conn_info info;
    options.ticket = ticket;
    options.ticket_size = sizeof(LOOP_TICKET);
    rec_forget();
    CU_ASSERT_EQUAL(t->ops->connect(t, &options, &rec.conn), 0);
    rec_wait_for(REC_CLIENT, MR_EVENT_CONNECTED);
    CU_ASSERT_EQUAL(t->ops->conn_info(t, rec.conn, &info), 0);
    CU_ASSERT(info.is_resumed);
    rec_finish();
}

static void the_head_of_a_ticket_goes_over_what_was_there(void)
{
    uint8_t ticket[128];

    rec_prepare();
    rec.config.loop.has_tickets = rec.config.loop.has_ticket_heads = true;
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, ticket, sizeof(ticket)), 0);
    rec_wait_for(REC_CLIENT, MR_EVENT_TICKET);
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, ticket, sizeof(ticket)), sizeof(LOOP_TICKET));
    CU_ASSERT_EQUAL(memcmp(ticket, LOOP_TICKET, sizeof(LOOP_TICKET)), 0);
    rec_run(10);
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_TICKET), 2);
    CU_ASSERT_EQUAL(t->ops->ticket(t, rec.conn, ticket, sizeof(ticket)), sizeof(LOOP_TICKET));
    CU_ASSERT_EQUAL(memcmp(ticket, "A TICKET OF", 11), 0);
    CU_ASSERT_EQUAL(memcmp(ticket + MR_TICKET_HEAD_SIZE, &LOOP_TICKET[MR_TICKET_HEAD_SIZE],
                           sizeof(LOOP_TICKET) - MR_TICKET_HEAD_SIZE),
                    0);
    rec_finish();
}

/* ------------------------------------------------------------------ streams */

static void open_send_and_end_go_out_together(void)
{
    struct mr_view views[4];
    bool fin = false;

    rec_prepare();
    rec_start_connected();
    rec_run(10);
    uint64_t before = mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->submissions;
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "hello", 5, MR_SEND_FIN), 0);
    mr_ring_transport_poll(rec.sides[REC_CLIENT].rt);
    ring_world_step(rec.world);
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->submissions - before,
                    2);
    const struct mr_event *event = rec_wait_for(REC_SERVER, MR_EVENT_READABLE);
    CU_ASSERT((event->kinds & MR_EVENT_STREAM_OPENED) != 0);
    struct mr_transport *t = rec.sides[REC_SERVER].t;
    CU_ASSERT_EQUAL(t->ops->receive(t, event->stream, views, 4, &fin), 1);
    CU_ASSERT_EQUAL(views[0].size, 5);
    CU_ASSERT_EQUAL(memcmp(views[0].data, "hello", 5), 0);
    CU_ASSERT(fin);
    CU_ASSERT_EQUAL(t->ops->stream_id(t, event->stream),
                    rec.sides[REC_CLIENT].t->ops->stream_id(rec.sides[REC_CLIENT].t, stream));
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "more", 4, 0), -EPIPE);
    rec_finish();
}

/* RFC 9218: what the application says reaches the datapath's transport. */
static void a_priority_is_passed_on(void)
{
    rec_prepare();
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(t->ops->set_priority(t, stream, (struct mr_priority){1, false}), 0);
    CU_ASSERT_EQUAL(t->ops->set_priority(t, stream, (struct mr_priority){8, false}), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->set_priority(t, rec.conn, (struct mr_priority){1, false}), -ESTALE);
    rec_run(20);
    struct mr_priority priority = loop_priority(ring_world_loop(rec.world), REC_CLIENT, 0);
    CU_ASSERT_EQUAL(priority.urgency, 1);
    CU_ASSERT_FALSE(priority.is_incremental);
    CU_ASSERT_EQUAL(t->ops->set_priority(t, stream, (struct mr_priority){6, true}), 0);
    rec_run(20);
    priority = loop_priority(ring_world_loop(rec.world), REC_CLIENT, 0);
    CU_ASSERT_EQUAL(priority.urgency, 6);
    CU_ASSERT(priority.is_incremental);
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->bad_submissions, 0);
    rec_finish();
}

/* The event comes with what is true then; what the datapath refuses is told, too. */
static void a_migration_is_asked_for_and_told(void)
{
    const struct mr_address another = {.port = 0};
    const struct mr_address far_away = {.ip = {[10] = 0xff, 0xff, 10, 0, 0, 7}, .port = 6000};
    const struct mr_address deaf = {.port = LOOP_DEAF_PORT};
    struct mr_conn_info info;

    rec_prepare();
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    rec_run(20);
    rec_forget();
    CU_ASSERT_EQUAL(t->ops->migrate(t, 12345, &another), -ESTALE);
    CU_ASSERT_EQUAL(t->ops->migrate(t, rec.conn, &another), 0);
    rec_wait_for(REC_CLIENT, MR_EVENT_PATH_CHANGED);
    CU_ASSERT_EQUAL(t->ops->conn_info(t, rec.conn, &info), 0);
    CU_ASSERT_EQUAL(info.local.port, 1);
    const struct mr_event *event = rec_wait_for(REC_SERVER, MR_EVENT_PATH_CHANGED);
    struct mr_transport *server = rec.sides[REC_SERVER].t;
    CU_ASSERT_EQUAL(server->ops->conn_info(server, event->conn, &info), 0);
    CU_ASSERT_EQUAL(info.remote.port, 1);
    CU_ASSERT_EQUAL(t->ops->migrate(t, rec.conn, &far_away), 0);
    rec_run(20);
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_PATH_CHANGED), 2);
    CU_ASSERT_EQUAL(t->ops->conn_info(t, rec.conn, &info), 0);
    CU_ASSERT_EQUAL(info.local.port, 6000);
    CU_ASSERT_EQUAL(t->ops->migrate(t, rec.conn, &deaf), 0);
    rec_wait_for(REC_CLIENT, MR_EVENT_PATH_FAILED);
    CU_ASSERT_EQUAL(server->ops->migrate(server, event->conn, &another), 0);
    rec_wait_for(REC_SERVER, MR_EVENT_PATH_FAILED); /* -EOPNOTSUPP of its datapath */
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->bad_submissions, 0);
    rec_finish();
}

static int64_t ask_path(struct mr_transport *t, uint8_t kind, uint32_t path, uint16_t port)
{
    return mr_path_do(t, rec.conn,
                      &(struct mr_path_call){.kind = kind, .path = path, .local.port = port});
}

static int64_t list_paths(struct mr_transport *t, mr_handle conn, struct mr_path_info *out)
{
    return mr_path_do(
        t, conn,
        &(struct mr_path_call){.kind = MR_PATH_CALL_LIST, .out = out, .room = MR_PATHS_LIST_MAX});
}

/* Answers come later, one at a time, with the list as it is then. */
static void paths_are_asked_for_and_told(void)
{
    struct mr_path_info paths[MR_PATHS_LIST_MAX];
    struct mr_conn_info info;

    rec_prepare();
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t, *server = rec.sides[REC_SERVER].t;
    rec_run(20);
    rec_forget();
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_ANSWER, 0, 0), -ENOENT);
    CU_ASSERT_EQUAL(list_paths(t, rec.conn, paths), 1); /* what is known without asking */
    CU_ASSERT_EQUAL(paths[0].state, MR_PATH_INFO_OPEN);
    CU_ASSERT_EQUAL(t->ops->conn_info(t, rec.conn, &info), 0);
    CU_ASSERT_EQUAL(paths[0].remote.port, info.remote.port);
    CU_ASSERT_EQUAL(paths[0].rtt_ns, info.rtt_ns);
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_OPEN, 0, 7000), -EINPROGRESS);
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_ANSWER, 0, 0), -EINPROGRESS);
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_OPEN, 0, 7001), -EAGAIN);
    rec_wait_for(REC_CLIENT, MR_EVENT_PATHS_CHANGED);
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_ANSWER, 0, 0), 1);
    CU_ASSERT_EQUAL(list_paths(t, rec.conn, paths), 2);
    mr_handle theirs = rec_wait_for(REC_SERVER, MR_EVENT_PATHS_CHANGED)->conn; /* validated */
    rec_run(20);
    CU_ASSERT_EQUAL(list_paths(t, rec.conn, paths), 2);
    CU_ASSERT_EQUAL(paths[1].local.port, 7000);
    CU_ASSERT_EQUAL(paths[1].state, MR_PATH_INFO_OPEN);
    CU_ASSERT_EQUAL(paths[1].bytes_received, 5001);
    CU_ASSERT_EQUAL(list_paths(server, theirs, paths), 2);
    CU_ASSERT_EQUAL(paths[1].remote.port, 7000);
    rec_forget();
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_BACKUP, 1, 0), -EINPROGRESS);
    rec_wait_for(REC_SERVER, MR_EVENT_PATHS_CHANGED);
    CU_ASSERT_EQUAL(list_paths(server, theirs, paths), 2);
    CU_ASSERT(paths[1].is_peer_backup);
    rec_wait_for(REC_CLIENT, MR_EVENT_PATHS_CHANGED);
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_ANSWER, 0, 0), 0);
    CU_ASSERT_EQUAL(list_paths(t, rec.conn, paths), 2);
    CU_ASSERT(paths[1].is_backup);
    rec_forget();
    CU_ASSERT_EQUAL(list_paths(t, rec.conn, paths), 2); /* its list is no answer to the next call */
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_ABANDON, 4, 0), -EINPROGRESS);
    for (int i = 0; i < 10; i++) {
        int64_t answer = ask_path(t, MR_PATH_CALL_ANSWER, 0, 0);
        CU_ASSERT(answer == -EINPROGRESS || answer == -ENOENT);
        rec_run(1);
    }
    rec_wait_for(REC_CLIENT, MR_EVENT_PATHS_CHANGED);
    CU_ASSERT_EQUAL(ask_path(t, MR_PATH_CALL_ANSWER, 0, 0), -ENOENT);
    CU_ASSERT_EQUAL(ask_path(t, 99, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(mr_path_do(t, 12345, &(struct mr_path_call){0}), -ESTALE);
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->bad_submissions, 0);
    rec_finish();
}

static void an_end_waits_until_all_was_consumed(void)
{
    struct mr_view views[4];
    bool fin = false;

    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_UNI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "hello", 5, MR_SEND_FIN), 0);
    mr_handle other = rec_wait_for(REC_SERVER, MR_EVENT_READABLE)->stream;
    struct mr_transport *t = rec.sides[REC_SERVER].t;
    rec_run(50); /* the datapath is done with it */
    CU_ASSERT_PTR_NULL(rec_seen(REC_SERVER, MR_EVENT_CLOSED));
    CU_ASSERT_EQUAL(t->ops->send(t, other, NULL, 0, MR_SEND_FIN), -EPIPE);
    CU_ASSERT_EQUAL(t->ops->receive(t, other, views, 4, &fin), 1);
    CU_ASSERT_EQUAL(t->ops->release(t, other, 2), 0);
    rec_run(5);
    CU_ASSERT_PTR_NULL(rec_seen(REC_SERVER, MR_EVENT_CLOSED));
    CU_ASSERT_EQUAL(t->ops->receive(t, other, views, 4, &fin), 1);
    CU_ASSERT_EQUAL(memcmp(views[0].data, "llo", 3), 0);
    CU_ASSERT_EQUAL(t->ops->release(t, other, 3), 0);
    rec_run(5);
    CU_ASSERT_EQUAL(rec_seen(REC_SERVER, MR_EVENT_CLOSED)->stream, other);
    CU_ASSERT_EQUAL(rec_seen(REC_CLIENT, MR_EVENT_CLOSED)->stream, stream);
    rec_finish();
}

/* By reference they are bytes of a stream, not slots. */
static void what_is_consumed_together_goes_back_together_by_reference(void)
{
    struct mr_view views[8];
    bool fin = false;
    size_t size = 0;

    rec_prepare();
    rec.config.sizes.flags = MR_RING_BY_REFERENCE;
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_UNI, 5);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "hello", 5, 0), 0);
        rec_run(20);
    }
    mr_handle other = rec_seen(REC_SERVER, MR_EVENT_READABLE)->stream;
    struct mr_transport *t = rec.sides[REC_SERVER].t;
    int64_t count = t->ops->receive(t, other, views, 8, &fin);
    CU_ASSERT_FATAL(count >= 2);
    for (int64_t i = 0; i < count; i++)
        size += views[i].size;
    CU_ASSERT_EQUAL(size, 15);

    uint64_t before = mr_app_host_stats(ring_world_host(rec.world, REC_SERVER))->submissions;
    CU_ASSERT_EQUAL(t->ops->release(t, other, 14), 0); /* all pieces but the last, and a part */
    rec_run(5);
    uint64_t after = mr_app_host_stats(ring_world_host(rec.world, REC_SERVER))->submissions;
    CU_ASSERT_EQUAL(after - before, 1);
    CU_ASSERT_EQUAL(t->ops->receive(t, other, views, 8, &fin), 1);
    CU_ASSERT_EQUAL(views[0].size, 1);
    CU_ASSERT_EQUAL(t->ops->release(t, other, 1), 0);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "more", 4, MR_SEND_FIN), 0);
    rec_run(20);
    CU_ASSERT_EQUAL(t->ops->receive(t, other, views, 8, &fin), 1);
    CU_ASSERT_EQUAL(memcmp(views[0].data, "more", 4), 0);
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_SERVER))->bad_submissions, 0);
    rec_finish();
}

static void a_limit_is_known_here_and_its_rise_is_told(void)
{
    mr_handle stream;

    rec_prepare();
    rec.config.loop.uni_max = 2;
    rec_start_connected();
    mr_handle first = rec_open_stream(MR_OPEN_UNI, 1);
    rec_open_stream(MR_OPEN_UNI, 2);
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->open(t, rec.conn, MR_OPEN_UNI, 3, &stream), -EAGAIN);
    rec_run(20);
    CU_ASSERT_PTR_NULL(rec_seen(REC_CLIENT, MR_EVENT_STREAMS_ALLOWED));
    CU_ASSERT_EQUAL(t->ops->reset(t, first, 9), 0);
    rec_wait_for(REC_CLIENT, MR_EVENT_STREAMS_ALLOWED);
    stream = rec_open_stream(MR_OPEN_UNI, 3);
    CU_ASSERT_EQUAL(t->ops->stream_id(t, stream), 10);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "x", 1, MR_SEND_FIN), 0);
    rec_forget();
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_READABLE)->error, 0);
    rec_finish();
}

static void too_much_is_refused_until_it_is_acknowledged(void)
{
    static uint8_t bytes[40000];

    rec_prepare();
    rec.limits.queue_bytes = 10000;
    rec_start_connected();
    loop_hold_acks(ring_world_loop(rec.world), REC_CLIENT, true);
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, bytes, 40000, 0),
                    0); /* the first goes through whole */
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, bytes, 1, 0), -EAGAIN);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, bytes, 1025, MR_SEND_COPY), -EMSGSIZE);
    rec_run(50);
    CU_ASSERT_PTR_NULL(rec_seen(REC_CLIENT, MR_EVENT_WRITABLE));
    loop_hold_acks(ring_world_loop(rec.world), REC_CLIENT, false);
    rec_wait_for(REC_CLIENT, MR_EVENT_WRITABLE);
    CU_ASSERT_EQUAL(rec_times(REC_CLIENT, MR_EVENT_WRITABLE), 1);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, bytes, 1, 0), 0);
    rec_finish();
}

static void bytes_of_the_send_area_are_not_copied(void)
{
    rec_prepare();
    rec_start_connected();
    struct mr_ring *ring = mr_attach_ring(rec.sides[REC_CLIENT].attachment, 0);
    const struct mr_ring_transport_stats *stats = mr_ring_transport_stats(rec.sides[REC_CLIENT].rt);
    uint64_t copied = stats->bytes_copied;
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    uint8_t *block = mr_ring_alloc(ring, 100000);

    CU_ASSERT_PTR_NOT_NULL_FATAL(block);
    memset(block, 7, 100000);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, block + 10, 90000, 0), 0);
    rec_run(20);
    CU_ASSERT_EQUAL(stats->bytes_copied, copied);
    static uint8_t elsewhere[5000];
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, elsewhere, 5000, 0), 0);
    rec_run(20);
    CU_ASSERT_EQUAL(stats->bytes_copied, copied + 5000);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, elsewhere, 500, MR_SEND_COPY), 0);
    CU_ASSERT_EQUAL(stats->bytes_copied, copied + 5500);
    rec_run(200);
    mr_ring_free(ring, block);
    CU_ASSERT_EQUAL(ring->area.used, 0); /* the window is closed, but all was acknowledged */
    rec_finish();
}

static void never_more_sends_are_out_than_allowed(void)
{
    rec_prepare();
    rec.config.sizes.sends_max = 3;
    rec_start_connected();
    loop_hold_acks(ring_world_loop(rec.world), REC_CLIENT, true);
    for (uint64_t i = 0; i < 6; i++) {
        mr_handle stream = rec_open_stream(MR_OPEN_BIDI, i + 1);
        CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, MR_SEND_FIN), 0);
    }
    rec_run(50);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_STREAM_OPENED), 3);
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->bad_submissions, 0);
    loop_hold_acks(ring_world_loop(rec.world), REC_CLIENT, false);
    rec_run(50);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_STREAM_OPENED), 6);
    rec_finish();
}

static void a_reset_and_a_stop_carry_their_codes(void)
{
    struct mr_view view;
    bool fin;

    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    mr_handle other = rec_wait_for(REC_SERVER, MR_EVENT_READABLE)->stream;
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    CU_ASSERT_EQUAL(t->ops->reset(t, stream, MR_ERROR_CODE_MAX + 1), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->stop(t, stream, UINT64_MAX), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->close(t, rec.conn, MR_ERROR_CODE_MAX + 1, NULL), -EINVAL);
    CU_ASSERT_EQUAL(rec.sides[REC_CLIENT].t->ops->reset(rec.sides[REC_CLIENT].t, stream, 31), 0);
    CU_ASSERT_EQUAL(rec.sides[REC_CLIENT].t->ops->reset(rec.sides[REC_CLIENT].t, stream, 31),
                    -EPIPE);
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_RESET)->error, 31);
    CU_ASSERT_EQUAL(
        rec.sides[REC_SERVER].t->ops->receive(rec.sides[REC_SERVER].t, other, &view, 1, &fin),
        -ECONNRESET);
    CU_ASSERT_EQUAL(rec.sides[REC_CLIENT].t->ops->stop(rec.sides[REC_CLIENT].t, stream, 32), 0);
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_STOPPED)->error, 32);
    CU_ASSERT_EQUAL(rec_send(REC_SERVER, other, "abc", 3, 0), -EPIPE);
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_CLOSED)->stream, other);
    CU_ASSERT_EQUAL(rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED)->stream, stream);
    rec_finish();
}

/* Release what is shown; returns how much. */
static size_t consume(struct mr_transport *t, mr_handle stream)
{
    struct mr_view views[8];
    bool fin = false;
    int64_t count = t->ops->receive(t, stream, views, 8, &fin);
    size_t size = count < 0 ? 0 : mr_views_size(views, (size_t)count);

    CU_ASSERT_FALSE(fin);
    if (count > 0)
        CU_ASSERT_EQUAL(t->ops->release(t, stream, size), 0);
    return size;
}

/* What the datapath has given to the application is read before the reset is told. */
static void a_reset_may_leave_bytes_that_are_delivered(void)
{
    static const char bytes[100000];
    struct mr_view view;
    size_t size = 0;
    bool fin;

    rec_prepare();
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    struct mr_transport *theirs = rec.sides[REC_SERVER].t;
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, bytes, sizeof(bytes), MR_SEND_FIN), 0);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, 31, sizeof(bytes) + 1), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, MR_ERROR_CODE_MAX + 1, 9), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, 31, 90000), 0);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, 31, 90001), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, 32, 100), -EINVAL);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, 31, 80000), 0);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), -EPIPE);
    mr_handle other = rec_wait_for(REC_SERVER, MR_EVENT_READABLE)->stream;
    for (int i = 0; i < 400 && rec_seen(REC_SERVER, MR_EVENT_RESET) == NULL; i++) {
        rec_run(3);
        CU_ASSERT(rec_seen(REC_SERVER, MR_EVENT_RESET) == NULL || size >= 80000);
        size += consume(theirs, other);
    }
    const struct mr_event *event = rec_seen(REC_SERVER, MR_EVENT_RESET);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    CU_ASSERT(event->error == 31 && event->result == 1);
    CU_ASSERT(size >= 80000);
    CU_ASSERT_EQUAL(theirs->ops->receive(theirs, other, &view, 1, &fin), -ECONNRESET);
    CU_ASSERT_EQUAL(theirs->ops->reset(theirs, other, 3), 0);
    CU_ASSERT_EQUAL(rec_wait_for(REC_SERVER, MR_EVENT_CLOSED)->stream, other);
    CU_ASSERT_EQUAL(rec_wait_for(REC_CLIENT, MR_EVENT_CLOSED)->stream, stream);
    rec_finish();
}

static void a_peer_that_takes_no_such_reset_is_left_alone(void)
{
    rec_prepare();
    rec.config.loop.refuses_reset_at = true;
    rec_start_connected();
    struct mr_transport *t = rec.sides[REC_CLIENT].t;
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(t->ops->reset_at(t, stream, 31, 0), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    rec_finish();
}

static void entries_that_found_the_queue_full_keep_their_order(void)
{
    mr_handle streams[40];

    rec_prepare();
    rec.config.sizes.submit_count = 16;
    rec_start_connected();
    for (uint64_t i = 0; i < 40; i++)
        streams[i] = rec_open_stream(MR_OPEN_BIDI, i + 1);
    CU_ASSERT(mr_ring_transport_stats(rec.sides[REC_CLIENT].rt)->submissions_late > 0);
    CU_ASSERT(mr_ring_transport_deadline(rec.sides[REC_CLIENT].rt) < UINT64_MAX);
    mr_ring_transport_poll(rec.sides[REC_CLIENT].rt);
    ring_world_step(rec.world); /* there is room again, but others come first */
    for (uint64_t i = 0; i < 40; i++) {
        int result =
            i % 2 == 0 ? rec.sides[REC_CLIENT].t->ops->reset(rec.sides[REC_CLIENT].t, streams[i], 9)
                       : rec_send(REC_CLIENT, streams[i], "abc", 3, MR_SEND_FIN);

        CU_ASSERT_EQUAL(result, 0);
    }
    rec_run(100);
    CU_ASSERT_EQUAL(mr_app_host_stats(ring_world_host(rec.world, REC_CLIENT))->bad_submissions, 0);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_RESET), 20);
    CU_ASSERT_EQUAL(rec_times(REC_SERVER, MR_EVENT_READABLE), 20);
    rec_finish();
}

/* All of it comes in one poll: the application gets to read before the ends. */
static void what_came_before_a_close_can_be_read(void)
{
    rec_prepare();
    rec_start_connected();
    mr_handle stream = rec_open_stream(MR_OPEN_BIDI, 5);
    CU_ASSERT_EQUAL(rec_send(REC_CLIENT, stream, "abc", 3, 0), 0);
    for (int i = 0; i < 10; i++) {
        mr_ring_transport_poll(rec.sides[REC_CLIENT].rt);
        ring_world_step(rec.world);
    }
    CU_ASSERT_EQUAL(
        rec.sides[REC_CLIENT].t->ops->close(rec.sides[REC_CLIENT].t, rec.conn, CODE, "bye"), 0);
    for (int i = 0; i < 10; i++) {
        mr_ring_transport_poll(rec.sides[REC_CLIENT].rt);
        ring_world_step(rec.world);
    }
    rec_forget();
    uint32_t calls = rec.sides[REC_SERVER].calls;
    mr_ring_transport_poll(rec.sides[REC_SERVER].rt);
    const struct rec_side *s = &rec.sides[REC_SERVER];
    CU_ASSERT_EQUAL(s->calls, calls + 3);
    CU_ASSERT_EQUAL_FATAL(s->count, 3);
    CU_ASSERT_EQUAL(s->events[0].kinds, MR_EVENT_STREAM_OPENED | MR_EVENT_READABLE);
    CU_ASSERT_EQUAL(s->events[1].kinds, MR_EVENT_CLOSED);
    CU_ASSERT_NOT_EQUAL(s->events[1].stream, MR_HANDLE_NONE);
    CU_ASSERT_EQUAL(s->events[2].kinds, MR_EVENT_CLOSED);
    CU_ASSERT_EQUAL(s->events[2].stream, MR_HANDLE_NONE);
    rec_finish();
}

static CU_TestInfo tests[] = {
    {"a connection is told with what is known of it",
     a_connection_is_told_with_what_is_known_of_it},
    {"B9 words come back with every event", words_come_back_with_every_event},
    {"a close reaches both sides, streams first", a_close_reaches_both_sides_streams_first},
    {"stale handles are said to be stale", stale_handles_are_said_to_be_stale},
    {"a wish that cannot be is refused at once", a_wish_that_cannot_be_is_refused_at_once},
    {"what the datapath refuses is closed", what_the_datapath_refuses_is_closed},
    {"connections go to the rings in turn", connections_go_to_the_rings_in_turn},
    {"a ticket is fetched before it is told", a_ticket_is_fetched_before_it_is_told},
    {"the head of a ticket goes over what was there",
     the_head_of_a_ticket_goes_over_what_was_there},
    {"B7 open, send and end go out together", open_send_and_end_go_out_together},
    {"a priority is passed on", a_priority_is_passed_on},
    {"a migration is asked for and told", a_migration_is_asked_for_and_told},
    {"paths are asked for and told", paths_are_asked_for_and_told},
    {"an end waits until all was consumed", an_end_waits_until_all_was_consumed},
    {"what is consumed together goes back together, by reference",
     what_is_consumed_together_goes_back_together_by_reference},
    {"a limit is known here, and its rise is told", a_limit_is_known_here_and_its_rise_is_told},
    {"too much is refused until it is acknowledged", too_much_is_refused_until_it_is_acknowledged},
    {"bytes of the send area are not copied", bytes_of_the_send_area_are_not_copied},
    {"never more SENDs are out than allowed", never_more_sends_are_out_than_allowed},
    {"a reset and a stop carry their codes", a_reset_and_a_stop_carry_their_codes},
    {"a reset may leave bytes that are delivered", a_reset_may_leave_bytes_that_are_delivered},
    {"a peer that takes no such reset is left alone",
     a_peer_that_takes_no_such_reset_is_left_alone},
    {"entries that found the queue full keep their order",
     entries_that_found_the_queue_full_keep_their_order},
    {"what came before a close can be read", what_came_before_a_close_can_be_read},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/transport_ops", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
