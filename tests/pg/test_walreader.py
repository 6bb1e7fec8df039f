"""What the reader makes of whole archives: sums equal to those of pg_waldump (15), rows and commits equal to what was done (all versions)."""

import collections
import contextlib
import re
import subprocess

import pytest
from seawalltest.cluster import DEBIAN_BIN
from test_walwalk import COMPRESSIONS, COMPRESSIONS_DEBIAN, MAJORS, WALCHECK, segments_of, walcheck

PAGE = 8192


def cluster_with_archive(made, major, **settings):
    folder = made.folder / "archive"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    cluster = made.cluster(major, segment_mb=1, archive_command=f"cp %p {folder}/%f", **settings).start()
    return cluster, folder


def sums_of_dump(folder, segments):
    """The summary that walcheck --decode prints, from the text of pg_waldump with its block references."""
    dump = subprocess.run([DEBIAN_BIN / "pg_waldump", "-b", "-p", folder, segments[0].name, segments[-1].name],
                          capture_output=True, text=True, check=False).stdout
    sums = collections.Counter()
    for line in dump.splitlines():
        if line.startswith("rmgr: "):
            sums["decoded"] += 1
            ended = re.search(r"desc: (COMMIT|ABORT|PREPARE|ASSIGNMENT)(_PREPARED)?\b", line)
            if not ended:
                continue
            sums["event_" + ended.group(1).lower()] += 1
            sums["prepared"] += bool(ended.group(2))
            if ended.group(1) in ("COMMIT", "ABORT"):
                for list_name, key in ("subxacts", "subxids"), ("rels", "files"):
                    found = re.search(rf"; {list_name}: ([^;]*)", line)
                    sums[key] += len(found.group(1).split()) if found else 0
        elif "blkref #" in line:
            sums["blocks"] += 1
            if "(FPW" not in line:
                continue
            hole = int(re.search(r"hole: offset: \d+, length: (\d+)", line).group(1))
            saved = re.search(r"compression saved: (\d+), method: (\w+)", line)
            method = saved.group(2) if saved else "plain"
            sums["images"] += 1
            sums[f"images_{method}"] += 1
            sums[f"hole_bytes_{method}"] += hole
            sums[f"image_bytes_{method}"] += PAGE - hole - (int(saved.group(1)) if saved else 0)
    return sums


@pytest.mark.parametrize("wal_level", ["replica", "logical"])
def test_sums_of_records_blocks_images_and_commits_are_those_of_pg_waldump(made, wal_level):
    cluster, folder = cluster_with_archive(made, 15, wal_level=wal_level)
    cluster.sql("CREATE TABLE t (a int PRIMARY KEY, b text)")
    for number, compression in enumerate(COMPRESSIONS_DEBIAN):
        cluster.configure(wal_compression=compression)
        cluster.sql(f"INSERT INTO t SELECT g, repeat(md5(g::text), 9) FROM generate_series({number}000, {number}999) g")
        cluster.sql("CHECKPOINT")
        cluster.sql("UPDATE t SET b = b || 'x' WHERE a % 3 = 0")
        with contextlib.closing(cluster.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            for sub in range(70 + number):  # more than a PGPROC remembers, so that assignments are written
                cursor.execute(f"SAVEPOINT s{sub}")
                cursor.execute("INSERT INTO t VALUES (%s, 'sub')", [100000 + 1000 * number + sub])
            cursor.execute("CREATE TABLE dropped AS SELECT 1 AS a; DROP TABLE dropped")
            cursor.execute("COMMIT" if number % 2 else f"PREPARE TRANSACTION 'p{number}'")
            if number % 2 == 0:
                cursor.execute(f"COMMIT PREPARED 'p{number}'")
        cluster.sql("BEGIN; CREATE TABLE gone (a int); SAVEPOINT s; DELETE FROM t WHERE a < 100; ROLLBACK")
        cluster.switch_wal()
    cluster.sql("CREATE TABLE last AS SELECT 1 AS a")
    cluster.switch_wal()
    cluster.wait_archived()
    segments = segments_of(folder)
    status, _, told = walcheck(segments, "--decode")
    assert status == 0, told["error"]
    expected = sums_of_dump(folder, segments)
    assert {key: int(told[key]) for key in expected} == dict(expected)
    assert expected["subxids"] >= 286 and expected["files"] >= 8 and expected["prepared"] == 2
    assert expected["event_assignment"] > 0
    assert all(expected[f"images_{method}"] > 0 for method in ["plain", *COMPRESSIONS_DEBIAN[1:]])


class Done:
    """What was done to the table t, and how each transaction ended."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.rows = collections.Counter()
        self.commits, self.aborts = set(), set()

    def transaction(self, statements, end="COMMIT"):
        with contextlib.closing(self.cluster.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT txid_current()")
            xid = cursor.fetchone()[0]
            for kind, statement in statements:
                cursor.execute(statement)
                self.rows[kind] += max(cursor.rowcount, 0)
            if end.endswith("PREPARED"):
                cursor.execute("PREPARE TRANSACTION 'done'")
                cursor.execute(f"{end} 'done'")
            else:
                cursor.execute(end)
        (self.commits if end.startswith("COMMIT") else self.aborts).add(xid)


@pytest.mark.parametrize("major", MAJORS)
def test_rows_and_ends_of_transactions_are_those_that_were_done(made, major):
    cluster, folder = cluster_with_archive(made, major)
    cluster.sql("CREATE TABLE t (a int, b text)")
    relation = cluster.one("SELECT pg_relation_filenode('t')")
    done = Done(cluster)
    for number, compression in enumerate(COMPRESSIONS_DEBIAN if major == 15 else COMPRESSIONS):
        cluster.configure(wal_compression=compression)
        cluster.sql("CHECKPOINT")
        for n in range(20):
            done.transaction([("inserted", f"INSERT INTO t VALUES ({n}, repeat('x', {100 * n}))"), ("", "SAVEPOINT s"),
                              ("inserted", f"INSERT INTO t SELECT g, 'y' FROM generate_series(1000, {1200 + n}) g"),
                              ("updated", f"UPDATE t SET b = b || 'u' WHERE a = {n}")])
        done.transaction([("deleted", "DELETE FROM t WHERE a > 1100")], "ROLLBACK")
        done.transaction([("deleted", f"DELETE FROM t WHERE a = {number + 3}")], "COMMIT PREPARED")
        done.transaction([("updated", "UPDATE t SET a = a + 1 WHERE a = 1")], "ROLLBACK PREPARED")
        cluster.switch_wal()
    cluster.sql("DROP TABLE t")
    cluster.switch_wal()
    cluster.wait_archived()
    told = subprocess.run([WALCHECK, "--blocks", *segments_of(folder)], capture_output=True, text=True, check=True).stdout
    rows = collections.Counter()
    for inserted, updated, deleted in re.findall(rf" #0: rel \d+/\d+/{relation} blk .* \| rows \+(\d+) ~(\d+) -(\d+)", told):
        rows.update(inserted=int(inserted), updated=int(updated), deleted=int(deleted))
    assert rows == collections.Counter({kind: count for kind, count in done.rows.items() if kind})
    assert done.commits <= {int(xid) for xid in re.findall(r"\| commit (\d+)", told)}
    assert done.aborts <= {int(xid) for xid in re.findall(r"\| abort (\d+)", told)}
