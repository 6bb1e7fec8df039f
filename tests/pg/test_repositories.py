"""A cluster at several repositories: one of them goes, comes back, or is damaged."""

import contextlib
import http.client
import json
import pathlib
import re
import socket
import threading
import time

import pytest
from seawalltest import Target, process
from seawalltest.ledger import Ledger
from seawalltest.s3 import at, section
from seawalltest.wait import wait_for


def several(made, count=2, serve=True, encrypted=(), kind="release", **cluster_settings):
    """A cluster that archives into repositories "local", "b", "c" ..., the nearest first."""
    cluster = made.cluster(segment_mb=1)
    wall = made.seawall(cluster, kind=kind)
    names = ["local"] + [chr(ord("a") + number) for number in range(1, count)]
    for name in names[1:]:
        wall.sections[f"repository {name}"] = {"url": f"file://{folder(wall, name)}"}
    for name in encrypted:
        key = wall.folder / f"key-{name}"
        key.write_text(f"a key of repository {name}, long enough\n")
        key.chmod(0o600)
        wall.sections[f"repository {name}"]["key_file"] = key
    wall.sections["cluster main"] |= {"repositories": ", ".join(names), **cluster_settings}
    wall.write_config()
    wall.init()
    if serve:
        wall.serve()
    cluster.start()
    wall.archive()
    cluster.sql("CREATE TABLE t (n int, filler text)")
    return cluster, wall


def folder(wall, name):
    return wall.repository if name == "local" else wall.folder / f"repository-{name}"


@contextlib.contextmanager
def gone(wall, name):
    """The repository is not there for a while."""
    away = folder(wall, name).with_suffix(".away")
    folder(wall, name).rename(away)
    try:
        yield
    finally:
        away.rename(folder(wall, name))


def segments(wall, name):
    paths = (folder(wall, name) / "main").glob("*/wal/*/*/*")
    return {path.name for path in paths if re.fullmatch(r"[0-9A-F]{24}", path.name)}


def write(cluster, segments_count=1):
    for _ in range(segments_count):
        cluster.sql("INSERT INTO t SELECT n, repeat('x', 200) FROM generate_series(1, 500) n")
        last = cluster.switch_wal()
    return last


def failures(cluster):
    return cluster.one("SELECT failed_count FROM pg_stat_archiver")


@pytest.mark.parametrize("serve", [True, False])
def test_with_all_a_file_is_archived_when_it_is_in_every_repository(made, serve):
    cluster, wall = several(made, serve=serve)
    last = write(cluster, 3)
    wall.wait_archived(last)
    assert last in segments(wall, "local") and last in segments(wall, "b")
    with gone(wall, "b"):
        last = write(cluster)
        wait_for(lambda: failures(cluster) > 0, "archive_command to fail", 60)
        assert last not in segments(wall, "b")
    wall.wait_archived(last)
    assert last in segments(wall, "local") and last in segments(wall, "b")


@pytest.mark.parametrize("lost", ["local", "b"])
@pytest.mark.parametrize("serve", [True, False])
def test_with_any_postgresql_never_notices_that_one_is_gone(made, serve, lost):
    cluster, wall = several(made, serve=serve, ack="any")
    wall.wait_archived(write(cluster))
    with gone(wall, lost):
        last = write(cluster, 4)
        wall.wait_archived(last)
        assert failures(cluster) == 0
        assert last in segments(wall, "b" if lost == "local" else "local")


def test_with_two_of_three_one_may_be_gone_and_not_two(made):
    cluster, wall = several(made, count=3, ack="2")
    wall.wait_archived(write(cluster))
    with gone(wall, "b"):
        last = write(cluster, 2)
        wall.wait_archived(last)
        assert failures(cluster) == 0
        assert last in segments(wall, "local") and last in segments(wall, "c")
        with gone(wall, "c"):
            last = write(cluster)
            wait_for(lambda: failures(cluster) > 0, "archive_command to fail", 60)
    wall.wait_archived(last)


def damage(wall, name, segment):
    path = next((folder(wall, name) / "main").glob(f"*/wal/*/*/{segment}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xff
    path.chmod(0o600)
    path.write_bytes(content)


def fetch(wall, cluster, segment, status):
    """What a recovery that has no server hears."""
    target = cluster.data / "pg_wal/RECOVERYXLOG"
    target.unlink(missing_ok=True)
    result = wall.run("wal", "fetch", segment, target, status=status)
    assert target.exists() == (status == 0)
    return result


def test_a_file_is_read_from_the_nearest_that_has_it_whole(made):
    cluster, wall = several(made, serve=False)
    last = write(cluster, 2)
    wall.wait_archived(last)
    fetch(wall, cluster, last, 0)
    damage(wall, "local", last)
    assert "trying the other repositories" in fetch(wall, cluster, last, 0).err
    with gone(wall, "local"):
        fetch(wall, cluster, last, 0)
        said = wall.run("verify", status=4)  # one that is away is no reason not to look at the other
        assert "Repository b:" in said.out and 'repository "local"' in said.err, said
    damage(wall, "b", last)
    assert "could not deliver" in fetch(wall, cluster, last, 255).err


def test_damage_in_one_of_two_is_known_and_no_hole_until_it_is_in_both(made):
    cluster, wall = several(made, serve=False)
    wall.run("backup")
    name = write(cluster, 1)
    wall.wait_archived(write(cluster, 2))
    target = wall.folder / "copy"

    def plan():
        return wall.run("restore", "--plan", "--pgdata", target).out

    damage(wall, "local", name)
    fetch(wall, cluster, name, 0)
    assert "damaged" not in plan()
    # What one repository can restore by itself is its own affair.
    answer = json.loads(wall.run("status", "--json", status=None).out)["clusters"][0]
    other, = answer["other_repositories"]
    assert [each["cause"] for each in answer["holes"]] == ["damaged"] and other["holes"] == [], answer
    damage(wall, "b", name)
    assert "could not deliver" in fetch(wall, cluster, name, 255).err
    result = wall.run("restore", "--plan", "--pgdata", target, status=5)
    assert f'the end of the archive lies behind a hole: segment "{name}" is damaged' in result.err, result
    assert 'The last possible is "--to lsn:' in result.err, result
    # Away is not good: it is filled in from where it is.
    for repository in ("b", "local"):
        next((folder(wall, repository) / "main").glob(f"*/wal/*/*/{name}")).unlink()
    wall.run("wal", "push", str(cluster.data / "pg_wal" / name))
    assert "damaged" not in plan() and "missing" not in plan()


def test_d2_what_one_of_two_cannot_say_is_not_absent(made):
    cluster, wall = several(made, serve=False)
    last = write(cluster)
    wall.wait_archived(last)
    above = f"{last[:16]}{int(last[16:], 16) + 8:08X}"
    fetch(wall, cluster, above, 1)
    (cluster.data / "standby.signal").touch()  # a server that is not asked: only so that the hook is not patient
    for name in ("local", "b"):
        with gone(wall, name):
            assert "could not find out whether" in fetch(wall, cluster, above, 1).err
    (cluster.data / "standby.signal").unlink()
    assert "could not find out" not in fetch(wall, cluster, above, 1).err



def filled(wall, lacking, complete):
    wait_for(lambda: segments(wall, lacking) >= segments(wall, complete), f"{lacking} to be filled up", 60)


def test_one_that_comes_back_is_filled_from_pg_wal(made):
    cluster, wall = several(made, ack="any")
    wall.wait_archived(write(cluster))
    with gone(wall, "b"):
        last = write(cluster, 5)
        wall.wait_archived(last)
        assert not folder(wall, "b").exists()
    filled(wall, "b", "local")
    assert last in segments(wall, "b")
    wait_for(lambda: "was filled up" in wall.log.read_text(), "the server to say so", 10)
    assert failures(cluster) == 0


def test_one_that_comes_back_is_filled_from_another_when_pg_wal_has_no_more(made):
    cluster, wall = several(made, ack="any")
    wall.wait_archived(write(cluster))
    with gone(wall, "b"):
        last = write(cluster, 5)
        wall.wait_archived(last)

        def removed():
            write(cluster)
            cluster.sql("CHECKPOINT")
            return not (cluster.data / "pg_wal" / last).exists()
        wait_for(removed, "pg_wal to be without the segment", 60)
        wall.stop()
    wall.serve()
    filled(wall, "b", "local")
    with gone(wall, "local"):
        fetch(wall, cluster, last, 0)


def lag(wall, name):
    """What the server tells of the repository."""
    told = json.loads(wall.run("status", "--json", status=None).out)["server"]["clusters"][0]
    place = next(place for place in told["places"] if place["repository"] == name)
    return {each: int(place[each]) for each in ("lag_segments", "lag_bytes", "lag_seconds")}


def test_status_says_who_is_away_and_what_it_lacks(made):
    cluster, wall = several(made, ack="any")
    wall.wait_archived(write(cluster))
    wait_for(lambda: wall.run("status", status=None).out.count("reachable, lacks nothing") == 2, "both to have all", 30)  # one is enough for PostgreSQL
    begun = time.monotonic()
    with gone(wall, "b"):
        wall.wait_archived(write(cluster, 4))
        wait_for(lambda: re.search(r"b +NOT REACHED since .*lacks [1-9]\d* segments, \d+(\.\d+)? MB, \d+(\.\d+)? (ms|s|min)",
                                   wall.run("status", status=None).out), "status to say so", 20)
        wait_for(lambda: lag(wall, "b")["lag_seconds"] >= 1, "the lag to grow", 20)
        told = lag(wall, "b")
        assert told["lag_segments"] >= 1 and told["lag_bytes"] == told["lag_segments"] << 20, told
        assert told["lag_seconds"] <= time.monotonic() - begun, told
        assert not any(lag(wall, "local").values())
    filled(wall, "b", "local")
    wait_for(lambda: "NOT REACHED" not in wall.run("status", status=None).out, "status to be fine", 30)
    wait_for(lambda: not any(lag(wall, "b").values()), "nothing to be lacking", 30)


def test_restore_needs_the_word_of_all_repositories_or_without(made):
    cluster, wall = several(made)
    wall.run("backup")
    cluster.sql("CREATE TABLE marker AS SELECT 42 AS n")
    wall.wait_archived(write(cluster))
    with gone(wall, "b"):
        result = wall.run("restore", "--pgdata", wall.folder / "copy", status=4)
        assert "--without REPOSITORY" in result.err
        wall.run("restore", "--pgdata", wall.folder / "copy", "--without", "elsewhere", status=2)
        copy, _ = wall.restore(Target("latest"), "copy", "--start", "--without", "b")
        made.add(copy)
        assert copy.one("SELECT n FROM marker") == 42


def places(wall, backup):
    """The repositories that list and show name for a backup, in words and in JSON; "b?": b did not answer."""
    head, *rows = wall.run("list").out[1:].split("BACKUP", 1)[1].splitlines()
    row = next(row for row in rows if row.startswith(backup))
    words = [set(re.split(", ", row[len("BACKUP") + head.index("REPOSITORIES"):].strip())),
             set(re.search(r"^repositories +(.*)", wall.run("show", backup).out, re.M)[1].split(", "))]
    for command in (["list"], ["show", backup]):
        root = json.loads(wall.run(*command, "--json").out)
        item = next(item for item in root.get("backups", [root]) if item["id"] == backup)
        words.append({*item["repositories"], *(place["repository"] + "?" for place in root["repositories_unknown"])})
    assert all(names == words[0] for names in words), words
    return words[0]


def asked(wall, path):
    """The JSON that the server answers a GET with."""
    client = http.client.HTTPConnection("localhost")
    client.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(client):
        client.sock.connect(str(wall.socket))
        client.request("GET", path)
        return json.loads(client.getresponse().read())


def backups(wall, name):
    """Ids of the backups that are complete in it."""
    return {path.name for path in (folder(wall, name) / "main").glob("*/backup/*") if "." not in path.name}


@pytest.mark.parametrize("serve,encrypted", [(True, ("local", "b")), (False, ("b",)), (False, ("local",))])
def test_a_backup_goes_to_every_repository_under_its_own_key(made, serve, encrypted):
    cluster, wall = several(made, serve=serve, encrypted=encrypted)
    write(cluster, 2)
    done = re.search(r"Backup (\S+) is complete", wall.run("backup").out)[1]
    assert backups(wall, "local") == backups(wall, "b") == {done}
    cluster.sql("CREATE TABLE marker AS SELECT 42 AS n")
    wall.wait_archived(write(cluster))
    packs = {}
    for name in ("local", "b"):
        found = (folder(wall, name) / "main").glob("*/pack/*/*")
        packs[name] = {path.name: path.read_bytes() for path in found}
    assert packs["local"].keys() == packs["b"].keys()
    assert not any(packs["local"][pack] == packs["b"][pack] for pack in packs["b"])
    told = wall.state / "recovering"  # to the server's index, by a restore, which is a process of its own
    assert not told.exists()
    for lost in ("local", "b"):
        with gone(wall, lost):
            copy, _ = wall.restore(Target("latest"), f"copy-{lost}", "--start", "--without", lost)
            made.add(copy)
            assert copy.one("SELECT n FROM marker") == 42
        assert told.stat().st_size == 0


def test_a_repository_that_comes_after_a_new_generation_takes_part_in_it(made):
    cluster, wall = several(made, count=1, serve=False)
    wall.wait_archived(write(cluster))
    wall.run("adopt", "--new-generation")
    wall.sections["repository b"] = {"url": f"file://{folder(wall, 'b')}"}
    wall.sections["cluster main"] |= {"repositories": "local, b", "ack": "any"}
    wall.write_config()
    wall.init()
    with gone(wall, "local"):
        last = write(cluster)
        wait_for(lambda: failures(cluster) > 0, "archive_command to fail", 60)
        result = wall.run("wal", "push", cluster.data / "pg_wal" / last, status=None)
        assert 'not begun in repository "b" before repository "local" has said' in result.err, result
        assert not segments(wall, "b")
    wall.serve()
    wall.wait_archived(write(cluster, 2))
    assert {path.name[-5:] for path in (folder(wall, "b") / "main").glob("*-15-*")} == {"-15-2"}
    wait_for(lambda: segments(wall, "b") >= segments_of(wall, "local", "-15-2"), "b to be filled up")
    wall.run("backup")
    cluster.sql("CREATE TABLE marker AS SELECT 42 AS n")
    wall.wait_archived(write(cluster))
    with gone(wall, "local"):
        copy, _ = wall.restore(Target("latest"), "copy", "--start", "--without", "local")
        made.add(copy)
        assert copy.one("SELECT n FROM marker") == 42


def segments_of(wall, name, generation):
    return {path.name for path in (folder(wall, name) / "main").glob(f"*{generation}/wal/*/*/*") if len(path.name) == 24}


def status(wall):
    return json.loads(wall.run("status", "--json", status=None).out)["clusters"][0]


def restorable(told):
    """How many intervals of time each repository can restore; None: that is not known."""
    return {each["repository"]: None if "error" in each else len(each["intervals"]) for each in (told, *told["other_repositories"])}


@pytest.mark.parametrize("serve", [True, False])
@pytest.mark.parametrize("lost", ["local", "b"])
def test_with_any_a_backup_is_made_without_a_repository_that_is_gone(made, serve, lost):
    cluster, wall = several(made, serve=serve, ack="any")
    wall.wait_archived(write(cluster))
    with gone(wall, lost):
        result = wall.run("backup")
        assert f"the backup is not in: {lost}" in result.err
        has = "b" if lost == "local" else "local"
        done, = backups(wall, has)
        assert places(wall, done) == {has, f"{lost}?"}
        assert f"Repository {lost} did not answer" in wall.run("list").out
        assert "could not find backup" in wall.run("show", "20200101T000000Z-abcd", status=4).err
        said = wall.run("status", status=None).out
        assert re.search(rf"From repository {has}\nRestorable:\n  timeline 1 ", said), said
        assert re.search(rf"From repository {lost}\nNot known: ", said), said
        assert restorable(status(wall)) == {has: 1, lost: None}
    wait_for(lambda: restorable(status(wall)) == {has: 1, lost: 0}, "the server to see that it is back", 30)
    assert not backups(wall, lost)
    assert places(wall, done) == {has}
    assert f"Repository {lost} lacks 1 of them" in wall.run("list", "--repository", lost).out
    wall.run("list", "--repository", "elsewhere", status=2)
    if serve:
        assert asked(wall, "/v1/clusters/main/backups")["backups"][0]["repositories"] == [has]
        assert restorable(asked(wall, "/v1/clusters/main/intervals")) == {has: 1, lost: 0}
    wall.run("copy", "--from", has, "--to", lost)
    assert places(wall, done) == {"local", "b"}
    assert restorable(status(wall)) == {has: 1, lost: 1}


def test_a_backup_that_fewer_repositories_have_than_ack_says_is_there_and_no_success(made):
    cluster, wall = several(made)
    wall.wait_archived(write(cluster))
    generation = next(path.parent for path in (folder(wall, "b") / "main").glob("*/system"))
    (generation / "pack").touch()  # WAL goes on getting there, packs do not
    result = wall.run("backup", status=4)
    assert 'is complete in repository "local" only: 1 of 2, but "ack" wants 2' in result.err
    assert len(backups(wall, "local")) == 1 and not backups(wall, "b")
    wait_for(lambda: "the last backup is not in: b" in wall.run("status").out, "the server to see it", 30)
    assert "ago, in local" in wall.run("status").out
    (generation / "pack").unlink()
    first, = backups(wall, "local")  # names are times in seconds: the next one is to be the later by its name, too
    wait_for(lambda: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) > first[:16], "the next second", 5)
    wall.run("backup")
    assert len(backups(wall, "local")) == 2 and len(backups(wall, "b")) == 1
    wait_for(lambda: "ago, in local, b" in wall.run("status").out, "the server to see it", 30)


@pytest.mark.s3
def test_d45_each_repository_gets_the_manifest_when_its_own_wal_is_there(made, rgw, rgw_proxy):
    """One gets its packs and, for a while, no WAL: the other does not wait for it, and a backup is in it only afterwards."""
    cluster = made.cluster(segment_mb=1)
    wall = made.seawall(cluster)
    wall.sections["repository b"] = {**section(rgw, wall.folder, at(rgw_proxy)), "url": f"s3://{rgw.name}/b"}
    wall.sections["cluster main"] |= {"repositories": "local, b", "ack": "any"}
    wall.write_config()
    wall.init()
    wall.serve()
    cluster.start()
    wall.archive()
    cluster.sql("CREATE TABLE t (n int, filler text)")
    first = write(cluster)
    wall.wait_archived(first)
    wait_for(lambda: any(key.endswith(first) for key in rgw.keys("b/")), "b to have what was archived", 30)
    go = threading.Event()
    rgw_proxy.add("call", times=-1, method="PUT", path="/wal/", call=lambda path: go.wait(10))
    command = wall.start_command("backup")
    wait_for(lambda: backups(wall, "local"), "the backup to be in the one that has its WAL", 60)

    def heads():
        return [key for key in rgw.keys("b/") if re.search(r"/backup/[^./]+$", key)]

    packs = [key for key in rgw.keys("b/") if "/pack/" in key]
    assert packs and not heads() and command.poll() is None, (packs, heads())
    go.set()
    out, err = command.communicate(timeout=90)
    assert command.returncode == 0 and "left out" not in err, out + err
    head, = heads()
    done, = backups(wall, "local")
    assert head.endswith(done) and places(wall, done) == {"local", "b"}
    stored = [each.path for each in rgw_proxy.requests() if each.method == "PUT" and each.status == 200]
    last = json.loads(wall.run("show", done, "--json").out)["stop_lsn"]
    segment = f"00000001{int(last.split('/')[0], 16):08X}{int(last.split('/')[1], 16) - 1 >> 20:08X}"
    order = [next(number for number, path in enumerate(stored) if path.endswith(name)) for name in (segment, done)]
    assert order == sorted(order), stored


def peak_mb(pid):
    """The most memory that the process ever had."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.s3
def test_the_server_stays_below_128_mb_with_a_backlog_that_does_not_compress_to_two_repositories_in_s3(made, rgw):
    cluster = made.cluster(segment_mb=16)
    wall = made.seawall(cluster)
    wall.sections["server"]["memory"] = "96MB"  # the default
    for name in ("local", "b"):
        wall.sections[f"repository {name}"] = {**section(rgw, wall.folder), "url": f"s3://{rgw.name}/{name}"}
    wall.sections["cluster main"] |= {"repositories": "local, b", "ack": "all"}
    wall.write_config()
    wall.init()
    cluster.start()
    cluster.sql("CREATE TABLE noise (bytes bytea); ALTER TABLE noise ALTER bytes SET STORAGE EXTERNAL")
    cluster.sql("INSERT INTO noise SELECT decode(string_agg(md5(random()::text || n), ''), 'hex') FROM generate_series(1, 1000000) n")
    for _ in range(12):
        cluster.sql("SELECT pg_logical_emit_message(false, 'x', bytes) FROM noise")
    last = cluster.switch_wal()
    wall.serve()
    wall.archive()
    wall.wait_archived(last, deadline_s=120)
    sizes = sorted(len(rgw.get(key)) for key in rgw.keys("b/") if re.search(r"/[0-9A-F]{24}$", key))
    assert len(sizes) > 12 and sizes[4] > 15 << 20, "it was meant not to compress"
    peak = peak_mb(wall.server.pid)
    print(f"peak: {peak:.1f} MB")
    assert peak < 128


def segments_in(rgw):
    return {key.rsplit("/", 1)[1] for key in rgw.keys() if re.search(r"/wal/.*/[0-9A-F]{24}$", key)}


@pytest.mark.s3
@pytest.mark.parametrize("repositories", ["local", "local, b"])
def test_an_outage_under_load_stops_nothing_and_everything_is_filled_up_afterwards(made, rgw, rgw_proxy, repositories):
    cluster = made.cluster(segment_mb=1)
    wall = made.seawall(cluster)
    wall.sections["repository local"] = section(rgw, wall.folder, at(rgw_proxy))
    wall.sections["repository b"] = {"url": f"file://{folder(wall, 'b')}"}
    wall.sections["cluster main"] |= {"repositories": repositories, "ack": "any"}
    wall.write_config()
    wall.init()
    wall.serve()
    cluster.start()
    wall.archive()
    cluster.sql("CREATE TABLE t (n int, filler text)")
    wall.run("backup")
    before = write(cluster)
    wall.wait_archived(before)
    with rgw_proxy.outage():
        last = write(cluster, 12)
        if repositories == "local, b":
            wall.wait_archived(last)
            assert failures(cluster) == 0, "PostgreSQL noticed"
        assert last not in segments_in(rgw)
        assert cluster.one("SELECT count(*) FROM t") == 13 * 500
    wall.wait_archived(last, deadline_s=120)
    first = f"{last[:16]}{int(last[16:], 16) - 12:08X}"
    wait_for(lambda: len([name for name in segments_in(rgw) if first <= name <= last]) == 13, "the store to be filled up", 120)
    assert failures(cluster) == 0 or repositories == "local"
    if repositories == "local, b":
        assert {name for name in segments(wall, "b") if name <= last} <= segments_in(rgw)


def packs_of(wall, name):
    return sorted((folder(wall, name) / "main").glob("*/pack/*/*"))


@pytest.mark.parametrize("trouble", ["lost", "damaged", "unreadable"])
def test_a_restore_takes_from_the_other_repository_what_the_nearest_does_not_give(made, trouble):
    """The nearest has the manifest and the other packs; the copy is whole, and it is said what came from elsewhere."""
    cluster, wall = several(made, serve=False, encrypted=("b",))
    cluster.sql("CREATE TABLE big AS SELECT n, md5(n::text) || md5((-n)::text) AS text FROM generate_series(1, 200000) n")
    wall.run("backup")
    cluster.sql("CREATE TABLE marker AS SELECT 42 AS n")
    wall.wait_archived(write(cluster))
    pack = packs_of(wall, "local")[-1]
    if trouble == "lost":
        pack.unlink()
    elif trouble == "unreadable":
        pack.chmod(0)
    else:
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 0xff
        pack.chmod(0o600)
        pack.write_bytes(content)
    copy, said = wall.restore(Target("latest"), "copy", "--start")
    made.add(copy)
    assert copy.one("SELECT n FROM marker") == 42
    assert copy.one("SELECT count(*) FROM big") == 200000
    assert "reading it from another repository" in said.err and pack.name in said.err, said
    # The same in both: the end, with the reason, and nothing that could start.
    packs_of(wall, "b")[-1].unlink()
    said = wall.run("restore", "--pgdata", wall.folder / "second", status=None)
    assert said.status != 0 and pack.name in said.err, said
    assert not (wall.folder / "second/global/pg_control").exists()


@contextlib.contextmanager
def hanging(wall, name):
    """The file system of the repository hangs, for a server that was told to look there."""
    mark = folder(wall, name).with_suffix(".hangs")
    mark.touch()
    try:
        yield
    finally:
        mark.unlink()


def test_with_any_the_file_system_of_one_may_hang(made):
    cluster, wall = several(made, serve=False, kind="debug", ack="any")
    hang = f"hang:{folder(wall, 'local')}"
    wall.serve(SEAWALL_FAULT=hang)
    wall.wait_archived(write(cluster))
    with hanging(wall, "local"):
        for _ in range(6):  # more than the threads that hang
            last = write(cluster)
            wall.wait_archived(last)
        assert failures(cluster) == 0
        assert last in segments(wall, "b") and last not in segments(wall, "local")
        # nor does a hook without a server, once the file is safe
        wall.run("wal", "push", cluster.data / "pg_wal" / last, SEAWALL_FAULT=hang, deadline_s=50)
    wait_for(lambda: last in segments(wall, "local"), "the one that hung to be filled up", 90)


@contextlib.contextmanager
def silent(wall, name):
    """The repository has moved to a place where somebody accepts connections and never says anything; yields how many there were."""
    before = wall.sections[f"repository {name}"]
    secret = wall.folder / "secret"
    secret.write_text("of-nobody")
    secret.chmod(0o600)
    process.own(secret)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        calls = []

        def count():
            with contextlib.suppress(BlockingIOError):
                while True:
                    calls.append(listener.accept())
            return len(calls)

        wall.sections[f"repository {name}"] = {
            "url": "s3://nobody", "endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}", "url_style": "path",
            "region": "x", "access_key": "nobody", "secret_key_file": secret}
        wall.write_config()
        try:
            yield count
        finally:
            for connection, _ in calls:
                connection.close()
            wall.sections[f"repository {name}"] = before
            wall.write_config()


def test_without_a_server_one_process_waits_for_a_repository_that_is_silent_and_not_each(made):
    cluster, wall = several(made, serve=False, ack="any")
    names = [write(cluster) for _ in range(4)]
    wall.wait_archived(names[-1])
    hint = wall.state / "silent.main@local"
    with silent(wall, "local") as calls:
        write(cluster)
        begun = time.monotonic()
        wall.wait_archived(write(cluster))
        assert time.monotonic() - begun < 20 and failures(cluster) == 0  # ack = any never notices
        begun, before = time.monotonic(), calls()
        assert "nothing came for 10000 ms" in fetch(wall, cluster, names[0], 0).err
        first_s, asked = time.monotonic() - begun, calls()
        assert asked > before and first_s < 50  # it is opened within a minute where nobody else can be asked
        begun = time.monotonic()
        for name in names[1:]:
            assert fetch(wall, cluster, name, 0).err == ""
        print(f"first {first_s:.1f} s, then {time.monotonic() - begun:.1f} s for {len(names) - 1}")
        assert calls() == asked  # by nobody, unless half a minute went by
    told = json.loads(hint.read_text())
    assert "nothing came for 10000 ms" in told["error"]
    told["until_us"] = 0  # half a minute later: one finds out
    hint.write_text(json.dumps(told))
    fetch(wall, cluster, names[0], 0)
    assert not hint.exists()


def parts_of(wall, name, backup):
    """The parts of its manifest: what lists its files."""
    return sorted((folder(wall, name) / "main").glob(f"*/backup/{backup}.*"))


def test_a_restore_plans_with_the_backups_of_all_repositories(made):
    """A backup that the nearest lacks; one whose head, or the list of whose files, is damaged or lost there."""
    cluster, wall = several(made, ack="any", encrypted=("b",))
    ledger = Ledger(cluster).prepare()
    with ledger.writing():
        ledger.wait_commits(5)
        wall.wait_archived(write(cluster))
        with gone(wall, "local"):
            wall.run("backup")
            ledger.wait_commits(5)
            mark = ledger.mark("only_b_has_the_backup")
    ledger.settle()
    wall.wait_archived(write(cluster))
    filled(wall, "local", "b")  # with "any" only a server brings it what came while it was away
    only, = backups(wall, "b")
    assert not backups(wall, "local") and "Repository local lacks 1 of them" in wall.run("list").out
    to = Target("name", mark.name, mark=mark)
    assert f"{only}, ended" in (said := wall.run("restore", *to.arguments, "--plan", "--pgdata", wall.folder / "plan").out)
    assert ", from repository b\n" in said
    told = json.loads(wall.run("restore", *to.arguments, "--plan", "--pgdata", wall.folder / "plan", "--json").out)["plan"]
    assert (told["backup"], told["repository"]) == (only, "b")
    copy, _ = wall.restore(to, "copy", "--start")
    ledger.check(made.add(copy), to)
    # Both have the next one; the nearest does not have it whole.
    wall.run("backup")
    both, = backups(wall, "local")
    part, = parts_of(wall, "local", both)
    content = part.read_bytes()
    for body in (content[:-1] + bytes([content[-1] ^ 0xff]), None):
        part.unlink()
        if body:
            part.write_bytes(body)
        copy, said = wall.restore(Target("latest"), f"copy-{'damaged' if body else 'lost'}")
        assert ", from repository local\n" in said.out and "reading it from another repository" in said.err, said
        shown = wall.run("show", both, "--files", "--json")
        assert "reading it from another repository" in shown.err
        paths = [each["path"] for each in json.loads(shown.out)["files_list"]]
        assert len(paths) == len(set(paths)) and {"PG_VERSION", "backup_label"} <= set(paths), paths
    made.add(copy).start().wait_primary()
    ledger.check(copy, Target("latest"))
    head, = (folder(wall, "local") / "main").glob(f"*/backup/{both}")
    head.chmod(0o600)
    head.write_bytes(head.read_bytes()[:-1])
    said = wall.run("restore", "--plan", "--pgdata", wall.folder / "plan")
    assert f"{both}, ended" in said.out and ", from repository b\n" in said.out
    assert 'it is good in repository "b"' in said.err, said
    assert re.search(rf"^backup +{both}$", wall.run("show", both).out, re.M)


SILENCE_S = 200  # longer than anything here may take


def silent_from(proxy, path):
    """From the next GET of the path on the store says nothing more to any; that one still is answered. Its fault counts."""
    return proxy.add("call", method="GET", path=path, call=lambda _: proxy.add("stall", times=-1, method="GET", dir="down",
                                                                              seconds=SILENCE_S))


@pytest.mark.s3
def test_a_repository_that_falls_silent_during_a_restore_costs_seconds(made, rgw, rgw_proxy):
    """Once while packs are read, once during the replay; the other repository has it all."""
    cluster = made.cluster(segment_mb=1)
    wall = made.seawall(cluster)
    wall.sections["repository local"] = section(rgw, wall.folder, at(rgw_proxy))
    wall.sections["repository b"] = {"url": f"file://{folder(wall, 'b')}"}
    wall.sections["cluster main"] |= {"repositories": "local, b", "ack": "any"}
    wall.write_config()
    wall.init()
    wall.serve()
    cluster.start()
    wall.archive()
    ledger = Ledger(cluster).prepare()
    with ledger.writing():
        ledger.wait_commits(5)
        wall.run("backup")
        ledger.wait_commits(5)
        cluster.sql("CREATE TABLE t (n int, filler text)")
        write(cluster, 12)
        ledger.wait_commits(5)
    ledger.settle()
    wall.wait_archived(cluster.switch_wal())
    plan = wall.run("restore", "--plan", "--pgdata", wall.folder / "plan").out
    first = re.search(r"WAL +([0-9A-F]{24}) to", plan)[1]  # what the plan itself looks at is at the end
    for name, path in (("pack", "/pack/"), ("wal", f"/wal/.*/{first}$")):
        fault = silent_from(rgw_proxy, path)
        begun = time.monotonic()
        copy, said = wall.restore(Target("latest"), f"copy-{name}", "--start")
        took_s = time.monotonic() - begun
        print(f"silent from {path} on: {took_s:.1f} s")
        rgw_proxy.clear()
        ledger.check(made.add(copy), Target("latest"))
        assert fault.hits == 1 and "nothing came for 10000 ms" in said.err, said
        assert took_s < 55, said  # one read that is waited for as patiently as without another repository takes 60 s
        copy.stop()
