"""The WAL index against what servers write: pg_waldump's blocks, the catalog's names, and itself made again."""

import collections
import datetime
import importlib.util
import json
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from seawalltest import index, process, scenario, truth
from seawalltest.cluster import DEBIAN_BIN
from seawalltest.wait import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("unseal", ROOT / "contrib/unseal.py")
unseal = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(unseal)

BLOCK = re.compile(r"blkref #\d+: rel (\d+)/(\d+)/(\d+)(?: fork (\w+))? blk (\d+)")
COMMIT = re.compile(r"rmgr: Transaction .*tx: +(\d+), lsn: ([0-9A-F]+)/([0-9A-F]+), prev \S+, desc: (COMMIT|ABORT)")
DROPPED, TRUNCATED, CREATED = 1, 2, 4


def archiving(made, segment_mb=1, serve=False, **settings):
    return scenario.archiving(made, segment_mb=segment_mb, serve=serve, wal_keep_size="1GB", **settings)


def waldump(cluster, segments):
    return subprocess.run([DEBIAN_BIN / "pg_waldump", "-p", cluster.data / "pg_wal", segments[0], segments[-1]],
                          capture_output=True, text=True, check=False).stdout.splitlines()


def archived(wall):
    return sorted(path.name for path in (wall.repository / "main").glob("*/wal/*/*/*") if len(path.name) == 24)


def wal_index(wall, *options):
    return wall.run("wal", "index", *options)


def work(cluster):
    cluster.sql("CREATE TABLE orders (n int PRIMARY KEY, filler text)")
    cluster.sql("CREATE TABLE items (n int, filler text)")
    cluster.sql("INSERT INTO orders SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")
    cluster.sql("INSERT INTO items SELECT n, repeat('y', 300) FROM generate_series(1, 5000) n")
    cluster.sql("UPDATE orders SET filler = 'z' WHERE n % 7 = 0")


def test_commits_and_changed_blocks_are_those_of_pg_waldump(made):
    cluster, wall = archiving(made)
    work(cluster)
    cluster.sql("DELETE FROM orders WHERE n % 3 = 0")
    cluster.sql("VACUUM orders")
    wall.wait_archived()
    wal_index(wall)
    pieces = index.pieces(wall, unseal)
    segments = [segment for piece in pieces for segment in piece.segments]
    lines = waldump(cluster, archived(wall))
    truth, ends = collections.defaultdict(set), []
    for line in lines:
        for tablespace, database, number, fork, block in BLOCK.findall(line):
            if not fork:
                truth[int(tablespace), int(database), int(number)].add(int(block))
        if match := COMMIT.search(line):
            ends.append((int(match[2], 16) << 32 | int(match[3], 16), match[4]))
    told = collections.defaultdict(set)
    for piece in pieces:
        for relation, (_, blocks) in piece.relations.items():
            told[relation].update(blocks)
    assert {relation: blocks for relation, blocks in told.items() if blocks} == truth
    assert sum(segment.commits for segment in segments) == sum(kind == "COMMIT" for _, kind in ends)
    assert sum(segment.aborts for segment in segments) == sum(kind == "ABORT" for _, kind in ends)
    assert {start for segment in segments for start in (segment.first_xact, segment.last_xact) if start} <= \
        {start for start, _ in ends}
    assert sum(segment.records for segment in segments) == sum(line.startswith("rmgr:") for line in lines)


def test_pages_that_differ_between_two_copies_are_all_in_the_index(made):
    truth.story(made, 15, unseal)


def file_of(cluster, table):
    number = cluster.one(f"SELECT pg_relation_filenode('{table}')")
    return (1663, cluster.one("SELECT oid FROM pg_database WHERE datname = current_database()"), number)


def test_what_is_worth_finding_is_found(made):
    cluster, wall = archiving(made)
    work(cluster)
    cluster.sql("CREATE TABLE gone (n int); CREATE TABLE emptied (n int); CREATE TABLE rewritten (n int)")
    cluster.sql("INSERT INTO gone VALUES (1)")
    files = {table: file_of(cluster, table) for table in ("orders", "gone", "emptied", "rewritten")}
    cluster.sql("SELECT pg_create_restore_point('before it')")
    cluster.sql("DROP TABLE gone")
    cluster.sql("TRUNCATE emptied")
    cluster.sql("VACUUM FULL rewritten")
    cluster.sql("BEGIN; DELETE FROM orders WHERE n <= 600; SAVEPOINT s; DELETE FROM orders WHERE n <= 1000; COMMIT")
    cluster.sql("CREATE DATABASE other")
    cluster.sql("DROP DATABASE other")
    wall.wait_archived()
    wal_index(wall)
    events = [event for piece in index.pieces(wall, unseal) for event in piece.events]
    by_file = {relation: event for event in events for relation in event["touched"]}
    gone = by_file[files["gone"]]
    assert gone["touched"][files["gone"]]["flags"] == DROPPED and gone["number"] == 1
    emptied = by_file[files["emptied"]]
    assert emptied["touched"][files["emptied"]]["flags"] == DROPPED
    assert emptied["number"] == 0 and emptied["position"] > 0
    assert by_file[files["orders"]]["touched"][files["orders"]]["deleted"] == 1000
    kinds = collections.Counter(event["kind"] for event in events)
    assert kinds["database dropped"] == 1 and kinds["database created"] >= 1  # initdb made some, too
    assert [event["text"] for event in events if event["kind"] == "restore point"] == ["before it"]
    assert kinds["checkpoint"] >= 1
    assert kinds["poison"] == 0


def test_d35_a_rebuilt_index_is_the_same_also_with_several_writers_and_what_is_lost_comes_back(made):
    cluster, wall = archiving(made)
    work(cluster)
    wall.wait_archived()
    wal_index(wall)
    cluster.sql("INSERT INTO items SELECT n, repeat('y', 900) FROM generate_series(1, 30000) n")
    wall.wait_archived()
    wal_index(wall)
    first = {name[:5]: name[5].read_bytes() for name in index.names(wall)}
    told = json.loads(wal_index(wall, "--rebuild", "--json").out)["repositories"][0]
    assert told["written"] == "0" and int(told["repeated"]) >= 2
    assert {name[:5]: name[5].read_bytes() for name in index.names(wall)} == first
    before = index.pieces(wall, unseal)
    assert any(piece.last % 16 == 15 for piece in before)
    for folder in (wall.repository / "main").glob("*/index"):
        shutil.rmtree(folder)
    wal_index(wall)
    assert index.pieces(wall, unseal) == before
    # several that write the same pieces at once, and some that are killed over it
    for folder in (wall.repository / "main").glob("*/index"):
        shutil.rmtree(folder)
    writers = [wall.start_command("wal", "index", "main") for _ in range(4)]
    for writer in writers[2:]:
        wait_for(lambda: writer.poll() is not None or index.names(wall), "the first piece", 60)  # pylint: disable=cell-var-from-loop
        writer.kill()
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers[:2]] == [0, 0]
    assert index.pieces(wall, unseal) == before
    spoiled = index.names(wall)[0][5]
    data = bytearray(spoiled.read_bytes())
    data[-1] ^= 1
    spoiled.chmod(0o600)
    spoiled.write_bytes(data)
    wal_index(wall, "--rebuild")
    assert spoiled.with_suffix(".000002").exists()


def test_the_index_stays_small(made):
    """At most 1 % of the compressed WAL for pgbench."""
    cluster, wall = archiving(made, segment_mb=16)
    bench = [DEBIAN_BIN / "pgbench", "-h", cluster.sockets, "-p", cluster.port(), "-U", "postgres"]
    subprocess.run([*bench, "-i", "-q", "-s", "5", "postgres"], check=True, capture_output=True)
    subprocess.run([*bench, "-c", "2", "-t", "4000", "postgres"], check=True, capture_output=True)
    wall.wait_archived()
    wal_index(wall)
    wal = sum(path.stat().st_size for path in (wall.repository / "main").glob("*/wal/*/*/*"))
    size = sum(name[5].stat().st_size for name in index.names(wall))
    print(f"index {size} of {wal} bytes of WAL: {100 * size / wal:.2f} %")
    assert size <= wal / 100


def covered(wall):
    """Segments that pieces of level 0 cover, as their names' last 16 digits."""
    return {f"{number // 4096:08X}{number % 4096:08X}"
            for piece in index.pieces(wall, unseal) for number in range(piece.first, piece.last + 1)}


def index_told(wall, field):
    return int(json.loads(wall.run("status", "--json", status=None).out)["server"]["clusters"][0]["index"].get(field, 0))


def from_push(cluster, wall):
    """How many segments the index took from what their push had left, after one more."""
    cluster.sql("INSERT INTO items SELECT n, 'w' FROM generate_series(1, 100) n")
    cluster.switch_wal()
    wall.wait_archived()
    return index_told(wall, "segments_from_push")


def test_d24_the_server_keeps_the_index_complete_through_kills_and_losses(made):
    cluster, wall = archiving(made, serve=True)
    work(cluster)
    last = wall.wait_archived()
    wait_for(lambda: last[8:] in covered(wall), "the index to reach the last segment", 60)
    wall.kill()
    lost = index.names(wall)[0][5]
    lost.unlink()
    work_more = "INSERT INTO items SELECT n, repeat('y', 900) FROM generate_series(1, 9000) n"
    cluster.sql(work_more)
    wall.serve()
    cluster.sql(work_more)
    wait_for(lambda: from_push(cluster, wall) > 1, "a segment that was indexed by its push", 60)
    last = wall.wait_archived()
    wait_for(lambda: {name[8:] for name in archived(wall)} <= covered(wall), "all of it to be there again", 60)
    wall.stop()
    before = index.pieces(wall, unseal)
    shutil.rmtree(next((wall.repository / "main").glob("*/index")))
    wal_index(wall)
    assert index.pieces(wall, unseal) == before


def push_alone(cluster, wall, name):
    subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "push", f"pg_wal/{name}"],
                   cwd=cluster.data, check=True, **process.OWNER)


def test_the_server_knows_at_once_of_segments_that_come_late_and_of_those_that_were_taken_away(made):
    """Parallel pushes may store a segment before the one before it; and somebody may delete what is archived."""
    cluster, wall = archiving(made, serve=True)
    work(cluster)
    first = wall.wait_archived()
    wait_for(lambda: first[8:] in covered(wall), "the index to reach the last segment", 60)
    cluster.configure(archive_command="true")
    names = []
    for number in range(4):
        cluster.sql(f"INSERT INTO items VALUES ({number}, 'late')")
        names.append(wall.wait_archived())
    assert not set(names) & set(archived(wall))

    before = index_told(wall, "archived_segments")
    push_alone(cluster, wall, names[1])
    wait_for(lambda: index_told(wall, "archived_segments") > before, "the server to see the second one", 60)
    push_alone(cluster, wall, names[0])
    wait_for(lambda: {name[8:] for name in names[:2]} <= covered(wall), "the one that came late", 60)
    lost = archived(wall)[3]
    next((wall.repository / "main").rglob(lost)).unlink()
    push_alone(cluster, wall, names[2])
    wait_for(lambda: [(hole["first"], hole["last"], hole["cause"]) for hole in told(wall, "status")["holes"]] ==
             [(lost, lost, "deleted")], "the one that was taken away", 60)


def micros(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def intervals(wall, command):
    told = json.loads(wall.run(command, "--json", status=None).out)
    return told["clusters"][0]["intervals"] if command == "status" else told["intervals"]


def with_commits(made, count):
    """An archive with a backup, and behind it some commits with several segments each: (cluster, wall, their times, the last segment)."""
    cluster, wall = archiving(made)
    work(cluster)
    wall.run("backup")
    times = []
    for number in range(count):
        xid = cluster.one(f"INSERT INTO items SELECT {number}, repeat('x', 2000) FROM generate_series(1, 1500) "
                          "RETURNING pg_current_xact_id()::xid::text")
        times.append(cluster.one(f"SELECT pg_xact_commit_timestamp('{xid}'::xid)").timestamp())
        last = wall.wait_archived()
    return cluster, wall, times, last


def test_intervals_end_at_the_last_transaction_and_name_their_hole(made):
    cluster, wall, times, last = with_commits(made, 4)
    wal_index(wall)
    for command in ("status", "list"):
        (told,) = intervals(wall, command)
        assert micros(told["last_transaction"]) == times[-1] and "hole" not in told
        assert told["unindexed_segments"] == "0"
    assert "to " + told["last_transaction"][:19] in wall.run("list").out
    assert "RPO now" in wall.run("status", status=1).out
    # what is not indexed yet is listed, and the index says how far it knows
    cluster.sql("INSERT INTO items VALUES (99, 'z')")
    newest = wall.wait_archived()
    (told,) = intervals(wall, "status")
    assert int(told["unindexed_segments"]) > 0 and micros(told["last_transaction"]) == times[-1]
    lost = sorted(name for name in archived(wall) if name < last)[-1]
    next((wall.repository / "main").rglob(lost)).unlink()
    # a plan lists what it needs, whatever the index says; the others know when the archive was looked through
    plan = json.loads(wall.run("restore", "--pgdata", wall.folder / "new", "--plan", "--json").out)["plan"]
    assert plan["hole"] == lost
    wal_index(wall)
    for command in ("status", "list"):
        (told,) = intervals(wall, command)
        assert told["hole"] == told["hole_last"] == lost
    assert told["hole"] == told["hole_last"] == lost
    assert times[0] <= micros(told["last_transaction"]) == micros(told["hole_from"]) < times[-1]
    assert micros(told["hole_from"]) < micros(told["hole_until"]) <= times[-1]  # the piece of the index covers both sides
    assert newest > lost
    assert f"then a HOLE at {lost}" in wall.run("list").out
    assert "main: WAL is missing behind the last backup: nothing after 20" in wall.run("status", status=None).out
    # also when all of the index is made again
    for folder in (wall.repository / "main").glob("*/index"):
        shutil.rmtree(folder)
    (told,) = intervals(wall, "status")
    assert told["hole"] == lost
    wal_index(wall)
    (told,) = intervals(wall, "status")
    assert told["hole"] == lost and micros(told["hole_until"]) >= micros(told["hole_from"])


def test_numbers_have_names_also_when_the_table_is_gone(made):
    cluster, wall = archiving(made)
    cluster.sql('CREATE DATABASE "other one"')
    cluster.sql("CREATE SCHEMA shop; CREATE TABLE shop.orders (n int PRIMARY KEY, filler text)")
    cluster.sql('CREATE TABLE "Grüße" (n int)', dbname="'other one'")
    wall.wait_archived()
    _, database, number = file_of(cluster, "shop.orders")
    wall.run("backup")
    (_, time_us, names), = index.all_names(wall, unseal)
    assert names[database][0] == "postgres" and names[database][1][number][1:] == ("r", "shop", "orders")
    assert ("r", "public", "Grüße") in [relation[1:] for name, relations in names.values() if name == "other one"
                                        for relation in relations.values()]
    assert abs(time_us / 1e6 - cluster.one("SELECT extract(epoch FROM now())::float8")) < 600
    wall.run("backup")
    assert len(index.all_names(wall, unseal)) == 1  # nothing has changed
    wall.serve()
    cluster.sql("DROP TABLE shop.orders; CREATE TABLE fresh (n int)")
    wall.wait_archived()
    wait_for(lambda: len(index.all_names(wall, unseal)) == 2, "the server to take the names", 60)
    (_, _, before), (_, _, after) = index.all_names(wall, unseal)
    assert number in before[database][1] and number not in after[database][1]
    wait_for(lambda: any(event["kind"] == "transaction" and (1663, database, number) in event["touched"]
                         for piece in index.pieces(wall, unseal) for event in piece.events), "the drop", 60)


def test_a_plan_reads_only_the_wal_that_can_hold_the_target(made):
    cluster, wall = archiving(made)
    work(cluster)
    wall.run("backup")
    marks = []
    for number in range(30):
        xid = cluster.one(f"INSERT INTO items SELECT {number}, repeat('x', 2000) FROM generate_series(1, 500) "
                          "RETURNING pg_current_xact_id()::xid::text")
        if number % 10 == 0:
            lsn = cluster.one(f"SELECT pg_create_restore_point('point {number}')")
            marks.append((xid, number, lsn))
    wall.wait_archived()
    wal_index(wall)
    for xid, number, _ in marks:
        for target in (f"xid:{xid}", f"name:point {number}"):
            plan = json.loads(wall.run("restore", "--to", target, "--pgdata", wall.folder / "new", "--plan",
                                       "--json").out)
            assert plan["plan"]["backup"]
    # what is not there is refused at once, by the index alone: no segment is read for it
    segments = sorted((wall.repository / "main").glob("*/wal/*/*/*"))
    for path in segments[:-1]:
        path.chmod(0o600)
        path.write_bytes(b"")
    for target in ("xid:99999999", "name:nowhere"):
        taken = []
        while not taken or min(taken) > 1 and len(taken) < 10:  # the best, since the machine may be busy
            begun = time.monotonic()
            result = wall.run("restore", "--to", target, "--pgdata", wall.folder / "new", "--plan", status=1)
            taken.append(time.monotonic() - begun)
            assert "is not in the WAL of the path" in result.err
        assert min(taken) < 1, taken


def test_a_timeline_that_forks_is_indexed_from_its_beginning(made):
    cluster, wall = archiving(made)
    work(cluster)
    wall.run("backup")
    cluster.sql("INSERT INTO items SELECT n, repeat('y', 900) FROM generate_series(1, 3000) n")
    wall.wait_archived()
    cluster.stop()
    (cluster.data / "standby.signal").touch()
    process.own(cluster.data / "standby.signal")
    cluster.configure(restore_command=wall.restore_command())
    cluster.start()
    cluster.promote()
    cluster.wait_primary()
    cluster.sql("INSERT INTO items SELECT n, repeat('z', 900) FROM generate_series(1, 3000) n")
    wall.wait_archived()
    wal_index(wall)
    pieces = {piece.tli: piece for piece in index.pieces(wall, unseal)}
    assert set(pieces) == {1, 2}
    (begun,) = (event for event in pieces[2].events if event["kind"] == "timeline")
    assert (begun["number"], begun["position"], begun["tli"]) == (2, 1, 2)
    assert pieces[2].segments[0].lost == 0 and pieces[2].segments[0].records > 0
    told = {interval["timeline"]: interval for interval in intervals(wall, "status")}
    assert micros(told[2]["last_transaction"]) > micros(told[1]["last_transaction"])
    assert told[1]["first_backup"] == told[2]["first_backup"] and "hole" not in told[2]


def test_a_segment_that_cannot_be_read_is_named_and_the_rest_is_indexed(made):
    cluster, wall = archiving(made)
    work(cluster)
    wall.wait_archived()
    names = archived(wall)
    broken = names[len(names) // 2]
    path = next((wall.repository / "main").rglob(broken))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    result = wall.run("wal", "index", "--rebuild", status=7)
    assert broken in result.err
    found = covered(wall)
    assert {name[8:] for name in names} - found == {broken[8:]}
    after = next(segment for piece in index.pieces(wall, unseal) for segment in piece.segments
                 if segment.number == int(broken[8:16], 16) * 4096 + int(broken[16:], 16) + 1)
    assert after.lost > 0 or after.records > 0


def test_every_repository_of_a_cluster_has_the_same_index(made):
    cluster = made.cluster(segment_mb=1, wal_keep_size="1GB")
    wall = made.seawall(cluster)
    other = wall.folder / "other"
    wall.sections["repository other"] = {"url": f"file://{other}"}
    wall.sections["cluster main"]["repositories"] = "local, other"
    wall.write_config()
    wall.init()
    wall.serve()
    cluster.start()
    wall.archive()
    work(cluster)
    last = wall.wait_archived()
    wait_for(lambda: last[8:] in covered(wall), "the index to reach the last segment", 60)

    def pieces_of(root):
        repository = unseal.Repository(root)
        return {str(path.relative_to(root)): b"".join(repository.read(str(path.relative_to(root))))
                for path in (root / "main").glob("*/index/*/*/*")}

    wait_for(lambda: pieces_of(other) == pieces_of(wall.repository), "the other repository's index", 60)
    shutil.rmtree(next((other / "main").glob("*/index")))
    wall.stop()
    told = json.loads(wal_index(wall, "--json").out)["repositories"]
    assert [item["repository"] for item in told] == ["local", "other"]
    whole = {name: data for name, data in pieces_of(wall.repository).items() if name in pieces_of(other)}
    assert whole and whole == {name: data for name, data in pieces_of(other).items() if name in whole}


def over_socket(wall, path):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(wall.socket))
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := one.recv(65536):
            answer += piece
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b" 200 " in head.splitlines()[0], answer
    return json.loads(body)


def told(wall, command):
    answer = json.loads(wall.run(command, "--json", status=None).out)
    return answer["clusters"][0] if command == "status" else answer


def holed(made):
    """An archive with a hole of each cause: (wall, names of segments by cause, times of some commits)."""
    _, wall, times, _ = with_commits(made, 6)
    names = archived(wall)
    hole = dict(zip(("deleted", "never_archived", "set_aside", "damaged"), (names[-number] for number in (3, 6, 9, 12))))
    objects = {cause: next((wall.repository / "main").rglob(name)) for cause, name in hole.items()}
    objects["never_archived"].unlink()
    data = bytearray(objects["damaged"].read_bytes())
    data[len(data) // 2] ^= 1
    objects["damaged"].chmod(0o600)
    objects["damaged"].write_bytes(data)
    wall.run("wal", "index", "--rebuild", status=7)
    objects["deleted"].unlink()
    conflict = objects["set_aside"].parents[3] / "conflict" / hole["set_aside"]
    conflict.mkdir(parents=True)
    objects["set_aside"].rename(conflict / ("0" * 32))
    wall.run("wal", "index", "--rebuild", status=7)  # what was taken away behind the index's back is seen when it looks at all of the archive
    return wall, hole, times


def test_every_hole_has_its_segments_its_cause_and_its_window(made):
    wall, hole, times = holed(made)
    found = told(wall, "list")
    assert {each["first"]: each["cause"] for each in found["holes"]} == {name: cause for cause, name in hole.items()}
    for each in found["holes"]:
        assert each["first"] == each["last"] and each["segments"] == "1"
        assert each["set_aside"] == ("1" if each["cause"] == "set_aside" else "0")
        assert micros(each["from"]) <= micros(each["until"]), each
        assert times[0] - 60 < micros(each["from"]) <= times[-1]
    # a recovery does not come past what is damaged
    (interval,) = found["intervals"]
    assert (interval["hole"], interval["hole_cause"]) == (hole["damaged"], "damaged")
    text = wall.run("list").out
    for cause, why in (("damaged", "damaged"), ("never_archived", "never archived: it was missing"),
                       ("deleted", "deleted: it was archived"), ("set_aside", "set aside, see conflict/")):
        assert re.search(rf"{hole[cause]} +1 segment +from 20.* until 20.*{re.escape(why)}", text), text
    text = wall.run("status", status=1).out
    assert re.search(rf"{hole['damaged']} +1 segment", text) and "RPO now" in text
    # the server says the same as the command, on both sockets
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wall.sections["server"]["http"] = f"127.0.0.1:{port}"
    wall.write_config()
    wall.serve()
    path = "/v1/clusters/main/intervals"

    def agree():
        """The server's index may be on its way between two questions."""
        status, one = told(wall, "status"), over_socket(wall, path)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            other = json.load(answer)
        assert one["cluster"] == "main" and one["rpo_seconds"] >= 0
        return all(one[field] == other[field] == status[field] for field in ("intervals", "holes", "last_transaction"))

    wait_for(agree, "one answer from all", 60)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/clusters/other/intervals", timeout=20)
