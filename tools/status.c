/* tools/status.c - see status.h. */
#include "tools/status.h"

#include <stddef.h>

#include "base/compiler.h"

static const struct {
    uint32_t status;
    const char *advice;
} known[] = {
    {206, "a part of the file, which was not asked for; the server is at fault, tell who runs it"},
    {304, "not modified, though no condition was given; the server is at fault, tell who runs it"},
    {400, "it does not understand the request; check the URL for characters that do not belong"},
    {401, "it wants a login, which cannot be given here"},
    {403, "the file is there, but the server may not give it out; have its permissions changed"},
    {404, "there is no such file; check the path"},
    {405, "the path takes no such request; check the path"},
    {408, "the request took too long; try again"},
    {410, "the file is gone for good; look for another"},
    {414, "the path is too long for the server"},
    {421, "the server does not answer for this host; check the host, or --connect"},
    {429, "too many requests; wait, then try again"},
    {500, "the server failed, the request is right; see the server's log, or try again later"},
    {501, "the server cannot do this; use another server"},
    {502, "a server behind it failed; try again later"},
    {503, "the server is too busy or being serviced; try again in a moment"},
    {504, "a server behind it did not answer; try again later"},
};

const char *mr_status_advice(uint32_t status)
{
    for (size_t i = 0; i < MR_COUNT_OF(known); i++) {
        if (known[i].status == status)
            return known[i].advice;
    }
    if (status >= 500)
        return "the server failed, the request is right; try again later";
    if (status >= 400)
        return "it refuses the request; check the URL";
    if (status >= 300)
        return "the file is elsewhere, and the server does not say where; check the URL";
    return "that is not the file; the server is at fault, tell who runs it";
}
