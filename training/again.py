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
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from toolbox.gate_policy import Policy
from training.errors import Refused, TrainingError
from training.gate import RULES_VERSION
from training.gate_rows import decide_rows
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
    kept = _read(folder / "manifest.json")
    policy = _policy(kept, overrides)
    made = decided_again(folder, policy)
    differing = [] if overrides else differences(kept, made)
    answer = {"decision": made["decision"], "reasons": made["reasons"]}
    print(json.dumps(answer | ({} if overrides else {"equal": not differing, "differs": differing}), indent=1))
    return 1 if differing else 0


def decided_again(folder: Path, policy: Policy | None = None) -> dict[str, Any]:
    """The decision from DIR/rows.json, by its own policy or another; Refused where it can't be made."""
    kept = _read(folder / "manifest.json")
    if kept.get("rules_version") != RULES_VERSION:
        raise Refused(
            "other_rules",
            f"{folder} was decided by version {kept.get('rules_version')} of the rules, these are {RULES_VERSION}: "
            "check out the code of that time to make the decision anew.",
        )
    rows = _read(folder / "rows.json")
    speed = Speed.of(kept["speed"]) if kept.get("speed") else None  # it was not always measured
    return decide_rows(rows, policy or _policy(kept, ()), speed=speed, looks=kept["looks"], seed=kept["seed"])


def differences(kept: dict[str, Any], made: dict[str, Any]) -> list[str]:
    """The parts of a decision that came out otherwise; as JSON keeps them, so that 1 and 1.0 are one."""
    return [name for name in KEPT if json.loads(json.dumps(made[name])) != kept.get(name)]


def _policy(kept: dict[str, Any], overrides: Sequence[str]) -> Policy:
    known = {one.name for one in fields(Policy)}
    policy = Policy(**{name: value for name, value in kept["policy"].items() if name in known})
    for text in overrides:
        name, _, value = text.removeprefix("policy.").partition("=")
        if name not in known:
            raise Refused("bad_config", f"The policy has no key '{name}'; it has {', '.join(sorted(known))}.")
        policy = replace(policy, **{name: _value(value)})
    if refusal := policy.refusal():
        raise Refused("bad_config", refusal)
    return policy


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
