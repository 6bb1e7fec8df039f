"""Seawall with its repository in a real S3 (Ceph): what a day brings, and what is said when the store refuses."""

import concurrent.futures
import http.client
import signal
import time

import pytest
from seawalltest import Ledger, breakers, checks, wait_for
from seawalltest.s3 import at, seawall_in

pytestmark = pytest.mark.s3

BODY = bytes(range(256)) * 1000
HOW_FAR = 1000
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def asked(rgw, proxy, method, body=b"", **headers):
    """What a client without any patience gets through the proxy."""
    client = rgw.store.through(f"http://127.0.0.1:{proxy.port}")
    try:
        answer = client.ask(method, f"/{rgw.name}/object", body, **headers)
    except (ConnectionError, http.client.HTTPException) as error:
        return type(error).__name__
    return answer.status, answer.body


def test_the_store_keeps_objects_honours_create_only_and_is_gone_in_an_outage(rgw, rgw_proxy):
    assert asked(rgw, rgw_proxy, "PUT", BODY, If_None_Match="*") == (200, b"")
    assert asked(rgw, rgw_proxy, "PUT", b"other", If_None_Match="*")[0] == 412
    with rgw_proxy.outage():
        assert asked(rgw, rgw_proxy, "GET") == "ConnectionResetError"
    assert asked(rgw, rgw_proxy, "GET") == (200, BODY) and rgw.keys() == ["object"]
    assert [each.status for each in rgw_proxy.requests()] == [200, 412, 200]


@pytest.mark.parametrize("kind, options, answer, kept", [
    ("refuse", {}, "ConnectionResetError", False),
    ("reset", {"after": HOW_FAR}, "ConnectionResetError", False),
    ("truncate", {"after": HOW_FAR}, "RemoteDisconnected", False),
    ("corrupt", {"after": HOW_FAR}, 400, False),
    ("stall", {"after": HOW_FAR, "seconds": 0.1}, 200, True),
    ("throttle", {"rate": 10_000_000}, 200, True),
    ("status", {"code": 500}, 500, False),
    ("status", {"code": 200, "error": "InternalError"}, 200, False),
    ("lost_reply", {}, "ConnectionResetError", True),
])
def test_the_proxy_spoils_an_upload(rgw, rgw_proxy, kind, options, answer, kept):
    fault = rgw_proxy.add(kind, method="PUT", **options)
    got = asked(rgw, rgw_proxy, "PUT", BODY)
    assert (got if isinstance(got, str) else got[0]) == answer
    assert fault.hits == 1 and rgw.keys() == (["object"] if kept else [])


@pytest.mark.parametrize("kind, answer", [("reset", "ConnectionResetError"), ("truncate", "IncompleteRead"), ("corrupt", 1),
                                          ("stall", 0)])
def test_the_proxy_spoils_a_download(rgw, rgw_proxy, kind, answer):
    """The answer: what the client was told, or how many bytes were wrong."""
    rgw.put("object", BODY)
    rgw_proxy.add(kind, method="GET", dir="down", after=HOW_FAR, seconds=0.1)
    got = asked(rgw, rgw_proxy, "GET")
    assert (got if isinstance(got, str) else sum(a != b for a, b in zip(got[1], BODY, strict=True))) == answer
    assert asked(rgw, rgw_proxy, "GET") == (200, BODY)


# -- Seawall --


def archiving(made, rgw, endpoint=None, **options):
    """A small cluster that archives into the bucket."""
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw, endpoint, **options)
    wall.init()
    wall.serve()
    cluster.start()
    wall.archive()
    cluster.sql("CREATE TABLE t (k int)")
    wall.wait_archived()
    return cluster, wall


def write(cluster, wall, segments):
    """Each in a segment of its own, archived; returns their names."""
    names = []
    for k in range(segments):
        cluster.sql("INSERT INTO t VALUES (%s)", k)
        names.append(cluster.switch_wal())
        wall.wait_archived(names[-1])
    return names


@pytest.mark.parametrize("protocol", ["http", "https"])
def test_a_dropped_table_comes_back_from_s3(made, rgw, protocol):
    endpoint = rgw.store.endpoint if protocol == "http" else rgw.store.endpoint_tls
    cluster = made.cluster(segment_mb=1).start()
    wall = seawall_in(made, cluster, rgw, endpoint)
    wall.init()
    wall.serve()
    wall.archive()
    ledger = Ledger(cluster).prepare()
    with ledger.writing(breakers=breakers.ORDINARY):
        ledger.wait_commits(20)
        wall.run("backup")
        ledger.wait_commits(20)
        mark = ledger.mark("quiet")
        ledger.wait_commits(20)
    wall.wait_archived()
    assert rgw.keys("wall/seawall.json") == ["wall/seawall.json"]
    assert all(key.startswith("wall/") for key in rgw.keys())
    target = next(target for target in ledger.targets(mark) if target.kind == "time")
    restored, _ = wall.restore(target, "restored", "--start")
    made.add(restored)
    restored.wait_primary()
    ledger.check(restored, target)
    checks.amcheck(restored)


def test_a_certificate_of_an_unknown_authority_is_refused(made, rgw):
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw, rgw.store.endpoint_tls)
    del wall.sections["repository local"]["ca_file"]
    wall.write_config()
    said = wall.run("init", status=None)
    assert said.status != 0 and "certificate" in said.err, said


def test_a_person_hears_that_nobody_answers_and_does_not_wait_for_a_minute(made, rgw, rgw_proxy):
    """The proxy's port, with nobody behind it; init does not wait for it twice, and a dry run promises nothing."""
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw, at(rgw_proxy))
    commands = ["list"], ["init"], ["init", "--dry-run"]
    with rgw_proxy.outage(), concurrent.futures.ThreadPoolExecutor(len(commands)) as pool:
        results = list(pool.map(lambda command: wall.run(*command, status=None), commands))
    for said in results:
        assert said.status == 4 and "gave up after" in said.err and "attempts in 12000 ms" in said.err and not said.out, said
        trying = [line for line in said.err.splitlines() if "still trying to read object" in line]
        assert len(trying) in (2, 3) and all(words in line for line in trying for words in ("try ", '"local"', "no answer from")), said


def test_an_archived_segment_is_one_put_and_nothing_else(made, rgw, rgw_proxy):
    cluster, wall = archiving(made, rgw, at(rgw_proxy))
    write(cluster, wall, 1)
    rgw_proxy.seen.clear()
    names = write(cluster, wall, 10)
    # the index lists what is new now and then, and writes pieces of its own
    about = [each for each in rgw_proxy.requests() if "/wal/" in each.path and "list-type=" not in each.path]
    assert [each.method for each in about] == ["PUT"] * len(names), rgw_proxy.seen
    assert [name in each.path for name, each in zip(names, about)] == [True] * len(names)


def test_a_limit_of_the_upload_is_taken_over_by_a_running_server(made, rgw):
    cluster, wall = archiving(made, rgw)
    wall.sections["repository local"].update(upload_limit="5MB", download_limit="10MB")
    wall.write_config()
    wall.server.send_signal(signal.SIGHUP)
    wait_for(lambda: '"download_limit" in section [repository local] changed' in wall.log_tail(), "the reload", 20)
    assert '"upload_limit" in section [repository local] changed from "nothing" to "5MB"\n' in wall.log_tail()
    cluster.sql("CREATE UNLOGGED TABLE noise AS SELECT decode(string_agg(md5(n::text), ''), 'hex') b FROM generate_series(1, 400000) n")
    begun = time.monotonic()
    cluster.sql("SELECT pg_logical_emit_message(false, 'x', b) FROM noise")
    wall.wait_archived(cluster.switch_wal())
    # 6.4 MB that do not compress, less what may go at once
    assert time.monotonic() - begun > 1


WRONG = {
    "key": ({"secret": "wrongSecret"}, {}, ["403", "SignatureDoesNotMatch", "The key is wrong", '"secret_key_file"']),
    "identity": ({"access_key": "AKIANOBODY"}, {}, ["403", "InvalidAccessKeyId", "The key is wrong", '"access_key"']),
    "bucket": ({"url": "s3://no-such-bucket/wall"}, {}, ["404", "NoSuchBucket", "Make the bucket"]),
    "clock": ({}, {"LD_PRELOAD": FAKETIME, "FAKETIME": "-3600s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
              ["403", "RequestTimeTooSkewed", "clock", "behind the store's"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_probable_cause(made, rgw, what):
    """At init, at check, and when PostgreSQL archives, through a server that was started with it."""
    options, environment, words = WRONG[what]
    cluster, right = archiving(made, rgw)
    right.stop()
    wrong = seawall_in(made, cluster, rgw, folder="wrong", **options)
    request = [rgw.store.endpoint, "request id"]
    for command in (["init"], ["check"]):
        said = wrong.run(*command, status=None, **environment)
        text = said.out + said.err
        assert said.status != 0 and all(word in text for word in words + request), f"{words}\n{said}"
    name = cluster.switch_wal()
    said = wrong.run("wal", "push", cluster.data / "pg_wal" / name, status=None, **environment)
    assert said.status != 0 and all(word in said.err for word in [name, "local"] + words + request), f"{words}\n{said}"


def test_a_region_that_is_written_and_wrong_is_named_with_the_right_one_and_else_the_stores_is_used(made, rgw, rgw_proxy):
    cluster = made.cluster(segment_mb=1)
    wall = seawall_in(made, cluster, rgw, at(rgw_proxy))
    rgw_proxy.add("status", times=-1, code=400, error="AuthorizationHeaderMalformed", message="the region is wrong")
    said = wall.run("init", status=None)
    assert said.status != 0 and '"region" is probably wrong' in said.err and "400" in said.err, said
    rgw_proxy.clear()
    rgw_proxy.add("status", times=-1, code=400, error="AuthorizationHeaderMalformed", headers={"x-amz-bucket-region": "else-1"})
    said = wall.run("init", status=None)
    assert said.status != 0 and 'The bucket is in region "else-1"' in said.err and 'set "region = else-1"' in said.err, said
    del wall.sections["repository local"]["region"]
    wall.write_config()
    rgw_proxy.clear()
    fault = rgw_proxy.add("status", code=400, error="AuthorizationHeaderMalformed", headers={"x-amz-bucket-region": rgw.store.region})
    wall.run("init", AWS_REGION="moon-1")
    assert fault.hits == 1


def test_a_key_that_may_not_delete_archives_and_check_says_what_it_lacks(made, rgw, rgw_proxy):
    cluster, wall = archiving(made, rgw, at(rgw_proxy))
    for method in ("DELETE", "POST"):
        rgw_proxy.add("status", times=-1, method=method, code=403, error="AccessDenied")
    write(cluster, wall, 2)
    said = wall.run("check", "--no-segment", status=None).out
    step = said[said.index("write, read, delete"):].split("several writers")[0]
    assert all(words in step for words in ("could not be deleted", "403 AccessDenied", "lacks s3:DeleteObject below the prefix",
                                         "needs no right to delete; `seawall expire` will need it")), step


def test_a_backup_goes_on_where_a_token_ended_and_the_next_one_is_taken(made, rgw, rgw_proxy):
    _, wall = archiving(made, rgw, at(rgw_proxy))
    fault = rgw_proxy.add("status", times=3, method="PUT", code=400, error="ExpiredToken")
    wall.run("backup")
    assert fault.hits == 3
    assert wall.run("list").out.count("main") >= 1


def test_a_bucket_that_is_deleted_under_a_running_server_is_named_and_nothing_counts_as_archived(made, rgw):
    cluster, wall = archiving(made, rgw)
    write(cluster, wall, 3)
    rgw.remove()
    cluster.sql("INSERT INTO t VALUES (99)")
    name = cluster.switch_wal()
    wait_for(lambda: "NoSuchBucket" in cluster.log_tail(100), "the error in PostgreSQL's log", 90)
    assert name in cluster.pending()
    rgw.store.make_bucket(rgw.name)
    said = wall.run("wal", "push", cluster.data / "pg_wal" / name, status=None)
    assert said.status != 0 and "there is no repository" in said.err, said
    assert name in cluster.pending() and rgw.keys() == []


def test_a_bucket_that_was_emptied_takes_no_more_wal_until_its_content_is_back(made, rgw):
    """It takes whatever is put, and nothing in its answers tells: the server looks whether the place is the right one."""
    cluster, wall = archiving(made, rgw)
    names = write(cluster, wall, 3)
    kept = {key: rgw.get(key) for key in rgw.keys()}
    for key in kept:
        rgw.delete(key)

    def another():
        cluster.sql("INSERT INTO t VALUES (99)")
        names.append(cluster.switch_wal())

    def noticed():
        if names[-1] not in cluster.pending():
            another()
        return "the repository is not at this place any more" in cluster.log_tail(100)

    wait_for(noticed, "the server to see that its repository is gone", 60)
    another()
    failures = "SELECT failed_count FROM pg_stat_archiver"
    failed = cluster.one(failures)
    wait_for(lambda: cluster.nudge_archiver() or cluster.one(failures) > failed, "the archiver to hear it again", 60)
    assert names[-1] in cluster.pending() and not any(names[-1] in key for key in rgw.keys())
    for key, body in kept.items():
        rgw.put(key, body)
    wall.wait_archived(names[-1])
    stored = "\n".join(rgw.keys())
    assert [name for name in names if name not in stored] == []
