#!/bin/sh
# Runs kinds of tests that are already built, and counts: kinds.sh RESULTS KIND... (started by run.sh)
#
# Each kind leaves its log in RESULTS/KIND.log and its results in RESULTS/KIND/: NAME.tap with a last line
# "# exit N" and NAME.err with what the program said beside, or NAME.xml from pytest, for count.py.
set -u
cd "$(dirname "$0")/.." || exit 1

MINUTES_MAX=40 # of one kind; run.sh promises 45 in all
LOG_LINES_MAX=200 # shown of a kind that failed
RESULTS=$1
shift
mkdir -p "$RESULTS"
KINDS=$*
SEAWALL_BIN=$PWD/build/release
SEAWALL_BIN_DEBUG=$PWD/build/debug
PYTHONDONTWRITEBYTECODE=1
CMOCKA_MESSAGE_OUTPUT=TAP
ASAN_OPTIONS=detect_stack_use_after_return=1:allocator_may_return_null=1
UBSAN_OPTIONS=print_stacktrace=1
TSAN_OPTIONS=halt_on_error=0
export SEAWALL_BIN SEAWALL_BIN_DEBUG PYTHONDONTWRITEBYTECODE CMOCKA_MESSAGE_OUTPUT
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

# tap NAME COMMAND...: runs a program that prints TAP.
tap() {
	name=$1
	shift
	timeout -k 30 "${MINUTES_MAX}m" "$@" >"$OUT/$name.tap" 2>"$OUT/$name.err" </dev/null
	echo "# exit $?" >>"$OUT/$name.tap"
	cat "$OUT/$name.err" "$OUT/$name.tap"
}

# python NAME PATH...: runs pytest; interrupted when its time is over, so that it still stops its servers.
python() {
	name=$1
	shift
	timeout -s INT -k 60 "${MINUTES_MAX}m" /usr/bin/python3 -m pytest -c tests/pytest.ini --rootdir=tests \
		--junitxml="$OUT/$name.xml" "$@" </dev/null
	echo "# exit $?" >"$OUT/$name.exit"
}

# programs FOLDER [COMMAND...]: each test program of a build is one TAP stream. Those that need an S3 are run_s3's.
programs() {
	folder=$1
	shift
	for program in $(find "$folder/tests" -name '*_test' ! -path '*/tests/store/s3_*' -type f | sort); do
		echo "== $program"
		tap "$(echo "${program#"$folder"/tests/}" | tr / .)" "$@" "$program"
	done
}

run_style() {
	tap gates tests/style/gates.py --bin "$SEAWALL_BIN"
	tap shell sh tests/style/shell.sh
	python tools tests/style tests/tools
}
run_unit() { programs build/debug; }
run_asan() { programs build/asan; }
run_tsan() {
	# ThreadSanitizer of gcc 12 dies under the address randomization of newer kernels.
	if setarch -R true 2>/dev/null; then programs build/tsan setarch -R; else programs build/tsan; fi
}
run_fuzz() {
	for program in $(find build/clang/asan/tests/fuzz -name '*_fuzz' -type f | sort); do
		name=$(basename "$program" _fuzz)
		# shellcheck disable=SC2046 # corpus names have no spaces
		tap "$name" "$program" $(find "tests/fuzz/corpus/$name" -type f | sort)
	done
}
run_root() { python root -m needs_root tests/cli tests/pg; }
run_cli() { python cli -m "$NOT_ROOT" tests/cli; }
run_pg() { python pg -m "not s3${NOT_ROOT:+ and $NOT_ROOT}" tests/pg; }
# One S3 for all; SEAWALL_S3 names its env file (tests/services/ceph-rgw.sh), whose settings C programs find as S3_*.
run_s3() {
	rgw=$(mktemp -d /tmp/swr.XXXXXX)
	trap 'sh tests/services/ceph-rgw.sh stop "$rgw"; rm -rf "$rgw"' EXIT
	if sh tests/services/ceph-rgw.sh start "$rgw"; then
		export SEAWALL_S3="$rgw/env"
		for program in $(find build/debug/tests/store -name 's3_*_test' -type f | sort); do
			echo "== $program"
			# shellcheck disable=SC2046 # settings have no spaces
			tap "store.$(basename "$program")" env $(cat "$SEAWALL_S3") "$program"
		done
	fi
	python s3 -m "s3 and not needs_root" tests/pg
}
run_versions() { python versions tests/versions; }

# lane KIND...: one kind after the other; two lanes run side by side.
lane() {
	for kind in "$@"; do
		case " $KINDS " in *" $kind "*) ;; *) continue ;; esac
		OUT=$RESULTS/$kind
		mkdir -p "$OUT"
		start=$(date +%s)
		("run_$kind") >"$RESULTS/$kind.log" 2>&1
		/usr/bin/python3 tests/tools/count.py kind "$OUT" "$(($(date +%s) - start))" ||
			grep -v "^ok " "$RESULTS/$kind.log" | tail -n "$LOG_LINES_MAX"
	done
}

NOT_ROOT=${SEAWALL_ROOT_DONE:+not needs_root}
lane root
lane style unit asan tsan fuzz cli s3 &
lane pg versions &
wait
