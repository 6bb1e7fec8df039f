"""`seawall restore`: what was committed up to the target, and nothing else."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from seawalltest import checks, faults
from seawalltest.cluster import Cluster
from seawalltest.ledger import Ledger, Target
from seawalltest.wait import wait_for


class Story:
    """A cluster with a backup in the middle of its ledger."""

    def __init__(self, made, major=15, kind="release", **settings):
        self.made, self.major = made, major
        self.cluster = made.cluster(major, **settings)
        self.wall = made.seawall(self.cluster, kind=kind)
        self.wall.init()
        self.wall.archive()
        self.cluster.start()
        self.ledger = Ledger(self.cluster).prepare()
        self.count = 0

    def write(self, commits=30, **more):
        with self.ledger.writing(**more):
            self.ledger.wait_commits(commits)

    def backup(self):
        self.wall.run("backup")

    def archived(self):
        lsn = self.cluster.insert_lsn()
        self.cluster.wait_archived()
        return lsn

    def folder(self):
        """A fresh place, and the cluster that will be there."""
        self.count += 1
        name = f"r{self.count}"
        return self.made.add(Cluster(self.made.folder, self.major, name))

    def restore(self, *arguments, start=True, status=0, deadline_s=120):
        """Into a fresh place; returns the cluster there and what the command said."""
        cluster = self.folder()
        result = self.wall.run("restore", *arguments, "--pgdata", cluster.data,
                               "--option", f"unix_socket_directories={cluster.sockets}",
                               *(["--start"] if start else []), status=status, deadline_s=deadline_s)
        return cluster, result


def begin(story):
    story.write()
    story.backup()
    story.write()
    return story


@pytest.fixture
def story(made):
    return begin(Story(made))


@pytest.fixture
def story_with_faults(made):
    """The debug build, which has the fault points."""
    return begin(Story(made, kind="debug"))


def test_to_the_latest_has_every_row(story):
    lsn = story.archived()
    restored, result = story.restore()
    story.ledger.check(restored, Target("latest"), lsn)
    assert not restored.in_recovery()
    assert restored.timeline() == 2, result
    checks.amcheck(restored)


@pytest.mark.parametrize("kind", range(4), ids=["time", "lsn", "name", "xid"])
def test_to_a_quiet_moment(story, kind):
    mark = story.ledger.mark("quiet")
    story.write()
    story.archived()
    target = story.ledger.targets(mark)[kind]
    restored, _ = story.restore(*target.arguments)
    story.ledger.check(restored, target)
    assert restored.timeline() == 2


def test_before_and_including_a_commit(story):
    story.archived()
    for kind in ("time", "lsn", "xid"):
        for _ in range(2):
            target = story.ledger.random_target(kind)
            restored, result = story.restore(*target.arguments, status=None)
            if result.status == 0:
                story.ledger.check(restored, target)
                restored.stop("immediate")
            else:  # it lies before the end of the backup
                assert result.status in (1, 5), result


def test_the_time_of_the_very_last_commit_is_a_target(story):
    """PostgreSQL itself never reaches it: nothing later comes."""
    last = max(story.ledger.entries.values(), key=lambda entry: entry.lsn_after)
    story.archived()
    target = Target("time", last.time)
    restored, result = story.restore(*target.arguments)
    story.ledger.check(restored, target)
    assert last.n in {n for (n,) in restored.sql("SELECT n FROM ledger")}, result


def test_d42_what_was_committed_before_a_shutdown_is_in_the_archive(story):
    """PostgreSQL switches to a new segment and archives the last one before it ends."""
    story.cluster.sql("CREATE TABLE filler AS SELECT repeat('x', 500) FROM generate_series(1, 10000)")
    lsn = story.cluster.insert_lsn()
    story.cluster.stop("fast")
    plan = ("restore", "--plan", "--pgdata", story.made.folder / "next")
    assert "as long as the backup took; for the WAL the first replay here will tell" in story.wall.run(*plan).out
    restored, result = story.restore()
    story.ledger.check(restored, Target("latest"), lsn)
    assert not restored.in_recovery(), result
    # the next plan goes by what this one has measured
    told = json.loads(story.wall.run(*plan, "--json").out)
    measured = json.loads((story.wall.state / "restore.rates").read_text())
    assert told["estimate"]["files_ms"] == max(1, int(told["plan"]["logical_bytes"]) * 1000 // int(measured["copy_bytes_per_s"]))
    assert told["estimate"]["replay_ms"] > 0 and int(measured["replay_bytes_per_s"]) > 0
    assert "as fast as the last restore here" in story.wall.run(*plan).out


def test_to_the_end_of_the_backup(story):
    restored, result = story.restore("--to", "backup-end")
    assert not restored.in_recovery()
    assert restored.one("SELECT count(*) FROM ledger") >= 30, result


def test_d25_a_directory_that_is_not_started_is_ready_to_start(story):
    lsn = story.archived()
    restored, result = story.restore(start=False)
    checks.verify_directory(restored.data)
    assert "pg_ctl" in result.out
    assert not (restored.data / "seawall.journal").exists()
    restored.start()
    restored.wait_primary()
    story.ledger.check(restored, Target("latest"), lsn)


# -- what is refused, before anything is written --


def refused(story, *arguments, status, says, hint=True):
    """Nothing may be left of it."""
    restored, result = story.restore(*arguments, status=status)
    assert says in result.err, result
    assert not hint or "hint:" in result.err, result
    assert not restored.data.exists(), result


def test_d13_a_target_that_cannot_be_reached_is_refused(story):
    story.archived()
    refused(story, "--to", "2020-01-01 00:00:00+00", status=5, says="before the end of every backup")
    refused(story, "--to", "2099-01-01 00:00:00+00", status=5, says="in the future")
    refused(story, "--to", "lsn:0/1000028", status=5, says="before the end of every backup")
    refused(story, "--to", "lsn:7/1000028", status=5, says="behind the end of the archive")
    refused(story, "--timeline", "5", status=1, says="timeline 5 is not in the archive")
    now = story.cluster.one("SELECT now()::text")
    refused(story, "--to", now, status=5, says="after the last archived commit")


@pytest.mark.parametrize("target", ["yesterday", "2026-11-20 14:02:00 IST", "lsn:x", "xid:x", "2026-03-29 02:30 Europe/Berlin"])
def test_d38_what_is_no_target_is_refused(story, target):
    refused(story, "--to", target, status=2, says="", hint=False)


def test_a_target_behind_a_hole_is_refused_and_the_latest_ends_before_it(story):
    first = story.ledger.mark("before")
    story.archived()
    story.write(20)
    story.archived()
    story.write(20)
    mark = story.ledger.mark("behind")
    story.write(20)
    story.archived()
    wal = sorted((story.wall.repository / "main").glob("*/wal/00000001/*/0000*"))
    wal[-2].unlink()
    refused(story, "--to", f"lsn:{mark.lsn}", status=5, says=wal[-2].name)
    restored, result = story.restore("--to", f"lsn:{first.lsn}")
    story.ledger.check(restored, story.ledger.targets(first)[1])
    restored.stop()
    restored, result = story.restore(start=False)
    assert f"segment {wal[-2].name} is not in the archive: the restore ends before it" in result.out, result


def test_a_transaction_that_never_comes_is_told_at_the_end(story):
    """In place: it may be in what PostgreSQL did not archive."""
    lsn = story.archived()
    story.cluster.stop()
    arguments = ["restore", "--in-place", "--start", "--option", f"unix_socket_directories={story.cluster.sockets}"]
    result = story.wall.run(*arguments, "--to", "xid:2000000000", status=1)
    assert "never came" in result.err and "last commit was at" in result.err, result
    assert (story.cluster.data / "PG_VERSION").exists()
    assert not story.cluster.pid()
    assert (story.cluster.data / "recovery.signal").exists()
    story.wall.run(*arguments)
    story.ledger.check(story.cluster, Target("latest"), lsn)


def test_a_directory_that_is_not_empty_or_in_use_or_a_link_is_refused(story):
    story.archived()
    wall, cluster = story.wall, story.cluster
    full = story.made.folder / "full"
    full.mkdir(mode=0o700)
    (full / "mine").write_text("mine")
    result = wall.run("restore", "--pgdata", full, status=5)
    assert "is not empty" in result.err, result
    assert wall.run("restore", "--pgdata", full, "--in-place", status=5)
    assert (full / "mine").read_text() == "mine"
    result = wall.run("restore", "--in-place", status=5)
    assert "server runs in" in result.err, result
    cluster.one("SELECT 1")
    link = story.made.folder / "link"
    link.symlink_to(full)
    result = wall.run("restore", "--pgdata", link, status=5)
    assert "symbolic link" in result.err, result
    result = wall.run("restore", "--pgdata", wall.repository / "x", status=5)
    assert "the repository" in result.err, result
    result = wall.run("restore", "--pgdata", story.made.folder / "not/there/x", status=5)
    assert "cannot be used" in result.err, result


def test_a_disk_that_is_too_small_is_refused(story):
    """One that says that it has 16 MB left."""
    library = faults.small_disk(story.made.folder)
    story.archived()
    restored = story.folder()
    result = story.wall.run("restore", "--pgdata", restored.data, status=5, LD_PRELOAD=library)
    assert "too small" in result.err and "16 MB are free" in result.err, result
    assert not restored.data.exists()


# -- killed half way --


def test_d22_killed_half_way_the_same_command_completes_it(story_with_faults):
    story = story_with_faults
    lsn = story.archived()
    points = 0
    restored = story.folder()
    arguments = ["restore", "--pgdata", restored.data, "--option", f"unix_socket_directories={restored.sockets}"]
    for number in (1, 2, 3, 5, 8, 13, 21, 30, 40, 60, 90):
        result = story.wall.run(*arguments, status=None, SEAWALL_FAULT=f"kill:{number}")
        if result.status == 0:
            break
        points += 1
        assert result.status == -9, result
        assert not (restored.data / "global/pg_control").exists() or (restored.data / "backup_label").exists()
    if points and result.status:
        story.wall.run(*arguments)
    assert points >= 3
    checks.verify_directory(restored.data)
    restored.start()
    restored.wait_primary()
    story.ledger.check(restored, Target("latest"), lsn)


def test_d22_a_call_that_fails_is_told_and_nothing_half_can_start(story_with_faults):
    story = story_with_faults
    story.archived()
    restored = story.folder()
    failed = 0
    for number in range(1, 60, 4):
        result = story.wall.run("restore", "--pgdata", restored.data, status=None, SEAWALL_FAULT=f"fail:{number}")
        assert result.status >= 0, result
        if result.status:
            failed += 1
            assert "error:" in result.err, result
            assert not (restored.data / "global/pg_control").exists() or (restored.data / "backup_label").exists()
            continue
        checks.verify_directory(restored.data)
        shutil.rmtree(restored.data)
    assert failed >= 3
    if not (restored.data / "PG_VERSION").exists() or (restored.data / "seawall.journal").exists():
        story.wall.run("restore", "--pgdata", restored.data)
    checks.verify_directory(restored.data)


def test_a_disk_that_cannot_sync_all_at_once_is_synced_file_by_file(story_with_faults):
    """And one that says that it lost something is believed: nothing can be started."""
    story = story_with_faults
    story.archived()
    only = {"SEAWALL_FAULT_ONLY": "durable-sync-filesystem"}
    restored = story.folder()
    result = story.wall.run("restore", "--pgdata", restored.data, status=None, SEAWALL_FAULT="fail:1", **only)
    assert result.status == 4 and "could not sync the file system" in result.err and "hint:" in result.err, result
    assert not (restored.data / "global/pg_control").exists()
    restored = story.folder()
    story.wall.run("restore", "--pgdata", restored.data, SEAWALL_FAULT=f"fail:1:{errno.ENOSYS}", **only)
    checks.verify_directory(restored.data)
    restored.start().wait_primary()


KILLS_MAX = 10


def killed_when(story, file, *options):
    """A restore that was killed when it had begun this file: where it went, and its arguments. One that was over before it could be
    killed shows nothing; then another is begun elsewhere."""
    for _ in range(KILLS_MAX):
        restored = story.folder()
        arguments = ["restore", "--pgdata", restored.data, *options, "--option", f"unix_socket_directories={restored.sockets}"]
        command = story.wall.start_command(*arguments)
        begun = restored.data / file
        wait_for(lambda: begun.exists() or command.poll() is not None, file, 60, 0.002)  # pylint: disable=cell-var-from-loop
        command.kill()
        _, err = command.communicate()
        assert command.returncode in (-signal.SIGKILL, 0), err
        if (restored.data / "seawall.journal").exists():
            return restored, arguments
        restored.remove()
    raise AssertionError(f"{KILLS_MAX} restores were over before they could be killed")


def test_the_second_run_fetches_only_what_is_missing(story_with_faults):
    """Counted in bytes: what the first run had brought is kept."""
    story = story_with_faults
    story.cluster.sql("CREATE TABLE big AS SELECT n, md5(n::text) AS t FROM generate_series(1, 200000) AS n")
    story.backup()
    story.archived()
    whole, _ = story.restore("--json", start=False)
    shutil.rmtree(whole.data)
    relation = story.cluster.one("SELECT pg_relation_filepath('big')")
    restored, arguments = killed_when(story, relation, "--json")
    there = sum(path.stat().st_size for path in restored.data.rglob("*") if path.is_file())
    files = json.loads(story.wall.run(*arguments).out)["files"]
    assert files["resumed"] and there > 0
    kept, total = int(files["bytes_kept"]), int(files["bytes"])
    # the files being written when it was killed are the only ones that are fetched again
    assert kept > 0 and total - kept <= total - there + (64 << 20), files
    again = json.loads(story.wall.run("restore", "--pgdata", restored.data, "--in-place", "--json").out)["files"]
    assert int(again["bytes"]) - int(again["bytes_kept"]) < 64 << 10, again
    checks.verify_directory(restored.data)


def test_interrupted_it_says_so_and_goes_on_later(story):
    for _ in range(4):
        story.write(5)
        story.cluster.switch_wal()
    lsn = story.archived()
    restored = story.folder()
    arguments = ["restore", "--pgdata", restored.data, "--start",
                 "--option", f"unix_socket_directories={restored.sockets}"]
    command = story.wall.start_command(*arguments)
    wait_for(lambda: (restored.data / "PG_VERSION").exists() or command.poll() is not None, "the first files", 60)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate()
    assert command.returncode in (8, 0), err
    wait_for(lambda: not restored.pid(), "no server") if command.returncode else None
    if command.returncode:
        assert "cancel" in err, err
        story.wall.run(*arguments)
    story.ledger.check(restored, Target("latest"), lsn)


def test_another_command_does_not_go_on_with_it(story_with_faults):
    story = story_with_faults
    story.archived()
    restored = story.folder()
    for number in range(4, 100, 4):
        if (restored.data / "seawall.journal").exists():
            break
        story.wall.run("restore", "--pgdata", restored.data, status=-9, SEAWALL_FAULT=f"kill:{number}")
    result = story.wall.run("restore", "--to", "backup-end", "--pgdata", restored.data, status=5)
    assert "was not finished" in result.err, result
    story.wall.run("restore", "--pgdata", restored.data)


# -- timelines --


def test_the_dead_branch(story):
    """Only 00000002.history gets archived: nobody may see a row from after the fork on timeline 1."""
    mark = story.ledger.mark("fork")
    story.write(20)
    story.archived()
    restored, _ = story.restore(*Target("name", "fork").arguments)
    # its history reaches the archive, its WAL does not
    story.cluster.stop()
    history = restored.data / "pg_wal/00000002.history"
    live = story.cluster.data / "pg_wal/00000002.history"
    live.write_bytes(history.read_bytes())
    story.wall.run("wal", "push", live)
    restored.stop()
    for arguments in ([], ["--timeline", "2"], ["--timeline", "latest"]):
        refused(story, *arguments, status=5, says="timeline 2 cannot be reached")
    again, _ = story.restore("--timeline", "1", *Target("name", "fork").arguments)
    story.ledger.check(again, Target("name", "fork", mark=mark))


def test_d53_restores_in_a_row_go_onto_new_timelines(story):
    """Each one in the cluster's own directory, so that each archives its own branch."""
    cluster, ledger, wall = story.cluster, story.ledger, story.wall
    mark = ledger.mark("again")
    story.write(10)
    story.archived()
    for timeline in (2, 3, 4):
        cluster.stop()
        wall.run("restore", "--in-place", "--start", "--timeline", "1", "--to", "name:again")
        assert cluster.timeline() == timeline
        ledger.check(cluster, Target("name", "again", mark=mark))
        branch = ledger.branch(cluster)
        with branch.writing():
            branch.wait_commits(10)
        lsn = cluster.insert_lsn()
        cluster.wait_archived()
    restored, result = story.restore()
    assert f"timeline  1 until" in result.out and "then 4" in result.out, result
    branch.check(restored, Target("latest"), lsn)
    assert restored.timeline() == 5


def test_of_several_backups_the_one_before_the_target_is_taken(story):
    """Where a transaction or a restore point is, is found in the WAL."""
    first = story.ledger.mark("first")
    story.write(10)
    story.backup()
    story.write(10)
    second = story.ledger.mark("second")
    story.write(10)
    story.archived()
    backups = [each["id"] for each in json.loads(story.wall.run("list", "--json").out)["backups"]]
    assert len(backups) == 2
    for mark, backup in zip((first, second), backups):
        for target in story.ledger.targets(mark):
            restored, result = story.restore(*target.arguments)
            assert backup in result.out, result
            story.ledger.check(restored, target)
            restored.stop("immediate")
    refused(story, "--to", "name:nobody", status=1, says="is not in the WAL", hint=False)


# -- places --


def test_a_path_with_blanks_and_quotes(story):
    lsn = story.archived()
    place = story.made.folder / "it's a \"place\" $HOME %f"
    place.mkdir()
    restored = story.made.add(Cluster(story.made.folder, 15, "q", data=place / "da ta"))
    story.wall.run("restore", "--pgdata", restored.data, "--start",
                   "--option", f"unix_socket_directories={restored.sockets}")
    story.ledger.check(restored, Target("latest"), lsn)


def test_tablespaces_are_mapped_or_refused(story):
    old, new = story.made.folder / "old ts", story.made.folder / "new ts"
    old.mkdir(mode=0o700)
    story.cluster.sql(f"CREATE TABLESPACE \"fast disk\" LOCATION '{old}'")
    story.cluster.sql("CREATE TABLE t TABLESPACE \"fast disk\" AS SELECT generate_series(1, 5000) AS n")
    story.backup()
    story.cluster.sql("INSERT INTO t VALUES (0)")
    story.archived()
    refused(story, status=5, says="belongs to the original cluster")
    refused(story, "--tablespace", "nobody=/tmp/x", status=2, says="no tablespace", hint=False)
    restored, _ = story.restore("--tablespace", f"fast disk={new}", "--link-pgwal", story.made.folder / "wal link")
    assert restored.one("SELECT count(*) FROM t") == 5001
    assert restored.one("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast disk'") == str(new)
    assert (restored.data / "pg_wal").is_symlink()
    story.cluster.sql("INSERT INTO t VALUES (-1)")  # the original is untouched
    assert story.cluster.one("SELECT count(*) FROM t") == 5002


def test_a_group_that_could_read_the_cluster_can_read_the_copy_and_nobody_else(made):
    """Whatever the umask of who restores it."""
    story = Story(made, group=True)
    old, new, wal = (story.made.folder / name for name in ("ts", "ts new", "wal link"))
    old.mkdir(mode=0o700)
    story.cluster.sql(f"CREATE TABLESPACE ts LOCATION '{old}'")
    begin(story).cluster.sql("CREATE TABLE t TABLESPACE ts AS SELECT generate_series(1, 10) AS n")
    story.archived()
    before = os.umask(0o077)
    try:
        restored, _ = story.restore("--tablespace", f"ts={new}", "--link-pgwal", wal, start=False)
        assert modes(restored.data, wal, new) == {0o640, 0o750}
        restored, _ = story.restore("--tablespace", f"ts={new}2")
        assert (restored.data / "seawall.log").exists() and modes(restored.data, f"{new}2") == {0o640, 0o750}
    finally:
        os.umask(before)


def modes(*folders):
    """Of all files and folders in them, of themselves too."""
    found = {}
    for folder in folders:
        for path in (pathlib.Path(folder), *pathlib.Path(folder).rglob("*")):
            if not path.is_symlink() and not path.is_socket():
                found.setdefault(path.stat().st_mode & 0o777, []).append(str(path))
    print({oct(mode): paths[:20] for mode, paths in found.items()})
    return set(found)


def test_a_copy_does_not_archive(made, scratch):
    """Nor does it do what its configuration wants from a standby: clean up an archive, move an address, wait for hours."""
    story = begin(Story(made, archive_cleanup_command=f"touch '{scratch}/cleaned'", recovery_min_apply_delay="5h",
                        recovery_end_command=f"touch '{scratch}/ended'", log_directory=f"{scratch}/log"))
    story.archived()
    restored, _ = story.restore("--port", "5544", "--option", "work_mem=5MB")
    assert restored.one("SHOW archive_mode") == "off"
    assert restored.one("SHOW work_mem") == "5MB"
    assert restored.one("SHOW log_directory") == "log"  # not the original's
    assert restored.port() == "5544"
    assert (restored.data / "seawall.clone").exists()
    assert not list(scratch.glob("*ed"))
    segment = next(path for path in (restored.data / "pg_wal").iterdir() if len(path.name) == 24)
    result = story.wall.run("wal", "push", segment, status=1)
    assert "is not that of a configured cluster" in result.err


@pytest.mark.parametrize("then", ["pause", "shutdown"])
def test_what_comes_at_the_end(story, then):
    mark = story.ledger.mark("here")
    story.write(10)
    story.archived()
    restored, result = story.restore(*Target("name", "here").arguments, "--then", then)
    if then == "pause":
        assert restored.in_recovery(), result
        story.ledger.check(restored, Target("name", "here", mark=mark))
    else:
        assert not restored.pid()
        assert (restored.data / "recovery.signal").exists()


def test_a_replay_that_cannot_pause_is_checked_by_where_its_timeline_began(made):
    """A transaction of many subtransactions is under way from the backup to the target: nobody is let in, and
    PostgreSQL does not pause but promotes."""
    story = Story(made)
    story.write()
    with contextlib.closing(story.cluster.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("CREATE TABLE many (n int)")
        for n in range(100):
            cursor.execute(f"SAVEPOINT s{n}; INSERT INTO many VALUES ({n})")
        story.backup()
        mark = story.ledger.mark("here")
        story.write(10)
        connection.commit()
    story.archived()
    target = Target("name", "here", mark=mark)
    restored, result = story.restore(*target.arguments, "--then", "pause", status=1)
    assert "could not wait at the end, which is the right one" in result.err and not restored.pid(), result
    restored, result = story.restore(*target.arguments, "--json")
    story.ledger.check(restored, target)
    told = json.loads(result.out)
    assert told["reached"]["lsn"] == told["plan"]["end_lsn"] and told["reached"]["timeline"] == 1, result
    assert told["reached"]["new_timeline"] == 2 and restored.one("SELECT to_regclass('many')") is None
    assert "recovery_target" not in (restored.data / "postgresql.auto.conf").read_text()


def test_the_plan_is_shown_before_it_says_what_is_in_the_way(story):
    story.archived()
    before = sorted(os.listdir(story.cluster.data))
    result = story.wall.run("restore", "--to", "latest", "--plan", status=5)
    assert "backup" in result.out and "target" in result.out, result
    assert "cannot be carried out now" in result.err and "is not empty" in result.err, result
    assert "--in-place" in result.err
    running = story.wall.run("restore", "--to", "latest", "--in-place", "--plan", status=5)
    assert "a PostgreSQL server runs" in running.err, running
    assert sorted(os.listdir(story.cluster.data)) == before


def test_the_plan_alone_writes_nothing(story):
    story.archived()
    restored, result = story.restore("--plan", start=False)
    assert "backup" in result.out and not restored.data.exists()


# -- the replay is followed --


def test_killed_during_the_replay_the_same_command_completes_it(story):
    for _ in range(6):
        story.write(5)
        story.cluster.switch_wal()
    lsn = story.archived()
    restored, arguments = killed_when(story, "postmaster.pid", "--start")
    result = story.wall.run(*arguments)
    story.ledger.check(restored, Target("latest"), lsn)
    assert not restored.in_recovery()
    assert not (restored.data / "seawall.journal").exists(), result


def test_a_server_that_cannot_start_is_told_with_its_own_words(story):
    story.archived()
    restored, result = story.restore("--option", "shared_buffers=nonsense", status=6)
    assert "shared_buffers" in result.err and "seawall.log" in result.err, result
    assert not restored.pid()


def test_d39_every_combination_of_options_writes_its_recovery(story):
    mark = story.ledger.mark("here")
    story.archived()
    targets = {"latest": ["recovery_target_lsn", "recovery_target_inclusive = on"],
               f"lsn:{mark.lsn}": [f"recovery_target_lsn = '{mark.lsn}'"],
               "name:here": ["recovery_target_lsn", "recovery_target_inclusive = on"],
               f"xid:{mark.xid}": ["recovery_target_lsn", "recovery_target_inclusive = on"],
               "backup-end": ["recovery_target = 'immediate'"]}
    for target, lines in targets.items():
        for then in ("promote", "pause", "shutdown"):
            restored, _ = story.restore("--to", target, "--then", then, start=False)
            text = (restored.data / "postgresql.auto.conf").read_text()
            for line in [*lines, "recovery_target_timeline = '1'", f"recovery_target_action = '{then}'",
                         "restore_command = ", "hot_standby = on", "archive_mode = off"]:
                assert line in text, text
            assert len(re.findall("^recovery_target(_lsn|_xid|_name|_time)? =", text, re.M)) == 1, text
            assert (restored.data / "recovery.signal").exists()
            assert not (restored.data / "standby.signal").exists()
            shutil.rmtree(restored.data)


def test_the_spool_of_an_earlier_restore_is_not_used(story):
    """In place, twice: pg_wal with all that lies in it goes."""
    story.archived()
    story.cluster.stop()
    spool = story.cluster.data / "pg_wal/seawall.spool/0123456789abcdef"
    spool.mkdir(parents=True)
    (spool / "000000010000000000000003").write_bytes(b"\0" * (16 << 20))
    story.wall.run("restore", "--in-place", "--start")
    assert not spool.exists()
    assert story.cluster.one("SELECT count(*) FROM ledger") == len(story.ledger.entries)


def test_d33_source_and_destination_are_the_same(story):
    """The cluster's own directory, by another name, is still its own."""
    story.archived()
    other = story.made.folder / "other"
    other.symlink_to(story.made.folder)
    result = story.wall.run("restore", "--pgdata", other / "main", status=5)
    assert "is not empty" in result.err, result
    result = story.wall.run("restore", "--pgdata", story.cluster.data / "base/inside", status=5)
    assert "own data directory" in result.err, result
    assert (story.cluster.data / "global/pg_control").exists()


def test_d36_a_tablespace_folder_in_use_is_refused(story):
    old, new = story.made.folder / "old", story.made.folder / "new"
    old.mkdir(mode=0o700)
    story.cluster.sql(f"CREATE TABLESPACE t LOCATION '{old}'")
    story.cluster.sql("CREATE TABLE t TABLESPACE t AS SELECT 1 AS n")
    story.backup()
    story.archived()
    refused(story, "--tablespace", f"t={old}", status=5, says="is in use")
    new.mkdir()
    (new / "not ours").write_text("x")
    restored, _ = story.restore("--tablespace", f"t={new}")
    assert restored.one("SELECT n FROM t") == 1
    assert (new / "not ours").read_text() == "x"


def test_d12_same_size_and_time_but_other_content_is_replaced(story):
    story.archived()
    story.cluster.stop()
    path = story.cluster.data / "PG_VERSION"
    relation = max((story.cluster.data / "base/5").glob("[0-9]*"), key=lambda each: each.stat().st_size)
    before = relation.stat()
    data = bytearray(relation.read_bytes())
    data[5000] ^= 255
    relation.write_bytes(data)
    os.utime(relation, ns=(before.st_atime_ns, before.st_mtime_ns))
    story.wall.run("restore", "--in-place")
    checks.verify_directory(story.cluster.data)
    assert path.read_text() == "15\n"


def test_parameters_that_were_raised_after_the_backup_are_raised_again(story):
    """A hot standby with less than the primary had pauses before the target, and must not be taken for its end."""
    story.cluster.configure(max_connections="77", max_prepared_transactions="33")
    story.cluster.restart()
    mark = story.ledger.mark("after")
    story.write(10)
    story.archived()
    restored, result = story.restore(*Target("name", "after").arguments)
    story.ledger.check(restored, Target("name", "after", mark=mark))
    assert not restored.in_recovery(), result


def test_a_tablespace_of_the_original_is_not_destroyed_by_a_copy(story):
    folder = story.made.folder / "late"
    folder.mkdir(mode=0o700)
    story.ledger.mark("early")
    early = story.archived()
    story.cluster.sql(f"CREATE TABLESPACE late LOCATION '{folder}'")
    story.cluster.sql("CREATE TABLE t TABLESPACE late AS SELECT generate_series(1, 1000) AS n")
    story.archived()
    restored, result = story.restore(status=6)
    assert "would destroy it" in result.err, result
    story.cluster.sql("CHECKPOINT")
    assert story.cluster.one("SELECT count(*) FROM t") == 1000
    assert list(folder.glob("PG_15*/*/*"))
    restored, _ = story.restore("--to", f"lsn:{early}")
    assert restored.one("SELECT count(*) FROM ledger") > 0


# -- Debian --


@pytest.fixture
def debian(made):
    """A cluster as pg_createcluster makes one: its configuration lies in /etc/postgresql."""
    name = f"sw{os.getpid()}"
    sockets = made.folder / "d.s"
    sockets.mkdir(mode=0o700)
    data = made.folder / "debian"
    run = subprocess.run(["pg_createcluster", "15", name, "-d", data, "-s", sockets, "-p", "5999", "-l", made.folder / "d.log",
                          "--", "-A", "trust"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert run.returncode == 0, run.stdout
    cluster = Cluster(made.folder, 15, "d", data=data)
    cluster.etc = pathlib.Path(f"/etc/postgresql/15/{name}")
    try:
        yield made.add(cluster)
    finally:
        cluster.remove()
        shutil.rmtree(cluster.etc, ignore_errors=True)


def debian_start(cluster):
    cluster.start(config_file=cluster.etc / "postgresql.conf")


def test_a_debian_cluster(made, debian):
    wall = made.seawall(debian)
    wall.sections["cluster main"]["connect"] = f"host={debian.sockets} port=5999 dbname=postgres"
    wall.write_config()
    wall.init()
    with open(debian.etc / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"archive_mode = on\narchive_command = '{wall.archive_command()}'\nlisten_addresses = ''\n"
                   "track_commit_timestamp = on\nmax_prepared_transactions = 10\nautovacuum = off\n")
    debian_start(debian)
    ledger = Ledger(debian).prepare()
    with ledger.writing():
        ledger.wait_commits(20)
    wall.run("backup")
    with ledger.writing():
        ledger.wait_commits(20)
    mark = ledger.mark("here")
    debian.wait_archived()
    copy = made.add(Cluster(made.folder, 15, "copy"))
    wall.run("restore", "--pgdata", copy.data, "--start", "--port", "5998",
             "--option", f"unix_socket_directories={copy.sockets}", *Target("name", "here").arguments)
    ledger.check(copy, Target("name", "here", mark=mark))
    text = (copy.data / "postgresql.conf").read_text()
    assert "# by seawall restore: data_directory" in text and "archive_command" in text
    assert copy.one("SHOW hba_file") == str(copy.data / "pg_hba.conf")
    copy.stop()
    with ledger.writing():
        ledger.wait_commits(5)
    debian.wait_archived()
    debian.stop()
    result = wall.run("restore", "--in-place", "--start", *Target("name", "here").arguments)
    ledger.check(debian, Target("name", "here", mark=mark))
    assert debian.one("SHOW config_file") == str(debian.etc / "postgresql.conf"), result
    debian.stop()
    again = wall.run("restore", "--in-place", "--to", "backup-end")
    assert f"pg_ctlcluster 15 {debian.etc.name} start" in again.out, again
    assert not (debian.data / "postgresql.conf").exists()
