"""Changed blocks against the truth: what differs between two stopped copies of a cluster, and what the index says of the WAL between."""

import contextlib
import io
import json
import re
import shutil
from collections import namedtuple

from . import index

BLOCK_BYTES = 8192
MAIN_FORK = re.compile(r"(\d+)(?:\.(\d+))?$")
PG_DEFAULT, PG_GLOBAL = 1663, 1664
ROWS = 2400  # of some 900 bytes: 300 blocks
ZEROS = bytes(BLOCK_BYTES)

BEFORE = [
    *(f"CREATE TABLE {name} (n int, filler text); INSERT INTO {name} SELECT n, repeat('x', 900) FROM generate_series(1, {ROWS}) n"
      for name in ("extended", "refilled", "kept", "emptied", "gone", "frozen", "rewritten", "victims")),
    "CREATE UNLOGGED TABLE unlogged AS SELECT * FROM kept",
    "CREATE TABLE hashed (n int); CREATE INDEX hashed_n ON hashed USING hash (n); INSERT INTO hashed SELECT generate_series(1, 3000)",
    "DELETE FROM extended WHERE n > 60", "VACUUM (TRUNCATE off)", "CHECKPOINT",
]
# Each entry alone, in order. postgres-facts.md B.5 by name: what is truncated and extended again by pages that were never written
# ("extended": its rows are deleted before, so that the limit alone tells of them), and what is truncated and filled again behind it
# ("refilled").
WORK = [
    "VACUUM extended", ("COPY", "extended", 400),
    "DELETE FROM refilled WHERE n > 60", "VACUUM refilled", "CHECKPOINT",
    "INSERT INTO refilled SELECT n, repeat('y', 900) FROM generate_series(1, 400) n", "CHECKPOINT",
    "UPDATE kept SET filler = 'z' WHERE n % 50 = 0",
    "CREATE INDEX kept_n ON kept (n)", "CREATE INDEX kept_brin ON kept USING brin (n)",
    "CREATE INDEX kept_gin ON kept USING gin (to_tsvector('simple', filler))",
    "INSERT INTO hashed SELECT generate_series(1, 20000)",
    "INSERT INTO unlogged SELECT n, 'u' FROM generate_series(1, 2000) n",
    "VACUUM (FREEZE) frozen", "VACUUM FULL rewritten",
    "BEGIN; INSERT INTO kept VALUES (0, 'never'); ROLLBACK",
    "BEGIN; INSERT INTO kept VALUES (0, 'soon'); PREPARE TRANSACTION 'soon'", "COMMIT PREPARED 'soon'",
    "BEGIN; INSERT INTO kept VALUES (1, 'top'); SAVEPOINT s; INSERT INTO kept VALUES (2, 'sub'); COMMIT",
    "DELETE FROM victims WHERE n <= 1000", "TRUNCATE emptied", "INSERT INTO emptied VALUES (1, 'new')", "DROP TABLE gone",
]
SUBTRANSACTIONS = 1  # that are committed in WORK

Window = namedtuple("Window", "first last commits aborts")  # segments; transactions that ended in them, as the server knows


def databases(cluster):
    if cluster.major < 15:
        return {"copied": "CREATE DATABASE copied"}
    return {"copied": "CREATE DATABASE copied STRATEGY file_copy", "logged": "CREATE DATABASE logged STRATEGY wal_log"}


def before(cluster, copy):
    """A cluster with tables, stopped, and its copy. Nothing of its WAL so far is to be archived."""
    for statement in BEFORE:
        cluster.sql(statement)
    cluster.switch_wal()
    cluster.stop()
    shutil.copytree(cluster.data, copy, symlinks=True, ignore=shutil.ignore_patterns("pg_wal"))
    for name in (cluster.data / "pg_wal/archive_status").glob("*.ready"):
        name.unlink()


def segno(name, segment_mb=1):
    return int(name[8:16], 16) * (4096 // segment_mb) + int(name[16:], 16)


def work(cluster):
    first = segno(cluster.switch_wal()) + 1
    begun = int(cluster.one("SELECT pg_current_xact_id()::text"))
    for statement in WORK:
        if isinstance(statement, str):
            cluster.sql(statement)
            continue
        _, table, rows = statement
        with contextlib.closing(cluster.connect()) as connection, connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO("".join(f"{n}\t{'c' * 900}\n" for n in range(rows))))
    for name, statement in databases(cluster).items():
        cluster.sql(statement)
        cluster.sql("CREATE TABLE inside AS SELECT generate_series(1, 1000) n", dbname=name)
    ended = int(cluster.one("SELECT pg_current_xact_id()::text"))
    states = dict(cluster.sql("SELECT pg_xact_status(x::text::xid8), count(*) FROM generate_series(%s::bigint, %s::bigint) x GROUP BY 1",
                              begun, ended))
    assert set(states) == {"committed", "aborted"}, states
    return Window(first, segno(cluster.switch_wal()), states["committed"] - SUBTRANSACTIONS, states["aborted"])


def main_forks(data):
    """(tablespace, database, number) -> content of its main fork. Without unlogged ones: those are no part of a backup."""
    found = {}
    folders = [(PG_GLOBAL, 0, data / "global")]
    folders += [(PG_DEFAULT, int(folder.name), folder) for folder in (data / "base").iterdir() if folder.name.isdigit()]
    for tablespace, database, folder in folders:
        parts = {}
        for path in folder.iterdir():
            match = MAIN_FORK.match(path.name)
            if match and not path.with_name(f"{match[1]}_init").exists():
                parts.setdefault(int(match[1]), {})[int(match[2] or 0)] = path
        for number, files in parts.items():
            assert sorted(files) == [0], "one segment file each is enough here"
            found[tablespace, database, number] = files[0].read_bytes()
    return found


def pages(content):
    return [content[at:at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]


class Told:
    """What the pieces say together: marks and limits, kept apart."""

    def __init__(self, pieces):
        self.marks, self.limits = {}, {}
        for piece in pieces:
            for relation, (limit, blocks) in piece.relations.items():
                self.marks.setdefault(relation, set()).update(blocks)
                if limit is not None:
                    self.limits[relation] = min(limit, self.limits.get(relation, limit))

    def limit(self, relation):
        whole = self.limits.get((relation[0], relation[1], 0))
        limits = [limit for limit in (whole, self.limits.get(relation)) if limit is not None]
        return min(limits) if limits else None


def unexplained(was, now, told):
    """What of the difference between two main forks the index does not tell, as sentences; and the pages that a limit alone tells."""
    wrong, by_limit = [], {}
    for relation in was.keys() | now.keys():
        limit, marks = told.limit(relation), told.marks.get(relation, set())
        if relation not in now or relation not in was:
            if limit != 0:
                wrong.append(f"{relation} is {'new' if relation in now else 'gone'}, and its limit is {limit}")
            continue
        old, new = pages(was[relation]), pages(now[relation])
        if len(new) < len(old) and (limit is None or limit > len(new)):
            wrong.append(f"{relation} has {len(new)} blocks of {len(old)}, and its limit is {limit}")
        # behind its old end all of a file is copied, whatever the index says
        changed = {block for block, (page, before_) in enumerate(zip(new, old)) if page != before_}
        above = {block for block in changed if limit is not None and block >= limit}
        wrong += [f"{relation} block {block}" for block in sorted(changed - marks - above)]
        by_limit[relation] = above - marks
    return wrong, by_limit


def check(cluster, copy, after, pieces, named):
    """named: the tables of BEFORE, as relations. Returns how many pages differ."""
    was, now, told = main_forks(copy), main_forks(after), Told(pieces)
    wrong, by_limit = unexplained(was, now, told)
    assert not wrong, wrong[:20]
    assert len(unexplained(was, now, Told([]))[0]) > 100  # without an index nothing would be explained
    assert not any(piece.flags & 1 for piece in pieces), "changed blocks are said to be unknown"
    # B.5, first: below its old length there are pages that nobody wrote; only the limit tells (16 and later extend so)
    zero = {block for block in by_limit[named["extended"]] if pages(now[named["extended"]])[block] == ZEROS}
    if cluster.major >= 16:
        assert zero, "no page was extended without being written: the case was not met"
    # B.5, second: what was written behind the truncation is still marked
    refilled = named["refilled"]
    assert any(block >= told.limits[refilled] for block in told.marks[refilled])
    assert told.limits[refilled] * BLOCK_BYTES < len(was[refilled])
    changed = sum(page != before_ for relation in was.keys() & now.keys()
                  for page, before_ in zip(pages(now[relation]), pages(was[relation])))
    assert changed > 100
    return changed


def numbers(cluster):
    database = cluster.one("SELECT oid FROM pg_database WHERE datname = current_database()")
    return {name: (PG_DEFAULT, database, cluster.one(f"SELECT pg_relation_filenode('{name}')"))
            for name in ("extended", "refilled", "emptied", "gone", "victims")}


def story(made, major, unseal):
    """What was changed between two stopped copies of a cluster is in the index of the WAL between them; and so is what happened."""
    cluster = made.cluster(major, segment_mb=1, wal_keep_size="1GB").start()
    wall, copy = made.seawall(cluster), made.folder / "before"
    before(cluster, copy)
    cluster.start()
    wall.init()
    wall.archive()
    named = numbers(cluster)
    window = work(cluster)
    truncated = named["emptied"]  # its old file
    cluster.stop()
    after = made.folder / "after"
    shutil.copytree(cluster.data, after, symlinks=True, ignore=shutil.ignore_patterns("pg_wal"))
    cluster.start()  # the end of what was written before the stop comes into the archive now
    wall.wait_archived()
    wall.run("wal", "index")
    pieces = index.pieces(wall, unseal)
    assert [piece.first for piece in pieces][0] > 1  # archived from the middle of the timeline on
    changed = check(cluster, copy, after, pieces, named)
    segments = [segment for piece in pieces for segment in piece.segments if window.first <= segment.number <= window.last]
    assert sum(segment.commits for segment in segments) == window.commits
    assert sum(segment.aborts for segment in segments) == window.aborts
    print(f"PostgreSQL {major}: {changed} pages differ, {window.commits} commits, {window.aborts} aborts")
    for arguments, relation, rows in (("--dropped *", named["gone"], "0"), ("--truncated", truncated, "0"),
                                      ("--deleted 1000+", named["victims"], "1000")):
        events = json.loads(wall.run("find", *arguments.split(), "--json").out)["events"]
        (found,) = (event for event in events if event["file_number"] == relation[2])
        assert (found["rows"], found["database_oid"]) == (rows, relation[1]), found
