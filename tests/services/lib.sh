# shellcheck shell=sh
# Helpers that the scripts of this folder share; sourced, never run.

set -eu
PROGRAM=$(basename "$0")

say() { echo "$PROGRAM: $*"; }
die() {
	echo "$PROGRAM: $*" >&2
	exit 1
}

# usage: prints the comment at the head of the script and ends it.
usage() {
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# need COMMAND PACKAGE: fails early, and says what to install.
need() {
	command -v "$1" >/dev/null || die "'$1' was not found; install the Debian package '$2'"
}
