#!/usr/bin/env python3
"""Ten thousand connections, open together, to an `echo` (examples/echo.h) that has one thread for all of them.

    tests/dpdk/test_many.py MILLRACE MODEL_MANY ECHO...          prints TAP

Both ends of every connection are on one shard of a loopback.  Each ECHO is a program echo_MODEL.
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, PORT, Datapath  # noqa: E402
import tap  # noqa: E402

CONNECTIONS = 10000
BUSY_SECONDS_MAX = 20  # of one core, for the shard, and for the server
ENDS = 2 * CONNECTIONS + 100  # connections of both ends; or connections and streams of one
LIMITS = ["--connections", ENDS, "--connects", CONNECTIONS, "--ring-objects", ENDS, "--ring-sends", 4096,
          "--idle-timeout", "120s", "--drain", 0]


def busy_seconds(pid):
    """Time that a process has spent on cores."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_of(program):
    model = Path(program).name.removeprefix("echo_")

    def test(millrace, many):
        with Datapath(millrace, *LIMITS) as dp:
            server = dp.start(program, dp.socket, "server")
            server.wait_for("echo: serving")
            status, out = dp.run(many, dp.socket, ADDRESS, PORT, CONNECTIONS, seconds=90)
            tap.expect(status == 0, f"{status}: {out}\n{server.log()}")
            busy = busy_seconds(dp.host.pid), busy_seconds(server.pid)
            print(f"# {model}: {out.strip()}; busy: shard {busy[0]:.1f} s, server {busy[1]:.1f} s")
            tap.expect(max(busy) < BUSY_SECONDS_MAX, f"busy for {busy} s")
            tap.expect(model == "exec" or threads(server.pid) == 1, f"{threads(server.pid)} threads")

    test.__name__ = f"T3 echo {model} echoes ten thousand connections"
    return test


def main():
    millrace, many, *echoes = sys.argv[1:]
    tap.run([test_of(program) for program in echoes], millrace, many)


if __name__ == "__main__":
    tap.main(main)
