/* Tests of http3/cache.h. */
#include "http3/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/harness.h"

enum {
    SIZE = 100000,
};

static struct mr_cache cache;
static void *memory;

static void begin(void)
{
    struct mr_siphash_key key = {1, 2};

    memory = malloc(mr_cache_footprint(SIZE));
    mr_cache_init(&cache, memory, SIZE, &key);
}

static void end(void)
{
    mr_cache_check(&cache);
    free(memory);
}

/* Cache `size` bytes under `key`; the entry, unpinned, or NULL. */
static struct mr_cache_entry *add(const char *key, size_t size)
{
    struct mr_cache_entry *entry = mr_cache_reserve(&cache, key, strlen(key), size);

    if (entry == NULL)
        return NULL;
    memset(mr_cache_content(entry), key[0], size);
    mr_cache_insert(&cache, entry);
    mr_cache_unpin(&cache, entry);
    return entry;
}

static struct mr_cache_entry *find(const char *key)
{
    return mr_cache_find(&cache, key, strlen(key));
}

static void finds_what_was_inserted_and_nothing_else(void)
{
    begin();
    add("a", 100);
    add("ab", 200);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find("a"));
    CU_ASSERT_EQUAL(find("a")->size, 100);
    CU_ASSERT_EQUAL(mr_cache_content(find("a"))[99], 'a');
    CU_ASSERT_EQUAL(find("ab")->size, 200);
    CU_ASSERT_PTR_NULL(find("b"));
    CU_ASSERT_PTR_NULL(find(""));
    end();
}

static void an_entry_is_not_found_before_it_is_complete(void)
{
    begin();
    struct mr_cache_entry *entry = mr_cache_reserve(&cache, "a", 1, 10);
    CU_ASSERT_PTR_NULL(find("a"));
    mr_cache_check(&cache);
    mr_cache_unpin(&cache, entry); /* given up: nothing is left */
    CU_ASSERT_EQUAL(cache.heap.used_bytes, 0);
    CU_ASSERT_EQUAL(cache.pins, 0);
    end();
}

static void a_newer_entry_replaces_the_older_even_while_it_is_in_use(void)
{
    begin();
    struct mr_cache_entry *old = add("a", 100);
    mr_cache_pin(&cache, old);
    struct mr_cache_entry *new = add("a", 50);
    CU_ASSERT_PTR_EQUAL(find("a"), new);
    CU_ASSERT_EQUAL(mr_cache_content(old)[99], 'a'); /* still there for its user */
    mr_cache_check(&cache);
    uint32_t live = cache.heap.live;
    mr_cache_unpin(&cache, old);
    CU_ASSERT_EQUAL(cache.heap.live, live - 1);
    end();
}

static void gives_up_the_least_recently_used_first_and_never_what_is_in_use(void)
{
    begin();
    struct mr_cache_entry *pinned = add("p", 20000);
    mr_cache_pin(&cache, pinned);
    add("a", 20000);
    add("b", 20000);
    add("c", 20000);
    CU_ASSERT_PTR_NOT_NULL(find("a")); /* now b is the oldest that is not in use */
    CU_ASSERT_PTR_NOT_NULL(add("d", 20000));
    CU_ASSERT_PTR_NOT_NULL(add("e", 20000));
    CU_ASSERT_PTR_NULL(find("b"));
    CU_ASSERT_PTR_NOT_NULL(find("p"));
    CU_ASSERT_PTR_NOT_NULL(find("a"));
    CU_ASSERT_TRUE(cache.evictions > 0);
    CU_ASSERT_PTR_NULL(add("x", 90000)); /* cannot fit beside what is in use */
    mr_cache_unpin(&cache, pinned);
    CU_ASSERT_PTR_NOT_NULL(add("x", 90000));
    CU_ASSERT_PTR_NULL(find("p"));
    CU_ASSERT_PTR_NULL(add("y", 200000));
    end();
}

static void a_dropped_entry_is_gone(void)
{
    begin();
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        add(key, 100);
    }
    for (int i = 0; i < 50; i += 2) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        mr_cache_drop(&cache, find(key));
        CU_ASSERT_PTR_NULL(find(key));
        mr_cache_check(&cache);
    }
    CU_ASSERT_EQUAL(cache.entries, 25);
    end();
}

static void a_cache_of_no_size_holds_nothing(void)
{
    struct mr_siphash_key key = {1, 2};

    CU_ASSERT_EQUAL(mr_cache_footprint(0), 0);
    mr_cache_init(&cache, NULL, 0, &key);
    CU_ASSERT_PTR_NULL(mr_cache_find(&cache, "a", 1));
    CU_ASSERT_PTR_NULL(mr_cache_reserve(&cache, "a", 1, 10));
    mr_cache_check(&cache);
}

CU_TestInfo http_cache_tests[] = {
    {"finds what was inserted and nothing else", finds_what_was_inserted_and_nothing_else},
    {"an entry is not found before it is complete", an_entry_is_not_found_before_it_is_complete},
    {"a newer entry replaces the older even while it is in use",
     a_newer_entry_replaces_the_older_even_while_it_is_in_use},
    {"gives up the least recently used first and never what is in use",
     gives_up_the_least_recently_used_first_and_never_what_is_in_use},
    {"a dropped entry is gone", a_dropped_entry_is_gone},
    {"a cache of no size holds nothing", a_cache_of_no_size_holds_nothing},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/cache", .pTests = http_cache_tests},
    CU_SUITE_INFO_NULL,
};
