#!/usr/bin/python3
"""Counts what tests said.

    count.py kind RESULTS/KIND SECONDS   one line about a kind; exit status 1 when something failed
    count.py total RESULTS KIND...       names what failed; the last line is "N passed, N failed, N skipped"

A result that is missing counts as a failure: a test of the plan that never spoke, a program that ended
badly without naming a test, a kind that ran nothing.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

TAP_LINE = re.compile(r"(not )?ok\b\s*(\d*)\s*(?:-\s*)?(.*)")


class Count:
    def __init__(self):
        self.passed = self.skipped = 0
        self.failures = []

    def add(self, other):
        self.passed += other.passed
        self.skipped += other.skipped
        self.failures += other.failures

    @property
    def total(self):
        return self.passed + self.skipped + len(self.failures)

    def __str__(self):
        return f"{self.passed} passed, {len(self.failures)} failed, {self.skipped} skipped"


def count_tap(path):
    """A program may print several plans, one for each group; cmocka writes a skipped test as "not ok # SKIP"."""
    count, planned, spoken, status = Count(), 0, 0, None
    for line in path.read_text(errors="replace").splitlines():
        plan, end, test = re.match(r"1\.\.(\d+)", line), re.match(r"# exit (\d+)", line), TAP_LINE.match(line)
        if plan:
            planned += int(plan[1])
        elif end:
            status = int(end[1])
        elif test:
            spoken += 1
            if re.search(r"# ?SKIP\b", test[3], re.IGNORECASE):
                count.skipped += 1
            elif test[1]:
                count.failures.append(f"{path.stem}: {test[3]}")
            else:
                count.passed += 1
    if spoken < planned:
        count.failures += [f"{path.stem}: a planned test did not run"] * (planned - spoken)
    elif planned == 0:
        count.failures.append(f"{path.stem}: ran no test")
    if status != 0 and not count.failures:
        count.failures.append(f"{path.stem}: exit status {status}")
    return count


def count_junit(path):
    count = Count()
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except xml.etree.ElementTree.ParseError:
        cases = []
    for case in cases:
        name = f"{case.get('classname')}: {case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            count.failures.append(name)
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    if not cases:
        count.failures.append(f"{path.stem}: ran no test")
    status = path.with_suffix(".exit").read_text().strip()
    if status != "# exit 0" and not count.failures:
        count.failures.append(f"{path.stem}: pytest ended early, {status[2:]}")
    return count


def count_kind(folder):
    count = Count()
    for path in sorted(folder.glob("*.tap")):
        count.add(count_tap(path))
    for path in sorted(folder.glob("*.xml")):
        count.add(count_junit(path))
    if count.total == 0:
        count.failures.append(f"{folder.name}: ran no test")
    return count


def main(command, folder, *rest):
    folder = pathlib.Path(folder)
    if command == "kind":
        count = count_kind(folder)
        print(f"{folder.name:9} {count}, {rest[0]} s", flush=True)
    else:
        count = Count()
        for kind in rest:
            count.add(count_kind(folder / kind))
        for failure in count.failures:
            print(f"failed: {failure}")
        print(count)
    return 1 if count.failures or count.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
