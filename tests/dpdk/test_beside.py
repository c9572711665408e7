#!/usr/bin/env python3
"""bench/peers: its arithmetic over canned figures; one short run of it with millrace, and what else is there.

    tests/dpdk/test_beside.py MILLRACE          prints TAP
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "beside"))
import figures  # noqa: E402
import rows  # noqa: E402
import world  # noqa: E402 - which knows where tap.py is
import tap  # noqa: E402
from figures import CELLS, GOODPUT, HANDSHAKES, IDLE, REQUESTS, Cell, Load, Memory, Notes  # noqa: E402

PERF = {"measured_s": 2.0, "down_bps": 8e9, "failed": 0, "lost": 0, "failures": [], "operations": [{"done": 0}],
        "limited_by": {"busiest": 0.97}}
H2LOAD = """
finished in 1.50s, 30000.00 req/s, 117.30MB/s
requests: 45000 total, 45000 started, 45000 done, 45000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 45000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 180.00MB (188745000) total, 8.00MB (8745000) headers (space savings 0.00%), 171.66MB (180000000) data
"""
S_TIME = """Collecting connection statistics for 2 seconds
1100 connections in 0.90s; 1222.22 connections/user sec, bytes read 0
1100 connections in 3 real seconds, 0 bytes read per connection
1050 connections in 0.91s; 1153.85 connections/user sec, bytes read 0
1050 connections in 3 real seconds, 0 bytes read per connection
"""


def raises(call, *arguments):
    try:
        call(*arguments)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{call.__name__} took {arguments}")


def what_clients_print_becomes_figures(_millrace):
    bulk = figures.perf_load(json.dumps(PERF), 1.0)
    tap.expect_equal((bulk.rate(), bulk.server_each(), bulk.client_share), (1e9, 1.0 / 2e9, 0.97))
    done = figures.perf_load(json.dumps(PERF | {"operations": [{"done": 3000}, {"done": 1000}]}), 1.0, 0.5)
    tap.expect_equal((done.rate(), done.server_each(), done.busy_each()), (2000, 0.00025, 0.000125))
    tap.expect("1 operations" in raises(figures.perf_load, json.dumps(PERF | {"failed": 1}), 1.0))
    tap.expect("nothing" in raises(figures.perf_load, json.dumps(PERF | {"down_bps": 0}), 1.0))
    tap.expect_equal(figures.h2load_figures(H2LOAD), (45000, 180000000, 1.5))
    tap.expect_equal(figures.h2load_figures(H2LOAD.replace("1.50s", "250.00ms"))[2], 0.25)
    tap.expect("3 requests failed" in raises(figures.h2load_figures, H2LOAD.replace("0 failed", "3 failed")))
    raises(figures.h2load_figures, "cannot connect")
    tap.expect_equal(figures.s_time_figures(S_TIME), 2150)
    raises(figures.s_time_figures, "connect: refused")
    tap.expect_equal(figures.worked_seconds("perf: polling cores worked 1.250 s\n"), 1.25)
    tap.expect_equal(figures.worked_seconds("killed"), None)


def a_median_has_its_spread(_millrace):
    tap.expect_equal(figures.with_spread([3.0, 1.0, 2.0]), "2.00 (1.00..3.00)")
    tap.expect_equal(figures.with_spread([1234567.0]), "1,234,567")
    tap.expect_equal(figures.with_spread([0.00025, 0.00035], 1e6), "300 (250..350)")


def the_rings_of_a_memif_weigh_nothing(_millrace):
    text = """7f0000000000-7f0000100000 rw-p 00000000 00:00 0
Size:               1024 kB
Rss:                 100 kB
Pss:                  50 kB
Private_Hugetlb:       7 kB
7f0000200000-7f0000600000 rw-s 00000000 00:01 1037                       /memfd:memif_region_0 (deleted)
Rss:                4096 kB
VmFlags: rd wr sh
7f0000700000-7f0000800000 rw-s 00000000 00:01 1038                       /memfd:other
Rss:                  30 kB
"""
    tap.expect_equal(world.resident_kb(text), 137)


def a_disturbed_run_does_not_count(_millrace):
    cell = Cell()
    cell.add(Load(100, 1, 0.5, 0.5, others_share=0.05))
    cell.add(Load(900, 1, 0.5, 0.5, others_share=0.3))
    tap.expect_equal([one.amount for one in cell.measured], [100])
    tap.expect_equal(cell.reason(), "other programs had 30% of a core")
    cell.add(Load(900, 1, 0.5, 0.5, others_share=0.3), counts_disturbed=True)
    tap.expect_equal(len(cell.measured), 2)
    cell = Cell()
    for outcome in ("broken", "late", "broken"):
        cell.add(outcome)
    tap.expect_equal((cell.measured, cell.reason()), ([], "broken"))


def what_was_asked_for_and_not_measured_is_named(_millrace):
    row = next(row for row in rows.ROWS if row.lacks)
    gap = next(iter(row.lacks))
    cell = next(cell for cell in CELLS if cell not in row.lacks)
    cells = {row.name: {name: Cell() for name in CELLS}}
    cells[row.name][gap].add(row.lacks[gap])
    cells[row.name][cell].add("other programs had 90% of a core")
    tap.expect_equal(figures.lost([row], [gap, cell], cells), [f"{row.name} {cell}: other programs had 90% of a core"])
    tap.expect_equal(figures.lost([row], [gap], cells), [])
    cells[row.name][cell].add(Load(100, 1, 0.5, 0.5))
    tap.expect_equal(figures.lost([row], [gap, cell], cells), [])


def what_is_late_ends_with_another_status(millrace):
    done = subprocess.run([sys.executable, ROOT / "bench" / "peers", "--millrace", millrace, "--runs", "1", "--seconds", "0.3",
                           "--idle", "10", "--only", "millrace-memif", "--cells", "idle,requests", "--minutes", "0.001", "--anyway"],
                          capture_output=True, text=True, check=False, timeout=150)
    tap.expect_equal(done.returncode, 3, done.stderr)
    tap.expect("not measured:\n    millrace-memif requests: --minutes 0.001 had gone by" in done.stderr, done.stderr)


def cells_of(server_s, client_share, busy_s=None):
    cells = {name: Cell() for name in CELLS}
    for amount in (1e9, 3e9, 2e9):
        cells[GOODPUT].add(Load(amount, 2.0, server_s, client_share, busy_s))
        cells[HANDSHAKES].add(Load(amount / 1e6, 2.0, server_s, client_share, busy_s))
    cells[REQUESTS].add("it has none")
    cells[IDLE].add(Memory(1000, 5_000_000, 9_077_000))
    return cells


def the_tables_add_up(_millrace):
    told = [("ours", "memif", None, cells_of(1.0, 0.5, 0.5), "perf"), ("theirs", "UDP", None, cells_of(3.0, 0.95), "gtlsclient"),
            ("gone", "UDP", "install it", {}, "")]
    notes = Notes()
    table = figures.main_table([row[:4] for row in told], notes)
    tap.expect_equal(table[2], "| ours | memif | 8.00 (4.00..12.0) | 0.50 (0.33..1.00); busy 0.25 | 1,000 (500..1,500) | - [1] | 4,077 |")
    tap.expect_equal(table[3], "| theirs | UDP | 8.00 (4.00..12.0) * | 1.50 (1.00..3.00) | 1,000 (500..1,500) * | - [1] | 4,077 |")
    tap.expect_equal(table[4], "| gone | UDP | missing [2] |  |  |  |  |")
    tap.expect_equal(len({line.count("|") for line in table}), 1, table)
    cost = figures.cost_table(told, notes)
    tap.expect_equal(cost[2], "| ours | memif | 500 (333..1,000); busy 250 | - [1] | 50% | 50% | - | perf |")
    tap.expect_equal(len(cost), 4, "what is missing costs nothing")
    tap.expect_equal(notes.lines(), ["[1] it has none", "[2] install it"])


def a_section_replaces_what_is_between_its_marks(_millrace):
    page = "before\n<!-- b -->\nold\n<!-- e -->\nafter\n"
    new = figures.write_section(page, "<!-- b -->", "<!-- e -->", ["new", "lines"])
    tap.expect_equal(new, "before\n<!-- b -->\nnew\nlines\n<!-- e -->\nafter\n")
    raises(figures.write_section, "no marks\n", "<!-- b -->", "<!-- e -->", [])
    text = (ROOT / "docs" / "performance.md").read_text()
    tap.expect(figures.write_section(text, "<!-- bench/peers: begin -->", "<!-- bench/peers: end -->", ["x"]) != text)


def each_row_measures_or_says_why_not(_millrace):
    for row in rows.ROWS:
        for cell in CELLS:
            tap.expect(cell in row.lacks or callable(getattr(row, f"measure_{cell}", None)), row.name, cell)
        tap.expect(row.title and row.transport and row.clients, row.name)
    tap.expect_equal(len({row.name for row in rows.ROWS}), len(rows.ROWS))


def a_short_run_measures_and_leaves_nothing(millrace):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        with subprocess.Popen([sys.executable, ROOT / "bench" / "peers", "--millrace", millrace, "--runs", "1", "--seconds", "0.3",
                               "--idle", "50", "--only", "millrace-memif,millrace-edge", "--cells", "idle,requests",
                               "--anyway", "--json", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
            stdout, stderr = bench.communicate(timeout=150)
        memif, edge = json.loads(out.read_text())["rows"]
        is_too_short = not edge["missing"] and not edge["requests"]["measured"]  # where the server is quick
        tap.expect_equal(bench.returncode, 3 if is_too_short else 0, stdout + stderr)
    requests = memif["requests"]["measured"]
    tap.expect(len(requests) == 1 and requests[0]["amount"] > 10 and requests[0]["server_s"] > 0, memif["requests"])
    tap.expect(0 < requests[0]["busy_s"] < 60, requests)
    tap.expect_equal(memif["idle"]["measured"][0]["connections"], 50, memif["idle"])
    if edge["missing"]:
        print(f"# millrace-edge: {edge['missing']}")
        tap.expect(re.search(r"\| missing \[\d\] \|", stdout), stdout)
    else:
        tap.expect(edge["requests"]["measured"] or edge["requests"]["reasons"], edge)
    shown = f"| {figures.with_spread([requests[0]['amount'] / requests[0]['seconds']])}"
    tap.expect(shown in stdout, shown, stdout)
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    tap.expect(f"mr-test-{bench.pid}-" not in left, left)


def words_that_cannot_be_are_refused(_millrace):
    for words, said in ((["--only", "nobody"], "no row has 'nobody'"), (["--runs", "0"], "more than nothing"),
                        (["--cells", "speed"], "there are idle, handshakes, requests, goodput"),
                        (["--millrace", "/nowhere"], "/nowhere is not there")):
        done = subprocess.run([sys.executable, ROOT / "bench" / "peers", *words], capture_output=True, text=True, check=False)
        tap.expect(done.returncode != 0 and said in done.stderr, words, done.stderr)


tap.main(lambda: tap.run([
    what_clients_print_becomes_figures,
    a_median_has_its_spread,
    the_rings_of_a_memif_weigh_nothing,
    a_disturbed_run_does_not_count,
    what_was_asked_for_and_not_measured_is_named,
    what_is_late_ends_with_another_status,
    the_tables_add_up,
    a_section_replaces_what_is_between_its_marks,
    each_row_measures_or_says_why_not,
    words_that_cannot_be_are_refused,
    a_short_run_measures_and_leaves_nothing,
], sys.argv[1]))
