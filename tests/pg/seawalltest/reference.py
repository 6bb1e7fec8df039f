"""The plainest backup and restore there is, with cp alone: it shows that the oracle is right before it judges others."""

import contextlib
import shutil

from .cluster import Cluster

SKIP = ("pg_wal", "postmaster.pid", "postmaster.opts", "pg_replslot", "pg_stat_tmp", "pg_subtrans", "pg_notify",
        "pg_serial", "pg_snapshots", "pg_dynshmem")


def archive(cluster, folder):
    """An archive_command that copies; a file that is there already with the same content is success."""
    folder.mkdir()
    cluster.configure(archive_command=f"cmp -s %p {folder}/%f || {{ test ! -f {folder}/%f && cp %p {folder}/%f.new && "
                                      f"mv {folder}/%f.new {folder}/%f; }}")


def backup(cluster, folder):
    """Without tablespaces; the label comes from PostgreSQL."""
    start, stop = ("pg_backup_start('reference', true)", "pg_backup_stop(false)")
    if cluster.major < 15:
        start, stop = ("pg_start_backup('reference', true, false)", "pg_stop_backup(false, false)")
    with contextlib.closing(cluster.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {start}")
        copy_changing(cluster.data, folder)
        cursor.execute(f"SELECT labelfile FROM {stop}")
        (folder / "backup_label").write_text(cursor.fetchone()[0])


def copy_changing(source, target):
    """A tree whose files come and go meanwhile: what vanished is brought or removed by WAL."""
    def ignore(here, names):
        return [each for each in names if here == str(source) and each in SKIP]

    def copy(one, other):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(one, other)

    shutil.copytree(source, target, ignore=ignore, copy_function=copy)
    target.chmod(0o700)
    for each in SKIP:
        if not each.startswith("postmaster"):
            (target / each).mkdir(mode=0o700)
    (target / "pg_wal/archive_status").mkdir(mode=0o700)


def restore(folder, copy, target, restore_command, major):
    """A cluster that replays up to the target, then promotes. Not started."""
    name = f"restored{len(list(folder.glob('restored*.s')))}"
    shutil.copytree(copy, folder / name, symlinks=True)
    cluster = Cluster(folder, major, name)
    cluster.configure(archive_mode="off", restore_command=restore_command, recovery_target_timeline="latest",
                      recovery_target_action="promote", **target.settings)
    (cluster.data / "recovery.signal").touch()
    return cluster
