"""pytest finds the fixtures and the package seawalltest through this file."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from seawalltest.fixtures import made, pytest_runtest_makereport, scratch  # noqa: E402,F401 pylint: disable=all
from seawalltest.s3 import locked, rgw, rgw_env, rgw_proxy  # noqa: E402,F401 pylint: disable=all
