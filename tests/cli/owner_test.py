"""As whom: root becomes the owner of the data directory, another user is refused (cli.md, "As whom and where").

Only root can try this; the owner here is "postgres", who has nothing to do with a running server.
"""

import json
import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("SEAWALL_BIN", ROOT / "build/release"))
DEADLINE_S = 60
pytestmark = pytest.mark.needs_root


class Place:
    """A folder of root's, with the programs, a configuration and a data directory of postgres."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.root.chmod(0o755)
        for name in ("seawall", "seawall-wal"):
            shutil.copy(PROGRAMS / name, self.root)
        self.data = self.root / "data"
        self.data.mkdir(mode=0o700)
        shutil.chown(self.data, "postgres", "postgres")
        self.config = self.root / "seawall.conf"
        self.config.write_text(f"[server]\nstate = {self.root}/base/state\n"
                               f"[repository local]\nurl = file://{self.root}/base/repository\n"
                               f"[cluster main]\npgdata = {self.data}\n")

    def run(self, *words, user="root", config=True):
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
        if config:
            environment["SEAWALL_CONFIG"] = str(self.config)
        command = [self.root / "seawall", *map(str, words)]
        if user != "root":
            command = ["setpriv", f"--reuid={user}", "--clear-groups", *command]
        return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False, cwd="/")


@pytest.fixture(name="place")
def fixture_place():
    folder = tempfile.mkdtemp(prefix="sw.", dir="/tmp")
    yield Place(folder)
    shutil.rmtree(folder)


def owners(folder):
    return {pwd.getpwuid(path.lstat().st_uid).pw_name for path in [folder, *folder.rglob("*")]}


def test_root_makes_the_repository_for_the_owner(place):
    done = place.run("init")
    assert (done.returncode, done.stderr) == (0, "")
    assert owners(place.root / "base") == {"postgres"}
    assert stat.S_IMODE((place.root / "base").stat().st_mode) == 0o700
    assert place.run("init").returncode == 0
    assert place.run("init", user="postgres").returncode == 0


def test_root_becomes_the_owner_for_every_command(place):
    place.run("init")
    for words in (["list"], ["wal", "list"], ["status"], ["check"], ["backup"], ["cat", "seawall.json"],
                  ["wal", "push", place.data / "pg_wal/000000010000000000000001"],
                  ["restore", "--pgdata", place.data]):
        place.run(*words)
    assert owners(place.root / "base") == {"postgres"}
    assert owners(place.data) == {"postgres"}


def test_root_does_nothing_with_a_dry_run(place):
    done = place.run("init", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would be made" in done.stdout
    assert not (place.root / "base").exists()


@pytest.mark.parametrize("words", [["init"], ["list", "main"], ["backup", "--label", "it's"], ["restore"], ["serve"],
                                   ["status"], ["check"], ["cat", "a/b"], ["show", "x"]])
def test_another_user_is_refused_with_the_line_to_type(place, words):
    place.config.chmod(0o644)
    done = place.run(*words, user="nobody")
    assert done.returncode == 5, done
    assert f'the data directory "{place.data}" belongs to user "postgres", and this is user "nobody"' in done.stderr
    typed = " ".join("'it'\\''s'" if word == "it's" else word for word in words)
    config = f"env SEAWALL_CONFIG='{place.config}'"  # sudo leaves the environment behind
    assert f"hint: Type: sudo -u postgres {config} {place.root}/seawall {typed}\n" in done.stderr
    assert not (place.root / "base").exists()


def test_another_user_gets_the_statuses_of_the_hook(place):
    place.config.chmod(0o644)
    assert place.run("wal", "push", "pg_wal/000000010000000000000001", user="nobody").returncode == 1
    assert place.run("wal", "fetch", "000000010000000000000001", "x", user="nobody").returncode == 255


def test_help_is_for_everybody(place):
    for words in (["--help"], ["--version"], ["help", "backup"], ["backup", "--help"]):
        assert place.run(*words, user="nobody", config=False).returncode == 0


def test_a_directory_of_root_is_refused(place):
    shutil.chown(place.data, "root", "root")
    done = place.run("init")
    assert done.returncode == 5
    assert "PostgreSQL does not run as root" in done.stderr


def test_restore_into_a_new_directory_belongs_to_the_owner_of_its_parent(place):
    """Refused later, since there is no backup; but by then it is decided as whom."""
    place.run("init")
    parent = place.root / "parent"
    parent.mkdir()
    shutil.chown(parent, "daemon", "daemon")
    done = place.run("restore", "--pgdata", parent / "new")
    # The repository is postgres' own: daemon cannot read it, so it was daemon who tried.
    assert done.returncode in (3, 4) and "ermission denied" in done.stderr, done


def test_restore_takes_the_owner_that_is_named(place):
    place.run("init")
    target = place.root / "new/main"
    done = place.run("restore", "--pgdata", target, "--owner", "postgres")
    assert done.returncode == 1, done
    assert "there is no archive of cluster" in done.stderr
    assert place.run("restore", "--pgdata", target, "--owner", "nobody-of-that-name").returncode == 2
    assert place.run("restore", "--pgdata", target, "--owner", "root").returncode == 2
    assert owners(place.root / "new") == {"postgres"}


def test_restore_into_a_folder_of_root_asks_for_the_owner(place):
    place.run("init")
    done = place.run("restore", "--pgdata", place.root / "new")
    assert done.returncode == 5 and "hint: Name the user with --owner." in done.stderr


def test_a_link_of_the_owner_leads_root_nowhere(place):
    """Root makes folders only where nobody else may change them."""
    trap, secret = place.root / "trap", place.root / "secret"
    trap.mkdir()
    secret.mkdir(mode=0o700)
    shutil.chown(trap, "postgres", "postgres")
    (trap / "state").symlink_to(secret)
    place.config.write_text(place.config.read_text().replace(f"{place.root}/base/state", f"{trap}/state/inner"))
    place.run("init")
    assert list(secret.iterdir()) == []
    assert owners(secret) == {"root"}


@pytest.fixture(name="bare")
def fixture_bare(place):
    """No configuration, no base folder: as on a fresh machine."""
    taken = [path for path in ("/etc/seawall", "/var/lib/seawall") if pathlib.Path(path).exists()]
    if taken:
        pytest.skip(f"this machine has {taken}")
    yield place
    for path in ("/etc/seawall", "/var/lib/seawall"):
        shutil.rmtree(path, ignore_errors=True)


def test_the_first_init_of_a_machine(bare):
    listening = pathlib.Path(bare.data) / "postmaster.pid"  # a server on another port than the usual one
    listening.write_text(f"1\n{bare.data}\n1700000000\n5499\n/tmp/sockets\n\n  1 2\nready\n")
    done = bare.run("init", "--pgdata", bare.data, "--json", config=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["configuration"] == "/etc/seawall/seawall.conf"
    assert said["configuration_file"] == "written"
    assert said["archive_command"] == f"{bare.root}/seawall-wal push %p"
    assert owners(pathlib.Path("/var/lib/seawall")) == {"postgres"}
    config = pathlib.Path("/etc/seawall/seawall.conf")
    assert stat.S_IMODE(config.stat().st_mode) == 0o640 and config.owner() == "root" and config.group() == "postgres"
    assert f"\npgdata = {bare.data}\n" in config.read_text()
    assert "\nconnect = host=/tmp/sockets port=5499 dbname=postgres\n" in config.read_text()
    done = bare.run("init", "--json", config=False)
    assert json.loads(done.stdout)["configuration_file"] == "kept"
    assert bare.run("wal", "list", config=False).returncode == 1


def test_without_a_right_in_etc_the_defaults_hold(bare):
    home = pathlib.Path(pwd.getpwnam("postgres").pw_dir) / "seawall"
    if home.exists():
        pytest.skip(f"this machine has {home}")
    try:
        done = bare.run("init", "--pgdata", bare.data, user="postgres", config=False)
        assert done.returncode == 0, done.stderr
        assert "No configuration file" in done.stdout
        assert (home / "repository/seawall.json").exists()
    finally:
        shutil.rmtree(home, ignore_errors=True)
