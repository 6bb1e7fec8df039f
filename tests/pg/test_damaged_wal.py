"""WAL that is damaged in pg_wal before it is archived: nothing of it is stored as good, and everybody hears of it."""

import json
import re
import struct
import time

import pytest
from seawalltest.scenario import archiving
from seawalltest.wait import wait_for
from test_repositories import segments
from test_restore import Story
from test_walwalk import crash_in_a_record


def segments_waiting(cluster):
    return sorted(name for name in cluster.pending() if len(name) == 24)


def continues(path):
    """How many bytes of a record from the segment before come first."""
    return struct.unpack_from("<I", path.read_bytes(), 16)[0]


def test_a_record_damaged_across_two_segments_stops_archiving_until_it_is_accepted(made):
    cluster = made.cluster(segment_mb=1, archive_command="")
    wall = made.seawall(cluster)
    wall.init()
    wall.serve()
    cluster.start()
    cluster.sql("SELECT pg_logical_emit_message(true, 'm', repeat('x', 5000)) FROM generate_series(1, 1000)")
    names = segments_waiting(cluster)
    first, second = next((a, b) for a, b in zip(names[1:], names[2:]) if continues(cluster.data / "pg_wal" / b) > 8)
    path = cluster.data / "pg_wal" / first
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    wall.archive()
    wait_for(lambda: cluster.one("SELECT last_failed_wal FROM pg_stat_archiver") == second, "the seam to be found", 60)
    wait_for(lambda: "does not go on as the WAL before it" in cluster.log_tail(400), "PostgreSQL's log", 30)
    assert "--accept-damaged" in cluster.log_tail(400)
    status = wall.run("status", status=None).out
    assert second in status and "does not go on" in status, status
    assert not list((wall.repository / "main").glob(f"*/wal/*/*/{second}"))
    wall.run("wal", "push", str(cluster.data / "pg_wal" / second), status=1)
    wall.run("wal", "push", "--accept-damaged", str(cluster.data / "pg_wal" / second))
    wall.wait_archived(cluster.switch_wal())
    wait_for(lambda: "does not go on" not in wall.run("status", status=None).out, "the alarm to be over", 30)
    assert last_words(wall, second) == ["accepted"]
    assert f"{second} is there and DAMAGED, as it was archived with --accept-damaged\n" in wall.run("wal", "list").out
    for command in ("list", "status"):
        assert holes(wall, command) == {second: "accepted_damaged"}
    assert "it was so before it was archived, with --accept-damaged" in wall.run("list").out
    assert "it was archived so, with --accept-damaged" in wall.run("verify", status=7).out
    assert last_words(wall, second) == ["accepted"]
    does_not_spread(wall, first, second)


def second_repository(wall):
    """The cluster is to have repository "b" as well, which is empty."""
    wall.sections["repository b"] = {"url": f"file://{wall.folder}/repository-b"}
    wall.sections["cluster main"] |= {"repositories": "local, b", "ack": "any"}
    wall.write_config()
    wall.run("init")


def does_not_spread(wall, first, second):
    """Neither by a copy nor when a repository is filled up: of a damaged seam the segment behind it stays away."""
    second_repository(wall)
    result = wall.run("copy", "--from", "local", "--to", "b", status=7)
    assert f'could not prove WAL' in result.err and second in result.err and "Take a backup" in result.err
    assert segments(wall, "b") == {name for name in segments(wall, "local") if name <= first}
    wall.stop()
    wall.serve()
    wait_for(lambda: segments(wall, "b") == segments(wall, "local") - {second}, "the other one to be filled up", 60)
    wait_for(lambda: re.search(r"\bb +is filled up: lacks 1 segments", wall.run("status").out), "status to say so", 30)
    assert f'does not get "{second}"' in wall.log_tail(400)


def test_what_is_damaged_in_pg_wal_after_it_was_archived_stops_nothing(made):
    cluster, wall = archiving(made, segment_mb=1, wal_keep_size="64MB")
    first = cluster.one("SELECT pg_walfile_name(pg_switch_wal())")
    for _ in range(2000):
        cluster.sql("SELECT pg_logical_emit_message(true, 'm', repeat('x', 5000))")
        name = cluster.one("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        path = cluster.data / "pg_wal" / name
        # Its first page begins with the end of a record from the segment before: a seam that a byte can break.
        if int(name, 16) > int(first, 16) + 1 and continues(path) > 8:
            break
    before = path.with_name(f"{int(name, 16) - 1:024X}")
    wall.wait_archived(before.name)
    content = bytearray(before.read_bytes())
    content[-1] ^= 1
    before.write_bytes(content)
    wall.wait_archived(cluster.switch_wal())
    assert cluster.one("SELECT failed_count FROM pg_stat_archiver") == 0
    assert f'"{before.name}" in pg_wal is damaged, and whole in repository' in wall.log_tail(5000)
    assert f'"{before.name}" in pg_wal is damaged' in wall.run("status").out
    wall.run("verify")


@pytest.mark.parametrize("major", [13, 15, 18])
def test_crashes_in_the_middle_of_records_and_promotions_are_no_damage(made, major):
    cluster, wall = archiving(made, major, segment_mb=1, wal_buffers="64kB")
    for _ in range(3):
        crash_in_a_record(cluster, 6_000_000)
    for _ in range(2):
        cluster.sql("SELECT pg_logical_emit_message(true, 'm', repeat('x', 700000))")
        cluster.stop("immediate")
        (cluster.data / "standby.signal").touch()
        cluster.start()
        cluster.promote()
        cluster.wait_primary()
        cluster.sql("SELECT pg_logical_emit_message(true, 'm', repeat('x', 3000000))")
    wall.wait_archived(cluster.switch_wal(), deadline_s=120)
    assert "does not go on" not in wall.log_tail(5000)
    second_repository(wall)
    wall.run("copy", "--from", "local", "--to", "b")
    assert segments(wall, "b") == segments(wall, "local")


def flip(path):
    """One byte of an object; returns what it was."""
    whole = path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    return whole


def stored(wall, name, repository="repository"):
    path, = (wall.folder / repository / "main").glob(f"*/wal/*/*/{name}")
    return path


def told(wall, command):
    answer = json.loads(wall.run(command, "--json", status=None).out)
    return answer["clusters"][0] if command == "status" else answer


def holes(wall, command="list"):
    return {each["first"]: each["cause"] for each in told(wall, command)["holes"]}


def last_words(wall, name):
    """What the marks of a segment say, in their order."""
    return [path.name.rsplit(".", 1)[1] for path in sorted((wall.repository / "main").glob(f"*/lost/*/{name[8:]}.*"))]


def in_the_middle(made):
    """A story with a backup at both ends, and marks before, in and behind a segment in its middle."""
    story = Story(made, segment_mb=1)
    story.write(5)
    story.backup()
    story.write(5)
    before = story.ledger.mark("before")
    story.archived()
    story.write(5)
    story.archived()
    inside = story.ledger.mark("inside")
    story.archived()
    behind = story.ledger.mark("behind")
    story.write(5)
    story.archived()
    story.backup()
    story.archived()
    story.wall.run("wal", "index")
    return story, before, inside, behind, story.cluster.one("SELECT pg_walfile_name(%s::pg_lsn)", inside.lsn)


def refused(story, target, name):
    """Before anything is written, with the nearest on both sides."""
    begun = time.monotonic()
    cluster, result = story.restore("--to", target, start=False, status=5)
    assert time.monotonic() - begun < 10 and not cluster.data.exists()
    assert name in result.err and "damaged" in result.err, (target, result)
    return result.err


def test_d1_what_is_known_to_be_damaged_is_a_hole_until_it_is_good_again(made):
    story, before, inside, behind, name = in_the_middle(made)
    wall = story.wall
    path = stored(wall, name)
    assert holes(wall) == {}
    whole = flip(path)
    assert name in wall.run("verify", "--anew", status=7).out
    assert last_words(wall, name) == ["damaged"]
    said = json.loads(wall.run("wal", "list", "--json").out)
    assert said["damaged"] == [{"segment": name, "accepted": False}] and len(said["timelines"][0]["runs"]) == 2, said
    assert "then a DAMAGED one" in wall.run("wal", "list").out
    for command in ("list", "status"):
        assert holes(wall, command) == {name: "damaged"}
        assert re.search(rf"{name} +1 segment +from 20.* until 20.* damaged: it is there", wall.run(command, status=None).out)
    for target in (inside.time.isoformat(sep=" "), behind.time.isoformat(sep=" "), f"lsn:{behind.lsn}"):
        text = refused(story, target, name)
        assert "The last possible before it is" in text and "the first behind it" in text, (target, text)
    _, result = story.restore("--to", "name:behind", start=False, status=1)
    assert f"{name} is damaged" in result.err, result
    restored, _ = story.restore("--to", before.time.isoformat(sep=" "))
    assert {n for (n,) in restored.sql("SELECT n FROM ledger")} == before.rows
    # Found by nobody but the plan itself: the next one knows.
    path.write_bytes(whole)
    _, result = story.restore("--to", "name:behind", "--plan", start=False)
    assert last_words(wall, name) == ["damaged", "good"] and holes(wall) == {}
    flip(path)
    _, result = story.restore("--to", "name:inside", start=False, status=1)
    assert f"{name} is damaged" in result.err and last_words(wall, name) == ["damaged", "good", "damaged"], result
    refused(story, f"lsn:{inside.lsn}", name)
    # Repaired by hand, and nobody was told.
    path.write_bytes(whole)
    assert holes(wall) == {} and holes(wall, "status") == {} and "DAMAGED" not in wall.run("wal", "list").out
    wall.run("verify", "--anew")
    assert last_words(wall, name) == ["damaged", "good", "damaged", "good"]
    restored, _ = story.restore("--to", "name:behind")
    assert {n for (n,) in restored.sql("SELECT n FROM ledger")} == behind.rows
