"""`seawall verify`: each damaged byte is found and named, each missing object too, and each run begins with what was verified
longest ago."""

import json
import random
import re
import signal

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
    """All of the repository but parts, as `verify` names them."""
    paths = (path for path in sorted(wall.repository.rglob("*")) if path.is_file())
    names = {str(path.relative_to(wall.repository)): path for path in paths}
    return {name: path for name, path in names.items() if not PART.search(name) and not name.startswith((".", "claim/"))}


def run_notes(wall):
    return {name for name in objects(wall) if "-verify-" in name}


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(content)


def test_everything_whole_is_said_to_be_and_what_is_missing_is_named(archive):
    _, wall = archive
    there = len(objects(wall))
    found = verify(wall)
    assert found["damaged"] == [] and found["complete"]
    assert int(found["objects"]) == there and int(found["backups"]) == 1 and int(found["segments"]) >= 6
    text = wall.run("verify").out
    assert f"{there + 1} objects verified" in text and "0 damaged or missing" in text and "The run before was at" in text
    there = objects(wall)
    segments = [name for name in there if re.search("/wal/.*/[0-9A-F]{24}$", name)]
    pack = next(name for name in there if "/pack/" in name)
    for name in (segments[-2], pack):
        there[name].unlink()
    found = {item["object"]: item["error"] for item in verify(wall, status=7)["damaged"]}
    assert "it is missing" in found[segments[-2]] and "needs it" in found[pack], found


def kind_of(name):
    return re.sub("[0-9A-F]{8,}|[0-9a-f]{16,}|[0-9]", "", "/".join(name.split("/")[2:]) or name)


def test_a_flipped_byte_in_each_kind_of_object_is_found_and_named(archive):
    cluster, wall = archive
    (cluster.data / "standby.signal").touch()
    cluster.stop()
    cluster.start()
    cluster.promote()
    cluster.wait_primary()
    wall.wait_archived(write(cluster, 2))
    wall.run("backup")
    wall.run("wal", "index")
    wall.run("adopt")
    verify(wall)
    kinds = {}
    for name, path in objects(wall).items():
        kinds.setdefault(kind_of(name), []).append((name, path))
    chance = random.Random(4711)
    broken = set()
    for found in kinds.values():
        name, path = chance.choice(found)
        if name != "seawall.json":  # without it there is no repository to be verified: every command says so
            flip(path, chance.randrange(path.stat().st_size))
            broken.add(name)
    for kind in ("system", "main/cluster", "probe/", ".history", ".owner/", "/index/", "/names/", "/pack/", "/backup/", "/wal/",
                 ".backup", ".partial", "-verify-"):
        assert any(kind in name for name in broken), (kind, broken)
    # Exactly these, and what cannot be known without them: that the WAL of the backup whose head is damaged is whole.
    answer = verify(wall, "--anew", status=7)
    assert {item["object"] for item in answer["damaged"]} == broken, (broken, answer)
    assert int(answer["findings"]) == len(broken) and answer["complete"]
    result = wall.run("verify", "--anew", status=7)
    assert all(f"DAMAGED {name}:" in result.out for name in broken), result
    assert f"{len(broken)} objects are damaged or missing" in result.err, result


def test_without_the_object_system_all_else_is_verified(archive):
    _, wall = archive
    there = objects(wall)
    name, = (name for name in there if name.endswith("/system"))
    first = min(name for name in there if kind_of(name).startswith("wal/"))
    for object_name in (name, first):  # the first segment, too: the size of segments comes from another one
        flip(there[object_name], there[object_name].stat().st_size - 1)
    answer = verify(wall, status=7)
    assert {item["object"] for item in answer["damaged"]} == {name, first}, answer
    assert int(answer["objects"]) == len(there) and int(answer["segments"]) >= 6
    there["seawall.json"].chmod(0o600)
    there["seawall.json"].write_text("{")
    assert '"seawall.json"' in wall.run("verify", status=7).err


def test_runs_with_a_budget_go_on_with_what_was_verified_longest_ago(archive):
    cluster, wall = archive
    there, seen, last = set(objects(wall)), [], ""
    while set(seen) < {name for name in there if name.startswith("main/")}:
        found = verify(wall, "--budget", "1")
        assert found["from"] == last and not found["complete"] and len(seen) < len(there)
        last = found["to"]
        seen.append(last)
    assert len(seen) == len(set(seen)) and not run_notes(wall) & set(seen)
    # What is new comes first …
    new = write(cluster, 2)
    wall.wait_archived(new)
    new = set(objects(wall)) - there - run_notes(wall)
    assert {verify(wall, "--budget", "1")["to"] for _ in new} == new
    # … then all again in the same order, whatever the runs' own notes.
    young = run_notes(wall)
    again = [verify(wall, "--budget", "1")["to"] for _ in range(8)]
    assert [name for name in again if name not in young | run_notes(wall)] == seen[:8]
    assert int(verify(wall, "--anew")["objects"]) >= len(there)


def test_a_run_that_is_killed_or_cancelled_has_noted_what_it_did(archive):
    _, wall = archive
    for how, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 8)):
        before = run_notes(wall)
        running = wall.start_command("verify", "--anew", "--rate", "3kB")
        wait_for(lambda since=before: run_notes(wall) - since, "a note while it runs", 60)
        noted = run_notes(wall)
        running.send_signal(how)
        out = running.communicate()[0]
        assert running.returncode == status
        assert how == signal.SIGKILL or "The run was broken off; the next run goes on behind" in out
        assert how == signal.SIGKILL or run_notes(wall) - noted
        # What was done lately is not what comes next.
        found = verify(wall, "--budget", "1")
        assert found["from"] and not found["complete"]
        assert verify(wall)["complete"]


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
