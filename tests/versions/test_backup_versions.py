"""Backups of every version, put together again by the independent reader and started."""

import pytest
from seawalltest import Target, breakers, rebuild
from seawalltest.ledger import Ledger


@pytest.mark.parametrize("major", [13, 14, 15, 16, 17, 18])
def test_a_backup_in_use_comes_back(made, scratch, major):
    cluster = made.cluster(major, segment_mb=64 if major == 16 else 16).start()
    wall = made.seawall(cluster)
    wall.init()
    wall.serve()
    wall.archive()
    ledger = Ledger(cluster).prepare()
    with ledger.writing(breakers=breakers.ORDINARY):
        ledger.wait_commits(20)
        wall.run("backup")
        ledger.wait_commits(20)
    ledger.settle()
    end = cluster.insert_lsn()
    wall.wait_archived()
    backup = rebuild.last(wall.repository)
    assert backup.head["major"] == major and backup.head["findings_total"] == "0"
    cluster.stop()
    restored = made.add(backup.restore(scratch, "restored")).start()
    restored.wait_primary()
    ledger.check(restored, Target("latest"), end)
