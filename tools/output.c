/* tools/output.c - see output.h. */
#include "tools/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0666 /* less the umask */

static bool is_directory(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool mr_output_name(struct mr_output *o, const char *wanted, const struct mr_url *url,
                    struct mr_fault *fault)
{
    char name[MR_URL_NAME_MAX];
    int size;

    o->fd = -1;
    mr_url_file_name(url, name);
    if (wanted == NULL)
        size = snprintf(o->path, sizeof(o->path), "%s", name);
    else if (strcmp(wanted, "-") != 0 && is_directory(wanted))
        size = snprintf(o->path, sizeof(o->path), "%s/%s", wanted, name);
    else
        size = snprintf(o->path, sizeof(o->path), "%s", wanted);
    if (size > 0 && (size_t)size + sizeof(".part") <= sizeof(o->path)) {
        snprintf(o->part, sizeof(o->part), "%.*s.part", size, o->path);
        return true;
    }
    mr_fault_set(fault, ENAMETOOLONG, "the name of the output is empty or too long: %.80s",
                 o->path);
    return false;
}

static bool fail(const char *path, int error, struct mr_fault *fault)
{
    const char *remedy = error == ENOENT   ? "make its directory first, or choose another with -o"
                         : error == EACCES ? "choose a place that this user may write, with -o"
                                           : "choose another with -o";

    mr_fault_set(fault, error, "cannot write %.120s: %s; %s", path, strerror(error), remedy);
    return false;
}

static bool finish_open(struct mr_output *o, const char *path, struct mr_fault *fault)
{
    struct stat info;

    if (o->fd < 0 || fstat(o->fd, &info) != 0)
        return fail(path, errno, fault);
    o->is_stream = !S_ISREG(info.st_mode);
    return true;
}

bool mr_output_open(struct mr_output *o, struct mr_fault *fault)
{
    struct stat info;

    if (strcmp(o->path, "-") == 0) {
        o->is_direct = true;
        o->fd = dup(STDOUT_FILENO);
        return finish_open(o, "standard output", fault);
    }
    o->is_direct = stat(o->path, &info) == 0 && !S_ISREG(info.st_mode);
    o->fd = o->is_direct ? open(o->path, O_WRONLY | O_CLOEXEC)
                         : open(o->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, MODE);
    return finish_open(o, o->path, fault);
}

bool mr_output_commit(struct mr_output *o, struct mr_fault *fault)
{
    bool is_closed = close(o->fd) == 0; /* a remote file system may refuse the data only now */
    int error = errno;

    o->fd = -1;
    if (o->is_direct)
        return is_closed || fail(o->path, error, fault);
    if (is_closed && rename(o->part, o->path) == 0)
        return true;
    error = is_closed ? errno : error;
    unlink(o->part);
    return fail(o->path, error, fault);
}

void mr_output_discard(struct mr_output *o)
{
    if (o->fd < 0)
        return;
    close(o->fd);
    o->fd = -1;
    if (!o->is_direct)
        unlink(o->part);
}
