"""seawall copy: backups and WAL from one repository to another."""

import contextlib
import json
import re
import subprocess

import pytest
from seawalltest import Target, wait_for
from seawalltest.s3 import section
from test_repositories import backups, damage, folder, gone, segments, several, write


@contextlib.contextmanager
def not_yet(wall, last):
    """The last repository of the configuration is not in it yet."""
    settings = wall.sections["cluster main"]
    whole = settings["repositories"]
    settings["repositories"] = whole.removesuffix(f", {last}")
    wall.write_config()
    yield
    settings["repositories"] = whole
    wall.write_config()


def lacking(made, **options):
    """A cluster with a backup and WAL that repository "b" has nothing of, and the id of the backup."""
    cluster, wall = several(made, serve=False, ack="any", **options)
    with not_yet(wall, "b"):
        write(cluster, 2)
        done = re.search(r"Backup (\S+) is complete", wall.run("backup").out)[1]
        cluster.sql("CREATE TABLE marker AS SELECT 42 AS n")
        wall.wait_archived(write(cluster))
    assert not backups(wall, "b") and not segments(wall, "b")
    return cluster, wall, done


def files(place):
    return len([path for path in (place / "main").rglob("*") if path.is_file()])


def restored_from(made, wall, name, lost):
    """What the marker says in a restore without one of the repositories."""
    copy, _ = wall.restore(Target("latest"), name, "--start", "--without", lost)
    made.add(copy)
    return copy.one("SELECT n FROM marker")


@pytest.mark.parametrize("encrypted", [(), ("local",), ("b",), ("local", "b")])
def test_what_one_lacks_is_copied_whatever_the_keys(made, encrypted):
    _, wall, done = lacking(made, encrypted=encrypted)
    said = wall.run("copy", "--to", "b", "--dry-run")
    assert "Would copy 1 backup " in said.out and not segments(wall, "b")
    said = wall.run("copy", "--from", "local", "--to", "b")
    assert "Copied 1 backup " in said.out
    assert backups(wall, "b") == {done} and segments(wall, "b") == segments(wall, "local")
    again = json.loads(wall.run("copy", "--to", "b", "--json").out)
    assert again["objects"] == "0" and int(again["there"]) > 5
    with gone(wall, "local"):
        assert restored_from(made, wall, "copy", "local") == 42


def full(wall):
    """A copy to a target that has no room for anything but WAL: a limit stands in for the disk."""
    copy = subprocess.run(["prlimit", "--fsize=200000", wall.bin / "seawall", "copy", "--to", "b"], env=wall.environment(),
                          capture_output=True, text=True, timeout=100, check=False)
    assert copy.returncode == 4 and "File too large" in copy.stderr and "pack/" in copy.stderr, copy
    assert not backups(wall, "b") and segments(wall, "b") == segments(wall, "local")
    wall.run("verify", "--repository", "b")


def test_a_copy_that_breaks_off_shows_nothing_half_and_the_next_completes_it(made):
    _, wall, done = lacking(made)
    full(wall)
    generation = next((folder(wall, "local") / "main").glob("*/system")).parent
    packs = sorted((generation / "pack" / done).iterdir())
    content = packs[0].read_bytes()
    packs[0].chmod(0o600)
    packs[0].write_bytes(content[:-1])
    said = wall.run("copy", "--to", "b", status=7)
    assert packs[0].name in said.err and not backups(wall, "b")
    assert segments(wall, "b") == segments(wall, "local")  # they come first
    packs[0].write_bytes(content)
    wall.run("copy", "--to", "b")
    assert backups(wall, "b") == {done}
    with gone(wall, "local"):
        assert restored_from(made, wall, "copy", "local") == 42


def test_a_copy_that_is_killed_shows_nothing_half_and_the_next_completes_it(made):
    _, wall, done = lacking(made, encrypted=("b",))
    for allowed in (1, 5, 9):
        command = wall.start_command("copy", "--to", "b")
        wait_for(lambda: command.poll() is not None or files(folder(wall, "b")) >= allowed, "the copy to begin", 30)
        command.kill()
        command.communicate()
        for backup in backups(wall, "b"):
            wall.run("show", backup)
    wall.run("copy", "--to", "b")
    assert backups(wall, "b") == {done}
    with gone(wall, "local"):
        assert restored_from(made, wall, "copy", "local") == 42


def test_a_backup_by_its_id_comes_with_its_wal_alone(made):
    cluster, wall, first = lacking(made)
    old = segments(wall, "local")
    with gone(wall, "b"):
        wall.wait_archived(write(cluster, 2))
        second = re.search(r"Backup (\S+) is complete", wall.run("backup").out)[1]
    wall.run("copy", "--to", "b", second)
    assert backups(wall, "b") == {second} and not old & segments(wall, "b") - {max(old)}
    wall.run("copy", "--to", "b", first)
    assert backups(wall, "b") == {first, second}


def test_what_cannot_be_copied_is_said(made):
    _, wall, done = lacking(made)
    assert 'option "--to" is missing' in wall.run("copy", status=2).err
    assert "are the same repository" in wall.run("copy", "--from", "b", "--to", "b", status=2).err
    assert 'has no repository "c"' in wall.run("copy", "--to", "c", status=2).err
    assert "there is no backup" in wall.run("copy", "--to", "b", "20200101T000000Z-abcd", status=1).err
    with gone(wall, "b"):
        assert "does not exist" in wall.run("copy", "--to", "b", status=4).err
    assert not backups(wall, "b")
    damage(wall, "local", min(segments(wall, "local")))
    assert min(segments(wall, "local")) in wall.run("copy", "--to", "b", status=7).err
    assert done not in backups(wall, "b")


def test_a_repository_that_holds_another_cluster_of_that_name_is_refused(made):
    cluster, wall, _ = lacking(made)
    other = made.cluster(name="other", segment_mb=1)
    stranger = made.seawall(other, "stranger")
    stranger.sections["repository local"]["url"] = wall.sections["repository b"]["url"]
    stranger.write_config()
    other.start()
    stranger.archive()
    other.sql("CREATE TABLE t (n int)")
    stranger.wait_archived(other.switch_wal())
    assert "they are two clusters" in wall.run("copy", "--to", "b", status=5).err
    assert cluster.one("SELECT 1") == 1


@pytest.mark.s3
@pytest.mark.parametrize("encrypted", [(), ("local",), ("b",)])
def test_a_copy_goes_to_s3_and_back(made, rgw, encrypted):
    cluster, wall = several(made, count=3, serve=False, ack="2", encrypted=encrypted)
    wall.sections["repository b"] = {**wall.sections["repository b"], **section(rgw, wall.folder)}
    wall.write_config()
    wall.run("init")
    with not_yet(wall, "c"):
        write(cluster, 2)
        done = re.search(r"Backup (\S+) is complete", wall.run("backup").out)[1]
        cluster.sql("CREATE TABLE marker AS SELECT 42 AS n")
        wall.wait_archived(write(cluster))
    rgw_keys = [key for key in rgw.keys() if f"/pack/{done}/" in key]
    assert rgw_keys
    wall.run("copy", "--from", "b", "--to", "c")
    assert backups(wall, "c") == {done} and segments(wall, "c") == segments(wall, "local")
    for key in rgw.keys():
        if f"/{done}" in key:
            rgw.delete(key)
    wall.run("copy", "--from", "c", "--to", "b")
    assert [key for key in rgw.keys() if f"/pack/{done}/" in key] == rgw_keys
    wall.sections["cluster main"] |= {"repositories": "b", "ack": "all"}
    wall.write_config()
    copy, _ = wall.restore(Target("latest"), "copy", "--start")
    made.add(copy)
    assert copy.one("SELECT n FROM marker") == 42


def test_what_ended_before_a_new_generation_is_not_copied_into_it(made):
    cluster, wall = several(made, serve=False)
    wall.wait_archived(write(cluster))
    wall.sections["cluster main"]["repositories"] = "b"
    wall.write_config()
    wall.run("adopt", "--new-generation")
    wall.wait_archived(write(cluster))
    wall.sections["cluster main"]["repositories"] = "local, b"
    wall.write_config()
    result = wall.run("copy", "--from", "local", "--to", "b", status=5)
    assert "has only what was archived before that was begun" in result.err, result
    # The other way round it takes part in it.
    wall.run("copy", "--from", "b", "--to", "local")
    begun = {path.parent.name[-5:] for path in (folder(wall, "local") / "main").glob("*/system")}
    assert begun == {"-15-1", "-15-2"}
    wall.wait_archived(write(cluster))
    assert segments(wall, "b") <= segments(wall, "local")
