"""The kill runner: SIGKILL before and after every durable call and every store call of each command that changes something.

A dry pass lists the points that the command passes, and it is killed at each of them. Only a restore passes too many, of which nearly
all are lines of backup_manifest: points of one place are alike (include/base/fault.h), and there the first and the last of each place
are taken. After each kill: nothing half is visible, nothing half done can be started, and the same command again succeeds. How many
points were hit is printed, and must not fall below what is recorded here: a call that no longer passes its fault point would make the
rest worthless.
"""

import collections
import contextlib
import json
import re
import shutil
import signal
import subprocess

import pytest
from seawalltest import checks, faults, process, rebuild
from seawalltest.wait import wait_for

# Recorded, a little below what is hit: what a backup and the hook beside it both make, the first of them makes.
POINTS = {"init": 76, "backup": 130, "restore": 124, "restore in place": 142, "push": 87, "fetch": 32,
          "push in the server": 102, "fetch in the server": 55}
POINTS_EACH_MAX = 300
pytestmark = pytest.mark.in_memory  # a kill loses nothing that was written: nothing is shown by waiting for a disk


class Runner:
    """Kills one command at all its places. ready() makes everything as it was before; run(**environment) runs the command and
    says its exit status; look(place) judges what a kill has left behind, and runs the command again."""

    def __init__(self, name, scratch, ready, run, look, only=None, least=None):
        """only: points whose name begins so, and of those that are alike the first alone."""
        self.name, self.list, self.ready, self.run, self.look = name, scratch / "points", ready, run, look
        self.only, self.least = only, least or POINTS[name]

    def points(self):
        """(which one, place) of what is worth a kill."""
        self.ready()
        status = self.run(**faults.environment("list", self.list, self.only))
        assert status == 0, f"{self.name}: {status} without any kill"
        passed = self.list.read_text().splitlines()
        self.list.unlink()
        each = len(passed) <= POINTS_EACH_MAX and not self.only
        return passed, [(which, place) for place, times in collections.Counter(passed).items()
                        for which in (range(1, times + 1) if each else sorted({1, 1 if self.only else times}))]

    def kill_everywhere(self):
        hit, missed = 0, []
        passed, chosen = self.points()
        for which, place in chosen:
            self.ready()
            status = self.run(**faults.environment("kill", f"{which}@{place}", self.only))
            assert status in (0, -signal.SIGKILL), f"{self.name} killed at {which}@{place}: exit status {status}"
            hit += status != 0
            missed += [] if status else [place]
            try:
                self.look(place)
            except AssertionError as wrong:
                raise AssertionError(f"{self.name} killed at {which}@{place}\n{wrong}") from wrong
        print(f"{self.name}: {hit} points hit in {len(set(place for _, place in chosen))} places, of {len(passed)} points passed; "
              f"not passed again: {missed}")
        assert hit >= self.least, f"{hit} points hit, {self.least} are recorded"


def copy(source, target):
    """Makes target what source is, with its times: a file that changed may look the same but for them."""
    if target.exists():
        shutil.rmtree(target)
    subprocess.run(["cp", "-a", source, target], check=True)


def status_of(wall, *command):
    return lambda **environment: wall.run(*command, status=None, **environment).status


def small(cluster):
    """A third of the files, so that a restore takes a third of the time."""
    cluster.start()
    cluster.sql("UPDATE pg_database SET datistemplate = false")
    for database in ("template0", "template1"):
        cluster.sql(f"DROP DATABASE {database}")
    cluster.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 3000) n")
    return cluster


@pytest.fixture
def wall(made):
    """A cluster that archives through the hook alone, which is quick, and a debug build for what is killed."""
    cluster = small(made.cluster(segment_mb=1))
    home = made.seawall(cluster, kind="debug")
    home.init()
    home.archive()
    return home


def backups(wall):
    listed = wall.run("list", "--json", status=None)
    return json.loads(listed.out).get("backups", []) if listed.status == 0 else []


def objects(repository):
    """Every archived file of WAL, read by the independent reader: name -> content."""
    reader = rebuild.unseal().Repository(repository)
    return {path.name: b"".join(reader.read(str(path.relative_to(repository))))
            for path in (repository / "main").glob("*/wal/*/*/*") if path.is_file()}


def test_init(made, scratch):
    wall = made.seawall(made.cluster(segment_mb=1), kind="debug")

    def ready():
        shutil.rmtree(wall.repository, ignore_errors=True)

    def look(_place):
        wall.init()
        assert (wall.repository / "seawall.json").exists()

    Runner("init", scratch, ready, status_of(wall, "init"), look).kill_everywhere()


def test_backup(wall, scratch):
    empty = scratch / "empty"
    copy(wall.repository, empty)

    def look(_place):
        wait_for(lambda: wall.cluster.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'seawall'") == 0,
                 "PostgreSQL to end the session")
        before = backups(wall)
        assert len(before) <= 1
        wall.run("backup")
        after = backups(wall)
        assert len(after) == len(before) + 1
        for backup in after:  # killed after its head was there: then all of it is
            assert backup["wal_complete"]
            assert wall.run("restore", "--to", "backup-end", "--pgdata", scratch / "again", "--plan")

    def ready():
        copy(empty, wall.repository)
        shutil.rmtree(wall.state, ignore_errors=True)

    Runner("backup", scratch, ready, status_of(wall, "backup"), look).kill_everywhere()


def test_the_server_in_the_middle_of_a_backup_to_two_repositories(wall, scratch):
    """Killed around puts from the first pack to between the two manifests: in each repository there is all of a backup, or nothing."""
    wall.sections["repository b"] = {"url": f"file://{wall.folder}/repository-b"}
    wall.sections["cluster main"]["repositories"] = "local, b"
    wall.write_config()
    wall.init()
    wall.run("backup")  # what is made once is there

    def in_each():
        return [{path.name for path in (place / "main").glob("*/backup/*") if "." not in path.name}
                for place in (wall.repository, wall.folder / "repository-b")]

    def killed(**environment):
        wall.serve(**environment)
        wall.run("backup", status=None)
        return wall.stop()

    points = scratch / "points"
    assert killed(**faults.environment("list", points, "store-put")) == 0
    passed = points.read_text().splitlines()
    pack, stored, body, head, complete = (next(line for line in passed if re.match(kind, line)) for kind in (
        "store-put .*/pack/", "store-put-done .*/pack/", r"store-put .*/backup/\S+\.", r"store-put .*/backup/[^ .]+ ",
        r"store-put-done .*/backup/[^ .]+ "))
    for which, point in ((1, pack), (3, stored), (1, body), (1, head), (1, complete)):
        before = in_each()
        assert killed(**faults.environment("kill", f"{which}@{point}", "store-put")) == -signal.SIGKILL, point
        wait_for(lambda: wall.cluster.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'seawall'") == 0,
                 "PostgreSQL to end the session, and with it the backup mode")
        new = [now - then for now, then in zip(in_each(), before, strict=True)]
        assert sum(map(len, new)) in ((1, 2) if point == complete else (0,)), (point, new)  # the two go on side by side
        for repository in ("local", "b"):
            listed = json.loads(wall.run("list", "--repository", repository, "--json").out)
            assert not listed["unreadable"] and all(backup["wal_complete"] is not False for backup in listed["backups"])
        if point == complete:
            wall.run("verify")
        left = in_each()
        wall.run("backup")
        first, second = (now - then for now, then in zip(in_each(), left, strict=True))
        assert first == second and len(first) == 1, (point, first, second)


def test_restore_into_a_new_directory(wall, scratch):
    wall.run("backup")
    wall.wait_archived()
    target = scratch / "again"
    command = ["restore", "--to", "latest", "--pgdata", target]

    def look(_place):
        assert not (target / "global/pg_control").exists() or (target / "recovery.signal").exists(), "it could be started half done"
        if not (target / "global/pg_control").exists() or (target / "seawall.journal").exists():  # else it was killed when all was done
            wall.run(*command)
        checks.verify_directory(target)
        assert not (target / "seawall.journal").exists()
        assert set(path.name for path in (target / "pg_wal").iterdir()) <= {"archive_status"}

    Runner("restore", scratch, lambda: shutil.rmtree(target, ignore_errors=True), status_of(wall, *command), look).kill_everywhere()


def test_restore_in_place(wall, scratch):
    """Over a crashed cluster whose last WAL exists nowhere else."""
    cluster = wall.cluster
    wall.run("backup")
    cluster.sql("CREATE TABLE later AS SELECT n FROM generate_series(1, 1000) n")
    wall.wait_archived()
    cluster.configure(archive_command="/bin/false")
    cluster.sql("INSERT INTO later VALUES (4711); DELETE FROM t WHERE n > 1000")
    last = cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    cluster.stop("immediate")
    crashed, archive = scratch / "crashed", scratch / "archive"
    copy(cluster.data, crashed)
    copy(wall.repository, archive)
    command = ["restore", "--to", "latest", "--in-place"]
    kept = (crashed / "pg_wal" / last).read_bytes()
    (crashed / "global/pg_filenode.map").unlink()

    def ready():
        copy(crashed, cluster.data)
        copy(archive, wall.repository)

    def look(place):
        half = (cluster.data / "global/pg_control").exists() and not (cluster.data / "recovery.signal").exists()
        assert not half or not (cluster.data / "global/pg_filenode.map").exists(), f"{place}: it could be started half done"
        wall.run(*command)
        checks.verify_directory(cluster.data)
        assert not (cluster.data / "seawall.journal").exists()
        assert (cluster.data / "pg_wal" / last).read_bytes() == kept, "the last commits are lost"

    Runner("restore in place", scratch, ready, status_of(wall, *command), look).kill_everywhere()


class Segment:
    """One segment of a cluster that does not run, and a place for a recovery that asks for it."""

    def __init__(self, made, scratch, archived=False):
        self.cluster = made.cluster(segment_mb=1, archive_command="/bin/false", wal_keep_size="100MB").start()
        self.cluster.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 3000) n")
        self.name = self.cluster.switch_wal()
        self.cluster.stop()
        self.wall = made.seawall(self.cluster, kind="debug")
        self.path = self.cluster.data / "pg_wal" / self.name
        self.whole = self.path.read_bytes()
        self.wall.init()
        if archived:
            assert self.push() == 0
        self.archive, self.state, self.recovery = scratch / "archive", scratch / "state", scratch / "recovery"
        copy(self.wall.repository, self.archive)
        self.delivered = self.recovery / "pg_wal/RECOVERYXLOG"

    def ready(self):
        """The archive as it was, and a data directory that recovers."""
        copy(self.archive, self.wall.repository)
        for folder in (self.wall.state, self.recovery):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.recovery, self.recovery / "global", self.recovery / "pg_wal"):
            process.own(folder.mkdir(mode=0o700) or folder)
        shutil.copy(self.cluster.data / "global/pg_control", self.recovery / "global")
        (self.recovery / "recovery.signal").touch()
        for path in self.recovery.rglob("*"):
            process.own(path)

    def push(self, **environment):
        return self.wall.run("wal", "push", self.path, status=None, **environment).status

    def fetch(self, **environment):
        self.delivered.unlink(missing_ok=True)
        return subprocess.run([self.wall.bin / "seawall", "wal", "fetch", self.name, "pg_wal/RECOVERYXLOG"], cwd=self.recovery,
                              env=self.wall.environment(**environment), check=False, stderr=subprocess.PIPE, timeout=60).returncode

    def served(self, *question, **environment):
        """The exit status of a server that may be killed while the hook asks it; the hook succeeds in any case."""
        with contextlib.suppress(AssertionError):  # it may be killed before it listens
            self.wall.serve(**environment)
        folder = self.cluster.data if question[0] == "push" else self.recovery
        hook = subprocess.run([self.wall.bin / "seawall-wal", "--config", self.wall.config, *question], cwd=folder, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **process.OWNER)
        assert hook.returncode == 0, hook.stdout
        return self.wall.stop()

    def look_at_archive(self, _place):
        """Nothing half is visible, and pushing again makes it whole."""
        assert all(content == self.whole for content in objects(self.wall.repository).values()), "half an object is visible"
        assert self.push() == 0
        assert objects(self.wall.repository) == {self.name: self.whole}

    def look_at_recovery(self, _place):
        assert not self.delivered.exists() or self.delivered.read_bytes() == self.whole, "half a segment was delivered"
        assert self.fetch() == 0
        assert self.delivered.read_bytes() == self.whole


def test_push(made, scratch):
    segment = Segment(made, scratch)
    Runner("push", scratch, segment.ready, segment.push, segment.look_at_archive).kill_everywhere()


def test_d21_a_fetch_killed_anywhere_leaves_nothing_or_the_whole_file(made, scratch):
    segment = Segment(made, scratch, archived=True)
    Runner("fetch", scratch, segment.ready, segment.fetch, segment.look_at_recovery).kill_everywhere()


def test_the_server_in_the_middle_of_a_push(made, scratch):
    """The hook does it itself then."""
    segment = Segment(made, scratch)

    def push(**environment):
        status = segment.served("push", f"pg_wal/{segment.name}", **environment)
        assert objects(segment.wall.repository) == {segment.name: segment.whole}, "the hook said that it is safe"
        return status

    Runner("push in the server", scratch, segment.ready, push, segment.look_at_archive).kill_everywhere()


def test_the_server_in_the_middle_of_a_fetch(made, scratch):
    segment = Segment(made, scratch, archived=True)

    def fetch(**environment):
        status = segment.served("fetch", segment.name, "pg_wal/RECOVERYXLOG", **environment)
        assert segment.delivered.read_bytes() == segment.whole, "the hook said that it is there"
        return status

    Runner("fetch in the server", scratch, segment.ready, fetch, segment.look_at_recovery).kill_everywhere()
