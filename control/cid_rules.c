/* control/cid_rules.c - see cid_rules.h. */
#include "control/cid_rules.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"

#define LONG_HEADER 0x80 /* RFC 9000, Section 17.2: the first bit; it is 0 in short headers */
#define WRONG_SHARE 10   /* one datagram in so many may arrive elsewhere: handshakes, moves */

_Static_assert(1 + MR_LOCAL_CID_SIZE <= MR_PORT_MATCH, "a short header up to its connection ID");

struct mr_port_match mr_cid_rules_match(const struct mr_cid_format *format)
{
    struct mr_cid least = mr_cid_encode(format, 0);
    struct mr_cid most = mr_cid_encode(format, UINT64_MAX);
    struct mr_port_match match = {
        .mask = {LONG_HEADER}, .size = 1 + MR_LOCAL_CID_SIZE, .queue = format->shard};

    for (size_t i = 0; i < MR_LOCAL_CID_SIZE; i++) {
        match.mask[1 + i] = (uint8_t) ~(least.bytes[i] ^ most.bytes[i]); /* no nonce is there */
        match.bytes[1 + i] = least.bytes[i] & match.mask[1 + i];
    }
    return match;
}

void mr_cid_rules_try(struct mr_cid_rules *rules, const struct mr_port *port,
                      const struct mr_cid_format *format, uint32_t count)
{
    struct mr_port_match matches[MR_PORT_QUEUES_MAX];
    struct mr_cid_format one = *format;

    MR_ASSERT(count <= MR_PORT_QUEUES_MAX && !format->is_encrypted);
    for (uint32_t i = 0; i < count; i++) {
        one.shard = (uint16_t)i;
        matches[i] = mr_cid_rules_match(&one);
    }
    if (mr_port_rules_make(port, matches, count, &rules->rules, &rules->refusal) == 0) {
        rules->state = MR_CID_RULES_TRIAL_RUN;
        mr_log(MR_LOG_INFO, "port %s chooses shards by connection ID, on trial: %u rules",
               port->spec, rules->rules.count);
        return;
    }
    rules->state = MR_CID_RULES_REFUSED;
    mr_log(MR_LOG_INFO, "port %s does not choose shards by connection ID: %s", port->spec,
           rules->refusal.text);
}

enum mr_cid_rules_state mr_cid_rules_verdict(uint64_t received, uint64_t redirected)
{
    if (received < MR_CID_RULES_TRIAL)
        return MR_CID_RULES_TRIAL_RUN;
    return redirected * WRONG_SHARE > received ? MR_CID_RULES_WITHDRAWN : MR_CID_RULES_IN_USE;
}

void mr_cid_rules_judge(struct mr_cid_rules *rules, const struct mr_port *port, uint64_t received,
                        uint64_t redirected)
{
    if (rules->state != MR_CID_RULES_TRIAL_RUN)
        return;
    rules->state = mr_cid_rules_verdict(received, redirected);
    if (rules->state == MR_CID_RULES_TRIAL_RUN)
        return;
    bool is_good = rules->state == MR_CID_RULES_IN_USE;
    if (!is_good)
        mr_port_rules_drop(port, &rules->rules);
    mr_log(is_good ? MR_LOG_INFO : MR_LOG_WARN,
           is_good ? "port %s chooses shards by connection ID, rightly"
                   : "port %s chose wrong shards by connection ID: the rules are withdrawn",
           port->spec);
}

void mr_cid_rules_describe(const struct mr_cid_rules *rules, char *text, size_t room)
{
    static const char *const names[] = {[MR_CID_RULES_OFF] = "off",
                                        [MR_CID_RULES_REFUSED] = "refused",
                                        [MR_CID_RULES_TRIAL_RUN] = "trial",
                                        [MR_CID_RULES_IN_USE] = "in use",
                                        [MR_CID_RULES_WITHDRAWN] = "withdrawn"};
    bool is_refused = rules->state == MR_CID_RULES_REFUSED;

    snprintf(text, room, "%s%s%s", names[rules->state], is_refused ? ": " : "",
             is_refused ? rules->refusal.text : "");
}
