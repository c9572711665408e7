#!/usr/bin/env python3
"""docs/attacks.md, and the bounds of docs/http3.md, against the tests: what they name is there.

    docs_attacks.py SOURCE_ROOT          prints TAP
"""
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
# `file` "name of a test of it": the last file that a cell names is meant
NAMED = re.compile(r'`([a-z0-9_]+)`|"([^"]+)"')
# Programs with several tests, by the file that has these.
FILES = {"sim": "sim/sim_main.c", "sim_mtu": "sim/sim_main.c", "netns_edge_stress": "netns/test_edge_stress.py",
         "netns_mtu": "netns/test_mtu.py", "test_cases": "interop/test_cases.py"}


def file_of(name):
    """The source of a program that the page names."""
    if name in FILES:
        return ROOT / "tests" / FILES[name]
    for path in (f"conformance/test_{name}.c", f"unit/{name}.c", f"fuzz/{name}.c"):
        if (ROOT / "tests" / path).exists():
            return ROOT / "tests" / path
    return None


def names_in(path):
    """All strings of a source, those of several lines joined; functions of a Python test are names, too."""
    text = re.sub(r'"\s*\n\s*"', "", path.read_text())
    return set(re.findall(r'"([^"\n]+)"', text)) | {name.replace("_", " ") for name in re.findall(r"def (\w+)", text)}


def faults(page):
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| attack ", "| bound "))]
    for row in rows:
        cell = row.strip("| ").split(" | ")[-1]
        names = NAMED.findall(cell)
        if not any(program for program, _ in names) and "tests with" not in cell:
            yield f"no test: {row[:80]}"
        path = None
        for program, name in names:
            if program:
                path = file_of(program)
                if path is None:
                    yield f"no such file of tests: {program}"
            elif "(" + f'"{name}")' not in cell and (path is None or name not in names_in(path)):
                yield f"{path}: no test {name!r}"


def main():
    bounds = (ROOT / "docs/http3.md").read_text().split("\n## Bounds\n")[1].split("\n## ")[0]
    found = list(faults((ROOT / "docs/attacks.md").read_text())) + list(faults(bounds))
    print("1..1")
    print(f"{'not ' if found else ''}ok 1 - attacks, and bounds of HTTP/3: each row names tests, and there are such tests")
    for fault in found:
        print("#", fault)
    return 1 if found else 0


sys.exit(main())
