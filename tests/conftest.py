"""Marks of all tests."""

import os

import pytest


def pytest_collection_modifyitems(items):
    """What only root can try is run by tests/run.sh before it becomes the user postgres."""
    for item in items:
        if item.get_closest_marker("needs_root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="only root can try this"))
