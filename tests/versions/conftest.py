"""The same fixtures as tests/pg, and the versions that the main run is repeated on."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "pg"))

from seawalltest.fixtures import made, pytest_runtest_makereport, scratch  # noqa: E402,F401 pylint: disable=all


@pytest.fixture(params=[13, 14, 16, 17, 18])
def major(request):
    return request.param
