"""The oracle: a random history full of faults, several restores in place in a row, then random targets on every timeline.

Whatever was acknowledged must come back, exactly up to the target and nothing later. SEAWALL_ORACLE_SEED repeats a run (as far
as the machine's own timing allows), SEAWALL_ORACLE_SECONDS makes it longer.
"""

import dataclasses
import os
import random
import time

import pytest
from seawalltest import Target, breakers, checks, faults, process, wait_for
from seawalltest.ledger import Ledger, lsn_bytes
from seawalltest.s3 import at, seawall_in

SECONDS = int(os.environ.get("SEAWALL_ORACLE_SECONDS", "100"))
SEED = int(os.environ.get("SEAWALL_ORACLE_SEED", random.SystemRandom().randrange(1 << 32)))
HISTORY_SHARE = 0.5  # of the time; the restores have the rest
PHASES = 3  # timelines
S3_SHARE, S3_TARGETS_MIN = 0.6, 4
TARGETS_MIN = 6  # judged at least, however slow the machine is
KINDS = ("time", "lsn", "xid", "name", "latest")


@dataclasses.dataclass
class Branch:
    """One timeline: what it holds up to the LSN that is in the archive."""
    ledger: Ledger
    tli: int
    end: str


class Chaos:
    """The cluster, what was done to it, and what must come back."""

    def __init__(self, made, seawall=None):
        self.made, self.dice = made, random.Random(SEED)
        self.cluster = made.cluster(segment_mb=self.dice.choice((1, 16))).start()
        self.wall = (seawall or made.seawall)(self.cluster)
        self.wall.init()
        self.wall.serve()
        self.wall.archive()
        self.ledger = Ledger(self.cluster, SEED).prepare()
        self.wall.run("backup")
        self.branches, self.story, self.marks, self.restored = [], [], 0, 0

    # -- faults, each over when it returns --

    def server_killed(self):
        self.wall.kill()
        self.ledger.wait_commits(30)
        self.wall.serve()

    def server_frozen(self):
        self.wall.freeze()
        self.ledger.wait_commits(30)
        self.wall.thaw()

    def hook_killed(self):
        self.wall.freeze()
        self.cluster.switch_wal()
        faults.kill(wait_for(lambda: faults.hooks(self.cluster), "a hook", 90)[0])
        self.wall.thaw()

    def repository_full(self):
        faults.limit_file_bytes(self.wall.server.pid, 10000)
        self.cluster.switch_wal()
        self.ledger.wait_commits(30)
        faults.limit_file_bytes(self.wall.server.pid, None)

    def repository_gone(self):
        other = self.wall.repository.with_name("elsewhere")
        self.wall.repository.rename(other)
        self.cluster.switch_wal()
        self.ledger.wait_commits(30)
        other.rename(self.wall.repository)

    def postgres_killed(self):
        self.cluster.kill()
        self.cluster.start()

    def backup(self):
        self.wall.run("backup")

    def mark(self):
        self.marks += 1
        self.ledger.mark(f"mark {self.marks}")

    # -- the history --

    def deeds(self):
        return [self.server_killed, self.server_frozen, self.hook_killed, self.repository_full, self.repository_gone,
                self.postgres_killed, self.backup, self.mark, self.mark]

    def phase(self, seconds):
        """A while of writing and faults on one timeline; ends with everything archived."""
        deeds = self.deeds()
        end = time.monotonic() + seconds
        with self.ledger.writing(breakers=breakers.ORDINARY):
            self.ledger.wait_commits(10)
            self.mark()
            while time.monotonic() < end:
                self.ledger.wait_commits(self.dice.randrange(10, 60))
                deed = self.dice.choice(deeds)
                self.story.append(deed.__name__)
                deed()
            self.ledger.wait_commits(10)
            self.mark()
        self.ledger.settle()
        self.branches.append(Branch(self.ledger, self.cluster.timeline(), self.cluster.insert_lsn()))
        self.cluster.wait_archived(deadline_s=150)

    def target(self, branch, kind):
        """One that the archive must be able to reach along the branch."""
        if kind == "latest":
            return Target("latest")
        if kind == "name":
            mark = self.dice.choice(branch.ledger.marks)
            return Target("name", mark.name, mark=mark)
        target = branch.ledger.random_target(kind)
        return target if kind != "lsn" or lsn_bytes(target.value) <= lsn_bytes(branch.end) else self.target(branch, kind)

    def back_in_place(self):
        """The cluster itself goes back to some moment of its last branch and from there on onto a new timeline."""
        branch = self.branches[-1]
        target = self.target(branch, self.dice.choice(KINDS))
        self.story.append(f"in place to {target.kind} {target.value}, including: {target.including}")
        if self.dice.random() < 0.5:
            self.cluster.kill()
        self.cluster.stop()
        self.wall.run("restore", "--in-place", "--start", *self.path(branch), *target.arguments)
        self.cluster.wait_primary()
        branch.ledger.check(self.cluster, target, branch.end)
        self.ledger = branch.ledger.branch(self.cluster, self.dice.randrange(1 << 32))

    def path(self, branch):
        return ["--timeline", branch.tli]

    # -- the judgement --

    def judge(self, kind):
        branch = self.dice.choice(self.branches)
        target = self.target(branch, kind)
        self.restored += 1
        name, started = f"r{self.restored}", self.dice.random() < 0.5
        what = f"timeline {branch.tli}, {target.kind} {target.value}, including: {target.including}, started: {started}"
        self.story.append(f"judged: {what}")
        restored, _ = self.wall.restore(target, name, *self.path(branch), *(["--start"] if started else []))
        self.made.add(restored)
        if not started:
            checks.verify_directory(restored.data)
            restored.start(until=())
        restored.wait_primary()
        branch.ledger.check(restored, target, branch.end)
        checks.amcheck(restored)
        restored.remove()


class ChaosInS3(Chaos):
    """The same, encrypted, in a store behind a proxy that spoils what passes, all the time."""

    FAULTS = (("refuse", {}), ("status", {"code": 500, "error": "InternalError"}), ("status", {"code": 503, "drain": False}),
              ("status", {"code": 403, "error": "AccessDenied", "method": "PUT"}), ("reset", {"after": 50}), ("lost_reply", {}),
              ("truncate", {"dir": "down", "after": 50}), ("corrupt", {"after": 50}), ("delay", {"seconds": 0.3}))

    def __init__(self, made, rgw, proxy):
        self.proxy, self.rgw = proxy, rgw
        key = made.folder / "key"
        key.write_text("the key of a repository, long enough to be one\n")
        key.chmod(0o600)
        process.own(key)
        super().__init__(made, lambda cluster: seawall_in(made, cluster, rgw, at(proxy), key_file=key))

    def prove_encrypted(self):
        """Each object but those that are there before any key. Parts, claims and what they hold too."""
        sealed = {key: self.rgw.get(key) for key in self.rgw.keys("wall/main/") if "/claim/" not in key}
        assert len(sealed) > 10 and all(content[:8] == b"SEAWALL\x1a" and content[14] == 1 for content in sealed.values())

    def store_spoilt(self):
        kind, options = self.dice.choice(self.FAULTS)
        self.proxy.add(kind, times=self.dice.randrange(1, 5), **{"path": "/wal/", **options})
        self.story[-1] += f" {kind} {options}"

    def store_gone(self):
        with self.proxy.outage():
            self.cluster.switch_wal()
            self.ledger.wait_commits(30)

    def deeds(self):
        return [self.server_killed, self.hook_killed, self.postgres_killed, self.backup, self.mark, self.store_gone,
                self.store_spoilt, self.store_spoilt, self.store_spoilt]

    def phase(self, seconds):
        super().phase(seconds)
        self.proxy.clear()

    def backup(self):
        """May fail, of a fault that another try of the same cannot mend."""
        self.wall.run("backup", status=None)


def tell(chaos, seconds, targets_min):
    """The history, then the judgement, for so many seconds."""
    print(f"SEAWALL_ORACLE_SEED={SEED}")
    begun = time.monotonic()
    try:
        for phase in range(PHASES):
            if phase:
                chaos.back_in_place()
            chaos.phase(seconds * HISTORY_SHARE / PHASES)
        judged = 0
        while judged < targets_min or time.monotonic() - begun < seconds:
            chaos.judge(KINDS[judged % len(KINDS)])
            judged += 1
    finally:
        print("\n".join(chaos.story))
    print(f"{judged} targets on timelines {[branch.tli for branch in chaos.branches]}, "
          f"{len(chaos.ledger.entries)} rows on the last")


def test_whatever_happens_every_target_gives_exactly_its_rows(made):
    tell(Chaos(made), SECONDS, TARGETS_MIN)


@pytest.mark.s3
def test_whatever_happens_to_s3_every_target_gives_exactly_its_rows(made, rgw, rgw_proxy):
    chaos = ChaosInS3(made, rgw, rgw_proxy)
    tell(chaos, SECONDS * S3_SHARE, S3_TARGETS_MIN)
    chaos.prove_encrypted()
