"""Results of the interoperability cases, as a line and as a page of docs/."""
import dataclasses
import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import cases

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
    reason: str = None
    seconds: float = 0

    def line(self):
        words = f"{self.outcome:14} {self.case:20} {self.client} -> {self.server} ({self.protocol}), {self.seconds:.1f} s"
        return words if self.reason is None else f"{words}: {self.reason}"

    def mark(self):
        """A cell of the matrix; HTTP/3 that stands in for HTTP/0.9 is marked."""
        stands_in = self.protocol == "h3" and cases.BY_NAME[self.case].protocol != "h3" and self.outcome != NONE
        return MARKS[self.outcome] + (" ³" if stands_in else "")


HEAD = """# Interoperability

Written by `tests/interop/runner` on {date}; [tests.md](tests.md) says how to run it. Each case is one of the public QUIC
interoperability runner's, with its files, its link (10 Mbit/s, 15 ms each way, 25 packets of queue, unless the case says
otherwise) and its criteria, which are read from a capture of both sides with the key log: not from what an endpoint says of
itself. millrace runs over a DPDK port in a network namespace, peers on the kernel's sockets in another.

| mark | means |
|---|---|
| pass | files whole and all criteria met |
| ³ | over HTTP/3 in place of HTTP/0.9 (hq-interop), which this peer does not speak |
| peer lacks it | it fails with millrace, and as well between two copies of the peer, or with another one where it has one role |
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


def reasons(results):
    """Why a case was not asked, or failed."""
    lines = {}
    for r in results:
        peer = r.server if r.client == US else r.client
        role = "server" if r.client == US else "client"
        if r.outcome == PASS or r.reason is None or r.reason.startswith("it has no "):
            continue
        text = r.reason.replace("|", "/")[:REASON_MAX]
        lines.setdefault((r.outcome, peer, role, text), []).append(r.case)
    rows = [f"| {peer}, {role} | {', '.join(names)} | {outcome}: {text} |"
            for (outcome, peer, role, text), names in sorted(lines.items())]
    if not rows:
        return ""
    return "\n## Reasons\n\n| peer | cases | why |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def append(path, result, versions):
    """Keep a result for read()."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({**dataclasses.asdict(result), "versions": versions}) + "\n")


def read(paths):
    """(results, versions) of such files; of two results of one cell the later one."""
    order = [c.name for c in cases.CASES]
    found, versions = {}, {}
    for path in paths:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            versions.update(entry.pop("versions"))
            found[entry["client"], entry["server"], entry["case"]] = Result(**entry)
    return sorted(found.values(), key=lambda r: order.index(r.case)), versions


def titles(results):
    rows = [f"| {c.name} | {c.title} |" for c in cases.CASES if any(r.case == c.name for r in results)]
    return "\n## The cases\n\n| case | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"


def write(path, results, versions):
    text = HEAD.format(date=datetime.date.today().isoformat(),
                       versions="\n".join(f"| {name} | {version} |" for name, version in versions.items()))
    with open(path, "w", encoding="utf-8") as page:
        page.write(text + table(results, "server") + table(results, "client") + reasons(results) + titles(results))
