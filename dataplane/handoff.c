/* dataplane/handoff.c - see handoff.h. */
#include "dataplane/handoff.h"

#include <string.h>
#include <strings.h>

bool mr_server_name_matches(const char *pattern, const char *name)
{
    if (strncmp(pattern, "*.", 2) != 0)
        return strcasecmp(pattern, name) == 0;

    const char *rest = strchr(name, '.');
    return rest != NULL && rest != name && strcasecmp(pattern + 1, rest) == 0;
}

static bool matches(const struct mr_handoff_listener *listener, uint16_t port, const char *alpn,
                    const char *server_name)
{
    return (listener->port == 0 || listener->port == port) &&
           (listener->alpn[0] == '\0' || strcmp(listener->alpn, alpn) == 0) &&
           (listener->server_name[0] == '\0' ||
            mr_server_name_matches(listener->server_name, server_name));
}

uint32_t mr_handoff_find(const struct mr_handoff *handoff, uint16_t port, const char *alpn,
                         const char *server_name)
{
    for (uint32_t i = 0; i < handoff->listener_count; i++)
        if (matches(&handoff->listener[i], port, alpn, server_name))
            return i;
    return MR_LISTENERS_MAX;
}
