/*
 * fuzz/fuzz_key_files.c - property test of control/token_file.h and control/ticket_keys.h.
 *
 * The input is what is in a file: whatever another program left there.  Properties:
 *   1. a file is taken whole or refused with a reason, and what is refused changes nothing;
 *   2. ticket keys are a whole number of keys, at most MR_TICKET_KEYS_MAX, in the file's order, and
 *      each is found by its name, the first if two have it;
 *   3. token secrets are of this kind and version, and the one that writes is there;
 *   4. a file that is taken is taken again, with the same in it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/ticket_keys.h"
#include "control/token_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAGIC = 0x6b, /* how a file of token secrets begins */
    VERSION = 1,
    TOKEN_HEAD = 4,
    TOKEN_FILE = TOKEN_HEAD + sizeof(((struct mr_token_secrets *)0)->reset) +
                 sizeof(((struct mr_token_secrets *)0)->token),
};

static char path[64];

/* A file in memory with these bytes; its descriptor. */
static int make_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("keys", MFD_CLOEXEC);

    MR_ASSERT(fd >= 0 && fchmod(fd, 0600) == 0);
    MR_ASSERT(size == 0 || write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return fd;
}

static void check_ticket_keys(const uint8_t *data, size_t size)
{
    int fd = make_file(data, size);
    struct mr_ticket_keys keys;
    struct mr_ticket_keys before;
    struct mr_fault fault = {0};

    memset(&keys, 0x5a, sizeof(keys));
    before = keys;
    int result = mr_ticket_keys_read(&keys, path, &fault);
    if (result != 0) {
        MR_ASSERT(result < 0 && fault.text[0] != '\0');
        MR_ASSERT(memcmp(&keys, &before, sizeof(keys)) == 0);
    } else {
        MR_ASSERT(keys.count >= 1 && keys.count <= MR_TICKET_KEYS_MAX);
        MR_ASSERT((size_t)keys.count * MR_TICKET_KEYS_SIZE == size);
        MR_ASSERT(memcmp(keys.key, data, size) == 0);
        for (uint32_t i = 0; i < keys.count; i++) {
            uint32_t found = mr_ticket_keys_find(&keys, keys.key[i]);
            MR_ASSERT(found <= i && memcmp(keys.key[found], keys.key[i], MR_TICKET_KEY_NAME) == 0);
        }
    }
    close(fd);
}

static void check_token_file(const uint8_t *data, size_t size)
{
    int fd = make_file(data, size);
    struct mr_token_file file;
    struct mr_token_secrets secrets = {0};
    struct mr_token_secrets again = {0};
    struct mr_fault fault = {0};
    int result = mr_token_file_open(&file, path, &secrets, &fault);

    if (result != 0) {
        MR_ASSERT(result < 0 && fault.text[0] != '\0');
    } else {
        MR_ASSERT(size == TOKEN_FILE && data[0] == MAGIC && data[1] == VERSION);
        MR_ASSERT(secrets.writing < MR_TOKEN_KEYS);
        MR_ASSERT(secrets.present < 1u << MR_TOKEN_KEYS);
        MR_ASSERT(secrets.writing == 0 || (secrets.present >> secrets.writing & 1) == 1);
        MR_ASSERT(memcmp(secrets.reset, data + TOKEN_HEAD, sizeof(secrets.reset)) == 0);
        MR_ASSERT(mr_token_file_open(&file, path, &again, &fault) == 0);
        MR_ASSERT(memcmp(&again, &secrets, sizeof(secrets)) == 0);
        MR_ASSERT(mr_token_file_look(&file, &again, INT64_MIN, &fault) == 0);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t right[TOKEN_FILE] = {0};

    check_ticket_keys(data, size);
    check_ticket_keys(data, size - size % MR_TICKET_KEYS_SIZE);
    check_token_file(data, size);
    if (size > 0)
        memcpy(right, data, MR_MIN(size, sizeof(right)));
    check_token_file(right, sizeof(right));
    right[0] = MAGIC;
    check_token_file(right, sizeof(right));
    right[1] = VERSION; /* what follows is looked at */
    check_token_file(right, sizeof(right));
    right[2] %= MR_TOKEN_KEYS;
    right[3] %= 1u << MR_TOKEN_KEYS;
    check_token_file(right, sizeof(right));
    return 0;
}
