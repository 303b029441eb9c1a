"""python -m training.again DIR [policy.key=value ...]: a gate's decision made anew from the rows that it kept.

DIR is the folder that `gate` left. Without a policy of one's own the decision has to come out as it was kept: exit
status 0 and «equal». 1: it does not; 2: the files are gone, or the rules have another version by now. With another
policy it is told what would have been decided, and nothing is compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolbox.gate_policy import Policy
from training.config import policy_of
from training.errors import Refused, TrainingError
from training.gate import RULES_VERSION
from training.gate_rows import Row, decide_rows
from training.speed import Speed

KEPT = ("decision", "reasons", "rules", "delta_cgf1", "bootstrap", "hard_negatives")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.again", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="what `gate` left: manifest.json and rows.json")
    parser.add_argument("policy", nargs="*", metavar="policy.key=value", help="another policy")
    asked = parser.parse_args(arguments)
    try:
        return _tell(Path(asked.folder), asked.policy)
    except TrainingError as error:
        print(error.message, file=sys.stderr)
        return 2


def _tell(folder: Path, overrides: Sequence[str]) -> int:
    kept = _kept(folder)
    made = _decided_again(kept, _read(folder / "rows.json"), _policy(kept, overrides))
    differing = [] if overrides else _differences(kept, made)
    answer = {"decision": made["decision"], "reasons": made["reasons"]}
    print(json.dumps(answer | ({} if overrides else {"equal": not differing, "differs": differing}), indent=1))
    return 1 if differing else 0


def _kept(folder: Path) -> dict[str, Any]:
    kept = _read(folder / "manifest.json")
    version = kept.get("rules_version") if isinstance(kept, dict) else None
    if version != RULES_VERSION:
        raise Refused(
            "other_rules",
            f"{folder} was decided by version {version} of the rules, these are {RULES_VERSION}: "
            "check out the code of that time to make the decision anew.",
        )
    return kept


def _policy(kept: dict[str, Any], overrides: Sequence[str]) -> Policy:
    parts = (text.removeprefix("policy.").partition("=") for text in overrides)
    asked = {name: _value(value) for name, _, value in parts}
    policy = policy_of(kept["policy"] | asked)
    if asked.get("speed_ratio") is not None and not kept.get("speed"):
        raise Refused("bad_config", "The policy's speed_ratio asks for a speed, which this gate did not measure.")
    return policy


def _decided_again(kept: dict[str, Any], rows: list[Row], policy: Policy) -> dict[str, Any]:
    speed = Speed.of(kept["speed"]) if kept.get("speed") else None  # it was not always measured
    return decide_rows(rows, policy, speed=speed, looks=kept["looks"], seed=kept["seed"])


def _differences(kept: dict[str, Any], made: dict[str, Any]) -> list[str]:
    """The parts of a decision that came out otherwise; as JSON keeps them, so that 1 and 1.0 are one."""
    return [name for name in KEPT if json.loads(json.dumps(made[name])) != kept.get(name)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused("absent_rows", f"{path} can't be read ({error}): the decision can't be made anew.") from None


if __name__ == "__main__":
    sys.exit(main())
