#!/bin/sh
# Seawall in two minutes: sh packaging/quickstart.sh [--keep]
#
# Builds Seawall (and installs what that needs, through apt), then tells the whole story on a scratch PostgreSQL
# cluster in a new folder below /tmp: archive, back up, lose a table, get it back as it was a moment before. Shows
# every command, checks the result row by row, and removes everything; --keep leaves it running and says how to
# reach it. Your own clusters are not touched.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=need.sh source-path=SCRIPTDIR
. packaging/need.sh

KEEP=no
case "$#:${1:-}" in
0:) ;;
1:--keep) KEEP=yes ;;
*)
	sed -n '2,/^set -eu/s/^# \{0,1\}//p' packaging/quickstart.sh >&2
	exit 2
	;;
esac

# shellcheck disable=SC2086 # one word for each package
packages_need $PACKAGES_BUILD $PACKAGES_POSTGRES
echo "building Seawall: make"
make -s -j"$(nproc)"

# PostgreSQL refuses to run as root: then the story is told by the user postgres, on a copy that it can read.
WORK=$(mktemp -d /tmp/seawall.XXXXXX)
mkdir "$WORK/bin"
cp build/release/seawall build/release/seawall-wal packaging/story.sh "$WORK/bin"
cd "$WORK"
if [ "$(id -u)" = 0 ]; then
	chown -R postgres: "$WORK"
	echo "PostgreSQL does not run as root: the rest runs as the user postgres"
	exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$WORK/bin/story.sh" "$WORK" "$KEEP" </dev/null
fi
exec sh "$WORK/bin/story.sh" "$WORK" "$KEEP" </dev/null
