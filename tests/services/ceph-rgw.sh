#!/bin/sh
# A Ceph of one node with its S3 gateway on loopback; needs no root, no systemd and no block device.
#
#   ceph-rgw.sh start DIR        S3 by http and https, on ports that are free; in a DIR that was stopped, the same again
#   ceph-rgw.sh stop DIR         ends it
#   ceph-rgw.sh outage DIR       ends the gateway only; start brings it back with all objects, in well under a second
#
# start writes DIR/env: S3_ENDPOINT, S3_ENDPOINT_TLS, S3_CA, S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION and S3_BUCKET, a
# bucket that it has made. The gateway notes each request in DIR/log/client.rgw.log.
#
#   CEPH_STORE=memstore|bluestore   memstore (the default) starts in two seconds, keeps objects in memory and is empty
#                                   after stop; bluestore keeps them in a sparse file of CEPH_STORE_GB (8) in DIR
set -eu
# shellcheck source=lib.sh source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

STORE=${CEPH_STORE:-memstore}
STORE_GB=${CEPH_STORE_GB:-8}
ACCESS=AKIASCRATCHSCRATCH00
SECRET=scratchSecretScratchSecretScratchSecret0
BUCKET=seawall
# Without these a daemon of Ceph takes long to give memory back.
export TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES=134217728 TCMALLOC_RELEASE_RATE=0

# Throwaway data and no second daemon: no authentication between daemons, no checksums on loopback, one copy.
write_configuration() {
	cat >"$DIR/ceph.conf" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:$HOST:$PORT_MON/0]
public addr = $HOST
cluster addr = $HOST
ms bind msgr1 = false
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms mon client mode = crc
ms crc data = false
auth cluster required = none
auth service required = none
auth client required = none
run dir = $DIR/run
admin socket = $DIR/run/\$name.asok
log file = $DIR/log/\$name.log
crash dir = $DIR/crash
pid file =
log to stderr = false
err to stderr = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
paxos propose interval = 0.05
paxos min wait = 0.01
debug ms = 0/0
debug osd = 0/0
debug bluestore = 0/0
debug bluefs = 0/0
debug bdev = 0/0
debug rocksdb = 0/0
debug objecter = 0/0
debug rgw = 1/1
debug mon = 0/5
debug paxos = 0/0

[mon]
mon data = $DIR/mon
mon allow pool size one = true
mon max pg per osd = 1000
mon tick interval = 1
mon data avail crit = 1
mon data avail warn = 1
auth allow insecure global id reclaim = false

[osd]
osd data = $DIR/osd
osd objectstore = $STORE
memstore device bytes = $((STORE_GB * 1073741824))
bluestore block size = $((STORE_GB * 1073741824))
bluestore fsck on mount = false
osd memory target = 1073741824
osd class load list = *
osd class default list = *

[client.rgw]
rgw data = $DIR/rgw
rgw frontends = beast endpoint=$HOST:$PORT ssl_endpoint=$HOST:$PORT_TLS ssl_certificate=$DIR/tls/server.pem tcp_nodelay=1
rgw thread pool size = 64
rgw dns name = localhost
rgw dynamic resharding = false
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = scratch=$(printf '0123456789abcdef0123456789abcdef' | base64)
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw gc processor max time = 5
END
}

write_environment() {
	cat >"$DIR/env" <<END
S3_ENDPOINT=http://$HOST:$PORT
S3_ENDPOINT_TLS=https://localhost:$PORT_TLS
S3_CA=$DIR/tls/ca.crt
S3_ACCESS_KEY=$ACCESS
S3_SECRET_KEY=$SECRET
S3_REGION=default
S3_BUCKET=$BUCKET
S3_KMS_KEY=scratch
END
}

listens() { /usr/bin/python3 -c "import socket; socket.create_connection(('$HOST', $1), 1)" 2>/dev/null; }
listens_or_ended() { listens "$2" || server_ended "$1"; }
wait_listens() { # wait_listens NAME PORT
	until_s 30 listens_or_ended "$1" "$2" || :
	listens "$2" || die "$1 did not start: $(tail -n 5 "$DIR/log/$1.log")"
}

answers() { curl -sf -o "$DIR/answer" -m 5 "http://$HOST:$PORT/"; }
start_gateway() {
	server_start rgw radosgw -c "$DIR/ceph.conf" -n client.rgw -f
	wait_listens rgw "$PORT"
	until_s 30 answers || die "the gateway listens and does not answer, see $DIR/log/client.rgw.log"
}

# step WHAT COMMAND...: a command that must succeed and whose output is of interest only when it does not.
step() {
	what=$1
	shift
	timeout 120 "$@" >>"$DIR/log/steps.log" 2>&1 || die "$what failed, see $DIR/log/steps.log"
}

make_cluster() {
	for server in rgw osd mon; do rm -rf "${DIR:?}/$server"; done
	mkdir -p "$DIR/log" "$DIR/run" "$DIR/crash" "$DIR/mon" "$DIR/osd" "$DIR/rgw"
	rm -f "$DIR/monmap"
	# shellcheck disable=SC2046 # three numbers
	set -- $(ports_free 3)
	PORT=$1 PORT_TLS=$2 PORT_MON=$3
	tls_make
	write_configuration
	step monmaptool monmaptool --create --addv a "[v2:$HOST:$PORT_MON]" \
		--fsid "$(sed -n 's/^fsid = //p' "$DIR/ceph.conf")" "$DIR/monmap"
	step "ceph-mon --mkfs" ceph-mon -c "$DIR/ceph.conf" -i a --mkfs --monmap "$DIR/monmap"
	server_start mon ceph-mon -c "$DIR/ceph.conf" -i a -f
	wait_listens mon "$PORT_MON"
	uuid=$(cat /proc/sys/kernel/random/uuid)
	step "ceph osd new" ceph -c "$DIR/ceph.conf" osd new "$uuid"
	step "ceph-osd --mkfs" ceph-osd -c "$DIR/ceph.conf" -i 0 --mkfs --osd-uuid "$uuid"
	server_start osd ceph-osd -c "$DIR/ceph.conf" -i 0 -f
	# This makes the pools, and waits until the OSD serves them.
	step "making a user" radosgw-admin -c "$DIR/ceph.conf" -n client.rgw user create --uid=scratch \
		--display-name=scratch --access-key="$ACCESS" --secret-key="$SECRET"
	start_gateway
	write_environment
	step "making a bucket" /usr/bin/python3 "$(dirname "$0")/s3.py" "$DIR/env" PUT "/$BUCKET"
	echo "$STORE $PORT $PORT_TLS $PORT_MON" >"$DIR/made"
}

start() {
	for command in ceph-mon ceph-osd radosgw; do need "$command" "$command"; done
	need radosgw-admin ceph-common
	need openssl openssl
	need curl curl
	case $STORE in memstore | bluestore) ;; *) die "CEPH_STORE must be memstore or bluestore" ;; esac
	if server_runs rgw && server_runs osd && server_runs mon; then
		say "already running, see $DIR/env"
		return 0
	fi
	# A gateway without the others takes requests and answers none.
	if ! server_runs mon || ! server_runs osd; then stop; fi
	if [ -s "$DIR/made" ]; then
		read -r STORE PORT PORT_TLS PORT_MON <"$DIR/made"
	fi
	if server_runs mon && server_runs osd; then
		start_gateway
	elif [ -s "$DIR/made" ] && [ "$STORE" = bluestore ]; then
		server_start mon ceph-mon -c "$DIR/ceph.conf" -i a -f
		wait_listens mon "$PORT_MON"
		server_start osd ceph-osd -c "$DIR/ceph.conf" -i 0 -f
		start_gateway
	else
		make_cluster
	fi
	say "S3 on http://$HOST:$PORT and https://localhost:$PORT_TLS ($STORE), see $DIR/env"
}

stop() {
	server_stop rgw
	server_stop osd TERM 30
	server_stop mon
}

[ $# = 2 ] || usage
DIR=$(realpath -m "$2")
mkdir -p "$DIR"
case $1 in
start) start ;;
stop) stop ;;
outage) server_stop rgw ;;
*) usage ;;
esac
