#include "control/ticket_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/assert.h"
#include "base/compiler.h"

#define PATH_ROOM  512
#define FILE_MODE  0600
#define MODE_MASK  0777
#define FILE_BYTES ((size_t)MR_TICKET_KEYS_MAX * MR_TICKET_KEYS_SIZE)

_Static_assert(sizeof(((struct mr_ticket_keys *)0)->key) == FILE_BYTES, "a file is the keys");

int mr_ticket_keys_rotate(struct mr_ticket_keys *keys, uint32_t kept, struct mr_fault *fault)
{
    uint8_t fresh[MR_TICKET_KEYS_SIZE];

    MR_ASSERT(kept < MR_TICKET_KEYS_MAX);
    if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
        return mr_fault_set(fault, errno, "no random bytes for a key of tickets: %s; try again",
                            strerror(errno));
    uint32_t stay = MR_MIN(keys->count, kept);

    memmove(keys->key[1], keys->key[0], (size_t)stay * MR_TICKET_KEYS_SIZE);
    memcpy(keys->key[0], fresh, sizeof(fresh));
    OPENSSL_cleanse(fresh, sizeof(fresh));
    keys->count = stay + 1;
    if (keys->count < MR_TICKET_KEYS_MAX)
        OPENSSL_cleanse(keys->key[keys->count],
                        (size_t)(MR_TICKET_KEYS_MAX - keys->count) * MR_TICKET_KEYS_SIZE);
    return 0;
}

uint32_t mr_ticket_keys_find(const struct mr_ticket_keys *keys, const uint8_t *name)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (memcmp(keys->key[i], name, MR_TICKET_KEY_NAME) == 0)
            return i;
    return MR_TICKET_KEYS_MAX;
}

void mr_ticket_keys_wipe(struct mr_ticket_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}

/* ------------------------------------------------------------------ the file */

static int check_file(int fd, const char *path, struct stat *info, struct mr_fault *fault)
{
    if (fstat(fd, info) != 0 || !S_ISREG(info->st_mode))
        return mr_fault_set(fault, EINVAL, "%s: no regular file; check the path", path);
    if ((info->st_mode & MR_TICKET_KEY_MODES) != 0)
        return mr_fault_set(fault, EPERM,
                            "%s: everybody may use these keys; chmod 600, remove it, or name "
                            "another",
                            path);
    if (info->st_size == 0 || (size_t)info->st_size > FILE_BYTES ||
        info->st_size % MR_TICKET_KEYS_SIZE != 0)
        return mr_fault_set(fault, EINVAL,
                            "%s: %lld bytes are no keys of tickets, each is %d and there are at "
                            "most %d; remove it",
                            path, (long long)info->st_size, MR_TICKET_KEYS_SIZE,
                            MR_TICKET_KEYS_MAX);
    return 0;
}

int mr_ticket_keys_read(struct mr_ticket_keys *keys, const char *path, struct mr_fault *fault)
{
    struct mr_ticket_keys fresh = {0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat info;

    if (fd < 0)
        return mr_fault_set(fault, errno, "cannot read %s: %s; check the path", path,
                            strerror(errno));
    int result = check_file(fd, path, &info, fault);
    if (result == 0 && read(fd, fresh.key, (size_t)info.st_size) != info.st_size)
        result = mr_fault_set(fault, EIO, "cannot read %s; try again", path);
    close(fd);
    if (result == 0) {
        fresh.count = (uint32_t)(info.st_size / MR_TICKET_KEYS_SIZE);
        *keys = fresh;
    }
    mr_ticket_keys_wipe(&fresh);
    return result;
}

/* Write a new file with the old one's permissions, and give it the name. */
static int write_file(const struct mr_ticket_keys *keys, const char *path, mode_t mode,
                      struct mr_fault *fault)
{
    size_t size = (size_t)keys->count * MR_TICKET_KEYS_SIZE;
    char fresh[PATH_ROOM];
    int error = 0;

    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);

    if (fd < 0 || fchmod(fd, mode) != 0 || write(fd, keys->key, size) != (ssize_t)size ||
        fsync(fd) != 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    if (error == 0 && rename(fresh, path) != 0)
        error = errno;
    if (error == 0)
        return 0;
    unlink(fresh);
    return mr_fault_set(fault, error, "cannot write %s: %s; let this user write its folder", path,
                        strerror(error));
}

/* With the lock held. */
static int renew_locked(struct mr_ticket_keys *keys, const char *path, uint32_t kept,
                        int64_t since_s, struct mr_fault *fault)
{
    struct mr_ticket_keys fresh = {0};
    mode_t mode = FILE_MODE;
    struct stat info;
    int result = 0;

    if (stat(path, &info) == 0) {
        if (info.st_mtim.tv_sec >= since_s)
            return 0; /* another process was faster */
        mode = info.st_mode & MODE_MASK;
        result = mr_ticket_keys_read(&fresh, path, fault);
    }
    if (result == 0)
        result = mr_ticket_keys_rotate(&fresh, kept, fault);
    if (result == 0)
        result = write_file(&fresh, path, mode, fault);
    if (result == 0) {
        *keys = fresh;
        result = 1;
    }
    mr_ticket_keys_wipe(&fresh);
    return result;
}

int mr_ticket_keys_renew(struct mr_ticket_keys *keys, const char *path, uint32_t kept,
                         int64_t since_s, struct mr_fault *fault)
{
    char name[PATH_ROOM];
    struct stat info;

    if (stat(path, &info) == 0 && info.st_mtim.tv_sec >= since_s)
        return 0;
    if (snprintf(name, sizeof(name), "%s.lock", path) >= (int)sizeof(name))
        return mr_fault_set(fault, ENAMETOOLONG, "%.40s...: the path is too long; shorten it",
                            path);
    int lock = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (lock < 0)
        return mr_fault_set(fault, errno, "cannot write %s: %s; let this user write its folder",
                            name, strerror(errno));
    int result =
        flock(lock, LOCK_EX | LOCK_NB) == 0 ? renew_locked(keys, path, kept, since_s, fault) : 0;
    close(lock);
    return result;
}
