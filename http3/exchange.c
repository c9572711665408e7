/* http3/exchange.c - a request and its response, step by step; see server_internal.h. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "http3/mime.h"
#include "http3/server_internal.h"

enum {
    CHECK_PARTS = 4, /* of cache_fresh_ns: in the last one somebody looks at the disk */
};

static struct mr_exchange *exchange_of(struct mr_h3_server *server,
                                       const struct mr_h3_stream *stream)
{
    if (stream->owner == MR_H3_OWNER_NONE)
        return NULL;
    return mr_pool_at(&server->exchanges, (uint32_t)stream->owner);
}

static void submit(struct mr_h3_server *server, struct mr_exchange *x, enum mr_file_job_kind kind)
{
    MR_ASSERT(!x->is_job_out);
    x->job.kind = kind;
    x->is_job_out = true;
    mr_server_submit(server, &x->job, MR_SERVER_TAG_EXCHANGE, mr_pool_index(&server->exchanges, x));
}

static uint64_t now_of(const struct mr_h3_server *server)
{
    struct mr_transport *t = server->h3.transport;

    return t->ops->now(t);
}

/* ---- ends ---- */

static void end_transfer_count(struct mr_h3_server *server, const struct mr_exchange *x)
{
    if (x->state == MR_EXCHANGE_SENDING && x->source == MR_CONTENT_FILE)
        server->transfers--;
}

/* No more steps: what is left is to give back what it holds. */
static void go(struct mr_h3_server *server, struct mr_exchange *x)
{
    end_transfer_count(server, x);
    x->state = MR_EXCHANGE_GONE;
}

void mr_exchange_abort(struct mr_h3_server *server, struct mr_exchange *x, uint64_t code)
{
    if (x->state == MR_EXCHANGE_GONE)
        return;
    go(server, x);
    if (x->stream != NULL)
        mr_h3_abort(&server->h3, x->stream, code);
}

static void forget_retry(struct mr_h3_server *server, const struct mr_exchange *x)
{
    struct mr_exchange **at = &server->retry;

    if (!x->wants_retry)
        return;
    while (*at != x)
        at = &(*at)->next_retry;
    *at = x->next_retry;
}

/* It is none of its connection's any more. */
static void uncount(struct mr_h3_server *server, struct mr_exchange *x)
{
    const struct mr_h3_conn *conn = mr_h3_conn_of(&server->h3, x->conn_word);

    if (x->is_counted && conn != NULL)
        server->conn_exchanges[mr_pool_index(&server->h3.conns, conn)]--;
    x->is_counted = false;
}

void mr_exchange_release(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (x->stream != NULL || x->is_job_out || x->reads_out > 0)
        return;
    if (x->entry != NULL) {
        mr_cache_unpin(&server->cache, x->entry);
        x->entry = NULL;
    }
    mr_transfer_end(server, x);
    if (x->fd >= 0) {
        x->job.fd = x->fd;
        submit(server, x, MR_FILE_JOB_CLOSE);
        return;
    }
    mr_exchange_tunnel_release(server, x);
    uncount(server, x);
    forget_retry(server, x);
    x->is_live = false;
    mr_pool_put(&server->exchanges, mr_pool_index(&server->exchanges, x));
}

void mr_exchange_retry_later(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (!x->wants_retry) {
        x->wants_retry = true;
        x->next_retry = server->retry;
        server->retry = x;
    }
    mr_h3_want_retry(&server->h3);
}

/* ---- answering ---- */

static void count_response(struct mr_h3_server *server, uint16_t status)
{
    struct mr_h3_counters *c = &server->counters;

    mr_count(status == 200   ? &c->responses_200
             : status == 206 ? &c->responses_206
             : status == 304 ? &c->responses_304
                             : &c->responses_other);
}

/* The head, or what the transport says instead.  True: it is sent. */
static bool send_head(struct mr_h3_server *server, struct mr_exchange *x)
{
    int result = mr_response_send_head(server, x);

    switch (result) {
    case 0:
        x->is_head_sent = true;
        count_response(server, x->status);
        return true;
    case -EAGAIN:
        return false;
    case -ENOMEM:
        mr_exchange_retry_later(server, x);
        return false;
    default:
        mr_exchange_abort(server, x, MR_H3_INTERNAL_ERROR);
        return false;
    }
}

/* The file is not needed any more. */
static void close_file(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (x->fd < 0 || x->is_job_out || x->reads_out > 0)
        return;
    x->job.fd = x->fd;
    submit(server, x, MR_FILE_JOB_CLOSE);
}

static void send_more(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (!x->is_head_sent && !send_head(server, x))
        return;
    uint64_t size = mr_response_content_size(x);
    if (size > 0 && !mr_transfer_pump(server, x))
        return;
    if (size > 0 && x->sent_to < size)
        return;
    end_transfer_count(server, x);
    x->state = MR_EXCHANGE_SENT;
    close_file(server, x);
}

static void begin_sending(struct mr_h3_server *server, struct mr_exchange *x)
{
    x->state = MR_EXCHANGE_SENDING;
    x->progress_ns = now_of(server);
    if (x->source == MR_CONTENT_FILE)
        server->transfers++;
    send_more(server, x);
}

/* Limits of ours that a request was over; of its field section the layer below counts. */
static void count_excess(struct mr_h3_server *server, uint16_t status)
{
    if (status == 413)
        mr_count(&server->counters.bodies_too_large);
    else if (status == 414)
        mr_count(&server->counters.paths_too_large);
}

/* Answer with a status and its text. */
static void answer(struct mr_h3_server *server, struct mr_exchange *x, uint16_t status)
{
    count_excess(server, status);
    x->status = status;
    x->static_text = mr_response_text(status);
    x->source = x->static_text[0] == '\0' ? MR_CONTENT_NONE : MR_CONTENT_TEXT;
    x->content_type = "text/plain; charset=utf-8";
    x->part = (struct mr_range){0, strlen(x->static_text)};
    begin_sending(server, x);
}

/* ---- files ---- */

/* What the cache knows the target by.  The path has room for a "/". */
static size_t cache_key(struct mr_exchange *x, char key[MR_TARGET_PATH_MAX])
{
    const struct mr_target *target = &x->job.target;

    memcpy(key, target->path, target->size);
    if (target->is_directory)
        key[target->size] = '/';
    return target->size + target->is_directory;
}

/* Conditions and range: which part of the representation is sent, with what status? */
static uint16_t select_part(struct mr_h3_server *server, struct mr_exchange *x)
{
    int64_t now = mr_server_wall_second(server);

    x->whole = x->version.size;
    x->part = (struct mr_range){0, x->whole};
    switch (mr_conditions_evaluate(&x->conditions, &x->version, now)) {
    case MR_CONDITION_NOT_MODIFIED:
        return 304;
    case MR_CONDITION_FAILED:
        return 412;
    case MR_CONDITION_PROCEED:
        break;
    }
    if (x->range_field == NULL || x->is_head ||
        !mr_conditions_allow_range(&x->conditions, &x->version, now))
        return 200;
    switch (mr_range_parse(x->range_field, strlen(x->range_field), x->whole, &x->part)) {
    case MR_RANGE_PART:
        return 206;
    case MR_RANGE_UNSATISFIABLE:
        return 416;
    default:
        return 200;
    }
}

/* Try to load the whole file into the cache first.  True: a read is out. */
static bool load(struct mr_h3_server *server, struct mr_exchange *x)
{
    char key[MR_TARGET_PATH_MAX];
    size_t key_size = cache_key(x, key);

    if (x->version.size > server->config.cache_entry_max || x->restarts > MR_EXCHANGE_RESTARTS_MAX)
        return false;
    x->entry = mr_cache_reserve(&server->cache, key, key_size, (size_t)x->version.size);
    if (x->entry == NULL)
        return false;
    x->entry->version = x->version;
    x->entry->content_type = x->content_type;
    x->job.fd = x->fd;
    x->job.data = mr_cache_content(x->entry);
    x->job.size = x->entry->size;
    x->job.offset = 0;
    x->job.wants_version = true;
    x->state = MR_EXCHANGE_LOADING;
    mr_count(&server->counters.file_reads);
    submit(server, x, MR_FILE_JOB_READ);
    return true;
}

/* The representation is known: x->version and content_type, in x->entry or x->fd. */
static void answer_file(struct mr_h3_server *server, struct mr_exchange *x)
{
    uint16_t status = select_part(server, x);

    if (status == 412 || status == 416) {
        answer(server, x, status);
        return;
    }
    x->status = status;
    x->source = x->part.size == 0 || x->is_head || status == 304 ? MR_CONTENT_NONE
                : x->entry != NULL                               ? MR_CONTENT_CACHE
                                                                 : MR_CONTENT_FILE;
    if (x->source == MR_CONTENT_FILE && load(server, x))
        return;
    begin_sending(server, x);
}

/* What the entry holds is what the disk has now. */
static void refresh(struct mr_h3_server *server, struct mr_cache_entry *entry)
{
    uint64_t now = now_of(server);

    entry->check_from = now + server->config.cache_fresh_ns / CHECK_PARTS * (CHECK_PARTS - 1);
    entry->fresh_until = now + server->config.cache_fresh_ns;
    entry->is_being_checked = false;
}

/* May a request be answered from the entry?  The first that comes in the last part of the time that
 * it may be used is sent to the disk instead: when all went there at the end of it, hundreds of
 * requests for one file would wait, and open it. */
static bool can_use(struct mr_h3_server *server, struct mr_cache_entry *entry)
{
    uint64_t now = now_of(server);

    if (now >= entry->fresh_until)
        return false;
    if (now < entry->check_from || entry->is_being_checked)
        return true;
    entry->is_being_checked = true;
    return false;
}

static void use_entry(struct mr_h3_server *server, struct mr_exchange *x,
                      struct mr_cache_entry *entry)
{
    mr_cache_pin(&server->cache, entry);
    x->entry = entry;
    x->version = entry->version;
    x->content_type = entry->content_type;
    mr_count(&server->counters.cache_hits);
    close_file(server, x);
    answer_file(server, x);
}

/* The request is complete and asks for a path that can be read. */
static void begin_open(struct mr_h3_server *server, struct mr_exchange *x)
{
    char key[MR_TARGET_PATH_MAX];
    size_t key_size = cache_key(x, key);
    struct mr_cache_entry *entry = mr_cache_find(&server->cache, key, key_size);

    if (entry != NULL && can_use(server, entry)) {
        use_entry(server, x, entry);
        return;
    }
    x->job.root_fd = server->root_fd;
    x->job.index = server->has_index ? server->index : NULL;
    x->job.wants_directory = server->config.has_listings;
    x->state = MR_EXCHANGE_OPENING;
    submit(server, x, MR_FILE_JOB_OPEN);
}

/* A file is open: is what the cache has still the same? */
static void on_file_open(struct mr_h3_server *server, struct mr_exchange *x)
{
    char key[MR_TARGET_PATH_MAX];
    size_t key_size = cache_key(x, key);
    struct mr_cache_entry *entry = mr_cache_find(&server->cache, key, key_size);

    x->version = x->job.version;
    x->content_type = mr_mime_type(x->job.is_index ? server->index : x->job.target.path);
    if (entry != NULL && mr_file_version_equal(&entry->version, &x->version)) {
        refresh(server, entry);
        use_entry(server, x, entry);
        return;
    }
    if (entry != NULL)
        mr_cache_drop(&server->cache, entry);
    mr_count(&server->counters.cache_misses);
    answer_file(server, x);
}

static void begin_listing(struct mr_h3_server *server, struct mr_exchange *x)
{
    x->state = MR_EXCHANGE_LISTING;
    struct mr_file_buffer *buffer = mr_transfer_take_buffer(server, x);
    if (buffer == NULL)
        return; /* mr_exchange_continue() comes back */
    x->source = MR_CONTENT_BUFFER;
    buffer->state = MR_BUFFER_READY;
    x->job.fd = x->fd;
    x->job.data = buffer->data;
    x->job.size = server->config.buffer_bytes;
    submit(server, x, MR_FILE_JOB_LIST);
}

static void on_opened(struct mr_h3_server *server, struct mr_exchange *x)
{
    switch (x->job.found) {
    case MR_FILE_FOUND:
        on_file_open(server, x);
        break;
    case MR_FILE_REDIRECT:
        answer(server, x, mr_response_can_redirect(&x->job.target) ? 301 : 414);
        break;
    case MR_FILE_DIRECTORY:
        if (x->fd >= 0)
            begin_listing(server, x);
        else
            answer(server, x, 404);
        break;
    case MR_FILE_MISSING:
        answer(server, x, 404);
        break;
    case MR_FILE_FORBIDDEN:
        answer(server, x, 403);
        break;
    case MR_FILE_BUSY:
        mr_count(&server->counters.files_refused);
        answer(server, x, 503);
        break;
    }
}

static void on_listed(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (x->job.error != 0) {
        mr_transfer_end(server, x);
        answer(server, x, 500);
        return;
    }
    x->status = 200;
    x->content_type = "text/html; charset=utf-8";
    x->part = (struct mr_range){0, x->job.got};
    begin_sending(server, x);
}

/* A file was read into a cache entry. */
static void on_loaded(struct mr_h3_server *server, struct mr_exchange *x)
{
    const struct mr_file_job *job = &x->job;
    struct mr_cache_entry *entry = x->entry;

    mr_count_add(&server->counters.file_read_bytes, job->got);
    if (job->got == job->size && mr_file_version_equal(&job->version, &x->version)) {
        refresh(server, entry);
        mr_cache_insert(&server->cache, entry);
        x->source = MR_CONTENT_CACHE;
        close_file(server, x);
        begin_sending(server, x);
        return;
    }
    x->entry = NULL; /* it changed meanwhile: look again */
    mr_cache_unpin(&server->cache, entry);
    mr_count(&server->counters.files_changed);
    if (job->error != 0) {
        answer(server, x, 500);
        return;
    }
    x->restarts++;
    x->version = job->version;
    answer_file(server, x);
}

void mr_exchange_job_done(struct mr_h3_server *server, struct mr_exchange *x)
{
    enum mr_file_job_kind kind = x->job.kind;

    x->is_job_out = false;
    if (kind == MR_FILE_JOB_OPEN && x->job.fd >= 0) {
        x->fd = x->job.fd;
        server->files_open++;
        mr_count(&server->counters.files_opened);
    } else if (kind == MR_FILE_JOB_LIST || kind == MR_FILE_JOB_CLOSE) {
        x->fd = -1;
        server->files_open--;
    }
    if (x->state == MR_EXCHANGE_OPENING)
        on_opened(server, x);
    else if (x->state == MR_EXCHANGE_LOADING)
        on_loaded(server, x);
    else if (x->state == MR_EXCHANGE_LISTING)
        on_listed(server, x);
    mr_exchange_release(server, x);
}

void mr_exchange_continue(struct mr_h3_server *server, struct mr_exchange *x)
{
    if (x->state == MR_EXCHANGE_SENDING)
        send_more(server, x);
    else if (x->state == MR_EXCHANGE_LISTING && !x->is_job_out)
        begin_listing(server, x);
    else if (x->state == MR_EXCHANGE_TUNNEL)
        mr_exchange_tunnel_continue(server, x);
}

/* ---- what the layer says ---- */

static void on_conn_open(void *context, struct mr_h3_conn *conn)
{
    struct mr_h3_server *server = context;

    server->conn_exchanges[mr_pool_index(&server->h3.conns, conn)] = 0;
}

static void on_conn_closed(void *context, struct mr_h3_conn *conn, const struct mr_event *event)
{
    (void)context;
    (void)conn;
    (void)event;
}

static void on_goaway(void *context, struct mr_h3_conn *conn, uint64_t id)
{
    (void)context;
    (void)conn;
    (void)id; /* of a push: there is none */
}

static void on_streams_allowed(void *context, struct mr_h3_conn *conn)
{
    (void)context;
    (void)conn;
}

static bool on_request(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_server *server = context;
    uint32_t *count = &server->conn_exchanges[mr_pool_index(&server->h3.conns, stream->conn)];
    uint32_t index =
        *count < server->config.requests_per_conn_max ? mr_pool_get(&server->exchanges) : MR_NONE;

    if (index == MR_NONE)
        return false;
    struct mr_exchange *x = mr_pool_at(&server->exchanges, index);
    memset(x, 0, offsetof(struct mr_exchange, job));
    x->is_live = true;
    x->is_counted = true;
    x->stream = stream;
    x->conn_word = mr_h3_conn_word(&server->h3, stream->conn);
    x->progress_ns = now_of(server);
    x->fd = -1;
    x->buffers_tail = &x->buffers;
    x->target_verdict = MR_TARGET_BAD;
    stream->owner = index;
    (*count)++;
    return true;
}

static void on_soon(void *context, uint64_t owner)
{
    const struct mr_h3_server *server = context;

    if (owner >= server->exchanges.fresh)
        return;
    const struct mr_exchange *x = mr_pool_at(&server->exchanges, (uint32_t)owner);
    MR_PREFETCH_WRITE(x);
    MR_PREFETCH_WRITE(&x->conn_word);
    __builtin_prefetch(&x->entry);
}

/* Keep a field's value as a string; the first of its name counts. */
static void keep(struct mr_exchange *x, const char **field, struct mr_text value)
{
    if (*field != NULL)
        return;
    if (value.size >= (size_t)(MR_EXCHANGE_TEXT_MAX - x->text_used)) {
        x->is_text_full = true;
        return;
    }
    char *copy = x->text + x->text_used;
    memcpy(copy, value.data, value.size);
    copy[value.size] = '\0';
    x->text_used = (uint16_t)(x->text_used + value.size + 1);
    *field = copy;
}

static void on_field(void *context, struct mr_h3_stream *stream, enum mr_h3_field field,
                     struct mr_text name, struct mr_text value)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    (void)name;
    if (server->config.tunnels != NULL)
        mr_exchange_tunnel_field(server, field, value);
    switch (field) {
    case MR_FIELD_PATH:
        x->target_verdict = (uint8_t)mr_target_parse(&x->job.target, value.data, value.size);
        break;
    case MR_FIELD_RANGE:
        keep(x, &x->range_field, value);
        break;
    case MR_FIELD_IF_MATCH:
        keep(x, &x->conditions.if_match, value);
        break;
    case MR_FIELD_IF_NONE_MATCH:
        keep(x, &x->conditions.if_none_match, value);
        break;
    case MR_FIELD_IF_MODIFIED_SINCE:
        keep(x, &x->conditions.if_modified_since, value);
        break;
    case MR_FIELD_IF_UNMODIFIED_SINCE:
        keep(x, &x->conditions.if_unmodified_since, value);
        break;
    case MR_FIELD_IF_RANGE:
        keep(x, &x->conditions.if_range, value);
        break;
    default:
        break;
    }
}

/* Answer before the request is complete; the rest of it is not wanted. */
static void answer_early(struct mr_h3_server *server, struct mr_exchange *x, uint16_t status)
{
    answer(server, x, status);
    if (x->stream != NULL && x->state != MR_EXCHANGE_GONE)
        mr_h3_stop_reading(&server->h3, x->stream);
}

static void on_head(void *context, struct mr_h3_stream *stream, const struct mr_message *message,
                    enum mr_message_verdict verdict)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);
    bool is_read = message->method == MR_METHOD_GET || message->method == MR_METHOD_HEAD;

    x->is_head = verdict == MR_MESSAGE_OK && message->method == MR_METHOD_HEAD;
    if (verdict != MR_MESSAGE_OK || x->is_text_full) {
        mr_count_add(&server->counters.requests_too_large, verdict == MR_MESSAGE_OK);
        answer_early(server, x, 431);
        return;
    }
    mr_count(&server->counters.requests);
    if (stream->is_early && server->config.refuses_early) {
        answer_early(server, x, 425); /* RFC 8470, Section 5.2 */
        return;
    }
    if (mr_message_is_tunnel(message)) {
        uint16_t status = mr_exchange_tunnel_begin(server, x, message);
        if (status != 200)
            answer_early(server, x, status);
        return;
    }
    if (stream->is_early && !is_read)
        answer_early(server, x, 425);
    else if (!is_read)
        answer_early(server, x, 405);
    else if (x->target_verdict == MR_TARGET_LONG)
        answer_early(server, x, 414);
    else if (x->target_verdict != MR_TARGET_OK)
        answer_early(server, x, 400);
}

static size_t on_data(void *context, struct mr_h3_stream *stream, const uint8_t *data, size_t size)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    if (x->state == MR_EXCHANGE_TUNNEL) {
        mr_tunnel_data(x->tunnel, data, size);
        return size;
    }
    (void)data; /* content of a GET has no meaning (RFC 9110, Section 9.3.1) */
    x->body_received += size;
    if (x->state == MR_EXCHANGE_RECEIVING && x->body_received > MR_EXCHANGE_BODY_MAX)
        answer_early(server, x, 413);
    return size;
}

static void on_end(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    if (x->state == MR_EXCHANGE_RECEIVING)
        begin_open(server, x);
    else if (x->state == MR_EXCHANGE_TUNNEL && mr_tunnel_peer_end(x->tunnel))
        x->state = x->tunnel->wants_end ? MR_EXCHANGE_TUNNEL : MR_EXCHANGE_SENT;
}

static void on_datagram(void *context, struct mr_h3_stream *stream, const uint8_t *data,
                        size_t size)
{
    struct mr_exchange *x = exchange_of(context, stream);

    if (x->state == MR_EXCHANGE_TUNNEL)
        mr_tunnel_datagram(x->tunnel, data, size);
}

static void on_failed(void *context, struct mr_h3_stream *stream, uint64_t code, bool is_remote)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    if (is_remote)
        mr_count(&server->counters.requests_cancelled);
    mr_exchange_tunnel_end(server, x, is_remote || stream->is_lost ? -ECONNRESET : -EBADMSG,
                           mr_h3_error_name(code));
    mr_exchange_abort(server, x, MR_H3_REQUEST_CANCELLED);
}

static void on_stopped(void *context, struct mr_h3_stream *stream, uint64_t code)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    if (x->state == MR_EXCHANGE_GONE)
        return;
    mr_exchange_tunnel_end(server, x, -ECONNRESET, mr_h3_error_name(code));
    mr_count(&server->counters.requests_cancelled);
    mr_exchange_abort(server, x, MR_H3_REQUEST_CANCELLED);
}

static void on_acked(void *context, struct mr_h3_stream *stream, uint64_t acked_to)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    x->progress_ns = now_of(server);
    mr_transfer_acked(server, x, acked_to);
    mr_exchange_continue(server, x);
}

static void on_writable(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_server *server = context;

    mr_exchange_continue(server, exchange_of(server, stream));
}

static void on_stream_closed(void *context, struct mr_h3_stream *stream)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *x = exchange_of(server, stream);

    if (x->state == MR_EXCHANGE_SENT && !stream->is_lost) {
        mr_count(&server->counters.requests_done);
        uncount(server, x); /* the client may ask again, though a file may still be open */
    }
    mr_exchange_tunnel_end(server, x, stream->is_lost ? -ECONNRESET : 0, "");
    x->stream = NULL;
    if (x->tunnel != NULL)
        x->tunnel->stream = NULL;
    go(server, x);
    mr_exchange_release(server, x);
}

static void on_retry(void *context)
{
    struct mr_h3_server *server = context;
    struct mr_exchange *retry = server->retry;

    server->retry = NULL;
    while (retry != NULL) {
        struct mr_exchange *x = retry;
        retry = x->next_retry;
        x->wants_retry = false;
        mr_exchange_continue(server, x);
    }
}

const struct mr_h3_user mr_exchange_user = {
    .on_conn_open = on_conn_open,
    .on_conn_closed = on_conn_closed,
    .on_goaway = on_goaway,
    .on_streams_allowed = on_streams_allowed,
    .on_request = on_request,
    .on_soon = on_soon,
    .on_field = on_field,
    .on_head = on_head,
    .on_data = on_data,
    .on_datagram = on_datagram,
    .on_end = on_end,
    .on_failed = on_failed,
    .on_stopped = on_stopped,
    .on_acked = on_acked,
    .on_writable = on_writable,
    .on_stream_closed = on_stream_closed,
    .on_retry = on_retry,
};
