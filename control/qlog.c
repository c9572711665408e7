/* control/qlog.c - see qlog.h. */
#include "control/qlog.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/log.h"
#include "control/qlog_event.h"

#define PAUSE_NS       (10 * MR_MS) /* between looks at the rings */
#define BUCKETS        256
#define SAME_NAMES_MAX 100 /* files of one name, numbered */
#define NAME_SIZE      (2 * MR_CID_MAX + 32)
#define SCHEMA         "urn:ietf:params:qlog:events:quic-13"
#define HTTP_SCHEMA    "urn:ietf:params:qlog:events:http3-13"
#define LOG_SCHEMA     "urn:ietf:params:qlog:events:loglevel"

/* The file of a trace. */
struct trace_file {
    uint64_t trace;
    struct trace_file *next; /* in its bucket */
    FILE *events;            /* NULL: not wanted, or over its limit */
    FILE *keys;              /* NULL: no line has come */
    uint64_t begin_ns;
    uint64_t last_ns; /* of the event written last */
    uint64_t bytes;
    bool is_dirty;  /* written to since it was flushed */
    uint64_t moves; /* times that a tracer has ended it for another to go on */
    char name[NAME_SIZE];
};

struct source {
    struct mr_tracer *tracer;
    bool is_draining;
    uint64_t record[MR_TRACE_RECORD_MAX];
};

struct mr_qlog {
    uint32_t files_max;
    uint64_t file_bytes;
    int folder;
    pthread_t thread;
    bool is_started;
    _Atomic bool is_ending;
    _Atomic uint32_t next; /* of rules that count */
    _Atomic uint32_t source_count;
    struct source *sources[MR_QLOG_TRACERS_MAX];
    struct trace_file *bucket[BUCKETS];
    _Atomic uint64_t rounds; /* of the thread, for mr_qlog_flush() */
    _Atomic uint64_t files;
    _Atomic uint64_t open;
    _Atomic uint64_t events;
    _Atomic uint64_t bytes;
    _Atomic uint64_t refused;
    _Atomic uint64_t cut;
};

/* Counters have one writer, and order nothing. */
static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t value(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ------------------------------------------------------------------ files */

static struct trace_file *find(const struct mr_qlog *q, uint64_t trace)
{
    struct trace_file *file = q->bucket[trace % BUCKETS];

    while (file != NULL && file->trace != trace)
        file = file->next;
    return file;
}

/* A new file in the folder, never one that is there. */
static FILE *create(const struct mr_qlog *q, const char *name, mode_t mode)
{
    int fd = openat(q->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");

    if (fd >= 0 && stream == NULL)
        close(fd);
    return stream;
}

static FILE *create_numbered(struct mr_qlog *q, struct trace_file *file, const char *base)
{
    char path[NAME_SIZE + 16];

    for (int i = 1; i <= SAME_NAMES_MAX; i++) {
        snprintf(file->name, sizeof(file->name), i == 1 ? "%s" : "%s-%d", base, i);
        snprintf(path, sizeof(path), "%s.sqlog", file->name);
        FILE *stream = create(q, path, 0644);
        if (stream != NULL || errno != EEXIST)
            return stream;
    }
    return NULL;
}

static void name_of(const struct mr_trace_start *start, char *text, size_t room)
{
    size_t used = 0;

    for (uint32_t i = 0; i < start->name.size && i < MR_CID_MAX; i++)
        used += (size_t)snprintf(text + used, room - used, "%02x", start->name.bytes[i]);
    snprintf(text + used, room - used, "_%s", start->role == MR_CLIENT ? "client" : "server");
}

/* ------------------------------------------------------------------ records */

/* One record of the sequence; of RFC 7464, Section 2.2. */
static void write_text(struct mr_qlog *q, struct trace_file *file, struct json_object *object)
{
    size_t size;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);

    if (text != NULL && fputc(0x1e, file->events) != EOF &&
        fwrite(text, 1, size, file->events) == size && fputc('\n', file->events) != EOF) {
        file->bytes += size + 2;
        file->is_dirty = true;
        count(&q->bytes, size + 2);
    }
    json_object_put(object);
}

static void write_event(struct mr_qlog *q, struct trace_file *file, uint64_t time_ns,
                        const struct mr_qlog_event *event)
{
    struct json_object *object = json_object_new_object();

    file->last_ns = MR_MAX(file->last_ns, time_ns); /* never earlier than the one before */
    mr_qlog_put_ms(object, "time", file->last_ns - file->begin_ns);
    mr_qlog_put(object, "name", event->name);
    mr_qlog_put(object, "category", event->category);
    json_object_object_add(object, "data", event->data);
    write_text(q, file, object);
    count(&q->events, 1);
}

static struct json_object *common_fields(const struct mr_trace_start *start)
{
    struct json_object *fields = json_object_new_object();
    struct json_object *reference = json_object_new_object();
    struct timespec now;
    struct tm utc;
    char date[32];
    char wall[48];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(wall, sizeof(wall), "%s.%03ldZ", date, now.tv_nsec / 1000000);
    mr_qlog_put_hex(fields, "group_id", start->name.bytes,
                    MR_MIN((size_t)start->name.size, (size_t)MR_CID_MAX));
    mr_qlog_put(fields, "time_format", "relative_to_epoch");
    mr_qlog_put(reference, "clock_type", "monotonic");
    mr_qlog_put(reference, "epoch", "unknown");
    mr_qlog_put(reference, "wall_clock_time", wall);
    json_object_object_add(fields, "reference_time", reference);
    return fields;
}

/* The first record.  The last two members of the file are what qvis looks for. */
static void write_header(struct mr_qlog *q, struct trace_file *file,
                         const struct mr_trace_start *start)
{
    struct json_object *top = json_object_new_object();
    struct json_object *trace = json_object_new_object();
    struct json_object *vantage = json_object_new_object();
    struct json_object *schemas = json_object_new_array();

    mr_qlog_put(top, "file_schema", "urn:ietf:params:qlog:file:sequential");
    mr_qlog_put(top, "serialization_format", "application/qlog+json-seq");
    mr_qlog_put(top, "title", file->name);
    if (start->is_late)
        mr_qlog_put(top, "description",
                    "Tracing began later than the connection; its name is a connection ID of ours");
    json_object_object_add(trace, "common_fields", common_fields(start));
    mr_qlog_put(vantage, "name", "millrace");
    mr_qlog_put(vantage, "type", start->role == MR_CLIENT ? "client" : "server");
    json_object_object_add(trace, "vantage_point", vantage);
    json_object_array_add(schemas, json_object_new_string(SCHEMA));
    json_object_array_add(schemas, json_object_new_string(HTTP_SCHEMA));
    json_object_array_add(schemas, json_object_new_string(LOG_SCHEMA));
    json_object_object_add(trace, "event_schemas", schemas);
    json_object_object_add(top, "trace", trace);
    mr_qlog_put(top, "qlog_version", "0.3");
    mr_qlog_put(top, "qlog_format", "JSON-SEQ");
    write_text(q, file, top);
}

/* ------------------------------------------------------------------ life of a file */

static void close_stream(FILE **stream)
{
    if (*stream != NULL)
        fclose(*stream);
    *stream = NULL;
}

static void end(struct mr_qlog *q, struct trace_file *file)
{
    struct trace_file **at = &q->bucket[file->trace % BUCKETS];

    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    close_stream(&file->events);
    close_stream(&file->keys);
    free(file);
    atomic_fetch_sub_explicit(&q->open, 1, memory_order_relaxed);
}

/* Nothing more of it is written: it is said why, in the file if there is room. */
static void cut(struct mr_qlog *q, struct trace_file *file)
{
    struct mr_qlog_event event = {.name = "loglevel:warning", .category = "warning"};

    event.data = json_object_new_object();
    mr_qlog_put(event.data, "message", "this file has reached its size limit: nothing follows");
    write_event(q, file, file->last_ns, &event);
    close_stream(&file->events);
    count(&q->cut, 1);
}

static void begin(struct mr_qlog *q, const struct mr_trace_head *head, const uint8_t *body)
{
    struct trace_file *file = NULL;
    struct mr_trace_start start;
    char base[NAME_SIZE];

    if (head->size < sizeof(start))
        return;
    memcpy(&start, body, sizeof(start));
    name_of(&start, base, sizeof(base));
    bool has_room = value(&q->files) < q->files_max;
    if (has_room)
        file = calloc(1, sizeof(*file));
    if (file == NULL) {
        if (value(&q->refused) == 0)
            mr_log(MR_LOG_WARN, "no more qlog files: %llu were begun",
                   (unsigned long long)value(&q->files));
        count(&q->refused, 1);
        return;
    }
    file->trace = head->trace;
    file->begin_ns = file->last_ns = head->time_ns;
    snprintf(file->name, sizeof(file->name), "%s", base);
    if ((start.what & MR_TRACE_EVENTS) != 0) {
        file->events = create_numbered(q, file, base);
        if (file->events == NULL) {
            if (value(&q->refused) == 0)
                mr_log(MR_LOG_WARN, "cannot begin the qlog file %s: %s", base, strerror(errno));
            count(&q->refused, 1);
            free(file);
            return;
        }
        write_header(q, file, &start);
    }
    file->next = q->bucket[file->trace % BUCKETS];
    q->bucket[file->trace % BUCKETS] = file;
    count(&q->files, 1);
    count(&q->open, 1);
}

static void keep_keys(struct mr_qlog *q, struct trace_file *file, const uint8_t *lines, size_t size)
{
    char path[NAME_SIZE + 16];

    for (int i = 1; file->keys == NULL && i <= SAME_NAMES_MAX; i++) {
        if (i == 1)
            snprintf(path, sizeof(path), "%s.keys", file->name);
        else
            snprintf(path, sizeof(path), "%s-%d.keys", file->name, i);
        file->keys = create(q, path, 0600);
        if (file->keys == NULL && errno != EEXIST)
            break;
    }
    if (file->keys == NULL || fwrite(lines, 1, size, file->keys) != size)
        count(&q->cut, 1);
    file->is_dirty = true;
}

/* ------------------------------------------------------------------ the thread */

static void drain(struct mr_qlog *q, struct source *source, uint64_t until_left);

/* It came from another tracer: what that one has of it goes first.  It is all there: the connection
 * came later. */
static void catch_up(struct mr_qlog *q, const struct mr_trace_head *head, const uint8_t *body)
{
    /* acquire: pairs with the release in mr_qlog_add() */
    uint32_t sources = atomic_load_explicit(&q->source_count, memory_order_acquire);
    struct mr_trace_ticket ticket;

    if (head->size < sizeof(ticket))
        return;
    memcpy(&ticket, body, sizeof(ticket));
    for (uint32_t i = 0; i < sources; i++) {
        const struct trace_file *file = find(q, head->trace);
        bool is_behind = file == NULL || file->moves < ticket.moves;

        if (is_behind && q->sources[i]->tracer->number == ticket.from &&
            !q->sources[i]->is_draining)
            drain(q, q->sources[i], head->trace);
    }
}

/* It went to a shard that cannot go on with it. */
static void end_refused(struct mr_qlog *q, struct trace_file *file, uint64_t time_ns)
{
    struct mr_qlog_event event = {.name = "loglevel:warning", .category = "warning"};

    if (file->events != NULL) {
        event.data = json_object_new_object();
        mr_qlog_put(event.data, "message",
                    "tracing ends: the connection went to a shard that traces as many as it can");
        write_event(q, file, time_ns, &event);
    }
    end(q, file);
}

static void write_record(struct mr_qlog *q, struct trace_file *file,
                         const struct mr_trace_head *head, const uint8_t *body)
{
    struct mr_qlog_event events[MR_QLOG_EVENTS_MAX];
    uint32_t made = mr_qlog_events(head, body, events);

    for (uint32_t i = 0; i < made; i++) {
        if (file->events == NULL)
            json_object_put(events[i].data);
        else
            write_event(q, file, head->time_ns, &events[i]);
        if (file->events != NULL && file->bytes >= q->file_bytes)
            cut(q, file);
    }
}

static void on_record(struct mr_qlog *q, const struct mr_trace_head *head, const uint8_t *body)
{
    struct mr_trace_ticket ticket;
    uint64_t how = 0;

    if (head->kind == MR_TRACE_START)
        begin(q, head, body);
    if (head->kind == MR_TRACE_ARRIVAL)
        catch_up(q, head, body);
    struct trace_file *file = find(q, head->trace);
    if (file == NULL)
        return;
    switch (head->kind) {
    case MR_TRACE_KEYLOG:
        keep_keys(q, file, body, head->size);
        return;
    case MR_TRACE_ARRIVAL:
        if (head->size >= sizeof(ticket)) {
            memcpy(&ticket, body, sizeof(ticket));
            if (ticket.what == 0)
                end_refused(q, file, head->time_ns);
        }
        return;
    case MR_TRACE_END:
        memcpy(&how, body, sizeof(how));
        write_record(q, file, head, body);
        if (how == MR_TRACE_MOVED)
            file->moves++;
        else
            end(q, file);
        return;
    default:
        write_record(q, file, head, body);
    }
}

/* Write what is in the ring; `until_left`: no further than to the end of that trace. */
static void drain(struct mr_qlog *q, struct source *source, uint64_t until_left)
{
    struct mr_trace_head head;

    source->is_draining = true;
    while (mr_tracer_read(source->tracer, source->record)) {
        memcpy(&head, source->record, sizeof(head));
        on_record(q, &head, (const uint8_t *)(source->record + 3));
        if (until_left != 0 && head.trace == until_left && head.kind == MR_TRACE_END)
            break;
    }
    source->is_draining = false;
}

static void flush_files(struct mr_qlog *q)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (struct trace_file *file = q->bucket[i]; file != NULL; file = file->next) {
            if (!file->is_dirty)
                continue;
            file->is_dirty = false;
            if (file->keys != NULL)
                fflush(file->keys);
            if (file->events == NULL || fflush(file->events) == 0)
                continue;
            mr_log(MR_LOG_WARN, "the qlog file %s cannot be written to: %s", file->name,
                   strerror(errno));
            close_stream(&file->events);
            count(&q->cut, 1);
        }
    }
}

static void look(struct mr_qlog *q)
{
    /* acquire: pairs with the release in mr_qlog_add() */
    uint32_t sources = atomic_load_explicit(&q->source_count, memory_order_acquire);

    for (uint32_t i = 0; i < sources; i++)
        drain(q, q->sources[i], 0);
    flush_files(q);
    /* release: pairs with the acquire in mr_qlog_flush() */
    atomic_fetch_add_explicit(&q->rounds, 1, memory_order_release);
}

static void *run(void *argument)
{
    struct mr_qlog *q = argument;

    for (bool is_last = false; !is_last;) {
        /* acquire: pairs with the release in mr_qlog_close(); what came before it is looked at */
        is_last = atomic_load_explicit(&q->is_ending, memory_order_acquire);
        look(q);
        if (!is_last)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return NULL;
}

/* ------------------------------------------------------------------ the caller's */

static int open_folder(const char *path, struct mr_fault *fault)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        mr_fault_set(fault, errno, "%s: no folder for qlog files: %s; make it first", path,
                     strerror(errno));
        return -1;
    }
    if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        mr_fault_set(fault, errno,
                     "%s: no qlog files can be written there: %s; name a folder of yours", path,
                     strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

struct mr_qlog *mr_qlog_open(const struct mr_qlog_config *config, struct mr_fault *fault)
{
    int folder = open_folder(config->folder, fault);
    struct mr_qlog *q = folder < 0 ? NULL : calloc(1, sizeof(*q));

    if (folder >= 0 && q == NULL) {
        mr_fault_set(fault, ENOMEM, "no memory to write qlog files");
        close(folder);
    }
    if (q == NULL)
        return NULL;
    q->folder = folder;
    q->files_max = config->files_max > 0 ? config->files_max : MR_QLOG_FILES;
    q->file_bytes = config->file_bytes > 0 ? config->file_bytes : MR_QLOG_FILE_BYTES;
    int result = pthread_create(&q->thread, NULL, run, q);
    q->is_started = result == 0;
    if (q->is_started)
        return q;
    mr_fault_set(fault, result, "no thread to write qlog files: %s", strerror(result));
    mr_qlog_close(q);
    return NULL;
}

struct mr_tracer *mr_qlog_add(struct mr_qlog *q, struct mr_fault *fault)
{
    uint32_t sources = atomic_load_explicit(&q->source_count, memory_order_relaxed);
    struct source *source = sources == MR_QLOG_TRACERS_MAX ? NULL : calloc(1, sizeof(*source));
    struct mr_tracer *tracer = NULL;

    if (source != NULL)
        tracer = aligned_alloc(MR_CACHE_LINE, sizeof(*tracer));
    if (tracer == NULL) {
        free(source);
        mr_fault_set(fault, ENOMEM, "no memory to trace connections with");
        return NULL;
    }
    mr_tracer_init(tracer, sources + 1);
    source->tracer = tracer;
    q->sources[sources] = source;
    /* release: pairs with the acquire in look() */
    atomic_store_explicit(&q->source_count, sources + 1, memory_order_release);
    return tracer;
}

_Atomic uint32_t *mr_qlog_next(struct mr_qlog *q)
{
    return &q->next;
}

void mr_qlog_stats(const struct mr_qlog *q, struct mr_qlog_stats *out)
{
    *out = (struct mr_qlog_stats){.files = value(&q->files),
                                  .open = value(&q->open),
                                  .events = value(&q->events),
                                  .bytes = value(&q->bytes),
                                  .refused = value(&q->refused),
                                  .cut = value(&q->cut)};
}

void mr_qlog_flush(struct mr_qlog *q)
{
    /* acquire: pairs with the release in look(); two rounds later all is written */
    uint64_t until = atomic_load_explicit(&q->rounds, memory_order_acquire) + 2;

    while (atomic_load_explicit(&q->rounds, memory_order_acquire) < until)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void mr_qlog_close(struct mr_qlog *q)
{
    if (q == NULL)
        return;
    /* release: pairs with the acquire in run() */
    atomic_store_explicit(&q->is_ending, true, memory_order_release);
    if (q->is_started)
        pthread_join(q->thread, NULL);
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (q->bucket[i] != NULL)
            end(q, q->bucket[i]);
    }
    uint32_t sources = atomic_load_explicit(&q->source_count, memory_order_relaxed);
    for (uint32_t i = 0; i < sources; i++) {
        free(q->sources[i]->tracer);
        free(q->sources[i]);
    }
    close(q->folder);
    free(q);
}
