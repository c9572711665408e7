/*
 * examples/web.h - the program `web`, which is written once in every I/O model: what it does, and
 * what of it has nothing to do with I/O.
 *
 *     millrace host --port loopback --control /tmp/mr.sock \
 *                   --listener name=web,alpn=h3,port=4433,application=web &
 *     PROGRAM /tmp/mr.sock serve FOLDER &
 *     PROGRAM /tmp/mr.sock get [-k] https://198.18.0.1:4433/ https://198.18.0.1:4433/page.txt
 *
 *     web_events     called back by a loop              web_rings      entries in, entries out
 *     web_exec       the program's threads, its epoll   web_sockets    whatever is ready
 *     web_fibers     a page is a call; fibers wait      web_coro       a page is a call; tasks wait
 *     web_blocking   a page is a call; threads wait     web_inline.so  on the datapath's own cores
 *
 * The server shows a folder: files, indexes, listings, nothing outside of it; until its datapath
 * lets go of it (examples/parting.h): when that drains, requests that have come are answered, and
 * clients are told to make no more.  The fetcher gets all
 * pages at once, over a connection each, and prints them as they come; -k takes any certificate.
 * It ends with 0 if all have come with a status below 300; with 1 if one has not, and says why;
 * with 2 if it is called wrongly, which it says before it attaches.
 *
 * The left column drives HTTP/3 as an application of a loop (mr_ev_guest()).  The right one has
 * only bytes and events of streams, in its own model, and passes them on (millrace/http3_io.h).
 *
 * For C and C++.
 */
#ifndef EXAMPLES_WEB_H
#define EXAMPLES_WEB_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <millrace/http3.h>

#include "examples/parting.h"

#define WEB_PATIENCE_NS UINT64_C(10000000000) /* for a datapath that is not there yet */

/* What is to be done, from the command line. */
struct web_task {
    const char *control; /* the datapath's socket */
    const char *folder;  /* NULL: fetch */
    char **urls;         /* url_count, */
    int url_count;
    bool is_insecure;
};

/* ------------------------------------------------------------------ what it says */

/* Why it does not work: the status. */
static inline int web_fail(const char *why)
{
    fprintf(stderr, "web: %s\n", why);
    return 1;
}

/* Its datapath has let go of it: the status. */
static inline int web_part(const struct web_task *task, enum mr_datapath_state state,
                           const struct mr_error *why)
{
    return part("web", task->folder != NULL, state, why);
}

static inline int web_fail_listener(void)
{
    return web_fail("the datapath has no listener for us; start it with "
                    "--listener name=web,alpn=h3,port=4433,application=web");
}

/* Why a page has not come: the status. */
static inline int web_fail_page(const char *url, const char *why)
{
    fprintf(stderr, "web: %s: %s\n", url, why);
    return 1;
}

static inline void web_say_serving(const struct web_task *task)
{
    printf("web: serving %s\n", task->folder);
    fflush(stdout);
}

/* ------------------------------------------------------------------ the command line */

static inline struct mr_http3_server_config web_server_config(const struct web_task *task)
{
    struct mr_http3_server_config config;

    memset(&config, 0, sizeof(config));
    config.root = task->folder;
    config.has_listings = true;
    return config;
}

/* Before anybody is asked for anything: 0, or the status: it said why. */
static inline int web_check(const struct web_task *task)
{
    struct mr_http3_url url;
    struct stat folder;
    int status = 0;

    for (int i = 0; i < task->url_count; i++) {
        if (mr_http3_url_parse(task->urls[i], &url) == 0)
            continue;
        web_fail_page(task->urls[i], "not a URL like https://198.18.0.1:4433/page");
        status = 2;
    }
    if (task->folder == NULL || (stat(task->folder, &folder) == 0 && S_ISDIR(folder.st_mode)))
        return status;
    return web_fail_page(task->folder, "no folder that can be served");
}

/* What main() does: `run` serves, or fetches, and returns the status. */
static inline int web_main(int argc, char **argv, int (*run)(const struct web_task *task))
{
    static struct web_task task; /* some keep its address */
    bool is_server = argc == 4 && strcmp(argv[2], "serve") == 0;
    bool is_fetcher = argc > 3 && strcmp(argv[2], "get") == 0;

    memset(&task, 0, sizeof(task));
    task.is_insecure = is_fetcher && strcmp(argv[3], "-k") == 0;
    if (!is_server && (!is_fetcher || (task.is_insecure && argc == 4))) {
        fprintf(stderr, "usage: %s SOCKET serve FOLDER | SOCKET get [-k] URL...\n", argv[0]);
        return 2;
    }
    task.control = argv[1];
    task.folder = is_server ? argv[3] : NULL;
    task.urls = argv + 3 + task.is_insecure;
    task.url_count = is_server ? 0 : argc - 3 - task.is_insecure;
    int status = web_check(&task);
    return status != 0 ? status : run(&task);
}

#endif /* EXAMPLES_WEB_H */
