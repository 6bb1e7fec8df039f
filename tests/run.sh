#!/bin/sh
# Runs the tests: sh tests/run.sh [--as-is] [KIND...]
#
#   style    the rules about the source, and the tests of the tests' own tools
#   unit     unit, store and fault tests, debug build        (tests/unit, tests/store, tests/fault)
#   asan     the same under AddressSanitizer and UBSan
#   tsan     the same under ThreadSanitizer
#   fuzz     the saved inputs of the fuzz harnesses, clang's ASan
#   cli      help, messages, exit codes                      (tests/cli)
#   pg       whole runs with PostgreSQL 15                   (tests/pg)
#   s3       store tests and whole runs with a real S3, Ceph (tests/store, tests/pg)
#   versions the main run with PostgreSQL 13, 14, 16, 17, 18 (tests/versions)
#
# Without a KIND: all that the tree has, at most 45 minutes on two cores. Installs what is missing (--as-is: does not),
# builds, and ends in one line "N passed, N failed, N skipped". PostgreSQL refuses to run as root: started as root,
# the tests run as the user postgres, on a copy in a short folder below /tmp; what needs root itself runs before.
# SEAWALL_PG_NPM is the folder for the other versions of PostgreSQL (default: build/pg-npm).
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=../packaging/need.sh source-path=SCRIPTDIR
. packaging/need.sh

KINDS_ALL="style unit asan tsan fuzz cli pg s3 versions"
PACKAGES_TESTS="libcmocka-dev universal-ctags clang-14 libclang-rt-14-dev clang-format-14 shellcheck python3 python3-pytest python3-psycopg2
python3-lz4 python3-zstandard python3-xxhash python3-cryptography libfaketime"
PG_NPM=${SEAWALL_PG_NPM:-build/pg-npm}

usage() {
	sed -n '2,/^set -eu/s/^# \{0,1\}//p' tests/run.sh >&2
	exit 2
}

wants() { # wants KIND...: whether one of them is to run
	for kind in "$@"; do
		case " $KINDS " in *" $kind "*) return 0 ;; esac
	done
	return 1
}

install_all() {
	# shellcheck disable=SC2086 # one word for each package
	packages_need $PACKAGES_BUILD $PACKAGES_POSTGRES $PACKAGES_TESTS
	# shellcheck disable=SC2086
	if wants s3; then packages_need $PACKAGES_S3; fi
	if wants pg versions && ! sh tests/services/pg-versions.sh list "$PG_NPM" >/dev/null 2>&1; then
		command -v npm >/dev/null || packages_need npm
		sh tests/services/pg-versions.sh install "$PG_NPM"
	fi
}

build() { # build KIND TARGET...
	echo "building $*"
	kind=$1
	shift
	make -s -j"$(nproc)" KIND="$kind" "$@" || {
		printf 'could not build %s\n0 passed, 1 failed, 0 skipped\n' "$kind"
		exit 1
	}
}

# The fuzz kind is built by clang, whose warnings are errors too.
build_all() {
	build release all
	if wants unit cli pg s3 versions; then build debug all unit-programs; fi
	if wants asan; then build asan unit-programs; fi
	if wants tsan; then build tsan unit-programs; fi
	if wants fuzz; then build asan CC=clang-14 BUILD=build/clang all fuzz-programs; fi
}

# As root: a copy that the user postgres may read, and the tests run there as this user.
run_as_postgres() {
	echo "switching to the user postgres, in $SCRATCH"
	tar -c --exclude=.git --exclude='./build/[!r]*.o' --exclude=./build/pg-npm . | tar -x -C "$SCRATCH"
	chown -R postgres: "$SCRATCH"
	if wants pg versions; then sh tests/services/pg-versions.sh share "$PG_NPM" "$SCRATCH/pg-npm"; fi
	if wants cli pg; then
		sh "$SCRATCH/tests/kinds.sh" "$SCRATCH/results" root
		chown -R postgres: "$SCRATCH/results"
		KINDS="root $KINDS"
		SEAWALL_ROOT_DONE=yes
		export SEAWALL_ROOT_DONE
	fi
	(cd "$SCRATCH" && setpriv --reuid=postgres --regid=postgres --init-groups env HOME="$SCRATCH" SEAWALL_PG_NPM="$SCRATCH/pg-npm" \
		sh tests/kinds.sh "$SCRATCH/results" "$@")
}

kinds_present() {
	for kind in $KINDS_ALL; do
		case $kind in
		asan | tsan) folder=unit ;;
		s3) folder=pg ;;
		*) folder=$kind ;;
		esac
		if [ -d "tests/$folder" ]; then echo "$kind"; else echo "no tests/$folder: $kind left out" >&2; fi
	done
}

AS_IS=false
KINDS=""
for argument in "$@"; do
	case " --as-is $KINDS_ALL " in *" $argument "*) ;; *) usage ;; esac
	if [ "$argument" = --as-is ]; then AS_IS=true; else KINDS="$KINDS $argument"; fi
done
KINDS=${KINDS:-$(kinds_present | tr '\n' ' ')}

$AS_IS || install_all
build_all
SCRATCH=$(mktemp -d /tmp/swt.XXXXXX)
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 1' HUP INT TERM
export TMPDIR=/tmp
# shellcheck disable=SC2086 # one word for each kind
if [ "$(id -u)" = 0 ]; then
	run_as_postgres $KINDS
else
	SEAWALL_PG_NPM=$(realpath -m "$PG_NPM") sh tests/kinds.sh "$SCRATCH/results" $KINDS
fi
rm -rf build/results
cp -r "$SCRATCH/results" build/results
echo "logs and results of each test: build/results"
# shellcheck disable=SC2086
/usr/bin/python3 tests/tools/count.py total "$SCRATCH/results" $KINDS
