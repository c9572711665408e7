#!/usr/bin/env python3
"""No system call on the polling threads: strace looks at them for a while, in steady state, busy mode, over the wire and
over a loopback with applications attached to it.

    tests/dpdk/test_syscalls.py MILLRACE ECHO_RINGS PINGER BUSY_CALLER ECHO_INLINE
                                                  prints TAP; skips without strace or the right to trace

The control thread's calls are seen as well, to show that strace would have told.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, Datapath, wait_until  # noqa: E402
import tap  # noqa: E402

STARTED = 60     # seconds until there are polling threads, at most
BEFORE = 2.5     # seconds from then on: handshakes, warm-up
WATCHED = 1.0    # seconds, of which there is one watch or two in a run
SECONDS = "6"
WORKER = re.compile(r"(rte|dpdk)-worker")
END = r"( <detached|\))"  # the last may be under way when strace leaves
WAKE_UP = re.compile(r'write\(\d+, "\\1(\\0){7}", 8' + END)  # an eventfd's
WAKES_APP = re.compile(r'sendto\(\d+, "\\0", 1, MSG_DONTWAIT\|MSG_NOSIGNAL, NULL, 0' + END)  # its wake socket
WAKE_UPS_MAX = 1000  # a second: far below the requests
CALL = re.compile(r"(\d+ +|\[pid +\d+\] )?\w+\(")


def threads_of(pid):
    """(thread, name) of a process."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield int(task.name), (task / "comm").read_text().strip()


def calls_of(threads):
    """What strace sees these threads call, as lines."""
    command = ["strace", "-q", "-o", "/dev/stderr", *(word for t in threads for word in ("-p", str(t)))]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(WATCHED)
    status = tracer.poll()
    tracer.terminate()
    _, told = tracer.communicate(timeout=20)
    if status is not None:
        if "Operation not permitted" in told or "attach" in told:
            raise tap.Skip("this machine does not permit tracing: " + told.strip().splitlines()[0])
        raise AssertionError(f"strace ended early: {told[-500:]}")
    return [line for line in told.splitlines() if CALL.match(line)]


def need_strace():
    if shutil.which("strace") is None:
        raise tap.Skip("strace is not there; install the package strace")


def workers_of(pid):
    return [thread for thread, name in threads_of(pid) if WORKER.match(name)]


def watch(program, words, judge):
    """Run a bench, and `judge` its workers and its control thread while it runs."""
    need_strace()
    command = [program, "bench", *words, "--seconds", SECONDS, "--json"]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(workers_of(bench.pid)) == 2 or bench.poll() is not None, STARTED, "two polling threads")
        time.sleep(BEFORE)
        workers = workers_of(bench.pid)
        judge(workers, bench.pid)
        tap.expect(bench.poll() is None, "the bench ended while it was watched")
        out, err = bench.communicate(timeout=120)
    finally:
        bench.kill()
        bench.wait()
    tap.expect_equal(bench.returncode, 0, err[-500:])
    tap.expect(json.loads(out)["failed"] == 0, "connections failed")


def expect_no_calls(workers, _pid):
    calls = calls_of(workers)
    tap.expect(not calls, f"{len(calls)} system calls on the lcores, the first:", *calls[:5])


def expect_some_calls(pid):
    tap.expect(calls_of([pid]), "strace saw nothing of the control thread: it would not see an lcore's calls either")


def an_lcore_that_transfers_calls_nothing_and_strace_would_tell(a):
    def judge(workers, pid):
        expect_some_calls(pid)
        expect_no_calls(workers, pid)

    # With --samples no slice of the ceiling comes in between: it reads the kernel's clock.
    watch(a.millrace, ["transfer", "--no-floor", "--samples"], judge)


def an_lcore_that_answers_requests_calls_nothing(a):
    watch(a.millrace, ["request", "--connections", "10"], expect_no_calls)


def expect_only_wake_ups(workers, _pid):
    calls = calls_of(workers)
    others = [call for call in calls if not WAKE_UP.search(call)]
    tap.expect(not others, f"{len(others)} system calls on the lcores that wake no helper, the first:", *others[:5])
    tap.expect(len(calls) < WAKE_UPS_MAX * WATCHED, f"{len(calls)} wake-ups in {WATCHED} s")


def an_lcore_that_serves_files_only_wakes_helpers(a):
    """A cached file is looked at again now and then, by a helper thread; requests cost no call."""
    watch(a.millrace, ["request", "--http3", "--connections", "10"], expect_only_wake_ups)


# ------------------------------------------------------------------ applications

LISTENERS = ["name=inside,alpn=echo,port=4433,application=inside", "name=echo,alpn=echo,port=4434,application=echo"]


def watch_applications(a, words, judge, server=None):
    """A caller of an echo, inline or attached, has its turns: `judge` what the lcore calls meanwhile."""
    need_strace()
    with Datapath(a.millrace, "--polling", "busy", "--inline", f"name=inside,object={a.inline}", listeners=LISTENERS) as dp:
        if server is not None:
            dp.start(server, dp.socket, "server").wait_for("serving")
        caller = dp.start(words[0], dp.socket, ADDRESS, *words[1:])
        wait_until(lambda: dp.ctl("counters")["app_completions"] > 1000, 20, "a thousand completions")
        workers = workers_of(dp.host.pid)
        tap.expect_equal(len(workers), 1, "polling threads:")
        before = dp.ctl("counters")["app_completions"]
        calls = calls_of(workers)
        told = dp.ctl("counters")["app_completions"] - before
        tap.expect(told > 100, f"only {told} completions while it was watched")
        judge(calls)
        caller.wait_for("done", 20)


def M13_an_lcore_calls_nothing_for_inline_and_busy_applications(a):
    def judge(calls):
        tap.expect(not calls, f"{len(calls)} system calls on the lcore, the first:", *calls[:5])

    watch_applications(a, [a.busy, 4433, 4], judge)


def M13_an_lcore_calls_only_to_wake_applications_that_sleep(a):
    """Both ends of the connection wait for their wake sockets."""
    def judge(calls):
        others = [call for call in calls if not WAKES_APP.search(call)]
        tap.expect(not others, f"{len(others)} system calls that wake nobody, the first:", *others[:5])
        tap.expect(len(calls) > 10, f"{len(calls)} wake-ups: the applications do not sleep")

    watch_applications(a, [a.pinger, 4434, 4, "stream"], judge, server=a.echo)


TESTS = [an_lcore_that_transfers_calls_nothing_and_strace_would_tell,
         an_lcore_that_answers_requests_calls_nothing, an_lcore_that_serves_files_only_wakes_helpers,
         M13_an_lcore_calls_nothing_for_inline_and_busy_applications,
         M13_an_lcore_calls_only_to_wake_applications_that_sleep]


def main():
    parser = argparse.ArgumentParser()
    for name in ("millrace", "echo", "pinger", "busy", "inline"):
        parser.add_argument(name)
    tap.run(TESTS, parser.parse_args())


if __name__ == "__main__":
    tap.main(main)
