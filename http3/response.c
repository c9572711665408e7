/* http3/response.c - the heads of responses; see server_internal.h. */
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/server_internal.h"

enum {
    DECIMAL_MAX = 20,               /* digits of 64 bits */
    LOCATION_MAX = 2 + 3 * 255 + 1, /* "./", a name percent-encoded, "/" */
    RANGE_FIELD_MAX = 6 + 3 * DECIMAL_MAX + 2,
};

/* clang-format off */
static const struct {
    uint16_t status;
    char digits[4];
    const char *text;
} statuses[] = {
    {200, "200", ""},
    {206, "206", ""},
    {301, "301", "301 Moved Permanently\n"},
    {304, "304", ""},
    {400, "400", "400 Bad Request: the path cannot be read\n"},
    {403, "403", "403 Forbidden: the server may not read this file\n"},
    {404, "404", "404 Not Found\n"},
    {405, "405", "405 Method Not Allowed: only GET and HEAD are\n"},
    {412, "412", "412 Precondition Failed\n"},
    {413, "413", "413 Content Too Large: this server takes no content\n"},
    {414, "414", "414 URI Too Long\n"},
    {416, "416", "416 Range Not Satisfiable\n"},
    {425, "425", "425 Too Early: ask again when the handshake is complete\n"},
    {431, "431", "431 Request Header Fields Too Large\n"},
    {500, "500", "500 Internal Server Error: the file cannot be read\n"},
    {501, "501", "501 Not Implemented: no such protocol\n"},
    {503, "503", "503 Service Unavailable: try again later\n"},
};
/* clang-format on */

static size_t status_index(uint16_t status)
{
    for (size_t i = 0; i < MR_COUNT_OF(statuses); i++) {
        if (statuses[i].status == status)
            return i;
    }
    mr_panic(__FILE__, __LINE__, "status is one of the table's");
}

bool mr_response_is_known(uint16_t status)
{
    for (size_t i = 0; i < MR_COUNT_OF(statuses); i++) {
        if (statuses[i].status == status)
            return true;
    }
    return false;
}

const char *mr_response_text(uint16_t status)
{
    return statuses[status_index(status)].text;
}

/* A head being put together.  Field values point into it, or to what outlives it. */
struct head {
    struct mr_field_line lines[MR_FIELD_LINES_MAX];
    size_t count;
    char length[DECIMAL_MAX];
    char range[RANGE_FIELD_MAX];
    char modified[MR_DATE_SIZE];
    char etag[MR_ETAG_MAX];
    char location[LOCATION_MAX];
};

static void add(struct head *head, const char *name, const char *value, size_t size)
{
    MR_ASSERT(head->count < MR_FIELD_LINES_MAX);
    head->lines[head->count++] = (struct mr_field_line){name, {value, size}};
}

static void add_text(struct head *head, const char *name, const char *value)
{
    add(head, name, value, strlen(value));
}

static size_t put_decimal(char *dst, uint64_t value)
{
    char digits[DECIMAL_MAX];
    size_t size = 0;

    do {
        digits[size++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < size; i++)
        dst[i] = digits[size - 1 - i];
    return size;
}

static void add_length(struct head *head, uint64_t length)
{
    add(head, "content-length", head->length, put_decimal(head->length, length));
}

/* "bytes 0-9/100", or with an unsatisfiable range a star before the slash */
static void add_content_range(struct head *head, const struct mr_exchange *x)
{
    size_t at = 6;

    memcpy(head->range, "bytes ", 6);
    if (x->status == 416) {
        head->range[at++] = '*';
    } else {
        at += put_decimal(head->range + at, x->part.first);
        head->range[at++] = '-';
        at += put_decimal(head->range + at, x->part.first + x->part.size - 1);
    }
    head->range[at++] = '/';
    at += put_decimal(head->range + at, x->whole);
    add(head, "content-range", head->range, at);
}

static void add_validators(struct head *head, const struct mr_exchange *x)
{
    if (x->source == MR_CONTENT_BUFFER) /* a listing has none */
        return;
    mr_date_format(head->modified, x->version.modified_ns / 1000000000);
    add(head, "last-modified", head->modified, MR_DATE_SIZE);
    add(head, "etag", head->etag, mr_etag_format(head->etag, &x->version));
}

/* Add the query as it came; bytes that no URL has, and "#", are percent-encoded.  Bytes written;
 * SIZE_MAX: no room. */
static size_t write_query(char *dst, size_t room, const struct mr_target *target)
{
    const char *query = mr_target_query(target);
    size_t at = 0;

    for (size_t i = 0; i < target->query_size; i++) {
        bool is_plain = query[i] > 0x20 && query[i] < 0x7f && query[i] != '#';
        size_t need = is_plain ? 1 : 3;

        if (room - at < need)
            return SIZE_MAX;
        if (is_plain)
            dst[at] = query[i];
        else
            (void)mr_target_encode(dst + at, need, query + i, 1);
        at += need;
    }
    return at;
}

/* "./name/?query": relative, so that neither scheme nor authority has to be known (RFC 9110,
 * Section 10.2.2).  Bytes written; SIZE_MAX: no room. */
static size_t write_location(char dst[LOCATION_MAX], const struct mr_target *target)
{
    const char *slash = memrchr(target->path, '/', target->size);
    const char *name = slash == NULL ? target->path : slash + 1;
    size_t size = target->size - (size_t)(name - target->path);

    memcpy(dst, "./", 2);
    size_t at = 2 + mr_target_encode(dst + 2, LOCATION_MAX - 3, name, size);
    dst[at++] = '/';
    size_t query = write_query(dst + at, LOCATION_MAX - at, target);
    return query == SIZE_MAX || target->is_query_lost ? SIZE_MAX : at + query;
}

bool mr_response_can_redirect(const struct mr_target *target)
{
    char location[LOCATION_MAX];

    return write_location(location, target) != SIZE_MAX;
}

static void add_location(struct head *head, const struct mr_exchange *x)
{
    size_t size = write_location(head->location, &x->job.target);

    MR_DASSERT(size != SIZE_MAX); /* mr_response_can_redirect() was asked */
    add(head, "location", head->location, size);
}

static bool is_representation(uint16_t status)
{
    return status == 200 || status == 206 || status == 304;
}

uint64_t mr_response_content_size(const struct mr_exchange *x)
{
    return x->is_head || x->source == MR_CONTENT_NONE ? 0 : x->part.size;
}

/* All fields but the date. */
static void fill(struct head *head, const struct mr_exchange *x)
{
    add(head, ":status", statuses[status_index(x->status)].digits, 3);
    add_text(head, "server", "millrace");
    if (is_representation(x->status))
        add_validators(head, x);
    if (x->status == 206 || x->status == 416)
        add_content_range(head, x);
    if (x->status == 405)
        add_text(head, "allow", "GET, HEAD");
    if (x->status == 301)
        add_location(head, x);
    if (x->status != 304) {
        add_text(head, "content-type", x->content_type);
        add_length(head, x->part.size);
        add_text(head, "x-content-type-options", "nosniff");
    }
    if (x->status == 200 || x->status == 206)
        add_text(head, "accept-ranges", x->source == MR_CONTENT_BUFFER ? "none" : "bytes");
}

/* Is the head that of the cache's entry, encoded before or now? */
static bool has_kept_head(struct mr_h3_server *server, const struct mr_exchange *x)
{
    struct head head;

    if (x->entry == NULL || x->status != 200 || !mr_h3_takes_lines(&server->h3, x->stream))
        return false;
    if (x->entry->head.size > 0)
        return true;
    head.count = 0;
    fill(&head, x);
    return mr_h3_lines_make(&server->h3, head.lines, head.count, &x->entry->head);
}

int mr_response_send_head(struct mr_h3_server *server, struct mr_exchange *x)
{
    struct head head;
    struct mr_h3_body body = {.size = mr_response_content_size(x)};

    if (has_kept_head(server, x))
        return mr_h3_send_lines(&server->h3, x->stream, &x->entry->head,
                                mr_server_date_lines(server), &body);
    head.count = 0;
    fill(&head, x);
    add(&head, "date", mr_server_date(server), MR_DATE_SIZE);
    return mr_h3_send_head(&server->h3, x->stream, head.lines, head.count, &body);
}
