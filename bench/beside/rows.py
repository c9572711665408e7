"""The rows: servers, how each is started, and who loads it.

Each measurement has a server of its own, started anew, on the server's CPU; the client is on the other.

    goodput, requests   millrace perf   `millrace perf client`, which polls and says how busy it was
                        HTTP/3          ngtcp2's client, one connection; a second run with one small file is what starting it
                                        and connecting take, and is subtracted
                        HTTP/0.9        the implementation's own client, likewise
                        TLS over TCP    h2load: one connection for bulk, 64 for requests
    handshakes          QUIC            `millrace perf client --op connect --alpn ...`, the same for all
                        TLS over TCP    four `openssl s_time -new`
    idle connections    QUIC            `millrace perf client --connections N`
                        TLS over TCP    hold_tls.py
"""
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from figures import GOODPUT, HANDSHAKES, IDLE, REQUESTS, Load, Memory, h2load_figures, perf_load, s_time_figures, worked_seconds
from world import CpuClock, client_ip, family, memory_bytes, pair_of, server_ip

import implementations
from peers import wait_until, write_random_file

BULK, PIECE, SMALL = "bulk", "piece", "small"
SIZES = {BULK: 16 << 20, PIECE: 1 << 20, SMALL: 4000}  # bytes
START_SECONDS = 30
CLIENT_SECONDS = 60       # at most, beyond what was asked for
SETTLE_SECONDS = 0.5      # from the last handshake until memory is read
SMALLEST_S = 0.02         # what a timed fetch is taken to last at least
GNUTLS_AES128 = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"
AES128 = "TLS_AES_128_GCM_SHA256"
UP_BYTES = 512            # of a request of millrace perf
HANDSHAKES_AT_ONCE = 16
REQUEST_CONNECTIONS = 64
S_TIME_PROGRAMS = 4
QUIC_STREAMS = 100        # requests at a time on a connection of HTTP/3: most servers allow no more


class NotMeasured(Exception):
    """The reason why a cell stays empty."""


def make_files(folder):
    for name, size in SIZES.items():
        write_random_file(folder / name, size)


def _say(process, text, seconds, what):
    """Wait until the process has printed `text`."""
    wait_until(lambda: text in process.log() or not process.is_running(), seconds, what)
    if text not in process.log():
        raise NotMeasured(f"{what}: it ended: {process.log().strip()[-200:]}")


def _weigh(bench, server, count, word, command):
    """What the server's memory grows by while a client, which says `word` when they are there, holds so many connections."""
    before = memory_bytes(family(server.child.pid))
    client = bench.start("c", command)
    try:
        _say(client, word, CLIENT_SECONDS, f"{count} connections")
        time.sleep(SETTLE_SECONDS)
        after = memory_bytes(family(server.child.pid))
    finally:
        client.kill()
    return Memory(count, before, after)


def _children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_client(bench, command, is_peer, seconds):
    """(what it printed, seconds it took, its CPU seconds)."""
    before, began = _children_s(), time.monotonic()
    client = bench.start("c", command, is_peer)
    status = client.wait(seconds + CLIENT_SECONDS)
    took, used = time.monotonic() - began, _children_s() - before
    if status != 0:
        raise NotMeasured(f"{Path(str(command[0])).name} failed ({status}): {client.log().strip()[-200:]}")
    return client.log(), took, used


class Row:
    """One server over one transport."""
    name = ""        # for --only
    title = ""
    transport = ""
    clients = ""
    needs_namespace = True
    needs_tree = True
    lacks = {}       # cell -> why it stays empty
    alpn = "h3"
    idle_max = 1 << 30
    is_polling = False

    def missing(self, bench):
        """Why it cannot be measured here; None: it can."""
        if self.needs_namespace and bench.no_world:
            return bench.no_world
        return bench.no_tree if self.needs_tree else None

    def version(self, _bench):
        return ""

    def start(self, bench):
        """Start the server, return its process when it is ready."""
        raise NotImplementedError

    def measure(self, bench, cell, options):
        """Load, Memory or the reason why there is none."""
        if cell in self.lacks:
            return self.lacks[cell]
        try:
            server = self.start(bench)
            try:
                outcome = getattr(self, f"measure_{cell}")(bench, server, options)
            finally:
                server.stop()
        except (NotMeasured, AssertionError, ValueError) as reason:
            return " ".join(str(reason).split())[:300]
        if self.is_polling and isinstance(outcome, Load):
            outcome.busy_s = worked_seconds(server.log())
        return outcome

    # ---- with millrace's own client

    def quic_client_options(self, bench):
        """Where the server is and from where `millrace perf client` loads it."""
        pair = pair_of(False, not self.is_polling)
        return [f"{server_ip(pair)}:443", "--port", f"af_packet:c{pair}", "--addr", f"{client_ip(pair)}/24"]

    def perf_client(self, bench, *words):
        protocol = ["--alpn", self.alpn] if self.alpn != "perf" else []
        return [bench.millrace, "perf", "client", *self.quic_client_options(bench), "--insecure", "--name", "millrace.test",
                *protocol, "--cores", bench.client_cpu, *words]

    def perf_run(self, bench, server, options, *words):
        clock = CpuClock(bench)
        clock.begin(server.child.pid)
        text, _, client_s = run_client(bench, self.perf_client(
            bench, "--warm-up", "0", "--duration", options.seconds, "--json", *words), False, options.seconds)
        server_s, others = clock.end(client_s)
        load = perf_load(text[text.index("{"):], server_s)
        load.others_share = others
        return load

    def measure_handshakes(self, bench, server, options):
        return self.perf_run(bench, server, options, "--op", "connect", "--streams", HANDSHAKES_AT_ONCE)

    def measure_idle(self, bench, server, options):
        count = min(options.idle, self.idle_max)
        run_client(bench, self.perf_client(bench, "--op", "connect", "--warm-up", "0", "--duration", "0.1"), False, 1)
        return _weigh(bench, server, count, "measuring", self.perf_client(
            bench, "--connections", count, "--connecting", "8", "--op", "connect", "--rate", "1", "--warm-up", "0", "--duration",
            "120", "--timeout", "20"))


class MillracePerf(Row):
    """Both ends millrace, the QUIC performance protocol."""
    needs_tree = False
    alpn = "perf"
    is_polling = True
    clients = "millrace perf client"

    def __init__(self, transport):
        self.transport = transport
        self.name = f"millrace-{transport}"
        self.title = "millrace perf"
        self.needs_namespace = transport != "memif"

    def version(self, bench):
        return bench.version

    def quic_client_options(self, bench):
        if self.transport == "memif":
            return [f"{server_ip(0)}:443", "--port", f"memif:role=client,socket={bench.folder}/memif", "--addr",
                    f"{client_ip(0)}/24"]
        return [option.replace("af_packet:", f"{self.transport}:") for option in super().quic_client_options(bench)]

    def start(self, bench):
        pair = pair_of(False, False)
        port, address = f"{self.transport}:s{pair}", server_ip(pair)
        if self.transport == "memif":
            port, address = f"memif:role=server,socket={bench.folder}/memif", server_ip(0)
            (bench.folder / "memif").unlink(missing_ok=True)
        server = bench.start("s", [bench.millrace, "perf", "server", "--port", port, "--addr", f"{address}/24", "--listen-port",
                                   "443", "--hugepages", "off", "--cores", bench.server_cpu, *certificate(bench)])
        _say(server, "serving at", START_SECONDS, "millrace perf server")
        return server

    def measure_goodput(self, bench, server, options):
        return self.perf_run(bench, server, options, "--op", "down=endless")

    def measure_requests(self, bench, server, options):
        return self.perf_run(bench, server, options, "--op", f"up={UP_BYTES},down={SIZES[SMALL]}", "--connections",
                             REQUEST_CONNECTIONS, "--streams", "2")


def certificate(bench):
    """As the peers have it; without a world one that the server makes."""
    return ["--cert", bench.folder / "server.pem", "--key", bench.folder / "server.key"] if bench.world else []


class Fetched(Row):
    """A server of files, with a client that fetches some of them and ends."""
    bulk = BULK
    many_max = 1 << 20      # files of one run
    client_is_peer = True

    def fetch(self, bench, name, count):
        """The client's command."""
        raise NotImplementedError

    def _timed(self, bench, name, count):
        _, took, used = run_client(bench, self.fetch(bench, name, count), True, 0)
        return took, used

    def _load(self, bench, server, options, name, unit, first):
        """Fetch `first`, then so many that it takes `options.seconds`; what one small file takes is subtracted."""
        self._timed(bench, SMALL, 1)  # warm-up
        start_took, start_used = self._timed(bench, SMALL, 1)
        took, _ = self._timed(bench, name, first)
        count = round(first * options.seconds / max(took - start_took, SMALLEST_S))
        count = max(first, min(count, self.many_max))
        clock = CpuClock(bench)
        clock.begin(server.child.pid)
        took, used = self._timed(bench, name, count)
        server_s, others = clock.end(used)
        if start_took > took / 2:
            raise NotMeasured(f"starting the client took {start_took:.2f} s of {took:.2f} s: ask for more --seconds")
        seconds = took - start_took
        return Load(count * unit, seconds, server_s, min(1.0, max(0.0, used - start_used) / seconds), others_share=others)

    def measure_goodput(self, bench, server, options):
        return self._load(bench, server, options, self.bulk, SIZES[self.bulk], 1)

    def measure_requests(self, bench, server, options):
        return self._load(bench, server, options, SMALL, 1, QUIC_STREAMS)


class Http3(Fetched):
    """Loaded by ngtcp2's client, over the kernel's sockets."""
    clients = "bulk and requests: ngtcp2 (gtlsclient); handshakes, idle: millrace perf client, af_packet"
    transport = "HTTP/3, kernel UDP"

    def fetch(self, bench, name, count):
        return ["gtlsclient", "-q", "--exit-on-all-streams-close", "--handshake-timeout=5s", "--timeout=5s",
                f"--ciphers={GNUTLS_AES128}", "--groups=-GROUP-ALL:+GROUP-X25519", "--sni", "millrace.test", "-n", str(count),
                server_ip(pair_of(True, not self.is_polling)), "443", f"https://millrace.test/{name}"]

    def check(self, bench, server):
        """It answers, and with the file that was asked for."""
        folder = bench.run_folder()
        command = self.fetch(bench, SMALL, 1)
        run_client(bench, [*command[:2], "--download", bench.inside(folder), *command[2:]], True, 0)
        got = folder / SMALL
        if not got.exists() or got.stat().st_size != SIZES[SMALL]:
            raise NotMeasured("it does not answer with the file that was asked for")


class MillraceEdge(Http3):
    name = "millrace-edge"
    title = "millrace edge"
    transport = "HTTP/3, af_packet"
    is_polling = True

    def version(self, bench):
        return bench.version

    def start(self, bench):
        pair = pair_of(not self._is_for_port, False)
        server = bench.start("s", [bench.millrace, "edge", "--port", f"af_packet:s{pair}", "--addr", f"{server_ip(pair)}/24",
                                   "--root", bench.www, "--hugepages", "off", "--drain", "0", "--connections", "10000",
                                   "--cores", bench.server_cpu, *certificate(bench)])
        _say(server, "edge: serving", START_SECONDS, "millrace edge")
        if not self._is_for_port:
            self.check(bench, server)
        return server

    _is_for_port = False  # the interface that `millrace perf client` reaches, or the kernel's client

    def measure(self, bench, cell, options):
        self._is_for_port = cell in (IDLE, HANDSHAKES)
        return super().measure(bench, cell, options)


class Implementation(Fetched):
    """A server as the interoperability cases start it (tests/interop/implementations.py)."""
    endpoint = None
    package = ""

    def version(self, bench):
        return bench.world.package_version(self.package)

    def arrangement(self, bench):
        """What implementations.py calls a run: of no case, with the bench's folders."""
        folder = bench.run_folder()
        return SimpleNamespace(
            folder=folder, www=bench.www, key=bench.folder / "server.key", certificate=bench.folder / "server.pem",
            bind="0.0.0.0", server_side=bench.world.server_side, client_side=bench.world.client_side, rig=bench.world, inside=bench.inside, protocol="hq",
            case=SimpleNamespace(server="transfer", client="transfer", connections="one", seconds=CLIENT_SECONDS),
            start_peer=lambda _side, *command: bench.start("s", command, is_peer=True))

    def start(self, bench):
        server = self.endpoint.start_server(self.arrangement(bench))

        def is_listening():
            return ":443 " in bench.world.server_side.namespace.run("ss", "-Htuln").stdout

        wait_until(lambda: is_listening() or not server.is_running(), START_SECONDS, f"the start of {self.title}")
        if not server.is_running():
            raise NotMeasured(f"{self.title} did not start: {server.log().strip()[-200:]}")
        self.check(bench, server)
        return server

    def check(self, bench, server):
        raise NotImplementedError


class Http3Implementation(Http3, Implementation):
    check = Http3.check


def _replaced(text, *pairs):
    for old, new in pairs:
        if old not in text:
            raise ValueError(f"a template of tests/interop/implementations.py lacks {old!r}")
        text = text.replace(old, new)
    return text


# Key exchange as the clients offer it first: others cost more, and a round trip.
_NGINX = _replaced(implementations.NGINX, ("ssl_protocols TLSv1.3;", "ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;"),
                   ("keepalive_requests 10000;", "keepalive_requests 1000000000; keepalive_time 1h;"),
                   ("worker_connections 4096;", "worker_connections 16384;"),
                   ("worker_processes 1;", "worker_processes 1; worker_rlimit_nofile 32768;"))


class _NginxHttp3(implementations.Nginx):
    template = _NGINX


class _NginxTls(implementations.Nginx):
    template = _replaced(_NGINX, ("quic reuseport;", "ssl backlog=4096;"), ("http3 on;", ""), ("http3_hq on;", ""),
                         ("quic_retry {retry};", ""))


class Ngtcp2(Http3Implementation):
    name, title, package = "ngtcp2", "ngtcp2", "ngtcp2-server"
    endpoint = implementations.Ngtcp2()


class Nginx(Http3Implementation):
    name, title, package = "nginx", "nginx", "nginx"
    endpoint = _NginxHttp3()


class Caddy(Http3Implementation):
    name, title, package = "caddy", "Caddy (quic-go)", "caddy"
    endpoint = implementations.Caddy()


class Aioquic(Http3Implementation):
    name, title, package = "aioquic", "aioquic", "python3-aioquic"
    endpoint = implementations.Aioquic()
    idle_max = 200  # more take too long

    def arrangement(self, bench):
        run = super().arrangement(bench)
        run.protocol = "h3"
        return run


class Haproxy(Http3Implementation):
    name, title, package = "haproxy", "HAProxy", "haproxy"
    lacks = {GOODPUT: "HAProxy: it serves no files, and answers of its own are small"}
    CONFIG = """
global
    limited-quic
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend f
    bind quic4@{bind}:443 ssl crt {both} alpn h3 curves X25519
    http-request return status 200 content-type application/octet-stream file {file}
"""

    class Endpoint:
        @staticmethod
        def start_server(run):
            both, config = run.folder / "both.pem", run.folder / "haproxy.cfg"
            both.write_text(run.certificate.read_text() + run.key.read_text())
            config.write_text(Haproxy.CONFIG.format(bind=run.bind, both=run.inside(both), file=run.inside(run.www / SMALL)))
            return run.start_peer(run.server_side, "haproxy", "-f", run.inside(config))

    endpoint = Endpoint()


class Own(Implementation):
    """HTTP/0.9 with a client of the same implementation."""
    transport = "HTTP/0.9, kernel UDP"
    alpn = "hq-interop"
    bulk = PIECE

    def paths(self, bench, name, count):
        path = bench.run_folder() / "paths"
        path.write_text(f"/{name}\n" * count)
        return bench.inside(path)

    def check(self, bench, server):
        self._timed(bench, SMALL, 1)


class Quinn(Own):
    name, title, package = "quinn", "quinn", "librust-quinn-dev"
    endpoint = implementations.Quinn()
    clients = "bulk and requests: quinn; handshakes, idle: millrace perf client, af_packet"

    def fetch(self, bench, name, count):
        return [bench.world.program("quinn"), "client", f"{server_ip(0)}:443", "case=transfer",
                f"ca={bench.inside(bench.folder / 'ca.pem')}", "out=/tmp", f"paths={self.paths(bench, name, count)}",
                "connections=one"]


class Openssl(Own):
    name, title, package = "openssl", "OpenSSL's QUIC", "libssl-dev"
    endpoint = implementations.Openssl()
    clients = "OpenSSL's QUIC"
    many_max = 4096  # paths that its client takes
    lacks = {HANDSHAKES: "OpenSSL's QUIC: the server of tests/interop/endpoints serves one connection after the other",
             IDLE: "OpenSSL's QUIC: the server of tests/interop/endpoints serves one connection after the other"}

    def fetch(self, bench, name, count):
        return [bench.world.program("openssl"), "client", server_ip(0), "transfer", bench.inside(bench.folder / "ca.pem"),
                "/tmp", self.paths(bench, name, count), "one"]


class NginxTls(Implementation):
    name, title, package = "nginx-tls", "nginx", "nginx"
    transport = "TLS 1.3, kernel TCP"
    endpoint = _NginxTls()
    clients = "h2load; handshakes: openssl s_time; idle: hold_tls.py"
    address = server_ip(0)

    def missing(self, bench):
        reason = super().missing(bench)
        if reason is None and not (bench.world.tree / "usr/bin/h2load").exists():
            return "h2load is not in the peers' tree"
        return reason

    def check(self, bench, server):
        requests, size, _ = h2load_figures(self._h2load(bench, SMALL, "-n", 1, "-c", 1)[0])
        if (requests, size) != (1, SIZES[SMALL]):
            raise NotMeasured("it does not answer with the file that was asked for")

    def _h2load(self, bench, name, *words, seconds=0):
        return run_client(bench, ["h2load", "--h1", f"--tls13-ciphers={AES128}", *words, f"https://{self.address}/{name}"],
                          True, seconds)

    def _loaded(self, bench, server, options, name, connections, first):
        """Ask for `first` files, then for so many that it takes `options.seconds`."""
        seconds = h2load_figures(self._h2load(bench, name, "-c", connections, "-n", first)[0])[2]
        count = max(first, round(first * options.seconds / max(seconds, SMALLEST_S)))
        clock = CpuClock(bench)
        clock.begin(server.child.pid)
        text, _, used = self._h2load(bench, name, "-c", connections, "-n", count, seconds=options.seconds)
        server_s, others = clock.end(used)
        requests, size, seconds = h2load_figures(text)
        return Load(size if name == BULK else requests, seconds, server_s, min(1.0, used / seconds), others_share=others)

    def measure_goodput(self, bench, server, options):
        return self._loaded(bench, server, options, BULK, 1, 8)

    def measure_requests(self, bench, server, options):
        return self._loaded(bench, server, options, SMALL, REQUEST_CONNECTIONS, 50 * REQUEST_CONNECTIONS)

    def measure_handshakes(self, bench, server, options):
        seconds = max(1, round(options.seconds))
        one = f"openssl s_time -connect {self.address}:443 -new -time {seconds} -tls1_3 &"
        clock = CpuClock(bench)
        clock.begin(server.child.pid)
        text, _, used = run_client(bench, ["sh", "-c", f"{one * S_TIME_PROGRAMS} wait"], True, seconds)
        server_s, others = clock.end(used)
        return Load(s_time_figures(text), seconds, server_s, min(1.0, used / seconds), others_share=others)

    def measure_idle(self, bench, server, options):
        return _weigh(bench, server, options.idle, "ready",
                      [sys.executable, Path(__file__).with_name("hold_tls.py"), self.address, "443", options.idle])


ROWS = [MillracePerf("memif"), MillracePerf("af_packet"), MillracePerf("af_xdp"), MillraceEdge(), Ngtcp2(), Nginx(), Caddy(), Haproxy(), Aioquic(), Quinn(),
        Openssl(), NginxTls()]
