"""What `init` finds out about a store, and that several servers lose nothing in it, whatever it can do."""

import json
import shutil
import subprocess

import pytest
from seawalltest import Ledger, process, wait_for
from seawalltest.s3 import at, overwrites, seawall_in

pytestmark = pytest.mark.s3

REFUSES = "A name that is taken is refused, also to several writers at once."
VERSIONING = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def keep_versions(rgw):
    rgw.store.must("PUT", f"/{rgw.name}", VERSIONING.encode(), {"versioning": ""})


@pytest.fixture
def versioned(rgw):
    keep_versions(rgw)
    yield rgw
    rgw.drop_versions()


@pytest.fixture
def versioned_or_not(request, rgw):
    """As the test's parameter wants it."""
    return request.getfixturevalue("versioned") if request.node.callspec.params["kind"] == "versions" else rgw


def found(wall):
    """What init finds in the store, as JSON and in words."""
    store = json.loads(wall.run("init", "--json").out)["repositories"][0]["store"]
    return store, wall.run("init").out


def assert_good(store, words):
    assert all(store[each] for each in ("create_only", "create_only_at_once", "range", "list_after_put", "list_after_remove",
                                        "remove")), store
    assert store["safety"] == "create_only" and abs(store["clock_off_ms"]) < 1000, store
    assert REFUSES in words and "Listings show at once" in words and "WARNING" not in words, words


def test_init_finds_that_the_store_honours_create_only_and_leaves_one_note(made, rgw):
    wall = seawall_in(made, made.cluster(segment_mb=1), rgw)
    store, words = found(wall)
    assert_good(store, words)
    assert not store["versioned"] and "old versions" not in words
    assert rgw.keys() == ["wall/probe/000001", "wall/seawall.json"]


def test_init_finds_that_a_bucket_of_ceph_that_keeps_versions_overwrites(made, versioned):
    """Ceph looks for an object without a version there, which is never taken. (S3 itself refuses.) Old versions stay."""
    wall = seawall_in(made, made.cluster(segment_mb=1), versioned)
    store, words = found(wall)
    assert store["versioned"] and "It keeps old versions" in words
    assert store["safety"] == ("create_only" if store["create_only_at_once"] else "claim"), store
    assert not store["create_only"] and "writers agree by claims" in words, words
    assert [key for key in versioned.keys("wall/") if "/claim/" not in key] == ["wall/probe/000001", "wall/seawall.json"]


def test_init_and_check_say_that_the_store_overwrites(made, rgw, rgw_proxy):
    wall = seawall_in(made, made.cluster(segment_mb=1), rgw, at(rgw_proxy))
    assert_good(*found(wall))
    fault = overwrites(rgw, rgw_proxy)
    steps = wall.run("check", "--no-segment", status=None).out
    assert "failed   several writers: the store is not what it was" in steps and fault.hits, steps
    store, words = found(wall)
    assert not store["create_only"] and not store["create_only_at_once"] and store["safety"] == "claim", store
    assert "If-None-Match is ignored" in words and "writers agree by claims" in words, words
    steps = wall.run("check", "--no-segment", status=None).out
    assert "warning  several writers: it overwrites what is there" in steps, steps
    assert rgw.keys("wall/probe/") == ["wall/probe/000001", "wall/probe/000002"]


def test_init_and_check_say_loudly_that_there_may_be_one_writer_only(made, rgw, rgw_proxy):
    """Listings that lag: the proxy gives the page of another prefix, where nothing is."""
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw, at(rgw_proxy))
    overwrites(rgw, rgw_proxy)
    rgw_proxy.add("change", times=-1, method="GET", path="prefix=.*try-",
                  call=lambda head: rgw.store.again(head, replace=("try-", "lag-")))
    store, words = found(wall)
    assert not store["list_after_put"] and store["safety"] == "one_writer", store
    assert "WARNING: ONE WRITER ONLY" in words and "listings lack what was written" in words, words
    steps = wall.run("check", "--no-segment", status=None).out
    assert "warning  several writers: ONE WRITER ONLY" in steps, steps
    wall.serve()
    wait_for(lambda: "ONE WRITER ONLY" in wall.log_tail(), "the server's word about the store", 30)
    status = wall.run("status", status=None).out
    assert "local: ONE WRITER ONLY" in status, status
    second_is_refused(wall, seawall_in(made, cluster, rgw, at(rgw_proxy), folder="other"))


def second_is_refused(first, second):
    """Where there may be one writer only, until another one is said to be it."""
    def push(wall, number, status=0):
        file = wall.cluster.data / f"pg_wal/{number:08X}.history"
        file.write_text("1\t0/1500000\tno reason\n", encoding="utf-8")
        return wall.run("wal", "push", process.own(file), status=status).err

    push(first, 2)
    said = push(second, 3, status=1)
    assert "only one may store here, and that is host" in said and str(first.state) in said and "--take-over" in said, said
    second.run("init")
    push(second, 3, status=1)
    push(first, 3)
    second.run("init", "--take-over")
    push(second, 4)
    assert str(second.state) in push(first, 5, status=1)


# -- several servers --


def twin_folder(made, cluster):
    """A data directory of the same cluster on another host, as far as a push looks at it."""
    folder = made.folder / "twin"
    for each in (folder, folder / "global", folder / "pg_wal"):
        each.mkdir()
        process.own(each)
    process.own(shutil.copy(cluster.data / "global" / "pg_control", folder / "global"))
    return folder


def archive_of(made, rgw, endpoint):
    """A cluster whose WAL nobody archives by itself, two servers for it, and one for its twin."""
    cluster = made.cluster(segment_mb=1)
    walls = [seawall_in(made, cluster, rgw, endpoint, folder=folder) for folder in ("wall", "other", "third")]
    walls[2].sections["cluster main"]["pgdata"] = twin_folder(made, cluster)
    walls[2].write_config()
    walls[0].init()
    for wall in walls:
        wall.serve()
    cluster.start()
    walls[0].archive()
    cluster.sql("CREATE TABLE t (k int)")
    walls[0].wait_archived()
    cluster.configure(archive_command="")
    return cluster, walls


def segment(cluster, k):
    cluster.sql("INSERT INTO t VALUES (%s)", k)
    return cluster.data / "pg_wal" / cluster.switch_wal()


def twin_of(made, path):
    """The same segment of another host, which went on differently: a byte behind its last record is another one."""
    twin = made.folder / "twin" / "pg_wal" / path.name
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    twin.write_bytes(data)
    process.own(twin)
    return twin


def at_once(*pushes):
    """Pushes that run at the same time: whether each was right, and what it said."""
    commands = [wall.start_command("wal", "push", path) for wall, path in pushes]
    return [(command.returncode == 0, out + err) for command, (out, err) in
            [(command, command.communicate(timeout=100)) for command in commands]]


def stored(rgw, name):
    return [key for key in rgw.keys("wall/main/") if f"/{name}" in key and "/conflict/" not in key]


def same_content(rgw, walls, path):
    assert at_once(*((wall, path) for wall in walls[:2])) == [(True, ""), (True, "")]
    assert len(stored(rgw, path.name)) == 1


def different_content(rgw, walls, path, twin):
    """At most one hears success. Asked again, exactly one does, and what is stored is its content. Returns how many did at once."""
    pushes = [(walls[0], path), (walls[2], twin)]
    said = at_once(*pushes)
    again = [wall.run("wal", "push", file, status=None) for wall, file in pushes]
    good = [each.status == 0 for each in again]
    assert sum(good) == 1, (said, again)
    assert all(now or not then for (then, _), now in zip(said, good, strict=True)), (said, again)
    loser = again[good.index(False)]
    assert "other content" in loser.err and "aside" in loser.err, loser
    assert len(stored(rgw, path.name)) == 1
    key = stored(rgw, path.name)[0].removeprefix("wall/")
    content = subprocess.run([walls[0].bin / "seawall", "cat", key], env=walls[0].environment(), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, check=True, timeout=60).stdout
    assert content == [path, twin][good.index(True)].read_bytes()
    return sum(then for then, _ in said)


@pytest.mark.parametrize("kind", ["honoured", "ignored", "versions"])
def test_two_servers_that_push_at_once_lose_nothing(made, versioned_or_not, rgw_proxy, kind):
    """The same content is success for both; of different contents one is stored, and stays, and the other is refused."""
    rgw = versioned_or_not
    if kind == "ignored":
        overwrites(rgw, rgw_proxy)
    cluster, walls = archive_of(made, rgw, at(rgw_proxy))
    claims = kind != "honoured"
    if claims:
        wait_for(lambda: "writers agree by claims" in walls[0].log_tail(), "the server's word about the store", 30)
    for k in range(3):
        same_content(rgw, walls, segment(cluster, k))
    good = 0
    for k in range(4):
        path = segment(cluster, 10 + k)
        good += different_content(rgw, walls, path, twin_of(made, path))
    assert good >= 1 and bool(rgw.keys("wall/claim/")) == claims


def test_a_backup_comes_back_from_a_store_that_overwrites(made, versioned):
    """Packs, manifest, keys and WAL, all by claims, encrypted; no claim tells a digest that stands elsewhere."""
    cluster = made.cluster(segment_mb=1).start()
    key = made.folder / "key"
    key.write_text("KEY-A-0123456789abcdef0123456789ab\n", encoding="utf-8")
    key.chmod(0o600)
    wall = seawall_in(made, cluster, versioned, key_file=process.own(key))
    wall.init()
    wall.serve()
    wall.archive()
    ledger = Ledger(cluster).prepare()
    with ledger.writing():
        ledger.wait_commits(20)
        wall.run("backup")
        ledger.wait_commits(20)
        mark = ledger.mark("quiet")
        ledger.wait_commits(5)
    wall.wait_archived()
    for folder in ("wal", "pack", "backup"):
        objects = [name for name in versioned.keys("wall/main/") if f"/{folder}/" in name]
        claims = [name for name in versioned.keys("wall/claim/main/") if f"/{folder}/" in name]
        assert objects and len(claims) == 2 * len(objects), (objects, claims)
    target = next(target for target in ledger.targets(mark) if target.kind == "time")
    restored, _ = wall.restore(target, "restored", "--start")
    made.add(restored)
    restored.wait_primary()
    ledger.check(restored, target)
