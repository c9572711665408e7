/*
 * base/buf.h - a counted reference to memory that someone else owns (a packet buffer).
 *
 * The shard embeds a struct mr_buf in each packet buffer.  The engine counts the
 * references it and the application hold; a buffer whose count falls to zero
 * goes on a release list, which the shard drains.  The engine never frees one.
 *
 * Owner: the shard whose port delivered the buffer.  Threads: that shard's only.
 */
#ifndef MR_BASE_BUF_H
#define MR_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct mr_buf {
    struct mr_buf *next; /* in a release list */
    uint32_t references;
    uint32_t flags; /* enum mr_buf_flags */
};

enum mr_buf_flags {
    MR_BUF_COMPACT = 1, /* belongs to the engine's compact pool, not to a port */
};

/* Buffers that nobody refers to any more, in order of release. */
struct mr_buf_list {
    struct mr_buf *head;
    struct mr_buf **tail; /* points at head while empty */
    uint32_t count;
};

static inline void mr_buf_list_init(struct mr_buf_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
    list->count = 0;
}

static inline void mr_buf_list_push(struct mr_buf_list *list, struct mr_buf *buf)
{
    buf->next = NULL;
    *list->tail = buf;
    list->tail = &buf->next;
    list->count++;
}

/* Take the whole list; it is empty afterwards. */
static inline struct mr_buf *mr_buf_list_take(struct mr_buf_list *list)
{
    struct mr_buf *head = list->head;

    mr_buf_list_init(list);
    return head;
}

static inline void mr_buf_hold(struct mr_buf *buf)
{
    buf->references++;
}

static inline void mr_buf_drop(struct mr_buf *buf, struct mr_buf_list *released)
{
    if (--buf->references == 0)
        mr_buf_list_push(released, buf);
}

#endif /* MR_BASE_BUF_H */
