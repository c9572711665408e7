/* drivers/port_watch.c - see port_watch.h. */
#include "drivers/port_watch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "drivers/port.h"

static bool has_kind(const char *spec, const char *kind)
{
    size_t size = strlen(kind);

    return strncmp(spec, kind, size) == 0 && spec[size] == ':';
}

bool mr_port_is_kernels(const char *spec)
{
    return has_kind(spec, "tap") || has_kind(spec, "af_packet");
}

static bool has_interface(const char *spec)
{
    return mr_port_is_kernels(spec) || has_kind(spec, "af_xdp");
}

struct mr_port_watch mr_port_watch_of(const struct mr_port *port)
{
    struct mr_port_watch watch = {.is_tap = has_kind(port->spec, "tap"),
                                  .card = port->is_card ? port : NULL};

    if (!has_interface(port->spec))
        return watch;
    const char *name = strchr(port->spec, ':') + 1;
    snprintf(watch.name, sizeof(watch.name), "%.*s", (int)strcspn(name, ","), name);
    watch.index = if_nametoindex(watch.name);
    return watch;
}

/* Is `fd` a TUN device's, with its interface still there? */
static bool has_tap(int fd, const char *path)
{
    char target[32] = "";
    struct ifreq request;

    return readlink(path, target, sizeof(target) - 1) > 0 && strcmp(target, "/dev/net/tun") == 0 &&
           ioctl(fd, TUNGETIFF, &request) == 0;
}

/* A TAP interface of this process exists, in whatever namespace. */
static bool is_any_tap_left(void)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    bool is_left = directory == NULL; /* nothing is known */
    char path[300];

    while (directory != NULL && !is_left && (entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        is_left = has_tap(atoi(entry->d_name), path);
    }
    if (directory != NULL)
        closedir(directory);
    return is_left;
}

enum mr_port_health mr_port_watch_look(const struct mr_port_watch *watch)
{
    struct ifreq request = {0};

    if (watch->card != NULL)
        return mr_port_is_up(watch->card) ? MR_PORT_UP : MR_PORT_NO_CARRIER;
    if (watch->index == 0)
        return MR_PORT_UP;
    if (if_indextoname(watch->index, request.ifr_name) == NULL)
        return watch->is_tap && is_any_tap_left() ? MR_PORT_UP : MR_PORT_GONE;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_known = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;

    if (fd >= 0)
        close(fd);
    if (!is_known)
        return MR_PORT_UP;
    if ((request.ifr_flags & IFF_UP) == 0)
        return MR_PORT_DOWN;
    return (request.ifr_flags & IFF_RUNNING) == 0 ? MR_PORT_NO_CARRIER : MR_PORT_UP;
}
