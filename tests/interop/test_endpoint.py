#!/usr/bin/env python3
"""The entry script of the public runner's container, as client and as server of the same cases, without a container."""
import os
import re
import subprocess
from pathlib import Path

import cases
import implementations
import millrace
import tap
from peers import HERE
from rig import Rig

SCRIPT = HERE.parents[1] / "interop" / "run_endpoint.sh"
UNSUPPORTED = 127
UNKNOWN = {("client", "versionnegotiation")}  # the runner does not ask for it any more


class Container(implementations.Endpoint):
    """What the container starts; it finds the kernel's addresses on the interface and takes them over."""
    name = "container"
    hq = h3 = ("client", "server")
    is_peer = False

    def _command(self, run, side, role, *more):
        certificates = run.folder / "certs"
        certificates.mkdir(exist_ok=True)
        for name, path in (("cert.pem", run.certificate), ("priv.key", run.key), ("ca.pem", run.ca)):
            (certificates / name).write_bytes(path.read_bytes())
        return ["env", f"ROLE={role}", f"TESTCASE={run.case.client if role == 'client' else run.case.server}",
                f"INTERFACE={side.interface}", f"MILLRACE={Path(millrace.PROGRAM).resolve()}", f"WWW={run.www}",
                f"DOWNLOADS={run.downloads}", f"CERTS={certificates}", f"SSLKEYLOGFILE={run.folder / 'millrace.keys'}", *more,
                SCRIPT]

    def start_server(self, run):
        return run.start(run.server_side, *self._command(run, run.server_side, "server"))

    def is_ready(self, process):
        return "edge: serving" in process.log()

    def client_commands(self, run):
        urls = " ".join(f"https://{implementations.host(run.address)}:443/{name}" for name in run.names)
        yield self._command(run, run.client_side, "client", f"REQUESTS={urls}")


def expect_pass(rig, case):
    reason = rig.run_case(cases.BY_NAME[case], Container(), Container())
    tap.expect(reason is None, reason)


def a_handshake(rig):
    expect_pass(rig, "handshake")


def a_retry(rig):
    expect_pass(rig, "retry")


def a_resumption(rig):
    expect_pass(rig, "resumption")


def files_over_http3(rig):
    expect_pass(rig, "http3")


def files_over_ipv6(rig):
    expect_pass(rig, "ipv6")


def chacha20_only(rig):
    expect_pass(rig, "chacha20")


def requests_in_0_rtt(rig):
    expect_pass(rig, "zerortt")


def version_2(rig):
    expect_pass(rig, "v2")


def a_preferred_address(rig):
    expect_pass(rig, "connectionmigration")


def every_case_of_the_runner_is_known(rig):
    """Both roles of each, up to the program's start: a stub takes its place, and says that it was started."""
    side = rig.client_side
    side.namespace.ip("tuntap", "add", "stub0", "mode", "tap")
    stub = rig.folder / "stub"
    stub.write_text("#!/bin/sh\necho started\n")
    stub.chmod(0o755)
    wanted = {(role, getattr(case, role)) for case in cases.CASES for role in ("client", "server")}
    for role, case in sorted(wanted):
        done = side.namespace.run(
            "env", f"ROLE={role}", f"TESTCASE={case}", "INTERFACE=stub0", f"MILLRACE={stub}", "REQUESTS=https://a/b https://a/c",
            f"DOWNLOADS={rig.folder}", f"CERTS={rig.folder}", SCRIPT, check=False)
        is_known = (role, case) not in UNKNOWN
        tap.expect_equal(done.returncode, 0 if is_known else UNSUPPORTED, f"{role}, {case}: {done.stderr}")
        tap.expect(("started" in done.stdout) == is_known, f"{role}, {case}: {done.stdout}")
    side.namespace.ip("tuntap", "delete", "stub0", "mode", "tap")


def what_it_does_not_know_is_unsupported(_rig):
    for role in ("client", "server"):
        done = subprocess.run([SCRIPT], env={**os.environ, "ROLE": role, "TESTCASE": "frobnication"}, capture_output=True,
                              text=True, check=False)
        tap.expect_equal(done.returncode, UNSUPPORTED, done.stderr)
    done = subprocess.run([SCRIPT], env={**os.environ, "ROLE": "proxy", "TESTCASE": "handshake"}, capture_output=True, text=True,
                          check=False)
    tap.expect(done.returncode == 2 and "neither client nor server" in done.stderr, done)


def the_container_has_the_libraries_that_the_program_needs(_rig):
    program, folder = Path(millrace.PROGRAM).resolve(), SCRIPT.parent
    done = subprocess.run([folder / "runtime-packages", program], capture_output=True, text=True, check=False)
    tap.expect_equal(done.returncode, 0, done.stderr)
    packages = set(done.stdout.split())
    for name in ("libc6", "librte-eal", "librte-net-af-packet", "librte-bus-vdev", "librte-mempool-ring", "libjson-c", "liburing"):
        tap.expect(any(package.startswith(name) for package in packages), f"{name} is missing:", packages)
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"=> (/\S+)", linked):
        real = os.path.realpath(library)
        owner = subprocess.run(["dpkg", "-S", real], capture_output=True, text=True, check=False).stdout or subprocess.run(
            ["dpkg", "-S", real.removeprefix("/usr")], capture_output=True, text=True, check=True).stdout
        tap.expect(owner.split(":")[0] in packages, f"{library} is of {owner.strip()}, which is missing:", packages)
    recipe = (folder / "Dockerfile").read_text()
    tap.expect("interop/runtime-packages build/tools/millrace > runtime-packages" in recipe and "$(cat /runtime-packages)" in recipe, recipe)


TESTS = [a_handshake, a_retry, a_resumption, files_over_http3, files_over_ipv6, chacha20_only, requests_in_0_rtt, version_2,
         a_preferred_address, every_case_of_the_runner_is_known, what_it_does_not_know_is_unsupported,
         the_container_has_the_libraries_that_the_program_needs]


def main():
    with Rig() as rig:
        tap.run(TESTS, rig)


tap.main(main)
