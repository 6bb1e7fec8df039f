"""The instruments, before they judge anybody: clusters of every version do what they are told, and the ledger finds
a missing row, a row too many and a damaged one in restores made with cp alone."""

import dataclasses

import pytest
from seawalltest import Target, breakers, checks, faults, reference, wait_for
from seawalltest.ledger import Ledger, lsn_bytes

MAJORS = [15, 17]


@pytest.fixture(params=MAJORS)
def cluster(made, request):
    return made.cluster(request.param).start()


@pytest.mark.parametrize("major", [13, 14, 15, 16, 17, 18])
def test_every_version_starts_crashes_and_promotes(made, major):
    cluster = made.cluster(major, segment_mb=1, checksums=False).start()
    assert cluster.one("SHOW server_version").startswith(str(major))
    assert cluster.one("SHOW wal_segment_size") == "1MB"
    assert cluster.one("SHOW data_checksums") == "off"
    cluster.sql("CREATE TABLE t AS SELECT 1 AS a")
    cluster.kill()
    assert cluster.state() is None
    assert cluster.start().one("SELECT a FROM t") == 1
    cluster.stop("immediate")
    (cluster.data / "standby.signal").touch()
    cluster.start()
    assert cluster.in_recovery()
    cluster.promote()
    cluster.wait_primary()
    assert cluster.timeline() == 2


@pytest.mark.needs_root
def test_as_root_a_cluster_belongs_to_postgres(made):
    cluster = made.cluster().start()
    assert cluster.data.owner() == "postgres"
    assert cluster.one("SELECT current_user") == "postgres"


def test_a_server_that_cannot_start_is_an_error_that_shows_its_log(made):
    cluster = made.cluster(checksums=True)
    with pytest.raises(AssertionError, match="max_connections"):
        cluster.start(max_connections=-1)


def test_settings_and_archiving(made, scratch):
    cluster = made.cluster().start()
    assert cluster.one("SHOW data_checksums") == "on"
    cluster.configure(archive_command="false", work_mem="7MB")
    assert cluster.one("SHOW work_mem") == "7MB"
    cluster.sql("CREATE TABLE t AS SELECT 1")
    segment = cluster.switch_wal()
    wait_for(lambda: segment in cluster.pending(), "the segment to wait")
    with pytest.raises(AssertionError, match="to be archived"):
        cluster.wait_archived(segment, deadline_s=0.2)
    reference.archive(cluster, scratch / "wal")
    assert cluster.wait_archived(segment) == segment
    assert (scratch / "wal" / segment).stat().st_size == 16 << 20


def test_faults_reach_the_process_they_name(made):
    cluster = made.cluster().start()
    cluster.configure(archive_command="tail -f /dev/null")
    cluster.switch_wal()
    (hook,) = wait_for(lambda: faults.hooks(cluster), "the hook")
    faults.kill(hook)
    wait_for(lambda: hook not in faults.hooks(cluster), "the end of the hook")
    (writer,) = faults.backends(cluster, "walwriter")
    faults.freeze(writer)
    faults.thaw(writer)
    faults.kill(writer)
    wait_for(lambda: faults.backends(cluster, "walwriter") not in ([], [writer]), "another WAL writer")
    cluster.wait_primary()
    with pytest.raises(AssertionError, match="waited 0.1 s for never"):
        wait_for(lambda: False, "never", 0.1)


def test_the_ledger_agrees_with_the_cluster_it_wrote_even_after_a_crash(cluster):
    ledger = Ledger(cluster).prepare()
    with ledger.writing(breakers=breakers.ALL):
        ledger.wait_commits(40)
        cluster.kill()
        cluster.start()
        ledger.wait_commits(40)
        wait_for(lambda: ledger.notes or len(ledger.done) == len(breakers.ALL) + 1, "each breaker to end once", 120)
    ledger.settle()
    ledger.check(cluster, Target("latest"))
    checks.amcheck(cluster)


def test_the_ledger_finds_what_is_wrong(made):
    cluster = made.cluster().start()
    ledger = Ledger(cluster).prepare()
    with ledger.writing():
        ledger.wait_commits(20)
        mark = ledger.mark("quiet")
        ledger.wait_commits(20)
    for target in ledger.targets(mark):
        with pytest.raises(AssertionError, match="too many"):
            ledger.check(cluster, target)
    for damage, message in (("UPDATE ledger SET filler = filler || 'x' WHERE n = %s", "damaged"),
                            ("UPDATE ledger_last SET n = n - 1 WHERE writer = (SELECT writer FROM ledger WHERE n = %s)",
                             "do not fit"), ("DELETE FROM ledger WHERE n = %s", r"missing \[")):
        cluster.sql(damage, max(ledger.entries))
        with pytest.raises(AssertionError, match=message):
            ledger.check(cluster, Target("latest"))
        cluster.sql("UPDATE ledger SET filler = replace(filler, 'x', '')")


def test_amcheck_finds_a_damaged_page(made):
    cluster = made.cluster(checksums=False).start()
    Ledger(cluster).prepare()
    cluster.sql("INSERT INTO ledger SELECT g, 1, '' FROM generate_series(1, 1000) g; CHECKPOINT")
    path = cluster.data / cluster.one("SELECT pg_relation_filepath('ledger_pkey')")
    checks.amcheck(cluster)
    cluster.stop()
    page = bytearray(path.read_bytes())
    page[8192 + 4096:8192 + 8000] = bytes(3904)
    path.write_bytes(page)
    cluster.start()
    with pytest.raises(AssertionError, match="pg_amcheck"):
        checks.amcheck(cluster)


def test_the_ledger_judges_restores_made_with_cp(cluster, made, scratch):
    """Every kind of target on a history with a crash; then the same restore judged by a ledger that is off by one."""
    reference.archive(cluster, scratch / "wal")
    ledger = Ledger(cluster).prepare()
    reference.backup(cluster, scratch / "copy")
    with ledger.writing(breakers=breakers.ORDINARY):
        ledger.wait_commits(40)
        mark = ledger.mark("quiet")
        ledger.wait_commits(40)
        cluster.kill()
        cluster.start()
        ledger.wait_commits(20)
    ledger.settle()
    end = cluster.insert_lsn()
    cluster.wait_archived()
    for target in [*ledger.targets(mark), ledger.random_target("time"), ledger.random_target("lsn"),
                   ledger.random_target("xid"), Target("latest")]:
        restored = made.add(reference.restore(scratch, scratch / "copy", target, f"cp {scratch}/wal/%f %p", cluster.major))
        restored.start().wait_primary()
        ledger.check(restored, target, end)
        restored.stop()
    restored.start()
    checks.amcheck(restored)
    last = ledger.newest()
    ledger.entries[ledger.last_n + 1] = dataclasses.replace(last, n=ledger.last_n + 1)
    with pytest.raises(AssertionError, match="missing"):
        ledger.check(restored, Target("latest"), end)
    del ledger.entries[ledger.last_n + 1], ledger.entries[last.n]
    with pytest.raises(AssertionError, match="too many"):
        ledger.check(restored, Target("latest"), end)


def test_a_lost_answer_and_the_last_commit_of_all_leave_no_doubt_about_the_others(made, scratch):
    """The commit whose answer was lost is nobody's proof; and PostgreSQL reaches a time only when one after it comes."""
    cluster = made.cluster().start()
    reference.archive(cluster, scratch / "wal")
    ledger = Ledger(cluster).prepare()
    reference.backup(cluster, scratch / "copy")
    with ledger.writing():
        ledger.wait_commits(10)
    lost, unflushed = ledger.number(), lsn_bytes(cluster.insert_lsn())
    xid = cluster.one("WITH a AS (INSERT INTO ledger VALUES (%s, 99, '')), b AS (INSERT INTO ledger_last "
                      "VALUES (99, %s, 1)) SELECT pg_current_xact_id()::text", lost, lost)
    ledger.pending[lost] = (int(xid), unflushed)
    ledger.settle()
    assert ledger.entries[lost].unsure and not ledger.newest().unsure
    assert all(entry.lsn_after <= unflushed for entry in ledger.entries.values() if entry.n != lost)
    cluster.wait_archived()
    for last in (ledger.newest(), ledger.entries[lost]):
        target = Target("time", last.time)
        restored = made.add(reference.restore(scratch, scratch / "copy", target, f"cp {scratch}/wal/%f %p", 15)).start()
        restored.wait_primary()
        ledger.check(restored, target)
        restored.stop()


def test_a_branch_goes_on_with_the_rows_of_its_target(made, scratch):
    cluster = made.cluster().start()
    reference.archive(cluster, scratch / "wal")
    ledger = Ledger(cluster).prepare()
    reference.backup(cluster, scratch / "copy")
    with ledger.writing():
        ledger.wait_commits(20)
        mark = ledger.mark("quiet")
        ledger.wait_commits(20)
    cluster.wait_archived()
    target = Target("name", "quiet", mark=mark)
    restored = made.add(reference.restore(scratch, scratch / "copy", target, f"cp {scratch}/wal/%f %p", 15)).start()
    restored.wait_primary()
    branch = ledger.branch(restored)
    assert set(branch.entries) == mark.rows
    with branch.writing():
        branch.wait_commits(20)
    branch.check(restored, Target("latest"))
    with pytest.raises(AssertionError, match="missing .* too many"):
        ledger.check(restored, Target("latest"))
