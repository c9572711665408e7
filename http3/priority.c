/* http3/priority.c - see priority.h. */
#include "http3/priority.h"

#include <string.h>

#include "http3/structured.h"

/* ------------------------------------------------------------------ priorities */

/* What of both was given, the last of each name; -1: not given, or of a wrong type. */
struct given {
    int64_t urgency;
    int64_t is_incremental;
};

static void give(struct given *given, struct mr_text key, const struct mr_sf_item *item)
{
    if (key.size != 1)
        return;
    if (key.data[0] == 'u')
        given->urgency = item->kind == MR_SF_INTEGER ? item->value : -1;
    else if (key.data[0] == 'i')
        given->is_incremental = item->kind == MR_SF_BOOLEAN ? item->value : -1;
}

/* Section 4.2.2 */
static bool take_dictionary(struct mr_sf *in, struct given *given)
{
    struct mr_text key;
    struct mr_sf_item item;

    while (in->at < in->end) {
        if (!mr_sf_key(in, &key) || !mr_sf_member(in, &item) || !mr_sf_parameters(in))
            return false;
        give(given, key, &item);
        mr_sf_skip(in, " \t");
        if (in->at == in->end)
            return true;
        if (!mr_sf_take(in, ','))
            return false;
        mr_sf_skip(in, " \t");
        if (in->at == in->end)
            return false; /* a trailing comma */
    }
    return true;
}

bool mr_priority_parse(struct mr_text value, struct mr_priority *priority)
{
    struct mr_sf in = mr_sf_begin(value);
    struct given given = {-1, -1};

    mr_sf_skip(&in, " ");
    if (!take_dictionary(&in, &given))
        return false;
    if (given.urgency >= 0 && given.urgency < MR_URGENCIES)
        priority->urgency = (uint8_t)given.urgency;
    if (given.is_incremental >= 0)
        priority->is_incremental = given.is_incremental != 0;
    return true;
}

uint32_t mr_priority_format(struct mr_priority priority, char text_out[MR_PRIORITY_TEXT])
{
    uint32_t size = 0;

    if (priority.urgency != MR_PRIORITY_URGENCY) {
        memcpy(text_out, "u=0", 3);
        text_out[2] = (char)('0' + priority.urgency);
        size = 3;
    }
    if (priority.is_incremental) {
        memcpy(text_out + size, size > 0 ? ", i" : "i", size > 0 ? 3 : 1);
        size += size > 0 ? 3 : 1;
    }
    text_out[size] = '\0';
    return size;
}

/* ------------------------------------------------------------------ that wait for their stream */

static uint64_t entry_of(uint64_t id, struct mr_priority priority)
{
    return id << 2 | (uint64_t)priority.urgency << 1 | priority.is_incremental;
}

/* Its place; p->count: none. */
static uint32_t find(const struct mr_priorities *p, uint64_t id)
{
    uint32_t i = 0;

    while (i < p->count && p->entry[i] >> 4 != id >> 2)
        i++;
    return i;
}

bool mr_priorities_put(struct mr_priorities *p, uint64_t id, struct mr_priority priority)
{
    uint32_t i = find(p, id);

    if (i == MR_PRIORITIES_WAITING)
        return false;
    p->entry[i] = entry_of(id, priority);
    p->count += i == p->count;
    return true;
}

bool mr_priorities_take(struct mr_priorities *p, uint64_t id, struct mr_priority *priority_out)
{
    uint32_t i = find(p, id);

    if (i == p->count)
        return false;
    priority_out->urgency = (uint8_t)(p->entry[i] >> 1 & 7);
    priority_out->is_incremental = (p->entry[i] & 1) != 0;
    p->entry[i] = p->entry[--p->count];
    return true;
}
