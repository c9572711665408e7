/*
 * examples/echo_coro.cpp - echo (echo.h) in the model "coroutines": straight-line code, a task for
 * each connection and each stream, all on one thread.
 *
 *     context --+-- serve():  accept, accept, ...
 *               +-- a connection's task:  accept a stream, accept a stream, ...
 *               +-- a stream's task:  read, write, read, write, ...
 *
 * What waits is a coroutine's frame, some hundred bytes.  The same with a stack for each:
 * echo_fibers.c; with entries, on which coroutines stand: echo_rings.c.
 */
#include <memory>

#include <millrace/coro.hpp>

#include "examples/echo.h"

/* ------------------------------------------------------------------ the server */

/*
 * Until the end.  A chunk's bytes are where the datapath put them; the chunk gives them back when
 * the loop goes on, and it does not before they are written: who does not read is not read from.
 */
static millrace::task<> pass_on(millrace::stream &in, millrace::stream &out)
{
    try {
        while (millrace::chunk chunk = co_await in.read_chunk())
            co_await out.write(chunk.bytes());
        co_await out.write({}, true);
        co_await out.flush(); /* the peer has it all */
    } catch (const millrace::error &e) {
        if (e.code() == std::errc::connection_reset)
            out.reset(e.peer_code());
        else if (e.code() == std::errc::broken_pipe)
            in.stop(e.peer_code());
    }
}

/* Parameters by value live in the coroutine's frame; a stream that is destroyed is reset and
 * stopped, if it is not over. */
static millrace::task<> echo(millrace::stream stream)
{
    co_await pass_on(stream, stream);
}

/* A stream that goes one way is answered by another, as soon as the peer lets us open it. */
static millrace::task<> echo_one_way(std::shared_ptr<millrace::connection> connection,
                                     millrace::stream in)
{
    millrace::stream out = co_await connection->open(true);

    co_await pass_on(in, out);
}

/* Streams are served beside each other: each has a task, which nobody waits for. */
static millrace::task<> serve_connection(millrace::context &context, millrace::connection accepted)
{
    auto connection = std::make_shared<millrace::connection>(std::move(accepted));

    while (auto stream = co_await connection->accept_stream()) {
        if (stream->is_unidirectional())
            context.spawn(echo_one_way(connection, std::move(*stream)));
        else
            context.spawn(echo(std::move(*stream)));
    }
}

static millrace::task<bool> serve(millrace::context &context)
{
    millrace::listener listener = context.listen("echo");

    echo_say_serving();
    try {
        for (;;)
            context.spawn(serve_connection(context, co_await listener.accept()));
    } catch (const millrace::error &) {
    } /* no more come, and those that are there go on until they are over */
    while (context.task_count() > 1)
        co_await context.sleep_for(std::chrono::milliseconds(10));
    co_return false;
}

/* ------------------------------------------------------------------ the client */

static millrace::task<> send(millrace::stream &stream, const echo_task &task)
{
    co_await stream.write({task.text, task.size}, true);
}

/* The server sends back while we still send: that is a task of its own.  True: it is all there. */
static millrace::task<bool> exchange(millrace::context &context, millrace::connection &connection,
                                     const echo_task &task)
{
    try {
        millrace::stream stream = co_await connection.open();
        millrace::joiner<> sender = context.spawn(send(stream, task));

        while (millrace::chunk chunk = co_await stream.read_chunk())
            echo_print(chunk.bytes().data(), chunk.bytes().size());
        co_await sender.join();
        co_return true;
    } catch (const millrace::error &) {
        co_return false; /* how its connection has ended says why */
    }
}

static millrace::task<bool> ask(millrace::context &context, const echo_task &task, echo_loss &loss)
{
    millrace::connection connection =
        co_await context.connect(task.address, task.remote.port, "echo", "localhost");
    bool is_answered = co_await exchange(context, connection, task);

    connection.close(); /* if it is not over */
    millrace::connection_end how = co_await connection.closed();
    if (!is_answered && (how.is_remote || !how.is_application))
        echo_lose(&loss, how.code, how.is_application, how.reason.c_str());
    co_return is_answered;
}

/* ------------------------------------------------------------------ both */

static int run(const echo_task *task)
{
    mr_attach_config config = echo_attach(task);
    mr_attachment *attachment;
    mr_error error;

    config.wants_reasons = true;
    if (mr_attach(&config, &attachment, &error) != 0)
        return echo_fail(error.text);
    bool is_answered = false, has_listener = true;
    echo_loss loss{};
    try {
        millrace::context context(attachment);
        is_answered =
            context.run(task->address == nullptr ? serve(context) : ask(context, *task, loss));
    } catch (const millrace::error &e) {
        has_listener = e.code() != std::errc::no_such_file_or_directory;
        if (!loss.is_told) /* no connection came about */
            echo_lose(&loss, e.peer_code(), false, e.reason().c_str());
    }
    mr_datapath_state state = mr_attach_state(attachment, &error);
    int status =
        has_listener ? echo_end(task, is_answered, &loss, state, &error) : echo_fail_listener();
    mr_detach(attachment);
    return status;
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, run);
}
