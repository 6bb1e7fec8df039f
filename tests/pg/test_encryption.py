"""Encrypted repositories on a real cluster: the whole story, each fault's own error, keys that change, and where keys are not."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest
import xxhash

from seawalltest import process, rebuild
from seawalltest.ledger import Target
from seawalltest.scenario import archiving
from seawalltest.wait import wait_for

KEYS = {name: f"KEY-{name}-0123456789abcdef0123456789abcdef" for name in "abcd"}
SECRET = "secret-of-the-table-"


def write_key(wall, *names):
    """A key file with these keys, one on a line."""
    path = wall.folder / f"key.{''.join(names)}"
    path.write_text("# made for a test\n" + "".join(KEYS.get(name, name) + "\n" for name in names))
    path.chmod(0o600)
    process.own(path)
    return path


def use(wall, **settings):
    """The repository's section with this key, and no other."""
    section = wall.sections["repository local"]
    for name in ("key_file", "key_passphrase_file", "key_command"):
        section.pop(name, None)
    section.update(settings)
    wall.write_config()


def read(wall, *words):
    return json.loads(wall.run(*words, "--json").out)


def segment(wall, rows=200):
    """Writes rows, archives the segment with them; its object's path."""
    cluster = wall.cluster
    cluster.sql("CREATE TABLE IF NOT EXISTS filler (n int, t text)")
    cluster.sql("INSERT INTO filler SELECT n, %s || n FROM generate_series(1, %s) n", SECRET, rows)
    name = cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    cluster.switch_wal()
    wall.wait_archived(name)
    return next(path for path in pathlib.Path(wall.repository).rglob(name))


def name_of(wall, path):
    return str(path.relative_to(wall.repository))


def cat(wall, path, status=0):
    """The object's content is written out whole, or the command's words."""
    done = subprocess.run([wall.bin / "seawall", "cat", name_of(wall, path)], env=wall.environment(),
                          capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    assert status or len(done.stdout) == 16 << 20
    return done.stderr.decode()


def unsealed(wall, path, *arguments, status=0):
    """What the independent reader makes of the object, as a program."""
    done = subprocess.run([sys.executable, rebuild.unseal().__file__, wall.repository, name_of(wall, path), *arguments],
                          capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout


def overwrite(path, content):
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.fixture(name="wall")
def fixture_wall(made):
    """A cluster that archives through the hook into a repository that is encrypted with key a; no server."""
    cluster = made.cluster()
    wall = made.seawall(cluster)
    use(wall, key_file=write_key(wall, "a"))
    wall.init()
    cluster.start()
    wall.archive()
    return wall


@pytest.fixture(name="plain")
def fixture_plain(made):
    """The same, not encrypted."""
    cluster, wall = archiving(made, serve=False)
    return wall


@pytest.mark.parametrize("server", [False, True])
def test_the_whole_story_is_encrypted(wall, made, server):
    if server:
        wall.serve()
    path = segment(wall)
    backup = json.loads(wall.run("backup", "--json").out)["id"]
    last = segment(wall)
    assert [each["id"] for each in read(wall, "list")["backups"]] == [backup]
    assert read(wall, "show", backup)["id"] == backup
    assert "encrypted, with data key" in wall.run("check").out
    # Nothing of the content, and none of the keys, is in the repository.
    for each in filter(pathlib.Path.is_file, pathlib.Path(wall.repository).rglob("*")):
        content = each.read_bytes()
        assert SECRET.encode() not in content and KEYS["a"].encode() not in content, each
        encrypted = content[14] if content.startswith(b"SEAWALL\x1a") else 0
        outside = name_of(wall, each).startswith(("keys/", "probe/")) or each.name == "seawall.json"
        assert encrypted == 1 or outside, each
    # An independent reader opens it with the key, and not without.
    reader = rebuild.unseal().Repository(wall.repository, [KEYS["a"].encode()])
    content = b"".join(reader.read(name_of(wall, path)))
    assert len(content) == 16 << 20 and SECRET.encode() in content
    with pytest.raises(rebuild.unseal().Damaged.__mro__[1]):
        b"".join(rebuild.unseal().Repository(wall.repository).read(name_of(wall, path)))
    assert unsealed(wall, path, "--key-file", write_key(wall, "a")) == content
    assert unsealed(wall, path, "--key-file", write_key(wall, "b"), status=1) == unsealed(wall, path, status=1) == b""
    count = wall.cluster.one("SELECT count(*) FROM filler")
    restored, _ = wall.restore(Target("latest"), "restored", "--start")
    made.add(restored)
    assert restored.one("SELECT count(*) FROM filler") == count and last.exists()


def test_each_fault_has_its_own_error(wall):
    first, second = segment(wall), segment(wall)
    good = first.read_bytes()
    # missing key
    use(wall)
    said = cat(wall, first, status=4)
    assert "it is encrypted, and no key is set" in said and "key_file" in said
    # wrong key
    use(wall, key_file=write_key(wall, "b"))
    said = cat(wall, first, status=4)
    assert "the key that is set is the wrong one" in said
    # damaged object
    use(wall, key_file=write_key(wall, "a"))
    damaged = bytearray(good)
    damaged[-20] ^= 1
    overwrite(first, damaged)
    said = cat(wall, first, status=7)
    assert "frame" in said and "seal is wrong" in said
    # swapped object
    overwrite(first, second.read_bytes())
    said = cat(wall, first, status=7)
    assert "made under another name" in said
    # and with its name's hash made right
    swapped = bytearray(second.read_bytes())
    swapped[64:72] = good[64:72]
    swapped[112:120] = xxhash.xxh3_64_intdigest(bytes(swapped[:112])).to_bytes(8, "little")
    overwrite(first, swapped)
    said = cat(wall, first, status=7)
    assert "damaged or was changed" in said


def test_without_the_key_nothing_is_archived(wall):
    """Least of all unencrypted."""
    path = segment(wall)
    objects = sorted(pathlib.Path(wall.repository).rglob("*"))
    source = wall.cluster.data / "pg_wal" / wall.cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    for settings, sentence in (({}, "no key is set"), ({"key_file": write_key(wall, "b")}, "the wrong one"),
                               ({"key_file": "/nowhere/key"}, "could not open key file")):
        use(wall, **settings)
        assert sentence in wall.run("wal", "push", source, status=1).err
    assert sorted(pathlib.Path(wall.repository).rglob("*")) == objects
    use(wall, key_file=write_key(wall, "a"))
    target = wall.cluster.data / "pg_wal/RECOVERYXLOG"
    wall.run("wal", "fetch", path.name[:-4] + "00F0", target, status=1)
    wall.run("wal", "fetch", path.name, target)
    assert target.stat().st_size == 16 << 20


def test_a_key_that_everybody_may_read_is_refused(wall):
    key = write_key(wall, "a")
    key.chmod(0o644)
    result = wall.run("list", status=3)
    assert "everybody may read" in result.err and "chmod" in result.err
    key.chmod(0o600)
    key.write_text("too short\n")
    assert "shorter than 32" in wall.run("list", status=3).err
    key.unlink()
    assert "could not open key file" in wall.run("list", status=3).err
    use(wall, key_file=key, key_command="echo x")
    assert "more than one of" in wall.run("list", status=3).err
    use(wall, key_file=wall.repository / "key")
    assert "lies inside it" in wall.run("list", status=3).err


def test_a_repository_becomes_encrypted_and_takes_nothing_plain_after_that(plain, made):
    wall = plain
    before = segment(wall)
    backup = json.loads(wall.run("backup", "--json").out)["id"]
    use(wall, key_file=write_key(wall, "a"))
    assert "it is not encrypted" in wall.run("list", status=4).err.replace("the repository", "it")
    # It waits for all who store there; broken off, nothing is stored until it is done.
    waiting = wall.start_command("init")
    wait_for((wall.repository / "keys/plain/000001").exists, "the first marker")
    assert waiting.poll() is None
    waiting.kill()
    assert "waiting 120 s" in waiting.communicate()[1]
    assert "is being encrypted" in wall.run("list", status=4).err
    use(wall)
    wall.cluster.sql("INSERT INTO filler VALUES (0)")
    source = wall.cluster.data / "pg_wal" / wall.cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    assert "is being encrypted" in wall.run("wal", "push", source, status=1).err
    assert "is being encrypted" in wall.run("check", "--no-segment", status=1).out
    cat(wall, before)
    use(wall, key_file=write_key(wall, "a"))
    assert "encrypted from now on" in wall.run("init", "--now").out
    assert "there already" in wall.run("init").out
    after = segment(wall)
    assert before.read_bytes()[14] == 0 and after.read_bytes()[14] == 1
    cat(wall, before)
    cat(wall, after)
    restored, _ = wall.restore(Target("latest"), "restored", "--start")
    made.add(restored)
    assert restored.one("SELECT count(*) FROM filler") == wall.cluster.one("SELECT count(*) FROM filler")
    assert read(wall, "list")["backups"][0]["id"] == backup
    # Somebody who may write, and has no key, puts a good object under a new name.
    name = after.name[:-1] + "F"
    forged = bytearray(before.read_bytes())
    sealed = name_of(wall, after.parent / name).split("/", 1)[1]
    forged[64:72] = xxhash.xxh3_64_intdigest(sealed.encode()).to_bytes(8, "little")
    forged[112:120] = xxhash.xxh3_64_intdigest(bytes(forged[:112])).to_bytes(8, "little")
    end = 136 + 12 * int.from_bytes(forged[20:24], "little")
    forged[end:end + 16] = xxhash.xxh3_128_digest(bytes(forged[:end]))
    (after.parent / name).write_bytes(forged)
    said = cat(wall, after.parent / name, status=7)
    assert "not encrypted, and appeared after" in said
    target = wall.cluster.data / "pg_wal/RECOVERYXLOG"
    assert wall.run("wal", "fetch", name, target, status=None).status == 255 and not target.exists()
    # The marker taken away opens nothing: it closes.
    shutil.rmtree(wall.repository / "keys/plain")
    assert "not encrypted, and appeared after" in cat(wall, before, status=7)


def reload(wall):
    """The server has read its configuration again: it looks into keys/ before it stores anything more."""
    said = wall.log_tail(10000).count("configuration")
    wall.server.send_signal(signal.SIGHUP)
    wait_for(lambda: wall.log_tail(10000).count("configuration") > said, "the reload")


def another_host(wall, **settings):
    """The environment of commands of another host with the same repository, whose section has these settings."""
    here, config, folder = wall.sections, wall.config, wall.folder / "elsewhere"
    folder.mkdir()
    process.own(folder)
    server = {**here["server"], "socket": folder / "s.sock", "state": folder / "state"}
    wall.sections = {**here, "server": server, "repository local": {**here["repository local"], **settings}}
    wall.config = folder / "seawall.conf"
    wall.write_config()
    wall.sections, (wall.config, other) = here, (config, wall.config)
    return {"SEAWALL_CONFIG": str(other)}


def fetched(wall, name):
    """The running server delivers that file."""
    target = wall.cluster.data / "pg_wal/RECOVERYXLOG"
    subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "--cluster", wall.name, "fetch", name, target],
                   cwd=wall.cluster.data, check=True, timeout=60)
    target.unlink()


def test_a_server_without_the_key_stores_nothing_more_and_goes_on_when_it_has_it(plain, made):
    """Another host encrypts the repository, and makes a new data key, under a server that was never restarted."""
    wall = plain
    cluster = wall.cluster
    wall.serve()
    before = segment(wall)
    key = write_key(wall, "a")
    other = another_host(wall, key_file=key)
    assert "encrypted from now on" in wall.run("init", "--now", **other).out
    # A command that begins now is refused at once, the server when it looks.
    cluster.sql("INSERT INTO filler SELECT n, 'x' FROM generate_series(1, 100) n")
    waits = cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    assert "no key is set" in wall.run("wal", "push", cluster.data / "pg_wal" / waits, status=1).err
    reload(wall)
    objects = sorted(pathlib.Path(wall.repository).rglob("*"))
    cluster.switch_wal()
    wait_for(lambda: "was encrypted" in wall.log_tail(), "the refusal")
    assert (cluster.data / "pg_wal/archive_status" / f"{waits}.ready").exists()
    assert "was encrypted" in wall.run("status", status=None).out
    assert sorted(pathlib.Path(wall.repository).rglob("*")) == objects, "nothing was stored"
    use(wall, key_file=key)
    reload(wall)
    wall.wait_archived(waits)
    after = before.parent / waits
    assert before.read_bytes()[14] == 0 and after.read_bytes()[14] == 1
    # A new data key: what it sealed is read, and it seals.
    made_key = bytes.fromhex(json.loads(wall.run("key", "rotate", "--json", **other).out)["made"])[::-1]
    cluster.configure(archive_command="/bin/false")
    cluster.sql("INSERT INTO filler SELECT n, 'y' FROM generate_series(1, 100) n")
    name = cluster.one("SELECT pg_walfile_name(pg_current_wal_lsn())")
    cluster.switch_wal()
    wall.run("wal", "push", cluster.data / "pg_wal" / name, **other)
    assert (before.parent / name).read_bytes()[56:64] == made_key
    fetched(wall, name)
    wall.archive()
    assert segment(wall).read_bytes()[56:64] == made_key
    count = cluster.one("SELECT count(*) FROM filler")
    wall.run("backup")
    restored, _ = wall.restore(Target("latest"), "restored", "--start")
    made.add(restored)
    assert restored.one("SELECT count(*) FROM filler") == count
    for path in (before, after):
        cat(wall, path)


def test_a_rotated_key_and_the_one_before(wall):
    old = segment(wall)
    (before,) = read(wall, "key", "list")["keys"]
    new = write_key(wall, "b")
    made = json.loads(wall.run("key", "rotate", "--key-file", new, "--json").out)
    assert made["made"] != before["data_key"] and made["wrapped"] == 2
    # Who has the old key reads what is old, and writes nothing any more.
    cat(wall, old)
    assert "newest data key" in wall.run("backup", status=4).err
    assert "newest data key" in wall.run("key", "rotate", status=4).err
    use(wall, key_file=new)
    now = segment(wall)
    assert now.read_bytes()[56:64] == bytes.fromhex(made["made"])[::-1]
    assert old.read_bytes()[56:64] == bytes.fromhex(before["data_key"])[::-1]
    cat(wall, old)
    cat(wall, now)
    listed = read(wall, "key", "list")
    assert listed["newest"] == made["made"] and len(listed["keys"]) == 3
    assert sum(each["opened"] for each in listed["keys"]) == 2
    assert made["made"] in wall.run("key", "list").out
    use(wall, key_file=write_key(wall, "a"))
    cat(wall, old)
    assert "does not open" in cat(wall, now, status=4)
    assert "does not open the newest" in wall.run("check", "--no-segment", status=1).out
    # Both on one file's lines: all is open.
    use(wall, key_file=write_key(wall, "a", "b"))
    cat(wall, now)
    reader = rebuild.unseal().Repository(wall.repository, [KEYS["b"].encode()])
    for path in (old, now):
        assert len(b"".join(reader.read(name_of(wall, path)))) == 16 << 20


def test_two_keys_open_one_repository(wall):
    path = segment(wall)
    phrase = write_key(wall, "correct horse battery staple")
    assert "opens it too" in wall.run("key", "add", "--passphrase-file", phrase).out
    assert "already" in wall.run("key", "add", "--passphrase-file", phrase).out
    wall.run("key", "add", status=2)
    cat(wall, path)
    use(wall, key_passphrase_file=phrase)
    cat(wall, path)
    again = segment(wall)
    reader = rebuild.unseal().Repository(wall.repository, [b"correct horse battery staple"], True)
    content = b"".join(reader.read(name_of(wall, again)))
    assert len(content) == 16 << 20 and unsealed(wall, again, "--passphrase-file", phrase) == content
    use(wall, key_passphrase_file=write_key(wall, "wrong horse battery staple"))
    assert "another passphrase" in wall.run("list", status=4).err.lower()


def test_a_key_comes_from_a_command(wall):
    path = segment(wall)
    key = write_key(wall, "a")
    count = wall.folder / "count"
    use(wall, key_command=f"echo >> {count}; cat {key}")
    cat(wall, path)
    wall.serve()
    segment(wall)
    segment(wall)
    wall.stop()
    assert len(count.read_text()) == 2, "once for each process"
    for command, sentence in (("exit 3", "exit status 3"), ("kill -9 $$", "ended by signal 9"),
                              ("true", "there is no key in"), ("yes", "more than 4000 bytes"),
                              (f"cat {key}; exit 1", "exit status 1")):
        use(wall, key_command=command)
        result = wall.run("list", status=3)
        assert sentence in result.err and KEYS["a"] not in result.err and command not in result.err


def mappings(pid):
    """(from, to, name, flags) of each mapping that can be read."""
    found = None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
        if head:
            found = (int(head[1], 16), int(head[2], 16), head[4], head[3])
        elif line.startswith("VmFlags:") and found[3].startswith("r"):
            yield (*found[:3], line.split()[1:])


def test_keys_are_in_locked_memory_only_and_in_no_words(wall):
    wall.serve()
    path = segment(wall)
    segment(wall)
    wall.run("backup", "--verbose")
    keys = rebuild.unseal().Repository(wall.repository, [KEYS["a"].encode()]).keys
    secrets = {KEYS["a"].encode(): "wrapping key", **{data: "data key" for data in keys.data.values()}}
    seen = set()
    with open(f"/proc/{wall.server.pid}/mem", "rb", 0) as memory:
        for start, end, name, flags in mappings(wall.server.pid):
            if name in ("[vvar]", "[vsyscall]") or "io" in flags:
                continue
            content = os.pread(memory.fileno(), end - start, start)
            for secret, what in secrets.items():
                if secret in content:
                    assert "dd" in flags and "lo" in flags, f"a {what} is in {name or 'memory'} that is dumped"
                    seen.add(what)
    assert seen == {"wrapping key", "data key"}, "they were looked for in the right place"
    for place in (f"/proc/{wall.server.pid}/cmdline", f"/proc/{wall.server.pid}/environ", wall.log):
        assert KEYS["a"].encode() not in pathlib.Path(place).read_bytes()
    assert path.exists()
