/*
 * app/fiber_context.c - see fiber_context.h.
 */
#include "app/fiber_context.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/compiler.h"

/* fiber_switch_*.S */
void mr_context_jump(void **sp_out, void *sp);
void *mr_context_layout(void *top, void (*function)(void *), void *argument);

/* The sanitizers' interface; calls that are compiled out need no library. */
void __sanitizer_start_switch_fiber(void **fake_stack_out, const void *low, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **low_out, size_t *size_out);
void __asan_unpoison_memory_region(const volatile void *address, size_t size);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void *__tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);

void mr_context_init_thread(struct mr_context *context)
{
    *context = (struct mr_context){.sp = NULL};
    if (MR_TSAN)
        context->tsan = __tsan_get_current_fiber();
}

/* Called on the new stack. */
static void start(void *argument)
{
    struct mr_context *context = argument;

    if (MR_ASAN)
        __sanitizer_finish_switch_fiber(NULL, &context->from->stack_low,
                                        &context->from->stack_size);
    context->function(context->argument);
    mr_panic(__FILE__, __LINE__, "a context's function does not return");
}

void mr_context_init(struct mr_context *context, void *low, size_t size, void (*function)(void *),
                     void *argument)
{
    MR_ASSERT((((uintptr_t)low | size) & 15) == 0);
    *context = (struct mr_context){
        .function = function,
        .argument = argument,
        .stack_low = low,
        .stack_size = size,
    };
    if (MR_ASAN)
        __asan_unpoison_memory_region(low, size); /* who used it before left no frame in order */
    if (MR_TSAN)
        context->tsan = __tsan_create_fiber(0);
    context->sp = mr_context_layout((uint8_t *)low + size, start, context);
}

void mr_context_switch(struct mr_context *from, struct mr_context *to)
{
    if (MR_ASAN) {
        to->from = from;
        __sanitizer_start_switch_fiber(&from->fake_stack, to->stack_low, to->stack_size);
    }
    if (MR_TSAN)
        __tsan_switch_to_fiber(to->tsan, 0);
    mr_context_jump(&from->sp, to->sp);
    if (MR_ASAN)
        __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
}

_Noreturn void mr_context_leave(struct mr_context *from, struct mr_context *to)
{
    if (MR_ASAN)
        __sanitizer_start_switch_fiber(NULL, to->stack_low, to->stack_size); /* NULL: for good */
    if (MR_TSAN)
        __tsan_switch_to_fiber(to->tsan, 0);
    mr_context_jump(&from->sp, to->sp);
    abort(); /* nobody continues it */
}

void mr_context_free(struct mr_context *context)
{
    if (MR_TSAN)
        __tsan_destroy_fiber(context->tsan);
    context->tsan = NULL;
}
