"""What happened, found in the WAL index; and the restore that it names leads to the moment before."""

import json
import re
import shlex
import subprocess

import pytest
from seawalltest import index, process, wait_for
from test_restore import Story, begin


@pytest.fixture
def story(made):
    return begin(Story(made, 15))


def happen(cluster):
    """Rows of `items` before each accident, in the order of the accidents."""
    cluster.sql("CREATE TABLE orders (a int PRIMARY KEY, b text); CREATE TABLE items (a int PRIMARY KEY, b text); "
                "INSERT INTO orders SELECT g, 'order' FROM generate_series(1, 3000) g; "
                "INSERT INTO items SELECT g, 'item' FROM generate_series(1, 5000) g")
    cluster.sql("CREATE SCHEMA old; CREATE TABLE old.orders (a int)")


def find(story, *arguments, status=None):
    story.wall.run("wal", "index", "main")
    return json.loads(story.wall.run("find", "main", *arguments, "--json", status=status).out)["events"]


def test_accidents_are_found_and_the_restore_named_leads_to_the_moment_before(story):
    cluster = story.cluster
    happen(cluster)
    orders = cluster.one("SELECT pg_relation_filenode('orders')")
    items = cluster.one("SELECT pg_relation_filenode('items')")
    cluster.sql("DELETE FROM items WHERE a <= 1200")
    cluster.sql("DROP TABLE orders")
    cluster.sql("DROP TABLE old.orders")
    cluster.sql("TRUNCATE items")
    cluster.one("SELECT pg_create_restore_point('after all')")
    story.archived()

    deleted = [event for event in find(story, "--deleted", "1000+") if event["file_number"] == items]
    assert [event["rows"] for event in deleted] == ["1200"], deleted
    assert not [event for event in find(story, "--deleted", "1201") if event["file_number"] == items]
    (dropped,) = [event for event in find(story, "--dropped", "*") if event["file_number"] == orders]
    (truncated,) = [event for event in find(story, "--truncated") if event["file_number"] == items]
    assert truncated["what"] == "truncated or rewritten"
    (point,) = [event for event in find(story, "--restore-points") if event["name"] == "after all"]
    assert {event["what"] for event in find(story, "--xid", str(dropped["xid"]))} == {"dropped"}
    assert {event["xid"] for event in find(story, "--since", dropped["time"], "--until", truncated["time"])} >= {
        dropped["xid"], truncated["xid"]}
    find(story, "--xid", "4000000000", status=1)

    for event, sees in ((deleted[0], {"items": 5000, "orders": 3000}), (dropped, {"items": 3800, "orders": 3000}),
                        (truncated, {"items": 3800}), (point, {"items": 0})):
        words = shlex.split(event["restore_before"])
        assert words[:3] == ["seawall", "restore", "main"] and words[-2:] == ["--pgdata", "NEW_DIRECTORY"]
        restored, _ = story.restore(*words[3:-2])
        for table, rows in sees.items():
            assert restored.one(f"SELECT count(*) FROM {table}") == rows, (event, table)
        if event in (truncated, point):
            assert restored.one("SELECT to_regclass('orders')") is None
        restored.stop("immediate")


def test_a_table_is_found_by_its_name_long_after_it_is_gone(story):
    happen(story.cluster)
    story.backup()  # the names are taken then
    story.cluster.sql("DROP TABLE old.orders")
    story.cluster.sql("TRUNCATE items")
    story.cluster.sql("DROP TABLE orders")
    story.archived()
    story.backup()
    (old,) = find(story, "--dropped", "old.*")
    (new,) = find(story, "--dropped", "public.orders")
    assert (old["schema"], old["name"], old["database"]) == ("old", "orders", "postgres") and old["lsn"] != new["lsn"], (old, new)
    assert {event["lsn"] for event in find(story, "--dropped", "orders")} == {old["lsn"], new["lsn"]}
    assert [event["name"] for event in find(story, "--truncated", "--table", "items")] == ["items"]
    assert not find(story, "--dropped", "items")
    assert re.search(r"dropped +postgres +old\.orders", story.wall.run("find", "main", "--dropped", "orders").out)


def spoil(path):
    """Every reader sees that it is damaged."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def segment_of(lsn, segment_bytes=1 << 20):
    """Timeline 1."""
    high, low = (int(part, 16) for part in lsn.split("/"))
    number, per = (high << 32 | low) // segment_bytes, (1 << 32) // segment_bytes
    return f"00000001{number // per:08X}{number % per:08X}"


def early_and_late(made):
    """A story whose accidents lie in two pieces of the index, and a segment of each."""
    story = Story(made, segment_mb=1, wal_keep_size="1GB")
    story.backup()
    cluster = story.cluster
    happen(cluster)
    cluster.sql("DROP TABLE old.orders")
    early = segment_of(cluster.insert_lsn())
    cluster.sql("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)")
    cluster.sql("TRUNCATE items")
    cluster.sql("DROP TABLE orders")
    late = segment_of(cluster.insert_lsn())
    cluster.sql("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    story.archived()
    story.wall.run("wal", "index", "main")
    return story.wall, early, late


def test_a_piece_of_the_index_that_cannot_be_read_hides_only_itself_and_is_made_again(made):
    wall, early, late = early_and_late(made)
    whole = json.loads(wall.run("find", "main", "--json").out)
    assert not whole["not_searched"]

    def piece_of(segment):
        """The path of the one that counts."""
        (tli, *_, path), = [piece for piece in index.names(wall) if piece[2] <= segment[8:] <= piece[3]][-1:]
        assert tli == 1
        return path

    def ask(*arguments, status):
        result = wall.run("find", "main", *arguments, "--json", status=status)
        told = json.loads(result.out)
        return {event["lsn"] for event in told["events"]}, told["not_searched"], result.err

    all_of_it = {event["lsn"] for event in whole["events"]}
    first, last = index.NAME.search(str(piece_of(late))).groups()[2:4]
    assert early[8:] < first <= late[8:] <= last, (early, first, last)
    plan = ("restore", "main", "--to", f"lsn:{max(all_of_it)}", "--pgdata", made.folder / "new", "--plan", "--json")
    before = (json.loads(wall.run("list", "--json").out)["intervals"], json.loads(wall.run(*plan).out)["plan"])
    spoil(piece_of(late))
    found, lacks, err = ask("--dropped", "*", "--truncated", status=7)
    (lack,) = lacks
    assert found < all_of_it and any(segment_of(lsn) <= early for lsn in found)
    assert (lack["cause"], lack["first"][8:], lack["last"][8:]) == ("damaged", first, last)
    assert lack["from"] and segment_of(lack["from_lsn"]) == lack["first"] and lack["timeline"] == 1
    assert "a part of the WAL could not be searched" in err and "seawall wal index main" in err
    # a question whose answer is there is no less incomplete, and a person reads where
    result = wall.run("find", "main", "--dropped", "no_such", status=7)
    assert re.search(rf"NOT SEARCHED: {lack['first']} to {lack['last']} \(\d+ segments\), .*, after 20.*is damaged", result.out), result
    # neither status, list nor a plan go by it; they know as much as before, or less
    after = json.loads(wall.run("list", "--json").out)["intervals"]
    assert [(one["from_lsn"], one["to_lsn"]) for one in after] == [(one["from_lsn"], one["to_lsn"]) for one in before[0]]
    assert after[0]["last_transaction"] <= before[0][0]["last_transaction"]
    assert json.loads(wall.run(*plan).out)["plan"] == before[1]
    assert json.loads(wall.run("status", "--json", status=None).out)["clusters"][0]["intervals"] == after
    # one that is gone
    damaged = piece_of(late)
    kept = damaged.read_bytes()
    damaged.unlink()
    _, (lack,), _ = ask("--dropped", "*", status=7)
    assert (lack["cause"], lack["first"][8:]) == ("missing", first)
    damaged.write_bytes(kept)
    # the server sees it at its start, and makes it again beside the damaged one
    wall.serve()
    wait_for(lambda: index.NAME.search(str(piece_of(late))).group(5) == "000002", "the piece to be made again", 60)
    wall.stop()
    assert ask(status=0)[0] == all_of_it
    spoil(piece_of(late))
    wall.run("wal", "index", "main")
    assert ask(status=0)[0] == all_of_it and index.NAME.search(str(piece_of(late))).group(5) == "000003"


def shell(story, out):
    """The first restore that is printed, typed as it is; the folder that it made."""
    line = re.search(r"^  (seawall restore main .*)$", out, re.M).group(1)
    subprocess.run(["bash", "-c", line], cwd=story.made.folder, check=True, capture_output=True, text=True, **process.OWNER,
                   env={"PATH": f"{story.wall.bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    return story.made.folder / "NEW_DIRECTORY"


def test_the_table_for_people_and_bad_questions(story):
    happen(story.cluster)
    story.backup()  # names are known until here
    story.cluster.sql("VACUUM FULL items")
    story.cluster.sql("TRUNCATE orders")
    story.cluster.sql("DROP TABLE orders")
    story.archived()
    story.wall.run("wal", "index", "main")
    (dropped,) = find(story, "--dropped", "orders")
    (vacuumed,) = find(story, "--dropped", "items")
    assert (dropped["what"], vacuumed["what"]) == ("dropped", "dropped or rewritten")
    assert [event["what"] for event in find(story, "--table", "orders")] == ["truncated or rewritten", "dropped"]
    # what lies before the oldest backup cannot be restored, and no command pretends so
    oldest = find(story)[0]
    assert oldest["what"] == "created" and oldest["restore_before"] is None
    out = story.wall.run("find", "main").out
    assert f"--to lsn:{oldest['lsn']} " not in out and "before the end of the oldest backup, at" in out
    out = story.wall.run("find", "main", "--dropped", "orders", "--config", story.wall.config).out
    made = shell(story, out)
    assert f"recovery_target_lsn = '{dropped['lsn']}'" in (made / "postgresql.auto.conf").read_text()
    assert (made / "recovery.signal").exists()
    story.wall.run("wal", "index", "main")
    out = story.wall.run("find", "main", "--dropped", "*").out
    assert re.search(r"^TIME +LSN +XID +WHAT", out) and re.search(r"seawall restore main --to lsn:\S+ --before", out), out
    for arguments, status, says in (
            (["--deleted", "many"], 2, "no number"), (["--xid", "-1"], 2, "no number"), (["--xid", "0"], 2, "no transaction"),
            (["--since", "2026-12-01 00:00", "--until", "2026-11-01 00:00"], 2, "later than --until"), (["--since", "yesteryear"], 2, "--since"),
            (["--around", "2026-01-01 00:00Z", "--since", "2026-01-01 00:00Z"], 2, "--around stands beside"),
            (["--around", "2020-01-01 00:00Z"], 1, "nothing of the kind happened"), (["--dropped", "no_such"], 1, "nothing of the kind")):
        result = story.wall.run("find", "main", *arguments, status=status)
        assert says in result.err, (arguments, result)
