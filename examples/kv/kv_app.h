/*
 * examples/kv/kv_app.h - the program kv, but for its I/O: a node, or a client, from the command
 * line.
 *
 *     kv_MODEL SOCKET node NUMBER ADDRESS:PORT...        the addresses of all nodes, in order
 *     kv_MODEL SOCKET ADDRESS:PORT[,ADDRESS:PORT...] COMMAND...           (kv_client.h)
 *
 * SOCKET is the control socket of the datapath.  Node N attaches as application "kvN" and serves
 * the listener of that name, whose protocol (ALPN) is "kv".
 *
 * Each model of I/O has a program of its own around this, which does the same four things in its
 * own way:
 *
 *     connect    kv_app_next_way() -> connection, stream -> kv_app_reached() or kv_app_failed()
 *     accept     connection, its first stream -> kv_app_accepted()
 *     read       kv_peer_hear();      the end: kv_peer_leave()
 *     write      kv_app_next_speaker() -> kv_peer_words(), kv_peer_said(); kv_peer_is_ended()
 *
 * and calls kv_app_tick() before, and again when it says so.
 *
 * Owner: the caller.  Threads: one at a time, for everything of one app.
 */
#ifndef KV_APP_H
#define KV_APP_H

#include "examples/kv/kv_peer.h"

struct kv_app;

/* NULL: it was said what is wrong; end with status 2. */
struct kv_app *kv_app_new(int argc, char **argv);

/* All conversations were left before, or are never touched again. */
void kv_app_free(struct kv_app *app);

/* What to attach to, and as what. */
const char *kv_app_control(const struct kv_app *app);
const char *kv_app_name(const struct kv_app *app);

/* True: serve the listener that is called as the application. */
bool kv_app_serves(const struct kv_app *app);

/* Let it be `now` (kv_now()), and do what is due.  ns until it has to be called again, at most a
 * second. */
uint64_t kv_app_tick(struct kv_app *app, uint64_t now);

/* A monotonic clock, ns. */
uint64_t kv_now(void);

/* True: end the program, with that status. */
bool kv_app_is_over(const struct kv_app *app);
int kv_app_status(const struct kv_app *app);

/* ------------------------------------------------------------------ conversations */

/* Somebody to connect to, now. */
struct kv_way {
    uint32_t number;
    char ip[48]; /* as text */
    struct mr_connect_options options;
};

/* False: nobody.  Else kv_app_reached() or kv_app_failed() follows for *way_out, later is fine. */
bool kv_app_next_way(struct kv_app *app, struct kv_way *way_out);

/* There is a stream to it.  NULL: no memory. */
struct kv_peer *kv_app_reached(struct kv_app *app, const struct kv_way *way, void *context);
void kv_app_failed(struct kv_app *app, const struct kv_way *way);

/* Somebody has opened a stream.  NULL: no memory, or nobody should. */
struct kv_peer *kv_app_accepted(struct kv_app *app, void *context);

/* Who has something to say, or is to be ended; NULL: nobody. */
struct kv_peer *kv_app_next_speaker(struct kv_app *app);

#endif /* KV_APP_H */
