/* base/fault.c - see fault.h. */
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP       "..."
#define HEAD_SIZE 96 /* of text that is too long: what it is about; the end says what to do */
#define TAIL_SIZE (MR_FAULT_SIZE - HEAD_SIZE - (sizeof(GAP) - 1)) /* with its NUL */

/* Text of `size` bytes does not fit: leave out its middle. */
MR_PRINTF(3, 0)
static void cut(char text[MR_FAULT_SIZE], int size, const char *fmt, va_list args)
{
    char *whole = malloc((size_t)size + 1);

    if (whole == NULL) {
        memcpy(text + MR_FAULT_SIZE - sizeof(GAP), GAP, sizeof(GAP));
        return;
    }
    vsnprintf(whole, (size_t)size + 1, fmt, args);
    memcpy(text + HEAD_SIZE, GAP, sizeof(GAP) - 1);
    memcpy(text + MR_FAULT_SIZE - TAIL_SIZE, whole + size + 1 - TAIL_SIZE, TAIL_SIZE);
    free(whole);
}

MR_PRINTF(2, 0)
static void write_text(char text[MR_FAULT_SIZE], const char *fmt, va_list args)
{
    va_list again;

    va_copy(again, args);
    int size = vsnprintf(text, MR_FAULT_SIZE, fmt, args);
    if (size >= MR_FAULT_SIZE)
        cut(text, size, fmt, again);
    va_end(again);
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
}

MR_PRINTF(2, 3)
static void write_words(char text[MR_FAULT_SIZE], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_text(text, fmt, args);
    va_end(args);
}

int mr_fault_set(struct mr_fault *fault, int error, const char *fmt, ...)
{
    if (fault != NULL) {
        va_list args;

        va_start(args, fmt);
        write_text(fault->text, fmt, args);
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
        write_text(context, fmt, args);
        va_end(args);
        write_words(fault->text, "%s: %s", context, inner.text);
    }
    return result;
}
