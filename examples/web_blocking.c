/*
 * examples/web_blocking.c - HTTP/3 (web.h) in the model "blocking": get_web_page() as it is written
 * for plain threads, and a thread for each page.
 *
 * Every thread has a loop, and so rings, of its own, which it runs while it waits: AT_ONCE of them
 * at most.  The server is as many threads, each in a call that returns when the datapath lets go:
 * they share nothing, and the datapath deals connections out among them.  The same with one thread
 * for all pages: web_fibers.c, web_events.c.
 */
#include <pthread.h>

#include "examples/web_loop.h"

enum {
    AT_ONCE = 4
};

static const struct web_task *task;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static int next_url;
static int serving_count, ended_count;
static enum mr_datapath_state worst; /* that a thread has seen */
static struct mr_error worst_why;
static int status;

/* ------------------------------------------------------------------ the call that waits */

/* A page that has come. */
struct web_page {
    struct mr_http3_page page; /* its body is to be freed */
    uint8_t *body;
    char reason[160];
    bool is_there;
};

/* The loop has it; what it shows is valid during this call. */
static void take_page(void *context, const struct mr_http3_page *from)
{
    struct web_page *to = context;

    to->page = *from;
    snprintf(to->reason, sizeof(to->reason), "%s", from->reason);
    to->page.reason = to->reason;
    to->page.body = to->body = malloc(from->size + 1);
    if (to->body == NULL)
        to->page.error = -1;
    else if (from->size > 0)
        memcpy(to->body, from->body, from->size);
    to->is_there = true;
}

/* Name, connection, TLS, request, answer, close.  NULL: page_out has what came, whatever its
 * status; else why nothing can be asked for.  The caller frees the body. */
static const char *get_web_page(struct web_loop *on, struct web_wanted *wanted,
                                struct web_page *page_out)
{
    int error = web_look_up(wanted);

    memset(page_out, 0, sizeof(*page_out));
    if (error != 0)
        return gai_strerror(error);
    web_get(&on->line, wanted, take_page, page_out);
    while (!page_out->is_there)
        (void)mr_loop_run_once(on->loop, MR_FOREVER); /* a datapath that goes away is told, too */
    return NULL;
}

/* ------------------------------------------------------------------ threads */

static void add_status(int result)
{
    pthread_mutex_lock(&lock);
    status |= result;
    pthread_mutex_unlock(&lock);
}

static const char *take_url(void)
{
    pthread_mutex_lock(&lock);
    const char *url = next_url < task->url_count ? task->urls[next_url++] : NULL;
    pthread_mutex_unlock(&lock);
    return url;
}

static void fetch(struct web_loop *on)
{
    struct web_wanted wanted;
    struct web_page page;
    const char *url;

    while ((url = take_url()) != NULL) {
        web_want(task, url, &wanted);
        const char *why = get_web_page(on, &wanted, &page);
        pthread_mutex_lock(&lock); /* one page at a time, whole */
        status |= why != NULL ? web_fail_page(url, why) : web_print(url, &page.page);
        pthread_mutex_unlock(&lock);
        free(page.body);
    }
}

/* The last thread that is ready says so, the last that ends says why. */
static void serve(struct web_loop *on)
{
    pthread_mutex_lock(&lock);
    if (++serving_count == AT_ONCE)
        web_say_serving(task);
    pthread_mutex_unlock(&lock);
    (void)mr_loop_run(on->loop);
    pthread_mutex_lock(&lock);
    struct mr_error why;
    enum mr_datapath_state state = mr_loop_state(on->loop, &why);
    if (state > worst) {
        worst = state;
        worst_why = why;
    }
    if (++ended_count == AT_ONCE)
        status |= web_part(task, worst, &worst_why);
    pthread_mutex_unlock(&lock);
}

static void *work(void *unused)
{
    struct web_loop on;
    int result = web_loop_new(task, &on);

    if (result == 0)
        result = web_loop_begin(task, &on);
    if (result != 0)
        add_status(result);
    else if (task->folder != NULL)
        serve(&on);
    else
        fetch(&on);
    web_loop_free(&on);
    return unused;
}

static int run(const struct web_task *what)
{
    pthread_t threads[AT_ONCE];
    int wanted = what->folder != NULL || what->url_count > AT_ONCE ? AT_ONCE : what->url_count;
    int count = 0;

    task = what;
    while (count < wanted && pthread_create(&threads[count], NULL, work, NULL) == 0)
        count++;
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return count < wanted ? web_fail("no thread") : status;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
