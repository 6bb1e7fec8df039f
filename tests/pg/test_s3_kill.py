"""SIGKILL before and after the first request of each kind of each command that changes something, with the repository in a real S3.

test_kill.py kills at every point of a repository in files; what is other here is what a request leaves behind whose sender is gone.
"""

import json
import shutil

import pytest
from seawalltest import checks, process
from seawalltest.s3 import seawall_in
from test_kill import Runner, status_of
from test_s3_matrix import download, small

pytestmark = [pytest.mark.s3, pytest.mark.in_memory]

LEAST = {"push": 15, "fetch": 14, "backup": 22, "restore": 22}  # points hit, a little below what they are
REQUESTS = "store-"


def killer(made, bucket, cluster):
    """A configuration whose commands have fault points."""
    return seawall_in(made, cluster, bucket, folder="killed", server={"kind": "debug"})


def emptied(bucket, keep):
    """What makes the bucket hold only this."""
    def ready():
        for key in set(bucket.keys()) - keep:
            bucket.delete(key)
    return ready


def runner(name, scratch, ready, run, look):
    return Runner(name, scratch, ready, run, look, only=REQUESTS, least=LEAST[name])


def test_push_and_fetch_killed_at_each_request(made, rgw, scratch):
    cluster, _ = small(made, rgw, "main", archive_command="/bin/false")
    cluster.configure(archive_command="/bin/false")
    name = cluster.switch_wal()
    path = cluster.data / "pg_wal" / name
    whole = path.read_bytes()
    wall = killer(made, rgw, cluster)
    push = status_of(wall, "wal", "push", path)
    folders = iter(range(1000))

    def archived():
        reader = download(rgw, scratch / f"read{next(folders)}")
        return [b"".join(reader.read(str(each.relative_to(reader.root)))) for each in reader.root.glob(f"main/*/wal/*/*/{name}")]

    def look_pushed(_place):
        assert archived() in ([], [whole]), "half a segment is visible"
        assert push() == 0
        assert archived() == [whole]

    runner("push", scratch, emptied(rgw, set(rgw.keys())), push, look_pushed).kill_everywhere()
    recovery = scratch / "recovery"
    delivered = recovery / "pg_wal/RECOVERYXLOG"

    def ready():
        shutil.rmtree(recovery, ignore_errors=True)
        for folder in (recovery, recovery / "global", recovery / "pg_wal"):
            process.own(folder.mkdir(mode=0o700) or folder)
        shutil.copy(cluster.data / "global/pg_control", recovery / "global")
        (recovery / "recovery.signal").touch()
        for each in recovery.rglob("*"):
            process.own(each)

    fetch = status_of(wall, "wal", "fetch", name, delivered)

    def look_fetched(_place):
        assert not delivered.exists() or delivered.read_bytes() == whole, "half a segment was delivered"
        assert fetch() == 0 and delivered.read_bytes() == whole

    runner("fetch", scratch, ready, fetch, look_fetched).kill_everywhere()


def test_backup_and_restore_killed_at_each_request(made, rgw, scratch):
    cluster, direct = small(made, rgw, "main")
    cluster.sql("SELECT pg_switch_wal()")
    wall = killer(made, rgw, cluster)

    def backups():
        listed = direct.run("list", "--json", status=None)
        return json.loads(listed.out).get("backups", [])

    def look_backup(_place):
        for backup in backups():  # killed after its head was there: then all of it is
            assert backup["wal_complete"]

    runner("backup", scratch, lambda: None, status_of(wall, "backup"), look_backup).kill_everywhere()
    before = len(backups())
    direct.run("backup")
    assert len(backups()) == before + 1
    target = scratch / "again"
    command = ["restore", "main", "--to", "backup-end", "--pgdata", target]

    def look_restored(_place):
        assert not (target / "global/pg_control").exists() or (target / "recovery.signal").exists(), "it could be started half done"
        if not (target / "global/pg_control").exists() or (target / "seawall.journal").exists():
            wall.run(*command)
        checks.verify_directory(target)
        assert not (target / "seawall.journal").exists()

    runner("restore", scratch, lambda: shutil.rmtree(target, ignore_errors=True), status_of(wall, *command), look_restored).kill_everywhere()
