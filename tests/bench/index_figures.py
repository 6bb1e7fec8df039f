"""The figures of the WAL index: what is asked of a long archive, and how big the index is."""

import http.client
import json
import shutil
import socket
import statistics
import subprocess
import time

from figures import Contender, seconds
from measure import in_turn, median, status_kb, table, verdict
from place import run, say
from seawalltest.wait import wait_for

ORDER = ["find", "status", "index_size"]
PER_LOG = 256  # segments of 16 MB in 4 GB
FIND_SEGMENTS, STATUS_SEGMENTS, STATUS_CALLS = 100_000, 1_000_000, 50
MISSING = "xid:999999999"  # a transaction that is nowhere
MEMORY_MORE_MB = 16
UPDATE_SCALE, UPDATE_SEGMENTS = 20, 24


def digits(number):
    return f"{number // PER_LOG:08X}{number % PER_LOG:08X}"


def own_archive(place, first):
    """A running cluster with a backup, and its archive, whose first segment is number `first` at least; and that number."""
    cluster = place.cluster("long")
    if cluster.pid():
        cluster.stop("immediate")
    shutil.rmtree(cluster.data, ignore_errors=True)
    cluster.init(wal_keep_size="1GB")
    if first:
        run(cluster.bin / "pg_resetwal", "-l", f"00000001{digits(first)}", "-D", cluster.data)
    cluster.start()
    seawall = place.seawall(cluster).init()
    cluster.configure(archive_command=seawall.push())
    cluster.sql("CREATE TABLE t (n int)")
    cluster.wait_archived()
    seawall.run("backup", "--fast", timeout=300)
    cluster.wait_archived()
    seawall.run("wal", "index")
    begin = min(path.name[:16] for path in seawall.repository.glob("main/*/index/*/0/*"))
    return cluster, seawall, int(begin[:8], 16) * PER_LOG + int(begin[8:], 16)


def lengthen(place, seawall, until):
    say(f"making {until} segments and their index, a dropped table in each")
    (folder,) = seawall.repository.glob("main/*-15-1")
    run(place.bin / "longarchive", seawall.repository, folder.relative_to(seawall.repository), "1", str(until - 1), "1")


class Ask(Contender):
    """One command, without a server, from its start to its end."""

    def __init__(self, place, name, seawall, words):
        super().__init__(place, name)
        self.command = [place.bin / "seawall", "--config", seawall.config, *words]

    def run(self):
        subprocess.run(self.command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def asked(place, seawall, which):
    words = {"find --dropped": ["find", "--dropped", "4242"], "status": ["status"], "list": ["list"],
             "impossible xid": ["restore", "--to", MISSING, "--pgdata", place.folder / "new", "--plan"],
             "impossible time": ["restore", "--to", "2020-01-01 00:00:00+00", "--pgdata", place.folder / "new", "--plan"]}
    return in_turn([Ask(place, name, seawall, words[name]) for name in which], place.options.rounds)


def figure_find(place):
    cluster, seawall, begin = own_archive(place, FIND_SEGMENTS)
    lengthen(place, seawall, begin)
    costs = asked(place, seawall, ["find --dropped", "impossible xid", "impossible time"])
    table(f"questions to an archive of {begin} segments, cold: the command from its start to its end", costs, seconds, "s")
    cluster.stop("immediate")
    good = verdict("find over 100 000 segments, s", median(costs["find --dropped"], seconds), 2)
    return all([verdict(f"refusing an {name}, s", median(costs[name], seconds), 1)
                for name in ("impossible xid", "impossible time")]) and good


def server_status(seawall):
    """What the server says of itself, over its socket."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(seawall.folder / "s"))
    connection.request("GET", "/v1/status")
    return json.loads(connection.getresponse().read())


def server_cost(seawall):
    """Milliseconds of each call once the server has indexed what there is, and its memory in MB then."""
    seawall.serve()
    wait_for(lambda: "archived_segments" in server_status(seawall)["clusters"][0]["index"], "the server to know the archive", 300)
    calls = []
    for _ in range(STATUS_CALLS):
        begun = time.monotonic()
        server_status(seawall)
        calls.append((time.monotonic() - begun) * 1000)
    memory = status_kb(seawall.process.pid, "VmRSS") / 1024
    seawall.stop()
    return statistics.median(calls), memory


def figure_status(place):
    cluster, seawall, begin = own_archive(place, STATUS_SEGMENTS)
    _, short_mb = server_cost(seawall)
    lengthen(place, seawall, begin)
    costs = asked(place, seawall, ["status", "list"])
    table(f"an archive of {begin} segments, cold: the command from its start to its end", costs, seconds, "s")
    served_ms, long_mb = server_cost(seawall)
    print(f"  the server: {served_ms:.1f} ms for each status; {long_mb:.0f} MB, {short_mb:.0f} MB without those segments")
    cluster.stop("immediate")
    good = [verdict("status, s", median(costs["status"], seconds), 1), verdict("list, s", median(costs["list"], seconds), 1),
            verdict("status in the server, ms", served_ms, 50),
            verdict("memory of the server, MB more than with a short archive", long_mb - short_mb, MEMORY_MORE_MB)]
    return all(good)


def figure_index_size(place):
    cluster, seawall, _ = own_archive(place, 0)
    place.pgbench(cluster, "-i", "-q", "-s", UPDATE_SCALE)
    cluster.wait_archived(deadline_s=300)
    seawall.run("wal", "index", timeout=300)

    def sizes():
        return [sum(path.stat().st_size for path in seawall.repository.glob(f"main/*/{folder}/*/*/*")) for folder in ("wal", "index")]

    before, count = sizes(), len(list(seawall.repository.glob("main/*/wal/*/*/*")))
    while len(list(seawall.repository.glob("main/*/wal/*/*/*"))) < count + UPDATE_SEGMENTS:
        cluster.sql("UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid IN (SELECT (random() * %s)::int FROM "
                    "generate_series(1, 20000))", UPDATE_SCALE * 100000)
    cluster.wait_archived(deadline_s=300)
    seawall.run("wal", "index", timeout=300)
    cluster.stop("immediate")
    wal, index = (after - was for after, was in zip(sizes(), before))
    print(f"\nrandom updates of single rows: {wal / 1e6:.1f} MB of compressed WAL, {index / 1e6:.3f} MB of index")
    return verdict("index for random updates, % of the compressed WAL", 100 * index / wal, 3)
