/* app/loop_file.c - files, on the work pool or by the waiter; see loop_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/loop_internal.h"

/* ------------------------------------------------------------------ on the pool */

static int64_t or_errno(int64_t result)
{
    return result < 0 ? -errno : result;
}

static int64_t call(const struct mr_loop_file *f)
{
    switch (f->kind) {
    case MR_LOOP_FILE_OPEN:
        return open(f->path, f->flags | O_CLOEXEC, f->mode);
    case MR_LOOP_FILE_PREAD:
        return pread(f->fd, f->buffer, f->size, (off_t)f->offset);
    case MR_LOOP_FILE_PWRITE:
        return pwrite(f->fd, f->bytes, f->size, (off_t)f->offset);
    case MR_LOOP_FILE_FSYNC:
        return fsync(f->fd);
    }
    return -1;
}

static int64_t run_call(void *argument)
{
    struct mr_loop_file *file = argument;

    file->result = or_errno(call(file));
    return file->result;
}

static void call_done(void *argument, int64_t result)
{
    (void)result; /* it is in the call, too */
    mr_loop_file_tell(argument);
}

/* ------------------------------------------------------------------ its end */

void mr_loop_file_tell(struct mr_loop_file *file)
{
    struct mr_loop_file f = *file;

    free(f.path);
    free(file);
    f.loop->run.function = (const void *)(uintptr_t)f.done;
    f.done(f.context, f.result);
}

void mr_loop_file_drop(void *argument)
{
    struct mr_loop_file *file = argument;

    if (file->kind == MR_LOOP_FILE_OPEN && file->result >= 0)
        close((int)file->result);
    free(file->path);
    free(file);
}

/* ------------------------------------------------------------------ its begin */

static int begin(struct mr_loop *loop, const struct mr_loop_file *wish)
{
    struct mr_loop_file *file = malloc(sizeof(*file));

    if (file == NULL)
        return -ENOMEM;
    *file = *wish;
    file->loop = loop;
    file->result = -ECANCELED;
    int error = loop->waiter->file != NULL
                    ? loop->waiter->file(loop, file)
                    : mr_loop_work_or_drop(loop, run_call, call_done, mr_loop_file_drop, file);
    if (error < 0)
        free(file);
    return error;
}

int mr_loop_open(struct mr_loop *loop, const char *path, int flags, int mode,
                 void (*done)(void *context, int64_t result), void *context)
{
    char *copy = strdup(path);

    if (copy == NULL)
        return -ENOMEM;
    int error = begin(loop, &(struct mr_loop_file){.kind = MR_LOOP_FILE_OPEN,
                                                   .path = copy,
                                                   .flags = flags,
                                                   .mode = mode,
                                                   .done = done,
                                                   .context = context});
    if (error < 0)
        free(copy);
    return error;
}

int mr_loop_pread(struct mr_loop *loop, int fd, void *buffer, size_t size, uint64_t offset,
                  void (*done)(void *context, int64_t result), void *context)
{
    return begin(loop, &(struct mr_loop_file){.kind = MR_LOOP_FILE_PREAD,
                                              .fd = fd,
                                              .buffer = buffer,
                                              .size = size,
                                              .offset = offset,
                                              .done = done,
                                              .context = context});
}

int mr_loop_pwrite(struct mr_loop *loop, int fd, const void *buffer, size_t size, uint64_t offset,
                   void (*done)(void *context, int64_t result), void *context)
{
    return begin(loop, &(struct mr_loop_file){.kind = MR_LOOP_FILE_PWRITE,
                                              .fd = fd,
                                              .bytes = buffer,
                                              .size = size,
                                              .offset = offset,
                                              .done = done,
                                              .context = context});
}

int mr_loop_fsync(struct mr_loop *loop, int fd, void (*done)(void *context, int64_t result),
                  void *context)
{
    return begin(loop, &(struct mr_loop_file){
                           .kind = MR_LOOP_FILE_FSYNC, .fd = fd, .done = done, .context = context});
}
