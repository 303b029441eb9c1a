"""`manage.py demo_loop`: a private copy that is gone afterwards, also when it is stopped half-way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.processes import PATIENCE_S, ROOT, wait_until


def test_budget_of_nothing_is_refused():
    with pytest.raises(CommandError, match="at least 1"):
        call_command("demo_loop", "--budget", "0")


def test_stopped_half_way_it_leaves_nothing_behind(tmp_path: Path):
    environment = {**os.environ, "TMPDIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "annotator.settings"}
    command = [sys.executable, "manage.py", "demo_loop"]
    loop = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: list(tmp_path.glob("roost-loop-*/roost-scenes-*/*.png")) or loop.poll() is not None)
    loop.send_signal(signal.SIGTERM)
    assert loop.wait(PATIENCE_S) == 143
    wait_until(lambda: list(tmp_path.iterdir()) == [])
