#!/usr/bin/env python3
"""The program as its user meets it: every mistake has one line with cause and remedy, and an exit status; what needs no
root works without it, edge and get over shared memory included.

    tests/dpdk/test_cli.py MILLRACE          prints TAP; tests that a machine does not allow say why
"""
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402
sys.path.insert(0, str(Path(__file__).parent))
import qlog_check  # noqa: E402

PROGRAM = os.path.abspath(sys.argv[1])
OK, FAILED, USAGE, STATUS = 0, 1, 2, 3  # exit statuses
NOBODY = 65534
SECONDS = 60  # for any command
HANDSHAKE_NS_MIN = 100000  # of CPU time: a key exchange and a signature take that anywhere
ADDRESS = ["--addr", "198.18.0.2/24"]
TAP = ["--port", "tap:mrtestcli0"]
MEMIF = ["--port", "memif:role=client,socket=@millrace-test-nobody-is-here"]
URL = "https://198.18.0.1/file"


class Folder:
    """A scratch folder that nobody may read, too."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="millrace-cli-"))
        self.path.chmod(0o755)
        self.root = self.path / "site"
        self.root.mkdir()
        (self.root / "index.html").write_text("<title>home</title>\n")

    def __truediv__(self, name):
        return self.path / name

    def delete(self):
        shutil.rmtree(self.path, ignore_errors=True)


def run(*arguments, user=None, seconds=SECONDS, cwd=None):
    """Run the program to its end, as another user if told."""
    words = [PROGRAM, *map(str, arguments)]
    if user is not None:
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False, cwd=cwd,
                          stdin=subprocess.DEVNULL)


def expect_error(command, arguments, *words, status=FAILED, user=None):
    """It fails with one line that has these words."""
    done = run(command, *arguments, user=user)
    lines = done.stderr.splitlines()
    tap.expect(len(lines) == 1, "not one line but", lines, done.stdout)
    tap.expect(lines[0].startswith(f"millrace {command}: "), lines[0])
    for word in words:
        tap.expect(word in lines[0], f"{word!r} is missing in: {lines[0]}")
    tap.expect_equal(done.returncode, status, lines[0])


def edge_error(folder, arguments, *words, **options):
    expect_error("edge", ["--root", folder.root, *arguments], *words, **options)


def ordinary_user():
    """Whom to run as to have no rights: nobody if we are root, ourselves if we are not."""
    return NOBODY if os.geteuid() == 0 else None


def need_root():
    if os.geteuid() != 0:
        raise tap.Skip("needs root")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificate(folder, name, *options):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=IP:198.18.0.2", *options)
    (folder / f"{name}.key").chmod(0o644)
    return folder / f"{name}.pem", folder / f"{name}.key"


# ---- the program


def a_command_is_asked_for(_folder):
    done = run()
    tap.expect_equal((done.returncode, done.stdout), (USAGE, ""))
    tap.expect(all(word in done.stderr for word in ("edge", "get", "bench", "ctl")), done.stderr)
    done = run("egde")
    tap.expect_equal(done.returncode, USAGE)
    tap.expect("unknown command egde" in done.stderr, done.stderr)


def the_version_is_the_projects(_folder):
    done = run("--version")
    project = (Path(__file__).parents[2] / "meson.build").read_text()
    tap.expect_equal((done.returncode, done.stderr), (OK, ""))
    tap.expect(done.stdout.startswith("millrace ") and f"version: '{done.stdout.split()[1]}'" in project, done.stdout)


def every_command_has_help_and_a_place_in_the_man_page(_folder):
    page = (Path(__file__).parents[2] / "docs" / "millrace.1").read_text()
    for command, least in ("edge", 4), ("get", 4), ("demo", 4), ("ctl", 2):
        done = run(command, "--help")
        tap.expect_equal((done.returncode, done.stderr), (OK, ""))
        options = [word for line in done.stdout.splitlines() for word in line.split()[:1] if word.startswith("--")]
        tap.expect(len(options) > least, done.stdout)
        for option in set(options) - {"--help"}:
            entry = f"Fl {option[1:]}"
            tap.expect(f"{entry} " in page or f"{entry}\n" in page, f"{command} {option} is not in the man page")


# ---- edge: the command line


def edge_names_what_is_missing(folder):
    expect_error("edge", [*TAP, *ADDRESS], "no directory to serve", "--root DIR", status=USAGE)
    edge_error(folder, ADDRESS, "no port", "--port tap:", status=USAGE)
    edge_error(folder, TAP, "no address", "--addr 198.18.0.2/24", status=USAGE)
    edge_error(folder, [*TAP, *ADDRESS, "--cert", "x.pem"], "--cert and --key go together", status=USAGE)


def edge_names_malformed_options(folder):
    for options, *words in (
            (["--port", "tpa:mr0", *ADDRESS], "unknown port kind", "tap:NAME", "af_packet:IFACE", "memif:"),
            ([*TAP, "--addr", "198.18.0.2"], "--addr 198.18.0.2", "with its prefix", "/24"),
            ([*TAP, "--addr", "198.18.0.300/24"], "--addr 198.18.0.300/24"),
            ([*TAP, "--addr", "198.18.0.0/24"], "not the address of one host"),
            ([*TAP, "--addr", "224.0.0.1/24"], "not the address of one host"),
            ([*TAP, *ADDRESS, "--gateway", "10.0.0.1"], "--gateway 10.0.0.1", "no network of --addr"),
            ([*TAP, *ADDRESS, "--gateway", "router"], "--gateway router: not an address"),
            ([*TAP, *ADDRESS, "--listen-port", "70000"], "--listen-port 70000", "between 1 and 65535"),
            ([*TAP, *ADDRESS, "--shards", "two"], "--shards two: not a number"),
            ([*TAP, *ADDRESS, "--shards", "0"], "--shards 0", "between 1 and 64"),
            ([*TAP, *ADDRESS, "--shards", "1.5"], "--shards 1.5: not a whole number"),
            ([*TAP, *ADDRESS, "--tls-helpers", "9"], "--tls-helpers 9", "between 0 and 8"),
            ([*TAP, *ADDRESS, "--connections", "99999999999"], "99999999999: too large, at most 1000000"),
            ([*TAP, *ADDRESS, "--connections", "1e999"], "1e999: too large, at most 1000000"),
            ([*TAP, *ADDRESS, "--cache", "99999999999T"], "99999999999T: too large, at most 1099511627776"),
            ([*TAP, *ADDRESS, *ADDRESS], "--addr 198.18.0.2/24: given twice"),
            ([*TAP, *ADDRESS, "--gateway", "198.18.0.2"], "--gateway 198.18.0.2: that is our own address"),
            (["--port", "tap:mr0,mac=00:00:00:00:00:00", *ADDRESS], "is no address of one station"),
            (["--port", "tap:mr0,mac=01:00:5e:00:00:01", *ADDRESS], "is no address of one station"),
            (["--port", "tap:mr0,", *ADDRESS], "nothing behind a comma"),
            (["--port", "tap:%d", *ADDRESS], "an interface's name has 1 to 15 characters"),
            ([*TAP, *ADDRESS, "--cache", "1Q"], "--cache 1Q: not a size like 64K or 1G"),
            ([*TAP, *ADDRESS, "--polling", "often"], "--polling often", "adaptive, busy"),
            ([*TAP, *ADDRESS, "--hugepages", "yes"], "--hugepages yes", "auto, required, off"),
            ([*TAP, *ADDRESS, "--crypto", "rot13"], "--crypto rot13", "openssl"),
            ([*TAP, *ADDRESS, "--retry", "never"], "--retry never", "auto, always"),
            ([*TAP, *ADDRESS, "--cores"], "--cores needs a value", "LIST"),
            ([*TAP, *ADDRESS, "--cores", "0,0"], "core 0 is there twice", "leave one out"),
            ([*TAP, *ADDRESS, "--listing=yes"], "--listing takes no value"),
            ([*TAP, *ADDRESS, "--prot", "1"], "unknown option --prot", "millrace edge --help"),
            ([*TAP, *ADDRESS, "more"], "unexpected argument more", "millrace edge --help")):
        edge_error(folder, options, *words, status=USAGE)


# ---- edge: files


def edge_names_a_directory_that_cannot_be_served(folder):
    expect_error("edge", [*TAP, *ADDRESS, "--root", folder / "none"], "cannot serve", "No such file", "exists")
    expect_error("edge", [*TAP, *ADDRESS, "--root", folder.root / "index.html"], "Not a directory", "name a directory")
    edge_error(folder, [*TAP, *ADDRESS, "--index", "a/b"], "index", "leave its directory out", status=USAGE)
    edge_error(folder, [*TAP, *ADDRESS, "--refuse-early"], "--refuse-early needs --early-data", status=USAGE)


def edge_names_a_directory_that_it_may_not_read(folder):
    locked = folder / "locked"
    locked.mkdir(exist_ok=True)
    locked.chmod(0o000)
    expect_error("edge", [*TAP, *ADDRESS, "--root", locked], "cannot serve", "Permission denied", "let this user read",
                 user=ordinary_user())


def edge_names_a_bad_certificate_or_key(folder):
    pem, key = make_certificate(folder, "good")
    _, other = make_certificate(folder, "other")
    (folder / "text").write_text("no certificate\n")
    openssl("pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", folder / "locked.key")
    (folder / "locked.key").chmod(0o644)
    for certificate, private, *words in (
            (folder / "none.pem", key, "none.pem", "No such file", "check the path"),
            (folder / "text", key, "no certificate in PEM form", "BEGIN CERTIFICATE"),
            (pem, folder / "text", "no private key in PEM form", "BEGIN PRIVATE KEY"),
            (pem, other, "does not belong to the certificate", "the pair that was made together"),
            (pem, folder / "locked.key", "passphrase", "openssl pkey")):
        edge_error(folder, [*TAP, *ADDRESS, "--cert", certificate, "--key", private], *words)


def edge_names_an_expired_certificate(folder):
    key, request, pem = folder / "old.key", folder / "old.csr", folder / "old.pem"
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
            "-subj", "/CN=old")
    openssl("x509", "-req", "-in", request, "-key", key, "-days", "-1", "-out", pem)
    edge_error(folder, [*TAP, *ADDRESS, "--cert", pem, "--key", key], "expired on", "renew it")


def edge_names_a_key_that_it_may_not_read(folder):
    pem, key = make_certificate(folder, "private")
    key.chmod(0o000)
    edge_error(folder, [*TAP, *ADDRESS, "--cert", pem, "--key", key], "private.key", "Permission denied",
               "right to read", user=ordinary_user())


def edge_names_a_key_log_that_it_may_not_write(folder):
    edge_error(folder, [*MEMIF, *ADDRESS, "--keylog", folder / "none" / "log"], "--keylog", "No such file", "may write")


def a_start_that_fails_leaves_no_key_log(folder):
    """None that it made: one that was there stays as it was."""
    (folder / "old").write_text("")
    loopback = ["--port", "loopback", "--listener", "name=a,application=a,alpn=a", "--control", folder / "none" / "socket"]
    for name, is_left in ("new", False), ("old", True):
        edge_error(folder, [*MEMIF, *ADDRESS, "--keylog", folder / name], "port memif")
        expect_error("host", [*loopback, "--keylog", folder / name], "--control")
        tap.expect_equal((folder / name).exists(), is_left, f"{name}:")
    words = [*loopback, "--token-key-file", folder / "made", "--cid-key-file", folder / "none-such"]
    expect_error("host", words, "routing.key_file", "No such file")
    tap.expect(not (folder / "made").exists(), "secrets of tokens were made:")


# ---- edge: the machine


def edge_names_too_few_cores(folder):
    cores = len(os.sched_getaffinity(0))
    edge_error(folder, [*TAP, *ADDRESS, "--shards", cores + 1], "too few cores", f"there are {cores}", "fewer")
    edge_error(folder, [*TAP, *ADDRESS, "--cores", "1-"], "malformed list of cores", "2,3 or 2-5", status=USAGE)
    edge_error(folder, [*TAP, *ADDRESS, "--cores", "1000"], "core 1000 does not exist")


def edge_names_missing_hugepages(folder):
    free = [int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("HugePages_Free:")]
    if not free or free[0] > 0:
        raise tap.Skip("this machine has huge pages")
    edge_error(folder, [*TAP, *ADDRESS, "--hugepages", "required"], "too few huge pages", "sysctl vm.nr_hugepages=")


def edge_names_missing_rights_for_ports(folder):
    for port in "tap:mrtestcli0", "af_packet:lo":
        edge_error(folder, ["--port", port, *ADDRESS], f"port {port}", "root", "run with sudo", user=ordinary_user())


def edge_names_an_interface_that_is_not_there_or_not_free(folder):
    need_root()
    edge_error(folder, ["--port", "af_packet:mrnone0", *ADDRESS], "no interface mrnone0", "there are: ")
    edge_error(folder, ["--port", "tap:lo", *ADDRESS], "interface lo exists already", "choose another name")
    edge_error(folder, ["--port", "tap:a-name-that-is-too-long", *ADDRESS], "1 to 15 characters", status=USAGE)


def edge_shows_the_log_of_dpdk_when_asked(folder):
    done = run("edge", "--root", folder.root, *MEMIF, *ADDRESS, "--verbose")
    tap.expect_equal(done.returncode, FAILED)
    tap.expect("EAL" in done.stderr and "millrace edge: port memif:" in done.stderr, done.stderr)


def edge_names_what_stands_where_its_socket_should(folder):
    target = folder / "precious"
    target.write_text("mine\n")
    link = folder / "link"
    link.symlink_to(target)
    for path, kind in ((target, "a regular file"), (link, "a symbolic link"), (folder.root, "a directory")):
        edge_error(folder, ["--port", f"memif:role=server,socket={path}", *ADDRESS], kind, "left as it is", "socket=")
    edge_error(folder, ["--port", f"memif:role=server,socket={folder / 'none' / 'socket'}", *ADDRESS],
               "there is no directory", "make it")
    tap.expect_equal((target.read_text(), link.is_symlink()), ("mine\n", True))


def edge_names_a_limit_of_files_that_is_too_small(folder):
    for limit in 8, 10, 11, 12, 13, 14, 30:
        done = subprocess.run([PROGRAM, "edge", *MEMIF, *ADDRESS, "--root", str(folder.root)], capture_output=True,
                              text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        tap.expect_equal((done.returncode, done.stdout, len(done.stderr.splitlines())), (FAILED, "", 1), done.stderr)
        for word in "too few file descriptors", f"the limit is {limit}", "ulimit -n":
            tap.expect(word in done.stderr, word, "is missing in", done.stderr)


def too_little_memory_is_named_and_leaves_nothing(_folder):
    limit = 400 << 20
    words = [PROGRAM, "bench", "latency", "--seconds", "0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) as child:
        output, log = child.communicate(timeout=SECONDS)
    tap.expect_equal((child.returncode, output, len(log.splitlines())), (FAILED, "", 1), log)
    for word in "too little memory", "MB are asked for", "ulimit -v":
        tap.expect(word in log, word, "is missing in", log)
    left = [path for path in (Path("/run/dpdk"), Path(f"/run/user/{os.getuid()}/dpdk"), Path("/tmp/dpdk"))
            if (path / f"millrace-{child.pid}").exists()]
    tap.expect_equal(left, [])


def edge_does_not_wait_for_a_pipe(folder):
    pem, key = make_certificate(folder, "piped")
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    edge_error(folder, [*MEMIF, *ADDRESS, "--cert", pem, "--key", pipe], "no regular file", "PEM file")
    edge_error(folder, [*MEMIF, *ADDRESS, "--cert", pipe, "--key", key], "no regular file", "PEM file")
    edge_error(folder, [*MEMIF, *ADDRESS, "--keylog", pipe], "--keylog", "name a file")


def edge_names_a_missing_sys(folder):
    need_root()
    words = [PROGRAM, "edge", *MEMIF, *ADDRESS, "--root", str(folder.root)]
    done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh", *words],
                          capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    if "mount" in done.stderr.splitlines()[0].split(":")[0] or "unshare" in done.stderr:
        raise tap.Skip(done.stderr.strip())
    tap.expect_equal((done.returncode, done.stdout, len(done.stderr.splitlines())), (FAILED, "", 1), done.stderr)
    tap.expect("/sys" in done.stderr and "mount -t sysfs" in done.stderr, done.stderr)


# ---- get


def get_names_what_is_wrong_with_a_url(_folder):
    options = [*MEMIF, *ADDRESS]
    for urls, *words in (
            ([], "no URL", "https://"),
            (["http://198.18.0.1/"], "not a URL that HTTP/3 can fetch", "https://"),
            (["https:///path"], "host is malformed"),
            (["https://[198.18.0.1/"], "host is malformed"),
            (["https://198.18.0.1:0/"], "port is malformed", "1 to 65535"),
            (["https://198.18.0.1:70000/"], "port is malformed"),
            (["https://198.18.0.1;x"], "malformed behind the host"),
            (["https://me@198.18.0.1/"], "user names", "leave out"),
            (["https://198.18.0.1/" + "x" * 1000], "too long"),
            ([URL, "https://198.18.0.3/file"], "another server", "command of its own"),
            ([URL, "https://198.18.0.1/other/file"], "two URLs would be written to file", "one by one")):
        expect_error("get", [*urls, *options], *words, status=USAGE)


def get_names_what_is_wrong_with_its_options(folder):
    for options, *words in (
            (ADDRESS, "no port"),
            (MEMIF, "no address"),
            ([*MEMIF, *ADDRESS, "-o", "-", "--json"], "both want standard output"),
            ([*MEMIF, *ADDRESS, "-o", "file", "--head"], "--head fetches no content", "leave out -o"),
            ([*MEMIF, *ADDRESS, "--timeout", "soon"], "--timeout soon: not a number"),
            ([*MEMIF, *ADDRESS, "--priority", "u=8"], '"u=8" is no priority', "u=0 to u=7"),
            ([*MEMIF, *ADDRESS, "--priority", "u=1,"], '"u=1," is no priority'),
            ([*MEMIF, *ADDRESS, "--priority", "u=1;i"], "more priorities than URLs"),
            ([*MEMIF, *ADDRESS, "--early-data"], "--early-data needs --session"),
            ([*MEMIF, *ADDRESS, "--timeout", "0"], "--timeout 0", "between")):
        expect_error("get", [URL, *options], *words, status=USAGE)
    (folder / "taken" / "file").mkdir(parents=True, exist_ok=True)
    for options, *words in (
            ([*MEMIF, *ADDRESS, "--connect", "here"], "--connect here: not an address"),
            ([*MEMIF, *ADDRESS, "--connect", "198.18.0.1:x"], "--connect 198.18.0.1:x"),
            ([*MEMIF, "--addr", "198.18.0.1/24"], "198.18.0.1 is the address that --addr gives", "another"),
            ([*MEMIF, *ADDRESS, "--connect", "198.18.0.2"], "198.18.0.2 is the address that --addr gives"),
            ([*MEMIF, "--addr", "fd00::2/64"], "198.18.0.1 is an IPv4 address", "--addr has none"),
            ([*MEMIF, "--addr", "198.19.0.2/24"], "no route to 198.18.0.1", "--gateway IP"),
            ([*MEMIF, *ADDRESS, "--ca", folder / "none.pem"], "none.pem", "No such file"),
            ([*MEMIF, *ADDRESS, "--ca", folder.root], "site", "directory", "openssl rehash"),
            ([*MEMIF, *ADDRESS, "--insecure", "-o", folder.path / "taken"], "taken/file", "directory", "another with -o"),
            ([*MEMIF, *ADDRESS, "--insecure", "--session", folder / "none" / "kept"], "cannot write --session", "make its directory"),
            ([*MEMIF, *ADDRESS, "--insecure", "-o", folder / "none" / "file"], "cannot write", "make its directory")):
        expect_error("get", [URL, *options], *words)


def get_names_a_host_without_address(_folder):
    expect_error("get", ["https://nosuchhost.invalid/", *MEMIF, *ADDRESS], "cannot find the address of nosuchhost.invalid",
                 "--connect IP")


def get_names_a_memif_without_server_and_leaves_no_file(folder):
    target = folder / "never"
    expect_error("get", [URL, *MEMIF, *ADDRESS, "--insecure", "-o", target], "no memif server answers at",
                 "start the server's side first")
    tap.expect(not list(folder.path.glob("never*")), "a file was left")


# ---- edge and get over shared memory: no root


class Edge:
    """An edge server of ordinary rights behind a memif, for the folder's site."""

    def __init__(self, folder, *options, before=None, socket=None):
        self.socket = socket or f"@millrace-test-{os.getpid()}-{time.monotonic_ns()}"
        self.log = folder / "edge.log"
        words = [PROGRAM, "edge", "--port", self.server_port(), "--addr", "198.18.0.2/24", "--root", folder.root,
                 *map(str, options)]
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=before)
        deadline = time.monotonic() + SECONDS
        while "edge: serving" not in self.log.read_text():
            tap.expect(self.child.poll() is None and time.monotonic() < deadline, "edge:", self.log.read_text())
            time.sleep(0.02)

    def server_port(self):
        return f"memif:role=server,socket={self.socket}"

    def get_options(self):
        return ["--port", f"memif:role=client,socket={self.socket}", "--addr", "198.18.0.1/24"]

    def get(self, path, *options, **more):
        return run("get", f"https://198.18.0.2{path}", *self.get_options(), *options, **more)

    def stop(self, number=signal.SIGTERM):
        """Its exit status and what it said."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(SECONDS), self.log.read_text()


@contextlib.contextmanager
def serving(folder, *options):
    """An edge that must end well and give every buffer back."""
    edge = Edge(folder, *options)
    try:
        yield edge
    except BaseException:
        edge.child.kill()
        raise
    status, log = edge.stop()
    tap.expect_equal(status, OK, log)
    tap.expect("mbufs lost: 0" in log, log)


def big_file(folder, mib=8):
    path = folder.root / "big"
    if not path.exists():
        path.write_bytes(random.Random(1).randbytes(mib << 20))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def a_file_goes_over_shared_memory_without_root(folder):
    digest = big_file(folder)
    pem, key = make_certificate(folder, "served")
    with serving(folder, "--cert", pem, "--key", key) as edge:
        done = edge.get("/big", "--ca", pem, "-o", folder / "got")
        tap.expect_equal(done.returncode, OK, done.stderr)
        tap.expect_equal(hashlib.sha256((folder / "got").read_bytes()).hexdigest(), digest)
        tap.expect_equal([path.name for path in folder.path.glob("got*")], ["got"])
        fingerprint = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256"],
                                     capture_output=True, text=True, check=True).stdout
        ready = edge.log.read_text().splitlines()
        tap.expect_equal(len(ready), 1, ready)
        for part in ("https://198.18.0.2:443/", str(folder.root), edge.server_port(),
                     fingerprint.split("=")[1].strip().replace(":", "").lower()):
            tap.expect(part in ready[0], part, "is missing in", ready[0])


def helper_ns(pid):
    """CPU time of each thread that DPDK does not name, but the first, by its number: helpers."""
    tasks = [path for path in Path(f"/proc/{pid}/task").iterdir() if int(path.name) != pid]
    return {path.name: int((path / "schedstat").read_text().split()[0]) for path in tasks
            if (path / "comm").read_text().strip() == "millrace"}


def handshakes_are_computed_on_helper_threads_when_asked(folder):
    handshakes = 3
    with serving(folder, "--tls-helpers", 1) as edge:
        before = helper_ns(edge.child.pid)
        for _ in range(handshakes):
            tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "helped").returncode, OK)
        after = helper_ns(edge.child.pid)
        (folder / "helped").unlink()
        spent = [after[number] - before.get(number, 0) for number in after]
        tap.expect(max(spent) > handshakes * HANDSHAKE_NS_MIN, "helpers' ns:", spent)


def a_certificate_nobody_vouches_for_is_refused_unless_insecure(folder):
    with serving(folder) as edge:
        done = edge.get("/", "-o", folder / "page")
        tap.expect_equal(done.returncode, FAILED)
        for word in "certificate", "--insecure", "--ca":
            tap.expect(word in done.stderr, word, "is missing in", done.stderr)
        tap.expect(not list(folder.path.glob("page*")), "a file was left")
        tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "page").returncode, OK)
        tap.expect_equal((folder / "page").read_text(), "<title>home</title>\n")


def an_error_of_the_server_is_an_exit_status_of_its_own(folder):
    with serving(folder) as edge:
        done = edge.get("/nothing", "--insecure", cwd=folder.path)
        tap.expect_equal(done.returncode, STATUS)
        tap.expect("404" in done.stderr, done.stderr)
        tap.expect(not list(folder.path.glob("nothing*")), "a file was left")


def a_status_is_told_with_its_meaning_and_remedy(folder):
    with serving(folder) as edge:
        for path, *words in (("/nothing", "404", "no such file", "check the path"),
                             ("/a%00b", "400", "does not understand the request", "check the URL")):
            done = edge.get(path, "--insecure", "-o", folder / "page")
            tap.expect_equal(done.returncode, STATUS)
            for word in words:
                tap.expect(word in done.stderr, word, "is missing in", done.stderr)


def a_certificate_for_another_name_is_told_from_one_of_an_unknown_authority(folder):
    pem, key = make_certificate(folder, "named")
    with serving(folder, "--cert", pem, "--key", key) as edge:
        done = run("get", "https://other.test/", "--connect", "198.18.0.2", "--ca", pem, "-o", folder / "page",
                   *edge.get_options())
        tap.expect_equal(done.returncode, FAILED)
        for word in "it is for 198.18.0.2", "not for other.test", "--connect 198.18.0.2:443", "--insecure":
            tap.expect(word in done.stderr, word, "is missing in", done.stderr)
        tap.expect("--ca" not in done.stderr, done.stderr)
        tap.expect_equal(edge.get("/", "--ca", pem, "-o", folder / "page").returncode, OK)


def several_files_come_at_once_and_to_standard_output_in_order(folder):
    big_file(folder)
    with serving(folder) as edge:
        two = ["https://198.18.0.2/big"]
        done = edge.get("/index.html", *two, "--insecure", "-o", folder.path / "into", cwd=folder.path)
        tap.expect("two URLs would be written" in done.stderr, done.stderr)
        (folder / "into").mkdir(exist_ok=True)
        done = edge.get("/index.html", *two, "--insecure", "-o", folder / "into")
        tap.expect_equal(done.returncode, OK, done.stderr)
        for name in "index.html", "big":
            tap.expect((folder / "into" / name).read_bytes() == (folder.root / name).read_bytes(), name, "differs")
        both = subprocess.run([PROGRAM, "get", "https://198.18.0.2/index.html", *two, "--insecure", "-o", "-",
                               *edge.get_options()], capture_output=True, timeout=SECONDS, check=False)
        tap.expect_equal(both.returncode, OK, both.stderr)
        wanted = (folder.root / "index.html").read_bytes() + (folder.root / "big").read_bytes()
        tap.expect(both.stdout == wanted, "standard output differs")


def head_and_json_tell_what_programs_want_to_know(folder):
    with serving(folder) as edge:
        done = edge.get("/", "--insecure", "--head")
        tap.expect_equal(done.returncode, OK, done.stderr)
        lines = done.stdout.splitlines()
        tap.expect(lines[0] == "HTTP/3 200" and "content-length: 20" in lines, lines)
        done = edge.get("/", "--insecure", "--json", "-o", folder / "page")
        answer = json.loads(done.stdout)
        tap.expect_equal((answer["files"][0]["status"], answer["bytes"], answer["error"]), (200, 20, None))
        tap.expect_equal(done.stderr, "")


def priorities_are_told_and_the_server_goes_by_them(folder):
    """RFC 9218: of two files that are asked for together the more urgent one is there first, whichever was first."""
    big_file(folder)
    (folder.root / "other").write_bytes((folder.root / "big").read_bytes())
    (folder / "ordered").mkdir(exist_ok=True)
    with serving(folder) as edge:
        for priorities, first in (("u=7;u=0", 1), ("u=0,i; u=7, i", 0), ("i;u=2", 1), ("u=5", 0)):
            done = edge.get("/big", "https://198.18.0.2/other", "--insecure", "--json", "-o", folder / "ordered", "--priority",
                            priorities)
            tap.expect_equal(done.returncode, OK, done.stderr)
            files = json.loads(done.stdout)["files"]
            tap.expect(files[first]["seconds"] < files[1 - first]["seconds"], priorities, files)
    (folder.root / "other").unlink()


def expect_restored(logs):
    """A client's 0-RTT goes by parameters that the server has still."""
    path, = logs.glob("*_client.sqlog")
    _, events = qlog_check.read(path)
    restored, = (event["data"] for event in events if event["name"] == "quic:parameters_restored")
    remote, = (event["data"] for event in events
               if event["name"] == "quic:parameters_set" and event["data"]["initiator"] == "remote")
    tap.expect_equal(restored, {name: remote.get(name, 0) for name in restored})
    tap.expect(restored["initial_max_data"] > 0, restored)


def requests_in_the_first_flight_are_refused_when_told(folder):
    """RFC 8470: 425, after which the client asks once more, and gets the file."""
    control = folder / "control"
    options = ["--insecure", "--session", folder / "session", "-o", folder / "page"]
    for extra, requests in (([], 2), (["--refuse-early"], 3)):
        (folder / "session").unlink(missing_ok=True)
        with serving(folder, "--early-data", "--control", control, *extra) as edge:
            tap.expect_equal(edge.get("/", *options).returncode, OK)
            logs = folder / f"early{requests}"
            logs.mkdir()
            done = edge.get("/", *options, "--early-data", "--qlog-dir", logs)
            tap.expect_equal(done.returncode, OK, done.stderr)
            expect_restored(logs)
            tap.expect_equal((folder / "page").read_bytes(), (folder.root / "index.html").read_bytes())
            counters = json.loads(ctl(control, "--json", "counters").stdout)
            tap.expect_equal((counters["early_data_accepted"], counters["h3_requests_early"]), (1, 1), counters)
            tap.expect_equal(counters["h3_requests"], requests)


def an_interrupted_download_leaves_no_file(folder):
    for number in signal.SIGINT, signal.SIGHUP:
        interrupt_a_download(folder, number)


def interrupt_a_download(folder, number):
    sparse = folder.root / "endless"
    with open(sparse, "wb") as file:
        file.truncate(64 << 30)
    with serving(folder, "--drain", "0") as edge:
        child = subprocess.Popen([PROGRAM, "get", "https://198.18.0.2/endless", "--insecure", "-o", folder / "cut",
                                  *edge.get_options()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + SECONDS
        while not any(part.stat().st_size for part in folder.path.glob("cut.*.part")):
            tap.expect(time.monotonic() < deadline, "nothing came")
            time.sleep(0.01)
        child.send_signal(number)
        _, log = child.communicate(timeout=SECONDS)
        tap.expect_equal(child.returncode, FAILED, log)
        tap.expect("interrupted after" in log, log)
        tap.expect(not list(folder.path.glob("cut*")), "a file was left")
    sparse.unlink()


def a_device_is_written_to_and_not_replaced(folder):
    with serving(folder) as edge:
        done = edge.get("/", "--insecure", "-o", "/dev/null")
        tap.expect_equal(done.returncode, OK, done.stderr)
        tap.expect(Path("/dev/null").is_char_device(), "/dev/null is gone")


def a_pipe_is_written_to_when_somebody_reads_it(folder):
    pipe = folder / "read-by-somebody"
    os.mkfifo(pipe)
    with serving(folder) as edge:
        with subprocess.Popen(["sh", "-c", 'sleep 0.5; exec cat "$1"', "sh", pipe], stdout=subprocess.PIPE,
                              text=True) as reader:
            done = edge.get("/", "--insecure", "-o", pipe)
            tap.expect_equal((done.returncode, reader.stdout.read()), (OK, "<title>home</title>\n"), done.stderr)
        done = edge.get("/", "--insecure", "-o", pipe)
        tap.expect_equal((done.returncode, len(done.stderr.splitlines())), (FAILED, 1), done.stderr)
        for word in str(pipe), "nobody reads that pipe", "start its reader first":
            tap.expect(word in done.stderr, word, "is missing in", done.stderr)


def a_limit_of_a_files_size_is_named(folder):
    limit = 32 << 20  # memif's memory is a file, too
    with open(folder.root / "large", "wb") as file:
        file.truncate(2 * limit)
    with serving(folder) as edge:
        words = [PROGRAM, "get", "https://198.18.0.2/large", "--insecure", "-o", folder / "limited", *edge.get_options()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        told = [line for line in done.stderr.splitlines() if not re.match(r" *[\d.]+ %  ", line)]  # progress: it took a second
        tap.expect_equal((done.returncode, len(told)), (FAILED, 1), done.stderr)
        for word in "limited", "File too large", "ulimit -f":
            tap.expect(word in told[0], word, "is missing in", done.stderr)
        tap.expect(not list(folder.path.glob("limited*")), "a file was left")


def a_closed_descriptor_is_not_mistaken_for_a_file(folder):
    digest = big_file(folder)
    keys = folder / "keys-only"
    keys.touch()  # else it would go at the end, empty
    with serving(folder) as edge:
        words = [PROGRAM, "get", "https://198.18.0.2/big", "--insecure", "-o", folder / "whole", *edge.get_options()]
        done = subprocess.run(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *words], timeout=SECONDS, check=False)
        tap.expect_equal(hashlib.sha256((folder / "whole").read_bytes()).hexdigest(), digest)
        tap.expect_equal(done.returncode, OK)
    socket = f"@millrace-test-closed-{os.getpid()}"
    words = [PROGRAM, "edge", "--port", f"memif:role=server,socket={socket}", "--addr", "198.18.0.2/24", "--root",
             folder.root, "--keylog", keys, "--stats", "0.1"]
    child = subprocess.Popen(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *words])
    time.sleep(2)
    child.send_signal(signal.SIGTERM)
    child.wait(SECONDS)
    tap.expect_equal(keys.read_text(), "")


def output_that_nobody_gets_is_an_error(folder):
    edge = Edge(folder)
    words = ["https://198.18.0.2/", "--insecure", "-o", folder / "page", *edge.get_options()]
    for command in (["get", *words, "--json"], ["get", *words, "--head"], ["get", "--help"], ["--help"],
                    ["bench", "transfer", "--seconds", "0.2", "--warm-up", "0.1", "--json"]):
        if "--head" in command:
            command = [word for word in command if word not in ("-o", folder / "page")]
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, *map(str, command)], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=SECONDS, check=False)
        tap.expect_equal(done.returncode, FAILED, command)
        tap.expect("cannot write to standard output: " in done.stderr, command, done.stderr)
    edge.stop()
    words = [PROGRAM, "edge", "--port", f"{edge.server_port()}-full", "--addr", "198.18.0.2/24", "--root", folder.root]
    with open("/dev/full", "w") as full:
        child = subprocess.Popen(words, stdout=full, stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=SECONDS)
    tap.expect_equal((child.returncode, "cannot write to standard output" in log), (FAILED, True), log)


def a_link_is_replaced_and_what_it_points_at_stays(folder):
    (folder / "victim").write_text("old")
    (folder / "linked").symlink_to("victim")
    (folder / "linked.part").symlink_to("victim")
    with serving(folder) as edge:
        tap.expect_equal(edge.get("/nothing", "--insecure", "-o", folder / "linked").returncode, STATUS)
        tap.expect((folder / "linked.part").is_symlink(), "a file of another's was removed")
        done = edge.get("/", "--insecure", "-o", folder / "linked")
        tap.expect_equal(done.returncode, OK, done.stderr)
    tap.expect_equal((folder / "victim").read_text(), "old")
    tap.expect_equal((folder / "linked").read_text(), "<title>home</title>\n")
    tap.expect(not (folder / "linked").is_symlink() and (folder / "linked.part").is_symlink(), "the wrong link is gone")


def a_silent_address_is_named_with_what_to_check(folder):
    with serving(folder) as edge:
        done = run("get", "https://198.18.0.9/", *edge.get_options(), "--insecure", "--timeout", "1.5", "-o",
                   folder / "page")
        tap.expect_equal(done.returncode, FAILED)
        for word in "198.18.0.9", "1.5 s", "check the address":
            tap.expect(word in done.stderr, word, "is missing in", done.stderr)


def a_memif_address_in_use_is_named(folder):
    with serving(folder) as edge:
        edge_error(folder, ["--port", edge.server_port(), *ADDRESS], "address in use", "choose another with socket=")


def a_memif_server_says_that_it_has_fewer_queues(folder):
    if len(os.sched_getaffinity(0)) < 2:
        raise tap.Skip("needs two cores")
    with serving(folder) as edge:
        expect_error("host", [*edge.get_options(), "--shards", "2", "--listener", "name=a,application=a,alpn=a", "--control",
                              folder / "fewer"], "the client has more queues than the server, which has 1", "we have 2: one for each shard")


def totals_come_at_the_end_whatever_the_signal(folder):
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        edge = Edge(folder)
        edge.get("/", "--insecure", "-o", folder / "page")
        status, log = edge.stop(number)
        tap.expect_equal(status, OK, log)
        for part in "edge: 1 connections, 1 requests", "edge: dropped:", "edge: mbufs lost: 0":
            tap.expect(part in log, part, "is missing in", log)


def a_hang_up_that_is_ignored_stays_ignored(folder):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        edge = Edge(folder)
    finally:
        signal.signal(signal.SIGHUP, before)
    edge.child.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "page").returncode, OK)
    tap.expect_equal(edge.stop()[0], OK)


def files_that_find_no_descriptor_are_counted(folder):
    for i in range(60):
        with open(folder.root / f"large{i}", "wb") as file:
            file.truncate(8 << 20)
    edge = Edge(folder, "--cache", "0", before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60)))
    most = len(os.listdir(f"/proc/{edge.child.pid}/fd")) + 10  # some are for the client's side of the memory
    resource.prlimit(edge.child.pid, resource.RLIMIT_NOFILE, (most, most))
    (folder / "larges").mkdir()
    urls = [f"https://198.18.0.2/large{i}" for i in range(1, 60)]
    done = edge.get("/large0", *urls, "--insecure", "-o", folder / "larges")
    status, log = edge.stop()
    tap.expect_equal(status, OK, log)
    tap.expect("files can be open at once" in log and "ulimit -n" in log, "no warning:", log)
    tap.expect_equal(done.returncode, STATUS, done.stderr + log)
    tap.expect("files_refused " in log and "dropped: nothing" not in log, log, done.stderr)


def a_key_log_has_the_secrets_of_a_handshake(folder):
    log = folder / "keys"
    with serving(folder, "--keylog", log) as edge:
        edge.get("/", "--insecure", "-o", folder / "page")
        time.sleep(0.1)
        text = log.read_text()
        for label in "CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 ", "SERVER_HANDSHAKE_TRAFFIC_SECRET ":
            tap.expect(label in text, label, "is missing in", text)
        tap.expect_equal(log.stat().st_mode & 0o777, 0o600)


def expect_wrong(path, change, words):
    """The checker itself: a file that is changed so is refused."""
    changed = path.with_name("changed.sqlog")
    changed.write_text(change(path.read_text()))
    try:
        qlog_check.read(changed)
    except (qlog_check.Wrong, ValueError) as error:
        tap.expect(words in str(error), words, "is missing in", error)
    else:
        tap.expect(False, "a wrong file is taken:", words)
    finally:
        changed.unlink()


def http3_events(events, name):
    return [event["data"] for event in events if event["name"] == "http3:" + name]


def parsed_frames(events, stream):
    """Without those that mean nothing, which come now and then."""
    return [data["frame"] for data in http3_events(events, "frame_parsed")
            if data["stream_id"] == stream and data["frame"]["frame_type"] != "reserved"]


def expect_http3_events(client, server):
    """What one side made the other has read: each stream's frames, in order; and settings are the same."""
    for one, other in (client, server), (server, client):
        made, read = ({stream: [data["frame"] for data in http3_events(events, name) if data["stream_id"] == stream]
                       for stream in {data["stream_id"] for data in http3_events(events, name)}}
                      for events, name in ((one, "frame_created"), (other, "frame_parsed")))
        tap.expect_equal(made, read)
        local, = (data for data in http3_events(one, "parameters_set") if data["initiator"] == "local")
        remote, = (data for data in http3_events(other, "parameters_set") if data["initiator"] == "remote")
        tap.expect_equal(dict(local, initiator=""), dict(remote, initiator=""))
    kinds = [sorted((data["stream_id"], data["stream_type"]) for data in http3_events(events, "stream_type_set"))
             for events in (client, server)]
    tap.expect_equal(kinds[0], kinds[1])
    tap.expect_equal({(0, "request"), (2, "control"), (3, "control")} - set(kinds[0]), set())
    request, = parsed_frames(server, 0)
    fields = {field["name"]: field.get("value") for field in request["headers"]}
    tap.expect_equal(fields, {":method": "GET", ":scheme": "https", ":authority": "198.18.0.2", ":path": "/"})
    tap.expect(request["field_count"] > len(fields), request)
    answer = parsed_frames(client, 0)
    tap.expect_equal([frame["frame_type"] for frame in answer], ["headers", "data"])
    tap.expect_equal(answer[0]["headers"], [{"name": ":status", "value": "200"}])
    tap.expect_equal([data["new"] for data in http3_events(server, "priority_updated")], ["u=3"])


def qlog_files_say_what_both_sides_did(folder):
    logs = folder / "qlog"
    logs.mkdir()
    with serving(folder, "--qlog-dir", logs) as edge:
        done = edge.get("/", "--insecure", "-o", folder / "page", "--qlog-dir", logs)
        tap.expect_equal(done.returncode, OK, done.stderr)
    server_path, = logs.glob("*_server.sqlog")
    client_path, = logs.glob("*_client.sqlog")
    tap.expect_equal(server_path.name.split("_")[0], client_path.name.split("_")[0])
    header, server = qlog_check.read(server_path)
    tap.expect_equal((header["trace"]["vantage_point"]["type"], header["trace"]["common_fields"]["group_id"]),
                     ("server", server_path.name.split("_")[0]))
    _, client = qlog_check.read(client_path)
    for one, other in (client, server), (server, client):
        for packet_type in "initial", "handshake", "1RTT":
            sent = qlog_check.packets(one, "quic:packet_sent", packet_type)
            received = qlog_check.packets(other, "quic:packet_received", packet_type)
            tap.expect(received, "no", packet_type, "was received")
            for number, frames in received.items():
                tap.expect_equal(frames, sent[number], f"{packet_type} {number}")
    for events in client, server:
        names = {event["name"] for event in events}
        for name in ("connection_started", "version_information", "alpn_information", "parameters_set", "packet_sent",
                     "packet_received", "key_updated", "key_discarded", "recovery_parameters_set",
                     "recovery_metrics_updated", "connection_state_updated", "stream_state_updated", "connection_closed"):
            tap.expect("quic:" + name in names, name, "is missing")
    sets = [[event["data"] for event in events if event["name"] == "quic:parameters_set"] for events in (client, server)]
    for own, others in (sets[0], sets[1]), (sets[1], sets[0]):
        local = dict(own[0] if own[0]["initiator"] == "local" else own[1], initiator="")
        remote = dict(others[0] if others[0]["initiator"] == "remote" else others[1], initiator="")
        tap.expect_equal(local, remote)
    expect_http3_events(client, server)
    for path in server_path, client_path:
        qlog_check.qvis(path)
    expect_wrong(server_path, lambda text: text.replace('"frame_type":"headers"', '"frame_type":"heads"', 1), "heads")
    expect_wrong(server_path, lambda text: text.replace('"packet_number":', '"packet_nr":', 1), "packet_nr")
    expect_wrong(server_path, lambda text: text.replace('"frame_type":"crypto"', '"frame_type":"krypto"', 1), "krypto")
    expect_wrong(server_path, lambda text: text.replace("\n\x1e", "\n", 1), "record")
    expect_wrong(server_path, lambda text: text[:-5], "line feed")


def edge_sends_as_its_options_say(folder):
    """The largest packet, marks for ECN, and Prague's, which are ECT(1): in the server's trace."""
    (folder.root / "some").write_bytes(bytes(300000))
    for index, (options, largest, marks) in enumerate((([], 1452, {"ect0"}), (["--mtu", "1300"], 1252, {"ect0"}),
                                                       (["--ecn", "off"], 1452, set()),
                                                       (["--congestion", "prague"], 1452, {"ect1"}))):
        logs = folder / f"options-{index}"
        logs.mkdir()
        with serving(folder, "--qlog-dir", logs, *options) as edge:
            tap.expect_equal(edge.get("/some", "--insecure", "-o", "/dev/null").returncode, OK)
        _, events = qlog_check.read(next(logs.glob("*_server.sqlog")))
        sizes = [event["data"]["raw"]["length"] for event in events if event["name"] == "quic:packet_sent"]
        tap.expect_equal(max(sizes), largest, options)
        acks = [frame for event in events if event["name"] == "quic:packet_received" for frame in event["data"]["frames"]
                if frame["frame_type"] == "ack" and event["data"]["header"]["packet_type"] == "1RTT"]
        tap.expect_equal({name for name in ("ect0", "ect1", "ce") if acks[-1].get(name, 0) > 0}, marks, options)


def qlog_is_asked_for_while_it_runs(folder):
    logs, control = folder / "asked", folder / "qlog-control"
    logs.mkdir()
    words = ["/", "--insecure", "-o", folder / "page"]
    with serving(folder, "--qlog-dir", logs, "--qlog", "asked", "--control", control) as edge:
        tap.expect_equal(edge.get(*words).returncode, OK)
        tap.expect_equal(list(logs.iterdir()), [])
        for command, said in (([], "qlog_files"), (["next", "1"], "qlog_files"), (["next", "1", "both"], "qlog_files")):
            done = ctl(control, "qlog", *command)
            tap.expect_equal((done.returncode, said in done.stdout), (OK, True), done.stderr)
        for _ in range(2):  # the second is not traced
            tap.expect_equal(edge.get(*words).returncode, OK)
        ctl(control, "qlog", "peer", "198.18.0.77")
        tap.expect_equal(edge.get(*words).returncode, OK)
        ctl(control, "qlog", "peer", "198.18.0.0/24", "keys")
        tap.expect_equal(edge.get(*words).returncode, OK)
        ctl(control, "qlog", "off")
        tap.expect_equal(edge.get(*words).returncode, OK)
        time.sleep(0.2)
        tap.expect_equal((len(list(logs.glob("*.sqlog"))), len(list(logs.glob("*.keys")))), (1, 2))
        for command, said in ((["some"], "all, next N"), (["next"], "of what"), (["next", "0"], "from 1 on"),
                              (["next", "x"], "not a number"), (["peer", "198.18.0"], "not an address"),
                              (["all", "things"], "keys"), (["off", "0.1", "2"], "too many"),
                              (["conn", "0.1"], "no connection 0.1"), (["conn", "5.1"], "no shard 5")):
            tap.expect(said in ctl(control, "qlog", *command).stderr, said, ctl(control, "qlog", *command).stderr)
    for path in logs.glob("*.sqlog"):
        qlog_check.read(path)
    for path in logs.glob("*.keys"):
        tap.expect_equal((path.stat().st_mode & 0o777, "TRAFFIC_SECRET_0" in path.read_text()), (0o600, True))
    with serving(folder, "--control", control):
        tap.expect("--qlog-dir DIR" in ctl(control, "qlog", "all").stderr)


def a_folder_that_cannot_take_qlog_files_is_named(folder):
    port = ["--port", "memif:role=server,socket=@millrace-test-qlog", *ADDRESS]
    edge_error(folder, [*port, "--qlog-dir", folder / "nowhere"], "--qlog-dir", "nowhere", "No such file", "make it first")
    (folder / "qlog-file").touch()
    edge_error(folder, [*port, "--qlog-dir", folder / "qlog-file"], "--qlog-dir", "Not a directory")
    logs = folder / "from-environment"
    logs.mkdir()
    with serving(folder) as edge:
        words = [PROGRAM, "get", "https://198.18.0.2/", "--insecure", "-o", folder / "page", *edge.get_options()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False,
                              env=dict(os.environ, QLOGDIR=f"{logs}/"))
        tap.expect_equal(done.returncode, OK, done.stderr)
    tap.expect_equal(len(list(logs.glob("*_client.sqlog"))), 1)


def a_server_that_is_killed_again_and_again_is_back_at_once(folder):
    """With the secrets it had; clients that come then are served."""
    keys = folder / "token-keys"
    big_file(folder)
    edge = Edge(folder, "--token-key-file", keys)
    first = keys.read_bytes()
    tap.expect_equal(keys.stat().st_mode & 0o777, 0o600)
    for _ in range(5):
        words = [PROGRAM, "get", "https://198.18.0.2/big", "--insecure", "-o", "/dev/null", *edge.get_options()]
        client = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.random() / 2)
        edge.child.kill()
        edge.child.wait()
        client.kill()
        client.wait()
        began = time.monotonic()
        edge = Edge(folder, "--token-key-file", keys, socket=edge.socket)
        took = time.monotonic() - began
        tap.expect(took < 2, f"it took {took:.1f} s to begin again")
        tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "page").returncode, OK)
        tap.expect_equal(keys.read_bytes(), first)
    status, log = edge.stop()
    tap.expect_equal((status, "mbufs lost: 0" in log), (OK, True), log)


def edge_names_a_file_of_token_secrets_that_is_none(folder):
    port = ["--port", "memif:role=server,socket=@millrace-test-tokens", *ADDRESS]
    bad = folder / "bad-keys"
    bad.write_bytes(b"x" * 10)
    bad.chmod(0o600)
    edge_error(folder, [*port, "--token-key-file", bad], "--token-key-file", "10 bytes", "remove it")
    bad.write_bytes(bytes(164))
    edge_error(folder, [*port, "--token-key-file", bad], "no secrets of tokens", "remove it")
    bad.chmod(0o604)
    edge_error(folder, [*port, "--token-key-file", bad], "everybody may use", "chmod 600")
    edge_error(folder, [*port, "--token-key-file", folder.root], "no regular file")
    edge_error(folder, [*port, "--token-key-file", folder / "none" / "keys"], "No such file", "write its folder")


def a_response_that_cannot_be_stapled_is_named_and_the_server_serves(folder):
    (folder / "no.ocsp").write_text("no response")
    with serving(folder, "--ocsp", folder / "no.ocsp") as edge:
        tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "page").returncode, OK)
        tap.expect("no OCSP response is stapled" in edge.log.read_text(), edge.log.read_text())


def a_retry_is_asked_of_everyone_when_told(folder):
    with serving(folder, "--retry", "always") as edge:
        tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "page").returncode, OK)


# ---- demo


# ---- ctl


def ctl(path, *words):
    return run("ctl", "--control", path, *words)


def ctl_names_what_is_wrong(folder):
    nowhere = folder / "nobody"
    expect_error("ctl", [], "no command", "millrace ctl help", status=USAGE)
    expect_error("ctl", ["--jsno", "apps"], "unknown option --jsno", status=USAGE)
    for words, said in ((["conns", ""], "an argument is empty"), (["conns", " "], "an argument is empty"),
                        (["co\nnns"], "printable ASCII"), (["x" * 4097], "at most 4096 characters")):
        expect_error("ctl", ["--control", nowhere, *words], said, status=USAGE)
    expect_error("ctl", ["--control", nowhere, "apps"], str(nowhere), "no datapath runs there", "--control PATH")
    (folder / "text").write_text("x")
    expect_error("ctl", ["--control", folder / "text", "apps"], "nobody listens there", "it is no socket")
    expect_error("ctl", ["--control", "/tmp/" + "x" * 120, "apps"], "at most 107 bytes, this has 125")


def ctl_asks_a_running_edge(folder):
    control = folder / "control"
    with serving(folder, "--control", control) as edge:
        tap.expect_equal(edge.get("/", "--insecure", "-o", folder / "page").returncode, OK)
        done = ctl(control, "--json", "counters")
        tap.expect_equal((done.returncode, done.stderr), (OK, ""))
        counters = json.loads(done.stdout)
        tap.expect(counters["packets_sent"] > 0 and counters["net_rx_udp"] > 0, counters)
        tap.expect_equal((counters["h3_requests"], counters["apps_attached"]), (1, 0))
        table = ctl(control, "counters").stdout.splitlines()
        tap.expect("h3_requests" in [line.split()[0] for line in table], table)
        tap.expect_equal(len(table), len(counters))
        version = json.loads(ctl(control, "--json", "version").stdout)
        tap.expect_equal((version["pid"], version["is_draining"]), (edge.child.pid, False))
        tap.expect_equal([row["shard"] for row in json.loads(ctl(control, "--json", "conns").stdout)], [0])
        tap.expect_equal(ctl(control, "apps").stdout, "none\n")
        expect_error("ctl", ["--control", control, "hepl"], "unknown command hepl", "help", status=USAGE)
        expect_error("ctl", ["--control", control, "detach"], "usage: detach N", status=USAGE)
        expect_error("ctl", ["--control", control, "detach", "7"], "no attachment 7")
        expect_error("ctl", ["--control", control, "move", "0.1", "0"], "there is no connection 0.1")
        expect_error("ctl", ["--control", control, "renew", "0.1"], "there is no connection 0.1")
        expect_error("ctl", ["--control", control, "renew", "every"], "every is no connection's name", status=USAGE)
        edge_error(folder, ["--port", "memif:role=server,socket=@millrace-test-second", *ADDRESS, "--control", control],
                   "another program serves at", str(control), "--control")
        tap.expect_equal(oct(control.stat().st_mode & 0o777), "0o660")
        tap.expect_equal(ctl(control, "drain").returncode, OK)
        tap.expect("yes" in ctl(control, "version").stdout, "is_draining")
    tap.expect(not control.exists(), "the socket's file stays")


def edge_names_a_control_socket_that_cannot_be(folder):
    port = ["--port", "memif:role=server,socket=@millrace-test-control", *ADDRESS]
    (folder / "file").write_text("mine")
    edge_error(folder, [*port, "--control", folder / "file"], "a regular file", "left as it is", "--control")
    tap.expect_equal((folder / "file").read_text(), "mine")
    edge_error(folder, [*port, "--control", folder / "none" / "control"], "no directory", "mkdir -p", "--control")


def demo_names_what_cannot_be_served(folder):
    (folder / "empty").mkdir(exist_ok=True)
    expect_error("demo", ["--root", folder / "none"], "cannot serve", "No such file", "name a directory")
    expect_error("demo", ["--root", folder / "empty"], "no file in it to serve", "another directory")
    (folder / "hollow").mkdir(exist_ok=True)
    (folder / "hollow" / "file").touch()
    expect_error("demo", ["--root", folder / "hollow"], "no file in it that is not empty", "another directory")
    with open(folder / "hollow" / "image", "wb") as file:
        file.truncate(5 << 30)
    expect_error("demo", ["--root", folder / "hollow"], "too large to be compared, 4 GiB", "another directory")
    expect_error("demo", ["--seconds", "long"], "--seconds long: not a number", status=USAGE)


def demo_checks_every_byte_and_says_how_fast_that_was(folder):
    environment = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"))
    done = subprocess.run([PROGRAM, "demo", "--size", "16M", "--seconds", "3", "--json"], capture_output=True, text=True,
                          timeout=SECONDS, check=False, env=environment)
    tap.expect_equal(done.returncode, OK, done.stderr)
    answer = json.loads(done.stdout)
    for key in ("goodput_gbps", "packets_per_s", "requests_per_s", "handshakes_per_s", "server_ns_per_packet",
                "aead_ceiling_gbps", "ratio_to_ceiling", "bytes_checked"):
        tap.expect(answer[key] > 0, key, "is", answer[key])
    tap.expect_equal((answer["bad_bytes"], answer["failed"], answer["lost_mbufs"]), (0, 0, 0))
    tap.expect(set(answer["latency_us"]) == {"p50", "p99", "p999"}, answer["latency_us"])
    tap.expect((folder / "cache" / "millrace" / "site" / "millrace-demo.bin").stat().st_size == 16 << 20)


def demo_serves_a_directory_of_the_users(folder):
    big_file(folder)
    done = run("demo", "--root", folder.root, "--seconds", "4")  # of which handshakes have the last part
    tap.expect_equal(done.returncode, OK, done.stderr)
    for word in "goodput", "full handshakes", "AEAD ceiling", "0 wrong bytes, 0 failures, 0 buffers lost":
        tap.expect(word in done.stdout, word, "is missing in", done.stdout)


def a_packet_of_a_directory_of_small_files_costs_what_a_packet_costs(folder):
    small = folder / "small"
    small.mkdir()
    (small / "page.html").write_text("<title>small</title>\n")
    done = run("demo", "--root", small, "--seconds", "4", "--json")
    tap.expect_equal((done.returncode, done.stderr), (OK, ""))
    answer = json.loads(done.stdout)
    tap.expect_equal((answer["files"], answer["bad_bytes"]), (1, 0))
    tap.expect(answer["server_ns_per_packet"] < 1e6, answer["server_ns_per_packet"])


# ---- bench


def a_bench_that_is_interrupted_says_so_and_leaves_nothing(folder):
    if len(os.sched_getaffinity(0)) < 2:
        raise tap.Skip("one core: some kinds measure nothing, and end")
    scratch = folder / "scratch"
    scratch.mkdir()
    for words in (["transfer"], ["transfer", "--attached"], ["request", "--http3"], ["models"], ["ring"]):
        for number, delay in (signal.SIGINT, 0.3), (signal.SIGTERM, 0.8), (signal.SIGHUP, 1.6):
            with subprocess.Popen([PROGRAM, "bench", *words, "--seconds", "30", "--json"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=dict(os.environ, TMPDIR=str(scratch))) as child:
                time.sleep(delay)
                child.send_signal(number)
                output, log = child.communicate(timeout=SECONDS)
            tap.expect_equal((child.returncode, output), (FAILED, ""), f"{words}: {log}")
            tap.expect_equal(log.splitlines()[-1:], ["millrace bench: interrupted"], words)
            tap.expect_equal(list(scratch.iterdir()), [], words)
            tap.expect(not Path(f"/run/dpdk/millrace-{child.pid}").exists(), words, "left DPDK's folder")


def figures_that_are_no_result_are_told_from_those_that_are(_folder):
    done = run("bench", "request", "--bytes", "1000000000", "--seconds", "0.1", "--json")
    tap.expect_equal((done.returncode, json.loads(done.stdout)["requests_per_s"], len(done.stderr.splitlines())),
                     (FAILED, 0, 1), done.stderr)
    for word in "millrace bench: not one whole answer within 0.1", "--seconds S":
        tap.expect(word in done.stderr, word, "is missing in", done.stderr)


TESTS = [
    a_command_is_asked_for,
    the_version_is_the_projects,
    every_command_has_help_and_a_place_in_the_man_page,
    edge_names_what_is_missing,
    edge_names_malformed_options,
    edge_names_a_directory_that_cannot_be_served,
    edge_names_a_directory_that_it_may_not_read,
    edge_names_a_bad_certificate_or_key,
    edge_names_an_expired_certificate,
    edge_names_a_key_that_it_may_not_read,
    edge_names_a_key_log_that_it_may_not_write,
    a_start_that_fails_leaves_no_key_log,
    edge_names_too_few_cores,
    edge_names_missing_hugepages,
    edge_names_missing_rights_for_ports,
    edge_names_an_interface_that_is_not_there_or_not_free,
    edge_shows_the_log_of_dpdk_when_asked,
    edge_names_what_stands_where_its_socket_should,
    edge_names_a_limit_of_files_that_is_too_small,
    too_little_memory_is_named_and_leaves_nothing,
    edge_does_not_wait_for_a_pipe,
    edge_names_a_missing_sys,
    get_names_what_is_wrong_with_a_url,
    get_names_what_is_wrong_with_its_options,
    get_names_a_host_without_address,
    get_names_a_memif_without_server_and_leaves_no_file,
    a_file_goes_over_shared_memory_without_root,
    handshakes_are_computed_on_helper_threads_when_asked,
    a_certificate_nobody_vouches_for_is_refused_unless_insecure,
    an_error_of_the_server_is_an_exit_status_of_its_own,
    a_status_is_told_with_its_meaning_and_remedy,
    a_certificate_for_another_name_is_told_from_one_of_an_unknown_authority,
    several_files_come_at_once_and_to_standard_output_in_order,
    head_and_json_tell_what_programs_want_to_know,
    priorities_are_told_and_the_server_goes_by_them,
    requests_in_the_first_flight_are_refused_when_told,
    an_interrupted_download_leaves_no_file,
    a_device_is_written_to_and_not_replaced,
    a_pipe_is_written_to_when_somebody_reads_it,
    a_limit_of_a_files_size_is_named,
    a_closed_descriptor_is_not_mistaken_for_a_file,
    output_that_nobody_gets_is_an_error,
    a_link_is_replaced_and_what_it_points_at_stays,
    a_silent_address_is_named_with_what_to_check,
    a_memif_address_in_use_is_named,
    a_memif_server_says_that_it_has_fewer_queues,
    totals_come_at_the_end_whatever_the_signal,
    a_hang_up_that_is_ignored_stays_ignored,
    files_that_find_no_descriptor_are_counted,
    a_key_log_has_the_secrets_of_a_handshake,
    a_server_that_is_killed_again_and_again_is_back_at_once,
    edge_names_a_file_of_token_secrets_that_is_none,
    a_response_that_cannot_be_stapled_is_named_and_the_server_serves,
    qlog_files_say_what_both_sides_did,
    edge_sends_as_its_options_say,
    qlog_is_asked_for_while_it_runs,
    a_folder_that_cannot_take_qlog_files_is_named,
    a_retry_is_asked_of_everyone_when_told,
    ctl_names_what_is_wrong,
    ctl_asks_a_running_edge,
    edge_names_a_control_socket_that_cannot_be,
    demo_names_what_cannot_be_served,
    demo_checks_every_byte_and_says_how_fast_that_was,
    demo_serves_a_directory_of_the_users,
    a_packet_of_a_directory_of_small_files_costs_what_a_packet_costs,
    figures_that_are_no_result_are_told_from_those_that_are,
    a_bench_that_is_interrupted_says_so_and_leaves_nothing,
]


def main():
    folder = Folder()
    try:
        tap.run(TESTS, folder)
    finally:
        folder.delete()


if __name__ == "__main__":
    tap.main(main)
