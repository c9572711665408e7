"""Run one case between two endpoints over a link, in two network namespaces, and judge it.

    namespace -c   client ---- TAP mr0 ---- link (tests/interop/link.c) ---- TAP mr1 ---- server   namespace -s

A peer uses the kernel's end of its TAP with addresses; millrace uses it as a port (af_packet), without any.
"""
import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cases
from peers import HERE, Namespace, Peer, Process, Stage, _make_leaf, _openssl, sha256_of, wait_until, write_random_file

LINK = os.environ.get("MILLRACE_LINK", "build/tests/interop/link")
KEEP = os.environ.get("MILLRACE_INTEROP_KEEP")  # a folder: captures, key logs, qlogs and logs of runs that failed go there
START_SECONDS = 60  # a loaded machine is slow
JUDGE_SECONDS = 120
NOT_SET_UP = "could not be set up: "  # the reason begins so: it says nothing of either endpoint
BUILD_SECONDS = 900
CHAIN = 9            # certificates of the long chain
CHAIN_COMMENT = 600  # bytes that make each longer
LINES_KEPT = 12      # of a log, when something failed
CROSS_IP = ("198.18.1.1", "198.18.1.2")  # of the TCP flow beside: the client's side, the server's


@dataclass
class Side:
    """One end of the link."""
    namespace: Namespace
    interface: str
    v4: str
    v6: str
    other_v4: str  # a second address of the same host


class Failure(Exception):
    """The case failed, for the reason given."""


class Rig(Stage):
    """A stage with two namespaces; the scratch folder is /srv/millrace in the tree."""

    def __enter__(self):
        super().__enter__()
        self.client_side = Side(self._namespace("-c"), "mr0", "198.18.0.1", "fd00::1", "198.18.0.11")
        self.server_side = Side(self._namespace("-s"), "mr1", "198.18.0.2", "fd00::2", "198.18.0.12")
        self.run_count = 0
        self._versions = {}
        self._programs = {}
        shutil.copy(HERE / "judge.py", self.folder)
        for path in (HERE / "endpoints").glob("*.py"):
            shutil.copy(path, self.folder)
        _make_leaf(self.folder, "server", "DNS:millrace.test,IP:198.18.0.1,IP:198.18.0.2,IP:fd00::2")
        make_chain(self.folder)
        return self

    def _namespace(self, suffix):
        namespace = Namespace(suffix)
        self.callback(namespace.delete)
        return namespace

    def start_at(self, side, command, is_peer, variables=()):
        wrapped = self._in_tree(command, variables) if is_peer else command
        return self._start(Peer if is_peer else Process, wrapped, side.namespace)

    def package_version(self, package):
        if package not in self._versions:
            shown = subprocess.run(["chroot", self.tree, "dpkg-query", "-W", "-f", "${Version}", package],
                                   capture_output=True, text=True, check=False).stdout
            self._versions[package] = shown.split("-")[0].split("+")[0]
        return self._versions[package]

    def program(self, name):
        """An endpoint that is built in the tree, once for each state of its source: its path there."""
        if name not in self._programs:
            self._programs[name] = build_endpoint(self, name)
        return self._programs[name]

    def run_case(self, case, client, server, seed=1, measures=None):
        """None if it passed, else why not.  What went wrong while it was set up is a reason, too.  The goodput, kbit/s, of a
        measured case is added to `measures`."""
        self.run_count += 1
        run = Run(self, case, client, server, self.run_count, seed)
        try:
            run.execute()
            if case.is_measured and measures is not None:
                measures.append(cases.goodput(run.facts, sum(case.files)))
        except (Failure, AssertionError) as error:
            run.keep()
            return str(error) if run.is_set_up else f"{NOT_SET_UP}{error}"
        finally:
            run.clear()
        return None


BUILDS = {
    "quinn": "mkdir .cargo && printf '[source.crates-io]\\nreplace-with = \"debian\"\\n[source.debian]\\n"
             "directory = \"/usr/share/cargo/registry\"\\n' >.cargo/config.toml && "
             "cargo build --release --offline -q && mv target/release/quinn-endpoint program",
    "openssl": "gcc -O1 -o program openssl_endpoint.c -lssl -lcrypto",
}


def build_endpoint(rig, name):
    source = HERE / "endpoints" / name
    files = sorted(path for path in source.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    kept = rig.tree / "opt" / f"{name}-{digest}"
    with open(rig.tree.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            folder = rig.folder / f"build-{name}"
            shutil.copytree(source, folder, dirs_exist_ok=True)
            inside = f"/srv/millrace/{folder.name}"
            built = rig.start_at(rig.client_side, ["sh", "-c", f"cd {inside} && {BUILDS[name]}"], is_peer=True)
            if built.wait(BUILD_SECONDS) != 0:
                raise Failure(f"{name} cannot be built: {tail(built.log())}")
            shutil.copy(folder / "program", kept.with_suffix(".new"))
            kept.with_suffix(".new").rename(kept)
    return f"/opt/{kept.name}"


def make_chain(folder):
    """chain.pem and chain.key: a leaf below a row of authorities, nine certificates in all."""
    issuer = "ca"
    comment = "nsComment=" + "x" * CHAIN_COMMENT
    bundle = []
    for number in range(CHAIN - 1):
        name = f"authority-{number}"
        (folder / f"{name}.ext").write_text(f"basicConstraints=critical,CA:TRUE\n{comment}\n")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / f"{name}.key",
                 "-out", folder / f"{name}.csr", "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / f"{issuer}.pem", "-CAkey",
                 folder / f"{issuer}.key", "-days", "2", "-out", folder / f"{name}.pem", "-extfile", folder / f"{name}.ext")
        bundle.insert(0, (folder / f"{name}.pem").read_text())
        issuer = name
    (folder / "chain.ext").write_text(f"subjectAltName=DNS:millrace.test\n{comment}\n")
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "chain.key", "-out",
             folder / "chain.csr", "-subj", "/CN=chain")
    _openssl("x509", "-req", "-in", folder / "chain.csr", "-CA", folder / f"{issuer}.pem", "-CAkey", folder / f"{issuer}.key",
             "-days", "2", "-out", folder / "chain.pem", "-extfile", folder / "chain.ext")
    (folder / "chain.pem").write_text((folder / "chain.pem").read_text() + "".join(bundle))
    # One of the authorities is trusted, too: some verifiers follow no more than six.
    (folder / "roots.pem").write_text((folder / "ca.pem").read_text() + (folder / f"authority-{CHAIN // 3}.pem").read_text())
    os.chmod(folder / "chain.key", 0o644)


class Run:
    """One case, one client, one server."""

    def __init__(self, rig, case, client, server, number, seed):
        self.rig, self.case, self.client, self.server, self.seed = rig, case, client, server, seed
        self.client_side, self.server_side = rig.client_side, rig.server_side
        self.folder = rig.folder / f"run-{number}"
        self.www, self.downloads = self.folder / "www", self.folder / "downloads"
        self.www.mkdir(parents=True)
        self.downloads.mkdir()
        self.certificate, self.key = rig.folder / f"{case.chain}.pem", rig.folder / f"{case.chain}.key"
        self.ca, self.roots = rig.folder / "ca.pem", rig.folder / ("roots.pem" if case.chain == "chain" else "ca.pem")
        self.address = self.server_side.v6 if case.is_v6 else self.server_side.v4
        self.bind = self.address if case.is_v6 or case.name != "connectionmigration" else "0.0.0.0"
        self.protocol = protocol_of(case, client, server)
        self.names, self.digests = [], {}
        self.processes = []
        self.is_set_up = False
        self.facts = None
        self.link_counts = None

    # ---- what endpoints use

    def inside(self, path):
        """A path below the rig's folder, as the peers see it."""
        return f"/srv/millrace/{Path(path).relative_to(self.rig.folder)}"

    def spki(self):
        """The hash of the server's public key, as browsers are told of it."""
        key = subprocess.run(["openssl", "x509", "-in", self.certificate, "-pubkey", "-noout"], capture_output=True, check=True)
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key.stdout, capture_output=True, check=True)
        return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()

    def qlog_options(self):
        """Of millrace, when runs are kept."""
        if not KEEP:
            return []
        (self.folder / "qlog").mkdir(exist_ok=True)
        return ["--qlog-dir", self.folder / "qlog"]

    def path_list(self):
        """A file with the path of a file a line."""
        path = self.folder / "paths"
        path.write_text("".join(f"/{name}\n" for name in self.names))
        return path

    def _keep(self, process):
        self.processes.append(process)
        return process

    def start(self, side, *command):
        return self._keep(self.rig.start_at(side, command, is_peer=False))

    def start_peer(self, side, *command):
        variables = [f"SSLKEYLOGFILE={self.inside(self.folder / 'peer.keys')}"]
        return self._keep(self.rig.start_at(side, list(map(str, command)), is_peer=True, variables=variables))

    # ---- steps

    def execute(self):
        self._make_files()
        link = self._start_link()
        server = self.server.start_server(self)
        self._wait_for_server(server)
        if self.case.has_cross_traffic:
            self._start_cross_traffic()
        self.is_set_up = True
        self._fetch(server)
        if server.is_running():
            server.stop()
        self._end_link(link)
        if not self.case.ends_any_way:
            self._compare()
        self._judge()

    def keep(self):
        """Of a run that failed: everything but the files."""
        if KEEP:
            kept = Path(KEEP, f"{self.case.name}-{self.client.name}-{self.server.name}-{os.getpid()}-{self.folder.name}")
            shutil.copytree(self.folder, kept, ignore=shutil.ignore_patterns("www", "downloads"))
            for number, process in enumerate(self.processes):
                shutil.copy(process.log_path, kept / f"log-{number}")

    def clear(self):
        for process in reversed(self.processes):
            if process.is_running():
                process.stop(2)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_files(self):
        for number, size in enumerate(self.case.files):
            name = f"{self.case.name}-{number}"
            name += "x" * max(0, self.case.name_size - len(name))
            self.names.append(name)
            self.digests[name] = write_random_file(self.www / name, size, seed=self.seed * 10007 + number)

    def _set_up(self, side, endpoint):
        ip = side.namespace.ip
        if not endpoint.wants_addresses:
            side.namespace.run("sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{side.interface}/disable_ipv6")
        else:
            for address in (side.v4, *((side.other_v4,) if endpoint.is_peer else ())):
                ip("address", "add", f"{address}/24", "dev", side.interface)
            ip("address", "add", f"{side.v6}/64", "dev", side.interface, "nodad")
        ip("link", "set", side.interface, "up")

    def _start_link(self):
        ends = ["--client", f"{self.client_side.namespace.name}:{self.client_side.interface}",
                "--server", f"{self.server_side.namespace.name}:{self.server_side.interface}"]
        link = self._keep(self.rig._start(Process, [LINK, *ends, "--pcap", self.folder / "link", "--seed", str(self.seed),
                                                    "--seconds", str(self.case.seconds + 60), *self.case.link]))
        wait_until(lambda: "ready" in link.log() or not link.is_running(), START_SECONDS, "the link")
        if not link.is_running():
            raise Failure(f"the link did not start: {link.log()}")
        self._set_up(self.client_side, self.client)
        self._set_up(self.server_side, self.server)
        return link

    def _start_cross_traffic(self):
        """A TCP flow from the server's side to the client's, over interfaces of its own at the ends of the same link."""
        ends = ((self.client_side, "sink", CROSS_IP[0]), (self.server_side, "source", CROSS_IP[1]))
        for side, _, address in ends:
            side.namespace.ip("address", "add", f"{address}/24", "dev", f"{side.interface}x")
            side.namespace.ip("link", "set", f"{side.interface}x", "up")
        for side, what, _ in ends:
            process = self.start(side, sys.executable, HERE / "cross_traffic.py", what, CROSS_IP[0])
            wait_until(lambda p=process: "ready" in p.log() or not p.is_running(), START_SECONDS, "the TCP flow")
            if not process.is_running():
                raise Failure(f"no TCP flow: {tail(process.log())}")

    def _is_listening(self, server):
        if not self.server.is_peer:
            return self.server.is_ready(server)
        return ":443 " in self.server_side.namespace.run("ss", "-Huln").stdout

    def _wait_for_server(self, server):
        wait_until(lambda: self._is_listening(server) or not server.is_running(), START_SECONDS, "the server's start")
        if not server.is_running():
            raise Failure(f"the server did not start: {tail(server.log())}")

    def _fetch(self, server):
        deadline = time.monotonic() + self.case.seconds
        for command in self.client.client_commands(self):
            start = self.start_peer if self.client.is_peer else self.start
            client = start(self.client_side, *command)
            try:
                client.child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                client.kill()
                raise Failure(f"the client was not done after {self.case.seconds} s: {tail(client.log())}") from None
            if client.child.returncode != 0 and not self.case.ends_any_way:
                more = "" if server.is_running() else f"; the server has ended: {tail(server.log())}"
                raise Failure(f"the client failed ({client.child.returncode}): {tail(client.log())}{more}")

    def _end_link(self, link):
        link.child.terminate()
        link.wait(10)
        self.link_counts = json.loads(link.log().splitlines()[-1])

    def _compare(self):
        for name, digest in self.digests.items():
            got = self.downloads / name
            if not got.exists():
                raise Failure(f"a file is missing: {name[:40]}")
            if sha256_of(got) != digest:
                raise Failure(f"a file differs: {name[:40]}, {got.stat().st_size} bytes")
        more = {path.name for path in self.downloads.iterdir()} - set(self.digests)
        if more:
            raise Failure(f"more files than asked for: {sorted(more)[:3]}")

    def _judge(self):
        keys = [self.inside(self.folder / name) for name in ("millrace.keys", "peer.keys", "aioquic.keys")]
        judge = self.rig.start_at(self.client_side, ["python3", "/srv/millrace/judge.py", self.inside(self.folder / "link"),
                                                     *keys], is_peer=True)
        if judge.wait(JUDGE_SECONDS) != 0:
            raise Failure(f"the capture cannot be read: {tail(judge.log())}")
        self.facts = json.loads(judge.log().splitlines()[-1])
        wrong = self.case.check(self.facts)
        if wrong:
            raise Failure("; ".join(wrong))


def tail(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-LINES_KEPT:])[-600:]


def protocol_of(case, client, server):
    """"hq" or "h3": HTTP/3 stands in where one of them has no HTTP/0.9; None: they share none."""
    for protocol in ("h3",) if case.protocol == "h3" else ("hq", "h3"):
        if client.speaks(protocol, "client") and server.speaks(protocol, "server"):
            return protocol
    return None


def why_not(case, client, server):
    """Why this case cannot be asked of these two; None: it can."""
    missing = client.lacks(case, "client") or server.lacks(case, "server") or client.lacks_with(case, server)
    return missing or (None if protocol_of(case, client, server) else "no protocol in common")
