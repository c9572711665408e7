/* tests/support/events_world.c - see events_world.h. */
#include "tests/support/events_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

struct world world;

static const char *const event_names[] = {
    [MR_EV_NEW_CONNECTION] = "NEW_CONNECTION",
    [MR_EV_STOP_COMPLETE] = "STOP_COMPLETE",
    [MR_EV_CONNECTED] = "CONNECTED",
    [MR_EV_PEER_STREAM_STARTED] = "PEER_STREAM_STARTED",
    [MR_EV_STREAMS_AVAILABLE] = "STREAMS_AVAILABLE",
    [MR_EV_DATAGRAM_RECEIVED] = "DATAGRAM_RECEIVED",
    [MR_EV_TICKET] = "TICKET",
    [MR_EV_EARLY] = "EARLY",
    [MR_EV_CONFIRMED] = "CONFIRMED",
    [MR_EV_MOVED] = "MOVED",
    [MR_EV_PATH_CHANGED] = "PATH_CHANGED",
    [MR_EV_PATH_FAILED] = "PATH_FAILED",
    [MR_EV_PATHS_CHANGED] = "PATHS_CHANGED",
    [MR_EV_SHUTDOWN_BY_PEER] = "SHUTDOWN_BY_PEER",
    [MR_EV_SHUTDOWN_BY_TRANSPORT] = "SHUTDOWN_BY_TRANSPORT",
    [MR_EV_SHUTDOWN_COMPLETE] = "SHUTDOWN_COMPLETE",
    [MR_EV_START_COMPLETE] = "START_COMPLETE",
    [MR_EV_RECEIVE] = "RECEIVE",
    [MR_EV_SENT] = "SENT",
    [MR_EV_SEND_COMPLETE] = "SEND_COMPLETE",
    [MR_EV_WRITABLE] = "WRITABLE",
    [MR_EV_PEER_SEND_ABORTED] = "PEER_SEND_ABORTED",
    [MR_EV_PEER_RECEIVE_ABORTED] = "PEER_RECEIVE_ABORTED",
    [MR_EV_SEND_SHUTDOWN_COMPLETE] = "SEND_SHUTDOWN_COMPLETE",
};

void world_note(unsigned side, const char *text)
{
    size_t size = strlen(text);
    size_t used = world.trace_size[side];

    if (world.is_quiet)
        return;
    MR_ASSERT(used + size + 2 < WORLD_TRACE);
    if (used > 0)
        world.trace[side][used++] = ' ';
    memcpy(world.trace[side] + used, text, size + 1);
    world.trace_size[side] = used + size;
}

void world_forget(void)
{
    for (unsigned s = 0; s < 2; s++) {
        world.trace_size[s] = 0;
        world.trace[s][0] = '\0';
    }
}

static void write_down(const struct node *node, const struct mr_ev *event)
{
    char text[128];
    size_t used =
        (size_t)snprintf(text, sizeof(text), "%s.%s", node->name, event_names[event->type]);

    switch (event->type) {
    case MR_EV_RECEIVE:
        used += (size_t)snprintf(text + used, sizeof(text) - used, "(%zu%s)", event->size,
                                 event->is_fin ? ",FIN" : "");
        break;
    case MR_EV_SHUTDOWN_BY_PEER:
    case MR_EV_PEER_SEND_ABORTED:
    case MR_EV_PEER_RECEIVE_ABORTED:
        used += (size_t)snprintf(text + used, sizeof(text) - used, "(%llu)",
                                 (unsigned long long)event->error);
        break;
    case MR_EV_SEND_COMPLETE:
        used += (size_t)snprintf(text + used, sizeof(text) - used, "(%zu)",
                                 (size_t)(uintptr_t)event->send_context);
        break;
    default:
        break;
    }
    if (event->status != 0)
        (void)snprintf(text + used, sizeof(text) - used, "!%d", -event->status);
    world_note(node->side, text);
}

static void keep_bytes(struct node *node, const struct mr_ev *event)
{
    for (size_t i = 0; i < event->view_count; i++) {
        if (node->bytes != NULL) {
            MR_ASSERT(node->received + event->views[i].size <= WORLD_BYTES);
            memcpy(node->bytes + node->received, event->views[i].data, event->views[i].size);
        }
        node->received += event->views[i].size;
    }
    node->has_fin |= event->is_fin;
}

static enum mr_ev_answer do_the_usual(struct node *node, struct mr_ev *event)
{
    struct mr_registration *r = world.reg[node->side];

    switch (event->type) {
    case MR_EV_NEW_CONNECTION:
        (void)mr_ev_set_handler(r, event->conn, node_handler, node->conn_node);
        node->conn_node->object = event->conn;
        return MR_EV_ACCEPT;
    case MR_EV_PEER_STREAM_STARTED:
        (void)mr_ev_set_handler(r, event->stream, node_handler, node->stream_node);
        node->stream_node->object = event->stream;
        return MR_EV_ACCEPT;
    case MR_EV_RECEIVE:
        keep_bytes(node, event);
        return MR_EV_CONSUMED;
    case MR_EV_SHUTDOWN_COMPLETE:
    case MR_EV_STOP_COMPLETE:
        MR_ASSERT(mr_ev_close(r, event->object) == 0);
        return MR_EV_OK;
    default:
        return MR_EV_OK;
    }
}

enum mr_ev_answer node_handler(void *context, struct mr_ev *event)
{
    struct node *node = context;
    enum mr_ev_answer answer = MR_EV_OK;

    MR_ASSERT(event->reason != NULL);
    node->object = event->object;
    node->told[event->type]++;
    node->last = *event;
    node->inside++;
    write_down(node, event);
    if (node->react == NULL || !node->react(node, event, &answer))
        answer = do_the_usual(node, event);
    node->inside--;
    return answer;
}

struct mr_connect_options world_options(void)
{
    return (struct mr_connect_options){
        .server_name = "world", .alpn = (const uint8_t *)"\x02h3", .alpn_size = 3};
}

void world_prepare(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.config = loop_config_default(seed);
    world.limits = (struct mr_registration_limits){
        .objects_max = 256, .sends_max = 256, .calls_max = 64, .guest_calls_max = 64};
    world.server_stream = (struct node){.name = "S", .side = SERVER};
    world.server_conn =
        (struct node){.name = "C", .side = SERVER, .stream_node = &world.server_stream};
    world.listener = (struct node){.name = "L", .side = SERVER, .conn_node = &world.server_conn};
    world.stream = (struct node){.name = "S", .side = CLIENT};
    world.conn = (struct node){.name = "C", .side = CLIENT, .stream_node = &world.stream};
}

static void drive(void)
{
    for (unsigned s = 0; s < 2; s++) {
        const struct mr_application *a = mr_registration_application(world.reg[s]);
        (void)a->on_poll(a->context);
    }
}

void world_start(void)
{
    for (unsigned s = 0; s < 2; s++) {
        world.reg[s] = mr_registration_new(&world.limits);
        MR_ASSERT(world.reg[s] != NULL);
    }
    world.loop = loop_new(&world.config, mr_registration_application(world.reg[CLIENT]),
                          mr_registration_application(world.reg[SERVER]));
    drive();
    MR_ASSERT(mr_ev_listen(world.reg[SERVER], NULL, node_handler, &world.listener,
                           &world.listener.object) == 0);
}

void world_connect(uint64_t seed)
{
    struct mr_connect_options options = world_options();

    world_prepare(seed);
    world_start();
    MR_ASSERT(mr_ev_connect(world.reg[CLIENT], &options, node_handler, &world.conn,
                            &world.conn.object) == 0);
    world_run();
}

void world_run(void)
{
    for (uint32_t i = 0, quiet = 0; quiet < 64; i++) {
        quiet = loop_step(world.loop) ? 0 : quiet + 1;
        mr_registration_check(world.reg[0]);
        mr_registration_check(world.reg[1]);
        MR_ASSERT(i < 200000);
    }
}

int world_open(struct node *node, uint32_t flags, mr_object *stream_out)
{
    return mr_ev_open(world.reg[CLIENT], world.conn.object, flags, node_handler, node, stream_out);
}

int world_send(unsigned side, mr_object stream, const char *text, uint32_t flags, void *context)
{
    struct mr_view view = {(const uint8_t *)text, strlen(text)};

    return mr_ev_send(world.reg[side], stream, &view, 1, flags, context);
}

void world_end(void)
{
    loop_free(world.loop);
    for (unsigned s = 0; s < 2; s++) {
        mr_registration_check(world.reg[s]);
        MR_ASSERT(mr_registration_objects(world.reg[s]) == 0);
        mr_registration_free(world.reg[s]);
    }
}
