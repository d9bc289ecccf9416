"""Each module can be the first one that is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["mapping", "sniff", "sources", "readers", "readers.segment", "readers.lines"])
def test_no_import_depends_on_another_one_before(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import telestream.loaders.{module}"], check=True)
