# SPDX-License-Identifier: Apache-2.0
"""The published library, which is untyped."""

import importlib
from typing import Any


def api(name: str) -> Any:
    """One of its modules of calls."""
    return importlib.import_module(f"dciclient.v1.api.{name}")
