#!/usr/bin/env python3
"""The program `web` (examples/web.h) behaves alike in every I/O model: one conformance test over all of them.

    tests/dpdk/test_web.py MILLRACE WEB...          prints TAP

Each WEB is a program web_MODEL, or web_inline.so for the datapath itself.  Every server shows one folder to one fetcher, every
fetcher gets it from one server, and all of them must give the same bytes and say the same words.  A model that was not built is
skipped.
"""
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datapath import ADDRESS, Datapath, Program, wait_until  # noqa: E402
import tap  # noqa: E402

MODELS = ["events", "blocking", "fibers", "exec", "rings", "sockets", "coro"]  # attached; they serve and fetch
PORT = 4433
SITE = f"https://{ADDRESS}:{PORT}"
LISTENER = f"name=web,alpn=h3,port={PORT},application=web"
NOBODY = f"name=nobody,alpn=h3,port={PORT + 1},application=nobody"  # never there: the datapath closes its connections
BIG = 3 << 20
PAGES = 20  # at once
MANY = 70  # more than a client has under way at once: 64
TOGETHER = 5  # fetchers, too
GONE = "web: the datapath is gone\n"
DETACHED = "web: detached by the operator\n"
DRAINED = "web: drained\n"
MIDDLE = 300 << 10  # bytes that lie in a fetcher's buffers before it reads one of them
FEW = 4  # pages at once


class Site:
    """A folder with known contents."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="mr-test-")
        root = Path(self.folder.name)
        self.big = os.urandom(BIG)
        (root / "index.html").write_text("<p>welcome</p>\n")
        (root / "big").write_bytes(self.big)
        (root / "middle").write_bytes(self.big[:MIDDLE])
        (root / "empty").write_bytes(b"")
        (root / "sub").mkdir()
        (root / "sub" / "one.txt").write_text("one\n")
        for i in range(PAGES):
            (root / f"page{i}").write_text(f"page {i}\n")
        self.root = str(root)


class Programs:
    def __init__(self, millrace, *webs):
        self.millrace = millrace
        self.inline = next(path for path in webs if path.endswith("web_inline.so"))
        self.web = {Path(path).name.removeprefix("web_"): path for path in webs if path != self.inline}

    def need(self, model):
        if model == "coro" and model not in self.web:
            raise tap.Skip(f"web_{model} was not built: its compiler has no C++20")
        return self.web[model]


class Stage:
    """A datapath and a server of one model, from the first check that needs them on."""

    def __init__(self):
        self.model, self.dp, self.server, self.site = None, None, None, None

    def set(self, programs, model):
        """The model's server, on a datapath of its own; the one before has ended."""
        self.site = self.site or Site()
        if self.model == model and (self.server is None or self.server.is_alive()):
            return
        self.clear()
        if model != "inline":
            programs.need(model)
        inline = ["--inline", f"name=web,object={programs.inline},argument={self.site.root}"]
        self.dp = Datapath(programs.millrace, "--drain", "20s", *(inline if model == "inline" else []), listeners=[LISTENER, NOBODY])
        self.dp.__enter__()
        self.model = model
        if model != "inline":
            self.serve(programs)

    def serve(self, programs):
        self.server = self.dp.start(programs.need(self.model), self.dp.socket, "serve", self.site.root)
        self.server.wait_for("serving")

    def clear(self, kind=None):
        if self.dp is not None:
            self.dp.__exit__(kind)
        self.model = self.dp = self.server = None

    def get(self, fetcher, *urls, option="-k"):
        """(exit status, bytes of standard output, what it said)."""
        return run(fetcher, self.dp.socket, "get", *([option] if option else []), *urls)


stage = Stage()


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


# ---------------------------------------------------------------------- what every pair does

def check_pages(get, site):
    tap.expect_equal(get(SITE), (0, b"<p>welcome</p>\n", ""))
    tap.expect_equal(get(f"{SITE}/sub/one.txt?query#part"), (0, b"one\n", ""))
    tap.expect_equal(get(f"{SITE}/empty"), (0, b"", ""))
    status, body, said = get(f"{SITE}/big")
    tap.expect(status == 0 and body == site.big, f"big: {status}, {len(body)} bytes: {said}")
    status, body, said = get(*[f"{SITE}/page{i}" for i in range(PAGES)])
    tap.expect_equal((status, sorted(body.decode().splitlines())), (0, sorted(f"page {i}" for i in range(PAGES))), said)
    status, body, _ = get(f"{SITE}/sub/")
    tap.expect(status == 0 and b"one.txt" in body, f"a listing: {status}: {body[:200]}")
    tap.expect_equal(get(f"{SITE.replace(ADDRESS, '[fd00::1]')}/sub/one.txt"), (0, b"one\n", ""))


def check_failures(get):
    for url, words in ((f"{SITE}/missing", "status 404"), (f"{SITE}/../../etc/passwd", "status 4"),
                       ("https://no.such.name.invalid/", "")):
        status, body, said = get(url)
        tap.expect(status == 1 and body == b"" and said.startswith(f"web: {url}: ") and words in said,
                   f"{url}: {status}: {body[:100]} {said}")
    status, body, said = get(f"{SITE}/missing", f"{SITE}/missing/too", f"{SITE}/sub/one.txt")
    tap.expect_equal((status, body, len(said.splitlines())), (1, b"one\n", 2), said)


def server_of(model):
    def test(programs):
        stage.set(programs, model)
        fetcher = programs.need("events")
        check_pages(lambda *urls: stage.get(fetcher, *urls), stage.site)
        check_failures(lambda *urls: stage.get(fetcher, *urls))

    test.__name__ = f"web {model} serves a folder"
    return test


def what_is_wrong_with_the_arguments_is_said_before_anything_is_waited_for(programs):
    """There is no datapath: who attached first would wait for it for ten seconds."""
    with tempfile.TemporaryDirectory() as folder:
        nowhere = f"{folder}/socket"
        for model, program in programs.web.items():
            for url in ("http://plain/", "nonsense", f"https://{ADDRESS}:99999/", f"https://{ADDRESS}:0/"):
                tap.expect_equal(run(program, nowhere, "get", f"{SITE}/", url),
                                 (2, b"", f"web: {url}: not a URL like https://198.18.0.1:4433/page\n"), model)
            for root in (nowhere, __file__):
                tap.expect_equal(run(program, nowhere, "serve", root),
                                 (1, b"", f"web: {root}: no folder that can be served\n"), model)


def many_of(model):
    def test(programs):
        """Fetchers at once, one of which is killed in the middle; the server goes on."""
        stage.set(programs, model)
        victim = stage.dp.start(programs.need("events"), stage.dp.socket, "get", "-k", *[f"{SITE}/big"] * PAGES, name="victim")
        all_of_them = [subprocess.Popen([programs.need("events"), stage.dp.socket, "get", "-k", f"{SITE}/big", f"{SITE}/empty"],
                                        stdout=subprocess.PIPE) for _ in range(TOGETHER)]
        wait_until(lambda: os.path.getsize(victim.path) > 0 or not victim.is_alive(), 20, "the victim's first page")
        victim.kill()
        for one in all_of_them:
            body = one.communicate(timeout=30)[0]
            tap.expect(one.returncode == 0 and body == stage.site.big, f"{one.returncode}, {len(body)} bytes")
        tap.expect_equal(stage.get(programs.need("events"), f"{SITE}/sub/one.txt"), (0, b"one\n", ""))

    test.__name__ = f"web {model} serves many at once, and goes on when one is killed"
    return test


def fetcher_of(model):
    def test(programs):
        fetcher = programs.need(model)
        stage.set(programs, "events")
        check_pages(lambda *urls: stage.get(fetcher, *urls), stage.site)
        check_failures(lambda *urls: stage.get(fetcher, *urls))
        tap.expect_equal([run(fetcher)[0], run(fetcher, stage.dp.socket, "get")[0], run(fetcher, stage.dp.socket, "get", "-k")[0],
                          run(fetcher, stage.dp.socket, "serve")[0]], [2, 2, 2, 2], "called wrongly:")

    test.__name__ = ("G1 G2 " if model in ("fibers", "blocking") else "") + f"web {model} fetches pages"
    return test


def fetcher_of_many(model):
    def test(programs):
        """Those for which there is no room wait until others have ended."""
        fetcher = programs.need(model)
        stage.set(programs, "events")
        status, body, said = stage.get(fetcher, *[f"{SITE}/page{i % PAGES}" for i in range(MANY)])
        tap.expect_equal((status, sorted(body.decode().splitlines()), said),
                         (0, sorted(f"page {i % PAGES}" for i in range(MANY)), ""))
        status, body, said = stage.get(fetcher, *[f"{SITE}/missing"] * MANY, SITE)
        tap.expect_equal((status, body, said), (1, b"<p>welcome</p>\n", f"web: {SITE}/missing: status 404\n" * MANY))

    test.__name__ = f"web {model} fetches more pages than it can at once"
    return test


def fetcher_of_itself(model):
    def test(programs):
        program = programs.need(model)
        stage.set(programs, model)
        check_pages(lambda *urls: stage.get(program, *urls), stage.site)

    test.__name__ = ("G21 " if model == "fibers" else "") + f"web {model} fetches what it serves"
    return test


def what_all_models_say_is_the_same(programs):
    """Byte for byte: pages, listings, refusals; whoever serves and whoever fetches."""
    urls = [SITE, f"{SITE}/big", f"{SITE}/sub/", f"{SITE}/sub", f"{SITE}/missing", f"{SITE}/%zz", "https://x y/",
            f"https://{ADDRESS}:{PORT + 1}/"]
    seen = {}
    for server in [*MODELS, "inline"]:
        if server != "inline" and server not in programs.web:
            continue
        stage.set(programs, server)
        seen[server] = [stage.get(programs.need("events"), url) for url in urls]
    for server, answers in seen.items():
        tap.expect(answers == seen["events"], f"{server} answers otherwise than events:", [a for a in answers if len(a[1]) < 999])
    stage.set(programs, "events")
    wanted = [stage.get(programs.need("events"), url) for url in urls]
    for fetcher, path in programs.web.items():
        for url, one in zip(urls, wanted):
            got = stage.get(path, url)
            tap.expect(not got[2].endswith((": closed\n", ": \n", ": closed by the peer\n")), f"{fetcher}, {url}: no reason: {got[2]!r}")
            tap.expect(got == one, f"{fetcher}, {url}: {got[0]}, {len(got[1])} bytes, {got[2]!r}; events: {one[0]}, {one[2]!r}")


# ---------------------------------------------------------------------- certificates, ends

def certificates_are_checked_unless_told_otherwise(programs):
    stage.clear()
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        key, pem = Path(folder) / "key", Path(folder) / "pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        key, "-out", pem, "-subj", "/CN=another.example"], check=True, capture_output=True)
        with Datapath(programs.millrace, "--cert", pem, "--key", key, listeners=[LISTENER]) as dp:
            dp.start(programs.need("events"), dp.socket, "serve", stage.site.root).wait_for("serving")
            for fetcher in programs.web.values():
                status, body, said = run(fetcher, dp.socket, "get", SITE)
                tap.expect(status == 1 and body == b"" and "certificate" in said, f"{fetcher}: {status}: {said}")
                tap.expect_equal(run(fetcher, dp.socket, "get", "-k", SITE)[:2], (0, b"<p>welcome</p>\n"))
    stage.set(programs, "events")  # its own certificate is for its address, and trusted
    for fetcher in programs.web.values():
        tap.expect_equal(stage.get(fetcher, SITE, option=None), (0, b"<p>welcome</p>\n", ""))


def expect_end(server, status, words):
    """A server ends, and says why."""
    tap.expect_equal(server.wait(10), status, server.log())
    tap.expect_equal(server.log(), f"web: serving {stage.site.root}\n" + words)


def detached_of(model):
    def test(programs):
        stage.set(programs, model)
        stage.get(programs.need("events"), SITE)
        stage.dp.detach("web")
        expect_end(stage.server, 1, DETACHED)
        stage.serve(programs)  # the same datapath, for who comes next

    test.__name__ = f"web {model} says that it was detached"
    return test


def killed_datapath_of(model):
    def test(programs):
        stage.set(programs, model)
        stage.get(programs.need("events"), SITE)
        stage.dp.host.kill()
        expect_end(stage.server, 1, GONE)
        stage.clear(kind="killed")

    test.__name__ = f"web {model} says that the datapath is gone"
    return test


def begin_fetching(fetcher, control, page):
    """A fetcher of a few pages that has begun to print, and waits until that is read; so it reads nothing, either."""
    done = subprocess.Popen([fetcher, control, "get", "-k", *[f"{SITE}/{page}"] * FEW], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    return done, os.read(done.stdout.fileno(), 1)


def drained_of(model):
    def test(programs):
        """Answers are under way while the datapath drains, or lie in buffers already: all of them come."""
        stage.set(programs, model)
        pages = {"middle": stage.site.big[:MIDDLE], "big": stage.site.big}
        fetchers = {page: begin_fetching(programs.need("events"), stage.dp.socket, page) for page in pages}
        time.sleep(0.2)  # all have asked, and been answered as far as there is room
        stage.dp.drain()
        time.sleep(0.2)
        for page, (fetcher, first) in fetchers.items():
            body, said = fetcher.communicate(timeout=30)
            tap.expect(fetcher.returncode == 0 and first + body == pages[page] * FEW,
                       f"{page}: {fetcher.returncode}, {len(body) + 1} of {len(pages[page]) * FEW} bytes: {said.decode()}")
        if stage.server is not None:
            expect_end(stage.server, 0, DRAINED)
        tap.expect_equal(stage.dp.host.wait(20), 0, stage.dp.host.log())
        stage.clear(kind="drained")

    test.__name__ = f"web {model} answers what was asked when the datapath drains"
    return test


def received(dp):
    return sum(ring["bytes_received"] for row in dp.ctl("apps") for ring in row["rings"])


def edge_ends_with_no_error(programs):
    """Whose patience is over: what is under way is cut, with HTTP/3's code for it."""
    site = Site()
    (Path(site.root) / "huge").write_bytes(site.big * 5)  # more than finds room on its way
    with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
        wire = f"socket={folder}/memif"
        edge = Program([programs.millrace, "edge", "--port", f"memif:role=server,{wire}", "--addr", "198.18.0.1/24", "--listen-port",
                        PORT, "--root", site.root, "--drain", 0], folder, "edge")
        edge.wait_for("serving")
        with Datapath(programs.millrace, "--addr", "198.18.0.2/24", port=f"memif:role=client,{wire}") as dp:
            fetcher = dp.start(programs.need("events"), dp.socket, "get", "-k", *[f"{SITE}/huge"] * FEW)
            wait_until(lambda: received(dp) > 0, 20, "the first bytes")
            fetcher.process.send_signal(signal.SIGSTOP)
            edge.process.terminate()
            tap.expect_equal(edge.wait(20), 0, edge.log())
            fetcher.process.send_signal(signal.SIGCONT)
            tap.expect_equal(fetcher.wait(20), 1, "the fetcher's status:")
            said = [line for line in fetcher.path.read_bytes().splitlines() if b"https://" in line]
            tap.expect_equal(said[-1].decode(), f"web: {SITE}/huge: the server closed the connection: H3_NO_ERROR (0x100)")


def what_cannot_be_served_is_said(programs):
    stage.clear()
    with Datapath(programs.millrace, listeners=[LISTENER]) as dp:
        for server in programs.web.values():
            status, _, said = run(server, dp.socket, "serve", "/nonexistent")
            tap.expect(status == 1 and "/nonexistent" in said, f"{server}: {status}: {said}")
    with Datapath(programs.millrace, listeners=["name=other,alpn=other,port=4434,application=other"]) as dp:
        for server in programs.web.values():
            status, _, said = run(server, dp.socket, "serve", "/")
            tap.expect(status == 1 and "has no listener for us; start it with --listener" in said, f"{server}: {status}: {said}")


def web_inline_says_what_it_cannot_serve(programs):
    stage.clear()
    for argument, words in (("", "argument=FOLDER"), (",argument=/nonexistent", "/nonexistent")):
        with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
            status, _, said = run(programs.millrace, "host", "--port", "loopback", "--control", f"{folder}/control", "--inline",
                                  f"name=web,object={programs.inline}{argument}", "--listener", LISTENER)
            tap.expect(status != 0 and words in said and "web" in said, f"{status}: {said}")


def millrace_get_from(model):
    def test(programs):
        """The fetcher is a datapath of its own, at the other end of a memif."""
        site = Site()
        with tempfile.TemporaryDirectory(prefix="mr-test-") as folder:
            wire = f"socket={folder}/memif"
            control = f"{folder}/control"
            inline = ["--inline", f"name=web,object={programs.inline},argument={site.root}"] if model == "inline" else []
            program = None if inline else programs.need(model)
            host = Program([programs.millrace, "host", "--port", f"memif:role=server,{wire}", "--addr", "198.18.0.1/24",
                            "--control", control, "--listener", LISTENER, *inline], folder, "host")
            host.wait_for("applications attach to")
            if program is not None:
                server = Program([program, control, "serve", site.root], folder, "server")
                server.wait_for("serving")
            out = Path(folder) / "big"
            status, _, said = run(programs.millrace, "get", "--insecure", f"{SITE}/big", "-o", out, "--port",
                                  f"memif:role=client,{wire}", "--addr", "198.18.0.2/24")
            tap.expect(status == 0, f"{status}: {said}")
            tap.expect(out.read_bytes() == site.big, "the file is another")
            if program is not None:
                server.kill()
            host.kill(15)

    test.__name__ = f"millrace get downloads from web {model}"
    return test


def main():
    tests = []
    for model in MODELS:
        tests += [server_of(model), many_of(model), fetcher_of_itself(model), detached_of(model), drained_of(model),
                  killed_datapath_of(model)]
    tests += [server_of("inline"), many_of("inline"), drained_of("inline")]
    tests += [fetcher_of(model) for model in MODELS]
    tests += [fetcher_of_many(model) for model in MODELS]
    tests += [what_is_wrong_with_the_arguments_is_said_before_anything_is_waited_for, what_all_models_say_is_the_same, certificates_are_checked_unless_told_otherwise, what_cannot_be_served_is_said,
              web_inline_says_what_it_cannot_serve]
    tests += [edge_ends_with_no_error]
    tests += [millrace_get_from(model) for model in ("fibers", "rings", "sockets", "coro", "inline")]
    try:
        tap.run(tests, Programs(*sys.argv[1:]))
    finally:
        stage.clear(kind="end")


if __name__ == "__main__":
    tap.main(main)
