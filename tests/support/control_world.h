/*
 * tests/support/control_world.h - a control socket with hosts of rings behind it, in one thread:
 * what the tests of control/attach.h and control/control.h begin with.
 *
 * The shards' ends of the rings are tests/support/fake_host.h's; they are polled by world_pump(),
 * unless the test gives them threads.
 */
#ifndef MR_TESTS_SUPPORT_CONTROL_WORLD_H
#define MR_TESTS_SUPPORT_CONTROL_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "tests/support/control_side.h"
#include "tests/support/fake_host.h"

#define WORLD_MS     UINT64_C(1000000)
#define WORLD_SHARDS 2
#define WORLD_SIDES  68
#define WORLD_RING   (UINT64_C(4096) * 7) /* bytes of a ring, if nothing else is asked for */

/* All of it; one world at a time. */
struct control_world {
    char path[64];
    struct mr_app_host *hosts[WORLD_SHARDS];
    struct mr_control *control;
    struct control_side sides[WORLD_SIDES]; /* the test's to use; closed at the end */
    bool is_drained;                        /* the command came */
    bool has_threads;                       /* the shards poll themselves */
};

extern struct control_world world;

/* A directory for the socket: as a suite's initialisation and cleanup. */
int world_make_directory(void);
int world_remove_directory(void);

/* Small rings, the callbacks of a datapath with made-up figures. */
struct mr_control_config world_config(void);

/* Listeners 0 and 2 for application `first`, 1 for `second`. */
struct mr_handoff world_policy(const char *first, const char *second);

/* Open the control socket; listeners are for "web" and "mail". */
void world_start_with(const struct mr_control_config *config);
void world_start(void);

/* Close all sides, see that nothing of theirs stays, close the control socket. */
void world_stop(void);

/* A few turns of the control thread and the shards. */
void world_pump(void);

struct mr_attachments_stats world_stats(void);

/* Until `count` attachments are left; false: not within `ms`. */
bool world_wait(uint32_t count, uint64_t ms);

/* Connect and say ATTACH; as control_side_attached(). */
int world_ask(struct control_side *side, const struct mr_message_attach *wish);

/* Attach as `name`, which must work. */
void world_attach(struct control_side *side, const char *name);

/* Ask, and be refused with these words; nothing stays. */
void world_check_refused(const struct mr_message_attach *wish, int error, const char *words);

/* A NOP goes to the shard and comes back. */
bool world_does_nop(struct control_ring *ring, uint64_t user_data);

/* The shard has let go of the ring. */
bool world_is_gone(const struct control_ring *ring);

/* Wake-ups that were not read; -1: none. */
int world_wake_bytes(const struct control_side *side);

/* The connection said why, and ended. */
void world_check_ended(struct control_side *side, int error, const char *words);

/* Of this process: bytes of rings that are mapped, open descriptors. */
uint64_t world_mapped_bytes(void);
uint32_t world_descriptors(void);

#endif /* MR_TESTS_SUPPORT_CONTROL_WORLD_H */
