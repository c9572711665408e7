"""What was measured, and the tables that are made of it.  No process is started here.

    a measurement  Load or Memory, or a reason (text) why there is none
    a cell         all of its measurements, one for each run      -> median, least, greatest
    a table        rows of cells                                  -> Markdown; JSON has every measurement
"""
import json
import re
import statistics
from dataclasses import asdict, dataclass, field

GOODPUT, HANDSHAKES, REQUESTS, IDLE = "goodput", "handshakes", "requests", "idle"
CELLS = (IDLE, HANDSHAKES, REQUESTS, GOODPUT)  # as they are measured: a small one first
FULL_CORE = 0.9     # of the client's core: the client may be the limit
UNDISTURBED = 0.1   # of a core, at most, that others had while a run was measured
GIGA = 1e9


@dataclass
class Load:
    """Bytes, handshakes or requests that a server did in some time."""
    amount: float
    seconds: float
    server_s: float         # CPU time, all processes and threads of the server
    client_share: float     # of its core, that the client worked
    busy_s: float = None    # of polling cores, by the server's own count
    others_share: float = 0  # of a core, that other programs had meanwhile

    def rate(self):
        return self.amount / self.seconds

    def server_each(self):
        """CPU seconds of the server for one byte, handshake or request."""
        return self.server_s / self.amount

    def busy_each(self):
        return None if self.busy_s is None else self.busy_s / self.amount


@dataclass
class Memory:
    """The server's own memory before and after so many connections were opened."""
    connections: int
    before_bytes: int
    after_bytes: int
    others_share: float = 0

    def each(self):
        return (self.after_bytes - self.before_bytes) / self.connections


@dataclass
class Cell:
    measured: list = field(default_factory=list)   # Load or Memory
    reasons: list = field(default_factory=list)    # of runs that do not count

    def add(self, outcome, counts_disturbed=False):
        if isinstance(outcome, str):
            self.reasons.append(outcome)
        elif outcome.others_share > UNDISTURBED and not counts_disturbed:
            self.reasons.append(f"other programs had {outcome.others_share:.0%} of a core")
        else:
            self.measured.append(outcome)

    def values(self, what):
        """Of all measurements, those that there are: what(measurement)."""
        return [value for value in map(what, self.measured) if value is not None]

    def is_client_full(self):
        shares = self.values(lambda one: getattr(one, "client_share", None))
        return bool(shares) and statistics.median(shares) >= FULL_CORE

    def reason(self):
        """Why nothing was measured; most frequent first."""
        return max(sorted(set(self.reasons)), key=self.reasons.count) if self.reasons else "not asked for"


def lost(rows, asked, cells):
    """What should have been measured of these rows, and was not: lines.  What a row lacks is none of it."""
    return [f"{row.name} {cell}: {cells[row.name][cell].reason()}" for row in rows for cell in asked
            if cell not in row.lacks and not cells[row.name][cell].measured]


# ---- text of figures


def number(value):
    """Three digits, or all of a larger one's, with thousands' commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def shown(outcome, cell):
    """One measurement, a line."""
    if cell == IDLE:
        return f"{number(outcome.each())} bytes each, of {outcome.connections}"
    rate = f"{number(outcome.rate() * 8 / GIGA)} Gbit/s" if cell == GOODPUT else f"{number(outcome.rate())}/s"
    scale, unit = (GIGA, "s/GB") if cell == GOODPUT else (1e6, "us each")
    busy = "" if outcome.busy_s is None else f" (busy {number(outcome.busy_each() * scale)})"
    return (f"{rate}, server {number(outcome.server_each() * scale)} {unit}{busy}, client {outcome.client_share:.0%}, "
            f"others {outcome.others_share:.0%}")


def with_spread(values, scale=1.0):
    """Median (least..greatest)."""
    values = [value * scale for value in values]
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}..{number(max(values))})"


class Notes:
    """Footnotes: each text once, with its number."""

    def __init__(self):
        self.texts = []

    def mark(self, text):
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"

    def lines(self):
        return [f"[{number}] {text}" for number, text in enumerate(self.texts, 1)]


def _cell_text(cell, notes, what, scale=1.0):
    values = cell.values(what)
    if not values:
        return f"- {notes.mark(cell.reason())}"
    full = " *" if cell.is_client_full() else ""
    return with_spread(values, scale) + full


def _busy_text(cell, notes, scale):
    text = _cell_text(cell, notes, Load.server_each, scale).removesuffix(" *")
    busy = cell.values(Load.busy_each)
    return f"{text}; busy {number(statistics.median(busy) * scale)}" if busy else text


def markdown(lines):
    head, *rows = lines
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]


def main_table(rows, notes):
    """rows: (title, transport, missing or None, {cell's name: Cell})."""
    lines = [("server", "over", "goodput, Gbit/s", "server CPU, s/GB", "handshakes/s", "requests/s",
              "idle connection, bytes")]
    for title, transport, missing, cells in rows:
        if missing:
            lines.append((title, transport, f"missing {notes.mark(missing)}", *[""] * 4))
            continue
        lines.append((title, transport,
                      _cell_text(cells[GOODPUT], notes, Load.rate, 8 / GIGA),
                      _busy_text(cells[GOODPUT], notes, GIGA),
                      _cell_text(cells[HANDSHAKES], notes, Load.rate),
                      _cell_text(cells[REQUESTS], notes, Load.rate),
                      _cell_text(cells[IDLE], notes, Memory.each)))
    return markdown(lines)


def cost_table(rows, notes):
    """What one of them costs the server, and how full the client was."""
    lines = [("server", "over", "server CPU, us a handshake", "us a request", "client's core: bulk", "handshakes", "requests",
              "client programs")]

    def share(cell):
        shares = cell.values(lambda one: one.client_share)
        return f"{statistics.median(shares):.0%}" if shares else "-"

    for title, transport, missing, cells, clients in rows:
        if missing:
            continue
        lines.append((title, transport, _busy_text(cells[HANDSHAKES], notes, 1e6), _busy_text(cells[REQUESTS], notes, 1e6),
                      share(cells[GOODPUT]), share(cells[HANDSHAKES]), share(cells[REQUESTS]), clients))
    return markdown(lines)


def as_json(machine, options, rows, own_bytes):
    """Everything that was measured, one object."""
    def outcomes(cell):
        return {"measured": [asdict(one) for one in cell.measured], "reasons": cell.reasons}

    return json.dumps({"machine": machine, "options": options, "own_bytes_per_idle_connection": own_bytes,
                       "rows": [{"name": row.name, "title": title, "over": transport, "missing": missing,
                                 "clients": clients, **{name: outcomes(cell) for name, cell in cells.items()}}
                                for row, title, transport, missing, cells, clients in rows]}, indent=1) + "\n"


# ---- what programs print


def perf_load(text, server_s, busy_s=None):
    """Of `millrace perf client --json` with --warm-up 0: bytes down if its operation is endless, else operations done."""
    result = json.loads(text)
    seconds = result["measured_s"]
    done = sum(each["done"] for each in result["operations"])
    failed = result["failed"] + result["lost"]
    if failed:
        raise ValueError(f"{failed} operations or connections failed: {result['failures']}")
    amount = done if done else result["down_bps"] / 8 * seconds
    if amount <= 0:
        raise ValueError("nothing was done")
    return Load(amount, seconds, server_s, result["limited_by"]["busiest"], busy_s)


def h2load_figures(text):
    """(requests done, bytes of content, seconds) of h2load's summary."""
    seconds = re.search(r"finished in ([\d.]+)(us|ms|s|m)\b", text)
    requests = re.search(r"requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    content = re.search(r"traffic: .*\((\d+)\) data", text)
    if not (seconds and requests and content):
        raise ValueError(f"h2load said: {text.strip()[-200:]}")
    if int(requests[2]) + int(requests[3]) > 0:
        raise ValueError(f"h2load: {requests[2]} requests failed, {requests[3]} ended in an error")
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[seconds[2]]
    return int(requests[1]), int(content[1]), float(seconds[1]) * unit


def s_time_figures(text):
    """Connections that several `openssl s_time` together made."""
    made = re.findall(r"^(\d+) connections in \d+ real seconds", text, re.MULTILINE)
    if not made:
        raise ValueError(f"openssl s_time said: {text.strip()[-200:]}")
    return sum(map(int, made))


def worked_seconds(text):
    """Of polling cores, as millrace says at its end; None: it did not."""
    found = re.search(r"polling cores worked ([\d.]+) s", text)
    return float(found[1]) if found else None


# ---- the section of a page


def section(date, machine, options, rows_for_main, rows_for_cost, own_bytes):
    """Lines between the two markers of docs/performance.md."""
    notes = Notes()
    main = main_table(rows_for_main, notes)
    cost = cost_table(rows_for_cost, notes)
    return [f"Written by `bench/peers` on {date}: {machine}.", f"{options}  Medians; least and greatest in brackets.", "",
            *main, "",
            "`*`: the client had 90 % of its core or more: the server could do more; the next table has what it costs.", "",
            *cost, "", *(f"- {line}" for line in notes.lines()), "",
            *([f"By its own account (`millrace bench idle`) an idle connection of millrace takes {own_bytes:,.0f} bytes."]
              if own_bytes else [])]


def write_section(text, begin, end, lines):
    """The page with `lines` between the two marker lines; ValueError if they are not there."""
    before, marker, rest = text.partition(begin + "\n")
    _, second, after = rest.partition(end)
    if not marker or not second:
        raise ValueError(f"the page lacks the lines {begin} and {end}")
    return before + marker + "\n".join(lines) + "\n" + second + after
