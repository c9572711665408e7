/*
 * examples/coro/wishes.hpp - what HTTP/3 wants (mr_http3_io_next()), each done by a coroutine of
 * tasks.hpp, or at once where nothing has to wait.
 */
#ifndef EXAMPLES_CORO_WISHES_HPP
#define EXAMPLES_CORO_WISHES_HPP

#include "examples/coro/tasks.hpp"

static millrace::clock::time_point next_tick = millrace::clock::time_point::max();

static void do_wish(const mr_http3_io_wish &wish)
{
    auto found = ends.find(wish.user);
    end_ref e = found == ends.end() ? nullptr : found->second;
    const mr_http3_io_end nobody = {wish.code, true, false, nullptr};

    switch (wish.kind) {
    case MR_HTTP3_IO_CONNECT:
        e = make_end(wish.object);
        mr_http3_io_set_user(web.io, wish.object, e.get());
        context->spawn(connect(e, *wish.options, wish.options->server_name));
        break;
    case MR_HTTP3_IO_OPEN:
        context->spawn(open(ends.at(wish.conn_user), wish.object, wish.is_uni));
        break;
    case MR_HTTP3_IO_SEND:
        context->spawn(write(e, {wish.data, wish.size}, wish.is_fin));
        break;
    case MR_HTTP3_IO_RESET:
        e->stream->reset(wish.code);
        break;
    case MR_HTTP3_IO_STOP:
        e->stream->stop(wish.code);
        break;
    case MR_HTTP3_IO_READ:
        context->spawn(read(e));
        break;
    case MR_HTTP3_IO_CLOSE:
        if (e && e->connection)
            context->spawn(close(e, wish.code));
        else
            mr_http3_io_closed(web.io, wish.object, &nobody);
        break;
    case MR_HTTP3_IO_END:
        if (e && e->stream)
            context->spawn(flush(e));
        ends.erase(wish.user);
    }
}

static task<> tick(millrace::clock::time_point when)
{
    co_await context->sleep_for(when - millrace::clock::now());
    if (next_tick == when)
        next_tick = millrace::clock::time_point::max();
    settle();
}

/* Do what is due and what is wanted, after whatever was told; come back when more is due. */
static void settle()
{
    mr_http3_io_wish wish;

    do {
        mr_http3_io_poll(web.io, web_now());
        while (mr_http3_io_next(web.io, &wish))
            do_wish(wish);
    } while (web_io_patience(&web) == 0);
    if (web_io_patience(&web) == UINT64_MAX)
        return;
    auto when = millrace::clock::now() + std::chrono::nanoseconds(web_io_patience(&web));
    if (when < next_tick) {
        next_tick = when;
        context->spawn(tick(when));
    }
}

#endif /* EXAMPLES_CORO_WISHES_HPP */
