#!/usr/bin/env python3
"""Ports against a real kernel: a host of ours on a TAP interface, a packet socket and AF_XDP answers ARP, NDP, ping and UDP.

    tests/netns/test_ports.py NET_HOST          prints TAP; skips without root

Each test has a network namespace of its own, which is deleted at its end:

    +------------------------- namespace ---------------------------+
    |  kernel 198.18.0.1, fd00::1 -- mr0 ........ net_host (tap)    |
    |                                                               |
    |  kernel 198.18.0.1, fd00::1 -- mrk ==veth== mru . net_host    |
    |                                         (af_packet, af_xdp)   |
    +---------------------------------------------------------------+
                                    net_host is 198.18.0.2, fd00::2
"""
import ctypes
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402

V4, V6 = ("198.18.0.1", "198.18.0.2"), ("fd00::1", "fd00::2")
DEADLINE = 10  # seconds for anything to happen


def sh(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout


class Host:
    """A running net_host in namespace `ns`."""

    def __init__(self, ns, spec, queues=1, polling="busy", prefixes=("198.18.0.2/24", "fd00::2/64")):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", ns, sys.argv[1], spec, str(queues), polling, *prefixes],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise AssertionError("net_host: " + self.process.stderr.read())

    def stop(self):
        """Its counters by name."""
        out, err = self.process.communicate("", timeout=DEADLINE)
        assert self.process.returncode == 0, err
        assert err == "", f"noise on standard error: {err}"
        return {name: int(value) for name, value in (line.split() for line in out.splitlines())}


class Namespace:
    """A network namespace; the test's own process is in it meanwhile, so that its sockets are."""

    def __enter__(self):
        self.name = f"mrtest{os.getpid()}"
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        sh("ip", "netns", "add", self.name)
        with open(f"/var/run/netns/{self.name}") as inside:
            setns(inside.fileno())
        sh("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        setns(self.home)
        os.close(self.home)
        sh("ip", "netns", "del", self.name)


def setns(fd):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def give_addresses(interface):
    sh("ip", "addr", "add", V4[0] + "/24", "dev", interface)
    sh("ip", "addr", "add", V6[0] + "/64", "dev", interface, "nodad")
    sh("ip", "link", "set", interface, "up")


def ping(family, address, size=56):
    """Send one echo request; True if its reply comes back whole."""
    is_v4 = family == socket.AF_INET
    request = struct.pack("!BBHHH", 8 if is_v4 else 128, 0, 0, 77, size) + bytes(i & 255 for i in range(size))
    if is_v4:
        padded = request + bytes(len(request) % 2)
        total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
        total = (total & 0xffff) + (total >> 16)
        total = (total & 0xffff) + (total >> 16)
        request = request[:2] + struct.pack("!H", ~total & 0xffff) + request[4:]
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6) as raw:
        raw.settimeout(2)
        raw.sendto(request, (address, 0))
        end = time.time() + 2
        while time.time() < end:
            try:
                reply = raw.recv(4096)
            except socket.timeout:
                return False
            reply = reply[20:] if is_v4 else reply
            if reply[0] == (0 if is_v4 else 129):
                return reply[4:] == request[4:]
    return False


def wait_for(what, *arguments):
    end = time.time() + DEADLINE
    while time.time() < end:
        if what(*arguments):
            return True
        time.sleep(0.05)
    return False


def udp_echo(family, address, count, size):
    """Send `count` datagrams from as many ports; how many come back as they were, with their ECN bits."""
    good = 0
    for i in range(count):
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.settimeout(2)
            data = bytes((i + j) & 255 for j in range(size))
            udp.sendto(data, (address, 443))
            try:
                good += udp.recv(65536) == data
            except socket.timeout:
                pass
    return good


def neighbour(interface, address):
    return sh("ip", "neigh", "show", address, "dev", interface)


def check_host(host, interface, queues=1):
    """All that a host on `interface` must do, whatever its port."""
    assert wait_for(ping, socket.AF_INET, V4[1]), "no answer to an IPv4 ping"
    assert wait_for(ping, socket.AF_INET6, V6[1]), "no answer to an IPv6 ping"
    for family, address in ((socket.AF_INET, V4[1]), (socket.AF_INET6, V6[1])):
        for size in (0, 1, 1400):
            assert ping(family, address, size), f"no answer to a ping of {size} bytes"
        for size in (0, 1, 1200, 1452):
            assert udp_echo(family, address, 8, size) == 8, f"datagrams of {size} bytes lost"
        assert "lladdr" in neighbour(interface, address)
    # The kernel forgets us and asks again.
    sh("ip", "neigh", "flush", "dev", interface)
    assert ping(socket.AF_INET, V4[1]) and ping(socket.AF_INET6, V6[1])
    counters = host.stop()
    assert counters["net_rx_udp"] == counters["net_tx_udp"] == 64, counters
    assert counters["net_tx_arp"] >= 2 and counters["net_tx_ndp"] >= 2, counters
    assert counters["net_drop_udp_checksum"] == counters["net_drop_ip_checksum"] == 0, counters
    assert counters["net_dad_conflict"] == 0, counters
    assert counters["mbufs_missing"] == 0, counters


def tap_answers_arp_ndp_ping_and_udp(ns):
    host = Host(ns, "tap:mr0")
    give_addresses("mr0")
    check_host(host, "mr0")


def tap_works_with_two_queues(ns):
    host = Host(ns, "tap:mr0", queues=2)
    give_addresses("mr0")
    check_host(host, "mr0")


def tap_wakes_a_sleeping_lcore(ns):
    host = Host(ns, "tap:mr0", polling="sleep")
    give_addresses("mr0")
    assert wait_for(ping, socket.AF_INET, V4[1])
    pid = int(sh("pgrep", "-P", str(os.getpid()), "-n", "net_host").split()[0])
    before = cpu_seconds(pid)
    time.sleep(1)
    assert cpu_seconds(pid) - before < 0.2, "a sleeping lcore takes a core"
    check_host(host, "mr0")


def tap_names_what_is_wrong(ns):
    sh("ip", "link", "add", "mr0", "type", "veth", "peer", "name", "mr1")
    for user, words in (([], "an interface mr0 exists already"),
                        (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "run with sudo")):
        run = subprocess.run([*user, sys.argv[1], "tap:mr0", "1", "busy", "198.18.0.2/24"], text=True,
                             capture_output=True, stdin=subprocess.DEVNULL)
        assert run.returncode == 1 and words in run.stderr and len(run.stderr.splitlines()) == 1, run.stderr


def tap_goes_when_its_host_does(ns):
    host = Host(ns, "tap:mr0")
    assert "mr0" in sh("ip", "link")
    host.stop()
    assert "mr0" not in sh("ip", "link")


def make_veth():
    sh("ip", "link", "add", "mrk", "type", "veth", "peer", "name", "mru")
    sh("ip", "link", "set", "mru", "up")
    with open("/proc/sys/net/ipv6/conf/mru/disable_ipv6", "w") as disable:
        disable.write("1")
    give_addresses("mrk")


def af_packet_answers_arp_ndp_ping_and_udp(ns):
    make_veth()
    check_host(Host(ns, "af_packet:mru"), "mrk")


def af_packet_works_with_an_address_of_its_own(ns):
    make_veth()
    host = Host(ns, "af_packet:mru,mac=02:00:00:00:00:77")
    assert wait_for(ping, socket.AF_INET, V4[1])
    assert "02:00:00:00:00:77" in neighbour("mrk", V4[1])
    check_host(host, "mrk")


def af_packet_names_what_is_wrong(ns):
    sh("ip", "link", "add", "mrk", "type", "veth", "peer", "name", "mru")
    sh("ip", "tuntap", "add", "dev", "mrt", "mode", "tun")
    sh("ip", "link", "set", "mrt", "up")
    for spec, words in (("af_packet:mrt", "interface mrt carries no Ethernet frames"),
                        ("af_packet:mru", "interface mru is down: `ip link set mru up`"),
                        ("af_packet:mrx", "no interface mrx; there are: lo, ")):
        run = subprocess.run([sys.argv[1], spec, "1", "busy", "198.18.0.2/24"], text=True, capture_output=True,
                             stdin=subprocess.DEVNULL)
        assert run.returncode == 1 and words in run.stderr, run.stderr


def af_packet_gives_an_address_up_that_the_kernel_has(ns):
    make_veth()
    sh("ip", "addr", "add", V6[1] + "/64", "dev", "mrk", "nodad")
    host = Host(ns, "af_packet:mru")
    assert wait_for(ping, socket.AF_INET, V4[1])
    counters = host.stop()
    assert counters["net_dad_conflict"] == 1, counters
    assert counters["mbufs_missing"] == 0, counters


def af_xdp_answers_arp_ndp_ping_and_udp(ns):
    check_xdp()
    make_veth()
    check_host(Host(ns, "af_xdp:mru"), "mrk")


def af_xdp_works_with_an_address_of_its_own(ns):
    check_xdp()
    make_veth()
    host = Host(ns, "af_xdp:mru,mac=02:00:00:00:00:77")
    assert wait_for(ping, socket.AF_INET, V4[1])
    assert "02:00:00:00:00:77" in neighbour("mrk", V4[1])
    check_host(host, "mrk")


def af_xdp_wakes_a_sleeping_lcore(ns):
    check_xdp()
    make_veth()
    host = Host(ns, "af_xdp:mru", polling="sleep")
    assert wait_for(ping, socket.AF_INET, V4[1])
    pid = int(sh("pgrep", "-P", str(os.getpid()), "-n", "net_host").split()[0])
    before = cpu_seconds(pid)
    time.sleep(1)
    assert cpu_seconds(pid) - before < 0.2, "a sleeping lcore takes a core"
    check_host(host, "mrk")


def check_xdp():
    run = subprocess.run([sys.argv[1], "af_xdp:lo", "1", "busy", V4[1] + "/24"], text=True, capture_output=True,
                         stdin=subprocess.DEVNULL)
    if "built without af_xdp" in run.stderr:
        raise tap.Skip("built without af_xdp: no clang, or no libbpf")
    try:
        socket.socket(44, socket.SOCK_RAW).close()
    except OSError as error:
        raise tap.Skip(f"the kernel has no AF_XDP: {error.strerror}")


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_machine():
    if os.geteuid() != 0:
        raise tap.Skip("network namespaces need root")
    if shutil.which("ip") is None:
        raise tap.Skip("no ip command (package iproute2)")
    if not os.path.exists("/dev/net/tun"):
        raise tap.Skip("the kernel has no TUN/TAP")


def in_namespace(test):
    """`test`, run in a namespace of its own, whose name it gets."""
    @functools.wraps(test)
    def run():
        with Namespace() as ns:
            test(ns.name)
    return run


def main():
    check_machine()
    tap.run([in_namespace(f) for name, f in globals().items() if name.startswith(("tap_", "af_packet_", "af_xdp_"))])


if __name__ == "__main__":
    tap.main(main)
