#!/usr/bin/env python3
"""Applications inside the datapath beside attached ones, over a loopback: no root, no network.

    tests/dpdk/test_inline.py MILLRACE ECHO_RINGS PINGER ECHO_INLINE CALLER FAULTY...          prints TAP
"""
import argparse
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, Datapath, wait_until  # noqa: E402
from test_death import INTERRUPT, SEIZE, DETACH, ptrace, windows_of  # noqa: E402
import tap  # noqa: E402

INLINE_PORT, ATTACHED_PORT = 4433, 4434
BOTH = ["name=inside,alpn=echo,port=4433,application=inside", "name=echo,alpn=echo,port=4434,application=echo"]
HELD_SECONDS = 2


def world(a, *options, listeners=BOTH, **more):
    return Datapath(a.millrace, "--inline", f"name=inside,object={a.inline}", *options, listeners=listeners, **more)


def say(a, dp, port, text):
    status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, port, text)
    tap.expect(status == 0 and out.strip() == text, f"port {port}, {len(text)} bytes: {status}: {out[:200]}")


def pinger(a, dp, port, seconds, how="stream"):
    return dp.start(a.pinger, dp.socket, ADDRESS, port, seconds, how)


def expect_steady(program, at, count, what):
    """At least `count` windows since number `at`, none without a message."""
    windows = windows_of(program)[at:]
    tap.expect(len(windows) >= count, f"{what}: only {len(windows)} windows")
    tap.expect(all(w[0] > 0 for w in windows), f"{what} stopped meanwhile: {windows}")


def attached_and_inline_echo_are_both_right_at_once(a):
    with world(a) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        pingers = [pinger(a, dp, port, 2) for port in (INLINE_PORT, ATTACHED_PORT)]
        for text in ("hello", "x" * 60000):
            for port in (INLINE_PORT, ATTACHED_PORT):
                say(a, dp, port, text)
        for program in pingers:
            tap.expect_equal(program.wait(20), 0, program.log()[-300:])
        inside = dp.ctl("inline")[0]["instances"][0]
        tap.expect_equal((inside["accepted"], inside["refused"], inside["opened"]), (3, 0, 0), "inline connections:")
        tap.expect_equal(dp.ctl("counters")["app_conns_accepted"], 3, "attached connections:")
        tap.expect_equal([one["is_inline"] for one in dp.ctl("listeners")], [True, False], "listeners:")


def B12_the_inline_echo_is_the_same_for_ipv6(a):
    with world(a) as dp:
        status, out = dp.run(a.echo, dp.socket, "client", "fd00::1", INLINE_PORT, "hello")
        tap.expect(status == 0 and out.strip() == "hello", f"{status}: {out[:200]}")


def an_attached_application_s_death_stops_no_inline_connection(a):
    with world(a) as dp:
        steady = pinger(a, dp, INLINE_PORT, 3)
        wait_until(lambda: windows_of(steady), 10, "the first window")
        at = len(windows_of(steady))
        for _ in range(3):
            server = dp.start(a.echo, dp.socket, "server")
            server.wait_for("serving")
            victim = pinger(a, dp, ATTACHED_PORT, 30)
            wait_until(lambda: windows_of(victim) or not victim.is_alive(), 10, "the victim's first window")
            server.kill(signal.SIGKILL)
            victim.kill(signal.SIGKILL)
        tap.expect_equal(steady.wait(20), 0, steady.log()[-300:])
        expect_steady(steady, at, 6, "messages")


def a_stopped_attached_application_stops_no_inline_connection(a):
    with world(a) as dp:
        server = dp.start(a.echo, dp.socket, "server")
        server.wait_for("serving")
        pinger(a, dp, ATTACHED_PORT, 30)
        steady = pinger(a, dp, INLINE_PORT, 2)
        wait_until(lambda: windows_of(steady), 10, "the first window")
        at = len(windows_of(steady))
        server.process.send_signal(signal.SIGSTOP)
        tap.expect_equal(steady.wait(20), 0, steady.log()[-300:])
        server.process.send_signal(signal.SIGCONT)
        expect_steady(steady, at, 4, "messages")


def a_held_control_thread_stops_no_inline_connection(a):
    """Established connections go on, and new ones come about."""
    with world(a) as dp:
        steady = pinger(a, dp, INLINE_PORT, HELD_SECONDS + 2)
        fresh = pinger(a, dp, INLINE_PORT, HELD_SECONDS + 2, "connection")
        wait_until(lambda: windows_of(steady) and windows_of(fresh), 20, "the first window")
        ptrace(SEIZE, dp.host.pid)
        ptrace(INTERRUPT, dp.host.pid)
        os.waitpid(dp.host.pid, 0x40000000)  # __WALL
        at = [(program, len(windows_of(program))) for program in (steady, fresh)]
        time.sleep(HELD_SECONDS)
        for program, before in at:
            expect_steady(program, before, 4 * HELD_SECONDS - 4, "messages" if program is steady else "connections")
        ptrace(DETACH, dp.host.pid)
        for program in (steady, fresh):
            tap.expect_equal(program.wait(30), 0, program.log()[-300:])


def caller_lines(log):
    """(echoed, wrong, accepted, code, code) of each instance of the caller."""
    found = re.findall(r"caller on shard \d+: (\d+) echoed, (\d+) wrong, (\d+) accepted, codes (\d+) (\d+)", log)
    return [tuple(int(number) for number in line) for line in found]


def an_inline_application_opens_connections(a):
    """To an inline echo, and to an attached one."""
    for port in (INLINE_PORT, ATTACHED_PORT):
        with world(a, "--inline", f"name=caller,object={a.caller},argument={port}") as dp:
            dp.start(a.echo, dp.socket, "server").wait_for("serving")
            wait_until(lambda: dp.ctl("inline")[1]["instances"][0]["opened"] > 20, 20, "twenty calls")
            log = dp.stop_host()
            echoed, wrong, accepted, *_ = caller_lines(log)[0]
            tap.expect(echoed >= 20 and (wrong, accepted) == (0, 0), f"port {port}: {log}")


def Q19_every_shard_has_an_instance_of_its_own(a):
    with world(a, "--shards", "2", "--inline", f"name=caller,object={a.caller},argument={INLINE_PORT}") as dp:
        pinger(a, dp, INLINE_PORT, 1, "connection").wait(30)
        apps = dp.ctl("inline")
        for app in apps:
            tap.expect_equal([one["shard"] for one in app["instances"]], [0, 1], "instances:")
        tap.expect(all(one["accepted"] > 3 for one in apps[0]["instances"]), f"one shard accepts nothing: {apps}")
        tap.expect(all(one["opened"] > 3 for one in apps[1]["instances"]), f"one shard opens nothing: {apps}")
        log = dp.stop_host()
        lines = caller_lines(log)
        tap.expect(len(lines) == 2 and all(line[0] > 2 and line[1] == 0 for line in lines), log)


def a_file_names_inline_applications_relative_to_itself(a):
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        config = Path(folder) / "host.yaml"
        config.write_text("ports:\n  - spec: loopback\n    addresses: 198.18.0.1/15\n"
                          f"inline:\n  - {{name: inside, object: {os.path.relpath(a.inline, folder)}}}\n"
                          "listeners:\n  - {name: in, application: inside, alpn: echo, port: 4433}\n")
        with Datapath(a.millrace, "--config", config, listeners=()) as dp:
            say(a, dp, INLINE_PORT, "hello")


def nobody_attaches_by_the_name_of_an_inline_application(a):
    with Datapath(a.millrace, "--inline", f"name=echo,object={a.inline}") as dp:
        status, out = dp.run(a.echo, dp.socket, "server")
        tap.expect(status == 1 and "echo is an application inside this datapath; attach by another name" in out, out)
        say(a, dp, INLINE_PORT, "hello")


def what_cannot_be_loaded_is_said(a):
    """The object, the reason, the remedy; nothing starts, and what was started is stopped."""
    faulty = dict(zip(("version", "no_start", "refuses", "silent", "nobody", "second", "symbol"), a.faulty))
    text = Path(__file__)
    cases = [
        ("/nowhere/x.so", ["cannot load /nowhere/x.so", "No such file", "check the path"]),
        ("nowhere.so", ["cannot load nowhere.so", "check the path"]),
        (text, ["cannot load", "check the path, and that it was built as a shared object"]),
        (faulty["symbol"], ["has no `mr_inline`, so it is no inline application"]),
        (faulty["version"], ["made for version 99 of inline applications, this datapath has 1", "build it again"]),
        (faulty["no_start"], ["has no start(); give its `mr_inline` one"]),
        (faulty["refuses"], ['shard 0: it does not start: it does not like "this"']),
        (faulty["silent"], ["shard 0: it does not start: Numerical argument out of domain"]),
        (faulty["nobody"], ["its start() named nobody who is told of events", "mr_inline_serve()", "stopped on shard 0"]),
        (faulty["second"], ["shard 1: it does not start", "stopped on shard 0 of 2"]),
    ]
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        dp = Datapath(a.millrace)
        for path, words in cases:
            status, out = dp.run(a.millrace, "host", "--port", "loopback", "--control", f"{folder}/s", "--shards", "2",
                                 "--inline", f"name=bad,object={path},argument=this", "--listener", BOTH[0])
            tap.expect_equal(status, 1, f"{path}: {out}")
            for word in ["inline application bad", *words]:
                tap.expect(word in out, f"{path}: no {word!r} in: {out}")
        dp.folder.cleanup()


def M17_telemetry_shows_who_uses_the_datapath(a):
    """DPDK's own socket: counters, connections by shard, applications."""
    with world(a, "--telemetry") as dp:
        server = dp.start(a.echo, dp.socket, "server")
        server.wait_for("serving")
        steady = pinger(a, dp, INLINE_PORT, 5)
        wait_until(lambda: windows_of(steady), 10, "the first window")
        folders = [Path("/var/run/dpdk"), Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / "dpdk", Path("/tmp/dpdk")]
        found = [path for folder in folders for path in folder.glob(f"*{dp.host.pid}*/dpdk_telemetry.v2")]
        tap.expect(len(found) == 1, f"telemetry sockets: {found}")

        def ask(request):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                s.connect(str(found[0]))
                s.recv(65536)
                s.send(request.encode())
                return json.loads(s.recv(65536))[request]

        tap.expect(ask("/millrace/counters")["quic"]["packets_sent"] > 100, "no packets were sent")
        tap.expect_equal(ask("/millrace/conns"), {"shard0": 2, "total": 2}, "connections:")
        apps = ask("/millrace/apps")
        tap.expect_equal(apps["inline0"]["name"], "inside", "inline:")
        tap.expect(apps["inline0"]["conns"] == 1 and apps["inline0"]["events"] > 100, f"{apps}")
        by_name = {app["name"]: app for app in apps.values()}
        tap.expect_equal(by_name["echo"]["pid"], server.pid, "the server's process:")
        tap.expect(by_name["pinger"]["conns"] == 1 and by_name["pinger"]["submissions"] > 100, f"{apps}")


def node_of_cpu(cpu):
    found = list(Path(f"/sys/devices/system/cpu/cpu{cpu}").glob("node*"))
    return int(found[0].name.removeprefix("node")) if found else 0


def Q13_applications_say_the_node_that_they_run_on(a):
    with world(a) as dp:
        cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cpus)})  # the server's, too
        try:
            dp.start(a.echo, dp.socket, "server").wait_for("serving")
        finally:
            os.sched_setaffinity(0, cpus)
        tap.expect_equal(dp.ctl("apps")[0].get("node"), node_of_cpu(max(cpus)), "the server's node:")


def connections_are_closed_with_the_codes_of_the_configuration(a):
    """76: no listener matches.  77: the attached application that opened it is gone."""
    odd = ["name=inside,alpn=echo,port=4433,application=caller", "name=echo,alpn=other,port=4434,application=echo"]
    with world(a, "--refuse-code", "76", "--death-code", "77", "--inline",
               f"name=caller,object={a.caller},argument=4434", listeners=odd) as dp:
        victim = pinger(a, dp, INLINE_PORT, 30)
        wait_until(lambda: dp.ctl("inline")[1]["instances"][0]["accepted"] == 1, 10, "the victim's connection")
        victim.kill(signal.SIGKILL)
        wait_until(lambda: len(dp.ctl("apps")) == 0, 5, "the victim's end")
        wait_until(lambda: dp.ctl("counters")["app_conns_refused"] > 2, 10, "some refusals")
        log = dp.stop_host()
        echoed, _, accepted, opened_code, accepted_code = caller_lines(log)[0]
        tap.expect_equal((echoed, accepted, opened_code, accepted_code), (0, 1, 76, 77), log)


TESTS = [attached_and_inline_echo_are_both_right_at_once, B12_the_inline_echo_is_the_same_for_ipv6,
         an_attached_application_s_death_stops_no_inline_connection,
         a_stopped_attached_application_stops_no_inline_connection, a_held_control_thread_stops_no_inline_connection,
         an_inline_application_opens_connections, Q19_every_shard_has_an_instance_of_its_own,
         a_file_names_inline_applications_relative_to_itself, nobody_attaches_by_the_name_of_an_inline_application,
         what_cannot_be_loaded_is_said, M17_telemetry_shows_who_uses_the_datapath,
         Q13_applications_say_the_node_that_they_run_on, connections_are_closed_with_the_codes_of_the_configuration]


def main():
    parser = argparse.ArgumentParser()
    for name in ("millrace", "echo", "pinger", "inline", "caller"):
        parser.add_argument(name)
    parser.add_argument("faulty", nargs=7)
    tap.run(TESTS, parser.parse_args())


if __name__ == "__main__":
    tap.main(main)
