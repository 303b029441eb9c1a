"""What a sweep was asked for: a base config, the keys that differ, and the seeds; every run's config, checked.

base: train.yaml            # or a table of the same keys
grid:                       # every combination; or `list:`, a list of tables
  learning_rate: [1e-4, 3e-4]
  text_rate: [0, 0.3]
seeds: [0, 1, 2]
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from toolbox.gate_policy import Policy
from toolbox.training_settings import SETTABLE, TrainerConfig
from training.config import GROUPS, Config, Values, config_of, read_file
from training.errors import Refused

MANY_RUNS = 30
SPLITS = ("val", "test", "holdout")
KEEPS = ("all", "best")
SWEPT = (*(name for name in SETTABLE if name != "seed"), *GROUPS)
PATHS = ("snapshot", "images", "base_model", "features", "features_read_also", "tracking_folder")
NAME_LENGTH = 80
TOLD_REFUSALS = 5


@dataclass(frozen=True)
class Asked:
    """The sweep's own keys, as given."""

    base: Any = None
    grid: Any = None
    list: Any = None
    seeds: Any = None
    split: Any = "val"
    bootstrap: Any = 1000
    confidence: Any = 0.95
    keep_models: Any = "all"


@dataclass(frozen=True)
class Run:
    """One training run: a point of the sweep with one seed."""

    name: str
    seed: int
    config: Config


@dataclass(frozen=True)
class Point:
    """One choice of the swept keys, with a run for every seed."""

    name: str
    values: Values
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Sweep:
    """Checked; `keys` are those that differ, `policy` holds the rounds and the confidence of the bootstrap."""

    keys: tuple[str, ...]
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    split: str
    policy: Policy
    keep_models: str

    @property
    def runs(self) -> list[Run]:
        return [run for point in self.points for run in point.runs]

    @property
    def base(self) -> Config:
        """A config for what all runs have in common: files, machine, base model."""
        return self.points[0].runs[0].config


def read_sweep(file: str | Path | None, overrides: Sequence[str] = (), *, are_many_meant: bool = False) -> Sweep:
    """Refused `bad_sweep` names the key or the run that cannot be; nothing is started or written."""
    if file is None:
        raise _refused("It needs --config FILE: `base`, and `grid` or `list`.")
    asked, base, rest = _given(Path(file), overrides)
    tables = _tables(asked)
    keys = tuple(dict.fromkeys(key for table in tables for key in table))
    _check_overrides(rest, keys)
    seeds = _seeds(asked.seeds)
    _check_size(len(tables) * max(1, len(seeds)), are_many_meant)
    points = tuple(_points(base, rest, tables, seeds, keys))
    _check_distinct(points)
    return Sweep(
        keys,
        points,
        tuple(run.seed for run in points[0].runs),
        _choice("split", asked.split, SPLITS),
        _policy(asked),
        _choice("keep_models", asked.keep_models, KEEPS),
    )


def _given(path: Path, overrides: Sequence[str]) -> tuple[Asked, Values, list[str]]:
    """The sweep's own keys, the base's, and the arguments that are for the base."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    names = {one.name for one in fields(Asked)}
    own = [text for text in overrides if re.split(r"[.=]", text, maxsplit=1)[0] in names]
    try:
        merged: Any = OmegaConf.to_container(OmegaConf.merge(read_file(path), OmegaConf.from_dotlist(own)))
    except OmegaConfBaseException as error:
        raise _refused(f"{path.name} cannot be used: {str(error).splitlines()[0]}") from None
    if unknown := sorted(merged.keys() - names):
        hint = _nearest(unknown[0], names) or " A key of the runs belongs under `base`."
        raise _refused(f"There is no key '{unknown[0]}'; a sweep has {', '.join(sorted(names))}.{hint}")
    asked = Asked(**merged)
    return asked, _base(asked.base, path.parent), [text for text in overrides if text not in own]


def _base(base: Any, folder: Path) -> Values:
    if isinstance(base, str):
        return read_file(folder / base)
    if base is None or isinstance(base, dict):
        return dict(base or {})
    raise _refused("The key 'base' is the file of a train config, or a table of its keys.")


def _tables(asked: Asked) -> list[Values]:
    """One table of swept keys for each point, in the order of the file."""
    if asked.grid is not None and asked.list is not None:
        raise _refused("It has both a `grid` and a `list`: leave one out.")
    if asked.grid is not None:
        tables = list(_product(asked.grid))
    elif asked.list is not None:
        tables = _listed(asked.list)
    elif isinstance(asked.seeds, list) and len(asked.seeds) > 1:
        return [{}]
    else:
        raise _refused("There is nothing to compare: give it a `grid`, a `list`, or several `seeds`.")
    for key in dict.fromkeys(key for table in tables for key in table):
        _check_key(key)
    return tables


def _product(grid: Any) -> Iterator[Values]:
    if not isinstance(grid, dict) or not grid:
        raise _refused("The key 'grid' is a table of keys, each with a list of values.")
    for key, values in grid.items():
        if not isinstance(values, list):
            raise _refused(f"The grid's key '{key}' is a list of values, such as [{values}]; it is {values!r}.")
        if not values:
            raise _refused(f"The grid's key '{key}' is an empty list: give it a value, or leave it out.")
    yield from (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def _listed(tables: Any) -> list[Values]:
    if not isinstance(tables, list) or not tables:
        raise _refused("The key 'list' is a list of tables of keys and values, at least one.")
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            raise _refused(f"Entry {number} of the list is no table of keys and values: {table!r}.")
    return [dict(table) for table in tables]


def _check_key(key: Any) -> None:
    if key == "seed":
        raise _refused("Seeds are given by the key 'seeds', so that a config's figure is their mean.")
    if key in SWEPT:
        return
    if key in {one.name for one in fields(TrainerConfig)}:
        raise _refused(f"The key '{key}' is the same for all runs: it belongs under `base`.")
    raise _refused(f"A run has no key '{key}' that could be swept.{_nearest(str(key), SWEPT)}")


def _check_overrides(overrides: Sequence[str], keys: Sequence[str]) -> None:
    for text in overrides:
        key = text.partition("=")[0]
        if key in keys or key == "seed":
            where = "`seeds`" if key == "seed" else "the grid or list"
            raise _refused(f"The argument '{text}' would do nothing: {where} sets '{key}'.")


def _seeds(given: Any) -> list[int]:
    """None stands for the base's own seed: an empty list here."""
    if given is None:
        return []
    if not isinstance(given, list) or not given or any(isinstance(s, bool) or not isinstance(s, int) for s in given):
        raise _refused(f"The key 'seeds' is a list of whole numbers, at least one; it is {given!r}.")
    if len(set(given)) < len(given):
        raise _refused(f"The key 'seeds' names a seed twice: {', '.join(map(str, given))}.")
    return given


def _check_size(runs: int, are_many_meant: bool) -> None:
    if runs > MANY_RUNS and not are_many_meant:
        raise _refused(f"It is {runs} runs, more than {MANY_RUNS}: if that is meant, add --yes.")


def _points(
    base: Values, overrides: Sequence[str], tables: list[Values], seeds: list[int], keys: Sequence[str]
) -> Iterator[Point]:
    """Every config is read, so that what is wrong is told at once; the first few are named."""
    wrong: list[str] = []
    own_seed: list[int | None] = [None]
    for table in tables:
        runs = []
        for seed in seeds or own_seed:
            given = {**base, **table, **({} if seed is None else {"seed": seed})}
            try:
                runs.append(_run(config_of("train", given, overrides), table))
            except Refused as error:
                wrong.append(f"{_words(table) or 'the base'}: {error.message}")
                break
        if len(runs) == max(1, len(seeds)):
            config = runs[0].config
            yield Point(_name(_values(config, table)), _values(config, keys), tuple(runs))
    if wrong:
        more = f" And {len(wrong) - TOLD_REFUSALS} more." if len(wrong) > TOLD_REFUSALS else ""
        told = " ".join(wrong[:TOLD_REFUSALS])
        raise _refused(f"{len(wrong)} of {len(tables)} configs cannot be trained. {told}{more}")


def _run(config: Config, table: Values) -> Run:
    """Its paths hold from any folder, since the config of the best run is for use elsewhere."""
    if not config.resume:
        raise _refused("A sweep goes on where it was stopped: leave the key 'resume' out.")
    name = _name({**_values(config, table), "seed": config.seed})
    found = {key: getattr(config, key) for key in PATHS}
    changes: Values = {key: str(Path(value).resolve()) for key, value in found.items() if value}
    run_name = f"{config.run_name} {name}" if config.run_name else None
    return Run(name, config.seed, replace(config, **changes, run_name=run_name))


def _values(config: Config, keys: Iterable[str]) -> Values:
    """The swept keys as the run has them: 1e-4 in YAML is text, in the config a number."""
    groups = asdict(config.groups)
    return {key: groups[key] if key in groups else getattr(config, key) for key in keys}


def _name(values: Values) -> str:
    """A folder's name that says what is in it, and stays the same when the sweep grows."""
    text = "_".join(f"{key}-{_plain(value)}" for key, value in values.items()) or "base"
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", text)
    if safe == text and len(text) <= NAME_LENGTH:
        return text
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
    return f"{safe[: NAME_LENGTH - 9]}-{digest}"


def _plain(value: Any) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _words(table: Values) -> str:
    return ", ".join(f"{key}={_plain(value)}" for key, value in table.items())


def _check_distinct(points: Sequence[Point]) -> None:
    seen: dict[str, str] = {}
    for point in points:
        for run in point.runs:
            same = seen.setdefault(json.dumps(run.config.decisive(), sort_keys=True), run.name)
            if same == run.name and run is not _first(points, same):
                raise _refused(f"The run '{run.name}' is asked for twice.")
            if same != run.name:
                raise _refused(
                    f"The runs '{same}' and '{run.name}' would give the same model: what differs between them changes "
                    "no result. Leave one out."
                )


def _first(points: Sequence[Point], name: str) -> Run:
    return next(run for point in points for run in point.runs if run.name == name)


def _policy(asked: Asked) -> Policy:
    confidence, rounds = asked.confidence, asked.bootstrap
    is_number = isinstance(confidence, float) and isinstance(rounds, int) and not isinstance(rounds, bool)
    if not is_number or not 0.5 < confidence < 1 or rounds < 100:
        raise _refused("The key 'confidence' is between 0.5 and 1, and 'bootstrap' 100 rounds or more.")
    return Policy(bootstrap=rounds, confidence=confidence)


def _choice(key: str, value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        raise _refused(f"The key '{key}' is one of {', '.join(choices)}; it is {value!r}.")
    return str(value)


def _nearest(key: str, known: Sequence[str] | set[str]) -> str:
    near = get_close_matches(key, sorted(known), 1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _refused(sentence: str) -> Refused:
    return Refused("bad_sweep", f"The sweep cannot begin. {sentence}")
