/* http3/listing.c - see listing.h. */
#include "http3/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "http3/files.h"
#include "http3/target.h"

enum {
    FOOT_ROOM = 256,
    NAME_MAX_BYTES = 255,
};

/* A page being written; bytes that do not fit set is_full. */
struct page {
    char *dst;
    size_t at;
    size_t room;
    bool is_full;
};

static void put(struct page *page, const char *text, size_t size)
{
    if (page->is_full || page->room - page->at < size) {
        page->is_full = true;
        return;
    }
    memcpy(page->dst + page->at, text, size);
    page->at += size;
}

static void put_text(struct page *page, const char *text)
{
    put(page, text, strlen(text));
}

/* Text that must not be taken for markup. */
static void put_escaped(struct page *page, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            put_text(page, "&amp;");
            break;
        case '<':
            put_text(page, "&lt;");
            break;
        case '>':
            put_text(page, "&gt;");
            break;
        case '"':
            put_text(page, "&quot;");
            break;
        default:
            put(page, text, 1);
        }
    }
}

/* The directory that is read. */
struct source {
    DIR *dir;
    int root_fd;
    const char *path;
    uint32_t links; /* looked at */
};

struct entry {
    bool is_directory;
    char name[NAME_MAX_BYTES + 1];
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;

    if (left->is_directory != right->is_directory)
        return left->is_directory ? -1 : 1;
    return strcmp(left->name, right->name);
}

enum entry_kind {
    ENTRY_NONE,
    ENTRY_FILE,
    ENTRY_DIRECTORY,
    ENTRY_UNKNOWN, /* a link too many to look at */
};

static enum entry_kind kind_of(uint32_t mode)
{
    return S_ISDIR(mode) ? ENTRY_DIRECTORY : S_ISREG(mode) ? ENTRY_FILE : ENTRY_NONE;
}

/* May a request name it?  The target is the directory's path, "/", the name, perhaps "/". */
static bool is_requestable(const struct source *source, const char *name)
{
    size_t size = strlen(source->path) + strlen(name);

    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    }
    return name[0] != '.' && size + 4 < MR_TARGET_PATH_MAX;
}

/* Where a link leads counts, as a request for it would find it. */
static enum entry_kind follow(struct source *source, const char *name)
{
    char path[MR_TARGET_PATH_MAX];

    if (source->links++ >= MR_LISTING_LINKS_MAX)
        return ENTRY_UNKNOWN;
    int size = snprintf(path, sizeof(path), "%s%s%s", source->path,
                        source->path[0] == '\0' ? "" : "/", name);
    if (size < 0 || (size_t)size >= sizeof(path))
        return ENTRY_NONE;
    return kind_of(mr_file_mode_below(source->root_fd, path));
}

static enum entry_kind classify(struct source *source, const struct dirent *dirent)
{
    struct stat st;

    if (!is_requestable(source, dirent->d_name))
        return ENTRY_NONE;
    switch (dirent->d_type) {
    case DT_DIR:
        return ENTRY_DIRECTORY;
    case DT_REG:
        return ENTRY_FILE;
    case DT_LNK:
        return follow(source, dirent->d_name);
    case DT_UNKNOWN: /* the file system does not say */
        if (fstatat(dirfd(source->dir), dirent->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return ENTRY_NONE;
        return S_ISLNK(st.st_mode) ? follow(source, dirent->d_name) : kind_of(st.st_mode);
    default:
        return ENTRY_NONE;
    }
}

/* Read the directory's entries.  Their count; *was_cut_out: there were more. */
static size_t read_entries(struct source *source, struct entry *entries, bool *was_cut_out)
{
    size_t count = 0;

    for (const struct dirent *dirent; (dirent = readdir(source->dir)) != NULL;) {
        struct entry *entry = &entries[count];
        enum entry_kind kind = classify(source, dirent);

        *was_cut_out |= kind == ENTRY_UNKNOWN;
        if (kind != ENTRY_FILE && kind != ENTRY_DIRECTORY)
            continue;
        if (count + 1 == MR_LISTING_ENTRIES_MAX) {
            *was_cut_out = true;
            break;
        }
        entry->is_directory = kind == ENTRY_DIRECTORY;
        snprintf(entry->name, sizeof(entry->name), "%s", dirent->d_name);
        count++;
    }
    qsort(entries, count, sizeof(*entries), compare_entries);
    return count;
}

static void put_entry(struct page *page, const struct entry *entry)
{
    char link[3 * NAME_MAX_BYTES];
    size_t size = mr_target_encode(link, sizeof(link), entry->name, strlen(entry->name));
    const char *slash = entry->is_directory ? "/" : "";

    put_text(page, "<li><a href=\"./");
    put(page, link, size);
    put_text(page, slash);
    put_text(page, "\">");
    put_escaped(page, entry->name);
    put_text(page, slash);
    put_text(page, "</a></li>\n");
}

static void write_page(struct page *page, const char *path, const struct entry *entries,
                       size_t count, bool was_cut)
{
    size_t room = page->room;

    page->room -= FOOT_ROOM;
    put_text(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width\"><title>/");
    put_escaped(page, path);
    put_text(page, "</title></head><body>\n<h1>/");
    put_escaped(page, path);
    put_text(page, "</h1>\n<ul>\n");
    if (path[0] != '\0')
        put_text(page, "<li><a href=\"../\">../</a></li>\n");
    for (size_t i = 0; i < count && !page->is_full; i++) {
        size_t begin = page->at;
        put_entry(page, &entries[i]);
        if (page->is_full) /* no half entry */
            page->at = begin;
    }
    was_cut |= page->is_full;
    page->is_full = false;
    page->room = room;
    put_text(page, "</ul>\n");
    if (was_cut)
        put_text(page, "<p>There are more entries than this page shows.</p>\n");
    put_text(page, "</body></html>\n");
}

int mr_listing_write(int fd, int root_fd, const char *path, char *dst, size_t room,
                     size_t *size_out)
{
    struct page page = {.dst = dst, .room = room};
    struct entry *entries = malloc(MR_LISTING_ENTRIES_MAX * sizeof(*entries));
    DIR *dir = fdopendir(fd);
    bool was_cut = false;

    MR_ASSERT(room >= MR_LISTING_ROOM_MIN);
    *size_out = 0;
    if (entries == NULL || dir == NULL) {
        int error = errno;
        if (dir != NULL)
            closedir(dir);
        else
            close(fd);
        free(entries);
        return error;
    }
    struct source source = {.dir = dir, .root_fd = root_fd, .path = path};
    size_t count = read_entries(&source, entries, &was_cut);
    closedir(dir);
    write_page(&page, path, entries, count, was_cut);
    free(entries);
    *size_out = page.at;
    return 0;
}
