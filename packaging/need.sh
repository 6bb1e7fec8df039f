# shellcheck shell=sh
# What Seawall needs from Debian 12, and how to get it; sourced by packaging/quickstart.sh and tests/run.sh.

PACKAGES_BUILD="gcc make pkg-config libev-dev libcurl4-openssl-dev libpq-dev libssl-dev liblz4-dev libzstd-dev
libxxhash-dev libmicrohttpd-dev libjansson-dev"
PACKAGES_POSTGRES="postgresql-15 postgresql-client-15 util-linux tzdata"
# A scratch S3, for the tests and quickstart.sh --s3: 70 MB to load, 20 s to unpack, 260 MB on disk.
PACKAGES_S3="ceph-mon ceph-osd radosgw ceph-common openssl curl python3"
export PACKAGES_BUILD PACKAGES_POSTGRES PACKAGES_S3

# packages_missing PACKAGE...: prints those that are not installed.
packages_missing() {
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

# as_root COMMAND...: runs it as root, directly or through sudo; status 125 when neither is possible.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
		sudo "$@"
	else
		return 125
	fi
}

# packages_need PACKAGE...: installs what is missing, or prints the line to type and ends the script with status 1.
packages_need() {
	missing=$(packages_missing "$@" | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	echo "missing Debian packages: $missing"
	install="apt-get install -y --no-install-recommends $missing"
	if ! as_root true; then
		echo "this needs root; type: sudo apt-get update && sudo $install" >&2
		exit 1
	fi
	echo "installing them: $install"
	# shellcheck disable=SC2086 # one word for each package
	if ! { as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive $install; } </dev/null; then
		echo "could not install them; type: sudo apt-get update && sudo $install" >&2
		exit 1
	fi
}
