#!/bin/sh
# The story that quickstart.sh tells: story.sh FOLDER KEEP PLACE. The folder is new and has the programs in bin/.
set -eu
WORK=$1
KEEP=$2
PLACE=$3 # of the repository: file or s3
DATA=$WORK/main
RESTORED=$WORK/restored
export PATH="$WORK/bin:/usr/lib/postgresql/15/bin:$PATH"
export SEAWALL_CONFIG="$WORK/seawall.conf" PGHOST="$WORK" PGPORT=5432 PGDATABASE=postgres PGUSER=dba PGTZ=UTC
RESTORED_PORT=5433
SERVER=""

step() { printf '\n== %s\n' "$*"; }
# run COMMAND...: shows a command as a person would type it, quoted where it must be, and runs it.
run() {
	typed=""
	for word in "$@"; do
		case $word in
		'' | *[!a-zA-Z0-9_./:=%@+,-]*) typed="$typed '$(printf %s "$word" | sed "s/'/'\\\\''/g")'" ;;
		*) typed="$typed $word" ;;
		esac
	done
	echo "\$$typed"
	"$@"
}
value() { psql -XAtq -c "$1"; }

# until_true WHAT COMMAND...: waits for a condition, at most 60 seconds.
until_true() {
	what=$1
	end=$(($(date +%s) + 60))
	shift
	until "$@" >waiting.out 2>&1; do
		if [ "$(date +%s)" -ge "$end" ]; then
			echo "waited 60 s for $what" >&2
			return 1
		fi
		sleep 0.1
	done
}

server_answers() {
	if ! kill -0 "$SERVER" 2>/dev/null; then
		echo "the server ended" >&2
		exit 1
	fi
	seawall status
}

clean() {
	status=$?
	trap - EXIT
	if [ "$status" != 0 ]; then
		echo "the quick start failed (exit status $status); the last lines of the logs:" >&2
		tail -n 15 "$WORK"/*.log "$RESTORED"/*.log >&2 2>/dev/null || true
	elif [ "$KEEP" = yes ]; then
		keep
		exit 0
	fi
	for data in "$DATA" "$RESTORED"; do
		pg_ctl stop -D "$data" -m immediate -s >/dev/null 2>&1 || true
	done
	[ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null || true
	[ "$PLACE" = file ] || sh "$WORK/bin/services/ceph-rgw.sh" stop "$WORK/ceph"
	wait
	cd /
	rm -rf "$WORK"
	exit "$status"
}

keep() {
	cat <<END

It all goes on running in $WORK, as the user $(id -un). To reach it:
  export PATH=$WORK/bin:\$PATH SEAWALL_CONFIG=$SEAWALL_CONFIG
  seawall status
  psql -h $WORK -p $PGPORT -U dba postgres            the cluster that lost its table
  psql -h $WORK -p $RESTORED_PORT -U dba postgres            the restored one
To end it:
  kill $SERVER; pg_ctl stop -D $DATA; pg_ctl stop -D $RESTORED; rm -r $WORK    (pg_ctl is in /usr/lib/postgresql/15/bin)
END
	[ "$PLACE" = file ] || echo "and before the rm: sh $WORK/bin/services/ceph-rgw.sh stop $WORK/ceph"
}

trap clean EXIT
trap 'exit 1' HUP INT TERM
umask 077
cd "$WORK"

step "A PostgreSQL cluster, in $DATA"
run initdb -D "$DATA" -U dba -A trust -E UTF8 --data-checksums -N >initdb.out
head -n 1 initdb.out

repository_settings() {
	if [ "$PLACE" = file ]; then
		echo "url = file://$WORK/repository"
		return
	fi
	cat <<END
url = s3://$S3_BUCKET/quickstart
endpoint = $S3_ENDPOINT_TLS
region = $S3_REGION
ca_file = $S3_CA
access_key = $S3_ACCESS_KEY
secret_key_file = $WORK/s3.secret
END
}

if [ "$PLACE" = s3 ]; then
	step "An S3: Ceph, in $WORK/ceph"
	run sh "$WORK/bin/services/ceph-rgw.sh" start "$WORK/ceph"
	# shellcheck source=/dev/null
	. "$WORK/ceph/env"
	echo "$S3_SECRET_KEY" >s3.secret
fi

step "Seawall for it"
cat >"$SEAWALL_CONFIG" <<END
[server]
socket = $WORK/seawall.sock
state = $WORK/state

[repository local]
$(repository_settings)

[cluster main]
pgdata = $DATA
connect = host=$WORK port=$PGPORT user=dba dbname=postgres
repositories = local
END
echo "in $SEAWALL_CONFIG:"
sed 's/^/    /' "$SEAWALL_CONFIG"
echo "\$ export SEAWALL_CONFIG=$SEAWALL_CONFIG"
run seawall init
echo "\$ seawall serve &"
seawall serve >serve.log 2>&1 &
SERVER=$!
until_true "the server" server_answers

step "PostgreSQL archives"
cat >>"$DATA/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$WORK'
archive_mode = on
archive_command = '$WORK/bin/seawall-wal --config $SEAWALL_CONFIG push %p'
END
echo "added to postgresql.conf:"
tail -n 4 "$DATA/postgresql.conf" | sed 's/^/    /'
run pg_ctl start -D "$DATA" -l postgres.log -w -s
run seawall check

step "A backup, while the cluster is in use"
run seawall backup
run seawall list

step "Work goes on, and then somebody drops the wrong table"
run psql -Xq -c "CREATE TABLE orders AS SELECT n, md5(n::text) AS item, now() AS ordered FROM generate_series(1, 20000) n"
psql -XAtq -c "COPY (SELECT * FROM orders ORDER BY n) TO STDOUT" >orders.before
MOMENT=$(value "SELECT clock_timestamp()")
echo "a moment at which all was well: $MOMENT"
run psql -Xq -c "DROP TABLE orders"
run psql -Xq -c "CREATE TABLE later AS SELECT 1 AS a"
LAST=$(value "SELECT pg_walfile_name(pg_switch_wal())")
until_true "$LAST to be archived" test -e "$DATA/pg_wal/archive_status/$LAST.done"
run seawall status

step "The table comes back"
run seawall restore main --to "$MOMENT" --pgdata "$RESTORED" --port "$RESTORED_PORT" --start
run psql -X -p "$RESTORED_PORT" -c "SELECT count(*), min(n), max(n) FROM orders"

step "Is it exactly what it was?"
PGPORT=$RESTORED_PORT psql -XAtq -c "COPY (SELECT * FROM orders ORDER BY n) TO STDOUT" >orders.after
cmp orders.before orders.after
[ "$(wc -l <orders.after)" = 20000 ]
[ "$(PGPORT=$RESTORED_PORT value "SELECT to_regclass('later') IS NULL AND NOT pg_is_in_recovery()")" = t ]
[ "$(value "SELECT to_regclass('orders') IS NULL")" = t ]
echo "yes: 20000 rows, each the same as before; nothing of what came after the moment is there"
