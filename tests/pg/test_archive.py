"""Archiving as PostgreSQL does it: through the hook, with and without a server, while things go wrong."""

import importlib.util
import pathlib
import re
import shutil
import statistics
import subprocess
import threading
import time

import pytest
from seawalltest import faults, process, scenario
from seawalltest.cluster import Cluster
from seawalltest.wait import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("unseal", ROOT / "contrib/unseal.py")
unseal = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(unseal)


def archiving(made, serve=True, segment_mb=1, **settings):
    cluster, wall = scenario.archiving(made, serve=serve, segment_mb=segment_mb, **settings)
    cluster.sql("CREATE TABLE t (n int, filler text)")
    return cluster, wall


def write(cluster, rows=2000):
    cluster.sql(f"INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series(1, {rows}) n")


def objects(wall):
    """name -> path of all archived WAL."""
    found = {}
    for path in (wall.repository / "main").glob("*/wal/*/*/*"):
        if path.is_file() and not re.search(r"\.[0-9a-f]{16}\.\d{4}$", path.name):
            found[path.name] = path
    return found


def content(wall, name):
    """What the independent reader finds."""
    path = objects(wall)[name]
    return b"".join(unseal.Repository(wall.repository).read(str(path.relative_to(wall.repository))))


def copies(cluster):
    """The complete segments in pg_wal, before PostgreSQL removes them."""
    done = [path.name[:-5] for path in (cluster.data / "pg_wal/archive_status").glob("*.done")]
    return {name: (cluster.data / "pg_wal" / name).read_bytes() for name in done
            if (cluster.data / "pg_wal" / name).exists()}


@pytest.mark.parametrize("segment_mb", [1, 16, 64])
def test_what_is_archived_is_what_postgresql_wrote(made, segment_mb):
    cluster, wall = archiving(made, segment_mb=segment_mb, wal_keep_size="1GB")
    for _ in range(3):
        write(cluster)
        wall.wait_archived()
    files = copies(cluster)
    assert len([name for name in files if len(name) == 24]) >= 3
    for name, data in files.items():
        assert content(wall, name) == data
    assert cluster.one("SELECT failed_count FROM pg_stat_archiver") == 0


def test_without_a_server_the_hook_does_it_itself(made):
    cluster, wall = archiving(made, serve=False)
    write(cluster)
    last = wall.wait_archived()
    assert last in objects(wall)
    assert cluster.one("SELECT failed_count FROM pg_stat_archiver") == 0


def test_a_killed_server_loses_nothing_and_the_next_one_goes_on(made):
    cluster, wall = archiving(made)
    for _ in range(4):
        write(cluster, 5000)
        wall.kill()
        write(cluster)
        wall.serve()
    last = wall.wait_archived()
    present = sorted(name for name in objects(wall) if len(name) == 24)
    numbers = [int(name[8:16], 16) * 4096 + int(name[16:], 16) for name in present]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "a hole"
    assert last == present[-1]


def test_d52_a_frozen_server_does_not_stop_archiving(made):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    wall.freeze()
    begun = time.monotonic()
    write(cluster)
    wall.wait_archived(cluster.switch_wal(), deadline_s=45)
    assert time.monotonic() - begun < 40
    wall.thaw()
    write(cluster)
    wall.wait_archived()


def test_the_state_folder_may_vanish_while_the_server_runs(made):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    shutil.rmtree(wall.state)
    write(cluster)
    wall.wait_archived()
    wait_for(lambda: wall.state.exists() and wall.answers(), "the state folder to be made again")
    away = wall.state.with_name("away")
    wall.state.rename(away)
    wall.state.symlink_to("nowhere/state")  # what cannot be made, until it is away again

    def told():
        return [line for line in wall.log_tail(1000).splitlines() if "will try again" in line]

    wait_for(told, "the server to tell that it cannot make the folder")
    until = time.monotonic() + 5
    wait_for(lambda: time.monotonic() > until, "two more looks of the server")
    assert len(told()) == len({line.split(" warning: ")[1] for line in told()}) <= 2, told()
    wall.state.unlink()
    wait_for(lambda: wall.state.exists() and wall.answers(), "the state folder to be made again")
    assert wall.server.poll() is None


def test_d27_damaged_files_in_the_state_folder_stop_nothing(made):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    wall.stop()
    files = [path for path in wall.state.rglob("*") if path.is_file()]
    assert files, "the state folder has something in it"
    for path in files:
        for content_now in (b"", b"\xff" * 5000, path.read_bytes()[:-1]):
            path.write_bytes(content_now)
            wall.serve()
            write(cluster)
            wall.wait_archived()
            wall.stop()


def test_two_servers_on_one_socket_are_refused(made):
    _, wall = archiving(made)
    second = wall.run("serve", status=None)
    assert second.status in (3, 5)
    assert "another" in second.err


def test_d19_other_content_under_a_name_is_refused_and_set_aside(made):
    cluster, wall = archiving(made, wal_keep_size="100MB")
    write(cluster)
    name = wall.wait_archived()
    before = content(wall, name)
    other = cluster.data / "pg_wal" / name
    data = bytearray(other.read_bytes())
    pages = len(data) // 8192
    assert pages
    wall.kill()
    # a different but valid segment: the one of a second cluster with the same history cannot be had, so cut it short
    again = wall.run("wal", "push", other, status=0)
    assert "error" not in again.err
    data[100] ^= 1
    other.write_bytes(data)
    result = wall.run("wal", "push", other, status=None)
    assert result.status == 1
    assert name in result.err
    assert content(wall, name) == before


def test_bad_files_get_clear_errors(made):
    cluster, wall = archiving(made, wal_keep_size="100MB")
    write(cluster)
    name = wall.wait_archived()
    folder = cluster.data / "pg_wal"
    cases = {
        "no segment": (folder / "notes.txt", b"hello", "not the name of a WAL file"),
        "truncated": (folder / f"{name[:-1]}F", (folder / name).read_bytes()[:5000], "bytes"),
        "zeros": (folder / f"{name[:-1]}E", bytes(1 << 20), "page"),
        "no history": (folder / "00000002.history", b"nonsense", "history"),
    }
    for what, (path, data, words) in cases.items():
        path.write_bytes(data)
        process.own(path)
        for server in (True, False):
            if not server:
                wall.stop()
            hook = subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "push", f"pg_wal/{path.name}"],
                                  cwd=cluster.data, capture_output=True, text=True, check=False, **process.OWNER)
            assert hook.returncode == 1, what
            assert words in hook.stderr, f"{what}: {hook.stderr}"
            assert path.name in hook.stderr
            assert not re.search(r"^\d{4}-", hook.stderr, re.M), f"said twice, once as a line of a log: {hook.stderr}"
        wall.serve()
        path.unlink()
    elsewhere = subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "push", cluster.folder / "notes.txt"],
                               cwd=cluster.data, capture_output=True, text=True, check=False, **process.OWNER)
    assert elsewhere.returncode == 1
    assert "does not lie in the pg_wal of a data directory" in elsewhere.stderr and "%p" in elsewhere.stderr
    missing = subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "push", "pg_wal/00000001000000000000FFF0"],
                             cwd=cluster.data, capture_output=True, text=True, check=False, **process.OWNER)
    assert missing.returncode == 1
    assert "No such file" in missing.stderr


def test_d40_segments_of_another_cluster_are_refused(made):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    stranger = made.cluster(name="stranger", segment_mb=1).start()
    stranger.sql("CREATE TABLE t (n int, filler text)")
    while not (segment := stranger.switch_wal()).endswith("F"):  # a name that the first cluster has not reached
        write(stranger)
    stranger.stop()
    path = stranger.data / "pg_wal" / segment
    there = cluster.data / "pg_wal" / segment
    hook = subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "push", f"pg_wal/{segment}"],
                          cwd=stranger.data, capture_output=True, text=True, check=False, **process.OWNER)
    assert hook.returncode == 1, "another directory"
    assert str(stranger.data) in hook.stderr
    shutil.copy(path, there)
    process.own(there)
    hook = subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "push", f"pg_wal/{there.name}"],
                          cwd=cluster.data, capture_output=True, text=True, check=False, **process.OWNER)
    there.unlink()
    assert hook.returncode == 1, "a copied file"
    assert "system identifier" in hook.stderr


def test_d43_a_promotion_archives_history_partial_and_the_new_timeline(made):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    cluster.stop()
    (cluster.data / "standby.signal").touch()
    process.own(cluster.data / "standby.signal")
    cluster.start()
    cluster.promote()
    write(cluster)
    wall.wait_archived()
    names = objects(wall)
    assert any(name.startswith("00000002") and len(name) == 24 for name in names)
    histories = list((wall.repository / "main").glob("*/timeline/00000002.history"))
    assert len(histories) == 1
    assert list((wall.repository / "main").glob("*/wal/00000001/*/*.partial/*"))


@pytest.mark.parametrize("how", ["missing", "other version", "no repository"])
def test_a_repository_that_cannot_be_used_is_named_and_archiving_goes_on_afterwards(made, how):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    away = wall.folder / "away"
    marker = wall.repository / "seawall.json"
    text = marker.read_text()
    wall.stop()
    if how == "missing":
        wall.repository.rename(away)
    elif how == "other version":
        marker.write_text(re.sub(r'("format"): 1', r'\1: 99', text))
    else:
        marker.unlink()
    write(cluster)
    segment = cluster.switch_wal()
    wait_for(lambda: cluster.one("SELECT failed_count FROM pg_stat_archiver") > 0, "a failure that PostgreSQL sees")
    log = cluster.log_tail(60)
    assert "could not archive" in log or "repository" in log
    assert str(wall.repository) in log or "seawall.json" in log
    if how == "missing":
        assert not wall.repository.exists(), "only init creates a repository"
        away.rename(wall.repository)
    marker.write_text(text)
    process.own(marker)
    wall.serve()
    wall.wait_archived(segment, deadline_s=90)


def test_a_full_disk_is_said_and_survived(made):
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    faults.limit_file_bytes(wall.server.pid, 4096)
    segment = cluster.switch_wal()
    cluster.sql("CREATE TABLE more AS SELECT n, md5(n::text) FROM generate_series(1, 9000) n")
    segment = cluster.switch_wal()
    wait_for(lambda: cluster.one("SELECT failed_count FROM pg_stat_archiver") > 1, "failures that PostgreSQL sees")
    assert segment not in objects(wall)
    said = [line for line in wall.log_tail(1000).splitlines() if "could not archive" in line]
    assert len(said) == 1, f"two files wait and were tried again, for one reason: {said}"
    faults.limit_file_bytes(wall.server.pid, None)
    wall.wait_archived(segment, deadline_s=90)
    assert content(wall, segment)


def waiting_recovery(made):
    """A data directory in recovery beside a cluster that has archived, and the last segment's name."""
    cluster, wall = archiving(made)
    write(cluster)
    name = wall.wait_archived()
    data = cluster.folder / "recovery"
    for folder in ("global", "pg_wal"):
        (data / folder).mkdir(parents=True)
        process.own(data / folder)
    shutil.copy(cluster.data / "global/pg_control", data / "global")
    (data / "recovery.signal").touch()
    process.own(data)
    process.own(data / "global/pg_control")
    return wall, data, name


def fetching(wall, data, name):
    return subprocess.Popen([wall.bin / "seawall-wal", "--config", wall.config, "--cluster", "main", "fetch", name,
                             "pg_wal/RECOVERYXLOG"], cwd=data, stderr=subprocess.PIPE, text=True, **process.OWNER)


def test_a_server_that_stops_while_a_recovery_waits_is_not_its_end(made):
    wall, data, name = waiting_recovery(made)
    away = wall.folder / "away"
    wall.repository.rename(away)
    hook = fetching(wall, data, name)
    wait_for(lambda: "will try again" in wall.log_tail(), "the server to try the fetch")
    wall.stop()
    assert hook.poll() is None
    away.rename(wall.repository)
    _, err = hook.communicate(timeout=60)
    assert hook.returncode == 0, err
    assert (data / "pg_wal/RECOVERYXLOG").stat().st_size == 1 << 20


def test_an_empty_folder_in_place_of_the_repository_ends_no_recovery(made):
    wall, data, name = waiting_recovery(made)
    away = wall.folder / "away"
    wall.repository.rename(away)
    wall.repository.mkdir()
    process.own(wall.repository)
    hook = fetching(wall, data, name[:16] + "000000FF")  # absent, but nobody can know it now
    wait_for(lambda: "will try again" in wall.log_tail(), "the server to try the fetch")
    assert hook.poll() is None
    wall.repository.rmdir()
    away.rename(wall.repository)
    _, err = hook.communicate(timeout=60)
    assert hook.returncode == 1, err


def test_a_standby_follows_the_promotion_of_another_server(made):
    """It asks for the old timeline's next segment, which lies on the branch that the archive has left: that must not
    be 255, for only after "not there" a standby looks for a newer timeline."""
    cluster, wall = archiving(made)
    write(cluster)
    wall.wait_archived()
    cluster.stop()
    standby = made.add(Cluster(cluster.folder, cluster.major, "standby"))
    subprocess.run(["cp", "-a", cluster.data, standby.data], check=True)
    standby.configure(archive_command="", unix_socket_directories=standby.sockets,
                      restore_command=wall.restore_command())
    cluster.configure(restore_command=wall.restore_command())
    for each in (cluster, standby):
        (each.data / "standby.signal").touch()
        process.own(each.data / "standby.signal")
    standby.start()
    cluster.start()
    cluster.promote()
    write(cluster, 777)
    wall.wait_archived(cluster.switch_wal())
    rows = cluster.one("SELECT count(*) FROM t")
    wait_for(lambda: not standby.pid() or standby.one("SELECT count(*) FROM t") == rows, "the standby to follow", 90)
    assert standby.pid(), standby.log_tail()
    assert standby.in_recovery()


PUSHES, ROUNDS_MIN, ROUNDS_MAX, BESIDE_TIMES_MAX = 40, 3, 10, 1.5
SLOW_PUT_MS = 1000  # of a backup's packs: a push that waits for one of them, or for its place or its memory, is seen


def p95(seconds):
    return sorted(seconds)[int(len(seconds) * 0.95)]


class Pushes:
    """The full segments of a cluster that does not run, pushed one after the other; the server has another cluster to back up."""

    def __init__(self, made):
        self.cluster = made.cluster(name="pushes", archive_mode="off", wal_keep_size="4GB", max_wal_size="4GB").start()
        self.cluster.sql("CREATE TABLE t (n int, text text)")
        folder = self.cluster.data / "pg_wal"
        while len(list(folder.glob("0*"))) < PUSHES + 2:
            self.cluster.sql("INSERT INTO t SELECT n, md5(n::text) || repeat('x', 400) FROM generate_series(1, 60000) n")
        current = self.cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
        self.cluster.stop()
        self.names = sorted(path.name for path in folder.glob("0*") if path.name < current)[-PUSHES:]
        other = made.cluster(name="other", max_wal_size="4GB").start()
        self.wall = made.seawall(other, name="other", memory="96MB", kind="debug")
        self.wall.sections["cluster pushes"] = {"pgdata": self.cluster.data, "repositories": "local"}
        self.wall.write_config()
        self.wall.init()
        self.wall.archive()
        other.sql("CREATE UNLOGGED TABLE filling AS SELECT n, md5(n::text) || md5((-n)::text) AS t FROM generate_series(1, 1500000) n")
        other.sql("ALTER TABLE filling SET LOGGED; CHECKPOINT")

    def again(self):
        """The server, and none of the segments in the archive."""
        self.wall.stop()
        shutil.rmtree(self.wall.repository / "pushes", ignore_errors=True)
        self.wall.serve(**faults.environment("delay", SLOW_PUT_MS, "store-put-backup"))

    def push(self):
        """Seconds of each push."""
        took = []
        for name in self.names:
            begun = time.monotonic()
            subprocess.run([self.wall.bin / "seawall-wal", "--config", self.wall.config, "push", f"pg_wal/{name}"],
                           cwd=self.cluster.data, check=True, **process.OWNER)
            took.append(time.monotonic() - begun)
        return took

    def push_beside_backups(self):
        over, failed = threading.Event(), []

        def back_up():
            while not over.is_set() and not failed:
                begun = time.monotonic()
                result = self.wall.run("backup", "other", "--fast", status=None)
                failed.extend([result] if result.status or time.monotonic() - begun < SLOW_PUT_MS / 1000 else [])

        thread = threading.Thread(target=back_up)
        thread.start()
        took = self.push()
        over.set()
        thread.join()
        assert not failed, failed[0]
        return took


def test_a_full_backup_does_not_hold_up_archiving(made):
    """The 95th percentile of a push beside full backups is at most 1.5 times that without, both measured in turns, while the store takes a
    second for each pack. The best round of each is compared, for other programs disturb both; the medians, which they disturb more, are
    printed. What a backup takes from the processor is the benchmark's figure `priority` and loop's unit test."""
    pushes, alone, beside = Pushes(made), [], []
    for number in range(1, ROUNDS_MAX + 1):
        pushes.again()
        alone.append(p95(pushes.push()))
        pushes.again()
        beside.append(p95(pushes.push_beside_backups()))
        times = min(beside) / min(alone)
        if number >= ROUNDS_MIN and times <= BESIDE_TIMES_MAX:
            break
    print(f"p95 of {PUSHES} pushes, ms: alone {[round(1000 * p) for p in alone]}, beside {[round(1000 * p) for p in beside]}: "
          f"{times:.2f}, of the medians {statistics.median(beside) / statistics.median(alone):.2f}")
    assert times <= BESIDE_TIMES_MAX
