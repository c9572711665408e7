/*
 * examples/coro/conversations.hpp - the conversations of kv_coro.cpp, and when they are begun.
 *
 *     turn() --+-- reach()   connect, open a stream, listen_to()      one for each way to go
 *              +-- speak()   write while there is something to say    of who has something to say
 *              +-- turn_later()                                       when something is due
 *     answer()               accept a stream, listen_to()             one for each who comes
 */
#ifndef EXAMPLES_CORO_CONVERSATIONS_HPP
#define EXAMPLES_CORO_CONVERSATIONS_HPP

#include <memory>
#include <utility>
#include <vector>

#include <millrace/coro.hpp>

extern "C" {
#include "examples/kv/kv_app.h"
}

using std::chrono::nanoseconds;

struct conversation {
    millrace::connection conn;
    millrace::stream stream;
    kv_peer *peer = nullptr; /* null: over */
    bool is_writing = false;
};

using conversation_ref = std::shared_ptr<conversation>;

class conversations
{
  public:
    conversations(kv_app *a, const mr_attach_config &config) : app(a), context(config)
    {
    }

    /* Do what is due: begin conversations, let those speak who have something to say, and come back
     * in time. */
    void turn()
    {
        nanoseconds now(kv_now());
        nanoseconds wait(kv_app_tick(app, static_cast<std::uint64_t>(now.count())));
        kv_way way;

        while (kv_app_next_way(app, &way))
            context.spawn(reach(way));
        speak_all();
        if (kv_app_is_over(app))
            context.stop();
        if (due > now && due <= now + wait)
            return;
        due = now + wait;
        context.spawn(turn_later(wait));
    }

    millrace::task<> turn_later(nanoseconds wait)
    {
        co_await context.sleep_for(wait);
        turn();
    }

    void speak_all()
    {
        while (kv_peer *peer = kv_app_next_speaker(app)) {
            auto *c = static_cast<conversation_ref *>(kv_peer_context(peer))->get();
            std::uint64_t code = 0;

            if (kv_peer_is_ended(peer, &code))
                c->conn.close(code); /* its listener hears of it */
            else if (!std::exchange(c->is_writing, true))
                context.spawn(speak(*static_cast<conversation_ref *>(kv_peer_context(peer))));
        }
    }

    /* Say what there is to say.  Others may come to say more meanwhile. */
    millrace::task<> speak(conversation_ref c)
    {
        try {
            std::size_t size = 0;

            while (c->peer != nullptr) {
                const std::uint8_t *words = kv_peer_words(c->peer, &size);
                if (words == nullptr)
                    break;
                std::vector<std::uint8_t> bytes(words, words + size);
                kv_peer_said(c->peer, size);
                co_await c->stream.write(bytes);
            }
        } catch (const millrace::error &) { /* its listener hears of it, too */
        }
        c->is_writing = false;
    }

    /* Listen until it is over. */
    millrace::task<> listen(conversation_ref c)
    {
        std::uint64_t code = 0;

        try {
            while (millrace::chunk chunk = co_await c->stream.read_chunk()) {
                kv_peer_hear(c->peer, chunk.bytes().data(), chunk.bytes().size(), kv_now());
                turn();
            }
        } catch (const millrace::error &e) {
            code = e.peer_code();
        }
        kv_peer_leave(std::exchange(c->peer, nullptr), code);
        turn();
    }

    /* One that we begin. */
    millrace::task<> reach(kv_way way)
    {
        try {
            auto conn = co_await context.connect(way.ip, way.options.remote.port, "kv", "localhost",
                                                 way.options.is_insecure);
            auto stream = co_await conn.open();
            conversation_ref c(new conversation{std::move(conn), std::move(stream)});
            c->peer = kv_app_reached(app, &way, &c);
            if (c->peer == nullptr)
                co_return;
            turn();
            co_await listen(c);
        } catch (const millrace::error &) {
            kv_app_failed(app, &way);
        }
    }

    /* One that others begin. */
    millrace::task<> answer(millrace::connection conn)
    {
        auto stream = co_await conn.accept_stream();
        if (!stream)
            co_return;
        conversation_ref c(new conversation{std::move(conn), std::move(*stream)});
        c->peer = kv_app_accepted(app, &c);
        if (c->peer != nullptr)
            co_await listen(c);
    }

  protected:
    kv_app *app;
    nanoseconds due{0};
    millrace::context context; /* last: its tasks go first */
};

#endif /* EXAMPLES_CORO_CONVERSATIONS_HPP */
