"""Targets whose place only the WAL knows: restore points and transactions."""

import contextlib
import json
import os
import re
import shlex
import shutil
import time

import pytest
from seawalltest import Target, breakers, wait_for
from seawalltest.ledger import PAGE_HEADER_BYTES_MAX, lsn_bytes
from test_restore import Story, begin, refused

RESTORES = int(os.environ.get("SEAWALL_RESTORES", "2"))


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


def moment(story):
    """What PostgreSQL's clock says, a little later than what was before and earlier than what comes."""
    return story.cluster.one("SELECT clock_timestamp() FROM pg_sleep(0.01)").isoformat(sep=" ")


def archived_behind(story, commits=10):
    story.write(commits)
    return story.archived()


def refused_at_once(story, arguments, status, says):
    """The best of ten, since the machine may be busy; nothing is written. Returns the targets that the hint names."""
    taken = []
    while not taken or min(taken) > 1 and len(taken) < 10:
        begun = time.monotonic()
        restored, result = story.restore(*arguments, status=status)
        taken.append(time.monotonic() - begun)
        assert says in result.err and not restored.data.exists(), result
    assert min(taken) < 1, (taken, result)
    assert len(result.err.rstrip().splitlines()) in (2, 3), result
    return [shlex.split(words) for words in re.findall(r'"(--to [^"]*)"', result.err.split("hint:")[1])], result


def plan_of(story, *arguments):
    return json.loads(story.wall.run("restore", *arguments, "--pgdata", story.made.folder / "plan", "--plan", "--json").out)["plan"]


def the_nearest(story):
    """An archive with a hole between two backups; (a row for each impossible target: where, arguments, status, what is said,
    how many targets the hint names)."""
    early = moment(story)
    begin(story)
    before_lsn = archived_behind(story)
    story.write(20)
    inside = moment(story)
    inside_lsn = story.cluster.insert_lsn()
    lost_xid = story.ledger.newest().xid
    hole = story.cluster.one("SELECT pg_walfile_name(%s::pg_lsn)", inside_lsn)
    story.write(20)
    story.archived()
    behind_hole = moment(story)
    archived_behind(story)
    story.backup()
    archived_behind(story)
    story.wall.run("wal", "index", "main")
    (path,) = (story.wall.repository / "main").glob(f"*/wal/*/*/{hole}*")
    path.unlink()
    # the end of an idle server: segments in which no transaction ended
    for _ in range(3):
        story.cluster.sql("CHECKPOINT")
        story.cluster.sql("SELECT pg_logical_emit_message(false, 'idle', 'x')")
        story.archived()
    late = moment(story)
    return before_lsn, [
        ("before", ["--to", early], 5, "lies before the end of every backup", 1),
        ("before", ["--to", "lsn:0/1000028"], 5, "lies before the end of every backup", 1),
        ("hole", ["--to", inside], 5, f'lies behind a hole: segment "{hole}"', 2),
        ("hole", ["--to", inside, "--before"], 5, f'lies behind a hole: segment "{hole}"', 2),
        ("hole", ["--to", behind_hole], 5, f'lies behind a hole: segment "{hole}"', 2),
        ("hole", ["--to", f"lsn:{inside_lsn}"], 5, f'segment "{hole}" is not in the archive', 2),
        ("hole", ["--to", f"xid:{lost_xid}"], 1, f"{hole} is missing", 2),
        ("beyond", ["--to", late], 5, "after the last archived commit of timeline 1", 1),
        ("beyond", ["--to", "lsn:7/1000028"], 5, "behind the end of the archive", 1),
        ("beyond", ["--to", "xid:2000000000"], 1, "is not in the WAL of the path", 1),
        ("nowhere", ["--to", "name:nowhere"], 1, "is not in the WAL of the path", 0),
    ]


def test_an_impossible_target_is_refused_at_once_with_the_nearest_on_both_sides(made):
    story = Story(made)
    before_lsn, rows = the_nearest(story)
    sides = []
    for indexed in (True, False):
        if not indexed:
            for folder in (story.wall.repository / "main").glob("*/index"):
                shutil.rmtree(folder)
        for where, arguments, status, says, count in rows:
            targets, result = refused_at_once(story, arguments, status, says)
            assert len(targets) == count, result
            for target in targets:  # each of them can be typed as it is
                assert plan_of(story, *target)["backup"], result
            if where == "hole" and "xid" not in arguments[1]:
                sides.append(targets)
    # all that was archived before the hole, and the second backup
    for last, first in sides:
        assert plan_of(story, *last)["backup"] != plan_of(story, *first)["backup"]
    last, first = sides[0]
    restored, _ = story.restore(*last)
    must = {entry.n for entry in story.ledger.entries.values() if entry.lsn_after <= lsn_bytes(before_lsn)}
    rows_last = {n for (n,) in restored.sql("SELECT n FROM ledger")}
    assert must <= rows_last and len(rows_last) < len(story.ledger.entries)
    restored.stop("immediate")
    restored, _ = story.restore(*first)
    assert rows_last < {n for (n,) in restored.sql("SELECT n FROM ledger")}


def test_a_time_without_a_later_commit_works_when_a_later_record_proves_that_nothing_was_missed(story):
    story.archived()
    quiet = moment(story)
    targets, _ = refused_at_once(story, ["--to", quiet], 5, "after the last archived commit of timeline 1, and no other record")
    assert plan_of(story, *targets[0])
    story.cluster.sql("SELECT pg_create_restore_point('later')")
    later = moment(story)
    lsn = story.archived()
    for options in ([], ["--before"]):
        restored, result = story.restore("--to", quiet, *options)
        story.ledger.check(restored, Target("latest"), lsn)
        assert not restored.in_recovery(), result
        restored.stop("immediate")
    # what comes after the newest record is not proven, and the hint says up to when it is
    targets, result = refused_at_once(story, ["--to", later], 5, "no other record is as late")
    assert targets[0][1] > quiet and "the last transaction ended at" in result.err, result
    assert plan_of(story, *targets[0])
    # a checkpoint is proof too, also by the index alone and when nothing else happened in many segments
    wait_for(lambda: story.cluster.one("SELECT date_trunc('second', clock_timestamp()) > %s::timestamptz", later), "the next second", 5)
    for _ in range(3):
        story.cluster.sql("SELECT pg_logical_emit_message(false, 'idle', 'x')")
        story.cluster.sql("CHECKPOINT")
        story.archived()
    story.cluster.sql("SELECT pg_logical_emit_message(false, 'idle', 'x')")
    lsn = story.archived()
    assert plan_of(story, "--to", later)
    story.wall.run("wal", "index", "main")
    restored, _ = story.restore("--to", later)
    story.ledger.check(restored, Target("latest"), lsn)


def plan_end(story, *arguments):
    return lsn_bytes(plan_of(story, *arguments)["end_lsn"])


def right_end(story, entry):
    """The plan for one commit, named in three ways, ends with the right record."""
    reach = entry.lsn_after + PAGE_HEADER_BYTES_MAX
    assert entry.lsn_before < plan_end(story, "--to", f"xid:{entry.xid}") <= reach, entry
    assert entry.lsn_before <= plan_end(story, "--to", f"xid:{entry.xid}", "--before") < reach, entry
    target = Target("time", entry.time)
    kept = story.ledger.rows_before_stop(target)
    order = sorted(story.ledger.entries.values(), key=lambda each: each.lsn_after)
    first_left = next((each for each in order if each.n not in kept), None)
    end = plan_end(story, *target.arguments)
    last_kept = max((each for each in order if each.n in kept), key=lambda each: each.lsn_after)
    if not any(each.loose for each in (last_kept, first_left or last_kept)):
        assert last_kept.lsn_before < end, (entry, last_kept)
        assert first_left is None or end <= first_left.lsn_after + PAGE_HEADER_BYTES_MAX, (entry, first_left)


def test_every_commit_has_its_record_in_the_plan_and_restores_to_random_targets_end_there(made):
    """SEAWALL_RESTORES says to how many."""
    story = Story(made, segment_mb=1, kind="release")
    story.write()
    story.backup()
    behind = story.archived()
    for number in range(3):
        story.write(12, breakers=breakers.ORDINARY)
        story.ledger.mark(f"point {number}")
    story.write(5)
    story.ledger.settle()
    lsn = story.archived()
    story.wall.run("wal", "index", "main")
    for entry in story.ledger.entries.values():
        if not entry.unsure and entry.lsn_before > lsn_bytes(behind):
            right_end(story, entry)
    for number in range(RESTORES):
        kind = ("time", "lsn", "xid", "name", "latest")[number % 5]
        mark = story.ledger.random.choice(story.ledger.marks)
        target = {"latest": Target("latest"), "name": Target("name", mark.name, mark=mark)}.get(kind) or \
            story.ledger.random_target(kind, behind)
        restored, _ = story.restore(*target.arguments, "--option", "fsync=off")
        story.ledger.check(restored, target, lsn)
        restored.stop("immediate")
        shutil.rmtree(restored.data)
        print(f"{number + 1} of {RESTORES}: {target}")
