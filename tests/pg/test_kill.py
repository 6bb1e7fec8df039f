"""The kill runner: SIGKILL before and after durable calls and store calls of a command, in growing steps along its way.

After each: nothing half is visible, PostgreSQL is as before, and the same command again succeeds. The last point at which it was
killed is printed, and must not fall below what is recorded here: a call that no longer passes its fault point would make the rest
worthless. Not every point is hit (see at_growing_steps); what lies between two steps is not proven here.
(`seawall wal push` is in test_archive.py, `wal fetch` in test_fetch.py.)
"""

import json
import os
import shutil
import signal

import pytest
from seawalltest import checks, faults
from seawalltest.wait import wait_for

POINTS_INIT, POINTS_BACKUP, POINTS_RESTORE = 60, 90, 500  # recorded


def killed_at(wall, point, *command):
    """Whether the command was killed at its point; false: it ended, with success, before it came so far."""
    result = wall.run(*command, status=None, **faults.environment("kill", point))
    if result.status == -signal.SIGKILL:
        return True
    assert result.status == 0, str(result)
    return False


def at_growing_steps(wall, command, after, stride=1):
    """Kills the command at its points and calls after(point) each time; up to which point it was killed.

    Thousands of points are alike (each line of backup_manifest is one), so the steps grow with the number.
    """
    point = last = 1
    while killed_at(wall, point, *command):
        after(point)
        last, point = point, point + max(stride, point // 8)
    return last


@pytest.fixture
def wall(made):
    """A cluster that archives through the hook alone, which is quick, and a debug build for what is killed."""
    cluster = made.cluster(segment_mb=1).start()
    home = made.seawall(cluster, kind="debug")
    home.init()
    home.archive()
    cluster.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 3000) n")
    return home


def backups(wall):
    listed = wall.run("list", "--json", status=None)
    return json.loads(listed.out).get("backups", []) if listed.status == 0 else []


def test_init_is_killed_all_along(made):
    cluster = made.cluster(segment_mb=1)
    wall = made.seawall(cluster, kind="debug")

    def after(_point):
        wall.init()
        assert (wall.repository / "seawall.json").exists()
        shutil.rmtree(wall.repository)

    points = at_growing_steps(wall, ["init"], after, stride=2)
    print(f"killed in steps up to point {points}")
    assert points >= POINTS_INIT


def test_a_backup_is_killed_all_along(wall, scratch):
    def after(_point):
        wait_for(lambda: wall.cluster.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'seawall'") == 0,
                 "PostgreSQL to end the session")
        for backup in backups(wall):  # killed after its head was there: then all of it is
            assert backup["wal_complete"]
            assert wall.run("restore", "--to", "backup-end", "--pgdata", scratch / "again", "--plan")

    points = at_growing_steps(wall, ["backup"], after, stride=2)
    print(f"killed in steps up to point {points}")
    assert points >= POINTS_BACKUP
    assert 1 <= len(backups(wall)) < 10, "the one that was not killed, and few that nearly were not"


def test_a_restore_is_killed_all_along(wall, scratch):
    wall.run("backup")
    wall.wait_archived()
    target = scratch / "again"
    command = ["restore", "--to", "latest", "--pgdata", target]

    def after(point):
        assert not (target / "global/pg_control").exists() or (target / "recovery.signal").exists(), \
            f"point {point}: it could be started half done"
        wall.run(*command)
        checks.verify_directory(target)
        shutil.rmtree(target)

    points = at_growing_steps(wall, command, after, stride=3)
    print(f"killed in steps up to point {points}")
    assert points >= POINTS_RESTORE
    checks.verify_directory(target)
    assert os.listdir(target / "pg_wal") in ([], ["archive_status"])
