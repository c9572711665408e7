"""A small Linux under QEMU with an emulated network card, which millrace drives: what is needed to make one and talk to it.

    guest   one process, commands over a serial line    tests/vm/init
      igb   Intel 82576: four queues, Toeplitz hash, table of 128 entries; behind an emulated IOMMU, given to vfio-pci
       |
      tap   an interface of the test's namespace: the cable

The processor is emulated too (TCG): about a tenth of the machine's speed, and no privilege but the TAP interface.
"""
import gzip
import json
import re
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
from tap import Skip, expect  # noqa: E402

HERE = Path(__file__).parent
MAC = "52:54:00:12:34:56"
CARD = "0000:00:02.0"
MEMORY_MB = 1024
HUGE_PAGES = 220  # of 2 MB
WITH_US = ("setpriv", "--pdeathsig", "KILL")  # a program that ends with the test, whatever ends that
BOOT_SECONDS = 120
COMMAND_SECONDS = 60
CHEAP = "quiet mitigations=off no_timer_check tsc=reliable"  # nor does it panic where timers are late, on a busy machine
MODULES = ["virt/lib/irqbypass", "drivers/vfio/vfio_virqfd", "drivers/vfio/vfio", "drivers/vfio/vfio_iommu_type1",
           "drivers/vfio/pci/vfio-pci-core", "drivers/vfio/pci/vfio-pci"]  # newer kernels have fewer
DRIVERS = ["net_e1000", "bus_pci", "bus_vdev", "mempool_ring", "mempool_stack"]


def find_machine():
    """The folder of QEMU, of the guest's kernel and of its tools, made if it is not there."""
    made = subprocess.run([HERE / "machine"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Skip((made.stderr.strip().splitlines() or ["no QEMU"])[-1])
    return Path(made.stdout.strip())


# ---- its files -----------------------------------------------------------------------------------------------------

def libraries_of(*programs):
    """The shared libraries that programs load, as the loader finds them here."""
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def drivers_folder():
    """Where DPDK finds its drivers: beside its other libraries."""
    eal = sorted(Path("/usr/lib").glob("*/dpdk/pmds-*"))
    if not eal:
        raise Skip("DPDK's drivers are not in /usr/lib/*/dpdk/pmds-*: it may be linked statically")
    return eal[-1]


class Archive:
    """A cpio archive in the form that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format)."""

    def __init__(self):
        self.bytes = bytearray()
        self.folders = set()
        self.copied = set()
        self.inodes = {}
        self.count = 0

    def _entry(self, name, mode, data=b""):
        self.count += 1
        fields = [self.count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        self.bytes += b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
        self.bytes += bytes(-len(self.bytes) % 4)
        self.bytes += data + bytes(-len(data) % 4)

    def folder(self, name):
        for parent in [*reversed(Path(name).parents), Path(name)]:
            if str(parent) not in (".", "/") and parent not in self.folders:
                self.folders.add(parent)
                self._entry(str(parent).lstrip("/"), 0o40755)

    def file(self, name, data):
        self.folder(str(Path(name).parent))
        self._entry(str(name).lstrip("/"), 0o100755, data)

    def link(self, name, to):
        self.folder(str(Path(name).parent))
        self._entry(str(name).lstrip("/"), 0o120777, str(to).encode())

    def copy(self, path):
        """A file of this machine's by its name, and what that leads to: the loader takes two copies for two libraries."""
        path = Path(path).parent.resolve() / Path(path).name
        if path in self.copied:
            return
        self.copied.add(path)
        inode = path.stat().st_ino
        if path.is_symlink():
            self.link(path, path.resolve())
            self.copy(path.resolve())
        elif inode in self.inodes:
            self.link(path, self.inodes[inode])
        else:
            self.inodes[inode] = path
            self.file(path, path.read_bytes())

    def write(self, path):
        self._entry("TRAILER!!!", 0)
        with gzip.open(path, "wb", compresslevel=1) as out:
            out.write(self.bytes)


def stripped(path, folder):
    small = folder / f"{path.name}.small"
    subprocess.run(["strip", "-o", small, path], check=True)
    return small.read_bytes()


def make_files(machine, folder, programs):
    """The guest's file system: busybox, the programs, what they load, drivers of DPDK, modules of the kernel."""
    archive = Archive()
    for name in ("proc", "sys", "dev", "run", "tmp", "bin", "modules"):
        archive.folder(name)
    for name in ("lib", "lib64"):
        archive.link(name, f"usr/{name}")
    archive.folder("usr/lib64")
    archive.file("init", (HERE / "init").read_bytes())
    archive.file("bin/busybox", (machine / "bin/busybox").read_bytes())
    at = drivers_folder()
    drivers = [path for name in DRIVERS for path in at.glob(f"librte_{name}.so.[0-9]*")]
    for path in programs:
        archive.file(f"bin/{path.name}", stripped(path, folder))
    libgcc = subprocess.run(["gcc", "-print-file-name=libgcc_s.so.1"], capture_output=True, text=True,
                            check=True).stdout.strip()  # opened when a thread is cancelled, by its name
    for path in [*drivers, *libraries_of(*programs, *drivers), libgcc]:
        archive.copy(path)
    archive.link("usr/lib64/ld-linux-x86-64.so.2", Path("/lib64/ld-linux-x86-64.so.2").resolve())
    modules = next((machine / "lib/modules").iterdir()) / "kernel"
    for name in MODULES:
        path = modules / f"{name}.ko"
        if path.exists():
            archive.file(f"modules/{path.name}", path.read_bytes())
    archive.write(folder / "initrd")
    return folder / "initrd"


# ---- it runs -------------------------------------------------------------------------------------------------------

class Line:
    """A stream socket of QEMU's, read up to a text."""

    def __init__(self, path, is_alive, seconds):
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + seconds
        while self.socket.connect_ex(str(path)) != 0:
            expect(is_alive() and time.monotonic() < deadline, "QEMU does not come up")
            time.sleep(0.05)
        self.kept = ""

    def read_until(self, pattern, seconds):
        """What comes before the first match, and the match."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.kept)):
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.socket], [], [], left)[0]
            data = self.socket.recv(65536) if ready else b""
            expect(data, f"no {pattern!r} within {seconds} s; so far: {self.kept[-2000:]!r}")
            self.kept += data.decode(errors="replace")
        before = self.kept[:found.start()]
        self.kept = self.kept[found.end():]
        return before, found

    def send(self, text):
        self.socket.sendall(text.encode())


class Guest:
    """With-statement: it boots; at the end it is switched off."""

    def __init__(self, machine, folder, programs, interface, processors=4):
        self.machine = machine
        self.folder = Path(folder)
        self.interface = interface
        self.processors = processors
        self.initrd = make_files(machine, self.folder, programs)
        self.process = None
        self.console = self.folder / "console.log"

    def _words(self):
        root = self.machine
        kernel = next((root / "boot").glob("vmlinuz-*"))
        loader = [root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"]
        folders = [word for name in ("qemu", "seabios") for word in ("-L", str(root / "usr/share" / name))]
        return [*WITH_US, "env", f"LD_LIBRARY_PATH={':'.join(map(str, loader))}",
                str(root / "usr/bin/qemu-system-x86_64"), *folders, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
                "-smp", str(self.processors), "-m", str(MEMORY_MB), "-nographic", "-nodefaults", "-no-reboot",
                "-monitor", "none",
                "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
                "-serial", f"file:{self.console}",
                "-chardev", f"socket,id=line,path={self.folder}/line,server=on,wait=off", "-serial", "chardev:line",
                "-device", "intel-iommu,intremap=on,caching-mode=on",
                "-netdev", f"tap,id=cable,ifname={self.interface},script=no,downscript=no,vhost=off,vnet_hdr=off",
                "-device", f"igb,netdev=cable,mac={MAC},addr=2.0,romfile=",
                "-kernel", str(kernel), "-initrd", str(self.initrd),
                "-append", f"console=ttyS0 panic=-1 intel_iommu=on hugepages={HUGE_PAGES} {CHEAP}"]

    def is_alive(self):
        return self.process.poll() is None

    def log(self):
        """What its kernel and QEMU said last."""
        files = [path for path in (self.console, self.folder / "qemu.log") if path.exists()]
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in files)

    def __enter__(self):
        with open(self.folder / "qemu.log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self._words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.line = Line(self.folder / "line", self.is_alive, BOOT_SECONDS)
            self.line.read_until("<<ready>>", BOOT_SECONDS)
            self.qmp = Line(self.folder / "qmp", self.is_alive, BOOT_SECONDS)
            self._ask("qmp_capabilities")
        except AssertionError as error:
            self.__exit__(AssertionError, error, None)
            raise AssertionError(f"{error}\n{self.log()}") from error
        return self

    def __exit__(self, kind, *_):
        if kind not in (None, SystemExit):
            print("# " + self.log().replace("\n", "\n# "))
        self.process.kill()
        self.process.wait(20)

    def run(self, command, seconds=COMMAND_SECONDS):
        """Run a line of shell: (exit status, output)."""
        self.line.send(command + "\n")
        out, status = self.line.read_until(r"<<(\d+)>>\r?\n", seconds)
        return int(status.group(1)), out.replace("\r", "").strip()

    def must(self, command, seconds=COMMAND_SECONDS):
        """Run it; it must succeed.  Its output."""
        status, out = self.run(command, seconds)
        expect(status == 0, f"{command}: {status}: {out}")
        return out

    def _ask(self, command, **arguments):
        self.qmp.send(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        _, answer = self.qmp.read_until(r'\{"(return|error)".*\}\r?\n', 10)
        expect(answer.group(1) == "return", f"{command}: {answer.group(0)}")

    def set_link(self, is_up):
        """Plug the card's cable in, or pull it."""
        self._ask("set_link", name="cable", up=is_up)
