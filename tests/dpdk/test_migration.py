#!/usr/bin/env python3
"""Connections that change their addresses, between two programs over shared memory: no root, no network.

    tests/dpdk/test_migration.py MILLRACE          prints TAP
"""
import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent import futures
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
SECONDS = 60
SIZE = 64 << 20


class World:
    """`millrace edge` with two addresses, and a file of known content."""

    def __init__(self, *options):
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-migration-"))
        (self.folder / "www").mkdir()
        content = random.Random(1).randbytes(1 << 20) * (SIZE >> 20)
        (self.folder / "www" / "big").write_bytes(content)
        self.digest = hashlib.sha256(content).hexdigest()
        self.edge = subprocess.Popen(
            [PROGRAM, "edge", "--port", f"memif:role=server,socket={self.folder}/memif", "--addr", "198.18.0.2/24", "--addr",
             "198.18.0.3/24", "--root", self.folder / "www", "--control", self.folder / "control", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        tap.expect("serving" in self.edge.stdout.readline(), "edge does not start")

    def get(self, *options):
        """What `millrace get --json` says; the file must have come whole."""
        got = subprocess.run(
            [PROGRAM, "get", "https://198.18.0.2/big", "--port", f"memif:role=client,socket={self.folder}/memif", "--addr",
             "198.18.0.1/24", "--insecure", "--json", "-o", self.folder / "got", *options], capture_output=True, text=True,
            timeout=SECONDS, check=False)
        tap.expect_equal(got.returncode, 0, got.stderr)
        tap.expect_equal(hashlib.sha256((self.folder / "got").read_bytes()).hexdigest(), self.digest)
        return json.loads(got.stdout)

    def ctl(self, *words):
        out = subprocess.run([PROGRAM, "ctl", *words, "--json", "--control", self.folder / "control"], capture_output=True,
                             text=True, timeout=SECONDS, check=True).stdout
        return json.loads(out)

    def counters(self):
        return self.ctl("counters")

    def end(self):
        self.edge.terminate()
        self.edge.communicate(timeout=SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def world(*options):
    w = World(*options)
    try:
        yield w
    finally:
        w.end()


def a_client_migrates_while_a_file_arrives():
    with world() as w:
        result = w.get("--migrate-after", "0")
        tap.expect(result["local_port"] != result["local_port_before"], result)
        counters = w.counters()
        tap.expect_equal((counters["rebindings"], counters["migrations"], counters["paths_failed"]), (1, 0, 0))
        tap.expect(counters["paths_validated"] >= 1, counters["paths_validated"])


def a_client_migrates_before_an_io_lcore():
    """Who tells connection IDs from addresses notices no difference."""
    with world("--shards", "1", "--io-lcores", "1") as w:
        result = w.get("--migrate-after", "0")
        tap.expect(result["local_port"] != result["local_port_before"], result)


def a_client_goes_to_the_preferred_address():
    with world("--preferred", "198.18.0.3:4433") as w:
        w.get()
        tap.expect_equal(w.counters()["migrations"], 1)
        result = w.get("--migrate-after", "0")
        tap.expect(result["local_port"] != result["local_port_before"], result)
        tap.expect_equal(w.counters()["migrations"], 2)


def a_client_uses_several_paths():
    with world("--paths", "4") as w:
        result = w.get("--addr", "198.18.0.4/24", "--addr", "198.18.0.5/24", "--path", "198.18.0.4,198.18.0.5")
        paths = {path["local"]: path for path in result["paths"]}
        tap.expect_equal(sorted(paths), ["198.18.0.1", "198.18.0.4", "198.18.0.5"])
        for path in paths.values():
            tap.expect(path["state"] == "open" and path["rtt_us"] > 0 and path["bytes_sent"] > 0, path)
        counters = w.counters()
        tap.expect_equal((counters["multipath_agreed"], counters["multipath_opened"]), (1, 2))


def what_each_path_does_is_shown():
    """`ctl paths`, while a file arrives by three."""
    with world("--paths", "4") as w:
        with futures.ThreadPoolExecutor(1) as pool:
            got = pool.submit(w.get, "--addr", "198.18.0.4/24", "--addr", "198.18.0.5/24", "--path", "198.18.0.4,198.18.0.5")
            seen = []
            while not seen and not got.done():
                seen = [conn for conn in w.ctl("conns", "0")["conns"] if conn["paths"] == 3]
            tap.expect_equal([conn["paths"] for conn in seen], [3])
            paths = w.ctl("paths", seen[0]["conn"])
            got.result()
        tap.expect_equal([path["path"] for path in paths], [0, 1, 2])
        tap.expect_equal([path["remote"].partition(":")[0] for path in paths], ["198.18.0.1", "198.18.0.4", "198.18.0.5"])
        tap.expect_equal(["bytes_received" in path for path in paths], [False, True, True])
        for path in paths:
            tap.expect(path["state"] in ("open", "checking") and path["mtu"] >= 1200, path)
            tap.expect(path["bytes_sent"] > 0 or path["state"] == "checking", path)  # its answer may be on its way
            tap.expect(path.get("bytes_received", 1200) >= 1200 and path["cwnd_bytes"] > 0, path)


def paths_are_not_opened_to_a_server_that_takes_one():
    with world() as w:
        result = w.get("--addr", "198.18.0.4/24", "--path", "198.18.0.4")
        tap.expect_equal([path["path"] for path in result["paths"]], [0])
        tap.expect_equal(w.counters()["multipath_agreed"], 0)


def a_preferred_address_must_be_ours():
    for text, words in (("198.18.0.9", "not one of the addresses"), ("nonsense", "not one of the addresses")):
        got = subprocess.run([PROGRAM, "edge", "--port", "memif:role=server,socket=@millrace-migration", "--addr",
                              "198.18.0.2/24", "--root", "/tmp", "--preferred", text], capture_output=True, text=True,
                             timeout=SECONDS, check=False)
        tap.expect(got.returncode != 0 and words in got.stderr, f"{got.returncode}: {got.stderr}")


def main():
    tap.run([a_client_migrates_while_a_file_arrives, a_client_migrates_before_an_io_lcore, a_client_uses_several_paths,
             what_each_path_does_is_shown, paths_are_not_opened_to_a_server_that_takes_one,
             a_client_goes_to_the_preferred_address, a_preferred_address_must_be_ours])


if __name__ == "__main__":
    tap.main(main)
