"""Each figure_NAME(place) runs its contenders and prints its table; it returns False when a target is missed."""

import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import threading
import time

from measure import (Cost, in_turn, io_bytes, measure, median, private_kb, status_kb, table, verdict)
from place import DEBIAN_BIN, fresh, run, say, tree_mb
from seawalltest.cluster import Cluster
from seawalltest.wait import wait_for

ORDER = ["safe", "single", "backlog", "memory", "recovery", "backup", "restore", "priority", "codec", "reader"]
SEGMENT_MB = 16 * 1.048576
IDLE_S = 11


class Contender:
    """Something to be measured: prepare() and finish() are off the clock."""

    daemon = False

    def __init__(self, place, name):
        self.place, self.name = place, name

    def prepare(self):
        pass

    def finish(self):
        pass


def archive(place, cluster, command, names, how="all"):
    """The archiver's calls; microseconds of each."""
    done = subprocess.run([place.build / "archive", cluster.data, command, how], input="\n".join(names), text=True,
                          stdout=subprocess.PIPE, check=True)
    return [float(line) for line in done.stdout.split()]


class Push(Contender):
    """Archives names: "all" are ready from the beginning, or "one" at a time."""

    def __init__(self, place, name, wal, how):
        super().__init__(place, name)
        self.cluster, self.names, self.how = wal[0], wal[2], how

    def ready(self):
        self.place.mark_ready(self.cluster, self.names if self.how == "all" else [])
        for name in self.names:  # everyone finds them in the cache
            (self.cluster.data / "pg_wal" / name).read_bytes()

    def run(self):
        return archive(self.place, self.cluster, self.command, self.names, self.how)


class PushSeawall(Push):
    daemon = True

    def prepare(self):
        self.seawall = self.place.seawall(self.cluster).init()
        self.command = self.seawall.push()
        self.ready()
        self.seawall.serve()

    def run(self):
        pid = self.seawall.process.pid
        before = io_bytes(pid)[0]
        calls = super().run()
        self.read = io_bytes(pid)[0] - before
        self.peak = status_kb(pid, "VmHWM")
        return {"calls": calls, "rchar": self.read, "peak_kb": self.peak}

    def finish(self):
        self.seawall.stop()


class PushPgbackrest(Push):
    def __init__(self, place, name, wal, how, async_):
        super().__init__(place, name, wal, how)
        self.async_ = async_

    def prepare(self):
        repository = self.place.folder / f"pgbackrest.{self.cluster.name}"
        for folder in (repository / "archive/main").glob("*/*"):
            if folder.is_dir():
                shutil.rmtree(folder)
        fresh(self.place.folder / "pgbackrest.spool")
        self.command = self.place.pgbackrest_command(self.cluster, "archive-push %p", self.async_)
        self.ready()

    def run(self):
        return {"calls": super().run()}


class PushFloor(Push):
    """Processes that do the least there is to do."""

    def __init__(self, place, name, wal, processes):
        super().__init__(place, name, wal, "all")
        self.processes = processes

    def prepare(self):
        self.target = fresh(self.place.folder / "floor")
        self.ready()

    def run(self):
        paths = [str(self.cluster.data / "pg_wal" / name) for name in self.names]
        subprocess.run([self.place.build / "floor", str(self.processes), self.target], input="\n".join(paths), text=True,
                       check=True)

    def finish(self):
        shutil.rmtree(self.target)


class PushSingleFloor(PushFloor):
    """The same for one file after the other, a process for each."""

    def run(self):
        calls = []
        for name in self.names:
            begun = time.monotonic()
            subprocess.run([self.place.build / "floor", "1", self.target], text=True, check=True,
                           input=str(self.cluster.data / "pg_wal" / name))
            calls.append((time.monotonic() - begun) * 1e6)
        return {"calls": calls}


def limited(wal, count):
    return wal[0], wal[1], wal[2][:count]


def figure_backlog(place):
    wal = limited(place.wal(), place.options.segments)
    costs = in_turn([PushSeawall(place, "seawall", wal, "all"), PushPgbackrest(place, "pgbackrest async", wal, "all", True),
                     PushFloor(place, "floor, 2 processes", wal, 2)], place.options.rounds)
    megabytes = len(wal[2]) * SEGMENT_MB

    def speed(cost):
        return megabytes / cost.wall_s

    table(f"backlog of {len(wal[2])} segments, MB/s", costs, speed, "MB/s", "pgbackrest async")
    once = statistics.median(cost.extra["rchar"] / (len(wal[2]) << 24) for cost in costs["seawall"])
    peak = max(cost.extra["peak_kb"] for cost in costs["seawall"]) / 1024
    good = verdict("backlog, seawall / pgbackrest", median(costs["seawall"], speed) /
                   median(costs["pgbackrest async"], speed), 1.7, higher_is_better=True)
    good &= verdict("bytes the server read for each byte of WAL", once, 1.05)
    return verdict("peak resident memory of the server, MB", peak, 128) and good


def figure_single(place):
    wal = limited(place.wal(), min(24, place.options.segments))
    costs = in_turn([PushSeawall(place, "seawall", wal, "one"),
                     PushPgbackrest(place, "pgbackrest sync", wal, "one", False),
                     PushPgbackrest(place, "pgbackrest async", limited(wal, 6), "one", True),
                     PushSingleFloor(place, "floor, 1 process", wal, 1)], place.options.rounds)

    def p50(cost):
        return statistics.median(cost.extra["calls"]) / 1000

    table("one segment at a time, p50", costs, p50, "ms", "pgbackrest sync")
    return verdict("one segment, seawall / pgbackrest sync", median(costs["seawall"], p50) /
                   median(costs["pgbackrest sync"], p50), 0.65)


class Safe(PushSeawall):
    """Everything is in the archive already; the calls are asked for again."""

    def run(self):
        archive(self.place, self.cluster, self.command, self.names)
        self.ready()
        return {"calls": archive(self.place, self.cluster, self.command, self.names)}


class Nothing(Push):
    def prepare(self):
        self.command = f"{self.place.build / 'nothing'} %p"
        self.ready()

    def run(self):
        return {"calls": super().run()}


class SafePgbackrest(PushPgbackrest):
    def run(self):
        archive(self.place, self.cluster, self.command, self.names)
        self.ready()
        # asynchronous: the first call has worked ahead on all that is ready
        archive(self.place, self.cluster, self.command, self.names[:1])
        ok = self.place.folder / "pgbackrest.spool/archive/main/out" / f"{self.names[-1]}.ok"
        wait_for(ok.exists, "pgBackRest to have archived all")
        return {"calls": archive(self.place, self.cluster, self.command, self.names[1:])}


def figure_safe(place):
    wal = limited(place.wal(), min(48, place.options.segments))
    costs = in_turn([Nothing(place, "sh -c and nothing", wal, "all"), Safe(place, "seawall", wal, "all"),
                     SafePgbackrest(place, "pgbackrest async", wal, "all", True)], place.options.rounds)

    def p50(cost):
        return statistics.median(cost.extra["calls"]) / 1000

    table("the hook when the segment is already safe, p50", costs, p50, "ms", "sh -c and nothing")
    return verdict("above `sh -c` with a static program, ms", median(costs["seawall"], p50) -
                   median(costs["sh -c and nothing"], p50), 1.5)


class Idle(PushSeawall):
    def run(self):
        extra = super().run()
        time.sleep(IDLE_S)
        return {**extra, "private_kb": private_kb(self.seawall.process.pid)}


def figure_memory(place):
    wal = limited(place.wal(), place.options.segments)
    cost = measure(Idle(place, "seawall", wal, "all"))
    print(f"\nmemory of the server after a backlog of {len(wal[2])} segments")
    good = verdict("peak resident, MB", cost.extra["peak_kb"] / 1024, 128)
    return verdict(f"private when idle for {IDLE_S - 1} s, MB", cost.extra["private_kb"] / 1024, 12) and good


# ---- recovery ----


class Recovery(Contender):
    """Replays all WAL after the base backup; the clock is PostgreSQL's own, from "redo starts" to "redo done"."""

    daemon = True

    def __init__(self, place, name, wal):
        super().__init__(place, name)
        self.origin, self.base, self.names = wal

    def command(self):
        """The restore_command; None: all WAL is in pg_wal."""
        return None

    def prepare(self):
        fresh(self.place.folder / "replay")
        run("cp", "-R", f"{self.base}/.", self.place.folder / "replay")
        (self.place.folder / "replay").chmod(0o700)
        self.cluster = Cluster(self.place.folder, 15, "replay")
        self.cluster.log.unlink(missing_ok=True)
        command = self.command()
        if command:
            (self.cluster.data / "recovery.signal").touch()
        else:
            for name in self.names:
                shutil.copyfile(self.origin.data / "pg_wal" / name, self.cluster.data / "pg_wal" / name)
        self.cluster.configure(restore_command=command or "", archive_mode="off", hot_standby="off", fsync="on",
                               max_wal_size="16GB", checkpoint_timeout="1h", log_min_messages="info",
                               shared_buffers="1GB", unix_socket_directories=self.cluster.sockets)
        os.sync()

    def run(self):
        self.cluster.start(until=())
        done = re.compile(r"redo done at (\S+) .* elapsed: ([0-9.]+) s")
        found = wait_for(lambda: done.search(self.cluster.log_tail(400)) or self.ended(), "redo done", 300)
        return {"end": found.group(1), "redo_s": float(found.group(2))}

    def ended(self):
        if self.cluster.process.poll() is not None:
            raise RuntimeError(self.cluster.log_tail())

    def finish(self):
        self.cluster.remove()
        shutil.rmtree(self.cluster.data)


class RecoveryCp(Recovery):
    def command(self):
        archive_folder = fresh(self.place.folder / "cp.archive")
        for name in self.names:
            os.link(self.origin.data / "pg_wal" / name, archive_folder / name)
        return f"cp {archive_folder}/%f %p"


class RecoveryMove(Recovery):
    """The least that a restore_command can cost: everything is on the disk, and a static program renames it."""

    def command(self):
        ready = fresh(self.place.folder / "move.ready")
        for name in self.names:
            shutil.copyfile(self.origin.data / "pg_wal" / name, ready / name)
        return f"{self.place.build / 'move'} {ready}/%f %p"

    def finish(self):
        super().finish()
        shutil.rmtree(self.place.folder / "move.ready")


class RecoverySeawall(Recovery):
    def command(self):
        cluster = Cluster(self.place.folder, 15, "replay")
        self.seawall = self.place.seawall(cluster, self.place.folder / "seawall.wal").init(keep=True).serve()
        return self.seawall.fetch()

    def finish(self):
        super().finish()
        self.seawall.stop()


class RecoveryPgbackrest(Recovery):
    def command(self):
        fresh(self.place.folder / "pgbackrest.spool")
        return self.place.pgbackrest_command(self.origin, 'archive-get %f "%p"', True, self.place.folder / "replay")


def figure_recovery(place):
    wal = limited(place.wal(), place.options.replay)
    say("filling the archives")
    for contender in (PushSeawall(place, "seawall", wal, "all"), PushPgbackrest(place, "pgbackrest", wal, "all", True)):
        measure(contender)
    costs = in_turn([Recovery(place, "all WAL in pg_wal", wal), RecoverySeawall(place, "seawall", wal),
                     RecoveryMove(place, "sh -c and rename", wal), RecoveryPgbackrest(place, "pgbackrest async", wal),
                     RecoveryCp(place, "cp", wal)], place.options.rounds)
    if len({cost.extra["end"] for runs in costs.values() for cost in runs}) != 1:
        raise SystemExit(f"they did not replay to the same end: {costs}")

    def seconds(cost):
        return cost.extra["redo_s"]

    table(f"recovery of {len(wal[2])} segments, \"redo done\"", costs, seconds, "s", "all WAL in pg_wal")
    print(f"  (the least restore_command: {median(costs['sh -c and rename'], seconds) / median(costs['all WAL in pg_wal'], seconds):.2f})")
    return verdict("recovery, seawall / all WAL in pg_wal", median(costs["seawall"], seconds) /
                   median(costs["all WAL in pg_wal"], seconds), 1.15)


# ---- backup and restore ----


class Backup(Contender):
    def __init__(self, place, name, cluster):
        super().__init__(place, name)
        self.cluster = cluster

    def warm(self):
        subprocess.run(f"cat $(find {self.cluster.data}/base -type f) >/dev/null", shell=True, check=True)


class BackupFloor(Backup):
    """Two `tar | lz4` side by side, each over half of the bytes, synced."""

    def prepare(self):
        self.target = fresh(self.place.folder / "floor")
        halves, sizes = ([], []), [0, 0]
        data = self.cluster.data
        files = [(path.stat().st_size, str(path.relative_to(data))) for path in data.rglob("*")
                 if path.is_file() and path.relative_to(data).parts[0] not in ("pg_wal", "postmaster.pid")]
        for size, name in sorted(files, reverse=True):
            half = sizes.index(min(sizes))
            sizes[half] += size
            halves[half].append(name)
        for number, names in enumerate(halves):
            (self.target / f"list.{number}").write_text("\n".join(names))
        self.warm()

    def run(self):
        tars = [subprocess.Popen(f"tar -c -C {self.cluster.data} -T {self.target}/list.{n} | lz4 -1 -q - {out} && sync {out}",
                                 shell=True) for n, out in ((n, f"{self.target}/{n}.tar.lz4") for n in (0, 1))]
        if any(tar.wait() for tar in tars):
            raise RuntimeError("tar failed")

    def finish(self):
        shutil.rmtree(self.target)


class BackupSeawall(Backup):
    """With a server that archives meanwhile, as in real life."""

    daemon = True

    def prepare(self):
        self.seawall = self.place.seawall(self.cluster).init().serve()
        self.cluster.configure(archive_command=self.seawall.push())
        self.warm()

    def run(self):
        self.seawall.run("backup", "--fast", timeout=300)

    def finish(self):
        self.cluster.configure(archive_command="false")
        self.seawall.stop()


class BackupPgbackrest(Backup):
    def prepare(self):
        shutil.rmtree(self.place.folder / f"pgbackrest.{self.cluster.name}", ignore_errors=True)
        fresh(self.place.folder / "pgbackrest.spool")
        self.place.pgbackrest(self.cluster, "stanza-create")
        self.cluster.configure(archive_command=self.place.pgbackrest_command(self.cluster, "archive-push %p"))
        self.warm()

    def run(self):
        self.place.pgbackrest(self.cluster, "--type=full backup")

    def finish(self):
        self.cluster.configure(archive_command="false")


def seconds(cost):
    return cost.wall_s


def figure_backup(place):
    cluster = place.data()
    costs = in_turn([BackupFloor(place, "two tar | lz4", cluster), BackupSeawall(place, "seawall", cluster),
                     BackupPgbackrest(place, "pgbackrest", cluster)], place.options.rounds)
    table(f"full backup of {tree_mb(cluster.data / 'base'):.0f} MB, page checksums verified", costs, seconds, "s",
          "two tar | lz4")
    return verdict("full backup, seawall / two tar | lz4", median(costs["seawall"], seconds) /
                   median(costs["two tar | lz4"], seconds), 1.15)


class Restore(Backup):
    def prepare(self):
        self.target = self.place.folder / "restored"
        shutil.rmtree(self.target, ignore_errors=True)

    def finish(self):
        shutil.rmtree(self.target)


class RestoreSeawall(Restore):
    def run(self):
        self.place.seawall(self.cluster).run("restore", "main", "--pgdata", self.target, timeout=300)


class RestorePgbackrest(Restore):
    def prepare(self):
        super().prepare()
        self.target.mkdir(mode=0o700)

    def run(self):
        self.place.pgbackrest(self.cluster, f"--pg1-path={self.target} restore")


def figure_restore(place):
    cluster = place.data()
    say("making the backups")
    for contender in (BackupPgbackrest(place, "pgbackrest", cluster), BackupSeawall(place, "seawall", cluster)):
        measure(contender)
    costs = in_turn([RestoreSeawall(place, "seawall", cluster), RestorePgbackrest(place, "pgbackrest", cluster)],
                    place.options.rounds)
    table(f"restore of {tree_mb(cluster.data / 'base'):.0f} MB into an empty directory", costs, seconds, "s", "pgbackrest")
    return verdict("restore, seawall / pgbackrest", median(costs["seawall"], seconds) /
                   median(costs["pgbackrest"], seconds), 0.9)


# ---- priority ----


class Priority(Backup):
    """Pushes one segment after the other, beside a full backup or without."""

    daemon = True

    def __init__(self, place, name, cluster, beside):
        super().__init__(place, name, cluster)
        self.beside = beside

    def prepare(self):
        self.seawall = self.place.seawall(self.cluster).init().serve()
        self.cluster.configure(archive_command=self.seawall.push())

    def run(self):
        calls, over = [], threading.Event()
        backup = threading.Thread(target=lambda: (self.seawall.run("backup", "--fast", timeout=300), over.set()))
        if self.beside:
            backup.start()
        while not over.is_set() and (self.beside or len(calls) < 30):
            calls.append(self.one_segment())
        if self.beside:
            backup.join()
        return {"calls": calls}

    def one_segment(self):
        """Fills a segment and times its way into the archive."""
        self.cluster.sql("CREATE TABLE IF NOT EXISTS filler (text text)")
        self.cluster.sql("INSERT INTO filler SELECT repeat(md5(g::text), 30) FROM generate_series(1, 14000) g")
        name = self.cluster.switch_wal()
        begun = time.monotonic()
        done = self.cluster.data / "pg_wal/archive_status" / f"{name}.done"
        end = begun + 60
        while not done.exists():
            if time.monotonic() > end:
                raise RuntimeError(f"\"{name}\" was not archived in 60 s")
            time.sleep(0.001)
        return (time.monotonic() - begun) * 1e6

    def finish(self):
        self.cluster.sql("DROP TABLE IF EXISTS filler")
        self.cluster.configure(archive_command="false")
        self.seawall.stop()


def p95(costs):
    calls = sorted(call for cost in costs for call in cost.extra["calls"])
    return calls[int(len(calls) * 0.95)] / 1000


def figure_priority(place):
    cluster = place.data()
    costs = in_turn([Priority(place, "without a backup", cluster, False), Priority(place, "beside a backup", cluster, True)],
                    place.options.rounds)
    table("a segment from its end to safe, p50", costs, lambda cost: statistics.median(cost.extra["calls"]) / 1000, "ms",
          "without a backup")
    for name, runs in costs.items():
        print(f"  {name}: {sum(len(cost.extra['calls']) for cost in runs)} pushes, p95 {p95(runs):.1f} ms")
    return verdict("p95 beside a backup / without", p95(costs["beside a backup"]) / p95(costs["without a backup"]), 1.5)


# ---- the parts ----


def figure_codec(place):
    wal = limited(place.wal(), 16)
    paths = [str(wal[0].data / "pg_wal" / name) for name in wal[2]]
    print("\nsealing and opening WAL, one core, MB/s of content (floor: the same compressor and one hash)", flush=True)
    subprocess.run([place.bin / "sealbench", "lz4", "131072", "5", *paths], check=True)
    print("the record walk, one core", flush=True)
    begun = time.monotonic()
    subprocess.run([place.bin / "walcheck", *paths], check=True, stdout=subprocess.DEVNULL)
    print(f"  {len(paths) * SEGMENT_MB / (time.monotonic() - begun):.0f} MB/s")


class ReadWal(Contender):
    """A program reads the segments, which are in the cache."""

    def __init__(self, place, name, folder, names, command):
        super().__init__(place, name)
        self.folder, self.names, self.command = folder, names, command

    def prepare(self):
        for name in self.names:
            (self.folder / name).read_bytes()

    def run(self):
        subprocess.run(self.command, cwd=self.folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def reader_of(place, title, folder, names, target_mbs):
    megabytes = len(names) * SEGMENT_MB
    costs = in_turn([ReadWal(place, "seawall", folder, names, [place.bin / "walcheck", "--quiet", "--decode", *names]),
                     ReadWal(place, "pg_waldump --stats", folder, names,
                             [DEBIAN_BIN / "pg_waldump", "--stats", "-p", folder, names[0], names[-1]])], place.options.rounds)
    table(f"reading {megabytes:.0f} MB of WAL, {title}: CPU time of the process, the file's reading included; MB/s", costs,
          lambda cost: megabytes / cost.cpu_s, "MB/s", "pg_waldump --stats")
    told = subprocess.run([place.bin / "walspeed", str(place.options.rounds), *names], cwd=folder, check=True, capture_output=True,
                          text=True).stdout
    speed = {key: float(value) for key, value in (line.split("=") for line in told.splitlines())}
    print("  in memory, one core, MB/s: one CRC-32C over all {crc_mbs:.0f}; proven {prove_mbs:.0f}; block references too "
          "{decode_mbs:.0f}; events too {tell_mbs:.0f}".format(**speed), flush=True)
    return verdict(f"reader, {title}, GB/s", speed["decode_mbs"] / 1000, target_mbs / 1000, True)


def figure_reader(place):
    wal, short = limited(place.wal(), 24), place.short()
    good = [reader_of(place, "page images prevail", wal[0].data / "pg_wal", wal[2], 3500),
            reader_of(place, "short records only", short[0].data / "pg_wal", short[1], 2000)]
    return all(good)
