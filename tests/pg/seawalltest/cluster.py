"""Scratch PostgreSQL clusters of any version, reached through a Unix socket in a short folder."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

import psycopg2

from . import process
from .wait import wait_for

DEBIAN_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
NUDGE_EVERY_S = 1
SETTINGS = {
    "listen_addresses": "", "fsync": "off", "shared_buffers": "32MB", "max_connections": "40",
    "wal_level": "replica", "archive_mode": "on", "archive_command": "", "max_wal_senders": "10",
    "max_prepared_transactions": "10", "track_commit_timestamp": "on", "max_wal_size": "256MB",
    "log_min_messages": "info", "log_line_prefix": "%m [%p] ", "autovacuum": "off", "log_timezone": "UTC",
}


def pg_bin(major):
    """The folder of the server programs of one major version."""
    if major == 15:
        return DEBIAN_BIN
    folder = pathlib.Path(os.environ["SEAWALL_PG_NPM"]) / f"node_modules/pg{major}/native/bin"
    if not (folder / "postgres").exists():
        raise FileNotFoundError(f"no PostgreSQL {major} in {folder}: run tests/run.sh, or set SEAWALL_PG_NPM")
    return folder


def quote(value):
    """A value as postgresql.conf wants it."""
    return "'" + str(value).replace("'", "''") + "'"


class Cluster:
    """One data directory and the server that may run in it."""

    def __init__(self, folder, major=15, name="main", data=None):
        self.folder, self.name, self.major = pathlib.Path(folder), name, major
        self.data = pathlib.Path(data or self.folder / name)
        self.bin = pg_bin(major)
        self.sockets = self.folder / f"{name}.s"
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        process.own(self.sockets)
        self.log = self.folder / f"{name}.log"
        self.tablespaces = self.folder / f"{name}.ts"
        self.process = None  # the postmaster, when we started it

    def init(self, segment_mb=16, checksums=True, group=False, **settings):
        command = [self.bin / "initdb", "-D", self.data, "-A", "trust", "-E", "UTF8", "--locale=C", "-N",
                   f"--wal-segsize={segment_mb}"]
        if checksums:
            command.append("--data-checksums")
        elif self.major >= 18:
            command.append("--no-data-checksums")
        if group:
            command.append("--allow-group-access")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **process.OWNER)
        self.configure(**{**SETTINGS, "unix_socket_directories": self.sockets, **settings})
        return self

    def configure(self, **settings):
        """Adds settings; those given later win. A running server reads them again."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{key} = {quote(value)}\n" for key, value in settings.items())
        if self.pid():
            loaded = self.one("SELECT pg_conf_load_time()")
            process.send(self.pid(), signal.SIGHUP)
            wait_for(lambda: self.one("SELECT pg_conf_load_time()") > loaded, "the settings to be read")

    # -- the server --

    def postmaster(self):
        """The lines of postmaster.pid, or nothing."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def pid(self):
        if self.process:
            self.process.poll()  # a zombie is no server
        lines = self.postmaster()
        return int(lines[0]) if lines and process.alive(int(lines[0])) else None

    def state(self):
        """starting, ready (also a hot standby), standby (takes no connections), stopping; None without a server."""
        lines = self.postmaster()
        return lines[7].strip() if len(lines) > 7 and self.pid() else None

    def start(self, until=("ready", "standby"), deadline_s=60, **settings):
        """Starts the server; settings hold for this run only. until=() does not wait for it."""
        command = [self.bin / "postgres", "-D", self.data]
        for key, value in {"unix_socket_directories": self.sockets, **settings}.items():
            command += ["-c", f"{key}={value}"]
        if not self.pid():  # where nobody waits for orphans, PostgreSQL takes a killed postmaster for a running one
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                            start_new_session=True, **process.OWNER)
        wait_for(lambda: self.pid() or self.process.poll() is not None, "PostgreSQL to begin", deadline_s)
        if until:
            wait_for(lambda: self.state() in until or self.process.poll() is not None, f"PostgreSQL to be {until}",
                     deadline_s)
            if self.process.poll() is not None:
                raise AssertionError(f"PostgreSQL ended while starting:\n{self.log_tail()}")
        return self

    def wait_end(self, deadline_s=60):
        wait_for(lambda: not self.pid(), "PostgreSQL to end", deadline_s)

    def stop(self, mode="fast"):
        """smart, fast, or immediate, which is a crash."""
        pid = self.pid()
        if pid:
            process.send(pid, {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
            wait_for(lambda: not process.alive(pid), f"PostgreSQL to stop ({mode})", 60)

    def kill(self):
        """kill -9 of the postmaster and all its processes."""
        pid = self.pid()
        if pid:
            process.kill_family(pid)
            for lock in self.sockets.glob(".s.PGSQL.*.lock"):  # see start()
                lock.unlink()

    def restart(self, mode="fast", **settings):
        self.stop(mode)
        return self.start(**settings)

    def promote(self):
        assert self.one("SELECT pg_promote(true, 60)")

    def in_recovery(self):
        return self.one("SELECT pg_is_in_recovery()")

    def wait_primary(self, deadline_s=60):
        """Until a recovery has ended and the cluster can be written."""
        wait_for(lambda: self.state() == "ready" and not self.in_recovery() or not self.pid(), "the end of recovery",
                 deadline_s)
        assert self.pid(), f"PostgreSQL ended:\n{self.log_tail()}"

    def remove(self):
        """Nothing of it runs any longer."""
        with contextlib.suppress(AssertionError):
            self.stop("immediate")
        self.kill()

    def log_tail(self, lines=40):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    # -- SQL --

    def port(self):
        """Only a part of the socket's name, since nothing listens on TCP."""
        lines = self.postmaster()
        return lines[3] if len(lines) > 3 else "5432"

    def dsn(self, dbname="postgres"):
        role = f" user={process.OWNER['user']}" if process.OWNER else ""
        return f"host={self.sockets} port={self.port()} dbname={dbname}{role}"

    def connect(self, dbname="postgres"):
        connection = psycopg2.connect(self.dsn(dbname), connect_timeout=10)
        connection.autocommit = True
        return connection

    def sql(self, query, *values, dbname="postgres"):
        """All rows of a query on a connection of its own."""
        with contextlib.closing(self.connect(dbname)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, query, *values, dbname="postgres"):
        """The first column of the first row, or None."""
        rows = self.sql(query, *values, dbname=dbname)
        return rows[0][0] if rows else None

    # -- WAL --

    def insert_lsn(self):
        return self.one("SELECT pg_current_wal_insert_lsn()")

    def timeline(self):
        """That of the WAL being written (pg_control knows a promotion only after the next checkpoint)."""
        return int(self.one("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], 16)

    def switch_wal(self):
        """Ends the segment; returns the name of the one that is now complete. With nothing to end, 17 and later
        would name the next one, which does not exist yet."""
        return self.one("SELECT pg_walfile_name(pg_switch_wal()" + (" - 1)" if self.major >= 17 else ")"))

    def pending(self):
        """What PostgreSQL has not archived yet."""
        status = self.data / "pg_wal/archive_status"
        return sorted(path.stem for path in status.glob("*.ready"))

    def nudge_archiver(self):
        """It looks again; by itself it rests for a minute when archive_command has failed three times."""
        postmaster = self.pid()
        for pid in process.children(postmaster) if postmaster else []:
            if "archiver" in " ".join(process.command_line(pid)):
                process.send(pid, signal.SIGUSR1)

    def wait_archived(self, segment=None, deadline_s=60):
        """Until PostgreSQL has heard success for the segment (default: all WAL up to now) and for those before."""
        segment = segment or self.switch_wal()
        status = self.data / "pg_wal/archive_status"
        timeline_free, nudged = segment[8:], time.monotonic()

        def done():
            nonlocal nudged
            waiting = [name for name in self.pending()
                       if re.fullmatch("[0-9A-F]{24}", name) and name[8:] <= timeline_free]
            there = (self.data / "pg_wal" / segment).exists()
            if not waiting and ((status / f"{segment}.done").exists() or not there):
                return True
            if time.monotonic() - nudged > NUDGE_EVERY_S:
                self.nudge_archiver()
                nudged = time.monotonic()
            return False

        wait_for(done, f"{segment} to be archived; the log ends with\n{self.log_tail(5)}", deadline_s)
        return segment
