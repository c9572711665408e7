/*
 * app/work.c - see work.h.
 */
#include "app/work.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct mr_offload {
    pthread_mutex_t lock; /* of all below, and of the jobs' is_queued and next */
    pthread_cond_t is_wanted;
    struct mr_offload_job *first;
    struct mr_offload_job *last;
    uint32_t queued_count;
    uint32_t queue_max;
    bool is_stopping;
    uint32_t thread_count; /* started */
    pthread_t threads[MR_OFFLOAD_THREADS_MAX];
};

/* ------------------------------------------------------------------ helpers */

/* Under the lock.  `before` comes before `job` in the queue; NULL: it is the first. */
static void unlink_job(struct mr_offload *offload, struct mr_offload_job *before,
                       struct mr_offload_job *job)
{
    if (before != NULL)
        before->next = job->next;
    else
        offload->first = job->next;
    if (offload->last == job)
        offload->last = before;
    job->is_queued = false;
    offload->queued_count--;
}

/* Wait for a job and take it.  NULL: the end. */
static struct mr_offload_job *take(struct mr_offload *offload)
{
    pthread_mutex_lock(&offload->lock);
    while (offload->first == NULL && !offload->is_stopping)
        pthread_cond_wait(&offload->is_wanted, &offload->lock);
    struct mr_offload_job *job = offload->is_stopping ? NULL : offload->first;
    if (job != NULL)
        unlink_job(offload, NULL, job);
    pthread_mutex_unlock(&offload->lock);
    return job;
}

static void *help(void *argument)
{
    struct mr_offload *offload = argument;

    for (struct mr_offload_job *job; (job = take(offload)) != NULL;) {
        job->result = job->function(job->argument);
        job->done(job);
    }
    return NULL;
}

/* ------------------------------------------------------------------ jobs */

int mr_offload_submit(struct mr_offload *offload, struct mr_offload_job *job)
{
    int result = 0;

    job->next = NULL;
    pthread_mutex_lock(&offload->lock);
    if (offload->queued_count >= offload->queue_max) {
        result = -EAGAIN;
    } else {
        if (offload->last != NULL)
            offload->last->next = job;
        else
            offload->first = job;
        offload->last = job;
        job->is_queued = true;
        offload->queued_count++;
        pthread_cond_signal(&offload->is_wanted);
    }
    pthread_mutex_unlock(&offload->lock);
    return result;
}

bool mr_offload_cancel(struct mr_offload *offload, struct mr_offload_job *job)
{
    struct mr_offload_job *before = NULL;

    pthread_mutex_lock(&offload->lock);
    bool is_queued = job->is_queued;
    if (is_queued) {
        for (struct mr_offload_job *j = offload->first; j != job; j = j->next)
            before = j;
        unlink_job(offload, before, job);
    }
    pthread_mutex_unlock(&offload->lock);
    return is_queued;
}

/* ------------------------------------------------------------------ life */

struct mr_offload *mr_offload_new(uint32_t threads, uint32_t queue_max, struct mr_fault *fault)
{
    MR_ASSERT(threads >= 1);
    MR_ASSERT(threads <= MR_OFFLOAD_THREADS_MAX);
    struct mr_offload *offload = calloc(1, sizeof(*offload));

    if (offload == NULL) {
        mr_fault_set(fault, ENOMEM, "helper threads: not enough memory");
        return NULL;
    }
    offload->queue_max = queue_max;
    pthread_mutex_init(&offload->lock, NULL);
    pthread_cond_init(&offload->is_wanted, NULL);
    for (; offload->thread_count < threads; offload->thread_count++) {
        int error = pthread_create(&offload->threads[offload->thread_count], NULL, help, offload);

        if (error != 0) {
            mr_fault_set(fault, error, "helper threads: %s; raise the limit (ulimit -u)",
                         strerror(error));
            mr_offload_free(offload);
            return NULL;
        }
    }
    return offload;
}

void mr_offload_free(struct mr_offload *offload)
{
    if (offload == NULL)
        return;
    pthread_mutex_lock(&offload->lock);
    offload->is_stopping = true;
    pthread_cond_broadcast(&offload->is_wanted);
    pthread_mutex_unlock(&offload->lock);
    for (uint32_t i = 0; i < offload->thread_count; i++)
        pthread_join(offload->threads[i], NULL);
    while (offload->first != NULL) {
        struct mr_offload_job *job = offload->first;

        unlink_job(offload, NULL, job);
        job->result = -ECANCELED;
        job->done(job);
    }
    pthread_cond_destroy(&offload->is_wanted);
    pthread_mutex_destroy(&offload->lock);
    free(offload);
}
