"""Every fault of a store at every request of init, push, fetch, backup and restore, on the wire before a real S3.

A story is run once without any fault, to see its requests. What is survived is then dealt out so that in one run each request meets a
fault of its own, and after as many runs as there are faults each has met all of them. What ends a story strikes one request in a run.
Whatever is met: the story succeeds, or says what it could not do, with what, where; nothing is believed that is not so; and the
next run, without a fault, completes it. How many points were hit is printed, and must not fall below what is recorded here.
"""

import concurrent.futures
import copy
import json
import re
import shutil

import pytest
from seawalltest import checks, process, rebuild
from seawalltest.s3 import Bucket, at, faultproxy, seawall_in
from test_s3_faults import QUICK

pytestmark = [pytest.mark.s3, pytest.mark.in_memory]

# Points (kind of request and object, fault) that are hit: recorded, a little below what is hit.
POINTS = {"init": 125, "push": 110, "fetch": 110, "backup": 140, "restore": 160}
SPARE = 60  # segments to push
AFTER = 20  # bytes of a body: what is smaller cannot be cut off in its middle
ALL = {**QUICK, "slow": ("delay", {"seconds": 0.1}), "full": ("status", {"code": 403, "error": "QuotaExceeded"})}
ALL = {name: (kind, {**options, "after": AFTER} if "after" in options else options) for name, (kind, options) in ALL.items()}
ENDS = {"403", "404 for the bucket"}
ENDS_READING = ENDS | {"a flipped byte"}  # what was read wrong is said, and not tried again


def ends(method):
    return (ENDS | {"full"}) if method == "PUT" else ENDS if method == "HEAD" else ENDS_READING


def kind_of(method, path):
    """What a request is about, without its random and its running numbers."""
    path, _, query = path.partition("?")
    if "prefix=" in query:
        path = re.search("prefix=([^&]*)", query)[1].replace("%2F", "/") + "*"
    return f"{method} {re.sub('[0-9a-fA-F]{4,}|[0-9]+', '#', path.partition('/wall/')[2] or path)}"


class Schedule(faultproxy.FaultProxy):
    """Deals out faults: to the n-th request that was not seen before in this run, which(n, method) says which."""

    def __init__(self, target):
        self.which, self.met, self.points = None, {}, set()
        super().__init__(target)

    def run(self, which):
        with self.lock:
            self.which, self.met = which, {}

    def take(self, method=None, path=None):
        if method is None:
            return None
        with self.lock:
            if (method, path) in self.met:
                return None
            name = self.which(len(self.met), method)
            self.met[method, path] = name
            if not name:
                return None
            self.points.add((kind_of(method, path), name))
            kind, options = ALL[name]
            return faultproxy.Fault(kind, **{**copy.deepcopy(options), "dir": "up" if method == "PUT" else "down"})


class Story:
    """One configuration whose repository is behind a proxy of its own. go() runs it and returns the result; look(result) judges
    what it left behind, and makes it whole."""

    def __init__(self, made, cluster, bucket, name, go, look, without=()):
        self.proxy = Schedule(bucket.host)
        self.wall = seawall_in(made, cluster, bucket, at(self.proxy), folder=name)
        self.name, self.go, self.look, self.runs, self.without = name, go, look, 0, set(without)

    def run(self, which):
        self.runs += 1
        self.proxy.run(which)
        result = self.go(self)
        met = dict(self.proxy.met)
        self.proxy.run(lambda n, method: None)
        try:
            self.look(self, result)
        except AssertionError as wrong:
            raise AssertionError(f"{self.name} with {met}\n{result}\n{wrong}") from wrong
        return result, met

    def survived(self):
        """Each run deals out all that is survived."""
        lists = {method: [name for name in ALL if name not in ends(method) | {"full"} | self.without] for method in ("PUT", "GET", "HEAD", "POST", "DELETE")}
        for turn in range(max(map(len, lists.values()))):
            result, met = self.run(lambda n, method, turn=turn: lists[method][(n + turn) % len(lists[method])])
            assert result.status == 0, f"{self.name} with {met}\n{result}"

    def ended(self, requests):
        """One fault in a run, at each request."""
        for n, (method, _) in enumerate(requests):
            for name in sorted(ends(method) - self.without):
                result, met = self.run(lambda at, _, n=n, name=name: name if at == n else None)
                if result.status == 0:  # of what it could do without, or has asked for again
                    continue
                assert name in met.values(), f"{self.name}: nothing was met\n{result}"
                for word in ('repository "local"', "could not"):
                    assert word in result.err, f"{self.name} with {met}: not a word of {word}\n{result}"

    def everywhere(self):
        result, met = self.run(lambda n, method: None)
        assert result.status == 0, result
        requests = list(met)
        self.survived()
        self.ended(requests)
        print(f"{self.name}: {len(self.proxy.points)} points hit in {self.runs} runs of {len(requests)} requests")
        self.proxy.close()
        return len(self.proxy.points)


def download(bucket, folder):
    """The repository as files, for the independent reader."""
    for key in bucket.keys("wall/"):
        path = folder / key.removeprefix("wall/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.get(key))
    return rebuild.unseal().Repository(folder)


def small(made, bucket, name, **settings):
    """A cluster with a third of the files, and its configuration without any proxy."""
    cluster = made.cluster(name=name, segment_mb=1, wal_keep_size="400MB", **settings).start()
    cluster.sql("UPDATE pg_database SET datistemplate = false")
    for database in ("template0", "template1"):
        cluster.sql(f"DROP DATABASE {database}")
    cluster.sql("CREATE TABLE t AS SELECT n AS k FROM generate_series(1, 1000) n")
    wall = seawall_in(made, cluster, bucket, folder=f"{name}.direct")
    wall.init()
    wall.archive()
    return cluster, wall


def pushing(made, bucket, cluster, segments):
    """Each run pushes the next segment. Returns the story, and the names that were pushed."""
    spare, pushed = iter(segments), []

    def push(story):
        pushed.append(next(spare))
        return story.wall.run("wal", "push", cluster.data / "pg_wal" / pushed[-1], status=None)

    def look(story, result):
        assert result.status in (0, 1)
        assert result.status or any(key.endswith(f"/{pushed[-1]}") for key in bucket.keys("wall/main/")), "it was said to be safe"
        if result.status:
            story.wall.run("wal", "push", cluster.data / "pg_wal" / pushed[-1])

    return Story(made, cluster, bucket, "push", push, look), pushed


def fetching(made, bucket, cluster, name):
    """Each run fetches this segment, for a directory that recovers."""
    recovery = made.folder / "recovery"
    for folder in (recovery, recovery / "global", recovery / "pg_wal"):
        process.own(folder.mkdir(mode=0o700) or folder)
    shutil.copy(cluster.data / "global/pg_control", recovery / "global")
    (recovery / "recovery.signal").touch()
    for path in recovery.rglob("*"):
        process.own(path)
    delivered, whole = recovery / "pg_wal/RECOVERYXLOG", (cluster.data / "pg_wal" / name).read_bytes()

    def fetch(story):
        delivered.unlink(missing_ok=True)
        return story.wall.run("wal", "fetch", name, delivered, status=None)

    def look(story, result):
        assert result.status in (0, 255), "a segment that is there was called absent"
        assert delivered.exists() == (result.status == 0)
        assert not delivered.exists() or delivered.read_bytes() == whole
        if result.status:
            assert fetch(story).status == 0 and delivered.read_bytes() == whole

    return Story(made, cluster, bucket, "fetch", fetch, look)


def beginning(made, bucket, cluster):
    """Each run makes a repository of its own, and finds out what the store can do."""
    prefixes = iter(range(1000))

    def begin(story):
        story.wall.sections["repository local"]["url"] = f"s3://{bucket.name}/begun{next(prefixes)}/wall"
        story.wall.write_config()
        return story.wall.run("init", "--json", status=None)

    def look(story, result):
        def found(said):
            return said.status == 0 and json.loads(said.out)["repositories"][0].get("store")

        store = found(result) or found(story.wall.run("init", "--json"))  # without the note of it, writers agree by claims
        assert store["safety"] == "create_only" and store["list_after_put"] and store["list_after_remove"], store

    return Story(made, cluster, bucket, "init", begin, look, without=("503", "slow", "404 for the bucket"))


def backing_up(made, bucket, cluster, direct):
    """Each run makes a backup; PostgreSQL archives without any fault meanwhile."""
    made_so_far = []

    def backup(story):
        return story.wall.run("backup", status=None)

    def look(_story, result):
        listed = [each["id"] for each in json.loads(direct.run("list", "--json", status=None).out).get("backups", [])]
        assert len(listed) == len(made_so_far) + (result.status == 0), "a backup that failed is visible, or one that was made is not"
        made_so_far[:] = listed

    return Story(made, cluster, bucket, "backup", backup, look)


def restoring(made, bucket, cluster):
    """Each run restores into a new directory."""
    target = made.folder / "restored"

    def restore(story):
        return story.wall.run("restore", "main", "--to", "backup-end", "--pgdata", target, status=None)

    def look(story, result):
        if result.status:
            assert not (target / "global/pg_control").exists(), "it could be started half done"
            again = restore(story)
            assert again.status == 0, again
        checks.verify_directory(target)
        assert not (target / "seawall.journal").exists()
        shutil.rmtree(target)

    return Story(made, cluster, bucket, "restore", restore, look)


def test_d04_d17_d22_every_fault_at_every_request_of_push_fetch_backup_and_restore(made, rgw, rgw_env, scratch):
    """Side by side, for most of it is waiting: all of them on one cluster, but the backups, which would change what a restore reads."""
    cluster, wall = small(made, rgw, "main")
    wall.run("backup")
    cluster.configure(archive_command="/bin/false")
    segments = []
    for k in range(SPARE):
        cluster.sql("INSERT INTO t VALUES (%s)", k)
        segments.append(cluster.switch_wal())
    wall.run("wal", "push", cluster.data / "pg_wal" / segments[0])
    beside = Bucket(rgw_env)
    other, direct = small(made, beside, "other")
    push, pushed = pushing(made, rgw, cluster, segments[1:])
    stories = [push, fetching(made, rgw, cluster, segments[0]), backing_up(made, beside, other, direct), restoring(made, rgw, cluster),
               beginning(made, beside, other)]
    with concurrent.futures.ThreadPoolExecutor(len(stories)) as pool:
        hit = {story.name: count for story, count in zip(stories, pool.map(Story.everywhere, stories), strict=True)}
    assert all(hit[name] >= least for name, least in POINTS.items()), f"{hit}; recorded are {POINTS}"
    reader = download(rgw, scratch / "read")
    stored = {path.name: str(path.relative_to(reader.root)) for path in (scratch / "read/main").glob("*/wal/*/*/*")}
    for name in pushed:
        assert b"".join(reader.read(stored[name])) == (cluster.data / "pg_wal" / name).read_bytes(), name
    read_backups(beside, scratch / "backups", direct)
    beside.remove()


def read_backups(bucket, folder, direct):
    """All of them can be read whole by the independent reader, and the newest is restored by Seawall."""
    download(bucket, folder)
    names = rebuild.backups(folder)
    assert names
    for name in names:
        backup = rebuild.Backup(folder, name)
        for record in backup.records:
            if record["kind"] == "file":
                length = sum(map(len, backup.reader.read_extents(name, backup.head, record)))
                assert length == record["size"], (name, record)
    restored = direct.folder / "restored"
    direct.run("restore", "main", "--pgdata", restored)
    checks.verify_directory(restored)
