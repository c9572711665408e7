/* tools/verdict.c - see verdict.h. */
#include "tools/verdict.h"

#include <stdio.h>

#include "tools/tools.h"

#define REPORT "; please report this with the command"

static void say_why(const struct mr_verdict *v)
{
    if (v->failed > 0)
        fprintf(stderr, "millrace %s: %llu failed%s%s" REPORT "\n", v->command,
                (unsigned long long)v->failed, v->failure[0] != '\0' ? ", " : "", v->failure);
    else if (v->bad_bytes > 0)
        fprintf(stderr, "millrace %s: %llu bytes arrived wrong" REPORT "\n", v->command,
                (unsigned long long)v->bad_bytes);
    else if (v->lost_mbufs > 0)
        fprintf(stderr, "millrace %s: %llu mbufs lost" REPORT "\n", v->command,
                (unsigned long long)v->lost_mbufs);
    else
        fprintf(stderr,
                "millrace %s: not one %s within %.3g s, so that there is nothing to tell; give it "
                "more time with --seconds S\n",
                v->command, v->missing, v->seconds);
}

int mr_verdict_give(const struct mr_verdict *v)
{
    if (v->was_told)
        return MR_EXIT_FAILED;
    if (v->failed == 0 && v->bad_bytes == 0 && v->lost_mbufs == 0 && v->missing == NULL)
        return MR_EXIT_OK;
    say_why(v);
    return MR_EXIT_FAILED;
}
