/* Tests of millrace/http3_io.h: a server and a client, joined by nothing but bytes in memory. */
#include "millrace/http3_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http3/client.h"
#include "millrace/http3.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

enum {
    STEPS = 20000,
    BIG = 300000,
    LINKS = 64,
    STREAMS = 1024,
    CLIENT = 0,
    SERVER = 1
};

/* ------------------------------------------------------------------ a wire */

/* A connection: handles of both sides. */
struct link {
    mr_handle end[2];
    uint64_t opened[2][2]; /* [side][is_uni] */
    bool is_over;
};

/* What one side has sent on a stream, and how much of it the other one was fed. */
struct pipe {
    uint8_t *bytes;
    size_t size, fed;
    bool has_fin, is_fin_fed;
    bool is_held; /* not all was taken: READ comes */
};

struct stream {
    struct link *link;
    uint64_t id;
    mr_handle end[2];
    struct pipe pipe[2]; /* by sender */
    bool is_ended[2];
};

static struct mr_http3_io *io[2];
static struct link links[LINKS];
static struct stream streams[STREAMS];
static uint32_t link_count, stream_count;
static uint32_t ends[2], reads, resets, stops; /* wishes; the ends of connections */
static uint64_t last_code, close_code;
static uint64_t now, chance;
static uint32_t refuse_percent;
static mr_handle refused[STREAMS]; /* by the wire, to be told again */
static unsigned refused_side[STREAMS];
static uint32_t refused_count;

static uint32_t draw(uint32_t below)
{
    chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(chance >> 33) % below;
}

static bool refuse(unsigned side, mr_handle object)
{
    if (draw(100) >= refuse_percent)
        return false;
    refused[refused_count] = object;
    refused_side[refused_count++] = side;
    return true;
}

static bool feed(struct stream *s, unsigned side);

static void connect_them(const struct mr_http3_io_wish *wish)
{
    struct link *link = &links[link_count];

    if (refuse(CLIENT, wish->object))
        return;
    link_count++;
    CU_ASSERT_STRING_EQUAL(wish->options->server_name, "host");
    CU_ASSERT_EQUAL(wish->options->alpn_size, 3);
    *link = (struct link){.end = {wish->object, mr_http3_io_accept(io[SERVER], link)}};
    mr_http3_io_set_user(io[CLIENT], wish->object, link);
    if (link->end[SERVER] != MR_HANDLE_NONE) {
        mr_http3_io_connected(io[CLIENT], wish->object);
        return;
    }
    link->is_over = true;
    mr_http3_io_closed(io[CLIENT], wish->object,
                       &(struct mr_http3_io_end){0x107, true, true, "there is no room"});
}

static void open_one(unsigned side, const struct mr_http3_io_wish *wish)
{
    struct link *link = wish->conn_user;

    if (refuse(side, wish->object))
        return;
    struct stream *s = &streams[stream_count++];
    *s = (struct stream){.link = link,
                         .id = link->opened[side][wish->is_uni]++ << 2 | (wish->is_uni ? 2u : 0u) |
                               side};
    s->end[side] = wish->object;
    mr_http3_io_opened(io[side], wish->object, s);
    s->end[!side] = mr_http3_io_stream(io[!side], link->end[!side], s->id, s);
}

static void send_some(unsigned side, const struct mr_http3_io_wish *wish)
{
    struct stream *s = wish->user;
    struct pipe *p = &s->pipe[side];

    if (side == SERVER) { /* RFC 9218: what HTTP/3 says of its own streams goes before answers */
        CU_ASSERT_EQUAL(wish->priority.urgency, wish->is_uni ? 0 : 3);
        CU_ASSERT_EQUAL(wish->priority.is_incremental, wish->is_uni);
    }
    if (refuse(side, wish->object))
        return;
    size_t part = wish->size == 0 ? 0 : 1 + draw((uint32_t)wish->size);
    p->bytes = realloc(p->bytes, p->size + part + 1);
    if (part > 0)
        memcpy(p->bytes + p->size, wish->data, part);
    p->size += part;
    CU_ASSERT_FALSE(p->has_fin);
    p->has_fin = wish->is_fin && part == wish->size;
    mr_http3_io_sent(io[side], wish->object, part);
}

static void close_link(struct link *link, unsigned side, uint64_t code, const char *reason)
{
    struct mr_http3_io_end over = {code, true, false, reason};

    if (link->is_over)
        return;
    link->is_over = true;
    close_code = code;
    mr_http3_io_closed(io[side], link->end[side], &over);
    over.is_remote = true;
    mr_http3_io_closed(io[!side], link->end[!side], &over);
}

static void do_wish(unsigned side, const struct mr_http3_io_wish *wish)
{
    struct stream *s = wish->user;

    switch (wish->kind) {
    case MR_HTTP3_IO_CONNECT:
        connect_them(wish);
        break;
    case MR_HTTP3_IO_OPEN:
        open_one(side, wish);
        break;
    case MR_HTTP3_IO_SEND:
        send_some(side, wish);
        break;
    case MR_HTTP3_IO_RESET:
        resets++;
        last_code = wish->code;
        mr_http3_io_reset(io[!side], s->end[!side], wish->code);
        break;
    case MR_HTTP3_IO_STOP:
        if ((s->id & 2) == 0) { /* not a stream without meaning (RFC 9114, Section 6.2.3) */
            stops++;
            last_code = wish->code;
        }
        mr_http3_io_stopped(io[!side], s->end[!side], wish->code);
        break;
    case MR_HTTP3_IO_READ:
        reads++;
        s->pipe[!side].is_held = false;
        break;
    case MR_HTTP3_IO_CLOSE:
        for (uint32_t i = 0; i < stream_count; i++)
            while (streams[i].link == wish->user && feed(&streams[i], side))
                continue; /* what was sent arrives before */
        close_link(wish->user, side, wish->code, wish->reason);
        break;
    case MR_HTTP3_IO_END:
        if (wish->object == wish->conn) {
            ends[side]++;
        } else if (s != NULL) { /* else it was never opened */
            CU_ASSERT_FALSE(s->is_ended[side]);
            s->is_ended[side] = true;
        }
    }
}

/* Feed some of what `side` has sent.  False: there was nothing. */
static bool feed(struct stream *s, unsigned side)
{
    struct pipe *p = &s->pipe[side];
    size_t left = p->size - p->fed;

    if (s->is_ended[!side] || s->link->is_over || p->is_held || p->is_fin_fed ||
        (left == 0 && !p->has_fin))
        return false;
    size_t part = left == 0 ? 0 : 1 + draw((uint32_t)left);
    bool is_fin = p->has_fin && part == left;
    uint8_t *copy = malloc(part + 1); /* of exact size but one: overruns are seen */
    if (part > 0)
        memcpy(copy, p->bytes + p->fed, part);
    size_t taken = mr_http3_io_feed(io[!side], s->end[!side], copy, part, is_fin);
    free(copy);
    CU_ASSERT_FATAL(taken <= part);
    p->fed += taken;
    p->is_held = taken < part;
    p->is_fin_fed = is_fin && taken == part;
    return true;
}

static bool step(void)
{
    struct mr_http3_io_wish wish;
    bool has_moved = false;

    now += 1000000;
    for (unsigned side = 0; side < 2; side++) {
        mr_http3_io_poll(io[side], now);
        while (mr_http3_io_next(io[side], &wish)) {
            has_moved = true;
            do_wish(side, &wish);
        }
    }
    has_moved = has_moved || refused_count > 0;
    while (refused_count > 0) {
        refused_count--;
        mr_http3_io_retry(io[refused_side[refused_count]], refused[refused_count]);
    }
    for (uint32_t i = 0; i < stream_count; i++)
        has_moved = feed(&streams[i], draw(2)) || has_moved;
    return has_moved;
}

/* Until nothing has moved for a while; timers of a second have come and gone. */
static void run(void)
{
    int idle = 0;

    for (int i = 0; i < STEPS && idle < 50; i++)
        idle = step() ? 0 : idle + 1;
    CU_ASSERT_EQUAL_FATAL(idle, 50);
}

/* ------------------------------------------------------------------ a server and a client */

struct page {
    uint32_t told, status;
    int error;
    size_t size;
    char *body;
    char reason[96];
};

static struct h3_pair *files;
static struct mr_http3_server *server;
static struct mr_http3_client *client;

static void take(void *context, const struct mr_http3_page *from)
{
    struct page *page = context;

    page->told++;
    page->error = from->error;
    page->status = from->status;
    page->size = from->size;
    snprintf(page->reason, sizeof(page->reason), "%s", from->reason);
    page->body = calloc(1, from->size + 1);
    if (from->size > 0)
        memcpy(page->body, from->body, from->size);
}

static void want(const char *path, size_t size_max, struct page *page)
{
    struct mr_http3_url url = {.host = "host", .authority = "host", .port = 443};
    const struct mr_http3_request request = {.url = &url, .size_max = size_max};

    memset(page, 0, sizeof(*page));
    snprintf(url.path, sizeof(url.path), "%s", path);
    CU_ASSERT_EQUAL_FATAL(mr_http3_get(client, &request, take, page), 0);
}

static void join_them(const struct mr_application *application, uint32_t connections_max)
{
    const struct mr_http3_io_config ours = {.is_client = true, .queue_bytes = 4096};
    const struct mr_http3_io_config theirs = {.connections_max = connections_max,
                                              .queue_bytes = 4096};

    CU_ASSERT_EQUAL_FATAL(mr_http3_io_new(&ours, application, now, &io[CLIENT]), 0);
    CU_ASSERT_EQUAL_FATAL(
        mr_http3_io_new(&theirs, mr_http3_server_application(server), now, &io[SERVER]), 0);
}

static void make(uint64_t seed, uint32_t refusals, uint32_t connections_max)
{
    files = h3_pair_new();
    h3_pair_write_text(files, "index.html", "<p>welcome</p>");
    h3_pair_write_text(files, "empty", "");
    h3_pair_write_pattern(files, "big", BIG);
    const struct mr_http3_server_config config = {.root = files->root, .has_listings = true};
    CU_ASSERT_EQUAL_FATAL(mr_http3_server_new(&config, &server, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(mr_http3_client_new(NULL, &client, NULL), 0);
    chance = seed;
    refuse_percent = refusals;
    link_count = stream_count = refused_count = 0;
    ends[CLIENT] = ends[SERVER] = reads = resets = stops = 0;
    join_them(mr_http3_client_application(client), connections_max);
}

static void end(void)
{
    for (uint32_t i = 0; i < stream_count; i++) {
        free(streams[i].pipe[0].bytes);
        free(streams[i].pipe[1].bytes);
    }
    mr_http3_io_free(io[CLIENT]);
    mr_http3_io_free(io[SERVER]);
    mr_http3_client_free(client);
    mr_http3_server_free(server);
    h3_pair_free(files);
}

/* Every connection has ended, and every stream that the side knows of: one that is opened while the
 * other side closes is not taken. */
static bool is_all_over(unsigned side)
{
    bool is_over = ends[side] == link_count;

    for (uint32_t i = 0; i < stream_count; i++)
        is_over = is_over && (streams[i].end[side] == MR_HANDLE_NONE || streams[i].is_ended[side]);
    return is_over;
}

/* Request streams that have ended. */
static uint32_t requests_over(unsigned side)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < stream_count; i++)
        count += (streams[i].id & 2) == 0 && streams[i].is_ended[side];
    return count;
}

/* ------------------------------------------------------------------ tests */

static void pages_come_whole_in_whatever_pieces(void)
{
    struct page pages[8];

    for (uint64_t seed = 1; seed <= 12; seed++) {
        make(seed, (uint32_t)seed % 3 * 30, 0);
        for (size_t i = 0; i < MR_COUNT_OF(pages); i++)
            want(i % 2 == 0 ? "/big" : i == 1 ? "/" : i == 3 ? "/empty" : "/missing", 0, &pages[i]);
        run();
        for (size_t i = 0; i < MR_COUNT_OF(pages); i++) {
            CU_ASSERT_EQUAL_FATAL(pages[i].told, 1);
            CU_ASSERT_EQUAL(pages[i].error, 0);
            CU_ASSERT_EQUAL(pages[i].status, i == 5 || i == 7 ? 404 : 200);
            if (i % 2 == 0)
                CU_ASSERT_EQUAL(pages[i].size, BIG);
        }
        CU_ASSERT_STRING_EQUAL(pages[1].body, "<p>welcome</p>");
        CU_ASSERT_EQUAL(pages[3].size, 0);
        for (size_t i = 2; i < MR_COUNT_OF(pages); i += 2)
            CU_ASSERT_EQUAL(memcmp(pages[i].body, pages[0].body, BIG), 0);
        for (size_t i = 0; i < MR_COUNT_OF(pages); i++)
            free(pages[i].body);
        /* every connection and stream has ended, once, at either end */
        CU_ASSERT_EQUAL(link_count, MR_COUNT_OF(pages));
        CU_ASSERT_TRUE(is_all_over(CLIENT));
        CU_ASSERT_TRUE(is_all_over(SERVER));
        end();
    }
}

/* Told once, until it is asked for again; then a stale handle is nobody's. */
static void a_wish_is_told_once_and_again_after_a_retry(void)
{
    struct mr_http3_io_wish wish;
    struct page page;
    uint8_t byte = 0;

    make(1, 0, 0);
    want("/", 0, &page);
    mr_http3_io_poll(io[CLIENT], now);
    CU_ASSERT_TRUE_FATAL(mr_http3_io_next(io[CLIENT], &wish));
    CU_ASSERT_EQUAL(wish.kind, MR_HTTP3_IO_CONNECT);
    mr_handle conn = wish.object;
    CU_ASSERT_FALSE(mr_http3_io_next(io[CLIENT], &wish));
    mr_http3_io_retry(io[CLIENT], conn);
    CU_ASSERT_TRUE_FATAL(mr_http3_io_next(io[CLIENT], &wish));
    CU_ASSERT_EQUAL(wish.kind, MR_HTTP3_IO_CONNECT);
    CU_ASSERT_EQUAL(wish.object, conn);
    mr_http3_io_closed(io[CLIENT], conn, &(struct mr_http3_io_end){0x12a, false, true, NULL});
    CU_ASSERT_EQUAL_FATAL(page.told, 1);
    CU_ASSERT_EQUAL(page.error, -ECONNREFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(page.reason, "certificate")); /* RFC 9001, Section 4.8 */
    free(page.body);
    uint32_t over = 0;
    while (mr_http3_io_next(io[CLIENT], &wish)) {
        CU_ASSERT_EQUAL(wish.kind, MR_HTTP3_IO_END);
        over += wish.object == conn;
    }
    CU_ASSERT_EQUAL(over, 1);
    mr_http3_io_connected(io[CLIENT], conn);
    mr_http3_io_retry(io[CLIENT], conn);
    mr_http3_io_closed(io[CLIENT], conn, &(struct mr_http3_io_end){0});
    CU_ASSERT_EQUAL(mr_http3_io_stream(io[CLIENT], conn, 3, NULL), MR_HANDLE_NONE);
    CU_ASSERT_EQUAL(mr_http3_io_feed(io[CLIENT], conn, &byte, 1, true), 1);
    mr_http3_io_sent(io[CLIENT], conn, 1);
    mr_http3_io_reset(io[CLIENT], conn, 1);
    mr_http3_io_opened(io[CLIENT], conn, NULL);
    CU_ASSERT_FALSE(mr_http3_io_next(io[CLIENT], &wish));
    end();
}

/* The client opens no second stream of a kind before the first has its number. */
static void streams_are_opened_in_the_order_of_their_numbers(void)
{
    struct mr_http3_io_wish wish;
    struct page page;
    uint32_t unis = 0;
    mr_handle first = MR_HANDLE_NONE;

    make(1, 0, 0);
    want("/", 0, &page);
    mr_http3_io_poll(io[CLIENT], now);
    CU_ASSERT_TRUE_FATAL(mr_http3_io_next(io[CLIENT], &wish));
    mr_handle conn = wish.object;
    mr_http3_io_connected(io[CLIENT], conn);
    while (mr_http3_io_next(io[CLIENT], &wish)) {
        CU_ASSERT_EQUAL(wish.kind, MR_HTTP3_IO_OPEN);
        unis += wish.is_uni;
        first = wish.is_uni ? wish.object : first;
    }
    CU_ASSERT_EQUAL(unis, 1); /* of two: control, and QPACK's decoder stream (RFC 9114, 6.2) */
    mr_http3_io_retry(io[CLIENT], conn);
    unis = 0;
    while (mr_http3_io_next(io[CLIENT], &wish)) {
        unis += wish.is_uni;
        CU_ASSERT_TRUE(!wish.is_uni || wish.object == first);
    }
    CU_ASSERT_EQUAL(unis, 1);
    mr_http3_io_opened(io[CLIENT], first, NULL);
    bool has_second = false, has_send = false;
    while (mr_http3_io_next(io[CLIENT], &wish)) {
        has_second = has_second || (wish.kind == MR_HTTP3_IO_OPEN && wish.object != first);
        has_send = has_send || (wish.kind == MR_HTTP3_IO_SEND && wish.object == first);
    }
    CU_ASSERT_TRUE(has_second);
    CU_ASSERT_TRUE(has_send);
    end();
}

static void what_finds_no_room_is_refused(void)
{
    struct page pages[3];

    make(1, 0, 1);
    for (size_t i = 0; i < MR_COUNT_OF(pages); i++)
        want("/big", 0, &pages[i]);
    run();
    uint32_t refusals = 0;
    for (size_t i = 0; i < MR_COUNT_OF(pages); i++) {
        CU_ASSERT_EQUAL_FATAL(pages[i].told, 1);
        if (pages[i].error != 0) {
            refusals++;
            CU_ASSERT_STRING_EQUAL(pages[i].reason, "there is no room");
        }
        free(pages[i].body);
    }
    CU_ASSERT_EQUAL(refusals, 2);
    end();
}

static void a_page_that_is_too_large_ends_its_connection(void)
{
    struct page page;

    make(1, 0, 0);
    want("/big", BIG - 1, &page);
    run();
    CU_ASSERT_EQUAL_FATAL(page.told, 1);
    CU_ASSERT_EQUAL(page.error, -EMSGSIZE);
    CU_ASSERT_TRUE(is_all_over(CLIENT));
    CU_ASSERT_TRUE(is_all_over(SERVER));
    free(page.body);
    end();
}

static void a_connection_that_is_lost_is_told_once(void)
{
    struct page pages[3];

    for (uint64_t seed = 1; seed <= 8; seed++) {
        make(seed, 30, 0);
        for (size_t i = 0; i < MR_COUNT_OF(pages); i++)
            want("/big", 0, &pages[i]);
        for (uint64_t i = 0; i < 3 * seed; i++)
            step();
        for (uint32_t i = 0; i < link_count; i++)
            close_link(&links[i], draw(2), 0x33, "cut");
        run();
        for (size_t i = 0; i < MR_COUNT_OF(pages); i++) {
            CU_ASSERT_EQUAL(pages[i].told, 1);
            free(pages[i].body);
        }
        CU_ASSERT_TRUE(is_all_over(SERVER));
        end();
    }
}

/* The server has begun to send a page. */
static bool has_answer(void)
{
    for (uint32_t i = 0; i < stream_count; i++) {
        if ((streams[i].id & 3) == 0 && streams[i].pipe[SERVER].size > 0)
            return true;
    }
    return false;
}

/* RFC 9114, Section 5.2: "Once a server sends GOAWAY, it finishes what it has begun." */
static void going_away_finishes_what_is_under_way(void)
{
    struct page page;

    make(1, 0, 0);
    want("/big", 0, &page);
    for (int i = 0; i < STEPS && !has_answer(); i++)
        step();
    mr_http3_io_go_away(io[SERVER]);
    run();
    CU_ASSERT_EQUAL_FATAL(page.told, 1);
    CU_ASSERT_EQUAL(page.error, 0);
    CU_ASSERT_EQUAL(page.size, BIG);
    CU_ASSERT_EQUAL(close_code, 0x100); /* H3_NO_ERROR */
    free(page.body);
    end();
}

/* ------------------------------------------------------------------ an application that waits */

static struct {
    struct mr_h3_client *client;
    mr_h3_client_conn conn;
    mr_h3_client_request request;
    size_t taken, cancel_at;
    enum mr_h3_outcome outcome;
    bool is_done;
} slow;

static void on_start(void *context, struct mr_h3_client *h3)
{
    const struct mr_connect_options options = {.server_name = "host"};
    const struct mr_h3_request_options request = {.authority = "host", .path = "/big"};

    (void)context;
    CU_ASSERT_EQUAL(mr_h3_client_connect(h3, &options, 0, &slow.conn), 0);
    CU_ASSERT_EQUAL(mr_h3_client_request_make(h3, slow.conn, &request, 0, &slow.request), 0);
}

static size_t take_half(void *context, mr_h3_client_request request, uint64_t user,
                        const uint8_t *data, size_t size)
{
    (void)context;
    (void)user;
    (void)data;
    size_t part = size == 1 ? 1 : size / 2;
    slow.taken += part;
    if (slow.taken >= slow.cancel_at)
        (void)mr_h3_client_cancel(slow.client, request);
    return part;
}

static void on_done(void *context, mr_h3_client_request request, uint64_t user,
                    const struct mr_h3_result *result)
{
    (void)context;
    (void)request;
    (void)user;
    slow.outcome = result->outcome;
    slow.is_done = true;
}

static void fetch_slowly(size_t cancel_at)
{
    const struct mr_h3_client_callbacks callbacks = {
        .on_start = on_start, .on_data = take_half, .on_done = on_done};
    const struct mr_h3_client_config config = mr_h3_client_config_default(1, 1);

    make(3, 0, 0);
    mr_http3_io_free(io[CLIENT]);
    mr_http3_io_free(io[SERVER]);
    memset(&slow, 0, sizeof(slow));
    slow.cancel_at = cancel_at;
    CU_ASSERT_EQUAL_FATAL(mr_h3_client_new(&config, &callbacks, &slow.client, NULL), 0);
    join_them(mr_h3_client_application(slow.client), 0);
    for (int i = 0; i < STEPS && !slow.is_done; i++) {
        step();
        (void)mr_h3_client_resume(slow.client, slow.request);
    }
    run();
    CU_ASSERT_TRUE(slow.is_done);
}

static void what_is_not_taken_is_read_again(void)
{
    fetch_slowly(SIZE_MAX);
    CU_ASSERT_EQUAL(slow.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(slow.taken, BIG);
    CU_ASSERT_TRUE(reads > 10);
    CU_ASSERT_EQUAL(requests_over(CLIENT), 1);
    CU_ASSERT_EQUAL(ends[CLIENT], 0); /* its connection lives */
    end();
    mr_h3_client_free(slow.client);
}

/* RFC 9114, Section 4.1.1: "Clients SHOULD use the error code H3_REQUEST_CANCELLED to cancel
 * requests." */
static void a_request_that_is_cancelled_is_stopped(void)
{
    fetch_slowly(1000);
    CU_ASSERT_EQUAL(slow.outcome, MR_H3_CANCELLED);
    CU_ASSERT_EQUAL(stops, 1);
    CU_ASSERT_TRUE(slow.taken < BIG);
    CU_ASSERT_EQUAL(last_code, 0x10c);
    CU_ASSERT_EQUAL(requests_over(CLIENT), 1);
    CU_ASSERT_EQUAL(requests_over(SERVER), 1);
    CU_ASSERT_EQUAL(ends[CLIENT] + ends[SERVER], 0);
    end();
    mr_h3_client_free(slow.client);
}

/* The first is on its way when a second is wanted. */
static void an_open_that_was_told_is_not_told_again_for_the_next(void)
{
    const struct mr_h3_client_callbacks callbacks = {.on_start = on_start, .on_done = on_done};
    const struct mr_h3_client_config config = mr_h3_client_config_default(1, 2);
    const struct mr_h3_request_options request = {.authority = "host", .path = "/"};
    mr_h3_client_request another;
    struct mr_http3_io_wish wish;
    uint32_t opens = 0;

    make(3, 0, 0);
    mr_http3_io_free(io[CLIENT]);
    mr_http3_io_free(io[SERVER]);
    CU_ASSERT_EQUAL_FATAL(mr_h3_client_new(&config, &callbacks, &slow.client, NULL), 0);
    join_them(mr_h3_client_application(slow.client), 0);
    for (int i = 0; i < 2; i++) {
        mr_http3_io_poll(io[CLIENT], now += 1000000);
        while (mr_http3_io_next(io[CLIENT], &wish)) {
            opens += wish.kind == MR_HTTP3_IO_OPEN && !wish.is_uni;
            if (wish.kind == MR_HTTP3_IO_CONNECT)
                mr_http3_io_connected(io[CLIENT], wish.object);
        }
        CU_ASSERT_EQUAL(opens, 1);
        CU_ASSERT_EQUAL(mr_h3_client_request_make(slow.client, slow.conn, &request, 0, &another),
                        i == 0 ? 0 : -EAGAIN);
    }
    end();
    mr_h3_client_free(slow.client);
}

static CU_TestInfo tests[] = {
    {"pages come whole in whatever pieces", pages_come_whole_in_whatever_pieces},
    {"a wish is told once, and again after a retry", a_wish_is_told_once_and_again_after_a_retry},
    {"streams are opened in the order of their numbers",
     streams_are_opened_in_the_order_of_their_numbers},
    {"what finds no room is refused", what_finds_no_room_is_refused},
    {"a page that is too large ends its connection", a_page_that_is_too_large_ends_its_connection},
    {"a connection that is lost is told once", a_connection_that_is_lost_is_told_once},
    {"going away finishes what is under way", going_away_finishes_what_is_under_way},
    {"what is not taken is read again", what_is_not_taken_is_read_again},
    {"a request that is cancelled is stopped", a_request_that_is_cancelled_is_stopped},
    {"an OPEN that was told is not told again for the next",
     an_open_that_was_told_is_not_told_again_for_the_next},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/io", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
