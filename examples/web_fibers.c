/*
 * examples/web_fibers.c - HTTP/3 (web.h) in the model "fibers": a page is one call that waits, from
 * the name to the last byte, and many of them wait at once on one thread.
 *
 * Pages are printed in the order in which they come.  The same fetcher with callbacks:
 * web_events.c; the same call where each wait costs a thread: web_blocking.c.
 */
#include <errno.h>

#include <millrace/fiber_socket.h>

#include "examples/web_loop.h"

/* A page that has come. */
struct web_page {
    struct mr_http3_page page; /* its body is to be freed */
    uint8_t *body;
    char reason[160];
    bool is_there;
    struct mr_switchback back; /* who waits for it; fn NULL: nobody yet */
};

static const struct web_task *task;
static struct web_loop on;
static int status;

/* ------------------------------------------------------------------ the call that waits */

/* The loop has it; what it shows is valid during this call. */
static void take_page(void *context, const struct mr_http3_page *from)
{
    struct web_page *to = context;

    to->page = *from;
    snprintf(to->reason, sizeof(to->reason), "%s", from->reason);
    to->page.reason = to->reason;
    to->page.body = to->body = malloc(from->size + 1);
    if (to->body == NULL)
        to->page.error = -ENOMEM;
    else if (from->size > 0)
        memcpy(to->body, from->body, from->size);
    to->is_there = true;
    if (to->back.fn != NULL)
        to->back.fn(to->back.arg, 0);
}

/* The first address of a host.  NULL: found; or why not. */
static const char *find_address(struct web_wanted *wanted)
{
    struct sockaddr_storage found;
    int count = mr_fiber_resolve(wanted->url.host, "https", &found, 1); /* other fibers run */

    if (count < 0)
        return gai_strerror(count == -ENOENT   ? EAI_NONAME
                            : count == -EAGAIN ? EAI_AGAIN
                                               : EAI_FAIL);
    web_set_address(wanted, (const struct sockaddr *)&found);
    return NULL;
}

/*
 * Name, connection, TLS, request, answer, close.  NULL: page_out has what came, whatever its
 * status; else why nothing can be asked for.  The caller frees the body.
 */
static const char *get_web_page(struct web_wanted *wanted, struct web_page *page_out)
{
    const char *why = find_address(wanted);

    memset(page_out, 0, sizeof(*page_out));
    if (why != NULL)
        return why;
    web_get(&on.line, wanted, take_page, page_out);
    while (!page_out->is_there) { /* QUIC gives up on its own, in time */
        page_out->back = mr_fiber_switchback();
        (void)mr_hub_switch(MR_FOREVER, NULL);
    }
    return NULL;
}

/* ------------------------------------------------------------------ two programs */

/* A fiber: one page. */
static int64_t fetch_one(void *text)
{
    struct web_wanted wanted;
    struct web_page page;

    web_want(task, text, &wanted);
    const char *why = get_web_page(&wanted, &page);
    status |= why != NULL ? web_fail_page(text, why) : web_print(text, &page.page);
    free(page.body);
    return 0;
}

static int fetch(void)
{
    const struct mr_hub_options options = {.stack_size = 64 * 1024};
    const struct mr_fiber_options detached = {.is_detached = true};
    struct mr_error error;
    struct mr_hub *hub = mr_hub_new(&options, &error);

    if (hub == NULL || mr_hub_serve_loop(hub, on.loop) != 0)
        return web_fail(hub == NULL ? error.text : "no room on the hub");
    for (int i = 0; i < task->url_count; i++)
        status |= mr_fiber_spawn(fetch_one, task->urls[i], "fetch", &detached, NULL) != 0;
    (void)mr_hub_run(hub); /* until every fiber has ended */
    (void)mr_hub_close_loop(hub, on.loop, NULL);
    return status;
}

/* Pages are served by the loop: files come from helper threads, no fiber has to wait for them. */
static int serve(void)
{
    web_say_serving(task);
    (void)mr_loop_run(on.loop);
    return web_loop_part(task, &on);
}

static int run(const struct web_task *what)
{
    int result = web_loop_new(what, &on);

    task = what;
    if (result == 0)
        result = web_loop_begin(task, &on);
    if (result == 0)
        result = task->folder != NULL ? serve() : fetch();
    web_loop_free(&on);
    return result;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
