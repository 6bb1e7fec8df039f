"""An independent reader of the WAL index, made from doc/format.md alone."""

import re
from dataclasses import dataclass, field

NAME = re.compile(r"index/([0-9A-F]{8})/(\d)/([0-9A-F]{16})-([0-9A-F]{16})\.(\d{6})$")
EVENTS = {1: "restore point", 2: "checkpoint", 3: "timeline", 4: "parameters", 5: "poison", 6: "database created",
          7: "database dropped", 8: "transaction", 9: "backup end"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        piece = self.data[self.at:self.at + count]
        assert len(piece) == count
        self.at += count
        return piece

    def fixed(self, count):
        return int.from_bytes(self.bytes(count), "little")

    def number(self):
        value = shift = 0
        while True:
            byte = self.fixed(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    def delta(self, base):
        coded = self.number()
        value = (base + (coded >> 1 ^ -(coded & 1))) % 2**64
        return value

    def signed(self, base):
        value = self.delta(base % 2**64)
        return value - 2**64 if value >= 2**63 else value


@dataclass
class Segment:
    number: int
    lost: int = 0
    records: int = 0
    last_start: int = 0
    last_end: int = 0
    last_tli: int = 0
    commits: int = 0
    aborts: int = 0
    first_xact: int = 0
    last_xact: int = 0
    last_xact_end: int = 0
    first_us: int = 0
    last_us: int = 0
    min_us: int = 0
    max_us: int = 0
    last_commit_us: int = 0
    min_xid: int = 0
    max_xid: int = 0


@dataclass
class Piece:
    level: int
    flags: int
    tli: int
    segment_bytes: int
    first: int
    last: int
    segments: list = field(default_factory=list)
    events: list = field(default_factory=list)
    relations: dict = field(default_factory=dict)  # (tablespace, database, number) -> (limit or None, blocks)
    opens: list = field(default_factory=list)


def read_relation(reader, before):
    database, tablespace = reader.delta(before[1]), reader.delta(before[0])
    return tablespace, database, reader.delta(before[2])


def read_touched(reader):
    touched, before = {}, (0, 0, 0)
    for _ in range(reader.number()):
        before = read_relation(reader, before)
        touched[before] = dict(zip(("flags", "deleted", "updated", "inserted"), [reader.number() for _ in range(4)]))
    return touched


def read_segments(reader, piece):
    last_us = max_xid = 0
    for number in range(piece.first, piece.last + 1):
        segment, base, flags = Segment(number), number * piece.segment_bytes, reader.fixed(1)
        if flags & 4:
            segment.lost = reader.number()
        if flags & 1:
            segment.records = reader.number()
            segment.last_start = reader.delta(base)
            segment.last_end = segment.last_start + reader.number()
            segment.last_tli = piece.tli - reader.number()
        if flags & 2:
            segment.commits, segment.aborts = reader.number(), reader.number()
            segment.first_xact = reader.delta(base)
            segment.last_xact = segment.first_xact + reader.number()
            segment.last_xact_end = segment.last_xact + reader.number()
            segment.first_us = reader.signed(last_us)
            last_us = segment.last_us = reader.signed(segment.first_us)
            segment.min_us = reader.signed(segment.first_us)
            segment.max_us = reader.signed(segment.last_us)
            if flags & 8:
                segment.last_commit_us = reader.signed(segment.last_us)
            segment.min_xid = reader.delta(max_xid)
            max_xid = segment.max_xid = segment.min_xid + reader.number()
        piece.segments.append(segment)


def read_events(reader, piece):
    start, time_us = piece.first * piece.segment_bytes, 0
    for _ in range(reader.number()):
        event = {"kind": EVENTS[reader.fixed(1)]}
        start = event["start"] = reader.delta(start)
        event["end"] = start + reader.number()
        event["tli"] = piece.tli - reader.number()
        time_us = event["time_us"] = reader.signed(time_us)
        event["xid"], event["number"], event["position"] = reader.number(), reader.number(), reader.number()
        event["text"] = reader.bytes(reader.number()).decode()
        event["touched"] = read_touched(reader)
        piece.events.append(event)


def read_blocks(reader):
    count, blocks, at = reader.number(), [], 0
    form = reader.fixed(1) if count else None
    if form == 0:
        for _ in range(count):
            at += reader.number()
            blocks.append(at)
            at += 1
    elif form == 1:
        for _ in range(reader.number()):
            at += reader.number()
            length = reader.number() + 1
            blocks.extend(range(at, at + length))
            at += length
    elif form == 2:
        at = reader.number()
        bits = int.from_bytes(reader.bytes(reader.number()), "little")
        blocks = [at + bit for bit in range(bits.bit_length()) if bits >> bit & 1]
    assert len(blocks) == count
    return blocks


def decode(data):
    reader = Reader(data)
    assert reader.fixed(2) == 1
    piece = Piece(reader.fixed(1), reader.fixed(1), reader.fixed(4), reader.fixed(4), 0, 0)
    assert reader.fixed(4) == 0
    piece.first, piece.last = reader.fixed(8), reader.fixed(8)
    read_segments(reader, piece)
    read_events(reader, piece)
    before = (0, 0, 0)
    for _ in range(reader.number()):
        before = read_relation(reader, before)
        limit = reader.number()
        piece.relations[before] = (limit - 1 if limit else None, read_blocks(reader))
    xid = 0
    for _ in range(reader.number()):
        xid += reader.number()
        piece.opens.append((xid, reader.number(), reader.number(), read_touched(reader)))
    assert reader.at == len(data)
    return piece


def names(wall, level=None):
    """The pieces in the repository, as (timeline, level, first, last, n, path)."""
    found = []
    for path in sorted((wall.repository / "main").glob("*/index/*/*/*")):
        match = NAME.search(str(path))
        assert match, path
        tli, piece_level, first, last, count = match.groups()
        if level is None or int(piece_level) == level:
            found.append((int(tli, 16), int(piece_level), first, last, int(count), path))
    return found


def pieces(wall, unseal, level=0):
    """Of one level, those that count: of several that begin at the same segment the one that ends last."""
    best = {}
    for tli, _, first, last, count, path in names(wall, level):
        best[tli, first] = max(best.get((tli, first), ("", 0, None)), (last, count, path))
    repository = unseal.Repository(wall.repository)
    return [decode(b"".join(repository.read(str(path.relative_to(wall.repository)))))
            for _, (_, _, path) in sorted(best.items())]


def decode_names(data):
    """Names for numbers: {database oid: (name, {number: (oid, kind, schema, name)})}."""
    reader = Reader(data)
    assert reader.fixed(2) == 1 and reader.fixed(6) == 0

    def text():
        return reader.bytes(reader.fixed(2)).decode()

    position, time_us, databases = reader.fixed(8), reader.fixed(8), {}
    for _ in range(reader.fixed(4)):
        oid, name = reader.fixed(4), text()
        schemas, relations = [text() for _ in range(reader.fixed(4))], {}
        for _ in range(reader.fixed(4)):
            number, relation, kind = reader.fixed(4), reader.fixed(4), chr(reader.fixed(1))
            schema = schemas[reader.fixed(4)]
            relations[number] = (relation, kind, schema, text())
        databases[oid] = name, relations
    assert reader.at == len(data)
    return position, time_us, databases


def all_names(wall, unseal):
    repository = unseal.Repository(wall.repository)
    return [decode_names(b"".join(repository.read(str(path.relative_to(wall.repository)))))
            for path in sorted((wall.repository / "main").glob("*/names/*"))]
