"""Waiting for a condition: the only sleep of the tests."""

import time

LOOK_EVERY_S = 0.02


def wait_for(condition, what, deadline_s=30, look_every_s=LOOK_EVERY_S):
    """Calls condition() until it returns something true, and returns that; fails with what after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}")
        time.sleep(look_every_s)
