#!/usr/bin/python3
"""Counts what tests said.

    count.py kind RESULTS/KIND SECONDS   one line about a kind; exit status 1 when something failed
    count.py total RESULTS KIND...       names what failed; the last line is "N passed, N failed, N skipped"

A result that is missing counts as a failure: a test of the plan that never spoke, a program that ended
badly without naming a test, a kind that ran nothing. What failed is named with the reason: what the test
compared, the signal that ended a program, what an assertion or a sanitizer said.
"""

import itertools
import pathlib
import re
import signal
import sys
import xml.etree.ElementTree

TAP_LINE = re.compile(r"(not )?ok\b\s*(\d*)\s*(?:-\s*)?(.*)")
LAST_WORDS = re.compile(r"Assertion .* failed|runtime error:|SUMMARY: \w+Sanitizer|ERROR: \w+Sanitizer|FATAL: \w+Sanitizer")
REASON_CHARACTERS_MAX = 300
STATUS_TIMEOUT = 124  # timeout(1)


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


def last_words(path):
    """What a program said of its own end, in what it wrote beside its results: the last such line, or ""."""
    said = path.with_suffix(".err")
    lines = said.read_text(errors="replace").splitlines() if said.exists() else []
    return next((": " + line.strip("= ")[:REASON_CHARACTERS_MAX] for line in reversed(lines) if LAST_WORDS.search(line)), "")


def why_ended(status):
    if status is None:
        return "never ended"
    if status == STATUS_TIMEOUT:
        return "took too long and was stopped"
    number = status - 128 if status > 128 else -1
    return f"ended by {signal.Signals(number).name}" if number in set(signal.Signals) else f"exit status {status}"


def count_tap(path):
    """A program may print several plans, one for each group; cmocka writes a skipped test as "not ok # SKIP"."""
    count, planned, spoken, status = Count(), 0, 0, None
    last, failing = "", False
    for line in path.read_text(errors="replace").splitlines():
        plan, end, test = re.match(r"1\.\.(\d+)", line), re.match(r"# exit (\d+)", line), TAP_LINE.match(line)
        if plan:
            planned += int(plan[1])
        elif end:
            status = int(end[1])
        elif test:
            spoken += 1
            last, failing = f' after "{test[3]}"', False
            if re.search(r"# ?SKIP\b", test[3], re.IGNORECASE):
                count.skipped += 1
            elif test[1]:
                failing = True
                count.failures.append(f"{path.stem}: {test[3]}")
            else:
                count.passed += 1
        elif failing and line.startswith("# ") and not line.startswith("# not ok"):
            count.failures[-1] = f"{count.failures[-1]} | {line[2:].strip()}"[:REASON_CHARACTERS_MAX]
    if spoken < planned:
        count.failures.append(f"{path.stem}: {why_ended(status)}{last}{last_words(path)}")
        count.failures += [f"{path.stem}: a planned test did not run"] * (planned - spoken - 1)
    elif planned == 0:
        count.failures.append(f"{path.stem}: ran no test, {why_ended(status)}{last_words(path)}")
    if status != 0 and not count.failures:
        count.failures.append(f"{path.stem}: {why_ended(status)}{last_words(path)}")
    return count


def count_junit(path):
    count = Count()
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except xml.etree.ElementTree.ParseError:
        cases = []
    for case in cases:
        failed = [found for found in (case.find("failure"), case.find("error")) if found is not None]
        if failed:
            why = " ".join((failed[0].get("message") or "").split())
            count.failures.append(f"{case.get('classname')}: {case.get('name')} | {why}"[:REASON_CHARACTERS_MAX])
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
        count.failures.append("ran no test")
    return count


def main(command, folder, *rest):
    folder = pathlib.Path(folder)
    if command == "kind":
        count = count_kind(folder)
        print(f"{folder.name:9} {count}, {rest[0]} s", flush=True)
    else:
        count = Count()
        for kind in rest:
            found = count_kind(folder / kind)
            count.add(found)
            for failure, group in itertools.groupby(found.failures):
                times = len(list(group))
                print(f"failed: {kind}: {failure}" + (f" ({times} times)" if times > 1 else ""))
        print(count)
    return 1 if count.failures or count.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
