"""The commands of a person's day, on a real cluster: backup, list, show, status, wal list, cat, serve."""

import json
import os
import pathlib
import pwd
import signal
import subprocess
import time

import pytest

from seawalltest import wait_for
from seawalltest.scenario import archiving


@pytest.fixture(name="wall")
def fixture_wall(made):
    """A cluster that archives through the hook, without a server."""
    cluster, wall = archiving(made, serve=False)
    return wall


def rows(cluster, count):
    cluster.sql("CREATE TABLE IF NOT EXISTS filler (n int, t text)")
    cluster.sql("INSERT INTO filler SELECT n, md5(n::text) FROM generate_series(1, %s) n", count)


def read(wall, *words):
    return json.loads(wall.run(*words, "--json").out)


def test_before_anything_is_archived(wall):
    for words in (["list"], ["wal", "list"], ["show", "20261120T140200Z-1a2b"]):
        result = wall.run(*words, status=1)
        assert 'nothing of cluster "main" is in repository "local" yet' in result.err
        assert "seawall check" in result.err
    assert "none runs" in wall.run("status", status=1).out


@pytest.mark.parametrize("server", [False, True])
def test_a_backup_is_listed_and_shown(wall, server):
    if server:
        wall.serve()
    rows(wall.cluster, 1000)
    made = json.loads(wall.run("backup", "--label", "it's \"one\"", "--json").out)
    listed = read(wall, "list")
    assert [backup["id"] for backup in listed["backups"]] == [made["id"]]
    assert listed["backups"][0]["label"] == "it's \"one\"" and listed["backups"][0]["wal_complete"]
    (interval,) = listed["intervals"]
    assert interval["timeline"] == 1 and interval["first_backup"] == made["id"] and "hole" not in interval
    assert interval["from_lsn"] == made["stop_lsn"]
    shown = read(wall, "show", made["id"], "--files")
    paths = {entry["path"] for entry in shown["files_list"]}
    assert {"PG_VERSION", "global/pg_control", "backup_label"} <= paths
    assert len([entry for entry in shown["files_list"] if entry["kind"] == "file"]) == int(made["files"])
    text = wall.run("show", made["id"], "--files").out
    assert "page checksums  all good" in text and " PG_VERSION\n" in text
    assert made["id"] in wall.run("list", "main").out
    assert "is complete" in wall.run("backup").out
    assert wall.run("show", "20261120T140200Z-1a2b", status=1).err.count("\n") == 2
    wall.run("show", "x", status=2)
    wall.run("list", "mian", status=2)


def test_wal_is_listed_and_its_hole_is_named(wall):
    cluster = wall.cluster
    names = []
    for _ in range(4):
        rows(cluster, 10)
        names.append(cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())"))
        cluster.switch_wal()
    wall.wait_archived(names[-1])
    listed = read(wall, "wal", "list")
    assert listed["timelines"][0]["runs"] == [{"first": names[0], "last": names[3]}]
    lost = next(pathlib.Path(wall.repository).rglob(names[2]))
    lost.unlink()
    listed = read(wall, "wal", "list")
    assert listed["timelines"][0]["runs"] == [{"first": names[0], "last": names[1]},
                                              {"first": names[3], "last": names[3]}]
    assert "then a HOLE" in wall.run("wal", "list").out


def test_cat_gives_the_bytes_of_a_segment(wall):
    cluster = wall.cluster
    rows(cluster, 10)
    name = cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    cluster.switch_wal()
    wall.wait_archived(name)
    path = next(pathlib.Path(wall.repository).rglob(name))
    done = subprocess.run([wall.bin / "seawall", "cat", path.relative_to(wall.repository)], env=wall.environment(),
                          capture_output=True, check=True)
    assert done.stdout == (cluster.data / "pg_wal" / name).read_bytes()
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.chmod(0o600)
    path.write_bytes(damaged)
    done = subprocess.run([wall.bin / "seawall", "cat", path.relative_to(wall.repository)], env=wall.environment(),
                          capture_output=True, check=False)
    assert done.returncode == 7 and name in done.stderr.decode()
    assert (cluster.data / "pg_wal" / name).read_bytes().startswith(done.stdout)
    wall.run("cat", "main/nothing", status=1)
    wall.run("cat", "../x", status=2)


def test_a_damaged_head_does_not_hide_the_other_backups(wall):
    first = json.loads(wall.run("backup", "--json").out)["id"]
    second = json.loads(wall.run("backup", "--json").out)["id"]
    path = next(pathlib.Path(wall.repository).rglob(f"backup/{first}"))
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.chmod(0o600)
    path.write_bytes(damaged)
    result = wall.run("list", status=7)
    assert second in result.out and f'could not read backup "{first}"' in result.out
    assert "1 backups could not be read" in result.err


def in_backup_mode(cluster):
    return cluster.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'seawall'") > 0


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_backup_leaves_nothing_visible(wall, server, number):
    cluster = wall.cluster
    if server:
        wall.serve()
    cluster.configure(archive_command="/bin/false")  # it waits for its WAL, for ever
    command = wall.start_command("backup")
    wait_for(lambda: in_backup_mode(cluster), "the backup to begin", 60)
    command.send_signal(number)
    out, err = command.communicate(timeout=60)
    assert out == ""
    if number == signal.SIGKILL:
        assert command.returncode == -number
    else:
        assert command.returncode == 8 and "cancelled" in err, err
    if number != signal.SIGKILL or not server:
        wait_for(lambda: not in_backup_mode(cluster), "the end of the backup mode", 60)
    wall.stop()
    wait_for(lambda: not in_backup_mode(cluster), "the end of the backup mode", 60)
    assert not list(pathlib.Path(wall.repository).glob("main/*/backup/*"))


def test_two_backups_at_once(wall):
    cluster = wall.cluster
    cluster.configure(archive_command="/bin/false")
    command = wall.start_command("backup")
    wait_for(lambda: in_backup_mode(cluster), "the backup to begin", 60)
    result = wall.run("backup", status=5)
    assert "running already" in result.err
    command.send_signal(signal.SIGINT)
    assert command.wait(60) == 8


def test_dry_runs_change_nothing(wall):
    wall.run("backup", "--dry-run")
    assert not list(pathlib.Path(wall.repository).glob("main/*/backup/*"))
    wall.run("backup")
    target = wall.folder / "copy"
    assert "backup    " in wall.run("restore", "--pgdata", target, "--dry-run").out
    assert "backup    " in wall.run("restore", "--pgdata", target, "--plan").out
    plan = read(wall, "restore", "--pgdata", target, "--plan")["plan"]
    assert plan["copy"] and plan["pgdata"] == str(target)
    assert not target.exists()


def everything_below(folder):
    """Names, sizes and times of all files: what a dry run must leave as it is."""
    return sorted((str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in pathlib.Path(folder).rglob("*")
                  if not path.is_dir())


def test_a_dry_run_of_a_push_says_what_would_be(wall):
    cluster = wall.cluster
    cluster.configure(archive_command="/bin/false")
    rows(cluster, 1000)
    segment = cluster.switch_wal()
    path = cluster.data / "pg_wal" / segment
    before = everything_below(wall.folder)
    first = wall.run("wal", "push", "--dry-run", path)
    assert "would be stored" in first.out and "proven" in first.out
    assert everything_below(wall.folder) == before
    wall.run("wal", "push", path)
    before = everything_below(wall.folder)
    assert "is in the repository already: " in wall.run("wal", "push", "--dry-run", path).out
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 4] ^= 1
    copy = cluster.data / "pg_wal" / (segment[:-2] + "F0")
    copy.write_bytes(damaged)
    refused = wall.run("wal", "push", "--dry-run", copy, status=1)
    assert "nothing was written" in refused.err
    copy.unlink()
    assert everything_below(wall.folder) == before


def test_a_dry_run_of_a_push_tells_of_other_content(wall):
    cluster = wall.cluster
    rows(cluster, 1000)
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    path = cluster.data / "pg_wal" / segment
    kept = path.read_bytes()
    # behind the switch record everything is zero and may differ (doc/architecture.md)
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    before = everything_below(wall.repository)
    told = wall.run("wal", "push", "--dry-run", path, status=1)
    assert "with other content" in told.err and "nothing was written" in told.err
    assert everything_below(wall.repository) == before
    path.write_bytes(kept)


def test_a_dry_run_of_a_fetch_proves_and_writes_nothing(wall):
    cluster = wall.cluster
    rows(cluster, 1000)
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    target = cluster.data / "pg_wal/RECOVERYXLOG"
    told = wall.run("wal", "fetch", "--dry-run", segment, target)
    assert "would be delivered" in told.out and "whole and verified" in told.out
    assert not target.exists() and not list((cluster.data / "pg_wal").glob("*seawall*"))
    absent = wall.run("wal", "fetch", "--dry-run", "0000000100000077000000AA", target, status=1)
    assert "not in the archive" in absent.err


def test_a_dry_run_of_serve(wall):
    before = everything_below(wall.folder)
    told = wall.run("serve", "--dry-run")
    assert "would serve 1 cluster" in told.out and 'repository "local" is there' in told.out
    assert everything_below(wall.folder) == before
    wall.serve()
    assert "another seawall uses the state folder" in wall.run("serve", "--dry-run", status=5).err
    wall.stop()
    pathlib.Path(wall.repository).rename(wall.folder / "elsewhere")
    assert "repository" in wall.run("serve", "--dry-run", status=4).err


def test_status_with_and_without_a_server(wall):
    wall.run("backup")
    alone = wall.run("status", status=1)
    assert "last backup" in alone.out and "Restorable:" in alone.out
    assert "seawall serve" in alone.err
    wall.serve()
    result = wall.run("status")
    assert f"process {wall.server.pid}" in result.out
    told = read(wall, "status")
    assert told["server"]["process"] == wall.server.pid
    assert told["clusters"][0]["backups"] == 1 and told["clusters"][0]["intervals"]
    assert "postgresql" not in told["clusters"][0] and "does not run" not in result.out
    wall.cluster.stop()
    assert "does not run; it was shut down at 20" in wall.run("status").out
    wall.cluster.start()
    wall.cluster.kill()
    wait_for(lambda: "was not shut down: it crashed or was killed" in read(wall, "status")["clusters"][0].get("postgresql", ""),
             "the last of its processes to end", 30)


def test_status_says_what_fails(wall):
    wall.serve()
    wall.repository.rename(wall.folder / "away")
    wall.cluster.sql("SELECT txid_current()")
    wall.cluster.switch_wal()
    wait_for(lambda: wall.cluster.one("SELECT failed_count FROM pg_stat_archiver") > 0, "a failure", 60)
    out = wall.run("status").out
    assert str(wall.repository) in out and out.count("Is a disk not mounted?") == 1
    (wall.folder / "away").rename(wall.repository)
    wait_for(lambda: wall.cluster.one("SELECT archived_count FROM pg_stat_archiver") > 0, "the archiver", 120)


def test_a_second_server_is_refused(wall):
    wall.serve()
    result = wall.run("serve", status=5)
    assert str(wall.server.pid) in result.err


def test_reload_says_what_changed(wall):
    wall.serve()
    wall.sections["server"].update(log_level="debug", memory="80MB")
    wall.write_config()
    wall.server.send_signal(signal.SIGHUP)
    wait_for(lambda: '"log_level" in section [server] changed' in wall.log_tail(), "the reload", 20)
    assert '"memory" in section [server] changed from "64MB" to "80MB", which needs a restart' in wall.log_tail()
    wall.sections["server"]["log_level"] = "loud"
    wall.write_config()
    wall.server.send_signal(signal.SIGHUP)
    wait_for(lambda: "the settings stay as they were" in wall.log_tail(), "the refusal", 20)
    assert "line" in wall.log_tail()


def test_progress_on_a_terminal_is_one_line(wall):
    """A backup that waits shows what for, on one line that is written anew."""
    wall.cluster.configure(archive_command="/bin/false")
    parent, child = os.openpty()
    with subprocess.Popen([wall.bin / "seawall", "backup"], env=wall.environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=child) as command:
        os.close(child)
        seen = b""
        deadline = time.monotonic() + 30
        while b"00000001" not in seen and time.monotonic() < deadline:
            seen += os.read(parent, 4096)
        command.send_signal(signal.SIGINT)
        command.wait(60)
    os.close(parent)
    assert b"00000001" in seen and b"\r" in seen and b"\n" not in seen.split(b"error:")[0], seen


def test_a_backup_that_waits_says_so_in_a_log_as_well_and_that_it_was_cancelled(wall):
    wall.cluster.configure(archive_command="/bin/false")
    wall.serve()
    command = wall.start_command("backup")
    line = command.stderr.readline()  # after ten seconds
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert "00000001" in line, line
    assert command.returncode == 8 and 'the backup of cluster "main" was cancelled' in err and "lost sight" not in err, err


def test_restore_says_what_to_type(wall):
    wall.run("backup")
    result = wall.run("restore", "--pgdata", wall.folder / "copy it's", "--to", "backup-end")
    assert "To start it:" in result.out
    assert "'\\''s'" in result.out
    assert (wall.folder / "copy it's/PG_VERSION").exists()
    for words in (["--to", "tomorrow morning"], ["--then", "sing"], ["--port", "0"], ["--before", "--including"],
                  ["--without", "local"], ["--without", "other"]):
        wall.run("restore", "--pgdata", wall.folder / "other", *words, status=2)
    assert not (wall.folder / "other").exists()


def test_the_embedded_default_learns_its_cluster(wall):
    """No configuration at all: the home of the password database; only where nothing is there yet."""
    home = pathlib.Path(pwd.getpwuid(os.geteuid()).pw_dir) / "seawall"
    taken = [path for path in ("/etc/seawall/seawall.conf", "/var/lib/seawall", home) if pathlib.Path(path).exists()]
    if taken or os.geteuid() == 0 or not os.access(home.parent, os.W_OK):
        pytest.skip(f"this machine has {taken}, or no home to write")
    environment = {key: value for key, value in wall.environment().items() if key != "SEAWALL_CONFIG"}
    try:
        with open(wall.log, "a", encoding="utf-8") as log:
            wall.server = subprocess.Popen([wall.bin / "seawall", "serve"], env=environment, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log)
        wait_for((home / "state/seawall.sock").exists, "the socket", 20)
        assert "beginning with the defaults" in wall.log_tail()
        assert (home / "repository/seawall.json").exists()
        wall.cluster.configure(archive_command=f"{wall.bin}/seawall-wal push %p")
        wall.cluster.sql("SELECT txid_current()")
        wall.cluster.switch_wal()
        wait_for(lambda: wall.cluster.one("SELECT archived_count FROM pg_stat_archiver") > 0, "the archiver", 60)
        assert "it pushed first" in wall.log_tail()
    finally:
        wall.stop()
        subprocess.run(["rm", "-rf", home], check=True)


# --- without a server: what the hook becomes ---


def fetch(wall, folder, name, *options, **more):
    begun = time.monotonic()
    done = subprocess.run([wall.bin / "seawall", "wal", "fetch", *options, name, "pg_wal/RECOVERYXLOG"], cwd=folder,
                          env=wall.environment(), capture_output=True, text=True, timeout=120, check=False, **more)
    return done.returncode, done.stderr, time.monotonic() - begun


@pytest.fixture(name="stopped")
def fixture_stopped(wall):
    """A stopped cluster with one archived segment, and its name."""
    cluster = wall.cluster
    rows(cluster, 10)
    name = cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    cluster.switch_wal()
    wall.wait_archived(name)
    segment = cluster.data / "pg_wal" / name
    content = segment.read_bytes()
    cluster.stop()
    segment.write_bytes(content)  # the shutdown may have recycled it
    return wall, cluster.data, name


def test_fetch_delivers_and_proves(stopped):
    wall, data, name = stopped
    (data / "recovery.signal").touch()
    assert fetch(wall, data, name)[0] == 0
    assert (data / "pg_wal/RECOVERYXLOG").read_bytes() == (data / "pg_wal" / name).read_bytes()
    status, err, _ = fetch(wall, data, "0000000100000000000000F0")
    assert status == 1 and "0000000100000000000000F0" in err
    assert fetch(wall, data, "nonsense")[0] == 255
    assert fetch(wall, data, name, "--cluster", "other")[0] == 255
    assert fetch(wall, data, name, "--restore", "/nonexistent")[0] == 255


def test_fetch_of_a_damaged_segment_is_not_absent(stopped):
    wall, data, name = stopped
    path = next(pathlib.Path(wall.repository).rglob(name))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(damaged)
    for signal_file in ("recovery.signal", "standby.signal"):
        (data / signal_file).touch()
        assert fetch(wall, data, name)[0] == 255
        (data / signal_file).unlink()


def test_fetch_without_a_repository_is_unknown(stopped):
    """A standby hears "not yet" within 10 s; a recovery would wait for minutes, and then be stopped."""
    wall, data, name = stopped
    wall.repository.rename(wall.folder / "away")
    (data / "standby.signal").touch()
    status, err, took = fetch(wall, data, name)
    assert status == 1 and str(wall.repository) in err
    assert took < 15
    (data / "standby.signal").unlink()
    (data / "recovery.signal").touch()
    with subprocess.Popen([wall.bin / "seawall", "wal", "fetch", name, "pg_wal/RECOVERYXLOG"], cwd=data,
                          env=wall.environment(), stderr=subprocess.DEVNULL) as command:
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(3)
        (wall.folder / "away").rename(wall.repository)
        assert command.wait(30) == 0


def test_push_says_why(stopped):
    wall, data, name = stopped
    push = [wall.bin / "seawall", "wal", "push"]

    def says(words, *arguments, folder=data):
        done = subprocess.run([*push, *arguments], cwd=folder, env=wall.environment(), capture_output=True, text=True,
                              check=False)
        assert done.returncode == 1 and words in done.stderr, done

    assert subprocess.run([*push, f"pg_wal/{name}"], cwd=data, env=wall.environment(), check=False).returncode == 0
    says("is not the name of a WAL file", "pg_wal/nonsense")
    says("not that of a configured cluster", f"pg_wal/{name}", folder=other(data, name))
    wall.repository.rename(wall.folder / "away")
    says("does not exist", f"pg_wal/{name}")


def other(data, name):
    """A data directory that is no cluster's."""
    folder = data.parent / "other"
    (folder / "pg_wal").mkdir(parents=True)
    (folder / "pg_wal" / name).write_bytes((data / "pg_wal" / name).read_bytes())
    return folder


def test_push_dies_of_sigterm(stopped):
    wall, data, name = stopped
    fifo = data / "pg_wal" / (name[:-2] + "F0")
    os.mkfifo(fifo)
    with subprocess.Popen([wall.bin / "seawall", "wal", "push", f"pg_wal/{fifo.name}"], cwd=data,
                          env=wall.environment(), stderr=subprocess.PIPE) as command:
        try:
            command.wait(5)
        except subprocess.TimeoutExpired:
            command.terminate()
            assert command.wait(10) == -signal.SIGTERM
        else:
            assert command.returncode == 1  # a pipe is no segment, and is refused at once
