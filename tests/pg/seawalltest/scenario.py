"""The main run, which several kinds of tests repeat: archive, back up, work on, and know what must come back."""

import dataclasses

from . import breakers
from .cluster import Cluster
from .ledger import Ledger, Mark
from .seawall import Seawall


@dataclasses.dataclass
class History:
    """A cluster with a backup, a quiet moment after it, more work after that, all of it archived."""
    cluster: Cluster
    wall: Seawall
    ledger: Ledger
    mark: Mark
    end: str  # the LSN up to which everything is archived


def archiving(made, *args, serve=True, **settings):
    """A started cluster (its arguments are those of `made.cluster`) that archives into a new repository, with a server or without."""
    cluster = made.cluster(*args, **settings)
    wall = made.seawall(cluster)
    wall.init()
    if serve:
        wall.serve()
    cluster.start()
    wall.archive()
    return cluster, wall


def history(made, cluster, what=breakers.ORDINARY, commits=40):
    """Archives and backs up a new cluster that is in use all the time. The writers have ended, the servers run."""
    cluster.start()
    wall = made.seawall(cluster)
    wall.init()
    wall.serve()
    wall.archive()
    ledger = Ledger(cluster).prepare()
    with ledger.writing(breakers=what):
        ledger.wait_commits(commits)
        wall.run("backup")
        ledger.wait_commits(commits)
        mark = ledger.mark("quiet")
        ledger.wait_commits(commits)
    end = cluster.insert_lsn()
    wall.wait_archived()
    return History(cluster, wall, ledger, mark, end)
