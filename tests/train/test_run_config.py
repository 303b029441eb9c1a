"""What a run may be asked to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolbox.training_settings import TrainerConfig
from toolbox.training_yaml import as_yaml
from training.config import read_config
from training.errors import Refused
from training.length import further_shares, steps_of

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {"snapshot": "s", "images": "i", "base_model": "b"}


def config_file(folder: Path, **values: object) -> Path:
    path = folder / "run.json"
    path.write_text(json.dumps(values))
    return path


def test_file_overrides_defaults_and_arguments_override_both(tmp_path: Path) -> None:
    path = config_file(tmp_path, **NEEDED, learning_rate=0.5, seed=7)
    config = read_config("train", path, ["seed=8"])
    assert (config.learning_rate, config.seed, config.weight_decay) == (0.5, 8, 0.05)


def test_one_figure_of_the_policy_leaves_the_others(tmp_path: Path) -> None:
    models = {"champion": "a", "challenger": "b", "baseline": "c"}
    path = config_file(tmp_path, snapshot="s", images="i", **models)
    policy = read_config("gate", path, ["policy.bootstrap=500"]).policy
    assert (policy.bootstrap, policy.confidence) == (500, 0.95)


def test_yaml_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("snapshot: s\nimages: i\nbase_model: b\nsteps: 12\n")
    assert read_config("train", path).steps == 12


def test_steps_follow_the_pairs_only_where_neither_steps_nor_time_is_given(tmp_path: Path) -> None:
    def steps(**given: object) -> list[int | None]:
        config = read_config("train", config_file(tmp_path, **NEEDED, **given))
        return [steps_of(config, pairs) for pairs in (40, 240, 600)]

    assert steps() == [150, 180, 450]  # 12 passes of 16 pairs a step, 150 steps at least
    assert steps(passes=4, batch_pairs=8) == [150, 150, 300]
    assert steps(steps=7) == [7, 7, 7]
    assert steps(minutes=2) == [None, None, None]


def test_half_of_the_way_back_and_none_are_tried_too_unless_told_otherwise(tmp_path: Path) -> None:
    def shares(**given: object) -> tuple[float, ...]:
        return further_shares(read_config("train", config_file(tmp_path, **NEEDED, **given)))

    assert shares(start_share=0.4) == (0.2, 0.0)
    assert shares(choose_start_share=False) == shares(start_share=0) == ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lerning_rate": 1}, "unknown key 'lerning_rate'"),
        ({"policy": {"min_gain": 1}}, "unknown key 'policy.min_gain'"),
        ({"steps": "many"}, "'steps'"),
        ({"steps": 0}, "'steps' must be between 1"),
        ({"learning_rate": -1}, "'learning_rate' must be"),
        ({"device": "tpu"}, "'device' is one of auto, cpu, cuda"),
        ({"precision": "int8"}, "'precision' is one of"),
        ({"base_model": None}, "needs the key 'base_model'"),
        ({"policy": {"confidence": 0.2}}, "policy's confidence must lie between 0.51 and 0.999, not 0.2"),
        ({"trackers": ["wandb", "neptune"]}, "'trackers' is one of mlflow, wandb, tensorboard"),
        ({"trackers": "wandb"}, "'trackers'"),
        ({"mlflow_uri": "https://me:secret@mlflow.example"}, "'mlflow_uri' must hold no password"),
        ({"policy": {"alarm_margin": -0.1}}, "policy's alarm_margin must lie between 0 and 1"),
        ({"policy": {"alarms": "few"}}, "policy's alarms is one of margin, none_more"),
    ],
)
def test_bad_value_is_refused_by_its_key(tmp_path: Path, values: dict[str, object], words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_config("train", config_file(tmp_path, **(NEEDED | values)))


def test_missing_key_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="lacks the key 'snapshot'"):
        read_config("train", config_file(tmp_path, images="i", base_model="b"))


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_file_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(Refused, match=r"run\.json"):
        read_config("train", path)


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_config("train", tmp_path / "none.json")


def test_gate_needs_three_models(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="needs the key 'baseline'"):
        read_config("gate", config_file(tmp_path, snapshot="s", images="i", champion="a", challenger="b"))


def test_written_list_of_defaults_is_the_table() -> None:
    written = ROOT / "training" / "conf" / "train.yaml"
    assert yaml.safe_load(written.read_text(encoding="utf-8")) == TrainerConfig().plain()
    assert written.read_text(encoding="utf-8") == as_yaml()


def test_result_follows_from_the_settings_and_not_from_the_machine(tmp_path: Path) -> None:
    path = config_file(tmp_path, **NEEDED)
    here = read_config("train", path, ["threads=1", "device=cpu", "memory_mib=10", "checkpoint_every=5"])
    there = read_config("train", path, ["threads=8", "device=auto", "memory_mib=99", "checkpoint_every=9"])
    other = read_config("train", path, ["learning_rate=0.1"])
    assert here.decisive() == there.decisive() != other.decisive()


def test_table_is_read_without_torch_or_django() -> None:
    program = "import toolbox.training_settings, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "django", "omegaconf", "annotator", "training"} & set(done.stdout.split()) == set()
