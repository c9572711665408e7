/*
 * The configuration file: YAML nodes to fields.  libyaml gives a document of nodes with the places
 * where they begin; the tables of settings say what each must be.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/config.h"

#define PREFIX_MAX  64 /* bytes of a path of keys */
#define DEPTH_MAX   16 /* lists and groups in each other; there is use for four */
#define ANCHORS_MAX 64

/* One file that is being read. */
struct reader {
    struct mr_config *config;
    yaml_document_t *document;
    struct mr_fault *fault;
    const char *name;            /* of the file, for messages */
    char folder[MR_CONFIG_PATH]; /* that paths are relative to, with its slash; "": here */
};

/* Where a mapping's values go. */
struct target {
    const struct mr_setting *rows;
    void *object;
    const char *prefix; /* of the keys: "", or "control." */
    bool is_item;
};

static bool read_mapping(struct reader *reader, const yaml_node_t *node,
                         const struct target *target);

/* ------------------------------------------------------------------ messages */

static uint32_t line_of(const yaml_node_t *node)
{
    return (uint32_t)node->start_mark.line + 1;
}

/* Put "FILE:LINE: " in front of the fault; returns false. */
static bool at_line(struct reader *reader, size_t line)
{
    mr_fault_add_context(reader->fault, 0, "%s:%zu", reader->name, line);
    return false;
}

/* Put "FILE:LINE: KEY" in front of the fault; returns false. */
static bool at_key(struct reader *reader, const yaml_node_t *node, const char *prefix,
                   const char *key)
{
    mr_fault_add_context(reader->fault, 0, "%s:%u: %s%s", reader->name, line_of(node), prefix, key);
    return false;
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE     ? "a single value"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a group of keys";
}

/* ------------------------------------------------------------------ scalars */

/* The text of a scalar, or NULL with the fault set: not plain text, or nothing. */
static const char *text_of(struct reader *reader, const yaml_node_t *node)
{
    const char *text;

    if (node->type != YAML_SCALAR_NODE) {
        mr_fault_set(reader->fault, EINVAL, "is %s; write a single value", kind_of(node));
        return NULL;
    }
    text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        mr_fault_set(reader->fault, EINVAL, "holds a control character; leave it out");
        return NULL;
    }
    if (node->tag != NULL && strcmp((const char *)node->tag, YAML_STR_TAG) != 0) {
        mr_fault_set(reader->fault, EINVAL, "has the tag %.40s; leave it out",
                     (const char *)node->tag);
        return NULL;
    }
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)) {
        mr_fault_set(reader->fault, EINVAL, "has no value; give one, or remove the line");
        return NULL;
    }
    return text;
}

/* A path in a file is relative to the file. */
static bool set_scalar(struct reader *reader, const struct mr_setting *row, void *object,
                       const yaml_node_t *node)
{
    const char *text = text_of(reader, node);
    char path[2 * MR_CONFIG_PATH];

    if (text == NULL)
        return false;
    if (row->kind == MR_SETTING_PATH && text[0] != '/' && text[0] != '\0') {
        int size = snprintf(path, sizeof(path), "%s%s", reader->folder, text);

        MR_ASSERT(size > 0);
        text = path;
    }
    return mr_setting_parse(row, object, text, reader->fault);
}

/* ------------------------------------------------------------------ lists */

static size_t item_count(const yaml_node_t *node)
{
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static const yaml_node_t *item_at(const struct reader *reader, const yaml_node_t *node, size_t at)
{
    return yaml_document_get_node(reader->document, node->data.sequence.items.start[at]);
}

/* Values of a list; a single one may stand for itself. */
static bool set_list(struct reader *reader, const struct mr_setting *row, void *object,
                     const yaml_node_t *node, const char *prefix)
{
    mr_setting_clear(row, object);
    if (node->type != YAML_SEQUENCE_NODE)
        return set_scalar(reader, row, object, node) || at_key(reader, node, prefix, row->path);
    for (size_t i = 0; i < item_count(node); i++) {
        const yaml_node_t *item = item_at(reader, node, i);

        if (!set_scalar(reader, row, object, item))
            return at_key(reader, item, prefix, row->path);
    }
    return true;
}

static bool set_item(struct reader *reader, const struct mr_setting *row, const yaml_node_t *node)
{
    uint32_t number = mr_setting_count(row, reader->config);
    uint32_t *lines = (uint32_t *)(void *)((char *)reader->config + row->line_offset);

    if (node->type != YAML_MAPPING_NODE) {
        mr_fault_set(reader->fault, EINVAL, "is %s; write `- %s: ...`", kind_of(node),
                     row->items[0].path);
        return at_key(reader, node, "", row->path);
    }
    void *item = mr_setting_add_item(row, reader->config, reader->fault);
    if (item == NULL)
        return at_key(reader, node, "", row->path);
    lines[number] = line_of(node);
    const struct target target = {
        .rows = row->items, .object = item, .prefix = "", .is_item = true};
    if (!read_mapping(reader, node, &target))
        return false;
    return mr_setting_check_item(row, item, reader->fault) || at_key(reader, node, "", row->path);
}

static bool set_items(struct reader *reader, const struct mr_setting *row, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        mr_fault_set(reader->fault, EINVAL, "is %s; write a list, each item beginning with `- `",
                     kind_of(node));
        return at_key(reader, node, "", row->path);
    }
    mr_setting_clear(row, reader->config);
    for (size_t i = 0; i < item_count(node); i++)
        if (!set_item(reader, row, item_at(reader, node, i)))
            return false;
    return true;
}

/* ------------------------------------------------------------------ mappings */

/* What follows `prefix` in a row's path, or NULL: it is no row of this group. */
static const char *rest_of(const struct mr_setting *row, const char *prefix)
{
    size_t size = strlen(prefix);

    return strncmp(row->path, prefix, size) == 0 ? row->path + size : NULL;
}

/* The name of the key that leads to a row from the group. */
static void key_of(const char *rest, char key[PREFIX_MAX])
{
    snprintf(key, PREFIX_MAX, "%.*s", (int)strcspn(rest, "."), rest);
}

static bool unknown_key(struct reader *reader, const struct target *target, const char *key)
{
    char nearest[PREFIX_MAX] = "";

    for (const struct mr_setting *row = target->rows; row->path != NULL; row++) {
        const char *rest = rest_of(row, target->prefix);
        char known[PREFIX_MAX];

        if (rest == NULL)
            continue;
        key_of(rest, known);
        if (nearest[0] == '\0' ||
            mr_setting_distance(key, known) < mr_setting_distance(key, nearest))
            memcpy(nearest, known, sizeof(nearest));
    }
    char hint[2 * PREFIX_MAX + 32];
    mr_fault_set(reader->fault, EINVAL, "unknown key \"%s%.40s\"; %s", target->prefix, key,
                 mr_setting_hint(hint, sizeof(hint), key, target->prefix, nearest));
    return false;
}

static bool read_group(struct reader *reader, const struct target *target, const char *key,
                       const yaml_node_t *node)
{
    char prefix[PREFIX_MAX];
    const struct target inner = {.rows = target->rows, .object = target->object, .prefix = prefix};

    snprintf(prefix, sizeof(prefix), "%s%s.", target->prefix, key);
    if (node->type == YAML_MAPPING_NODE)
        return read_mapping(reader, node, &inner);
    mr_fault_set(reader->fault, EINVAL, "is %s; write its keys below it, indented", kind_of(node));
    return at_key(reader, node, target->prefix, key);
}

/* The value of one key. */
static bool set_key(struct reader *reader, const struct target *target, const yaml_node_t *key_node,
                    const char *key, const yaml_node_t *node)
{
    for (const struct mr_setting *row = target->rows; row->path != NULL; row++) {
        const char *rest = rest_of(row, target->prefix);
        size_t size = strlen(key);

        if (rest == NULL || strncmp(rest, key, size) != 0 || strchr(key, '.') != NULL)
            continue;
        if (rest[size] == '.')
            return read_group(reader, target, key, node);
        if (rest[size] != '\0')
            continue;
        if (!target->is_item)
            reader->config->line[mr_config_row_number(row)] = line_of(key_node);
        if (row->kind == MR_SETTING_ITEMS)
            return set_items(reader, row, node);
        if (row->count_max > 0)
            return set_list(reader, row, target->object, node, target->prefix);
        return set_scalar(reader, row, target->object, node) ||
               at_key(reader, node, target->prefix, key);
    }
    unknown_key(reader, target, key);
    return at_line(reader, line_of(key_node));
}

/* Was the key there before `pair`?  Few are: an unknown one ends the reading. */
static bool check_twice(struct reader *reader, const yaml_node_t *node,
                        const yaml_node_pair_t *pair, const char *key)
{
    for (const yaml_node_pair_t *at = node->data.mapping.pairs.start; at < pair; at++) {
        const yaml_node_t *other = yaml_document_get_node(reader->document, at->key);

        if (strcmp((const char *)other->data.scalar.value, key) != 0)
            continue;
        mr_fault_set(reader->fault, EINVAL, "%.40s is there twice, first on line %u; remove one",
                     key, line_of(other));
        return false;
    }
    return true;
}

static bool read_mapping(struct reader *reader, const yaml_node_t *node,
                         const struct target *target)
{
    const yaml_node_pair_t *end = node->data.mapping.pairs.top;

    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < end; pair++) {
        const yaml_node_t *key_node = yaml_document_get_node(reader->document, pair->key);
        const char *key = text_of(reader, key_node);

        if (key == NULL)
            mr_fault_add_context(reader->fault, 0, "a key");
        if (key == NULL || !check_twice(reader, node, pair, key))
            return at_line(reader, line_of(key_node));
        if (!set_key(reader, target, key_node, key,
                     yaml_document_get_node(reader->document, pair->value)))
            return false;
    }
    return true;
}

static bool read_root(struct reader *reader)
{
    const struct target target = {
        .rows = mr_config_settings, .object = reader->config, .prefix = ""};
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);

    if (root == NULL || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return true; /* an empty file: the defaults */
    if (root->type == YAML_MAPPING_NODE)
        return read_mapping(reader, root, &target);
    mr_fault_set(reader->fault, EINVAL, "the file is %s; write keys and values, like `shards: 2`",
                 kind_of(root));
    return at_line(reader, line_of(root));
}

/* ------------------------------------------------------------------ YAML */

/* libyaml gives offsets instead of lines for what is no UTF-8. */
static size_t line_at(const char *text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static bool explain_syntax(struct reader *reader, const yaml_parser_t *parser, const char *text,
                           size_t size)
{
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";

    if (parser->error == YAML_READER_ERROR) {
        mr_fault_set(reader->fault, EINVAL, "%s; write plain text in UTF-8", problem);
        return at_line(reader, line_at(text, MR_MIN(parser->problem_offset, size)));
    }
    mr_fault_set(reader->fault, parser->error == YAML_MEMORY_ERROR ? ENOMEM : EINVAL,
                 "no YAML: %s%s%s; check indentation, colons and quotes",
                 parser->context != NULL ? parser->context : "",
                 parser->context != NULL ? ", " : "", problem);
    return at_line(reader, parser->problem_mark.line + 1);
}

/* ------------------------------------------------------------------ what takes libyaml long */

static const char *anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return (const char *)event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return (const char *)event->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return (const char *)event->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

/* What is open at a time, and what has a name so far. */
struct extent {
    uint32_t depth;
    uint32_t anchors;
};

/* False with the fault set: that is too much. */
static bool count_event(struct reader *reader, const yaml_event_t *event, struct extent *extent)
{
    size_t line = event->start_mark.line + 1;

    extent->depth += event->type == YAML_SEQUENCE_START_EVENT;
    extent->depth += event->type == YAML_MAPPING_START_EVENT;
    extent->depth -= event->type == YAML_SEQUENCE_END_EVENT;
    extent->depth -= event->type == YAML_MAPPING_END_EVENT;
    extent->anchors += anchor_of(event) != NULL;
    if (extent->depth > DEPTH_MAX)
        mr_fault_set(reader->fault, E2BIG,
                     "more than %d lists and groups in each other; check "
                     "brackets and indentation",
                     DEPTH_MAX);
    else if (extent->anchors > ANCHORS_MAX)
        mr_fault_set(reader->fault, E2BIG, "more than %d anchors (&name); write values out",
                     ANCHORS_MAX);
    else
        return true;
    return at_line(reader, line);
}

/* Tags are of no use here; libyaml compares each with all before it. */
static bool check_directives(struct reader *reader, const char *text, size_t size)
{
    static const char tag[] = "%TAG";

    for (size_t i = 0; i + sizeof(tag) <= size; i++) {
        unsigned char before = i == 0 ? '\n' : (unsigned char)text[i - 1];
        bool begins_line = before < 0x20 || before >= 0x7f; /* YAML has several ends of lines */

        if (!begins_line || memcmp(text + i, tag, sizeof(tag) - 1) != 0)
            continue;
        mr_fault_set(reader->fault, EINVAL, "a %%TAG directive is of no use; leave it out");
        return at_line(reader, line_at(text, i));
    }
    return true;
}

/* The time that libyaml takes for a document grows with the square of these.  What is no YAML is
 * found later. */
static bool check_extent(struct reader *reader, const char *text, size_t size)
{
    struct extent extent = {0};
    bool is_good = true;
    bool is_end = false;
    yaml_parser_t parser;

    if (!check_directives(reader, text, size))
        return false;
    if (yaml_parser_initialize(&parser) != 1) {
        mr_fault_set(reader->fault, ENOMEM, "%s: out of memory", reader->name);
        return false;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    while (is_good && !is_end) {
        yaml_event_t event;

        if (yaml_parser_parse(&parser, &event) != 1)
            break;
        is_good = count_event(reader, &event, &extent);
        is_end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return is_good;
}

/* ------------------------------------------------------------------ the document */

/* One document is all there may be. */
static bool check_end(struct reader *reader, yaml_parser_t *parser, const char *text, size_t size)
{
    yaml_document_t next;
    bool is_good = true;

    if (yaml_parser_load(parser, &next) != 1)
        return explain_syntax(reader, parser, text, size);
    const yaml_node_t *root = yaml_document_get_root_node(&next);
    if (root != NULL) {
        mr_fault_set(reader->fault, EINVAL, "a second document begins; leave one");
        is_good = at_line(reader, line_of(root));
    }
    yaml_document_delete(&next);
    return is_good;
}

static bool read_text(struct reader *reader, yaml_parser_t *parser, const char *text, size_t size)
{
    yaml_document_t document;
    bool is_good;

    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, size);
    if (yaml_parser_load(parser, &document) != 1)
        return explain_syntax(reader, parser, text, size);
    reader->document = &document;
    is_good = read_root(reader) && (yaml_document_get_root_node(&document) == NULL ||
                                    check_end(reader, parser, text, size));
    yaml_document_delete(&document);
    return is_good;
}

int mr_config_parse(struct mr_config *config, const char *name, const char *text, size_t size,
                    struct mr_fault *fault)
{
    struct mr_fault local;
    struct reader reader = {
        .config = config, .fault = fault != NULL ? fault : &local, .name = name};
    const char *slash = strrchr(name, '/');
    yaml_parser_t parser;

    snprintf(config->file, sizeof(config->file), "%s", name);
    if (slash != NULL)
        snprintf(reader.folder, sizeof(reader.folder), "%.*s", (int)(slash - name + 1), name);
    if (yaml_parser_initialize(&parser) != 1)
        return mr_fault_set(fault, ENOMEM, "%s: out of memory", name);
    bool is_good = check_extent(&reader, text, size) && read_text(&reader, &parser, text, size);
    yaml_parser_delete(&parser);
    return is_good ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ the file */

/* Open a regular file that is not too large: what comes from a pipe might never come. */
static int open_file(const char *path, size_t *size_out, struct mr_fault *fault)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat info;

    if (fd < 0)
        return mr_fault_set(fault, errno, "cannot read %s: %s; %s", path, strerror(errno),
                            errno == EACCES ? "give this user the right to read it"
                                            : "check the path");
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return mr_fault_set(fault, EINVAL, "cannot read %s: no regular file; check the path", path);
    }
    if (info.st_size > MR_CONFIG_FILE_MAX) {
        close(fd);
        return mr_fault_set(fault, EFBIG, "cannot read %s: more than %u bytes; check the path",
                            path, MR_CONFIG_FILE_MAX);
    }
    *size_out = (size_t)info.st_size;
    return fd;
}

int mr_config_read(struct mr_config *config, const char *path, struct mr_fault *fault)
{
    size_t size = 0;
    int fd;

    if (strlen(path) >= MR_CONFIG_PATH)
        return mr_fault_set(fault, ENAMETOOLONG, "the path %.40s... is too long; at most %d bytes",
                            path, MR_CONFIG_PATH - 1);
    fd = open_file(path, &size, fault);
    if (fd < 0)
        return fd;
    char *text = malloc(size + 1);
    ssize_t got = text == NULL ? -1 : read(fd, text, size);
    int result =
        got < 0 ? mr_fault_set(fault, errno, "cannot read %s: %s; try again", path, strerror(errno))
                : mr_config_parse(config, path, text, (size_t)got, fault);

    free(text);
    close(fd);
    return result;
}
