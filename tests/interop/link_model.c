/* tests/interop/link_model.c - see link_model.h. */
#include "tests/interop/link_model.h"

#include <string.h>

enum {
    NAT_HOST = 100, /* the NAT's addresses begin behind this one */
    NAT_HOSTS = 100,
    NAT_PORT_STEP = 7, /* between a client's port and its next binding */
};

void link_model_init(struct link_model *model, const struct link_config *config)
{
    memset(model, 0, sizeof(*model));
    model->config = *config;
    mr_random_init_number(&model->random, config->seed);
}

/* ------------------------------------------------------------------ the NAT */

static void rebind(struct link_model *model, uint64_t now)
{
    const struct link_config *c = &model->config;
    uint64_t age = now - model->begun_ns;

    if (c->rebind == LINK_REBIND_NONE || age < c->rebind_first_ns)
        return;
    model->binding = 1 + (uint32_t)((age - c->rebind_first_ns) / c->rebind_every_ns);
}

static uint16_t bound_port(const struct link_model *model)
{
    uint32_t shift = model->config.rebind == LINK_REBIND_PORT ? NAT_PORT_STEP * model->binding : 0;

    return (uint16_t)(model->client_port + shift);
}

static uint8_t bound_host(const struct link_model *model)
{
    bool is_other = model->config.rebind == LINK_REBIND_ADDRESS && model->binding > 0;

    return is_other ? (uint8_t)(NAT_HOST + model->binding % NAT_HOSTS) : model->client_host;
}

bool link_model_owns(const struct link_model *model, int host)
{
    return model->config.rebind == LINK_REBIND_ADDRESS && host >= NAT_HOST &&
           host < NAT_HOST + NAT_HOSTS;
}

/* Translate; false: nobody has that binding any more. */
static bool translate(struct link_model *model, enum link_side side, struct link_frame *frame)
{
    if (model->config.rebind == LINK_REBIND_NONE)
        return true;
    if (side == LINK_SERVER) {
        model->client_port = link_frame_port(frame, true);
        model->client_host = link_frame_host(frame, true);
        link_frame_set_port(frame, true, bound_port(model));
        link_frame_set_host(frame, true, bound_host(model));
    } else {
        if (link_frame_port(frame, false) != bound_port(model) ||
            link_frame_host(frame, false) != bound_host(model))
            return false;
        link_frame_set_port(frame, false, model->client_port);
        link_frame_set_host(frame, false, model->client_host);
    }
    link_frame_seal(frame);
    return true;
}

/* ------------------------------------------------------------------ what goes wrong */

static bool is_listed(const struct link_model *model, enum link_side side, uint64_t number)
{
    for (uint32_t i = 0; i < model->config.drop_count[side]; i++) {
        if (model->config.drops[side][i] == number)
            return true;
    }
    return false;
}

static bool is_blackholed(const struct link_model *model, uint64_t now)
{
    const struct link_config *c = &model->config;

    return c->off_ns > 0 && (now - model->begun_ns) % (c->on_ns + c->off_ns) >= c->on_ns;
}

/* Chance strikes, but not more often than `burst` times in a row. */
static bool strikes(struct link_model *model, struct link_wire *wire, uint32_t percent)
{
    bool is_hit = percent > 0 && wire->run < model->config.burst &&
                  mr_random_below(&model->random, 100) < percent;

    if (percent > 0)
        wire->run = is_hit ? wire->run + 1 : 0;
    return is_hit;
}

static void corrupt(struct link_model *model, struct link_frame *frame)
{
    uint64_t room =
        frame->payload_size < LINK_CORRUPT_BYTES ? frame->payload_size : LINK_CORRUPT_BYTES;
    uint8_t *byte = frame->payload + mr_random_below(&model->random, room);

    *byte ^= (uint8_t)(1 + mr_random_below(&model->random, 255));
    link_frame_seal(frame);
}

/* False: the datagram does not get through. */
static bool survives(struct link_model *model, enum link_side side, struct link_frame *frame,
                     uint64_t now)
{
    struct link_counts *counts = &model->counts[side];
    struct link_wire *wire = &model->wire[side];

    counts->packets++;
    if (!translate(model, side, frame)) {
        counts->stale++;
        return false;
    }
    if (is_blackholed(model, now)) {
        counts->blackholed++;
        return false;
    }
    if (is_listed(model, side, counts->packets)) {
        counts->listed++;
        return false;
    }
    if (strikes(model, wire, model->config.loss_percent)) {
        counts->lost++;
        return false;
    }
    if (frame->payload_size > 0 && !link_frame_is_version_negotiation(frame) &&
        strikes(model, wire, model->config.corrupt_percent)) {
        counts->corrupted++;
        corrupt(model, frame);
    }
    return true;
}

/* ------------------------------------------------------------------ the wire */

/* Packets whose bits begin to leave later than `now`. */
static uint32_t waiting(struct link_wire *wire, uint64_t now)
{
    while (wire->waiting > 0 && wire->starts[wire->first] <= now) {
        wire->first = (wire->first + 1) % LINK_WAITING_MAX;
        wire->waiting--;
    }
    return wire->waiting;
}

/* When it arrives; 0: the queue is full. */
static uint64_t transmit(struct link_model *model, struct link_wire *wire, size_t size,
                         uint64_t now)
{
    uint64_t start = wire->busy_until_ns > now ? wire->busy_until_ns : now;
    uint32_t count = waiting(wire, now);

    if (count >= model->config.queue || count == LINK_WAITING_MAX)
        return 0;
    wire->starts[(wire->first + count) % LINK_WAITING_MAX] = start;
    wire->waiting++;
    wire->busy_until_ns = start + size * 8 * 1000000000 / model->config.bits_per_s;
    return wire->busy_until_ns + model->config.delay_ns;
}

uint64_t link_model_pass(struct link_model *model, enum link_side side, uint8_t *bytes, size_t size,
                         uint64_t now)
{
    struct link_frame frame;

    if (!link_frame_parse(&frame, bytes, size))
        return now + model->config.delay_ns;
    if (model->begun_ns == 0)
        model->begun_ns = now;
    rebind(model, now);
    if (!survives(model, side, &frame, now))
        return 0;
    uint64_t at = transmit(model, &model->wire[side], size, now);
    if (at == 0)
        model->counts[side].overflowed++;
    else
        model->counts[side].passed++;
    return at;
}

uint64_t link_model_cross(struct link_model *model, enum link_side side, size_t size, uint64_t now)
{
    uint64_t at = transmit(model, &model->wire[side], size, now);

    if (at == 0)
        model->counts[side].cross_overflowed++;
    else
        model->counts[side].crossed++;
    return at;
}
