#!/usr/bin/python3
"""The figures: each contender in turn, in one run, on one machine. Started by run.sh."""

import argparse
import inspect
import mmap
import multiprocessing
import os
import pathlib
import platform
import shutil
import sys
import tempfile
import time

import figures
import index_figures
import place
import s3_figures


def machine():
    model, memory = "", 0
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(": ")[1]
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = int(line.split()[1]) // 1024 // 1024
    return (f"{model}, {os.cpu_count()} cores, {memory} GB of memory, Linux {platform.release().split('-')[0]}, "
            f"load {os.getloadavg()[0]:.1f}")


def touch_memory():
    """Touches the memory that is free, once: in a virtual machine the first touch of a page waits for the host, which would be charged
    to whoever came first (recovery: 11.4 s before, 7.1 s after, and the floor, which allocates nothing, the same)."""
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    with mmap.mmap(-1, max(free * 8 // 10, mmap.PAGESIZE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
        pass


def figures_all():
    """name -> function"""
    return {name[len("figure_"):]: function for module in (figures, index_figures, s3_figures)
            for name, function in inspect.getmembers(module, inspect.isfunction) if name.startswith("figure_")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--place")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--segments", type=int, default=128)
    parser.add_argument("--replay", type=int, default=250)
    parser.add_argument("--scale", type=int, default=200)
    parser.add_argument("figures", nargs="*")
    options = parser.parse_args()
    unknown = set(options.figures) - set(figures_all())
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(figures_all())}")
    folder = options.place or tempfile.mkdtemp(prefix="swb.", dir="/tmp")
    print(f"{time.strftime('%Y-%m-%d %H:%M')}  {machine()}")
    toucher = multiprocessing.Process(target=touch_memory)  # a process: its end gives back every page
    toucher.start()
    toucher.join()
    here = place.Place(folder, options.build, options)
    missed = []
    try:
        for name in options.figures or figures.ORDER + index_figures.ORDER + s3_figures.ORDER:
            if figures_all()[name](here) is False:
                missed.append(name)
    finally:
        s3_figures.stop(here)
        for name in ("wal", "data", "long"):
            cluster = here.cluster(name)
            cluster.stop("immediate") if cluster.pid() else None
        if not options.place:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{'missed: ' + ', '.join(missed) if missed else 'every target reached'}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
