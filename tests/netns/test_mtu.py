#!/usr/bin/env python3
"""An edge server and `millrace get` on two TAPs, a kernel that routes between them, and a link that takes less than theirs.

    tests/netns/test_mtu.py MILLRACE          prints TAP; skips without root

    edge 198.18.0.2 (tap) . mr0 1500 -- kernel -- mr1 1300 . get 198.19.0.2 (tap)
         fd00::2                        routes                   fd01::2

What edge sends in more than 1300 bytes comes back as ICMP "fragmentation needed" or ICMPv6 "packet too big".
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parent))
import tap  # noqa: E402
from test_ports import check_machine, in_namespace, sh, wait_for  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
SIZE = 3_000_000
SECONDS = 30


def is_there(interface):
    return subprocess.run(["ip", "link", "show", interface], capture_output=True, check=False).returncode == 0


def serve(ns, folder):
    """An edge on mr0, whose kernel side is set up; its process."""
    edge = subprocess.Popen(
        ["ip", "netns", "exec", ns, PROGRAM, "edge", "--port", "tap:mr0", "--addr", "198.18.0.2/24", "--addr",
         "fd00::2/64", "--gateway", "198.18.0.1", "--gateway", "fd00::1", "--root", folder, "--control",
         f"{folder}/control"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tap.expect(wait_for(is_there, "mr0"), "edge has no TAP")
    sh("ip", "addr", "add", "198.18.0.1/24", "dev", "mr0")
    sh("ip", "addr", "add", "fd00::1/64", "dev", "mr0", "nodad")
    sh("ip", "link", "set", "mr0", "up")
    tap.expect(wait_for(os.path.exists, f"{folder}/control"), "edge did not start")
    return edge


def fetch(ns, folder, host, mtu):
    """Fetch the file over a link of `mtu` bytes; True if it is what was served."""
    get = subprocess.Popen(
        ["ip", "netns", "exec", ns, PROGRAM, "get", f"https://{host}/file", "--port", "tap:mr1", "--addr", "198.19.0.2/24",
         "--addr", "fd01::2/64", "--gateway", "198.19.0.1", "--gateway", "fd01::1", "--insecure", "-o", f"{folder}/out"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    tap.expect(wait_for(is_there, "mr1"), "get has no TAP")
    sh("ip", "link", "set", "mr1", "mtu", str(mtu))
    sh("ip", "addr", "add", "198.19.0.1/24", "dev", "mr1")
    sh("ip", "addr", "add", "fd01::1/64", "dev", "mr1", "nodad")
    sh("ip", "link", "set", "mr1", "up")
    _, log = get.communicate(timeout=SECONDS)
    tap.expect_equal(get.returncode, 0, log)
    digests = [hashlib.sha256(Path(folder, name).read_bytes()).digest() for name in ("file", "out")]
    tap.expect_equal(digests[0], digests[1], "what arrived differs")


def counters(folder):
    done = subprocess.run([PROGRAM, "ctl", "--control", f"{folder}/control", "--json", "counters"], capture_output=True,
                          text=True, check=True)
    return json.loads(done.stdout)


def transfer(ns, host):
    sh("sysctl", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_bytes(os.urandom(SIZE))
        edge = serve(ns, folder)
        try:
            fetch(ns, folder, host, 1300)
            counted = counters(folder)
            print("#", {name: counted[name] for name in counted if name.startswith(("mtu_", "too_big_", "ecn_"))})
            tap.expect(counted["too_big_taken"] > 0, "no message was heeded")
            tap.expect(counted["mtu_raised"] > 0, "nothing above 1,200 bytes was found")
            tap.expect_equal(counted["mtu_black_holes"], 0, "black holes:")
            tap.expect_equal(counted["ecn_validated"], 1, "marks pass the kernel; paths validated:")
        finally:
            edge.terminate()
            edge.wait(SECONDS)


def mtu_is_heeded_over_ipv4(ns):
    transfer(ns, "198.18.0.2")


def mtu_is_heeded_over_ipv6(ns):
    transfer(ns, "[fd00::2]")


def main():
    check_machine()
    tap.run([in_namespace(f) for name, f in globals().items() if name.startswith("mtu_")])


if __name__ == "__main__":
    tap.main(main)
