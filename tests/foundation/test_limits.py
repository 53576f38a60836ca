# SPDX-License-Identifier: Apache-2.0
"""What a worker process does with what it begins with."""

import os
import subprocess
import sys
from pathlib import Path

_LEFT_TO_LOOK_AT = """
import gc
from dci_server.app import create_worker
application = create_worker()
print(len(gc.get_objects()), gc.get_freeze_count())
"""


def test_a_look_for_garbage_does_not_stop_a_worker_for_what_it_begins_with(tmp_path: Path, key: str) -> None:
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DCI_DATA_DIR": str(tmp_path),
        "DCI_SECRETS_KEY": key,
    }

    told = subprocess.check_output([sys.executable, "-c", _LEFT_TO_LOOK_AT], env={**os.environ, **settings}, text=True)

    left, set_aside = map(int, told.split())
    assert left < set_aside / 20
