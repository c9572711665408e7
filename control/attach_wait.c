/* control/attach_wait.c - see attach_wait.h. */
#include "control/attach_wait.h"

#include <errno.h>
#include <stdlib.h>

#define LOOK_NS UINT64_C(2000000) /* between looks at what others have let go of */

struct mr_attach_wait {
    struct mr_attach_wait *next;
    struct mr_client *client;
    struct mr_message_attach wish;
    uint64_t until_ns;
    uint64_t ended; /* so many others had when it was tried last */
};

static uint64_t ended_so_far(const struct mr_attach_waits *waits)
{
    return mr_attachments_stats(waits->attachments).ended;
}

static struct mr_attach_wait **find(struct mr_attach_waits *waits, const struct mr_client *client)
{
    struct mr_attach_wait **link = &waits->first;

    while (*link != NULL && (*link)->client != client)
        link = &(*link)->next;
    return link;
}

static void drop(struct mr_attach_wait **link)
{
    struct mr_attach_wait *wait = *link;

    *link = wait->next;
    free(wait);
}

int mr_attach_waits_attach(struct mr_attach_waits *waits, struct mr_client *client,
                           const struct mr_message_attach *wish, struct mr_fault *fault)
{
    struct mr_attach_wait **link = find(waits, client);

    if (*link != NULL)
        return mr_fault_set(fault, EALREADY, "ATTACH once more, before the first is answered");
    int result = mr_attachments_attach(waits->attachments, client, wish, true, fault);
    if (result != -EAGAIN)
        return result;
    struct mr_attach_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL)
        return mr_fault_set(fault, ENOMEM, "no memory for an attachment");
    *wait = (struct mr_attach_wait){.client = client,
                                    .wish = *wish,
                                    .until_ns = mr_control_now() + MR_ATTACH_WAIT_NS,
                                    .ended = ended_so_far(waits)};
    *link = wait;
    return 0;
}

/* True: it is answered. */
static bool try_again(struct mr_attach_waits *waits, struct mr_attach_wait *wait, uint64_t now)
{
    bool may_wait = now < wait->until_ns;
    struct mr_fault fault;

    if (may_wait && wait->ended == ended_so_far(waits))
        return false;
    wait->ended = ended_so_far(waits);
    int result =
        mr_attachments_attach(waits->attachments, wait->client, &wait->wish, may_wait, &fault);
    if (result == -EAGAIN)
        return false;
    if (result != 0) {
        mr_client_refuse(wait->client, result, &fault);
        mr_client_close(wait->client);
    }
    return true;
}

uint64_t mr_attach_waits_look(struct mr_attach_waits *waits, uint64_t now)
{
    for (struct mr_attach_wait **link = &waits->first; *link != NULL;) {
        if (try_again(waits, *link, now))
            drop(link);
        else
            link = &(*link)->next;
    }
    return waits->first != NULL ? now + LOOK_NS : MR_CONTROL_NEVER;
}

void mr_attach_waits_client_gone(struct mr_attach_waits *waits, const struct mr_client *client)
{
    struct mr_attach_wait **link = find(waits, client);

    if (*link != NULL)
        drop(link);
}

void mr_attach_waits_free(struct mr_attach_waits *waits)
{
    while (waits->first != NULL)
        drop(&waits->first);
}
