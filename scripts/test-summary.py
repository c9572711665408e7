#!/usr/bin/env python3
"""Say what `meson test` found in one or more build folders; the last line is `N passed, N failed[, N skipped]`.

    scripts/test-summary.py BUILD_DIR...
    scripts/test-summary.py --table BUILD_DIR...    as a page: a line for each program, nothing of capabilities
    scripts/test-summary.py --to-repeat BUILD_DIR   names of the programs that run once more, alone; none if too many failed

Printed before it: each failed test with its output, each skipped test with its reason, and how many of the
capabilities (docs/capabilities.md) are covered: by a test that passed, or a section of a page in docs/, whose name begins
with the id.  A TAP program counts once per
test it reports, any other program once.  Exit 1 if a test failed or if no test was run.

A program that failed counts as it ended when it was repeated (testlog-again), if it was; what failed the first time is
printed all the same.

meson-logs/testlog*.junit.xml have the single results of TAP programs.  They do not say that a program crashed after its
last result, or took too long; meson-logs/testlog*.json have each program's own verdict.
"""
import json
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}
CAPABILITIES = Path(__file__).parent.parent / "docs" / "capabilities.md"
ID = r"[MTQBG]\d+"
IDS = re.compile(rf"(?:^|: )((?:{ID}\b[,:/]?\s*(?:and\s+)?)+)")  # in front of a test's name, or of a heading
OUTPUT_LINES_MAX = 60  # of one failed program; the rest is in testlog.txt
AGAIN = "testlog-again"
WITH_CLOCKS = {"dpdk", "netns", "interop", "vm", "package", "distance"}  # suites whose tests wait for real time, or for processes
REPEATED_MAX = 3  # more are not bad luck


class Tally:
    def __init__(self):
        self.passed = 0
        self.names = []    # of those
        self.failed = []   # (name, output)
        self.skipped = []  # (name, reason)
        self.repeated = []  # (name, output of the first time)
        self.programs = []  # (name, verdict, what it did, seconds)


def subtests(junit, name):
    """The (name, verdict, reason) that the TAP program `name` reported; empty for other programs."""
    for suite in junit.iter("testsuite"):
        if not suite.get("name", "").endswith("." + name):
            continue
        for case in suite.iter("testcase"):
            bad = case.find("failure") is not None or case.find("error") is not None
            verdict = "FAIL" if bad else "SKIP" if case.find("skipped") is not None else "OK"
            yield re.sub(r"^\d+ (- )?", "", case.get("name")), verdict, case.findtext("system-out", "").strip()


def tail(text):
    lines = text.rstrip().splitlines()
    dropped = len(lines) - OUTPUT_LINES_MAX
    return "\n".join(([f"[{dropped} lines above]"] if dropped > 0 else []) + lines[-OUTPUT_LINES_MAX:])


def why_subtest_failed(stdout, subtest):
    """The diagnostics below the `not ok` line of `subtest`."""
    block = re.search(r"^not ok \d+ (?:- )?" + re.escape(subtest) + r".*\n((?:#.*\n?)*)", stdout, re.MULTILINE)
    return block[1].rstrip() if block else ""


def why_program_failed(run):
    status = run.get("returncode")
    ending = f"killed by signal {-status}" if isinstance(status, int) and status < 0 else f"exit status {status}"
    parts = [f"{run['result']}, {ending}: {' '.join(run.get('command') or [])}", run.get("stdout"), run.get("stderr")]
    return "\n".join(tail(part) for part in parts if part)


def skip_reason(run):
    """A program that exits with 77 gives its reason in its last line of output."""
    lines = ((run.get("stdout") or "") + (run.get("stderr") or "")).strip().splitlines()
    return lines[-1] if lines else "no reason given"


def work_of(run, parts):
    """How much a program did: tests, or a fuzzer's inputs."""
    inputs = re.search(r"number_of_executed_units:\s*(\d+)", (run.get("stdout") or "") + (run.get("stderr") or ""))
    return f"{int(inputs[1]):,} inputs" if inputs else f"{len(parts)} tests" if parts else "1 test"


def count_run(tally, run, parts):
    name, verdict = run["name"], run["result"]
    for part, part_verdict, reason in parts:
        if part_verdict == "SKIP":
            tally.skipped.append((f"{name} / {part}", reason or "no reason given"))
        elif part_verdict != "FAIL":
            tally.passed += 1
            tally.names.append(part)

    tally.programs.append((name.split("/")[-1].strip(), verdict, work_of(run, parts), float(run.get("duration") or 0)))
    if verdict in BAD:
        tally.failed += why_failed(run, parts)
    elif not parts and verdict == "SKIP":
        tally.skipped.append((name, skip_reason(run)))
    elif not parts:
        tally.passed += 1


def logs_of(build):
    return sorted((Path(build) / "meson-logs").glob("testlog*.json")) or [Path(build) / "meson-logs" / "testlog.json"]


def runs_in(log):
    return [json.loads(line) for line in log.read_text().splitlines() if line.strip()]


def why_failed(run, parts):
    """The (name, output) of what failed in a program."""
    name = run["name"]
    failed = [(f"{name} / {part}", why_subtest_failed(run.get("stdout") or "", part))
              for part, verdict, _ in parts if verdict == "FAIL"]
    return failed if failed and run.get("returncode") in (0, 1) else failed + [(name, why_program_failed(run))]


def names_repeated(build):
    log = Path(build) / "meson-logs" / f"{AGAIN}.json"
    return {run["name"] for run in runs_in(log)} if log.exists() else set()


def count_build(tally, build):
    again = names_repeated(build)
    for log in logs_of(build):
        try:
            junit = xml.parse(log.with_suffix(".junit.xml"))
            runs = runs_in(log)
        except (OSError, ValueError, xml.ParseError) as error:
            tally.failed.append((str(build), f"no readable test results: {error}; run `meson test -C {build}` first"))
            continue
        for run in runs:
            parts = list(subtests(junit, run["name"]))
            if run["name"] in again and log.stem != AGAIN:
                tally.repeated += why_failed(run, parts)
            else:
                count_run(tally, run, parts)


def names_to_repeat(build):
    """Of tests that wait for real time, which a neighbour on the machine takes away; without `project:suite / `."""
    bad = [run["name"] for log in logs_of(build) if log.exists() and log.stem != AGAIN
           for run in runs_in(log) if run["result"] in BAD]
    with_clocks = [name for name in bad if WITH_CLOCKS & set(re.split(r"[:+ ]+", name.split(" / ")[0]))]
    return [name.split(" / ")[-1] for name in with_clocks] if len(bad) <= REPEATED_MAX else []


def ids_in(name):
    match = IDS.search(name)
    return re.findall(ID, match[1]) if match else []


def say_capabilities(tally):
    """How many capabilities have a test that passed, or a page."""
    wanted = re.findall(rf"^\| ({ID}) \|", CAPABILITIES.read_text(), re.MULTILINE)
    headings = [line.lstrip("# ") for page in CAPABILITIES.parent.glob("*.md")
                for line in page.read_text().splitlines() if line.startswith("#")]
    covered = {one for name in tally.names + headings for one in ids_in(name)}
    missing = [one for one in wanted if one not in covered]
    print(f"capabilities: {len(wanted) - len(missing)} of {len(wanted)} covered"
          + (f"; not: {' '.join(missing)}" if missing else ""))


def say_programs(tally):
    print("| program | result | did | seconds |\n|---|---|---|---|")
    for name, verdict, work, seconds in tally.programs:
        print(f"| {name} | {verdict} | {work} | {seconds:.0f} |")
    print()


def main(builds):
    if builds[:1] == ["--to-repeat"]:
        print("\n".join(name for build in builds[1:] for name in names_to_repeat(build)))
        return 0
    is_table = builds[:1] == ["--table"]
    builds = builds[is_table:]
    if not builds or builds[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2

    tally = Tally()
    for build in builds:
        count_build(tally, build)

    if is_table:
        say_programs(tally)
    for name, output in tally.repeated:
        print(f"failed at first, run again alone  {name}\n" + "".join(f"    {line}\n" for line in output.splitlines()))
    for name, output in tally.failed:
        print(f"FAILED  {name}\n" + "".join(f"    {line}\n" for line in output.splitlines()))
    for name, reason in tally.skipped:
        print(f"skipped  {name}: {reason}")
    if not is_table:
        say_capabilities(tally)
    nothing_ran = tally.passed + len(tally.failed) == 0
    if nothing_ran:
        print("no test was run")
    print(f"{tally.passed} passed, {len(tally.failed)} failed"
          + (f", {len(tally.skipped)} skipped" if tally.skipped else ""))
    return 1 if tally.failed or nothing_ran else 0


sys.exit(main(sys.argv[1:]))
