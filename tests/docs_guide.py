#!/usr/bin/env python3
"""The code of a page: its ```c blocks, one after the other, with their lines where they are on the page.

    docs_guide.py PAGE OUTPUT.c      write the code
    docs_guide.py --run PROGRAM      run what was built of it, as TAP
"""
import subprocess
import sys
from pathlib import Path


def code_of(page):
    lines = [f'#line 1 "{page.name}"']
    is_code = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            is_code = line == "```c"
            lines.append("")
        else:
            lines.append(line if is_code else "")
    return "\n".join(lines) + "\n"


def run(program):
    result = subprocess.run([program], capture_output=True, text=True, timeout=60)
    is_ok = result.returncode == 0 and result.stdout == "the sum is right\n"
    print("1..1")
    print(f"{'' if is_ok else 'not '}ok 1 - docs/protocols.md: G23 the guide's protocol is compiled and works")
    if not is_ok:
        print(f"# status {result.returncode}: {result.stdout!r} {result.stderr!r}")
    return 0 if is_ok else 1


if sys.argv[1] == "--run":
    sys.exit(run(sys.argv[2]))
Path(sys.argv[2]).write_text(code_of(Path(sys.argv[1])))
