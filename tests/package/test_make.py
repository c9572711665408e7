#!/usr/bin/env python3
"""`make` and scripts/deps where a user's surroundings are unusual: no home, a cache that cannot be written, odd folders.

    tests/package/test_make.py                prints TAP
"""
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def run_deps(*arguments, **environment):
    """Run a copy of scripts/deps that everyone may read, as somebody without rights."""
    with tempfile.TemporaryDirectory(prefix="millrace-make-") as folder:
        os.chmod(folder, 0o755)
        script = shutil.copy(ROOT / "scripts" / "deps", folder)
        words = ["env", "-i", f"PATH={os.environ['PATH']}", *(f"{key}={value}" for key, value in environment.items()),
                 script, *arguments]
        if os.geteuid() == 0:
            words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, timeout=60)


def need_all_there():
    """What follows is about a machine that has all that is needed."""
    if not any(Path("/var/cache/millrace").glob("openssl-*/lib/pkgconfig")):
        raise tap.Skip("no private OpenSSL in /var/cache/millrace")


def where_nothing_is_missing_no_cache_is_needed():
    need_all_there()
    for environment in {}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"XDG_CACHE_HOME": "/dev/null"}:
        done = run_deps("build", **environment)
        tap.expect_equal((done.returncode, done.stdout, done.stderr), (0, "", ""), environment)
        tap.expect("/openssl-3" in run_deps("--meson", **environment).stdout, environment)


def a_cache_that_is_needed_and_cannot_be_written_is_named():
    need_all_there()
    done = run_deps("build", MILLRACE_DEPS="/nonexistent/deps")  # where nothing has been made yet
    tap.expect_equal(done.returncode, 1, done.stderr)
    for word in "there is no folder", "/nonexistent/deps cannot be written", "export MILLRACE_DEPS=":
        tap.expect(word in done.stderr, word, "is missing in", done.stderr)
    tap.expect_equal(len(done.stderr.splitlines()), 3, done.stderr)  # nothing was tried


def a_prefix_may_have_spaces():
    done = subprocess.run(["make", "-n", "install", "PREFIX=/opt/my programs"], capture_output=True, text=True, check=True,
                          cwd=ROOT, timeout=60)
    configure = [shlex.split(line) for line in done.stdout.splitlines() if "scripts/configure" in line]
    tap.expect("--prefix=/opt/my programs" in configure[0], configure)


def main():
    tap.run([
        where_nothing_is_missing_no_cache_is_needed,
        a_cache_that_is_needed_and_cannot_be_written_is_named,
        a_prefix_may_have_spaces,
    ])


if __name__ == "__main__":
    tap.main(main)
