/* tools/model_coro.cpp - see model.h: C++20 coroutines. */
#include <cstdio>

#include <millrace/coro.hpp>

#include "tools/model_task.h"

static millrace::task<> echo(mr_bench_task *task, millrace::stream stream)
{
    while (millrace::chunk chunk = co_await stream.read_chunk()) {
        co_await stream.write(chunk.bytes());
        mr_model_note(task, 0, chunk.bytes().size()); /* write() copies */
    }
    co_await stream.write({}, true);
}

static millrace::task<> serve_connection(mr_bench_task *task, millrace::context &context,
                                         millrace::connection connection)
{
    while (auto stream = co_await connection.accept_stream())
        context.spawn(echo(task, std::move(*stream)));
}

static millrace::task<> serve(mr_bench_task *task, millrace::context &context)
{
    millrace::listener listener = context.listen(MR_MODEL_LISTENER);

    mr_model_ready(task);
    for (;;)
        context.spawn(serve_connection(task, context, co_await listener.accept()));
}

bool mr_model_has_coroutines(void)
{
    return true;
}

int mr_model_coroutines(mr_bench_task *task, void *config)
{
    (void)config;
    try {
        millrace::context context(mr_model_attach_config(task));
        context.run(serve(task, context));
    } catch (const millrace::error &e) {
        if (e.code() == std::errc::network_down)
            return 0; /* the datapath lets go */
        return mr_model_fail(task, e.what());
    } catch (const std::exception &e) {
        return mr_model_fail(task, e.what());
    }
    return 0;
}
