#!/usr/bin/env python3
"""The program `echo` (examples/echo.h) behaves alike in every I/O model: one conformance test over all of them.

    tests/dpdk/test_models.py MILLRACE DRIVER HALVES ECHO...          prints TAP

Each ECHO is a program echo_MODEL, or echo_inline.so for the datapath itself, which serves only.  Servers are asked by one driver, check by check; clients ask one server.  A model that
was not built is skipped.
"""
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, PORT, Datapath, wait_until  # noqa: E402
import tap  # noqa: E402

MODELS = ["rings", "events", "sockets", "blocking", "fibers", "exec", "coro"]
THREADS = 40  # of the model that needs one for each connection; each is an attachment
HOST = ["--attachments-per-user", 64, "--drain", "20s"]
OWN_LISTENER = "name=echo,alpn=echo,port=4433,application=echo"
LISTENER = OWN_LISTENER + ",policy=least-loaded"
LARGE = 3 << 20
NO_ANSWER = "echo: the connection ended before the answer: "
NO_SERVER = NO_ANSWER + "no application takes it; start one there: PROGRAM SOCKET server\n"
NO_LISTENER = NO_ANSWER + f"nobody there speaks echo (TLS alert 120); start millrace host with --listener {OWN_LISTENER}\n"
NO_TRUST = (NO_ANSWER + "the certificate is not accepted (TLS alert 48); start millrace host without --cert, or with one for "
            "localhost whose authority is in its SSL_CERT_FILE\n")
GONE = "echo: the datapath is gone\n"
DETACHED = "echo: detached by the operator\n"
DRAINED = "echo: drained\n"
STALLED = re.compile(r"millrace: the handler .* held its loop for ")  # what others on the machine can cause

# What is checked of each server: the test's name, the driver's check, how many.
CHECKS = [
    ("M2_{}_sends_back_every_byte", "bytes", 1),
    ("M2_{}_answers_one_way_streams_on_one_way_streams", "one-way", 1),
    ("M2_{}_lets_one_way_streams_wait_that_may_not_be_answered_yet", "one-way-many", 200),
    ("M2_{}_echoes_a_stream_as_it_goes_and_ends_it_when_the_peer_does", "ends", 1),
    ("M2_{}_passes_resets_and_stops_on", "resets", 1),
    ("M2_{}_keeps_100_streams_apart_and_in_order", "streams", 100),
    ("{}_serves_32_connections_at_once", "connections", 32),
    ("{}_is_not_harmed_by_who_leaves_in_the_middle", "leavers", 24),
    ("{}_is_held_by_a_slow_reader_in_its_stream_only", "slow", 8),
]


def without_stalls(text):
    return "".join(line for line in text.splitlines(True) if not STALLED.match(line))


class Programs:
    def __init__(self, millrace, driver, halves, *echoes):
        self.millrace, self.driver, self.halves = millrace, driver, halves
        self.inline = next(path for path in echoes if path.endswith("echo_inline.so"))
        self.echo = {Path(path).name.removeprefix("echo_"): path for path in echoes if path != self.inline}

    def need(self, model):
        if model == "coro" and model not in self.echo:
            raise tap.Skip(f"echo_{model} was not built: its compiler has no C++20")
        return self.echo[model]


class Stage:
    """A datapath and a server of one model, from the first check that needs them on."""

    def __init__(self):
        self.model, self.dp, self.server = None, None, None

    def set(self, programs, model):
        """The model's server, on a datapath of its own; the one before has ended."""
        if model != "inline":
            programs.need(model)
        if self.model == model and (self.server is None or self.server.is_alive()):
            return
        self.clear()
        inline = ["--inline", f"name=echo,object={programs.inline}"] if model == "inline" else []
        self.dp = Datapath(programs.millrace, *HOST, *inline, listeners=[LISTENER])
        self.dp.__enter__()
        self.model = model
        if model != "inline":
            self.serve(programs)

    def serve(self, programs):
        model = self.model
        self.server = self.dp.start(programs.need(model), self.dp.socket, "server", *([THREADS] if model == "blocking" else []))
        self.server.wait_for("echo: serving")

    def clear(self, kind=None):
        if self.dp is not None:
            self.dp.__exit__(kind)
        self.model = self.dp = self.server = None

    def drive(self, program, *words):
        status, out = self.dp.run(program, self.dp.socket, ADDRESS, PORT, *words, seconds=60)
        tap.expect(status == 0 and without_stalls(out) == "ok\n", f"{words}: {status}: {out}\n{(self.server or self.dp.host).log()}")


stage = Stage()


def check_of(model, name, check, count):
    if model == "blocking" and check == "slow":  # a thread does one thing at a time
        name, check = "{}_is_held_by_a_slow_reader_in_its_connection_only", "slow-in-turn"
    if model == "blocking" and check == "connections":
        name = "M7_T1_" + name

    def test(programs):
        stage.set(programs, model)
        stage.drive(programs.driver, check, count)
        if check == "resets":
            stage.drive(programs.halves, "reset")
            stage.drive(programs.halves, "stop")

    test.__name__ = name.format(f"echo_{model}").replace("echo_", "echo ")
    return test


def killed_client_of(model):
    def test(programs):
        stage.set(programs, model)
        for _ in range(2):
            client = stage.dp.start(programs.driver, stage.dp.socket, ADDRESS, PORT, "hold", 6)
            client.wait_for("holding")
            client.kill()
        stage.drive(programs.driver, "connections", 8)

    test.__name__ = f"echo {model} goes on when its client is killed"
    return test


def expect_end(server, status, words):
    """A server ends, and says why."""
    tap.expect_equal(server.wait(10), status, f"the server's status: {server.log()}")
    tap.expect_equal(without_stalls(server.log()), "echo: serving\n" + words)


def hold(programs):
    busy = stage.dp.start(programs.driver, stage.dp.socket, ADDRESS, PORT, "hold", 3)
    busy.wait_for("holding")
    return busy


def detached_of(model):
    def test(programs):
        stage.set(programs, model)
        hold(programs)
        stage.dp.detach("echo")
        expect_end(stage.server, 1, DETACHED)
        stage.serve(programs)  # the same datapath, for who comes next

    test.__name__ = f"echo {model} says that it was detached"
    return test


def killed_datapath_of(model):
    def test(programs):
        stage.set(programs, model)
        hold(programs)
        stage.dp.host.kill()
        expect_end(stage.server, 1, GONE)
        stage.clear(kind="killed")

    test.__name__ = f"echo {model} says that the datapath is gone"
    return test


def drained_of(model):
    def test(programs):
        """An answer is under way while the datapath drains: it comes, and then the server ends well."""
        stage.set(programs, model)
        text = random.Random(model).randbytes(LARGE)
        client = subprocess.Popen([programs.need("rings"), stage.dp.socket, "client", ADDRESS, str(PORT), "-"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        client.stdin.write(text)
        client.stdin.close()
        tap.expect_equal(client.stdout.read(1000), text[:1000], "what comes first:")
        stage.dp.drain()
        time.sleep(0.1)  # all hear of it
        rest = client.stdout.read()
        expect_answer((client.wait(20), text[:1000] + rest, client.stderr.read().decode()), text)
        expect_end(stage.server, 0, DRAINED)
        stage.clear(kind="drained")

    test.__name__ = f"echo {model} finishes its work when the datapath drains"
    return test


# ---------------------------------------------------------------------- clients

def ask(dp, program, *words, text=b"", seconds=60):
    """A client's (status, output, what it said)."""
    done = subprocess.run([program, dp.socket, "client", *[str(word) for word in words]], input=text, capture_output=True,
                          timeout=seconds, check=False)
    return done.returncode, done.stdout, without_stalls(done.stderr.decode())


def expect_answer(got, wanted, what=""):
    """A client got `wanted` back, all of it, and said nothing else."""
    status, out, said = got
    same = next((i for i, (a, b) in enumerate(zip(out, wanted)) if a != b), min(len(out), len(wanted)))
    tap.expect(got == (0, wanted, ""),
               f"{what} status {status}, {len(out)} bytes of {len(wanted)}, {same} of them right; it said {said!r}")


def client_of(model):
    def test(programs):
        program = programs.need(model)
        stage.set(programs, "rings")
        chance = random.Random(model)
        for size in (0, 1, 70000, LARGE):
            text = chance.randbytes(size)
            expect_answer(ask(stage.dp, program, ADDRESS, PORT, "-", text=text), text)
        tap.expect_equal(ask(stage.dp, program, "fd00::1", PORT, "hello"), (0, b"hello\n", ""))

    test.__name__ = f"the client of echo {model} gets back what it sends"
    return test


def faults_of(dp, program):
    """What a client does where there is nothing to be had: no server, no address, no words."""
    return [ask(dp, program, ADDRESS, PORT, "hello"), ask(dp, program, "nowhere", PORT, "hello"),
            ask(dp, program, ADDRESS)[0]]


def client_faults_of(model):
    def test(programs):
        program = programs.need(model)
        stage.clear()
        with Datapath(programs.millrace, *HOST, listeners=[LISTENER]) as dp:
            tap.expect_equal(faults_of(dp, program),
                             [(1, b"", NO_SERVER), (2, b"", "echo: nowhere is no address\n"), 2])
            silent = dp.start(programs.echo["rings"], dp.socket, "server")
            silent.wait_for("echo: serving")
            silent.process.send_signal(19)  # SIGSTOP: nobody answers
            client = subprocess.Popen([program, dp.socket, "client", ADDRESS, str(PORT), "-"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            client.stdin.write(bytes(1 << 20))
            client.stdin.close()
            wait_until(lambda: len(dp.ctl("apps")) == 2, 10, "the client's attachment")
            time.sleep(0.2)
            dp.host.kill()
            tap.expect_equal((client.wait(10), client.stdout.read(), client.stderr.read().decode()), (1, b"", GONE))

    test.__name__ = f"the client of echo {model} says what is missing"
    return test


def said_of_connections_that_do_not_come_about(programs, wanted, *options, listener=LISTENER):
    """What every client says where no connection comes about, all of them on one datapath."""
    stage.clear()
    with Datapath(programs.millrace, *HOST, *options, listeners=[listener]) as dp:
        for model, program in programs.echo.items():
            tap.expect_equal(ask(dp, program, ADDRESS, PORT, "hello"), (1, b"", wanted), f"echo {model}:")


def clients_say_that_the_certificate_is_not_accepted(programs):
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        key, pem = Path(folder) / "key", Path(folder) / "pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        key, "-out", pem, "-subj", "/CN=another.example"], check=True, capture_output=True)
        said_of_connections_that_do_not_come_about(programs, NO_TRUST, "--cert", pem, "--key", key)


def clients_say_that_nobody_speaks_their_protocol(programs):
    said_of_connections_that_do_not_come_about(programs, NO_LISTENER, listener="name=other,alpn=other,port=4433,application=echo")


def what_is_wrong_with_the_arguments_is_said_before_anything_is_waited_for(programs):
    """There is no datapath: who attached first would wait for it for ten seconds."""
    stage.clear()
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
        nowhere = f"{folder}/socket"
        waiting = [subprocess.Popen([program, nowhere, "client", ADDRESS, str(PORT), "hello"], stderr=subprocess.PIPE)
                   for program in programs.echo.values()]
        for model, program in programs.echo.items():
            for port in ("99999", "0", "-1", "4433x", " 4433", ""):
                tap.expect_equal(run_alone(program, nowhere, "client", ADDRESS, port, "hello"),
                                 (2, "", f"echo: {port} is no port; give 1 to 65535\n"), model)
            status, _, said = run_alone(program, file.name, "server")
            tap.expect(status == 1 and said.startswith(f"echo: {file.name}: that is no datapath's control socket; name"),
                       f"{model}: {status}: {said}")
        for threads in ("0", "257", "8x", "-1"):
            status, _, said = run_alone(programs.need("blocking"), nowhere, "server", threads)
            tap.expect_equal((status, said), (2, "echo: 1 to 256 threads\n"), threads)
        for one in waiting:
            tap.expect_equal(one.stderr.readline().decode(), f"millrace: waiting for the datapath at {nowhere}: there is no "
                             "such socket; start the datapath, or name its control socket in $MILLRACE_CONTROL\n")
            one.kill()
            one.wait()


def run_alone(*words):
    """A program's (status, output, what it said), which has no time to wait."""
    done = subprocess.run(words, capture_output=True, timeout=8, check=False, text=True)
    return done.returncode, done.stdout, done.stderr


def servers_without_a_listener(programs):
    stage.clear()
    with Datapath(programs.millrace, listeners=["name=other,alpn=other,port=4434,application=other"]) as dp:
        for model in programs.echo:
            status, out = dp.run(programs.echo[model], dp.socket, "server")
            tap.expect(status == 1 and "has no listener for us; start it with --listener" in out, f"{model}: {status}: {out}")


def G2_blocking_calls_and_callbacks_give_the_same(programs):
    """The same operation in both styles: what comes out, what is said, the status; of either server."""
    text = random.Random(1).randbytes(LARGE)
    for server in ("blocking", "events"):
        stage.set(programs, server)
        for client in ("blocking", "events"):
            for address, words, wanted in ((ADDRESS, "-", text), (ADDRESS, "hi", b"hi\n"), ("fd00::1", "-", text[:1000])):
                got = ask(stage.dp, programs.need(client), address, PORT, words, text=wanted)
                expect_answer(got, wanted, f"{client} asking {server}:")
    stage.clear()
    with Datapath(programs.millrace, *HOST, listeners=[LISTENER]) as dp:
        tap.expect_equal(faults_of(dp, programs.need("blocking")), faults_of(dp, programs.need("events")))


def main():
    tests = []
    for model in MODELS:
        tests += [check_of(model, *row) for row in CHECKS]
        tests += [killed_client_of(model), detached_of(model), drained_of(model), killed_datapath_of(model)]
    tests += [check_of("inline", *row) for row in CHECKS] + [killed_client_of("inline")]
    tests += [client_of(model) for model in MODELS]
    tests += [client_faults_of(model) for model in MODELS]
    tests += [clients_say_that_the_certificate_is_not_accepted, clients_say_that_nobody_speaks_their_protocol]
    tests += [what_is_wrong_with_the_arguments_is_said_before_anything_is_waited_for, servers_without_a_listener, G2_blocking_calls_and_callbacks_give_the_same]
    try:
        tap.run(tests, Programs(*sys.argv[1:]))
    finally:
        stage.clear(kind="end")


if __name__ == "__main__":
    tap.main(main)
