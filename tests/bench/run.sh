#!/bin/sh
# Measures Seawall beside pgBackRest and the floors: sh tests/bench/run.sh [--rounds N] [--segments N] [--scale N]
# [--place DIR] [FIGURE...]; without a FIGURE all of them:
#
#   backlog   128 waiting segments are archived, MB/s         recovery  250 segments are replayed from the archive
#   single    one segment at a time, p50                      backup    a full backup, beside two `tar | lz4`
#   safe      the hook when the segment is already safe       restore   into an empty directory
#   memory    of the server: peak, and private when idle      priority  pushes during a full backup
#   codec     sealing and the record walk alone, one core
#   reader    WAL read and decoded, beside pg_waldump --stats
#   find      an archive of 100 000 segments is asked       status    an archive of 1 000 000: commands, and in the server
#   index_size                            of the WAL index, for random updates
#   s3_put    compressed segments, beside curl
#   s3_backlog, s3_recovery, s3_restore   the same with a repository in S3: a Ceph with bluestore on loopback, https
#   s3_latency                            pushes with 50 ms more for each request
#   s3_large                              one large object with that, in one request and in ranges
#
# Installs pgBackRest and what the build needs, builds, and runs as the user postgres in a folder of its own below /tmp
# (--place keeps that folder, and finds the data in it that an earlier run made). Nothing else should run meanwhile.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=../../packaging/need.sh source-path=SCRIPTDIR
. packaging/need.sh

# shellcheck disable=SC2086 # one word for each package
packages_need $PACKAGES_BUILD $PACKAGES_POSTGRES $PACKAGES_S3 pgbackrest lz4 python3 python3-psycopg2
make -s -j"$(nproc)" all build/release/tests/tools/sealbench build/release/tests/tools/walcheck \
	build/release/tests/tools/walspeed build/release/tests/tools/storeput \
	build/release/tests/tools/storeget build/release/tests/tools/longarchive

SCRATCH=$(mktemp -d /tmp/swbench.XXXXXX)
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$SCRATCH/build/release" "$SCRATCH/tests"
cp build/release/seawall build/release/seawall-wal build/release/tests/tools/sealbench \
	build/release/tests/tools/walcheck build/release/tests/tools/walspeed build/release/tests/tools/storeput \
	build/release/tests/tools/storeget build/release/tests/tools/longarchive "$SCRATCH/build/release"
cp -R tests/bench tests/pg tests/services "$SCRATCH/tests"
${CC:-gcc} -O2 -D_GNU_SOURCE -o "$SCRATCH/build/floor" tests/bench/floor.c -llz4 -lxxhash
${CC:-gcc} -O2 -D_GNU_SOURCE -o "$SCRATCH/build/archive" tests/bench/archive.c
${CC:-gcc} -O2 -D_GNU_SOURCE -pthread -o "$SCRATCH/build/delay" tests/bench/delay.c
${CC:-gcc} -O2 -static -o "$SCRATCH/build/nothing" tests/bench/nothing.c
${CC:-gcc} -O2 -static -o "$SCRATCH/build/move" tests/bench/move.c
set -- /usr/bin/python3 "$SCRATCH/tests/bench/main.py" --build "$SCRATCH/build" "$@"
cd /
if [ "$(id -u)" = 0 ]; then
	chown -R postgres: "$SCRATCH"
	setpriv --reuid=postgres --regid=postgres --init-groups env HOME="$SCRATCH" LC_ALL=C.UTF-8 "$@"
else
	env LC_ALL=C.UTF-8 "$@"
fi
