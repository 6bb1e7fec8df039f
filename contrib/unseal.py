#!/usr/bin/python3
"""Reads what Seawall has stored, without Seawall: an independent reader of doc/format.md.

    unseal.py FILE --name NAME        the object in FILE, which was stored under NAME: its content
    unseal.py REPOSITORY NAME         an object of a repository in a directory, with its parts
    unseal.py REPOSITORY BACKUP --list           the files of a backup (BACKUP: name of its manifest)
    unseal.py REPOSITORY BACKUP --file PATH      the content of one of them

The content goes to standard output, or to --output FILE. With --header the header is printed instead. Every
checksum is verified; what is wrong is said in one line, with exit status 1. A repository that is encrypted needs
--key-file FILE (a key, or what key_command prints) or --passphrase-file FILE.

Debian: python3-lz4 python3-zstandard python3-xxhash, and python3-cryptography for what is encrypted
"""

import argparse
import hashlib
import hmac
import io
import json
import pathlib
import struct
import sys

import lz4.block
import xxhash
import zstandard

MAGIC = b"SEAWALL\x1a"
VERSION = 1
HEADER = struct.Struct("<8sHHBBBBIIQq16sQQQQI20sQ")
INDEX_FRAME = struct.Struct("<IQ")
INDEX_FRAME_ENCRYPTED = struct.Struct("<I16s")
DIGEST_BYTES = 16
SEAL_BYTES = 16
FRAMES_BYTES_MAX = PART_BYTES = 16 << 20
FRAME_BYTES_MIN, FRAME_BYTES_MAX = 8 << 10, 256 << 10
PARTS_MAX = 1 << 20
AS_IS = 1 << 31
KINDS = {1: "wal", 2: "history", 3: "backup-label", 4: "partial", 5: "pack", 6: "manifest", 7: "part", 8: "system",
         9: "cluster", 10: "note", 11: "probe", 12: "key", 13: "marker",
         14: "index", 15: "names"}
PART, MANIFEST, PACK, KEY, MARKER = 7, 6, 5, 12, 13
NONCE_INDEX = b"\xff" * 12
TAG_BYTES = 16
COMPRESSIONS = {0: "none", 1: "lz4", 2: "zstd"}
OUTSIDE_OF_CLUSTERS = ("seawall.json", "probe/", "keys/", "lease/")

RECORD = struct.Struct("<IBBHHHIQqII")
EXTENT = struct.Struct("<QIII")
ZEROS = 0xFFFFFFFF
RECORD_KINDS = {1: "file", 2: "folder", 3: "link", 4: "outside"}


CRC32C_POLYNOMIAL = 0x82F63B78


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (CRC32C_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


CRC32C_TABLE = crc32c_table()


def crc32c(content, crc=0):
    """Slow (no module of the standard library has it), but it needs nothing."""
    crc ^= 0xFFFFFFFF
    for byte in content:
        crc = CRC32C_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Damaged(Exception):
    """What was read is not what Seawall wrote, or cannot be read by this program."""


def need(condition, sentence):
    if not condition:
        raise Damaged(sentence)


def sealed_name(name):
    """The name that is sealed into an object: relative to the cluster's folder when it lies in one."""
    if name.startswith(OUTSIDE_OF_CLUSTERS) or "/" not in name:
        return name
    return name.split("/", 1)[1]


def hkdf(key, salt, info, length=32):
    """HKDF-SHA-256 (RFC 5869) of at most 32 bytes."""
    extracted = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()[:length]


def open_gcm(key, nonce, sealed, associated):
    """The text of AES-256-GCM, the tag at its end; None when it was changed."""
    from cryptography.exceptions import InvalidTag  # pylint: disable=import-outside-toplevel
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # pylint: disable=import-outside-toplevel
    try:
        return AESGCM(key).decrypt(nonce, bytes(sealed), associated)
    except InvalidTag:
        return None


class Keys:
    """The data keys of a repository that one of the lines of a key or passphrase file opens."""

    def __init__(self, repository_id, lines, passphrase):
        self.repository_id, self.lines, self.passphrase = repository_id.encode(), lines, passphrase
        self.data, self.newest, self.plain = {}, 0, set()

    def _line_keys(self, wrapped):
        if (wrapped["method"] == "passphrase") != self.passphrase:
            return
        for line in self.lines:
            if self.passphrase:
                cost = wrapped["scrypt"]
                yield hashlib.scrypt(line, salt=bytes.fromhex(wrapped["salt"]), n=1 << cost["log_n"], r=cost["r"],
                                     p=cost["p"], maxmem=256 << 20, dklen=32)
            else:
                yield hkdf(line, b"", b"seawall wrapping key")

    def unwrap(self, wrapped):
        """Takes the data key of a wrapped one (a dict); False when no line opens it."""
        cost = wrapped.get("scrypt", {"log_n": 0, "r": 0, "p": 0})
        associated = b"seawall key %s " % self.repository_id + " ".join(
            str(field) for field in (wrapped["id"], wrapped["number"], wrapped["created"], wrapped["wrapped"],
                                     wrapped["method"], cost["log_n"], cost["r"], cost["p"])).encode()
        for own in self._line_keys(wrapped):
            if hkdf(own, b"", b"seawall wrapping key id", 8)[::-1].hex() != wrapped["wrapping_key"]:
                continue
            key = hkdf(own, bytes.fromhex(wrapped["salt"]), b"seawall wrap " + self.repository_id)
            data = open_gcm(key, bytes.fromhex(wrapped["nonce"]), bytes.fromhex(wrapped["sealed"] + wrapped["tag"]),
                            associated)
            need(data is not None, "a wrapped key was changed")
            check = int.from_bytes(hkdf(data, b"", b"seawall key check " + self.repository_id, 8), "little")
            need(f"{check:016x}" == wrapped["id"], "a wrapped key has the wrong id")
            self.data[check] = data
            return True
        return False

    def object_key(self, check, salt):
        need(check in self.data, f"it is encrypted with data key {check:016x}, which the key does not open")
        return hkdf(self.data[check], salt, self.repository_id)

    def accepts_plain(self, name):
        return xxhash.xxh3_64_intdigest(name.encode()) in self.plain


class Sealed:
    """One object: its header, its index, and its frames on demand."""

    def __init__(self, data, name, kind=None, keys=None):
        self.data, self.name, self.key = data, name, None
        self._header(data)
        need(self.name_hash == xxhash.xxh3_64_intdigest(name.encode()), "it was made under another name")
        need(kind is None or self.kind == kind, f"it is of the wrong kind: {KINDS[self.kind]}")
        if self.encryption:
            need(keys is not None, "it is encrypted: it needs a key")
            self.key = keys.object_key(self.key_check, self.salt)
        else:
            need(self.key_check == 0, "header: not encrypted, but with a key")
            need(keys is None or self.kind == KEY or keys.accepts_plain(name),
                 "it is not encrypted, and appeared after the repository was")
        self._geometry()
        self._index(data)

    def _header(self, data):
        need(data[:8] == MAGIC[:len(data)], "it is not a sealed object")
        need(len(data) >= 12, "it is cut short")
        version, length = struct.unpack_from("<HH", data, 8)
        need(24 <= length <= 4096, "header: impossible length")
        need(len(data) >= length, "it is cut short")
        stored = int.from_bytes(data[length - 8:length], "little")
        need(xxhash.xxh3_64_intdigest(data[:length - 8]) == stored, "header: the checksum is wrong")
        need(version <= VERSION, f"format version {version}, this program reads up to {VERSION}")
        need(version == VERSION and length == HEADER.size, "header: impossible version")
        (_, _, _, self.kind, self.compression, self.encryption, reserved, self.frame_bytes, self.frames,
         self.logical_bytes, self.created_us, self.salt, self.key_check, self.name_hash, self.attempt,
         self.parts_bytes, self.parts, reserved_2, _) = HEADER.unpack_from(data)
        need(self.kind in KINDS, f"unknown kind {self.kind}")
        need(self.compression in COMPRESSIONS, f"unknown compression {self.compression}")
        need(self.encryption <= 1, f"unknown encryption {self.encryption}")
        need(reserved == 0 and not any(reserved_2), "header: reserved fields are not zero")

    def _geometry(self):
        need(FRAME_BYTES_MIN <= self.frame_bytes <= FRAME_BYTES_MAX, "header: frame size out of range")
        need(self.logical_bytes <= FRAMES_BYTES_MAX, "header: too long")
        need(self.frames == -(-self.logical_bytes // self.frame_bytes), "header: wrong number of frames")
        need(self.parts <= PARTS_MAX, "header: too many parts")
        need(self.parts == -(-self.parts_bytes // PART_BYTES), "header: wrong number of parts")
        need(self.parts > 0 or self.attempt == 0, "header: no parts, but an attempt")

    def _open(self, nonce, sealed):
        return open_gcm(self.key, nonce, sealed, self.name.encode() + bytes(self.data[:HEADER.size]) + nonce)

    def _index(self, data):
        entry = INDEX_FRAME_ENCRYPTED if self.key else INDEX_FRAME
        end = HEADER.size + DIGEST_BYTES + self.frames * entry.size
        need(len(data) >= end + SEAL_BYTES, "it is cut short")
        if self.key:
            index = self._open(NONCE_INDEX, data[HEADER.size:end + TAG_BYTES])
            need(index is not None, "index: the seal is wrong")
        else:
            index = bytes(data[HEADER.size:end])
            need(xxhash.xxh3_128_digest(data[:end]) == bytes(data[end:end + SEAL_BYTES]), "index: the checksum is wrong")
        self.digest = index[:DIGEST_BYTES]
        offset, left, self.frame = end + SEAL_BYTES, self.logical_bytes, []
        for stored, checksum in entry.iter_unpack(index[DIGEST_BYTES:]):
            as_is, stored, logical = bool(stored & AS_IS), stored & ~AS_IS, min(left, self.frame_bytes)
            need(stored == logical if as_is else self.compression != 0 and 0 < stored < logical,
                 f"index: frame {len(self.frame)} has an impossible length")
            self.frame.append((offset, stored, logical, as_is, checksum))
            offset, left = offset + stored, left - logical
        self.stored_bytes = offset

    def _stored(self, number):
        """The stored bytes of a frame, checked and decrypted."""
        offset, stored, _, _, checksum = self.frame[number]
        piece = bytes(self.data[offset:offset + stored])
        need(len(piece) == stored, "it is cut short")
        if self.key:
            piece = self._open(number.to_bytes(12, "little"), piece + checksum)
            need(piece is not None, f"frame {number}: the seal is wrong")
        else:
            need(xxhash.xxh3_64_intdigest(piece) == checksum, f"frame {number}: the checksum is wrong")
        return piece

    def read_frame(self, number):
        _, _, logical, as_is, _ = self.frame[number]
        piece = self._stored(number)
        if as_is:
            return piece
        try:
            if self.compression == 1:
                content = lz4.block.decompress(piece, uncompressed_size=logical)
            else:
                content = zstandard.ZstdDecompressor().decompress(piece, max_output_size=logical)
        except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
            raise Damaged(f"frame {number}: {error}") from error
        need(len(content) == logical, f"frame {number}: wrong length")
        return content

    def read_frames(self):
        """All frames in order; the object must end where they end."""
        need(len(self.data) <= self.stored_bytes, "it is too long")
        for number in range(self.frames):
            yield self.read_frame(number)

    def read_range(self, offset, length):
        """length bytes of the object's own frames from offset on."""
        need(offset + length <= self.logical_bytes, "the range lies outside of the object")
        if length == 0:
            return b""
        first, last = offset // self.frame_bytes, (offset + length - 1) // self.frame_bytes
        content = b"".join(self.read_frame(number) for number in range(first, last + 1))
        return content[offset - first * self.frame_bytes:][:length]

    def describe(self):
        return {"name": self.name, "kind": KINDS[self.kind], "compression": COMPRESSIONS[self.compression],
                "frame_bytes": self.frame_bytes, "frames": self.frames, "logical_bytes": str(self.logical_bytes),
                "stored_bytes": str(self.stored_bytes), "created_us": str(self.created_us),
                "digest": self.digest.hex(), "salt": self.salt.hex(), "attempt": f"{self.attempt:016x}",
                "parts": self.parts, "parts_bytes": str(self.parts_bytes),
                "key": f"{self.key_check:016x}" if self.key else None}


def read_whole(head, read_part):
    """The content of an object: its parts, then its own frames, with the digest checked at the end.

    read_part(number) gives the Sealed of part number (from 1)."""
    digest, left = xxhash.xxh3_128(), head.parts_bytes
    for number in range(1, head.parts + 1):
        part = read_part(number)
        own = xxhash.xxh3_128()
        need(part.logical_bytes == min(left, PART_BYTES), f"part {number} has the wrong length")
        left -= part.logical_bytes
        for content in part.read_frames():
            digest.update(content)
            own.update(content)
            yield content
        need(own.digest() == part.digest, f"part {number}: the digest of its content is wrong")
    for content in head.read_frames():
        digest.update(content)
        yield content
    need(digest.digest() == head.digest, "the digest of the content is wrong")


class Repository:
    """A repository in a directory."""

    def __init__(self, root, lines=(), passphrase=False):
        self.root = pathlib.Path(root)
        self.pack_last = (None, None)
        self.keys = None
        if lines:
            self._open_keys(lines, passphrase)

    def _open_keys(self, lines, passphrase):
        keys = Keys(json.loads((self.root / "seawall.json").read_bytes())["id"], lines, passphrase)
        wrapped = [f"keys/{path.parent.name}/{path.name}" for path in sorted(self.root.glob("keys/*/*"))]
        opened = [keys.unwrap(json.loads(b"".join(self.read(name, KEY))))
                  for name in wrapped if not name.startswith("keys/plain/")]
        need(any(opened), "the key opens none of the data keys")
        self.keys = keys
        for name in sorted((name for name in wrapped if name.startswith("keys/plain/")), reverse=True):
            try:
                marker = b"".join(self.read(name, MARKER))
            except Damaged:
                continue
            keys.plain = {value for (value,) in struct.iter_unpack("<Q", marker)}
            break

    def open(self, name, kind=None):
        try:
            return Sealed(memoryview((self.root / name).read_bytes()), sealed_name(name), kind, self.keys)
        except FileNotFoundError as error:
            raise Damaged(f"{name}: it is not there") from error
        except Damaged as error:
            raise Damaged(f"{name}: {error}") from error

    def open_part(self, name, head, number):
        return self.open(f"{name}.{head.attempt:016x}.{number:04d}", PART)

    def read(self, name, kind=None):
        """The content of an object, piece by piece."""
        head = self.open(name, kind)
        return read_whole(head, lambda number: self.open_part(name, head, number))

    def manifest(self, name):
        """The head of a backup (a dict) and its records (a list)."""
        head = self.open(name, MANIFEST)
        content = b"".join(self.read(name, MANIFEST))
        body, text = content[:head.parts_bytes], content[head.parts_bytes:]
        return json.loads(text), list(read_records(io.BytesIO(body)))

    def read_file(self, name, head, record):
        """The content of one file of the backup whose manifest is the object `name`; its checksum is compared last."""
        crc = 0
        for content in self.read_extents(name, head, record):
            crc = crc32c(content, crc)
            yield content
        need(crc == record["crc32c"], f"{record['path']}: the checksum of the file is wrong")

    def read_extents(self, name, head, record):
        """The same without the file's checksum (each frame's is compared anyway)."""
        prefix = name.rsplit("/", 2)[0]
        for length, source, pack, offset in record["extents"]:
            if pack == ZEROS:
                yield bytes(length)
                continue
            pack_name = f"{prefix}/pack/{head['sources'][source]}/{pack:06d}"
            if self.pack_last[0] != pack_name:
                self.pack_last = (pack_name, self.open(pack_name, PACK))
            yield self.pack_last[1].read_range(offset, length)


def read_records(stream):
    """The records of a manifest's body."""
    while True:
        fixed = stream.read(RECORD.size)
        if not fixed:
            return
        need(len(fixed) == RECORD.size, "manifest: it ends inside a record")
        (length, kind, late, path_length, target_length, reserved, mode, size, modified_us, crc32c,
         extents) = RECORD.unpack(fixed)
        need(kind in RECORD_KINDS and late <= 1 and reserved == 0, "manifest: unknown record")
        need(length == RECORD.size + path_length + target_length + extents * EXTENT.size,
             "manifest: a record's length does not fit")
        rest = stream.read(length - RECORD.size)
        need(len(rest) == length - RECORD.size, "manifest: it ends inside a record")
        record = {"kind": RECORD_KINDS[kind], "late": bool(late), "path": rest[:path_length],
                  "target": rest[path_length:path_length + target_length], "mode": mode, "size": size,
                  "modified_us": modified_us, "crc32c": crc32c,
                  "extents": list(EXTENT.iter_unpack(rest[path_length + target_length:]))}
        if record["kind"] in ("file", "outside"):
            need(sum(extent[0] for extent in record["extents"]) == size, "manifest: extents do not add up")
        yield record


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("place", help="an object's file, or a repository's directory")
    parser.add_argument("name", nargs="?", help="the object in the repository")
    parser.add_argument("--name", dest="stored_name", help="the name that the file was stored under in the repository")
    parser.add_argument("--header", action="store_true", help="print the header instead of the content")
    parser.add_argument("--list", action="store_true", help="the files of a backup")
    parser.add_argument("--file", help="the content of one file of a backup")
    parser.add_argument("--key-file", help="the key of an encrypted repository")
    parser.add_argument("--passphrase-file", help="its passphrase")
    parser.add_argument("--output", help="write to this file instead of standard output")
    options = parser.parse_args()
    if (options.name is None) == (options.stored_name is None):
        parser.error("either FILE --name NAME or REPOSITORY NAME")
    if options.name is None and (options.list or options.file is not None):
        parser.error("--list and --file need REPOSITORY and the name of a manifest")
    if options.key_file and options.passphrase_file:
        parser.error("--key-file or --passphrase-file")
    return options


def key_lines(path):
    """The keys in a file: its lines without blanks at the end, but for empty ones and comments."""
    lines = (line.rstrip(b" \t\r") for line in pathlib.Path(path).read_bytes().split(b"\n")) if path else ()
    return [line for line in lines if line and not line.startswith(b"#")]


def print_record(record):
    path = record["path"].decode(errors="backslashreplace")
    target = " -> " + record["target"].decode(errors="backslashreplace") if record["target"] else ""
    return f"{record['kind']:8}{record['mode']:04o} {record['size']:12} {record['crc32c']:08x} {path}{target}\n".encode()


def no_part(number):
    raise Damaged(f"part {number} lies in an object of its own: give the repository and the name")


def pieces(options):
    """What is to be written."""
    if options.stored_name is not None:
        data = memoryview(pathlib.Path(options.place).read_bytes())
        head = Sealed(data, sealed_name(options.stored_name))
        content = read_whole(head, no_part)
    else:
        lines = key_lines(options.key_file or options.passphrase_file)
        repository = Repository(options.place, lines, bool(options.passphrase_file))
        head = repository.open(options.name)
        content = repository.read(options.name)
    if options.header:
        yield json.dumps(head.describe(), indent=2).encode() + b"\n"
    elif options.list:
        yield from map(print_record, repository.manifest(options.name)[1])
    elif options.file is not None:
        manifest, records = repository.manifest(options.name)
        found = [record for record in records if record["path"] == options.file.encode(errors="surrogateescape")]
        need(found, f"the backup has no file {options.file}")
        yield from repository.read_file(options.name, manifest, found[0])
    else:
        yield from content


def main():
    options = arguments()
    try:
        if options.output:
            with open(options.output, "wb") as out:
                out.writelines(pieces(options))
        else:
            sys.stdout.buffer.writelines(pieces(options))
            sys.stdout.buffer.flush()
    except (Damaged, OSError) as error:
        print(f"unseal.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
