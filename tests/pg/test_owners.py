"""Who may write: two servers that both go on, fences, adoption, and what a failover leaves out of the archive."""

import json
import re
import subprocess

import pytest

from seawalltest import Target, faults, process
from seawalltest.cluster import Cluster
from seawalltest.wait import wait_for


def production(made, serve, kind="release"):
    cluster = made.cluster(segment_mb=1, wal_keep_size="64MB", wal_log_hints="on")
    wall = made.seawall(cluster, kind=kind)
    wall.init()
    wall.archive()
    if serve:
        wall.serve()
    cluster.start()
    cluster.sql("CREATE TABLE t (who text, n int)")
    wall.run("backup")
    return cluster, wall


def copy_of(made, cluster, wall, name="copy", **settings):
    """A standby of the cluster, made without Seawall, with an archive_command that is still on; its own settings
    name the same repository."""
    copy = made.add(Cluster(made.folder, cluster.major, name))
    subprocess.run([cluster.bin / "pg_basebackup", "-d", cluster.dsn(), "-D", copy.data, "-X", "stream", "-c", "fast"],
                   check=True, cwd="/", **process.OWNER)
    other = made.seawall(copy, folder=f"wall-{name}")
    other.sections["repository local"] = {"url": f"file://{wall.repository}"}
    other.write_config()
    with open(copy.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"unix_socket_directories = '{copy.sockets}'\n"
                   f"archive_command = '{other.archive_command()}'\n")
        conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
    process.own(copy.data / "postgresql.conf")
    (copy.data / "standby.signal").touch(mode=0o600)
    process.own(copy.data / "standby.signal")
    return copy, other


def promoted_elsewhere(made, cluster, wall, **settings):
    copy, other = copy_of(made, cluster, wall, **settings)
    copy.start()
    copy.promote()
    copy.wait_primary()
    return copy, other


def write(cluster, who, segments=1):
    for _ in range(segments):
        cluster.sql("INSERT INTO t SELECT %s, n FROM generate_series(1, 100) n", who)
        last = cluster.switch_wal()
    return last


def failures(cluster):
    return cluster.one("SELECT failed_count FROM pg_stat_archiver")


def listed(wall):
    return json.loads(wall.run("list", "--json").out)


def timeline_check(wall):
    """What `check` says of the timeline: outcome, note and hint."""
    steps = json.loads(wall.run("check", "--json", "--no-segment", status=None).out)["steps"]
    step, = (step for step in steps if step["step"] == "timeline")
    return step["outcome"], step["note"], step.get("hint", "")


def segments(wall):
    paths = (wall.repository / "main").glob("*/wal/*/*/*")
    return {path.name for path in paths if re.fullmatch("[0-9A-F]{24}", path.name)}


def stored_in(wall, generation, segment):
    return list((wall.repository / "main").glob(f"*{generation}/wal/*/*/{segment}"))


def set_aside(wall, segment):
    return list((wall.repository / "main").glob(f"*/conflict/{segment}/*"))


@pytest.mark.parametrize("serve", [True, False])
def test_a_test_promotion_elsewhere_never_stops_production(made, serve):
    cluster, wall = production(made, serve)
    wall.wait_archived(write(cluster, "both"))
    wait_for(lambda: timeline_check(wall) == ("ok", "timeline 1, archived from here", ""), "the note of who archives")
    copy, other = promoted_elsewhere(made, cluster, wall)
    other.wait_archived(write(copy, "copy", 2))
    outcome, note, hint = timeline_check(wall)
    assert outcome == "warning" and "was left by timeline 2 at" in note and str(copy.data) in note, note
    assert "If it was a test: `seawall adopt main` here" in hint
    assert timeline_check(other)[:2] == ("ok", "timeline 2, archived from here")
    last = write(cluster, "production", 2)
    wall.wait_archived(last)
    assert failures(cluster) == 0 and last in segments(wall)
    if serve:  # it looks at the start, and once a minute
        wall.stop()
        wall.serve()
        wall.wait_archived(write(cluster, "production", 2))
        wait_for(lambda: listed(wall)["contested"], "the branches to be marked")
    quarrel, = listed(wall)["contested"]
    assert (quarrel["parent"], quarrel["child"]) == (1, 2)
    assert "CONTESTED: timelines 1 and 2" in wall.run("list").out
    for either in (wall, other):
        outcome, note, hint = timeline_check(either)
        assert outcome == "warning" and "timelines 1 and 2 are contested" in note and "`seawall adopt main`" in hint, note
    # No restore chooses by itself; each may be named, and what lies before the fork is nobody's quarrel.
    for target in ("latest", f"lsn:{cluster.insert_lsn()}"):
        result = wall.run("restore", "--to", "latest", "--plan", "--pgdata", made.folder / "r", status=5)
        assert "timelines 1 and 2 are contested" in result.err, (target, result)
        assert "--timeline 1 or --timeline 2" in result.err, result
    for timeline in (1, 2):
        wall.run("restore", "--timeline", timeline, "--plan", "--pgdata", made.folder / "r")
    wall.run("restore", "--to", "backup-end", "--plan", "--pgdata", made.folder / "r")
    # Production says that it is the one: the copy is fenced and told why.
    told = json.loads(wall.run("adopt", "--json").out)
    assert [(note["kind"], note["timeline"]) for note in told["notes"]] == [("fence", 2)]
    assert not listed(wall)["contested"]
    copy.sql("CREATE TABLE only_here (n int)")
    copy.sql("DELETE FROM t")
    last = write(copy, "copy")
    wait_for(lambda: failures(copy) > 0, "the copy to be refused")
    result = other.run("wal", "push", copy.data / "pg_wal" / last, status=1)
    assert "timeline 2 was fenced" in result.err and "adopt" in result.err, result
    assert last not in segments(wall) and set_aside(wall, last)
    # What was lost by it is found where it is.
    aside, = (event for event in json.loads(wall.run("find", "--deleted", "200", "--json").out)["events"] if "set_aside" in event)
    assert aside["timeline"] == 2 and aside["name"] == "t" and last in aside["set_aside"] and "restore_before" not in aside
    assert f"seawall cat {aside['set_aside']} > {last}" in wall.run("find", "--deleted", "200").out
    outcome, note, hint = timeline_check(other)
    assert outcome == "failed" and "timeline 2 is fenced from" in note and "goes on on timeline 1" in note, note
    assert "pg_rewind" in hint and "`seawall adopt main` here" in hint
    assert timeline_check(wall)[0] == "ok"
    wall.wait_archived(write(cluster, "production"))
    assert failures(cluster) == 0
    result = wall.run("restore", "--plan", "--pgdata", made.folder / "r")
    assert "timeline 1" in result.out and "timeline 2" not in result.out, result
    # What had been stored before may be stored again.
    stored = min(name for name in segments(wall) if name.startswith("00000002") and (copy.data / "pg_wal" / name).exists())
    other.run("wal", "push", copy.data / "pg_wal" / stored)


def test_d30_a_failover_leaves_no_gap_and_the_old_primary_is_fenced(made):
    cluster, wall = production(made, serve=False)
    standby, other = copy_of(made, cluster, wall, "standby", hot_standby="on",
                             primary_conninfo=cluster.dsn().replace("dbname=postgres", ""))
    standby.start()
    # The primary's archiving fails, and all the time the standby receives its WAL by streaming.
    cluster.configure(archive_command="false")
    last = write(cluster, "primary", 4)
    end = cluster.insert_lsn()
    wait_for(lambda: standby.one("SELECT pg_last_wal_replay_lsn() >= %s", end), "the standby to replay")
    cluster.stop("immediate")
    assert last not in segments(wall)
    other.serve()
    standby.promote()
    standby.wait_primary()
    wait_for(lambda: last in segments(wall), "the segments that streaming had left out")
    other.wait_archived(write(standby, "new primary", 2))
    assert not listed(wall)["contested"]
    restored, _ = other.restore(target_latest(), "restored", "--start")
    made.add(restored)
    assert restored.sql("SELECT who, count(*) FROM t GROUP BY who ORDER BY who") == [("new primary", 200), ("primary", 400)]
    restored.stop("immediate")
    other.run("adopt")
    # The old primary comes back and goes on, on a branch that was left behind.
    cluster.configure(archive_command=wall.archive_command())
    cluster.start()
    last = write(cluster, "ghost", 2)
    wait_for(lambda: failures(cluster) > 0 and set_aside(wall, min(
        name for name in cluster.pending() if name.startswith("00000001"))), "the old primary to be refused")
    assert last not in segments(wall)
    assert "was fenced from" in cluster.log.read_text()
    # What it has is not needed any more: pg_rewind makes it a standby of the new one.
    cluster.stop()
    standby.sql("CHECKPOINT")
    subprocess.run([cluster.bin / "pg_rewind", "-D", cluster.data, "--source-server", standby.dsn()], check=True, cwd="/",
                   **process.OWNER)
    assert "ghost" not in str(standby.sql("SELECT DISTINCT who FROM t"))
    other.wait_archived(write(standby, "new primary"))


def target_latest():
    return Target("latest")


def test_two_histories_of_the_same_timeline_and_a_new_generation(made):
    cluster, wall = production(made, serve=False)
    wall.wait_archived(write(cluster, "both"))
    first, other = promoted_elsewhere(made, cluster, wall, name="first")
    write(cluster, "production")
    second, third = copy_of(made, cluster, wall, "second")
    second.start()
    second.promote()
    second.wait_primary()
    other.wait_archived(write(first, "first"))
    wait_for(lambda: failures(second) > 0, "the second history to be refused")
    history = "00000002.history"
    result = third.run("wal", "push", second.data / "pg_wal" / history, status=1)
    assert "with other content" in result.err and str(first.data) in result.err, result
    assert "--new-generation" in result.err and set_aside(wall, history), result
    # It is the right one after all; the other one was stopped.
    first.stop()
    told = json.loads(third.run("adopt", "--new-generation", "--dry-run", "--json").out)
    assert told["generation"].endswith("-15-1")
    assert json.loads(third.run("adopt", "--new-generation", "--json").out)["generation"].endswith("-15-2")
    # Whoever wrote before does not go on in the new generation, whether its server notices now or after a start.
    cluster.sql("INSERT INTO t VALUES ('left behind', 1)")
    stays = cluster.switch_wal()
    wait_for(lambda: failures(cluster) > 0, "the old server to be refused")
    result = wall.run("wal", "push", cluster.data / "pg_wal" / stays, status=1)
    assert "the archive was begun anew" in result.err and str(second.data) in result.err, result
    assert "-15-2" in result.err and "adopt --new-generation" in result.err and not stored_in(wall, "-15-2", stays)
    third.wait_archived(write(second, "second"))
    third.run("backup")
    assert failures(cluster) > 0 and stays in cluster.pending()
    restored, _ = third.restore(target_latest(), "restored", "--start")
    made.add(restored)
    assert ("first",) not in restored.sql("SELECT DISTINCT who FROM t")
    assert ("second",) in restored.sql("SELECT DISTINCT who FROM t")


def test_whoever_was_adopted_by_mistake_is_fenced_by_the_next_adoption(made):
    cluster, wall = production(made, serve=False)
    wall.wait_archived(write(cluster, "both"))
    copy, other = promoted_elsewhere(made, cluster, wall)
    other.wait_archived(write(copy, "copy"))
    other.run("adopt")
    before = failures(cluster)
    write(cluster, "production", 2)
    wait_for(lambda: failures(cluster) > before, "production to be refused")
    told = json.loads(wall.run("adopt", "--json").out)["notes"]
    assert {(note["kind"], note["timeline"]) for note in told} == {("lift", 1), ("fence", 2)}
    wall.wait_archived(write(cluster, "production"))
    write(copy, "copy", 2)
    wait_for(lambda: failures(copy) > 0, "the copy to be refused")
    assert [fence["timeline"] for fence in listed(wall)["fences"]] == [2]
    # The same again says nothing new.
    assert not json.loads(wall.run("adopt", "--json").out)["notes"]


def test_a_standby_and_an_unfinished_restore_are_not_adopted(made):
    cluster, wall = production(made, serve=False)
    copy, other = copy_of(made, cluster, wall)
    result = other.run("adopt", status=5)
    assert "recovery has not ended" in result.err, result
    assert not listed(wall)["fences"] and (copy.data / "standby.signal").exists()
    assert timeline_check(other)[:2] == ("ok", "this server is in recovery, and writes no timeline")
    # A copy of the directory that is no standby: the same timeline from elsewhere. As a clone it does not archive at all.
    wall.wait_archived(write(cluster, "production"))
    (copy.data / "standby.signal").unlink()
    (copy.data / "backup_label").unlink(missing_ok=True)
    outcome, note, hint = timeline_check(other)
    assert outcome == "warning" and "archived from elsewhere" in note and str(cluster.data) in note and hint, note
    (copy.data / "seawall.clone").touch()
    outcome, note, hint = timeline_check(other)
    assert outcome == "failed" and "clone" in note and "adopt" in hint, note


KILLED_LEAST = 20  # each 11th of some 150 points, and more the more notes there are; fewer: they are not where they were


def test_an_adoption_that_is_killed_anywhere_is_begun_again(made):
    cluster, wall = production(made, serve=False, kind="debug")
    wall.wait_archived(write(cluster, "both"))
    copy, other = promoted_elsewhere(made, cluster, wall)
    other.wait_archived(write(copy, "copy"))
    (copy.data / "seawall.clone").touch()
    killed = 0
    for count in range(1, 1000, 11):
        # Each round the other server is adopted last, so that there is something to be done.
        wall.run("adopt")
        (copy.data / "seawall.clone").touch()
        result = wall.run("adopt", "--pgdata", copy.data, status=None, **faults.environment("kill", count))
        if result.status == 0:
            break
        assert result.status == -9, result
        killed += 1
        wall.run("adopt", "--pgdata", copy.data)
        fences = listed(wall)["fences"]
        assert [fence["timeline"] for fence in fences] == [1] and not (copy.data / "seawall.clone").exists(), count
    print(f'{killed} points hit')
    assert killed >= KILLED_LEAST, killed
