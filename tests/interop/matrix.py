"""Results of the interoperability cases, as a line and as a page of docs/."""
import dataclasses
import datetime
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

import cases
import implementations

PASS, FAIL, LACKS, NONE = "pass", "FAIL", "peer lacks it", "not asked"
MARKS = {PASS: "pass", FAIL: "**fail**", LACKS: "peer lacks it", NONE: "-"}
US = "millrace"
REASON_MAX = 200


@dataclass
class Result:
    case: str
    client: str
    server: str
    protocol: str
    outcome: str = NONE
    reason: str = None            # of the last try that failed; a cell that passed at its second has one
    seconds: float = 0
    tries: int = 0
    measures: list = field(default_factory=list)  # goodput of each time, kbit/s
    reference: str = None         # who was asked the same after a failure,
    reference_reason: str = None  # and why it failed there, too
    commit: str = ""
    before: str = None            # the outcome of an earlier run that this one replaces in the page

    def line(self):
        words = f"{self.outcome:14} {self.case:20} {self.client} -> {self.server} ({self.protocol}), {self.seconds:.1f} s"
        words += f", try {self.tries}" if self.tries > 1 else ""
        words += f", {self.speed()}" if self.measures else ""
        words += f", {self.reference}: {self.reference_reason or 'passes'}" if self.reference else ""
        return words if self.reason is None else f"{words}: {self.reason}"

    def speed(self):
        """Mean and standard deviation, Mbit/s."""
        spread = f" ± {statistics.stdev(self.measures) / 1000:.2f}" if len(self.measures) > 1 else ""
        return f"{statistics.mean(self.measures) / 1000:.2f}{spread}"

    def mark(self):
        """A cell of the matrix; HTTP/3 that stands in for HTTP/0.9 is marked."""
        stands_in = self.protocol == "h3" and cases.BY_NAME[self.case].protocol != "h3" and self.outcome != NONE
        word = self.speed() if self.outcome == PASS and self.measures else MARKS[self.outcome]
        return word + (" ³" if stands_in else "") + (" ²" if self.is_at_second() else "") + (" ⁺" if self.before and self.outcome != NONE else "")

    def is_at_second(self):
        return self.outcome == PASS and self.tries > 1

    def pair(self):
        return self.client, self.server, self.case


HEAD = """# Interoperability

Written by `tests/interop/runner` on {date}, from one run of commit {commit}; [tests.md](tests.md) says how to run it. Each
case is one of the public QUIC interoperability runner's, with its files, its link (10 Mbit/s, 15 ms each way, 25 packets of
queue, unless the case says otherwise) and its criteria, which are read from a capture of both sides with the key log: not from
what an endpoint says of itself. millrace runs over a DPDK port in a network namespace, peers on the kernel's sockets in another.
The performance protocol is not among the cases; who it was spoken with is in [perf.md](perf.md#who-it-was-spoken-with).

| mark | means |
|---|---|
| pass | files whole and all criteria met |
| a number | it passed, with this goodput in Mbit/s: mean and standard deviation of so many transfers as the case says |
| ² | at the second try, after the failure given below |
| ⁺ | in a later run, whose commit is named below |
| ³ | over HTTP/3 in place of HTTP/0.9 (hq-interop), which this peer does not speak |
| peer lacks it | it fails with millrace, and as well between two copies of the peer, or with another one where it has one role; twice each |
| - | the peer cannot be asked for it; the reasons are below |
| **fail** | it fails with millrace only |

| implementation | version |
|---|---|
{versions}
"""


def table(results, role):
    """One row a case, one column a peer; `role` is millrace's."""
    chosen = [r for r in results if (r.client if role == "client" else r.server) == US]
    peers = list(dict.fromkeys(r.server if role == "client" else r.client for r in chosen))
    if not peers:
        return ""
    found = {(r.case, r.server if role == "client" else r.client): r for r in chosen}
    peers = [p for p in peers if any(found[c, p].outcome != NONE for c, q in found if q == p)]
    rows = [f"\n## millrace as the {role}\n", f"| case | {' | '.join(peers)} |", f"|---|{'---|' * len(peers)}"]
    for name in dict.fromkeys(r.case for r in chosen):
        cells = [found[name, p].mark() if (name, p) in found else "not run" for p in peers]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def short(text):
    text = " ".join(text.replace("|", "/").split())
    return text if len(text) <= REASON_MAX else text[:REASON_MAX] + "..."


def explain(r):
    """Why a cell is no plain pass; None: it is one, or says it itself."""
    if r.reason is None or r.reason in ("it has no client", "it has no server") or (r.outcome == PASS and not r.is_at_second()):
        return None
    text = ("passed at the second try, after: " if r.outcome == PASS else f"{r.outcome}: ") + short(r.reason)
    if r.reference:
        text += f"; {r.reference}: {short(r.reference_reason) if r.reference_reason else 'passes'}"
    peer, role = (r.server, "server") if r.client == US else (r.client, "client")
    seen = implementations.BY_NAME[peer].seen.get((role, r.case)) if r.outcome in (LACKS, FAIL) else None
    return text + (f"; captures show: {seen}" if seen else "")


def reasons(results):
    """Why a case was not asked, failed, or passed later."""
    lines = {}
    for r in results:
        peer = r.server if r.client == US else r.client
        role = "server" if r.client == US else "client"
        text = explain(r)
        if text is not None:
            lines.setdefault((peer, role, text), []).append(r.case)
    rows = [f"| {peer}, {role} | {', '.join(names)} | {text} |" for (peer, role, text), names in sorted(lines.items())]
    if not rows:
        return ""
    return "\n## Reasons\n\n| peer | cases | why |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def later(results):
    """Cells of other commits than the rest: which commits, and what has changed."""
    again = [r for r in results if r.before and r.outcome != NONE]
    if not again:
        return ""
    counts = {commit: sum(r.commit == commit for r in again) for commit in dict.fromkeys(r.commit for r in again)}
    named = ", ".join(f"{count} at {commit}" for commit, count in counts.items())
    rows = [f"| {r.case} | {r.client} -> {r.server} | {r.before} | {r.outcome} | {r.commit} |" for r in again
            if r.before != r.outcome]
    changed = "\n\n| case | who | before | now | commit |\n|---|---|---|---|---|\n" + "\n".join(rows) if rows else " None."
    return f"\n## Run again\n\nCells marked ⁺: {named}. Those whose outcome changed:{changed}\n"


def append(path, result, versions):
    """Keep a result for read()."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({**dataclasses.asdict(result), "versions": versions}) + "\n")


def in_order(results):
    """By case, then peer, whatever the order they ended in."""
    names, peers = [c.name for c in cases.CASES], [e.name for e in implementations.ALL]
    return sorted(results, key=lambda r: (names.index(r.case), peers.index(r.client), peers.index(r.server)))


def read(paths):
    """(results, versions) of such files; of two results of one cell the later one, which knows what was before."""
    found, versions = {}, {}
    for path in paths:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            versions.update(entry.pop("versions"))
            result = Result(**entry)
            if result.pair() in found:
                first = found[result.pair()]
                result.before = first.before or first.outcome
            found[result.pair()] = result
    return in_order(found.values()), versions


def titles(results):
    rows = [f"| {c.name} | {c.title} |" for c in cases.CASES if any(r.case == c.name for r in results)]
    return "\n## The cases\n\n| case | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"


def write(path, results, versions, note=None):
    order = [e.name for e in implementations.ALL]
    text = HEAD.format(date=datetime.date.today().isoformat(), commit=statistics.mode(r.commit for r in results if not r.before),
                       versions="\n".join(f"| {name} | {versions[name]} |" for name in sorted(versions, key=order.index)))
    with open(path, "w", encoding="utf-8") as page:
        page.write(text + (f"\n{note}\n" if note else "") + table(results, "server") + table(results, "client") + reasons(results) + later(results) +
                   titles(results))
