"""Archiving and fetching alone: the backup is a plain copy, so that only the WAL is Seawall's.

Whatever is killed while the ledger is written, everything that PostgreSQL was told is safe comes back.
"""

import subprocess

import pytest
from seawalltest import Target, breakers, faults, reference, wait_for
from seawalltest.ledger import Ledger


@pytest.fixture(name="archived")
def fixture_archived(made, scratch):
    """A cluster that archives through a running server, its ledger, and a copy of it."""
    cluster = made.cluster(segment_mb=1).start()
    wall = made.seawall(cluster)
    wall.init()
    wall.serve()
    wall.archive()
    ledger = Ledger(cluster).prepare()
    reference.backup(cluster, scratch / "copy")
    return cluster, wall, ledger


def comes_back(made, archived, target=Target("latest")):
    """Ends the segment, waits until it is archived, restores a copy through the hook, and asks the ledger."""
    cluster, wall, ledger = archived
    ledger.settle()
    end = cluster.insert_lsn()
    cluster.wait_archived(deadline_s=120)
    restored = made.add(reference.restore(made.folder, made.folder / "copy", target, wall.restore_command(), 15))
    restored.start().wait_primary()
    ledger.check(restored, target, end)
    return restored


def test_every_target_comes_back_through_the_server(made, archived):
    _, _, ledger = archived
    with ledger.writing(breakers=breakers.ORDINARY):
        ledger.wait_commits(40)
        mark = ledger.mark("quiet")
        ledger.wait_commits(40)
    for target in [*ledger.targets(mark), ledger.random_target(), Target("latest")]:
        comes_back(made, archived, target).stop()


def test_without_a_server_the_hook_archives_and_fetches_alone(made, archived):
    _, wall, ledger = archived
    wall.stop()
    with ledger.writing():
        ledger.wait_commits(40)
    comes_back(made, archived)


def test_nothing_is_lost_when_server_hook_and_postgres_are_killed(made, archived):
    cluster, wall, ledger = archived
    with ledger.writing(breakers=(breakers.big_rows, breakers.wal)):
        for _ in range(3):
            ledger.wait_commits(100)
            wall.kill()
            ledger.wait_commits(100)
            wall.serve()
            wall.freeze()
            faults.kill(wait_for(lambda: faults.hooks(cluster), "a hook that waits for the server")[0])
            wall.thaw()
            ledger.wait_commits(100)
            cluster.kill()
            cluster.start()
    comes_back(made, archived)


def test_d52_a_server_that_hangs_does_not_stop_a_fetch(made, archived):
    cluster, wall, _ = archived
    segment = cluster.wait_archived()
    wall.freeze()
    subprocess.run([wall.bin / "seawall-wal", "--config", wall.config, "fetch", segment, "pg_wal/FETCHED"],
                   cwd=cluster.data, check=True, timeout=60)
    fetched = cluster.data / "pg_wal/FETCHED"
    assert fetched.stat().st_size == 1 << 20
    fetched.unlink()
    wall.thaw()
