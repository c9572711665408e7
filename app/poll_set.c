/*
 * app/poll_set.c - interest sets; see socket_internal.h.
 *
 *     set --ready list--> entry, entry           every entry is in its socket's list, too, and
 *                          |                     hears of what becomes true there
 *                        socket --> entries
 *
 * An entry is on the ready list when it may have something to tell, and then once.  Waiting looks
 * at the ready list alone: idle entries cost nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "app/socket_internal.h"

#define INTEREST(events) ((events)&UINT32_C(0xffff))

struct set_entry {
    struct mr_pollset *set;
    struct mr_sock *sock;
    struct set_entry *sock_next; /* of the socket */
    struct set_entry *next;      /* of the set's ready list */
    struct set_entry *previous;
    struct set_entry *all_next; /* of the set */
    struct set_entry *all_previous;
    void *context;
    uint32_t events; /* and flags */
    uint32_t risen;  /* what became true and was not told: MR_POLLSET_EDGE */
    bool is_listed;  /* on the ready list */
    bool is_spent;   /* MR_POLLSET_ONESHOT: told */
};

struct mr_pollset {
    struct mr_sock_host *host;
    struct set_entry *all;
    struct set_entry *head; /* ready */
    struct set_entry *tail;
    uint32_t ready_count;
    struct sock_call *call; /* who waits on it; one at a time */
};

/* ------------------------------------------------------------------ the ready list */

static void list_entry(struct set_entry *e)
{
    struct mr_pollset *set = e->set;

    if (e->is_listed)
        return;
    e->is_listed = true;
    e->next = NULL;
    e->previous = set->tail;
    if (set->tail == NULL)
        set->head = e;
    else
        set->tail->next = e;
    set->tail = e;
    set->ready_count++;
    if (set->call != NULL)
        mr_sock_wake(set->host, set->call, 0);
}

static void unlist(struct set_entry *e)
{
    struct mr_pollset *set = e->set;

    if (!e->is_listed)
        return;
    e->is_listed = false;
    if (e->next == NULL)
        set->tail = e->previous;
    else
        e->next->previous = e->previous;
    if (e->previous == NULL)
        set->head = e->next;
    else
        e->previous->next = e->next;
    set->ready_count--;
}

static uint32_t interest(const struct set_entry *e)
{
    return e->is_spent ? 0 : INTEREST(e->events) | WAIT_ALWAYS;
}

/* It was made or changed: what holds now counts as new. */
static void arm(struct set_entry *e)
{
    e->is_spent = false;
    e->risen = e->sock->ready;
    unlist(e);
    if ((e->sock->ready & interest(e)) != 0)
        list_entry(e);
}

void mr_sock_tell_sets(struct mr_sock *sock, uint32_t risen)
{
    for (struct set_entry *e = sock->entries; e != NULL; e = e->sock_next) {
        e->risen |= risen;
        if ((risen & interest(e)) != 0)
            list_entry(e);
    }
}

/* ------------------------------------------------------------------ life */

int mr_sock_host_pollset(struct mr_sock_host *host, struct mr_pollset **set_out)
{
    struct mr_pollset *set = calloc(1, sizeof(*set));

    *set_out = set;
    if (set == NULL)
        return -ENOMEM;
    set->host = host;
    host->sets++;
    return 0;
}

static struct set_entry **find(struct mr_pollset *set, struct mr_sock *sock)
{
    struct set_entry **link = &sock->entries;

    while (*link != NULL && (*link)->set != set)
        link = &(*link)->sock_next;
    return link;
}

static void remove_entry(struct set_entry **link)
{
    struct set_entry *e = *link;

    *link = e->sock_next;
    unlist(e);
    if (e->all_next != NULL)
        e->all_next->all_previous = e->all_previous;
    if (e->all_previous != NULL)
        e->all_previous->all_next = e->all_next;
    else
        e->set->all = e->all_next;
    free(e);
}

void mr_sock_leave_sets(struct mr_sock *sock)
{
    while (sock->entries != NULL)
        remove_entry(&sock->entries);
}

void mr_pollset_free(struct mr_pollset *set)
{
    if (set == NULL)
        return;
    MR_ASSERT(set->call == NULL);
    while (set->all != NULL)
        remove_entry(find(set, set->all->sock));
    set->host->sets--;
    mr_sock_host_maybe_free(set->host);
    free(set);
}

int mr_pollset_add(struct mr_pollset *set, struct mr_sock *sock, uint32_t events, void *context)
{
    if (sock->is_closed)
        return -EBADF;
    if (*find(set, sock) != NULL)
        return -EEXIST;
    struct set_entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return -ENOMEM;
    e->set = set;
    e->sock = sock;
    e->events = events;
    e->context = context;
    e->sock_next = sock->entries;
    sock->entries = e;
    e->all_next = set->all;
    if (set->all != NULL)
        set->all->all_previous = e;
    set->all = e;
    arm(e);
    return 0;
}

int mr_pollset_mod(struct mr_pollset *set, struct mr_sock *sock, uint32_t events, void *context)
{
    struct set_entry *e = *find(set, sock);

    if (e == NULL)
        return -ENOENT;
    e->events = events;
    e->context = context;
    arm(e);
    return 0;
}

int mr_pollset_del(struct mr_pollset *set, struct mr_sock *sock)
{
    struct set_entry **link = find(set, sock);

    if (*link == NULL)
        return -ENOENT;
    remove_entry(link);
    return 0;
}

/* ------------------------------------------------------------------ waiting */

/* Take the entry's events; 0: it has nothing to tell (any more). */
static uint32_t take_events(struct set_entry *e)
{
    bool is_edge = (e->events & MR_POLLSET_EDGE) != 0;
    uint32_t events = e->sock->ready & interest(e);

    if (is_edge && (e->risen & events) == 0)
        events = 0;
    e->risen = 0;
    unlist(e);
    if (events == 0)
        return 0;
    if ((e->events & MR_POLLSET_ONESHOT) != 0)
        e->is_spent = true;
    else if (!is_edge)
        list_entry(e); /* to be looked at again, behind the others */
    return events;
}

static int collect(struct mr_pollset *set, struct mr_pollset_event *events_out, int room)
{
    int count = 0;

    for (uint32_t left = set->ready_count; left > 0 && count < room; left--) {
        struct set_entry *e = set->head;
        set->host->stats.visits++;
        uint32_t events = take_events(e);
        if (events != 0)
            events_out[count++] =
                (struct mr_pollset_event){.sock = e->sock, .events = events, .context = e->context};
    }
    return count;
}

int mr_pollset_wait(struct mr_pollset *set, struct mr_pollset_event *events_out, int room,
                    int timeout_ms)
{
    struct mr_sock_host *host = set->host;
    uint64_t deadline = MR_FOREVER;
    int count;

    if (room <= 0)
        return -EINVAL;
    if (set->call != NULL)
        return -EBUSY;
    if (timeout_ms != 0) {
        int refused = mr_sock_check_wait(host, "mr_pollset_wait");
        if (refused < 0)
            return refused;
    }
    if (timeout_ms > 0)
        deadline = mr_sock_deadline(host, (uint64_t)timeout_ms * UINT64_C(1000000));
    mr_sock_round(host);
    while ((count = collect(set, events_out, room)) == 0 && timeout_ms != 0) {
        struct sock_call call = {0};
        set->call = &call;
        int status = mr_sock_wait_call(host, &call, deadline);
        set->call = NULL;
        if (status == -ETIMEDOUT)
            return collect(set, events_out, room);
        if (status < 0)
            return status;
    }
    return count;
}
