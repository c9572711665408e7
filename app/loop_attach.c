/* app/loop_attach.c - rings as what drives a loop's registration; see loop_internal.h. */
#include <errno.h>
#include <stdlib.h>

#include "app/loop_internal.h"
#include "app/transport_ring.h"

struct rings {
    struct mr_loop *loop;
    struct mr_attachment *attachment;
    struct mr_ring_transport *transport; /* NULL: over */
    uint32_t references;                 /* the loop's, and of work that is out */
};

/* Work of the transport's (a guest's). */
struct ring_work {
    struct rings *rings;
    int64_t (*function)(void *argument);
    void *argument;
    uint64_t user_data;
};

static void let_go(struct rings *rings)
{
    if (--rings->references == 0)
        free(rings);
}

/* ------------------------------------------------------------------ work */

static int64_t run_work(void *argument)
{
    const struct ring_work *work = argument;

    return work->function(work->argument);
}

static void drop_work(void *argument)
{
    struct ring_work *work = argument;

    let_go(work->rings);
    free(work);
}

static void work_done(void *argument, int64_t result)
{
    const struct ring_work *work = argument;

    if (work->rings->transport != NULL)
        mr_ring_transport_work_done(work->rings->transport, work->user_data, result);
    mr_loop_stir(work->rings->loop);
    drop_work(argument);
}

static int start_work(void *context, int64_t (*function)(void *argument), void *argument,
                      uint64_t user_data)
{
    struct rings *rings = context;
    struct ring_work *work = malloc(sizeof(*work));

    if (work == NULL)
        return -EAGAIN;
    *work = (struct ring_work){rings, function, argument, user_data};
    rings->references++;
    if (mr_loop_work_or_drop(rings->loop, run_work, work_done, drop_work, work) == 0)
        return 0;
    drop_work(work);
    return -EAGAIN;
}

/* ------------------------------------------------------------------ the source */

static uint32_t poll_rings(void *context)
{
    return mr_ring_transport_poll(((struct rings *)context)->transport);
}

static uint64_t deadline(void *context)
{
    return mr_ring_transport_deadline(((struct rings *)context)->transport);
}

static bool arm(void *context)
{
    return mr_attach_arm(((struct rings *)context)->attachment);
}

static void disarm(void *context)
{
    mr_attach_disarm(((struct rings *)context)->attachment);
}

static bool is_alive(void *context)
{
    return mr_ring_transport_is_alive(((struct rings *)context)->transport);
}

static enum mr_datapath_state state(void *context, struct mr_error *why_out)
{
    return mr_attach_state(((struct rings *)context)->attachment, why_out);
}

static void close_rings(void *context)
{
    struct rings *rings = context;
    struct mr_ring_transport *transport = rings->transport;

    mr_ring_transport_free(transport);
    rings->transport = NULL;
    mr_detach(rings->attachment);
    let_go(rings);
}

int mr_loop_listen(void *context, const char *name, bool is_on)
{
    const struct mr_loop *loop = context;
    const struct rings *rings = loop->source.context;

    if (!loop->has_source || rings->transport == NULL)
        return -EAGAIN; /* mr_registration_resolve() asks again */
    int number = name == NULL ? 0 : mr_attach_listener(rings->attachment, name);
    if (number >= 0)
        mr_ring_transport_listen(rings->transport, name == NULL ? MR_RING_EVERY : (uint64_t)number,
                                 is_on);
    return number;
}

const struct mr_ring_transport_stats *mr_loop_transport_stats(const struct mr_loop *loop)
{
    const struct rings *rings = loop->source.context;

    return loop->has_source && loop->source.poll == poll_rings
               ? mr_ring_transport_stats(rings->transport)
               : NULL;
}

int mr_loop_adopt(struct mr_loop *loop, struct mr_attachment *attachment)
{
    struct mr_ring_transport_config config = mr_ring_transport_config_default();
    struct rings *rings = calloc(1, sizeof(*rings));
    int result = rings == NULL ? -ENOMEM : mr_loop_open_registration(loop);

    if (result == 0) {
        *rings = (struct rings){.loop = loop, .attachment = attachment, .references = 1};
        config.work.start = start_work;
        config.work.context = rings;
        rings->transport = mr_ring_transport_new(attachment, &config,
                                                 mr_registration_application(loop->registration));
        result = rings->transport == NULL ? -ENOMEM : 0;
    }
    if (result < 0) {
        free(rings);
        mr_detach(attachment);
        return result;
    }
    mr_loop_plug(loop, &(struct mr_loop_source){.context = rings,
                                                .poll = poll_rings,
                                                .deadline = deadline,
                                                .arm = arm,
                                                .disarm = disarm,
                                                .is_alive = is_alive,
                                                .state = state,
                                                .close = close_rings,
                                                .fd = mr_attach_fd(attachment)});
    mr_registration_resolve(loop->registration);
    return 0;
}

int mr_loop_attach(struct mr_loop *loop, const struct mr_attach_config *config,
                   struct mr_error *error)
{
    struct mr_attach_config own = *config;
    struct mr_attachment *attachment;

    own.can_move = true;      /* the transport answers, nobody else has to notice */
    own.wants_reasons = true; /* and takes them out of their slots */
    int result = mr_attach(&own, &attachment, error);

    if (result < 0)
        return result;
    result = mr_loop_adopt(loop, attachment);
    if (result < 0)
        mr_loop_fail(error, "a loop's rings", -result);
    return result;
}
