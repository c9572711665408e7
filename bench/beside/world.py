"""Where servers and clients run: two network namespaces, a CPU for each side, and what the kernel says of processes.

    namespace -c, the client's CPU                     namespace -s, the server's CPU
        kernel    c0 198.18.0.1 ---- veth ---- 198.18.0.2 s0   kernel
        port      c1 198.18.1.1 ---- veth ---- 198.18.1.2 s1   kernel
        kernel    c2 198.18.2.1 ---- veth ---- 198.18.2.2 s2   port
        port      c3 198.18.3.1 ---- veth ---- 198.18.3.2 s3   port

A port is an interface that millrace has for itself (af_packet), without addresses of the kernel's.  Without root there are
no namespaces, and what needs none is measured all the same; likewise without the peers' tree.
"""
import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "interop"))
import peers  # noqa: E402
import rig  # noqa: E402
from peers import HERE, Namespace, Peer, Process, Stage  # noqa: E402
from tap import Skip  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
PAIRS = ((True, True), (False, True), (True, False), (False, False))  # is the client's end the kernel's, the server's?
MAKE_PEERS = "to make the peers, as root: tests/interop/peers --more"
# localhost: what ngtcp2's client asks for where the server is named by its address, whatever --sni says.
CERTIFICATE_NAMES = "DNS:millrace.test,DNS:localhost," + ",".join(f"IP:198.18.{pair}.2" for pair in range(len(PAIRS)))


def pair_of(client_is_kernel, server_is_kernel):
    return PAIRS.index((client_is_kernel, server_is_kernel))


def client_ip(pair):
    return f"198.18.{pair}.1"


def server_ip(pair):
    return f"198.18.{pair}.2"


class World(Stage):
    """The namespaces, a scratch folder with certificates, and the peers' tree if it is there (`tree`, else None)."""

    def __init__(self):
        super().__init__(has_more=True)

    def __enter__(self):
        super().__enter__()
        self.sides = {}
        for letter in "cs":
            namespace = Namespace(f"-{letter}")
            self.callback(namespace.delete)
            self.sides[letter] = rig.Side(namespace, "", "", "", "")
        self.client_side, self.server_side = self.sides["c"], self.sides["s"]
        for pair, ends in enumerate(PAIRS):
            self._join(pair, *ends)
        # Clients of TCP come and go by the thousand.
        self.client_side.namespace.run("sh", "-c", "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range; "
                                                   "echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse")
        peers._make_leaf(self.folder, "server", CERTIFICATE_NAMES)
        for path in (HERE / "endpoints").glob("*.py"):
            shutil.copy(path, self.folder)
        self._programs = {}
        return self

    def _find_tree(self):
        done = peers.subprocess.run([HERE / "peers", "--more", "--path"], capture_output=True, text=True, check=False)
        return Path(done.stdout.strip()) if done.returncode == 0 else None

    def _join(self, pair, client_is_kernel, server_is_kernel):
        ends = ((self.client_side, f"c{pair}", client_ip(pair), client_is_kernel),
                (self.server_side, f"s{pair}", server_ip(pair), server_is_kernel))
        self.client_side.namespace.ip("link", "add", f"c{pair}", "type", "veth", "peer", "name", f"s{pair}", "netns",
                                      self.server_side.namespace.name)
        for side, interface, address, is_kernel in ends:
            side.namespace.run("sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
            if is_kernel:
                side.namespace.ip("address", "add", f"{address}/24", "dev", interface)
            if client_is_kernel != server_is_kernel:  # else frames are larger than a port takes
                side.namespace.ip("link", "set", interface, "gso_max_segs", "1")
            side.namespace.ip("link", "set", interface, "up")

    # What rig.build_endpoint() asks of a rig.
    def start_at(self, side, command, is_peer, variables=()):
        wrapped = self._in_tree(command, variables) if is_peer else command
        return self._start(Peer if is_peer else Process, wrapped, side.namespace)

    package_version = rig.Rig.package_version
    _versions = {}

    def program(self, name):
        """An endpoint that is built in the tree: its path there."""
        if name not in self._programs:
            self._programs[name] = rig.build_endpoint(self, name)
        return self._programs[name]


class Bench(contextlib.ExitStack):
    """What all measurements share: CPUs, a folder, the world or the reason why there is none."""

    def __init__(self, millrace):
        super().__init__()
        self.millrace = millrace
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.client_cpu = cpus[0], cpus[-1]
        self.world, self.no_world = None, None
        self.count = 0

    def __enter__(self):
        super().__enter__()
        peers._exit_on_signals()
        try:
            self.world = self.enter_context(World())
            self.folder = self.world.folder
        except Skip as reason:
            self.no_world = str(reason)
            self.folder = Path(tempfile.mkdtemp(prefix="millrace-peers-"))
            self.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.no_tree = self.no_world or (MAKE_PEERS if self.world.tree is None else None)
        self.www = self.folder / "www"
        self.www.mkdir()
        return self

    def run_folder(self):
        """A new one, for what one start of a server or client writes."""
        self.count += 1
        folder = self.folder / f"run-{self.count}"
        folder.mkdir()
        return folder

    def _pinned(self, cpu, command):
        return ["taskset", "-c", str(cpu), *map(str, command)]

    def start(self, letter, command, is_peer=False):
        """Start it on the CPU of that side: "c" or "s"; in its namespace, if there are any."""
        cpu = self.server_cpu if letter == "s" else self.client_cpu
        if is_peer:
            command = self.world._in_tree(list(map(str, command)))
        if self.world is None:
            self.count += 1
            process = Process(self._pinned(cpu, command), self.folder / f"process-{self.count}.log")
            self.callback(process.stop)
            return process
        return self.world._start(Peer if is_peer else Process, self._pinned(cpu, command),
                                 self.world.sides[letter].namespace)

    def inside(self, path):
        """A path below the folder, as the peers see it."""
        return f"/srv/millrace/{Path(path).relative_to(self.folder)}"


# ---- what the kernel says


def _stat(pid):
    """The fields of /proc/PID/stat behind the name; None: it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def family(pid):
    """It and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_seconds(pids):
    """User and system time of all threads of these processes, and of their children that have ended."""
    return sum(sum(map(int, fields[11:15])) for fields in map(_stat, pids) if fields) / TICK


def memory_bytes(pids):
    """Their resident sets and what they have of huge pages, but for the rings that a memif's client made and shares: as many
    bytes for one connection as for a million.  Of proportional sets a client takes away what it shares."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps").read_text()
        except OSError:
            continue
        total += resident_kb(text)
    return total * 1024


def resident_kb(smaps):
    """Of the text of /proc/PID/smaps."""
    total, counts = 0, True
    for line in smaps.splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):  # a mapping begins
            counts = "memfd:memif" not in line
        elif counts and name in ("Rss:", "Private_Hugetlb:", "Shared_Hugetlb:"):
            total += int(rest[0])
    return total


def _softirq_thread(cpu):
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{entry}/comm").read_text().strip() == f"ksoftirqd/{cpu}":
                    return int(entry)
    return None


class CpuClock:
    """CPU time between begin() and end(), of the server, of the client and of everybody else on their CPUs."""

    def __init__(self, bench):
        self.cpus = sorted({bench.server_cpu, bench.client_cpu})
        self.softirq = {cpu: pid for cpu in self.cpus if (pid := _softirq_thread(cpu))}
        self.server_softirq = [self.softirq[bench.server_cpu]] if bench.server_cpu in self.softirq else []

    def _all_busy(self):
        """Seconds in which these CPUs did anything, or were taken away from this machine."""
        total = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name in [f"cpu{cpu}" for cpu in self.cpus]:
                user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
                total += user + nice + system + irq + softirq + steal
        return total / TICK

    def begin(self, server_pid):
        self.server_pid = server_pid
        self.at = time.monotonic()
        self.busy = self._all_busy()
        self.server = cpu_seconds(family(server_pid))
        self.kernel = cpu_seconds(self.softirq.values())
        self.server_kernel = cpu_seconds(self.server_softirq)
        self.ours = sum(os.times()[:2])

    def end(self, client_s):
        """(the server's seconds, with its CPU's ksoftirqd; what others had, as a share of a core)."""
        seconds = max(time.monotonic() - self.at, 1e-3)
        server = cpu_seconds(family(self.server_pid)) - self.server
        kernel = cpu_seconds(self.softirq.values()) - self.kernel
        ours = sum(os.times()[:2]) - self.ours
        others = self._all_busy() - self.busy - server - kernel - client_s - ours
        return server + cpu_seconds(self.server_softirq) - self.server_kernel, max(0.0, others / seconds)
