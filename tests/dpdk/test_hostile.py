#!/usr/bin/env python3
"""Applications that mean harm, beside an honest one: nobody but themselves is hurt.  Over a loopback, without root.

    tests/dpdk/test_hostile.py MILLRACE ECHO_RINGS PINGER HOSTILE          prints TAP
"""
import ctypes
import fcntl
import mmap
import os
import socket
import statistics
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, PORT, Datapath, wait_until  # noqa: E402
import tap  # noqa: E402

SECONDS = 2       # of harm
CALM = 4          # windows of the honest application before it
WORST = 0.05      # of the calm windows' messages: the harm takes a core of two, but stops nobody
HEAD = struct.Struct("=IHHII")                      # struct mr_message
ATTACH = struct.Struct("=IHHII32sIIQIIIIQ")         # struct mr_message_attach
RING = struct.Struct("=IHHIIIIQQ")                  # struct mr_message_ring
MAGIC, VERSION, WISH, ATTACHED, RING_MESSAGE, REFUSED = 0x6874616D, 2, 1, 2, 3, 5
MAPPED, READY = 8, 9
PUNCH_HOLE = 3  # fallocate(2): with FALLOC_FL_KEEP_SIZE
MADV_REMOVE = 9
F_ADD_SEALS, F_GET_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE = 1033, 1034, 1, 2, 4, 16


def windows_of(program):
    lines = [line.split() for line in program.log().splitlines()]
    return [int(w[0]) for w in lines if len(w) == 3 and w[0].isdigit()]


class Neighbour:
    """An honest application that sends messages to an echo all the time."""

    def __init__(self, dp, pinger, seconds):
        self.program = dp.start(pinger, dp.socket, ADDRESS, PORT, seconds, "stream", name="neighbour")
        wait_until(lambda: len(windows_of(self.program)) >= CALM, 20, "the neighbour's first windows")
        self.calm = statistics.median(windows_of(self.program)[1:])

    def expect_served(self, since):
        windows = windows_of(self.program)[since:]
        tap.expect(self.program.is_alive(), "the neighbour ended:", self.program.log()[-300:])
        tap.expect(len(windows) >= 2, f"only {len(windows)} windows")
        tap.expect(min(windows) > 0 and statistics.median(windows) >= WORST * self.calm,
                   f"{windows} messages a window, {self.calm} before")


def harm(a, mode, *options, expected=None):
    """Let a hostile application do its worst; what it said at its end."""
    with Datapath(a.millrace, *options) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        neighbour = Neighbour(dp, a.pinger, 60)
        since = len(windows_of(neighbour.program))
        hostile = dp.start(a.hostile, mode, dp.socket, ADDRESS, PORT, SECONDS)
        hostile.wait_for("hostile: busy")
        hostile.wait(SECONDS + 20)
        neighbour.expect_served(since)
        wait_until(lambda: "hostile" not in [one["name"] for one in dp.ctl("apps")], 2, "the end of its attachment")
        status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, PORT, "hello")
        tap.expect(status == 0 and out.strip() == "hello", f"{status}: {out}")
        return hostile.log(), dp.ctl("counters")


def random_bytes_anywhere_in_its_region_hurt_nobody_else(a):
    harm(a, "random")


def random_submissions_hurt_nobody_else(a):
    said, _ = harm(a, "entries")
    tap.expect("refusals" in said and " 0 of them refusals" not in said, said)


def payload_that_changes_while_it_is_sent_hurts_nobody_else(a):
    said, _ = harm(a, "payload")
    tap.expect("done; attached" in said, said)


def slots_that_never_come_back_end_the_hoarder_only(a):
    harm(a, "hoard")


def opening_everything_ends_at_limits(a):
    said, _ = harm(a, "open")
    tap.expect(" 0 of them refusals" not in said, said)


def completions_that_nobody_takes_hurt_nobody_else(a):
    harm(a, "silent")


# ------------------------------------------------------------------ what the socket gave


class Refused(Exception):
    """The datapath did not let an application attach."""


def attach_raw(path):
    """Speak the handshake by hand: (socket and wake socket, [(descriptor, size, mapping) of a region])."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.settimeout(10)
    end.connect(path)
    end.send(ATTACH.pack(MAGIC, VERSION, WISH, ATTACH.size, 0, b"hostile", 0, 0, 0, 0, 0, 0, 0, 0))
    kept, regions, left, kind = [end], [], None, None
    while kind != READY:
        data, fds, _, _ = socket.recv_fds(end, 1024, 4)
        kind = HEAD.unpack_from(data)[2]
        if kind == REFUSED:
            for fd in kept[1:] + [fd for fd, _, _ in regions]:
                os.close(fd)
            end.close()
            raise Refused(data[HEAD.size + 4:].split(b"\0")[0].decode())
        if kind == ATTACHED:
            left = sum(struct.unpack_from("=II", data, HEAD.size))
            kept += fds
            continue
        if kind == RING_MESSAGE:
            size = RING.unpack(data)[7]
            regions.append((fds[0], size, mmap.mmap(fds[0], size)))
        left -= 1
        if left == 0:
            end.send(HEAD.pack(MAGIC, VERSION, MAPPED, HEAD.size, 0))
    return kept, regions


def a_region_cannot_be_shrunk_grown_punched_or_unsealed(a):
    libc = ctypes.CDLL(None)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
    with Datapath(a.millrace) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        neighbour = Neighbour(dp, a.pinger, 30)
        since = len(windows_of(neighbour.program))
        kept, regions = attach_raw(dp.socket)
        for fd, size, region in regions:
            for length in (0, size - 4096, size + 4096):
                try:
                    os.ftruncate(fd, length)
                    tap.expect(False, f"a region of {size} bytes took {length}")
                except PermissionError:
                    pass
            seals = fcntl.fcntl(fd, F_GET_SEALS)
            for seal in (F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE):
                tap.expect(seals & seal, f"seals {seals:#x}")
            try:
                fcntl.fcntl(fd, F_ADD_SEALS, 8)  # F_SEAL_WRITE
                tap.expect(False, "another seal was taken")
            except PermissionError:
                pass
            region[:] = os.urandom(4096) * (size // 4096)  # all of it, header and indexes
            # a shard that looks there would wait for the end of it
            tap.expect(libc.fallocate(fd, PUNCH_HOLE, 0, size) == -1, "a hole was punched")
            try:
                region.madvise(MADV_REMOVE)
                tap.expect(False, "a hole was punched by madvise")
            except PermissionError:
                pass
        time.sleep(0.6)
        neighbour.expect_served(since)
        for one in kept[1:]:
            os.close(one)
        kept[0].close()
        wait_until(lambda: "hostile" not in [one["name"] for one in dp.ctl("apps")], 2, "the end of its attachment")


def attaching_again_and_again_ends_at_a_limit(a):
    with Datapath(a.millrace) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        held, why = [], ""
        while not why and len(held) < 200:
            try:
                held.append(attach_raw(dp.socket))
            except Refused as refusal:
                why = str(refusal)
        print(f"# {len(held)} attachments, then: {why}")
        tap.expect(held and why, f"{len(held)} attachments: {why!r}")
        status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, PORT, "hello")
        tap.expect(status == 1 and "refused" in out, f"with no ring left: {status}: {out}")
        for kept, regions in held:
            for fd in kept[1:] + [fd for fd, _, _ in regions]:
                os.close(fd)
            kept[0].close()
        wait_until(lambda: len(dp.ctl("apps")) == 1, 3, "the end of their attachments")
        status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, PORT, "hello")
        tap.expect(status == 0 and out.strip() == "hello", f"{status}: {out}")


class Arguments:
    def __init__(self, words):
        self.millrace, self.echo, self.pinger, self.hostile = words


if __name__ == "__main__":
    tap.main(lambda: tap.run([random_bytes_anywhere_in_its_region_hurt_nobody_else, random_submissions_hurt_nobody_else,
                              payload_that_changes_while_it_is_sent_hurts_nobody_else,
                              slots_that_never_come_back_end_the_hoarder_only, opening_everything_ends_at_limits,
                              completions_that_nobody_takes_hurt_nobody_else,
                              a_region_cannot_be_shrunk_grown_punched_or_unsealed,
                              attaching_again_and_again_ends_at_a_limit], Arguments(sys.argv[1:])))
