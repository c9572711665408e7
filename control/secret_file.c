/* control/secret_file.c - see secret_file.h. */
#include "control/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PATH_ROOM (PATH_MAX + 8)
#define FILE_MODE 0600
#define MODE_MASK 0777

static int check(int fd, const char *path, const char *what, struct stat *info,
                 struct mr_fault *fault)
{
    if (fstat(fd, info) != 0 || !S_ISREG(info->st_mode))
        return mr_fault_set(fault, EINVAL, "%s: no regular file; check the path", path);
    if ((info->st_mode & MR_SECRET_FILE_MODES) != 0)
        return mr_fault_set(fault, EPERM,
                            "%s: everybody may use these %s; chmod 600, remove it, or name another",
                            path, what);
    return 0;
}

int mr_secret_file_open(const char *path, const char *what, struct stat *info,
                        struct mr_fault *fault)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return mr_fault_set(fault, errno, "cannot read %s: %s; check the path", path,
                            strerror(errno));
    int result = check(fd, path, what, info, fault);
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

/* "PATH.end", or -ENAMETOOLONG. */
static int name_beside(char name[PATH_ROOM], const char *path, const char *end,
                       struct mr_fault *fault)
{
    if (strlen(path) >= PATH_MAX)
        return mr_fault_set(fault, ENAMETOOLONG, "%.40s...: the path is too long; shorten it",
                            path);
    snprintf(name, PATH_ROOM, "%s%s", path, end);
    return 0;
}

static int say_unwritable(struct mr_fault *fault, int error, const char *path)
{
    return mr_fault_set(fault, error, "cannot write %s: %s; let this user write its folder", path,
                        strerror(error));
}

/* 0, or errno. */
static int write_new(const char *name, const void *bytes, size_t size, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    int error = 0;

    if (fd < 0)
        return errno;
    if (fchmod(fd, mode) != 0 || write(fd, bytes, size) != (ssize_t)size || fsync(fd) != 0)
        error = errno;
    close(fd);
    return error;
}

int mr_secret_file_write(const char *path, const void *bytes, size_t size, struct mr_fault *fault)
{
    char fresh[PATH_ROOM];
    struct stat info;
    mode_t mode = stat(path, &info) == 0 ? info.st_mode & MODE_MASK : FILE_MODE;
    int result = name_beside(fresh, path, ".new", fault);

    if (result != 0)
        return result;
    int error = write_new(fresh, bytes, size, mode);
    if (error == 0 && rename(fresh, path) != 0)
        error = errno;
    if (error == 0)
        return 0;
    unlink(fresh);
    return say_unwritable(fault, error, path);
}

int mr_secret_file_lock(const char *path, bool waits, struct mr_fault *fault)
{
    char name[PATH_ROOM];
    int result = name_beside(name, path, ".lock", fault);

    if (result != 0)
        return result;
    int fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return say_unwritable(fault, errno, name);
    if (flock(fd, LOCK_EX | (waits ? 0 : LOCK_NB)) == 0)
        return fd;
    close(fd);
    return -EAGAIN;
}
