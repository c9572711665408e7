/* control/region.c - see region.h. */
#include "control/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Never executable, where the kernel knows that (6.3). */
static int make_file(void)
{
    int fd = memfd_create("millrace-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("millrace-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static int fail(struct mr_region *region, const char *what, struct mr_fault *fault)
{
    int error = errno;

    mr_region_free(region);
    return mr_fault_set(fault, error, "cannot %s for a ring of %llu bytes: %s", what,
                        (unsigned long long)region->size, strerror(error));
}

int mr_region_make(struct mr_region *region, uint64_t size, struct mr_fault *fault)
{
    *region = (struct mr_region){.size = size, .fd = make_file(), .seal_fd = -1};
    if (region->fd < 0)
        return fail(region, "make shared memory", fault);
    if (ftruncate(region->fd, (off_t)size) != 0 || fallocate(region->fd, 0, 0, (off_t)size) != 0)
        return fail(region, "get memory", fault);
    if (fcntl(region->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        return fail(region, "seal memory", fault);
    region->seal_fd = fcntl(region->fd, F_DUPFD_CLOEXEC, 0);
    if (region->seal_fd < 0)
        return fail(region, "get a second descriptor", fault);
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, region->fd, 0);
    if (memory == MAP_FAILED)
        return fail(region, "map memory", fault);
    region->memory = memory;
    region->is_locked = mlock(memory, size) == 0;
    return 0;
}

int mr_region_seal(struct mr_region *region)
{
    int result = fcntl(region->seal_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);

    if (result != 0 && errno == EINVAL) /* it knows no such seal */
        result = fcntl(region->seal_fd, F_ADD_SEALS, F_SEAL_SEAL);
    if (result != 0)
        return -errno;
    close(region->seal_fd);
    region->seal_fd = -1;
    return 0;
}

void mr_region_free(struct mr_region *region)
{
    if (region->memory != NULL)
        munmap(region->memory, region->size);
    if (region->fd >= 0)
        close(region->fd);
    if (region->seal_fd >= 0)
        close(region->seal_fd);
    region->memory = NULL;
    region->fd = region->seal_fd = -1;
}
