/*
 * fuzz/fuzz_url.c - property test of tools/url.h.
 *
 * The input is a URL: as it is, and in an alphabet of which more are right.  Properties:
 *   1. a URL is taken, or refused with a reason;
 *   2. host, authority and path of one that is taken have only what a request may carry, and end
 *      inside their fields;
 *   3. encoding adds nothing: path and text are the same, decoded;
 *   4. put together again it is the same URL, of the same server;
 *   5. of a URL of known parts, what is too large is refused and nothing else, and the file has the
 *      path's last part for a name if that has room;
 *   6. the file's name leads to no other folder, is not empty, and has no control characters.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tools/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    TEXT_MAX = 2048
};

#define SCHEME "https://"

static int digit_of(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));

    return at == NULL ? -1 : (int)(at - digits);
}

/* `size` bytes of text, decoded; returns how many those are. */
static size_t decode(const char *text, size_t size, char out[TEXT_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++) {
        out[count] = text[i];
        if (text[i] == '%' && i + 2 < size && digit_of(text[i + 1]) >= 0 &&
            digit_of(text[i + 2]) >= 0) {
            out[count] = (char)(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2]));
            i += 2;
        }
        count++;
    }
    return count;
}

static void check_host(const struct mr_url *url)
{
    char authority[sizeof(url->authority)];
    bool is_v6 = strchr(url->host, ':') != NULL;
    size_t size = strnlen(url->host, sizeof(url->host));

    MR_ASSERT(size > 0 && size < sizeof(url->host));
    for (const char *c = url->host; *c != '\0'; c++)
        MR_ASSERT(is_v6 ? *c == '.' || *c == ':' || digit_of(*c) >= 0
                        : isalnum((unsigned char)*c) || strchr(".-_", *c) != NULL);
    MR_ASSERT(url->port > 0);
    int used = snprintf(authority, sizeof(authority), "%s%s%s", is_v6 ? "[" : "", url->host,
                        is_v6 ? "]" : "");
    if (url->port != 443)
        snprintf(authority + used, sizeof(authority) - (size_t)used, ":%d", url->port);
    MR_ASSERT(strcmp(authority, url->authority) == 0);
}

static void check_path(const struct mr_url *url, const char *text)
{
    static char ours[TEXT_MAX], theirs[TEXT_MAX];
    const char *begin = text + strlen(SCHEME) + strcspn(text + strlen(SCHEME), "/?#");
    size_t size = strnlen(url->path, sizeof(url->path));

    MR_ASSERT(size > 0 && size < sizeof(url->path) && url->path[0] == '/');
    for (const char *c = url->path; *c != '\0'; c++)
        MR_ASSERT(*c > ' ' && *c < 0x7f && strchr("\"<>\\^`{|}#", *c) == NULL);
    bool is_added = *begin != '/';
    size = decode(url->path + is_added, size - is_added, ours);
    MR_ASSERT(size == decode(begin, strcspn(begin, "#"), theirs));
    MR_ASSERT(memcmp(ours, theirs, size) == 0);
}

static void check_name(const struct mr_url *url)
{
    char name[MR_URL_NAME_MAX];

    memset(name, 'x', sizeof(name));
    mr_url_file_name(url, name);
    size_t size = strnlen(name, sizeof(name));
    MR_ASSERT(size > 0 && size < sizeof(name));
    MR_ASSERT(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
    for (size_t i = 0; i < size; i++)
        MR_ASSERT((unsigned char)name[i] >= ' ' && name[i] != '/' && name[i] != 0x7f);
}

static void check_again(const struct mr_url *url)
{
    char text[sizeof(SCHEME) + sizeof(url->authority) + sizeof(url->path)];
    struct mr_fault fault = {0};
    struct mr_url again;

    snprintf(text, sizeof(text), SCHEME "%s%s", url->authority, url->path);
    MR_ASSERT(mr_url_parse(text, &again, &fault));
    MR_ASSERT(memcmp(&again, url, sizeof(again)) == 0);
    for (char *c = again.host; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
    MR_ASSERT(mr_url_same_server(url, &again));
    again.port ^= 1;
    MR_ASSERT(!mr_url_same_server(url, &again));
}

/* In memory of exactly that size, so that a read past its end is seen. */
static void parse(const char *text)
{
    char *exact = strdup(text);
    struct mr_fault fault = {0};
    struct mr_url url;

    MR_ASSERT(exact != NULL);
    memset(&url, 0x5a, sizeof(url));
    bool is_good = mr_url_parse(exact, &url, &fault);
    MR_ASSERT(is_good == (fault.text[0] == '\0'));
    if (is_good) {
        check_host(&url);
        check_path(&url, exact);
        check_name(&url);
        check_again(&url);
    }
    free(exact);
}

/* A host, a port, a path of a folder, plain bytes and blanks: each around its limit. */
static void parse_sized(const uint8_t d[7])
{
    struct mr_fault fault = {0};
    struct mr_url url;
    char text[TEXT_MAX];
    char host[MR_URL_HOST_MAX + 8];
    char name[400];
    char saved[MR_URL_NAME_MAX];
    size_t host_size = d[0] % 4 == 0 ? MR_URL_HOST_MAX - 4 + d[1] % 8u : 1 + d[1] % 8u;
    unsigned port = d[2] % 4 == 0 ? 65533 + d[3] % 6u : d[3];
    size_t folder_size = d[0] % 3 == 0 ? 0 : d[4] % 3 == 0 ? 550 + d[1] % 64u : d[1];
    size_t plain = d[4] % 2 == 0 ? d[5] : 245u + d[5] % 12 - d[6] % 100;
    size_t blanks = d[6] % 100;

    memset(host, 'h', host_size);
    host[host_size] = '\0';
    memset(name, 'n', plain);
    memset(name + plain, ' ', blanks);
    name[plain + blanks] = '\0';
    snprintf(text, sizeof(text), SCHEME "%s%s:%u/%0*d/%s", d[2] % 16 == 1 ? "me@" : "", host, port,
             (int)folder_size, 0, name);
    folder_size = folder_size == 0 ? 1 : folder_size; /* of one digit at least */
    bool is_good = mr_url_parse(text, &url, &fault);
    MR_ASSERT(is_good ==
              (d[2] % 16 != 1 && host_size < MR_URL_HOST_MAX && port > 0 && port <= UINT16_MAX &&
               2 + folder_size + plain + 3 * blanks < MR_URL_PATH_MAX));
    if (!is_good)
        return;
    MR_ASSERT(strcmp(url.host, host) == 0 && url.port == port);
    mr_url_file_name(&url, saved);
    size_t size = plain + blanks;
    MR_ASSERT(strcmp(saved, size > 0 && size < MR_URL_NAME_MAX ? name : "index.html") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char alphabet[] = "aaabcdA019.-_xyz:@[]/./%%%2eF0#?& \"\x80\n";
    static const char *const begins[] = {"a.test", "[fd00::1]", "a.test:8443", "", "[", "a:"};
    char text[TEXT_MAX];
    char rest[TEXT_MAX - 32];

    size = size < sizeof(rest) ? size : sizeof(rest) - 1;
    memcpy(rest, data, size);
    rest[size] = '\0';
    parse(rest);
    snprintf(text, sizeof(text), SCHEME "%s", rest);
    parse(text);
    for (size_t i = 0; i + 7 <= size && i < 70; i += 7)
        parse_sized(data + i);
    for (size_t i = 0; i < size; i++)
        rest[i] = alphabet[data[i] % (sizeof(alphabet) - 1)];
    for (size_t begin = 0; begin < size; begin += 7 + begin) { /* several lengths of one input */
        size_t length = begin == 0 ? size : 1 + data[begin] % 64u;
        snprintf(text, sizeof(text), SCHEME "%.*s", (int)length, rest + begin);
        parse(text);
        snprintf(text, sizeof(text), SCHEME "%s/%.*s", begins[data[begin] % 6], (int)length,
                 rest + begin);
        parse(text);
    }
    return 0;
}
