/* tools/demo_site_make.c - see demo_site.h: our own directory in the user's cache. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tools/demo_site.h"
#include "tools/demo_site_internal.h"

#define PIECE      ((size_t)1 << 20)
#define SIZE_MIN   ((uint64_t)16 << 20)
#define SPARE      ((uint64_t)256 << 20) /* bytes of the disk that are not ours to fill */
#define SAMPLES    16                    /* places at which a file that is there is checked */
#define SHOW_EVERY 64                    /* pieces */
#define DOC_MAX    ((size_t)1 << 20)     /* larger ones are left out */
#define PATH_BYTES 8192

/* ------------------------------------------------------------------ where */

/* Make a folder and those above it. */
static bool make_folders(const char *path)
{
    char partial[MR_SITE_ROOT_MAX];

    for (const char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        snprintf(partial, sizeof(partial), "%.*s", (int)(at - path), path);
        (void)mkdir(partial, 0755); /* the last one tells */
    }
    return mkdir(path, 0755) == 0 || errno == EEXIST;
}

/* Make a folder, unless it is there.  False: it is not there, or others (`bits` of its mode) may
 * change what is in it: what we write could end up anywhere. */
static bool make_own(const char *path, mode_t bits)
{
    struct stat info;

    (void)mkdir(path, 0777 & ~bits);
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
           (info.st_mode & bits) == 0 && access(path, W_OK | X_OK) == 0;
}

/* `folder` and "site" in it. */
static bool make_site(char root[MR_SITE_ROOT_MAX], const char *folder, mode_t bits)
{
    int size = snprintf(root, MR_SITE_ROOT_MAX, "%s/site", folder);

    return size > 0 && size < MR_SITE_ROOT_MAX && make_own(folder, bits) && make_own(root, bits);
}

/* In the user's cache, at `base`/`below`. */
static bool make_in_cache(char root[MR_SITE_ROOT_MAX], const char *base, const char *below)
{
    char folder[MR_SITE_ROOT_MAX];

    if (base == NULL || base[0] != '/')
        return false;
    int size = snprintf(folder, sizeof(folder), "%s%s", base, below);
    return size > 0 && (size_t)size < sizeof(folder) && make_folders(folder) &&
           make_site(root, folder, S_IWGRP | S_IWOTH);
}

/* The first of the usual places that is ours and can be written.  The last is in a folder where
 * anybody may have put anything under the name. */
static bool choose_root(char root[MR_SITE_ROOT_MAX], struct mr_fault *fault)
{
    const char *temporary = getenv("TMPDIR");
    char folder[MR_SITE_ROOT_MAX];

    if (make_in_cache(root, getenv("XDG_CACHE_HOME"), "/millrace") ||
        make_in_cache(root, getenv("HOME"), "/.cache/millrace"))
        return true;
    snprintf(folder, sizeof(folder), "%s/millrace-%u",
             temporary != NULL && temporary[0] == '/' ? temporary : "/tmp", (unsigned)geteuid());
    if (make_site(root, folder, S_IRWXG | S_IRWXO))
        return true;
    struct stat info;
    bool is_there = lstat(folder, &info) == 0;
    mr_fault_set(fault, EACCES,
                 "no place for the demo's files: %.80s %s; %sset XDG_CACHE_HOME, or serve a "
                 "directory of yours with --root DIR",
                 folder, is_there ? "is not a directory of this user's alone" : "cannot be made",
                 is_there ? "remove it, " : "");
    return false;
}

/* ------------------------------------------------------------------ the large file */

/* What fits the disk: `size`, or a half, a quarter, ... of it; 0: not even SIZE_MIN. */
static uint64_t fit_size(const char *root, uint64_t size)
{
    struct statvfs disk;

    if (statvfs(root, &disk) != 0)
        return size;
    uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize;
    while (size + SPARE > left && size > SIZE_MIN)
        size /= 2;
    return size + SPARE <= left ? size : 0;
}

/* Is the file there, as large, and right wherever we look? */
static bool is_there(const struct mr_pattern *pattern, const char *path, uint64_t size)
{
    static uint8_t piece[65536];
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_right = fd >= 0 && fstat(fd, &info) == 0 && (uint64_t)info.st_size == size;

    for (uint64_t i = 0; is_right && i < SAMPLES; i++) {
        uint64_t offset = size / SAMPLES * i;
        ssize_t got = pread(fd, piece, sizeof(piece), (off_t)offset);

        is_right = got > 0 && mr_pattern_matches(pattern, offset, piece, (size_t)got);
    }
    if (fd >= 0)
        close(fd);
    return is_right;
}

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);

        if (done < 0 && errno != EINTR)
            return false;
        data += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
    return true;
}

static bool write_pattern(const struct mr_pattern *pattern, int fd, const char *path, uint64_t size)
{
    bool is_live = isatty(STDERR_FILENO);
    uint8_t *piece = malloc(PIECE);
    bool is_ok = piece != NULL;

    for (uint64_t at = 0; is_ok && at < size; at += PIECE) {
        size_t part = (size_t)MR_MIN(size - at, (uint64_t)PIECE);

        mr_pattern_fill(pattern, at, piece, part);
        is_ok = write_all(fd, piece, part);
        if (is_live && at / PIECE % SHOW_EVERY == 0)
            fprintf(stderr, "\r\033[Kdemo: writing %s, once: %3.0f %%", path,
                    100.0 * (double)at / (double)size);
    }
    fprintf(stderr, is_live ? "\r\033[K" : "");
    free(piece);
    return is_ok;
}

static bool make_pattern_file(const char *path, uint64_t size, struct mr_fault *fault)
{
    static struct mr_pattern pattern;
    char part[MR_SITE_ROOT_MAX + 64];

    mr_pattern_init(&pattern, MR_SITE_SEED);
    if (is_there(&pattern, path, size))
        return true;
    fprintf(stderr, "demo: making a file of %llu MiB to serve, once: %s\n",
            (unsigned long long)(size >> 20), path);
    snprintf(part, sizeof(part), "%s.%d", path, (int)getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool is_ok = fd >= 0 && write_pattern(&pattern, fd, path, size);
    int error = errno;

    if (fd >= 0)
        is_ok = close(fd) == 0 && is_ok;
    if (is_ok && rename(part, path) == 0)
        return true;
    unlink(part);
    mr_fault_set(fault, error,
                 "cannot write %.120s: %s; make room, or serve a directory of yours "
                 "with --root DIR",
                 path, strerror(error));
    return false;
}

/* ------------------------------------------------------------------ docs */

/* Copy one file; what cannot be read is left out. */
static void copy_doc(const char *from, const char *to)
{
    char part[PATH_BYTES + 16];
    uint8_t *bytes = malloc(DOC_MAX);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t size = in >= 0 && bytes != NULL ? read(in, bytes, DOC_MAX) : -1;

    if (in >= 0)
        close(in);
    snprintf(part, sizeof(part), "%s.%d", to, (int)getpid());
    int out = size > 0 && (size_t)size < DOC_MAX
                  ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)
                  : -1;
    if (out >= 0) {
        bool is_ok = write_all(out, bytes, (size_t)size);

        is_ok = close(out) == 0 && is_ok;
        if (!is_ok || rename(part, to) != 0)
            unlink(part);
    }
    free(bytes);
}

/* Copy the files of folder `from`; false: there is no such folder. */
static bool copy_docs(const char *from, const char *to)
{
    DIR *list = opendir(from);
    const struct dirent *entry;

    if (list == NULL)
        return false;
    while (make_folders(to) && (entry = readdir(list)) != NULL) {
        char source[PATH_BYTES];
        char target[PATH_BYTES];

        if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
            continue;
        snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
        snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
        copy_doc(source, target);
    }
    closedir(list);
    return true;
}

/* The project's docs: beside the program in a clone, where it was installed, or here. */
static void add_docs(const char *root)
{
    static const char *const places[] = {"../../docs", "../docs", "../share/doc/millrace"};
    char program[MR_SITE_ROOT_MAX];
    char to[MR_SITE_ROOT_MAX + 8];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);

    snprintf(to, sizeof(to), "%s/docs", root);
    program[MR_MAX(size, (ssize_t)0)] = '\0';
    const char *folder = dirname(program);
    for (size_t i = 0; size > 0 && i < MR_COUNT_OF(places); i++) {
        char from[PATH_BYTES];

        snprintf(from, sizeof(from), "%s/%s", folder, places[i]);
        if (copy_docs(from, to))
            return;
    }
    copy_docs("docs", to);
}

bool mr_site_open_default(struct mr_site *site, uint64_t size, struct mr_fault *fault)
{
    char root[MR_SITE_ROOT_MAX];
    char path[MR_SITE_ROOT_MAX + 32];

    if (!choose_root(root, fault))
        return false;
    snprintf(path, sizeof(path), "%s%s", root, MR_SITE_PATTERN);
    struct stat info;
    bool has_it = stat(path, &info) == 0 && (uint64_t)info.st_size == size;
    uint64_t fitting = has_it ? size : fit_size(root, size);
    if (fitting == 0) {
        mr_fault_set(fault, ENOSPC,
                     "no room for the demo's files in %.120s; make room, set "
                     "XDG_CACHE_HOME, or serve a directory of yours with --root DIR",
                     root);
        return false;
    }
    if (!make_pattern_file(path, fitting, fault))
        return false;
    add_docs(root);
    return mr_site_open(site, root, fault);
}
