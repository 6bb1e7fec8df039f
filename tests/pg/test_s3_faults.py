"""Every fault of a store, through the proxy before a real S3: nothing is lost, nothing wrong is believed, nothing opens short."""

import pytest
from seawalltest import faults, wait_for
from seawalltest.s3 import at, seawall_in
from test_fetch import UNKNOWN, Past, found

pytestmark = pytest.mark.s3

AFTER = 100  # bytes of a body: the objects here are small
QUICK = {
    "refused": ("refuse", {}),
    "403": ("status", {"code": 403, "error": "AccessDenied"}),
    "404 for the bucket": ("status", {"code": 404, "error": "NoSuchBucket"}),
    "404 without a word": ("status", {"code": 404, "error": ""}),
    "500": ("status", {"code": 500, "error": "InternalError"}),
    "503": ("status", {"code": 503, "error": "SlowDown", "headers": {"Retry-After": "1"}}),
    "503 at once": ("status", {"code": 503, "error": "SlowDown", "drain": False}),
    "200 with an error": ("status", {"code": 200, "error": "InternalError"}),
    "reset": ("reset", {"after": AFTER}),
    "cut off": ("truncate", {"after": AFTER}),
    "a flipped byte": ("corrupt", {"after": AFTER}),
    "a lost answer": ("lost_reply", {}),
}
STALLED = {"a stall": ("stall", {"after": AFTER, "seconds": 25})}
FINAL = {"403", "404 for the bucket"}  # another try of the same would be in vain; all others are survived by themselves
DAMAGED = {"a flipped byte", "200 with an error"}  # of an object that is read: said, and not tried again


def places(made, rgw, proxy):
    """What makes the configuration for a cluster whose store is behind the proxy."""
    return lambda cluster: seawall_in(made, cluster, rgw, at(proxy))


def test_d3_every_fault_of_a_push_is_survived_and_what_is_stored_is_what_postgresql_wrote(made, rgw, rgw_proxy):
    past = Past(made, seawall=places(made, rgw, rgw_proxy))
    past.cluster.configure(wal_keep_size="100MB")
    for name, (kind, options) in {**QUICK, **STALLED}.items():
        failed = past.cluster.one("SELECT failed_count FROM pg_stat_archiver")
        fault = rgw_proxy.add(kind, method="PUT", path="/wal/", **options)
        past.write()
        assert fault.hits == 1, name
        more = past.cluster.one("SELECT failed_count FROM pg_stat_archiver") - failed
        assert more == (name in FINAL), f"{name}: PostgreSQL was told of {more} failures"
    restored = past.directory("restored")
    for name in past.names:
        status, said, path = past.fetch(restored, name)
        assert status == 0, said
        assert path.read_bytes() == (past.cluster.data / "pg_wal" / name).read_bytes(), name


def test_every_fault_of_a_fetch_gives_the_file_or_no_file_and_is_never_the_end(made, rgw, rgw_proxy):
    past = Past(made, seawall=places(made, rgw, rgw_proxy)).write(2)
    past.wall.stop()
    original = (past.cluster.data / "pg_wal" / past.names[0]).read_bytes()
    restored = past.directory("restored")
    for name, (kind, options) in {**QUICK, **STALLED}.items():
        fault = rgw_proxy.add(kind, method="GET", path=f"/wal/.*{past.names[0]}", dir="down", **options)
        status, said, path = past.fetch(restored, past.names[0], served=False)
        assert fault.hits == 1, name
        if status == 0:
            assert path.read_bytes() == original, name
        else:
            assert status == UNKNOWN and not path.exists(), f"{name}: {status}\n{said}"
            assert name in FINAL | DAMAGED, f"{name}\n{said}"
            assert rgw.name in said or "local" in said, said
        status, said, path = past.fetch(restored, past.names[0], served=False)
        assert status == 0 and path.read_bytes() == original, f"after {name}\n{said}"


def test_an_outage_under_load_stops_nothing_and_is_filled_up_afterwards(made, rgw, rgw_proxy):
    past = Past(made, seawall=places(made, rgw, rgw_proxy)).write(2)
    with rgw_proxy.outage():
        for _ in range(20):
            past.count += 1
            past.cluster.sql("INSERT INTO t VALUES (%s)", past.count)
            past.names.append(past.cluster.switch_wal())
        wait_for(lambda: rgw_proxy.faults[0].hits > 5, "the store to be missed")
        assert past.names[-1] in past.cluster.pending()
    past.wall.wait_archived(past.names[-1], deadline_s=120)
    stored = {key.rsplit("/", 1)[-1][:24] for key in rgw.keys("wall/main/")}
    assert stored >= set(past.names)


@pytest.mark.parametrize("served", [True, False])
def test_d01_an_outage_at_every_segment_boundary_of_a_recovery_never_ends_it(made, rgw, rgw_proxy, served):
    """restore_command waits at each boundary until the store has gone away; it comes back when somebody has missed it."""
    past = Past(made, seawall=places(made, rgw, rgw_proxy)).write(8)
    if not served:
        past.wall.stop()
    flag = made.folder / "boundary"
    wait = f"touch {flag} && while [ -e {flag} ]; do sleep 0.02; done"
    restored = past.directory("restored", restore_command=f"{wait}; {past.hook(served)}")
    restored.start(until=())
    times = 0

    def over():
        return not restored.pid() or restored.state() == "ready" and not restored.in_recovery()

    while not over():
        wait_for(lambda: flag.exists() or over(), "the next question")
        if not flag.exists():
            break
        missed = len(rgw_proxy.faults)
        with rgw_proxy.outage():
            refusal = rgw_proxy.faults[missed]
            flag.unlink()
            wait_for(lambda: refusal.hits > 0 or flag.exists() or not faults.hooks(restored) or over(), "the outage to be met")
        times += 1
    assert restored.pid(), restored.log_tail()
    assert times >= len(past.names)
    assert found(restored) == past.rows()
