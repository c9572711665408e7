/*
 * app/events.h - what drives a registration, and looks into it: beside millrace/events.h.
 *
 * The driver (a loop, a shard) tells how it is woken, what names of listeners mean, and measures
 * handlers.  None of it is needed: an lcore polls, has one listener, and measures itself.
 *
 * Owner: the driver.  Threads: the registration's, except where a function says otherwise.
 */
#ifndef MR_APP_EVENTS_H
#define MR_APP_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/events.h"

/* Functions may be NULL. */
struct mr_events_host {
    void *context;
    /* There is something to do, and on_poll must be called: any thread. */
    void (*wake)(void *context);
    /* Begin (true) or end to take connections of the named listener, NULL: of every.  Its number;
     * -errno. */
    int (*listen)(void *context, const char *name, bool is_on);
    /* Around each handler: the time, ns; who took how long. */
    uint64_t (*clock)(void *context);
    void (*took)(void *context, const char *name, uint64_t ns);
};

/* Before the registration's on_start; `host` is copied. */
void mr_registration_set_host(struct mr_registration *registration,
                              const struct mr_events_host *host);

/* Have its memory in place before it is driven, so that no handler pays for the first use of a
 * page.
 */
void mr_registration_touch(struct mr_registration *registration);

/* Ask again for numbers of listeners that were not known: the driver calls it when its `listen` can
 * answer. */
void mr_registration_resolve(struct mr_registration *registration);

/* False: no transport drives it, not yet or not any more. */
bool mr_registration_has_transport(const struct mr_registration *registration);

/* True: on_poll has something to do at once. */
bool mr_registration_has_work(const struct mr_registration *registration);

/* mr_ev_shutdown() of every listener and connection, with code 0. */
void mr_registration_shut_down(struct mr_registration *registration);

struct mr_events_stats {
    uint64_t handlers;     /* called */
    uint32_t depth_peak;   /* handlers on the stack at once */
    uint32_t objects;      /* alive */
    uint32_t objects_used; /* of the pool, those set aside for other threads included */
    uint32_t sends_used;
    uint32_t deferred;        /* objects with something to tell: at most each once */
    uint64_t calls_queued;    /* of other threads, taken up so far */
    uint64_t conns_refused;   /* no listener, refused by it, or no object was free */
    uint64_t streams_refused; /* likewise */
};

void mr_registration_stats(const struct mr_registration *registration,
                           struct mr_events_stats *stats_out);

/* Panic unless every invariant holds.  O(objects). */
void mr_registration_check(const struct mr_registration *registration);

#endif /* MR_APP_EVENTS_H */
