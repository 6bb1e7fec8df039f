"""Processes seen through /proc, which also shows what is not our child."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

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


Measure = namedtuple("Measure", "seconds peak_mb cpu_s out")

# A process that is started takes the peak of the one that forked it with it, through its exec. So the command is started by
# one that is small, and not by the suite, which has hundreds of megabytes after an hour.
STARTER = """
import json, os, subprocess, sys, time
begun = time.monotonic()
command = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
out = command.stdout.read()
_, status, usage = os.wait4(command.pid, 0)
json.dump([time.monotonic() - begun, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, status,
           out.decode()], sys.stdout)
"""


def measured(command, environment, status=0):
    """What a command that ends with `status` costs: seconds, peak memory in MB, CPU seconds; and its output."""
    starter = subprocess.run([sys.executable, "-I", "-S", "-c", STARTER, *map(str, command)], env=environment,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert starter.returncode == 0, starter.stderr
    *figures, ended, out = json.loads(starter.stdout)
    ended = os.waitstatus_to_exitcode(ended)
    assert ended == status, f"{command} ended with {ended}: {out}"
    return Measure(*figures, out)
