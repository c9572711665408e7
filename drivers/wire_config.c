/* drivers/wire_config.c - a wire's options in text; see wire.h. */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "drivers/options.h"
#include "drivers/wire.h"

/* What an option may set: the wire, and the impairment of both directions. */
struct target {
    struct mr_wire_config *wire;
    struct mr_wire_impairment *both; /* copied to both sides afterwards */
};

static bool set_mode(struct target *target, const char *value)
{
    target->wire->is_copied = strcmp(value, "copy") == 0;
    return target->wire->is_copied || strcmp(value, "reference") == 0;
}

static bool set_checksum(struct target *target, const char *value)
{
    target->wire->needs_checksum = strcmp(value, "software") == 0;
    return target->wire->needs_checksum || strcmp(value, "vouched") == 0;
}

static bool set_rss(struct target *target, const char *value)
{
    return mr_option_bool(value, &target->wire->has_rss);
}

static bool set_ring(struct target *target, const char *value)
{
    uint64_t frames;

    if (!mr_option_number(value, 1u << 20, &frames) || frames == 0)
        return false;
    target->wire->ring_count = (uint32_t)frames;
    return true;
}

static bool set_seed(struct target *target, const char *value)
{
    return mr_option_number(value, UINT64_MAX, &target->wire->seed);
}

static bool set_mtu(struct target *target, const char *value)
{
    uint64_t mtu;

    if (!mr_option_number(value, 16000, &mtu) || mtu < 1280)
        return false;
    target->wire->mtu = (uint16_t)mtu;
    return true;
}

static bool set_rate(struct target *target, const char *value)
{
    return mr_option_rate(value, &target->both->rate_bps);
}

static bool set_queue(struct target *target, const char *value)
{
    uint64_t bytes;

    if (!mr_option_rate(value, &bytes) || bytes > UINT32_MAX)
        return false;
    target->both->queue_bytes = (uint32_t)bytes;
    return true;
}

static bool set_delay(struct target *target, const char *value)
{
    return mr_option_duration(value, &target->both->delay_ns);
}

static bool set_jitter(struct target *target, const char *value)
{
    return mr_option_duration(value, &target->both->jitter_ns);
}

static bool set_loss(struct target *target, const char *value)
{
    return mr_option_percent(value, &target->both->loss);
}

static bool set_dup(struct target *target, const char *value)
{
    return mr_option_percent(value, &target->both->duplicate);
}

static bool set_corrupt(struct target *target, const char *value)
{
    return mr_option_percent(value, &target->both->corrupt);
}

static bool set_reorder(struct target *target, const char *value)
{
    return mr_option_percent(value, &target->both->reorder);
}

static const struct {
    const char *name;
    bool (*set)(struct target *target, const char *value);
    const char *takes;
} options[] = {
    {"mode", set_mode, "reference or copy"},
    {"checksum", set_checksum, "vouched or software"},
    {"rss", set_rss, "on or off"},
    {"ring", set_ring, "1 to 1048576 frames"},
    {"seed", set_seed, "a number"},
    {"mtu", set_mtu, "1280 to 16000 bytes"},
    {"rate", set_rate, "bits per second, such as 10G"},
    {"queue", set_queue, "bytes, such as 64k"},
    {"delay", set_delay, "a time, such as 10ms"},
    {"jitter", set_jitter, "a time, such as 1ms"},
    {"loss", set_loss, "per cent, 0 to 100"},
    {"dup", set_dup, "per cent, 0 to 100"},
    {"corrupt", set_corrupt, "per cent, 0 to 100"},
    {"reorder", set_reorder, "per cent, 0 to 100"},
};

static bool set_option(struct target *target, const char *name, const char *value,
                       struct mr_fault *fault)
{
    for (size_t i = 0; i < MR_COUNT_OF(options); i++) {
        if (strcmp(name, options[i].name) != 0)
            continue;
        if (options[i].set(target, value))
            return true;
        mr_fault_set(fault, EINVAL, "wire option %s=%s is malformed: %s takes %s", name, value,
                     name, options[i].takes);
        return false;
    }
    mr_fault_set(
        fault, EINVAL,
        "unknown wire option %s: known are mode, checksum, rss, ring, seed, mtu, rate, queue, "
        "delay, jitter, loss, dup, corrupt, reorder",
        name);
    return false;
}

bool mr_wire_config_parse(const char *text, struct mr_wire_config *config, struct mr_fault *fault)
{
    struct mr_wire_impairment both = config->side[0].impairment;
    struct target target = {.wire = config, .both = &both};
    struct mr_options parsed = mr_options_of(text);

    while (mr_options_next(&parsed))
        if (!set_option(&target, parsed.name, parsed.value, fault))
            return false;
    if (parsed.is_too_long) {
        mr_fault_set(fault, EINVAL, "a wire option is longer than %d bytes", MR_OPTION_MAX - 1);
        return false;
    }
    config->side[0].impairment = both;
    config->side[1].impairment = both;
    return true;
}
