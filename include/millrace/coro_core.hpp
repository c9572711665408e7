/*
 * millrace/coro_core.hpp - what millrace/coro.hpp is made of: connections and streams over rings.
 *
 *     completions --take()--> states of connections and streams --wake--> who waits for them
 *
 * A state is shared by the ring's map, until the datapath has told that the object is over, and by
 * whoever uses it: so neither can outlive what the other still needs.
 */
#ifndef MILLRACE_CORO_CORE_HPP
#define MILLRACE_CORO_CORE_HPP

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <string>
#include <unordered_set>

#include "millrace/coro_detail.hpp"
#include "millrace/ring.h"
#include "millrace/transport.h"

namespace millrace::detail
{

struct core;
struct stream_state;

struct failure {
    int number = 0; /* errno; 0: none */
    std::uint64_t peer_code = 0;

    void set(int e, std::uint64_t code = 0) noexcept
    {
        if (number == 0)
            *this = {e, code};
    }
    void check(const char *what) const
    {
        if (number != 0)
            throw error(number, what, peer_code);
    }
};

inline constexpr std::size_t datagrams_max = 128; /* that wait on a connection; more: dropped */

/* Where a connection's last migration is. */
enum class path_state {
    none,
    under_way,
    changed,
    failed
};

/* Of a submission, for who waits for it. */
struct answer {
    bool is_there = false;
    std::int32_t result = 0;
    std::uint64_t value = 0;
    std::vector<std::uint8_t> bytes; /* that were written to its memory */
};

struct conn_state {
    std::shared_ptr<core> owner;
    std::uint32_t ring = 0;
    std::uint64_t handle = 0; /* 0: not known yet */
    bool is_connected = false;
    bool is_over = false;
    bool is_orderly = false; /* over by us, or with the application's code 0 */
    bool wants_close = false;
    bool is_leaving = false;    /* the datapath wants to move it, and MOVE_ACK is not said */
    bool is_moving = false;     /* it is said: nothing is submitted about it */
    bool has_left = false;      /* and answered: nothing more comes from its ring */
    bool is_close_held = false; /* it was closed meanwhile */
    mr_cqe moved{};             /* what the datapath said */
    std::uint64_t close_code = 0;
    std::uint64_t end_code = 0; /* as the datapath told it */
    bool is_end_application = false;
    bool is_end_remote = false;
    std::string end_reason;
    failure fail;
    std::uint64_t limit[2] = {}; /* [is_uni]: streams that may be opened in all */
    std::uint64_t opened[2] = {};
    bool is_probing[2] = {};    /* somebody asks whether there may be more */
    std::uint64_t allowed = 0;  /* times that MR_EVENT_STREAMS_ALLOWED came */
    std::uint64_t writable = 0; /* times that MR_EVENT_WRITABLE did */
    bool is_early = false;      /* what came may be a copy */
    path_state path = path_state::none;
    std::uint64_t paths_changed = 0; /* times that MR_EVENT_PATHS_CHANGED came */
    std::deque<std::vector<std::uint8_t>> datagrams;
    list datagram_readers;
    list changed;
    list openers;
    list acceptors;
    std::deque<std::shared_ptr<stream_state>> incoming;
    std::unordered_set<stream_state *> streams;
};

/* Received bytes; of a region by reference, in a line with those that were shown before. */
struct piece {
    mr_cqe cqe;
    const std::uint8_t *data;
    std::uint32_t ring; /* which it is given back to */
    std::uint32_t used = 0;
};

/* A submission that will be answered. */
struct pending {
    std::shared_ptr<stream_state> stream = nullptr;
    std::shared_ptr<conn_state> conn = nullptr;
    void *memory = nullptr;
    std::uint32_t weight = 0;
    bool is_end = false;    /* a SEND with FIN */
    std::uint32_t ring = 0; /* of the memory */
    std::shared_ptr<answer> wanted = nullptr;
    std::size_t written = 0; /* bytes of the memory that the answer writes */
};

struct stream_state {
    std::shared_ptr<core> owner;
    std::shared_ptr<conn_state> conn;
    std::uint32_t ring = 0;
    std::uint64_t wire = 0; /* what submissions call it */
    std::uint32_t alias = 0;
    std::uint64_t id = UINT64_MAX; /* on the wire; not known until OPEN is answered */
    int opening = 0;               /* 1: OPEN is out; 0: it is there; else -errno */
    bool is_uni = false;
    bool is_over = false;
    bool is_dropped = false; /* nobody uses it */
    bool can_send = true;
    bool can_receive = true;
    bool has_sent_end = false;
    bool is_reset_at = false; /* abandoned, but for its first bytes */
    bool has_end = false;     /* no pieces follow those that are there */
    failure send_fail;
    failure receive_fail;
    failure lost;               /* a SEND failed */
    bool awaits_reason = false; /* it failed of what an event will tell: STOPPED, CLOSED */
    bool is_moving = false;     /* with its connection: nothing is submitted about it */
    std::optional<std::uint64_t> held_reset; /* what was to be submitted meanwhile */
    std::optional<std::uint64_t> held_stop;
    std::uint32_t sends = 0;       /* SENDs that are not answered, */
    std::uint64_t last_send = 0;   /* the last of them */
    std::deque<pending> refused;   /* to be submitted again, in order */
    std::uint64_t outstanding = 0; /* bytes and ends not acknowledged, as pending.weight */
    std::deque<piece> pieces;
    std::deque<std::pair<std::uint32_t, bool>> shown; /* by reference: size, is released */
    std::uint64_t shown_begin = 0;                    /* number of its first */
    list readers;
    list writers;

    /* `send_fail` is set: a SEND that failed before failed of that. */
    void reason_told() noexcept
    {
        awaits_reason = false;
        lost = lost.number != 0 ? send_fail : lost;
    }
};

struct ring_state {
    mr_ring *ring = nullptr;
    std::unordered_map<std::uint64_t, std::shared_ptr<conn_state>> conns;
    std::unordered_map<std::uint64_t, std::shared_ptr<stream_state>> streams;
    std::vector<std::uint32_t> aliases; /* free ones */
    std::uint32_t sends_out = 0;
    std::deque<std::shared_ptr<stream_state>> again; /* have `refused`, and all came back */
    list room; /* who waits for memory, an alias or a record */
    std::deque<mr_sqe> late;
    std::deque<mr_cqe> early; /* behind a MOVED_IN that cannot be taken yet */
};

struct listener_state {
    std::shared_ptr<core> owner;
    std::uint64_t number = 0;
    failure fail;
    std::vector<bool> asks; /* an ACCEPT waits, of each ring */
    std::deque<std::shared_ptr<conn_state>> backlog;
    list acceptors;
};

/* Wakes the next one in a list, on whatever way its coroutine ends. */
struct pass_on {
    core_base &core;
    list &waiting;

    ~pass_on()
    {
        core.wake_one(waiting);
    }
};

/* The same, of the ring that a connection or stream has by then: a move wakes all of the old one's.
 */
struct pass_on_room {
    core &owner;
    const std::uint32_t &ring;

    ~pass_on_room();
};

struct core : core_base, std::enable_shared_from_this<core> {
    mr_attachment *attachment;
    bool is_gone = false;
    std::vector<std::unique_ptr<ring_state>> rings;
    std::unordered_map<std::uint64_t, pending> asked;
    std::unordered_map<std::uint64_t, std::shared_ptr<listener_state>> listeners;
    std::uint64_t last_word = 0;
    std::uint32_t next_ring = 0;

    explicit core(mr_attachment *a) : attachment(a)
    {
        for (std::uint32_t i = 0; i < mr_attach_ring_count(a); i++) {
            rings.push_back(std::make_unique<ring_state>());
            rings[i]->ring = mr_attach_ring(a, i);
            for (std::uint32_t n = mr_ring_alias_count(rings[i]->ring); n > 0; n--)
                rings[i]->aliases.push_back(n - 1);
        }
    }

    /* ---- submissions ---- */

    /* Submit, now or when there is room. */
    void submit(std::uint32_t ring, const mr_sqe &sqe)
    {
        if (is_gone)
            return;
        ring_state &r = *rings[ring];
        mr_sqe *to = r.late.empty() ? mr_ring_sqe(r.ring) : nullptr;

        if (to != nullptr)
            *to = sqe;
        else
            r.late.push_back(sqe);
    }

    /* The same; its completion finds `what`. */
    void ask(std::uint32_t ring, mr_sqe sqe, pending what)
    {
        sqe.user_data = ++last_word;
        what.ring = ring;
        asked.emplace(sqe.user_data, std::move(what));
        submit(ring, sqe);
    }

    void submit_send(pending what, std::uint32_t flags)
    {
        stream_state &s = *what.stream;
        ring_state &r = *rings[s.ring];
        std::uint64_t offset = what.memory == nullptr ? 0 : mr_ring_offset(r.ring, what.memory);
        mr_sqe sqe{};

        mr_sqe_send(&sqe, s.wire, offset, what.memory == nullptr ? 0 : what.weight,
                    flags | (what.is_end ? MR_SQE_FIN : 0));
        s.sends++;
        s.last_send = last_word + 1;
        r.sends_out++;
        ask(s.ring, sqe, std::move(what));
    }

    void tell(std::uint32_t ring, mr_sqe sqe)
    {
        sqe.flags |= MR_SQE_QUIET;
        submit(ring, sqe);
    }

    /* Hand everything over.  False: some found no room. */
    bool flush()
    {
        bool is_all = true;

        for (auto &r : rings) {
            mr_sqe *to;

            mr_ring_submit(r->ring);
            while (!r->late.empty() && (to = mr_ring_sqe(r->ring)) != nullptr) {
                *to = r->late.front();
                r->late.pop_front();
            }
            mr_ring_submit(r->ring);
            is_all = is_all && r->late.empty();
        }
        return is_all;
    }

    /* ---- objects ---- */

    void close_conn(conn_state &c, std::uint64_t code)
    {
        if (c.is_over || c.wants_close)
            return;
        c.wants_close = c.is_orderly = true;
        c.close_code = code;
        c.fail.set(ENOTCONN);
        c.is_close_held = c.is_moving;
        if (c.handle != 0 && !c.is_moving)
            submit_close(c);
        for (stream_state *s : c.streams)
            fail_stream(*s, c.fail);
        wake_conn(c);
    }

    void submit_close(const conn_state &c)
    {
        mr_sqe sqe{};

        mr_sqe_close(&sqe, c.handle, c.close_code);
        tell(c.ring, sqe);
    }

    /* Nobody uses the stream: what is not over ends. */
    void drop_stream(stream_state &s)
    {
        s.is_dropped = true;
        drop_pieces(s);
        reset_stream(s, 0);
        stop_stream(s, 0);
    }

    void reset_stream(stream_state &s, std::uint64_t code)
    {
        if (!s.can_send || s.has_sent_end || s.send_fail.number != 0 || s.is_over)
            return;
        if (s.is_moving)
            s.held_reset = code;
        else
            submit_reset(s, code);
        s.send_fail.set(EPIPE);
        wake_all(s.writers);
    }

    void stop_stream(stream_state &s, std::uint64_t code)
    {
        drop_pieces(s);
        if (!s.can_receive || s.has_end || s.receive_fail.number != 0 || s.is_over)
            return;
        if (s.is_moving)
            s.held_stop = code;
        else
            submit_stop(s, code);
        s.receive_fail.set(EPIPE);
        wake_all(s.readers);
    }

    void submit_reset(const stream_state &s, std::uint64_t code)
    {
        mr_sqe sqe{};

        mr_sqe_reset(&sqe, s.wire, code);
        tell(s.ring, sqe);
    }

    void submit_stop(const stream_state &s, std::uint64_t code)
    {
        mr_sqe sqe{};

        mr_sqe_stop(&sqe, s.wire, code);
        tell(s.ring, sqe);
    }

    void fail_stream(stream_state &s, failure why)
    {
        s.send_fail.set(why.number, why.peer_code);
        s.reason_told();
        s.receive_fail.set(why.number, why.peer_code);
        wake_all(s.readers);
        wake_all(s.writers);
    }

    void wake_conn(conn_state &c)
    {
        wake_all(c.changed);
        wake_all(c.openers);
        wake_all(c.acceptors);
        wake_all(c.datagram_readers);
    }

    void stream_over(stream_state &s, failure why)
    {
        if (s.is_over)
            return;
        s.is_over = true;
        fail_stream(s, why);
        drop_refused(s);
        if (s.alias != 0)
            rings[s.ring]->aliases.push_back(s.alias - 1);
        s.alias = 0;
        wake_one(rings[s.ring]->room);
        s.conn->streams.erase(&s);
        if (by_reference(s.ring) && !s.has_end)
            s.pieces.clear(); /* others' bytes by now */
    }

    void conn_over(conn_state &c, failure why)
    {
        c.is_over = true;
        c.fail.set(why.number, why.peer_code);
        while (!c.streams.empty()) {
            stream_state *s = *c.streams.begin();

            c.streams.erase(c.streams.begin()); /* also one that is over already */
            stream_over(*s, c.fail);
        }
        for (auto &s : c.incoming) /* nobody will accept them */
            drop_pieces(*s);
        c.incoming.clear();
        wake_conn(c);
    }

    /* The datapath drains: what has come is still to be accepted, nothing else will come. */
    void drains()
    {
        for (auto &[number, l] : listeners) {
            l->fail.set(ESHUTDOWN);
            wake_all(l->acceptors);
        }
    }

    /* The datapath is gone: everything is over, whoever waits is told. */
    void gone()
    {
        const failure why{ENETDOWN, 0};

        if (is_gone)
            return;
        is_gone = true;
        for (auto &[word, what] : asked) {
            if (what.conn)
                conn_over(*what.conn, why);
            if (what.stream) {
                what.stream->opening = std::min(what.stream->opening, 0);
                what.stream->lost.set(what.stream->outstanding > 0 ? why.number : 0);
                what.stream->outstanding = 0;
            }
        }
        for (auto &r : rings) {
            for (auto &[handle, c] : r->conns)
                conn_over(*c, why);
            r->conns.clear();
            r->streams.clear();
            r->late.clear();
            r->early.clear();
            r->again.clear();
            wake_all(r->room);
        }
        for (auto &[number, l] : listeners) {
            l->fail.set(ENETDOWN);
            l->backlog.clear();
            wake_all(l->acceptors);
        }
        asked.clear(); /* last: it may hold streams that connections refer to */
    }

    void check_alive() const
    {
        if (is_gone)
            throw error(ENETDOWN, "the datapath is gone");
    }

    /* ---- receive slots ---- */

    bool by_reference(std::uint32_t ring) const
    {
        return !is_gone && mr_ring_is_by_reference(rings[ring]->ring);
    }

    void release(std::uint32_t ring, const mr_cqe &cqe)
    {
        mr_sqe sqe{};

        mr_sqe_release(&sqe, &cqe);
        tell(ring, sqe);
    }

    /* By reference the oldest bytes are released first, whoever is done with others before. */
    void release_piece(stream_state &s, const piece &p, std::uint64_t number)
    {
        if (p.cqe.size == 0 || is_gone)
            return;
        if (!by_reference(p.ring)) {
            release(p.ring, p.cqe);
            return;
        }
        s.shown[number - s.shown_begin].second = true;
        for (; !s.shown.empty() && s.shown.front().second; s.shown_begin++) {
            mr_cqe oldest = p.cqe;
            oldest.size = s.shown.front().first;
            if (!s.is_over)
                release(p.ring, oldest);
            s.shown.pop_front();
        }
        leave(*s.conn);
    }

    /* The number, in `shown`, of the oldest piece that nobody took. */
    static std::uint64_t first_number(const stream_state &s)
    {
        return s.shown_begin + s.shown.size() - s.pieces.size();
    }

    void drop_pieces(stream_state &s)
    {
        while (!s.pieces.empty()) {
            std::uint64_t number = first_number(s);
            piece p = s.pieces.front();

            s.pieces.pop_front();
            release_piece(s, p, number);
        }
    }

    /* ---- completions ---- */

    std::size_t take_all()
    {
        std::size_t total = 0;

        for (std::uint32_t i = 0; i < rings.size(); i++)
            total += take_early(i) + take_ring(i);
        for (std::uint32_t i = 0; i < rings.size(); i++)
            total += take_early(i); /* what another ring told was waited for */
        return total;
    }

    std::size_t take_ring(std::uint32_t ring)
    {
        mr_cqe cqes[64];
        std::size_t total = 0;
        std::uint32_t count = 0;

        while (!is_gone && (count = mr_ring_take(rings[ring]->ring, cqes, 64)) > 0) {
            for (std::uint32_t n = 0; n < count && !is_gone; n++) {
                if (!rings[ring]->early.empty() || is_early(cqes[n]))
                    rings[ring]->early.push_back(cqes[n]);
                else
                    take(ring, cqes[n]);
            }
            total += count;
        }
        return total;
    }

    std::size_t take_early(std::uint32_t ring)
    {
        std::deque<mr_cqe> &early = rings[ring]->early;
        std::size_t total = 0;

        for (; !early.empty() && !is_early(early.front()); total++) {
            mr_cqe cqe = early.front();

            early.pop_front();
            take(ring, cqe);
        }
        return total;
    }

    void take(std::uint32_t ring, const mr_cqe &cqe)
    {
        if (cqe.type == MR_CQE_DONE)
            take_done(ring, cqe);
        else if (cqe.type == MR_CQE_DATA)
            take_data(ring, cqe);
        else if (cqe.type == MR_CQE_DATAGRAM)
            take_datagram(ring, cqe);
        else if (cqe.type == MR_CQE_GONE)
            gone();
        else if ((cqe.kinds & MR_EVENT_MOVED_IN) != 0)
            take_moved_in(ring, cqe);
        else if (cqe.stream != 0)
            take_stream_event(ring, cqe);
        else if (cqe.conn != 0)
            take_conn_event(ring, cqe);
        else if ((cqe.kinds & MR_EVENT_GO_AWAY) != 0)
            drains();
    }

    void take_done(std::uint32_t ring, const mr_cqe &cqe)
    {
        if (cqe.op == MR_OP_ACCEPT || cqe.op == MR_OP_LISTEN) {
            take_listener_answer(ring, cqe);
            return;
        }
        auto found = asked.find(cqe.user_data);
        if (found == asked.end())
            return;
        pending what = std::move(found->second);

        asked.erase(found);
        if (cqe.op == MR_OP_SEND && is_refused(*what.stream, cqe)) {
            send_refused(what, cqe);
            return;
        }
        if (what.wanted != nullptr && what.memory != nullptr) {
            auto bytes = static_cast<const std::uint8_t *>(what.memory);
            what.wanted->bytes.assign(bytes, bytes + what.written);
        }
        if (what.memory != nullptr)
            mr_ring_free(rings[what.ring]->ring, what.memory);
        if (what.wanted != nullptr) {
            what.wanted->is_there = true;
            what.wanted->result = cqe.result;
            what.wanted->value = cqe.value;
            wake_all(what.stream != nullptr ? what.stream->writers : what.conn->changed);
        } else if (cqe.op == MR_OP_CONNECT)
            connect_done(what.conn, cqe);
        else if (cqe.op == MR_OP_MOVE_ACK)
            what.conn->has_left = cqe.result == 0;
        else if (cqe.op == MR_OP_OPEN)
            open_done(what.stream, cqe);
        else if (cqe.op == MR_OP_SEND)
            send_done(*what.stream, cqe, what.weight);
        wake_one(rings[what.ring]->room);
        if (what.ring != ring)
            wake_one(rings[ring]->room);
        send_again(*rings[ring]);
    }

    /* For want of records, which we count: those of a connection that has come from another ring
     * are counted there before we know. */
    static bool is_refused(const stream_state &s, const mr_cqe &cqe)
    {
        return (cqe.result == -ENOBUFS || (cqe.result == -ECANCELED && !s.refused.empty())) &&
               s.send_fail.number == 0;
    }

    void send_refused(const pending &what, const mr_cqe &cqe)
    {
        stream_state &s = *what.stream;
        ring_state &r = *rings[s.ring];

        r.sends_out--;
        s.sends--;
        s.refused.push_back(what);
        if (cqe.user_data == s.last_send)
            r.again.push_back(what.stream);
        send_again(r);
    }

    void send_again(ring_state &r)
    {
        while (!r.again.empty()) {
            std::shared_ptr<stream_state> s = r.again.front();

            if (s->is_moving || r.sends_out + s->refused.size() > mr_ring_sends_max(r.ring))
                return; /* the next DONE brings us here again */
            r.again.pop_front();
            if (s->send_fail.number != 0)
                drop_refused(*s);
            std::uint32_t flags = MR_SQE_AGAIN;
            for (pending &what : std::exchange(s->refused, {}))
                submit_send(what, std::exchange(flags, 0));
            wake_all(s->writers);
        }
    }

    void drop_refused(stream_state &s)
    {
        for (pending &what : std::exchange(s.refused, {})) {
            s.outstanding -= std::min<std::uint64_t>(what.weight, s.outstanding);
            s.lost.set(s.send_fail.number);
            if (what.memory != nullptr && !is_gone)
                mr_ring_free(rings[what.ring]->ring, what.memory);
        }
    }

    void connect_done(const std::shared_ptr<conn_state> &c, const mr_cqe &cqe)
    {
        if (cqe.result < 0) {
            conn_over(*c, {-cqe.result, 0});
            return;
        }
        c->handle = cqe.conn;
        rings[c->ring]->conns.emplace(cqe.conn, c);
        if (c->wants_close)
            submit_close(*c);
    }

    void open_done(const std::shared_ptr<stream_state> &s, const mr_cqe &cqe)
    {
        s->opening = std::min(cqe.result, 0);
        wake_all(s->writers);
        if (cqe.result < 0) {
            s->conn->opened[s->is_uni]--;
            stream_over(*s, {-cqe.result, 0});
            return;
        }
        s->wire = cqe.stream;
        s->id = cqe.value;
        rings[s->ring]->streams.emplace(cqe.stream, s);
    }

    void send_done(stream_state &s, const mr_cqe &cqe, std::uint32_t weight)
    {
        rings[s.ring]->sends_out--;
        s.sends--;
        s.outstanding -= weight;
        if ((cqe.result == -ECANCELED || cqe.result == -EPIPE) && s.send_fail.number == 0 &&
            !s.is_over) {
            s.lost.set(-cqe.result);
            s.awaits_reason = true;
        } else if (cqe.result < 0) {
            s.send_fail.set(-cqe.result);
            s.lost = s.send_fail;
        }
        wake_all(s.writers);
    }

    void take_listener_answer(std::uint32_t ring, const mr_cqe &cqe)
    {
        auto found = listeners.find(cqe.user_data);

        if (found == listeners.end())
            return;
        listener_state &l = *found->second;
        if (cqe.op == MR_OP_ACCEPT)
            l.asks[ring] = false; /* the connection comes with MR_EVENT_CONNECTED */
        if (cqe.op == MR_OP_LISTEN && cqe.result < 0)
            l.fail.set(-cqe.result);
        wake_all(l.acceptors);
    }

    void take_data(std::uint32_t ring, const mr_cqe &cqe)
    {
        std::shared_ptr<stream_state> s = stream_of(ring, cqe);

        if (s == nullptr) {
            if (cqe.size > 0)
                release(ring, cqe);
            return;
        }
        s->has_end = s->has_end || (cqe.flags & MR_CQE_FIN) != 0;
        if (cqe.size > 0) {
            s->pieces.push_back({cqe, mr_ring_data(rings[ring]->ring, &cqe), ring});
            if (by_reference(ring))
                s->shown.emplace_back(cqe.size, false);
        }
        if (s->is_dropped || s->receive_fail.number != 0)
            drop_pieces(*s);
        wake_all(s->readers);
    }

    /* Copied, so that its slot goes back whether or not anybody reads datagrams. */
    void take_datagram(std::uint32_t ring, const mr_cqe &cqe)
    {
        auto found = rings[ring]->conns.find(cqe.conn);

        if (found != rings[ring]->conns.end() && found->second->datagrams.size() < datagrams_max) {
            const std::uint8_t *data = mr_ring_data(rings[ring]->ring, &cqe);

            found->second->datagrams.emplace_back(data, data + cqe.size);
            wake_one(found->second->datagram_readers);
        }
        release(ring, cqe);
    }

    /* Its state, new for a stream that the peer opened. */
    std::shared_ptr<stream_state> stream_of(std::uint32_t ring, const mr_cqe &cqe)
    {
        ring_state &r = *rings[ring];
        auto known = r.streams.find(cqe.stream);

        if (known != r.streams.end())
            return known->second;
        auto conn = r.conns.find(cqe.conn);
        if (conn == r.conns.end() ||
            (cqe.type == MR_CQE_EVENT && (cqe.kinds & MR_EVENT_STREAM_OPENED) == 0))
            return nullptr;
        auto s = std::make_shared<stream_state>();
        s->owner = shared_from_this();
        s->conn = conn->second;
        s->ring = ring;
        s->wire = cqe.stream;
        r.streams.emplace(cqe.stream, s);
        s->conn->streams.insert(s.get());
        s->conn->incoming.push_back(s);
        wake_one(s->conn->acceptors);
        return s;
    }

    void take_stream_event(std::uint32_t ring, const mr_cqe &cqe)
    {
        std::shared_ptr<stream_state> s = stream_of(ring, cqe);

        if (s == nullptr)
            return;
        if ((cqe.kinds & MR_EVENT_STREAM_OPENED) != 0) {
            s->id = cqe.value;
            s->is_uni = (cqe.value & 2) != 0;
            s->can_send = !s->is_uni;
            return; /* value: the ID, told with nothing else */
        }
        if ((cqe.kinds & MR_EVENT_RESET) != 0) {
            s->receive_fail.set(ECONNRESET, cqe.value);
            if ((cqe.flags & MR_CQE_RELIABLE) == 0) /* what was guaranteed can be read before */
                drop_pieces(*s);
            wake_all(s->readers);
        }
        if ((cqe.kinds & MR_EVENT_STOPPED) != 0) {
            s->send_fail = {EPIPE, cqe.value}; /* SENDs that failed of it were told before */
            s->reason_told();
            wake_all(s->writers);
        }
        if ((cqe.kinds & MR_EVENT_CLOSED) != 0) {
            stream_over(*s, {ECONNABORTED, cqe.value});
            rings[ring]->streams.erase(cqe.stream);
        }
    }

    /* Out of its slot, which is given back. */
    std::string take_reason(std::uint32_t ring, const mr_cqe &cqe)
    {
        if ((cqe.flags & MR_CQE_REASON) == 0)
            return {};
        auto text = reinterpret_cast<const char *>(mr_ring_data(rings[ring]->ring, &cqe));
        std::string reason(text, cqe.size);
        release(ring, cqe);
        return reason;
    }

    void take_conn_event(std::uint32_t ring, const mr_cqe &cqe)
    {
        std::shared_ptr<conn_state> c = conn_of(ring, cqe);

        std::string reason = take_reason(ring, cqe);

        if (c == nullptr)
            return;
        if ((cqe.kinds & MR_EVENT_MOVED) != 0)
            take_moved(*c, cqe);
        if ((cqe.kinds & (MR_EVENT_CONNECTED | MR_EVENT_STREAMS_ALLOWED)) != 0 &&
            (cqe.kinds & MR_EVENT_CLOSED) == 0) {
            c->limit[0] = std::max(c->limit[0], cqe.address);
            c->limit[1] = std::max<std::uint64_t>(c->limit[1], cqe.size);
            c->is_connected = true;
            c->is_early = (cqe.kinds & (MR_EVENT_EARLY | MR_EVENT_CONFIRMED)) == MR_EVENT_EARLY;
            c->allowed++;
            wake_all(c->changed);
            wake_all(c->openers);
        }
        take_news(*c, cqe.kinds);
        if ((cqe.kinds & MR_EVENT_CLOSED) != 0) {
            c->end_code = cqe.value;
            c->is_end_application = (cqe.flags & MR_CQE_APPLICATION) != 0;
            c->is_end_remote = (cqe.flags & MR_CQE_REMOTE) != 0;
            c->end_reason = std::move(reason);
            c->is_orderly = c->is_orderly || (c->is_end_application && cqe.value == 0);
            conn_over(*c, {ECONNABORTED, cqe.value});
            rings[ring]->conns.erase(cqe.conn);
        }
    }

    void take_news(conn_state &c, std::uint32_t kinds)
    {
        if ((kinds & MR_EVENT_CONFIRMED) != 0)
            c.is_early = false;
        if ((kinds & MR_EVENT_WRITABLE) != 0)
            c.writable++;
        if ((kinds & MR_EVENT_PATHS_CHANGED) != 0)
            c.paths_changed++;
        if ((kinds & (MR_EVENT_PATH_CHANGED | MR_EVENT_PATH_FAILED)) != 0 &&
            c.path == path_state::under_way)
            c.path =
                (kinds & MR_EVENT_PATH_CHANGED) != 0 ? path_state::changed : path_state::failed;
        wake_all(c.changed);
    }

    /* Its state, new for an accepted connection. */
    std::shared_ptr<conn_state> conn_of(std::uint32_t ring, const mr_cqe &cqe)
    {
        ring_state &r = *rings[ring];
        auto known = r.conns.find(cqe.conn);

        if (known != r.conns.end())
            return known->second;
        if ((cqe.kinds & MR_EVENT_CONNECTED) == 0)
            return nullptr;
        auto c = std::make_shared<conn_state>();
        c->owner = shared_from_this();
        c->ring = ring;
        c->handle = cqe.conn;
        r.conns.emplace(cqe.conn, c);
        auto listener = listeners.find(cqe.value);
        if (listener == listeners.end()) {
            close_conn(*c, 0);
        } else {
            listener->second->backlog.push_back(c);
            wake_one(listener->second->acceptors);
        }
        return c;
    }

    /* ---- moves between rings: Moves in millrace/ring_layout.h ---- */

    void take_moved(conn_state &c, const mr_cqe &cqe)
    {
        c.is_leaving = cqe.result == 0;
        if (c.is_leaving) {
            c.moved = cqe;
            leave(c);
        } else if (c.is_moving) { /* it stays after all */
            for (stream_state *s : c.streams)
                go_on(*s);
            go_on(c);
        }
    }

    /* Let it go, unless bytes are shown that its ring must get back before. */
    void leave(conn_state &c)
    {
        mr_sqe sqe{};

        if (!c.is_leaving || c.is_over)
            return;
        for (const stream_state *s : c.streams)
            if ((by_reference(s->ring) && !s->shown.empty()) || !s->refused.empty())
                return;
        c.is_leaving = false;
        c.is_moving = true;
        for (stream_state *s : c.streams)
            s->is_moving = true;
        mr_sqe_move_ack(&sqe, &c.moved);
        ask(c.ring, sqe, {nullptr, rings[c.ring]->conns.at(c.handle)});
    }

    void go_on(conn_state &c)
    {
        c.is_moving = c.has_left = false;
        if (std::exchange(c.is_close_held, false))
            submit_close(c);
        wake_conn(c);
    }

    void go_on(stream_state &s)
    {
        if (!std::exchange(s.is_moving, false))
            return;
        if (s.held_reset)
            submit_reset(s, *s.held_reset);
        if (s.held_stop)
            submit_stop(s, *s.held_stop);
        s.held_reset = s.held_stop = std::nullopt;
        wake_all(s.writers);
        send_again(*rings[s.ring]);
    }

    /* The ring that an event of MOVED_IN names; NULL: none of ours. */
    ring_state *old_ring(const mr_cqe &cqe)
    {
        for (auto &r : rings)
            if (mr_ring_shard(r->ring) == cqe.address)
                return r.get();
        return nullptr;
    }

    /* Its old ring has more about it, at least the answer to MOVE_ACK. */
    bool is_early(const mr_cqe &cqe)
    {
        if (cqe.type != MR_CQE_EVENT || (cqe.kinds & MR_EVENT_MOVED_IN) == 0 || cqe.stream != 0)
            return false;
        ring_state *from = old_ring(cqe);
        auto found = from == nullptr ? decltype(from->conns.end()){} : from->conns.find(cqe.value);
        return from != nullptr && found != from->conns.end() && !found->second->has_left;
    }

    void take_moved_in(std::uint32_t ring, const mr_cqe &cqe)
    {
        ring_state *from = old_ring(cqe);

        if (from == nullptr)
            return;
        if (cqe.stream != 0)
            move_stream(*from, ring, cqe);
        else
            move_conn(*from, ring, cqe);
        wake_all(from->room); /* some of them look at another ring from here on */
    }

    void move_conn(ring_state &from, std::uint32_t ring, const mr_cqe &cqe)
    {
        auto found = from.conns.find(cqe.value);

        if (found == from.conns.end())
            return;
        std::shared_ptr<conn_state> c = found->second;
        from.conns.erase(found);
        rings[ring]->conns.emplace(cqe.conn, c);
        c->ring = ring;
        c->handle = cqe.conn;
        go_on(*c);
    }

    void move_stream(ring_state &from, std::uint32_t ring, const mr_cqe &cqe)
    {
        auto found = from.streams.find(cqe.value);

        if (found == from.streams.end())
            return;
        std::shared_ptr<stream_state> s = found->second;
        from.streams.erase(found);
        rings[ring]->streams.emplace(cqe.stream, s);
        if (s->alias != 0)
            from.aliases.push_back(s->alias - 1);
        s->alias = 0;
        if (!s->refused.empty()) { /* its end is about to be told: else it would not have left */
            std::erase(from.again, s);
            s->lost.set(EPIPE);
            s->awaits_reason = s->send_fail.number == 0;
            drop_refused(*s);
        }
        from.sends_out -= s->sends;
        rings[ring]->sends_out += s->sends;
        s->ring = ring;
        s->wire = cqe.stream;
        go_on(*s);
    }
};

inline pass_on_room::~pass_on_room()
{
    owner.wake_one(owner.rings[ring]->room);
}

} // namespace millrace::detail

#endif /* MILLRACE_CORO_CORE_HPP */
