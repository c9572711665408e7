#!/usr/bin/env python3
"""Say what `meson test` found in one or more build folders; the last line is `N passed, N failed[, N skipped]`.

    scripts/test-summary.py BUILD_DIR...

Printed before it: each failed test with its output, each skipped test with its reason.  A TAP program counts once per
test it reports, any other program once.  Exit 1 if a test failed or if no test was run.

meson-logs/testlog.junit.xml has the single results of TAP programs.  It does not say that a program crashed after its
last result, or took too long; meson-logs/testlog.json has each program's own verdict.
"""
import json
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}
OUTPUT_LINES_MAX = 60  # of one failed program; the rest is in testlog.txt


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []   # (name, output)
        self.skipped = []  # (name, reason)


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


def count_run(tally, run, parts):
    name, verdict = run["name"], run["result"]
    for part, part_verdict, reason in parts:
        full = f"{name} / {part}"
        if part_verdict == "FAIL":
            tally.failed.append((full, why_subtest_failed(run.get("stdout") or "", part)))
        elif part_verdict == "SKIP":
            tally.skipped.append((full, reason or "no reason given"))
        else:
            tally.passed += 1

    explained = any(part_verdict == "FAIL" for _, part_verdict, _ in parts) and run.get("returncode") in (0, 1)
    if verdict in BAD:
        if not explained:
            tally.failed.append((name, why_program_failed(run)))
    elif not parts and verdict == "SKIP":
        tally.skipped.append((name, skip_reason(run)))
    elif not parts:
        tally.passed += 1


def count_build(tally, build):
    logs = Path(build) / "meson-logs"
    try:
        junit = xml.parse(logs / "testlog.junit.xml")
        runs = [json.loads(line) for line in (logs / "testlog.json").read_text().splitlines() if line.strip()]
    except (OSError, ValueError, xml.ParseError) as error:
        tally.failed.append((str(build), f"no readable test results: {error}; run `meson test -C {build}` first"))
        return
    for run in runs:
        count_run(tally, run, list(subtests(junit, run["name"])))


def main(builds):
    if not builds or builds[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2

    tally = Tally()
    for build in builds:
        count_build(tally, build)

    for name, output in tally.failed:
        print(f"FAILED  {name}\n" + "".join(f"    {line}\n" for line in output.splitlines()))
    for name, reason in tally.skipped:
        print(f"skipped  {name}: {reason}")
    nothing_ran = tally.passed + len(tally.failed) == 0
    if nothing_ran:
        print("no test was run")
    print(f"{tally.passed} passed, {len(tally.failed)} failed"
          + (f", {len(tally.skipped)} skipped" if tally.skipped else ""))
    return 1 if tally.failed or nothing_ran else 0


sys.exit(main(sys.argv[1:]))
