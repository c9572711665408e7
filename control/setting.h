/*
 * control/setting.h - one row per setting: what a file calls it, what the command line calls it,
 * what it may be, and where it goes.
 *
 *     text --mr_setting_parse(row, object, text)--> the field at object + row->offset
 *     field --mr_setting_format(row, object)------> text
 *
 * A row is a value, a list of values, or a list of items: structs that have rows of their own.  The
 * same rows serve configuration files (control/config_file.c), command lines
 * (tools/config_options.h) and the reference (docs/configuration.md), so that these cannot differ.
 *
 * Threads: none of its own; tables are constant.
 */
#ifndef MR_CONTROL_SETTING_H
#define MR_CONTROL_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_SETTING_TEXT_MAX 512 /* bytes of a value's text, its end included */

enum mr_setting_kind {
    MR_SETTING_FLAG,   /* bool: yes or no, true or false, on or off */
    MR_SETTING_NUMBER, /* unsigned, as wide as the field, in [min, max] */
    MR_SETTING_SIZE,   /* the same, with K, M, G or T (1024) */
    MR_SETTING_TIME,   /* nanoseconds in uint64_t, in [min, max]: 500ms, 30s, 10m, 12h, 2d */
    MR_SETTING_MODE,   /* permission bits in octal */
    MR_SETTING_CHOICE, /* unsigned: the index in `choices` */
    MR_SETTING_TEXT,   /* char[width] */
    MR_SETTING_PATH,   /* char[width]; in a file: relative to the file's folder */
    MR_SETTING_ITEMS   /* structs of `width` bytes, described by `items` */
};

struct mr_setting {
    const char *path;     /* in a file, "control.socket"; NULL ends a table */
    const char *option;   /* on the command line, without dashes; NULL: only as part of an item */
    const char *argument; /* as --help shows it; NULL: a flag */
    const char *help;
    enum mr_setting_kind kind;
    bool is_required;                 /* of an item: it must be there, */
    bool (*spares)(const void *item); /* but in such an item; NULL: in each */
    uint32_t width;                   /* bytes of the field, or of one in a list */
    uint32_t count_max;               /* > 0: a list of so many */
    size_t offset;                    /* of the field, or of the first in a list */
    size_t count_offset;              /* of a list: of its count, a uint32_t */
    size_t line_offset;               /* of items: of the lines where they begin, uint32_t each */
    uint64_t min;                     /* of numbers, sizes and times */
    uint64_t max;
    const char *const *choices;     /* ends with NULL */
    const struct mr_setting *items; /* ends with a NULL path */
    void (*item_init)(void *item);  /* set an item's defaults; it is all zero bytes */
    bool (*check)(char *text, struct mr_fault *fault); /* of texts; may rewrite in place */
};

/*
 * Set a field from text; of a list, append.  `row` is of any kind but ITEMS.  False with `fault`
 * set
 * ("what; remedy", without the setting's name) and the field as it was.
 */
bool mr_setting_parse(const struct mr_setting *row, void *object, const char *text,
                      struct mr_fault *fault);

/*
 * Append an item from "key=value,key=value,..." with the item's keys; values of a list have colons
 * between.  False with `fault` set, and the list as it was.
 */
bool mr_setting_parse_item(const struct mr_setting *row, void *object, const char *text,
                           struct mr_fault *fault);

/* A new item with its defaults at the end of the list, or NULL with `fault` set: it is full. */
void *mr_setting_add_item(const struct mr_setting *row, void *object, struct mr_fault *fault);

/* Forget a list's elements. */
void mr_setting_clear(const struct mr_setting *row, void *object);

/* Is every required field of an item there?  False with `fault` set. */
bool mr_setting_check_item(const struct mr_setting *row, const void *item, struct mr_fault *fault);

/* Write a value (of a list: number `index`) in a form that mr_setting_parse() reads. */
void mr_setting_format(const struct mr_setting *row, const void *object, uint32_t index,
                       char text[MR_SETTING_TEXT_MAX]);

/* Elements of a list; of anything else 1. */
uint32_t mr_setting_count(const struct mr_setting *row, const void *object);

/* How many insertions, deletions, replacements and swaps make `a` into `b`; long texts are cut. */
uint32_t mr_setting_distance(const char *a, const char *b);

/* What to say of a word that is not known: "did you mean X?", if it is near to that, or where to
 * look. */
const char *mr_setting_hint(char *hint_out, size_t room, const char *word, const char *prefix,
                            const char *nearest);

#endif /* MR_CONTROL_SETTING_H */
