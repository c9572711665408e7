/* control/routing.c - see routing.h. */
#include "control/routing.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OTHERS = S_IRWXO, /* who may do nothing with a secret */
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

bool mr_routing_key_read(const char *path, uint8_t key[MR_ROUTING_KEY], struct mr_fault *fault)
{
    char text[ROOM];
    struct stat info;

    if (path[0] == '\0')
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is_open_to_all =
        fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & OTHERS) != 0;
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));
    int error = errno;

    if (fd >= 0)
        close(fd);
    if (size < 0) {
        mr_fault_set(fault, error, "routing.key_file %s: %s; name a file that this user may read",
                     path, strerror(error));
        return false;
    }
    if (is_open_to_all) {
        explicit_bzero(text, sizeof(text));
        mr_fault_set(fault, EPERM,
                     "routing.key_file %s: everybody may read this key; chmod 600, or name another",
                     path);
        return false;
    }
    bool is_key = parse(text, (size_t)size, key);
    explicit_bzero(text, sizeof(text));
    if (!is_key)
        mr_fault_set(fault, EINVAL, "routing.key_file %s: no key; give 32 hexadecimal digits",
                     path);
    return is_key;
}
