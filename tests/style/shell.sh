#!/bin/sh
# Each shell script is shown to shellcheck; prints TAP, one test for each.
set -eu
cd "$(dirname "$0")/../.."

scripts=$(find packaging tests .ci -name '*.sh' -o -path .ci/run | sort)
echo "1..$(echo "$scripts" | wc -l)"
status=0
for script in $scripts; do
	if found=$(shellcheck -x "$script"); then
		echo "ok - $script is clean"
	else
		echo "not ok - $script"
		echo "$found" | sed 's/^/# /'
		status=1
	fi
done
exit $status
