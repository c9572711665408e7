#!/usr/bin/env python3
"""No system call on the polling threads: strace looks at them for a while, in steady state, busy mode, over the wire.

    tests/dpdk/test_syscalls.py MILLRACE          prints TAP; skips without strace or the right to trace

The control thread's calls are seen as well, to show that strace would have told.
"""
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402

BEFORE = 3.0     # seconds: start, handshakes, warm-up; more on a slow machine
WATCHED = 1.5    # seconds
SECONDS = "8"
WORKER = re.compile(r"(rte|dpdk)-worker")
WAKE_UP = re.compile(r'write\(\d+, "\\1(\\0){7}", 8\)')  # an eventfd's
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


def watch(program, words, judge):
    """Run a bench, and `judge` its workers and its control thread while it runs."""
    if shutil.which("strace") is None:
        raise tap.Skip("strace is not there; install the package strace")
    command = [program, "bench", *words, "--seconds", SECONDS, "--json"]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(BEFORE)
        workers = [thread for thread, name in threads_of(bench.pid) if WORKER.match(name)]
        tap.expect_equal(len(workers), 2, "polling threads:")
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


def expect_some_calls(_workers, pid):
    tap.expect(calls_of([pid]), "strace saw nothing of the control thread: it would not see an lcore's calls either")


def strace_sees_the_control_thread(program):
    watch(program, ["transfer", "--no-floor", "--samples"], expect_some_calls)


def an_lcore_that_transfers_calls_nothing(program):
    # With --samples no slice of the ceiling comes in between: it reads the kernel's clock.
    watch(program, ["transfer", "--no-floor", "--samples"], expect_no_calls)


def an_lcore_that_answers_requests_calls_nothing(program):
    watch(program, ["request", "--connections", "10"], expect_no_calls)


def expect_only_wake_ups(workers, _pid):
    calls = calls_of(workers)
    others = [call for call in calls if not WAKE_UP.search(call)]
    tap.expect(not others, f"{len(others)} system calls on the lcores that wake no helper, the first:", *others[:5])
    tap.expect(len(calls) < WAKE_UPS_MAX * WATCHED, f"{len(calls)} wake-ups in {WATCHED} s")


def an_lcore_that_serves_files_only_wakes_helpers(program):
    """A cached file is looked at again now and then, by a helper thread; requests cost no call."""
    watch(program, ["request", "--http3", "--connections", "10"], expect_only_wake_ups)


if __name__ == "__main__":
    tap.main(lambda: tap.run([strace_sees_the_control_thread, an_lcore_that_transfers_calls_nothing,
                              an_lcore_that_answers_requests_calls_nothing,
                              an_lcore_that_serves_files_only_wakes_helpers], sys.argv[1]))
