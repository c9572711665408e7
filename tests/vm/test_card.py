#!/usr/bin/env python3
"""millrace on a network card: an emulated Intel 82576 (igb) with true Toeplitz RSS, driven by DPDK in a virtual machine.

    tests/vm/test_card.py MILLRACE INLINE_MOVER CARD_CLIENT          prints TAP; skips without root, or QEMU

    +-------------------- namespace --------------------+      +------------- guest ---------------+
    |  card_client 198.18.0.2, a port for each connection |      |  millrace host 198.18.0.1:4433,   |
    |  on the kernel's UDP sockets -- mr0 (TAP) ========|======|= igb, 4 queues -- 4 shards        |
    +---------------------------------------------------+      +-----------------------------------+

One guest and one datapath in it for all tests, in their order: they take the connections over from each other.
"""
import contextlib
import ctypes
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dpdk"))
from datapath import Program, wait_until  # noqa: E402
from guest import CARD, MAC, WITH_US, Guest, find_machine  # noqa: E402
import tap  # noqa: E402

SERVER, CLIENT, PORT = "198.18.0.1", "198.18.0.2", 4433
SERVER6, CLIENT6 = "fd00::1", "fd00::2"
SHARDS = 4
CLONE_NEWNET = 0x40000000  # unshare(2)
CONNECTIONS = 48
CONTROL = "/run/millrace.sock"
START_SECONDS = 60


# ---- what a hash is ------------------------------------------------------------------------------------------------

def toeplitz(key, data):
    """For each bit of the data that is set, the 32 bits of the key from there on."""
    bits = int.from_bytes(key, "big")
    size = len(key) * 8
    value = 0
    for i in range(len(data) * 8):
        if data[i // 8] >> (7 - i % 8) & 1:
            value ^= bits >> (size - 32 - i) & 0xffffffff
    return value


def tuple_of(source, source_port, to, to_port):
    return bytes(map(int, f"{source}.{to}".split("."))) + struct.pack("!HH", source_port, to_port)


MICROSOFT_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
MICROSOFT = [  # "Verifying the RSS Hash Calculation": source, port, destination, port, hash
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51ccc178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626b0ea),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b394a),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0xafc7327f),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x10e828a2),
]


class Spread:
    """The card's key and table, as millrace reads them back."""

    def __init__(self, world):
        [card] = world.ctl("rss")
        self.key = bytes.fromhex(card["key"])
        self.table = [int(queue) for row in card["table"] for queue in row["queues"].split()]
        self.over_ipv4 = card["over_ipv4"]
        self.symmetric = card["symmetric"]

    def slot(self, port):
        return toeplitz(self.key, tuple_of(CLIENT, port, SERVER, PORT)) % len(self.table)

    def shard(self, port):
        return self.table[self.slot(port)]


# ---- the world -----------------------------------------------------------------------------------------------------

def run(*words, seconds=20):
    """Run a program on this end of the cable; its output."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=seconds).stdout.strip()


def make_cable():
    """A namespace for this process and its children, without a name: it goes with the last of them, whatever ends them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise tap.Skip(f"no namespace of its own: {os.strerror(ctypes.get_errno())}")
    for command in ("tuntap add mr0 mode tap", f"addr add {CLIENT}/24 dev mr0", f"addr add {CLIENT6}/64 dev mr0 nodad",
                    "link set mr0 up"):
        run("ip", *command.split())


class World:
    """The guest, the datapath in it, and clients."""

    def __init__(self, words):
        self.millrace, self.mover, self.client = map(Path, words)
        self.stack = contextlib.ExitStack()
        self.clients = []

    def __enter__(self):
        try:
            self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-test-")))
            make_cable()
            programs = [self.millrace, self.mover]
            self.guest = self.stack.enter_context(Guest(find_machine(), self.folder, programs, "mr0"))
            self.start_host()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *reason):
        for client in self.clients:
            client.kill()
        return self.stack.__exit__(*reason)

    def start_host(self, options=""):
        self.guest.must(
            f"millrace host --port pci:{CARD}{options} --addr {SERVER}/24 --addr {SERVER6}/64 --shards {SHARDS} --cores 0-{SHARDS - 1}"
            f" --control {CONTROL} --card-rules on --balance rss --balance-moves 1000 --balance-stay 100ms"
            f" --inline name=mover,object=/bin/{self.mover.name}"
            f" --listener name=mover,alpn=echo,port={PORT},application=mover >/tmp/host.log 2>&1 & echo $! >/tmp/host.pid")
        wait_until(lambda: "applications attach to" in self.log() or self.has_ended(), START_SECONDS, "the datapath's start")
        tap.expect(not self.has_ended(), self.log())

    def log(self):
        return self.guest.must("cat /tmp/host.log")

    def has_ended(self):
        return self.guest.run("kill -0 $(cat /tmp/host.pid)")[0] != 0

    def ctl(self, *words):
        """A command's answer, from JSON."""
        return json.loads(self.guest.must(f"millrace ctl --control {CONTROL} --json {' '.join(map(str, words))}"))

    def start_client(self, count=CONNECTIONS):
        for client in self.clients:
            client.kill()  # of a test that failed
        client = Program([*WITH_US, self.client, SERVER, PORT, count], self.folder,
                         f"client{len(self.clients)}")
        self.clients.append(client)
        client.wait_for("connected")
        return client

    def conns(self):
        """The shard of each connection, by the client's port."""
        return {int(conn["remote"].rsplit(":", 1)[1]): shard for shard in range(SHARDS)
                for conn in self.ctl("conns", shard)["conns"]}

    def counter(self, name):
        return self.ctl("counters")[name]


def told(client):
    """Bytes of the connection that got the fewest, of each half of a second."""
    return [int(line.split()[1]) for line in client.log().split("\n")[:-1] if line[:1].isdigit()]


def expect_to_flow(client, seconds=30):
    """Each connection has its data echoed, from now on."""
    before = len(told(client))
    wait_until(lambda: any(told(client)[before + 1:]) or not client.is_alive(), seconds,
               "half a second with bytes on all connections")
    tap.expect(client.is_alive(), client.log())


def finish(client):
    """End its streams, which must go on so far: every byte must have come back right."""
    client.process.terminate()
    tap.expect_equal(client.wait(60), 0, client.log()[-500:])
    tap.expect("done " in client.log(), client.log()[-500:])


def is_as_hashed(spread, conns):
    """Looked at now and then: each look is four programs in a slow guest."""
    time.sleep(0.5)
    return all(shard == spread.shard(port) for port, shard in conns.items())


def expect_as_hashed(world, spread, conns):
    wrong = {port: (shard, spread.shard(port)) for port, shard in conns.items() if shard != spread.shard(port)}
    tap.expect(not wrong, f"connections by port, shard that they are on and should be: {wrong}")


# ---- tests ---------------------------------------------------------------------------------------------------------

def our_hash_is_Microsofts(_):
    for source, source_port, to, to_port, value in MICROSOFT:
        tap.expect_equal(toeplitz(MICROSOFT_KEY, tuple_of(source, source_port, to, to_port)), value, f"{source}:")


def the_port_is_the_card(world):
    wait_until(lambda: world.ctl("ports")[0]["link"] == "up", 10, "the link")
    [port] = world.ctl("ports")
    expected = {"driver": "net_e1000_igb", "mac": MAC, "queues": SHARDS, "link": "up", "mbps": 1000, "downs": 0,
                "rss": "card"}
    tap.expect_equal({name: port[name] for name in expected}, expected, "ports:")
    spread = Spread(world)
    tap.expect_equal((len(spread.key), len(spread.table), spread.over_ipv4), (40, 128, "addresses, UDP ports"), "rss:")
    tap.expect(spread.key != MICROSOFT_KEY and len(set(spread.key)) > 10, f"no random key: {spread.key.hex()}")
    tap.expect_equal(spread.symmetric, "no", "symmetric:")


SEND_NOTHING = """
import socket, sys
family, kind, _, _, to = socket.getaddrinfo(sys.argv[1], 9, type=socket.SOCK_DGRAM)[0]
socket.socket(family, kind).sendto(b"", to)
"""


def neighbours_find_it_over_both_families(world):
    """Broadcasts, and the multicasts of neighbour discovery, pass the card's filters."""
    for address in (SERVER, SERVER6):
        run(sys.executable, "-c", SEND_NOTHING, address)
        wait_until(lambda a=address: MAC in run("ip", "neigh", "show", a, "dev", "mr0"), 10, f"{address}")


def Q15_Q16_connections_are_on_the_shards_that_the_hash_says(world):
    """And none of their datagrams had to be passed on."""
    client = world.start_client()
    expect_to_flow(client)
    spread, conns = Spread(world), world.conns()
    tap.expect_equal(len(conns), CONNECTIONS, "connections:")
    expect_as_hashed(world, spread, conns)
    tap.expect_equal(set(conns.values()), set(range(SHARDS)), "shards with connections:")
    tap.expect_equal(world.counter("shard_redirected_in"), 0, "passed on:")
    tap.expect_equal(world.counter("moves_in"), 0, "moved:")


def change_table(world, *changes):
    """Slots from .. to arrive at a queue, each change a command."""
    for lo, hi, queue in changes:
        world.guest.must(f"millrace ctl --control {CONTROL} rss {lo}-{hi} {queue} >/dev/null")
    spread = Spread(world)
    tap.expect(all(spread.table[slot] == queue for lo, hi, queue in changes for slot in range(lo, hi + 1)), spread.table)
    return spread


def Q17_a_change_of_the_table_moves_connections_and_loses_none(world):
    """Half of all slots to one queue, in the midst of transfers; all to another; then each queue gets a quarter again."""
    [client] = world.clients
    for changes in ([(0, 63, 3)], [(0, 127, 1)], [(0, 31, 3), (32, 63, 2), (64, 95, 1), (96, 127, 0)]):
        spread = change_table(world, *changes)
        wait_until(lambda s=spread: is_as_hashed(s, world.conns()), 40, "connections where their datagrams arrive")
        expect_to_flow(client)
        tap.expect_equal(len(world.conns()), CONNECTIONS, "connections:")
    tap.expect_equal(set(world.conns().values()), set(range(SHARDS)), "shards with connections:")
    counters = world.ctl("counters")
    tap.expect(counters["moves_in"] > CONNECTIONS, f"{counters['moves_in']} moved")
    expected = {"moves_failed": 0, "shard_redirect_dropped": 0, "port_downs": 0}
    tap.expect_equal({name: counters[name] for name in expected}, expected, "counters:")
    finish(client)


def what_the_card_cannot_do_is_said(world):
    """Of its table, and rules for connection IDs: the 82576 compares no bytes behind UDP, and its driver says so."""
    for words, said in (("0-128 1", "there are no slots 0 to 128: the table has 0 to 127"),
                        ("9-3 1", "there are no slots 9 to 3"), ("0-3 4", "there is no queue 4: the port has 0 to 3"),
                        ("0-x 1", "0-x are no slots"), ("7", "slots and their new queue belong together"),
                        ("7 1 1", "there is no port 1")):
        status, out = world.guest.run(f"millrace ctl --control {CONTROL} rss {words}")
        tap.expect(status != 0 and said in out, f"rss {words}: {status}: {out}")
    [port] = world.ctl("ports")
    tap.expect(port["cid_rules"].startswith("refused: ") and len(port["cid_rules"]) > len("refused: "), port)
    tap.expect(f"port pci:{CARD} does not choose shards by connection ID: " in world.log(), world.log())
    print(f"# rules for connection IDs: {port['cid_rules']}")


def frame_to_server(payload, udp_checksum, ip_error=0):
    """A frame as a client's, with a checksum of UDP that may be wrong, and one of IP that is wrong by `ip_error`."""
    def fold(data):
        total = sum(struct.unpack(f"!{len(data) // 2}H", data))
        total = (total & 0xffff) + (total >> 16)
        return ~((total & 0xffff) + (total >> 16)) & 0xffff
    mac = json.loads(run("ip", "-j", "link", "show", "mr0"))[0]["address"]
    addresses = bytes(map(int, f"{CLIENT}.{SERVER}".split(".")))
    udp = struct.pack("!HHH", 5555, PORT, 8 + len(payload))
    right = fold(addresses + struct.pack("!HH", 17, 8 + len(payload)) + udp + b"\0\0" + payload)
    header = struct.pack("!BBHHHBB", 0x45, 0, 28 + len(payload), 1, 0, 64, 17)
    sum_of_ip = (fold(header + b"\0\0" + addresses) + ip_error) & 0xffff
    return (bytes.fromhex(MAC.replace(":", "") + mac.replace(":", "")) + b"\x08\x00" + header + struct.pack("!H", sum_of_ip)
            + addresses + udp + struct.pack("!H", right if udp_checksum is None else right ^ udp_checksum) + payload)


SEND_FRAMES = """
import socket, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("mr0", 0))
for frame in sys.argv[1:]:
    raw.send(bytes.fromhex(frame))
"""


def checksums_are_the_cards_work_and_bad_ones_are_counted(world):
    """Those that we send were right: the kernel's sockets took them.  Of received ones the card says what is wrong."""
    before = world.ctl("counters")
    payload = bytes(20)
    frames = [frame_to_server(payload, None)] + [frame_to_server(payload, 0x0101)] * 2 + \
             [frame_to_server(payload, None, ip_error=1)] * 3
    run(sys.executable, "-c", SEND_FRAMES, *(frame.hex() for frame in frames))
    dropped = ("net_drop_udp_checksum", "net_drop_ip_checksum")

    def counted(*names):
        now = world.ctl("counters")
        return [now[name] - before[name] for name in names]

    wait_until(lambda: sum(counted(*dropped)) >= len(frames) - 1, 30, "the frames")
    tap.expect_equal(counted(*dropped), [2, 3], f"{dropped}:")
    tap.expect(counted("net_rx_udp")[0] >= 1, "the right one was dropped, too")


def a_cable_that_is_pulled_and_plugged_in_again_ends_no_connection(world):
    client = world.start_client(12)
    expect_to_flow(client)
    world.guest.set_link(False)
    wait_until(lambda: world.ctl("ports")[0]["downs"] == 1, 30, "the link's end")
    tap.expect_equal(world.ctl("ports")[0]["link"], "no carrier", "link:")
    time.sleep(1.5)  # data are lost, and sent again, in vain
    tap.expect_equal(told(client)[-1], 0, "bytes over a cable that is pulled:")
    world.guest.set_link(True)
    wait_until(lambda: world.ctl("ports")[0]["link"] == "up", 40, "the link")
    expect_to_flow(client)
    wait_until(lambda: "is up again" in world.log(), 5, "word of it")
    tap.expect(f"port pci:{CARD} has no carrier" in world.log(), world.log())
    tap.expect_equal(world.counter("port_downs"), 1, "port_downs:")
    finish(client)
    expect_as_hashed(world, Spread(world), world.conns())


def it_ends_well_and_every_buffer_comes_back(world):
    world.guest.must("kill $(cat /tmp/host.pid)")
    wait_until(world.has_ended, 40, "the datapath's end")
    tap.expect("mbufs lost: 0" in world.log(), world.log())


def a_symmetric_key_hashes_both_directions_alike(world):
    """rss=symmetric: the 82576 has no function for it, so its key repeats two bytes; connections are where that says."""
    world.start_host(",rss=symmetric")
    client = world.start_client()
    expect_to_flow(client)
    spread, conns = Spread(world), world.conns()
    tap.expect_equal((spread.symmetric, spread.key), ("yes", spread.key[:2] * 20), "symmetric, key:")
    for port in conns:
        there, back = tuple_of(CLIENT, port, SERVER, PORT), tuple_of(SERVER, PORT, CLIENT, port)
        tap.expect_equal(toeplitz(spread.key, there), toeplitz(spread.key, back), f"port {port}:")
    tap.expect_equal(len(conns), CONNECTIONS, "connections:")
    expect_as_hashed(world, spread, conns)
    tap.expect_equal(set(conns.values()), set(range(SHARDS)), "shards with connections:")
    tap.expect_equal(world.counter("shard_redirected_in"), 0, "passed on:")
    finish(client)
    it_ends_well_and_every_buffer_comes_back(world)


def another_program_takes_the_card_and_serves_HTTP3(world):
    """A server of files on two shards, and a client of ours on the other end of the cable."""
    digest = world.guest.must("mkdir /tmp/www && head -c 1500000 /dev/urandom >/tmp/www/file && sha256sum /tmp/www/file")
    world.guest.must(f"millrace edge --port pci:{CARD} --addr {SERVER}/24 --root /tmp/www --shards 2 --cores 0-1"
                     f" --control {CONTROL} >/tmp/host.log 2>&1 & echo $! >/tmp/host.pid")
    wait_until(lambda: "edge: serving" in world.log() or world.has_ended(), START_SECONDS, "the server's start")
    [port] = world.ctl("ports")
    tap.expect_equal((port["driver"], port["queues"], port["cid_rules"]), ("net_e1000_igb", 2, "off"), "ports:")
    got = world.folder / "got"
    run(world.millrace, "get", f"https://{SERVER}/file", "--port", "af_packet:mr0", "--addr", "198.18.0.3/24",
        "--insecure", "--timeout", "40", "-o", got, seconds=90)
    tap.expect_equal(hashlib.sha256(got.read_bytes()).hexdigest(), digest.split()[0], "the file:")
    it_ends_well_and_every_buffer_comes_back(world)


TESTS = [our_hash_is_Microsofts, the_port_is_the_card, neighbours_find_it_over_both_families,
         Q15_Q16_connections_are_on_the_shards_that_the_hash_says,
         Q17_a_change_of_the_table_moves_connections_and_loses_none, what_the_card_cannot_do_is_said,
         checksums_are_the_cards_work_and_bad_ones_are_counted,
         a_cable_that_is_pulled_and_plugged_in_again_ends_no_connection,
         it_ends_well_and_every_buffer_comes_back, a_symmetric_key_hashes_both_directions_alike,
         another_program_takes_the_card_and_serves_HTTP3]


def main():
    if os.geteuid() != 0:
        raise tap.Skip("a TAP interface in a namespace needs root")
    with World(sys.argv[1:4]) as world:
        tap.run(TESTS, world)


if __name__ == "__main__":
    tap.main(main)
