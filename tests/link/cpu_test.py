#!/usr/bin/env python3
"""One binary runs on every x86-64 CPU that DPDK runs on: wider code is in functions that are chosen at run time.

    tests/link/cpu_test.py BUILD FILE...    objects of BUILD's libraries have no VEX or EVEX instruction, those of
                                            FILEs (which choose) aside
    tests/link/cpu_test.py --old MILLRACE   the program itself, on an emulated CPU of 2008 without AES, AVX (qemu-x86_64)
"""
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import sys

FOLDERS = ("base", "quic", "drivers", "dataplane", "control", "http3", "app", "tools")
WIDE = re.compile(r"\t(v[a-z0-9]+\s.*%[xyz]mm|.*%[yz]mm|(andn|bextr|pext|pdep|mulx|rorx|sarx|shlx|shrx|lzcnt)\w?\s)")
# tzcnt is not one of them: older CPUs read it as bsf, which is the same where a bit is set.
OLD_CPU = "Nehalem"


def report(name, wrong):
    print(f"1..1\n{'not ok' if wrong else 'ok'} 1 - {name}")
    for line in wrong:
        print(f"# {line}")
    return bool(wrong)


def skip(why):
    print(f"1..0 # SKIP {why}")
    return False


def objects_of(build, chosen):
    found = []
    for folder in FOLDERS:
        found += glob.glob(f"{build}/{folder}/**/*.o", recursive=True)
    found = [path for path in found if not path.endswith(".bpf.o")]  # the kernel runs those
    return [path for path in found if not any(f"{name}.o" in path for name in chosen)]


def check_objects(build, chosen):
    if platform.machine() != "x86_64" or shutil.which("objdump") is None:
        return skip("no x86-64, or no objdump")
    with open(f"{build}/configured-with", encoding="utf-8") as file:
        if re.search(r"-march|b_lto=true", file.read()):
            return skip("a build for this CPU, or without machine code")
    paths = objects_of(build, chosen)
    run = subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", *paths], stdout=subprocess.PIPE, text=True)
    where, wrong = "", {}
    for line in run.stdout:
        if not line.startswith(" "):
            where = line.strip() or where
        elif WIDE.search(line):
            wrong.setdefault(where, line.strip())
    assert run.wait() == 0 and paths
    return report(f"none of {len(paths)} objects needs more than DPDK does",
                  [f"{at} {line}" for at, line in wrong.items()])


def check_old(program):
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        return skip("qemu-x86_64 is missing: apt-get install qemu-user")
    command = [emulator, "-cpu", OLD_CPU, program, "bench", "transfer", "--seconds", "1", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=dict(os.environ, LANG="C"))
    said = run.stdout + run.stderr
    try:
        result = json.loads(run.stdout)
        is_right = run.returncode == 0 and result["failed"] == 0 and result["streams_served"] > 0
    except (ValueError, KeyError):
        is_right = False
    return report("a transfer on a CPU of 2008", [] if is_right else said.splitlines()[-20:])


if __name__ == "__main__":
    sys.exit(check_old(sys.argv[2]) if sys.argv[1] == "--old" else check_objects(sys.argv[1], sys.argv[2:]))
