/*
 * examples/rings/ends.h - connections and streams of the datapath, by its handle, and what HTTP/3
 * (millrace/http3_io.h) calls them.
 *
 * The datapath says which object a completion is about; an object of our own making has no handle
 * until that is answered, and until then the answer's user_data tells it.
 */
#ifndef EXAMPLES_RINGS_ENDS_H
#define EXAMPLES_RINGS_ENDS_H

#include <string.h>

#include <millrace/transport.h>

#include "examples/rings/side.h"
#include "examples/web_io.h"

enum {
    PLACES = 4096
};

struct end {
    struct end *next; /* in its place */
    struct side *side;
    uint64_t name;    /* the datapath's; 0: not known yet */
    mr_handle handle; /* HTTP/3's */
    bool is_conn;

    struct mr_ring_connect *wish; /* of a CONNECT that is not answered */
    uint32_t sends;               /* that are not answered: a stream's; all of a connection's */
    uint64_t bytes;               /* of them */
    bool wants_close;
    uint64_t code;

    struct held *first, *last; /* slots that were not taken */
    size_t taken;              /* of the first */
    bool has_end;              /* nothing follows them */
    bool is_waiting;           /* for room to send, */
    struct end *next_waiting;  /* with others */
};

static struct web_io web;
static struct end *places[PLACES];
static struct end *waiting;

static inline struct end **end_place(const struct side *s, uint64_t name)
{
    struct end **at = &places[(name ^ name >> 32) % PLACES]; /* a handle: generation, index */

    while (*at != NULL && ((*at)->name != name || (*at)->side != s))
        at = &(*at)->next;
    return at;
}

/* NULL: nobody of ours, any more. */
static inline struct end *end_of(const struct side *s, uint64_t name)
{
    return name == 0 ? NULL : *end_place(s, name);
}

static inline struct end *end_new(struct side *s, bool is_conn)
{
    struct end *e = calloc(1, sizeof(*e));

    if (e == NULL)
        exit(web_fail("no memory"));
    e->side = s;
    e->is_conn = is_conn;
    return e;
}

static inline void end_set_name(struct end *e, uint64_t name)
{
    e->name = name;
    *end_place(e->side, name) = e;
}

/* HTTP/3 has forgotten it: what still comes of it is nobody's. */
static inline void end_free(struct end *e)
{
    struct end **at = &waiting;

    if (e->name != 0)
        *end_place(e->side, e->name) = e->next;
    while (e->is_waiting && *at != e)
        at = &(*at)->next_waiting;
    if (e->is_waiting)
        *at = e->next_waiting;
    for (struct held *held = e->first; held != NULL; held = e->first) {
        release(e->side, &held->cqe);
        e->first = held->next;
        held->next = e->side->free;
        e->side->free = held;
    }
    free(e);
}

#endif /* EXAMPLES_RINGS_ENDS_H */
