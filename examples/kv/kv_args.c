/* examples/kv/kv_args.c - the program from its command line; see kv_app.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "examples/kv/kv_app_internal.h"

enum {
    ENTRIES_MAX = 100000
};

/* ------------------------------------------------------------------ addresses */

/* A whole number up to `max`; false: it is none. */
static bool parse_number(const char *text, unsigned long max, unsigned long *number_out)
{
    char *end;

    *number_out = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *number_out <= max;
}

/* 10.0.0.1:4433 or [fd00::1]:4433 */
static bool parse_address(const char *text, size_t size, struct kv_way *way_out)
{
    char copy[80];
    unsigned long port;

    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *colon = strrchr(copy, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    bool has_brackets = copy[0] == '[' && colon > copy && colon[-1] == ']';
    if (has_brackets)
        colon[-1] = '\0';
    *way_out = (struct kv_way){.options = {.server_name = "localhost",
                                           .alpn = (const uint8_t *)"\002kv",
                                           .alpn_size = 3,
                                           .is_insecure = true}}; /* nodes sign for themselves */
    if (!parse_number(colon + 1, 65535, &port) || port == 0 || strlen(copy) >= sizeof(way_out->ip))
        return false;
    memcpy(way_out->ip, copy + has_brackets, strlen(copy + has_brackets) + 1);
    struct mr_address *address = &way_out->options.remote;
    address->port = (uint16_t)port;
    address->ip[10] = address->ip[11] = 0xff;
    return inet_pton(AF_INET, way_out->ip, address->ip + 12) == 1 ||
           inet_pton(AF_INET6, way_out->ip, address->ip) == 1;
}

static bool add_way(struct kv_app *app, const char *text, size_t size)
{
    if (app->way_count == KV_NODES_MAX || !parse_address(text, size, &app->ways[app->way_count])) {
        fprintf(stderr, "kv: %.*s: not ADDRESS:PORT, or more than %d\n", (int)size, text,
                KV_NODES_MAX);
        return false;
    }
    app->ways[app->way_count].number = app->way_count;
    app->way_count++;
    return true;
}

/* ------------------------------------------------------------------ a node, or a client */

static void say(const char *line)
{
    fprintf(stderr, "kv: %s\n", line);
}

static bool make_node(struct kv_app *app, int argc, char **argv)
{
    unsigned long id;

    for (int i = 4; i < argc; i++) {
        if (!add_way(app, argv[i], strlen(argv[i])))
            return false;
    }
    if (app->way_count == 0 || !parse_number(argv[3], app->way_count - 1, &id)) {
        fprintf(stderr, "kv: node %s: not one of the %u whose addresses follow, from 0 on\n",
                argv[3], app->way_count);
        return false;
    }
    const struct kv_node_config config = {.id = (uint32_t)id,
                                          .count = app->way_count,
                                          .entries_max = ENTRIES_MAX,
                                          .life = kv_app_clock(CLOCK_REALTIME),
                                          .say = say};
    snprintf(app->name, sizeof(app->name), "kv%lu", id);
    app->node = kv_node_new(&config, &app->speakers);
    return app->node != NULL;
}

/* Of a node there is one at a datapath: two would share the connections of its listener, and each
 * would answer for what the other was told.  A name that is this process's as long as it lives says
 * so; false: another process has it. */
static bool is_only_one(struct kv_app *app)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct stat socket_file;

    if (app->node == NULL || stat(app->control, &socket_file) != 0)
        return true; /* attaching says what is wrong with the path */
    int size =
        snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "millrace-%s-%llx-%llx", app->name,
                 (unsigned long long)socket_file.st_dev, (unsigned long long)socket_file.st_ino);
    app->name_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return app->name_fd < 0 ||
           bind(app->name_fd, (const struct sockaddr *)&name,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size)) == 0 ||
           errno != EADDRINUSE;
}

static bool make_client(struct kv_app *app, int argc, char **argv)
{
    const char *why = "";

    for (const char *at = argv[2], *end; at != NULL; at = *end == ',' ? end + 1 : NULL) {
        end = at + strcspn(at, ",");
        if (!add_way(app, at, (size_t)(end - at)))
            return false;
    }
    snprintf(app->name, sizeof(app->name), "kv-client");
    app->client = kv_client_new(argv + 3, argc - 3, app->way_count, &app->speakers, &why);
    if (app->client == NULL)
        fprintf(stderr, "kv: %s: %s\n", argv[3], why);
    return app->client != NULL;
}

static bool parse(struct kv_app *app, int argc, char **argv)
{
    app->control = argv[1];
    return strcmp(argv[2], "node") == 0 ? argc > 4 && make_node(app, argc, argv)
                                        : make_client(app, argc, argv);
}

struct kv_app *kv_app_new(int argc, char **argv)
{
    struct kv_app *app = calloc(1, sizeof(*app));

    if (app != NULL)
        app->name_fd = -1;
    if (app != NULL && argc > 3 && parse(app, argc, argv)) {
        if (is_only_one(app))
            return app;
        fprintf(stderr, "kv: node %s runs already at the datapath of %s; end it, or be another\n",
                argv[3], app->control);
        kv_app_free(app);
        return NULL;
    }
    fprintf(stderr,
            "usage: %s SOCKET node NUMBER ADDRESS:PORT...        all nodes' addresses\n"
            "       %s SOCKET ADDRESS:PORT[,...] get|peek KEY\n"
            "                                    put KEY VALUE\n"
            "                                    update KEY OLD NEW\n"
            "                                    count KEY TIMES\n"
            "                                    run FILE        lines like these; -: stdin\n",
            argv[0], argv[0]);
    free(app);
    return NULL;
}
