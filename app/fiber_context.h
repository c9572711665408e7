/*
 * app/fiber_context.h - a stack that can be left and continued.
 *
 * What a call keeps by the ABI lies on the stack itself (fiber_switch_*.S); a context is the
 * stack pointer, and what the sanitizers want to know of it.
 *
 * Owner: a hub, for its thread's own stack, and each fiber.  Threads: the hub's.
 */
#ifndef MR_APP_FIBER_CONTEXT_H
#define MR_APP_FIBER_CONTEXT_H

#include <stddef.h>

struct mr_context {
    void *sp; /* while it is not running */
    void (*function)(void *argument);
    void *argument;

    /* The sanitizers'. */
    const void *stack_low; /* of a thread's stack: known once it was left */
    size_t stack_size;
    void *fake_stack;        /* address sanitizer, while it is not running */
    void *tsan;              /* thread sanitizer */
    struct mr_context *from; /* who continued it last */
};

/* The context of the calling thread's stack. */
void mr_context_init_thread(struct mr_context *context);

/*
 * A context that calls function(argument) on the stack [low, low + size) when it is continued
 * first; `low` and `size` are multiples of 16.  The function must not return but call
 * mr_context_leave().  Borrows the stack.
 */
void mr_context_init(struct mr_context *context, void *low, size_t size, void (*function)(void *),
                     void *argument);

/* Leave `from`, which is running, and continue `to`.  Returns when `from` is continued. */
void mr_context_switch(struct mr_context *from, struct mr_context *to);

/* The same for the last time: `from` is over. */
_Noreturn void mr_context_leave(struct mr_context *from, struct mr_context *to);

/* Forget a context that is over, or will not be continued.  Not from itself. */
void mr_context_free(struct mr_context *context);

#endif /* MR_APP_FIBER_CONTEXT_H */
