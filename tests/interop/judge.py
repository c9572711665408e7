"""What went over a link, from its captures and a key log: facts for the cases' criteria, as JSON.  Runs in the peers' tree.

    judge.py PREFIX KEYLOG...        PREFIX.client.pcap and PREFIX.server.pcap, as tests/interop/link writes them

The cryptography and the headers are aioquic's, so that what is found does not depend on the code under test.
"""
import json
import struct
import sys
from pathlib import Path

from aioquic.buffer import Buffer, BufferReadError
from aioquic.quic.crypto import CryptoContext, CryptoPair, apply_key_phase, next_key_phase
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from aioquic.tls import CipherSuite

PORTS = {443, 4443}  # of servers: the second is the preferred one of interop/run_endpoint.sh
CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE = 1, 2, 8, 11
PARAMETERS = 0x39
STREAMS_BIDI = 0x08
PREFERRED_ADDRESS, PREFERRED_CID = 0x0d, 24  # where its connection ID begins, with its size
FIXED_BIT = 0x40
LABELS = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET": ("handshake", True), "SERVER_HANDSHAKE_TRAFFIC_SECRET": ("handshake", False),
          "CLIENT_TRAFFIC_SECRET_0": ("app", True), "SERVER_TRAFFIC_SECRET_0": ("app", False),
          "CLIENT_EARLY_TRAFFIC_SECRET": ("early", True)}
# Fields behind a frame's type: v a varint, b a byte string with its length, 8 and t that many bytes (t: 16).
FRAMES = {0x01: "", 0x04: "vvv", 0x05: "vv", 0x07: "b", 0x10: "v", 0x11: "vv", 0x12: "v", 0x13: "v", 0x14: "v",
          0x15: "vv", 0x16: "v", 0x17: "v", 0x19: "v", 0x1a: "8", 0x1b: "8", 0x1c: "vvb", 0x1d: "vb", 0x1e: ""}
PATH_CHALLENGE, PATH_RESPONSE, ACK_ECN = 0x1a, 0x1b, 0x03


# ---- captures


def read_pcap(path):
    """(seconds, frame) of each, in the order of the file."""
    data = Path(path).read_bytes()
    at = 24
    while at + 16 <= len(data):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", data, at)
        at += 16
        yield seconds + nanoseconds / 1e9, data[at:at + size]
        at += size


class Datagram:
    """UDP of a frame: `is_up` from the client to the server."""

    def __init__(self, when, version, ecn, source, target, payload):
        self.when, self.version, self.ecn, self.payload = when, version, ecn, payload
        self.is_up = target[1] in PORTS
        self.client = source if self.is_up else target
        self.server = target if self.is_up else source


def parse_frame(when, frame):
    """The datagram in a frame, or None."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and len(frame) >= 42 and frame[23] == 17:
        ip, udp, version, ecn = frame[26:30].hex(), 14 + 4 * (frame[14] & 15), 4, frame[15] & 3
        target = frame[30:34].hex()
    elif kind == b"\x86\xdd" and len(frame) >= 62 and frame[20] == 17:
        ip, udp, version, ecn = frame[22:38].hex(), 54, 6, frame[15] >> 4 & 3
        target = frame[38:54].hex()
    else:
        return None
    ports = struct.unpack_from(">HHH", frame, udp)
    if not PORTS & set(ports[:2]):
        return None
    return Datagram(when, version, ecn, (ip, ports[0]), (target, ports[1]), frame[udp + 8:udp + ports[2]])


def datagrams(path):
    return [d for d in (parse_frame(*entry) for entry in read_pcap(path)) if d is not None and d.payload]


# ---- keys


def read_keylogs(paths):
    """random -> {(space, is_client): secret}"""
    secrets = {}
    for path in paths:
        for line in Path(path).read_text(errors="replace").splitlines() if Path(path).exists() else []:
            words = line.split()
            if len(words) == 3 and words[0] in LABELS:
                secrets.setdefault(words[1], {})[LABELS[words[0]]] = bytes.fromhex(words[2])
    return secrets


class Opener:
    """Opens the packets of one direction and space; the keys are tried until they fit."""

    def __init__(self, secret, version, suite):
        self.context = CryptoContext()
        self.context.setup(cipher_suite=suite, secret=secret, version=version)
        self.before = None
        self.largest = -1
        self.phases = set()

    def open(self, packet, offset):
        for context in filter(None, (self.context, self.before)):
            try:
                header, payload, number, is_update = context.decrypt_packet(packet, offset, self.largest + 1)
            except Exception:  # noqa: BLE001 - not this key's, or corrupted
                continue
            if not header[0] & 0x80:
                self.phases.add(header[0] >> 2 & 1)
            if is_update and context is self.context:
                self.before = CryptoContext(key_phase=self.context.key_phase)
                self.before.setup(cipher_suite=self.context.cipher_suite, secret=self.context.secret,
                                  version=self.context.version)
                self.before.hp = self.context.hp
                apply_key_phase(self.context, next_key_phase(self.context), "")
            self.largest = max(self.largest, number)
            return payload, number
        return None


def suite_of(secret_size, hello_suite):
    return CipherSuite(hello_suite) if hello_suite else \
        CipherSuite.AES_256_GCM_SHA384 if secret_size == 48 else CipherSuite.AES_128_GCM_SHA256


# ---- frames


def varint(buf):
    return buf.pull_uint_var()


def frames(payload):
    """(type, value) of each frame; value is CRYPTO's (offset, data), or the bytes of challenges and new IDs."""
    buf = Buffer(data=payload)
    while not buf.eof():
        kind = varint(buf)
        value = None
        if kind == 0:
            continue
        if kind in (2, 3):
            varint(buf), varint(buf)
            for _ in range(2 * varint(buf) + 1 + (3 if kind == 3 else 0)):
                varint(buf)
        elif kind == 0x06:
            offset, size = varint(buf), varint(buf)
            value = (offset, buf.pull_bytes(size))
        elif 0x08 <= kind <= 0x0f:
            varint(buf)
            if kind & 4:
                varint(buf)
            buf.pull_bytes(varint(buf) if kind & 2 else buf.capacity - buf.tell())
        elif kind == 0x18:
            varint(buf), varint(buf)
            value = buf.pull_bytes(buf.pull_uint8())
            buf.pull_bytes(16)
        elif kind in (0x30, 0x31):
            buf.pull_bytes(varint(buf) if kind & 1 else buf.capacity - buf.tell())
        elif kind in FRAMES:
            for field in FRAMES[kind]:
                value = varint(buf) if field == "v" else buf.pull_bytes(varint(buf) if field == "b" else 8)
        else:
            yield kind, None
            return  # an extension: what follows cannot be told apart
        yield kind, value


def messages(stream):
    """(type, body) of the TLS messages at the beginning of {offset: bytes}."""
    data, end = bytearray(), 0
    for offset in sorted(stream):
        piece = stream[offset]
        if offset > end:
            break
        if offset + len(piece) > end:
            data += piece[end - offset:]
            end = offset + len(piece)
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        if at + 4 + size > len(data):
            return
        yield data[at], bytes(data[at + 4:at + 4 + size])
        at += 4 + size


def suites_of_client(hello):
    at = 35 + hello[34]
    count = int.from_bytes(hello[at:at + 2], "big")
    return [int.from_bytes(hello[at + 2 + i:at + 4 + i], "big") for i in range(0, count, 2)]


def suite_of_server(hello):
    at = 35 + hello[34]
    return int.from_bytes(hello[at:at + 2], "big")


def parameters(extensions):
    """{id: bytes} of the transport parameters in EncryptedExtensions."""
    at, found = 2, {}
    while at + 4 <= len(extensions):
        kind, size = struct.unpack_from(">HH", extensions, at)
        if kind == PARAMETERS:
            buf = Buffer(data=extensions[at + 4:at + 4 + size])
            while not buf.eof():
                name = varint(buf)
                found[name] = buf.pull_bytes(varint(buf))
        at += 4 + size
    return found


# ---- connections


class Connection:
    """All that is known of one, by the DCID of its first Initial."""

    def __init__(self, dcid, secrets):
        self.dcids = {dcid}      # what Initial keys may come from
        self.secrets = secrets   # of all connections
        self.random = None
        self.suite = None
        self.client_cids, self.server_cids = set(), {dcid}
        self.cid_size = {True: len(dcid), False: 0}  # of packets up and down
        self.openers = {}
        self.crypto = {}         # (space, is_up) -> {offset: bytes}
        self.initial_pairs = {}

    def initial(self, packet, offset, is_up, version, number_hint=0):
        for dcid in self.dcids:
            pair = self.initial_pairs.get((dcid, version))
            if pair is None:
                pair = CryptoPair()
                pair.setup_initial(dcid, is_client=False, version=version)
                self.initial_pairs[dcid, version] = pair
            context = pair.recv if is_up else pair.send
            try:
                _, payload, number, _ = context.decrypt_packet(packet, offset, number_hint)
                return payload, number
            except Exception:  # noqa: BLE001
                continue
        return None

    def opener(self, space, is_up, version):
        key = (space, is_up, version)
        if key not in self.openers:
            secret = self.secrets.get(self.random, {}).get((space, is_up))
            if secret is None:
                return None
            self.openers[key] = Opener(secret, version, suite_of(len(secret), self.suite))
        return self.openers[key]

    def learn(self, space, is_up, offset, data):
        self.crypto.setdefault((space, is_up), {})[offset] = data
        if space == "initial":
            for kind, body in messages(self.crypto[space, is_up]):
                if kind == CLIENT_HELLO and is_up:
                    self.random = body[2:34].hex()
                elif kind == SERVER_HELLO:
                    self.suite = suite_of_server(body)
        elif not is_up:
            for kind, body in messages(self.crypto[space, is_up]):
                preferred = parameters(body).get(PREFERRED_ADDRESS) if kind == ENCRYPTED_EXTENSIONS else None
                if preferred:
                    self.server_cids.add(preferred[PREFERRED_CID + 1:PREFERRED_CID + 1 + preferred[PREFERRED_CID]])

    def messages(self, space, is_up):
        return list(messages(self.crypto.get((space, is_up), {})))


class Trace:
    """The packets of one capture, opened as far as there are keys."""

    def __init__(self, path, secrets):
        self.datagrams = datagrams(path)
        self.secrets = secrets
        self.connections = []
        self.packets = []  # dicts
        self.tuples = {}   # client address -> connection
        for number, datagram in enumerate(self.datagrams):
            self.take(number, datagram)

    def find(self, datagram, header):
        dcid = header.destination_cid
        for connection in reversed(self.connections):
            known = connection.server_cids if datagram.is_up else connection.client_cids
            if dcid in known and (dcid or self.tuples.get(datagram.client) is connection):
                return connection
        if datagram.client in self.tuples and header.packet_type != QuicPacketType.INITIAL:
            return self.tuples[datagram.client]
        if header.packet_type in (QuicPacketType.INITIAL, QuicPacketType.ZERO_RTT) and datagram.is_up:
            self.connections.append(Connection(dcid, self.secrets))
            return self.connections[-1]
        return self.tuples.get(datagram.client)

    def short_header(self, datagram, rest):
        """(connection, size of the DCID) of a packet with a short header."""
        for connection in reversed(self.connections):
            for cid in connection.server_cids if datagram.is_up else connection.client_cids:
                if cid and rest[1:1 + len(cid)] == cid:
                    return connection, len(cid)
        connection = self.tuples.get(datagram.client)
        if connection is None:
            return None, 0
        return connection, connection.cid_size[datagram.is_up]

    def take(self, number, datagram):
        rest = datagram.payload
        while rest:
            try:
                size = self.take_packet(number, datagram, rest)
            except (ValueError, BufferReadError, KeyError, IndexError):
                return
            rest = rest[size:]

    def take_packet(self, number, datagram, rest):
        buf = Buffer(data=bytes([rest[0] | FIXED_BIT]) + rest[1:])  # it may be greased (RFC 9287)
        if rest[0] & 0x80:
            header = pull_quic_header(buf)
            connection = self.find(datagram, header)
            end = header.packet_length
        else:
            connection, cid_size = self.short_header(datagram, rest)
            header = pull_quic_header(buf, host_cid_length=cid_size)
            end = len(rest)
        packet = {"datagram": number, "when": datagram.when, "is_up": datagram.is_up, "type": header.packet_type.name,
                  "version": header.version, "size": end, "client": datagram.client, "server": datagram.server,
                  "dcid": header.destination_cid, "scid": header.source_cid, "token": header.token, "connection": connection,
                  "frames": [], "number": None, "payload": 0}
        self.packets.append(packet)
        if connection is None:
            return end
        self.tuples[datagram.client] = connection
        self.note_ids(connection, packet)
        self.open(connection, packet, rest[:end], buf.tell())
        return end

    def note_ids(self, connection, packet):
        if packet["type"] == "ONE_RTT":
            return
        (connection.client_cids if packet["is_up"] else connection.server_cids).add(packet["scid"])
        connection.cid_size[not packet["is_up"]] = len(packet["scid"])
        if packet["is_up"]:
            connection.server_cids.add(packet["dcid"])
            if packet["type"] == "INITIAL" and len(connection.dcids) < 3:
                connection.dcids.add(packet["dcid"])
        elif packet["type"] == "RETRY":
            connection.dcids.add(packet["scid"])

    def open(self, connection, packet, data, offset):
        kind, is_up = packet["type"], packet["is_up"]
        opened = None
        if kind == "INITIAL":
            opened = connection.initial(data, offset, is_up, packet["version"])
        elif kind in ("HANDSHAKE", "ZERO_RTT"):
            space = "handshake" if kind == "HANDSHAKE" else "early"
            opener = connection.opener(space, is_up, packet["version"])
            opened = opener and opener.open(data, offset)
        elif kind == "ONE_RTT":
            for version in (1, 0x6b3343cf):
                opener = connection.opener("app", is_up, version)
                opened = opener and opener.open(data, offset)
                if opened:
                    break
                if opener and opener.largest < 0:
                    del connection.openers["app", is_up, version]
        if not opened:
            return
        payload, packet["number"] = opened
        packet["payload"] = len(payload)
        for frame, value in frames(payload):
            packet["frames"].append((frame, value))
            if frame == 0x06 and kind in ("INITIAL", "HANDSHAKE"):
                connection.learn("initial" if kind == "INITIAL" else "handshake", is_up, *value)
            elif frame == 0x18:
                (connection.client_cids if is_up else connection.server_cids).add(value)


# ---- facts


def of(trace, kind=None, is_up=None):
    return [p for p in trace.packets if (kind is None or p["type"] == kind) and (is_up is None or p["is_up"] == is_up)]


def has_frame(packet, kind):
    return any(frame == kind for frame, _ in packet["frames"])


def retry_facts(client):
    retries = of(client, "RETRY")
    if not retries:
        return {"retries": 0}
    token, when = retries[0]["token"], retries[0]["when"]
    before = [p["number"] for p in of(client, "INITIAL", True) if p["when"] < when and p["number"] is not None]
    after = [p["number"] for p in of(client, "INITIAL", True) if p["token"] == token and p["number"] is not None]
    return {"retries": len(retries), "has_token": bool(token), "token_returned": bool(after),
            "numbers_go_on": bool(before and after) and min(after) > max(before)}


def hello_facts(client):
    """`client_hellos`: as the public runner counts, the ClientHello and each packet that repeats a part of it."""
    hellos, suites, ends = 0, [], {}
    for packet in of(client, "INITIAL", True):
        pieces = [value for frame, value in packet["frames"] if frame == 0x06 and value[1]]
        end = ends.get(packet["connection"], 0)
        repeats = any(offset < end for offset, _ in pieces)
        hellos += repeats or any(offset == 0 for offset, _ in pieces)
        ends[packet["connection"]] = max([end] + [offset + len(data) for offset, data in pieces])
    for connection in client.connections:
        for kind, body in connection.messages("initial", True):
            if kind == CLIENT_HELLO:
                suites.append(suites_of_client(body))
    return {"client_hellos": hellos, "suites": suites}


def connection_facts(trace):
    facts = []
    for connection in trace.connections:
        kinds = [kind for kind, _ in connection.messages("handshake", False)]
        found = {}
        for kind, body in connection.messages("handshake", False):
            if kind == ENCRYPTED_EXTENSIONS:
                found = parameters(body)
        streams = Buffer(data=found[STREAMS_BIDI]).pull_uint_var() if STREAMS_BIDI in found else None
        facts.append({"server_messages": kinds, "has_certificate": CERTIFICATE in kinds, "streams_bidi": streams})
    return facts


def amplification_facts(server):
    """Until the client's first Handshake packet arrives: bytes each side has sent, as the server sees it."""
    handshakes = [p["when"] for p in of(server, "HANDSHAKE", True)]
    until = min(handshakes, default=float("inf"))
    up = down = 0
    worst = 0.0
    for datagram in server.datagrams:
        if datagram.when >= until:
            break
        if datagram.is_up:
            up += len(datagram.payload)
        else:
            down += len(datagram.payload)
            worst = max(worst, down / up if up else 99)
    offsets = [value[0] + len(value[1]) for p in server.packets if not p["is_up"] and p["type"] in ("INITIAL", "HANDSHAKE")
               for frame, value in p["frames"] if frame == 0x06]
    return {"amplification": round(worst, 2), "crypto_end": max(offsets, default=0)}


def negotiation_facts(client):
    """Version Negotiation packets, and whether they answer the client's first Initial."""
    first = next((p for p in client.packets if p["is_up"]), None)
    answers = [p for p in client.packets if p["type"] == "VERSION_NEGOTIATION" and not p["is_up"]]
    return {"negotiations": len(answers),
            "negotiation_answers": any(p["scid"] == first["dcid"] and p["dcid"] == first["scid"] for p in answers)}


def goodput_facts(client):
    """Between the server's first and last 1-RTT packet, as the client sees them."""
    times = [p["when"] for p in of(client, "ONE_RTT", False)]
    return {"one_rtt_seconds": max(times) - min(times) if times else 0}


def path_facts(client, server):
    """The client's addresses as the server sees them, and what validates each new one.

    A path is answered if the first of its challenges that arrived at the client is: the link's queue may have had no room for
    one before it."""
    responses = {value.hex() for p in of(client, "ONE_RTT", True) for frame, value in p["frames"] if frame == PATH_RESPONSE}
    arrived = {value.hex() for p in of(client, "ONE_RTT", False) for frame, value in p["frames"] if frame == PATH_CHALLENGE}
    paths, order = {}, []
    for packet in server.packets:
        key = (packet["client"], packet["server"])
        if key not in paths:
            paths[key] = {"client": list(key[0]), "server": list(key[1]), "first_down": None,
                          "challenges": [], "answered": False, "dcids": set()}
            order.append(key)
        path = paths[key]
        if not packet["is_up"]:
            challenges = [value.hex() for frame, value in packet["frames"] if frame == PATH_CHALLENGE]
            if path["first_down"] is None and packet["type"] == "ONE_RTT":
                path["first_down"] = bool(challenges)
            path["challenges"] += challenges
        elif packet["type"] == "ONE_RTT":
            path["dcids"].add(packet["dcid"].hex())
    for path in paths.values():
        path["answered"] = next((challenge in responses for challenge in path["challenges"] if challenge in arrived), False)
        path["dcids"] = sorted(path["dcids"])
    return {"paths": [paths[key] for key in order]}


def direction_facts(trace, is_up):
    short = of(trace, "ONE_RTT", is_up)
    phases = set()
    for connection in trace.connections:
        for (space, up, _), opener in connection.openers.items():
            if space == "app" and up == is_up:
                phases |= opener.phases
    marks = [0, 0, 0, 0]
    for datagram in trace.datagrams:
        if datagram.is_up == is_up:
            marks[datagram.ecn] += 1
    return {
        "one_rtt": len(short), "one_rtt_payload": sum(p["payload"] for p in short),
        "opened": sum(p["number"] is not None for p in short), "phases": sorted(phases),
        "zero_rtt": len(of(trace, "ZERO_RTT", is_up)), "zero_rtt_bytes": sum(p["size"] for p in of(trace, "ZERO_RTT", is_up)),
        "handshake_versions": sorted({p["version"] for p in of(trace, "HANDSHAKE", is_up)}),
        "initial_versions": sorted({p["version"] for p in of(trace, "INITIAL", is_up)}),
        "first_initial_version": next((p["version"] for p in of(trace, "INITIAL", is_up)), None),
        "ecn": marks, "ack_ecn": sum(has_frame(p, ACK_ECN) for p in trace.packets if p["is_up"] == is_up),
        "datagrams": sum(d.is_up == is_up for d in trace.datagrams),
    }


def main(prefix, *keylogs):
    secrets = read_keylogs(keylogs)
    client = Trace(f"{prefix}.client.pcap", secrets)
    server = Trace(f"{prefix}.server.pcap", secrets)
    print(json.dumps({
        **retry_facts(client), **hello_facts(client), **amplification_facts(server), **path_facts(client, server),
        **negotiation_facts(client), **goodput_facts(client),
        "connections": connection_facts(client),
        "handshakes": len({p["scid"] for p in of(server, "INITIAL", False)}),
        "ip_versions": sorted({d.version for d in server.datagrams}),
        "up": direction_facts(client, True), "down": direction_facts(server, False),
    }))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
