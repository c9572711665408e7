/* Tests of millrace/coro.hpp: RESET_STREAM_AT, datagrams, paths, 0-RTT; the datapath in memory
 * (tests/support/coro_world.h). */
#include "millrace/coro.hpp"

#include <string>

#include "tests/support/coro_world.h"
#include "tests/unit/harness.h"

using millrace::bytes_of;
using millrace::context;
using millrace::task;

namespace
{

constexpr std::uint16_t deaf_port = 9; /* LOOP_DEAF_PORT */

/* A client, a server, and a connection between them. */
struct bench {
    coro_world *world;
    mr_attachment *ends[2];
    std::unique_ptr<context> client;
    std::unique_ptr<context> server;
    std::optional<millrace::connection> ours;
    std::optional<millrace::connection> theirs;

    /* `change` changes the defaults. */
    explicit bench(void (*change)(coro_world_config &) = [](coro_world_config &) {})
    {
        coro_world_config config{};

        change(config);
        world = coro_world_new(&config);
        for (int i = 0; i < 2; i++)
            ends[i] = coro_world_attach(world, i == 1, 1);
        client = std::make_unique<context>(ends[0]);
        server = std::make_unique<context>(ends[1]);
        auto accepted = server->spawn([](bench &b) -> task<> {
            auto listener = b.server->listen("any");
            b.theirs.emplace(co_await listener.accept());
        }(*this));
        auto connected = client->spawn([](bench &b) -> task<> {
            b.ours.emplace(
                co_await b.client->connect("127.0.0.1", 4433, "echo", "localhost", true));
        }(*this));
        finish(accepted, connected);
        accepted.take();
        connected.take();
    }
    bench(const bench &) = delete;
    bench &operator=(const bench &) = delete;
    ~bench()
    {
        ours.reset();
        theirs.reset();
        client.reset();
        server.reset();
        for (mr_attachment *end : ends)
            mr_detach(end);
        coro_world_free(world);
    }

    void step()
    {
        coro_world_step(world);
        client->poll();
        server->poll();
    }

    /* Step until the tasks have ended. */
    template <class... Joiners> void finish(const Joiners &...joiners)
    {
        for (int i = 0; i < 20000 && !(joiners.is_over() && ...); i++)
            step();
        bool are_over = (joiners.is_over() && ...);
        CU_ASSERT(are_over);
    }
};

/* The error number of what a task threw; 0: nothing. */
template <class T> int thrown(millrace::joiner<T> &joiner)
{
    try {
        (void)joiner.take();
    } catch (const millrace::error &e) {
        return e.code().value();
    }
    return 0;
}

/* ------------------------------------------------------------------ RESET_STREAM_AT */

task<> give_up(millrace::connection &c, std::vector<std::uint8_t> bytes, std::uint64_t reliable,
               std::optional<millrace::stream> &kept)
{
    kept.emplace(co_await c.open());
    co_await kept->write(bytes);
    co_await kept->reset_at(7, reliable);
    bool is_refused = false;
    try {
        co_await kept->write(bytes);
    } catch (const millrace::error &e) {
        is_refused = e.code().value() == EPIPE;
    }
    CU_ASSERT(is_refused);
    try {
        co_await kept->reset_at(7, reliable / 2);
    } catch (const millrace::error &e) { /* the peer has all of it meanwhile */
        CU_ASSERT_EQUAL(e.code().value(), EPIPE);
    }
}

/* What is read until the reset. */
task<std::size_t> read_until_reset(millrace::connection &c, std::vector<std::uint8_t> bytes)
{
    auto s = co_await c.accept_stream();
    std::size_t total = 0;

    try {
        while (auto part = co_await s->read_chunk()) {
            bool is_same =
                std::memcmp(part.bytes().data(), bytes.data() + total, part.bytes().size()) == 0;
            CU_ASSERT(is_same);
            total += part.bytes().size();
        }
        CU_FAIL("it ended in order");
    } catch (const millrace::error &e) {
        CU_ASSERT_EQUAL(e.code().value(), ECONNRESET);
        CU_ASSERT_EQUAL(e.peer_code(), 7);
    }
    co_return total;
}

void the_first_bytes_arrive_and_then_the_code()
{
    for (int by_reference = 0; by_reference < 2; by_reference++) {
        for (std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{60000}}) {
            bench b(by_reference != 0 ? [](coro_world_config &c) { c.is_by_reference = true; }
                                      : [](coro_world_config &) {});
            std::vector<std::uint8_t> bytes(size);
            std::optional<millrace::stream> kept;

            for (std::size_t i = 0; i < size; i++)
                bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
            auto writer = b.client->spawn(give_up(*b.ours, bytes, size, kept));
            auto reader = b.server->spawn(read_until_reset(*b.theirs, bytes));
            b.finish(writer, reader);
            writer.take();
            CU_ASSERT(reader.take() >= size / 2);
        }
    }
}

void what_cannot_be_reset_so_is_refused()
{
    bench b;
    auto too_much = b.client->spawn([](millrace::connection &c) -> task<> {
        auto s = co_await c.open();
        co_await s.write(bytes_of("abc"), true);
        co_await s.reset_at(7, 4);
    }(*b.ours));
    b.finish(too_much);
    CU_ASSERT_EQUAL(thrown(too_much), EINVAL);
}

/* ------------------------------------------------------------------ datagrams */

void datagrams_come_one_by_one()
{
    bench b([](coro_world_config &c) { c.datagram_max = 1000; });
    auto sender = b.client->spawn([](millrace::connection &c) -> task<> {
        for (int i = 0; i < 50; i++) /* more than wait at once */
            co_await c.send_datagram(bytes_of("number " + std::to_string(i)));
        co_await c.send_datagram({});
    }(*b.ours));
    auto receiver = b.server->spawn([](millrace::connection &c) -> task<> {
        for (int i = 0; i < 50; i++) {
            auto bytes = co_await c.receive_datagram();
            CU_ASSERT(std::string(bytes.begin(), bytes.end()) == "number " + std::to_string(i));
        }
        auto empty = co_await c.receive_datagram();
        CU_ASSERT(empty.empty());
    }(*b.theirs));
    b.finish(sender, receiver);
    sender.take();
    receiver.take();
    auto large = b.client->spawn([](millrace::connection &c) -> task<> {
        std::vector<std::uint8_t> bytes(1001);
        co_await c.send_datagram(bytes);
    }(*b.ours));
    auto waiting = b.server->spawn(
        [](millrace::connection &c) -> task<> { (void)co_await c.receive_datagram(); }(*b.theirs));
    b.finish(large);
    CU_ASSERT_EQUAL(thrown(large), EMSGSIZE);
    b.theirs->close();
    b.finish(waiting);
    CU_ASSERT_EQUAL(thrown(waiting), ENOTCONN);
}

/* Nobody reads them: they hold no slot, and those beyond 128 are dropped. */
void datagrams_that_nobody_reads_hold_nothing()
{
    bench b([](coro_world_config &c) {
        c.slot_count = 16;
        c.datagram_max = 1000;
    });
    auto sender = b.client->spawn([](millrace::connection &c) -> task<> {
        for (int i = 0; i < 300; i++)
            co_await c.send_datagram(bytes_of(std::to_string(i)));
    }(*b.ours));
    b.finish(sender);
    sender.take();
    for (int i = 0; i < 100; i++)
        b.step();
    int count = 0;
    auto receiver = b.server->spawn([](millrace::connection &c, int &n) -> task<> {
        for (;; n++)
            (void)co_await c.receive_datagram();
    }(*b.theirs, count));
    for (int i = 0; i < 100; i++)
        b.step();
    CU_ASSERT_EQUAL(count, 128);
    receiver.cancel();
    b.finish(receiver);
    CU_ASSERT_EQUAL(thrown(receiver), ECANCELED);
}

void a_peer_that_takes_no_datagrams_is_told_of()
{
    bench b;
    auto sender = b.client->spawn([](millrace::connection &c) -> task<> {
        co_await c.send_datagram(bytes_of("x"));
    }(*b.ours));
    b.finish(sender);
    CU_ASSERT_EQUAL(thrown(sender), EOPNOTSUPP);
}

/* ------------------------------------------------------------------ paths, 0-RTT */

void a_migration_is_waited_for()
{
    bench b;
    auto goes = b.client->spawn(b.ours->migrate(7000));
    b.finish(goes);
    CU_ASSERT(goes.take());
    auto stays = b.client->spawn(b.ours->migrate(deaf_port));
    auto second = b.client->spawn(b.ours->migrate(7001));
    b.finish(stays, second);
    CU_ASSERT_FALSE(stays.take());
    CU_ASSERT_EQUAL(thrown(second), EALREADY);
    auto servers = b.server->spawn(b.theirs->migrate(7000));
    b.finish(servers);
    int error = thrown(servers);
    CU_ASSERT_EQUAL(error, EOPNOTSUPP);
}

void paths_are_opened_and_waited_for()
{
    bench b;
    auto seen = b.server->spawn(b.theirs->paths_changed());
    auto goes = b.client->spawn(b.ours->open_path(7000));
    b.finish(goes, seen);
    CU_ASSERT_EQUAL(goes.take(), 1);
    auto deaf = b.client->spawn(b.ours->open_path(deaf_port));
    b.finish(deaf);
    CU_ASSERT_EQUAL(thrown(deaf), EHOSTUNREACH);
    auto backup = b.client->spawn(b.ours->set_path_backup(1, true));
    b.finish(backup);
    auto list = b.client->spawn(b.ours->paths());
    b.finish(list);
    std::vector<mr_path_info> paths = list.take();
    CU_ASSERT_EQUAL(paths.size(), 3);
    CU_ASSERT(paths.at(1).is_backup && !paths.at(0).is_backup);
    CU_ASSERT_EQUAL(paths.at(1).local.port, 7000);
    CU_ASSERT_EQUAL(paths.at(1).state, MR_PATH_INFO_OPEN);
    CU_ASSERT_EQUAL(paths.at(1).bytes_received, 5001);
    CU_ASSERT_EQUAL(paths.at(2).state, MR_PATH_INFO_ABANDONED);
    auto gone = b.client->spawn(b.ours->abandon_path(1));
    auto none = b.client->spawn(b.ours->abandon_path(7));
    auto servers = b.server->spawn(b.theirs->open_path(7000));
    b.finish(gone, none);
    b.finish(servers);
    CU_ASSERT_EQUAL(thrown(none), ENOENT);
    CU_ASSERT_EQUAL(thrown(servers), EOPNOTSUPP);
}

void a_server_waits_for_the_end_of_the_handshake()
{
    bench b([](coro_world_config &c) { c.has_early = true; });
    CU_ASSERT(b.theirs->is_early());
    CU_ASSERT_FALSE(b.ours->is_early());
    auto confirmed = b.server->spawn(b.theirs->confirmed());
    for (int i = 0; i < 50; i++)
        b.step();
    CU_ASSERT_FALSE(confirmed.is_over());
    coro_world_confirm(b.world);
    b.finish(confirmed);
    confirmed.take();
    CU_ASSERT_FALSE(b.theirs->is_early());
}

} // namespace

static CU_TestInfo tests[] = {
    {"the first bytes arrive, and then the code", the_first_bytes_arrive_and_then_the_code},
    {"what cannot be reset so is refused", what_cannot_be_reset_so_is_refused},
    {"datagrams come one by one", datagrams_come_one_by_one},
    {"datagrams that nobody reads hold nothing", datagrams_that_nobody_reads_hold_nothing},
    {"a peer that takes no datagrams is told of", a_peer_that_takes_no_datagrams_is_told_of},
    {"a migration is waited for", a_migration_is_waited_for},
    {"paths are opened and waited for", paths_are_opened_and_waited_for},
    {"a server waits for the end of the handshake", a_server_waits_for_the_end_of_the_handshake},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {"coroutines of QUIC", nullptr, nullptr, nullptr, nullptr, tests},
    CU_SUITE_INFO_NULL,
};
