"""`seawall restore --in-place`: what is there is used, and nothing that exists only there is lost."""

import shutil

from seawalltest import checks
from seawalltest.ledger import Target
from test_restore import story, story_with_faults  # (the fixtures)


def test_in_place_brings_back_what_was_dropped_and_keeps_the_last_commits(story):
    cluster, ledger = story.cluster, story.ledger
    good = ledger.mark("good")
    story.write(10)
    cluster.sql("DROP TABLE ledger")
    cluster.sql("CREATE TABLE not_in_the_backup AS SELECT generate_series(1, 1000) AS n")
    cluster.configure(archive_command="false")
    for n in range(2):
        cluster.switch_wal()
        cluster.sql(f"CREATE TABLE late{n} AS SELECT 1 AS n")
    lsn = cluster.insert_lsn()
    cluster.stop("immediate")  # the last segment is not archived
    for mark in (cluster.data / "pg_wal/archive_status").glob("*.ready"):
        mark.unlink()  # as if it had come before the server got to it
    label = next((cluster.data / "pg_wal").glob("*.backup"))
    (cluster.data / f"pg_wal/archive_status/{label.name}.done").unlink()
    archived = next(story.wall.repository.rglob(label.name))
    archived.unlink()
    result = story.wall.run("restore", "--in-place", "--start", "--to", f"lsn:{lsn}", status=None)
    assert result.status == 0, result
    assert archived.exists(), "a file without any mark was lost"
    assert cluster.one("SELECT count(*) FROM not_in_the_backup") == 1000, "the last segments were lost"
    assert cluster.one("SELECT late0.n + late1.n FROM late0, late1") == 2, "the last segment was lost"
    cluster.stop("fast")
    result = story.wall.run("restore", "--in-place", "--start", "--to", "name:good")
    assert "in place" in result.out
    ledger.check(cluster, Target("name", "good", mark=good))
    assert cluster.one("SELECT to_regclass('not_in_the_backup')") is None
    checks.amcheck(cluster)
    assert cluster.timeline() == 3
    auto = (cluster.data / "postgresql.auto.conf").read_text()
    assert "recovery_target" not in auto and "restore_command" not in auto


def test_in_place_only_what_differs_is_fetched(story_with_faults):
    """Also when the disk of pg_wal is what was lost."""
    story = story_with_faults
    story.archived()
    story.cluster.stop()
    shutil.rmtree(story.cluster.data / "pg_wal")
    result = story.wall.run("restore", "--in-place", "--json")
    assert not (story.cluster.data / "seawall.pg_control").exists(), result
    checks.verify_directory(story.cluster.data)
    # What a link leads to may be another disk, and is synced like one.
    away, points = story.made.folder / "away", story.made.folder / "points"
    (story.cluster.data / "pg_wal").rename(away)
    (story.cluster.data / "pg_wal").symlink_to(away)
    story.wall.run("restore", "--in-place", SEAWALL_FAULT=f"list:{points}", SEAWALL_FAULT_ONLY="durable-sync-filesystem")
    assert (story.cluster.data / "pg_wal").readlink() == away
    assert f"{story.cluster.data.name}/pg_wal" in points.read_text()


def test_in_place_with_tablespaces(story):
    folder = story.made.folder / "ts"
    folder.mkdir(mode=0o700)
    story.cluster.sql(f"CREATE TABLESPACE ts LOCATION '{folder}'")
    story.cluster.sql("CREATE TABLE t TABLESPACE ts AS SELECT generate_series(1, 1000) AS n")
    story.backup()
    story.cluster.sql("CREATE TABLE u TABLESPACE ts AS SELECT generate_series(1, 1000) AS n")
    story.archived()
    story.cluster.stop()
    (folder / "not ours").write_text("x")
    inside = story.wall.run("restore", "--in-place", "--tablespace", f"ts={story.cluster.data}/ts", status=5)
    assert "cannot go into the data directory" in inside.err and "--tablespace ts=DIRECTORY" in inside.err, inside
    story.wall.run("restore", "--in-place", "--start", "--to", "backup-end")
    assert story.cluster.one("SELECT count(*) FROM t") == 1000
    assert story.cluster.one("SELECT to_regclass('u')") is None
    assert (folder / "not ours").read_text() == "x"
