/* tools/get_input.c - what `millrace get` reads: URLs from the command line and from a list, the
 * ticket of an earlier connection. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http3/priority.h"
#include "tools/get_internal.h"

enum {
    LINE_MAX_BYTES = 2048,
    DESCRIPTORS_BESIDE = 64, /* of the program itself */
};

/* ------------------------------------------------------------------ URLs */

/* Make room for `count` files.  A file of each is open from the beginning. */
static bool make_room(struct mr_get *get, uint32_t count, struct mr_fault *fault)
{
    struct rlimit files;

    get->urls = calloc(count, sizeof(*get->urls));
    get->outputs = calloc(count, sizeof(*get->outputs));
    get->fetches = calloc(count, sizeof(*get->fetches));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < count + DESCRIPTORS_BESIDE) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (get->urls != NULL && get->outputs != NULL && get->fetches != NULL)
        return true;
    mr_fault_set(fault, ENOMEM, "not enough memory for %u files", count);
    return false;
}

static bool add_url(struct mr_get *get, const char *text, struct mr_fault *fault)
{
    struct mr_url *url = &get->urls[get->count];

    if (get->count == MR_FETCHES_MAX) {
        mr_fault_set(fault, E2BIG, "more than %d URLs; fetch them with several commands",
                     MR_FETCHES_MAX);
        return false;
    }
    if (!mr_url_parse(text, url, fault))
        return false;
    if (!mr_url_same_server(url, &get->urls[0])) {
        mr_fault_set(fault, EINVAL,
                     "%.100s is on another server than the first URL; fetch it with a command "
                     "of its own",
                     text);
        return false;
    }
    get->outputs[get->count].fd = -1;
    get->count++;
    return true;
}

/* One URL a line; empty lines are nothing. */
static bool add_list(struct mr_get *get, FILE *list, struct mr_fault *fault)
{
    char line[LINE_MAX_BYTES];

    while (fgets(line, sizeof(line), list) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0' && !add_url(get, line, fault))
            return false;
    }
    return true;
}

static bool read_list(struct mr_get *get, struct mr_fault *fault)
{
    FILE *list = fopen(get->urls_path, "re");

    if (list == NULL) {
        mr_fault_set(fault, errno, "cannot read --urls %.100s: %s; name a file with a URL a line",
                     get->urls_path, strerror(errno));
        return false;
    }
    bool is_good = add_list(get, list, fault);
    fclose(list);
    return is_good;
}

bool mr_get_take_urls(struct mr_get *get, const struct mr_command_line *line,
                      struct mr_fault *fault)
{
    if (!make_room(get, get->urls_path != NULL ? MR_FETCHES_MAX : MR_POSITIONAL_MAX, fault))
        return false;
    for (uint32_t i = 0; i < line->positional_count; i++) {
        if (!add_url(get, line->positional[i], fault))
            return false;
    }
    if (get->urls_path != NULL && !read_list(get, fault))
        return false;
    if (get->count == 0)
        mr_fault_set(fault, EINVAL, "no URL; name one, like https://198.18.0.1/file");
    return get->count > 0;
}

void mr_get_free_urls(struct mr_get *get)
{
    free(get->urls);
    free(get->outputs);
    free(get->fetches);
}

/* ------------------------------------------------------------------ priorities */

/* "u=N", "i" or both with a comma, up to `end`.  Unlike a server (RFC 9218, Section 4), which
 * ignores what it does not know, this says so. */
static bool read_priority(const char *at, const char *end, struct mr_priority *priority)
{
    bool goes_on = true;

    *priority = mr_priority_default();
    while (goes_on) {
        at += strspn(at, " ");
        if (end - at >= 3 && at[0] == 'u' && at[1] == '=' && at[2] >= '0' && at[2] <= '7') {
            priority->urgency = (uint8_t)(at[2] - '0');
            at += 3;
        } else if (end - at >= 1 && at[0] == 'i') {
            priority->is_incremental = true;
            at++;
        } else {
            return false;
        }
        at += strspn(at, " ");
        goes_on = at < end && *at == ',';
        at += goes_on;
    }
    return at >= end;
}

bool mr_get_take_priorities(struct mr_get *get, struct mr_fault *fault)
{
    const char *at = get->priorities;
    struct mr_priority priority = mr_priority_default();

    for (uint32_t i = 0; i < get->count; i++) {
        const char *end = at == NULL ? NULL : at + strcspn(at, ";");

        if (at != NULL && !read_priority(at, end, &priority)) {
            mr_fault_set(fault, EINVAL,
                         "--priority: \"%.*s\" is no priority; u=0 to u=7, i or both, like u=1,i",
                         (int)(end - at), at);
            return false;
        }
        at = at == NULL || *end == '\0' ? NULL : end + 1;
        get->fetches[i].priority = priority;
    }
    if (at != NULL)
        mr_fault_set(fault, EINVAL, "--priority: more priorities than URLs; name one for each");
    return at == NULL;
}

/* ------------------------------------------------------------------ the ticket */

/* Before anything is fetched: what could not be kept afterwards would be lost. */
static bool may_create(const char *path, struct mr_fault *fault)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    int size = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);

    snprintf(folder, sizeof(folder), "%.*s", size, slash == NULL ? "." : path);
    if (access(folder, W_OK | X_OK) == 0)
        return true;
    mr_fault_set(fault, errno,
                 "cannot write --session %.100s: %s; make its directory, or name another", path,
                 strerror(errno));
    return false;
}

bool mr_get_read_ticket(struct mr_get *get, struct mr_fault *fault)
{
    struct mr_connect_options *connect = &get->fetcher.connect;

    if (get->ticket_path == NULL)
        return true;
    get->fetcher.ticket = get->new_ticket;
    FILE *file = fopen(get->ticket_path, "re");
    if (file == NULL && errno == ENOENT)
        return may_create(get->ticket_path, fault); /* the first connection */
    size_t size = file == NULL ? 0 : fread(get->old_ticket, 1, sizeof(get->old_ticket), file);
    bool is_good = file != NULL && !ferror(file);
    if (!is_good)
        mr_fault_set(fault, errno, "cannot read --session %.100s: %s", get->ticket_path,
                     strerror(errno));
    if (file != NULL)
        fclose(file);
    connect->ticket = size > 0 ? get->old_ticket : NULL;
    connect->ticket_size = size;
    return is_good;
}

/* A ticket is a secret: nobody else may read the file. */
bool mr_get_write_ticket(const struct mr_get *get, struct mr_fault *fault)
{
    size_t size = get->fetcher.ticket_size;

    if (get->ticket_path == NULL || size == 0)
        return true;
    int fd = open(get->ticket_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_good = fd >= 0 && write(fd, get->new_ticket, size) == (ssize_t)size;
    if (!is_good)
        mr_fault_set(fault, errno, "cannot write --session %.100s: %s", get->ticket_path,
                     strerror(errno));
    if (fd >= 0)
        close(fd);
    return is_good;
}
