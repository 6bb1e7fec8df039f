# shellcheck shell=sh
# Helpers that the scripts of this folder share; sourced, never run.
#
# A server is started detached, writes to DIR/log/NAME.log and is recorded in DIR/run/NAME.pid as "PID STARTTIME", so
# that stop never signals a number that the kernel has since given to another process.

set -eu
PROGRAM=$(basename "$0")
export HOST=127.0.0.1
STARTED="" # by this run, so that a start that failed leaves nothing behind

say() { echo "$PROGRAM: $*"; }
die() {
	echo "$PROGRAM: $*" >&2
	for started in $STARTED; do server_stop "$started" KILL 5; done
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

# starttime PID: field 22 of /proc/PID/stat, counted behind the ")" of the name; nothing for a zombie, or no process.
starttime() {
	sed -n -e 's/.*) //' -e '/^[ZX]/!p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# server_runs NAME: whether the recorded process still runs.
server_runs() {
	[ -s "$DIR/run/$1.pid" ] || return 1
	read -r pid started_at <"$DIR/run/$1.pid" || return 1
	[ -n "$started_at" ] && [ "$(starttime "$pid")" = "$started_at" ]
}

# server_start NAME COMMAND...
server_start() {
	server=$1
	shift
	mkdir -p "$DIR/run" "$DIR/log"
	setsid "$@" </dev/null >>"$DIR/log/$server.log" 2>&1 &
	echo "$! $(starttime $!)" >"$DIR/run/$server.pid"
	STARTED="$server $STARTED"
}

# until_s SECONDS COMMAND...: tries a command until it succeeds; fails when the time is over.
until_s() {
	tries=$(($1 * 20))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.05
	done
}

server_ended() { ! server_runs "$1"; }

# server_stop NAME [SIGNAL [SECONDS]]: KILL when it does not end in time.
server_stop() {
	if server_runs "$1"; then
		kill "-${2:-TERM}" "$pid" 2>/dev/null || :
		if ! until_s "${3:-20}" server_ended "$1"; then
			kill -KILL "$pid" 2>/dev/null || :
			until_s 5 server_ended "$1" || :
		fi
	fi
	rm -f "$DIR/run/$1.pid"
}

# ports_free N: as many port numbers of HOST that nobody listens on, below those that the kernel gives to clients.
ports_free() {
	/usr/bin/python3 - "$1" <<'END'
import random, socket, sys
found = []
while len(found) < int(sys.argv[1]):
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", random.randrange(10000, 32000)))
    except OSError:
        continue
    found.append(listener)
print(*(listener.getsockname()[1] for listener in found))
END
}

# tls_make: DIR/tls/ca.crt, and server.pem with certificate and key, for the names localhost and 127.0.0.1.
tls_make() {
	tls=$DIR/tls
	[ ! -s "$tls/server.pem" ] || return 0
	mkdir -p "$tls"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=scratch CA" \
		-keyout "$tls/ca.key" -out "$tls/ca.crt" -addext keyUsage=critical,keyCertSign,cRLSign \
		2>"$DIR/log/tls.log" || die "openssl: no CA, see $DIR/log/tls.log"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" \
		-keyout "$tls/server.key" -out "$tls/server.csr" 2>>"$DIR/log/tls.log" || die "openssl: no key"
	printf 'subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$tls/extensions"
	openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" -CAcreateserial -days 30 \
		-extfile "$tls/extensions" -out "$tls/server.crt" 2>>"$DIR/log/tls.log" || die "openssl: no certificate"
	cat "$tls/server.crt" "$tls/server.key" >"$tls/server.pem"
}
