"""The verbs: train, evaluate, gate, and plan before them. Files in, files out."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlbackend.model.checkpoint import WeightsError
from mlbackend.model.temperature import PRESENCE_CALIBRATION
from toolbox.files import folder_written_whole, write_json
from training import report
from training.config import Config
from training.dataset import Snapshot, Split
from training.errors import Refused, TrainingError
from training.evaluate import Evaluation, evaluate_model
from training.events import Events
from training.features import FeatureStore, read_picture
from training.fit import Fit, memory_told
from training.gate_rows import check_split, decide_rows, rows_of, unread
from training.heads import use_quick_attention
from training.launch import StopRequest
from training.measures import measured
from training.models import TOKENIZER_FILES, Model, choose_device, load_model
from training.plan import Plan, Planner, card_bytes_of, free_card_bytes, left_for_us, planned_fit
from training.ranks import ALONE, Ranks
from training.speed import SAME, Speed
from training.stopwatch import compare_speed, work_of
from training.surroundings import surroundings
from training.trainer import Trainer
from training.vit import choose_vit_dtype

log = logging.getLogger(__name__)


def run_train(config: Config, out: Path, events: Events, stop: StopRequest, ranks: Ranks = ALONE) -> Path:
    """DIR/config.yaml, DIR/model, DIR/manifest.json; the manifest's path. The first process writes."""
    assert config.base_model is not None
    began = time.monotonic()
    device = choose_device(config.device)
    fit = planned_fit(config, config.base_model, device, cards=ranks.count)
    with memory_told(fit, config):
        model = load_model(config.base_model, device=device)
        base_hash, made = model.checked_weights_hash(), surroundings(device=device)
        trainer = Trainer(config, model, out, events, stop, fit, ranks)
        trainer.run()
    if not ranks.is_first:
        return out / "manifest.json"
    weights_hash = _save_or_say_why(trainer, out / "model", {"trained_from": base_hash, **made})
    best = next(row for row in trainer.progress.validations if row["step"] == trainer.progress.best_step)
    manifest = {
        "model": str((out / "model").resolve()),
        "weights_hash": weights_hash,
        "backbone_hash": trainer.model.backbone_hash,
        "prompt_has_cls": model.network.prompt_has_cls,
        "snapshot_hash": trainer.snapshot_hash,
        "base_weights_hash": base_hash,
        **made,
        "metrics": {"val": best, "validations": trainer.progress.validations, "best_step": trainer.progress.best_step},
        "pairs": trainer.material.counts(),
        PRESENCE_CALIBRATION: trainer.calibration,
        **({"click_check": trainer.click_check.told()} if trainer.click_check else {}),
        "recipe": config.recipe,
        "config": config.plain(),
        "seconds": round(time.monotonic() - began, 1),
        "steps": trainer.progress.step,
        "device": str(model.device),
        "processes": ranks.count,
        "fit": asdict(fit) | {"precision": fit.precision.name},
        **({"clicks": trainer.clicks.report} if trainer.clicks else {}),
    }
    return _write(out / "manifest.json", manifest)


def _save_or_say_why(trainer: Trainer, folder: Path, made: dict[str, Any]) -> str:
    """The base's foreign weights are copied now, from its folder: hours after it was loaded."""
    try:
        return save_model(trainer, folder, made)
    except WeightsError as error:
        raise TrainingError("lost_base", f"Training is done, the model is not written: {error}.") from error


def run_plan(config: Config, card: str | None, out: Path | None) -> Plan:
    """What the run would need of the card here, or of one named by its size; DIR/plan.json where a folder is given.

    Without a base model it is for SAM 3 at its own size, which its config alone tells.
    """
    size, kept = card_bytes_of(card) if card else 0, config.kept_free_mib
    with ExitStack() as stack:
        folder = config.base_model or _sam3_unweighted(Path(stack.enter_context(TemporaryDirectory())))
        free = left_for_us(size, size, kept) if card else free_card_bytes(kept)
        cards = max(1, config.launch_gpus) if config.launch_on != "here" else 1
        plan = Planner(config, folder, free, cards=cards).train()
    if out is not None:
        _write(out / "plan.json", plan.plain())
    return plan


def _sam3_unweighted(folder: Path) -> Path:
    from transformers.models.sam3.configuration_sam3 import Sam3Config

    write_json(folder / "config.json", {"detector_config": Sam3Config().to_dict()})
    return folder


def save_model(trainer: Trainer, folder: Path, made: dict[str, Any]) -> str:
    """The trained version in hub layout with its tokenizer and what it was taught; complete, or not there at all.

    `made`: the base's hash (`trained_from`) and what the run ran with.
    """
    model = trainer.model
    weights_hash = model.network.weights_hash()
    manifest: dict[str, Any] = {
        "weights_hash": weights_hash,
        "backbone_hash": model.backbone_hash,
        **made,
        "snapshot_hash": trainer.snapshot_hash,
        "recipe": trainer.config.recipe,
        PRESENCE_CALIBRATION: trainer.calibration,
    }
    taught = model.manifest.get("taught_words")
    if taught is not None:
        learnt = {pair.phrase.lower() for pair in trainer.train_pairs if pair.is_positive}
        manifest["taught_words"] = sorted({str(word).lower() for word in taught} | learnt)
    with folder_written_whole(folder, replace=True, alone=True) as beside:
        model.network.save(beside)
        for name in (*TOKENIZER_FILES, "preprocessor_config.json", "processor_config.json", "LICENSE"):
            if (model.folder / name).is_file():
                shutil.copyfile(model.folder / name, beside / name)
        write_json(beside / "manifest.json", manifest, indent=1)
    return weights_hash


def run_evaluate(config: Config, out: Path, events: Events, stop: StopRequest) -> Path:
    """DIR/predictions.json, DIR/rows.json, DIR/measures.json, DIR/manifest.json."""
    assert config.model is not None
    began = time.monotonic()
    split, left_out_read = _unread_by(config, Snapshot(config.snapshot).split(config.split))
    if not split.judged:
        raise Refused(
            "unjudgeable_split",
            f"No pair of {config.split}.json is marked as exhaustively annotated (of {len(split.pairs)}"
            f"{f', without {left_out_read:,} whose picture the model has learnt from' if left_out_read else ''}): a "
            "model can only be judged where every instance is known. Have some completed, then freeze again.",
        )
    judge = Judge(config, out, split, events, stop)
    asked, evaluation = judge.evaluate(config.model, prompt=config.prompt)
    summary = evaluation.summary()
    _write_evaluation(out, evaluation, config)
    manifest = {
        "metrics": evaluation.result.metrics,
        "summary": summary,
        "by_source": summary["by_source"],
        "by_concept": summary["by_concept"],
        "raw": evaluation.result.raw,
        "model": str(Path(config.model).resolve()),
        "weights_hash": asked.weights_hash,
        "prompt_has_cls": asked.prompt_has_cls,
        "split": config.split,
        "pairs": len(evaluation.result.pairs),
        "left_out_not_exhaustive": split.left_out_not_exhaustive,
        "left_out_read": left_out_read,
        "config": config.plain(),
        "seconds": round(time.monotonic() - began, 1),
    }
    if config.prompt == "both":
        manifest["prompts"] = _both_ways(judge, config.model, asked.prompt_has_cls, evaluation, events)
    return _write(out / "manifest.json", manifest)


def _unread_by(config: Config, split: Split) -> tuple[Split, int]:
    """Without what the model has learnt from, where the config says what that is; its own `val` chose it, no more."""
    if not config.trained_on:
        return split, 0
    learnt = Snapshot(config.trained_on)
    return unread(split, [learnt.split(name) for name in ("train", "val") if name != split.name])


def _both_ways(judge: Judge, folder: str, own: bool, evaluation: Evaluation, events: Events) -> dict[str, Any]:
    """CGF1 of the same model asked with the CLS token and without, in the manifest, as events and in the log."""
    other = judge.evaluate(folder, prompt="without_cls" if own else "with_cls")[1]
    answer = {}
    for name, judged in (("with_cls", evaluation if own else other), ("without_cls", other if own else evaluation)):
        figures = {key: judged.figures[key] for key in ("cgf1", "pmf1", "il_mcc", "il_fpr")}
        answer[name] = {**figures, "own": (name == "with_cls") is own}
        events("prompt", prompt=name, **answer[name])
        log.info("%-11s CGF1 %5.1f (pmF1 %.1f, IL_MCC %.3f)", name, *_points(figures))
    return answer


def _points(figures: dict[str, float]) -> tuple[float, float, float]:
    return 100 * figures["cgf1"], 100 * figures["pmf1"], figures["il_mcc"]


def run_gate(config: Config, out: Path, events: Events, stop: StopRequest) -> Path:
    """Judge champion, challenger and baseline on the holdout and decide; DIR/manifest.json, DIR/rows.json,
    DIR/report.json, and of each model DIR/ROLE/."""
    began = time.monotonic()
    snapshot = Snapshot(config.snapshot)
    trained_on = Snapshot(config.trained_on) if config.trained_on else snapshot
    read = [trained_on.split(name) for name in ("train", "val")]
    split, left_out_read = unread(snapshot.split("holdout"), read)
    check_split(split, config.policy)
    judge = Judge(config, out, split, events, stop)
    judged = {role: judge.evaluate(str(getattr(config, role))) for role in ("champion", "challenger", "baseline")}
    evaluations = {role: evaluation for role, (_, evaluation) in judged.items()}
    rows = rows_of(evaluations)
    # What was judged is kept before anything else can fail: two models are in memory for the stopwatch.
    for role, evaluation in evaluations.items():
        _write_evaluation(out / role, evaluation, config)
    _write(out / "rows.json", rows)
    asked = {role: asked for role, (asked, _) in judged.items()}
    speed = judge.speed(asked) if config.policy.speed_ratio is not None else None
    manifest = decide_rows(rows, config.policy, speed=speed, looks=config.looks, seed=config.seed)
    manifest["holdout"]["left_out_not_exhaustive"] = split.left_out_not_exhaustive
    manifest["holdout"]["left_out_read"] = left_out_read
    manifest |= {role: evaluation.summary() for role, evaluation in evaluations.items()}
    manifest |= {
        "weights": {role: one.weights_hash for role, one in asked.items()},
        "snapshot_hash": snapshot.hash,
        "policy": config.plain()["policy"],
        "seed": config.seed,
        "looks": config.looks,
        "speed": speed.plain() if speed else None,
        "seconds": round(time.monotonic() - began, 1),
    }
    _write(out / "report.json", {role: {"samples": _samples(one, config)} for role, one in evaluations.items()})
    return _write(out / "manifest.json", manifest)


def _write_evaluation(folder: Path, evaluation: Evaluation, config: Config) -> None:
    """FOLDER/predictions.json (COCO results), rows.json, measures.json: whoever judges one evaluation reads these."""
    folder.mkdir(parents=True, exist_ok=True)
    predictions, presence = evaluation.coco_results(), evaluation.presence_by_pair()
    figures = measured(
        evaluation.split.document, predictions, presence=presence, keep_score=config.keep_score, seed=config.seed
    )
    _write(folder / "predictions.json", predictions)
    _write(folder / "rows.json", evaluation.pair_rows())
    _write(folder / "measures.json", figures)


def _samples(evaluation: Evaluation, config: Config) -> list[dict[str, Any]]:
    chosen = {pair.id for pair in report.choose_samples(evaluation.split.judged, config.sample_pairs)}
    return [report.sample_row(prediction) for prediction in evaluation.predictions if prediction.pair.id in chosen]


@dataclass(frozen=True)
class Asked:
    """Which weights were judged, whether their prompts had the CLS token, what sums they take (stopwatch.py), and how
    sure their presence sounds."""

    weights_hash: str
    prompt_has_cls: bool
    work: str
    temperature: float


class Judge:
    """Evaluates models on one split, one of them in memory at a time; equal weights are not judged twice."""

    def __init__(self, config: Config, out: Path, split: Split, events: Events, stop: StopRequest) -> None:
        self._config, self._out, self._split, self._events, self._stop = config, out, split, events, stop
        self._device = choose_device(config.device)
        self._fit: Fit | None = None
        self._known: dict[Asked, Evaluation] = {}

    def evaluate(self, folder: str, *, prompt: str = "as_model") -> tuple[Asked, Evaluation]:
        self._stop.check()
        self._fit = self._fit or planned_fit(self._config, folder, self._device, judges=True)
        with memory_told(self._fit, self._config, judges=True):
            model = load_model(folder, device=self._device)
            if prompt in ("with_cls", "without_cls"):
                model.network.prompt_has_cls = prompt == "with_cls"
            asked = Asked(
                model.checked_weights_hash(),
                model.network.prompt_has_cls,
                work_of(model.network),
                model.temperature,
            )
            if asked not in self._known:
                self._known[asked] = self._evaluate(model, self._fit)
            return asked, self._known[asked]

    def speed(self, asked: Mapping[str, Asked]) -> Speed:
        """Of champion and challenger; the only time that two models are in memory, and only where they differ."""
        if asked["champion"].work == asked["challenger"].work:
            return SAME
        config = self._config
        assert self._fit is not None, "speed is asked after both were judged"
        picture = read_picture(Path(config.images), self._split.judged[0].image, max_pixels=config.max_pixels)
        with memory_told(self._fit, config, judges=True):
            models = [load_model(str(folder), device=self._device) for folder in (config.champion, config.challenger)]
            vit_dtype = choose_vit_dtype(config.vit_dtype, self._device)
            return compare_speed(models[0], models[1], picture, self._reporter("speed"), vit_dtype=vit_dtype)

    def _evaluate(self, model: Model, fit: Fit) -> Evaluation:
        config = self._config
        use_quick_attention(model.network, model.device)
        model.check_phrases({pair.phrase for pair in self._split.judged})
        features = FeatureStore(
            model,
            config.images,
            config.features or self._out / "features",
            read_also=config.features_read_also,
            memory_mib=config.memory_mib,
            disk_mib=config.features_mib,
            max_pixels=config.max_pixels,
            vit_dtype=choose_vit_dtype(config.vit_dtype, self._device),
            encode_images=fit.encode_images,
        )
        features.prepare({pair.image for pair in self._split.judged}, progress=self._reporter("features"))
        return evaluate_model(
            model,
            features,
            self._split,
            keep_score=config.keep_score,
            progress=self._reporter("evaluate"),
            at_once=fit.judge_pairs,
            precision=fit.precision,
        )

    def _reporter(self, phase: str) -> Any:
        began = time.monotonic()

        def report_progress(done: int, of: int) -> None:
            eta_s = (time.monotonic() - began) / done * (of - done)
            self._events("progress", step=done, of=of, phase=phase, eta_s=round(eta_s, 1))

        return self._stop.checked(report_progress)


def _write(path: Path, content: Any) -> Path:
    write_json(path, content, indent=1, alone=True)
    return path
