"""Targets whose place only the WAL knows: restore points and transactions."""

import contextlib

import pytest
from seawalltest import Target
from seawalltest.ledger import lsn_bytes
from test_restore import Story, begin, refused


@pytest.fixture(params=[15], ids=lambda major: f"pg{major}")
def story(made, request):
    return begin(Story(made, request.param))


def test_a_restore_point_that_exists_twice_is_refused_with_both_places(story):
    first = story.ledger.mark("nightly")
    story.write(10)
    second = story.ledger.mark("nightly")
    story.write(10)
    story.archived()
    restored, result = story.restore("--to", "name:nightly", status=5)
    assert 'more than one restore point "nightly"' in result.err and not restored.data.exists(), result
    ways = result.err.split('--to lsn:')[1:]
    assert len(ways) == 2, result
    for mark, way in zip((first, second), ways):
        restored, _ = story.restore("--to", f"lsn:{way.split(chr(34))[0]}")
        story.ledger.check(restored, Target("lsn", mark.lsn, mark=mark))
        restored.stop("immediate")
    # a backup between the two meets only the second
    story.backup()
    third = story.ledger.mark("nightly")
    story.write(10)
    story.archived()
    restored, _ = story.restore("--to", "name:nightly")
    assert {n for (n,) in restored.sql("SELECT n FROM ledger")} == third.rows


def test_what_no_backup_leads_to_is_told_and_what_an_older_one_leads_to_is_found(story):
    """One segment is missing between two backups."""
    early = story.ledger.mark("early")
    story.write(10)
    story.archived()
    lost = story.ledger.mark("lost")
    hole = story.cluster.one("SELECT pg_walfile_name(%s::pg_lsn)", lost.lsn)
    story.write(10)
    story.archived()
    story.backup()
    story.write(10)
    story.archived()
    (path,) = (story.wall.repository / "main").glob(f"*/wal/*/*/{hole}*")
    path.unlink()
    for target in (Target("name", "early", mark=early), Target("xid", early.xid, mark=early)):
        restored, _ = story.restore(*target.arguments)
        story.ledger.check(restored, target)
        restored.stop("immediate")
    refused(story, "--to", "name:lost", status=1, says=f"{hole} is missing")


def test_a_restore_point_that_begins_in_one_segment_and_ends_in_the_next_is_found(story):
    bytes_max = 16 << 20
    with contextlib.closing(story.cluster.connect()) as connection, connection.cursor() as cursor:
        def left():
            cursor.execute("SELECT pg_current_wal_insert_lsn()")
            return bytes_max - lsn_bytes(cursor.fetchone()[0]) % bytes_max

        def emit(length):
            before = left()
            cursor.execute("SELECT pg_logical_emit_message(false, '', repeat('x', %s))", (length,))
            return before - left() - length

        while left() > 8000:
            emit(max(1, (left() - 6000) * 8100 // 8192 - 200))
        overhead = emit(1000)
        emit(left() - 56 - overhead)
        rest = left()
        cursor.execute("SELECT pg_create_restore_point('across')")
        end = cursor.fetchone()[0]
    assert 0 < rest < 104 and lsn_bytes(end) % bytes_max < 1000, (rest, end)
    rows = {n for (n,) in story.cluster.sql("SELECT n FROM ledger")}
    story.write(10)
    story.backup()
    story.write(10)
    story.archived()
    restored, _ = story.restore("--to", "name:across")
    assert {n for (n,) in restored.sql("SELECT n FROM ledger")} == rows


def test_with_the_index_every_target_is_one_record_before_anything_is_written(story):
    behind = story.archived()
    story.write(20)
    mark = story.ledger.mark("here")
    story.write(20)
    story.archived()
    story.wall.run("wal", "index", "main")
    for target in [*story.ledger.targets(mark), *(story.ledger.random_target(kind, behind) for kind in ("time", "xid", "time"))]:
        plan = story.wall.run("restore", *target.arguments, "--pgdata", story.made.folder / "plan", "--plan").out
        assert target.kind == "lsn" or " end " in plan, plan
        restored, _ = story.restore(*target.arguments)
        text = (restored.data / "postgresql.auto.conf").read_text()
        assert "recovery_target_time" not in text and "recovery_target_xid" not in text, text
        story.ledger.check(restored, target)
        restored.stop("immediate")
    refused(story, "--to", "xid:2000000000", status=1, says="is not in the WAL of the path")
