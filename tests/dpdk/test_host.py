#!/usr/bin/env python3
"""Applications attached to a running datapath, each a process of its own, over a loopback: no root, no network.

    tests/dpdk/test_host.py MILLRACE ECHO_RINGS          prints TAP
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, PORT, Datapath, wait_until  # noqa: E402
import tap  # noqa: E402


def M1_a_client_hears_its_echo(millrace, echo):
    with Datapath(millrace) as dp:
        dp.start(echo, dp.socket, "server").wait_for("serving")
        for text in ("hello", "x" * 60000):
            status, out = dp.run(echo, dp.socket, "client", ADDRESS, PORT, text)
            tap.expect(status == 0 and out.strip() == text, f"{len(text)} bytes: {status}: {out[:200]}")


def ipv6_works_as_well(millrace, echo):
    with Datapath(millrace) as dp:
        dp.start(echo, dp.socket, "server").wait_for("serving")
        status, out = dp.run(echo, dp.socket, "client", "fd00::1", PORT, "hello")
        tap.expect(status == 0 and out.strip() == "hello", f"{status}: {out[:200]}")


def Q14_attached_applications_notice_no_difference(millrace, echo):
    """One I/O lcore, one shard: client and server of the same datapath, and its counters say who moved the frames."""
    with Datapath(millrace, "--io-lcores", "1") as dp:
        dp.start(echo, dp.socket, "server").wait_for("serving")
        for text in ("hello", "x" * 60000):
            status, out = dp.run(echo, dp.socket, "client", ADDRESS, PORT, text)
            tap.expect(status == 0 and out.strip() == text, f"{len(text)} bytes: {status}: {out[:200]}")
        counters = dp.ctl("counters")
        tap.expect(counters["io_frames_in"] >= counters["datagrams_received"] > 40, f"frames: {counters['io_frames_in']}")
        tap.expect_equal((counters["io_dropped"], counters["redirects_out"]), (0, 0), "dropped, redirected:")


def what_only_some_can_work_with_is_said_at_the_start(millrace, echo):
    """A ring of each of two shards is more than an attachment may have: who does not say which has no chance."""
    with Datapath(millrace, "--shards", "2", "--region-bytes", "12M") as dp:
        tap.expect("the rings of 2 shards take 16776K, an attachment may have 12288K; raise --region-bytes" in dp.host.log(),
                   dp.host.log())
        status, out = dp.run(echo, dp.socket, "server")
        tap.expect(status == 1 and "an application may have 12582912" in out, f"{status}: {out}")


def one_attachment_is_enough_for_one_after_the_other(millrace, echo):
    """Who begins when another has just ended is not refused for it; nor need the default of a lesser limit be lowered."""
    with Datapath(millrace, "--attachments", "1") as dp:
        for _ in range(5):
            server = dp.start(echo, dp.socket, "server")
            server.wait_for("serving")
            server.kill()
        status, out = dp.run(echo, dp.socket, "client", ADDRESS, PORT, "hello")
        tap.expect(status == 1 and "refused" not in out, f"{status}: {out}")


def nobody_serves_nobody_answers(millrace, echo):
    with Datapath(millrace) as dp:
        status, out = dp.run(echo, dp.socket, "client", ADDRESS, PORT, "hello")
        tap.expect(status == 1 and "hello" not in out, f"{status}: {out[:200]}")


def a_killed_server_is_replaced_by_the_next(millrace, echo):
    with Datapath(millrace) as dp:
        for _ in range(3):
            server = dp.start(echo, dp.socket, "server")
            server.wait_for("serving")
            status, out = dp.run(echo, dp.socket, "client", ADDRESS, PORT, "hello")
            tap.expect(status == 0, f"{status}: {out[:200]}")
            server.kill()
            wait_until(lambda: not dp.ctl("apps"), 1, "the end of the killed server's attachment")


def a_datapath_that_ends_is_noticed(millrace, echo):
    with Datapath(millrace) as dp:
        server = dp.start(echo, dp.socket, "server")
        server.wait_for("serving")
        dp.host.kill()
        server.wait_for("the datapath is gone", 5)


if __name__ == "__main__":
    tap.main(lambda: tap.run([M1_a_client_hears_its_echo, ipv6_works_as_well, Q14_attached_applications_notice_no_difference,
                              what_only_some_can_work_with_is_said_at_the_start,
                              one_attachment_is_enough_for_one_after_the_other, nobody_serves_nobody_answers,
                              a_killed_server_is_replaced_by_the_next, a_datapath_that_ends_is_noticed], *sys.argv[1:]))
