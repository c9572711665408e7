/* quic/ipsec_mb_copy.c - see ipsec_mb_copy.h. */
#include "quic/ipsec_mb_copy.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_COPY false /* a second C library would not be the sanitizer's */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_COPY false
#endif
#endif
#ifndef CAN_COPY
#define CAN_COPY true
#endif

static struct {
    pthread_mutex_t lock;
    uint32_t count; /* that are loaded */
    bool is_over;   /* no more can be */
    struct {
        struct mr_ipsec_mb_functions functions;
        uint32_t users;
    } copy[MR_IPSEC_MB_COPIES];
} copies = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct mr_ipsec_mb_functions linked = {
    .size = imb_get_mb_mgr_size,
    .set_pointers = imb_set_pointers_mb_mgr,
    .init = init_mb_mgr_auto,
};

/* POSIX has dlsym() return functions as data. */
static bool find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);

    memcpy(function, &symbol, size);
    return symbol != NULL;
}

/* The library's file; NULL: it is part of the program. */
static const char *library_path(void)
{
    Dl_info of_library;
    Dl_info of_us;
    void *theirs;
    void *ours;
    void (*const init)(IMB_MGR *, IMB_ARCH *) = linked.init;
    bool (*const us)(void *, const char *, void *, size_t) = find;

    memcpy(&theirs, &init, sizeof(theirs));
    memcpy(&ours, &us, sizeof(ours));
    if (dladdr(theirs, &of_library) == 0 || dladdr(ours, &of_us) == 0 ||
        of_library.dli_fbase == of_us.dli_fbase)
        return NULL;
    return of_library.dli_fname;
}

static void *open_copy(const char *path)
{
#ifdef LM_ID_NEWLM
    return dlmopen(LM_ID_NEWLM, path, RTLD_NOW | RTLD_LOCAL);
#else
    (void)path;
    return NULL;
#endif
}

static bool load(struct mr_ipsec_mb_functions *functions)
{
    const char *path = CAN_COPY ? library_path() : NULL;
    void *library = path == NULL ? NULL : open_copy(path);

    if (library == NULL)
        return false;
    if (find(library, "imb_get_mb_mgr_size", &functions->size, sizeof(functions->size)) &&
        find(library, "imb_set_pointers_mb_mgr", &functions->set_pointers,
             sizeof(functions->set_pointers)) &&
        find(library, "init_mb_mgr_auto", &functions->init, sizeof(functions->init)))
        return true;
    dlclose(library);
    return false;
}

/* The first one is what is linked. */
static void add_copy(void)
{
    struct mr_ipsec_mb_functions *functions = &copies.copy[copies.count].functions;

    if (copies.count == 0)
        *functions = linked;
    else if (!load(functions))
        copies.is_over = true;
    if (!copies.is_over)
        copies.count++;
}

static uint32_t least_used(void)
{
    uint32_t least = 0;

    for (uint32_t i = 1; i < copies.count; i++)
        if (copies.copy[i].users < copies.copy[least].users)
            least = i;
    return least;
}

uint32_t mr_ipsec_mb_take(struct mr_ipsec_mb_functions *functions)
{
    pthread_mutex_lock(&copies.lock);
    if (copies.count == 0)
        add_copy();
    if (copies.copy[least_used()].users > 0 && copies.count < MR_COUNT_OF(copies.copy) &&
        !copies.is_over)
        add_copy();
    uint32_t copy = least_used();
    copies.copy[copy].users++;
    *functions = copies.copy[copy].functions;
    pthread_mutex_unlock(&copies.lock);
    return copy;
}

void mr_ipsec_mb_leave(uint32_t copy)
{
    pthread_mutex_lock(&copies.lock);
    MR_ASSERT(copy < copies.count && copies.copy[copy].users > 0);
    copies.copy[copy].users--;
    pthread_mutex_unlock(&copies.lock);
}
