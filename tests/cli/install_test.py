"""`make install` puts everything where a Debian system looks for it."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(name="installed", scope="module")
def fixture_installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("destination")
    subprocess.run(["make", "-s", "install", f"DESTDIR={folder}", "prefix=/usr"], cwd=ROOT, check=True)
    return folder / "usr"


def test_every_part_is_there(installed):
    for name in ("bin/seawall", "bin/seawall-wal", "share/man/man1/seawall.1", "share/man/man1/seawall-wal.1",
                 "share/bash-completion/completions/seawall", "share/doc/seawall/seawall.conf",
                 "share/seawall/sql/setup.sql", "lib/systemd/system/seawall.service"):
        assert (installed / name).is_file(), name


def test_the_unit_starts_the_program_that_was_installed(installed):
    lines = (installed / "lib/systemd/system/seawall.service").read_text().splitlines()
    assert "ExecStart=/usr/bin/seawall serve" in lines
    assert "User=postgres" in lines
    assert not [line for line in lines if "@" in line and not line.startswith(("#", "SystemCallFilter="))]


def test_the_programs_run_from_there(installed):
    version = subprocess.run([installed / "bin/seawall", "--version"], stdout=subprocess.PIPE, check=True, text=True)
    assert version.stdout.startswith("seawall ")


def test_the_completion_is_bash(installed):
    subprocess.run(["bash", "-n", installed / "share/bash-completion/completions/seawall"], check=True)
