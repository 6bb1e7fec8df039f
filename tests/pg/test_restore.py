"""`seawall restore`: what was committed up to the target, and nothing else."""

import pytest

from seawalltest import checks
from seawalltest.cluster import Cluster
from seawalltest.ledger import Ledger, Target


class Story:
    """A cluster with a backup in the middle of its ledger."""

    def __init__(self, made, major=15, **settings):
        self.made, self.major = made, major
        self.cluster = made.cluster(major, **settings)
        self.wall = made.seawall(self.cluster)
        self.wall.init()
        self.wall.archive()
        self.cluster.start()
        self.ledger = Ledger(self.cluster).prepare()
        self.count = 0

    def write(self, commits=30, **more):
        with self.ledger.writing(**more):
            self.ledger.wait_commits(commits)

    def backup(self):
        self.wall.run("backup")

    def archived(self):
        lsn = self.cluster.insert_lsn()
        self.cluster.wait_archived()
        return lsn

    def folder(self):
        """A fresh place, and the cluster that will be there."""
        self.count += 1
        name = f"r{self.count}"
        return self.made.add(Cluster(self.made.folder, self.major, name))

    def restore(self, *arguments, start=True, status=0, deadline_s=120):
        """Into a fresh place; returns the cluster there and what the command said."""
        cluster = self.folder()
        result = self.wall.run("restore", *arguments, "--pgdata", cluster.data,
                               "--option", f"unix_socket_directories={cluster.sockets}",
                               *(["--start"] if start else []), status=status, deadline_s=deadline_s)
        return cluster, result


@pytest.fixture
def story(made):
    story = Story(made)
    story.write()
    story.backup()
    story.write()
    return story


def test_to_the_latest_has_every_row(story):
    lsn = story.archived()
    restored, result = story.restore()
    story.ledger.check(restored, Target("latest"), lsn)
    assert not restored.in_recovery()
    assert restored.timeline() == 2, result
    checks.amcheck(restored)


@pytest.mark.parametrize("kind", range(4), ids=["time", "lsn", "name", "xid"])
def test_to_a_quiet_moment(story, kind):
    mark = story.ledger.mark("quiet")
    story.write()
    story.archived()
    target = story.ledger.targets(mark)[kind]
    restored, _ = story.restore(*target.arguments)
    story.ledger.check(restored, target)
    assert restored.timeline() == 2


def test_before_and_including_a_commit(story):
    story.archived()
    for kind in ("time", "lsn", "xid"):
        for _ in range(2):
            target = story.ledger.random_target(kind)
            restored, result = story.restore(*target.arguments, status=None)
            if result.status == 0:
                story.ledger.check(restored, target)
                restored.stop("immediate")
            else:  # it lies before the end of the backup
                assert result.status in (1, 5), result


def test_to_the_end_of_the_backup(story):
    restored, result = story.restore("--to", "backup-end")
    assert not restored.in_recovery()
    assert restored.one("SELECT count(*) FROM ledger") >= 30, result


def test_a_directory_that_is_not_started_is_accepted_by_pg_verifybackup(story):
    lsn = story.archived()
    restored, result = story.restore(start=False)
    checks.verify_directory(restored.data)
    assert "pg_ctl" in result.out
    assert not (restored.data / "seawall.journal").exists()
    restored.start()
    restored.wait_primary()
    story.ledger.check(restored, Target("latest"), lsn)
