/*
 * tests/dpdk/streamer.c - an echo, and a client that keeps it busy and compares every byte, both by
 * callbacks on attached rings; they say when a connection has moved to another shard.
 *
 *     streamer SOCKET server NAME                         until it is killed
 *     streamer SOCKET client ADDRESS PORT SECONDS [insecure]      prints `done BYTES`, or `failed:
 * why`
 *
 * The client has one connection, and streams on each of which WINDOW bytes are on their way.  A
 * line for each quarter of a second: bytes that came back right.  SIGTERM ends its SECONDS.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "millrace/events.h"
#include "millrace/loop.h"

enum {
    STREAMS = 4,
    WINDOW = 65536,
    PIECE = 16384,
    PATTERN = 65521, /* no power of two: no multiple of anything that is moved as a whole */
    WINDOW_MS = 250,
};

struct stream {
    struct streamer *all;
    mr_object object;
    uint32_t number;
    uint64_t sent;
    uint64_t unacknowledged;
    uint64_t received;
    size_t held; /* server: shown, not given back */
    bool is_over;
};

struct streamer {
    struct mr_loop *loop;
    struct mr_registration *registration;
    mr_object conn;
    struct stream streams[STREAMS];
    uint32_t over;
    bool is_ending;
    uint64_t received;
    uint64_t shown;
    uint64_t end_ns;
    const char *failure;
    uint8_t pattern[2 * PATTERN];
};

static struct streamer streamer;
static atomic_bool is_told_to_end;

static void on_sigterm(int number)
{
    (void)number;
    atomic_store_explicit(&is_told_to_end, true, memory_order_relaxed); /* read by the next tick */
}

static void end_of(struct streamer *all, const char *failure)
{
    if (all->failure == NULL)
        all->failure = failure;
    mr_loop_stop(all->loop);
}

static void tell_moved(const struct mr_ev *event)
{
    printf("moved from %llu\n", (unsigned long long)event->error);
    fflush(stdout);
}

/* ------------------------------------------------------------------ the server */

static enum mr_ev_answer send_back(struct stream *s, struct mr_ev *event)
{
    struct mr_registration *registration = s->all->registration;

    if (mr_ev_send(registration, s->object, event->views, event->view_count,
                   event->is_fin ? MR_SEND_FIN : 0, s) != 0) {
        mr_ev_shutdown(registration, s->object, 0, 1);
        return MR_EV_CONSUMED;
    }
    s->held = event->size;
    return MR_EV_PENDING;
}

static enum mr_ev_answer on_echo(void *context, struct mr_ev *event)
{
    struct stream *s = context;
    struct mr_registration *registration = s->all->registration;

    if (event->type == MR_EV_RECEIVE)
        return send_back(s, event);
    if (event->type == MR_EV_SEND_COMPLETE && s->held > 0)
        mr_ev_receive_complete(registration, s->object, s->held);
    if (event->type == MR_EV_SHUTDOWN_COMPLETE) {
        mr_ev_close(registration, s->object);
        free(s);
    }
    return MR_EV_OK;
}

static enum mr_ev_answer on_client(void *context, struct mr_ev *event)
{
    struct streamer *all = context;

    if (event->type == MR_EV_PEER_STREAM_STARTED) {
        struct stream *s = calloc(1, sizeof(*s));

        if (s == NULL)
            return MR_EV_REFUSE;
        *s = (struct stream){.all = all, .object = event->stream};
        mr_ev_set_handler(all->registration, s->object, on_echo, s);
    } else if (event->type == MR_EV_MOVED) {
        tell_moved(event);
    } else if (event->type == MR_EV_SHUTDOWN_COMPLETE) {
        mr_ev_close(all->registration, event->object);
    }
    return MR_EV_OK;
}

static enum mr_ev_answer on_listener(void *context, struct mr_ev *event)
{
    struct streamer *all = context;

    if (event->type == MR_EV_NEW_CONNECTION)
        mr_ev_set_handler(all->registration, event->conn, on_client, all);
    return MR_EV_ACCEPT;
}

/* ------------------------------------------------------------------ the client */

static void send_more(struct stream *s)
{
    struct streamer *all = s->all;

    while (!s->is_over && s->unacknowledged < WINDOW && s->sent - s->received < WINDOW) {
        struct mr_view view = {all->pattern + (s->sent + s->number * 7919) % PATTERN, PIECE};
        uint32_t flags = all->is_ending ? MR_SEND_FIN : 0;

        if (mr_ev_send(all->registration, s->object, &view, 1, flags, NULL) != 0)
            return; /* it is tried again when something comes back */
        s->is_over = all->is_ending;
        s->sent += PIECE;
        s->unacknowledged += PIECE;
    }
}

static void compare(struct stream *s, const struct mr_ev *event)
{
    struct streamer *all = s->all;

    for (size_t i = 0; i < event->view_count; i++) {
        const struct mr_view *view = &event->views[i];

        for (size_t at = 0; at < view->size; at++)
            if (view->data[at] != all->pattern[(s->received + at + s->number * 7919) % PATTERN])
                end_of(all, "a byte came back wrong");
        s->received += view->size;
        all->received += view->size;
    }
}

static enum mr_ev_answer on_stream(void *context, struct mr_ev *event)
{
    struct stream *s = context;
    struct streamer *all = s->all;

    switch (event->type) {
    case MR_EV_SEND_COMPLETE:
        s->unacknowledged -= PIECE;
        send_more(s);
        break;
    case MR_EV_RECEIVE:
        compare(s, event);
        if (event->is_fin && s->received != s->sent)
            end_of(all, "a stream came back short");
        send_more(s);
        break;
    case MR_EV_PEER_SEND_ABORTED:
    case MR_EV_PEER_RECEIVE_ABORTED:
        end_of(all, "a stream was reset");
        break;
    case MR_EV_SHUTDOWN_COMPLETE:
        mr_ev_close(all->registration, s->object);
        if (!s->is_over || s->received != s->sent)
            end_of(all, "a stream ended early");
        if (++all->over == STREAMS)
            mr_ev_shutdown(all->registration, all->conn, 0, 0);
        break;
    default:
        break;
    }
    return MR_EV_OK;
}

static void open_streams(struct streamer *all)
{
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct stream *s = &all->streams[i];

        *s = (struct stream){.all = all, .number = i};
        if (mr_ev_open(all->registration, all->conn, MR_OPEN_BIDI, on_stream, s, &s->object) != 0)
            end_of(all, "a stream cannot be opened");
        else
            send_more(s);
    }
}

static enum mr_ev_answer on_conn(void *context, struct mr_ev *event)
{
    struct streamer *all = context;

    if (event->type == MR_EV_CONNECTED)
        open_streams(all);
    else if (event->type == MR_EV_MOVED)
        tell_moved(event);
    else if (event->type == MR_EV_SHUTDOWN_BY_PEER || event->type == MR_EV_SHUTDOWN_BY_TRANSPORT)
        end_of(all, "the connection was closed");
    else if (event->type == MR_EV_SHUTDOWN_COMPLETE &&
             mr_ev_close(all->registration, all->conn) == 0)
        mr_loop_stop(all->loop);
    return MR_EV_OK;
}

static void on_tick(void *context)
{
    struct streamer *all = context;

    printf("%llu\n", (unsigned long long)(all->received - all->shown));
    fflush(stdout);
    all->shown = all->received;
    if (atomic_exchange_explicit(&is_told_to_end, false, memory_order_relaxed) && !all->is_ending)
        all->end_ns = mr_loop_now(all->loop);
    all->is_ending = mr_loop_now(all->loop) >= all->end_ns;
    if (mr_loop_now(all->loop) >= all->end_ns + UINT64_C(20000000000))
        end_of(all, "it does not come to its end");
    for (uint32_t i = 0; i < STREAMS; i++)
        if (all->streams[i].all != NULL)
            send_more(&all->streams[i]);
    mr_loop_timer(all->loop, WINDOW_MS * UINT64_C(1000000), on_tick, all);
}

static bool call(struct streamer *all, char **words)
{
    struct mr_connect_options options = {.server_name = "localhost",
                                         .alpn = (const uint8_t *)"\004echo",
                                         .alpn_size = 5,
                                         .is_insecure = words[3] != NULL,
                                         .remote.ip[10] = 0xff,
                                         .remote.ip[11] = 0xff,
                                         .remote.port = (uint16_t)atoi(words[1])};

    for (uint32_t i = 0; i < PATTERN; i++)
        all->pattern[i] = all->pattern[i + PATTERN] = (uint8_t)(i * UINT32_C(2654435761) >> 24);
    all->end_ns = mr_loop_now(all->loop) + strtoull(words[2], NULL, 10) * UINT64_C(1000000000);
    mr_loop_timer(all->loop, WINDOW_MS * UINT64_C(1000000), on_tick, all);
    signal(SIGTERM, on_sigterm);
    return inet_pton(AF_INET, words[0], &options.remote.ip[12]) == 1 &&
           mr_ev_connect(all->registration, &options, on_conn, all, &all->conn) == 0;
}

/* ------------------------------------------------------------------ both */

int main(int argc, char **argv)
{
    struct mr_error error;
    mr_object listener;
    bool is_server = argc == 4 && strcmp(argv[2], "server") == 0;

    if (!is_server && (argc < 6 || argc > 7 || strcmp(argv[2], "client") != 0))
        return 2;
    struct mr_loop_config config = {
        .attach = {.control = argv[1], .name = is_server ? argv[3] : "streamer"}};
    if (mr_loop_new(&config, &streamer.loop, &error) != 0) {
        printf("failed: %s\n", error.text);
        return 1;
    }
    streamer.registration = mr_loop_registration(streamer.loop);
    if (is_server
            ? mr_ev_listen(streamer.registration, NULL, on_listener, &streamer, &listener) != 0
            : !call(&streamer, argv + 3))
        streamer.failure = "it cannot begin";
    printf("ready\n");
    fflush(stdout);
    if (streamer.failure == NULL && mr_loop_run(streamer.loop) != 0)
        streamer.failure = "the datapath is gone";
    if (streamer.failure != NULL)
        printf("failed: %s\n", streamer.failure);
    else
        printf("done %llu\n", (unsigned long long)streamer.received);
    mr_loop_free(streamer.loop);
    return streamer.failure != NULL;
}
