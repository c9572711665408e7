/*
 * millrace/coro_objects.hpp - part of millrace/coro.hpp: listeners, connections, streams, and what
 * their operations do.
 *
 * Operations are coroutines that share the object's state, not the object: it may move meanwhile.
 */
#ifndef MILLRACE_CORO_OBJECTS_HPP
#define MILLRACE_CORO_OBJECTS_HPP

#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "millrace/coro_core.hpp"

namespace millrace
{

using bytes_view = std::span<const std::uint8_t>;

inline bytes_view bytes_of(std::string_view text) noexcept
{
    return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

/* ------------------------------------------------------------------ streams */

/* Received bytes where the datapath put them; given back when it is destroyed.  Must not outlive
 * the context.  Empty: the stream has ended. */
class chunk
{
  public:
    chunk() = default;
    chunk(std::shared_ptr<detail::stream_state> s, detail::piece p, std::uint64_t number) noexcept
        : stream_(std::move(s)), piece_(p), number_(number)
    {
    }
    chunk(chunk &&other) noexcept = default;
    chunk &operator=(chunk &&other) noexcept
    {
        std::swap(stream_, other.stream_);
        std::swap(piece_, other.piece_);
        std::swap(number_, other.number_);
        return *this;
    }
    ~chunk()
    {
        if (stream_)
            stream_->owner->release_piece(*stream_, piece_, number_);
    }

    bytes_view bytes() const noexcept
    {
        return {piece_.data + piece_.used, stream_ ? piece_.cqe.size - piece_.used : 0};
    }
    explicit operator bool() const noexcept
    {
        return stream_ != nullptr;
    }

  private:
    std::shared_ptr<detail::stream_state> stream_;
    detail::piece piece_{};
    std::uint64_t number_ = 0;
};

namespace detail
{

using stream_ref = std::shared_ptr<stream_state>;
using conn_ref = std::shared_ptr<conn_state>;

inline constexpr std::size_t write_part = 65536;         /* bytes of one SEND at most, */
inline constexpr std::uint64_t write_bytes_max = 262144; /* and of a stream, not acknowledged */

/* May it have `part` more out?  Anything, if it has nothing out; else within its share of the send
 * area and of SENDs, which falls as these fill up: so streams that do not go on, however many,
 * leave something to the others. */
inline bool has_share(const stream_state &s, std::size_t part)
{
    const ring_state &r = *s.owner->rings[s.ring];
    std::uint64_t max = mr_ring_sends_max(r.ring);
    std::uint64_t left = max > r.sends_out ? max - r.sends_out : 0;

    return s.outstanding == 0 ||
           (s.outstanding + part <= std::min(write_bytes_max, mr_ring_share(r.ring)) &&
            s.sends < left * left / (2 * max));
}

/* Wait for something to read.  False: the end. */
inline task<bool> wait_readable(stream_ref s)
{
    while (s->pieces.empty()) {
        if (s->has_end)
            co_return false;
        s->receive_fail.check("read");
        co_await waiter(s->readers);
    }
    co_return true;
}

inline task<chunk> read_chunk(stream_ref s)
{
    if (!co_await wait_readable(s))
        co_return chunk();
    std::uint64_t number = core::first_number(*s);
    piece p = s->pieces.front();
    s->pieces.pop_front();
    co_return chunk(s, p, number);
}

inline task<std::size_t> read(stream_ref s, std::span<std::uint8_t> to)
{
    std::size_t total = 0;

    if (!co_await wait_readable(s))
        co_return 0;
    while (total < to.size() && !s->pieces.empty()) {
        piece &p = s->pieces.front();
        std::size_t part = std::min<std::size_t>(p.cqe.size - p.used, to.size() - total);

        std::memcpy(to.data() + total, p.data + p.used, part);
        total += part;
        p.used += static_cast<std::uint32_t>(part);
        if (p.used == p.cqe.size) {
            chunk whole(s, p, core::first_number(*s)); /* gives it back */
            s->pieces.pop_front();
        }
    }
    co_return total;
}

inline task<std::vector<std::uint8_t>> read_all(stream_ref s, std::size_t limit)
{
    std::vector<std::uint8_t> all;

    for (;;) {
        chunk part = co_await read_chunk(s);
        if (!part)
            co_return all;
        if (part.bytes().size() > limit - all.size())
            throw error(EMSGSIZE, "read_all");
        all.insert(all.end(), part.bytes().begin(), part.bytes().end());
    }
}

inline void check_writable(const stream_state &s)
{
    s.owner->check_alive();
    if (s.has_sent_end || !s.can_send)
        throw error(EPIPE, "write after the end");
    s.send_fail.check("write");
}

/* Memory of the send area, less than `size` bytes if there are no more together; NULL: none. */
inline void *take_memory(mr_ring *ring, std::size_t &size)
{
    void *memory = nullptr;

    for (; (memory = mr_ring_alloc(ring, size)) == nullptr && size > 256; size /= 2) {
    }
    return memory;
}

/* Copy and submit what there is room for.  Bytes; 0: there is none. */
inline std::size_t write_some(const stream_ref &s, bytes_view from, bool is_last)
{
    ring_state &r = *s->owner->rings[s->ring];
    std::size_t size = std::min(from.size(), write_part);
    void *memory = r.sends_out < mr_ring_sends_max(r.ring) ? take_memory(r.ring, size) : nullptr;

    if (memory == nullptr)
        return 0;
    std::memcpy(memory, from.data(), size);
    bool is_end = is_last && size == from.size();
    s->outstanding += size;
    s->has_sent_end = is_end;
    s->owner->submit_send({s, nullptr, memory, static_cast<std::uint32_t>(size), is_end}, 0);
    return size;
}

/* The end alone takes a record, and counts as a byte.  False: no record. */
inline bool write_end(const stream_ref &s)
{
    ring_state &r = *s->owner->rings[s->ring];

    if (r.sends_out >= mr_ring_sends_max(r.ring))
        return false;
    s->outstanding++;
    s->has_sent_end = true;
    s->owner->submit_send({s, nullptr, nullptr, 1, true}, 0);
    return true;
}

inline task<void> write(stream_ref s, bytes_view from, bool is_last)
{
    pass_on_room others{*s->owner, s->ring};

    check_writable(*s);
    while (!from.empty() || (is_last && !s->has_sent_end)) {
        check_writable(*s);
        if (s->awaits_reason || s->is_moving || !s->refused.empty()) {
            co_await waiter(s->writers);
            continue;
        }
        std::size_t part = std::min(from.size(), write_part);
        if (!has_share(*s, part)) {
            co_await waiter(s->writers);
            continue;
        }
        std::size_t done = from.empty() ? 0 : write_some(s, from, is_last);
        if (from.empty() ? write_end(s) : done > 0) {
            from = from.subspan(done);
            continue;
        }
        co_await waiter(s->owner->rings[s->ring]->room);
    }
}

inline task<void> flush(stream_ref s)
{
    while (s->outstanding > 0 || s->awaits_reason)
        co_await waiter(s->writers);
    s->lost.check("flush");
}

/* Wait for its answer: the result. */
inline task<std::int32_t> ask_stream(stream_ref s, mr_sqe sqe)
{
    auto wanted = std::make_shared<answer>();

    s->owner->ask(s->ring, sqe, {.stream = s, .wanted = wanted});
    while (!wanted->is_there) {
        s->owner->check_alive();
        co_await waiter(s->writers);
    }
    co_return wanted->result;
}

inline task<void> reset_at(stream_ref s, std::uint64_t code, std::uint64_t reliable)
{
    mr_sqe sqe{};

    while (s->is_moving || !s->refused.empty())
        co_await waiter(s->writers);
    if (!s->can_send)
        throw error(EPIPE, "reset_at");
    if (!s->is_reset_at) /* again: to guarantee less */
        s->send_fail.check("reset_at");
    mr_sqe_reset_at(&sqe, s->wire, code, reliable);
    std::int32_t result = co_await ask_stream(s, sqe);
    if (result < 0)
        throw error(-result, "reset_at");
    s->is_reset_at = true;
    s->send_fail.set(EPIPE);
    s->owner->wake_all(s->writers);
}

} // namespace detail

class stream
{
  public:
    explicit stream(detail::stream_ref s) noexcept : state_(std::move(s))
    {
    }
    stream(stream &&other) noexcept = default;
    stream &operator=(stream &&other) noexcept
    {
        std::swap(state_, other.state_);
        return *this;
    }
    ~stream()
    {
        if (state_)
            state_->owner->drop_stream(*state_);
    }

    /* Wait for bytes; copy at most to.size().  0: the end. */
    task<std::size_t> read(std::span<std::uint8_t> to)
    {
        return detail::read(state_, to);
    }

    /* Wait for bytes; all of one receive slot, without a copy.  Empty: the end.  A stream that
     * holds its share of the slots (alone: a quarter) gets no more, and its peer has to wait: that
     * is back pressure. */
    task<chunk> read_chunk()
    {
        return detail::read_chunk(state_);
    }

    /* All bytes until the end; message_size if they are more than `limit`. */
    task<std::vector<std::uint8_t>> read_all(std::size_t limit)
    {
        return detail::read_all(state_, limit);
    }

    /* Copy the bytes to the send area, waiting for room (256 KiB of a stream are not acknowledged
     * at most); they must live until then.  `is_last`: the stream ends after them. */
    task<void> write(bytes_view from, bool is_last = false)
    {
        return detail::write(state_, from, is_last);
    }

    /* Until the peer has acknowledged all that was written. */
    task<void> flush()
    {
        return detail::flush(state_);
    }

    /* Abandon sending, but for the first `reliable` bytes that were written, which the peer gets
     * all the same, and then the code (RESET_STREAM_AT, draft-ietf-quic-reliable-stream-reset).
     * Reading goes on; again: to guarantee less.  invalid_argument: more than was written, or
     * another code; broken_pipe: nothing to abandon; operation_not_supported: the peer does not
     * take it.  flush() throws broken_pipe if bytes beyond were dropped. */
    task<void> reset_at(std::uint64_t code, std::uint64_t reliable)
    {
        return detail::reset_at(state_, code, reliable);
    }

    /* Abandon sending; drop what is and will be received. */
    void reset(std::uint64_t code = 0)
    {
        state_->owner->reset_stream(*state_, code);
    }
    void stop(std::uint64_t code = 0)
    {
        state_->owner->stop_stream(*state_, code);
    }

    bool is_unidirectional() const noexcept
    {
        return state_->is_uni;
    }

    /* Its number on the wire (RFC 9000, Section 2.1).  One that we opened has it when the datapath
     * has answered: UINT64_MAX until then. */
    std::uint64_t id() const noexcept
    {
        return state_->id;
    }

  private:
    detail::stream_ref state_;
};

/* ------------------------------------------------------------------ connections */

namespace detail
{

/* Lets others ask when its coroutine ends. */
struct probe {
    conn_state &conn;
    bool &is_probing;

    probe(conn_state &c, bool is_uni) : conn(c), is_probing(c.is_probing[is_uni])
    {
        is_probing = true;
    }
    probe(const probe &) = delete;
    probe &operator=(const probe &) = delete;
    ~probe()
    {
        is_probing = false;
        conn.owner->wake_all(conn.openers);
    }
};

/* Submit OPEN; the stream has its alias, and can be used at once. */
inline stream_ref submit_open(const conn_ref &c, bool is_uni)
{
    ring_state &r = *c->owner->rings[c->ring];
    auto s = std::make_shared<stream_state>();
    mr_sqe sqe{};

    s->owner = c->owner;
    s->conn = c;
    s->ring = c->ring;
    s->alias = r.aliases.back() + 1;
    s->wire = MR_RING_ALIAS | r.aliases.back();
    s->opening = 1;
    s->is_uni = is_uni;
    s->can_receive = !is_uni;
    r.aliases.pop_back();
    c->streams.insert(s.get());
    c->opened[is_uni]++;
    mr_sqe_open(&sqe, c->handle, is_uni ? MR_OPEN_UNI : MR_OPEN_BIDI);
    sqe.alias = s->alias;
    c->owner->ask(c->ring, sqe, {s, nullptr, nullptr, 0});
    return s;
}

inline task<void> wait_open(stream_ref s)
{
    while (s->opening == 1)
        co_await waiter(s->writers);
    if (s->opening < 0 && s->opening != -EAGAIN)
        throw error(-s->opening, "open");
}

inline task<stream> open(conn_ref c, bool is_uni)
{
    pass_on_room others{*c->owner, c->ring};

    for (;;) {
        c->fail.check("open");
        if (c->is_moving) {
            co_await waiter(c->openers);
            continue;
        }
        if (c->owner->rings[c->ring]->aliases.empty()) {
            co_await waiter(c->owner->rings[c->ring]->room);
            continue;
        }
        if (c->opened[is_uni] < c->limit[is_uni])
            co_return stream(submit_open(c, is_uni));
        if (c->is_probing[is_uni]) {
            co_await waiter(c->openers);
            continue;
        }
        probe asking(*c, is_uni);
        std::uint64_t allowed = c->allowed;
        stream_ref s = submit_open(c, is_uni);
        stream opened(s);
        co_await wait_open(s);
        if (s->opening == 0)
            co_return std::move(opened);
        while (c->allowed == allowed && c->fail.number == 0)
            co_await waiter(c->changed);
    }
}

inline task<std::optional<stream>> accept_stream(conn_ref c)
{
    pass_on others{*c->owner, c->acceptors};

    while (c->incoming.empty()) {
        if (c->fail.number != 0 && c->is_orderly)
            co_return std::nullopt;
        c->fail.check("accept_stream");
        co_await waiter(c->acceptors);
    }
    stream_ref first = c->incoming.front();
    c->incoming.pop_front();
    co_return stream(first);
}

} // namespace detail

/* How a connection ended. */
struct connection_end {
    std::uint64_t code;  /* a transport's (RFC 9000, Section 20), or, */
    bool is_application; /* the application's */
    bool is_remote;      /* the peer closed it */
    std::string reason;  /* for people; "": not told */
};

namespace detail
{

inline task<connection_end> wait_closed(conn_ref c)
{
    while (!c->is_over)
        co_await waiter(c->changed);
    co_return connection_end{c->end_code, c->is_end_application, c->is_end_remote, c->end_reason};
}

/* Wait for its answer, which writes `written` bytes of the memory. */
inline task<answer> ask_conn(conn_ref c, mr_sqe sqe, void *memory, std::size_t written = 0)
{
    auto wanted = std::make_shared<answer>();

    c->owner->ask(c->ring, sqe,
                  {.conn = c, .memory = memory, .wanted = wanted, .written = written});
    while (!wanted->is_there) {
        c->owner->check_alive();
        co_await waiter(c->changed);
    }
    co_return std::move(*wanted);
}

/* Until submissions about it have a ring to go to. */
inline task<void> wait_settled(conn_ref c, const char *what)
{
    for (c->fail.check(what); c->is_moving; c->fail.check(what))
        co_await waiter(c->changed);
}

/* Memory for `size` bytes, with the bytes; waits while there is none. */
inline task<void *> copy_to_area(conn_ref c, bytes_view from, const char *what)
{
    pass_on_room others{*c->owner, c->ring};

    for (;;) {
        ring_state &r = *c->owner->rings[c->ring];
        void *memory = mr_ring_alloc(r.ring, from.size());

        if (memory != nullptr) {
            std::memcpy(memory, from.data(), from.size());
            co_return memory;
        }
        co_await waiter(r.room);
        co_await wait_settled(c, what);
    }
}

inline task<void> send_datagram(conn_ref c, bytes_view from)
{
    std::int32_t result = -EAGAIN;

    if (from.size() > UINT16_MAX)
        throw error(EMSGSIZE, "send_datagram");
    while (result == -EAGAIN) {
        co_await wait_settled(c, "send_datagram");
        void *memory = from.empty() ? nullptr : co_await copy_to_area(c, from, "send_datagram");
        ring_state &r = *c->owner->rings[c->ring];
        std::uint64_t writable = c->writable;
        mr_sqe sqe{};

        mr_sqe_datagram(&sqe, c->handle, memory == nullptr ? 0 : mr_ring_offset(r.ring, memory),
                        static_cast<std::uint32_t>(from.size()));
        result = (co_await ask_conn(c, sqe, memory)).result;
        while (result == -EAGAIN && c->writable == writable && c->fail.number == 0)
            co_await waiter(c->changed);
    }
    if (result < 0)
        throw error(-result, "send_datagram");
}

inline task<std::vector<std::uint8_t>> receive_datagram(conn_ref c)
{
    pass_on others{*c->owner, c->datagram_readers};

    while (c->datagrams.empty()) {
        c->fail.check("receive_datagram");
        co_await waiter(c->datagram_readers);
    }
    std::vector<std::uint8_t> first = std::move(c->datagrams.front());
    c->datagrams.pop_front();
    co_return first;
}

inline task<bool> migrate(conn_ref c, std::vector<std::uint8_t> ip, std::uint16_t port)
{
    mr_sqe sqe{};

    if (c->path == path_state::under_way)
        throw error(EALREADY, "migrate");
    co_await wait_settled(c, "migrate");
    void *memory = ip.empty() ? nullptr : co_await copy_to_area(c, ip, "migrate");
    mr_sqe_migrate(&sqe, c->handle, port);
    if (memory != nullptr) {
        sqe.address = mr_ring_offset(c->owner->rings[c->ring]->ring, memory);
        sqe.size = static_cast<std::uint32_t>(ip.size());
    }
    c->path = path_state::under_way; /* before the answer: an event may come with it */
    std::int32_t result = (co_await ask_conn(c, sqe, memory)).result;
    if (result < 0) {
        c->path = path_state::none;
        throw error(-result, "migrate");
    }
    while (c->path == path_state::under_way) {
        c->fail.check("migrate");
        co_await waiter(c->changed);
    }
    co_return c->path == path_state::changed;
}

/* Something about its paths: the answer, or a throw. */
inline task<answer> ask_path(conn_ref c, mr_sqe sqe, void *memory, std::size_t size,
                             const char *what)
{
    if (memory != nullptr) {
        sqe.address = mr_ring_offset(c->owner->rings[c->ring]->ring, memory);
        sqe.size = static_cast<std::uint32_t>(size);
    }
    bool is_list = sqe.value == MR_PATH_CALL_LIST;
    answer a = co_await ask_conn(c, sqe, memory, is_list ? size : 0);
    if (a.result < 0)
        throw error(-a.result, what);
    co_return a;
}

inline task<std::vector<mr_path_info>> paths(conn_ref c)
{
    const std::vector<std::uint8_t> room(MR_PATHS_LIST_MAX * sizeof(mr_ring_path));
    mr_sqe sqe{};

    co_await wait_settled(c, "paths");
    void *memory = co_await copy_to_area(c, room, "paths");
    mr_sqe_path_list(&sqe, c->handle, 0, 0);
    answer a = co_await ask_path(c, sqe, memory, room.size(), "paths");
    std::vector<mr_path_info> list;
    for (std::size_t i = 0; i < static_cast<std::size_t>(a.result); i++) {
        mr_ring_path path;

        std::memcpy(&path, a.bytes.data() + i * sizeof(path), sizeof(path));
        list.push_back(mr_ring_path_info(&path));
    }
    co_return list;
}

inline task<void> wait_paths_changed(conn_ref c, std::uint64_t seen)
{
    while (c->paths_changed == seen) {
        c->fail.check("paths_changed");
        co_await waiter(c->changed);
    }
}

inline task<std::uint32_t> open_path(conn_ref c, std::vector<std::uint8_t> ip, std::uint16_t port)
{
    mr_sqe sqe{};

    co_await wait_settled(c, "open_path");
    void *memory = ip.empty() ? nullptr : co_await copy_to_area(c, ip, "open_path");
    mr_sqe_path_open(&sqe, c->handle, port);
    answer a = co_await ask_path(c, sqe, memory, ip.size(), "open_path");
    auto id = static_cast<std::uint32_t>(a.value);
    for (;;) {
        std::uint64_t seen = c->paths_changed;
        int state = MR_PATH_INFO_ABANDONED; /* forgotten, if it is not there */

        for (const mr_path_info &path : co_await paths(c))
            state = path.path == id ? path.state : state;
        if (state == MR_PATH_INFO_OPEN)
            co_return id;
        if (state == MR_PATH_INFO_ABANDONED)
            throw error(EHOSTUNREACH, "open_path");
        co_await wait_paths_changed(c, seen);
    }
}

inline task<void> change_path(conn_ref c, std::uint32_t path, std::uint16_t kind, const char *what)
{
    mr_sqe sqe{};

    co_await wait_settled(c, what);
    mr_sqe_path(&sqe, c->handle, path, kind);
    co_await ask_path(c, sqe, nullptr, 0, what);
}

inline task<void> wait_confirmed(conn_ref c)
{
    while (c->is_early) {
        c->fail.check("confirmed");
        co_await waiter(c->changed);
    }
}

} // namespace detail

class connection
{
  public:
    explicit connection(detail::conn_ref c) noexcept : state_(std::move(c))
    {
    }
    connection(connection &&other) noexcept = default;
    connection &operator=(connection &&other) noexcept
    {
        std::swap(state_, other.state_);
        return *this;
    }
    ~connection()
    {
        if (state_)
            state_->owner->close_conn(*state_, 0);
    }

    /* Open a stream; waits while the peer allows no more. */
    task<stream> open(bool is_unidirectional = false)
    {
        return detail::open(state_, is_unidirectional);
    }

    /* The next stream that the peer opened; none: the connection was closed, by us or with code 0.
     */
    task<std::optional<stream>> accept_stream()
    {
        return detail::accept_stream(state_);
    }

    /* Close with the application's code; what was not acknowledged is lost: flush() before. */
    void close(std::uint64_t code = 0)
    {
        state_->owner->close_conn(*state_, code);
    }

    /* One unreliable datagram (RFC 9221), copied; waits while too many wait.  message_size: larger
     * than the path lets through now; operation_not_supported: the peer takes none.  One that is
     * lost, or for which the path has become too small, is dropped, and nothing is told. */
    task<void> send_datagram(bytes_view from)
    {
        return detail::send_datagram(state_, from);
    }

    /* The oldest datagram that came; 128 wait, later ones are dropped. */
    task<std::vector<std::uint8_t>> receive_datagram()
    {
        return detail::receive_datagram(state_);
    }

    /* A client's: go to another local port (0: any), and to another local address if there is one
     * (RFC 9000, Section 9.2).  False: the new path did not answer, it goes on by the old one.
     * operation_not_supported: a server's, or the peer forbids it; others as `migrate` of
     * millrace/transport.h. */
    task<bool> migrate(std::uint16_t port = 0, std::vector<std::uint8_t> ip = {})
    {
        return detail::migrate(state_, std::move(ip), port);
    }

    /* A client's: open a path from another port of its address (0: the same one), or from another
     * address, to be used at the same time (draft-ietf-quic-multipath): its ID, once it is
     * validated.  host_unreachable: the peer did not answer there; others as MR_PATH_CALL_OPEN of
     * millrace/path.h. */
    task<std::uint32_t> open_path(std::uint16_t port = 0, std::vector<std::uint8_t> ip = {})
    {
        return detail::open_path(state_, std::move(ip), port);
    }

    /* As MR_PATH_CALL_ABANDON. */
    task<void> abandon_path(std::uint32_t path)
    {
        return detail::change_path(state_, path, MR_PATH_CALL_ABANDON, "abandon_path");
    }

    /* As MR_PATH_CALL_BACKUP, or MR_PATH_CALL_AVAILABLE. */
    task<void> set_path_backup(std::uint32_t path, bool is_backup)
    {
        return detail::change_path(state_, path,
                                   is_backup ? MR_PATH_CALL_BACKUP : MR_PATH_CALL_AVAILABLE,
                                   "set_path_backup");
    }

    /* The paths that there are. */
    task<std::vector<mr_path_info>> paths()
    {
        return detail::paths(state_);
    }

    /* Until they change, whoever changes them: MR_EVENT_PATHS_CHANGED. */
    task<void> paths_changed()
    {
        return detail::wait_paths_changed(state_, state_->paths_changed);
    }

    /* A server's: may what came be a copy of what a client sent before (0-RTT; RFC 8470)? */
    bool is_early() const noexcept
    {
        return state_->is_early;
    }

    /* Until it cannot be any more: the handshake is complete. */
    task<void> confirmed()
    {
        return detail::wait_confirmed(state_);
    }

    /* Until the connection is over: how it ended. */
    task<connection_end> closed()
    {
        return detail::wait_closed(state_);
    }

  private:
    detail::conn_ref state_;
};

/* ------------------------------------------------------------------ listeners */

namespace detail
{

/* Let an ACCEPT wait on each ring: a policy may give connections to those who ask only. */
inline void ask_accepts(listener_state &l)
{
    for (std::uint32_t i = 0; i < l.asks.size(); i++) {
        mr_sqe sqe{};

        if (l.asks[i])
            continue;
        mr_sqe_accept(&sqe, l.number);
        sqe.user_data = l.number;
        l.owner->submit(i, sqe);
        l.asks[i] = true;
    }
}

inline void listen_on(listener_state &l, bool is_on)
{
    for (std::uint32_t i = 0; i < l.asks.size(); i++) {
        mr_sqe sqe{};

        mr_sqe_listen(&sqe, l.number, is_on);
        sqe.user_data = l.number;
        l.owner->submit(i, sqe);
    }
}

inline task<connection> accept(std::shared_ptr<listener_state> l)
{
    pass_on others{*l->owner, l->acceptors};

    while (l->backlog.empty()) {
        l->fail.check("accept");
        ask_accepts(*l);
        co_await waiter(l->acceptors);
    }
    conn_ref first = l->backlog.front();
    l->backlog.pop_front();
    co_return connection(first);
}

} // namespace detail

/* Connections that nobody has accepted yet wait in it; its destructor closes them. */
class listener
{
  public:
    explicit listener(std::shared_ptr<detail::listener_state> l) noexcept : state_(std::move(l))
    {
    }
    listener(listener &&other) noexcept = default;
    listener &operator=(listener &&other) noexcept
    {
        std::swap(state_, other.state_);
        return *this;
    }
    ~listener()
    {
        if (!state_)
            return;
        detail::listen_on(*state_, false);
        state_->fail.set(ECANCELED);
        for (auto &c : std::exchange(state_->backlog, {}))
            state_->owner->close_conn(*c, 0);
        state_->owner->wake_all(state_->acceptors);
        state_->owner->listeners.erase(state_->number);
    }

    /* The next connection; its handshake is complete.  ESHUTDOWN: the datapath drains, none comes
     * any more; finish those that are there. */
    task<connection> accept()
    {
        return detail::accept(state_);
    }

  private:
    std::shared_ptr<detail::listener_state> state_;
};

} // namespace millrace

#endif /* MILLRACE_CORO_OBJECTS_HPP */
