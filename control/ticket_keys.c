#include "control/ticket_keys.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/secret_file.h"

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

static int check_size(const struct stat *info, const char *path, struct mr_fault *fault)
{
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
    struct stat info;
    int fd = mr_secret_file_open(path, "keys", &info, fault);

    if (fd < 0)
        return fd;
    int result = check_size(&info, path, fault);
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

/* With the lock held. */
static int renew_locked(struct mr_ticket_keys *keys, const char *path, uint32_t kept,
                        int64_t since_s, struct mr_fault *fault)
{
    struct mr_ticket_keys fresh = {0};
    struct stat info;
    int result = 0;

    if (stat(path, &info) == 0) {
        if (info.st_mtim.tv_sec >= since_s)
            return 0; /* another process was faster */
        result = mr_ticket_keys_read(&fresh, path, fault);
    }
    if (result == 0)
        result = mr_ticket_keys_rotate(&fresh, kept, fault);
    if (result == 0)
        result =
            mr_secret_file_write(path, fresh.key, (size_t)fresh.count * MR_TICKET_KEYS_SIZE, fault);
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
    struct stat info;

    if (stat(path, &info) == 0 && info.st_mtim.tv_sec >= since_s)
        return 0;
    int lock = mr_secret_file_lock(path, false, fault);
    if (lock < 0)
        return lock == -EAGAIN ? 0 : lock;
    int result = renew_locked(keys, path, kept, since_s, fault);
    close(lock);
    return result;
}
