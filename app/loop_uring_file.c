/*
 * app/loop_uring_file.c - files with io_uring; see loop_uring.h.
 *
 *     any thread -> list -> in the loop: ring -> its completion, in the loop
 *
 * What lies in memory is read at once, without a thread (RWF_NOWAIT); the rest by the kernel's own
 * threads (IOSQE_ASYNC).  Left to itself, io_uring would end such reads by interrupting the thread
 * that asked for them, and an epoll_wait() there would return -EINTR.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include "app/loop_uring.h"
#include "base/compiler.h"

enum {
    OUT_MAX = 128,   /* given to the kernel: as many have room among entries and completions */
    FILES_MAX = 4096 /* taken */
};

#define SIZE_MAX_OF_CALL ((size_t)0x7ffff000) /* more no read or write of Linux does */

int mr_uring_files_open(struct uring_files *files)
{
    struct io_uring_params params = {0};
    int result = mr_uring_ring_open(&files->ring, OUT_MAX + 1, &params); /* and a cancellation */

    if (result == 0)
        pthread_mutex_init(&files->mutex, NULL);
    return result;
}

/* ------------------------------------------------------------------ any thread */

static void append(struct uring_files *f, struct mr_loop_file *file)
{
    file->next = NULL;
    pthread_mutex_lock(&f->mutex);
    if (f->first == NULL)
        f->first = file;
    else
        f->last->next = file;
    f->last = file;
    pthread_mutex_unlock(&f->mutex);
}

int mr_uring_file(struct mr_loop *loop, struct mr_loop_file *file)
{
    struct uring_files *f = &loop->uring->files;

    if (atomic_fetch_add_explicit(&f->file_count, 1, memory_order_relaxed) >= FILES_MAX) {
        atomic_fetch_sub_explicit(&f->file_count, 1, memory_order_relaxed);
        return -EAGAIN;
    }
    atomic_fetch_add_explicit(&loop->work_out, 1, memory_order_relaxed);
    append(f, file);
    if (!mr_loop_is_inside(loop))
        mr_loop_wake(loop);
    return 0;
}

/* ------------------------------------------------------------------ into the ring */

static void prepare_read(struct io_uring_sqe *sqe, const struct mr_loop_file *file)
{
    size_t left = MR_MIN(file->size, SIZE_MAX_OF_CALL) - file->had;

    io_uring_prep_read(sqe, file->fd, (char *)file->buffer + file->had, (unsigned)left,
                       file->offset + file->had);
    if (file->must_wait)
        io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
    else
        sqe->rw_flags = RWF_NOWAIT;
}

static void prepare(struct io_uring_sqe *sqe, struct mr_loop_file *file)
{
    switch (file->kind) {
    case MR_LOOP_FILE_OPEN:
        io_uring_prep_openat(sqe, AT_FDCWD, file->path, file->flags | O_CLOEXEC,
                             (mode_t)file->mode);
        break;
    case MR_LOOP_FILE_PREAD:
        prepare_read(sqe, file);
        break;
    case MR_LOOP_FILE_PWRITE:
        io_uring_prep_write(sqe, file->fd, file->bytes,
                            (unsigned)MR_MIN(file->size, SIZE_MAX_OF_CALL), file->offset);
        break;
    case MR_LOOP_FILE_FSYNC:
        io_uring_prep_fsync(sqe, file->fd, 0);
        break;
    }
    /* An offset of -1 is the file's own position to io_uring; -2 is refused, as pread() does. */
    if (sqe->off == UINT64_MAX)
        sqe->off--;
    io_uring_sqe_set_data(sqe, file);
}

static struct mr_loop_file *take_first(struct uring_files *f)
{
    pthread_mutex_lock(&f->mutex);
    struct mr_loop_file *file = f->first;
    if (file != NULL)
        f->first = file->next;
    pthread_mutex_unlock(&f->mutex);
    return file;
}

bool mr_uring_files_submit(struct mr_loop *loop)
{
    struct uring_files *f = &loop->uring->files;
    struct mr_loop_file *file;

    /* relaxed: who adds one wakes the loop behind that */
    while (f->out_count < OUT_MAX &&
           f->out_count < atomic_load_explicit(&f->file_count, memory_order_relaxed) &&
           (file = take_first(f)) != NULL) {
        prepare(io_uring_get_sqe(&f->ring), file);
        f->out_count++;
    }
    if (io_uring_sq_ready(&f->ring) > 0)
        (void)io_uring_submit(&f->ring);
    return io_uring_sq_ready(&f->ring) == 0 && io_uring_cq_ready(&f->ring) == 0;
}

/* ------------------------------------------------------------------ out of the ring */

/* Take a result in.  False: there is more to be done. */
static bool is_over(struct mr_loop_file *file, int32_t result)
{
    if ((result == -ECANCELED || result == -EINTR) && !file->loop->is_freeing)
        return false; /* the thread that gave it to the kernel is gone: it belongs to another now */
    if (file->kind == MR_LOOP_FILE_PREAD && !file->must_wait) {
        file->must_wait = result == -EAGAIN || result == -EOPNOTSUPP;
        file->had += result > 0 ? (size_t)result : 0;
        if (file->must_wait || (result > 0 && file->had < MR_MIN(file->size, SIZE_MAX_OF_CALL)))
            return false; /* a short read may be the end of what lies in memory */
        result = MR_MIN(result, 0);
    }
    file->result = file->had == 0 ? result : (int64_t)file->had + MR_MAX(result, 0);
    return true;
}

/* The next that is over; NULL: none is. */
static struct mr_loop_file *next_over(struct uring_files *f)
{
    struct io_uring_cqe *cqe;

    while (io_uring_cq_ready(&f->ring) > 0 && io_uring_peek_cqe(&f->ring, &cqe) == 0) {
        struct mr_loop_file *file = io_uring_cqe_get_data(cqe);
        int32_t result = cqe->res;
        io_uring_cqe_seen(&f->ring, cqe);
        f->out_count--;
        if (file == NULL) /* a cancellation */
            continue;
        if (is_over(file, result))
            return file;
        append(f, file);
    }
    return NULL;
}

static void leave(struct mr_loop *loop)
{
    atomic_fetch_sub_explicit(&loop->uring->files.file_count, 1, memory_order_relaxed);
    /* release: pairs with the acquire in mr_loop_free; a figure else */
    atomic_fetch_sub_explicit(&loop->work_out, 1, memory_order_release);
}

uint32_t mr_uring_run_files(struct mr_loop *loop)
{
    uint32_t count = 0;

    for (; count < loop->config.batch; count++) {
        struct mr_loop_file *file = next_over(&loop->uring->files);
        if (file == NULL)
            break;
        leave(loop);
        mr_loop_file_tell(file);
        mr_loop_called(loop, "file", NULL);
    }
    return count;
}

/* ------------------------------------------------------------------ the end */

static void drop(struct mr_loop *loop, struct mr_loop_file *file)
{
    leave(loop);
    mr_loop_file_drop(file);
}

static void cancel_all(struct uring_files *f)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&f->ring);

    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data(sqe, NULL);
    f->out_count++;
}

void mr_uring_files_close(struct mr_loop *loop, bool is_ours)
{
    struct uring_files *f = &loop->uring->files;
    struct mr_loop_file *file;
    struct io_uring_cqe *cqe;

    if (is_ours && f->out_count > 0)
        cancel_all(f);
    while (is_ours && f->out_count > 0) { /* its buffers are the caller's again behind this */
        (void)io_uring_submit_and_wait(&f->ring, 1);
        (void)io_uring_peek_cqe(&f->ring, &cqe);
        while ((file = next_over(f)) != NULL)
            drop(loop, file);
    }
    while ((file = take_first(f)) != NULL)
        drop(loop, file);
    mr_uring_ring_close(&f->ring);
    pthread_mutex_destroy(&f->mutex);
}
