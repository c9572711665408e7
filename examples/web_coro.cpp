/*
 * examples/web_coro.cpp - HTTP/3 (web.h) in the model "coroutines": straight-line code, a task for
 * each connection and each stream, all on one thread.
 *
 *     context --+-- fetch(): look up, ask, wait for the page, print     one for each page
 *               +-- serve(): accept, accept, ...
 *               +-- a connection's task:  accept a stream, accept a stream, ...
 *               +-- a stream's task:      read, tell HTTP/3, read, ...
 *               +-- a task for each thing that HTTP/3 wants and that may have to wait
 *
 * HTTP/3 (millrace/http3_io.h) knows no coroutines: settle() (coro/wishes.hpp) starts one of
 * coro/tasks.hpp for each of its wishes.  The same as entries, on which coroutines stand:
 * web_rings.c.
 */
#include "examples/coro/wishes.hpp"

static const web_task *what;

/* ------------------------------------------------------------------ two programs */

static void take(millrace::connection connection)
{
    end_ref e = make_end(MR_HANDLE_NONE);

    e->connection = std::move(connection);
    e->handle = mr_http3_io_accept(web.io, e.get());
    if (e->handle != MR_HANDLE_NONE)
        context->spawn(accept_streams(e));
    else
        e->connection->close(WEB_NO_ROOM), ends.erase(e.get());
    settle();
}

static task<> serve()
{
    millrace::listener listener = context->listen("web");

    web_say_serving(what);
    settle();
    try {
        for (;;)
            take(co_await listener.accept());
    } catch (const millrace::error &) {
    } /* no more come: finish with those that are there */
    mr_http3_io_go_away(web.io);
    settle();
    while (!ends.empty() && context->state() < MR_DATAPATH_DRAINED)
        co_await context->sleep_for(std::chrono::milliseconds(10));
}

/* A page that is waited for. */
struct page {
    const char *url;
    millrace::event came;
    int status = 0;
};

static void on_page(void *context_of, const mr_http3_page *from)
{
    page *p = static_cast<page *>(context_of);

    p->status = web_print(p->url, from); /* what is shown is there during this call */
    p->came.set();
}

/* Name, connection, TLS, request, answer: one after the other, while others do the same. */
static task<int> fetch(const char *url)
{
    page p{url, millrace::event(*context)};
    web_wanted wanted;

    web_want(what, url, &wanted);
    int error = web_look_up(&wanted);
    if (error != 0)
        co_return web_fail_page(url, gai_strerror(error));
    web_get(&web.line, &wanted, on_page, &p);
    settle();
    co_await p.came.wait();
    co_return p.status;
}

static task<int> fetch_all()
{
    std::vector<millrace::joiner<int>> pages;
    int status = 0;

    for (int i = 0; i < what->url_count; i++)
        pages.push_back(context->spawn(fetch(what->urls[i])));
    for (auto &one : pages)
        status |= co_await one.join();
    co_return status;
}

static int run(const web_task *given)
{
    mr_attach_config config{};
    int status = web_io_new(given, &web);

    what = given;
    config.control = what->control;
    config.name = what->folder != nullptr ? "web" : "web-client";
    config.patience_ns = WEB_PATIENCE_NS;
    try {
        millrace::context own(config);
        context = &own;
        struct forget_all {
            ~forget_all() /* before the context, whose they are */
            {
                ends.clear();
            }
        } forget;
        if (status == 0 && what->folder == nullptr) {
            status = own.run(fetch_all());
        } else if (status == 0) {
            mr_error why{};
            own.run(serve());
            mr_datapath_state state = own.state(&why);
            status = web_part(what, state, &why);
        }
    } catch (const millrace::error &error) {
        if (error.code() == std::errc::no_such_file_or_directory && context != nullptr)
            status = web_fail_listener();
        else
            status = web_fail(error.what());
    }
    web_io_free(&web);
    return status;
}

int main(int argc, char **argv)
{
    return web_main(argc, argv, run);
}
