#!/bin/sh
# Seawall in two minutes: sh packaging/quickstart.sh [--keep] [--s3]
#
# Builds Seawall (and installs what that needs, through apt), then tells the whole story on a scratch PostgreSQL
# cluster in a new folder below /tmp: archive, back up, lose a table, get it back as it was a moment before. Shows
# every command, checks the result row by row, and removes everything; --keep leaves it running and says how to
# reach it. Your own clusters are not touched. With --s3 the repository is in an S3: a Ceph of one node in the same
# folder, with its packages (260 MB) and memory for its objects.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=need.sh source-path=SCRIPTDIR
. packaging/need.sh

KEEP=no
PLACE="file"
for argument in "$@"; do
	case $argument in
	--keep) KEEP=yes ;;
	--s3) PLACE=s3 ;;
	*)
		sed -n '2,/^set -eu/s/^# \{0,1\}//p' packaging/quickstart.sh >&2
		exit 2
		;;
	esac
done

[ "$PLACE" = s3 ] || PACKAGES_S3=""
# shellcheck disable=SC2086 # one word for each package
packages_need $PACKAGES_BUILD $PACKAGES_POSTGRES $PACKAGES_S3
echo "building Seawall: make"
make -s -j"$(nproc)"

# PostgreSQL refuses to run as root: then the story is told by the user postgres, on a copy that it can read.
WORK=$(mktemp -d /tmp/seawall.XXXXXX)
mkdir "$WORK/bin"
cp build/release/seawall build/release/seawall-wal packaging/story.sh "$WORK/bin"
[ "$PLACE" = file ] || cp -R tests/services "$WORK/bin/services"
cd "$WORK"
if [ "$(id -u)" = 0 ]; then
	chown -R postgres: "$WORK"
	echo "PostgreSQL does not run as root: the rest runs as the user postgres"
	exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$WORK/bin/story.sh" "$WORK" "$KEEP" "$PLACE" </dev/null
fi
exec sh "$WORK/bin/story.sh" "$WORK" "$KEEP" "$PLACE" </dev/null
