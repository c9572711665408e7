#!/usr/bin/env python3
"""`millrace get` through a TAP, where the kernel's side has no server: its ICMP ends the attempt at once.

    tests/netns/test_refused.py MILLRACE          prints TAP; skips without root
"""
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parent))
import tap  # noqa: E402
from test_ports import V4, V6, Namespace, give_addresses, wait_for  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
TIMEOUT = 20  # of get, seconds
AT_ONCE = 3   # likewise, with what the machine needs to start it


def expect_refused(host, address, namespace):
    child = subprocess.Popen(
        ["ip", "netns", "exec", namespace.name, PROGRAM, "get", f"https://{host}:4433/x", "--port", "tap:mr0", "--addr",
         address, "--insecure", "-o", "/dev/null", "--timeout", str(TIMEOUT)], stderr=subprocess.PIPE, text=True)
    tap.expect(wait_for(os.path.exists, f"/proc/{child.pid}"), "get did not start")
    tap.expect(wait_for(lambda: subprocess.run(["ip", "link", "show", "mr0"], capture_output=True,
                                               check=False).returncode == 0), "there is no TAP")
    give_addresses("mr0")
    begin = time.monotonic()
    _, log = child.communicate(timeout=2 * TIMEOUT)
    tap.expect_equal(child.returncode, 1, log)
    for word in host.strip("[]"), "nothing listens on UDP port 4433":
        tap.expect(word in log, word, "is missing in", log)
    tap.expect(time.monotonic() - begin < AT_ONCE, "it took", time.monotonic() - begin, "s")


def a_closed_port_ends_an_attempt_at_once():
    with Namespace() as namespace:
        expect_refused(V4[0], V4[1] + "/24", namespace)


def a_closed_port_ends_an_attempt_at_once_over_ipv6():
    with Namespace() as namespace:
        expect_refused(f"[{V6[0]}]", V6[1] + "/64", namespace)


def main():
    if os.geteuid() != 0:
        raise tap.Skip("needs root")
    tap.run([a_closed_port_ends_an_attempt_at_once, a_closed_port_ends_an_attempt_at_once_over_ipv6])


if __name__ == "__main__":
    tap.main(main)
