"""`seawall check`: each of its steps is broken, and exactly that one says so."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import pytest

from seawalltest import process, wait_for
from seawalltest.scenario import archiving


@pytest.fixture(name="good")
def fixture_good(made):
    """A cluster that archives, with a server: everything is in order."""
    cluster, wall = archiving(made, serve=False)
    wall.serve()
    return cluster, wall


def check(wall, *options, **environment):
    """What each step said: {step: (outcome, note, hint)}, and the exit status."""
    result = wall.run("check", "--json", *options, status=None, **environment)
    steps = json.loads(result.out)["steps"]
    assert json.loads(result.out)["good"] == (result.status == 0)
    assert result.status in (0, 1), result
    return {step["step"]: (step["outcome"], step["note"], step.get("hint", "")) for step in steps}


def bad_steps(steps, outcome="failed"):
    # The scratch repository is on the disk of the data directory, and says so.
    return {name for name, (found, _, _) in steps.items() if found == outcome and name != "disk"}


def broken(wall, step, words, *options, **environment):
    """Exactly this step fails, says these words, and hints at something."""
    steps = check(wall, *options, **environment)
    assert bad_steps(steps) == {step}, steps
    _, note, hint = steps[step]
    assert words in note, note
    assert hint
    return steps


def warned(wall, step, words):
    steps = check(wall)
    assert bad_steps(steps) == set(), steps
    assert step in bad_steps(steps, "warning"), steps
    assert words in steps[step][1]


def test_all_is_well(good):
    _, wall = good
    steps = check(wall)
    assert bad_steps(steps) == set() and bad_steps(steps, "warning") == set(), steps
    assert bad_steps(steps, "skipped") == set()
    assert "is in the repository after" in steps["one segment"][1]
    segment = steps["one segment"][1].split('"')[1]
    assert segment in wall.run("wal", "list").out
    text = wall.run("check").out
    assert len([line for line in text.splitlines() if line.startswith(("ok", "warning"))]) == len(steps)


def test_settings(good):
    _, wall = good
    wall.sections["server"]["memroy"] = "1GB"
    wall.write_config()
    result = wall.run("check", status=3)
    assert 'Did you mean "memory"?' in result.err


def test_user_the_data_directory_is_not_there(good):
    _, wall = good
    wall.sections["cluster main"]["pgdata"] = wall.folder / "elsewhere"
    wall.write_config()
    steps = check(wall)
    assert steps["user"][0] == "failed" and "elsewhere" in steps["user"][1]
    assert steps["data directory"][0] == "failed"


def test_programs(good, scratch):
    _, wall = good
    alone = scratch / "alone"
    alone.mkdir()
    shutil.copy(wall.bin / "seawall", alone)
    alone.chmod(0o755)
    wall.bin = alone
    broken(wall, "programs", "seawall-wal is not beside")


def test_state(good):
    _, wall = good
    (wall.folder / "other").write_text("a file")
    wall.sections["server"]["state"] = wall.folder / "other"
    wall.write_config()
    broken(wall, "state", "could not use the state folder")


def test_server_none_runs(good):
    _, wall = good
    wall.stop()
    warned(wall, "server", "none runs")


def test_server_hangs_is_told_within_its_deadline(good):
    _, wall = good
    wall.freeze()
    begun = time.monotonic()
    steps = check(wall, "--no-segment")
    wall.thaw()
    assert steps["server"][0] == "failed", steps
    assert time.monotonic() - begun < 60


def test_repository_is_missing(good):
    _, wall = good
    wall.sections["repository local"]["url"] = f"file://{wall.folder}/unmounted"
    wall.write_config()
    broken(wall, "repository", "unmounted")


def test_each_repository_of_a_cluster_is_looked_at(good):
    _, wall = good
    wall.sections["repository second"] = {"url": f"file://{wall.folder}/second"}
    wall.sections["cluster main"]["repositories"] = "local, second"
    wall.write_config()
    result = wall.run("check", "--json", "--no-segment", status=1)
    said = {(step["step"], step["repository"]): step["outcome"] for step in json.loads(result.out)["steps"] if "repository" in step}
    assert said["repository", "local"] == "ok" and said["repository", "second"] == "failed", said
    assert said["several writers", "local"] == "ok" and said["several writers", "second"] == "skipped", said
    assert said["timeline", "local"] == "ok" and said["timeline", "second"] == "skipped", said
    assert "failed   repository (second): " in wall.run("check", "--no-segment", status=1).out
    wall.init()
    text = wall.run("check", "--no-segment").out
    assert "ok       several writers (local): " in text and "ok       several writers (second): " in text, text


def test_repository_of_another_format(good):
    _, wall = good
    path = wall.repository / "seawall.json"
    path.chmod(0o600)
    path.write_text(path.read_text().replace('"format": 1', '"format": 9').replace('"format":1', '"format":9'))
    steps = check(wall)
    assert steps["repository"][0] == "failed" and "9" in steps["repository"][1], steps


def test_write_read_delete(good):
    _, wall = good
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    probe = wall.repository / "probe"
    drafts = wall.repository / ".drafts"
    probe.chmod(0o500)
    drafts.chmod(0o500)
    try:
        steps = check(wall, "--no-segment")
    finally:
        probe.chmod(0o700)
        drafts.chmod(0o700)
    assert bad_steps(steps) == {"write, read, delete"}, steps
    assert "could not write an object" in steps["write, read, delete"][1]
    assert steps["write, read, delete"][2]


def test_connection(good):
    cluster, wall = good
    cluster.stop()
    broken(wall, "connection", "could not connect")


class Impostor:
    """Stands between a program and PostgreSQL, and changes what the server says of its version: none that old is here."""

    def __init__(self, cluster, folder, old, new):
        assert len(old) == len(new)
        self.cluster, self.words, self.seen = cluster, list(zip(old, new)), 0
        folder.mkdir(mode=0o700)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(folder / ".s.PGSQL.5432"))
        self.listening.listen(5)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self.cluster.sockets}/.s.PGSQL.{self.cluster.port()}")
            threading.Thread(target=self.carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, True), daemon=True).start()

    def carry(self, source, target, change):
        """A message may come in pieces; these are short, and the server sends them in one."""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                for old, new in self.words if change else []:
                    self.seen += data.count(old)
                    data = data.replace(old, new)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self.listening.close()


@pytest.mark.parametrize("major", [12, 99])
def test_an_unsupported_version_is_told(good, scratch, major):
    cluster, wall = good
    assert check(wall, "--no-segment")["PostgreSQL"][1].startswith(f"{cluster.major}.")
    number = cluster.one("SHOW server_version_num")
    told = cluster.one("SHOW server_version").split()[0]
    said = [(told, f"{major}{told[2:]}"), (number, f"{major}{number[2:]}")]
    impostor = Impostor(cluster, scratch / "old", *[[text.encode() for text in side] for side in zip(*said)])
    wall.sections["cluster main"]["connect"] = cluster.dsn().replace(str(cluster.sockets), str(scratch / "old"))
    wall.write_config()
    steps = check(wall, "--no-segment")
    wall.stop()  # it has not read the settings again
    backup = wall.run("backup", status=None)
    impostor.close()
    assert impostor.seen > 0
    assert bad_steps(steps) == {"PostgreSQL"}, steps
    assert f"PostgreSQL {major} is not supported" in steps["PostgreSQL"][1] and "13 to 18" in steps["PostgreSQL"][1]
    assert backup.status > 0 and f"PostgreSQL {major} is not supported" in backup.err, backup


def test_data_directory_of_another_cluster(good, made):
    _, wall = good
    other = made.cluster(name="other")
    wall.sections["cluster main"]["pgdata"] = other.data
    wall.write_config()
    steps = check(wall, "--no-segment")
    assert bad_steps(steps) == {"data directory"}, steps
    assert "leads to the cluster in" in steps["data directory"][1]


def test_role_without_rights(good):
    cluster, wall = good
    cluster.sql("CREATE ROLE weak LOGIN")
    wall.sections["cluster main"]["connect"] = cluster.dsn().replace("user=postgres", "") + " user=weak"
    wall.write_config()
    steps = check(wall)
    assert bad_steps(steps) == {"role"}, steps
    assert '"weak" may not call pg_backup_start, pg_backup_stop, pg_switch_wal' in steps["role"][1]
    assert "setup.sql" in steps["role"][2]
    cluster.sql("GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_switch_wal() "
                "TO weak")
    steps = check(wall, "--no-segment")
    assert "pg_read_all_settings" in steps["role"][1] and bad_steps(steps) == {"role"}


def restart(cluster, **settings):
    cluster.configure(**settings)
    cluster.stop()
    cluster.start()


def test_wal_level(good):
    cluster, wall = good
    restart(cluster, wal_level="minimal", archive_mode="off", max_wal_senders="0")
    steps = check(wall)
    assert bad_steps(steps) == {"wal_level", "archive_mode"}, steps
    assert steps["one segment"][0] == "skipped"


def test_full_page_writes(good):
    cluster, wall = good
    cluster.configure(full_page_writes="off")
    broken(wall, "wal_level", "full_page_writes is off")


def test_archive_mode(good):
    cluster, wall = good
    restart(cluster, archive_mode="off")
    broken(wall, "archive_mode", 'is "off"')


def test_archive_command_is_empty(good):
    cluster, wall = good
    cluster.configure(archive_command="")
    steps = broken(wall, "archive_command", "is empty")
    assert str(wall.config) in steps["archive_command"][2]


def test_archive_command_is_another(good):
    cluster, wall = good
    cluster.configure(archive_command="/bin/true")
    broken(wall, "archive_command", "does not call seawall-wal: /bin/true")


def test_archiver_fails(good):
    cluster, wall = good
    cluster.configure(archive_command="/bin/false # seawall-wal push %p")
    cluster.sql("SELECT txid_current()")
    cluster.switch_wal()
    wait_for(lambda: cluster.one("SELECT failed_count FROM pg_stat_archiver") > 0, "a failure", 30)
    broken(wall, "archiver", "fails with", "--no-segment")


def test_one_segment_does_not_arrive(good):
    """archive_command looks right, and lies."""
    cluster, wall = good
    cluster.configure(archive_command="/bin/true # seawall-wal push %p")
    steps = check(wall)
    assert bad_steps(steps) == {"one segment"}, steps
    assert "is archived, and it is not in the repository" in steps["one segment"][1]


def test_the_disk_is_shared(good):
    _, wall = good
    steps = check(wall, "--no-segment")
    assert steps["disk"][0] == "warning"
    assert "on the disk of the data directory" in steps["disk"][1]
    assert "on the same disk" in wall.run("status").out


FULL_DISK_C = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/statvfs.h>
int fstatvfs(int fd, struct statvfs *space)
{
	int (*real)(int, struct statvfs *) = dlsym(RTLD_NEXT, "fstatvfs");
	int result = real(fd, space);

	space->f_bfree = space->f_bavail = space->f_blocks / 25;
	return result;
}
"""


def preloaded(folder, source):
    """The environment in which a program uses these functions instead of libc's."""
    library = folder / "preloaded.so"
    library.with_suffix(".c").write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, library.with_suffix(".c"), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def test_the_disk_is_nearly_full(good, scratch):
    """One that says that 4 % are free: filling a real one takes another's space, or root's rights."""
    _, wall = good
    assert "nearly full" not in check(wall, "--no-segment")["disk"][1]
    steps = check(wall, "--no-segment", **preloaded(scratch, FULL_DISK_C))
    outcome, note, hint = steps["disk"]
    assert outcome == "warning" and "is nearly full" in note and hint == "Make room, or move the repository.", steps
    assert bad_steps(steps) == set() and bad_steps(steps, "warning") == set(), steps


@pytest.mark.needs_root
def test_the_disk_is_really_nearly_full(good, scratch):
    """A small file system of its own, with a file that takes nearly all of it."""
    cluster, wall = good
    wall.stop()
    mounted = scratch / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0777", "none", mounted], check=True)
    try:
        wall.sections["repository local"]["url"] = f"file://{mounted}/repository"
        wall.write_config()
        wall.init()
        process.own(mounted / "repository")
        assert check(wall, "--no-segment")["disk"][0] == "ok", "neither full nor shared"
        (mounted / "filling").write_bytes(bytes(61 << 20))
        steps = check(wall, "--no-segment")
    finally:
        cluster.stop()
        subprocess.run(["umount", "-l", mounted], check=True)
    assert steps["disk"][0] == "warning" and "is nearly full" in steps["disk"][1], steps


CLOCK_C = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(id, t);

	if (id == CLOCK_REALTIME)
		t->tv_sec -= 3600;
	return result;
}
"""


def test_clocks(good, scratch):
    """This program's clock is an hour behind: the repository's and PostgreSQL's are ahead of it."""
    _, wall = good
    steps = check(wall, "--no-segment", **preloaded(scratch, CLOCK_C))
    assert bad_steps(steps) == set(), steps
    assert bad_steps(steps, "warning") == {"clock", "PostgreSQL's clock"}, steps
    assert "ahead" in steps["clock"][1]


def test_quiet_shows_failures_only(good):
    cluster, wall = good
    assert wall.run("check", "--quiet", "--no-segment").out == ""
    cluster.configure(archive_command="")
    out = wall.run("check", "--quiet", status=1).out
    assert len([line for line in out.splitlines() if not line.startswith(" ")]) == 1


def test_the_repository_is_not_changed(good):
    _, wall = good
    wall.run("check", "--no-segment")
    before = sorted(pathlib.Path(wall.repository).rglob("*"))
    wall.run("check", "--no-segment")
    assert sorted(pathlib.Path(wall.repository).rglob("*")) == before
