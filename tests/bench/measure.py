"""One run of one contender in a process of its own, and what it cost: time, CPU, memory, bytes.

The process is a "subreaper": what a contender leaves behind (pgBackRest's asynchronous processes) comes back to it, so
nothing escapes the counting.
"""

import ctypes
import dataclasses
import os
import pathlib
import pickle
import resource
import signal
import statistics
import threading
import time
import traceback

PR_SET_CHILD_SUBREAPER = 36
LOOK_EVERY_S, LOOK_SHARE = 0.1, 0.02
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Cost:
    """What one run took; `extra` is whatever the contender returned."""
    wall_s: float
    cpu_s: float
    peak_mb: float       # all processes together, shared pages counted once
    read_mb: float       # by read(2) and the like, from the cache or not
    written_mb: float
    extra: object = None


def fields(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid):
    """The processes that descend from pid."""
    parents = {}
    for folder in os.listdir("/proc"):
        if folder.isdigit():
            try:
                parents.setdefault(int(fields(folder)[1]), []).append(int(folder))
            except (OSError, IndexError):
                pass
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def io_bytes(pid):
    lines = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["rchar"]), int(lines["wchar"])


def counters():
    """CPU seconds, bytes read and written: of the children that have ended and of those that run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    read, written = io_bytes("self")
    for pid in family(os.getpid()):
        try:
            cpu += sum(map(int, fields(pid)[11:15])) / TICKS_PER_S
            more = io_bytes(pid)
            read, written = read + more[0], written + more[1]
        except (OSError, KeyError, ValueError):
            pass
    return cpu, read, written


def status_kb(pid, name, file="status"):
    for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def private_kb(pid):
    return status_kb(pid, "Private_Clean", "smaps_rollup") + status_kb(pid, "Private_Dirty", "smaps_rollup")


class Watcher(threading.Thread):
    """Looks at the memory of the family now and then, and takes no more than a fiftieth of a core for that: the page tables of a server
    with 1 GB of shared buffers ten times a second were a fifth, which on two cores only those contenders pay who can use both."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak_kb, self.over = 0, threading.Event()

    def run(self):
        me, pause = os.getpid(), LOOK_EVERY_S
        while not self.over.wait(pause):
            begun, sizes = time.thread_time(), set()  # between vfork and exec a child shows its parent's memory: the same number, once
            for pid in family(me):
                try:
                    sizes.add(status_kb(pid, "Pss", "smaps_rollup"))
                except OSError:
                    pass
            self.peak_kb = max(self.peak_kb, sum(sizes))
            pause = max(LOOK_EVERY_S, (time.thread_time() - begun) / LOOK_SHARE)


def wait_all():
    """Reaps everything that the contender left."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return
    for pid in family(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    raise RuntimeError("a contender left processes that do not end")


def run_here(contender):
    contender.prepare()
    watcher = Watcher()
    before = counters()
    watcher.start()
    begun = time.monotonic()
    extra = contender.run()
    wall = time.monotonic() - begun
    watcher.over.set()
    watcher.join()
    if not contender.daemon:
        wait_all()
    after = counters()
    contender.finish()
    wait_all()
    return Cost(wall, after[0] - before[0], watcher.peak_kb / 1024, (after[1] - before[1]) / 1e6,
                (after[2] - before[2]) / 1e6, extra)


def measure(contender):
    """Runs prepare(), run() on the clock, and finish(), in a child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        status = 1
        try:
            with os.fdopen(writer, "wb") as out:
                pickle.dump(run_here(contender), out)
            status = 0
        except BaseException:  # it must not go on as a second main program
            traceback.print_exc()
            for other in family(os.getpid()):
                os.kill(other, signal.SIGKILL)
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    if not data:
        raise SystemExit(f"\"{contender.name}\" failed")
    return pickle.loads(data)


def in_turn(contenders, rounds):
    """A B A B …: the costs of each contender, by its name."""
    costs = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            costs[contender.name].append(measure(contender))
            os.sync()
    return costs


def median(costs, pick):
    return statistics.median(map(pick, costs))


def table(title, costs, value, unit, base=None):
    """Prints one line for each contender: the value's median, minimum, maximum, ratio to the base, and the costs."""
    print(f"\n{title}")
    print(f"  {'':<22}{unit:>10}{'min':>9}{'max':>9}{'ratio':>8}{'CPU s':>8}{'peak MB':>9}{'read MB':>9}{'written':>9}")
    for name, runs in costs.items():
        values = list(map(value, runs))
        middle = statistics.median(values)
        ratio = f"{middle / median(costs[base], value):8.2f}" if base else " " * 8
        print(f"  {name:<22}{middle:10.2f}{min(values):9.2f}{max(values):9.2f}{ratio}"
              f"{median(runs, lambda c: c.cpu_s):8.2f}{median(runs, lambda c: c.peak_mb):9.1f}"
              f"{median(runs, lambda c: c.read_mb):9.0f}{median(runs, lambda c: c.written_mb):9.0f}", flush=True)


def verdict(what, reached, target, higher_is_better=False):
    good = reached >= target if higher_is_better else reached <= target
    print(f"  => {what}: {reached:.2f}, target {target:g}: {'reached' if good else 'MISSED'}", flush=True)
    return good
