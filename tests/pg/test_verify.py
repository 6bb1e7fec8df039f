"""`seawall verify`: each damaged byte is found and named, each missing object too, and a run goes on where the last one
stopped."""

import json
import random
import re

import pytest

from seawalltest.wait import wait_for

PART = re.compile(r"\.[0-9a-f]{16}\.\d{4,}$")


@pytest.fixture(name="archive")
def fixture_archive(made):
    cluster = made.cluster(segment_mb=1)
    wall = made.seawall(cluster)
    wall.init()
    wall.archive()
    cluster.start()
    cluster.sql("CREATE TABLE t (n int, filler text)")
    write(cluster, 2)
    wall.run("backup")
    wall.wait_archived(write(cluster, 4))
    return cluster, wall


def write(cluster, segments):
    for _ in range(segments):
        cluster.sql("INSERT INTO t SELECT n, repeat('x', 300) FROM generate_series(1, 1000) n")
        last = cluster.switch_wal()
    return last


def verify(wall, *arguments, status=0):
    answer = json.loads(wall.run("verify", "--json", *arguments, status=status).out)
    repository, = answer["repositories"]
    return repository


def objects(wall):
    """All of the generation but parts, as `verify` names them."""
    generation, = (wall.repository / "main").glob("*-15-1")
    paths = (path for path in sorted(generation.rglob("*")) if path.is_file())
    return {str(path.relative_to(wall.repository)): path for path in paths if not PART.search(path.name)}


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(content)


def test_everything_whole_is_said_to_be(archive):
    _, wall = archive
    there = len(objects(wall))
    found = verify(wall)
    assert found["damaged"] == [] and found["complete"]
    assert int(found["objects"]) == there and int(found["backups"]) == 1 and int(found["segments"]) >= 6
    text = wall.run("verify").out
    assert f"{there + 1} objects verified" in text and "0 damaged or missing" in text and "The run before was at" in text


def test_a_flipped_byte_anywhere_is_found_and_named(archive):
    _, wall = archive
    chance = random.Random(4711)
    kinds = {}
    for name, path in objects(wall).items():
        kinds.setdefault(re.sub("[0-9A-F]{8,}|[0-9a-f]{16,}|[0-9]", "", name.split("/", 2)[2]), []).append((name, path))
    broken = []
    for found in kinds.values():
        name, path = chance.choice(found)
        if name.endswith("/system"):
            continue  # without it there is no archive to be verified: every command says so
        flip(path, chance.randrange(path.stat().st_size))
        broken.append(name)
    assert len(broken) >= 4
    found = verify(wall, status=7)
    assert {item["object"] for item in found["damaged"]} >= set(broken), (broken, found)
    result = wall.run("verify", status=7)
    assert all(f"DAMAGED {name}:" in result.out for name in broken), result


def test_what_is_missing_is_named(archive):
    _, wall = archive
    there = objects(wall)
    segments = [name for name in there if re.search("/wal/.*/[0-9A-F]{24}$", name)]
    pack = next(name for name in there if "/pack/" in name)
    for name in (segments[-2], pack):
        there[name].unlink()
    found = {item["object"]: item["error"] for item in verify(wall, status=7)["damaged"]}
    assert "it is missing" in found[segments[-2]] and "needs it" in found[pack], found


def test_a_run_with_a_budget_goes_on_where_the_last_one_stopped(archive):
    _, wall = archive
    there = len(objects(wall))
    seen, runs, last = 0, 0, ""
    while runs < 50:
        found = verify(wall, "--budget", "1")
        assert found["from"] == last
        last, seen, runs = found["to"], seen + int(found["objects"]), runs + 1
        if not last or seen >= there:
            break
    assert runs > 1 and seen >= there
    assert int(verify(wall, "--anew")["objects"]) >= there


def test_it_runs_while_the_server_archives(archive):
    cluster, wall = archive
    wall.serve()
    running = wall.start_command("verify", "--rate", "200kB")
    last = write(cluster, 3)
    wall.wait_archived(last)
    wait_for(lambda: running.poll() is not None, "verify to end", 60)
    out, err = running.communicate()
    assert running.returncode == 0, out + err
    assert cluster.one("SELECT failed_count FROM pg_stat_archiver") == 0
