/* http3/io_object.c - connections and streams of an io, and the lists that they are in; see
 * io_internal.h. */
#include <stdlib.h>
#include <string.h>

#include "http3/io_internal.h"

/* ------------------------------------------------------------------ objects and lists */

mr_handle mr_io_handle_of(const struct mr_http3_io *io, const struct mr_io_object *o)
{
    return (mr_handle)o->generation << 32 | (mr_pool_index(&io->objects, o) + 1);
}

struct mr_io_object *mr_io_find(const struct mr_http3_io *io, mr_handle handle)
{
    uint32_t index = (uint32_t)handle - 1;

    if (index >= io->objects.fresh)
        return NULL;
    struct mr_io_object *o = mr_pool_at(&io->objects, index);
    return o->is_used && o->generation == handle >> 32 ? o : NULL;
}

struct mr_io_object *mr_io_find_stream(const struct mr_http3_io *io, mr_handle handle)
{
    struct mr_io_object *o = mr_io_find(io, handle);

    return o != NULL && o->is_stream && !o->is_over ? o : NULL;
}

struct mr_io_object *mr_io_find_conn(const struct mr_http3_io *io, mr_handle handle)
{
    struct mr_io_object *o = mr_io_find(io, handle);

    return o != NULL && !o->is_stream && !o->is_over ? o : NULL;
}

void mr_io_push(struct mr_http3_io *io, enum mr_io_list_number which, struct mr_io_object *o)
{
    struct mr_io_list *list = &io->lists[which];

    if (o->is_listed[which])
        return;
    o->is_listed[which] = true;
    o->in_list[which] = NULL;
    *(list->first == NULL ? &list->first : &list->last->in_list[which]) = o;
    list->last = o;
}

struct mr_io_object *mr_io_pop(struct mr_http3_io *io, enum mr_io_list_number which)
{
    struct mr_io_object *o = io->lists[which].first;

    if (o == NULL)
        return NULL;
    io->lists[which].first = o->in_list[which];
    o->is_listed[which] = false;
    return o;
}

void mr_io_tell(struct mr_http3_io *io, struct mr_io_object *o, uint32_t kinds)
{
    o->kinds |= kinds;
    mr_io_push(io, MR_IO_NEWS, o);
}

void mr_io_want(struct mr_http3_io *io, struct mr_io_object *o, enum mr_http3_io_kind kind)
{
    o->wants |= 1u << kind;
    mr_io_push(io, MR_IO_WISHES, o);
}

static struct mr_io_object *make(struct mr_http3_io *io, bool is_stream)
{
    uint32_t fresh = io->objects.fresh;
    uint32_t index = mr_pool_get(&io->objects);

    if (index == MR_NONE)
        return NULL;
    struct mr_io_object *o = mr_pool_at(&io->objects, index);
    uint32_t generation = index >= fresh ? 1 : o->generation + 1;
    memset(o, 0, sizeof(*o));
    o->generation = generation == 0 ? 1 : generation;
    o->is_used = true;
    o->is_stream = is_stream;
    *(is_stream ? &io->stream_count : &io->conn_count) += 1;
    return o;
}

void mr_io_drop_segment(struct mr_io_object *o)
{
    struct mr_io_segment *first = o->segments;

    o->segments = first->next;
    free(first);
}

struct mr_io_object *mr_io_make_conn(struct mr_http3_io *io)
{
    return io->conn_count == io->config.connections_max ? NULL : make(io, false);
}

struct mr_io_object *mr_io_make_stream(struct mr_http3_io *io, struct mr_io_object *conn)
{
    struct mr_io_object *o = io->stream_count == io->config.streams_max ? NULL : make(io, true);

    if (o == NULL)
        return NULL;
    o->conn = conn;
    o->priority = (struct mr_priority){.urgency = MR_URGENCY_DEFAULT, .is_incremental = true};
    o->previous = conn->last_stream;
    *(o->previous == NULL ? &conn->streams : &o->previous->next) = o;
    conn->last_stream = o;
    return o;
}

void mr_io_forget(struct mr_http3_io *io, struct mr_io_object *o)
{
    struct mr_io_object *conn = o->conn;

    while (o->segments != NULL)
        mr_io_drop_segment(o);
    free(o->wanted);
    if (o->is_stream) {
        *(o->previous == NULL ? &conn->streams : &o->previous->next) = o->next;
        *(o->next == NULL ? &conn->last_stream : &o->next->previous) = o->previous;
        if (conn->is_over && conn->streams == NULL)
            mr_io_want(io, conn, MR_HTTP3_IO_END);
    }
    *(o->is_stream ? &io->stream_count : &io->conn_count) -= 1;
    o->is_used = false;
    mr_pool_put(&io->objects, mr_pool_index(&io->objects, o));
}

void mr_io_want_open(struct mr_http3_io *io, const struct mr_io_object *conn, bool is_uni_one)
{
    for (struct mr_io_object *o = conn->streams; o != NULL; o = o->next) {
        bool is_next = !o->is_open && !o->is_open_told && mr_io_is_uni(o) == is_uni_one &&
                       ((o->id & 1) == 0) == io->config.is_client &&
                       o->id >> 2 == conn->made[is_uni_one];

        if (is_next)
            mr_io_want(io, o, MR_HTTP3_IO_OPEN);
    }
}

void mr_io_want_send(struct mr_http3_io *io, struct mr_io_object *o)
{
    if (o->is_open && o->segments != NULL && !o->is_send_over && !o->is_send_told)
        mr_io_want(io, o, MR_HTTP3_IO_SEND);
}

void mr_io_look_at_end(struct mr_http3_io *io, struct mr_io_object *o)
{
    if (o->is_over || !o->is_send_over || !o->is_receive_over)
        return;
    o->is_over = true;
    o->error = 0;
    mr_io_tell(io, o, MR_EVENT_CLOSED);
}
