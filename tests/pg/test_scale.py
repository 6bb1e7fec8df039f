"""A cluster of 100 000 files: backed up and restored with little memory, and every file is what it was."""

import os
import pathlib
import re
import tempfile

import pytest
from seawalltest import checks, process, wait_for
from seawalltest.cluster import Cluster
from seawalltest.fixtures import remove_later

FILES = 100_000
TABLES = 1000  # real ones; the other files look like theirs
FIRST_NODE = 5_000_000  # no relation has such a number in a new cluster
MEMORY_MB = 32  # the setting
PEAK_MB_MAX = 64
ROOM_BYTES = 4 << 30


@pytest.fixture
def scratch():
    """In memory where there is room: to remove so many files again takes minutes on some disks."""
    memory = pathlib.Path("/dev/shm")
    room = os.statvfs(memory) if memory.is_dir() else None
    roomy = room and room.f_bavail * room.f_frsize >= ROOM_BYTES and os.access(memory, os.W_OK)
    folder = process.own(pathlib.Path(tempfile.mkdtemp(prefix="sw.", dir=memory if roomy else "/tmp")))
    yield folder
    remove_later(folder)


def many_files(cluster):
    """Files as small tables have them: a valid page, a new page, or nothing."""
    cluster.sql("DO $$ BEGIN FOR i IN 1..%s LOOP EXECUTE format('CREATE TABLE small_%%s AS SELECT %%s AS a', i, i); "
                "END LOOP; END $$" % TABLES)
    cluster.sql("CHECKPOINT")
    path = cluster.data / cluster.one("SELECT pg_relation_filepath('small_1')")
    contents = (path.read_bytes(), bytes(8192), b"")
    for node in range(FIRST_NODE, FIRST_NODE + FILES):
        with open(path.with_name(str(node)), "wb", buffering=0) as file:
            file.write(contents[node % 3])
    return path.parent, contents


def run_measured(wall, *arguments, deadline_s=300):
    """A command that must succeed; returns its peak memory in MB."""
    command, peak = wall.start_command(*arguments), 0

    def ended():
        nonlocal peak
        status = process.status(command.pid)
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak = int(found[1]) // 1024 if found else peak
        return command.poll() is not None

    wait_for(ended, f"the end of {arguments[0]}", deadline_s)
    out, err = command.communicate()
    assert command.returncode == 0, out + err
    return peak


def test_100000_files_are_backed_up_and_restored_in_bounded_memory(made):
    cluster = made.cluster()
    cluster.start()
    wall = made.seawall(cluster, memory=f"{MEMORY_MB}MB")
    wall.init()
    wall.archive()
    folder, contents = many_files(cluster)
    peaks = {"backup": run_measured(wall, "backup")}
    restored = made.add(Cluster(made.folder, 15, "restored"))
    peaks["restore"] = run_measured(wall, "restore", "--to", "backup-end", "--pgdata", restored.data, "--option",
                                    f"unix_socket_directories={restored.sockets}")
    print(f"peak memory in MB: {peaks}")
    there = restored.data / folder.relative_to(cluster.data)
    for node in range(FIRST_NODE, FIRST_NODE + FILES):
        assert (there / str(node)).read_bytes() == contents[node % 3], node
    checks.verify_directory(restored.data)
    restored.start().wait_primary()
    assert restored.one("SELECT count(*) FROM pg_class WHERE relname ~ '^small_'") == TABLES
    assert restored.one(f"SELECT a FROM small_{TABLES}") == TABLES
    assert max(peaks.values()) <= PEAK_MB_MAX
