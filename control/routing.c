/* control/routing.c - see routing.h. */
#include "control/routing.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "control/secret_file.h"

enum {
    DIGITS = 2 * MR_ROUTING_KEY,
    ROOM = DIGITS + 3 /* a line's end, and what is too much */
};

static uint8_t digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* `size` bytes of a file: digits, and nothing behind them but a line's end. */
static bool parse(const char *text, size_t size, uint8_t *key)
{
    size_t digits = 0;

    while (digits < size && isxdigit((unsigned char)text[digits]))
        digits++;
    size_t rest = size - digits;
    bool is_end = rest == 0 || (rest == 1 && text[digits] == '\n') ||
                  (rest == 2 && memcmp(text + digits, "\r\n", 2) == 0);
    if (digits != DIGITS || !is_end)
        return false;
    for (size_t i = 0; i < MR_ROUTING_KEY; i++)
        key[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    return true;
}

static int read_key(const char *path, uint8_t key[MR_ROUTING_KEY], struct mr_fault *fault)
{
    char text[ROOM];
    struct stat info;
    int fd = mr_secret_file_open(path, "keys", &info, fault);

    if (fd < 0)
        return fd;
    ssize_t size = read(fd, text, sizeof(text));
    int result = size < 0 ? mr_fault_set(fault, errno, "cannot read %s: %s; try again", path,
                                         strerror(errno))
                          : 0;
    close(fd);
    if (result == 0 && !parse(text, (size_t)size, key))
        result = mr_fault_set(fault, EINVAL, "%s: no key; give 32 hexadecimal digits", path);
    explicit_bzero(text, sizeof(text));
    return result;
}

bool mr_routing_key_read(const char *path, uint8_t key[MR_ROUTING_KEY], struct mr_fault *fault)
{
    int result = path[0] == '\0' ? 0 : read_key(path, key, fault);

    return result == 0 || mr_fault_add_context(fault, result, "routing.key_file") == 0;
}
