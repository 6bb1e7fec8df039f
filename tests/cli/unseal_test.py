"""contrib/unseal.py, the independent reader, opens what Seawall's own code sealed, and sees what was changed."""

import importlib.util
import os
import pathlib
import random
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEAL = pathlib.Path(os.environ.get("SEAWALL_BIN_DEBUG", ROOT / "build/debug")) / "tests/tools/seal"
UNSEAL = ROOT / "contrib/unseal.py"
NAME = "main/7000000000000000000-15-1/wal/00000001/0000000A/000000010000000A000000FE"
MIB = 1 << 20
TIMEOUT_S = 120

spec = importlib.util.spec_from_file_location("unseal", UNSEAL)
unseal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(unseal)


def content_of(length):
    """Half of it compresses, half does not."""
    noise = random.Random(length)
    whole = bytearray()
    while len(whole) < length:
        whole += noise.randbytes(70000) + b"INSERT INTO t VALUES (%d);" % len(whole) * 3000
    return bytes(whole[:length])


def seal(root, content, compression="lz4", frame_bytes=131072, name=NAME):
    """The object's path; its parts lie beside it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / "content").write_bytes(content)
    with open(root / "content", "rb") as stdin:
        subprocess.run([SEAL, root, name, compression, str(frame_bytes)], stdin=stdin, stdout=subprocess.PIPE,
                       check=True, timeout=TIMEOUT_S)
    return path


def run(*arguments):
    return subprocess.run([sys.executable, UNSEAL, *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=TIMEOUT_S)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd:1", "zstd:3", "zstd:19"])
@pytest.mark.parametrize("length", [0, 1, 131071, 131072, 131073, 3 * MIB + 17])
def test_an_object_is_read_by_its_name(tmp_path, compression, length):
    content = content_of(length)
    path = seal(tmp_path, content, compression)
    result = run(path, "--name", NAME)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == content


def test_the_largest_object_is_read(tmp_path):
    content = content_of(16 * MIB)
    assert b"".join(unseal.Repository(seal(tmp_path, content).parents[5]).read(NAME)) == content


def test_a_head_with_parts_is_read_from_a_repository(tmp_path):
    content = content_of(33 * MIB + 5)
    path = seal(tmp_path, content, "zstd:1", 262144)
    assert sorted(part.name[-5:] for part in path.parent.iterdir()) == [".0001", ".0002", ".0003", path.name[-5:]]
    result = run(tmp_path, NAME)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == content


def test_a_part_of_another_attempt_is_refused(tmp_path):
    path = seal(tmp_path, content_of(17 * MIB))
    first, second = sorted(path.parent.glob("*.000?"))
    second.write_bytes(first.read_bytes())
    result = run(tmp_path, NAME)
    assert result.returncode == 1
    assert b"it was made under another name" in result.stderr


def test_a_missing_part_is_named(tmp_path):
    path = seal(tmp_path, content_of(17 * MIB))
    part = sorted(path.parent.glob("*.0002"))[0]
    part.unlink()
    result = run(tmp_path, NAME)
    assert result.returncode == 1
    assert f"{part.name}: it is not there".encode() in result.stderr


def test_ranges_touch_only_their_frames(tmp_path):
    content = content_of(100000)
    data = bytearray(seal(tmp_path, content, "lz4", 8192).read_bytes())
    data[-1] ^= 1
    sealed = unseal.Sealed(memoryview(bytes(data)), unseal.sealed_name(NAME))
    for offset, length in ((0, 1), (8191, 2), (8192, 8192), (5, 80000), (0, 0)):
        assert sealed.read_range(offset, length) == content[offset:offset + length]
    with pytest.raises(unseal.Damaged, match="frame 12: the checksum is wrong"):
        sealed.read_range(99999, 1)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd:3"])
def test_every_flipped_byte_is_found(tmp_path, compression):
    data = bytearray(seal(tmp_path, content_of(8200)[:8200], compression, 8192).read_bytes())
    for at in [*range(176), *range(176, len(data), 37), len(data) - 1]:
        data[at] ^= 0x40
        with pytest.raises(unseal.Damaged):
            sealed = unseal.Sealed(memoryview(bytes(data)), unseal.sealed_name(NAME))
            list(sealed.read_frames())
        data[at] ^= 0x40


def test_every_cut_is_found(tmp_path):
    data = seal(tmp_path, b"select 1;" * 40).read_bytes()
    for length in range(len(data)):
        with pytest.raises(unseal.Damaged, match="cut short"):
            list(unseal.Sealed(memoryview(data[:length]), unseal.sealed_name(NAME)).read_frames())


def test_another_name_is_refused(tmp_path):
    result = run(seal(tmp_path, b"x"), "--name", NAME + "F")
    assert (result.returncode, result.stderr) == (1, b"unseal.py: it was made under another name\n")


def test_a_newer_version_is_told_from_damage(tmp_path):
    data = bytearray(seal(tmp_path, b"x").read_bytes())
    data[8] = 2
    data[112:120] = unseal.xxhash.xxh3_64_intdigest(bytes(data[:112])).to_bytes(8, "little")
    with pytest.raises(unseal.Damaged, match="format version 2, this program reads up to 1"):
        unseal.Sealed(memoryview(bytes(data)), unseal.sealed_name(NAME))


def test_the_header_is_printed(tmp_path):
    result = run(seal(tmp_path, b"x" * 1000), "--name", NAME, "--header")
    header = unseal.json.loads(result.stdout)
    assert (header["kind"], header["logical_bytes"], header["frames"]) == ("wal", "1000", 1)


def record(kind, path, extents=(), target=b"", late=0):
    fixed = unseal.RECORD.pack(unseal.RECORD.size + len(path) + len(target) + len(extents) * unseal.EXTENT.size, kind,
                               late, len(path), len(target), 0, 0o600, sum(e[0] for e in extents), 7, 9, len(extents))
    return fixed + path + target + b"".join(unseal.EXTENT.pack(*extent) for extent in extents)


def test_records_of_a_manifest_are_read():
    body = record(2, b"base") + record(1, b"base/1", [(8192, 0, 3, 100), (8192, 0, unseal.ZEROS, 0)]) + \
        record(3, b"pg_wal", target=b"/elsewhere")
    found = list(unseal.read_records(unseal.io.BytesIO(body)))
    assert [(r["kind"], r["path"], r["size"]) for r in found] == [
        ("folder", b"base", 0), ("file", b"base/1", 16384), ("link", b"pg_wal", 0)]
    assert found[1]["extents"] == [(8192, 0, 3, 100), (8192, 0, unseal.ZEROS, 0)]
    assert found[2]["target"] == b"/elsewhere"
    with pytest.raises(unseal.Damaged, match="ends inside a record"):
        list(unseal.read_records(unseal.io.BytesIO(body[:-1])))


def test_the_checksum_of_files_is_crc32c():
    assert unseal.crc32c(b"123456789") == 0xE3069283
    assert unseal.crc32c(b"6789", unseal.crc32c(b"12345")) == 0xE3069283


def test_a_file_of_a_backup_is_read_from_its_packs(tmp_path, monkeypatch):
    content = content_of(200000)
    generation = "main/7000000000000000000-15-1"
    seal(tmp_path, content, "zstd:3", 8192, f"{generation}/pack/A/000003")
    monkeypatch.setattr(unseal, "PACK", 1)  # the tool seals everything as a WAL segment
    wanted = content[5:100000] + bytes(8192) + content[:3]
    entry = {"path": b"base/1", "crc32c": unseal.crc32c(wanted),
             "extents": [(99995, 1, 3, 5), (8192, 0, unseal.ZEROS, 0), (3, 1, 3, 0)]}
    head = {"sources": ["B", "A"]}
    repository = unseal.Repository(tmp_path)
    assert b"".join(repository.read_file(f"{generation}/backup/B", head, entry)) == wanted
    entry["crc32c"] ^= 1
    with pytest.raises(unseal.Damaged, match="the checksum of the file is wrong"):
        list(repository.read_file(f"{generation}/backup/B", head, entry))
