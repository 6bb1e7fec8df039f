"""A recovery whose WAL is not whole: whichever segment is lost or damaged, no restore opens the database short of its target."""

from test_restore import Story


def small_story(made):
    """A backup, the WAL since then in a few small segments, and a name near its end."""
    story = Story(made, segment_mb=1)
    story.write(5)
    story.backup()
    for _ in range(2):
        story.write(5)
        story.archived()
    mark = story.ledger.mark("end")
    for _ in range(2):
        story.write(5)
        story.archived()
    story.wall.run("wal", "index")
    end = story.cluster.one("SELECT pg_walfile_name(%s::pg_lsn)", mark.lsn)
    stored = {path.name: path for path in (story.wall.repository / "main").glob("*/wal/00000001/*/*")}
    begin = next(name[:24] for name in stored if name.endswith(".backup"))
    needed = [stored[name] for name in sorted(stored) if begin <= name <= end and len(name) == 24]
    assert len(needed) >= 3 and needed[-1].name == end
    return story, mark, needed


def restored_with(story, target, content, path, start):
    """What a restore says when the segment has this content (None: it is gone)."""
    whole = path.read_bytes()
    path.chmod(0o600)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    cluster, result = story.restore("--to", target, *([] if start else ["--plan"]), start=start, status=None)
    if content is not None:
        path.unlink()
    path.write_bytes(whole)
    return cluster, result


def test_d1_whichever_segment_is_removed_or_damaged_nothing_is_opened_short(made):
    story, mark, needed = small_story(made)
    moment = mark.time.isoformat(sep=" ")
    for path in needed:
        for target in ("name:end", f"lsn:{mark.lsn}", moment):
            _, result = restored_with(story, target, None, path, start=False)
            assert result.status != 0 and path.name in result.err, (path.name, target, result)
        # The latest: what is lost is named, whether it is refused or ends before it.
        _, result = restored_with(story, "latest", None, path, start=False)
        assert path.name in result.out + result.err, (path.name, result)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        cluster, result = restored_with(story, "name:end", bytes(content), path, start=True)
        assert result.status != 0 and path.name in result.err, (path.name, result)
        assert not cluster.pid() and (cluster.data / "recovery.signal").exists() or not cluster.data.exists(), path.name
    cluster, _ = story.restore("--to", "name:end")
    assert {n for (n,) in cluster.sql("SELECT n FROM ledger")} == mark.rows
