/* control/token_file.c - see token_file.h. */
#include "control/token_file.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "control/secret_file.h"

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

static int check_size(const struct stat *info, const char *path, struct mr_fault *fault)
{
    if ((size_t)info->st_size != FILE_BYTES)
        return mr_fault_set(fault, EINVAL,
                            "%s: %lld bytes are no secrets of tokens, those are %zu; remove it, "
                            "or name another",
                            path, (long long)info->st_size, FILE_BYTES);
    return 0;
}

/* -ENOENT: it is not there. */
static int read_file(struct mr_token_file *file, struct mr_token_secrets *out,
                     struct mr_fault *fault)
{
    uint8_t bytes[FILE_BYTES];
    struct stat info;
    int fd = mr_secret_file_open(file->path, "secrets", &info, fault);

    if (fd < 0)
        return fd;
    int result = check_size(&info, file->path, fault);
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
                      struct mr_fault *fault)
{
    uint8_t bytes[FILE_BYTES];

    encode(secrets, bytes);
    int result = mr_secret_file_write(file->path, bytes, sizeof(bytes), fault);
    explicit_bzero(bytes, sizeof(bytes));
    return result;
}

static int make_file(struct mr_token_file *file, struct mr_token_secrets *out,
                     struct mr_fault *fault)
{
    struct mr_token_secrets fresh = {.writing = 0};
    int fd = mr_secret_file_lock(file->path, true, fault);

    if (fd < 0)
        return fd;
    int result = read_file(file, out, fault);
    if (result == -ENOENT) { /* nobody was faster */
        result = draw(fresh.reset, fault);
        if (result == 0)
            result = write_file(file, &fresh, fault);
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
    int fd = mr_secret_file_lock(file->path, false, fault);

    if (fd < 0)
        return fd == -EAGAIN ? 0 : fd;
    int result = read_file(file, out, fault);
    if (result == 0 && file->written_s < since_s) { /* nobody was faster */
        out->writing = (uint8_t)((out->writing + 1u) % MR_TOKEN_KEYS);
        out->present |= (uint8_t)(1u << out->writing);
        result = draw(out->token[out->writing], fault);
        if (result == 0)
            result = write_file(file, out, fault);
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
