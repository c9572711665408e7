#!/usr/bin/env python3
"""`millrace perf client` and `millrace perf server`, two processes joined by a memif.

    tests/dpdk/test_perf.py MILLRACE          prints TAP
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import Program  # noqa: E402
import tap  # noqa: E402

SERVER = "198.18.0.1"
SHORT = ["--duration", "0.5", "--warm-up", "0.1"]


class Pair:
    """A server, started anew; client() loads it."""

    def __init__(self, millrace, *options):
        self.millrace, self.options = millrace, options
        self.said, self.is_judged = "", True

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="mr-test-")
        self.socket = os.path.join(self.folder.name, "memif")
        self.server = Program([self.millrace, "perf", "server", "--port", f"memif:role=server,socket={self.socket}",
                               "--addr", f"{SERVER}/24", *self.options], self.folder.name, "server")
        self.server.wait_for("serving at")
        return self

    def __exit__(self, kind, *_):
        self.server.kill(signal.SIGTERM)
        self.said = self.server.log()
        self.folder.cleanup()
        if kind is None and self.is_judged:
            tap.expect_equal(self.server.process.returncode, 0, self.said)
            tap.expect("mbufs lost: 0" in self.said, self.said)

    def run(self, *options):
        return subprocess.run([self.millrace, "perf", "client", SERVER, "--port", f"memif:role=client,socket={self.socket}",
                               "--addr", "198.18.0.2/24", "--insecure", *options], capture_output=True, text=True, timeout=60,
                              check=False)

    def client(self, *options, status=0):
        done = self.run(*options, "--json")
        tap.expect_equal(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def answered(self):
        """Of the server, at its end."""
        return int(re.search(r"(\d+) operations answered", self.said).group(1))


def expect_clean(result, *kinds):
    """Nothing failed, and each operation was done."""
    for name in ("failed", "lost", "not_begun", "unfinished"):
        tap.expect_equal(result[name], 0, name)
    tap.expect_equal([each["operation"] for each in result["operations"]], list(kinds))
    for each in result["operations"]:
        tap.expect(each["done"] > 0 and each["done"] == each["begun"], each)
        latency = each["latency_us"]
        tap.expect(0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"], latency)


def bulk_data_goes_both_ways(millrace):
    with Pair(millrace) as pair:
        down = pair.client(*SHORT)
        tap.expect(down["down_bps"] > 1e6 and down["up_bps"] == 0, down["down_bps"], down["up_bps"])
        port = down["port"]
        tap.expect_equal((port["driver"], port["rx_queues"]), ("net_memif", 1))
        tap.expect(0 < port["rx_packets"] <= port["counters"]["rx_q0_packets"], port)
        tap.expect(down["machine"]["cpus"] >= 1 and down["machine"]["kernel"], down["machine"])
        up = pair.client(*SHORT, "--op", "up=endless", "--connections", "2")
        tap.expect(up["up_bps"] > 1e6 and up["down_bps"] == 0, up["down_bps"], up["up_bps"])
        tap.expect_equal((up["connections_open"], up["unfinished"]), (2, 0))
        tap.expect(len(up["time_line"]) >= 4, len(up["time_line"]))
        measured = [each["up_bps"] for each in up["time_line"] if each["measured"]]
        mean = sum(measured) / len(measured)
        tap.expect(0.5 * up["up_bps"] < mean < 2 * up["up_bps"], mean, up["up_bps"])


def a_closed_loop_of_every_operation(millrace):
    with Pair(millrace) as pair:
        result = pair.client(*SHORT, "--connections", "8", "--streams", "4", "--op", "up=100,down=1K,weight=3", "--op",
                             "uni,up=300,down=3000", "--op", "uni,up=2K", "--op", "connect", "--op", "resume,down=10", "--op",
                             "early,down=200", "--op", "rebind")
        expect_clean(result, "stream up 100 down 1024", "uni up 300 down 3000", "uni up 2048", "connect", "resume down 10",
                     "early down 200", "rebind")
        tap.expect(result["resumed"] > 0 and result["early"] > 0, result["resumed"], result["early"])
    tap.expect(pair.answered() > 0)


def the_servers_count_is_the_clients(millrace):
    with Pair(millrace) as pair:
        result = pair.client("--duration", "0.5", "--warm-up", "0", "--op", "down=100", "--connections", "3")
        expect_clean(result, "stream down 100")
    tap.expect_equal(pair.answered(), result["operations"][0]["done"])


def secret(pair, name, text):
    path = Path(pair.folder.name) / name
    path.write_text(text + "\n")
    return str(path)


def the_far_side_tells_what_it_counted(millrace):
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        file.write("a secret of some length\n")
        file.flush()
        with Pair(millrace, "--control", file.name) as pair:
            result = pair.client("--duration", "0.5", "--warm-up", "0", "--op", "down=100", "--connections", "3", "--control", file.name)
            expect_clean(result, "stream down 100")
            far, done = result["far_side"], result["operations"][0]["done"]
            counts = far["counts"]
            tap.expect(0.9 * done < counts["operations"] <= done, counts["operations"], done)
            tap.expect(abs(counts["ns"] * 1e-9 / result["measured_s"] - 1) < 0.5, counts["ns"], result["measured_s"])
            tap.expect_equal(len(counts["busy_ns"]), 1)
            tap.expect(0 < far["busiest"] <= 1 and counts["stage_ns"][far["stage"]] == max(counts["stage_ns"].values()), far)
            tap.expect(0 < counts["port"]["rx_packets"] <= counts["port"]["counters"]["rx_q0_packets"], counts["port"])
            tap.expect_equal(far["facts"]["port"]["driver"], "net_memif")
            tap.expect_equal(far["facts"]["machine"]["kernel"], result["machine"]["kernel"])
            done = pair.run(*SHORT, "--control", file.name)
            tap.expect("far side     busiest core" in done.stdout, done.stdout, done.stderr)
            done = pair.run(*SHORT, "--control", secret(pair, "other", "a secret of other length"))
            tap.expect(done.returncode == 1 and "its secret is another one" in done.stderr, done.stderr)
            done = pair.run(*SHORT, "--control", file.name, "--stop-server")
            tap.expect_equal(done.returncode, 0, done.stderr)
            tap.expect_equal(pair.server.process.wait(timeout=10), 0)
    with Pair(millrace) as pair:
        done = pair.run(*SHORT, "--control", secret(pair, "any", 20 * "x"))
        tap.expect(done.returncode == 1 and "start it with --control" in done.stderr, done.stderr)


def an_open_loop_keeps_its_rate(millrace):
    with Pair(millrace) as pair:
        for more in ([], ["--even"]):
            result = pair.client("--duration", "1", "--op", "down=100", "--rate", "500", "--connections", "20", *more)
            expect_clean(result, "stream down 100")
            begun = result["operations"][0]["begun"]
            tap.expect(400 < begun < 600, begun)
            tap.expect_equal((result["loop"], result["limited_by"]["what"]), ("open", "rate"))


def handshakes_with_a_server_of_another_protocol(millrace):
    """HTTP/3's, whose own streams are let be: a connection that is kept stays open beside those that come and go."""
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        socket = os.path.join(folder, "memif")
        server = Program([millrace, "edge", "--port", f"memif:role=server,socket={socket}", "--addr", f"{SERVER}/24", "--root",
                          folder, "--listen-port", "4433", "--drain", "0"], folder, "edge")
        server.wait_for("edge: serving")
        words = [millrace, "perf", "client", SERVER, "--port", f"memif:role=client,socket={socket}", "--addr", "198.18.0.2/24",
                 "--insecure", *SHORT, "--connections", "3", "--op", "connect"]
        done = subprocess.run([*words, "--alpn", "h3", "--json"], capture_output=True, text=True, timeout=60, check=False)
        tap.expect_equal(done.returncode, 0, done.stdout + done.stderr)
        result = json.loads(done.stdout)
        expect_clean(result, "connect")
        tap.expect_equal(result["connections_open"], 3)
        done = subprocess.run([*words, "--timeout", "0.5"], capture_output=True, text=True, timeout=60, check=False)
        tap.expect(done.returncode == 1 and 'speaks "perf"' in done.stderr, done.stderr)
        server.kill(signal.SIGTERM)
        worked = float(re.search(r"^edge: polling cores worked ([\d.]+) s$", server.log(), re.MULTILINE).group(1))
        tap.expect(0 < worked < 60, worked)
        tap.expect("reset" not in server.log() and "mbufs lost: 0" in server.log(), server.log())


def milliseconds(text):
    number, unit = text.split()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def a_stalled_server_is_seen_by_all_that_were_due(millrace):
    """No coordinated omission: while the server stands still for 0.4 s of 2.5 s, operations go on being due."""
    with Pair(millrace) as pair:
        client = subprocess.Popen(
            [pair.millrace, "perf", "client", SERVER, "--port", f"memif:role=client,socket={pair.socket}", "--addr",
             "198.18.0.2/24", "--insecure", "--warm-up", "0.2", "--duration", "2.5", "--op", "down=100", "--rate", "1000",
             "--even", "--connections", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            said = ""
            while "measuring" not in said:  # within the first of the 2.5 seconds
                line = client.stderr.readline()
                tap.expect(line, f"it ended without measuring: {said}")
                said += line
            os.kill(pair.server.pid, signal.SIGSTOP)
            time.sleep(0.4)
            os.kill(pair.server.pid, signal.SIGCONT)
            out, said = client.communicate(timeout=60)
        finally:
            client.kill()
        tap.expect_equal(client.returncode, 0, said)
        row = next(line for line in out.splitlines() if line.startswith("stream down 100"))
        _, p90, *_, most = re.findall(r"[\d.]+ (?:us|ms|s)\b", row)
        tap.expect(milliseconds(most) > 300 and milliseconds(p90) > 50, row)
        late = int(re.search(r"begun late (\d+)", out).group(1))
        tap.expect(late > 100, late)  # two could wait on the connections, the others in line


def a_search_finds_a_rate_that_is_kept(millrace):
    with Pair(millrace) as pair:
        result = pair.client("--duration", "0.5", "--trial", "0.2", "--op", "down=100", "--search", "--rate", "400", "--connections",
                             "20", "--streams", "8")
        kept = [each["rate"] for each in result["tried"] if each["kept"]]
        lost = [each["rate"] for each in result["tried"] if not each["kept"]]
        tap.expect(result["tried"][0]["rate"] == 400 and kept and lost and max(kept) < min(lost), result["tried"])
        tap.expect_equal(result["rate_asked"], max(kept))
        tap.expect(min(lost) / max(kept) <= 1.021, kept, lost)


def what_fails_is_told(millrace):
    with Pair(millrace, "--streams", "2") as pair:
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--op", "down=100")
        tap.expect_equal(done.returncode, 0, done.stderr)
        page = Path(pair.folder.name) / "page.html"
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--op", "down=100", "--html", page)
        tap.expect_equal(done.returncode, 0, done.stderr)
        html = page.read_text()
        tap.expect(html.count("<svg") == 4 and html.count("</svg>") == 4 and "Limited by" in html and "nan" not in html, html)
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--html", "/nowhere/page.html")
        tap.expect(done.returncode == 1 and "/nowhere/page.html" in done.stderr, done.stderr)
        for words in ("operation", "goodput", "limited by", "this side", "port"):
            tap.expect(words in done.stdout, done.stdout)
    with Pair(millrace) as pair:
        pair.server.kill(signal.SIGKILL)
        done = pair.run("--duration", "0.3", "--timeout", "0.5")
        tap.expect_equal(done.returncode, 1, done.stdout)
        tap.expect(done.stderr.startswith("millrace perf client: "), done.stderr)
        pair.is_judged = False


def mistakes_are_told_before_anything_starts(millrace):
    base = ["--port", "memif:role=client,socket=@mr-test-nobody", "--addr", "198.18.0.2/24"]
    for words, says in (([], "no server"), (["198.18.0"], "not an address"), (["198.18.0.2"], "gives this command itself"),
                        (["10.0.0.1"], "no route"), ([SERVER, "--op", "down=x"], "none of up=SIZE"),
                        ([SERVER, "--op", "early"], "nothing would go in 0-RTT"),
                        ([SERVER, "--op", "rebind,down=1"], "nothing is asked for beside a rebind"),
                        ([SERVER, "--shards", "2"], "each needs one"), ([SERVER, "--rate", "-1"], "--rate"),
                        ([SERVER, "--search"], "an endless operation is never done"),
                        ([SERVER, "--stop-server"], "needs --control"), ([SERVER, "--control", "/nowhere"], "No such file"),
                        ([SERVER, "--control", "/dev/null"], "head -c 24"),
                        ([SERVER, "--alpn", "h3"], "give --op connect"), ([SERVER, "--alpn", "h3", "--op", "connect,down=1"], "h3"),
                        ([SERVER, "--alpn", "x" * 33, "--op", "connect"], "1 to 32 bytes")):
        done = subprocess.run([millrace, "perf", "client", *words, *base], capture_output=True, text=True, timeout=20, check=False)
        tap.expect_equal(done.returncode, 2, f"{words}: {done.stderr}")
        tap.expect(says in done.stderr and done.stderr.count("\n") == 1, words, done.stderr)


tap.main(lambda: tap.run([bulk_data_goes_both_ways, a_closed_loop_of_every_operation, the_servers_count_is_the_clients,
                          the_far_side_tells_what_it_counted, an_open_loop_keeps_its_rate,
                          a_stalled_server_is_seen_by_all_that_were_due,
                          a_search_finds_a_rate_that_is_kept, handshakes_with_a_server_of_another_protocol, what_fails_is_told,
                          mistakes_are_told_before_anything_starts], sys.argv[1]))
