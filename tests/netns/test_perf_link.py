#!/usr/bin/env python3
"""`millrace perf` over a link whose rate, delay and losses are known: what it measures is what is there, and what limits it.

    tests/netns/test_perf_link.py MILLRACE LINK          prints TAP; skips without root

    namespace -c    perf client (af_packet) . TAP mr0 ---- link ---- TAP mr1 . perf server (af_packet)    namespace -s
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dpdk"))
import tap  # noqa: E402
from datapath import Program  # noqa: E402
from peers import Namespace  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))
SERVER, CLIENT = "198.18.0.1", "198.18.0.2"
MILLRACE, LINK = sys.argv[1:3]
TRIES = 4  # of what is only seen while nobody else runs on the core


class Link:
    """Both namespaces, the link between them, and a server; client() loads it."""

    def __init__(self, link, *options):
        self.link_options, self.options = link, options

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="mr-test-")
        self.near, self.far = Namespace("-c"), Namespace("-s")
        self.secret = Path(self.folder.name) / "secret"
        self.secret.write_text("a secret of some length\n")
        self.link = Program([LINK, "--client", f"{self.near.name}:mr0", "--server", f"{self.far.name}:mr1", *self.link_options],
                            self.folder.name, "link")
        self.link.wait_for("ready")
        for namespace, interface in ((self.near, "mr0"), (self.far, "mr1")):
            namespace.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
            namespace.ip("link", "set", interface, "up")
        self.server = Program(self.far.wrap([MILLRACE, "perf", "server", "--port", "af_packet:mr1", "--addr", f"{SERVER}/24",
                                             "--cores", str(CPUS[0]), "--control", self.secret, *self.options]), self.folder.name, "server")
        self.server.wait_for("serving at")
        return self

    def __exit__(self, *_):
        self.server.kill(signal.SIGTERM)
        self.link.kill(signal.SIGTERM)
        self.near.delete()
        self.far.delete()
        self.folder.cleanup()

    def command(self, *options):
        return self.near.wrap([MILLRACE, "perf", "client", SERVER, "--port", "af_packet:mr0", "--addr", f"{CLIENT}/24", "--insecure",
                               "--cores", str(CPUS[-1]), *options])

    def client(self, *options):
        done = subprocess.run([*self.command(*options), "--control", str(self.secret), "--json"], capture_output=True, text=True,
                              timeout=120, check=False)
        tap.expect(done.stdout != "", done.stderr)
        return json.loads(done.stdout)

    def quiet(self, *options):
        """The same, again while something else ran on this side's core."""
        for _ in range(TRIES):
            result = self.client(*options)
            if result["limited_by"]["stalled_part"] < 0.1 and "its core was shared" not in result["limited_by"]["why"]:
                return result
        raise tap.Skip("something else runs on the cores")


def search(link, load, rate):
    """The highest rate that was kept, and the least that was not."""
    result = link.client(*load, "--duration", "0.2", "--warm-up", "0.1", "--search", "--rate", f"{0.7 * rate:.0f}", "--trial", "1", "--even")
    kept = [each["rate"] for each in result["tried"] if each["kept"]]
    lost = [each["rate"] for each in result["tried"] if each["rate"] not in kept]
    tap.expect(kept and max(kept) < min(lost) <= 1.021 * max(kept), result["tried"])
    return max(kept), min(lost)


def a_search_finds_the_rate_of_the_link():
    """As many operations as a closed loop gets out of 20 Mbit/s, to the 2 % that the search resolves and the 1 % it forgives."""
    load = ["--op", "down=5000", "--connections", "10", "--streams", "8", "--timeout", "20"]
    with Link(["--rate", "20", "--delay", "5", "--queue", "400"]) as link:
        full = link.client(*load, "--duration", "2")
        tap.expect(0.85 * 20e6 < full["down_bps"] < 20e6, full["down_bps"])
        rate = full["down_bps"] / 8 / 5000
        for _ in range(TRIES):  # rates are not kept while others run on the cores
            kept, lost = search(link, load, rate)
            print(f"# the link carries {rate:.4g}/s; kept {kept:.4g}/s, not kept {lost:.4g}/s")
            if kept > 0.96 * rate:
                break
        tap.expect(0.9 * rate < kept < 1.03 * rate, rate, kept)


def flow_control_is_named_and_gives_a_window_each_round_trip():
    small = ["--stream-window", "64K", "--connection-window", "64K"]
    with Link(["--rate", "100", "--delay", "15", "--queue", "500"], *small) as link:
        for words, whose, part in (([*small], "this side's flow control: ", "down_bps"),
                                   (["--op", "up=endless"], "the peer's flow control: ", "up_bps")):
            result = link.quiet(*words, "--duration", "1")
            tap.expect(result["limited_by"]["what"] == "flow control" and result["limited_by"]["why"].startswith(whose), result["limited_by"])
            most = 8 * 65536 / 0.03
            tap.expect(0.6 * most < result[part] < 1.05 * most, result[part], most)
        result = link.quiet("--stream-window", "8M", "--connection-window", "8M", "--duration", "1")
        tap.expect(result["limited_by"]["what"] != "flow control" and result["down_bps"] > 2 * most, result["limited_by"], result["down_bps"])


def congestion_is_named_where_the_link_loses():
    with Link(["--rate", "100", "--delay", "15", "--queue", "500", "--loss", "3"]) as link:
        for words, whose in (([], "the server's congestion control: "), (["--op", "up=endless"], "congestion control: ")):
            result = link.quiet(*words, "--duration", "1", "--timeout", "20")
            tap.expect(result["limited_by"]["what"] == "congestion control" and result["limited_by"]["why"].startswith(whose),
                       result["limited_by"])


def a_server_that_is_killed_leaves_what_was_measured():
    """Neither side is asked, nor is there a link that goes down."""
    for words, said, told in (([], "measuring", r"^limited by +the server, or the path to it: nothing came from there in the last"),
                              (["--search", "--rate", "20", "--trial", "0.5"], r"(searching.*\n){3}",
                               r"^not measured the search ended: nothing came from 198\.18\.0\.1 for 1 s")):
        with Link(["--rate", "10", "--delay", "5", "--queue", "200"]) as link:
            client = subprocess.Popen(link.command("--op", "down=1000", "--warm-up", "0.2", "--duration", "4", "--timeout", "1", *words),
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            heard = ""
            while not re.search(said, heard):
                line = client.stderr.readline()
                tap.expect(line, f"it ended without {said}: {heard}")
                heard += line
            os.kill(link.server.pid, signal.SIGKILL)
            began = time.monotonic()
            out, heard = client.communicate(timeout=60)
            tap.expect(time.monotonic() - began < 10, time.monotonic() - began)
            tap.expect(client.returncode == 1 and re.search(told, out, re.M), client.returncode, out, heard)


def main():
    if os.geteuid() != 0:
        raise tap.Skip("needs root")
    tap.run([a_search_finds_the_rate_of_the_link, flow_control_is_named_and_gives_a_window_each_round_trip,
             congestion_is_named_where_the_link_loses, a_server_that_is_killed_leaves_what_was_measured])


tap.main(main)
