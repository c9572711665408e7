/*
 * examples/kv/kv_app_internal.h - what the program is made of: kv_args.c, how it is made from the
 * command line, and kv_app.c, what it does then.
 */
#ifndef KV_APP_INTERNAL_H
#define KV_APP_INTERNAL_H

#include <time.h>

#include "examples/kv/kv_app.h"
#include "examples/kv/kv_client.h"
#include "examples/kv/kv_node.h"

struct kv_app {
    struct kv_speakers speakers;
    struct kv_node *node;     /* one of the two */
    struct kv_client *client; /* is NULL */
    const char *control;
    char name[16];
    int name_fd; /* a node's: see is_only_one() */
    uint32_t way_count;
    struct kv_way ways[KV_NODES_MAX];
};

/* ns of one of the system's clocks. */
uint64_t kv_app_clock(clockid_t clock);

#endif /* KV_APP_INTERNAL_H */
