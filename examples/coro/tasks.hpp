/*
 * examples/coro/tasks.hpp - what coroutines do for HTTP/3 (millrace/http3_io.h): each of them one
 * thing, from its begin to its end, which waits where that takes time.
 *
 *     accept_streams(), read()                  tell what the peer does
 *     connect(), open(), write(), close()       do what HTTP/3 wants; and say that it is done
 *
 * Whoever has told something calls settle(), which sees to what HTTP/3 wants then.
 */
#ifndef EXAMPLES_CORO_TASKS_HPP
#define EXAMPLES_CORO_TASKS_HPP

#include <memory>
#include <unordered_map>

#include <millrace/coro.hpp>

#include "examples/web_io.h"

using millrace::bytes_view;
using millrace::task;

/* A connection or a stream, and what HTTP/3 calls it. */
struct end {
    mr_handle handle = MR_HANDLE_NONE;
    std::optional<millrace::connection> connection; /* one */
    std::optional<millrace::stream> stream;         /* or the other */
    std::vector<std::weak_ptr<end>> streams;        /* of the connection */
    millrace::chunk chunk;                          /* of the stream, */
    std::size_t taken = 0;                          /* so many bytes of it */
    bool has_end = false;                           /* nothing follows it */
};

using end_ref = std::shared_ptr<end>;

static millrace::context *context;
static web_io web;
static std::unordered_map<void *, end_ref> ends; /* that HTTP/3 has not forgotten */

static void settle();

static end_ref make_end(mr_handle handle)
{
    end_ref e = std::make_shared<end>();

    e->handle = handle;
    ends.emplace(e.get(), e);
    return e;
}

/* ------------------------------------------------------------------ what HTTP/3 is told */

/* Until the end, or until HTTP/3 takes no more: it says when it does.  A chunk lies where the
 * datapath put it, and goes back when the next is read: who is not read from has to wait. */
static task<> read(end_ref e)
{
    try {
        for (bool is_all = true; is_all && !e->has_end;) {
            if (e->taken == e->chunk.bytes().size()) {
                e->chunk = co_await e->stream->read_chunk();
                e->taken = 0;
                e->has_end = !e->chunk;
            }
            bytes_view left = e->chunk.bytes().subspan(e->taken);
            std::size_t n =
                mr_http3_io_feed(web.io, e->handle, left.data(), left.size(), e->has_end);
            e->taken += n;
            is_all = n == left.size();
            settle();
        }
    } catch (const millrace::error &error) {
        if (error.code() == std::errc::connection_reset)
            mr_http3_io_reset(web.io, e->handle, error.peer_code());
        settle();
    }
}

/* Why a connection is over, in words: the peer's, or those of a datapath that has let go of us. */
static std::string why_over(const std::string &reason)
{
    mr_error why{};

    return reason.empty() && context->state(&why) >= MR_DATAPATH_DRAINED ? why.text : reason;
}

/* Streams that the peer opens, until the connection is over. */
static task<> accept_streams(end_ref e)
{
    try {
        while (auto stream = co_await e->connection->accept_stream()) {
            end_ref s = make_end(MR_HANDLE_NONE);
            s->stream = std::move(*stream);
            s->handle = mr_http3_io_stream(web.io, e->handle, s->stream->id(), s.get());
            e->streams.push_back(s);
            if (s->handle != MR_HANDLE_NONE)
                context->spawn(read(s));
            else
                ends.erase(s.get()); /* which resets and stops it */
            settle();
        }
    } catch (const millrace::error &) {
    }
    millrace::connection_end how = co_await e->connection->closed();
    std::string reason = why_over(how.reason);
    mr_http3_io_end over = {how.code, how.is_application, how.is_remote, reason.c_str()};
    mr_http3_io_closed(web.io, e->handle, &over);
    settle();
}

/* ------------------------------------------------------------------ what HTTP/3 wants */

static task<> connect(end_ref e, mr_connect_options options, std::string name)
{
    char address[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, options.remote.ip, address, sizeof(address));
    try {
        e->connection = co_await context->connect(address, options.remote.port, "h3", name,
                                                  options.is_insecure);
    } catch (const millrace::error &error) {
        bool is_closed = error.code() == std::errc::connection_aborted;
        std::string reason = why_over(is_closed ? error.reason() : error.what());
        mr_http3_io_end over = {error.peer_code(), false, is_closed, reason.c_str()};
        mr_http3_io_closed(web.io, e->handle, &over);
        settle();
        co_return;
    }
    if (ends.count(e.get()) == 0)
        co_return; /* nobody wants it any more: it closes */
    mr_http3_io_connected(web.io, e->handle);
    settle();
    co_await accept_streams(e);
}

static task<> open(end_ref connection, mr_handle handle, bool is_uni)
{
    auto stream = co_await connection->connection->open(is_uni); /* while the peer allows no more */
    end_ref s = make_end(handle);

    s->stream = std::move(stream);
    connection->streams.push_back(s);
    mr_http3_io_opened(web.io, handle, s.get());
    if (!is_uni)
        context->spawn(read(s));
    settle();
}

static task<> write(end_ref s, bytes_view bytes, bool is_last)
{
    try {
        co_await s->stream->write(bytes, is_last); /* while there is no room */
        mr_http3_io_sent(web.io, s->handle, bytes.size());
    } catch (const millrace::error &error) {
        if (error.code() == std::errc::broken_pipe)
            mr_http3_io_stopped(web.io, s->handle, error.peer_code());
    }
    settle();
}

/* Keeps the stream until the peer has all of it. */
static task<> flush(end_ref s)
{
    s->stream->stop(); /* if it is not over */
    co_await s->stream->flush();
}

static task<> close(end_ref e, std::uint64_t code)
{
    for (std::size_t i = 0; i < e->streams.size(); i++)
        if (end_ref s = e->streams[i].lock())
            co_await s->stream->flush();
    e->connection->close(code); /* its task hears of it */
}

#endif /* EXAMPLES_CORO_TASKS_HPP */
