#!/usr/bin/env python3
"""Check the models of protocols between threads with spin.

    tests/model/run.py          prints TAP; skips without spin

Each model is checked as it is, which must find nothing, and with each of its faults built in, which must
find an error: a check that cannot fail shows nothing.
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402

HERE = Path(__file__).resolve().parent
SECONDS = 300


def errors_of(model, *defines):
    """How many errors spin finds."""
    if shutil.which("spin") is None:
        raise tap.Skip("spin is not there; install the package spin")
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(["spin", *(f"-D{name}" for name in defines), "-search", HERE / model], cwd=folder,
                              capture_output=True, text=True, timeout=SECONDS)
    found = re.search(r"errors: (\d+)", told.stdout)
    tap.expect(found, "spin said:", told.stdout[-500:], told.stderr[-500:])
    return int(found.group(1))


def no_wake_up_of_a_mailbox_is_lost():
    tap.expect_equal(errors_of("mailbox.pml"), 0)


def a_mailbox_that_does_not_look_again_or_never_asks_loses_one():
    for fault in "NO_RECHECK", "NO_ASKING":
        tap.expect(errors_of("mailbox.pml", fault) > 0, f"the fault {fault} was not found")


if __name__ == "__main__":
    tap.main(lambda: tap.run([no_wake_up_of_a_mailbox_is_lost, a_mailbox_that_does_not_look_again_or_never_asks_loses_one]))
