"""What the figures work on: a cluster whose WAL waits to be archived, one to be backed up, and the configurations.

Everything lies in one folder; with --place it is kept, and what a run finds there it does not make again.
"""

import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "pg"))

from seawalltest.cluster import DEBIAN_BIN, Cluster  # noqa: E402  (the path must be known first)
from seawalltest.wait import wait_for  # noqa: E402

WAL_COMPRESSION = "off"
SETTINGS = {
    "wal_compression": WAL_COMPRESSION, "archive_command": "false", "shared_buffers": "512MB", "autovacuum": "off",
    "max_wal_size": "128MB", "checkpoint_timeout": "30s", "synchronous_commit": "off", "fsync": "off",
    "track_commit_timestamp": "off", "log_min_messages": "warning",
}
PGBACKREST = """[global]
{repository}
spool-path={spool}
lock-path={spool}/lock
log-level-console=off
log-level-stderr=error
log-level-file=off
compress-type=lz4
compress-level=1
process-max=2
start-fast=y
archive-async={async_}
archive-get-queue-max=512MB
archive-push-queue-max=1TB

[main]
pg1-path={data}
pg1-socket-path={sockets}
"""


def say(text):
    print(f"# {time.strftime('%H:%M:%S')} {text}", flush=True)


def run(*command, **options):
    options = {"check": True, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options}
    return subprocess.run(list(map(str, command)), **options)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    pathlib.Path(folder).mkdir(parents=True)
    return pathlib.Path(folder)


class Place:
    """The folder, the programs, and the clusters as they are made on demand."""

    def __init__(self, folder, build, options):
        self.folder, self.build, self.options = pathlib.Path(folder), pathlib.Path(build), options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bin = self.build / "release"
        self.pgbackrest_in = None  # settings of another repository than a folder

    def cluster(self, name):
        return Cluster(self.folder, 15, name)

    def load(self, name, scale, **settings):
        """A cluster with page checksums and pgbench's tables, filled without WAL; running."""
        cluster = self.cluster(name)
        cluster.init(**{**SETTINGS, **settings})
        cluster.start(wal_level="minimal", archive_mode="off", max_wal_senders="0", max_wal_size="8GB")
        self.pgbench(cluster, "-i", "-q", "-s", scale)
        cluster.stop()
        cluster.start()
        return cluster

    def pgbench(self, cluster, *arguments):
        run(DEBIAN_BIN / "pgbench", "-h", cluster.sockets, *arguments, "postgres", stderr=subprocess.DEVNULL)

    def wal(self):
        """The folder of a stopped cluster with WAL that waits, of the backup before it, and the segments' names."""
        cluster, base = self.cluster("wal"), self.folder / "wal.base"
        want = max(self.options.segments, self.options.replay)
        if not (self.folder / "wal.done").exists():
            say(f"making a cluster and {want} segments of WAL (pgbench, wal_compression {WAL_COMPRESSION})")
            for old in (cluster.data, base):
                shutil.rmtree(old, ignore_errors=True)
            self.load("wal", 40)
            run(DEBIAN_BIN / "pg_basebackup", "-h", cluster.sockets, "-D", base, "-c", "fast", "-X", "fetch")
            for path in (base / "pg_wal").iterdir():
                if path.is_file():
                    path.unlink()
            self.pgbackrest(cluster, "stanza-create", async_=False)
            first = len(cluster.pending())
            while len(cluster.pending()) < first + want:
                self.pgbench(cluster, "-c", 4, "-j", 2, "-T", 5, "-n")
            cluster.switch_wal()
            cluster.stop()
            label = (base / "backup_label").read_text().split("(file ")[1].split(")")[0]
            names = [name for name in cluster.pending() if len(name) == 24 and name >= label]
            (self.folder / "wal.done").write_text("\n".join(names))
        return cluster, base, (self.folder / "wal.done").read_text().split()[:want]

    def short(self):
        """The folder of a stopped cluster with WAL of short records only (no page images), and 24 of its segments."""
        cluster = self.cluster("short")
        if not (self.folder / "short.done").exists():
            say("making WAL without page images")
            shutil.rmtree(cluster.data, ignore_errors=True)
            self.load("short", 10, full_page_writes="off")
            self.pgbench(cluster, "-c", 4, "-j", 2, "-T", 5, "-n")
            while len(cluster.pending()) < 26:
                cluster.sql("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 5 = 0")
                cluster.sql("INSERT INTO pgbench_history SELECT 1, 1, g, 1, now() FROM generate_series(1, 100000) g")
            cluster.switch_wal()
            cluster.stop()
            names = [name for name in cluster.pending() if len(name) == 24]
            (self.folder / "short.done").write_text("\n".join(names[2:26]))
        return cluster, (self.folder / "short.done").read_text().split()

    def quiet(self, count):
        """The same of a cluster where next to nothing happens in a segment (archive_timeout), without a backup."""
        cluster = self.cluster("quiet")
        if not (self.folder / "quiet.done").exists():
            shutil.rmtree(cluster.data, ignore_errors=True)
            cluster.init(**SETTINGS)
            cluster.start()
            while len(cluster.pending()) < count:
                cluster.sql("SELECT pg_logical_emit_message(true, 'quiet', 'x')")
                cluster.switch_wal()
            cluster.stop()
            (self.folder / "quiet.done").write_text("\n".join(cluster.pending()))
        return cluster, None, (self.folder / "quiet.done").read_text().split()[:count]

    def data(self):
        """A running cluster of the wanted size."""
        cluster = self.cluster("data")
        if not (self.folder / "data.done").exists():
            shutil.rmtree(cluster.data, ignore_errors=True)
            say(f"making a cluster for backups (pgbench scale {self.options.scale})")
            self.load("data", self.options.scale, max_wal_size="1GB", checkpoint_timeout="5min", fsync="on",
                      synchronous_commit="on")
            cluster.sql("VACUUM FREEZE")
            cluster.sql("CHECKPOINT")
            (self.folder / "data.done").touch()
        elif not cluster.pid():
            cluster.start()
        return cluster

    def mark_ready(self, cluster, names):
        """archive_status as if nothing of names had been archived, and nothing else waited."""
        status = fresh(cluster.data / "pg_wal/archive_status")
        for name in names:
            (status / f"{name}.ready").touch()

    # -- pgBackRest --

    def pgbackrest_config(self, cluster, async_, data=None):
        config = self.folder / f"pgbackrest.{cluster.name}.conf"
        spool = self.folder / "pgbackrest.spool"
        spool.mkdir(exist_ok=True)
        repository = self.pgbackrest_in or f"repo1-path={self.folder}/pgbackrest.{cluster.name}"
        config.write_text(PGBACKREST.format(repository=repository, spool=spool,
                                            async_="y" if async_ else "n", data=data or cluster.data,
                                            sockets=cluster.sockets))
        return config

    def pgbackrest_command(self, cluster, command, async_=False, data=None):
        config = self.pgbackrest_config(cluster, async_, data)
        return f"pgbackrest --config={config} --stanza=main {command}"

    def pgbackrest(self, cluster, command, async_=False, data=None):
        run(*shlex.split(self.pgbackrest_command(cluster, command, async_, data)))

    # -- Seawall --

    def seawall(self, cluster, repository=None, **server):
        """repository: a folder, or settings."""
        return Seawall(self, cluster, repository or self.folder / f"seawall.{cluster.name}", **server)


class Seawall:
    """A configuration, and the server with it; both in a folder that is made anew."""

    def __init__(self, place, cluster, repository, **server):
        self.bin, self.cluster, self.repository = place.bin, cluster, repository
        self.folder = place.folder / "sw"
        self.config, self.log = self.folder / "seawall.conf", self.folder / "seawall.log"
        self.server_settings, self.process = server, None

    def init(self, keep=False):
        repository = self.repository
        if not isinstance(repository, dict):
            if not keep:
                shutil.rmtree(repository, ignore_errors=True)
            repository = {"url": f"file://{repository}"}
        fresh(self.folder)
        repository = "\n".join(f"{key} = {value}" for key, value in repository.items())
        settings = {"socket": self.folder / "s", "state": self.folder / "state", **self.server_settings}
        self.config.write_text("[server]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()) + f"""
[repository local]
{repository}
wal_compression = lz4
pack_compression = lz4

[cluster main]
pgdata = {self.cluster.data}
connect = {self.cluster.dsn()}
repositories = local
pg_bin = {DEBIAN_BIN}
""")
        self.config.chmod(0o600)
        self.run("init")
        return self

    def run(self, *arguments, **options):
        command = [self.bin / "seawall", "--config", self.config, *arguments]
        with open(self.folder / "command.log", "a", encoding="utf-8") as log:
            result = run(*command, check=False, stdout=log, stderr=log, **options)
        if result.returncode:
            sys.stderr.write((self.folder / "command.log").read_text()[-4000:])
            raise RuntimeError(f"exit status {result.returncode}: seawall {' '.join(map(str, arguments))}")

    def serve(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([self.bin / "seawall", "--config", self.config, "serve"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: (self.folder / "s").exists() or self.process.poll() is not None, "the server's socket")
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{self.log.read_text()[-4000:]}")
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def push(self):
        return f"{self.bin / 'seawall-wal'} --config {self.config} push %p"

    def fetch(self):
        return f"{self.bin / 'seawall-wal'} --config {self.config} --cluster main fetch %f %p"


def tree_mb(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(where, name)).st_size
    return total / 1e6
