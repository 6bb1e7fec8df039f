"""Fixtures of every test that runs PostgreSQL: what a test makes is stopped and removed at its end."""

import atexit
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from . import process
from .cluster import Cluster
from .seawall import Seawall


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets fixtures see whether the test failed."""
    outcome = yield
    if call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
        item.failed = True
    return outcome


REMOVALS_MAX = 4
removals = []


def remove_later(folder):
    """Removes a tree beside the tests that follow: where a file system discards at once, it takes seconds."""
    if len(removals) >= REMOVALS_MAX:
        removals.pop(0).wait()
    removals.append(subprocess.Popen(["rm", "-rf", folder], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


@atexit.register
def wait_removals():
    for removal in removals:
        removal.wait()


MEMORY = "/dev/shm"
MEMORY_BYTES_MIN = 4 << 30


def parent_of_scratch(request):
    """Memory for a test that is marked so, where there is room."""
    if not request.node.get_closest_marker("in_memory") or not os.access(MEMORY, os.W_OK):
        return "/tmp"
    return MEMORY if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN else "/tmp"


@pytest.fixture
def scratch(request):
    """A short folder, for a socket's path ends at 107 bytes. SEAWALL_KEEP=1 leaves it there."""
    folder = process.own(pathlib.Path(tempfile.mkdtemp(prefix="sw.", dir=parent_of_scratch(request))))
    yield folder
    if os.environ.get("SEAWALL_KEEP"):
        print(f"kept: {folder}")
    else:
        remove_later(folder)


class Made:
    """What a test has made."""

    def __init__(self, folder):
        self.folder, self.things = folder, []

    def add(self, thing):
        self.things.append(thing)
        return thing

    def cluster(self, major=15, name="main", **settings):
        """A new cluster, not started."""
        return self.add(Cluster(self.folder, major, name)).init(**settings)

    def seawall(self, cluster, folder="wall", **options):
        """A configuration for a cluster; nothing is run."""
        home = self.folder / folder
        home.mkdir()
        process.own(home)
        return self.add(Seawall(home, cluster, **options))


@pytest.fixture
def made(scratch, request):
    """Makes clusters and Seawalls; prints their logs when the test failed."""
    things = Made(scratch)
    yield things
    for thing in reversed(things.things):
        if getattr(request.node, "failed", False):
            print(f"--- {thing.log}\n{thing.log_tail()}")
        thing.remove()
