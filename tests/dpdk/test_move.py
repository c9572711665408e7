#!/usr/bin/env python3
"""Connections of applications that move from shard to shard while they are used, over a loopback: no root, no network.

    tests/dpdk/test_move.py MILLRACE ECHO_RINGS PINGER ECHO_INLINE STREAMER INLINE_MOVER [--asked | --balance]      prints TAP

--asked: those that somebody asks for; --balance: those of the balance, which looks at how busy shards are; neither: all.
"""
import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, Datapath, wait_until  # noqa: E402
from test_death import windows_of  # noqa: E402
import tap  # noqa: E402

INLINE_PORT, ATTACHED_PORT = 4433, 4434
SECONDS = 60  # for a client's run, which is ended as soon as what it is for has happened
BOTH = ["name=inside,alpn=echo,port=4433,application=inside", "name=echo,alpn=echo,port=4434,application=echo"]
DEADLINE = 0.2  # seconds that an application has for its answer
LOAD = ("--balance", "load", "--balance-stay", "200ms")  # soon again, so that what does not rest is seen
REST = 3  # seconds without a move; the balance looks for half a second
LOOKS = 2  # seconds in which one that is on has looked, and begun


def world(a, *options):
    return Datapath(a.millrace, "--shards", "2", "--inline", f"name=inside,object={a.inline}", *options, listeners=BOTH)


def stream_server(a, dp):
    server = dp.start(a.streamer, dp.socket, "server", "echo")
    server.wait_for("ready")
    return server


def stream_client(a, dp, port, seconds):
    client = dp.start(a.streamer, dp.socket, "client", ADDRESS, port, seconds)
    wait_until(lambda: sum(map(int, windows(client))) > 0 or not client.is_alive(), 10, "the first bytes")
    return client


def told(client):
    """What the first number is of each quarter of a second that a streamer or a pinger has told of."""
    return [int(line.split()[0]) for line in client.log().split("\n")[:-1] if line[:1].isdigit()]


def finish(*clients):
    """End their runs, which must go on so far: every byte must have come."""
    before = {client: len(told(client)) for client in clients}
    for client in clients:
        wait_until(lambda c=client: any(told(c)[before[c] + 1:]) or not c.is_alive(), 10, "a quarter of a second with bytes")
        client.process.terminate()
    for client in clients:
        tap.expect_equal(client.wait(40), 0, client.log()[-300:])
        tap.expect("done " in client.log(), client.log())


def windows(client):
    return [line for line in client.log().split("\n") if line.isdigit()]


def moves_of(program):
    return program.log().count("moved from ")


def conns(dp):
    """Both shards' connections: (shard, as `conns` shows them)."""
    return [(shard, conn) for shard in (0, 1) for conn in dp.ctl("conns", str(shard))["conns"]]


def try_move(a, dp, name, shard):
    return dp.run(a.millrace, "ctl", "--control", dp.socket, "move", name, shard)


def find(dp, application, role, can_move=True):
    """The connection of an application that there is one of, once it may move, or is said not to: (shard, its name)."""
    def look():
        found = [(shard, conn["conn"]) for shard, conn in conns(dp)
                 if conn["application"].startswith(application) and conn["role"] == role and conn["can_move"] == can_move]
        return found[0] if found else None
    return wait_until(look, 10, f"{application}'s connection")


def try_when_it_fits(a, dp, application, role, can_move=True):
    """To the other shard, once it has not much unread data: (where it is, its name, exit status, output)."""
    def attempt():
        shard, name = find(dp, application, role, can_move)
        status, out = try_move(a, dp, name, 1 - shard)
        passing = "too much unread data" in out or (not can_move and "handshake is not over" in out)
        return None if passing else (shard, name, status, out)
    return wait_until(attempt, 10, f"room for {application}'s connection")


def move(a, dp, application, role):
    """To the other shard; it must go, and be there afterwards.  How often its application took too long."""
    late = 0
    while True:
        shard, name, status, out = try_when_it_fits(a, dp, application, role)
        if status == 0:
            break
        tap.expect("does not answer in time" in out and late < 20, out)  # nobody runs it on a machine that is busy
        late += 1
    wait_until(lambda: any(at == 1 - shard and one["application"].startswith(application) and one["role"] == role
                           for at, one in conns(dp)), 5, f"{name} on shard {1 - shard}")
    tap.expect(all(one["conn"] != name for _, one in conns(dp)), f"{name} is still where it was")
    return late


def expect_counted(dp, **expected):
    counters = dp.ctl("counters")
    tap.expect_equal({name: counters[name] for name in expected}, expected, "counters:")


def Q17_connections_move_under_load_and_every_byte_comes(a):
    """Both ends of one, again and again: callbacks at both."""
    with world(a) as dp:
        server = stream_server(a, dp)
        client = stream_client(a, dp, ATTACHED_PORT, SECONDS)
        late = sum(move(a, dp, *end) for _ in range(5) for end in (("streamer", "client"), ("echo", "server")))
        finish(client)
        tap.expect_equal((moves_of(client), moves_of(server)), (5, 5), "MOVED:")
        expect_counted(dp, moves_out=10, moves_in=10, moves_failed=0, app_moves_begun=10 + late,
                       app_moves_out=10, app_moves_in=10, app_moves_stayed=late)
        wait_until(lambda: not conns(dp), 5, "the connections' end")


def Q17_blocking_sockets_do_not_notice(a):
    with world(a) as dp:
        stream_server(a, dp)
        client = dp.start(a.pinger, dp.socket, ADDRESS, ATTACHED_PORT, SECONDS, "stream")
        late = sum(move(a, dp, *end) for _ in range(3) for end in (("pinger", "client"), ("echo", "server")))
        finish(client)
        expect_counted(dp, app_moves_in=6, app_moves_stayed=late)


def expect_to_stay(a, dp, application):
    """It is shown as one that cannot move, whatever it does, and says why."""
    _, name, status, out = try_when_it_fits(a, dp, application, "server", can_move=False)
    tap.expect(status == 1 and f"connection {name} stays: its application is none that moves" in out, out)
    tap.expect(not any(conn["can_move"] for _, conn in conns(dp) if conn["conn"] == name), f"{name} can move")


def an_inline_application_of_callbacks_keeps_its_connections(a):
    """Each shard's instance has its own; the attached application at the other end may move."""
    with world(a) as dp:
        client = stream_client(a, dp, INLINE_PORT, SECONDS)
        expect_to_stay(a, dp, "inside")
        move(a, dp, "streamer", "client")
        finish(client)
        expect_counted(dp, moves_in=1, moves_failed=0, app_moves_in=1)


def an_application_that_knows_no_moves_keeps_its_connections(a):
    with world(a) as dp:
        dp.start(a.echo, dp.socket, "server").wait_for("serving")
        client = stream_client(a, dp, ATTACHED_PORT, SECONDS)
        expect_to_stay(a, dp, "echo")
        finish(client)
        expect_counted(dp, moves_out=0, app_moves_begun=0)


def an_application_that_does_not_answer_in_time_keeps_its_connection(a):
    """Nothing is lost: it goes on where it is when the application goes on, and can move later."""
    with world(a) as dp:
        server = stream_server(a, dp)
        client = stream_client(a, dp, ATTACHED_PORT, SECONDS)
        shard, name = find(dp, "echo", "server")
        server.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        status, out = try_move(a, dp, name, 1 - shard)
        took = time.monotonic() - began
        tap.expect(status == 1 and f"connection {name} stays" in out and "does not answer in time" in out, out)
        tap.expect(took >= DEADLINE, f"it was given up after {took:.3f} s")
        expect_counted(dp, app_moves_begun=1, app_moves_stayed=1, moves_out=0)
        server.process.send_signal(signal.SIGCONT)
        move(a, dp, "echo", "server")
        finish(client)
        tap.expect_equal(moves_of(server), 1, "MOVED:")


def a_death_in_the_middle_of_a_move_ends_it(a):
    """Before the answer, and whenever it falls while connections move to and fro; others do not notice."""
    with world(a) as dp:
        steady = dp.start(a.pinger, dp.socket, ADDRESS, INLINE_PORT, SECONDS, "stream")
        for delay in (DEADLINE / 2, 0, 0.001, 0.002, 0.004):
            server = stream_server(a, dp)
            client = stream_client(a, dp, ATTACHED_PORT, 30)
            shard, name = find(dp, "echo", "server")
            if delay == DEADLINE / 2:
                server.process.send_signal(signal.SIGSTOP)
            with subprocess.Popen([a.millrace, "ctl", "--control", dp.socket, "move", name, str(1 - shard)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as moving:
                time.sleep(delay)
                server.kill()
                tap.expect_equal(client.wait(10), 1, client.log())
                moving.wait(10)
            tap.expect("failed: a stream ended early" in client.log(), client.log())
            wait_until(lambda: {app["name"] for app in dp.ctl("apps")} <= {"pinger"}, 5, "the ends of the applications")
        finish(steady)
        seen = windows_of(steady)[1:]
        tap.expect(all(window[0] > 0 for window in seen), f"it stopped meanwhile: {seen}")


def what_cannot_move_is_said(a):
    with world(a) as dp:
        stream_server(a, dp)
        stream_client(a, dp, ATTACHED_PORT, 30)
        shard, name = find(dp, "echo", "server")
        for conn, to, said in (("7", 1, "7 is no connection's name; `conns SHARD` shows them, like"),
                               (f"{name}x", 1, f"{name}x is no connection's name"),
                               (name, 2, "there is no shard 2; `conns` shows the 2 there are"),
                               (f"9.{name[2:]}", 1, "there is no shard 9"),
                               (name, shard, f"shard {shard} is where connection {name} is"),
                               (f"{shard}.ffff00000000", 1 - shard, "there is no connection"),
                               (f"{shard}.1", shard, f"there is no connection {shard}.1"),
                               (name, 1 << 32, "there is no shard 4294967296")):
            status, out = try_move(a, dp, conn, to)
            tap.expect(status != 0 and said in out, f"{conn} to {to}: {status}: {out}")
        for words, said in ((["move", name], "SHARD"), (["move", name, "one"], "one"), (["conns", "7"], "no shard 7")):
            status, out = dp.run(a.millrace, "ctl", "--control", dp.socket, *words)
            tap.expect(status != 0 and said in out, f"{words}: {status}: {out}")
        move(a, dp, "echo", "server")


def counter(dp, name):
    return dp.ctl("counters")[name]


def retired(dp):
    return dp.ctl("counters").get("cids_retired", 0)


def connection_ids_are_renewed_while_a_stream_runs(a):
    """`renew`: of one connection, and of all; who has not retired the last ones is not asked again."""
    with world(a) as dp:
        stream_server(a, dp)
        client = stream_client(a, dp, ATTACHED_PORT, SECONDS)
        shard, name = find(dp, "echo", "server")
        tap.expect_equal(dp.ctl("renew", name), {"conn": name, "renewed": 1})
        wait_until(lambda: retired(dp) == 4, 5, "the peer's retirements")
        wait_until(lambda: dp.ctl("renew", "all") == {"connections": 2, "renewed": 2}, 5, "both ends' renewal")
        wait_until(lambda: retired(dp) >= 12, 5, "the retirements of both ends")
        memory = dp.ctl("memory")
        tap.expect_equal([(row["shard"], row["asleep"], row["streams_asleep"]) for row in memory], [(0, 0, 0), (1, 0, 0)], "asleep:")
        tap.expect_equal((sum(row["awake"] for row in memory), sum(row["streams_awake"] for row in memory)), (2, 8), "awake:")  # four streams of each end
        tap.expect(all(row["awake_bytes"] == 3520 * row["awake"] for row in memory), f"bytes: {memory}")
        status, out = dp.run(a.millrace, "ctl", "--control", dp.socket, "renew", f"{shard}.ffff00000000")
        tap.expect(status != 0 and "there is no connection" in out, out)
        finish(client)
        tap.expect(counter(dp, "cids_renewed") >= 3, dp.ctl("counters"))


def wait_for_rest(dp, seconds=30):
    """Until no connection has moved for REST seconds."""
    deadline = time.monotonic() + seconds
    while True:
        moves = counter(dp, "moves_out")
        time.sleep(REST)
        if counter(dp, "moves_out") == moves:
            return
        tap.expect(time.monotonic() < deadline, f"connections still move after {seconds} s: {moves}")


def busy_of_shards(dp, seconds=1):
    """For how many milliseconds each shard is busy meanwhile."""
    before = [shard["busy_ms"] for shard in dp.ctl("conns")]
    time.sleep(seconds)
    return [shard["busy_ms"] - was for shard, was in zip(dp.ctl("conns"), before)]


def work_of_shards(dp, seconds=1):
    """What each shard's connections have received meanwhile, as far as they have stayed where they were."""
    before = {conn["conn"]: conn["bytes_received"] for _, conn in conns(dp)}
    time.sleep(seconds)
    work = [0, 0]
    for shard, conn in conns(dp):
        work[shard] += conn["bytes_received"] - before.get(conn["conn"], conn["bytes_received"])
    return work


def Q17_M17_a_shard_where_all_connections_are_gives_some_away_and_both_carry_load(a):
    """Nothing is lost, and then it rests; counters say what moved."""
    with world(a, *LOAD) as dp:
        server = stream_server(a, dp)
        clients = [stream_client(a, dp, ATTACHED_PORT, SECONDS) for _ in range(3)]
        wait_until(lambda: counter(dp, "shard_balance_moves") > 0, 10, "a move")
        wait_for_rest(dp, 10)
        tap.expect(all(shard["connections"] > 0 for shard in dp.ctl("conns")), str(dp.ctl("conns")))
        work = work_of_shards(dp)
        tap.expect(min(work) * 20 > max(work), f"the shards' connections received {work}")
        busy = busy_of_shards(dp)
        tap.expect(min(busy) * 4 > max(busy), f"the shards were busy for {busy} ms")
        finish(*clients)
        counters = dp.ctl("counters")
        tap.expect_equal(sum(map(moves_of, [server, *clients])), counters["moves_in"], "MOVED:")
        tap.expect_equal(counters["shard_balance_moves"], counters["moves_out"] + counters["app_moves_stayed"], "begun:")


def Q17_an_inline_application_that_lets_them_go_is_balanced_too(a):
    """Its instances have nothing of each other: each connection goes on at the one that it comes to."""
    listener = "name=mover,alpn=echo,port=4435,application=mover"
    with Datapath(a.millrace, "--shards", "2", "--inline", f"name=mover,object={a.mover}", *LOAD, listeners=[listener]) as dp:
        clients = [stream_client(a, dp, 4435, SECONDS) for _ in range(3)]
        wait_until(lambda: any(shard == 1 and conn["application"].startswith("mover") for shard, conn in conns(dp)), 8,
                   "a connection of the inline application's on the other shard")
        finish(*clients)
        expect_counted(dp, moves_failed=0, shard_balance_refused=0)


def Q17_nothing_moves_where_nothing_is_to_be_gained(a):
    """Connections that do nothing, all on one shard; then one that is busy, and alone in that."""
    with world(a, *LOAD) as dp:
        stream_server(a, dp)
        client = stream_client(a, dp, ATTACHED_PORT, SECONDS)
        client.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: work_of_shards(dp, 0.2) == [0, 0], 10, "silence")
        begun = counter(dp, "shard_balance_moves")
        time.sleep(REST)
        tap.expect_equal(counter(dp, "shard_balance_moves"), begun, "moves begun:")
        client.process.send_signal(signal.SIGCONT)
        finish(client)


def a_balance_that_is_off_moves_nothing(a):
    with world(a) as dp:
        stream_server(a, dp)
        clients = [stream_client(a, dp, ATTACHED_PORT, SECONDS) for _ in range(2)]
        time.sleep(LOOKS)
        finish(*clients)
        expect_counted(dp, moves_out=0, shard_balance_moves=0, shard_balance_refused=0, shard_balance_unready=0)


def connections_that_cannot_move_are_counted_and_stay(a):
    """Those of the inline application of callbacks; the attached ends of them may go."""
    with world(a, *LOAD) as dp:
        clients = [stream_client(a, dp, INLINE_PORT, SECONDS) for _ in range(2)]
        wait_until(lambda: counter(dp, "shard_balance_refused") + counter(dp, "shard_balance_large") > 0, 6, "a refusal")
        inside = [(shard, conn["conn"]) for shard, conn in conns(dp) if conn["application"].startswith("inside")]
        finish(*clients)
        tap.expect_equal([shard for shard, _ in inside], [0, 0], "where they are:")


def pair(a, *options):
    """Two datapaths, joined queue by queue: a connection's datagrams arrive at the shard that its other end is on."""
    socket = f"socket=@millrace-move-{os.getpid()}"
    return (Datapath(a.millrace, "--shards", "2", "--addr", f"{ADDRESS}/24", *options, listeners=BOTH[1:],
                     port=f"memif:role=server,{socket}"),
            Datapath(a.millrace, "--shards", "2", "--addr", "198.18.0.2/24", listeners=BOTH[1:],
                     port=f"memif:role=client,{socket}"))


def far_client(a, dp, seconds):
    client = dp.start(a.streamer, dp.socket, "client", ADDRESS, ATTACHED_PORT, seconds, "insecure")
    wait_until(lambda: sum(map(int, windows(client))) > 0 or not client.is_alive(), 10, "the first bytes")
    return client


def redirects_rest(dp):
    before = counter(dp, "shard_redirected_in")
    time.sleep(0.3)
    return counter(dp, "shard_redirected_in") == before


def Q17_a_connection_follows_its_datagrams_to_the_shard_where_they_arrive(a):
    """The client's end changes its shard, and its datagrams their queue; the server's goes after them, and back."""
    near, far = pair(a, "--balance", "rss", "--balance-stay", "100ms")
    with near, far:
        server = stream_server(a, near)
        client = far_client(a, far, SECONDS)
        time.sleep(1)
        expect_counted(near, shard_balance_moves=0, shard_redirected_in=0)
        for times in (1, 2, 3):
            move(a, far, "streamer", "client")
            [shard] = [shard for shard, _ in conns(far)]
            wait_until(lambda: [at for at, _ in conns(near)] == [shard], 5, f"the other end on shard {shard}")  # pylint: disable=W0640
            wait_until(lambda: redirects_rest(near), 5, "datagrams where they belong")
            expect_counted(near, moves_in=times, moves_failed=0)
        finish(client)
        tap.expect_equal((moves_of(client), moves_of(server)), (3, 3), "MOVED:")


def Q17_one_that_has_followed_stays_for_a_while_and_loses_nothing(a):
    near, far = pair(a, "--balance", "rss", "--balance-stay", "1h")
    with near, far:
        stream_server(a, near)
        client = far_client(a, far, SECONDS)
        move(a, far, "streamer", "client")
        wait_until(lambda: counter(near, "moves_in") == 1, 5, "the first move")
        move(a, far, "streamer", "client")
        wait_until(lambda: counter(near, "shard_balance_unready") > 0, 5, "a wish that is not fulfilled")
        finish(client)
        expect_counted(near, moves_in=1)


def Q17_connections_that_all_arrive_at_one_queue_are_spread_over_the_shards(a):
    """Of another machine's one shard, over a memif: their datagrams go on arriving there, and are passed on."""
    near, far = pair(a, *LOAD, "--balance-busy", "10")  # eight threads share the cores of a small machine
    with near, far:
        server = stream_server(a, near)
        clients = [far_client(a, far, SECONDS) for _ in range(3)]
        wait_until(lambda: counter(near, "moves_in") > 0, 10, "a move")
        wait_for_rest(near, 8)
        work = work_of_shards(near)
        tap.expect(min(work) > 0, f"the shards' connections received {work}")
        finish(*clients)
        tap.expect(counter(near, "shard_redirected_in") > 0, "nothing was passed on")
        expect_counted(near, moves_in=moves_of(server), moves_failed=0, shard_redirect_dropped=0)


def a_drain_by_signal_is_a_drain_and_lasts_whoever_asks(a):
    """As after `ctl drain` nobody attaches any more; commands meanwhile do not end it early."""
    with world(a, "--drain", "3s") as dp:
        stream_server(a, dp)
        dp.start(a.pinger, dp.socket, ADDRESS, ATTACHED_PORT, 20, "stream")
        find(dp, "pinger", "client")
        dp.host.process.terminate()
        began = time.monotonic()
        wait_until(lambda: dp.ctl("version")["is_draining"], 2, "the drain")
        status, out = dp.run(a.echo, dp.socket, "client", ADDRESS, ATTACHED_PORT, "hello")
        tap.expect(status == 1 and "the datapath drains and takes no new applications" in out, f"{status}: {out}")
        while dp.host.is_alive():
            dp.run(a.millrace, "ctl", "--control", dp.socket, "version")
        took = time.monotonic() - began
        tap.expect(took > 2.9, f"it ended after {took:.1f} s")
        tap.expect_equal(dp.host.wait(1), 0, dp.host.log())


def rss_is_refused_on_a_loopback(a):
    status, out = Datapath(a.millrace).run(a.millrace, "host", "--port", "loopback", "--balance", "rss", "--listener", BOTH[1])
    tap.expect(status == 2 and "--balance: rss is of no use on a loopback" in out, f"{status}: {out}")


ASKED = [Q17_connections_move_under_load_and_every_byte_comes, Q17_blocking_sockets_do_not_notice,
         an_inline_application_of_callbacks_keeps_its_connections, an_application_that_knows_no_moves_keeps_its_connections,
         an_application_that_does_not_answer_in_time_keeps_its_connection, a_death_in_the_middle_of_a_move_ends_it,
         what_cannot_move_is_said, connection_ids_are_renewed_while_a_stream_runs,
         a_drain_by_signal_is_a_drain_and_lasts_whoever_asks, rss_is_refused_on_a_loopback]
BALANCE = [Q17_M17_a_shard_where_all_connections_are_gives_some_away_and_both_carry_load,
           Q17_an_inline_application_that_lets_them_go_is_balanced_too, Q17_nothing_moves_where_nothing_is_to_be_gained,
           a_balance_that_is_off_moves_nothing, connections_that_cannot_move_are_counted_and_stay,
           Q17_a_connection_follows_its_datagrams_to_the_shard_where_they_arrive,
           Q17_one_that_has_followed_stays_for_a_while_and_loses_nothing,
           Q17_connections_that_all_arrive_at_one_queue_are_spread_over_the_shards]


def main():
    parser = argparse.ArgumentParser()
    for name in ("millrace", "echo", "pinger", "inline", "streamer", "mover"):
        parser.add_argument(name)
    parser.add_argument("--asked", dest="tests", action="store_const", const=ASKED, default=ASKED + BALANCE)
    parser.add_argument("--balance", dest="tests", action="store_const", const=BALANCE)
    arguments = parser.parse_args()
    tap.run(arguments.tests, arguments)


if __name__ == "__main__":
    tap.main(main)
