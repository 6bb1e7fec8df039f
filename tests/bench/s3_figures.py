"""The figures with the repository in S3: Ceph with bluestore on loopback, https for all. See figures.py."""

import itertools
import os
import shutil
import subprocess
import sys

from figures import (SEGMENT_MB, BackupPgbackrest, BackupSeawall, Contender, Push, PushPgbackrest, PushSeawall, Recovery,
                     RecoveryPgbackrest, RecoverySeawall, RestorePgbackrest, RestoreSeawall, archive, limited, seconds)
from measure import in_turn, measure, median, table, verdict
from place import HERE, fresh, run, say, tree_mb

SERVICES = HERE.parent / "services"
sys.path.insert(0, str(SERVICES))

import s3  # noqa: E402 (the path must be known first)

ORDER = ["s3_put", "s3_backlog", "s3_recovery", "s3_restore", "s3_latency", "s3_large"]
DELAY_MS, LATENCY_SEGMENTS = 50, 128
STORE_GB = 32  # of a sparse file: five rounds of the largest figure write 4
LARGE_MB, LARGE_TIMES, CONNECTION_MB_S = 16, 8, 80  # (what one connection to S3 gives, says its documentation, is 85 to 90)
numbers = itertools.count(os.getpid() * 1000)


def ceph(place, *arguments):
    run("sh", SERVICES / "ceph-rgw.sh", *arguments, place.folder / "ceph",
        env={**os.environ, "CEPH_STORE": "bluestore", "CEPH_STORE_GB": str(STORE_GB)})


def store(place):
    """A new one for each figure. Nothing is ever removed from it, so the objects of other figures and of a run that was interrupted
    would fill it in time; the OSD of a full Ceph ends, and its gateway then takes every request and answers none."""
    stop(place)
    shutil.rmtree(place.folder / "ceph", ignore_errors=True)
    ceph(place, "start")
    return s3.Store(place.folder / "ceph/env")


def stop(place):
    if (place.folder / "ceph").exists():
        ceph(place, "stop")


def settings(place, prefix, endpoint=None):
    """Of a Seawall repository."""
    there, secret = s3.Store(place.folder / "ceph/env"), place.folder / "s3.secret"
    secret.write_text(there.secret)
    secret.chmod(0o600)
    return {"url": f"s3://{there.bucket}/{prefix}", "endpoint": endpoint or there.endpoint_tls, "region": there.region,
            "access_key": there.access, "secret_key_file": secret, **({} if endpoint else {"ca_file": there.ca})}


def pgbackrest_settings(place, prefix):
    there = s3.Store(place.folder / "ceph/env")
    host, port = there.endpoint_tls.removeprefix("https://").split(":")
    return "\n".join(f"repo1-{key}={value}" for key, value in {
        "type": "s3", "path": f"/{prefix}", "s3-bucket": there.bucket, "s3-endpoint": host, "storage-port": port,
        "storage-ca-file": there.ca, "s3-uri-style": "path", "s3-region": there.region, "s3-key": there.access,
        "s3-key-secret": there.secret}.items())


class InS3:
    """A contender whose repository is a new prefix of the bucket; wall, when it is given, one that exists."""

    def in_s3(self, prefix=None, endpoint=None):
        self.prefix = prefix or f"run-{next(numbers)}-{os.getpid()}"
        return settings(self.place, self.prefix, endpoint)


class Push3(PushSeawall, InS3):
    endpoint = None

    def prepare(self):
        self.seawall = self.place.seawall(self.cluster, self.in_s3(getattr(self, "fixed", None), self.endpoint)).init()
        self.command = self.seawall.push()
        self.ready()
        self.seawall.serve()


class PushPgbackrest3(PushPgbackrest, InS3):
    def prepare(self):
        self.in_s3(getattr(self, "fixed", None))
        self.place.pgbackrest_in = pgbackrest_settings(self.place, self.prefix)
        fresh(self.place.folder / "pgbackrest.spool")
        self.place.pgbackrest(self.cluster, "--no-online stanza-create")  # (a start would archive, and recycle, what waits)
        self.command = self.place.pgbackrest_command(self.cluster, "archive-push %p", self.async_)
        self.ready()


class PutStore(Push, InS3):
    """Segments that were compressed before, four uploads at once: Seawall's driver, and nothing above it."""

    def prepare(self):
        self.in_s3()
        folder = fresh(self.place.folder / "curl")
        for name in self.names:
            run("lz4", "-1", "-q", "-f", self.cluster.data / "pg_wal" / name, folder / name)

    def run(self):
        there = s3.Store(self.place.folder / "ceph/env")
        files = [self.place.folder / "curl" / name for name in self.names]
        key = {"AWS_ACCESS_KEY_ID": there.access, "AWS_SECRET_ACCESS_KEY": there.secret, "no_proxy": "127.0.0.1"}
        run(self.place.bin / "storeput", f"s3://{there.bucket}/{self.prefix}", there.endpoint_tls, there.region, there.ca, 4, *files,
            env={**os.environ, **key}, stdout=subprocess.DEVNULL)

    def finish(self):
        shutil.rmtree(self.place.folder / "curl")


class PutCurl(Push, InS3):
    """The same by one curl."""

    def prepare(self):
        self.in_s3()
        there = s3.Store(self.place.folder / "ceph/env")
        there = there.through(there.endpoint_tls)
        folder, lines = fresh(self.place.folder / "curl"), []
        for name in self.names:
            run("lz4", "-1", "-q", "-f", self.cluster.data / "pg_wal" / name, folder / name)
            url = there.presigned("PUT", f"/{there.bucket}/{self.prefix}/{name}")
            lines += [f'upload-file = "{folder / name}"', f'url = "{url}"', 'output = "/dev/null"']
        (folder / "config").write_text("\n".join([f'cacert = "{there.ca}"', "silent", "fail", *lines]))

    def run(self):
        run("curl", "--parallel", "--parallel-max", 4, "-K", self.place.folder / "curl/config", stderr=subprocess.DEVNULL)

    def finish(self):
        shutil.rmtree(self.place.folder / "curl")


def figure_s3_backlog(place):
    wal = limited(place.wal(), place.options.segments)
    store(place)
    costs = in_turn([Push3(place, "seawall", wal, "all"), PushPgbackrest3(place, "pgbackrest async", wal, "all", True)],
                    place.options.rounds)

    def speed(cost):
        return len(wal[2]) * SEGMENT_MB / cost.wall_s

    table(f"backlog of {len(wal[2])} segments into S3, MB/s", costs, speed, "MB/s", "pgbackrest async")
    mine = median(costs["seawall"], speed)
    good = verdict("S3 backlog, seawall / pgbackrest", mine / median(costs["pgbackrest async"], speed), 1.5, higher_is_better=True)
    return verdict("peak resident memory of the server, MB", max(cost.extra["peak_kb"] for cost in costs["seawall"]) / 1024, 128) and good


def figure_s3_put(place):
    wal = limited(place.wal(), place.options.segments)
    store(place)
    costs = in_turn([PutStore(place, "seawall's driver", wal, "all"), PutCurl(place, "curl --parallel", wal, "all")],
                    place.options.rounds)

    def speed(cost):
        return len(wal[2]) / cost.wall_s

    table(f"put of {len(wal[2])} compressed segments into S3, 4 at once", costs, speed, "objects/s", "curl --parallel")
    return verdict("S3 put, seawall / curl", median(costs["seawall's driver"], speed) / median(costs["curl --parallel"], speed), 0.95,
                   higher_is_better=True)


class Recovery3(RecoverySeawall):
    def command(self):
        cluster = type(self.origin)(self.place.folder, 15, "replay")
        self.seawall = self.place.seawall(cluster, settings(self.place, self.prefix)).init(keep=True).serve()
        return self.seawall.fetch()


class RecoveryPgbackrest3(RecoveryPgbackrest):
    def command(self):
        self.place.pgbackrest_in = pgbackrest_settings(self.place, self.prefix)
        return super().command()


def figure_s3_recovery(place):
    wal = limited(place.wal(), place.options.replay)
    store(place)
    say("filling the archives")
    contenders = [(Push3(place, "seawall", wal, "all"), Recovery3(place, "seawall", wal)),
                  (PushPgbackrest3(place, "pgbackrest", wal, "all", True), RecoveryPgbackrest3(place, "pgbackrest async", wal))]
    for push, recovery in contenders:
        push.fixed = recovery.prefix = f"kept-{next(numbers)}"
        measure(push)
    costs = in_turn([Recovery(place, "all WAL in pg_wal", wal), *(recovery for _, recovery in contenders)], place.options.rounds)

    def redo(cost):
        return cost.extra["redo_s"]

    table(f"recovery of {len(wal[2])} segments from S3, \"redo done\"", costs, redo, "s", "all WAL in pg_wal")
    mine = median(costs["seawall"], redo)
    good = verdict("S3 recovery, seawall / pgbackrest", mine / median(costs["pgbackrest async"], redo), 1)
    return verdict("S3 recovery, seawall / all WAL in pg_wal", mine / median(costs["all WAL in pg_wal"], redo), 1.2) and good


class Backup3(BackupSeawall):
    def prepare(self):
        self.seawall = self.place.seawall(self.cluster, settings(self.place, self.prefix)).init().serve()
        self.cluster.configure(archive_command=self.seawall.push())
        self.warm()


class BackupPgbackrest3(BackupPgbackrest):
    def prepare(self):
        self.place.pgbackrest_in = pgbackrest_settings(self.place, self.prefix)
        super().prepare()


class Restore3(RestoreSeawall):
    def run(self):
        self.place.seawall(self.cluster).run("restore", "main", "--pgdata", self.target, timeout=600)


class RestorePgbackrest3(RestorePgbackrest):
    def prepare(self):
        self.place.pgbackrest_in = pgbackrest_settings(self.place, self.prefix)
        super().prepare()


def figure_s3_restore(place):
    cluster = place.data()
    store(place)
    say("making the backups")
    pairs = [(BackupPgbackrest3(place, "pgbackrest", cluster), RestorePgbackrest3(place, "pgbackrest", cluster)),
             (Backup3(place, "seawall", cluster), Restore3(place, "seawall", cluster))]
    for backup, restore in pairs:
        backup.prefix = restore.prefix = f"kept-{next(numbers)}"
        measure(backup)
    costs = in_turn([restore for _, restore in pairs], place.options.rounds)
    table(f"restore of {tree_mb(cluster.data / 'base'):.0f} MB from S3 into an empty directory", costs, seconds, "s", "pgbackrest")
    return verdict("S3 restore, seawall / pgbackrest", median(costs["seawall"], seconds) / median(costs["pgbackrest"], seconds), 0.8)


class Delayed(Push3):
    """Every request takes 50 ms more. The first segment is pushed before the clock runs: a server that has just begun, and an archive
    that did not exist, cost a dozen requests, one after the other, which are no throughput (0.7 s; 5 of 18 ms for each of 128)."""

    def prepare(self):
        port = s3.Store(self.place.folder / "ceph/env").endpoint.rpartition(":")[2]
        self.proxy = subprocess.Popen([self.place.build / "delay", port, str(DELAY_MS)], stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{self.proxy.stdout.readline().strip()}"
        first, *self.names = self.names
        how, self.how = self.how, "one"
        super().prepare()
        archive(self.place, self.cluster, self.command, [first], self.how)
        self.how = how
        self.ready()

    def finish(self):
        super().finish()
        self.proxy.kill()
        self.proxy.wait()


def figure_s3_latency(place):
    """Segments of a quiet cluster: a full one costs Ceph more than the latency does, with all of it on two cores."""
    wal = place.quiet(LATENCY_SEGMENTS)
    store(place)
    costs = in_turn([Delayed(place, "all are ready", wal, "all"), Delayed(place, "one at a time", wal, "one")], place.options.rounds)

    def segment_ms(cost):
        """The pauses of "one" are not counted."""
        return sum(cost.extra["calls"]) / len(cost.extra["calls"]) / 1000

    table(f"{len(wal[2]) - 1} segments into S3 with {DELAY_MS} ms more for each request, each", costs, segment_ms, "ms",
          "one at a time")
    return verdict("throughput, in flight together / one at a time", median(costs["one at a time"], segment_ms) /
                   median(costs["all are ready"], segment_ms), 6, higher_is_better=True)


class LargeGet(Contender):
    """One object as large as a full pack, read several times, each connection as fast as it is to a store far away."""

    daemon = True

    def __init__(self, place, how, limit_mb_s):
        super().__init__(place, {"one": "one request", "ranges": "ranges, size not known", "expected": "ranges, as a pack"}[how])
        self.how, self.limit_mb_s = how, limit_mb_s

    def prepare(self):
        port = s3.Store(self.place.folder / "ceph/env").endpoint.rpartition(":")[2]
        limit = [str(self.limit_mb_s * 1024 * 1024)] if self.limit_mb_s else []
        self.proxy = subprocess.Popen([self.place.build / "delay", port, str(DELAY_MS), *limit], stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://127.0.0.1:{self.proxy.stdout.readline().strip()}"

    def run(self):
        there = s3.Store(self.place.folder / "ceph/env")
        key = {"AWS_ACCESS_KEY_ID": there.access, "AWS_SECRET_ACCESS_KEY": there.secret, "no_proxy": "127.0.0.1"}
        done = run(self.place.bin / "storeget", f"s3://{there.bucket}/large", self.endpoint, there.region, "", self.how, LARGE_TIMES,
                   "object", env={**os.environ, **key}, stdout=subprocess.PIPE, text=True)
        return [float(line) for line in done.stdout.split()]

    def finish(self):
        self.proxy.kill()
        self.proxy.wait()


def figure_s3_large(place):
    store(place)
    there = s3.Store(place.folder / "ceph/env")
    there.must("PUT", f"/{there.bucket}/large/object", os.urandom(LARGE_MB * 1024 * 1024))
    good = True
    for limit_mb_s in [CONNECTION_MB_S, 0]:
        costs = in_turn([LargeGet(place, how, limit_mb_s) for how in ["expected", "ranges", "one"]], place.options.rounds)

        def get_ms(cost):
            return sum(cost.extra) / len(cost.extra) * 1000

        limit = f"and {limit_mb_s} MB/s for each connection" if limit_mb_s else "and connections as fast as the loopback"
        table(f"an object of {LARGE_MB} MB from S3, {DELAY_MS} ms more for each request {limit}", costs, get_ms, "ms", "one request")
        if limit_mb_s:
            good = verdict("large object, one request / ranges", median(costs["one request"], get_ms) / median(costs["ranges, as a pack"], get_ms),
                           1.5, higher_is_better=True)
    return good
