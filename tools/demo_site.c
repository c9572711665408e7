/* tools/demo_site.c - see demo_site.h: finding, mapping and checking files. */
#include "tools/demo_site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tools/demo_site_internal.h"
#include "tools/url.h"

#define DEPTH_MAX 32 /* of folders in folders */

/* ------------------------------------------------------------------ one file */

/* "/a b" to "/a%20b", appended to `to`; false: too long for a request. */
static bool encode(char to[MR_URL_PATH_MAX], const char *from)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    size_t size = 0;

    for (; *from != '\0'; from++) {
        bool is_plain = strchr(plain, *from) != NULL;

        if (size + 4 > MR_URL_PATH_MAX)
            return false;
        if (is_plain)
            to[size++] = *from;
        else
            size += (size_t)snprintf(to + size, 4, "%%%02X", (unsigned char)*from);
    }
    to[size] = '\0';
    return true;
}

static bool has_room(const struct mr_site *site, uint64_t size)
{
    uint64_t mapped = 0;

    for (uint32_t i = 0; i < site->count; i++)
        mapped += site->files[i].is_pattern ? 0 : site->files[i].size;
    return site->count < MR_SITE_FILES_MAX && mapped + size <= MR_SITE_MAPPED_MAX;
}

static bool map_file(struct mr_site_file *file, int fd)
{
    if (file->size == 0)
        return true;
    file->bytes = mmap(NULL, file->size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (file->bytes == MAP_FAILED)
        file->bytes = NULL;
    return file->bytes != NULL;
}

/* Take the open file `fd`, at `path` below the root, in; false: it is left out. */
static bool take_file(struct mr_site *site, int fd, const char *path, uint64_t size)
{
    struct mr_site_file file = {.size = size, .is_pattern = strcmp(path, MR_SITE_PATTERN) == 0};
    char encoded[MR_URL_PATH_MAX];

    if (!encode(encoded, path) || !has_room(site, file.is_pattern ? 0 : size))
        return false;
    if (!file.is_pattern && !map_file(&file, fd))
        return false;
    file.path = strdup(encoded);
    if (file.path == NULL)
        return false;
    site->files[site->count++] = file;
    site->bytes += size;
    return true;
}

/* ------------------------------------------------------------------ folders */

static void walk(struct mr_site *site, int folder, const char *path, uint32_t depth);

/* What is called `name` in `folder`. */
static void visit(struct mr_site *site, int folder, const char *path, const char *name,
                  uint32_t depth)
{
    char below[MR_SITE_ROOT_MAX];
    struct stat info;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool is_taken = fd >= 0 && fstat(fd, &info) == 0;

    if (is_taken)
        is_taken = (size_t)snprintf(below, sizeof(below), "%s/%s", path, name) < sizeof(below);
    if (is_taken && S_ISDIR(info.st_mode) && depth < DEPTH_MAX) {
        walk(site, fd, below, depth + 1); /* closes it */
        return;
    }
    if (is_taken)
        is_taken = S_ISREG(info.st_mode) && take_file(site, fd, below, (uint64_t)info.st_size);
    if (!is_taken)
        site->left_out++;
    if (fd >= 0)
        close(fd);
}

static void walk(struct mr_site *site, int folder, const char *path, uint32_t depth)
{
    DIR *list = fdopendir(folder);
    const struct dirent *entry;

    if (list == NULL) {
        close(folder);
        return;
    }
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_name[0] != '.')
            visit(site, folder, path, entry->d_name, depth);
    }
    closedir(list);
}

static int by_falling_size(const void *a, const void *b)
{
    const struct mr_site_file *left = a;
    const struct mr_site_file *right = b;

    if (left->size != right->size)
        return left->size < right->size ? 1 : -1;
    return strcmp(left->path, right->path);
}

static bool has_content(const struct mr_site *site)
{
    for (uint32_t i = 0; i < site->count; i++) {
        if (site->files[i].size > 0)
            return true;
    }
    return false;
}

static void explain_nothing(const struct mr_site *site, const char *root, struct mr_fault *fault)
{
    if (site->left_out > 0)
        mr_fault_set(fault, EFBIG,
                     "%.120s: its files cannot be read or are too large to be compared, %llu GiB "
                     "together at most; name another directory",
                     root, (unsigned long long)(MR_SITE_MAPPED_MAX >> 30));
    else
        mr_fault_set(fault, ENOENT, "%.120s: there is no file in it%s; name another directory",
                     root, site->count > 0 ? " that is not empty" : " to serve");
}

bool mr_site_open(struct mr_site *site, const char *root, struct mr_fault *fault)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        mr_fault_set(fault, errno,
                     "cannot serve %.120s: %s; name a directory that this user may "
                     "read",
                     root, strerror(errno));
        return false;
    }
    snprintf(site->root, sizeof(site->root), "%s", root);
    site->files = calloc(MR_SITE_FILES_MAX, sizeof(*site->files));
    if (site->files == NULL) {
        close(fd);
        mr_fault_set(fault, ENOMEM, "not enough memory for a list of files");
        return false;
    }
    mr_pattern_init(&site->pattern, MR_SITE_SEED);
    walk(site, fd, "", 0);
    if (!has_content(site)) {
        explain_nothing(site, root, fault);
        return false;
    }
    qsort(site->files, site->count, sizeof(*site->files), by_falling_size);
    return true;
}

void mr_site_close(struct mr_site *site)
{
    for (uint32_t i = 0; i < site->count; i++) {
        free(site->files[i].path);
        if (site->files[i].bytes != NULL)
            munmap(site->files[i].bytes, site->files[i].size);
    }
    free(site->files);
    site->files = NULL;
    site->count = 0;
}

bool mr_site_matches(const struct mr_site *site, const struct mr_site_file *file, uint64_t offset,
                     const uint8_t *data, size_t size)
{
    if (offset > file->size || size > file->size - offset)
        return false;
    if (file->is_pattern)
        return mr_pattern_matches(&site->pattern, offset, data, size);
    return memcmp(file->bytes + offset, data, size) == 0;
}
