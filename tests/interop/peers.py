"""Run other QUIC implementations against millrace, in network namespaces of our own.

    with Stage() as stage:                          a namespace, a scratch folder, certificates
        server = stage.start_peer("nginx", ...)     in the peers' tree (tests/interop/peers), in the namespace
        done = stage.run_peer("curl", ..., seconds=30)

    namespace          198.18.0.1 the peers ---- TAP `mr0` ---- millrace 198.18.0.2
    peers' tree        /srv/millrace is the stage's scratch folder

Everything started has a time limit, is a child that dies with this process, and lives in a PID namespace of its own
where it is a peer, so that its descendants die with it.  Mounts are made in private mount namespaces and end with them.
Namespaces that a killed run has left are removed by the next.
"""
import contextlib
import ctypes
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tap import Skip

HERE = Path(__file__).resolve().parent
PEER_IP = "198.18.0.1"
MILLRACE_IP = "198.18.0.2"
NETWORK_BITS = 24
INTERFACE = "mr0"
NAMESPACE_PREFIX = "mr-test-"
CHUNK = 1 << 20
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_on_signals():
    """Make SIGTERM and SIGHUP unwind the stack, so that everything is cleaned up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))


def find_tree(has_more=False):
    """The peers' tree, or the one with all peers; Skip with the reason if there is none and none can be made."""
    done = subprocess.run([HERE / "peers", *(["--more"] if has_more else [])], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(done.stderr.strip().splitlines()[-1])
    return Path(done.stdout.strip())


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_random_file(path, size, seed=1):
    """Write `size` bytes that depend on the seed only; returns their SHA-256."""
    source = random.Random(seed)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for at in range(0, size, CHUNK):
            chunk = source.randbytes(min(CHUNK, size - at))
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def wait_until(condition, seconds, what):
    """Poll until `condition()` is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Namespace:
    """A network namespace with loopback up; `suffix` tells those of one test apart."""

    def __init__(self, suffix=""):
        self.name = f"{NAMESPACE_PREFIX}{os.getpid()}{suffix}"
        self.remove_leftovers()
        subprocess.run(["ip", "netns", "add", self.name], capture_output=True, check=False)
        entered = self.ip("link", "set", "lo", "up", check=False)
        if entered.returncode != 0:
            self.delete()
            raise Skip(f"no network namespaces here: {entered.stderr.strip()}")
        # Peers may bind the address before the TAP that carries it is there.
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind; echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind")

    def wrap(self, command):
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def run(self, *command, check=True):
        return subprocess.run(self.wrap(command), capture_output=True, text=True, check=check)

    def ip(self, *arguments, check=True):
        return subprocess.run(["ip", "-n", self.name, *arguments], capture_output=True, text=True, check=check)

    def has_interface(self, interface):
        return self.ip("link", "show", interface, check=False).returncode == 0

    def delete(self):
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)

    @staticmethod
    def remove_leftovers():
        """Delete the namespaces of runs that were killed."""
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        for name in (line.split()[0] for line in listed.splitlines()):
            pid = name.removeprefix(NAMESPACE_PREFIX).split("-")[0]
            if name.startswith(NAMESPACE_PREFIX) and not Path("/proc", pid).exists():
                subprocess.run(["ip", "netns", "delete", name], check=False)


class Process:
    """A running child with its output in a file; stopped when its stage ends."""

    def __init__(self, command, log_path, **options):
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          preexec_fn=_die_with_parent, **options)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def is_running(self):
        return self.child.poll() is None

    def kill(self):
        """End it at once, without a word to its peer."""
        if self.is_running():
            self.child.kill()
        self.child.wait()

    def stop(self, seconds=5):
        """Ask it to end; returns its exit code."""
        if self.is_running():
            self.child.terminate()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.child.returncode

    def wait(self, seconds):
        """Wait for its end; AssertionError with its output if that takes longer."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.log()}") from None


class Peer(Process):
    """A process that is the first of a PID namespace: with it, all that it has started ends."""

    def kill(self):
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        try:
            first = children.read_text().split()
        except OSError:
            first = []
        for pid in first or [self.child.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=0):
        self.kill()


class Stage(contextlib.ExitStack):
    """A namespace, the peers' tree, a scratch folder and certificates; all gone at the end."""

    def __init__(self, has_more=False):
        super().__init__()
        self.has_more = has_more  # the tree with all peers

    def __enter__(self):
        super().__enter__()
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        _exit_on_signals()
        self.tree = self._find_tree()
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-interop-"))
        self.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.namespace = Namespace()
        self.callback(self.namespace.delete)
        self._process_count = 0
        make_certificates(self.folder)
        return self

    def _find_tree(self):
        return find_tree(self.has_more)

    def start(self, *command):
        """Start a program of ours in the namespace."""
        return self._start(Process, command)

    def start_peer(self, *command):
        """Start a peer in its tree, in the namespace; the stage's folder is /srv/millrace there."""
        return self._start(Peer, self._in_tree(command))

    def run_peer(self, *command, seconds=30):
        """Run a peer to its end: (exit code, what it printed)."""
        process = self.start_peer(*command)
        return process.wait(seconds), process.log()

    def set_up_interface(self, program, seconds):
        """Wait until `program` has made its TAP, then give the kernel's end the peers' address; False if it ended."""
        wait_until(lambda: self.namespace.has_interface(INTERFACE) or not program.is_running(), seconds,
                   f"interface {INTERFACE}")
        if not program.is_running():
            return False
        # A program that ends at once takes it along; one that is still making it may take the address away again.
        wait_until(lambda: self._has_peer_address() or not program.is_running(), seconds, f"{PEER_IP} on {INTERFACE}")
        return True

    def _has_peer_address(self):
        """Give the kernel's end the peers' address; True if it has had it for a while."""
        self.namespace.ip("address", "replace", f"{PEER_IP}/{NETWORK_BITS}", "dev", INTERFACE, check=False)
        self.namespace.ip("link", "set", INTERFACE, "up", check=False)
        time.sleep(0.05)
        shown = self.namespace.ip("address", "show", "dev", INTERFACE, check=False).stdout
        return f" {PEER_IP}/" in shown and ",UP" in shown

    def _start(self, kind, command, namespace=None):
        self._process_count += 1
        process = kind((namespace or self.namespace).wrap(command), self.folder / f"process-{self._process_count}.log")
        self.callback(process.stop)
        return process

    def _in_tree(self, command, variables=()):
        mount = ('tree=$1 folder=$2 && shift 2 && mount -t proc proc "$tree/proc" && mount --rbind /dev "$tree/dev" && '
                 'mount --bind "$folder" "$tree/srv/millrace" && mount -t tmpfs tmpfs "$tree/tmp" && '
                 'mount -t tmpfs tmpfs "$tree/run" && exec chroot "$tree" "$@"')
        environment = ["env", "-i", "LC_ALL=C", "HOME=/tmp", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *variables]
        return ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
                "sh", "-c", mount, "sh", self.tree, self.folder, *environment, *command]


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _make_leaf(folder, name, subject_names):
    key, request, leaf, extensions = (folder / f"{name}.{suffix}" for suffix in ("key", "csr", "pem", "ext"))
    extensions.write_text(f"subjectAltName={subject_names}\n")
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
             "-subj", f"/CN={name}")
    _openssl("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-days", "2",
             "-out", leaf, "-extfile", extensions)
    os.chmod(key, 0o644)  # peers drop root


def make_certificates(folder):
    """In `folder`: ca.pem; server.pem and .key for both addresses and millrace.test; other.pem and .key for other.test."""
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=millrace test CA")
    _make_leaf(folder, "server", f"DNS:millrace.test,IP:{PEER_IP},IP:{MILLRACE_IP}")
    _make_leaf(folder, "other", "DNS:other.test")
    os.chmod(folder, 0o755)
