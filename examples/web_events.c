/*
 * examples/web_events.c - HTTP/3 (web.h) in the model "events": a server of a folder, or a fetcher
 * of pages, called back by the loop of this thread.
 *
 * Nothing here waits: names are looked up on a helper thread, answers come to on_page().  The same
 * fetcher, in a style that waits: web_fibers.c; on threads and a queue of the program's own:
 * web_exec.c.
 */
#include "examples/web_loop.h"

static struct web_loop on;
static int wanted_count; /* pages that have not come yet */
static int status;

static void finish(struct web_wanted *wanted, int result)
{
    status |= result;
    free(wanted);
    if (--wanted_count == 0)
        mr_loop_stop(on.loop);
}

/* ------------------------------------------------------------------ one page: three steps */

/* 3. It has come, or why not. */
static void on_page(void *context, const struct mr_http3_page *page)
{
    struct web_wanted *wanted = context;

    finish(wanted, web_print(wanted->text, page));
}

/* 2. Its server's address is known: 0; or it is not. */
static void on_address(void *argument, int64_t error)
{
    struct web_wanted *wanted = argument;

    if (error != 0)
        finish(wanted, web_fail_page(wanted->text, gai_strerror((int)error)));
    else
        web_get(&on.line, wanted, on_page, wanted);
}

/* 1. On a helper thread, which may wait for a name server. */
static int64_t look_up(void *argument)
{
    return web_look_up(argument);
}

/* False: it will not come, and that was said. */
static bool want(const struct web_task *task, const char *text)
{
    struct web_wanted *wanted = malloc(sizeof(*wanted));

    if (wanted != NULL)
        web_want(task, text, wanted);
    if (wanted != NULL && mr_loop_work(on.loop, look_up, on_address, wanted) == 0)
        return true;
    free(wanted);
    web_fail_page(text, "no memory");
    return false;
}

/* ------------------------------------------------------------------ two programs */

static int fetch(const struct web_task *task)
{
    for (int i = 0; i < task->url_count; i++) {
        if (want(task, task->urls[i]))
            wanted_count++;
        else
            status = 1;
    }
    if (wanted_count > 0 && mr_loop_run(on.loop) != 0)
        return web_loop_part(task, &on);
    return status;
}

static int serve(const struct web_task *task)
{
    web_say_serving(task);
    (void)mr_loop_run(on.loop);
    return web_loop_part(task, &on);
}

static int run(const struct web_task *task)
{
    int result = web_loop_new(task, &on);

    if (result == 0)
        result = web_loop_begin(task, &on);
    if (result == 0)
        result = task->folder != NULL ? serve(task) : fetch(task);
    web_loop_free(&on);
    return result;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
