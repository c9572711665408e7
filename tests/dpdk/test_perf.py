#!/usr/bin/env python3
"""`millrace perf client` and `millrace perf server`, two processes joined by a memif.

    tests/dpdk/test_perf.py MILLRACE          prints TAP
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import Program  # noqa: E402
import tap  # noqa: E402

SERVER = "198.18.0.1"
SHORT = ["--duration", "0.5", "--warm-up", "0.1"]
CPUS = sorted(os.sched_getaffinity(0))


class Pair:
    """A server, started anew; client() loads it."""

    def __init__(self, millrace, *options, client_cpu=CPUS[-1]):
        self.millrace, self.options, self.client_cpu = millrace, options, client_cpu
        self.said, self.is_judged = "", True

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="mr-test-")
        self.socket = os.path.join(self.folder.name, "memif")
        self.server = Program([self.millrace, "perf", "server", "--port", f"memif:role=server,socket={self.socket}",
                               "--addr", f"{SERVER}/24", "--cores", str(CPUS[0]), *self.options], self.folder.name, "server")
        self.server.wait_for("serving at")
        return self

    def __exit__(self, kind, *_):
        self.server.kill(signal.SIGTERM)
        self.said = self.server.log()
        self.folder.cleanup()
        if kind is None and self.is_judged:
            tap.expect_equal(self.server.process.returncode, 0, self.said)
            tap.expect("mbufs lost: 0" in self.said, self.said)

    def command(self, *options):
        return [self.millrace, "perf", "client", SERVER, "--port", f"memif:role=client,socket={self.socket}", "--addr", "198.18.0.2/24",
                "--insecure", "--cores", str(self.client_cpu), *options]

    def run(self, *options):
        return subprocess.run(self.command(*options), capture_output=True, text=True, timeout=60, check=False)

    def client(self, *options, status=0):
        done = self.run(*options, "--json")
        tap.expect_equal(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def answered(self):
        """Of the server, at its end."""
        return int(re.search(r"(\d+) operations answered", self.said).group(1))


def is_disturbed(limit):
    """Others run on the cores, and that comes first."""
    return limit["stalled_part"] >= 0.1 or "its core was shared" in limit["why"]


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
        tap.expect_equal((port["driver"], port["rx_queues"], port["rx_descriptors"], port["tx_descriptors"]), ("net_memif", 1, 1024, 1024))
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
        for each in result["operations"]:
            is_resumed, is_early = (each["operation"].startswith(words) for words in (("resume", "early"), "early"))
            tap.expect(is_resumed <= each["resumed"] <= is_resumed * each["begun"], each)
            tap.expect(is_early <= each["early"] <= is_early * each["begun"], each)
        done = pair.run(*SHORT, "--op", "resume", "--op", "early,down=200")
        tap.expect(re.search(r"^resume .* resumed \d+ of \d+$", done.stdout, re.MULTILINE), done.stdout)
        tap.expect(re.search(r"^early .* resumed \d+ of \d+, 0-RTT \d+$", done.stdout, re.MULTILINE), done.stdout)
    tap.expect(pair.answered() > 0)
    tap.expect("requests" not in pair.said and re.search(r"^perf: \d+ connections; [\d.]+ \w+ sent, ", pair.said, re.MULTILINE), pair.said)


def the_servers_count_is_the_clients(millrace):
    with Pair(millrace) as pair:
        result = pair.client("--duration", "0.5", "--warm-up", "0", "--op", "down=100", "--connections", "3")
        expect_clean(result, "stream down 100")
    tap.expect_equal(pair.answered(), result["operations"][0]["done"])


def rates_are_of_what_ended_in_the_measured_time(millrace):
    """Operations longer than that are done, and have a latency, but none of them was done in it; the rows' sum is the whole."""
    with Pair(millrace) as pair:
        page = Path(pair.folder.name) / "page.html"
        result = pair.client("--connections", "2", "--duration", "0.1", "--warm-up", "0", "--op", "down=1500M", "--html", page, "--timeout", "60")
        row = result["operations"][0]
        tap.expect_equal((row["done"], row["done_per_s"], result["done_per_s"]), (2, 0, 0))
        tap.expect(row["latency_us"]["p50"] > 1e5, row)
        tap.expect(re.search(r"stream down \d+<td>0\.0<td>2<td>2<td>0", page.read_text()), page.read_text())
        result = pair.client(*SHORT, "--op", "down=100", "--op", "connect", "--op", "up=10,weight=3", "--connections", "3")
        sum_of_rows = sum(each["done_per_s"] for each in result["operations"])
        tap.expect(abs(sum_of_rows - result["done_per_s"]) <= 10 / result["measured_s"], sum_of_rows, result["done_per_s"])


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
            quic = pair.client(*SHORT, "--op", "connect", "--control", file.name)["far_side"]["counts"]["quic"]
            # A connection is closed when the server, too, has its handshake behind it; but for one that stood still meanwhile.
            tap.expect(quic["handshakes_completed"] > 0 and 20 * quic["handshakes_failed"] <= quic["handshakes_completed"], quic)
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


def losses_of_either_side_are_asked_for_and_counted_apart(millrace):
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        file.write("a secret of some length\n")
        file.flush()
        with Pair(millrace, "--control", file.name, "--loss", "received=1") as pair:
            load = [*SHORT, "--op", "down=100", "--op", "down=20K", "--op", "connect", "--rate", "1000", "--connections", "20",
                    "--timeout", "20", "--control", file.name]
            result = pair.client(*load, "--loss", "sent=5%,received=3", "--far-loss", "sent=10")
            expect_clean(result, "stream down 100", "stream down 20480", "connect")
            near, far = result["loss"], result["far_side"]["counts"]["loss"]
            for losses, direction, part in ((near, "sent", 0.05), (near, "received", 0.03), (far, "sent", 0.1), (far, "received", 0)):
                lost, count = losses[direction + "_lost"], losses[direction]
                tap.expect(count > 300 and abs(lost - part * count) <= 6 * (part * count) ** 0.5, direction, lost, count)
            tap.expect_equal(near["asked"], {"sent": 0.05, "received": 0.03})
            tap.expect_equal(result["far_side"]["facts"]["loss"], {"sent": 0.1, "received": 0.0})
            tap.expect_equal([result["port"][name] for name in ("rx_missed", "rx_no_buffer", "rx_errors", "tx_errors")], 4 * [0])
            tap.expect(result["port"]["tx_packets"] <= near["sent"] - near["sent_lost"] + 10, result["port"], near)
            tap.expect(result["quic"]["packets_lost"] > 0 and result["far_side"]["counts"]["quic"]["packets_lost"] > 0, result["quic"])
            tap.expect(any(each["lost_part"] > 0 for each in result["time_line"]), result["time_line"])
            result = pair.client(*load)  # the server is as it was started again
            tap.expect_equal(result["loss"]["sent"] + result["loss"]["received"], 0)
            tap.expect_equal(result["far_side"]["facts"]["loss"], {"sent": 0.0, "received": 0.01})
            done = pair.run(*load, "--loss", "sent=1", "--far-loss", "sent=1")
            tap.expect(re.search(r"^loss here +on purpose: .*^loss there +on purpose: ", done.stdout, re.M | re.S), done.stdout, done.stderr)
        tap.expect(re.search(r"^perf: lost on purpose: \d\d+ of \d+ datagrams sent, \d+ of", pair.said, re.M), pair.said)


def a_window_that_is_full_is_named_on_either_side(millrace):
    """Losses keep the congestion window of who sends small; the operation is the default one, or has an end."""
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        file.write("a secret of some length\n")
        file.flush()
        with Pair(millrace, "--control", file.name) as pair:
            for words, losses in (([], ["--loss", "received=10"]), (["--op", "down=4M"], ["--far-loss", "sent=10"]),
                                  (["--op", "up=4M"], ["--loss", "sent=10"])):
                result = pair.client("--duration", "1", "--warm-up", "0.2", "--timeout", "20", "--control", file.name, *words, *losses)
                side = result["limited_by"] if "up=4M" in words else result["far_side"]
                tap.expect_equal(abs(sum(side["not_sending_for"].values()) - 1) < 1e-3, True, side["not_sending_for"])
                if is_disturbed(result["limited_by"]):
                    continue
                tap.expect_equal(result["limited_by"]["what"], "congestion control", (words, result["limited_by"], side["not_sending_for"]))
                tap.expect_equal("the server's" in result["limited_by"]["why"], side is result["far_side"], result["limited_by"])
            samples = result["far_side"]["counts"]["not_sending_for"]
            tap.expect(500 < sum(samples.values()) < 3000, samples)  # one each millisecond, the server asleep or not


def flow_control_is_named_on_either_side(millrace):
    """Windows of 16 KiB are used up before the receiver looks again."""
    small = ["--stream-window", "16K", "--connection-window", "16K"]
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        file.write("a secret of some length\n")
        file.flush()
        with Pair(millrace, "--control", file.name, *small) as pair:
            for words, whose in ((["--op", "up=endless"], "the peer's flow control: "), (small, "this side's flow control: ")):
                for _ in range(5):
                    result = pair.client("--duration", "0.5", "--warm-up", "0.2", "--control", file.name, *words)
                    side = result["limited_by"] if "up=endless" in words else result["far_side"]
                    tap.expect(side["not_sending_for"]["flow control"] > 0.5, words, side["not_sending_for"])
                    if not is_disturbed(result["limited_by"]):
                        tap.expect_equal(result["limited_by"]["what"], "flow control", result["limited_by"])
                        tap.expect(result["limited_by"]["why"].startswith(whose), result["limited_by"]["why"])
                        break


@contextlib.contextmanager
def pulsing(pid, stop_s, go_s):
    """The process stands still again and again."""
    is_over = threading.Event()

    def pulse():
        with contextlib.suppress(ProcessLookupError):
            while not is_over.is_set():
                os.kill(pid, signal.SIGSTOP)
                is_over.wait(stop_s)
                os.kill(pid, signal.SIGCONT)
                is_over.wait(go_s)

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def limit_of(pair, pid, stop_s, go_s, *options):
    """Who is named while one of the two stands still so much of the time."""
    client = client_of(pair, *options, "--json", "--duration", "1.5")
    time.sleep(1)  # it starts
    with pulsing(pid or client.pid, stop_s, go_s):
        time.sleep(1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(4)
    out, said = client.communicate(timeout=60)
    tap.expect(client.returncode == 0, said)
    return json.loads(out)["limited_by"]


def port_and_peer_and_generator_are_named(millrace):
    """A port whose queue nobody empties, a server that does less than both sides could, a generator that does not get its core."""
    with Pair(millrace, "--loss", "sent=10") as pair:
        for _ in range(5):
            limit = limit_of(pair, pair.server.pid, 0.04, 0.005, "--op", "up=endless", "--warm-up", "0.5")
            if limit["what"] == "port":  # not, where the window did not grow in between
                break
        tap.expect(is_disturbed(limit) or (limit["what"] == "port" and "its transmit queue was full" in limit["why"]), limit)
        limit = limit_of(pair, None, 0.02, 0.01, "--op", "down=100")
        tap.expect(limit["what"] == "generator" and ("stood still for" in limit["why"] or "was shared" in limit["why"]), limit)
        for _ in range(5):
            limit = pair.client(*SHORT)["limited_by"]
            if not is_disturbed(limit):
                tap.expect(limit["what"] == "peer or path" and "the peer, or the path to it" in limit["why"], limit)
                break


def a_core_that_both_have_is_named(millrace):
    """Where the two programs poll on one CPU neither of them is what limits."""
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        file.write("a secret of some length\n")
        file.flush()
        with Pair(millrace, "--control", file.name, "--polling", "busy", client_cpu=CPUS[0]) as pair:
            page = Path(pair.folder.name) / "page.html"
            result = pair.client(*SHORT, "--op", "down=4000", "--control", file.name, "--html", page)
            limit = result["limited_by"]
            if limit["cpu_share"] is None:
                return  # this kernel does not tell
            tap.expect(limit["cpu_share"] < 0.9 and limit["what"] == "generator", limit)
            tap.expect(re.match(r"the generator: its core was shared: a polling thread had [\d.]+ % of it; ", limit["why"]), limit["why"])
            tap.expect(0 < result["far_side"]["cpu_share"] < 0.9, result["far_side"])
            tap.expect("the generator: its core was shared" in page.read_text(), page.read_text())
            done = pair.run(*SHORT, "--op", "down=4000", "--control", file.name)
            for words in (r"^this side .*; had [\d.]+ % of its core$", r"^far side .*; had [\d.]+ % of its core$",
                          r"^limited by +the generator: its core was shared: "):
                tap.expect(re.search(words, done.stdout, re.M), words, done.stdout)


def an_open_loop_keeps_its_rate(millrace):
    with Pair(millrace) as pair:
        for more in ([], ["--even"]):
            result = pair.client("--duration", "1", "--op", "down=100", "--rate", "500", "--connections", "20", *more)
            expect_clean(result, "stream down 100")
            begun = result["operations"][0]["begun"]
            tap.expect(400 < begun < 600, begun)
            late = result["late"] / begun  # where others run on the core
            tap.expect_equal(result["loop"], "open")
            if abs(late - 0.01) > 0.001 and not is_disturbed(result["limited_by"]):
                tap.expect_equal(result["limited_by"]["what"] == "rate", late < 0.01, (result["limited_by"], late))


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


def connections_of_edge_sleep(millrace):
    """With --awake, and how many do is said, in bytes by `ctl memory`."""
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        socket, control = os.path.join(folder, "memif"), os.path.join(folder, "control")
        server = Program([millrace, "edge", "--port", f"memif:role=server,socket={socket}", "--addr", f"{SERVER}/24", "--root",
                          folder, "--listen-port", "4433", "--drain", "0", "--awake", "16", "--stats", "0.5", "--control", control],
                         folder, "edge")
        server.wait_for("edge: serving")
        client = subprocess.Popen(
            [millrace, "perf", "client", SERVER, "--port", f"memif:role=client,socket={socket}", "--addr", "198.18.0.2/24",
             "--insecure", "--duration", "12", "--warm-up", "0.1", "--connections", "30", "--op", "connect", "--rate", "2",
             "--alpn", "h3", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asleep = 0
        for _ in range(250):
            done = subprocess.run([millrace, "ctl", "--control", control, "--json", "memory"], capture_output=True, text=True,
                                  timeout=10, check=False)
            memory = json.loads(done.stdout)[0]
            asleep = max(asleep, memory["asleep"])
            if asleep >= 19:
                break
            time.sleep(0.1)
        tap.expect(asleep >= 19 and memory["asleep_bytes"] == 1280 * memory["asleep"], memory)
        tap.expect(memory["awake"] <= 16 and memory["streams_asleep"] >= 2 * memory["asleep"], memory)
        out, err = client.communicate(timeout=60)
        tap.expect_equal(client.returncode, 0, out + err)
        expect_clean(json.loads(out), "connect")
        server.kill(signal.SIGTERM)
        log = server.log()
        tap.expect(re.search(r"^edge: \d+ connections, (19|2\d|30) asleep, ", log, re.MULTILINE), log)
        tap.expect(re.search(r"^edge: connections slept \d+ times, woke \d+ times$", log, re.MULTILINE), log)
        tap.expect("mbufs lost: 0" in log, log)


def milliseconds(text):
    number, unit = text.split()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def client_of(pair, *options):
    return subprocess.Popen(pair.command(*(() if "--warm-up" in options else ("--warm-up", "0.2")), *options), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def telling(pair, what, *options):
    """A client that says so."""
    client = client_of(pair, *options)
    said = ""
    while not re.search(what, said):
        line = client.stderr.readline()
        if not line:
            client.kill()
        tap.expect(line, f"it ended without {what}: {said}")
        said += line
    return client


def measuring(pair, *options):
    return telling(pair, "measuring", *options)


def a_stalled_server_is_seen_by_all_that_were_due(millrace):
    """No coordinated omission: while the server stands still for 0.4 s of 2.5 s, operations go on being due."""
    with Pair(millrace) as pair:
        client = measuring(pair, "--duration", "2.5", "--op", "down=100", "--rate", "1000", "--even", "--connections", "2")
        try:
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


def a_server_that_was_silent_for_a_while_is_named(millrace):
    """It answers again at the end, and all that was due is done."""
    with Pair(millrace) as pair:
        client = measuring(pair, "--duration", "4", "--op", "down=4000", "--rate", "2000", "--timeout", "10")
        try:
            time.sleep(0.5)
            os.kill(pair.server.pid, signal.SIGSTOP)
            time.sleep(1.5)
            os.kill(pair.server.pid, signal.SIGCONT)
            out, said = client.communicate(timeout=60)
        finally:
            client.kill()
        tap.expect_equal(client.returncode, 0, said)
        silent = re.search(r"^limited by +the server, or the path to it: nothing came from there for ([\d.]+) s, with operations", out, re.M)
        tap.expect(silent and 1.2 < float(silent.group(1)) < 3, out)


def a_search_finds_a_rate_that_is_kept(millrace):
    with Pair(millrace) as pair:
        result = pair.client("--duration", "0.5", "--trial", "0.2", "--op", "down=100", "--search", "--rate", "400", "--connections",
                             "20", "--streams", "8")
        kept = [each["rate"] for each in result["tried"] if each["kept"]]
        lost = [each["rate"] for each in result["tried"] if each["rate"] not in kept]
        tap.expect_equal([lost.count(rate) for rate in lost], [2] * len(lost))
        tap.expect(result["tried"][0]["rate"] == 400 and kept and lost and max(kept) < min(lost), result["tried"])
        tap.expect_equal(result["rate_asked"], max(kept))
        tap.expect(min(lost) / max(kept) <= 1.021, kept, lost)
        tap.expect(result["limited_by"]["what"] != "rate", result["limited_by"])  # but what limited the least that was not kept


def a_search_whose_rate_is_not_kept_afterwards_says_so(millrace):
    """The server stands still again and again once the search is over; nothing fails for that."""
    words = ["--op", "down=100", "--search", "--rate", "200", "--trial", "0.2", "--connections", "2", "--duration", "3", "--timeout", "20"]
    with Pair(millrace) as pair:
        page = Path(pair.folder.name) / "page.html"
        client = measuring(pair, *words, "--html", page)
        with pulsing(pair.server.pid, 0.2, 0.05):
            time.sleep(3)
        out, said = client.communicate(timeout=60)
        tap.expect_equal(client.returncode, 0, said)
        tap.expect(re.search(r"^not kept +[\d.e+]+/s, which the search found: the final measurement did not keep it: .* began late, 0 failed, "
                             r"\d+ were not begun; ", out, re.M), out)
        tap.expect(re.search(r"^tried .* failed 0  not begun 0  kept$", out, re.M), out)
        tap.expect("/s; the final measurement did not keep it: " in page.read_text(), page.read_text())
        tap.expect(not re.search("^limited by +the rate that was asked for", out, re.M), out)
        result = pair.client(*words[:-4], *SHORT)
        tap.expect(result["not_kept"] is None or "did not keep it" in result["not_kept"], result["not_kept"])
        for each in result["tried"]:
            tap.expect_equal(each["failed"], 0, each)
        tap.expect_equal(pair.client(*SHORT)["not_kept"], None)


def a_search_that_comes_to_nothing_keeps_what_was_tried(millrace):
    """The server stands still for good, or the user has enough of it: at once, not after thirty halvings of the rate."""
    for how, why in (("SIGSTOP", r"the search ended: nothing came from 198\.18\.0\.1 for 0\.5 s"),
                     ("SIGINT", "interrupted while (searching|resting)")):
        with Pair(millrace) as pair:
            page = Path(pair.folder.name) / "page.html"
            client = telling(pair, "(searching.*\n){2}", "--op", "down=100", "--search", "--rate", "100", "--trial", "0.5", "--connections",
                             "20", "--streams", "8", "--timeout", "0.5", "--html", page)
            began = time.monotonic()
            os.kill(client.pid if how == "SIGINT" else pair.server.pid, getattr(signal, how))
            out, said = client.communicate(timeout=60)
            tap.expect(time.monotonic() - began < 6, time.monotonic() - began, said)
            pair.server.kill()
            tap.expect_equal(client.returncode, 1, (how, out, said))
            tap.expect(re.search(f"^not measured {why}", out, re.M) and re.search(f"nothing was measured: {why}", said), out, said)
            tried = re.findall(r"^tried +([\d.e+]+)/s .*\d  (kept|not kept)$", out, re.M)
            best = max((float(rate) for rate, kept in tried if kept == "kept"), default=0)
            tap.expect(tried and (best == 0 or f"best kept    {best:g}/s; --rate {best:g} measures it" in out), out)
            html = page.read_text()
            tap.expect("Not measured: " in html and "Rates tried" in html and "nan" not in html and "inf" not in html, html)
            pair.is_judged = False
    with Pair(millrace) as pair:
        search = ["--connections", "0", "--op", "connect", "--search", "--rate", "200", "--trial", "0.3"]
        result = pair.client(*search, "--alpn", "other", status=1)  # it answers, and does nothing
        tap.expect(re.search(r"the server did none, .*: a connection could not be made", result["not_measured"]), result["not_measured"])
        tap.expect_equal((result["limited_by"]["what"], result["measured_s"], result["tried"][0]["kept"]), ("nothing measured", 0, False))
        words = ["198.18.0.9" if word == SERVER else word for word in pair.command(*search, "--timeout", "0.5")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)  # nobody is there
        tap.expect(done.returncode == 1 and done.stdout.count("\ntried") <= 2, done.stdout)
        tap.expect("the search ended: nothing came from 198.18.0.9 for 0.5 s" in done.stderr, done.stderr)


def a_server_that_dies_is_told_and_this_side_all_the_same(millrace):
    """Killed, or standing still for good, while it is measured; what this side measured is not lost with it."""
    with tempfile.NamedTemporaryFile("w", suffix=".secret") as file:
        file.write("a secret of some length\n")
        file.flush()
        orders = ["--control", file.name, "--stop-server", "--far-loss", "sent=1"]
        for more in ([*orders, "--op", "up=100,down=100"], ["--op", "up=100,down=100"], [],
                     ["--op", "uni,down=endless"]):
            with Pair(millrace, "--control", file.name) as pair:
                page = Path(pair.folder.name) / "page.html"
                client = measuring(pair, *more, "--duration", "4", "--timeout", "1.5", "--html", page)
                os.kill(pair.server.pid, signal.SIGKILL if "--control" in more else signal.SIGSTOP)
                out, said = client.communicate(timeout=60)
                pair.server.kill()
                tap.expect_equal(client.returncode, 1, (more, out, said))
                tap.expect(re.search(r"^limited by +the server, or the path to it: nothing came from there in the last [\d.]+ s", out, re.M)
                           and re.search(r"unfinished 1$", out, re.M), more, out, said)
                frames = [float(each) for each in re.search(r"^port +(\d+) frames/s in, (\d+) out", out, re.MULTILINE).groups()]
                packets = [float(each) for each in re.search(r"^packets +(\d+)/s sent, (\d+)/s received", out, re.MULTILINE).groups()]
                tap.expect(0.9 * packets[1] <= frames[0] < 1e8, packets, frames)  # DPDK's memif forgets all when the other end is gone
                tap.expect(0.9 * packets[0] - 100 <= frames[1] < 1e8, packets, frames)
                tap.expect_equal("far side     missing: " in out, more[:1] == ["--control"], out)
                tap.expect_equal("the far side are missing: " in page.read_text(), more[:1] == ["--control"], out)
                tap.expect_equal("no answer" in said, more[:1] == ["--control"], said)
                pair.is_judged = False


def a_server_that_ends_is_told(millrace):
    """It closes its connections and refuses others, so that none is left open that nobody answers; then there is nobody."""
    with Pair(millrace) as pair:
        client = measuring(pair, "--duration", "50", "--timeout", "2", "--connections", "4", "--streams", "8", "--op", "down=100000")
        os.kill(pair.server.pid, signal.SIGTERM)
        out, said = client.communicate(timeout=40)
    tap.expect_equal(client.returncode, 1, (out, said))
    tap.expect("\nperf: 4 connections; " in pair.said, pair.said)  # none since
    tap.expect("no connection is left, and nothing came from 198.18.0.1 for 2 s (--timeout): it has ended" in said, said)
    tap.expect(re.search(r"^failed +4 x a connection ended \(code 0x100\)$", out, re.MULTILINE), out)
    tap.expect("unfinished 0\nconnections  0 open, " in out and "limited by   the server, or the path to it: nothing came" in out, out)


def a_run_that_is_interrupted_says_so(millrace):
    with Pair(millrace) as pair:
        page = Path(pair.folder.name) / "page.html"
        page.write_text(1000000 * "what was there before ")
        for more in ([], ["--json"]):
            words = [*more, "--html", page, "--op", "down=100", "--duration", "30"]
            for seconds in (2.5, 5, 10) if more else [0]:  # it shows no progress; a slow machine may have no connection yet
                client = client_of(pair, *words) if more else measuring(pair, *words)
                time.sleep(seconds)
                client.send_signal(signal.SIGINT)
                out, said = client.communicate(timeout=60)
                if "interrupted after 0 of" not in said:
                    break
            tap.expect_equal(client.returncode, 0, (out, said))
            if more:
                result = json.loads(out)
                tap.expect(result["interrupted"] is True and result["measured_s"] < 20, result["interrupted"], result["measured_s"])
            else:
                tap.expect(re.search(r"measured [\d.]+ s of 30 s: interrupted$", out, re.MULTILINE), out)
            html = page.read_text()
            tap.expect(re.search(r"Interrupted: [\d.]+ s of 30 s were measured", html) and "before" not in html, html[-500:])
        client = telling(pair, "warming up", "--warm-up", "30")
        client.send_signal(signal.SIGINT)
        out, said = client.communicate(timeout=60)
        tap.expect_equal((client.returncode, "not measured interrupted while warming up" in out), (1, True), (out, said))
        result = pair.client(*SHORT, "--html", page)
        tap.expect(result["interrupted"] is False and "Interrupted" not in page.read_text(), result["interrupted"])


def endless_operations_end_with_the_run(millrace):
    with Pair(millrace) as pair:
        for words in ("down=endless", "up=endless", "up=endless,down=endless", "uni,down=endless", "uni,up=endless"):
            result = pair.client(*SHORT, "--op", words, "--connections", "2")
            tap.expect_equal([result[name] for name in ("failed", "lost", "unfinished")], 3 * [0], words)
            tap.expect(result["up_bps"] + result["down_bps"] > 1e6, words, result["up_bps"], result["down_bps"])


def what_fails_is_told(millrace):
    with Pair(millrace, "--streams", "2") as pair:
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--op", "down=100")
        tap.expect_equal(done.returncode, 0, done.stderr)
        page = Path(pair.folder.name) / "page.html"
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--op", "down=100", "--html", page)
        tap.expect_equal(done.returncode, 0, done.stderr)
        html = page.read_text()
        begun_late = re.search(r"begun late (\d+), not begun (\d+), unfinished (\d+)", done.stdout).groups()
        still = re.search(r"stood still (\d+) times", done.stdout).group(1)
        row = re.search(r"<th>begun late<th>not begun<th>unfinished<th>connections lost<th>this side stood still<th>part of the time"
                        r"<th>had of its core</tr>\n"
                        r"<tr><td>(\d+)<td>(\d+)<td>(\d+)<td>(\d+)<td>(\d+) times?<td>(?:under )?[\d.]+ %<td>(?:[\d.]+ %|-)</tr>", html)
        tap.expect_equal(row and row.groups(), (*begun_late, "0", still), done.stdout)
        tap.expect(html.count("<svg") >= 4 and html.count("<svg") == html.count("</svg>") and "Limited by" in html and "nan" not in html, html)
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--html", "/nowhere/page.html")
        tap.expect(done.returncode == 1 and "/nowhere/page.html" in done.stderr, done.stderr)
        tap.expect_equal(done.stdout, "")  # nothing is measured in vain
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--html", "/dev/full")
        tap.expect(done.returncode == 1 and "--html /dev/full cannot be written: No space left" in done.stderr, done.stderr)
        tap.expect("limited by" in done.stdout, done.stdout)
        with open("/dev/full", "w") as full:
            words = pair.command("--duration", "0.3", "--warm-up", "0", "--json")
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        tap.expect(done.returncode == 1 and "standard output: No space left" in done.stderr, done.stderr)
        done = pair.run("--duration", "0.3", "--warm-up", "0", "--op", "down=100")
        tap.expect(re.search(r"^perf: .* 1 connection in \d+\.\d+ (ms|us|s)$", done.stdout, re.M), done.stdout)
        tap.expect("connection in 0.0" not in done.stdout, done.stdout)
        for words in ("operation", "goodput", "limited by", "this side", "port"):
            tap.expect(words in done.stdout, done.stdout)
    with Pair(millrace) as pair:
        pair.server.kill(signal.SIGKILL)
        page = Path(pair.folder.name) / "page.html"
        done = pair.run("--duration", "0.3", "--timeout", "0.5", "--html", page)
        tap.expect(done.returncode == 1 and not page.exists(), done.stdout, done.stderr)
        page.write_text("what was there before")
        done = pair.run("--duration", "0.3", "--timeout", "0.5", "--html", page)
        tap.expect_equal((done.returncode, page.read_text()), (1, "what was there before"), done.stdout)
        tap.expect(done.stderr.startswith("millrace perf client: "), done.stderr)
        pair.is_judged = False


def texts_of_failures_are_whole(millrace):
    refused = r"the server refused the connection: it has no room for more \(its --connections\), or does not want any \(code 0x2\)"
    with Pair(millrace, "--connections", "2") as pair:
        result = pair.client(*SHORT, "--op", "connect", "--rate", "300", status=1)
        tap.expect(any(re.fullmatch(refused, each["what"]) for each in result["failures"]), result["failures"])
        done = pair.run("--connections", "5", "--op", "down=100", "--timeout", "1")  # those before may still have their places
        tap.expect(done.returncode == 1 and re.search(rf"[0-2] of 5 connections .*: {refused}; check .*speaks \"perf\"$", done.stderr, re.M),
                   done.stderr)
    with Pair(millrace) as pair:
        done = pair.run("--op", "connect", "--alpn", "h3", "--timeout", "0.5")
        tap.expect(re.search(r"\(ALPN\) \(code 0x178\); check .* speaks \"h3\"$", done.stderr, re.M), done.stderr)


def mistakes_are_told_before_anything_starts(millrace):
    for end in (["client", SERVER], ["server"]):
        done = subprocess.run([millrace, "perf", *end, "--port", "loopback", "--addr", "198.18.0.2/24"], capture_output=True, text=True,
                              timeout=20, check=False)
        tap.expect(done.returncode == 2 and "one process" in done.stderr, end, done.stderr)
    base = ["--port", "memif:role=client,socket=@mr-test-nobody", "--addr", "198.18.0.2/24"]
    for words, says in (([], "no server"), (["198.18.0"], "not an address"), (["198.18.0.2"], "gives this command itself"),
                        (["10.0.0.1"], "no route"), ([SERVER, "--op", "down=x"], "none of up=SIZE"),
                        ([SERVER, "--even"], "--even needs"), ([SERVER, "--trial", "2", "--rate", "9", "--op", "down=1"], "--trial needs"),
                        ([SERVER, "--op", "up=1,up=2"], "is there twice"), ([SERVER, "--loss", "sent=101"], "between 0 and 100"),
                        ([SERVER, "--op", "early"], "nothing would go in 0-RTT"),
                        ([SERVER, "--op", "rebind,down=1"], "nothing is asked for beside a rebind"),
                        ([SERVER, "--shards", "2"], "each needs one"), ([SERVER, "--rate", "-1"], "--rate"),
                        ([SERVER, "--search"], "an endless operation is never done"),
                        ([SERVER, "--stop-server"], "needs --control"), ([SERVER, "--far-loss", "sent=1"], "needs --control"),
                        ([SERVER, "--loss", "1"], "none of sent=PERCENT"), ([SERVER, "--control", "/nowhere"], "No such file"),
                        ([SERVER, "--control", "/dev/null"], "head -c 24"),
                        ([SERVER, "--alpn", "h3"], "give --op connect"), ([SERVER, "--alpn", "h3", "--op", "connect,down=1"], "h3"),
                        ([SERVER, "--stream-window", "1G"], "lower --stream-window"), ([SERVER, "--connection-window", "1K"], "--connection-window"),
                        ([SERVER, "--alpn", "x" * 33, "--op", "connect"], "1 to 32 bytes")):
        done = subprocess.run([millrace, "perf", "client", *words, *base], capture_output=True, text=True, timeout=20, check=False)
        tap.expect_equal(done.returncode, 2, f"{words}: {done.stderr}")
        tap.expect(says in done.stderr and done.stderr.count("\n") == 1, words, done.stderr)


tap.main(lambda: tap.run([bulk_data_goes_both_ways, a_closed_loop_of_every_operation, the_servers_count_is_the_clients, rates_are_of_what_ended_in_the_measured_time,
                          the_far_side_tells_what_it_counted, losses_of_either_side_are_asked_for_and_counted_apart,
                          a_window_that_is_full_is_named_on_either_side, flow_control_is_named_on_either_side,
                          port_and_peer_and_generator_are_named, a_core_that_both_have_is_named, an_open_loop_keeps_its_rate,
                          a_stalled_server_is_seen_by_all_that_were_due, a_server_that_was_silent_for_a_while_is_named,
                          a_search_finds_a_rate_that_is_kept,
                          a_search_whose_rate_is_not_kept_afterwards_says_so, a_search_that_comes_to_nothing_keeps_what_was_tried, handshakes_with_a_server_of_another_protocol, connections_of_edge_sleep, a_server_that_dies_is_told_and_this_side_all_the_same,
                          endless_operations_end_with_the_run, a_server_that_ends_is_told, a_run_that_is_interrupted_says_so, what_fails_is_told, texts_of_failures_are_whole,
                          mistakes_are_told_before_anything_starts], sys.argv[1]))
