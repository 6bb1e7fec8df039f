"""The oracle: a client that knows what it was told is committed, while everything that breaks archives goes on.

Each transaction of a writer adds one numbered row, and the ledger notes its xid, the server's commit time, and two LSNs
around the commit. A restore to a target must then hold exactly the rows up to there. Writers commit one after the other
(the lock below), so the LSN intervals of two commits never overlap and a target between them leaves no doubt. Doubt
remains, and is kept apart, for a commit whose answer was lost and for a target inside an interval.
"""

import collections
import contextlib
import dataclasses
import datetime
import random
import threading

import psycopg2

from .wait import wait_for

# A statement that commits by itself may take its timestamp before, and its place in WAL after, a neighbour.
TIME_DOUBT = datetime.timedelta(milliseconds=2)

# Where a record starts when a page or a segment ends at the position before: behind its header.
PAGE_HEADER_BYTES_MAX = 40

TABLES = """
CREATE EXTENSION IF NOT EXISTS amcheck;
CREATE TABLE ledger (n bigint PRIMARY KEY, writer int NOT NULL, filler text NOT NULL);
CREATE TABLE ledger_last (writer int PRIMARY KEY, n bigint NOT NULL, changes bigint NOT NULL);
CREATE INDEX ledger_writer ON ledger (writer, n);
"""


def lsn_bytes(lsn):
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One commit. It lies in WAL after lsn_before and ends at or before lsn_after."""
    n: int
    xid: int
    time: datetime.datetime
    lsn_before: int
    lsn_after: int
    loose: bool    # a statement that commits by itself was under way
    unsure: bool = False  # the answer was lost; the live cluster has it


@dataclasses.dataclass(frozen=True)
class Mark:
    """A quiet moment: no commit under way. Its name is a restore point."""
    name: str
    lsn: str  # just before the restore point: PostgreSQL replays the record that starts at the LSN too
    time: datetime.datetime
    xid: int  # of the last commit before it
    rows: frozenset


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a restore ends: kind is latest, time, lsn, xid or name."""
    kind: str
    value: object = None
    including: bool = True
    mark: Mark = None

    @property
    def arguments(self):
        """For seawall restore."""
        if self.kind == "time":
            text = self.value.isoformat(sep=" ")
        else:
            text = self.kind if self.kind == "latest" else f"{self.kind}:{self.value}"
        return ["--to", text, *([] if self.including else ["--before"])]

    @property
    def settings(self):
        """For PostgreSQL itself."""
        if self.kind == "latest":
            return {}
        value = self.value.isoformat(sep=" ") if self.kind == "time" else self.value
        return {f"recovery_target_{self.kind}": value, "recovery_target_inclusive": "on" if self.including else "off"}


class Ledger:
    """Writers, breakers, and what they were told."""

    def __init__(self, cluster, seed=1, entries=(), last_n=0):
        self.cluster, self.random = cluster, random.Random(seed)
        self.entries = {entry.n: entry for entry in entries}
        self.marks, self.notes = [], []
        self.pending = {}  # n -> (xid, lsn_before): sent, not answered
        self.done = collections.Counter()  # how often each writer and breaker came to its end
        self.last_n = last_n
        self.commit_lock = threading.Lock()
        self.loose = 0
        self.running = threading.Event()
        self.threads = []

    def prepare(self):
        for dbname in ("template1", "postgres"):
            self.cluster.sql("CREATE EXTENSION IF NOT EXISTS amcheck", dbname=dbname)
        self.cluster.sql(TABLES)
        return self

    # -- writing --

    @contextlib.contextmanager
    def writing(self, writers=3, breakers=()):
        """Threads that write; what they met that was not a lost connection is raised at the end."""
        self.running.set()
        seeds = [self.random.random() for _ in range(writers + len(breakers))]
        work = [(self.write, writer) for writer in range(writers)] + [(self.break_things, each) for each in breakers]
        self.threads = [threading.Thread(target=self.guard, args=(seed, *each)) for seed, each in zip(seeds, work)]
        for thread in self.threads:
            thread.start()
        try:
            yield self
        finally:
            self.running.clear()
            for thread in self.threads:
                thread.join()
        assert not self.notes, self.notes

    def guard(self, seed, function, argument):
        """Runs until told to stop; a lost connection (a crash of PostgreSQL) is met by a new one."""
        dice = random.Random(seed)
        while self.running.is_set():
            try:
                with contextlib.closing(self.session(argument)) as connection, connection.cursor() as cursor:
                    while self.running.is_set():
                        function(cursor, dice, argument)
                        with self.commit_lock:
                            self.done[getattr(argument, "__name__", "write")] += 1
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                with contextlib.suppress(AssertionError):
                    wait_for(lambda: not self.running.is_set() or self.cluster.state() == "ready", "a server", 5)
            except Exception as error:  # pylint: disable=broad-except
                self.notes.append(f"{getattr(argument, '__name__', argument)}: {error!r}")
                return

    def session(self, writer):
        """A connection that waits for no lock for long, without what this writer left prepared when it lost the last."""
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE %s", (f"ledger {writer} %",))
            for (gid,) in cursor.fetchall():
                with self.commit_lock:  # its time counts, as below
                    cursor.execute("ROLLBACK PREPARED %s", (gid,))
        return connection

    def number(self):
        with self.commit_lock:
            self.last_n += 1
            return self.last_n

    def write(self, cursor, dice, writer):
        """One transaction with one row of the ledger: plain, with subtransactions, prepared, or rolled back."""
        n, size = self.number(), dice.choice((1, 1, 2, 5, 60, 400))
        kind = dice.choice(("plain", "plain", "plain", "sub", "prepared", "abort"))
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_current_xact_id()::text")
        xid = int(cursor.fetchone()[0])
        if kind == "sub":
            with self.commit_lock:  # an abort has a time too, and replay stops there
                cursor.execute("SAVEPOINT a; INSERT INTO ledger VALUES (%s, -1, ''); ROLLBACK TO a; SAVEPOINT b", (n,))
        cursor.execute("INSERT INTO ledger VALUES (%s, %s, repeat(md5(%s::text), %s))", (n, writer, n, size))
        cursor.execute("INSERT INTO ledger_last VALUES (%s, %s, 1) ON CONFLICT (writer) DO UPDATE "
                       "SET n = excluded.n, changes = ledger_last.changes + 1", (writer, n))
        if kind == "abort":
            with self.commit_lock:
                cursor.execute("ROLLBACK")
            return
        if kind == "prepared":
            cursor.execute("PREPARE TRANSACTION %s", (f"ledger {writer} {n}",))
        self.commit(cursor, n, xid, "COMMIT" if kind != "prepared" else f"COMMIT PREPARED 'ledger {writer} {n}'")

    def commit(self, cursor, n, xid, statement):
        """Behind a commit counts what is flushed: what is only inserted is lost in a crash, and its LSNs come again."""
        with self.commit_lock:
            loose = self.loose > 0
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            before = lsn_bytes(cursor.fetchone()[0])
            self.pending[n] = (xid, before)
            cursor.execute(statement)
            cursor.execute("SELECT pg_current_wal_flush_lsn(), pg_xact_commit_timestamp(%s::text::xid)", (xid,))
            after, time = cursor.fetchone()
            self.entries[n] = Entry(n, xid, time, before, lsn_bytes(after), loose or self.loose > 0)
            del self.pending[n]

    def settle(self):
        """After a crash: what was committed although the answer was lost. The cluster must be up, the writers not.
        A last transaction makes each time in the ledger one that replay can pass, else PostgreSQL waits for it."""
        lsn = lsn_bytes(self.cluster.insert_lsn())
        for (gid,) in self.cluster.sql("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'ledger %'"):
            self.cluster.sql(f"ROLLBACK PREPARED '{gid}'")
        for n, (xid, before) in list(self.pending.items()):
            if self.cluster.one("SELECT true FROM ledger WHERE n = %s", n):
                time = self.cluster.one("SELECT pg_xact_commit_timestamp(%s::text::xid)", xid)
                self.entries[n] = Entry(n, xid, time, before, lsn, True, unsure=True)
            del self.pending[n]
        self.cluster.sql("SELECT pg_current_xact_id()")

    def newest(self):
        """The last commit whose place is known."""
        return max((entry for entry in self.entries.values() if not entry.unsure), key=lambda entry: entry.lsn_after)

    def break_things(self, cursor, dice, breaker):
        with self.commit_lock:
            self.loose += 1
        try:
            breaker(self, cursor, dice)
        finally:
            with self.commit_lock:
                self.loose -= 1

    def wait_commits(self, more=50, deadline_s=60):
        goal = len(self.entries) + more
        wait_for(lambda: self.notes or len(self.entries) >= goal, f"{more} more commits", deadline_s)
        assert not self.notes, self.notes

    def mark(self, name):
        """A quiet moment with a restore point at its end."""
        with self.commit_lock, contextlib.closing(self.cluster.connect()) as connection, connection.cursor() as cursor:
            last = self.newest()
            cursor.execute("SELECT pg_current_wal_insert_lsn(), clock_timestamp()")
            lsn, time = cursor.fetchone()
            cursor.execute("SELECT pg_create_restore_point(%s)", (name,))
            mark = Mark(name, lsn, time, last.xid, frozenset(self.entries))
        self.marks.append(mark)
        return mark

    # -- targets --

    def targets(self, mark):
        """The four ways to name one quiet moment."""
        return [Target("time", mark.time, mark=mark), Target("lsn", mark.lsn, mark=mark),
                Target("name", mark.name, mark=mark), Target("xid", mark.xid, mark=mark)]

    def random_target(self, kind=None, after="0/0"):
        """A target at some commit behind a position."""
        sure = [entry for entry in self.entries.values() if not entry.unsure and entry.lsn_after > lsn_bytes(after)]
        entry, kind = self.random.choice(sure), kind or self.random.choice(("time", "lsn", "xid"))
        if kind == "lsn":
            return Target("lsn", f"{entry.lsn_after >> 32:X}/{entry.lsn_after & 0xFFFFFFFF:X}")
        return Target(kind, getattr(entry, kind), including=self.random.choice((True, False)))

    def bounds(self, target, archived_lsn=None):
        """(must be there, may be there): sets of numbers."""
        entries = self.entries.values()
        doubt = {entry.n for entry in entries if entry.unsure or entry.loose and target.kind == "time"
                 and abs(entry.time - target.value) < TIME_DOUBT}
        if target.kind == "latest":
            end = lsn_bytes(archived_lsn) if archived_lsn else float("inf")
            must = {entry.n for entry in entries if entry.lsn_after <= end}
            return must - doubt, {entry.n for entry in entries}
        if target.kind == "lsn":
            end = lsn_bytes(target.value)
            must = {entry.n for entry in entries if entry.lsn_after <= end}
            reach = end + PAGE_HEADER_BYTES_MAX if target.including else end - 1
            may = {entry.n for entry in entries if entry.lsn_before <= reach}
        elif target.kind == "name":
            must = may = set(next(mark for mark in self.marks if mark.name == target.value).rows)
        else:
            must = may = self.rows_before_stop(target)
        return must - doubt, may | doubt

    def rows_before_stop(self, target):
        """Replay stops at the first commit in WAL that is past the target, even if an older time follows."""
        kept = set()
        for entry in sorted(self.entries.values(), key=lambda entry: entry.lsn_after):
            if target.kind == "xid":
                at, past = entry.xid == target.value, False
            else:
                at, past = entry.time == target.value, entry.time > target.value
            if past or at and not target.including:
                break
            kept.add(entry.n)
            if at and target.kind == "xid":
                break
        return kept

    # -- checking --

    def check(self, restored, target, archived_lsn=None):
        """The restored cluster must be up, and have exactly the rows of the target, whole."""
        must, may = self.bounds(target, archived_lsn)
        rows = {n for (n,) in restored.sql("SELECT n FROM ledger")}
        missing, extra = must - rows, rows - may
        assert not missing and not extra, (
            f"restored to {target.kind} {target.value} (including: {target.including}): missing {sorted(missing)[:20]}, "
            f"too many {sorted(extra)[:20]}, of {len(rows)} rows")
        assert not restored.sql("SELECT n FROM ledger WHERE replace(filler, md5(n::text), '') <> ''"), "a row is damaged"
        assert not restored.sql(
            "SELECT writer, a.n, b.n FROM ledger_last a FULL JOIN (SELECT writer, max(n) AS n, count(*) AS changes "
            "FROM ledger GROUP BY 1) b USING (writer) WHERE (a.n, a.changes) IS DISTINCT FROM (b.n, b.changes)"
        ), "the rows do not fit to the last number of their writer"

    def branch(self, restored, seed=None):
        """The ledger of a cluster that was restored from this one and goes on by itself."""
        rows = {n for (n,) in restored.sql("SELECT n FROM ledger")}
        kept = [entry for entry in self.entries.values() if entry.n in rows]
        ledger = Ledger(restored, seed or self.random.random(), kept, self.last_n)
        ledger.marks = [mark for mark in self.marks if mark.rows <= rows]
        return ledger
