"""The test cases of the public QUIC interoperability runner: files, the link, and what must be true afterwards.

A case's criteria look at `facts`, which judge.py has found on the link, and return what is wrong, in words.
"""
from dataclasses import dataclass, field

KIB = 1 << 10
MIB = 1 << 20
V1, V2 = 1, 0x6b3343cf
CHACHA20 = 0x1303
SIGNALLING = 0xff  # TLS_EMPTY_RENEGOTIATION_INFO_SCSV: no cipher suite
TRANSFER_LIMIT_S = 60
MANY_LIMIT_S = 300
CROSS_LIMIT_S = 180
ZERO_RTT_NAME = 250  # characters


@dataclass
class Case:
    name: str
    files: list                      # sizes in bytes
    check: object                    # facts -> list of complaints
    client: str = "transfer"         # what the client is asked to do,
    server: str = "transfer"         # and the server
    link: list = field(default_factory=list)
    connections: str = "one"         # "one", "two" (the second resumes the first), "each" file its own
    protocol: str = "hq"             # "h3": only HTTP/3 will do
    name_size: int = 0               # characters of a file's name; 0: short
    seconds: int = TRANSFER_LIMIT_S
    is_v6: bool = False
    chain: str = "server"            # the server's certificate
    title: str = ""                  # one line for people
    has_cross_traffic: bool = False  # a TCP flow (CUBIC) from the server's side beside it
    is_measured: bool = False        # the goodput is a result, and it is run
    repeat: int = 1                  # times
    ends_any_way: bool = False       # neither the client's exit code nor files matter


def handshakes(count):
    def check(facts):
        got = facts["handshakes"]
        return [] if got == count else [f"{got} handshakes instead of {count}"]
    return check


def only_version_1(facts):
    versions = facts["down"]["initial_versions"]
    return [] if versions == [V1] else [f"versions of the server's Initials: {[hex(v) for v in versions]}"]


def no_retry(facts):
    return ["a Retry was sent"] if facts["retries"] else []


def all_of(*checks):
    return lambda facts: [wrong for check in checks for wrong in check(facts)]


def plain(count, *more):
    """What every case asks for that is not about versions."""
    return all_of(handshakes(count), only_version_1, *more)


def two_hellos(facts):
    return [] if facts["client_hellos"] >= 2 else [f"{facts['client_hellos']} ClientHello, no second one"]


def only_chacha20(facts):
    offered = {suite for suites in facts["suites"] for suite in suites} - {SIGNALLING}
    return [] if offered == {CHACHA20} else [f"the client offers {sorted(map(hex, offered))}"]


def at_most_1000_streams(facts):
    wrong = [c["streams_bidi"] for c in facts["connections"] if c["streams_bidi"] is None or c["streams_bidi"] > 1000]
    return [f"initial_max_streams_bidi {wrong}"] if wrong else []


def retried(facts):
    if not facts["retries"]:
        return ["no Retry"]
    return [word for word in ("has_token", "token_returned", "numbers_go_on") if not facts[word]]


def resumed(facts):
    certificates = [c["has_certificate"] for c in facts["connections"] if c["server_messages"]]
    return [] if certificates == [True, False] else [f"Certificate sent, by connection: {certificates}"]


def early(facts):
    """The upper bound is that of the runner: half of what the requests take."""
    sent, bound = facts["up"]["one_rtt_payload"], ZERO_RTT_NAME * 40 // 2
    wrong = [] if facts["up"]["zero_rtt"] else ["no 0-RTT packet"]
    return wrong + ([f"{sent} bytes of the client in 1-RTT packets, over {bound}"] if sent > bound else [])


def keys_updated(facts):
    return [f"{side} sent no packet of key phase 1" for side, name in (("the client", "up"), ("the server", "down"))
            if 1 not in facts[name]["phases"]]


def marked(facts):
    wrong = []
    for side, name in (("client", "up"), ("server", "down")):
        _, ect1, ect0, ce = facts[name]["ecn"]
        if not ect0 + ect1:
            wrong.append(f"the {side} marks nothing")
        if ce:
            wrong.append(f"{ce} CE marks of the {side}")
        if not facts[name]["ack_ecn"]:
            wrong.append(f"the {side} sends no ACK with ECN counts")
    return wrong


def not_amplified(facts):
    wrong = [] if facts["crypto_end"] >= 7500 else [f"the server's CRYPTO ends at {facts['crypto_end']}, below 7500"]
    return wrong + ([f"the server sent {facts['amplification']} times what it got"] if facts["amplification"] >= 4 else [])


def only_v6(facts):
    return [] if facts["ip_versions"] == [6] else [f"IP versions {facts['ip_versions']}"]


def version_2(facts):
    wrong = [] if facts["up"]["first_initial_version"] == V1 else ["the client does not begin with version 1"]
    for side, name in (("client", "up"), ("server", "down")):
        if facts[name]["handshake_versions"] != [V2]:
            wrong.append(f"the {side}'s Handshake packets: {[hex(v) for v in facts[name]['handshake_versions']]}")
    return wrong


def paths_validated(facts):
    """As the public runner asks: the server's first packet on each new path has a PATH_CHALLENGE, and each is answered."""
    paths = [path for path in facts["paths"] if path["first_down"] is not None]  # others: nothing was sent there in time
    wrong = [] if len(paths) > 1 else ["only one path"]
    for number, path in enumerate(paths[1:], 2):
        if not path["first_down"]:
            wrong.append(f"path {number}: the server's first packet has no PATH_CHALLENGE")
        elif not path["answered"]:
            wrong.append(f"path {number}: the PATH_CHALLENGE was not answered")
    return wrong


def several_addresses(facts):
    return [] if len({tuple(p["client"])[0] for p in facts["paths"]}) > 1 else ["only one address of the client"]


def migrated(facts):
    paths = [path for path in facts["paths"] if path["dcids"] or path["first_down"] is not None]
    servers = {p["server"][0] + str(p["server"][1]) for p in paths if p["dcids"]}
    wrong = [] if len(servers) > 1 else ["the client stays with the server's first address"]
    if len(paths) > 1 and set(paths[0]["dcids"]) & set(paths[-1]["dcids"]):
        wrong.append("the new path has a connection ID of the old one")
    return wrong


def negotiated(facts):
    """Nothing else is asked for: many clients give up then."""
    return [] if facts["negotiation_answers"] else \
        [f"{facts['negotiations']} Version Negotiation packets, none with the client's connection IDs"]


def goodput(facts, size):
    """kbit/s"""
    return 8 * size / 1000 / facts["one_rtt_seconds"] if facts["one_rtt_seconds"] else 0


BAD = ["--burst", "3"]
REBIND = ["--rebind-first", "1", "--rebind-every", "5"]

CASES = [
    Case("handshake", [KIB], plain(1, no_retry), client="handshake", server="handshake",
         title="one connection, a small file, no Retry"),
    Case("transfer", [2 * MIB, 3 * MIB, 5 * MIB], plain(1), title="flow control and stream multiplexing over 10 MB"),
    Case("longrtt", [KIB], plain(1, two_hellos), client="handshake", server="handshake", link=["--delay", "750"],
         title="a round trip of 1.5 s: the ClientHello is sent again"),
    Case("chacha20", [3 * MIB], plain(1, only_chacha20), client="chacha20", server="chacha20",
         title="the client offers ChaCha20-Poly1305 only"),
    Case("multiplexing", [32] * 1999, plain(1, at_most_1000_streams), title="1999 small files over one connection"),
    Case("retry", [10 * KIB], plain(1, retried), client="retry", server="retry",
         title="the server validates the address with a Retry"),
    Case("resumption", [5 * KIB, 10 * KIB], plain(2, resumed), client="resumption", server="resumption",
         connections="two", title="the second connection resumes the first one's session"),
    Case("zerortt", [32] * 40, plain(2, early), client="zerortt", server="zerortt", connections="two",
         name_size=ZERO_RTT_NAME, title="the second connection's requests are 0-RTT data"),
    Case("http3", [5 * KIB, 10 * KIB, 500 * KIB], plain(1), client="http3", server="http3", protocol="h3",
         title="three files over HTTP/3"),
    Case("blackhole", [10 * MIB], plain(1), link=["--on", "5", "--off", "2"],
         title="nothing gets through for 2 s after each 5 s"),
    Case("keyupdate", [3 * MIB], plain(1, keys_updated), client="keyupdate", title="the client updates the keys"),
    Case("ecn", [100 * KIB], plain(1, marked), client="ecn", server="ecn", title="both sides mark packets and count marks"),
    Case("amplificationlimit", [5 * KIB], plain(1, not_amplified), link=["--drop-to-server", "2,3,4,5,6,7"], chain="chain",
         title="a chain of 9 certificates, the client's 2nd to 7th packets lost"),
    Case("handshakeloss", [KIB] * 50, plain(50), client="multiconnect", server="multiconnect",
         link=["--loss", "30", *BAD], connections="each", seconds=MANY_LIMIT_S,
         title="50 connections with 30 % loss each way"),
    Case("handshakecorruption", [KIB] * 50, plain(50), client="multiconnect", server="multiconnect",
         link=["--corrupt", "30", *BAD], connections="each", seconds=MANY_LIMIT_S,
         title="50 connections with 30 % of the packets corrupted"),
    Case("transferloss", [2 * MIB], plain(1), link=["--loss", "2", *BAD], title="2 % loss each way"),
    Case("transfercorruption", [2 * MIB], plain(1), link=["--corrupt", "2", *BAD], title="2 % of the packets corrupted"),
    Case("ipv6", [5 * KIB, 10 * KIB], plain(1, only_v6), is_v6=True, title="over IPv6"),
    Case("v2", [KIB], all_of(handshakes(1), version_2), client="v2", server="v2",
         title="the client begins with QUIC version 1, both go on with version 2"),
    Case("rebind-port", [10 * MIB], plain(1, paths_validated), link=["--rebind", "port", *REBIND],
         title="a NAT gives the client another port each 5 s"),
    Case("rebind-addr", [10 * MIB], plain(1, paths_validated, several_addresses), link=["--rebind", "address", *REBIND],
         title="a NAT gives the client another address each 5 s"),
    Case("connectionmigration", [2 * MIB], plain(1, migrated, paths_validated), server="connectionmigration",
         title="the client moves to the server's preferred address"),
    Case("versionnegotiation", [KIB], negotiated, client="versionnegotiation", server="versionnegotiation", ends_any_way=True,
         title="the client begins with a version that the server does not have"),
    Case("goodput", [10 * MIB], plain(1), is_measured=True, repeat=5, title="10 MB as fast as the link allows"),
    Case("crosstraffic", [25 * MIB], plain(1), is_measured=True, repeat=5, has_cross_traffic=True, link=["--cross"],
         seconds=CROSS_LIMIT_S, title="25 MB beside a TCP flow (CUBIC) that takes what it can get of the same link"),
]

BY_NAME = {case.name: case for case in CASES}
