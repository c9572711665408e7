/* drivers/unix_socket.c - see unix_socket.h. */
#include "drivers/unix_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

socklen_t mr_unix_socket_address(const char *name, struct sockaddr_un *address_out)
{
    bool is_abstract = name[0] == '@';
    size_t size = strlen(name);

    *address_out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address_out->sun_path, name, size);
    if (is_abstract)
        address_out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + !is_abstract);
}

/*
 * A server must not notice, or it would take the attempt for a client that left: a path is
 * connected to with a socket of another type, an abstract name is taken and given back.
 */
int mr_unix_socket_look(const char *name)
{
    struct sockaddr_un address;
    bool is_abstract = name[0] == '@';

    if (strlen(name) >= MR_UNIX_NAME_MAX)
        return ENAMETOOLONG;
    socklen_t size = mr_unix_socket_address(name, &address);
    int fd = socket(AF_UNIX, (is_abstract ? SOCK_SEQPACKET : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int result = is_abstract ? bind(fd, (const struct sockaddr *)&address, size)
                             : connect(fd, (const struct sockaddr *)&address, size);
    int error = result == 0 ? ENOENT : errno;
    close(fd);
    return error == EPROTOTYPE ? EADDRINUSE : error;
}

/* A server makes its socket's file in a directory that is there and that it may write. */
static int check_directory(const char *name, const char *option, struct mr_fault *fault)
{
    char directory[MR_UNIX_NAME_MAX] = ".";
    const char *slash = strrchr(name, '/');

    if (slash != NULL)
        snprintf(directory, sizeof(directory), "%.*s", slash == name ? 1 : (int)(slash - name),
                 name);
    if (access(directory, W_OK | X_OK) == 0)
        return 0;
    if (errno == ENOENT)
        return mr_fault_set(fault, ENOENT,
                            "cannot make the socket %s: there is no directory %s; make it with "
                            "`mkdir -p %s`, or name another with %s",
                            name, directory, directory, option);
    return mr_fault_set(
        fault, errno,
        "cannot make the socket %s: %s is no directory to write to (%s); name another with %s",
        name, directory, strerror(errno), option);
}

/* A file at a server's address may be removed only if it is a socket. */
static int check_left_over(const char *name, const struct stat *file, const char *option,
                           struct mr_fault *fault)
{
    if (S_ISSOCK(file->st_mode))
        return 0;
    return mr_fault_set(
        fault, EEXIST,
        "%s exists and is %s, no socket: it is left as it is; name a path that is free with %s",
        name,
        S_ISDIR(file->st_mode)   ? "a directory"
        : S_ISLNK(file->st_mode) ? "a symbolic link"
        : S_ISREG(file->st_mode) ? "a regular file"
                                 : "a special file",
        option);
}

static int say_in_use(const char *name, const char *option, struct mr_fault *fault)
{
    return mr_fault_set(fault, EADDRINUSE,
                        "address in use: another program serves at %s; choose another with %s",
                        name, option);
}

/* A server takes a path; a socket's file that nobody listens at is left over and removed. */
static int take_path(const char *name, const char *option, struct mr_fault *fault)
{
    struct stat file;

    if (lstat(name, &file) != 0)
        return check_directory(name, option, fault);
    int result = check_left_over(name, &file, option, fault);
    if (result != 0)
        return result;
    int error = mr_unix_socket_look(name);
    if (error == EADDRINUSE || error == ENOENT) /* ENOENT: it answered as a socket of our kind */
        return say_in_use(name, option, fault);
    if (error == ECONNREFUSED && unlink(name) == 0)
        return 0;
    error = error == ECONNREFUSED ? errno : error;
    return mr_fault_set(fault, error, "cannot use the left-over socket %s: %s; remove it", name,
                        strerror(error));
}

int mr_unix_socket_take(const char *name, const char *option, struct mr_fault *fault)
{
    if (strlen(name) >= MR_UNIX_NAME_MAX)
        return mr_fault_set(
            fault, ENAMETOOLONG,
            "the name of a Unix socket has at most %zu bytes, \"%.40s...\" has %zu; name a shorter "
            "one with %s",
            MR_UNIX_NAME_MAX - 1, name, strlen(name), option);
    if (name[0] != '@')
        return take_path(name, option, fault);
    return mr_unix_socket_look(name) != EADDRINUSE ? 0 : say_in_use(name, option, fault);
}
