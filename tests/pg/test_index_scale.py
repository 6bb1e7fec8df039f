"""What status costs in a long archive: SEAWALL_SEGMENTS (default 100 000) of 16 MB, made of names alone.

The cluster's own WAL begins behind them (pg_resetwal), so that everything that is read is real; the rest is only listed.
"""

import json
import os
import subprocess

from seawalltest import index, process

SEGMENTS = int(os.environ.get("SEAWALL_SEGMENTS", "100000"))
SPANS = [16, 256, 4096, 65536]
PER_LOG = 256  # segments of 16 MB in 4 GB
COLD_S_MAX, PEAK_MB_MAX = 1.0, 64


def digits(number):
    return f"{number // PER_LOG:08X}{number % PER_LOG:08X}"


def make(generation, segments):
    """Names of segments 1 to `segments` - 1 and of all pieces that tell of them."""
    for log in range(segments // PER_LOG + 1):
        folder = generation / f"wal/00000001/{log:08X}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(max(1, log * PER_LOG), min(segments, (log + 1) * PER_LOG)):
            os.close(os.open(folder / f"00000001{digits(number)}", os.O_CREAT | os.O_WRONLY, 0o600))
    for level, span in enumerate(SPANS):
        folder = generation / f"index/00000001/{level}"
        folder.mkdir(parents=True, exist_ok=True)
        for first in range(0, segments - span + 1, span):
            name = f"{digits(max(first, 1))}-{digits(first + span - 1)}.000001"
            os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o600))


def status(wall):
    """Without a server: that is its 1."""
    return process.measured([wall.bin / "seawall", "status", "--json"], wall.environment(), status=1)


def test_what_a_command_costs_is_not_what_the_suite_costs():
    ballast = bytearray(128 << 20)
    peak = process.measured(["/bin/true"], os.environ).peak_mb
    assert 0 < peak < PEAK_MB_MAX < len(ballast) >> 20


def test_status_costs_the_same_however_long_the_archive_is(made):
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
    base = status(wall)
    (generation,) = (wall.repository / "main").glob("*-15-1")
    make(generation, min(int(name[2], 16) // 2**32 * PER_LOG + int(name[2][8:], 16) for name in index.names(wall)))
    times = [status(wall) for _ in range(3)]
    told = json.loads(times[0].out)["clusters"][0]
    assert int(told["segments"]) > SEGMENTS - 32 and told["intervals"][0]["last_transaction"]
    print(f"{told['segments']} segments: status {[round(run.seconds, 3) for run in times]} s, {times[0].peak_mb:.0f} MB; "
          f"without them {base.seconds:.3f} s, {base.peak_mb:.0f} MB")
    assert min(run.seconds for run in times) < COLD_S_MAX
    assert times[0].peak_mb < min(PEAK_MB_MAX, base.peak_mb + 16)
