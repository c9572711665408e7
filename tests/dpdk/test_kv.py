#!/usr/bin/env python3
"""The replicated key-value store of examples/ in every model of I/O: one test over all, three nodes each, over a loopback.

    tests/dpdk/test_kv.py MILLRACE KV_MODEL...          prints TAP
    tests/dpdk/test_kv.py --cost MILLRACE KV_MODEL...   prints what each model costs here, instead
"""
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, Datapath, wait_until  # noqa: E402
import tap  # noqa: E402

NODES = 3
NODES_MAX = 8  # one of each model
PORT = 4440
KEY_MAX, VALUE_MAX = 256, 4096
CODE_MALFORMED, CODE_TOO_LARGE, CODE_AGAIN = 1, 2, 6
LISTENERS = [f"name=kv{i},alpn=kv,port={PORT + i},application=kv{i},refuse_code={CODE_AGAIN}" for i in range(NODES_MAX)]
WRITES = 120  # while nodes die
MANY_RINGS = {"blocking"}  # a ring for each conversation: three nodes need more than a shard has; one is in a mixed cluster
COUNTERS = 6  # clients at once
COUNTS = 10   # of each
COUNTS_MAX = 3


def address(node):
    return f"{ADDRESS}:{PORT + node}"


class Cluster:
    """Three nodes, each a process of a program of its own; with-statement: they end with it."""

    def __init__(self, dp, programs):
        self.dp = dp
        self.programs = programs
        self.nodes = [None] * NODES
        self.runs = 0

    def __enter__(self):
        for number in range(NODES):
            self.begin(number)
        for number in range(NODES):
            self.wait_ready(number)
        return self

    def __exit__(self, *_):
        for number in range(NODES):
            self.kill(number)

    def begin(self, number):
        self.nodes[number] = self.dp.start(self.programs[number], self.dp.socket, "node", number,
                                           *[address(i) for i in range(NODES)])

    def wait_ready(self, number):
        self.nodes[number].wait_for("ready", 10)

    def kill(self, number):
        self.nodes[number].kill()

    def file(self, lines):
        self.runs += 1
        path = Path(self.dp.folder.name) / f"commands{time.monotonic_ns()}-{self.runs}"
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def start_client(self, at, lines, client=0):
        """Commands, one after the other, at the nodes of a list."""
        return self.dp.start(self.programs[client], self.dp.socket, ",".join(address(node) for node in at), "run",
                             self.file(lines))

    def ask(self, at, *lines, client=0):
        """The answers to some commands at a node."""
        program = self.start_client([at], lines, client)
        program.wait(20)
        answers = program.log().splitlines()
        tap.expect(len(answers) == len(lines), f"{len(lines)} commands, {len(answers)} answers:", program.log())
        return answers

    def expect(self, at, *pairs, client=0):
        answers = self.ask(at, *[command for command, _ in pairs], client=client)
        for (command, wanted), got in zip(pairs, answers):
            tap.expect_equal(got, wanted, f"node {at}, {command[:40]}:")

    def wait_kept(self, at, pairs):
        """Until a node itself keeps these."""
        lines = [f"peek {key}" for key, _ in pairs]
        wait_until(lambda: self.ask(at, *lines) == [value for _, value in pairs], 5, f"the replicas at node {at}")


# ------------------------------------------------------------------ what every cluster does

def get_put_update(cluster):
    for node in range(NODES):
        cluster.expect(node, ("get k", "not found"), ("update k one two", "not found"))
    cluster.expect(1, ("put k one", "ok"), ("get k", "one"), ("update k zero two", "conflict one"), ("get k", "one"),
                   ("update k one two", "ok"))
    for node in range(NODES):
        cluster.expect(node, ("get k", "two"))
        cluster.wait_kept(node, [("k", "two")])
    cluster.expect(2, ("put k three", "ok"))
    cluster.expect(0, ("get k", "three"))


def refuse_what_is_too_large(cluster):
    key, value = "k" * KEY_MAX, "v" * VALUE_MAX
    cluster.expect(1, (f"put {key} {value}", "ok"), (f"put {key}k v", "too large"), (f"put k {value}v", "too large"),
                   (f"update k {value}v v", "too large"), (f"get {key}k", "too large"), (f"get {key}", value))
    cluster.expect(2, (f"get {key}", value), ("get k", "three"))


def end_bad_conversations_only(cluster):
    good = cluster.start_client([0], ["get k"] * 300)
    cluster.expect(0, ("raw bfffffff", f"closed with code {CODE_TOO_LARGE}"), client=1)
    cluster.expect(0, ("raw 00", f"closed with code {CODE_MALFORMED}"), client=2)
    cluster.expect(0, ("raw 0409000000", f"closed with code {CODE_MALFORMED}"))
    tap.expect_equal(good.wait(20), 0, good.log())
    tap.expect_equal(good.log(), "three\n" * 300)


def count_at_once(cluster):
    """A counter ends when a node cannot tell whether a number was written before others: rare, and right."""
    for attempt in range(COUNTS_MAX):
        cluster.expect(0, (f"put n{attempt} 0", "ok"))
        clients = [cluster.start_client([i % NODES], [f"count n{attempt} {COUNTS}", "get k"], client=i % NODES)
                   for i in range(COUNTERS)]
        statuses = [client.wait(30) for client in clients]
        answers = [client.log().splitlines() for client in clients]
        tap.expect_equal([answer[1] for answer in answers], ["three"] * COUNTERS, answers)
        if not any("unknown" in answer for answer in answers):
            tap.expect_equal(statuses, [0] * COUNTERS, answers)
            cluster.expect(1, (f"get n{attempt}", str(COUNTERS * COUNTS)))
            return
    raise AssertionError(f"in {COUNTS_MAX} attempts a node could not tell: {answers}")


def agree(cluster):
    get_put_update(cluster)
    refuse_what_is_too_large(cluster)
    end_bad_conversations_only(cluster)
    count_at_once(cluster)


def lose_and_regain(cluster, victim):
    """A node dies while others' clients write: what was acknowledged is there, the rest goes on, and it returns."""
    others = [node for node in range(NODES) if node != victim]
    names = [[f"{victim}-{writer}-{i}" for i in range(WRITES)] for writer in range(3)]
    writers = [cluster.start_client([node], [f"put {name} {name}" for name in names[i]])
               for i, node in enumerate(others)]
    # This one talks to the victim, and then to another.
    writers.append(cluster.start_client([victim, others[0]], [f"put {name} {name}" for name in names[2]]))
    wait_until(lambda: writers[-1].log(), 10, "the first write")
    cluster.kill(victim)
    kept = []
    for writer, own in zip(writers, names):
        writer.wait(30)
        answers = writer.log().splitlines()
        tap.expect_equal(len(answers), WRITES, f"answers of a writer, the last {answers[-1:]}:")
        tap.expect(set(answers) <= {"ok", "unknown", "lost"}, f"answers {set(answers)}")
        doubtful = sum(answer != "ok" for answer in answers)
        tap.expect(doubtful <= 3, f"{doubtful} writes without an answer")
        kept += [name for name, answer in zip(own, answers) if answer == "ok"]
    tap.expect("lost" in writers[-1].log(), "the node died after everything was written")
    for node in others:
        cluster.expect(node, *[(f"get {name}", name) for name in kept])
    cluster.begin(victim)
    cluster.wait_ready(victim)
    cluster.wait_kept(victim, [(name, name) for name in kept])
    return kept


def survive(cluster):
    kept = lose_and_regain(cluster, NODES - 1)
    kept += lose_and_regain(cluster, 0)  # through which all writes go
    cluster.kill(1)
    for node in (0, 2):
        cluster.expect(node, *[(f"get {name}", name) for name in kept])


# ------------------------------------------------------------------ over which programs

def model_of(program):
    return Path(program).name.removeprefix("kv_")


def tests_of(dp, programs, name):
    def agrees():
        with Cluster(dp, programs) as cluster:
            agree(cluster)

    def survives():
        with Cluster(dp, programs) as cluster:
            survive(cluster)

    agrees.__name__ = f"B12 B1 B3 B6 {name}: nodes and clients agree"
    survives.__name__ = f"B4 {name}: nodes die, nothing acknowledged is lost, they return"
    return [agrees, survives]


# ------------------------------------------------------------------ what it costs

COST_REQUESTS = 1000
COST_WINDOWS = 7  # the best counts: others work on this machine, too


def figure(pid, name):
    """A number of /proc/PID/status."""
    return int(re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def cpu_seconds(pids):
    return sum(int(task.read_text().split()[0]) for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def window_of(cluster, command, pids):
    """Microseconds of a request, one after the other at node 0, the start of the client taken off; CPU of the nodes."""
    began = time.monotonic()
    cluster.ask(0, command)
    start, before, began = time.monotonic() - began, cpu_seconds(pids), time.monotonic()
    cluster.ask(0, *[command] * COST_REQUESTS)
    took = time.monotonic() - began - start
    return took / COST_REQUESTS * 1e6, (cpu_seconds(pids) - before) / COST_REQUESTS * 1e6


def cost_of(cluster, command, pids):
    windows = [window_of(cluster, command, pids) for _ in range(COST_WINDOWS)]
    return min(took for took, _ in windows), min(cpu for _, cpu in windows)


def say_costs(dp, programs):
    print("| model | get, us | put, us | CPU of the nodes for a put, us | resident, a node, KiB | threads of a node |")
    print("|---|---|---|---|---|---|")
    for program in programs:
        nodes = [program] * NODES if model_of(program) not in MANY_RINGS else [program] + [programs[0]] * (NODES - 1)
        with Cluster(dp, nodes) as cluster:
            pids = [node.pid for node in cluster.nodes]
            cluster.ask(0, "put k value")
            get, put = cost_of(cluster, "get k", pids)[0], cost_of(cluster, "put k value", pids)
            print(f"| {model_of(program)} | {get:.0f} | {put[0]:.0f} | {put[1]:.0f} | {figure(pids[0], 'VmRSS')} | "
                  f"{figure(pids[0], 'Threads')} |", flush=True)


# ------------------------------------------------------------------ how it ends

def start_all(dp, programs):
    """A node of each program, attached."""
    many = max(NODES, len(programs))
    nodes = [dp.start(program, dp.socket, "node", number, *[address(i) for i in range(many)])
             for number, program in enumerate(programs)]
    pids = {node.pid for node in nodes}
    wait_until(lambda: pids <= {row["pid"] for row in dp.ctl("apps") if row["state"] == "attached"}, 10, "the nodes' attachments")
    return nodes


def expect_ends(nodes, status, words):
    for node in nodes:
        tap.expect_equal(node.wait(10), status, f"{node.path.name}: {node.log()}")
        tap.expect_equal(node.log().splitlines()[-1:], [f"kv: {words}"], node.path.name)


def serves_on_while_it_drains(dp, programs):
    """Clients that are there get their answers; it ends when the datapath does, here when its patience is ended."""
    with Cluster(dp, programs) as cluster:
        names = [f"n{i}" for i in range(WRITES)]
        writer = cluster.start_client([0], [f"put {name} {name}" for name in names])
        wait_until(lambda: writer.log(), 10, "the first write")
        dp.drain()
        tap.expect_equal(writer.wait(20), 0, writer.log())
        tap.expect_equal(writer.log(), "ok\n" * WRITES)
        tap.expect(all(node.is_alive() for node in cluster.nodes), "a node has ended:", *[node.log() for node in cluster.nodes])
        dp.host.process.terminate()  # it waits no longer for connections
        expect_ends(cluster.nodes, 0, "drained")
        tap.expect_equal(dp.host.wait(20), 0, dp.host.log())


def ending_tests(new_datapath, programs):
    def detached_nodes_say_so():
        with new_datapath() as dp:
            nodes = start_all(dp, programs)

            def all_have_ended():  # one with many attachments makes more meanwhile
                for number in range(len(nodes)):
                    dp.detach(f"kv{number}")
                return not any(node.is_alive() for node in nodes)

            wait_until(all_have_ended, 20, "the nodes' ends")
            expect_ends(nodes, 1, "detached by the operator")
            nodes = start_all(dp, programs)
            dp.host.kill()
            expect_ends(nodes, 1, "the datapath is gone")

    def drained(some):
        def test():
            with new_datapath("--drain", "60s") as dp:
                serves_on_while_it_drains(dp, some)

        test.__name__ = f"{' and '.join(model_of(program) for program in some)}: nodes serve on while their datapath drains"
        return test

    detached_nodes_say_so.__name__ = "nodes say that they were detached, and that the datapath is gone"
    return [drained(mixed) for mixed in mixtures(programs)] + [detached_nodes_say_so]


def mixtures(programs):
    """All programs, as many at once as there are nodes."""
    return [[programs[(first + i) % len(programs)] for i in range(NODES)] for first in range(0, len(programs), NODES)]


def main():
    is_cost = sys.argv[1] == "--cost"
    millrace, *programs = sys.argv[1 + is_cost:]

    def new_datapath(*options):
        return Datapath(millrace, *(options or ("--drain", 0)), "--attachments", 128, "--attachments-per-user", 128,
                        listeners=LISTENERS)

    with new_datapath() as dp:
        if is_cost:
            say_costs(dp, programs)
            return
        tests = []
        for program in programs:
            if model_of(program) not in MANY_RINGS:
                tests += tests_of(dp, [program] * NODES, model_of(program))
        for mixed in mixtures(programs):
            tests += tests_of(dp, mixed, " and ".join(model_of(program) for program in mixed))

        def B4_a_minority_answers_nothing():
            with Cluster(dp, [programs[0]] * NODES) as cluster:
                cluster.expect(0, ("put k old", "ok"))
                cluster.kill(1)
                cluster.kill(2)
                writer = cluster.start_client([0], ["put k alone"])
                cluster.expect(0, ("get k", "unavailable"))
                tap.expect_equal(writer.wait(10), 1)
                tap.expect_equal(writer.log(), "unavailable\n")

        def what_is_wrong_with_the_arguments_is_said():
            for program in programs:
                for words in (["node", "", address(0)], ["node", "1", address(0)], ["node", "-0", address(0)],
                              ["node", "0", f"{ADDRESS}:99999"], ["node", "0", f"{ADDRESS}:+80"], [address(0), "count", "k", "3x"],
                              [address(0), "count", "k", "-1"], [f"{ADDRESS}:0", "get", "k"]):
                    status, said = dp.run(program, "/no/socket", *words, seconds=5)
                    tap.expect(status == 2 and said.startswith("kv: "), f"{program}: {words}: {status}: {said}")
                status, said = dp.run(program, "/no/socket", address(0), "get", "k", seconds=5)
                tap.expect(status == 1 and "/no/socket: there is no such socket" in said, f"{program}: {status}: {said}")

        def of_a_node_there_is_one_at_a_datapath():
            with Cluster(dp, [programs[0]] * NODES) as cluster:
                for program in programs:
                    status, said = dp.run(program, dp.socket, "node", 1, *[address(i) for i in range(NODES)], seconds=5)
                    tap.expect(status == 2 and f"kv: node 1 runs already at the datapath of {dp.socket}; end it" in said,
                               f"{program}: {status}: {said}")
                cluster.kill(1)
                cluster.begin(1)
                cluster.wait_ready(1)

        def nodes_end_with_their_datapath_which_ends_well():
            nodes = start_all(dp, programs)
            dp.stop_host()
            expect_ends(nodes, 0, "drained")

        tap.run(tests + [B4_a_minority_answers_nothing, what_is_wrong_with_the_arguments_is_said,
                         of_a_node_there_is_one_at_a_datapath, nodes_end_with_their_datapath_which_ends_well,
                         *ending_tests(new_datapath, programs)])


if __name__ == "__main__":
    tap.main(main)
