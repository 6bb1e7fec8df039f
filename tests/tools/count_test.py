"""count.py counts what was said, and takes silence for failure."""

import pathlib
import subprocess
import sys

import count

GOOD = "1..2\nok 1 - keeps the file\nok 2 - finds it again\n# ok - group\n"


def tap(tmp_path, text):
    path = tmp_path / "unit" / "x_test.tap"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return count.count_tap(path)


def test_counts_what_passed(tmp_path):
    assert str(tap(tmp_path, GOOD + GOOD + "# exit 0\n")) == "4 passed, 0 failed, 0 skipped"


def test_counts_what_failed_and_names_it(tmp_path):
    result = tap(tmp_path, "1..2\nok 1 - a\nnot ok 2 - loses a byte\n# exit 1\n")
    assert result.failures == ["x_test: loses a byte"]


def test_a_skip_of_cmocka_is_a_skip(tmp_path):
    assert str(tap(tmp_path, "1..2\nok 1 - a\nnot ok 2 # SKIP b\n# exit 0\n")) == "1 passed, 0 failed, 1 skipped"


def test_a_crash_fails_every_test_that_did_not_speak(tmp_path):
    assert len(tap(tmp_path, "1..4\nok 1 - a\n# exit 139\n").failures) == 3


def test_a_bad_exit_without_a_failed_test_is_a_failure(tmp_path):
    assert tap(tmp_path, GOOD + "# exit 66\n").failures == ["x_test: exit status 66"]


def test_a_program_that_never_ended_is_a_failure(tmp_path):
    assert tap(tmp_path, GOOD).failures == ["x_test: exit status None"]


def test_no_test_at_all_is_a_failure(tmp_path):
    assert tap(tmp_path, "1..0\n# exit 0\n").failures == ["x_test: ran no test"]
    assert count.count_kind(tmp_path / "pg").failures == ["pg: ran no test"]


def test_reads_what_pytest_writes(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
        "def test_c(): pytest.skip('no')\n@pytest.fixture\ndef bad(): 1 / 0\ndef test_d(bad): pass\n")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "test_some.py"],
                   cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    (tmp_path / "r.exit").write_text("# exit 1\n")
    assert str(count.count_junit(tmp_path / "r.xml")) == "1 passed, 2 failed, 1 skipped"
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
