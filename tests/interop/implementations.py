"""QUIC implementations as endpoints of the cases: how each is started as client and as server.

An endpoint says with lacks() what it cannot be asked to do; `run` (rig.Run) has folders, addresses and the case.
"""
import sys

import millrace
from peers import HERE

sys.path.insert(0, str(HERE / "endpoints"))
import chromium_endpoint  # noqa: E402 - the page that it asks for is made here

PORT = 443
NAME = "millrace.test"
CHACHA20_SUITE = "TLS_CHACHA20_POLY1305_SHA256"
KEY_UPDATE_PACKETS = 20
UNKNOWN_VERSION = 0x1a2a3a4a  # RFC 9000, Section 15: it forces version negotiation
NEGOTIATION = "versionnegotiation"
NOT_VERSION_2_ONLY = "it cannot be told to speak version 2 only, and millrace begins with no other version than 1"
NOT_UNKNOWN = "it cannot be told to begin with an unknown version"


class Endpoint:
    """One implementation.  `hq` and `h3`: the roles in which it speaks HTTP/0.9 and HTTP/3."""
    name = ""
    hq = ()
    h3 = ()
    is_peer = True      # lives in the peers' tree, on the kernel's sockets
    wants_addresses = True  # the kernel's interface has them
    needs_more = False  # only in the tree with all peers
    may_lack_version_1 = False  # as a server that speaks version 2 only
    missing = {}        # (role, what it is asked to do) -> why it cannot be asked
    seen = {}           # (role, case) -> what captures show of a case that fails, for the page

    def speaks(self, protocol, role):
        return role in (self.hq if protocol == "hq" else self.h3)

    def lacks(self, case, role):
        """Why it cannot be asked for the case in this role; None: it can."""
        if role not in self.hq + self.h3:
            return f"it has no {role}"
        wanted = case.client if role == "client" else case.server
        return self.missing.get((role, wanted)) or self.missing.get((role, case.name))

    def lacks_with(self, _case, _server):
        """Why it, a client, cannot be asked for the case with this server; None: it can."""
        return None

    def start_server(self, run):
        raise NotImplementedError

    def client_commands(self, run):
        raise NotImplementedError

    def version(self, stage):
        raise NotImplementedError


def batches(run):
    """The files' names, one list for each connection."""
    if run.case.connections == "each":
        return [[name] for name in run.names]
    return [run.names[:1], run.names[1:]] if run.case.connections == "two" else [run.names]


def host(address):
    return f"[{address}]" if ":" in address else address


class Millrace(Endpoint):
    name = "millrace"
    hq = ("client", "server")
    h3 = ("client", "server")
    is_peer = False
    wants_addresses = False

    def lacks_with(self, case, server):
        return NOT_VERSION_2_ONLY if case.server == NEGOTIATION and not server.may_lack_version_1 else None

    def _common(self, run, side):
        return ["--port", f"af_packet:{side.interface}", "--addr", f"{side.v4}/24", "--addr", f"{side.v6}/64",
                "--keylog", run.folder / "millrace.keys", *run.qlog_options()]

    def start_server(self, run):
        side = run.server_side
        options = {"retry": ["--retry", "always"], "zerortt": ["--early-data"],
                   "connectionmigration": ["--addr", f"{side.other_v4}/24", "--preferred", f"{side.other_v4}:{PORT}"]
                   }.get(run.case.server, [])
        return run.start(run.server_side, millrace.PROGRAM, "edge", *self._common(run, run.server_side), "--root", run.www,
                         "--cert", run.certificate, "--key", run.key, "--hq", *options)

    def is_ready(self, process):
        return "edge: serving" in process.log()

    def client_commands(self, run):
        options = {"chacha20": ["--ciphers", CHACHA20_SUITE], "keyupdate": ["--key-update", KEY_UPDATE_PACKETS],
                   "resumption": ["--session", run.folder / "millrace.session"],
                   "zerortt": ["--session", run.folder / "millrace.session", "--early-data"],
                   "v2": ["--quic-version", "2"], NEGOTIATION: ["--quic-version", "2"]}.get(run.case.client, [])
        for number, names in enumerate(batches(run)):
            urls = run.folder / f"urls-{number}"
            urls.write_text("".join(f"https://{NAME}/{name}\n" for name in names))
            yield [millrace.PROGRAM, "get", "--urls", urls, *self._common(run, run.client_side), "--connect",
                   f"{host(run.address)}:{PORT}", "--ca", run.ca, "-o", run.downloads, "--timeout", "60", "--alpn",
                   "hq-interop" if run.protocol == "hq" else "h3", *options]

    def version(self, stage):
        return millrace.version()


class Ngtcp2(Endpoint):
    name = "ngtcp2"
    h3 = ("client", "server")
    missing = {}
    V1_V2 = "0x1,0x6b3343cf"
    V2_V1 = "0x6b3343cf,0x1"

    def start_server(self, run):
        options = {"retry": ["-V"], "v2": [f"--preferred-versions={self.V2_V1}", f"--available-versions={self.V1_V2}"],
                   "connectionmigration": [f"--preferred-ipv4-addr={run.server_side.other_v4}:{PORT}"]}
        return run.start_peer(run.server_side, "gtlsserver", "-q", "-d", run.inside(run.www),
                              *options.get(run.case.server, []), run.bind, PORT, run.inside(run.key),
                              run.inside(run.certificate))

    def client_commands(self, run):
        session = [f"--session-file={run.inside(run.folder / 'ngtcp2.session')}",
                   f"--tp-file={run.inside(run.folder / 'ngtcp2.tp')}"]
        options = {"chacha20": ["--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305"],
                   "keyupdate": ["--key-update=100ms"],
                   "resumption": [*session, "--disable-early-data"], "zerortt": session,
                   "v2": ["-v", "0x1", f"--preferred-versions={self.V2_V1}", f"--available-versions={self.V2_V1}"],
                   NEGOTIATION: ["-v", hex(UNKNOWN_VERSION)]}
        for number, names in enumerate(batches(run)):
            wait = ["--wait-for-ticket"] if run.case.connections == "two" and number == 0 else []
            yield ["gtlsclient", "-q", "--exit-on-all-streams-close", "--download", run.inside(run.downloads), "--sni", NAME,
                   *options.get(run.case.client, []), *wait, run.address, PORT,
                   *(f"https://{NAME}/{name}" for name in names)]

    def version(self, stage):
        return stage.package_version("ngtcp2-client")


class Aioquic(Endpoint):
    name = "aioquic"
    hq = ("client", "server")
    h3 = ("client", "server")
    may_lack_version_1 = True
    missing = {("client", "ecn"): "it marks no packets", ("server", "ecn"): "it marks no packets",
               ("server", "connectionmigration"): "it offers no preferred address"}

    def _command(self, run, role, *words):
        versions = {"v2": "2", NEGOTIATION: "unknown" if role == "client" else "only2"}.get(run.case.client, "1")
        return ["python3", "/srv/millrace/aioquic_endpoint.py", role, *words, "--alpn", run.protocol, "--versions", versions,
                "--keylog", run.inside(run.folder / "aioquic.keys")]

    def start_server(self, run):
        options = ["--retry"] if run.case.server == "retry" else []
        return run.start_peer(run.server_side, *self._command(
            run, "server", run.bind, PORT, "--root", run.inside(run.www), "--cert", run.inside(run.certificate), "--key",
            run.inside(run.key), *options))

    def client_commands(self, run):
        options = {"chacha20": ["--cipher", "chacha20"], "keyupdate": ["--key-update"], "zerortt": ["--early"]}
        yield self._command(run, "client", run.address, PORT, "--paths-from", run.inside(run.path_list()), "--ca", run.inside(run.ca),
                            "--out", run.inside(run.downloads), "--connections", run.case.connections, "--seconds",
                            run.case.seconds, *options.get(run.case.client, []))

    def version(self, stage):
        return stage.package_version("python3-aioquic")


class Curl(Endpoint):
    name = "curl"
    h3 = ("client",)
    missing = {("client", NEGOTIATION): NOT_UNKNOWN,
               ("client", "resumption"): "curl keeps no sessions from one run to the next",
               ("client", "zerortt"): "curl keeps no sessions from one run to the next",
               ("client", "keyupdate"): "curl cannot be told to update keys",
               ("client", "v2"): "its QUIC has version 1 only", ("client", "ecn"): "its QUIC marks no packets"}

    def client_commands(self, run):
        options = ["--tls13-ciphers", CHACHA20_SUITE] if run.case.client == "chacha20" else []
        for number, names in enumerate(batches(run)):
            config = run.folder / f"curl-{number}"
            config.write_text("".join(f"url = https://{NAME}/{name}\noutput = {run.inside(run.downloads)}/{name}\n"
                                      for name in names))
            yield ["curl", "-sS", "--fail", "--http3-only", "--cacert", run.inside(run.ca), "--resolve",
                   f"{NAME}:{PORT}:{host(run.address)}", "--parallel", "--parallel-max", "50", *options, "-K", run.inside(config)]

    def version(self, stage):
        return stage.package_version("curl")


class Chromium(Endpoint):
    name = "chromium"
    h3 = ("client",)
    needs_more = True
    missing = {("client", what): "a browser cannot be told to" for what in
               ("chacha20", "resumption", "zerortt", "keyupdate", "v2", "multiconnect")} | {
                   ("client", NEGOTIATION): NOT_UNKNOWN,
                   ("client", "ecn"): "it marks no packets"}
    seen = {("client", "connectionmigration"):
            "while it validates the preferred address, its answer to the server's PATH_CHALLENGE is a packet without destination "
            "connection ID; the next challenge it answers well, and the files come whole"}

    def client_commands(self, run):
        (run.www / "page.html").write_text(chromium_endpoint.page(run.names))
        yield ["python3", "/srv/millrace/chromium_endpoint.py", host(run.address), run.spki(), run.inside(run.downloads),
               run.inside(run.path_list()), run.case.seconds]

    def version(self, stage):
        return stage.package_version("chromium")


NGINX = """
user root; worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log stderr info;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server {{
        listen {bind}:443 quic reuseport;
        http3 on;
        http3_hq on;
        quic_retry {retry};
        ssl_early_data on;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        keepalive_requests 10000;
        root {root};
    }}
}}
"""


class Nginx(Endpoint):
    name = "nginx"
    h3 = ("server",)
    hq = ("server",)
    template = NGINX
    missing = {("server", "v2"): "it has version 1 only", ("server", "ecn"): "it marks no packets",
               ("server", "connectionmigration"): "it offers no preferred address"}

    def start_server(self, run):
        config = run.folder / "nginx.conf"
        config.write_text(self.template.format(bind=host(run.bind), retry="on" if run.case.server == "retry" else "off",
                                               certificate=run.inside(run.certificate), key=run.inside(run.key),
                                               root=run.inside(run.www)))
        return run.start_peer(run.server_side, "nginx", "-c", run.inside(config))

    def version(self, stage):
        return stage.package_version("nginx")


CADDY = """
{{
    auto_https off
    admin off
    default_sni millrace.test
}}
https://millrace.test:443, https://{bind}:443 {{
    bind {plain_bind}
    tls {certificate} {key}
    root * {root}
    file_server
}}
"""


class Caddy(Endpoint):
    """quic-go."""
    name = "caddy"
    h3 = ("server",)
    missing = {("server", "retry"): "Caddy has no setting for it",
               ("server", "v2"): "its quic-go negotiates no other version in the handshake",
               ("server", "ecn"): "its quic-go marks no packets",
               ("server", "connectionmigration"): "it offers no preferred address"}

    def start_server(self, run):
        config = run.folder / "Caddyfile"
        config.write_text(CADDY.format(bind=host(run.bind), plain_bind=run.bind, certificate=run.inside(run.certificate),
                                       key=run.inside(run.key), root=run.inside(run.www)))
        return run.start_peer(run.server_side, "caddy", "run", "--config", run.inside(config), "--adapter", "caddyfile")

    def version(self, stage):
        return stage.package_version("caddy")


class Quinn(Endpoint):
    name = "quinn"
    hq = ("client", "server")
    needs_more = True
    missing = {("client", NEGOTIATION): NOT_UNKNOWN,
               ("client", "v2"): "it has version 1 only", ("server", "v2"): "it has version 1 only",
               ("client", "connectionmigration"): "its client stays where it is, which RFC 9000, Section 9.6.2, allows",
               ("server", "connectionmigration"): "with a preferred address it gives one connection ID more than "
                                                  "active_connection_id_limit allows (RFC 9000, Section 5.1.1)"}

    def start_server(self, run):
        words = [f"case={run.case.server}", f"cert={run.inside(run.certificate)}", f"key={run.inside(run.key)}",
                 f"root={run.inside(run.www)}"]
        if run.case.server == "connectionmigration":
            words.append(f"preferred={run.server_side.other_v4}:{PORT}")
        return run.start_peer(run.server_side, run.rig.program("quinn"), "server", f"{host(run.bind)}:{PORT}", *words)

    def client_commands(self, run):
        yield [run.rig.program("quinn"), "client", f"{host(run.address)}:{PORT}", f"case={run.case.client}",
               f"ca={run.inside(run.roots)}", f"out={run.inside(run.downloads)}", f"paths={run.inside(run.path_list())}",
               f"connections={run.case.connections}"]

    def version(self, stage):
        return stage.package_version("librust-quinn-dev")


class Openssl(Endpoint):
    """OpenSSL's own QUIC."""
    name = "openssl"
    hq = ("client", "server")
    needs_more = True
    missing = {("client", NEGOTIATION): NOT_UNKNOWN,
               ("client", "v2"): "it has version 1 only", ("server", "v2"): "it has version 1 only",
               ("client", "zerortt"): "it has no 0-RTT over QUIC", ("server", "zerortt"): "it has no 0-RTT over QUIC",
               ("client", "ecn"): "it marks no packets", ("server", "ecn"): "it marks no packets",
               ("client", "connectionmigration"): "its client stays where it is, which RFC 9000, Section 9.6.2, allows",
               ("server", "connectionmigration"): "it offers no preferred address"}

    def start_server(self, run):
        return run.start_peer(run.server_side, run.rig.program("openssl"), "server", run.bind, run.case.server,
                              run.inside(run.certificate), run.inside(run.key), run.inside(run.www))

    def client_commands(self, run):
        yield [run.rig.program("openssl"), "client", run.address, run.case.client, run.inside(run.ca),
               run.inside(run.downloads), run.inside(run.path_list()), run.case.connections]

    def version(self, stage):
        return stage.package_version("libssl-dev")


ALL = [Millrace(), Ngtcp2(), Aioquic(), Quinn(), Openssl(), Curl(), Chromium(), Nginx(), Caddy()]
BY_NAME = {endpoint.name: endpoint for endpoint in ALL}
PEERS = [endpoint for endpoint in ALL if endpoint.is_peer]
