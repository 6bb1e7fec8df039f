"""The record walker against what servers of every version write, and against pg_waldump where there is one."""

import contextlib
import os
import pathlib
import random
import re
import subprocess
import threading

import psycopg2
import pytest
from seawalltest import wait_for
from seawalltest.cluster import DEBIAN_BIN

WALCHECK = pathlib.Path(os.environ.get("SEAWALL_BIN_DEBUG", "build/debug")) / "tests/tools/walcheck"
MAJORS = [13, 14, 15, 16, 17, 18]
COMPRESSIONS = ["off", "on"]  # the others are not built into the npm packages
COMPRESSIONS_DEBIAN = ["off", "pglz", "lz4", "zstd"]


def walcheck(segments, *options):
    """Exit status, records of interest, summary."""
    ended = subprocess.run([WALCHECK, *options, *segments], capture_output=True, text=True, check=False)
    told = [line for line in ended.stdout.splitlines() if re.match("[A-Z_]+ start=", line)]
    seen = dict(line.split("=", 1) for line in ended.stdout.splitlines() if re.match("[a-z_0-9]+=", line))
    return ended.returncode, told, seen | {"error": ended.stderr}


def work(cluster):
    """A little of everything that is written differently: images, compression, two phases, switches, big records."""
    compressions = COMPRESSIONS_DEBIAN if cluster.major == 15 else COMPRESSIONS
    cluster.sql("CREATE TABLE t (a int PRIMARY KEY, b text); CREATE INDEX ON t USING gin (to_tsvector('simple', b))")
    for number, compression in enumerate(compressions):
        cluster.configure(wal_compression=compression)
        first = number * 3000
        cluster.sql("INSERT INTO t SELECT g, repeat(md5(g::text), 1 + g %% 20) FROM generate_series(%s, %s) g",
                    first, first + 2999)
        cluster.sql("CHECKPOINT")
        cluster.sql("UPDATE t SET b = b || 'x' WHERE a % 5 = 0; DELETE FROM t WHERE a % 11 = 0")
        cluster.sql("BEGIN; SAVEPOINT s; INSERT INTO t VALUES (-1, 'x'); ROLLBACK TO s; COMMIT")
        cluster.sql("BEGIN; INSERT INTO t VALUES (-2, 'x'); ROLLBACK")
        cluster.sql(f"BEGIN; CREATE TABLE p{number} (a int PRIMARY KEY, b text); PREPARE TRANSACTION 'p{number}'")
        cluster.sql(f"COMMIT PREPARED 'p{number}'")
        cluster.sql(f"BEGIN; CREATE TABLE q{number} (a int); PREPARE TRANSACTION 'q{number}'")
        cluster.sql(f"ROLLBACK PREPARED 'q{number}'")
        cluster.one("SELECT pg_create_restore_point(%s)", f"point {number}")
        cluster.one("SELECT pg_logical_emit_message(true, 'm', repeat('x', 2500000))")
        cluster.switch_wal()
        cluster.sql("VACUUM t")
        cluster.sql(f"CREATE TABLE after{number} AS SELECT 1 AS a")  # the last switch of all has something to switch


def archive(made, major, **settings):
    """A cluster that has worked and copied its segments away; stopped."""
    folder = made.folder / "archive"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    cluster = made.cluster(major, archive_command=f"cp %p {folder}/%f", **settings).start()
    work(cluster)
    cluster.wait_archived()
    return cluster, folder


def segments_of(folder, timeline=1):
    return sorted(path for path in folder.iterdir() if re.fullmatch(f"{timeline:08X}[0-9A-F]{{16}}", path.name))


@pytest.mark.parametrize("major", MAJORS)
def test_segments_of_every_version_are_valid_together_and_alone(made, major):
    _, folder = archive(made, major, segment_mb=1)
    status, told, seen = walcheck(segments_of(folder))
    assert status == 0, seen["error"]
    assert seen["major"] == str(major) and seen["ended"] == "0" and seen["dirty_lsn"] == "0/0"
    rounds = len(COMPRESSIONS_DEBIAN if major == 15 else COMPRESSIONS)
    assert [re.search('text="(.*)"', line).group(1) for line in told if line.startswith("RESTORE_POINT")] == [
        f"point {number}" for number in range(rounds)]
    for kind in "COMMIT", "ABORT":
        prepared = [line for line in told if line.startswith(kind + " ") and " prepared=1 " in line]
        assert len(prepared) == rounds and not any(" xid=0 " in line for line in prepared)
    for segment in segments_of(folder):
        assert walcheck([segment], "--decode")[0] == 0
    status, _, counts = walcheck(segments_of(folder), "--decode")
    assert status == 0 and counts["decoded"] == seen["records"], counts["error"]
    assert int(counts["inserted"]) >= 3000 * rounds and int(counts["deleted"]) >= 272 * rounds


@pytest.mark.parametrize("segment_mb", [1, 16, 64])
def test_the_walker_sees_what_pg_waldump_sees(made, segment_mb):
    _, folder = archive(made, 15, segment_mb=segment_mb)
    segments = segments_of(folder)
    dump = subprocess.run([DEBIAN_BIN / "pg_waldump", "-p", folder, segments[0].name, segments[-1].name],
                          capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"})
    records = [line for line in dump.stdout.splitlines() if line.startswith("rmgr: ")]
    status, told, seen = walcheck(segments)
    assert status == 0, seen["error"]
    assert seen["records"] == str(len(records))
    assert lsn(seen["last_start"]) == lsn(re.search("lsn: ([0-9A-F]+/[0-9A-F]+)", records[-1]).group(1))
    assert [ended_of_dump(line) for line in records if re.search("desc: (COMMIT|ABORT)", line)] == [
        ended_of_walker(line) for line in told if re.match("COMMIT|ABORT", line)]


MANAGERS = ("XLOG Transaction Storage CLOG Database Tablespace MultiXact RelMap Standby Heap2 Heap Btree Hash Gin Gist "
            "Sequence SPGist BRIN CommitTs ReplicationOrigin Generic LogicalMessage").split()


def record_of_dump(line):
    """As walcheck --blocks prints it, but for the event."""
    manager, xid, high, low = re.match(r"rmgr: (\S+) .*?tx: +(\d+), lsn: ([0-9A-F]+)/([0-9A-F]+)", line).groups()
    blocks = re.findall(r"blkref (#\d+: rel \S+(?: fork \w+)? blk \d+(?: FPW)?)", line)
    return " ".join([f"{int(high, 16):X}/{int(low, 16):X} {MANAGERS.index(manager)} {xid}", *blocks])


@pytest.mark.parametrize("wal_level", ["replica", "logical"])
def test_every_block_reference_is_the_one_that_pg_waldump_sees(made, wal_level):
    _, folder = archive(made, 15, segment_mb=16, wal_level=wal_level)
    segments = segments_of(folder)
    dump = subprocess.run([DEBIAN_BIN / "pg_waldump", "-p", folder, segments[0].name, segments[-1].name],
                          capture_output=True, text=True, check=False)
    expected = [record_of_dump(line) for line in dump.stdout.splitlines() if line.startswith("rmgr: ")]
    told = subprocess.run([WALCHECK, "--blocks", *segments], capture_output=True, text=True, check=True).stdout
    assert [line.split(" | ")[0] for line in told.splitlines() if " | " in line] == expected
    assert len(expected) > 10000 and sum(" FPW" in line for line in expected) > 100


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def ended_of_dump(line):
    """Kind, LSN, xid and time of a transaction's end."""
    found = re.search(r"tx: +(\d+), lsn: (\S+), .*desc: (COMMIT|ABORT)(?:_PREPARED (\d+):)? "
                      r"(\S+ \d+:\d+:\d+\.\d+)", line)
    xid, start, kind, prepared, time = found.groups()
    return kind, lsn(start), prepared or xid, time.ljust(26, "0")


def ended_of_walker(line):
    kind, start, xid, time = re.match(r'(\w+) start=(\S+) .* xid=(\d+) .* time="(.*?)\+00"', line).groups()
    return kind, lsn(start), xid, (time if "." in time else time + ".").ljust(26, "0")


@pytest.mark.parametrize("major", MAJORS)
def test_a_promotion_is_walked_across_and_its_partial_segment_ends_at_the_fork(made, major):
    cluster, folder = archive(made, major, segment_mb=1)
    cluster.sql("INSERT INTO t SELECT g, 'y' FROM generate_series(100000, 101000) g")
    cluster.stop("immediate")
    (cluster.data / "standby.signal").touch()
    cluster.start()
    cluster.promote()
    cluster.wait_primary()
    cluster.sql("CHECKPOINT")
    cluster.wait_archived()
    fork = (folder / "00000002.history").read_text().split("\t")[1]
    child = segments_of(folder, 2)
    parent = [path for path in segments_of(folder) if path.name[8:] < child[0].name[8:]]
    status, told, seen = walcheck([*parent, *child])
    assert status == 0, seen["error"]
    assert seen["last_tli"] == "2"
    begins = [line for line in told
              if re.match("END_OF_RECOVERY|CHECKPOINT", line) and " new_tli=2 previous_tli=1 " in line]
    assert begins and f" start={fork} " in begins[0] and " tli=2 " in begins[0]
    partial = list(folder.glob("*.partial"))
    assert len(partial) == 1
    assert walcheck(partial, "--tail")[2]["end_lsn"] == fork
    assert walcheck(partial)[0] == 7


def write_until_killed(cluster):
    with contextlib.suppress(psycopg2.Error):
        cluster.sql("SELECT pg_logical_emit_message(false, 'm', repeat('x', 4000000 + 8 * g)) "
                    "FROM generate_series(1, 100000) g")


def crash_in_a_record(cluster, least_bytes):
    """PostgreSQL is killed while it writes records of several megabytes, after that many bytes, and started again."""
    writer = threading.Thread(target=write_until_killed, args=[cluster])
    begin = lsn(cluster.insert_lsn())
    writer.start()
    wait_for(lambda: lsn(cluster.insert_lsn()) > begin + least_bytes, "big records")
    cluster.kill()
    writer.join()
    cluster.start()


def test_a_crash_in_the_middle_of_a_record_leaves_valid_segments(made):
    cluster, folder = archive(made, 15, segment_mb=1, wal_buffers="64kB")
    for _ in range(3):
        crash_in_a_record(cluster, 20_000_000)
    cluster.wait_archived()
    segments = segments_of(folder)
    status, _, seen = walcheck(segments, "--quiet")
    assert status == 0, seen["error"]
    assert all(walcheck([segment], "--quiet")[0] == 0 for segment in segments)


def test_a_flipped_bit_in_a_segment_is_found_or_means_nothing(made):
    _, folder = archive(made, 15, segment_mb=1)
    chosen = random.Random(15)
    flipped = made.folder / "flipped"
    flipped.mkdir()
    found = 0
    for segment in chosen.sample(segments_of(folder), 3):
        content = bytearray(segment.read_bytes())
        _, told, seen = walcheck([segment])
        for _ in range(100):
            at = chosen.randrange(len(content))
            content[at] ^= 1 << chosen.randrange(8)
            (flipped / segment.name).write_bytes(content)
            status, told_now, seen_now = walcheck([flipped / segment.name])
            content = bytearray(segment.read_bytes())
            if status == 0:  # in padding, behind a switch, or in a record that another segment begins or ends
                assert told_now == told and seen_now | {"dirty_lsn": ""} == seen | {"dirty_lsn": ""}
            found += status == 7
    assert found > 100
