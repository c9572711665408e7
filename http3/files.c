/* http3/files.c - see files.h. */
#include "http3/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "http3/listing.h"

/* From linux/openat2.h, which C libraries do not carry everywhere. */
struct open_how_v0 {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};

enum {
    RESOLVE_MAGICLINKS_NOT = 0x02,
    RESOLVE_BELOW = 0x08,
    OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, /* a FIFO must not hold us */
    INDEX_ROOM = 256, /* bytes of the index's name and a slash */
    RETRIES = 8,      /* of openat2 when a rename elsewhere made it give up */
};

/* One component at a time, following no link.  -errno on failure. */
static int open_walking(int root_fd, const char *path, int flags)
{
    char name[MR_TARGET_PATH_MAX];
    int fd = openat(root_fd, ".", OPEN_FLAGS | O_DIRECTORY);

    while (fd >= 0 && *path != '\0') {
        size_t size = strcspn(path, "/");
        if (size >= sizeof(name)) {
            close(fd);
            return -ENAMETOOLONG;
        }
        memcpy(name, path, size);
        name[size] = '\0';
        path += size;
        path += *path == '/';
        int next = openat(fd, name, flags | O_NOFOLLOW);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
    }
    return fd >= 0 ? fd : -errno;
}

/* Open `path` ("" is the root itself) below `root_fd`.  -errno on failure. */
static int open_below(int root_fd, const char *path, int flags)
{
    struct open_how_v0 how = {
        .flags = (uint64_t)flags,
        .resolve = RESOLVE_BELOW | RESOLVE_MAGICLINKS_NOT,
    };

    for (int i = 0; i < RETRIES; i++) {
        long fd = syscall(SYS_openat2, root_fd, *path == '\0' ? "." : path, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno == ENOSYS || errno == EPERM)
            return open_walking(root_fd, path, flags);
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

uint32_t mr_file_mode_below(int root_fd, const char *path)
{
    struct stat st;
    int fd = open_below(root_fd, path, O_PATH | O_CLOEXEC);
    bool is_known = fd >= 0 && fstat(fd, &st) == 0;

    if (fd >= 0)
        close(fd);
    return is_known ? st.st_mode : 0;
}

static enum mr_file_found found_of(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return MR_FILE_FORBIDDEN;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return MR_FILE_BUSY;
    default:
        return MR_FILE_MISSING;
    }
}

static struct mr_file_version version_of(const struct stat *st)
{
    return (struct mr_file_version){
        .inode = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .changed_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
    };
}

/* Is `fd` a regular file?  Then the job has found it; else it is closed. */
static bool accept_file(struct mr_file_job *job, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return false;
    }
    job->found = MR_FILE_FOUND;
    job->fd = fd;
    job->version = version_of(&st);
    return true;
}

/* The directory `fd` was asked for by its own name. */
static void open_index(struct mr_file_job *job, int fd)
{
    char path[MR_TARGET_PATH_MAX + INDEX_ROOM];
    const char *slash = job->target.size == 0 ? "" : "/";
    int size = job->index == NULL
                   ? 0
                   : snprintf(path, sizeof(path), "%s%s%s", job->target.path, slash, job->index);
    bool has_index = size > 0 && (size_t)size < sizeof(path);
    int index_fd = has_index ? open_below(job->root_fd, path, OPEN_FLAGS) : -ENOENT;

    if (index_fd >= 0 && accept_file(job, index_fd)) {
        job->is_index = true;
        close(fd);
        return;
    }
    job->found = index_fd >= 0 || index_fd == -ENOENT ? MR_FILE_DIRECTORY : found_of(-index_fd);
    if (job->found == MR_FILE_DIRECTORY && job->wants_directory)
        job->fd = fd;
    else
        close(fd);
}

static void run_open(struct mr_file_job *job)
{
    const struct mr_target *target = &job->target;
    int fd = open_below(job->root_fd, target->path, OPEN_FLAGS);
    struct stat st;

    job->fd = -1;
    job->is_index = false;
    if (fd < 0) {
        job->found = found_of(-fd);
        return;
    }
    job->found = MR_FILE_MISSING;
    if (fstat(fd, &st) != 0) {
        close(fd);
    } else if (S_ISDIR(st.st_mode) && target->is_directory) {
        open_index(job, fd);
    } else if (S_ISDIR(st.st_mode)) {
        job->found = MR_FILE_REDIRECT;
        close(fd);
    } else if (target->is_directory) {
        close(fd); /* "file/" names nothing */
    } else {
        (void)accept_file(job, fd);
    }
}

static void run_read(struct mr_file_job *job)
{
    struct stat st;

    job->got = 0;
    job->error = 0;
    while (job->got < job->size) {
        ssize_t got = pread(job->fd, job->data + job->got, job->size - job->got,
                            (off_t)(job->offset + job->got));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            job->error = errno;
        if (got <= 0)
            break;
        job->got += (size_t)got;
    }
    if (job->wants_version && fstat(job->fd, &st) == 0)
        job->version = version_of(&st);
}

int64_t mr_file_job_run(void *argument)
{
    struct mr_file_job *job = argument;

    switch (job->kind) {
    case MR_FILE_JOB_OPEN:
        run_open(job);
        break;
    case MR_FILE_JOB_READ:
        run_read(job);
        break;
    case MR_FILE_JOB_LIST:
        job->error = mr_listing_write(job->fd, job->root_fd, job->target.path, (char *)job->data,
                                      job->size, &job->got);
        job->fd = -1;
        break;
    case MR_FILE_JOB_CLOSE:
        close(job->fd);
        job->fd = -1;
        break;
    case MR_FILE_JOB_CLOCK:
        job->clock_ns = mr_file_clock_ns();
        break;
    }
    return 0;
}

int mr_file_open_root(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 ? fd : -errno;
}

int64_t mr_file_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}
