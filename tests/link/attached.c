/*
 * tests/link/attached.c - an application in a process of its own: an HTTP/3 file server over rings.
 *
 * It is there to be linked (link_test.py looks at what is in it), and can be run:
 *
 *     attached DIRECTORY [CONTROL]    serve DIRECTORY over the datapath at CONTROL, until it is
 * gone
 */
#include <errno.h>
#include <stdio.h>

#include "app/transport_ring.h"
#include "http3/server.h"

static int serve(struct mr_attachment *attachment, struct mr_h3_server *server)
{
    struct mr_ring_transport_config config = mr_ring_transport_config_default();
    int result = 0;

    config.listens = true;
    struct mr_ring_transport *t =
        mr_ring_transport_new(attachment, &config, mr_h3_server_application(server));
    if (t == NULL)
        return -ENOMEM;
    while (result >= 0 && mr_ring_transport_is_alive(t)) {
        if (mr_ring_transport_poll(t) > 0)
            continue;
        const struct mr_transport *transport = mr_ring_transport_transport(t);
        uint64_t now = transport->ops->now(transport);
        uint64_t deadline = mr_ring_transport_deadline(t);
        uint64_t left = deadline > now ? deadline - now : 0;
        result = mr_attach_wait(attachment, deadline == UINT64_MAX ? UINT64_MAX : left);
    }
    mr_ring_transport_free(t);
    return result;
}

int main(int argc, char **argv)
{
    struct mr_attach_config where = {.control = argc > 2 ? argv[2] : NULL, .name = "attached"};
    struct mr_h3_server_config config = mr_h3_server_config_default(1024);
    struct mr_attachment *attachment;
    struct mr_h3_server *server;
    struct mr_error error = {{0}};
    struct mr_fault fault = {{0}};

    if (argc < 2) {
        fprintf(stderr, "usage: attached DIRECTORY [CONTROL]\n");
        return 2;
    }
    if (mr_attach(&where, &attachment, &error) != 0) {
        fprintf(stderr, "attached: %s\n", error.text);
        return 1;
    }
    config.root = argv[1];
    if (mr_h3_server_new(&config, &server, &fault) != 0) {
        fprintf(stderr, "attached: %s\n", fault.text);
        mr_detach(attachment);
        return 1;
    }
    int result = serve(attachment, server);
    mr_h3_server_free(server);
    mr_detach(attachment);
    fprintf(stderr, "attached: the datapath is gone\n");
    return result < 0 && result != -ENOTCONN;
}
