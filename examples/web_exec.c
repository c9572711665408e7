/*
 * examples/web_exec.c - HTTP/3 (web.h) in the model "own execution": the program makes the threads
 * and the queues in which they wait; no thread is millrace's.
 *
 *     thread --+-- an epoll of its own (exec/queue.h): the loop's descriptor, and whatever else
 *              +-- a loop with HTTP/3 on it: mr_exec_poll() runs what is there, and says whether
 *                  more is
 *
 * The server is THREADS of these, which share nothing but the folder.  The fetcher is one, and
 * looks names up on a thread of its own: what that has found it hands over with mr_loop_post(),
 * which makes the loop's descriptor readable.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "examples/exec/queue.h"
#include "examples/web_loop.h"

#define THREADS 2

struct worker {
    pthread_t thread;
    struct web_loop on;
    int queue;
};

/* A page, on its way from the thread that looks names up to the one that has the loop. */
struct page {
    struct web_wanted wanted;
    struct worker *worker;
    int error; /* of the look-up */
};

static const struct web_task *task;
static _Atomic(const struct worker *) ended; /* its datapath has let go of it */
static int wanted_count; /* pages that have not come yet; of the worker's thread */
static int status;       /* likewise */

/* ------------------------------------------------------------------ a thread and its queue */

static void *work(void *argument)
{
    struct worker *w = argument;

    if (queue_run(w->queue, w->on.loop))
        ended = w;
    stop(); /* the others end, too */
    return NULL;
}

/* 0, or the status: it said why. */
static int start(struct worker *w)
{
    int result = web_loop_new(task, &w->on);

    if (result == 0)
        result = web_loop_begin(task, &w->on);
    if (result != 0)
        return result;
    w->queue = queue_new(w->on.loop);
    return pthread_create(&w->thread, NULL, work, w) == 0 ? 0 : web_fail("no thread");
}

/* ------------------------------------------------------------------ a page: three steps */

static void finish(struct page *page, int result)
{
    status |= result;
    free(page);
    if (--wanted_count == 0)
        stop();
}

/* 3. On the worker's thread: it has come, or why not. */
static void on_page(void *context, const struct mr_http3_page *from)
{
    struct page *page = context;

    finish(page, web_print(page->wanted.text, from));
}

/* 2. Likewise: its server's address is known, or it is not. */
static void on_address(void *argument)
{
    struct page *page = argument;

    if (page->error != 0)
        finish(page, web_fail_page(page->wanted.text, gai_strerror(page->error)));
    else
        web_get(&page->worker->on.line, &page->wanted, on_page, page);
}

/* 1. On the main thread, which may wait for a name server as long as it likes. */
static void look_up(struct page *page)
{
    page->error = web_look_up(&page->wanted);
    if (mr_loop_post(page->worker->on.loop, on_address, page) != 0)
        exit(web_fail("no memory"));
}

/* The pages, counted before the first of them can come. */
static int fetch(struct worker *w)
{
    struct page **pages = calloc((size_t)task->url_count, sizeof(struct page *));
    int count = task->url_count;

    for (int i = 0; i < count; i++) {
        struct page *page = calloc(1, sizeof(*page));
        if (pages == NULL || page == NULL)
            exit(web_fail("no memory"));
        page->worker = w;
        web_want(task, task->urls[i], &page->wanted);
        pages[i] = page;
    }
    wanted_count = count;
    if (start(w) != 0)
        return 1;
    for (int i = 0; i < count; i++)
        look_up(pages[i]);
    pthread_join(w->thread, NULL);
    free(pages);
    return wanted_count > 0 ? web_loop_part(task, &w->on) : status;
}

static int serve(struct worker *workers)
{
    int count = 0, result = 0;

    while (count < THREADS && (result = start(&workers[count])) == 0)
        count++;
    if (result != 0)
        stop();
    else
        web_say_serving(task);
    for (int i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    return result != 0 ? result : web_loop_part(task, &ended->on);
}

static int run(const struct web_task *what)
{
    static struct worker workers[THREADS];

    task = what;
    queues_begin();
    int result = what->folder != NULL ? serve(workers) : fetch(&workers[0]);
    for (int i = 0; i < THREADS; i++)
        web_loop_free(&workers[i].on);
    return result;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
