"""What happened, found in the WAL index; and the restore that it names leads to the moment before."""

import json
import re
import shlex

import pytest
from seawalltest import wait_for
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


def test_the_table_for_people_and_bad_questions(story):
    happen(story.cluster)
    story.cluster.sql("DROP TABLE orders")
    story.archived()
    story.wall.run("wal", "index", "main")
    out = story.wall.run("find", "main", "--dropped", "*").out
    assert re.search(r"^TIME +LSN +XID +WHAT", out) and re.search(r"seawall restore main --to lsn:\S+ --before", out), out
    for arguments, status, says in (
            (["--deleted", "many"], 2, "no number"), (["--xid", "-1"], 2, "no number"), (["--since", "yesteryear"], 2, "--since"),
            (["--around", "2026-01-01 00:00Z", "--since", "2026-01-01 00:00Z"], 2, "--around stands beside"),
            (["--around", "2020-01-01 00:00Z"], 1, "nothing of the kind happened"), (["--dropped", "no_such"], 1, "nothing of the kind happened")):
        result = story.wall.run("find", "main", *arguments, status=status)
        assert says in result.err, (arguments, result)
