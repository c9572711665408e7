/*
 * tests/interop/endpoints/openssl/openssl_endpoint.c - OpenSSL's own QUIC as an endpoint of the
 * interoperability cases: HTTP/0.9.
 *
 *     openssl-endpoint client ADDRESS CASE CA OUT PATHS one|two|each     PATHS: a file with a path
 * a line openssl-endpoint server ADDRESS CASE CERT KEY ROOT
 *
 * Built in the peers' tree, against its OpenSSL 3.5.  Everything blocks; one connection after the
 * other.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/quic.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT = 443,
    PATHS_MAX = 4096,
    PATH_BYTES = 1024,
    AT_ONCE = 32, /* streams of a client */
    CHUNK = 65536,
    REQUEST_MAX = 2048,
    NOT_FOUND = 404,
    TICKET_WAIT_MS = 300,
    PAUSE_NS = 1000000,
};

static const char server_name[] = "millrace.test";
static const unsigned char alpn[] = {10, 'h', 'q', '-', 'i', 'n', 't', 'e', 'r', 'o', 'p'};
static FILE *keylog;
static SSL_SESSION *session; /* the newest */

static void die(const char *what)
{
    fprintf(stderr, "openssl-endpoint: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void on_keylog(const SSL *ssl, const char *line)
{
    (void)ssl;
    if (keylog != NULL)
        fprintf(keylog, "%s\n", line);
}

static void common(SSL_CTX *ctx)
{
    const char *path = getenv("SSLKEYLOGFILE");

    if (ctx == NULL)
        die("no context");
    keylog = path == NULL ? NULL : fopen(path, "a");
    if (keylog != NULL)
        setvbuf(keylog, NULL, _IOLBF, 0);
    SSL_CTX_set_keylog_callback(ctx, on_keylog);
}

static int open_socket(const char *address, int is_server, BIO_ADDR *peer)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    int is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        die("address");
    struct sockaddr *sa = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t size = is_v4 ? sizeof(v4) : sizeof(v6);
    if (fd < 0 || (is_server && bind(fd, sa, size) != 0))
        die("socket");
    if (!is_server &&
        !(is_v4 ? BIO_ADDR_rawmake(peer, AF_INET, &v4.sin_addr, sizeof(v4.sin_addr), v4.sin_port)
                : BIO_ADDR_rawmake(peer, AF_INET6, &v6.sin6_addr, sizeof(v6.sin6_addr),
                                   v6.sin6_port)))
        die("peer");
    return fd;
}

/* ---- client */

static int on_session(SSL *ssl, SSL_SESSION *made)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = made;
    return 1;
}

static SSL_CTX *client_context(const char *which, const char *ca)
{
    SSL_CTX *ctx = SSL_CTX_new(OSSL_QUIC_client_method());

    common(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!SSL_CTX_load_verify_locations(ctx, ca, NULL))
        die("CA");
    if (strcmp(which, "chacha20") == 0 &&
        !SSL_CTX_set_ciphersuites(ctx, "TLS_CHACHA20_POLY1305_SHA256"))
        die("ciphers");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    return ctx;
}

static SSL *connect_to(SSL_CTX *ctx, const char *address, SSL_SESSION *resumed)
{
    BIO_ADDR *peer = BIO_ADDR_new();
    int fd = open_socket(address, 0, peer);
    BIO *bio = BIO_new(BIO_s_datagram());
    SSL *ssl = SSL_new(ctx);

    if (bio == NULL || ssl == NULL || !BIO_set_fd(bio, fd, BIO_CLOSE))
        die("connection");
    SSL_set_bio(ssl, bio, bio);
    SSL_set_tlsext_host_name(ssl, server_name);
    SSL_set1_host(ssl, server_name);
    SSL_set_alpn_protos(ssl, alpn, sizeof(alpn));
    SSL_set1_initial_peer_addr(ssl, peer);
    SSL_set_default_stream_mode(ssl, SSL_DEFAULT_STREAM_MODE_NONE);
    SSL_set_blocking_mode(ssl, 1);
    if (resumed != NULL)
        SSL_set_session(ssl, resumed);
    if (SSL_connect(ssl) != 1)
        die("handshake");
    BIO_ADDR_free(peer);
    return ssl;
}

static SSL *ask(SSL *conn, const char *path)
{
    char request[PATH_BYTES + 16];
    SSL *stream = SSL_new_stream(conn, 0);
    int size = snprintf(request, sizeof(request), "GET %s\r\n", path);
    size_t written;

    if (stream == NULL ||
        !SSL_write_ex2(stream, request, (size_t)size, SSL_WRITE_FLAG_CONCLUDE, &written))
        die("request");
    return stream;
}

/* A file that comes. */
struct file {
    SSL *stream; /* NULL: it is there */
    FILE *file;
};

static void open_file(struct file *f, SSL *conn, const char *out, const char *path)
{
    char name[2 * PATH_BYTES];

    snprintf(name, sizeof(name), "%s%s", out, path);
    f->file = fopen(name, "wb");
    if (f->file == NULL)
        die(name);
    f->stream = ask(conn, path);
    SSL_set_blocking_mode(f->stream, 0);
}

/* Take what is there of it; how many bytes. */
static size_t take(struct file *f)
{
    static char chunk[CHUNK];
    size_t sum = 0;
    size_t got;

    while (SSL_read_ex(f->stream, chunk, sizeof(chunk), &got)) {
        fwrite(chunk, 1, got, f->file);
        sum += got;
    }
    if (SSL_get_error(f->stream, 0) == SSL_ERROR_WANT_READ)
        return sum;
    if (SSL_get_stream_read_state(f->stream) != SSL_STREAM_STATE_FINISHED)
        die("a file did not come to its end");
    fclose(f->file);
    SSL_free(f->stream);
    f->stream = NULL;
    return sum + 1;
}

static void pause_for(long ns)
{
    struct timespec span = {0, ns};

    nanosleep(&span, NULL);
}

/* All of them at once, each read as it comes: they share the connection's window. */
static void take_all(SSL *conn, struct file *files, int count, int updates_keys)
{
    for (int left = count; left > 0;) {
        size_t sum = 0;

        left = 0;
        for (int i = 0; i < count; i++) {
            if (files[i].stream != NULL)
                sum += take(&files[i]);
            left += files[i].stream != NULL;
        }
        if (sum > 0 && updates_keys) {
            updates_keys = 0;
            if (!SSL_key_update(conn, SSL_KEY_UPDATE_REQUESTED))
                die("key update");
        }
        SSL_handle_events(conn);
        if (sum == 0)
            pause_for(PAUSE_NS);
    }
}

static void fetch(SSL *conn, const char *which, const char *out, char (*paths)[PATH_BYTES],
                  int count)
{
    struct file files[AT_ONCE];

    for (int at = 0; at < count; at += AT_ONCE) {
        int n = count - at < AT_ONCE ? count - at : AT_ONCE;

        for (int i = 0; i < n; i++)
            open_file(&files[i], conn, out, paths[at + i]);
        take_all(conn, files, n, strcmp(which, "keyupdate") == 0 && at == 0);
    }
}

static void wait_for_ticket(SSL *conn)
{
    for (int i = 0; i < TICKET_WAIT_MS / 10 && session == NULL; i++) {
        pause_for(10 * PAUSE_NS);
        SSL_handle_events(conn);
    }
}

static void run_client(char **words)
{
    static char paths[PATHS_MAX][PATH_BYTES];
    int count = 0;
    SSL_CTX *ctx = client_context(words[1], words[2]);
    FILE *list = fopen(words[4], "r");
    int is_two = strcmp(words[5], "two") == 0;
    int is_each = strcmp(words[5], "each") == 0;

    while (list != NULL && count < PATHS_MAX && fscanf(list, "%1023s", paths[count]) == 1)
        count++;
    for (int at = 0, n; at < count; at += n) {
        n = is_each || (is_two && at == 0) ? 1 : count - at;
        SSL *conn = connect_to(ctx, words[0], is_two ? session : NULL);
        fetch(conn, words[1], words[3], paths + at, n);
        if (is_two && at == 0)
            wait_for_ticket(conn);
        SSL_shutdown_ex(conn, SSL_SHUTDOWN_FLAG_RAPID, NULL, 0);
        SSL_free(conn);
    }
}

/* ---- server */

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *size,
                   const unsigned char *offers, unsigned offers_size, void *context)
{
    (void)ssl;
    (void)context;
    return SSL_select_next_proto((unsigned char **)(void *)chosen, size, alpn, sizeof(alpn), offers,
                                 offers_size) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void answer(SSL *stream, const char *root)
{
    static char chunk[CHUNK];
    char request[REQUEST_MAX] = "";
    char name[2 * REQUEST_MAX];
    size_t size = 0;
    size_t got;
    size_t written;

    while (size < sizeof(request) - 1 &&
           SSL_read_ex(stream, request + size, sizeof(request) - 1 - size, &got))
        size += got;
    request[size] = '\0';
    request[strcspn(request, "\r\n")] = '\0';
    snprintf(name, sizeof(name), "%s/%s", root,
             strncmp(request, "GET /", 5) == 0 ? request + 5 : "");
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    SSL_STREAM_RESET_ARGS args = {.quic_error_code = NOT_FOUND};
    if (fd < 0) {
        SSL_stream_reset(stream, &args, sizeof(args));
        return;
    }
    for (ssize_t part; (part = read(fd, chunk, sizeof(chunk))) > 0;) {
        if (!SSL_write_ex(stream, chunk, (size_t)part, &written))
            break;
    }
    close(fd);
    SSL_stream_conclude(stream, 0);
}

static void serve(SSL *conn, const char *root)
{
    SSL_set_incoming_stream_policy(conn, SSL_INCOMING_STREAM_POLICY_ACCEPT, 0);
    for (SSL *stream; (stream = SSL_accept_stream(conn, 0)) != NULL;) {
        answer(stream, root);
        SSL_free(stream);
    }
    SSL_free(conn);
}

static void run_server(char **words)
{
    SSL_CTX *ctx = SSL_CTX_new(OSSL_QUIC_server_method());
    BIO_ADDR *unused = NULL;
    uint64_t flags = strcmp(words[1], "retry") == 0 ? 0 : SSL_LISTENER_FLAG_NO_VALIDATE;

    common(ctx);
    if (SSL_CTX_use_certificate_chain_file(ctx, words[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, words[3], SSL_FILETYPE_PEM) != 1)
        die("certificate");
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL *listener = SSL_new_listener(ctx, flags);
    if (listener == NULL || !SSL_set_fd(listener, open_socket(words[0], 1, unused)) ||
        !SSL_listen(listener))
        die("listener");
    SSL_set_blocking_mode(listener, 1);
    printf("ready\n");
    fflush(stdout);
    for (SSL *conn; (conn = SSL_accept_connection(listener, 0)) != NULL;) {
        SSL_set_blocking_mode(conn, 1);
        serve(conn, words[4]);
        ERR_clear_error();
    }
    die("accept");
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "client") == 0)
        run_client(argv + 2);
    else if (argc == 7 && strcmp(argv[1], "server") == 0)
        run_server(argv + 2);
    else
        die("wrong command line");
    return 0;
}
