/* examples/kv/kv_main.h - what the programs have in common that stand on loops and sockets. */
#ifndef KV_MAIN_H
#define KV_MAIN_H

#include <pthread.h>

#include <millrace/socket.h>

#include "examples/kv/kv_app.h"
#include "examples/parting.h"

enum {
    KV_PIECE = 16384 /* bytes that are written or read at once */
};

/* Parse the command line, attach, and run; `run` gives 0 or -errno.  The program's exit status. */
int kv_main(int argc, char **argv, int (*run)(struct kv_app *app, struct mr_loop *loop));

/* The same without a loop. */
int kv_ring_main(int argc, char **argv,
                 int (*run)(struct kv_app *app, struct mr_attachment *attachment));

/* How the datapath was at the end, and why it cannot go on. */
struct kv_ending {
    enum mr_datapath_state state;
    struct mr_error why;
};

/* Say why it ends, unless it is done (`error` 0), and free it.  `app` NULL: it could not begin. The
 * program's exit status. */
int kv_end(struct kv_app *app, int error, const struct kv_ending *ending);

/* A loop of its own for one of many threads, with small rings.  As mr_loop_new(). */
int kv_loop_open(const struct kv_app *app, struct mr_loop **loop_out, struct mr_error *why);

/* Wait for a condition, at most `wait_ns`, with `lock` held. */
void kv_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t wait_ns);

/* A connection with its one stream. */
struct kv_talk {
    struct mr_sock *conn;   /* NULL: none */
    struct mr_sock *stream; /* NULL: none yet */
    struct kv_peer *peer;   /* NULL: none yet */
    struct kv_way way;
    bool is_ours; /* we have connected, by that way */
};

/* It has its stream: begin to talk.  False: there is no memory. */
bool kv_talk_begin(struct kv_app *app, struct kv_talk *talk, void *context);

/* The next words of its peer, at most KV_PIECE of them, as a copy that stays while it is written;
 * 0: there is nothing to say. */
size_t kv_talk_words(const struct kv_talk *talk, uint8_t bytes_out[KV_PIECE]);

/* Close what is open, with our code, and tell `app`.  Again: no effect. */
void kv_talk_end(struct kv_app *app, struct kv_talk *talk, uint64_t code);

#endif /* KV_MAIN_H */
