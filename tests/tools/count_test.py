"""count.py counts what was said, and takes silence for failure."""

import pathlib
import subprocess
import sys

import count

GOOD = "1..2\nok 1 - keeps the file\nok 2 - finds it again\n# ok - group\n"


def tap(tmp_path, text, said=""):
    path = tmp_path / "unit" / "x_test.tap"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.with_suffix(".err").write_text(said)
    return count.count_tap(path)


def test_counts_what_passed(tmp_path):
    assert str(tap(tmp_path, GOOD + GOOD + "# exit 0\n")) == "4 passed, 0 failed, 0 skipped"


def test_counts_what_failed_and_names_it(tmp_path):
    result = tap(tmp_path, "1..2\nok 1 - a\nnot ok 2 - loses a byte\n# exit 1\n")
    assert result.failures == ["x_test: loses a byte"]


def test_what_a_test_compared_is_told_with_it(tmp_path):
    result = tap(tmp_path, "1..2\nnot ok 1 - loses a byte\n# 0x2a != 0x29\n# x_test.c:32: error: Failure!\n"
                 "ok 2 - b\n# not ok - tests\n# exit 1\n")
    assert result.failures == ["x_test: loses a byte | 0x2a != 0x29 | x_test.c:32: error: Failure!"]


def test_a_skip_of_cmocka_is_a_skip(tmp_path):
    assert str(tap(tmp_path, "1..2\nok 1 - a\nnot ok 2 # SKIP b\n# exit 0\n")) == "1 passed, 0 failed, 1 skipped"


def test_a_crash_fails_every_test_that_did_not_speak(tmp_path):
    assert len(tap(tmp_path, "1..4\nok 1 - a\n# exit 139\n").failures) == 3


def test_a_crash_is_told_with_its_signal_and_its_last_words(tmp_path):
    said = "x_test: src/a.c:228: forget: Assertion `users == 0' failed.\nAborted\n"
    result = tap(tmp_path, "1..3\nok 1 - a\n# exit 134\n", said)
    assert result.failures == [
        "x_test: ended by SIGABRT after \"a\": x_test: src/a.c:228: forget: Assertion `users == 0' failed.",
        "x_test: a planned test did not run"]
    summary = "==7==\nSUMMARY: ThreadSanitizer: data race a.c:5 in f\n"
    assert tap(tmp_path, GOOD + "# exit 66\n", summary).failures == [
        "x_test: exit status 66: SUMMARY: ThreadSanitizer: data race a.c:5 in f"]
    assert tap(tmp_path, "1..2\n# exit 124\n").failures[0] == "x_test: took too long and was stopped"


def test_a_bad_exit_without_a_failed_test_is_a_failure(tmp_path):
    assert tap(tmp_path, GOOD + "# exit 66\n").failures == ["x_test: exit status 66"]


def test_a_program_that_never_ended_is_a_failure(tmp_path):
    assert tap(tmp_path, GOOD).failures == ["x_test: never ended"]


def test_no_test_at_all_is_a_failure(tmp_path):
    assert tap(tmp_path, "1..0\n# exit 0\n").failures == ["x_test: ran no test, exit status 0"]
    assert count.count_kind(tmp_path / "pg").failures == ["ran no test"]


def test_reads_what_pytest_writes(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
        "def test_c(): pytest.skip('no')\n@pytest.fixture\ndef bad(): 1 / 0\ndef test_d(bad): pass\n")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "test_some.py"],
                   cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    (tmp_path / "r.exit").write_text("# exit 1\n")
    result = count.count_junit(tmp_path / "r.xml")
    assert str(result) == "1 passed, 2 failed, 1 skipped"
    assert result.failures[0] == "test_some: test_b | assert 0"
    (tmp_path / "r.xml").write_text("<half")
    assert count.count_junit(tmp_path / "r.xml").failures == ["r: ran no test"]


def test_a_pytest_that_ended_early_is_a_failure(tmp_path):
    (tmp_path / "pg.xml").write_text('<testsuites><testsuite><testcase classname="a" name="b"/></testsuite></testsuites>')
    (tmp_path / "pg.exit").write_text("# exit 2\n")
    assert count.count_junit(tmp_path / "pg.xml").failures == ["pg: pytest ended early, exit 2"]
    (tmp_path / "pg.exit").write_text("# exit 0\n")
    assert str(count.count_junit(tmp_path / "pg.xml")) == "1 passed, 0 failed, 0 skipped"


def test_the_last_line_is_the_sum_and_the_status_tells(tmp_path):
    tap(tmp_path, GOOD + "# exit 0\n")
    tool = pathlib.Path(count.__file__)

    def total(*kinds):
        run = subprocess.run([sys.executable, tool, "total", tmp_path, *kinds], stdout=subprocess.PIPE, text=True,
                             check=False)
        return run.returncode, run.stdout.splitlines()

    assert total("unit") == (0, ["2 passed, 0 failed, 0 skipped"])
    assert total("unit", "pg") == (1, ["failed: pg: ran no test", "2 passed, 1 failed, 0 skipped"])
    tap(tmp_path, "1..4\nok 1 - a\n# exit 139\n")
    assert total("unit") == (1, ['failed: unit: x_test: ended by SIGSEGV after "a"',
                                 "failed: unit: x_test: a planned test did not run (2 times)",
                                 "1 passed, 3 failed, 0 skipped"])
