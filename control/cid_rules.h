/*
 * control/cid_rules.h - a card gives each datagram to the shard that issued its connection ID, by
 * rules in its hardware; tried, judged by what arrives, and told of.
 *
 *     off --mr_cid_rules_try()--> refused                      the driver's reason; RSS chooses
 *                             --> trial --1,000 datagrams--> in use
 *                                                        --> withdrawn      a tenth arrived
 * elsewhere
 *
 * Only packets with short headers are matched: what begins a connection stays where RSS puts it.
 * Whatever the card does, shards pass on what arrives at the wrong one (dataplane/redirects.h).
 *
 * Owner: the group.  Threads: the control thread.
 */
#ifndef MR_CONTROL_CID_RULES_H
#define MR_CONTROL_CID_RULES_H

#include <stdint.h>

#include "base/fault.h"
#include "drivers/port_rules.h"
#include "quic/cid.h"

#define MR_CID_RULES_TRIAL 1000 /* datagrams */

enum mr_cid_rules_state {
    MR_CID_RULES_OFF, /* not asked for */
    MR_CID_RULES_REFUSED,
    MR_CID_RULES_TRIAL_RUN,
    MR_CID_RULES_IN_USE,
    MR_CID_RULES_WITHDRAWN
};

struct mr_cid_rules {
    enum mr_cid_rules_state state;
    struct mr_port_rules rules;
    struct mr_fault refusal; /* why */
};

/* What a datagram that goes to shard `format->shard` begins with: a short header, and the bits of a
 * connection ID that are the same in all of that shard's. */
struct mr_port_match mr_cid_rules_match(const struct mr_cid_format *format);

/* Make the rules of shards 0 to `count` - 1, one queue each, whose connection IDs are in plain text
 * and of `format` but for the shard.  The outcome is in `rules`, and logged. */
void mr_cid_rules_try(struct mr_cid_rules *rules, const struct mr_port *port,
                      const struct mr_cid_format *format, uint32_t count);

/* Go on with a trial: `received` datagrams so far, of which shards passed `redirected` on to
 * others.
 */
void mr_cid_rules_judge(struct mr_cid_rules *rules, const struct mr_port *port, uint64_t received,
                        uint64_t redirected);

/* What becomes of a trial in which that many datagrams have come. */
enum mr_cid_rules_state mr_cid_rules_verdict(uint64_t received, uint64_t redirected);

/* "off", "in use", ...; with the reason of a refusal. */
void mr_cid_rules_describe(const struct mr_cid_rules *rules, char *text_out, size_t room);

#endif /* MR_CONTROL_CID_RULES_H */
