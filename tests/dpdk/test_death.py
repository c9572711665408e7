#!/usr/bin/env python3
"""Ends and hangs: of applications, of the datapath, of its control thread.  Over a loopback, without root.

    tests/dpdk/test_death.py MILLRACE ECHO_RINGS PINGER [--kills N] [--pairs N] [--held SECONDS]          prints TAP
"""
import argparse
import ctypes
import os
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, PORT, Datapath, wait_until  # noqa: E402
import tap  # noqa: E402

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # ptrace(2)
SETTLING = 4      # windows at the begin that do not count
MEMORY_SLACK = 8 << 20


def ptrace(request, pid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, pid, None, None) != 0:
        raise tap.Skip(f"this machine does not permit tracing: {os.strerror(ctypes.get_errno())}")


def windows_of(program):
    """(messages, median us, longest us) of each window that a pinger has told."""
    lines = [line.split() for line in program.log().splitlines()]
    return [(int(w[0]), float(w[1]), float(w[2])) for w in lines if len(w) == 3 and w[0].isdigit()]


def resident(pid):
    """Bytes of memory that a process and its shared regions hold."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return 0


def open_descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def attached(dp):
    return [one["name"] for one in dp.ctl("apps")]


def shards_serve_while_the_control_thread_is_held(a):
    """Established connections go on, and new ones come about, for seconds without a control thread."""
    with Datapath(a.millrace) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        steady = dp.start(a.pinger, dp.socket, ADDRESS, PORT, a.held + 3, "stream")
        fresh = dp.start(a.pinger, dp.socket, ADDRESS, PORT, a.held + 3, "connection")
        wait_until(lambda: windows_of(steady) and windows_of(fresh), 20, "the first window")
        ptrace(SEIZE, dp.host.pid)
        ptrace(INTERRUPT, dp.host.pid)
        os.waitpid(dp.host.pid, 0x40000000)  # __WALL
        before = len(windows_of(steady)), len(windows_of(fresh))
        time.sleep(a.held)
        held = windows_of(steady)[before[0]:], windows_of(fresh)[before[1]:]
        ptrace(DETACH, dp.host.pid)
        for name, windows in (("messages", held[0]), ("connections", held[1])):
            tap.expect(len(windows) >= 4 * a.held - 4, f"{name}: only {len(windows)} windows")
            tap.expect(all(w[0] > 0 for w in windows), f"{name} stopped meanwhile: {windows}")
        for program in (steady, fresh):
            tap.expect_equal(program.wait(30), 0, program.log()[-300:])


def nobody_notices_the_death_of_another(a):
    """The medians of windows in which an application is killed lie inside the spread of the others."""
    with Datapath(a.millrace, listeners=["name=echo,alpn=echo,port=4433,application=echo",
                                         "name=other,alpn=other,port=4434,application=other"]) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        steady = dp.start(a.pinger, dp.socket, ADDRESS, PORT, a.pairs + SETTLING, "stream")
        killed, kept = [], []
        wait_until(lambda: len(windows_of(steady)) >= SETTLING, 30, "the first windows")
        for number in range(a.pairs):
            victim = dp.start(a.pinger, dp.socket, ADDRESS, PORT, 60, "stream")
            wait_until(lambda: "pinger" in attached(dp)[1:], 5, "the victim's attachment")
            at = len(windows_of(steady))
            victim.kill()
            wait_until(lambda: len(windows_of(steady)) > at + 1, 10, "two windows")
            pair = windows_of(steady)[at:at + 2]
            killed.append(pair[0][1])
            kept.append(pair[1][1])
            if not steady.is_alive() or number + 1 == a.pairs:
                break
        tap.expect(len(killed) >= a.pairs // 2, f"only {len(killed)} pairs")
        spread = sorted(kept)[len(kept) // 10], sorted(kept)[-1 - len(kept) // 10]
        median = statistics.median(killed)
        print(f"# median round trip, us: {median:.1f} with a kill, {statistics.median(kept):.1f} without, "
              f"{spread[0]:.1f}..{spread[1]:.1f}")
        tap.expect(median <= spread[1] * 1.05, f"with a kill {median} us, without at most {spread[1]} us")


def random_kills_leave_nothing_behind(a):
    """Applications die at any moment: memory, descriptors, attachments and buffers all come back."""
    chance = random.Random(1)
    with Datapath(a.millrace) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        memory = descriptors = 0
        for number in range(a.kills):
            victim = dp.start(a.pinger, dp.socket, ADDRESS, PORT, 60, "stream")
            time.sleep(chance.random() * 0.08)
            victim.kill()
            dp.programs.remove(victim)
            if number == a.kills // 4 or number == a.kills - 1:
                wait_until(lambda: len(attached(dp)) == 1, 1, "the end of the dead ones' attachments")
                if memory == 0:
                    memory, descriptors = resident(dp.host.pid), open_descriptors(dp.host.pid)
        grown = resident(dp.host.pid) - memory
        tap.expect(grown < MEMORY_SLACK, f"the datapath has grown by {grown} bytes")
        tap.expect_equal(open_descriptors(dp.host.pid), descriptors, "descriptors:")
        status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, PORT, "hello")
        tap.expect(status == 0 and out.strip() == "hello", f"{status}: {out}")


def a_killed_server_s_memory_is_back_within_a_second(a):
    with Datapath(a.millrace) as dp:
        for _ in range(5):
            server = dp.start(a.echo, dp.socket, "server")
            server.wait_for("serving")
            client = dp.start(a.pinger, dp.socket, ADDRESS, PORT, 60, "stream")
            wait_until(lambda: windows_of(client), 10, "the first window")
            server.kill()
            wait_until(lambda: "echo" not in attached(dp), 1, "the end of the server's attachment")
            client.wait_for("failed", 10)


def an_application_attaches_to_the_next_datapath(a):
    """kill -9 of the datapath: applications are told, can wait for a new one, and attach to it."""
    with Datapath(a.millrace) as dp:
        for _ in range(3):
            server = dp.start(a.echo, dp.socket, "server")
            server.wait_for("serving")
            dp.host.kill()
            server.wait_for("the datapath is gone", 5)
            late = dp.start(a.echo, dp.socket, "server")  # waits for it
            dp.start_host()
            late.wait_for("serving")
            status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, PORT, "hello")
            tap.expect(status == 0 and out.strip() == "hello", f"{status}: {out}")
            late.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("millrace")
    parser.add_argument("echo")
    parser.add_argument("pinger")
    parser.add_argument("--held", type=int, default=4)    # seconds
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=16)  # of windows with a kill, and without one
    tap.run([shards_serve_while_the_control_thread_is_held, nobody_notices_the_death_of_another,
             random_kills_leave_nothing_behind, a_killed_server_s_memory_is_back_within_a_second,
             an_application_attaches_to_the_next_datapath], parser.parse_args())


if __name__ == "__main__":
    tap.main(main)
