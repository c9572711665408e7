/*
 * examples/kv_coro.cpp - a replicated key-value store in the model "coroutines": every conversation
 * has a task that listens and, while there is something to say, one that speaks; all on one thread.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <cstdio>

#include "examples/coro/conversations.hpp"
#include "examples/parting.h"

namespace
{

class program : private conversations
{
  public:
    explicit program(kv_app *a) : conversations(a, config(a))
    {
    }

    int run()
    {
        turn();
        try {
            context.run(kv_app_serves(app) ? serve() : rest());
        } catch (const millrace::error &) {
            mr_error why{};
            mr_datapath_state state = context.state(&why);

            if (!kv_app_is_over(app) && state >= MR_DATAPATH_DRAINED)
                return part("kv", kv_app_serves(app), state, &why);
            if (!kv_app_is_over(app)) /* else turn() has stopped it */
                throw;
        }
        return kv_app_status(app);
    }

  private:
    static mr_attach_config config(kv_app *a)
    {
        mr_attach_config c{};
        c.control = kv_app_control(a);
        c.name = kv_app_name(a);
        return c;
    }

    millrace::task<> serve()
    {
        millrace::listener listener = context.listen(kv_app_name(app));

        try {
            for (;;)
                context.spawn(answer(co_await listener.accept()));
        } catch (const millrace::error &) {
        } /* no more come, and those that are there go on until the datapath has ended */
        while (context.state() < MR_DATAPATH_DRAINED)
            co_await context.sleep_for(std::chrono::milliseconds(10));
        throw millrace::error(ENETDOWN, "kv");
    }

    millrace::task<> rest()
    {
        for (;;)
            co_await context.sleep_for(std::chrono::hours(1));
    }
};

} // namespace

int main(int argc, char **argv)
{
    kv_app *app = kv_app_new(argc, argv);
    int status = 1;
    if (app == nullptr)
        return 2;
    try {
        status = program(app).run();
    } catch (const std::system_error &e) {
        std::fprintf(stderr, "kv: %s\n", e.what());
    }
    kv_app_free(app);
    return status;
}
