"""Every command that reads or writes a repository, before one that cannot be used: a clear error with its name, nothing lost, and
everything works again afterwards."""

import contextlib
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile

import pytest
from seawalltest import process, rebuild
from seawalltest.cluster import Cluster
from seawalltest.fixtures import Made
from test_backup import wait_session_gone, wall_of


@pytest.fixture(scope="module")
def kept():
    """One cluster with one backup for all tests: each leaves it as it was."""
    folder = process.own(pathlib.Path(tempfile.mkdtemp(prefix="sw.", dir="/tmp")))
    things = Made(folder)
    wall = wall_of(things, things.cluster(segment_mb=1))
    wall.cluster.sql("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 1000) n")
    wall.run("backup")
    wall.cluster.wait_archived()
    yield wall
    for thing in reversed(things.things):
        thing.remove()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def missing(wall):
    away = wall.folder / "away"
    wall.repository.rename(away)
    try:
        yield
        assert not wall.repository.exists(), "only init makes a repository"
    finally:
        away.rename(wall.repository)


@contextlib.contextmanager
def of_another_format(wall):
    marker = wall.repository / "seawall.json"
    text, mode = marker.read_text(), marker.stat().st_mode
    marker.chmod(0o600)
    marker.write_text(re.sub(r'("format"): ?1', r'\1: 99', text))
    try:
        yield
    finally:
        marker.write_text(text)
        marker.chmod(stat.S_IMODE(mode))


@contextlib.contextmanager
def read_only(wall):
    folders = [wall.repository, *(path for path in wall.repository.rglob("*") if path.is_dir())]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folders}
    for path in folders:
        path.chmod(0o500)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def visible(wall):
    return rebuild.backups(wall.repository)


def target(wall):
    return wall.folder / f"restored{len(list(wall.folder.glob('restored*')))}"


@pytest.mark.parametrize("trouble, says", [(missing, "seawall init"), (of_another_format, "99")])
def test_a_repository_that_cannot_be_opened_is_named_by_every_command(kept, trouble, says):
    place = target(kept)
    before = visible(kept)
    with trouble(kept):
        for command in (["backup"], ["restore", "--pgdata", place], ["list"], ["show", "20261120T140200Z-0000"], ["wal", "list"],
                        ["cat", "main/x"]):
            result = kept.run(*command, status=None)
            assert result.status in (3, 4), result
            assert "error:" in result.err and (str(kept.repository) in result.err or '"local"' in result.err) and says in result.err, result
    assert not place.exists() and visible(kept) == before
    wait_session_gone(kept.cluster)
    kept.run("list")


def test_a_repository_that_is_read_only_is_good_for_a_restore_alone(kept):
    before = visible(kept)
    with read_only(kept):
        result = kept.run("backup", status=4)
        assert "Permission denied" in result.err or "Read-only" in result.err, result
        kept.run("list")
        kept.run("restore", "--pgdata", target(kept), "--to", "backup-end")
    assert visible(kept) == before
    wait_session_gone(kept.cluster)


def test_a_repository_that_is_full_ends_a_backup_and_nothing_of_it_is_visible(kept):
    before = visible(kept)
    run = subprocess.run(["prlimit", "--fsize=65536", kept.bin / "seawall", "backup"], env=kept.environment(), text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    assert run.returncode == 4 and "could not store" in run.stderr, run
    assert visible(kept) == before
    wait_session_gone(kept.cluster)
    kept.run("backup")


@pytest.mark.parametrize("what", ["backup", "pack", "wal"])
def test_a_damaged_object_is_named_and_nothing_can_be_started(kept, what):
    """The largest of its kind that the newest backup needs, a byte in its middle."""
    place, head = target(kept), rebuild.last(kept.repository).head
    segment = kept.cluster.one("SELECT pg_walfile_name(%s::pg_lsn)", head["start_lsn"])
    name = {"backup": f"backup/{head['id']}*", "pack": f"pack/{head['id']}/*", "wal": f"wal/*/*/{segment}"}[what]
    victim = max((kept.repository / "main").glob(f"*/{name}"), key=lambda path: path.stat().st_size)
    mode, content = stat.S_IMODE(victim.stat().st_mode), victim.read_bytes()
    victim.chmod(0o600)
    middle = len(content) // 2
    victim.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:])
    try:
        result = kept.run("restore", "--pgdata", place, "--start", "--option", f"unix_socket_directories={kept.folder}",
                          status=None)
        assert "error:" in result.err and victim.name in result.err, result
        if what == "wal":  # the plan knows it, and refuses what lies behind it as behind any hole
            assert result.status == 5 and f'"{victim.name}" is damaged in the archive' in result.err and not place.exists(), result
        else:  # the same command would meet the same damage
            assert result.status == 7 and f"/backup/{head['id']}\" out of the repository" in result.err, result
        assert not (place / "global/pg_control").exists(), result
    finally:
        victim.write_bytes(content)
        victim.chmod(mode)


def test_folders_without_rights_are_named(kept):
    closed = kept.folder / "closed"
    closed.mkdir(mode=0o500)
    result = kept.run("restore", "--pgdata", closed / "restored", status=None)
    assert result.status in (4, 5) and "Permission denied" in result.err and str(closed) in result.err, result
    before = visible(kept)
    folder = kept.cluster.data / "base"
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0)
    try:
        result = kept.run("backup", status=None)
    finally:
        folder.chmod(mode)
    assert result.status in (4, 6) and "Permission denied" in result.err and "base" in result.err, result
    assert visible(kept) == before
    wait_session_gone(kept.cluster)
