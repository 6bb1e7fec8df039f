"""Processes seen through /proc, which also shows what is not our child."""

import os
import pathlib
import shutil
import signal

from .wait import wait_for

# Whose the clusters are: PostgreSQL refuses to run as root. For subprocess and for own().
OWNER = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def own(path):
    """Gives what root has made to the owner of the clusters."""
    if OWNER:
        shutil.chown(path, OWNER["user"], OWNER["group"])
    return path


def alive(pid):
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children(pid):
    """The processes that pid has started and that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(name))
    return found


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
    except OSError:
        return []


def status(pid):
    """/proc/PID/status, or nothing."""
    try:
        return pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def kill_family(pid, number=signal.SIGKILL):
    """Ends a process and what it has started, all at once, and waits until they are gone."""
    family = [pid, *children(pid)]
    for member in family:
        send(member, number)
    wait_for(lambda: not any(map(alive, family)), f"the end of {family}")
