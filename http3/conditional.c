/* http3/conditional.c - see conditional.h. */
#include "http3/conditional.h"

#include <string.h>

#include "http3/date.h"

static size_t put_hex(char *dst, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    size_t size = 1;

    while (size < 16 && value >> (4 * size) != 0)
        size++;
    for (size_t i = 0; i < size; i++)
        dst[i] = digits[value >> (4 * (size - 1 - i)) & 15];
    return size;
}

size_t mr_etag_format(char dst[MR_ETAG_MAX], const struct mr_file_version *version)
{
    size_t at = 0;

    dst[at++] = '"';
    at += put_hex(dst + at, version->inode);
    dst[at++] = '-';
    at += put_hex(dst + at, version->size);
    dst[at++] = '-';
    at += put_hex(dst + at, (uint64_t)version->modified_ns);
    dst[at++] = '-';
    at += put_hex(dst + at, (uint64_t)version->changed_ns);
    dst[at++] = '"';
    dst[at] = '\0';
    return at;
}

static const char *skip_separators(const char *text)
{
    while (*text == ' ' || *text == '\t' || *text == ',')
        text++;
    return text;
}

/* True if the list of entity tags holds `etag`.  `is_weak`: a W/ in the list makes no difference.
 */
static bool list_has(const char *list, const char *etag, size_t etag_size, bool is_weak)
{
    for (list = skip_separators(list); *list != '\0'; list = skip_separators(list)) {
        if (*list == '*')
            return true;
        bool has_prefix = list[0] == 'W' && list[1] == '/';
        if (has_prefix)
            list += 2;
        if (*list != '"')
            return false; /* not a list of entity tags */
        const char *end = strchr(list + 1, '"');
        if (end == NULL)
            return false;
        size_t size = (size_t)(end + 1 - list);
        if (size == etag_size && memcmp(list, etag, size) == 0 && (is_weak || !has_prefix))
            return true;
        list = end + 1;
    }
    return false;
}

/* The version's date in whole seconds compared with the field's: -1, 0, 1; -2: the field is no
 * date. */
static int compare_dates(const struct mr_file_version *version, const char *field, int64_t now)
{
    int64_t modified = version->modified_ns / 1000000000;
    int64_t date;

    if (!mr_date_parse(field, strlen(field), &date, now))
        return -2;
    return modified < date ? -1 : modified > date;
}

enum mr_condition_verdict mr_conditions_evaluate(const struct mr_conditions *conditions,
                                                 const struct mr_file_version *version, int64_t now)
{
    char etag[MR_ETAG_MAX];
    size_t size = 0;

    if (conditions->if_match != NULL || conditions->if_none_match != NULL)
        size = mr_etag_format(etag, version);
    if (conditions->if_match != NULL) {
        if (!list_has(conditions->if_match, etag, size, false))
            return MR_CONDITION_FAILED;
    } else if (conditions->if_unmodified_since != NULL) {
        if (compare_dates(version, conditions->if_unmodified_since, now) == 1)
            return MR_CONDITION_FAILED;
    }
    if (conditions->if_none_match != NULL)
        return list_has(conditions->if_none_match, etag, size, true) ? MR_CONDITION_NOT_MODIFIED
                                                                     : MR_CONDITION_PROCEED;
    if (conditions->if_modified_since != NULL) {
        int order = compare_dates(version, conditions->if_modified_since, now);
        return order == -1 || order == 0 ? MR_CONDITION_NOT_MODIFIED : MR_CONDITION_PROCEED;
    }
    return MR_CONDITION_PROCEED;
}

bool mr_conditions_allow_range(const struct mr_conditions *conditions,
                               const struct mr_file_version *version, int64_t now)
{
    char etag[MR_ETAG_MAX];
    const char *field = conditions->if_range;

    if (field == NULL)
        return true;
    if (field[0] == '"') {
        size_t size = mr_etag_format(etag, version);
        return strlen(field) == size && memcmp(field, etag, size) == 0;
    }
    return compare_dates(version, field, now) == 0;
}
