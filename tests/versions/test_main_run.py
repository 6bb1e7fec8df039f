"""The main run on every version but Debian's own: whatever the target, exactly its rows come back."""

import pytest
from seawalltest import Target, checks, scenario


def test_every_kind_of_target_gives_exactly_its_rows(made, major):
    past = scenario.history(made, made.cluster(major))
    for number, target in enumerate([*past.ledger.targets(past.mark), Target("latest")]):
        restored, _ = past.wall.restore(target, f"restored{number}", "--start")
        made.add(restored)
        past.ledger.check(restored, target, past.end)
        checks.amcheck(restored)
        restored.stop()


@pytest.mark.parametrize("segment_mb", [1, 64])
def test_d54_segments_of_another_size_come_back(made, major, segment_mb):
    past = scenario.history(made, made.cluster(major, segment_mb=segment_mb), commits=20)
    target = Target("name", "quiet", mark=past.mark)
    restored, _ = past.wall.restore(target, "restored")
    made.add(restored)
    checks.verify_directory(restored.data)
    restored.start().wait_primary()
    past.ledger.check(restored, target, past.end)
