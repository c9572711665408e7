/*
 * examples/blocking/conversation.h - a conversation of kv_blocking.c from its first word to its
 * end: speak, listen, speak, listen, in calls that wait.
 *
 *     its thread     speak() --> mr_sock_read() --> kv_peer_hear() --> speak() ...
 *                                     ^
 *     another one    call_speakers() -+ interrupts it: there is more to say
 */
#ifndef EXAMPLES_BLOCKING_CONVERSATION_H
#define EXAMPLES_BLOCKING_CONVERSATION_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "examples/kv/kv_main.h"

struct conversation {
    struct kv_talk talk;
    struct mr_loop *loop; /* NULL: it is to be made */
    bool is_listening;    /* its thread waits for words */
};

static struct kv_app *app;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of `app`, and of what follows */
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;

/* ------------------------------------------------------------------ speaking */

/* On its thread, inside its mr_sock_read(). */
static inline void interrupt(void *argument)
{
    struct conversation *c = argument;

    if (c->is_listening)
        mr_sock_cancel(c->talk.stream);
}

/* With the lock. */
static inline void call_speakers(void)
{
    struct kv_peer *peer;

    while ((peer = kv_app_next_speaker(app)) != NULL) {
        struct conversation *c = kv_peer_context(peer);
        (void)mr_loop_post(c->loop, interrupt, c);
    }
}

/* Say what there is to say.  False: it is over. */
static inline bool speak(struct conversation *c, uint64_t *code_out)
{
    uint8_t bytes[KV_PIECE];

    for (;;) {
        pthread_mutex_lock(&lock);
        size_t size = kv_talk_words(&c->talk, bytes);
        bool is_ended = kv_peer_is_ended(c->talk.peer, code_out);
        pthread_mutex_unlock(&lock);
        if (is_ended || size == 0)
            return !is_ended;
        if (mr_sock_write(c->talk.stream, bytes, size) != (ssize_t)size)
            return false;
    }
}

/* ------------------------------------------------------------------ a conversation */

static inline void converse(struct conversation *c, uint64_t *code_out)
{
    uint8_t bytes[KV_PIECE];

    while (speak(c, code_out)) {
        c->is_listening = true;
        ssize_t size = mr_sock_read(c->talk.stream, bytes, sizeof(bytes));
        c->is_listening = false;
        if (size <= 0 && size != -ECANCELED)
            return;
        pthread_mutex_lock(&lock);
        if (size > 0)
            kv_peer_hear(c->talk.peer, bytes, (size_t)size, kv_now());
        call_speakers();
        pthread_cond_signal(&news);
        pthread_mutex_unlock(&lock);
    }
}

/* It has its stream, or has not. */
static inline void *run_conversation(struct conversation *c, bool has_stream)
{
    uint64_t code = 0;

    pthread_mutex_lock(&lock);
    has_stream = has_stream && kv_talk_begin(app, &c->talk, c);
    pthread_mutex_unlock(&lock);
    if (has_stream)
        converse(c, &code);
    pthread_mutex_lock(&lock);
    kv_talk_end(app, &c->talk, code);
    pthread_cond_signal(&news);
    pthread_mutex_unlock(&lock);
    mr_loop_free(c->loop);
    free(c);
    return NULL;
}

#endif /* EXAMPLES_BLOCKING_CONVERSATION_H */
