/*
 * millrace/coro_detail.hpp - what millrace/coro.hpp is made of: lists, tasks, strands, timers.
 *
 *     strand = one spawned task and the tasks that it awaits, one below the other
 *
 *     task --co_await--> task --co_await--> waiter --in a list of--> stream, connection, ring, ...
 *                                             |                          | something happened
 *                                             +<---- ready list <--------+
 *
 * An operation is a loop: while what it needs is not there, co_await waiter(list).  Whoever changes
 * something wakes the list, and everybody in it looks again; so a wake-up too many does no harm.  A
 * strand waits at one place at a time, which is how it is cancelled.
 *
 * Threads: everything belongs to the context's thread, but for core_base::post().
 */
#ifndef MILLRACE_CORO_DETAIL_HPP
#define MILLRACE_CORO_DETAIL_HPP

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <sys/eventfd.h>
#include <system_error>
#include <type_traits>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace millrace
{

using clock = std::chrono::steady_clock;

/* What all operations throw: code() compares with std::errc. */
class error : public std::system_error
{
  public:
    error(int number, const char *what, std::uint64_t peer_code = 0, std::string reason = {})
        : std::system_error(number, std::generic_category(), what), peer_code_(peer_code),
          reason_(std::move(reason))
    {
    }

    /* The application's or transport's code of a reset, a stop or a close. */
    std::uint64_t peer_code() const noexcept
    {
        return peer_code_;
    }

    /* Why no connection came about, for people; "": not told. */
    const std::string &reason() const noexcept
    {
        return reason_;
    }

  private:
    std::uint64_t peer_code_;
    std::string reason_;
};

namespace detail
{

/* ------------------------------------------------------------------ lists */

/* A place in a circular list; leaves it when it is destroyed. */
struct node {
    node *prev = this;
    node *next = this;

    node() = default;
    node(const node &) = delete;
    node &operator=(const node &) = delete;
    ~node()
    {
        unlink();
    }

    void unlink() noexcept
    {
        prev->next = next;
        next->prev = prev;
        prev = next = this;
    }

    /* Stand before `other`; before a list's head is its end. */
    void link(node &other) noexcept
    {
        unlink();
        prev = other.prev;
        next = &other;
        prev->next = next->prev = this;
    }
};

struct strand;

/* Who waits. */
struct place : node {
    std::coroutine_handle<> handle;
    strand *owner = nullptr;
};

struct list {
    node head;

    bool empty() const noexcept
    {
        return head.next == &head;
    }
    place *first() noexcept
    {
        return static_cast<place *>(head.next);
    }
};

/* ------------------------------------------------------------------ the core, as far as tasks
   know it */

struct core_base {
    list ready; /* continue in the next turn */
    std::multimap<clock::time_point, std::function<void()>> timers;
    std::unordered_map<strand *, std::shared_ptr<strand>> strands;
    std::function<void(std::exception_ptr)> on_error; /* of a task that nobody joins */
    int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    std::mutex mutex; /* of `posted` */
    std::vector<std::function<void()>> posted;

    core_base()
    {
        if (event_fd < 0)
            throw error(errno, "eventfd");
    }
    core_base(const core_base &) = delete;
    core_base &operator=(const core_base &) = delete;
    ~core_base()
    {
        close(event_fd);
    }

    void wake_one(list &waiting) noexcept
    {
        if (!waiting.empty())
            waiting.first()->link(ready.head);
    }
    void wake_all(list &waiting) noexcept
    {
        while (!waiting.empty())
            wake_one(waiting);
    }

    /* Call it on the context's thread.  Any thread. */
    void post(std::function<void()> function)
    {
        {
            std::lock_guard lock(mutex);
            posted.push_back(std::move(function));
        }
        eventfd_write(event_fd, 1);
    }

    std::size_t run_ready();
};

/* So long from now; what no clock reaches (duration::max()) is for ever. */
inline clock::time_point after(clock::duration duration)
{
    clock::time_point now = clock::now();

    return duration < clock::time_point::max() - now ? now + duration : clock::time_point::max();
}

/* Calls its function at a time, unless it is destroyed before. */
class timer
{
  public:
    timer(core_base &core, clock::time_point when, std::function<void()> function)
        : core_(core), at_(core.timers.emplace(when, [this, f = std::move(function)] {
              is_over_ = true; /* its entry is gone */
              f();
          }))
    {
    }
    timer(const timer &) = delete;
    timer &operator=(const timer &) = delete;
    ~timer()
    {
        if (!is_over_)
            core_.timers.erase(at_);
    }

  private:
    core_base &core_;
    bool is_over_ = false;
    std::multimap<clock::time_point, std::function<void()>>::iterator at_;
};

/* ------------------------------------------------------------------ strands and scopes */

/* A part of a strand that can be cancelled; inner ones end before outer ones. */
struct scope;

struct strand {
    core_base &core;
    scope *innermost = nullptr;
    place *current = nullptr; /* where it waits, or stands ready */
    place start;
    std::coroutine_handle<> frame;
    bool is_over = false;

    explicit strand(core_base &c) : core(c)
    {
    }
    ~strand()
    {
        if (frame)
            frame.destroy(); /* and the frames of all tasks below */
    }

    bool is_cancelled() const noexcept;
};

struct scope {
    strand &owner;
    scope *outer;
    std::stop_token token;
    bool is_fired = false;

    explicit scope(strand &s, std::stop_token t = {})
        : owner(s), outer(s.innermost), token(std::move(t))
    {
        owner.innermost = this;
    }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;
    ~scope()
    {
        owner.innermost = outer;
    }

    bool is_cancelled() const noexcept
    {
        return is_fired || token.stop_requested();
    }

    /* Its task's waiting ends now, and all that it begins to wait for. */
    void fire() noexcept
    {
        is_fired = true;
        if (owner.current != nullptr)
            owner.current->link(owner.core.ready.head);
    }
};

inline bool strand::is_cancelled() const noexcept
{
    for (const scope *s = innermost; s != nullptr; s = s->outer)
        if (s->is_cancelled())
            return true;
    return false;
}

/* Continue everybody who was ready when it was called, once.  Returns how many. */
inline std::size_t core_base::run_ready()
{
    list turn;
    std::size_t count = 0;

    while (!ready.empty())
        ready.first()->link(turn.head);
    for (; !turn.empty(); count++) {
        place *next = turn.first();
        strand *owner = next->owner;

        next->unlink();
        owner->current = nullptr;
        next->handle.resume();
        if (owner->is_over)
            strands.erase(owner);
    }
    return count;
}

/* co_await waiter(list): until somebody wakes the list.  Throws if the strand is cancelled. */
class waiter : place
{
  public:
    explicit waiter(list &waiting) : waiting_(waiting)
    {
    }
    waiter(const waiter &) = delete;
    waiter &operator=(const waiter &) = delete;
    ~waiter()
    {
        if (owner != nullptr && owner->current == this)
            owner->current = nullptr;
    }

    bool await_ready() const noexcept
    {
        return false;
    }
    template <class Promise> bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept
    {
        owner = awaiting.promise().owner;
        if (owner->is_cancelled())
            return false;
        handle = awaiting;
        owner->current = this;
        link(waiting_.head);
        return true;
    }
    void await_resume() const
    {
        if (owner->is_cancelled())
            throw error(ECANCELED, "millrace");
    }

  private:
    list &waiting_;
};

/* co_await self(): the strand that runs. */
struct self {
    strand *owner = nullptr;

    bool await_ready() const noexcept
    {
        return false;
    }
    template <class Promise> bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept
    {
        owner = awaiting.promise().owner;
        return false;
    }
    strand *await_resume() const noexcept
    {
        return owner;
    }
};

/* ------------------------------------------------------------------ promises */

struct promise_base {
    strand *owner = nullptr;
    std::coroutine_handle<> continuation = std::noop_coroutine();
    std::exception_ptr exception;

    struct last {
        bool await_ready() const noexcept
        {
            return false;
        }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept
        {
            return ended.promise().continuation;
        }
        void await_resume() const noexcept
        {
        }
    };

    std::suspend_always initial_suspend() const noexcept
    {
        return {};
    }
    last final_suspend() const noexcept
    {
        return {};
    }
    void unhandled_exception() noexcept
    {
        exception = std::current_exception();
    }
};

template <class T> struct promise_value : promise_base {
    std::optional<T> value;

    template <class U> void return_value(U &&u)
    {
        value.emplace(std::forward<U>(u));
    }
    T take()
    {
        if (exception)
            std::rethrow_exception(exception);
        return std::move(*value);
    }
};

template <> struct promise_value<void> : promise_base {
    void return_void() const noexcept
    {
    }
    void take() const
    {
        if (exception)
            std::rethrow_exception(exception);
    }
};

} // namespace detail

/* ------------------------------------------------------------------ tasks */

/*
 * A coroutine that returns T.  It begins when it is awaited (or spawned), on the same strand; what
 * it throws, co_await throws.  Whoever destroys the task destroys the coroutine, wherever it waits.
 */
template <class T = void> class [[nodiscard]] task
{
  public:
    struct promise_type : detail::promise_value<T> {
        task get_return_object() noexcept
        {
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
    };

    task(task &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }
    task &operator=(task &&other) noexcept
    {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~task()
    {
        if (handle_)
            handle_.destroy();
    }

    bool await_ready() const noexcept
    {
        return false;
    }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept
    {
        handle_.promise().owner = parent.promise().owner;
        handle_.promise().continuation = parent;
        return handle_;
    }
    T await_resume()
    {
        return handle_.promise().take();
    }

    /* For spawn(): the frame is the caller's. */
    std::coroutine_handle<promise_type> release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

  private:
    explicit task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle)
    {
    }

    std::coroutine_handle<promise_type> handle_;
};

namespace detail
{

/* ------------------------------------------------------------------ spawning */

struct nothing {
};

/* What a spawned task leaves behind. */
template <class T> struct outcome {
    core_base &core;
    std::optional<std::conditional_t<std::is_void_v<T>, nothing, T>> value;
    std::exception_ptr exception;
    bool is_over = false;
    std::weak_ptr<scope> whole; /* the strand's outermost scope */
    list joiners;

    explicit outcome(core_base &c) : core(c)
    {
    }
    T take()
    {
        if (exception)
            std::rethrow_exception(exception);
        if constexpr (!std::is_void_v<T>)
            return std::move(*value);
    }
};

/* The scope ends when `token` says so, on whatever thread. */
inline std::function<void()> firing(core_base &core, const std::shared_ptr<scope> &target)
{
    return [&core, weak = std::weak_ptr<scope>(target)] {
        core.post([weak] {
            if (auto alive = weak.lock())
                alive->fire();
        });
    };
}

/* The outermost coroutine of a strand. */
template <class T>
task<void> root(std::shared_ptr<outcome<T>> out, std::shared_ptr<scope> whole, task<T> inner)
{
    {
        std::stop_callback callback(whole->token, firing(out->core, whole));
        try {
            if constexpr (std::is_void_v<T>)
                co_await inner;
            else
                out->value.emplace(co_await inner);
        } catch (...) {
            out->exception = std::current_exception();
        }
    }
    whole->owner.is_over = out->is_over = true;
    out->core.wake_all(out->joiners);
    if (out->exception && out.use_count() == 1 && out->core.on_error)
        out->core.on_error(out->exception);
}

template <class T>
std::shared_ptr<outcome<T>> spawn(core_base &core, task<T> inner, std::stop_token token)
{
    auto out = std::make_shared<outcome<T>>(core);
    auto made = std::make_shared<strand>(core);
    auto whole = std::make_shared<scope>(*made, std::move(token));
    auto frame = root<T>(out, whole, std::move(inner)).release();

    out->whole = whole;
    frame.promise().owner = made.get();
    made->frame = made->start.handle = frame;
    made->start.owner = made.get();
    made->current = &made->start;
    made->start.link(core.ready.head);
    core.strands.emplace(made.get(), std::move(made));
    return out;
}

} // namespace detail
} // namespace millrace

#endif /* MILLRACE_CORO_DETAIL_HPP */
