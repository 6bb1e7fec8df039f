"""The oracle: a random history full of faults, several restores in place in a row, then random targets on every timeline.

Whatever was acknowledged must come back, exactly up to the target and nothing later. SEAWALL_ORACLE_SEED repeats a run (as far
as the machine's own timing allows), SEAWALL_ORACLE_SECONDS makes it longer.
"""

import dataclasses
import os
import random
import time

from seawalltest import Target, breakers, checks, faults, wait_for
from seawalltest.ledger import Ledger, lsn_bytes

SECONDS = int(os.environ.get("SEAWALL_ORACLE_SECONDS", "100"))
SEED = int(os.environ.get("SEAWALL_ORACLE_SEED", random.SystemRandom().randrange(1 << 32)))
HISTORY_SHARE = 0.5  # of the time; the restores have the rest
PHASES = 3  # timelines
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

    def __init__(self, made):
        self.made, self.dice = made, random.Random(SEED)
        self.cluster = made.cluster(segment_mb=self.dice.choice((1, 16))).start()
        self.wall = made.seawall(self.cluster)
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

    def phase(self, seconds):
        """A while of writing and faults on one timeline; ends with everything archived."""
        deeds = [self.server_killed, self.server_frozen, self.hook_killed, self.repository_full, self.repository_gone,
                 self.postgres_killed, self.backup, self.mark, self.mark]
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


def test_whatever_happens_every_target_gives_exactly_its_rows(made):
    print(f"SEAWALL_ORACLE_SEED={SEED}")
    chaos = Chaos(made)
    begun = time.monotonic()
    try:
        for phase in range(PHASES):
            if phase:
                chaos.back_in_place()
            chaos.phase(SECONDS * HISTORY_SHARE / PHASES)
        judged = 0
        while judged < TARGETS_MIN or time.monotonic() - begun < SECONDS:
            chaos.judge(KINDS[judged % len(KINDS)])
            judged += 1
    finally:
        print("\n".join(chaos.story))
    print(f"{judged} targets on timelines {[branch.tli for branch in chaos.branches]}, "
          f"{len(chaos.ledger.entries)} rows on the last")
