"""What status, list, find and a plan cost in a long archive: SEAWALL_SEGMENTS (default 100 000) of 16 MB, made by tests/tools/longarchive.

The cluster's own WAL begins behind them (pg_resetwal), so that everything that is read of it is real; of the rest the names are
there, and the index that tells of it.
"""

import json
import os
import subprocess

from seawalltest import faults, index, process
from seawalltest.seawall import programs

SEGMENTS = int(os.environ.get("SEAWALL_SEGMENTS", "100000"))
PER_LOG = 256  # segments of 16 MB in 4 GB
COLD_S_MAX, FIND_S_MAX, PEAK_MB_MAX = 1.0, 2.0, 64
REQUESTS_MORE_MAX = 40  # that a long archive takes beyond a short one: some pages for each level of the index
MISSING = "xid:999999999"  # a transaction that is nowhere


def digits(number):
    return f"{number // PER_LOG:08X}{number % PER_LOG:08X}"


def make(wall, segments):
    """Segments 1 to `segments` - 1 and the index that tells of them, with a table dropped in every one."""
    (generation,) = (wall.repository / "main").glob("*-15-1")
    subprocess.run([programs("debug") / "tests/tools/longarchive", wall.repository, generation.relative_to(wall.repository), "1",
                    str(segments - 1), "1"], check=True, **process.OWNER)


def asked(wall):
    """name -> (arguments, exit status): without a server the 1 of status says so."""
    return {"status": (["status", "--json"], 1), "list": (["list", "--json"], 0),
            "plan": (["restore", "--pgdata", wall.folder / "new", "--plan"], 0),
            "refused": (["restore", "--to", MISSING, "--pgdata", wall.folder / "new", "--plan"], 1)}


def costs(wall, command, status=0):
    return process.measured([wall.bin / "seawall", *command], wall.environment(), status=status)


def requests(wall, command, status=0):
    """How often the command turns to the repository; each request passes two fault points."""
    count = wall.folder / "count"
    process.measured([programs("debug") / "seawall", *command], wall.environment(**faults.environment("count", count, "store-")),
                     status=status)
    return int(count.read_text()) // 2


def test_what_a_command_costs_is_not_what_the_suite_costs():
    ballast = bytearray(128 << 20)
    peak = process.measured(["/bin/true"], os.environ).peak_mb
    assert 0 < peak < PEAK_MB_MAX < len(ballast) >> 20


def test_what_is_asked_costs_the_same_however_long_the_archive_is(made):
    first = SEGMENTS // 16 * 16
    cluster = made.cluster(wal_keep_size="1GB")
    subprocess.run([cluster.bin / "pg_resetwal", "-l", f"00000001{digits(first)}", "-D", cluster.data], check=True,
                   capture_output=True, **process.OWNER)
    wall = made.seawall(cluster)
    wall.init()
    cluster.start()
    wall.archive()
    cluster.sql("CREATE TABLE t (n int)")
    wall.wait_archived()
    wall.run("backup")
    wall.wait_archived()
    wall.run("wal", "index")
    before = {name: (costs(wall, *how), requests(wall, *how)) for name, how in asked(wall).items()}
    make(wall, min(int(name[2][:8], 16) * PER_LOG + int(name[2][8:], 16) for name in index.names(wall)))
    for name, how in asked(wall).items():
        base, few = before[name]
        times, many = [costs(wall, *how) for _ in range(3)], requests(wall, *how)
        print(f"{name}: {[round(run.seconds, 3) for run in times]} s, {times[0].peak_mb:.0f} MB, {many} requests; without them "
              f"{base.seconds:.3f} s, {base.peak_mb:.0f} MB, {few} requests")
        assert min(run.seconds for run in times) < COLD_S_MAX
        assert times[0].peak_mb < min(PEAK_MB_MAX, base.peak_mb + 16)
        assert many <= few + REQUESTS_MORE_MAX
    told = json.loads(costs(wall, *asked(wall)["status"]).out)["clusters"][0]
    assert int(told["segments"]) > SEGMENTS - 32 and told["intervals"][0]["last_transaction"]
    assert json.loads(costs(wall, *asked(wall)["list"]).out)["intervals"] == told["intervals"]
    # a dropped table is found in all of it, by its number
    found = [costs(wall, ["find", "--dropped", "4242", "--json"]) for _ in range(3)]
    events = json.loads(found[0].out)["events"]
    print(f"find: {[round(run.seconds, 3) for run in found]} s, {found[0].peak_mb:.0f} MB, {len(events)} events")
    assert len(events) >= SEGMENTS // 100000 and all(event["what"] == "dropped" for event in events)
    assert min(run.seconds for run in found) < FIND_S_MAX
