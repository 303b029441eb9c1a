"""Retrain the heads on a snapshot, from cached features of the frozen ViT.

A run is a function of its config, its snapshot and its base model: stopped and resumed it ends in the same weights, to
the bit on one CPU thread. The weights that count are a moving average on the line back to the start (heads.Average);
the best by CGF1 on `val` is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from toolbox.files import write_text
from toolbox.run_size import COPIES, RunSize
from training.checkpoints import BEST, CheckpointFolder, State
from training.config import Config, as_yaml
from training.dataset import Pair, Snapshot
from training.errors import Refused, Stopped, TrainingError
from training.evaluate import evaluate_model, ignore, predict
from training.events import Events
from training.features import FeatureStore
from training.fit import Fit, asked_fit
from training.heads import (
    Average,
    build_optimiser,
    optimiser_state,
    restore_optimiser,
    set_rate,
    trainable,
    use_quick_attention,
    use_training_mode,
)
from training.launch import StopRequest
from training.learning import Learner
from training.material import choose_material
from training.models import Model
from training.recompute import recompute_layers
from training.sampling import Batch, Sampler
from training.saving import Saver, in_memory, let_go
from training.showing import Showing
from training.texts import Texts
from training.vit import choose_vit_dtype

log = logging.getLogger(__name__)
LOSS_EVERY = 5


@dataclass
class Progress:
    """What a run remembers beside its weights."""

    step: int = 0
    elapsed_s: float = 0.0
    best_step: int = -1
    best_cgf1: float = -math.inf
    without_gain: int = 0
    validations: list[dict[str, Any]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "elapsed_s": round(self.elapsed_s, 3),
            "best_step": self.best_step,
            "best_cgf1": self.best_cgf1 if self.best_step >= 0 else None,
            "without_gain": self.without_gain,
            "validations": list(self.validations),  # the run adds to its own while these are written down
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Progress:
        best = facts["best_cgf1"]
        return cls(
            facts["step"],
            facts["elapsed_s"],
            facts["best_step"],
            -math.inf if best is None else best,
            facts["without_gain"],
            list(facts["validations"]),
        )


class Trainer:
    """One run. Build it, call run(), read best_state and progress."""

    def __init__(
        self, config: Config, model: Model, out: Path, events: Events, stop: StopRequest, fit: Fit | None = None
    ) -> None:
        self.config, self.model, self.events, self.stop = config, model, events, stop
        snapshot = Snapshot(config.snapshot)
        self.snapshot_hash = snapshot.hash
        self.material = choose_material(snapshot, config, events)
        self.train_pairs, self.val = self.material.train, self.material.val
        model.check_phrases({pair.phrase for pair in [*self.train_pairs, *self.val.pairs]})
        self.fit = fit or asked_fit(config, model.device)
        self.features = FeatureStore(
            model,
            config.images,
            config.features or out / "features",
            read_also=config.features_read_also,
            memory_mib=config.memory_mib,
            disk_mib=config.features_mib,
            max_pixels=config.max_pixels,
            vit_dtype=choose_vit_dtype(config.vit_dtype, model.device),
            encode_images=self.fit.encode_images,
        )
        learns_text = config.text_rate > 0
        self.parameters = trainable(model.network, with_text=learns_text, with_neck=config.neck_rate > 0)
        self.texts = Texts(model, is_frozen=not learns_text, precision=self.fit.precision)
        use_quick_attention(model.network, model.device)
        if self.fit.recompute:
            recompute_layers(model.network)
        self.optimiser = build_optimiser(self.parameters, config)
        self.average = Average(
            self.parameters,
            config.average,
            config.start_share,
            caution=config.presence_caution,
            earlier_caution=self._earlier_caution(),
        )
        self.average.begin()
        self.learner = Learner(config, self.fit, model, self.features, self.texts, self.parameters, self.optimiser)
        self._config_file = out / "config.yaml"
        self.sampler = Sampler(
            self.train_pairs,
            seed=config.seed,
            batch_pairs=config.batch_pairs,
            positive_share=config.positive_share,
            newer_weight=config.newer_weight,
            mirror=config.mirror,
        )
        self.showing = Showing(self.val.pairs, config, events)
        self.progress = Progress()
        self.folder = CheckpointFolder(out / "checkpoints", self._fingerprint())
        self.saver = Saver(self.folder, events, stop, waits=model.device.type == "cpu")
        self._losses: list[dict[str, float]] = []

    def _earlier_caution(self) -> float:
        """What an earlier run took off the presence scores of the model that this one starts from."""
        return float(self.model.manifest.get("presence_caution", 0.0))

    def caution_kept(self) -> float:
        """What was taken off the presence scores of the weights that are kept."""
        return self.config.presence_caution if self.progress.best_step > 0 else self._earlier_caution()

    def _fingerprint(self) -> str:
        """Which run this is: what its result follows from, and nothing of the machine it runs on."""
        parts = {
            "config": self.config.decisive(),
            "snapshot": self.snapshot_hash,
            "base": self.model.network.weights_hash(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run(self) -> None:
        """Train to the end, or raise Stopped after a checkpoint. Afterwards the network holds the best weights."""
        if self._ran_to_its_end():
            return
        if self.progress.step:
            self._save_and_let_go()
        raise Stopped

    def _ran_to_its_end(self) -> bool:
        try:
            self._run()
        except Stopped:
            return False  # the error goes with this: what it was raised through holds tensors of the card
        return True

    def _run(self) -> None:
        if self.config.resume:
            self.folder.check_owner()
        else:
            self.folder.clear()
        write_text(self._config_file, as_yaml(self.config.plain()), alone=True)
        self._check_room()
        self._prepare_features()
        if self._resume():
            self.showing.goes_on(self._share_done())
        if self._owes_validation():
            self._validate()
        while not self._is_over():
            self.stop.check()
            self._one_step()
        self._finish()

    def _owes_validation(self) -> bool:
        """At the start, and where a run was stopped while it validated."""
        done = self.progress
        is_due = done.step % self.config.validate_every == 0 and not (done.step and self._is_over())
        return is_due and (not done.validations or done.validations[-1]["step"] != done.step)

    def _check_room(self) -> None:
        """Before anything is encoded."""
        trained = sum(parameter.nbytes for parameter in self.parameters.values())
        whole = sum(parameter.nbytes for parameter in self.model.network.parameters())
        self.folder.check_room(RunSize(COPIES * trained, whole))

    def _prepare_features(self) -> None:
        pairs = [*self.train_pairs, *self.val.pairs]
        began = time.monotonic()

        def report_images(done: int, of: int) -> None:
            eta_s = (time.monotonic() - began) / done * (of - done)
            self.events("progress", step=done, of=of, phase="features", eta_s=round(eta_s, 1))

        images = {pair.image for pair in pairs}
        self.features.prepare(images, mirror=self.config.mirror, progress=self.stop.checked(report_images))
        _check_sizes(pairs, self.features)
        self.texts.prepare(pair.phrase for pair in pairs)

    def _resume(self) -> bool:
        found = self.folder.newest()
        if found is None:
            return False
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(found.state[f"weights|{name}"])
                self.average.weights[name].copy_(found.state[f"average|{name}"])
        moments = {key: value for key, value in found.state.items() if not key.startswith(("weights|", "average|"))}
        restore_optimiser(self.optimiser, self.parameters, moments)
        self.progress = Progress.of(found.facts)
        log.info("resumed at step %d", self.progress.step)
        return True

    def _is_over(self) -> bool:
        config, done = self.config, self.progress
        out_of_steps = config.steps is not None and done.step >= config.steps
        out_of_time = config.minutes is not None and done.elapsed_s >= 60 * config.minutes
        out_of_patience = config.patience is not None and done.without_gain >= config.patience
        return out_of_steps or out_of_time or out_of_patience

    def _share_done(self) -> float:
        by_step = self.progress.step / self.config.steps if self.config.steps else 0.0
        by_time = self.progress.elapsed_s / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(by_step, by_time)

    def _one_step(self) -> None:
        began = time.monotonic()
        torch.manual_seed(self.config.seed * 1_000_003 + self.progress.step)
        rate = set_rate(self.optimiser, self.config, self._share_done())
        use_training_mode(self.model.network, True)
        losses = self._learn(self.sampler.batch(self.progress.step))
        self.progress.step += 1
        self.average.update(self.progress.step)
        self.progress.elapsed_s += time.monotonic() - began
        self._report_loss(losses, rate)
        if self.progress.step % self.config.validate_every == 0 and not self._is_over():
            self._validate()
        if self.progress.step % self.config.checkpoint_every == 0 and not self._is_over():
            self._checkpoint()

    def _learn(self, batch: Batch) -> dict[str, float]:
        """One update of the trained weights; the loss terms as numbers. What comes next is read meanwhile."""
        coming = self.sampler.batch(self.progress.step + 1)
        self.features.read_ahead([pair.image for pair in coming.pairs], mirrored=coming.mirrored)
        return self.learner.learn(batch, self.progress.step)

    def _report_loss(self, losses: dict[str, float], rate: float) -> None:
        self._losses.append(losses)
        step = self.progress.step
        if step % LOSS_EVERY and not self._is_over():
            return
        mean = {name: round(sum(row.get(name, 0.0) for row in self._losses) / len(self._losses), 5) for name in losses}
        self._losses = []
        self.events("loss", step=step, **mean, learning_rate=self.config.learning_rate * rate)
        share = self._share_done()
        eta_s = self.progress.elapsed_s * (1 - share) / max(share, 1e-6)
        of = self.config.steps or max(step, round(step / max(share, 1e-6)))
        self.events("progress", step=step, of=of, phase="train", eta_s=round(eta_s, 1))

    def _validate(self) -> None:
        """Judge the average on `val`; a strictly better CGF1 becomes the best checkpoint."""
        began, done = time.monotonic(), self.progress
        self.optimiser.zero_grad(set_to_none=True)  # the step's gradients are of no more use
        use_training_mode(self.model.network, False)
        with self.average.in_network() as state:
            checked = self.stop.checked(ignore)
            evaluation = evaluate_model(
                self.model, self.features, self.val, keep_score=0.5, progress=checked, **self._judging()
            )
            figures = evaluation.figures
            is_best = figures["cgf1"] > done.best_cgf1
            if is_best:
                self.saver.save(BEST, state, {"step": done.step, "cgf1": figures["cgf1"]}, copy=True)
        row = {"step": done.step, **{key: round(figures[key], 6) for key in ("cgf1", "pmf1", "il_mcc", "il_fpr")}}
        done.validations.append(row)
        if is_best:
            done.best_step, done.best_cgf1, done.without_gain = done.step, figures["cgf1"], 0
        else:
            done.without_gain += 1
        self.events("validation", **row, best=is_best)
        is_last = done.step > 0 and self._is_over()
        self.showing.validated(evaluation, step=done.step, share=self._share_done(), is_last=is_last)
        done.elapsed_s += time.monotonic() - began

    def _judging(self) -> dict[str, Any]:
        """A text tower that learns is read anew at each validation."""
        texts = self.texts if self.texts.is_frozen else None
        return {"at_once": self.fit.judge_pairs, "precision": self.fit.precision, "texts": texts}

    def _checkpoint(self) -> None:
        self.saver.save(self._step_name(), self._state(), self.progress.facts())

    def _step_name(self) -> str:
        return f"step-{self.progress.step:08d}"

    def _state(self) -> State:
        state: State = {f"weights|{name}": parameter for name, parameter in self.parameters.items()}
        state |= {f"average|{name}": weight for name, weight in self.average.weights.items()}
        return state | optimiser_state(self.optimiser, self.parameters)

    def _save_and_let_go(self) -> None:
        """The card is free before the disk is written to; nothing can be computed afterwards."""
        state = in_memory(self._state())
        moments = optimiser_state(self.optimiser, self.parameters).values()
        network = self.model.network
        let_go([*network.parameters(), *network.buffers(), *self.average.weights.values(), *moments])
        size = sum(tensor.nbytes for tensor in state.values())
        self.events("saving", step=self.progress.step, bytes=size)
        self.saver.save_last(self._step_name(), state, self.progress.facts())

    def _finish(self) -> None:
        if not self.progress.validations or self.progress.validations[-1]["step"] != self.progress.step:
            self._validate()
        self._checkpoint()
        self.saver.settle(unless_stopped=True)
        self.stop.check()
        best = self.folder.best()
        if best is None:
            raise TrainingError("lost_checkpoint", "The best checkpoint is gone from the run's folder: start again.")
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(best.state[name])
        use_training_mode(self.model.network, False)
        self._show_kept()

    def _show_kept(self) -> None:
        """The fixed pairs with the weights that are kept, where their validation was not among those shown."""
        step = self.progress.best_step
        if not self.showing.has_shown(step):
            found = predict(self.model, self.features, self.showing.pairs, keep_score=0.5, **self._judging())
            self.showing.show(step, list(found))


def _check_sizes(pairs: list[Pair], features: FeatureStore) -> None:
    for pair in pairs:
        if features.size_px(pair.image) != (pair.width_px, pair.height_px):
            width, height = features.size_px(pair.image)
            raise Refused(
                "malformed_snapshot",
                f"Pair {pair.id} says {pair.width_px} x {pair.height_px} px, its image {pair.image[:12]}… has "
                f"{width} x {height} (after EXIF transpose).",
            )
