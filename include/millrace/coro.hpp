/*
 * millrace/coro.hpp - straight-line code for many connections on one thread: C++20 coroutines on
 * top of rings (millrace/ring.h).
 *
 *     millrace::task<> echo(millrace::stream s)
 *     {
 *         while (auto chunk = co_await s.read_chunk())      waits for data
 *             co_await s.write(chunk.bytes());              waits for room
 *         co_await s.write({}, true);                       the end
 *     }
 *
 * What waits is a coroutine's frame, some hundred bytes; the thread does other work meanwhile.
 *
 *     coro.hpp            context, with_timeout(), with_stop(), joiner, event
 *     coro_objects.hpp    listener, connection, stream, chunk
 *     coro_core.hpp       their states, changed by the rings' completions
 *     coro_detail.hpp     task; lists of who waits, timers
 *
 * Owner: a connection, stream or listener belongs to whoever holds the object, which moves; its
 * destructor ends what is not over (a stream: reset and stop; a connection: close).  Operations
 * may be awaited while the object moves, and are over when the object is destroyed.
 * Threads: a context and all that it makes belong to one thread at a time, but for stop(), post()
 * and the stop_tokens.  One reader and one writer at a time of each stream.
 * Errors: class error, a std::system_error: operation_canceled; timed_out (with_timeout);
 * network_down: the datapath is gone; connection_aborted: the connection is over; not_connected:
 * closed by us; connection_reset: the peer reset the stream; broken_pipe: the peer stopped it, or
 * it was ended; ESHUTDOWN: the datapath drains; message_size: read_all(); others as the datapath answers.  An operation that throws
 * has changed nothing, except a write(), whose first part may be on its way.
 */
#ifndef MILLRACE_CORO_HPP
#define MILLRACE_CORO_HPP

#include <arpa/inet.h>
#include <cstring>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "millrace/coro_objects.hpp"

namespace millrace
{

/* ------------------------------------------------------------------ cancellation */

/* Await `inner`, but no longer (clock::duration::max(): as long as it takes): then what it waits
 * for throws operation_canceled, and if it lets that pass, this throws timed_out. */
template <class T> task<T> with_timeout(task<T> inner, clock::duration limit)
{
    detail::strand *owner = co_await detail::self();
    detail::scope scope(*owner);
    detail::timer timer(owner->core, detail::after(limit), [&scope] { scope.fire(); });

    try {
        co_return co_await inner;
    } catch (const error &e) {
        if (scope.is_fired && e.code() == std::errc::operation_canceled)
            throw error(ETIMEDOUT, "with_timeout");
        throw;
    }
}

/* Await `inner` until `token`, on whatever thread, says stop: then what it waits for throws
 * operation_canceled. */
template <class T> task<T> with_stop(task<T> inner, std::stop_token token)
{
    detail::strand *owner = co_await detail::self();
    auto scope = std::make_shared<detail::scope>(*owner, token);
    std::stop_callback callback(token, detail::firing(owner->core, scope));

    co_return co_await inner;
}

/* Of a spawned task. */
template <class T = void> class joiner
{
  public:
    explicit joiner(std::shared_ptr<detail::outcome<T>> out) noexcept : out_(std::move(out))
    {
    }

    /* Until it has ended: what it returned, or threw.  Once. */
    task<T> join()
    {
        return wait(out_);
    }
    void cancel()
    {
        if (auto scope = out_->whole.lock())
            scope->fire();
    }
    bool is_over() const noexcept
    {
        return out_->is_over;
    }
    T take()
    {
        return out_->take();
    }

  private:
    static task<T> wait(std::shared_ptr<detail::outcome<T>> out)
    {
        while (!out->is_over)
            co_await detail::waiter(out->joiners);
        co_return out->take();
    }

    std::shared_ptr<detail::outcome<T>> out_;
};

/* ------------------------------------------------------------------ what comes from outside */

class context;

/* Waited for by coroutines, set by whoever else runs on the context's thread: a callback of a
 * library that knows no coroutines.  It stays set. */
class event
{
  public:
    explicit event(context &owner);
    event(const event &) = delete;
    event &operator=(const event &) = delete;

    void set()
    {
        is_set_ = true;
        core_->wake_all(waiting_);
    }
    bool is_set() const noexcept
    {
        return is_set_;
    }

    /* Until it is set; the event must live until then. */
    task<void> wait()
    {
        while (!is_set_)
            co_await detail::waiter(waiting_);
    }

  private:
    std::shared_ptr<detail::core> core_;
    detail::list waiting_;
    bool is_set_ = false;
};

/* ------------------------------------------------------------------ the context */

namespace detail
{

inline task<void> sleep(core_base &c, clock::duration duration)
{
    list alone;
    timer wake(c, after(duration), [&] { c.wake_all(alone); });

    co_await waiter(alone);
}

/* Of the kernel; throws why there is none. */
class descriptor
{
  public:
    descriptor(int number, const char *what) : number_(number)
    {
        if (number < 0)
            throw error(errno, what);
    }
    descriptor(const descriptor &) = delete;
    descriptor &operator=(const descriptor &) = delete;
    ~descriptor()
    {
        ::close(number_);
    }
    operator int() const noexcept
    {
        return number_;
    }

  private:
    int number_;
};

struct detacher {
    void operator()(mr_attachment *attachment) const noexcept
    {
        mr_detach(attachment);
    }
};
using owned_attachment = std::unique_ptr<mr_attachment, detacher>;

inline mr_ring_connect make_wish(const std::string &address, std::uint16_t port,
                                 const std::string &alpn, const std::string &server_name,
                                 bool is_insecure)
{
    mr_ring_connect wish{};

    wish.ip[10] = wish.ip[11] = 0xff;
    if (inet_pton(AF_INET, address.c_str(), &wish.ip[12]) != 1 &&
        inet_pton(AF_INET6, address.c_str(), wish.ip) != 1)
        throw error(EINVAL, "connect: no address");
    if (alpn.empty() || alpn.size() >= sizeof(wish.alpn) ||
        server_name.size() >= sizeof(wish.server_name))
        throw error(EINVAL, "connect: a name is too long");
    wish.port = port;
    wish.alpn[0] = static_cast<std::uint8_t>(alpn.size());
    std::memcpy(&wish.alpn[1], alpn.data(), alpn.size());
    wish.alpn_size = static_cast<std::uint16_t>(alpn.size() + 1);
    std::memcpy(wish.server_name, server_name.data(), server_name.size());
    wish.is_insecure = is_insecure;
    return wish;
}

inline task<connection> connect(std::shared_ptr<core> owner, mr_ring_connect wish)
{
    std::uint32_t index = owner->next_ring++ % static_cast<std::uint32_t>(owner->rings.size());
    ring_state &r = *owner->rings[index];
    auto c = std::make_shared<conn_state>();
    pass_on others{*owner, r.room};
    void *memory = nullptr;
    mr_sqe sqe{};

    c->owner = owner;
    c->ring = index;
    connection made(c); /* closes it unless it is returned */
    for (;;) {
        owner->check_alive();
        memory = mr_ring_alloc(r.ring, sizeof(wish));
        if (memory != nullptr)
            break;
        co_await waiter(r.room);
    }
    std::memcpy(memory, &wish, sizeof(wish));
    mr_sqe_connect(&sqe, mr_ring_offset(r.ring, memory));
    owner->ask(index, sqe, {nullptr, c, memory});
    while (!c->is_connected) {
        if (c->fail.number != 0)
            throw error(c->fail.number, "connect", c->fail.peer_code, c->end_reason);
        co_await waiter(c->changed);
    }
    co_return std::move(made);
}

} // namespace detail

class context
{
  public:
    /* Borrow an attachment, which must live longer. */
    explicit context(mr_attachment *attachment) : context(attachment, nullptr)
    {
    }

    /* Attach; throws what mr_attach() answers, and leaves nothing attached if it throws. */
    explicit context(const mr_attach_config &config) : context(attach(config))
    {
    }
    context(const context &) = delete;
    context &operator=(const context &) = delete;

    /* Destroys the coroutines where they wait; what they have open ends. */
    ~context()
    {
        while (!core_->strands.empty())
            core_->strands.erase(core_->strands.begin());
        core_->flush();
        core_->gone();
        core_->listeners.clear();
    }

    /* ---- tasks ---- */

    /* Begin a task in the next turn; it ends early when `token` says so, or its joiner. */
    template <class T> joiner<T> spawn(task<T> t, std::stop_token token = {})
    {
        return joiner<T>(detail::spawn(*core_, std::move(t), std::move(token)));
    }

    /* Run until the task has ended; other tasks go on meanwhile, and rest afterwards.  What it
     * returns or throws; operation_canceled: stop(). */
    template <class T> T run(task<T> t)
    {
        joiner<T> main = spawn(std::move(t));

        is_stopped_ = false;
        while (!main.is_over() && !is_stopped_)
            if (poll() == 0 && arm())
                wait_fd();
        if (!main.is_over()) {
            main.cancel();
            poll();
            if (!main.is_over())
                throw error(ECANCELED, "run");
        }
        return main.take();
    }

    /* Let run() end.  Any thread. */
    void stop()
    {
        post([this] { is_stopped_ = true; });
    }

    /* Call `function` in the next turn.  Any thread. */
    void post(std::function<void()> function)
    {
        core_->post(std::move(function));
    }

    task<void> sleep_for(clock::duration duration)
    {
        return detail::sleep(*core_, duration);
    }

    /* Told what a task threw that nobody joins.  At first it is dropped. */
    void on_error(std::function<void(std::exception_ptr)> function)
    {
        core_->on_error = std::move(function);
    }

    /* How the context stands with its datapath, and why in words: mr_attach_state(). */
    mr_datapath_state state(mr_error *why_out = nullptr) const
    {
        return ::mr_attach_state(core_->attachment, why_out);
    }

    std::size_t task_count() const noexcept
    {
        return core_->strands.size();
    }

    /* ---- connections ---- */

    /* Listen on all shards.  no_such_file_or_directory: no listener of that name. */
    millrace::listener listen(const std::string &name)
    {
        int number = mr_attach_listener(core_->attachment, name.c_str());

        core_->check_alive();
        if (number < 0)
            throw error(-number, "listen");
        auto l = std::make_shared<detail::listener_state>();
        l->owner = core_;
        l->number = static_cast<std::uint64_t>(number);
        l->asks.resize(core_->rings.size());
        if (!core_->listeners.emplace(l->number, l).second)
            throw error(EBUSY, "listen");
        detail::listen_on(*l, true);
        return millrace::listener(l);
    }

    /* Connect, shards in turn; complete when the handshake is.  `address`: IPv4 or IPv6. */
    task<connection> connect(const std::string &address, std::uint16_t port,
                             const std::string &alpn, const std::string &server_name,
                             bool is_insecure = false)
    {
        return detail::connect(core_,
                               detail::make_wish(address, port, alpn, server_name, is_insecure));
    }

    /* ---- in another event loop: wait for fd() when arm() said true, then poll() ---- */

    /* Readable when there is something to do. */
    int fd() const noexcept
    {
        return epoll_fd_;
    }

    /* False: there is something to do already. */
    bool arm()
    {
        bool is_submitted = core_->flush();

        if (!core_->ready.empty())
            return false;
        set_timer(is_submitted);
        if (core_->is_gone)
            return true;
        is_armed_ = mr_attach_arm(core_->attachment);
        return is_armed_;
    }

    /* Do what there is to do, without waiting.  Returns how much. */
    std::size_t poll()
    {
        std::size_t count = 0;
        std::uint64_t ignored;

        if (std::exchange(is_armed_, false))
            mr_attach_disarm(core_->attachment);
        if (eventfd_read(core_->event_fd, &ignored) == 0)
            count += run_posted();
        count += run_timers() + core_->take_all();
        count += core_->run_ready();
        if (count == 0 && is_ended()) {
            core_->gone();
            count = core_->run_ready() + 1;
        }
        if (core_->is_gone) /* its end would be news for ever */
            epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, mr_attach_fd(core_->attachment), nullptr);
        core_->flush();
        return count;
    }

  private:
    friend class event;

    context(mr_attachment *attachment, detail::owned_attachment &&owned)
        : owned_(std::move(owned)), core_(std::make_shared<detail::core>(attachment)),
          epoll_fd_(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"),
          timer_fd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create")
    {
        watch(mr_attach_fd(attachment));
        watch(core_->event_fd);
        watch(timer_fd_);
    }

    explicit context(detail::owned_attachment &&owned) : context(owned.get(), std::move(owned))
    {
    }

    static detail::owned_attachment attach(const mr_attach_config &config)
    {
        mr_attachment *attachment = nullptr;
        mr_attach_config own = config;
        mr_error why{};

        own.can_move = true;
        own.wants_reasons = true;
        int result = mr_attach(&own, &attachment, &why);

        if (result != 0)
            throw error(-result, why.text);
        return detail::owned_attachment(attachment);
    }

    void watch(int fd)
    {
        epoll_event event{};

        event.events = EPOLLIN;
        if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0)
            throw error(errno, "epoll_ctl");
    }

    bool is_ended() const
    {
        return !core_->is_gone && !mr_attach_is_alive(core_->attachment);
    }

    void wait_fd() const
    {
        pollfd entry{epoll_fd_, POLLIN, 0};

        ::poll(&entry, 1, -1);
    }

    /* Submissions that found no room are tried again soon. */
    void set_timer(bool is_submitted)
    {
        using namespace std::chrono;
        clock::time_point when =
            core_->timers.empty() ? clock::time_point() : core_->timers.begin()->first;
        itimerspec spec{};

        if (!is_submitted)
            when = std::min(core_->timers.empty() ? clock::time_point::max() : when,
                            clock::now() + microseconds(100));
        if (when == timer_set_)
            return;
        timer_set_ = when;
        auto ns = duration_cast<nanoseconds>(when.time_since_epoch()).count();
        spec.it_value.tv_sec = static_cast<time_t>(ns / 1000000000);
        spec.it_value.tv_nsec = static_cast<long>(ns % 1000000000);
        timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &spec, nullptr);
    }

    std::size_t run_timers()
    {
        std::size_t count = 0;
        std::uint64_t ignored;

        if (core_->timers.empty() && timer_set_ == clock::time_point())
            return 0;
        clock::time_point now = clock::now();
        if (timer_set_ <= now && ::read(timer_fd_, &ignored, sizeof(ignored)) > 0)
            timer_set_ = {};
        for (; !core_->timers.empty() && core_->timers.begin()->first <= now; count++) {
            auto due = core_->timers.extract(core_->timers.begin());
            due.mapped()();
        }
        return count;
    }

    std::size_t run_posted()
    {
        std::vector<std::function<void()>> all;
        {
            std::lock_guard lock(core_->mutex);
            all.swap(core_->posted);
        }
        for (auto &function : all)
            function();
        return all.size();
    }

    detail::owned_attachment owned_; /* none: it is borrowed */
    std::shared_ptr<detail::core> core_;
    bool is_stopped_ = false;
    bool is_armed_ = false;
    detail::descriptor epoll_fd_;
    detail::descriptor timer_fd_;
    clock::time_point timer_set_{};
};

inline event::event(context &owner) : core_(owner.core_)
{
}

} // namespace millrace

#endif /* MILLRACE_CORO_HPP */
