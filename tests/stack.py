"""The whole product for a test: `annotator.operations.loop.stack` with a small demo, and its rows to read."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from annotator.operations.loop import stack
from annotator.operations.loop.stack import free_port, stack_environment

__all__ = ["SMALL_DEMO", "Stack", "free_port", "running_stack", "stack_environment"]

# Enough scenes to mine, train and judge with, in a few seconds.
SMALL_DEMO = ("--easy", "12", "--hard", "24", "--approved", "30", "--holdout", "12")


class Stack(stack.Stack):
    """A running Roost that a test looks into."""

    @property
    def logins(self) -> dict[str, str]:
        """{user name: password} of the demo project's people."""
        path = self.var / "demo_logins.txt"
        return dict(line.split() for line in path.read_text().splitlines()) if path.exists() else {}

    def rows(self, sql: str, *parameters: object) -> list[dict]:
        """Read the database as it is on disk: `rows("select * from annotator_task where id = ?", 7)`."""
        with sqlite3.connect(f"file:{self.var / 'roost.sqlite3'}?mode=ro", uri=True, timeout=20) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, parameters)]

    def truth(self) -> dict:
        """What the drawing knows of the unlabelled scenes: {sha256: {"domain", "instances": {concept: [RLE]}}}."""
        return json.loads((self.var / "demo_truth.json").read_text())


@contextmanager
def running_stack(var: Path, *, demo: Sequence[str] | None = SMALL_DEMO, **environment: str) -> Iterator[Stack]:
    """As `annotator.operations.loop.stack.running_stack`."""
    with stack.running_stack(var, demo=demo, **environment) as running:
        yield Stack(running.url, running.backend_url, running.var, running.environment, running.up)
