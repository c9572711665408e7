/* tools/output.c - see output.h. */
#include "tools/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE       0666 /* less the umask */
#define NAME_BYTES 200  /* of the file's name that the partial file's keeps, so that it fits */
#define TRIES      16   /* of names for the partial file */
#define READER_MS  5000 /* for the reader of a pipe to open it */
#define NAP_MS     10

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
    o->part[0] = '\0';
    mr_url_file_name(url, name);
    if (wanted == NULL)
        size = snprintf(o->path, sizeof(o->path), "%s", name);
    else if (strcmp(wanted, "-") != 0 && is_directory(wanted))
        size = snprintf(o->path, sizeof(o->path), "%s/%s", wanted, name);
    else
        size = snprintf(o->path, sizeof(o->path), "%s", wanted);
    if (size > 0 && (size_t)size + sizeof(".xxxxxxxx.part") <= sizeof(o->path))
        return true;
    mr_fault_set(fault, ENAMETOOLONG, "the name of the output is empty or too long: %.80s",
                 o->path);
    return false;
}

static bool fail(const char *path, int error, struct mr_fault *fault)
{
    const char *remedy = error == ENOENT   ? "make its directory first, or choose another with -o"
                         : error == EACCES ? "choose a place that this user may write, with -o"
                         : error == EISDIR ? "remove that directory, or choose another with -o"
                         : error == ENXIO  ? "nobody reads that pipe: start its reader first"
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

/* Make a file that nobody has, next to the one that is wanted.  Its descriptor; -1: see errno. */
static int create_part(struct mr_output *o)
{
    const char *slash = strrchr(o->path, '/');
    int folder = slash == NULL ? 0 : (int)(slash + 1 - o->path);
    int fd = -1;

    for (int i = 0; i < TRIES && fd < 0 && (i == 0 || errno == EEXIST); i++) {
        uint32_t random = 0;

        (void)getrandom(&random, sizeof(random), 0);
        snprintf(o->part, sizeof(o->part), "%.*s%.*s.%08x.part", folder, o->path, NAME_BYTES,
                 o->path + folder, (unsigned)random);
        fd = open(o->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MODE);
    }
    if (fd < 0)
        o->part[0] = '\0';
    return fd;
}

static void remove_part(struct mr_output *o)
{
    if (o->part[0] != '\0')
        unlink(o->part);
    o->part[0] = '\0';
}

/* Does a signal wait that ends the program? */
static bool is_interrupted(void)
{
    sigset_t set;

    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1 ||
            sigismember(&set, SIGHUP) == 1);
}

/* Open what is there and no regular file; a pipe needs a reader, which may come a little later. */
static int open_direct(const char *path)
{
    int fd = -1;

    for (int waited = 0; waited <= READER_MS; waited += NAP_MS) {
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 || errno != ENXIO || is_interrupted())
            break;
        (void)poll(NULL, 0, NAP_MS);
        errno = ENXIO;
    }
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, 0); /* to wait when writing */
    return fd;
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
    o->fd = o->is_direct ? open_direct(o->path) : create_part(o);
    return finish_open(o, o->path, fault);
}

bool mr_output_commit(struct mr_output *o, struct mr_fault *fault)
{
    bool is_closed = close(o->fd) == 0; /* a remote file system may refuse the data only now */
    int error = errno;

    o->fd = -1;
    if (o->is_direct)
        return is_closed || fail(o->path, error, fault);
    if (is_closed && rename(o->part, o->path) == 0) {
        o->part[0] = '\0';
        return true;
    }
    error = is_closed ? errno : error;
    remove_part(o);
    return fail(o->path, error, fault);
}

void mr_output_discard(struct mr_output *o)
{
    if (o->fd < 0)
        return;
    close(o->fd);
    o->fd = -1;
    remove_part(o);
}
