/*
 * app/fiber_channel.c - see millrace/fiber_sync.h: channels.
 *
 * What always holds: receivers wait only while the channel is empty and no sender waits; senders
 * only while it is full.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/fiber_internal.h"
#include "millrace/fiber_sync.h"

struct mr_fiber_channel {
    struct mr_fiber_queue senders; /* their items lie where fiber->item says */
    struct mr_fiber_queue receivers;
    uint32_t room; /* items */
    uint32_t item_size;
    uint32_t count;
    uint32_t first; /* index of the oldest item */
    bool is_closed;
    uint8_t items[];
};

struct mr_fiber_channel *mr_fiber_channel_new(uint32_t count, uint32_t item_size)
{
    struct mr_fiber_channel *channel = calloc(1, sizeof(*channel) + (size_t)count * item_size);

    if (channel != NULL) {
        channel->room = count;
        channel->item_size = item_size;
    }
    return channel;
}

void mr_fiber_channel_free(struct mr_fiber_channel *channel)
{
    if (channel == NULL)
        return;
    MR_ASSERT(channel->senders.first == NULL);
    MR_ASSERT(channel->receivers.first == NULL);
    free(channel);
}

/* The place of the item that is `index` after the oldest. */
static uint8_t *place(struct mr_fiber_channel *channel, uint32_t index)
{
    uint64_t at = ((uint64_t)channel->first + index) % channel->room;

    return channel->items + (size_t)at * channel->item_size;
}

static void put(struct mr_fiber_channel *channel, const void *item)
{
    memcpy(place(channel, channel->count), item, channel->item_size);
    channel->count++;
}

static void take(struct mr_fiber_channel *channel, void *item_out)
{
    memcpy(item_out, place(channel, 0), channel->item_size);
    channel->first = (channel->first + 1) % channel->room;
    channel->count--;
}

int mr_fiber_channel_send(struct mr_fiber_channel *channel, const void *item, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_fiber_channel_send");
    struct mr_fiber *receiver = channel->receivers.first;

    if (result != 0)
        return result;
    if (channel->is_closed)
        return -EPIPE;
    if (receiver != NULL) {
        memcpy(receiver->item, item, channel->item_size);
        mr_fiber_wake(receiver, 0);
        return 0;
    }
    if (channel->count < channel->room) {
        put(channel, item);
        return 0;
    }
    struct mr_fiber *fiber = mr_fiber_current();
    if (fiber != NULL)
        fiber->item = (void *)(uintptr_t)item; /* only read */
    return (int)mr_fiber_suspend(&channel->senders, timeout_ns);
}

int mr_fiber_channel_receive(struct mr_fiber_channel *channel, void *item_out, uint64_t timeout_ns)
{
    int result = mr_switchpoint_check("mr_fiber_channel_receive");
    struct mr_fiber *sender = channel->senders.first;

    if (result != 0)
        return result;
    if (channel->count > 0) {
        take(channel, item_out);
        if (sender != NULL) {
            put(channel, sender->item);
            mr_fiber_wake(sender, 0);
        }
        return 0;
    }
    if (sender != NULL) { /* a channel without room */
        memcpy(item_out, sender->item, channel->item_size);
        mr_fiber_wake(sender, 0);
        return 0;
    }
    if (channel->is_closed)
        return -EPIPE;
    struct mr_fiber *fiber = mr_fiber_current();
    if (fiber != NULL)
        fiber->item = item_out;
    return (int)mr_fiber_suspend(&channel->receivers, timeout_ns);
}

void mr_fiber_channel_close(struct mr_fiber_channel *channel)
{
    channel->is_closed = true;
    while (channel->senders.first != NULL)
        mr_fiber_wake(channel->senders.first, -EPIPE);
    while (channel->receivers.first != NULL)
        mr_fiber_wake(channel->receivers.first, -EPIPE);
}

uint32_t mr_fiber_channel_count(const struct mr_fiber_channel *channel)
{
    return channel->count;
}
