#!/usr/bin/env python3
"""`millrace edge` on a bad day and on an idle one: datagrams by the hundred thousand that mean it no good, honest clients
among them; and no clients at all.

    tests/netns/test_edge_stress.py MILLRACE STORM [DATAGRAMS]          prints TAP; skips without root

Each edge has a network namespace of its own, which is deleted at its end:

    +------------------------------- namespace --------------------------------+
    |  storm 198.18.0.1 -- kernel -- mr0 ................ edge 198.18.0.2 (tap) |
    |                      get 198.18.0.3 (af_packet:mr0)                       |
    +---------------------------------------------------------------------------+
"""
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parent))
import tap  # noqa: E402

PROGRAM, STORM = map(os.path.abspath, sys.argv[1:3])
DATAGRAMS = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
RATE = 40000  # a second
ARRIVE_SHARE = 0.9  # of the datagrams sent, at least: the rest may be lost in a queue of the kernel's
GROWTH_MAX = 200 << 20  # bytes of memory that a storm may make edge touch
IDLE_SHARE_MAX = 0.05  # of a core
IDLE_SECONDS = 4
START_SECONDS = 30
SECONDS = 60


def run(*words, check=True, seconds=SECONDS):
    return subprocess.run([str(word) for word in words], check=check, capture_output=True, text=True, timeout=seconds)


class Namespace:
    def __init__(self, number):
        self.name = f"mrstress{os.getpid()}-{number}"

    def __enter__(self):
        made = run("ip", "netns", "add", self.name, check=False)
        if made.returncode != 0:
            raise tap.Skip(f"no network namespaces here: {made.stderr.strip()}")
        return self

    def __exit__(self, *_):
        run("ip", "netns", "del", self.name)

    def inside(self, *words):
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)


class Edge:
    """A running edge server for a folder with one page."""

    def __init__(self, namespace, port, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="millrace-stress-")
        site = Path(self.folder.name) / "site"
        site.mkdir()
        (site / "index.html").write_text("<title>home</title>\n")
        (site / "big").write_bytes(os.urandom(1 << 20))
        self.site = site
        self.log_path = Path(self.folder.name) / "log"
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(namespace.inside(PROGRAM, "edge", "--port", port, "--addr", "198.18.0.2/24",
                                                           "--root", site, *options), stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while "edge: serving" not in self.log():
            tap.expect(self.child.poll() is None and time.monotonic() < deadline, "edge did not start:", self.log())
            time.sleep(0.02)

    def log(self):
        return self.log_path.read_text()

    def pid(self):
        """`ip netns exec` becomes the program."""
        return self.child.pid

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid()}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid()}/status").read_text())[1]) << 10

    def stop(self):
        """Its last words; it must end well and give every buffer back."""
        self.child.send_signal(signal.SIGTERM)
        status = self.child.wait(SECONDS)
        log = self.log()
        tap.expect_equal(status, 0, log)
        tap.expect("mbufs lost: 0" in log, log)
        return log

    def end(self):
        self.child.kill()
        self.child.wait()
        self.folder.cleanup()


@contextlib.contextmanager
def edges(*ports, options=()):
    """For each port a namespace with an edge of its own, all at once."""
    with contextlib.ExitStack() as stack:
        started = []
        for number, port in enumerate(ports):
            namespace = stack.enter_context(Namespace(number))
            prepare(namespace, port)
            edge = Edge(namespace, port, *options)
            stack.callback(edge.end)
            started.append((namespace, edge))
        yield started


def prepare(namespace, port):
    """What must be there before edge is."""
    if port.startswith("af_packet"):
        namespace.ip("link", "add", "mr0", "type", "veth", "peer", "name", "mr1")
        namespace.ip("link", "set", "mr0", "up")
        namespace.ip("link", "set", "mr1", "up")


def give_address(namespace):
    namespace.ip("addr", "add", "198.18.0.1/24", "dev", "mr0")
    namespace.ip("link", "set", "mr0", "up", "txqueuelen", "20000")


def fetch(namespace, edge, name):
    """Through a packet socket on the kernel's end of the TAP."""
    target = Path(edge.folder.name) / "got"
    done = run(*namespace.inside(PROGRAM, "get", f"https://198.18.0.2/{name}", "--insecure", "-o", target, "--port",
                                 "af_packet:mr0", "--addr", "198.18.0.3/24"), check=False)
    tap.expect_equal(done.returncode, 0, done.stderr)
    tap.expect(target.read_bytes() == (edge.site / name).read_bytes(), name, "differs")


def bad_datagrams_leave_it_serving_with_every_buffer_back():
    with edges("tap:mr0", options=("--shards", "1")) as [(namespace, edge)]:
        storm_at(namespace, edge)


def storm_at(namespace, edge):
    give_address(namespace)
    fetch(namespace, edge, "big")
    before = edge.memory_bytes()
    storm = run(*namespace.inside(STORM, "198.18.0.2", 443, DATAGRAMS, RATE, 1), check=False,
                seconds=60 + 10 * DATAGRAMS // RATE)
    tap.expect_equal(storm.returncode, 0, storm.stdout + storm.stderr + edge.log())
    print("#", storm.stdout.strip())
    fetch(namespace, edge, "big")
    growth = edge.memory_bytes() - before
    tap.expect(growth < GROWTH_MAX, "memory grew by", growth)
    log = edge.stop()
    arrived = int(re.search(r"received in (\d+) datagrams", log)[1])
    tap.expect(arrived >= ARRIVE_SHARE * DATAGRAMS, "only", arrived, "datagrams arrived")


def an_idle_port_leaves_the_core_to_others():
    ports = "tap:mr0", "af_packet:mr1", "memif:role=server,socket=@millrace-stress"
    with edges(*ports) as started:
        time.sleep(1)
        begin, cpu = time.monotonic(), [edge.cpu_seconds() for _, edge in started]
        time.sleep(IDLE_SECONDS)
        for port, (_, edge), before in zip(ports, started, cpu):
            share = (edge.cpu_seconds() - before) / (time.monotonic() - begin)
            print(f"# {port}: {100 * share:.1f} % of a core")
            tap.expect(share < IDLE_SHARE_MAX, port, "takes", share, "of a core")
            edge.stop()


TESTS = [
    bad_datagrams_leave_it_serving_with_every_buffer_back,
    an_idle_port_leaves_the_core_to_others,
]


def main():
    if os.geteuid() != 0:
        raise tap.Skip("network namespaces need root")
    tap.run(TESTS)


if __name__ == "__main__":
    tap.main(main)
