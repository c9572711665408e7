#!/usr/bin/env python3
"""An edge server whose address is another's, and whose interface goes away while it serves: it says so.

    tests/netns/test_edge_watch.py MILLRACE          prints TAP; skips without root

Each test has a network namespace of its own, as in test_ports.py:

    kernel 198.18.0.1 -- mrk ==veth== mru . edge 198.18.0.2 (af_packet)        kernel -- mr0 .. edge (tap)
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parent))
import tap  # noqa: E402
from test_ports import check_machine, in_namespace, make_veth, sh  # noqa: E402

SECONDS = 20


class Edge:
    def __init__(self, ns, port, *options):
        self.log = tempfile.NamedTemporaryFile("r")
        with open(self.log.name, "w") as log:
            self.child = subprocess.Popen(
                ["ip", "netns", "exec", ns, sys.argv[1], "edge", "--port", port, "--root", str(Path(__file__).parent),
                 *(options or ("--addr", "198.18.0.2/24", "--addr", "fd00::2/64"))],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def text(self):
        return Path(self.log.name).read_text()

    def wait_for(self, words, count=1):
        end = time.time() + SECONDS
        while self.text().count(words) < count:
            assert time.time() < end and (self.child.poll() is None or words in self.text()), (words, self.text())
            time.sleep(0.05)

    def stop(self):
        self.child.terminate()
        return self.end()

    def end(self):
        try:
            return self.child.wait(SECONDS), self.text()
        finally:
            if self.child.poll() is None:
                self.child.kill()


def expect_refused(ns, port, *words):
    status, text = Edge(ns, port).end()
    assert status == 1 and "serving" not in text, text
    for word in words:
        assert word in text, (word, text)


def edge_refuses_an_address_of_its_own_kernel(ns):
    make_veth()
    sh("ip", "addr", "add", "198.18.0.2/24", "dev", "lo")
    for port in "af_packet:mru", "tap:mr0":
        expect_refused(ns, port, "--addr 198.18.0.2: this machine's kernel has that address, on lo", "ip addr del")


def edge_refuses_an_address_of_another_host(ns):
    sh("ip", "netns", "add", ns + "b")
    try:
        sh("ip", "link", "add", "mru", "type", "veth", "peer", "name", "mrk", "netns", ns + "b")
        sh("ip", "link", "set", "mru", "up")
        sh("ip", "-n", ns + "b", "link", "set", "mrk", "up")
        sh("ip", "-n", ns + "b", "addr", "add", "198.18.0.2/24", "dev", "mrk")
        expect_refused(ns, "af_packet:mru", "another host on the network of af_packet:mru has 198.18.0.2")
        sh("ip", "-n", ns + "b", "addr", "del", "198.18.0.2/24", "dev", "mrk")
        sh("ip", "-n", ns + "b", "addr", "add", "fd00::2/64", "dev", "mrk", "nodad")
        expect_refused(ns, "af_packet:mru", "another host on the network of af_packet:mru has 198.18.0.2 or fd00::2")
    finally:
        sh("ip", "netns", "del", ns + "b")


def edge_tells_of_an_address_that_the_kernel_takes_later(ns):
    edge = Edge(ns, "tap:mr0")
    edge.wait_for("edge: serving")
    sh("ip", "addr", "add", "198.18.0.2/24", "dev", "mr0")
    edge.wait_for("198.18.0.2: this machine's kernel has that address, on mr0")
    status, text = edge.stop()
    assert status == 0 and text.count("this machine's kernel") == 1, text


def edge_tells_of_an_interface_that_is_down_and_up(ns):
    make_veth()
    for port, interface in (("af_packet:mru", "mru"), ("tap:mr0", "mr0")):
        edge = Edge(ns, port)
        edge.wait_for("edge: serving")
        sh("ip", "link", "set", interface, "up")
        sh("ip", "link", "set", interface, "down")
        edge.wait_for(f"port {port} is down")
        sh("ip", "link", "set", interface, "up")
        edge.wait_for(f"port {port} is up again")
        status, text = edge.stop()
        assert status == 0 and text.count("is down") == 1, text


def edge_ends_when_its_interface_is_gone(ns):
    make_veth()
    for port, interface in (("af_packet:mru", "mru"), ("tap:mr0", "mr0")):
        edge = Edge(ns, port)
        edge.wait_for("edge: serving")
        sh("ip", "link", "del", interface)
        status, text = edge.end()
        assert status == 1 and f"millrace edge: interface {interface} is gone" in text, (status, text)
        assert "mbufs lost: 0" in text, text


def edge_serves_on_when_its_tap_moves_to_another_namespace(ns):
    edge = Edge(ns, "tap:mr0")
    edge.wait_for("edge: serving")
    sh("ip", "netns", "add", ns + "b")
    try:
        sh("ip", "link", "set", "mr0", "netns", ns + "b")
        time.sleep(2.5)
        status, text = edge.stop()
        assert status == 0 and "gone" not in text, text
    finally:
        sh("ip", "netns", "del", ns + "b")


def main():
    check_machine()
    tap.run([in_namespace(f) for name, f in globals().items() if name.startswith("edge_")])


if __name__ == "__main__":
    tap.main(main)
