/* control/token_file.c - see token_file.h. */
#include "control/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

#define PATH_ROOM  (PATH_MAX + 8)
#define FILE_MODE  0600
#define MODE_MASK  0777
#define MAGIC      0x6b /* "k" */
#define VERSION    1
#define HEAD_BYTES 4
#define FILE_BYTES                                                                                 \
    (HEAD_BYTES + sizeof(((struct mr_token_secrets *)0)->reset) +                                  \
     sizeof(((struct mr_token_secrets *)0)->token))

/* ------------------------------------------------------------------ bytes */

static void encode(const struct mr_token_secrets *secrets, uint8_t *bytes)
{
    bytes[0] = MAGIC;
    bytes[1] = VERSION;
    bytes[2] = secrets->writing;
    bytes[3] = secrets->present;
    memcpy(bytes + HEAD_BYTES, secrets->reset, sizeof(secrets->reset));
    memcpy(bytes + HEAD_BYTES + sizeof(secrets->reset), secrets->token, sizeof(secrets->token));
}

/* False: these are no secrets. */
static bool decode(const uint8_t *bytes, struct mr_token_secrets *secrets)
{
    if (bytes[0] != MAGIC || bytes[1] != VERSION || bytes[2] >= MR_TOKEN_KEYS ||
        bytes[3] >= 1u << MR_TOKEN_KEYS || (bytes[2] != 0 && (bytes[3] & 1u << bytes[2]) == 0))
        return false;
    secrets->writing = bytes[2];
    secrets->present = bytes[3];
    memcpy(secrets->reset, bytes + HEAD_BYTES, sizeof(secrets->reset));
    memcpy(secrets->token, bytes + HEAD_BYTES + sizeof(secrets->reset), sizeof(secrets->token));
    return true;
}

static int draw(uint8_t *secret, struct mr_fault *fault)
{
    if (getrandom(secret, MR_STATIC_KEY, 0) == MR_STATIC_KEY)
        return 0;
    return mr_fault_set(fault, errno, "no random bytes for a secret: %s; try again",
                        strerror(errno));
}

/* ------------------------------------------------------------------ reading */

static int check_file(int fd, const char *path, struct stat *info, struct mr_fault *fault)
{
    if (fstat(fd, info) != 0 || !S_ISREG(info->st_mode))
        return mr_fault_set(fault, EINVAL, "%s: no regular file; check the path", path);
    if ((info->st_mode & MR_TOKEN_FILE_MODES) != 0)
        return mr_fault_set(fault, EPERM,
                            "%s: everybody may use these secrets; chmod 600, remove it, or name "
                            "another",
                            path);
    if ((size_t)info->st_size != FILE_BYTES)
        return mr_fault_set(fault, EINVAL,
                            "%s: %lld bytes are no secrets of tokens, those are %zu; remove it, "
                            "or name another",
                            path, (long long)info->st_size, FILE_BYTES);
    return 0;
}

/* -ENOENT without words: it is not there. */
static int read_file(struct mr_token_file *file, struct mr_token_secrets *out,
                     struct mr_fault *fault)
{
    uint8_t bytes[FILE_BYTES];
    int fd = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat info;

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0)
        return mr_fault_set(fault, errno, "cannot read %s: %s; check the path", file->path,
                            strerror(errno));
    int result = check_file(fd, file->path, &info, fault);
    if (result == 0 && read(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
        result = mr_fault_set(fault, EIO, "cannot read %s; try again", file->path);
    close(fd);
    if (result == 0 && !decode(bytes, out))
        result = mr_fault_set(fault, EINVAL,
                              "%s: no secrets of tokens, or of another version; remove it, or name "
                              "another",
                              file->path);
    explicit_bzero(bytes, sizeof(bytes));
    if (result != 0)
        return result;
    file->device = (uint64_t)info.st_dev;
    file->inode = (uint64_t)info.st_ino;
    file->written_s = info.st_mtim.tv_sec;
    return 0;
}

/* ------------------------------------------------------------------ writing, with the lock held */

static int write_file(const struct mr_token_file *file, const struct mr_token_secrets *secrets,
                      mode_t mode, struct mr_fault *fault)
{
    uint8_t bytes[FILE_BYTES];
    char fresh[PATH_ROOM];
    int error = 0;

    snprintf(fresh, sizeof(fresh), "%s.new", file->path);
    encode(secrets, bytes);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0 || fchmod(fd, mode) != 0 ||
        write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || fsync(fd) != 0)
        error = errno;
    explicit_bzero(bytes, sizeof(bytes));
    if (fd >= 0)
        close(fd);
    if (error == 0 && rename(fresh, file->path) != 0)
        error = errno;
    if (error == 0)
        return 0;
    unlink(fresh);
    return mr_fault_set(fault, error, "cannot write %s: %s; let this user write its folder",
                        file->path, strerror(error));
}

/* The lock's descriptor, or -errno; -EAGAIN without words: another process has it. */
static int lock(const struct mr_token_file *file, bool waits, struct mr_fault *fault)
{
    char name[PATH_ROOM];

    if (strlen(file->path) >= PATH_MAX)
        return mr_fault_set(fault, ENAMETOOLONG, "%.40s...: the path is too long; shorten it",
                            file->path);
    snprintf(name, sizeof(name), "%s.lock", file->path);
    int fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return mr_fault_set(fault, errno, "cannot write %s: %s; let this user write its folder",
                            name, strerror(errno));
    if (flock(fd, LOCK_EX | (waits ? 0 : LOCK_NB)) == 0)
        return fd;
    close(fd);
    return -EAGAIN;
}

static int make_file(struct mr_token_file *file, struct mr_token_secrets *out,
                     struct mr_fault *fault)
{
    struct mr_token_secrets fresh = {.writing = 0};
    int fd = lock(file, true, fault);

    if (fd < 0)
        return fd;
    int result = read_file(file, out, fault);
    if (result == -ENOENT) { /* nobody was faster */
        result = draw(fresh.reset, fault);
        if (result == 0)
            result = write_file(file, &fresh, FILE_MODE, fault);
        if (result == 0)
            result = read_file(file, out, fault);
    }
    close(fd);
    explicit_bzero(&fresh, sizeof(fresh));
    return result;
}

int mr_token_file_open(struct mr_token_file *file, const char *path, struct mr_token_secrets *out,
                       struct mr_fault *fault)
{
    *file = (struct mr_token_file){.path = path};
    *out = (struct mr_token_secrets){.writing = 0};
    int result = read_file(file, out, fault);
    return result == -ENOENT ? make_file(file, out, fault) : result;
}

/* ------------------------------------------------------------------ rotation */

/* A new secret takes the place of the oldest. */
static int renew(struct mr_token_file *file, struct mr_token_secrets *out, int64_t since_s,
                 struct mr_fault *fault)
{
    mode_t mode = FILE_MODE;
    struct stat info;
    int fd = lock(file, false, fault);

    if (fd < 0)
        return fd == -EAGAIN ? 0 : fd;
    int result = read_file(file, out, fault);
    if (result == 0 && file->written_s < since_s) { /* nobody was faster */
        if (stat(file->path, &info) == 0)
            mode = info.st_mode & MODE_MASK;
        out->writing = (uint8_t)((out->writing + 1u) % MR_TOKEN_KEYS);
        out->present |= (uint8_t)(1u << out->writing);
        result = draw(out->token[out->writing], fault);
        if (result == 0)
            result = write_file(file, out, mode, fault);
        if (result == 0)
            result = read_file(file, out, fault);
    }
    close(fd);
    if (result == -ENOENT)
        result = mr_fault_set(fault, ENOENT, "%s: is gone; what it held goes on", file->path);
    return result == 0 ? 1 : result;
}

int mr_token_file_look(struct mr_token_file *file, struct mr_token_secrets *out, int64_t since_s,
                       struct mr_fault *fault)
{
    struct stat info;

    if (stat(file->path, &info) != 0)
        return mr_fault_set(fault, errno, "cannot look at %s: %s; what it held goes on", file->path,
                            strerror(errno));
    bool is_other = (uint64_t)info.st_dev != file->device || (uint64_t)info.st_ino != file->inode ||
                    info.st_mtim.tv_sec != file->written_s;
    if (info.st_mtim.tv_sec < since_s)
        return renew(file, out, since_s, fault);
    if (!is_other)
        return 0;
    int result = read_file(file, out, fault);
    return result == 0 ? 1 : result;
}
