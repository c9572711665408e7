/*
 * http3/http3.c - the server and the client as applications have them; see millrace/http3.h.
 *
 *     mr_http3_get() -> fetch, waiting -> on_start -> connection, request -> body -> done
 *                                                          |                          |
 *                                                          +--- closed ---> free <----+
 */
#include "millrace/http3.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http3/client.h"
#include "http3/frame.h"
#include "http3/server.h"

enum {
    SERVER_CONNECTIONS = 1000,
    CLIENT_PAGES = 64,
    SERVER_TUNNELS = 64,
    PROTOCOL = 64, /* bytes, with the end */
    PORT = 443,
    CONTENT_TYPE = 128,
    REASON = 96,
    CRYPTO_ERROR = 0x100, /* RFC 9000, Section 20.1 */
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_UNKNOWN_CA = 48
};

#define CACHE_BYTES ((size_t)16 << 20)
#define BODY_BYTES  ((size_t)16 << 20)

static int fail(struct mr_error *error, int result, const char *text)
{
    if (error != NULL)
        snprintf(error->text, sizeof(error->text), "%s", text);
    return result;
}

/* ------------------------------------------------------------------ the server */

/* The same thing under a public name. */
static struct mr_h3_server *server_of(struct mr_http3_server *server)
{
    return (struct mr_h3_server *)server;
}

int mr_http3_server_new(const struct mr_http3_server_config *config,
                        struct mr_http3_server **server_out, struct mr_error *error)
{
    struct mr_h3_server_config own = mr_h3_server_config_default(
        config->connections_max == 0 ? SERVER_CONNECTIONS : config->connections_max);
    struct mr_h3_server *server = NULL;
    struct mr_fault fault = {{0}};

    *server_out = NULL;
    own.root = config->root;
    own.index = config->index == NULL ? own.index : config->index;
    own.has_listings = config->has_listings;
    own.refuses_early = config->refuses_early;
    own.tunnels = config->tunnels;
    own.tunnels_max = config->tunnels == NULL    ? 0
                      : config->tunnels_max == 0 ? SERVER_TUNNELS
                                                 : config->tunnels_max;
    own.cache_bytes = config->cache_bytes == 0 ? CACHE_BYTES : config->cache_bytes;
    own.cache_entry_max =
        own.cache_entry_max < own.cache_bytes ? own.cache_entry_max : own.cache_bytes;
    int result = mr_h3_server_new(&own, &server, &fault);
    if (result < 0)
        return fail(error, result, fault.text);
    *server_out = (struct mr_http3_server *)server;
    return 0;
}

void mr_http3_server_free(struct mr_http3_server *server)
{
    if (server != NULL)
        mr_h3_server_free(server_of(server));
}

const struct mr_application *mr_http3_server_application(struct mr_http3_server *server)
{
    return mr_h3_server_application(server_of(server));
}

/* ------------------------------------------------------------------ URLs */

static bool is_whole(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!isgraph((unsigned char)*text))
            return false;
    }
    return true;
}

/* The port behind the host, to the end of the authority.  False: it is none. */
static bool parse_port(const char *text, size_t size, uint16_t *port_out)
{
    uint32_t port = 0;

    if (size == 0)
        return true;
    for (size_t i = 1; i < size; i++) {
        if (!isdigit((unsigned char)text[i]) ||
            (port = port * 10 + (uint32_t)(text[i] - '0')) > 65535)
            return false;
    }
    *port_out = (uint16_t)port;
    return text[0] == ':' && port > 0;
}

int mr_http3_url_parse(const char *text, struct mr_http3_url *url_out)
{
    static const char scheme[] = "https://";
    const char *host = text + sizeof(scheme) - 1;

    memset(url_out, 0, sizeof(*url_out));
    url_out->port = PORT;
    if (strncmp(text, scheme, sizeof(scheme) - 1) != 0 || !is_whole(text))
        return -EINVAL;
    size_t whole = strcspn(host, "/?#");
    bool has_brackets = host[0] == '[';
    size_t size = has_brackets ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    const char *path = host + whole;
    size_t path_size = strcspn(path, "#");
    if (size > whole || size == 0 || memchr(host, '@', whole) != NULL ||
        (has_brackets && size < 4) || !parse_port(host + size, whole - size, &url_out->port))
        return -EINVAL;
    if (size >= sizeof(url_out->host) || whole >= sizeof(url_out->authority) ||
        path_size + 1 >= sizeof(url_out->path))
        return -ENAMETOOLONG;
    memcpy(url_out->host, host + has_brackets, size - 2 * has_brackets);
    memcpy(url_out->authority, host, url_out->port == PORT ? size : whole);
    snprintf(url_out->path, sizeof(url_out->path), "%s%.*s", path[0] == '/' ? "" : "/",
             (int)path_size, path);
    return 0;
}

/* ------------------------------------------------------------------ the client */

struct fetch {
    struct fetch *next;
    struct mr_http3_client *client;
    struct mr_http3_request request;
    struct mr_http3_url url;
    void (*done)(void *context, const struct mr_http3_page *page);
    void *context;
    const struct mr_http3_tunnel_handlers *handlers; /* of a tunnel; NULL: it is a page */
    char protocol[PROTOCOL];
    mr_h3_client_conn conn;
    mr_h3_client_request stream;
    uint8_t *body;
    size_t size, room;
    uint32_t status;
    int error;     /* why we have cancelled it; 0: we have not */
    bool is_begun; /* it has a connection */
    bool is_asked; /* the request for a tunnel is made */
    bool is_told;
    char content_type[CONTENT_TYPE];
};

struct mr_http3_client {
    struct mr_h3_client *client;
    struct fetch *fetches; /* oldest first */
    uint32_t count;        /* under way: of which was not told yet */
    uint32_t conn_count;   /* that they have, or had and that are not closed yet */
    uint32_t max;          /* of either */
    bool is_started;
    bool has_tunnels;
};

static struct fetch *fetch_of(uint64_t user)
{
    return (struct fetch *)(uintptr_t)user;
}

static void tell(struct fetch *fetch, int error, const char *reason)
{
    const struct mr_http3_page page = {.error = fetch->error != 0 ? fetch->error : error,
                                       .status = fetch->status,
                                       .content_type = fetch->content_type,
                                       .body = fetch->body,
                                       .size = fetch->size,
                                       .reason = reason};

    if (fetch->is_told)
        return;
    fetch->is_told = true;
    fetch->client->count--; /* `done` may ask for another */
    if (fetch->handlers != NULL) {
        if (!fetch->is_asked && fetch->handlers->on_end != NULL) /* else its request tells */
            fetch->handlers->on_end(fetch->handlers->context, NULL, page.error, reason);
        return;
    }
    fetch->done(fetch->context, &page);
}

static void free_fetch(struct fetch *fetch)
{
    struct fetch **place = &fetch->client->fetches;

    while (*place != fetch)
        place = &(*place)->next;
    *place = fetch->next;
    fetch->client->count -= !fetch->is_told;
    fetch->client->conn_count -= fetch->is_begun;
    free(fetch->body);
    free(fetch);
}

/* Ask for its connection, and for the page on it.  0, or -errno: there is none. */
static int begin(struct fetch *fetch)
{
    struct mr_h3_client *client = fetch->client->client;
    const struct mr_connect_options options = {.remote = fetch->request.server,
                                               .server_name = fetch->url.host,
                                               .is_insecure = fetch->request.is_insecure};
    const struct mr_h3_request_options request = {.is_head = fetch->request.is_head,
                                                  .authority = fetch->url.authority,
                                                  .path = fetch->url.path,
                                                  .protocol = fetch->protocol,
                                                  .tunnel = fetch->handlers};
    int error = mr_h3_client_connect(client, &options, (uintptr_t)fetch, &fetch->conn);

    if (error < 0)
        return error;
    fetch->is_begun = true;
    fetch->client->conn_count++;
    error =
        mr_h3_client_request_make(client, fetch->conn, &request, (uintptr_t)fetch, &fetch->stream);
    fetch->is_asked = error == 0;
    if (error < 0) {
        fetch->error = error;
        (void)mr_h3_client_close(client, fetch->conn); /* on_closed() tells */
    }
    return 0;
}

/* Begin those that wait for the loop, or for a connection that closes. */
static void begin_waiting(struct mr_http3_client *client)
{
    struct fetch *fetch = client->fetches;

    while (fetch != NULL && client->conn_count < client->max) {
        int error = fetch->is_begun ? 0 : begin(fetch);
        struct fetch *next = fetch->next;
        if (error < 0) {
            tell(fetch, error, "no connection can be begun");
            next = fetch->next; /* `done` may have asked for another */
            free_fetch(fetch);
        }
        fetch = next;
    }
}

static void on_start(void *context, struct mr_h3_client *client)
{
    struct mr_http3_client *c = context;

    (void)client;
    c->is_started = true;
    begin_waiting(c);
}

static void on_headers(void *context, mr_h3_client_request stream, uint64_t user,
                       const struct mr_h3_response *response)
{
    struct fetch *fetch = fetch_of(user);

    (void)context;
    (void)stream;
    fetch->status = response->status;
    snprintf(fetch->content_type, sizeof(fetch->content_type), "%.*s",
             (int)response->content_type.size,
             response->content_type.data == NULL ? "" : response->content_type.data);
}

static void give_up(struct fetch *fetch, int error)
{
    if (fetch->error != 0)
        return;
    fetch->error = error;
    (void)mr_h3_client_cancel(fetch->client->client, fetch->stream);
}

static size_t on_data(void *context, mr_h3_client_request stream, uint64_t user,
                      const uint8_t *data, size_t size)
{
    struct fetch *fetch = fetch_of(user);
    size_t room = fetch->room == 0 ? 4096 : fetch->room;

    (void)context;
    (void)stream;
    if (fetch->error != 0)
        return size;
    if (size > fetch->request.size_max - fetch->size) {
        give_up(fetch, -EMSGSIZE);
        return size;
    }
    while (room < fetch->size + size)
        room *= 2;
    uint8_t *body = room == fetch->room ? fetch->body : realloc(fetch->body, room);
    if (body == NULL) {
        give_up(fetch, -ENOMEM);
        return size;
    }
    fetch->body = body;
    fetch->room = room;
    memcpy(fetch->body + fetch->size, data, size);
    fetch->size += size;
    return size;
}

static void on_done(void *context, mr_h3_client_request stream, uint64_t user,
                    const struct mr_h3_result *result)
{
    static const int errors[] = {[MR_H3_DONE] = 0,
                                 [MR_H3_RESET] = -ECONNRESET,
                                 [MR_H3_REJECTED] = -ECONNREFUSED,
                                 [MR_H3_MALFORMED] = -EBADMSG,
                                 [MR_H3_CANCELLED] = -ECANCELED};
    struct fetch *fetch = fetch_of(user);

    (void)stream;
    if (result->outcome == MR_H3_CONN_LOST)
        return; /* on_closed() knows why */
    tell(fetch, errors[result->outcome],
         fetch->error == -EMSGSIZE ? "it is larger than wanted" : result->reason);
    (void)mr_h3_client_close(((struct mr_http3_client *)context)->client, fetch->conn);
}

/* No words of the one who closed it, but perhaps of the transport, which knows no more than we. */
static bool is_wordless(const char *reason)
{
    return reason[0] == '\0' || strcmp(reason, "closed by the peer") == 0 ||
           strcmp(reason, "closed") == 0;
}

/* What a code says whose sender has no words for it. */
static const char *describe_code(const struct mr_h3_closed *closed, char text[REASON])
{
    snprintf(text, REASON, "the %s closed the connection: %s (0x%llx)",
             closed->is_remote ? "server" : "client",
             closed->is_application ? mr_h3_error_name(closed->code) : "QUIC's code",
             (unsigned long long)closed->code);
    return text;
}

/* What a code of TLS says (RFC 9001, Section 4.8), whatever words its sender has for it. */
static const char *describe_alert(uint64_t alert, char text[REASON])
{
    bool is_certificate = alert >= ALERT_BAD_CERTIFICATE && alert <= ALERT_UNKNOWN_CA;

    snprintf(text, REASON, "%s (TLS alert %u)",
             is_certificate ? "the certificate is not accepted" : "the handshake failed",
             (unsigned)alert);
    return text;
}

static const char *why_closed(const struct mr_h3_closed *closed, char text[REASON])
{
    bool is_alert = !closed->is_application && closed->code >= CRYPTO_ERROR &&
                    closed->code <= CRYPTO_ERROR + 255;

    if (is_alert)
        return describe_alert(closed->code - CRYPTO_ERROR, text);
    return is_wordless(closed->reason) ? describe_code(closed, text) : closed->reason;
}

static void on_closed(void *context, mr_h3_client_conn conn, uint64_t user,
                      const struct mr_h3_closed *closed)
{
    struct fetch *fetch = fetch_of(user);
    char text[REASON];

    (void)conn;
    tell(fetch, closed->was_connected ? -ECONNRESET : -ECONNREFUSED, why_closed(closed, text));
    free_fetch(fetch);
    begin_waiting(context);
}

int mr_http3_client_new(const struct mr_http3_client_config *config,
                        struct mr_http3_client **client_out, struct mr_error *error)
{
    struct mr_http3_client *client = calloc(1, sizeof(*client));
    struct mr_fault fault = {{0}};

    *client_out = NULL;
    if (client == NULL)
        return fail(error, -ENOMEM, "no memory for an HTTP/3 client");
    client->max = config == NULL || config->pages_max == 0 ? CLIENT_PAGES : config->pages_max;
    /* One more connection: on_closed() begins the next while its own is still there. */
    struct mr_h3_client_config own = mr_h3_client_config_default(client->max + 1, client->max + 1);
    client->has_tunnels = own.has_tunnels = config != NULL && config->has_tunnels;
    const struct mr_h3_client_callbacks callbacks = {.context = client,
                                                     .on_start = on_start,
                                                     .on_closed = on_closed,
                                                     .on_headers = on_headers,
                                                     .on_data = on_data,
                                                     .on_done = on_done};
    int result = mr_h3_client_new(&own, &callbacks, &client->client, &fault);
    if (result < 0) {
        free(client);
        return fail(error, result, fault.text);
    }
    *client_out = client;
    return 0;
}

void mr_http3_client_free(struct mr_http3_client *client)
{
    if (client == NULL)
        return;
    mr_h3_client_free(client->client);
    while (client->fetches != NULL)
        free_fetch(client->fetches);
    free(client);
}

const struct mr_application *mr_http3_client_application(struct mr_http3_client *client)
{
    return mr_h3_client_application(client->client);
}

/* A new one at the end of the list, begun if it need not wait.  0; -errno: there is none. */
static int add_fetch(struct mr_http3_client *client, const struct fetch *wanted)
{
    struct fetch **place = &client->fetches;
    struct fetch *fetch = client->count == client->max ? NULL : calloc(1, sizeof(*fetch));

    if (fetch == NULL)
        return client->count == client->max ? -EAGAIN : -ENOMEM;
    *fetch = *wanted;
    fetch->client = client;
    while (*place != NULL)
        place = &(*place)->next;
    *place = fetch;
    client->count++;
    bool has_room =
        client->conn_count < client->max; /* else a page that was told of still closes */
    int error = client->is_started && has_room ? begin(fetch) : 0;
    if (error < 0)
        free_fetch(fetch);
    return error;
}

int mr_http3_get(struct mr_http3_client *client, const struct mr_http3_request *request,
                 void (*done)(void *context, const struct mr_http3_page *page), void *context)
{
    struct fetch wanted = {
        .request = *request, .url = *request->url, .done = done, .context = context};

    if (request->size_max == 0)
        wanted.request.size_max = BODY_BYTES;
    return add_fetch(client, &wanted);
}

int mr_http3_tunnel_open(struct mr_http3_client *client, const struct mr_http3_tunnel_wish *wish,
                         const struct mr_http3_tunnel_handlers *handlers)
{
    struct fetch wanted = {.url = *wish->url, .handlers = handlers};
    size_t size = strlen(wish->protocol);

    if (!client->has_tunnels || size == 0 || size >= sizeof(wanted.protocol))
        return -EINVAL;
    wanted.request.server = wish->server;
    wanted.request.is_insecure = wish->is_insecure;
    memcpy(wanted.protocol, wish->protocol, size);
    return add_fetch(client, &wanted);
}
