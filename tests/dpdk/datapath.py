"""Run `millrace host` on a loopback, and programs that attach to it: what the tests of attached applications share."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
from tap import expect  # noqa: E402

ADDRESS = "198.18.0.1"  # a loopback's own
PORT = 4433
START_SECONDS = 60


def wait_until(condition, seconds, what):
    """Until condition() is true; what it returned."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        expect(time.monotonic() < deadline, f"{what} did not come about within {seconds} s")
        time.sleep(0.01)
    return result


class Program:
    """A process whose output is kept."""

    def __init__(self, words, folder, name):
        self.path = Path(folder) / f"{name}.log"
        self.out = open(self.path, "w")
        self.process = subprocess.Popen([str(word) for word in words], stdout=self.out, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)
        self.pid = self.process.pid

    def log(self):
        return self.path.read_text()

    def is_alive(self):
        return self.process.poll() is None

    def wait_for(self, text, seconds=START_SECONDS):
        wait_until(lambda: text in self.log() or not self.is_alive(), seconds, f"{text!r} in {self.log()!r}")
        expect(text in self.log(), f"{self.path.name} ended without saying {text!r}:", self.log())

    def wait(self, seconds):
        return self.process.wait(seconds)

    def kill(self, how=signal.SIGKILL):
        if self.is_alive():
            self.process.send_signal(how)
        self.process.wait(20)
        self.out.close()


class Datapath:
    """`millrace host` in a folder of its own; with-statement: it ends with it, and must end well."""

    def __init__(self, millrace, *options, listeners=("name=echo,alpn=echo,port=4433,application=echo",), wrapper=(),
                 port="loopback"):
        self.millrace = millrace
        self.port = port
        self.options = list(options)
        for listener in listeners:
            self.options += ["--listener", listener]
        self.wrapper = list(wrapper)
        self.folder = tempfile.TemporaryDirectory(prefix="mr-test-")
        self.socket = os.path.join(self.folder.name, "control")
        self.programs = []
        self.host = None

    def __enter__(self):
        self.start_host()
        return self

    def start_host(self):
        self.host = Program([*self.wrapper, self.millrace, "host", "--port", self.port, "--control", self.socket,
                             *self.options], self.folder.name, f"host{len(self.programs)}")
        self.host.wait_for("applications attach to")

    def start(self, *words, name=None):
        program = Program(words, self.folder.name, f"{name or Path(words[0]).name}{len(self.programs)}")
        self.programs.append(program)
        return program

    def run(self, *words, seconds=30):
        """Run a program to its end: (exit status, output)."""
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=seconds, check=False)
        return done.returncode, done.stdout + done.stderr

    def ctl(self, *words):
        """A command's answer, from JSON."""
        done = subprocess.run([self.millrace, "ctl", "--control", self.socket, "--json", *words], capture_output=True,
                              text=True, timeout=20, check=False)
        expect(done.returncode == 0, f"ctl {words}: {done.stderr}")
        return json.loads(done.stdout)

    def detach(self, name):
        """Detach every attachment of an application, as an operator does; one may go when another one does."""
        for row in self.ctl("apps"):
            if row["name"] == name:
                self.run(self.millrace, "ctl", "--control", self.socket, "detach", row["attachment"])

    def drain(self):
        """Ask it to drain, and to end."""
        self.ctl("drain")

    def stop_host(self):
        """End it by SIGTERM: what it printed last; it must end well and lose no buffer."""
        self.host.process.terminate()
        status = self.host.wait(30)
        expect(status == 0, f"the datapath ended with {status}:", self.host.log())
        expect("mbufs lost: 0" in self.host.log(), "buffers were lost:", self.host.log())
        return self.host.log()

    def __exit__(self, kind, *_):
        for program in self.programs:
            program.kill()
        try:
            if kind is None and self.host.is_alive():
                self.stop_host()
        finally:
            self.host.kill()
            self.folder.cleanup()
