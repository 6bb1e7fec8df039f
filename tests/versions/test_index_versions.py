"""The WAL index on every version: changed blocks against the truth, transactions by the server's own count, and what find finds."""

import importlib.util
import pathlib

from seawalltest import truth

SPEC = importlib.util.spec_from_file_location("unseal", pathlib.Path(__file__).resolve().parents[2] / "contrib/unseal.py")
unseal = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(unseal)


def test_pages_that_differ_between_two_copies_are_all_in_the_index(made, major):
    truth.story(made, major, unseal)
