"""Making things go wrong from outside."""

import resource
import signal
import subprocess

from . import process
from .wait import wait_for


def kill(pid):
    """kill -9 of one process, and wait until it is gone."""
    process.send(pid, signal.SIGKILL)
    wait_for(lambda: not process.alive(pid), f"the end of {pid}")


def freeze(pid):
    """SIGSTOP: there, but it will not answer."""
    process.send(pid, signal.SIGSTOP)


def thaw(pid):
    process.send(pid, signal.SIGCONT)


def backends(cluster, kind):
    """The pids of a kind of PostgreSQL process: archiver, checkpointer, startup, walwriter …"""
    return [pid for pid in process.children(cluster.pid()) if kind in " ".join(process.command_line(pid))]


def hooks(cluster):
    """The archive or restore commands that run now (they are children of the archiver or of startup, through sh)."""
    helpers = backends(cluster, "archiver") + backends(cluster, "startup")
    shells = [pid for helper in helpers for pid in process.children(helper)]
    return [pid for shell in shells for pid in process.children(shell)] or shells


def limit_file_bytes(pid, limit):
    """A stand-in for a full disk that any user may set: writing past limit bytes of a file fails (EFBIG).

    The process must ignore or handle SIGXFSZ. None lifts the limit again.
    """
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))


def environment(action, count, only=None):
    """For a debug build: SEAWALL_FAULT=kill:N or fail:N, at the N-th fault point (include/base/fault.h)."""
    fault = {"SEAWALL_FAULT": f"{action}:{count}"}
    return {**fault, "SEAWALL_FAULT_ONLY": only} if only else fault


SMALL_DISK = """
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/statvfs.h>
static int small(int result, struct statvfs *space)
{
    space->f_frsize = 4096;
    space->f_bavail = (getenv("SMALL_DISK_MB") ? atoi(getenv("SMALL_DISK_MB")) : 16) * 256;
    return result;
}
int statvfs(const char *path, struct statvfs *space)
{
    int (*real)(const char *, struct statvfs *) = dlsym(RTLD_NEXT, "statvfs");
    return small(real(path, space), space);
}
"""


def small_disk(folder):
    """For LD_PRELOAD: every disk says that it has 16 MB left. Mounting a real one needs root."""
    source, library = folder / "small.c", folder / "small.so"
    source.write_text(SMALL_DISK)
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)
