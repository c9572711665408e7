#!/usr/bin/env python3
"""The stage itself: the peers speak HTTP/3 with each other inside it, and it leaves nothing behind."""
import shutil
import subprocess
import sys
import time
from pathlib import Path

import servers
import tap
from peers import HERE, PEER_IP, Namespace, Stage, sha256_of, wait_until, write_random_file

SIZE = 4 << 20
TRIES = 2  # nothing of ours takes part, and a peer hangs once in a while: the stage is what is tested


def run_peer(stage, *command):
    """Stage.run_peer(), once more if the peer did not come to an end."""
    for left in reversed(range(TRIES)):
        try:
            return stage.run_peer(*command)
        except AssertionError as hung:
            if left == 0:
                raise
            print("# once more:", str(hung).splitlines()[0])


def fetch_with_curl(stage, port):
    path = stage.folder / "fetched"
    path.unlink(missing_ok=True)
    status, log = run_peer(stage, "curl", "-sS", "--http3-only", "--cacert", "/srv/millrace/ca.pem", "-o",
                           "/srv/millrace/fetched", "-w", "%{http_version} %{http_code}",
                           "--resolve", f"millrace.test:{port}:{PEER_IP}", f"https://millrace.test:{port}/big")
    tap.expect_equal((status, log), (0, "3 200"), "curl")
    tap.expect_equal(sha256_of(path), stage.digest)


def curl_fetches_from_nginx(stage):
    servers.start_nginx(stage)
    fetch_with_curl(stage, servers.NGINX_PORT)


def curl_fetches_from_caddy(stage):
    servers.start_caddy(stage)
    fetch_with_curl(stage, servers.CADDY_PORT)


def curl_fetches_from_ngtcp2(stage):
    servers.start_ngtcp2(stage)
    fetch_with_curl(stage, servers.NGTCP2_PORT)


def ngtcp2_fetches_from_nginx(stage):
    status, log = run_peer(stage, "gtlsclient", "-q", "--exit-on-all-streams-close", "--download", "/srv/millrace",
                                 "--sni", "millrace.test", PEER_IP, str(servers.NGINX_PORT),
                                 f"https://millrace.test:{servers.NGINX_PORT}/big")
    tap.expect_equal(status, 0, log)
    tap.expect_equal(sha256_of(stage.folder / "big"), stage.digest)


def aioquic_fetches_from_nginx(stage):
    (stage.folder / "aioquic_get.py").write_bytes((HERE / "aioquic_get.py").read_bytes())
    status, log = run_peer(stage, "python3", "/srv/millrace/aioquic_get.py", f"https://{PEER_IP}:{servers.NGINX_PORT}/big",
                                 "/srv/millrace/ca.pem", "/srv/millrace/fetched")
    tap.expect_equal((status, log.strip()), (0, "200"))
    tap.expect_equal(sha256_of(stage.folder / "fetched"), stage.digest)


def wait_for_kill():
    """Be a test that is killed while its peers run: `test_peers.py --crash`."""
    with Stage() as stage:
        (stage.folder / "www").mkdir()
        stage.namespace.ip("address", "add", f"{PEER_IP}/32", "dev", "lo")
        server = servers.start_nginx(stage)
        print(stage.namespace.name, server.child.pid, stage.folder, flush=True)
        time.sleep(60)


def mounts():
    """All but those of network namespaces, which other tests make and delete meanwhile."""
    return [line for line in Path("/proc/mounts").read_text().splitlines() if "/run/netns" not in line.split()[1]]


def a_killed_test_leaves_nothing_behind(_stage):
    before = mounts()
    child = subprocess.Popen([sys.executable, __file__, "--crash"], stdout=subprocess.PIPE, text=True)
    name, pid, folder = child.stdout.readline().split()
    child.kill()
    child.wait()
    wait_until(lambda: not Path("/proc", pid).exists(), 5, "the end of nginx")
    Namespace.remove_leftovers()
    shutil.rmtree(folder)
    tap.expect(not Path("/run/netns", name).exists(), f"{name} is still there")
    tap.expect_equal(mounts(), before, "mounts")


TESTS = [
    curl_fetches_from_nginx,
    curl_fetches_from_caddy,
    curl_fetches_from_ngtcp2,
    ngtcp2_fetches_from_nginx,
    aioquic_fetches_from_nginx,
    a_killed_test_leaves_nothing_behind,
]


def main():
    with Stage() as stage:
        (stage.folder / "www").mkdir()
        stage.digest = write_random_file(stage.folder / "www" / "big", SIZE)
        stage.namespace.ip("address", "add", f"{PEER_IP}/32", "dev", "lo")
        tap.run(TESTS, stage)


if sys.argv[1:] == ["--crash"]:
    wait_for_kill()
else:
    tap.main(main)
