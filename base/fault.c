/* base/fault.c - see fault.h. */
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Finish text that vsnprintf() wrote and wanted to be `size` bytes long. */
static void finish(char text[MR_FAULT_SIZE], int size)
{
    if (size >= MR_FAULT_SIZE)
        memcpy(text + MR_FAULT_SIZE - sizeof("..."), "...", sizeof("..."));
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
}

int mr_fault_set(struct mr_fault *fault, int error, const char *fmt, ...)
{
    if (fault != NULL) {
        va_list args;

        va_start(args, fmt);
        finish(fault->text, vsnprintf(fault->text, sizeof(fault->text), fmt, args));
        va_end(args);
    }
    return error > 0 ? -error : -EINVAL;
}

int mr_fault_add_context(struct mr_fault *fault, int result, const char *fmt, ...)
{
    if (fault != NULL) {
        struct mr_fault inner = *fault;
        char context[MR_FAULT_SIZE];
        va_list args;

        va_start(args, fmt);
        vsnprintf(context, sizeof(context), fmt, args);
        va_end(args);
        finish(fault->text,
               snprintf(fault->text, sizeof(fault->text), "%s: %s", context, inner.text));
    }
    return result;
}
