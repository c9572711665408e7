#!/usr/bin/env python3
"""af_xdp ports: millrace takes its datagrams of an interface, and the kernel keeps the rest.

    tests/netns/test_xdp.py MILLRACE          prints TAP; skips without root, or where there is no AF_XDP

Each test has two network namespaces, which are deleted at its end:

    198.18.0.1, fd00::1 -- mrk ==veth== mru -+- XDP -- edge 198.18.0.2, fd00::2 (shared) or 198.18.0.3, fd00::3 (own)
                                             +-------- kernel 198.18.0.2, fd00::2
"""
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parent))
import tap  # noqa: E402
from test_ports import check_machine, in_namespace, ping, setns, sh, wait_for  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
SECONDS = 30
SHARED = ("198.18.0.2", "fd00::2")
OWN = ("198.18.0.3", "fd00::3")
PEER = ("198.18.0.1", "fd00::1")
MAC_PEER, MAC_OURS = "02:00:00:00:00:01", "02:00:00:00:00:02"
OTHER_PORT = 5353
SIOCETHTOOL, SET_CHANNELS = 0x8946, 0x3d
AF_XDP = 44
BPF_PROG_LOAD, BPF_PROG_TEST_RUN, BPF_PROG_GET_FD_BY_ID, BPF_LINK_CREATE, BPF_XDP = 5, 10, 13, 28, 37
XDP_PASS, XDP_REDIRECT = 2, 4
SYS_BPF = {"x86_64": 321, "aarch64": 280}
SYS_SETSOCKOPT = {"x86_64": 54, "aarch64": 208}
SYS_PIDFD_GETFD = 438
SO_DOMAIN, SO_BUSY_POLL, SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET = 39, 46, 69, 70
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

# ---------------------------------------------------------------- the two namespaces


class World:
    """The far namespace, its veth and what runs there; the near one is the test's own."""

    def __init__(self, ns, queues=1):
        self.near, self.far = ns, ns + "b"
        self.processes = []
        self.folder = tempfile.TemporaryDirectory()
        self.queues = str(queues)

    def __enter__(self):
        sh("ip", "netns", "add", self.far)
        try:
            self.make_link()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        sh("ip", "netns", "del", self.far)
        self.folder.cleanup()

    def make_link(self):
        of = ("numrxqueues", self.queues, "numtxqueues", self.queues)
        sh("ip", "link", "add", "mrk", "address", MAC_PEER, *of, "type", "veth", "peer", "name", "mru", "address", MAC_OURS,
           *of, "netns", self.far)
        for ns, interface, (v4, v6) in ((self.near, "mrk", PEER), (self.far, "mru", SHARED)):
            sh("ip", "-n", ns, "addr", "add", f"{v4}/24", "dev", interface)
            sh("ip", "-n", ns, "addr", "add", f"{v6}/64", "dev", interface, "nodad")
            sh("ip", "-n", ns, "link", "set", interface, "up")
        sh("ip", "-n", self.far, "link", "set", "lo", "up")

    def start(self, *words, ns=None, **options):
        process = subprocess.Popen(["ip", "netns", "exec", ns or self.far, *words], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        self.processes.append(process)
        return process

    def path(self, name):
        return str(Path(self.folder.name, name))

    def edge(self, addresses, *options, port="af_xdp:mru", before=None):
        """An edge that serves the folder; its file has more packets than the rings have places.  `before` is called in its process."""
        Path(self.path("file")).write_bytes(os.urandom(6_000_000))
        control = self.path("control")
        words = [word for address in addresses
                 for word in ("--addr", address + ("/64" if ":" in address else "/24"))]
        with open(self.path("log"), "w") as log:
            edge = subprocess.Popen(["ip", "netns", "exec", self.far, PROGRAM, "edge", "--port", port, *words, "--root",
                                     self.folder.name, "--control", control, *options],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before)
        self.processes.append(edge)
        wait_for(lambda: "edge: serving" in self.log() or edge.poll() is not None)
        tap.expect("edge: serving" in self.log(), "edge does not serve: " + self.log())
        return edge

    def log(self):
        return Path(self.path("log")).read_text()

    def stop(self, edge):
        edge.send_signal(signal.SIGTERM)
        tap.expect_equal(edge.wait(SECONDS), 0, self.log())
        tap.expect("mbufs lost: 0" in self.log(), self.log())

    def ports(self):
        run = subprocess.run([PROGRAM, "ctl", "--control", self.path("control"), "--json", "ports"], capture_output=True,
                             text=True, check=True)
        return json.loads(run.stdout)[0]

    def counters(self):
        return {row["counter"].removeprefix("xdp_"): row["frames"] for row in self.ports()["counters"]}

    def get(self, host, *options, port="af_packet:mrk", addresses=("198.18.0.9/24", "fd00::9/64")):
        """Fetch the file as a client in the near namespace; it must be what is served."""
        words = [word for address in addresses for word in ("--addr", address)]
        run = subprocess.run([PROGRAM, "get", f"https://{host}/file", "--port", port, *words, "--insecure", "-o",
                              self.path("out"), *options], capture_output=True, text=True, timeout=SECONDS, check=False,
                             stdin=subprocess.DEVNULL)
        tap.expect_equal(run.returncode, 0, run.stderr)
        digests = [hashlib.sha256(Path(self.path(name)).read_bytes()).digest() for name in ("file", "out")]
        tap.expect_equal(digests[0], digests[1], "what arrived differs")

    def serve_in_kernel(self):
        """Echo in the far kernel: TCP on the QUIC port, UDP on another."""
        code = f"""
import socket, threading
def udp():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", {OTHER_PORT}))
    while True:
        data, peer = s.recvfrom(4096)
        s.sendto(data, peer)
threading.Thread(target=udp, daemon=True).start()
t = socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    c, _ = t.accept()
    c.sendall(c.recv(4096))
    c.close()
"""
        server = self.start(sys.executable, "-c", code)
        tap.expect_equal(server.stdout.readline(), "ready\n")


@contextlib.contextmanager
def inside(ns):
    """The test's own thread is in the namespace meanwhile."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    with open(f"/var/run/netns/{ns}") as there:
        setns(there.fileno())
    try:
        yield
    finally:
        setns(home)
        os.close(home)


def in_world(test, queues=1):
    def run(ns):
        with World(ns, queues) as world:
            test(world)
    run.__name__ = test.__name__
    return run


# ---------------------------------------------------------------- what the near side does


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def kernel_answers(address):
    """Ping, TCP to the QUIC port and UDP to another port of the far kernel's address."""
    tap.expect(wait_for(ping, family_of(address), address), f"{address}: no answer to a ping")
    with socket.create_connection((address, 443), timeout=5) as tcp:
        tcp.sendall(b"over TCP")
        tap.expect_equal(tcp.recv(100), b"over TCP")
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.sendto(b"to another port", (address, OTHER_PORT))
        tap.expect_equal(udp.recv(100), b"to another port")


def negotiates(address):
    """QUIC from a kernel socket: an unknown version is answered with those that there are, RFC 9000, Section 6."""
    hello = bytes([0xc0]) + struct.pack("!I", 0x1a2a3a4a) + b"\x08destdest\x08sourcesr" + bytes(1200)
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as udp:
        udp.settimeout(1)
        udp.sendto(hello, (address, 443))
        try:
            answer = udp.recv(2000)
        except socket.timeout:
            return False
    return answer[0] & 0x80 != 0 and answer[1:5] == bytes(4)


# ---------------------------------------------------------------- frames made by hand


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ethernet(kind, payload, to=MAC_OURS, tag=None):
    head = mac(to) + mac(MAC_PEER)
    return head + (struct.pack("!HH", 0x8100, tag) if tag is not None else b"") + struct.pack("!H", kind) + payload


def ip(to, protocol, payload, fragment=0, options=b"", source=PEER):
    if ":" in to:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + socket.inet_pton(socket.AF_INET6, source[1]) \
            + socket.inet_pton(socket.AF_INET6, to) + payload
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), 1, fragment, 64, protocol, 0) \
        + socket.inet_aton(source[0]) + socket.inet_aton(to) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(port=443, source=40000, data=b"x" * 30):
    return struct.pack("!HHHH", source, port, 8 + len(data), 0) + data


def arp(op, sender_ip, target_ip, target_mac="00:00:00:00:00:00"):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac(MAC_PEER) + socket.inet_aton(sender_ip) + mac(target_mac) \
        + socket.inet_aton(target_ip)


def ndp(kind, target):
    return struct.pack("!BBHI", kind, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, target)


def icmp(kind, quoted):
    return struct.pack("!BBHI", kind, 4, 0, 1300) + quoted


def extension(following, count=1):
    """`count` destination options headers of 8 bytes, and what follows them."""
    return (b"\x3c\x00\x01\x04" + bytes(4)) * (count - 1) + bytes([following]) + b"\x00\x01\x04" + bytes(4)


def quote4(address, port):
    """A datagram that `address` had sent."""
    return ip("198.18.0.1", 17, udp(9, port), source=(address, ""))


def quote6(address, port):
    return ip("fd00::1", 17, udp(9, port), source=("", address))


BROADCAST, GROUP6 = "ff:ff:ff:ff:ff:ff", "33:33:ff:00:00:03"
TCP = bytes(20)

# What it is, the frame, the counter that it counts in: the shared address is .2, the one of its own .3, VLAN none.
FRAMES = [
    ("UDP to the shared address", ethernet(0x0800, ip("198.18.0.2", 17, udp())), "taken_udp"),
    ("UDP to our own", ethernet(0x0800, ip("198.18.0.3", 17, udp())), "taken_udp"),
    ("UDP to a stranger", ethernet(0x0800, ip("198.18.0.4", 17, udp())), "passed_other"),
    ("UDP to another port", ethernet(0x0800, ip("198.18.0.2", 17, udp(444))), "passed_port"),
    ("UDP to a port 64 above", ethernet(0x0800, ip("198.18.0.3", 17, udp(443 + 64))), "passed_port"),
    ("UDP with IPv4 options", ethernet(0x0800, ip("198.18.0.2", 17, udp(), options=b"\x01" * 8)), "taken_udp"),
    ("UDP behind options that look like another port", ethernet(0x0800, ip(
        "198.18.0.2", 17, udp(444), options=struct.pack("!HHHH", 1, 443, 1, 443))), "passed_port"),
    ("the first fragment", ethernet(0x0800, ip("198.18.0.2", 17, udp(), fragment=0x2000)), "passed_fragment"),
    ("the last fragment", ethernet(0x0800, ip("198.18.0.3", 17, udp(), fragment=0x0010)), "passed_fragment"),
    ("a stranger's fragment", ethernet(0x0800, ip("198.18.0.4", 17, udp(), fragment=0x2000)), "passed_other"),
    ("UDP with the DF bit", ethernet(0x0800, ip("198.18.0.2", 17, udp(), fragment=0x4000)), "taken_udp"),
    ("UDP to us by broadcast", ethernet(0x0800, ip("198.18.0.2", 17, udp()), to=BROADCAST), "passed_other"),
    ("UDP to another station", ethernet(0x0800, ip("198.18.0.2", 17, udp()), to=MAC_PEER), "passed_other"),
    ("UDP with a priority tag", ethernet(0x0800, ip("198.18.0.2", 17, udp()), tag=0x6000), "taken_udp"),
    ("UDP in a VLAN", ethernet(0x0800, ip("198.18.0.2", 17, udp()), tag=7), "passed_vlan"),
    ("half a UDP header", ethernet(0x0800, ip("198.18.0.2", 17, b"\x9c\x40\x01\xbb")), "passed_other"),
    ("half an IPv4 header", ethernet(0x0800, ip("198.18.0.2", 17, b"")[:18]), "passed_other"),
    ("an Ethernet type of nobody", ethernet(0x88b5, bytes(50)), "passed_other"),
    ("TCP to the QUIC port", ethernet(0x0800, ip("198.18.0.2", 6, b"\x9c\x40\x01\xbb" + TCP)), "passed_other"),
    ("UDP over IPv6", ethernet(0x86dd, ip("fd00::2", 17, udp())), "taken_udp"),
    ("UDP over IPv6 to our own", ethernet(0x86dd, ip("fd00::3", 17, udp())), "taken_udp"),
    ("UDP over IPv6 to a stranger", ethernet(0x86dd, ip("fd00::4", 17, udp())), "passed_other"),
    ("UDP over IPv6 to another port", ethernet(0x86dd, ip("fd00::2", 17, udp(80))), "passed_port"),
    ("UDP behind 8 IPv6 options", ethernet(0x86dd, ip("fd00::2", 60, extension(17, 8) + udp())), "taken_udp"),
    ("UDP behind 9 IPv6 options", ethernet(0x86dd, ip("fd00::2", 60, extension(17, 9) + udp())), "passed_extension"),
    ("a routing header", ethernet(0x86dd, ip("fd00::2", 43, extension(17) + udp())), "passed_extension"),
    ("an IPv6 fragment", ethernet(0x86dd, ip("fd00::2", 44, extension(17) + udp())), "passed_fragment"),
    ("an IPv6 fragment behind options", ethernet(0x86dd, ip("fd00::2", 60, extension(44) + bytes(30))), "passed_fragment"),
    ("options cut short", ethernet(0x86dd, ip("fd00::2", 60, b"\x11\x00\x01")), "passed_other"),
    ("TCP over IPv6", ethernet(0x86dd, ip("fd00::2", 6, b"\x9c\x40\x01\xbb" + TCP)), "passed_other"),
    ("who has our own address", ethernet(0x0806, arp(1, "198.18.0.1", "198.18.0.3"), to=BROADCAST), "taken_arp"),
    ("who has the shared one", ethernet(0x0806, arp(1, "198.18.0.1", "198.18.0.2"), to=BROADCAST), "passed_other"),
    ("an answer to our own", ethernet(0x0806, arp(2, "198.18.0.1", "198.18.0.3", MAC_OURS)), "taken_arp"),
    ("an answer to the kernel", ethernet(0x0806, arp(2, "198.18.0.1", "198.18.0.2", MAC_OURS)), "passed_other"),
    ("an answer to what we asked aside", ethernet(0x0806, arp(2, "198.18.0.1", "0.0.0.0", MAC_OURS)), "taken_arp"),
    ("a question like it", ethernet(0x0806, arp(1, "198.18.0.1", "0.0.0.0", MAC_OURS)), "passed_other"),
    ("the same to all", ethernet(0x0806, arp(2, "198.18.0.1", "0.0.0.0", MAC_OURS), to=BROADCAST), "passed_other"),
    ("the same about another station", ethernet(0x0806, arp(2, "198.18.0.1", "0.0.0.0", MAC_PEER)), "passed_other"),
    ("a probe of a stranger", ethernet(0x0806, arp(1, "0.0.0.0", "198.18.0.4"), to=BROADCAST), "passed_other"),
    ("a claim of our own address", ethernet(0x0806, arp(1, "198.18.0.3", "198.18.0.3"), to=BROADCAST), "taken_arp"),
    ("another's answer from our own address", ethernet(0x0806, arp(2, "198.18.0.3", "198.18.0.1", MAC_PEER), to=BROADCAST),
     "taken_arp"),
    ("half an ARP packet", ethernet(0x0806, arp(1, "198.18.0.1", "198.18.0.3")[:20]), "passed_other"),
    ("who has our own IPv6 address", ethernet(0x86dd, ip("ff02::1:ff00:3", 58, ndp(135, "fd00::3")), to=GROUP6), "taken_ndp"),
    ("who has the shared IPv6 address", ethernet(0x86dd, ip("ff02::1:ff00:2", 58, ndp(135, "fd00::2")), to=GROUP6),
     "passed_other"),
    ("an advertisement to our own", ethernet(0x86dd, ip("fd00::3", 58, ndp(136, "fd00::1"))), "taken_ndp"),
    ("an advertisement to the kernel", ethernet(0x86dd, ip("fd00::2", 58, ndp(136, "fd00::1"))), "passed_other"),
    ("a claim of our own IPv6 address", ethernet(0x86dd, ip("ff02::1", 58, ndp(136, "fd00::3")), to=GROUP6), "taken_ndp"),
    ("a router's advertisement", ethernet(0x86dd, ip("ff02::1", 58, ndp(134, "fd00::3")), to=GROUP6), "passed_other"),
    ("a ping to our own", ethernet(0x0800, ip("198.18.0.3", 1, icmp(8, b""))), "taken_icmp"),
    ("a ping to the kernel", ethernet(0x0800, ip("198.18.0.2", 1, icmp(8, b"ping"))), "passed_other"),
    ("a ping over IPv6 to our own", ethernet(0x86dd, ip("fd00::3", 58, icmp(128, bytes(16)))), "taken_icmp"),
    ("a ping over IPv6 to the kernel", ethernet(0x86dd, ip("fd00::2", 58, icmp(128, bytes(16)))), "passed_other"),
    ("too big: quotes ours", ethernet(0x0800, ip("198.18.0.2", 1, icmp(3, quote4("198.18.0.2", 443)))), "taken_icmp"),
    ("too big: quotes the kernel's", ethernet(0x0800, ip("198.18.0.2", 1, icmp(3, quote4("198.18.0.2", 53)))), "passed_other"),
    ("too big: quotes a stranger's", ethernet(0x0800, ip("198.18.0.2", 1, icmp(3, quote4("198.18.0.4", 443)))),
     "passed_other"),
    ("too big: options in what is quoted", ethernet(0x0800, ip("198.18.0.2", 1, icmp(3, ip(
        "198.18.0.1", 17, udp(9, 443), options=b"\x01" * 8, source=("198.18.0.2", ""))))), "taken_icmp"),
    ("time exceeded", ethernet(0x0800, ip("198.18.0.2", 1, icmp(11, quote4("198.18.0.2", 443)))), "passed_other"),
    ("IPv6 too big: quotes ours", ethernet(0x86dd, ip("fd00::2", 58, icmp(2, quote6("fd00::2", 443)))), "taken_icmp"),
    ("IPv6 too big: quotes the kernel's", ethernet(0x86dd, ip("fd00::2", 58, icmp(2, quote6("fd00::2", 53)))),
     "passed_other"),
    ("IPv6 too big: quotes a stranger's", ethernet(0x86dd, ip("fd00::2", 58, icmp(2, quote6("fd00::4", 443)))),
     "passed_other"),
]


def xdp_counts_each_kind_of_frame(world):
    edge = world.edge([SHARED[0], OWN[0], SHARED[1], OWN[1]])
    sh("ip", "addr", "flush", "dev", "mrk")
    Path("/proc/sys/net/ipv6/conf/mrk/disable_ipv6").write_text("1")  # nothing is sent but what we send
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("mrk", 0))
        time.sleep(0.5)
        before = world.counters()
        for what, frame, counter in FRAMES:
            wire.send(frame)
            wait_for(lambda: world.counters() != before)
            after = world.counters()
            changed = {name: after[name] - before[name] for name in after
                       if after[name] != before[name] and not name.startswith("rx_q")}
            tap.expect_equal(changed, {counter: 1}, what)
            before = after
    world.stop(edge)


# ---------------------------------------------------------------- serving


def xdp_shares_an_address_with_the_kernel(world):
    world.serve_in_kernel()
    edge = world.edge(SHARED)
    for address in SHARED:
        kernel_answers(address)
        tap.expect(wait_for(negotiates, address), f"{address}: no answer over QUIC")
        world.get(f"[{address}]" if ":" in address else address)
        kernel_answers(address)
    # The neighbours that we know run out, and are asked again.
    sh("ip", "neigh", "flush", "dev", "mrk")
    for address in SHARED:
        tap.expect(wait_for(negotiates, address), f"{address}: no answer over QUIC any more")
    counted = world.counters()
    tap.expect(counted["taken_udp"] > 20 and counted["passed_port"] >= 4 and counted["passed_other"] > 10, counted)
    tap.expect_equal(counted["passed_no_socket"], 0)
    tap.expect_equal(world.ports()["with"], "XDP in the driver, copied, busy polling 64")
    world.stop(edge)
    for address in SHARED:
        kernel_answers(address)


def xdp_serves_an_address_of_its_own(world):
    world.serve_in_kernel()
    edge = world.edge(OWN)
    for theirs, ours in zip(SHARED, OWN):
        kernel_answers(theirs)
        tap.expect(wait_for(ping, family_of(ours), ours), f"{ours}: no answer to a ping")
        tap.expect(wait_for(negotiates, ours), f"{ours}: no answer over QUIC")
        world.get(f"[{ours}]" if ":" in ours else ours)
        kernel_answers(theirs)
    counted = world.counters()
    tap.expect(min(counted["taken_arp"], counted["taken_ndp"], counted["taken_icmp"]) > 0, counted)
    world.stop(edge)


def xdp_serves_a_client_beside_its_kernel(world):
    """Both ends share their addresses with their kernels: neighbours are asked aside."""
    world.serve_in_kernel()
    edge = world.edge(SHARED)
    for address in SHARED:
        sh("ip", "neigh", "flush", "dev", "mrk")
        world.get(f"[{address}]" if ":" in address else address, port="af_xdp:mrk", addresses=("198.18.0.1/24", "fd00::1/64"))
        kernel_answers(address)
    world.stop(edge)


def xdp_works_without_busy_polling(world):
    edge = world.edge(SHARED, port="af_xdp:mru,busy_budget=0,zero-copy=no")
    world.get(SHARED[0])
    tap.expect_equal(world.ports()["with"], "XDP in the driver, copied, no busy polling")
    world.stop(edge)


def refuse_socket_option(option, error):
    """From now on the kernel refuses this process, and those that it starts, an option of SOL_SOCKET: a seccomp filter."""
    load, equal, give = 0x20, 0x15, 0x06  # a word, to the accumulator; compare it; return
    number, level, name = 0, 24, 32  # of the call and its arguments' low halves in struct seccomp_data
    steps = [(load, 0, 0, number), (equal, 0, 5, SYS_SETSOCKOPT[os.uname().machine]), (load, 0, 0, level),
             (equal, 0, 3, socket.SOL_SOCKET), (load, 0, 0, name), (equal, 0, 1, option), (give, 0, 0, 0x00050000 | error),
             (give, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def prefers_busy_polling(process):
    """Of a process's AF_XDP sockets: what each says."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(process.pid)
    said = []
    for path in Path(f"/proc/{process.pid}/fd").iterdir():
        if os.readlink(path).startswith("socket:"):
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(path.name), 0)
            with socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=fd) as ours:
                if ours.getsockopt(socket.SOL_SOCKET, SO_DOMAIN) == AF_XDP:
                    said.append(ours.getsockopt(socket.SOL_SOCKET, SO_PREFER_BUSY_POLL))
    os.close(pidfd)
    return said


def xdp_goes_on_where_the_kernel_refuses_busy_polling(world):
    """Each of its three options; what was granted before is taken back."""
    for option, error in ((SO_PREFER_BUSY_POLL, errno.EPERM), (SO_PREFER_BUSY_POLL, errno.ENOPROTOOPT),
                          (SO_BUSY_POLL, errno.EPERM), (SO_BUSY_POLL_BUDGET, errno.EPERM)):
        edge = world.edge(SHARED, before=lambda o=option, e=error: refuse_socket_option(o, e))
        why = os.strerror(error)
        tap.expect(f"port af_xdp:mru: the kernel refuses busy polling ({why}): interrupts bring the frames; Linux 5.11 has it, "
                   "and busy_budget=0 does without" in world.log(), world.log())
        tap.expect_equal(world.ports()["with"], f"XDP in the driver, copied, busy polling refused: {why}")
        tap.expect_equal(prefers_busy_polling(edge), [0], f"option {option}:")
        world.get(SHARED[0])
        world.stop(edge)
    edge = world.edge(SHARED)
    tap.expect_equal(prefers_busy_polling(edge), [1])
    tap.expect("refuses busy polling" not in world.log(), world.log())
    world.stop(edge)


def xdp_port_is_told_by_perf(world):
    """What the port is made of; what nobody knows is null."""
    edge = world.edge(SHARED)
    page = world.path("page.html")
    run = subprocess.run([PROGRAM, "perf", "client", f"{SHARED[0]}:443", "--port", "af_xdp:mrk", "--addr", "198.18.0.1/24", "--insecure",
                          "--alpn", "h3", "--op", "connect", "--rate", "20", "--duration", "0.5", "--warm-up", "0", "--json", "--html",
                          page], capture_output=True, text=True, timeout=SECONDS, check=False)
    tap.expect(run.stdout.startswith("{"), run.stderr)
    port = json.loads(run.stdout)["port"]
    facts = {name: port[name] for name in ("driver", "device", "link_mbps", "rx_queues", "tx_queues", "rx_descriptors",
                                           "tx_descriptors", "firmware", "pcie_lanes", "pcie_speed")}
    tap.expect_equal(facts, {"driver": "af_xdp", "device": "mrk", "link_mbps": 10000, "rx_queues": 1, "tx_queues": 1,
                             "rx_descriptors": 1024, "tx_descriptors": 1024, "firmware": None, "pcie_lanes": None,
                             "pcie_speed": None})
    html = Path(page).read_text()
    tap.expect(html.count("<td>pcie_lanes<td>unknown") == 1 and "<td>device<td>mrk" in html, html[-3000:])
    world.stop(edge)


def xdp_works_with_two_queues(world):
    edge = world.edge(SHARED, "--shards", "2")
    end = time.time() + SECONDS
    while time.time() < end:
        tap.expect(negotiates(SHARED[0]) or negotiates(SHARED[0]), "no answer over QUIC")
        counted = world.counters()
        if min(counted["rx_q0_packets"], counted["rx_q1_packets"]) > 3:
            break
    tap.expect(min(counted["rx_q0_packets"], counted["rx_q1_packets"]) > 3, counted)
    world.get(SHARED[0])
    wait_for(lambda: world.ports()["receiving"] == "all")
    tap.expect_equal(world.ports()["receiving"], "all")
    world.stop(edge)


def set_channels(ns, interface, count):
    """As `ethtool -L` does; queues to receive at and to send from."""
    with inside(ns):
        channels = ctypes.create_string_buffer(struct.pack("<9I", SET_CHANNELS, 0, 0, 0, 0, count, count, 0, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("<16sQ8x", interface.encode(), ctypes.addressof(channels)))


def run_program(world, frame, queue):
    """What the program on the far interface says to a frame at a queue."""
    number = int(re.search(r"prog/xdp id (\d+)", sh("ip", "-n", world.far, "-d", "link", "show", "mru"))[1])
    program = bpf(BPF_PROG_GET_FD_BY_ID, struct.pack("<I", number))
    data = ctypes.create_string_buffer(frame, len(frame))
    with inside(world.far):
        context = ctypes.create_string_buffer(
            struct.pack("<6I", 0, len(frame), 0, socket.if_nametoindex("mru"), queue, 0))
        attributes = ctypes.create_string_buffer(
            struct.pack("<4I2Q4I2Q", program, 0, len(frame), 0, ctypes.addressof(data), 0, 1, 0, 24, 0,
                        ctypes.addressof(context), 0), 128)
        bpf(BPF_PROG_TEST_RUN, attributes)
    os.close(program)
    return struct.unpack_from("<I", attributes, 4)[0]


def xdp_counts_what_is_lost_with_two_queues(world):
    """A queue that came after the start has no socket."""
    refused(world, "interface mru receives at 2 queues, and 1 shards", "`ethtool -L mru combined 1`")
    set_channels(world.near, "mrk", 1)
    set_channels(world.far, "mru", 1)
    refused(world, "interface mru receives at 1 queues, and 2 shards", "`ethtool -L mru combined 2`", options=("--shards", "2"))
    edge = world.edge(SHARED[:1])
    tap.expect(wait_for(negotiates, SHARED[0]), "no answer over QUIC")
    tap.expect_equal(world.counters()["passed_no_socket"], 0)
    set_channels(world.far, "mru", 2)  # veth does not run the program there, so we do
    frame = ethernet(0x0800, ip("198.18.0.2", 17, udp()))
    taken = world.counters()["taken_udp"]
    for queue, says, counted in ((1, XDP_PASS, (taken, 1)), (0, XDP_REDIRECT, (taken + 1, 1))):
        tap.expect_equal(run_program(world, frame, queue), says)
        after = world.counters()
        tap.expect_equal((after["taken_udp"], after["passed_no_socket"]), counted)
    world.stop(edge)


def xdp_answers_for_an_address_that_the_kernel_gives_up(world):
    edge = world.edge(SHARED[:1])
    sh("ip", "-n", world.far, "addr", "del", "198.18.0.2/24", "dev", "mru")
    sh("ip", "neigh", "flush", "dev", "mrk")
    tap.expect(wait_for(ping, socket.AF_INET, SHARED[0]), "no answer to a ping")
    tap.expect(world.counters()["taken_arp"] > 0, world.counters())
    tap.expect("198.18.0.2 is no longer the kernel's" in world.log(), world.log())
    sh("ip", "-n", world.far, "addr", "add", "198.18.0.2/24", "dev", "mru")
    wait_for(lambda: "198.18.0.2 is now the kernel's as well" in world.log())
    tap.expect_equal(world.log().count("198.18.0.2 is now the kernel's as well"), 1, world.log())
    world.stop(edge)


def xdp_serves_on_after_its_interface_was_down(world):
    edge = world.edge(SHARED[:1])
    tap.expect(wait_for(negotiates, SHARED[0]), "no answer over QUIC")
    sh("ip", "-n", world.far, "link", "set", "mru", "down")
    wait_for(lambda: "port af_xdp:mru is down" in world.log())
    sh("ip", "-n", world.far, "link", "set", "mru", "up")
    tap.expect(wait_for(negotiates, SHARED[0]), "no answer over QUIC any more")
    world.get(SHARED[0])
    world.stop(edge)


def xdp_ends_when_its_interface_is_gone(world):
    edge = world.edge(SHARED[:1])
    sh("ip", "-n", world.far, "link", "del", "mru")
    tap.expect_equal(edge.wait(SECONDS), 1, world.log())
    tap.expect("interface mru is gone" in world.log() and "mbufs lost: 0" in world.log(), world.log())


# ---------------------------------------------------------------- its end, and what is wrong


def has_program(world):
    return "xdp" in sh("ip", "-n", world.far, "link", "show", "mru")


def xdp_goes_with_its_process(world):
    world.serve_in_kernel()
    for end in signal.SIGTERM, signal.SIGKILL:
        edge = world.edge(SHARED)
        tap.expect(has_program(world), "no XDP program")
        edge.send_signal(end)
        edge.wait(SECONDS)
        tap.expect(wait_for(lambda: not has_program(world)), f"the XDP program is left after signal {end}")
        kernel_answers(SHARED[0])


def refused(world, *words, port="af_xdp:mru", user=(), options=()):
    run = subprocess.run(["ip", "netns", "exec", world.far, *user, PROGRAM, "edge", "--port", port, "--addr", "198.18.0.2/24",
                          "--root", "/", *options], capture_output=True, text=True, timeout=SECONDS, check=False,
                         stdin=subprocess.DEVNULL)
    tap.expect(run.returncode in (1, 2) and "serving" not in run.stdout, words, run.stdout, run.stderr)
    for word in words:
        tap.expect(word in run.stderr, word, run.stderr)
    tap.expect_equal(len(run.stderr.splitlines()), 1, run.stderr)


class Program:
    """An XDP program of somebody else, which lets all frames pass, while the object lives."""

    def __init__(self, world):
        with inside(world.far):
            code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 2, 0x95, 0, 0, 0))
            license = ctypes.create_string_buffer(b"Apache-2.0")
            self.program = bpf(BPF_PROG_LOAD, struct.pack("<IIQQIIQII16s", 6, 2, ctypes.addressof(code), ctypes.addressof(license), 0, 0,
                                              0, 0, 0, b"others"))
            self.link = bpf(BPF_LINK_CREATE, struct.pack("<IIII", self.program, socket.if_nametoindex("mru"), BPF_XDP, 0))

    def close(self):
        os.close(self.link)
        os.close(self.program)


def bpf(command, attributes):
    """The system call; `attributes` are bytes, or a buffer of 128, which is written to."""
    buffer = ctypes.create_string_buffer(attributes, 128) if isinstance(attributes, bytes) else attributes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(SYS_BPF[os.uname().machine], command, buffer, 128)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return fd


def xdp_names_what_is_wrong(world):
    without = ("setpriv", "--bounding-set", "-bpf,-sys_admin,-net_admin", "--inh-caps", "-bpf,-sys_admin,-net_admin")
    refused(world, "of which is missing: CAP_NET_ADMIN CAP_BPF; run with sudo", user=without)
    refused(world, "no interface mrx; there are: lo, mru", port="af_xdp:mrx")
    refused(world, "interface lo is the loopback", port="af_xdp:lo")
    refused(world, "interface mru receives at 1 queues", "have 1, with --shards", options=("--shards", "2"))
    refused(world, "busy_budget=0..1024", port="af_xdp:mru,busy_budget=2000")
    refused(world, "no zero-copy", "leave zero-copy=yes out", port="af_xdp:mru,zero-copy=yes")
    refused(world, "the kernel answers for the address with the interface's own MAC",
            port="af_xdp:mru,mac=02:00:00:00:00:07")
    other = Program(world)
    refused(world, "interface mru has another XDP program, number ", ", others: ", "or take af_packet:mru")
    other.close()
    edge = world.edge(SHARED)
    refused(world, "interface mru is another millrace's already")
    world.get(SHARED[0])
    world.stop(edge)
    sh("ip", "-n", world.far, "link", "set", "mru", "down")
    refused(world, "interface mru is down: `ip link set mru up`")


def check_xdp():
    check_machine()
    try:
        socket.socket(AF_XDP, socket.SOCK_RAW).close()
    except OSError as error:
        raise tap.Skip(f"the kernel has no AF_XDP: {error.strerror}")
    run = subprocess.run([PROGRAM, "edge", "--port", "af_xdp:lo", "--addr", "198.18.0.2/24", "--root", "/"], capture_output=True,
                         text=True, check=False)
    if "built without af_xdp" in run.stderr:
        raise tap.Skip("this millrace was built without af_xdp: no clang, or no libbpf")


def main():
    check_xdp()
    tap.run([in_namespace(in_world(f, 2 if "two_queues" in name else 1)) for name, f in globals().items()
             if name.startswith("xdp_")])


if __name__ == "__main__":
    tap.main(main)
