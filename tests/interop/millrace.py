"""Start the program under test in a stage: the one place that knows its command line."""
import os
import re
import subprocess

from peers import INTERFACE, MILLRACE_IP, NETWORK_BITS, wait_until
from tap import expect

PROGRAM = os.environ.get("MILLRACE", "build/tools/millrace")
PORT = 443
START_SECONDS = 30
VETH = "mr1"  # whose other end is INTERFACE
ADDRESS_OPTIONS = ["--addr", f"{MILLRACE_IP}/{NETWORK_BITS}"]
PORT_OPTIONS = ["--port", f"tap:{INTERFACE}", *ADDRESS_OPTIONS]


def version():
    """What the program says of itself."""
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def port_options(stage, kind):
    """Of a port of this kind that is joined to INTERFACE."""
    if kind == "tap":
        return PORT_OPTIONS
    stage.namespace.ip("link", "add", INTERFACE, "type", "veth", "peer", "name", VETH)
    stage.namespace.ip("link", "set", VETH, "up")
    stage.namespace.ip("link", "set", INTERFACE, "gso_max_segs", "1")  # else a peer's frames are larger than the MTU
    return ["--port", f"{kind}:{VETH}", *ADDRESS_OPTIONS]


def start_edge(stage, root, *options, kind="tap"):
    """An edge server for the folder `root`, with the stage's certificate, reachable from the namespace."""
    edge = stage.start(PROGRAM, "edge", *port_options(stage, kind), "--root", root, "--cert", stage.folder / "server.pem",
                       "--key", stage.folder / "server.key", "--stats", "0.5", *options)
    expect(stage.set_up_interface(edge, START_SECONDS), "edge did not start:", edge.log())
    status, log = stage.run_peer("curl", "-sSk", "--http3-only", "--connect-timeout", START_SECONDS, "-o", "/dev/null",
                                 f"https://{MILLRACE_IP}/", seconds=2 * START_SECONDS)
    expect(status == 0, "edge does not answer:", log, edge.log())
    return edge


def open_connections(edge):
    """How many the last status line of `edge` speaks of; None before the first."""
    counts = re.findall(r"^edge: (\d+) connections,.* requests/s", edge.log(), re.MULTILINE)
    return int(counts[-1]) if counts else None


def run_get(stage, url, path, *options, kind="tap", seconds=60):
    """Fetch `url` into `path`: (exit code, what it printed)."""
    if kind != "tap" and not stage.namespace.has_interface(INTERFACE):
        port_options(stage, kind)
    words = PORT_OPTIONS if kind == "tap" else ["--port", f"{kind}:{VETH}", *ADDRESS_OPTIONS]
    get = stage.start(PROGRAM, "get", url, "-o", path, *words, *options)
    stage.set_up_interface(get, START_SECONDS)
    status = get.wait(seconds)
    if kind == "tap":
        wait_until(lambda: not stage.namespace.has_interface(INTERFACE), 5, "the end of the TAP")
    return status, get.log()
