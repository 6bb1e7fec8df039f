"""A backup taken apart and put together again by the independent reader, contrib/unseal.py: no code of Seawall runs."""

import importlib.util
import pathlib
import shlex
import sys

from . import process
from .cluster import Cluster

UNSEAL = pathlib.Path(__file__).resolve().parents[3] / "contrib/unseal.py"


def unseal():
    spec = importlib.util.spec_from_file_location("unseal", UNSEAL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Backup:
    """One backup in a repository that is a directory: head (a dict) and records."""

    def __init__(self, repository, name):
        self.reader = unseal().Repository(repository)
        self.name = name
        self.id = name.rsplit("/", 1)[1]
        self.generation = name.rsplit("/", 2)[0]
        self.head, self.records = self.reader.manifest(name)

    def record(self, path):
        found = [record for record in self.records if record["path"].decode() == path]
        return found[0] if found else None

    def content(self, path):
        """Bytes of one file; the checksum of a big one takes Python too long (each frame has one of its own)."""
        record = self.record(path)
        small = record["size"] < 1 << 20
        read = self.reader.read_file if small else self.reader.read_extents
        return b"".join(read(self.name, self.head, record))

    def paths(self, kind="file"):
        return [record["path"].decode() for record in self.records if record["kind"] == kind]

    def damaged(self):
        """(path, block) of the pages that are really damaged."""
        return [(found["path"], found["block"]) for found in self.head["findings"] if not found["warning"]]

    def write(self, folder):
        """All of it into a new folder; tablespaces and a linked pg_wal into folders beside it."""
        made = [folder]
        folder.mkdir(mode=0o700)
        for record in self.records:
            path = folder / record["path"].decode()
            if record["kind"] == "folder":
                path.mkdir(mode=record["mode"])
                made.append(path)
            elif record["kind"] == "link":
                place = folder.parent / f"{folder.name}.{path.name}"
                place.mkdir(mode=0o700)
                path.symlink_to(place)
                made += [place]
            elif record["kind"] == "file":
                with open(path, "wb") as out:
                    out.writelines(self.reader.read_extents(self.name, self.head, record))
                assert path.stat().st_size == record["size"], path
                path.chmod(record["mode"])
                made.append(path)
        for each in made:
            process.own(each)

    def restore(self, folder, name):
        """A cluster that replays all WAL of the repository and promotes. Not started."""
        cluster = Cluster(folder, self.head["major"], name)
        self.write(cluster.data)
        moved = "".join(f"{space['oid']} {cluster.data.parent / cluster.data.name}.{space['oid']}\n"
                        for space in self.head["tablespaces"])
        if moved:
            (cluster.data / "tablespace_map").write_text(moved)
        script = folder / f"{name}.wal"
        script.write_text(f"""#!/bin/sh
case $1 in
*.history) name=timeline/$1 ;;
*) name=wal/$(printf %.8s "$1")/$(printf %s "$1" | cut -c 9-16)/$1 ;;
esac
test -e {shlex.quote(f"{self.reader.root}/{self.generation}")}/"$name" || exit 1
{shlex.quote(sys.executable)} {shlex.quote(str(UNSEAL))} {shlex.quote(str(self.reader.root))} \
    {shlex.quote(self.generation)}/"$name" --output "$2" || exit 255
""")
        script.chmod(0o755)
        cluster.configure(archive_mode="off", restore_command=f"{script} %f %p", recovery_target_action="promote",
                          recovery_target_timeline="latest")
        process.own(cluster.data / "postgresql.conf")
        (cluster.data / "recovery.signal").touch()
        process.own(cluster.data / "recovery.signal")
        return cluster


def backups(repository):
    """The names of all backups; their parts are none."""
    return sorted(str(path.relative_to(repository)) for path in pathlib.Path(repository).glob("*/*/backup/*")
                  if "." not in path.name)


def last(repository):
    """The newest backup by timeline and position; names of the same second sort at random."""
    def position(backup):
        high, low = backup.head["stop_lsn"].split("/")
        return backup.head["start_tli"], int(high, 16), int(low, 16)

    return max((Backup(repository, name) for name in backups(repository)), key=position)


def packs(repository):
    return sorted(pathlib.Path(repository).glob("*/*/pack/*/*"))
