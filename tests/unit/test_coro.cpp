/* Tests of millrace/coro.hpp: a client and a server as coroutines on one thread, the datapath in
 * memory (tests/support/coro_world.h). */
#include "millrace/coro.hpp"

#include <deque>
#include <dirent.h>
#include <string>
#include <sys/resource.h>
#include <thread>

#include "tests/support/coro_world.h"
#include "tests/unit/harness.h"

using namespace std::chrono_literals;
using millrace::bytes_of;
using millrace::context;
using millrace::task;

namespace
{

/* ------------------------------------------------------------------ the world */

struct bench {
    coro_world *world;
    mr_attachment *ends[2];
    std::unique_ptr<context> client;
    std::unique_ptr<context> server;

    explicit bench(coro_world_config config = {}, std::uint32_t rings = 1)
        : world(coro_world_new(&config))
    {
        for (int i = 0; i < 2; i++)
            ends[i] = coro_world_attach(world, i == 1, rings);
        client = std::make_unique<context>(ends[0]);
        server = std::make_unique<context>(ends[1]);
    }
    bench(const bench &) = delete;
    bench &operator=(const bench &) = delete;
    ~bench()
    {
        client.reset();
        server.reset();
        for (mr_attachment *end : ends)
            mr_detach(end);
        coro_world_free(world);
    }

    std::uint32_t lazy = 0; /* > 0: contexts look at their rings in about one of so many steps */
    std::uint32_t luck = 1;

    bool is_awake()
    {
        luck = luck * 1664525 + 1013904223;
        return lazy == 0 || (luck >> 16) % lazy == 0;
    }
    void step()
    {
        coro_world_step(world);
        if (is_awake())
            client->poll();
        if (is_awake())
            server->poll();
    }
    void steps(int count)
    {
        while (count-- > 0)
            step();
    }

    /* Step until the tasks have ended. */
    template <class... Joiners> bool finish(const Joiners &...joiners)
    {
        for (int i = 0; i < 200000 && !(joiners.is_over() && ...); i++)
            step();
        bool are_over = (joiners.is_over() && ...);
        CU_ASSERT(are_over);
        return are_over;
    }
};

/* The error number of what a task threw; 0: nothing. */
template <class T> int thrown(millrace::joiner<T> &joiner)
{
    try {
        (void)joiner.take();
    } catch (const millrace::error &e) {
        return e.code().value();
    } catch (...) {
        return -1;
    }
    return 0;
}

std::vector<std::uint8_t> pattern(std::size_t size)
{
    std::vector<std::uint8_t> bytes(size);

    for (std::size_t i = 0; i < size; i++)
        bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    return bytes;
}

/* ------------------------------------------------------------------ echo */

task<> echo(millrace::stream s)
{
    while (auto chunk = co_await s.read_chunk())
        co_await s.write(chunk.bytes());
    co_await s.write({}, true);
    co_await s.flush();
}

task<> serve_connection(context &c, millrace::connection connection)
{
    while (auto s = co_await connection.accept_stream())
        c.spawn(echo(std::move(*s)));
}

task<> serve(context &c)
{
    auto listener = c.listen("any");

    for (;;)
        c.spawn(serve_connection(c, co_await listener.accept()));
}

task<millrace::connection> connect(context &c)
{
    return c.connect("127.0.0.1", 4433, "echo", "localhost", true);
}

task<std::vector<std::uint8_t>> ask(context &c, std::vector<std::uint8_t> question)
{
    auto connection = co_await connect(c);
    auto s = co_await connection.open();
    auto asker = c.spawn([](millrace::stream &to, const auto &bytes) -> task<> {
        co_await to.write(bytes, true);
    }(s, question));
    auto answer = co_await s.read_all(question.size() + 1);

    co_await asker.join();
    co_await s.flush();
    connection.close();
    co_await connection.closed();
    co_return answer;
}

/* Moves there were. */
std::uint32_t echo_of(const coro_world_config &config, std::uint32_t rings, std::size_t size,
                      int conns)
{
    bench b(config, rings);
    b.lazy = config.moves_percent / 4;
    auto question = pattern(size);
    std::vector<millrace::joiner<std::vector<std::uint8_t>>> asked;

    b.server->spawn(serve(*b.server));
    for (int i = 0; i < conns; i++)
        asked.push_back(b.client->spawn(ask(*b.client, question)));
    for (auto &joiner : asked)
        if (b.finish(joiner))
            CU_ASSERT(joiner.take() == question);
    b.steps(200);
    CU_ASSERT_EQUAL(b.client->task_count(), 0);
    CU_ASSERT_EQUAL(b.server->task_count(), 1); /* connections' and streams' tasks have ended */
    CU_ASSERT_EQUAL(coro_world_conns(b.world), 0);
    return config.moves_percent == 0 ? 0 : coro_world_moves(b.world, true);
}

void a_client_and_a_server_are_coroutines()
{
    echo_of({}, 1, 5, 1);
    echo_of({}, 1, 1000000, 1);
}

coro_world_config tiny_rings()
{
    coro_world_config tiny{};

    tiny.entries = 16;
    tiny.sends = 4;
    tiny.slot_size = 1024;
    tiny.slot_count = 8;
    tiny.send_bytes = 16384;
    return tiny;
}

void tiny_rings_carry_the_same_bytes()
{
    coro_world_config tiny = tiny_rings();

    echo_of(tiny, 1, 100000, 3);
    tiny.is_by_reference = true;
    echo_of(tiny, 2, 100000, 3);
}

void several_shards_serve_one_context()
{
    echo_of({}, 3, 20000, 9);
}

/* Connections change their ring at random, while streams are opened, written, read and ended. */
void Q17_moves_on_the_way_lose_nothing()
{
    std::uint32_t moves = 0;

    for (std::uint64_t seed = 1; seed <= 40; seed++) {
        coro_world_config config = seed % 2 == 0 ? tiny_rings() : coro_world_config{};

        config.seed = seed;
        config.moves_percent = 1 + static_cast<std::uint32_t>(seed % 20);
        config.is_by_reference = seed % 4 == 0;
        moves += echo_of(config, 2, seed % 3 == 0 ? 200000 : 20000, 5);
    }
    CU_ASSERT(moves > 80);
}

/* Until what is done with the stream throws. */
template <class F> task<> until_refused(F one_more)
{
    for (;;) {
        try {
            co_await one_more();
        } catch (const millrace::error &) {
            co_return;
        }
    }
}

/* Open and use streams, then end some: the peer must notice, which ends them here, too. */
task<> end_streams(context &c, int turns)
{
    auto connection = co_await connect(c);
    std::deque<millrace::stream> streams;

    for (int i = 0; i < turns; i++) {
        if (i % 2 == 0)
            streams.push_back(co_await connection.open());
        co_await streams[static_cast<std::size_t>(i) % streams.size()].write(
            bytes_of("to and fro"));
        co_await c.sleep_for(0ms);
    }
    streams[0].reset(7);
    co_await until_refused([&]() -> task<> { co_await streams[0].read_chunk(); });
    streams[1].stop(8);
    co_await until_refused([&]() -> task<> {
        co_await streams[1].write(bytes_of("more"));
        co_await c.sleep_for(0ms);
    });
    streams[2] = std::move(streams[3]);
    connection.close();
    co_await connection.closed();
}

/* What is asked for while the connection is on its way is done where it arrives. */
void Q17_what_is_ended_on_the_way_ends()
{
    std::uint32_t moves = 0;

    for (std::uint64_t seed = 1; seed <= 40; seed++) {
        coro_world_config config{};
        config.seed = seed;
        config.moves_percent = 20;
        bench b(config, 2);

        b.lazy = static_cast<std::uint32_t>(seed % 12);
        b.server->on_error([](std::exception_ptr) {}); /* resets and stops */
        b.server->spawn(serve(*b.server));
        auto joiner = b.client->spawn(end_streams(*b.client, 20 + static_cast<int>(seed)));
        b.finish(joiner);
        b.steps(400);
        CU_ASSERT_EQUAL(coro_world_conns(b.world), 0);
        CU_ASSERT_EQUAL(coro_world_streams(b.world), 0);
        moves += coro_world_moves(b.world, true);
    }
    CU_ASSERT(moves > 200);
}

/* The contexts' own loops, the datapath on its thread. */
void run_waits_in_the_kernel()
{
    coro_world_config config{};
    config.has_thread = true;
    coro_world *world = coro_world_new(&config);
    mr_attachment *ends[2] = {coro_world_attach(world, false, 1),
                              coro_world_attach(world, true, 1)};
    {
        context server(ends[1]);
        int stopped = 0;
        std::thread thread([&] {
            try {
                server.run(serve(server));
            } catch (const millrace::error &e) {
                stopped = e.code().value();
            }
        });
        context client(ends[0]);
        auto question = pattern(300000);
        bool is_answered = false;
        int refused = 0;

        while (!is_answered) /* at first, maybe, nobody listens */
            try {
                is_answered = client.run(ask(client, question)) == question;
                CU_ASSERT(is_answered);
            } catch (const millrace::error &) { /* refused, wherever it waits */
                CU_ASSERT_FATAL(++refused < 10000);
            }
        server.stop();
        thread.join();
        CU_ASSERT_EQUAL(stopped, ECANCELED);
    }
    mr_detach(ends[0]);
    mr_detach(ends[1]);
    coro_world_free(world);
}

/* ------------------------------------------------------------------ exceptions */

task<int> throws(context &c)
{
    co_await c.sleep_for(1ms);
    throw std::out_of_range("deep inside");
}

task<int> passes(context &c)
{
    co_return 1 + co_await throws(c);
}

void exceptions_cross_co_await()
{
    bench b;
    std::string caught;
    int unjoined = 0;

    auto joiner = b.client->spawn([](context &c, std::string &text) -> task<int> {
        try {
            co_return co_await passes(c);
        } catch (const std::out_of_range &e) {
            text = e.what();
        }
        co_return 7;
    }(*b.client, caught));
    b.finish(joiner);
    CU_ASSERT(caught == "deep inside");
    CU_ASSERT_EQUAL(joiner.take(), 7);

    b.client->on_error([&](std::exception_ptr) { unjoined++; });
    b.client->spawn(passes(*b.client));
    for (int i = 0; i < 100000 && unjoined == 0; i++)
        b.step();
    CU_ASSERT_EQUAL(unjoined, 1);
    bool is_thrown = false;
    try {
        b.client->run(passes(*b.client));
    } catch (const std::out_of_range &) {
        is_thrown = true;
    }
    CU_ASSERT(is_thrown);
}

/* ------------------------------------------------------------------ cancellation */

/* Opens a stream, says "x", and hands both out. */
struct pair {
    std::optional<millrace::connection> connections[2];
    std::optional<millrace::stream> streams[2];
};

task<> make_client(context &c, pair &p)
{
    p.connections[0].emplace(co_await connect(c));
    p.streams[0].emplace(co_await p.connections[0]->open());
    co_await p.streams[0]->write(bytes_of("x"));
}

task<> make_server(context &c, pair &p)
{
    auto listener = c.listen("any");
    std::uint8_t x[8];

    p.connections[1].emplace(co_await listener.accept());
    p.streams[1] = co_await p.connections[1]->accept_stream();
    CU_ASSERT_EQUAL(co_await p.streams[1]->read(x), 1);
}

void make(bench &b, pair &p)
{
    auto server = b.server->spawn(make_server(*b.server, p));
    auto client = b.client->spawn(make_client(*b.client, p));

    b.finish(server, client);
}

void a_pending_read_is_cancelled()
{
    bench b;
    pair p;
    std::uint8_t byte[1];
    std::stop_source source;

    make(b, p);
    auto by_joiner = b.client->spawn(p.streams[0]->read(byte));
    b.steps(20);
    CU_ASSERT_FALSE(by_joiner.is_over());
    by_joiner.cancel();
    b.finish(by_joiner);
    CU_ASSERT_EQUAL(thrown(by_joiner), ECANCELED);

    auto by_token = b.client->spawn(p.streams[0]->read(byte), source.get_token());
    auto inside = b.client->spawn(millrace::with_stop(b.client->sleep_for(1h), source.get_token()));
    b.steps(20);
    std::thread([&] { source.request_stop(); }).join();
    b.finish(by_token, inside);
    CU_ASSERT_EQUAL(thrown(by_token), ECANCELED);
    CU_ASSERT_EQUAL(thrown(inside), ECANCELED);

    /* the stream is as it was */
    auto reads = b.client->spawn(p.streams[0]->read(byte));
    b.server->spawn(p.streams[1]->write(bytes_of("y")));
    b.finish(reads);
    CU_ASSERT_EQUAL(reads.take(), 1);
    CU_ASSERT_EQUAL(byte[0], 'y');
}

task<int> late(context &c)
{
    co_await c.sleep_for(1h);
    co_return 1;
}

task<std::string> inner_times_out(context &c)
{
    std::string seen;

    try {
        co_await millrace::with_timeout(late(c), 2ms);
    } catch (const millrace::error &e) {
        seen += e.code() == std::errc::timed_out ? "inner " : "? ";
    }
    co_await c.sleep_for(1ms); /* the timeout is over with its task */
    co_await late(c);
    co_return seen;
}

void timeouts_nest_and_end_what_they_are_around()
{
    bench b;
    auto quick = b.client->spawn(millrace::with_timeout(b.client->sleep_for(1ms), 1h));
    auto inner = b.client->spawn(millrace::with_timeout(inner_times_out(*b.client), 100ms));
    auto outer =
        b.client->spawn(millrace::with_timeout(millrace::with_timeout(late(*b.client), 1h), 5ms));
    auto start = millrace::clock::now();

    for (int i = 0; i < 10000000 && !(inner.is_over() && outer.is_over()); i++)
        b.client->poll();
    CU_ASSERT(millrace::clock::now() - start >= 100ms);
    CU_ASSERT_EQUAL(thrown(quick), 0);
    CU_ASSERT_EQUAL(thrown(inner), ETIMEDOUT);
    CU_ASSERT_EQUAL(thrown(outer), ETIMEDOUT);
}

/* The longest time there is, is for ever. */
void the_longest_time_is_for_ever()
{
    bench b;
    const auto most = millrace::clock::duration::max();
    auto in_time = b.client->spawn(millrace::with_timeout(b.client->sleep_for(1ms), most));
    auto hours = b.client->spawn(millrace::with_timeout(
        b.client->sleep_for(1ms),
        std::chrono::duration_cast<millrace::clock::duration>(std::chrono::hours(2500000))));
    auto asleep = b.client->spawn(b.client->sleep_for(most));
    auto start = millrace::clock::now();

    for (int i = 0; i < 10000000 && !(in_time.is_over() && hours.is_over()); i++)
        b.client->poll();
    CU_ASSERT_TRUE(in_time.is_over() && hours.is_over());
    while (millrace::clock::now() - start < 20ms)
        b.client->poll();
    b.client->poll(); /* whatever is due by then is told */
    CU_ASSERT_EQUAL(thrown(in_time), 0);
    CU_ASSERT_EQUAL(thrown(hours), 0);
    CU_ASSERT_FALSE(asleep.is_over());
    CU_ASSERT_TRUE(b.client->arm());
    asleep.cancel();
    b.client->poll();
    CU_ASSERT_EQUAL(thrown(asleep), ECANCELED);
    auto past = b.client->spawn(b.client->sleep_for(millrace::clock::duration::min()));
    for (int i = 0; i < 10; i++)
        b.client->poll();
    CU_ASSERT_TRUE(past.is_over());
}

/* ------------------------------------------------------------------ descriptors run out */

coro_world *attach_to; /* what mr_attach() attaches to */
int attached;
rlim_t free_left;

int descriptors()
{
    DIR *all = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(all) != nullptr)
        count++;
    closedir(all);
    return count;
}

/* From here on only `free_left` more may be opened. */
void leave_free()
{
    rlimit limit{};
    int lowest = dup(0); /* all below are in use */

    close(lowest);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = static_cast<rlim_t>(lowest) + free_left;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* A context that finds so many free once it is attached: the error's number, 0: it is there;
 * what_out: of what. */
int make_context(rlim_t free, std::string &what_out)
{
    rlimit before{};
    int number = 0;

    getrlimit(RLIMIT_NOFILE, &before);
    free_left = free;
    try {
        context c(mr_attach_config{});
    } catch (const millrace::error &e) {
        number = e.code().value();
        what_out = e.what();
    }
    setrlimit(RLIMIT_NOFILE, &before);
    return number;
}

void a_context_without_descriptors_says_so_and_leaves_nothing()
{
    coro_world_config config{};
    std::string what;

    attach_to = coro_world_new(&config);
    attached = 0;
    int first = descriptors();
    CU_ASSERT_EQUAL(make_context(16, what), 0);
    CU_ASSERT_EQUAL(attached, 0);
    int left = descriptors() - first; /* the world's, of an attachment that was detached */
    static const char *const needs[] = {"eventfd", "epoll_create1", "timerfd_create"};
    for (rlim_t room = 0; room < 3; room++) {
        int before = descriptors();

        CU_ASSERT_EQUAL(make_context(room, what), EMFILE);
        CU_ASSERT_EQUAL(what.rfind(needs[room], 0), 0);
        CU_ASSERT_EQUAL(attached, 0);
        CU_ASSERT_EQUAL(descriptors(), before + left);
    }
    CU_ASSERT_EQUAL(make_context(3, what), 0);
    CU_ASSERT_EQUAL(attached, 0);
    coro_world_free(attach_to);
}

/* ------------------------------------------------------------------ many */

void ten_thousand_wait_on_one_thread()
{
    enum {
        CONNS = 10,
        EACH = 1000
    };
    coro_world_config config{};
    config.objects = CONNS * (EACH + 1) + 16;
    config.bidi_max = EACH;
    config.slot_count = 4096;
    config.slot_size = 64;
    bench b(config);
    int answered = 0;
    int waiting = 0;

    b.server->spawn(serve(*b.server));
    auto one = [&](millrace::connection &conn) -> task<> {
        auto s = co_await conn.open();
        std::uint8_t byte[4];

        waiting++;
        CU_ASSERT_EQUAL(co_await s.read(byte), 1);
        answered++;
        co_await s.write({}, true);
        CU_ASSERT_EQUAL(co_await s.read(byte), 0);
    };
    auto all = [&]() -> task<> {
        std::vector<millrace::connection> conns;
        std::vector<millrace::joiner<>> joiners;

        for (int i = 0; i < CONNS; i++)
            conns.push_back(co_await connect(*b.client));
        for (int i = 0; i < CONNS * EACH; i++)
            joiners.push_back(b.client->spawn(one(conns[static_cast<std::size_t>(i) % CONNS])));
        while (waiting < CONNS * EACH)
            co_await b.client->sleep_for(1ms);
        CU_ASSERT_EQUAL(answered, 0);
        CU_ASSERT_EQUAL(b.client->task_count(), CONNS * EACH + 1);
        for (auto &joiner : joiners)
            joiner.cancel();
        for (auto &joiner : joiners)
            try {
                co_await joiner.join();
            } catch (const millrace::error &) {
                answered--;
            }
    };
    auto joiner = b.client->spawn(all());
    b.finish(joiner);
    CU_ASSERT_EQUAL(thrown(joiner), 0);
    CU_ASSERT_EQUAL(answered, -CONNS * EACH);
}

/* ------------------------------------------------------------------ the peer, the datapath */

void a_slow_reader_holds_the_writer_back()
{
    bench b;
    pair p;
    auto bytes = pattern(3000000);
    std::size_t received = 0;
    bool is_same = true;

    make(b, p);
    auto writer = b.client->spawn(p.streams[0]->write(bytes, true));
    auto flushed = b.client->spawn([](pair &both, auto &before) -> task<> {
        co_await before.join();
        co_await both.streams[0]->flush();
    }(p, writer));
    b.steps(3000);
    CU_ASSERT_FALSE(writer.is_over()); /* nobody reads */
    auto reader = b.server->spawn([](pair &both, auto &all, auto &total, auto &same) -> task<> {
        std::uint8_t part[1000];

        while (std::size_t size = co_await both.streams[1]->read(part)) {
            same = same && std::equal(part, part + size, all.begin() + static_cast<long>(total));
            total += size;
        }
    }(p, bytes, received, is_same));
    b.finish(writer, reader, flushed);
    CU_ASSERT_EQUAL(thrown(flushed), 0);
    CU_ASSERT(is_same);
    CU_ASSERT_EQUAL(received, bytes.size());
    auto after = b.client->spawn(p.streams[0]->write(bytes_of("z")));
    auto end = b.server->spawn(p.streams[1]->read_chunk());
    b.finish(after, end);
    CU_ASSERT_EQUAL(thrown(after), EPIPE);
    CU_ASSERT_FALSE(static_cast<bool>(end.take()));
}

/* What a stream's operation throws, and with which code of the peer's. */
template <class T> task<std::pair<int, std::uint64_t>> failure_of(task<T> inner)
{
    try {
        co_await inner;
    } catch (const millrace::error &e) {
        co_return std::pair(e.code().value(), e.peer_code());
    }
    co_return std::pair(0, std::uint64_t{0});
}

void resets_stops_and_closes_are_errors_with_their_codes()
{
    bench b;
    pair p;
    std::uint8_t byte[1];
    auto bytes = pattern(1000000);

    make(b, p);
    auto reads = b.server->spawn(failure_of(p.streams[1]->read(byte)));
    auto writes = b.server->spawn(failure_of(p.streams[1]->write(bytes)));
    b.steps(50);
    p.streams[0]->reset(41);
    b.finish(reads);
    p.streams[0]->stop(42);
    b.finish(writes);
    CU_ASSERT(reads.take() == std::pair(ECONNRESET, std::uint64_t{41}));
    CU_ASSERT_EQUAL(writes.take().first, EPIPE);

    auto accepts = b.server->spawn(failure_of(p.connections[1]->accept_stream()));
    b.steps(50);
    p.connections[0]->close(43);
    auto opens = b.client->spawn(failure_of(p.connections[0]->open()));
    b.finish(accepts, opens);
    CU_ASSERT(accepts.take() == std::pair(ECONNABORTED, std::uint64_t{43}));
    CU_ASSERT(opens.take() == std::pair(ENOTCONN, std::uint64_t{0}));
}

void objects_that_are_dropped_end()
{
    bench b;
    pair p;
    std::uint8_t byte[1];

    make(b, p);
    auto reads = b.server->spawn(failure_of(p.streams[1]->read(byte)));
    p.streams[0].reset();
    b.finish(reads);
    CU_ASSERT_EQUAL(reads.take().first, ECONNRESET);
    p.streams[1].reset();
    b.steps(500);
    CU_ASSERT_EQUAL(coro_world_streams(b.world), 0);
    auto closed = b.server->spawn(p.connections[1]->closed());
    p.connections[0].reset();
    b.finish(closed);
    b.steps(500);
    CU_ASSERT_EQUAL(coro_world_conns(b.world), 0);
}

void opening_waits_for_what_the_peer_allows()
{
    coro_world_config config{};
    config.bidi_max = 2;
    bench b(config);
    pair p;

    make(b, p); /* has one */
    auto second = b.client->spawn(p.connections[0]->open());
    auto third = b.client->spawn(p.connections[0]->open());
    auto fourth = b.client->spawn(p.connections[0]->open());
    b.steps(500);
    CU_ASSERT(second.is_over());
    CU_ASSERT_FALSE(third.is_over());
    CU_ASSERT_FALSE(fourth.is_over());
    p.streams[0].reset();
    p.streams[1].reset();
    b.finish(third);
    CU_ASSERT_FALSE(fourth.is_over());
    fourth.cancel();
    b.finish(fourth);
    CU_ASSERT_EQUAL(thrown(fourth), ECANCELED);
    auto unidirectional = b.client->spawn(p.connections[0]->open(true));
    b.finish(unidirectional);
    auto stream = unidirectional.take();
    CU_ASSERT(stream.is_unidirectional());
}

/* RFC 9000, Section 2.1: the two low bits say who opened it, and whether it goes one way. */
void streams_have_numbers_and_connections_say_how_they_ended()
{
    bench b;
    pair p;

    make(b, p);
    b.steps(100);
    CU_ASSERT_EQUAL(p.streams[0]->id(), 0);
    CU_ASSERT_EQUAL(p.streams[1]->id(), 0);
    auto opens = b.server->spawn(p.connections[1]->open(true));
    auto accepts = b.client->spawn(p.connections[0]->accept_stream());
    b.finish(opens);
    auto opened = opens.take();
    b.server->spawn(opened.write(bytes_of("x")));
    b.finish(accepts);
    auto accepted = accepts.take();
    CU_ASSERT_EQUAL(accepted->id(), 3);
    CU_ASSERT_EQUAL(opened.id(), 3);

    auto ours = b.client->spawn(p.connections[0]->closed());
    auto theirs = b.server->spawn(p.connections[1]->closed());
    p.connections[0]->close(77);
    b.finish(ours, theirs);
    millrace::connection_end end = theirs.take();
    CU_ASSERT_EQUAL(end.code, 77);
    CU_ASSERT_TRUE(end.is_application);
    CU_ASSERT_TRUE(end.is_remote);
    CU_ASSERT_FALSE(ours.take().is_remote);
    CU_ASSERT(end.reason.empty()); /* close() of a connection has a code only */
}

void a_callback_sets_an_event()
{
    bench b;
    millrace::event event(*b.client);
    auto first = b.client->spawn(event.wait());
    auto second = b.client->spawn(event.wait());

    b.steps(20);
    CU_ASSERT_FALSE(first.is_over() || second.is_over() || event.is_set());
    first.cancel();
    b.finish(first);
    CU_ASSERT_EQUAL(thrown(first), ECANCELED);
    event.set();
    event.set();
    CU_ASSERT_FALSE(second.is_over()); /* never inside the call */
    b.finish(second);
    auto third = b.client->spawn(event.wait()); /* it stays set */
    b.finish(third);
    CU_ASSERT_TRUE(second.is_over() && third.is_over());
}

/* Everybody who waits on the client's side is told. */
void everybody_is_told(void (*end)(bench &))
{
    bench b;
    pair p;
    std::uint8_t byte[1];
    auto bytes = pattern(3000000);

    make(b, p);
    auto listener = b.client->listen("any");
    auto accepts = b.client->spawn(failure_of(listener.accept()));
    auto streams = b.client->spawn(failure_of(p.connections[0]->accept_stream()));
    auto reads = b.client->spawn(failure_of(p.streams[0]->read(byte)));
    auto writes = b.client->spawn(failure_of(p.streams[0]->write(bytes)));
    auto flushes = b.client->spawn(failure_of(p.streams[0]->flush()));
    auto closes = b.client->spawn(failure_of(p.connections[0]->closed()));
    b.steps(100);
    CU_ASSERT_FALSE(reads.is_over() || writes.is_over() || flushes.is_over());
    end(b);
    b.finish(accepts, streams, reads, writes, flushes, closes);
    CU_ASSERT_EQUAL(accepts.take().first, ENETDOWN);
    CU_ASSERT_EQUAL(streams.take().first, ENETDOWN);
    CU_ASSERT_EQUAL(reads.take().first, ENETDOWN);
    CU_ASSERT_EQUAL(writes.take().first, ENETDOWN);
    CU_ASSERT_EQUAL(flushes.take().first, ENETDOWN);
    CU_ASSERT_EQUAL(closes.take().first, 0);
    auto again = b.client->spawn(failure_of(connect(*b.client)));
    b.finish(again);
    CU_ASSERT_EQUAL(again.take().first, ENETDOWN);
    int listens = 0;
    try {
        b.client->listen("any");
    } catch (const millrace::error &e) {
        listens = e.code().value();
    }
    CU_ASSERT_EQUAL(listens, ENETDOWN);
}

void when_the_datapath_is_gone_everybody_is_told()
{
    everybody_is_told([](bench &b) { coro_world_die(b.world, b.ends[0]); });
    everybody_is_told([](bench &b) { coro_world_let_go(b.world, b.ends[0]); });
}

void when_the_datapath_drains_no_more_connections_come()
{
    bench b;
    pair p;
    mr_error why;
    std::uint8_t byte[1];
    auto bytes = pattern(1);

    make(b, p);
    auto listener = b.server->listen("any");
    auto accepts = b.server->spawn(failure_of(listener.accept()));
    b.steps(20);
    CU_ASSERT_FALSE(accepts.is_over());
    CU_ASSERT_EQUAL(b.server->state(&why), MR_DATAPATH_THERE);
    coro_world_go_away(b.world, true);
    b.finish(accepts);
    CU_ASSERT_EQUAL(accepts.take().first, ESHUTDOWN);
    CU_ASSERT_EQUAL(b.server->state(&why), MR_DATAPATH_DRAINING);
    CU_ASSERT_STRING_EQUAL(why.text, "the datapath drains");
    auto reads = b.server->spawn(p.streams[1]->read(byte)); /* those that are there go on */
    auto writes = b.client->spawn(p.streams[0]->write(bytes));
    b.finish(reads, writes);
    CU_ASSERT_EQUAL(reads.take(), 1);
    auto late = b.server->spawn(failure_of(listener.accept()));
    b.finish(late);
    CU_ASSERT_EQUAL(late.take().first, ESHUTDOWN);
}

/* Held: the chunk's bytes stay as they are; given back: more come. */
void chunks_are_views_of_receive_slots()
{
    coro_world_config config{};
    config.slot_size = 1024;
    config.slot_count = 8; /* two for a stream */
    bench b(config);
    pair p;
    auto bytes = pattern(20000);
    std::vector<millrace::chunk> held;
    std::size_t read = 0;
    auto reads = [&](std::size_t until) -> task<> {
        while (held.size() < until) {
            held.push_back(co_await p.streams[1]->read_chunk());
            read += held.back().bytes().size();
        }
    };

    make(b, p);
    b.client->spawn(p.streams[0]->write(bytes));
    auto three = b.server->spawn(reads(3));
    b.steps(2000);
    CU_ASSERT_FALSE(three.is_over());
    CU_ASSERT_EQUAL(held.size(), 2);
    CU_ASSERT(std::equal(held[0].bytes().begin(), held[0].bytes().end(), bytes.begin()));
    held[0] = millrace::chunk();
    b.finish(three);
    CU_ASSERT_EQUAL(held.size(), 3);
    held.clear();
}

/* Coroutines that wait when their context is destroyed are destroyed, too: for ASan. */
void a_context_takes_its_coroutines_along()
{
    auto b = std::make_unique<bench>();
    pair p;
    auto count = std::make_shared<int>(0);

    make(*b, p);
    for (int i = 0; i < 5; i++)
        b->server->spawn([](context &c, std::shared_ptr<int> held) -> task<> {
            co_await millrace::with_timeout(c.sleep_for(1h), 2h);
            (*held)++;
        }(*b->server, count));
    b->steps(5);
    CU_ASSERT_EQUAL(count.use_count(), 6);
    b.reset();
    CU_ASSERT_EQUAL(count.use_count(), 1);
    CU_ASSERT_EQUAL(*count, 0);
} /* streams and connections outlive their context, without effect */

} // namespace

static CU_TestInfo tests[] = {
    {"M12 B10 a client and a server are coroutines, straight-line code",
     a_client_and_a_server_are_coroutines},
    {"M12 tiny rings, by value and by reference, carry the same bytes",
     tiny_rings_carry_the_same_bytes},
    {"M12 several shards serve one context", several_shards_serve_one_context},
    {"Q17 moves on the way lose nothing", Q17_moves_on_the_way_lose_nothing},
    {"Q17 what is ended on the way ends", Q17_what_is_ended_on_the_way_ends},
    {"M12 run() waits in the kernel, stop() ends it from another thread", run_waits_in_the_kernel},
    {"B10 exceptions cross co_await", exceptions_cross_co_await},
    {"B10 a pending read is cancelled: joiner, stop_token, another thread",
     a_pending_read_is_cancelled},
    {"B10 timeouts nest, and end what they are around", timeouts_nest_and_end_what_they_are_around},
    {"B10 the longest time is for ever", the_longest_time_is_for_ever},
    {"M12 a context without descriptors says so, and leaves nothing",
     a_context_without_descriptors_says_so_and_leaves_nothing},
    {"B11 10,000 coroutines wait on one thread", ten_thousand_wait_on_one_thread},
    {"B10 a slow reader holds the writer back", a_slow_reader_holds_the_writer_back},
    {"B10 resets, stops and closes are errors with their codes",
     resets_stops_and_closes_are_errors_with_their_codes},
    {"M12 objects that are dropped end", objects_that_are_dropped_end},
    {"B10 opening a stream waits for what the peer allows", opening_waits_for_what_the_peer_allows},
    {"M12 streams have numbers, and connections say how they ended",
     streams_have_numbers_and_connections_say_how_they_ended},
    {"B10 a callback sets an event that coroutines wait for", a_callback_sets_an_event},
    {"B10 when the datapath drains no more connections come",
     when_the_datapath_drains_no_more_connections_come},
    {"B10 when the datapath is gone everybody is told",
     when_the_datapath_is_gone_everybody_is_told},
    {"M12 chunks are views of receive slots", chunks_are_views_of_receive_slots},
    {"M12 a context takes its coroutines along", a_context_takes_its_coroutines_along},
    CU_TEST_INFO_NULL,
};

/* Attachments of the world in memory, counted: no datapath is there. */
extern "C" {
void __real_mr_detach(mr_attachment *);
int __wrap_mr_attach(const mr_attach_config *, mr_attachment **, mr_error *);
void __wrap_mr_detach(mr_attachment *);

int __wrap_mr_attach(const mr_attach_config *, mr_attachment **attachment_out, mr_error *)
{
    *attachment_out = coro_world_attach(attach_to, false, 1);
    attached++;
    leave_free();
    return 0;
}

void __wrap_mr_detach(mr_attachment *attachment)
{
    attached--;
    __real_mr_detach(attachment);
}
}

CU_SuiteInfo mr_suites[] = {
    {"app/coro", nullptr, nullptr, nullptr, nullptr, tests},
    CU_SUITE_INFO_NULL,
};
