"""The built programs, with a configuration of their own."""

import dataclasses
import os
import pathlib
import shlex
import signal
import socket
import subprocess

from . import process
from .cluster import Cluster
from .wait import wait_for


@dataclasses.dataclass
class Result:
    """What a command said."""
    command: list
    status: int
    out: str
    err: str

    def __str__(self):
        return f"$ {shlex.join(map(str, self.command))}\n{self.out}{self.err}exit status {self.status}"


def programs(kind="release"):
    """The folder of the built programs; debug has the fault points."""
    name = "SEAWALL_BIN" if kind == "release" else "SEAWALL_BIN_DEBUG"
    default = pathlib.Path(__file__).resolve().parents[3] / "build" / kind
    return pathlib.Path(os.environ.get(name, default))


class Seawall:
    """One configuration, the commands with it, and at most one server."""

    def __init__(self, folder, cluster, kind="release", name="main", **server):
        self.folder, self.cluster, self.name = pathlib.Path(folder), cluster, name
        self.bin = programs(kind)
        self.config = self.folder / "seawall.conf"
        self.repository = self.folder / "repository"
        self.state = self.folder / "state"
        self.socket = self.folder / "s.sock"
        self.log = self.folder / "seawall.log"
        self.server = None
        self.sections = {
            "server": {"socket": self.socket, "state": self.state, "memory": "64MB", "workers": 2, **server},
            "repository local": {"url": f"file://{self.repository}"},
            f"cluster {name}": {"pgdata": cluster.data, "connect": cluster.dsn(), "repositories": "local",
                                "pg_bin": cluster.bin},
        }
        self.write_config()

    def write_config(self):
        text = ""
        for section, settings in self.sections.items():
            text += f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()) + "\n"
        self.config.write_text(text)
        self.config.chmod(0o600)
        process.own(self.config)

    def environment(self, **more):
        return {**os.environ, "SEAWALL_CONFIG": str(self.config), "LC_ALL": "C.UTF-8", **more}

    def start_command(self, *arguments, **environment):
        """A command in the background, its output in pipes."""
        return subprocess.Popen([self.bin / "seawall", *map(str, arguments)], env=self.environment(**environment),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, status=0, deadline_s=120, **environment):
        """A command and its result; status=None accepts any."""
        command = self.start_command(*arguments, **environment)
        try:
            out, err = command.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired as expired:
            command.kill()
            out, err = command.communicate()
            raise AssertionError(f"no end after {deadline_s} s: seawall {arguments}\n{out}{err}") from expired
        result = Result(["seawall", *arguments], command.returncode, out, err)
        assert status is None or result.status == status, f"expected exit status {status}\n{result}"
        return result

    def init(self):
        return self.run("init")

    # -- archiving --

    def archive_command(self):
        return f"{shlex.quote(str(self.bin / 'seawall-wal'))} --config {shlex.quote(str(self.config))} push %p"

    def restore_command(self):
        return (f"{shlex.quote(str(self.bin / 'seawall-wal'))} --config {shlex.quote(str(self.config))} "
                f"--cluster {self.name} fetch %f %p")

    def archive(self):
        """PostgreSQL archives through the hook from now on."""
        self.cluster.configure(archive_command=self.archive_command())

    def wait_archived(self, segment=None, deadline_s=60):
        return self.cluster.wait_archived(segment, deadline_s)

    # -- restoring --

    def restore(self, target, name, *arguments, status=0, deadline_s=180):
        """The cluster restored into a folder beside its origin's, as a clone, and what the command said.

        With "--start" among the arguments it runs; without, start() does that. Give it to made.add().
        """
        restored = Cluster(self.cluster.folder, self.cluster.major, name)
        result = self.run("restore", self.name, *target.arguments, "--pgdata", restored.data,
                          "--option", f"unix_socket_directories={restored.sockets}", *arguments,
                          status=status, deadline_s=deadline_s)
        return restored, result

    # -- the server --

    def answers(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True

    def serve(self, deadline_s=20, **environment):
        assert not self.server
        with open(self.log, "a", encoding="utf-8") as log:
            self.server = subprocess.Popen([self.bin / "seawall", "serve"], env=self.environment(**environment),
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.answers() or self.server.poll() is not None, "the server's socket", deadline_s)
        assert self.server.poll() is None, f"the server ended:\n{self.log_tail()}"
        return self

    def stop(self, number=signal.SIGTERM, deadline_s=30):
        """Ends the server; returns its exit status (negative: the signal that it died of)."""
        server, self.server = self.server, None
        if not server:
            return None
        server.send_signal(number)
        server.send_signal(signal.SIGCONT)
        return server.wait(deadline_s)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def freeze(self):
        self.server.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.server.send_signal(signal.SIGCONT)

    def remove(self):
        if self.server:
            process.kill_family(self.server.pid)
            self.server.wait(30)
            self.server = None

    def log_tail(self, lines=60):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""
