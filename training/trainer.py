"""Retrain a model on a snapshot: its heads from cached features of the frozen ViT, or the ViT with them.

A run is a function of its config, its snapshot and its base model: stopped and resumed it ends in the same weights, to
the bit on one CPU thread. The weights that count are a moving average on the line back to the start (heads.Average);
the best by CGF1 on `val` is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from toolbox.files import write_text
from toolbox.run_size import COPIES, RunSize
from training.checkpoints import BEST, CheckpointFolder, State
from training.click_check import ClickCheck
from training.clicks import PREFIX, ClickTuner
from training.config import Config, as_yaml
from training.dataset import Pair, Snapshot
from training.errors import Refused, Stopped, TrainingError
from training.evaluate import Evaluation, evaluate_model, ignore, predict
from training.events import Events
from training.fit import Fit, asked_fit
from training.heads import (
    Average,
    build_optimiser,
    optimiser_state,
    restore_optimiser,
    set_rate,
    use_quick_attention,
    use_training_mode,
)
from training.launch import StopRequest
from training.learning import Learner
from training.length import further_shares, steps_of
from training.loop import Means, repeat
from training.material import choose_material
from training.models import Model
from training.moving import as_served, prepared, token_source
from training.progress import Progress
from training.ranks import ALONE, Ranks
from training.recompute import recompute_layers
from training.sampling import Batch, Sampler
from training.saving import Saver, in_memory, let_go
from training.showing import Showing
from training.temperature import Calibration, measured_calibration
from training.texts import Texts
from training.together import check_alike, newest_checkpoint
from training.token_source import TokenSource
from training.view_sheet import show_views
from training.views import Views

log = logging.getLogger(__name__)
LOSS_EVERY = 5
DROPOUT_APART = 1_000_000_007  # processes drop other cells, as the pairs of one batch do


class Trainer:
    """One run. Build it, call run(), read best_state and progress."""

    def __init__(
        self,
        config: Config,
        model: Model,
        out: Path,
        events: Events,
        stop: StopRequest,
        fit: Fit | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        model = model.uncalibrated()
        self.config, self.model, self.events, self.stop, self.ranks = config, model, events, stop, ranks
        snapshot = Snapshot(config.snapshot)
        self.snapshot_hash = snapshot.hash
        self.material = choose_material(snapshot, config, events)
        self.train_pairs, self.val = self.material.train, self.material.val
        model.check_phrases({pair.phrase for pair in [*self.train_pairs, *self.val.pairs]})
        self.fit = fit or asked_fit(config, model.device)
        self._base_hash = model.network.weights_hash()
        self.features = token_source(config, model, out, self.fit, keeps=ranks.is_first)
        self.parameters = prepared(model.network, config)
        self.texts = Texts(model, is_frozen=config.text_rate == 0, precision=self.fit.precision)
        use_quick_attention(model.network, model.device)
        if self.fit.recompute:
            recompute_layers(model.network)
        self.optimiser = build_optimiser(self.parameters, config)
        self.average = Average(self.parameters, config.average)
        self.learner = Learner(
            config, self.fit, model, self.features, self.texts, self.parameters, self.optimiser, ranks
        )
        self.click_check = ClickCheck(self.val.pairs) if config.vit != "frozen" else None
        self.clicks = ClickTuner.wanted(config, model, self.features, self.learner.targets, self.material)
        self._config_file = out / "config.yaml"
        self.views = Views.of(config)
        self.sampler = Sampler(
            self.train_pairs,
            seed=config.seed,
            batch_pairs=config.batch_pairs,
            positive_share=config.positive_share,
            newer_weight=config.newer_weight,
            views=self.views,
        )
        self.steps = steps_of(config, len(self.train_pairs))
        self.showing = Showing(list(self.val.pairs), config, events)
        self.calibration: Calibration = {}
        self.progress = Progress()
        self.folder = CheckpointFolder(out / "checkpoints", self._fingerprint())
        self.saver = Saver(self.folder, events, stop, waits=model.device.type == "cpu")
        self._means = Means()

    def _fingerprint(self) -> str:
        """Which run this is: what its result follows from, and nothing of the machine it runs on."""
        parts = {
            "config": self.config.decisive(),
            "snapshot": self.snapshot_hash,
            "base": self._base_hash,
            **({"prompts": self.clicks.digest} if self.clicks else {}),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run(self) -> None:
        """Train to the end, or raise Stopped after a checkpoint. Afterwards the first process has the best weights."""
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
        self.ranks.by_first("the run's folder", self._take_folder)
        check_alike(self.ranks, self._fingerprint())
        self._prepare_features()
        if self._resume():
            self.showing.goes_on(self._share_done())
        if self._owes_validation():
            self._validate()
        repeat(self._one_step, self._is_over, self.stop, self.ranks)
        self._finish()

    def _take_folder(self) -> None:
        if self.config.resume:
            self.folder.check_owner()
        else:
            self.folder.clear()
        write_text(self._config_file, as_yaml(self.config.plain()), alone=True)
        self._check_room()

    def _owes_validation(self) -> bool:
        """At the start, and where a run was stopped while it validated."""
        done = self.progress
        is_due = done.step % self.config.validate_every == 0 and not (done.step and self._is_over())
        return is_due and (not done.validations or done.validations[-1]["step"] != done.step)

    def _check_room(self) -> None:
        """Before anything is encoded."""
        moved = [*self.parameters.values(), *(self.clicks.parameters.values() if self.clicks else ())]
        trained = sum(parameter.nbytes for parameter in moved)
        whole = sum(parameter.nbytes for parameter in self.model.network.parameters())
        self.folder.check_room(RunSize(COPIES * trained, whole))

    def _prepare_features(self) -> None:
        pairs = [*self.train_pairs, *self.val.pairs]
        began = time.monotonic()

        def report_images(done: int, of: int) -> None:
            eta_s = (time.monotonic() - began) / done * (of - done)
            self.events("progress", step=done, of=of, phase="features", eta_s=round(eta_s, 1))

        def encode() -> None:
            images, views = {pair.image for pair in pairs}, self.views.wanted(self.train_pairs)
            self.features.prepare(images, views=views, progress=self._checked(report_images))
            show_views(self.views, self.train_pairs, self.features, self._config_file.parent, self.events)
            if self.click_check:
                self.click_check.before(self.model, self.features)

        self.ranks.by_first("the images' features", encode)
        _check_sizes(pairs, self.features)
        self.texts.prepare(pair.phrase for pair in pairs)

    def _checked(self, report: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """A callback of what the first process does alone: it can be stopped, and those who wait for it wait on."""

        def progress(done: int, of: int) -> None:
            self.ranks.busy()
            report(done, of)

        return self.stop.checked(progress)

    def _resume(self) -> bool:
        found = newest_checkpoint(self.ranks, self.folder)
        if found is None:
            return False
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(found.state[f"weights|{name}"])
                self.average.weights[name].copy_(found.state[f"average|{name}"])
        others = ("weights|", "average|", PREFIX)
        moments = {key: value for key, value in found.state.items() if not key.startswith(others)}
        restore_optimiser(self.optimiser, self.parameters, moments)
        if self.clicks:
            self.clicks.restore(found.state)
        self.progress = Progress.of(found.facts)
        log.info("resumed at step %d", self.progress.step)
        return True

    def _is_over(self) -> bool:
        config, done = self.config, self.progress
        out_of_steps = self.steps is not None and done.step >= self.steps
        out_of_time = config.minutes is not None and done.elapsed_s >= 60 * config.minutes
        out_of_patience = config.patience is not None and done.without_gain >= config.patience
        return out_of_steps or out_of_time or out_of_patience

    def _share_done(self) -> float:
        by_step = self.progress.step / self.steps if self.steps else 0.0
        by_time = self.progress.elapsed_s / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(by_step, by_time)

    def _one_step(self) -> None:
        began = time.monotonic()
        torch.manual_seed(self.config.seed * 1_000_003 + self.progress.step + DROPOUT_APART * self.ranks.rank)
        rate = set_rate(self.optimiser, self.config, self._share_done())
        use_training_mode(self.model.network, True)
        losses = self._learn(self.sampler.batch(self.progress.step))
        self.progress.step += 1
        self.average.update(self.progress.step)
        self.progress.elapsed_s = self.ranks.firsts(self.progress.elapsed_s + time.monotonic() - began)
        self._report_loss(losses, rate)
        if self.progress.step % self.config.validate_every == 0 and not self._is_over():
            self._validate()
        if self.progress.step % self.config.checkpoint_every == 0 and not self._is_over():
            self._checkpoint()

    def _learn(self, batch: Batch) -> dict[str, float]:
        """One update of the trained weights; the loss terms as numbers. What comes next is read meanwhile."""
        coming = self.sampler.batch(self.progress.step + 1)
        self.features.read_ahead([pair.image for pair in coming.pairs], coming.views)
        losses = self.learner.learn(batch, self.progress.step)
        return losses | (self.clicks.learn(self.progress.step, self._share_done()) if self.clicks else {})

    def _report_loss(self, losses: dict[str, float], rate: float) -> None:
        self._means.add(losses)
        step = self.progress.step
        if step % LOSS_EVERY and not self._is_over():
            return
        self.events("loss", step=step, **self._means.take(), learning_rate=self.config.learning_rate * rate)
        share = self._share_done()
        eta_s = self.progress.elapsed_s * (1 - share) / max(share, 1e-6)
        of = self.steps or max(step, round(step / max(share, 1e-6)))
        self.events("progress", step=step, of=of, phase="train", eta_s=round(eta_s, 1))

    def _validate(self) -> None:
        """By the first process; the others learn what came of it, which decides how long the run goes on."""
        told = self.ranks.by_first(f"the validation of step {self.progress.step}", self._judge)
        if not self.ranks.is_first:
            self.progress = Progress.of(told)

    def _judge(self) -> dict[str, Any]:
        """Judge the average on `val`; a strictly better CGF1 becomes the best checkpoint."""
        began, done = time.monotonic(), self.progress
        self.optimiser.zero_grad(set_to_none=True)  # the step's gradients are of no more use
        use_training_mode(self.model.network, False)
        judged = [self._judge_with(self.config.start_share)]
        done.without_gain = 0 if done.best_step == done.step else done.without_gain + 1
        done.elapsed_s, began = done.elapsed_s + time.monotonic() - began, time.monotonic()
        is_last = done.step > 0 and self._is_over()
        judged += [self._judge_with(share) for share in further_shares(self.config) if is_last]
        row, evaluation = max(judged, key=lambda one: one[0]["cgf1"])
        done.validations.append(row)
        self.events("validation", **row, best=done.best_step == done.step)
        self.showing.validated(evaluation, step=done.step, share=self._share_done(), is_last=is_last)
        done.elapsed_s += time.monotonic() - began
        return done.facts()

    def _judge_with(self, start_share: float) -> tuple[dict[str, Any], Evaluation]:
        """Of the average with so much of the base in it: the validation's row, and all that was answered."""
        done = self.progress
        with self.average.in_network(start_share) as state:
            checked = self._checked(ignore)
            evaluation = evaluate_model(
                self.model, self.features, self.val, keep_score=0.5, progress=checked, **self._judging()
            )
            figures = evaluation.figures
            if figures["cgf1"] > done.best_cgf1:
                self.saver.save(BEST, state, {"step": done.step, "cgf1": figures["cgf1"]}, copy=True)
                done.best_step, done.best_cgf1 = done.step, figures["cgf1"]
        told = {key: round(figures[key], 6) for key in ("cgf1", "pmf1", "il_mcc", "il_fpr")}
        return {"step": done.step, "start_share": start_share, **told}, evaluation

    def _judging(self) -> dict[str, Any]:
        """A text tower that learns is read anew at each validation."""
        texts = self.texts if self.texts.is_frozen else None
        return {"at_once": self.fit.judge_pairs, "precision": self.fit.precision, "texts": texts}

    def _checkpoint(self) -> None:
        name = self._step_name()
        self.ranks.by_first(name, lambda: self.saver.save(name, self._state(), self.progress.facts()))

    def _step_name(self) -> str:
        return f"step-{self.progress.step:08d}"

    def _state(self) -> State:
        state: State = {f"weights|{name}": parameter for name, parameter in self.parameters.items()}
        state |= {f"average|{name}": weight for name, weight in self.average.weights.items()}
        state |= self.clicks.state() if self.clicks else {}
        return state | optimiser_state(self.optimiser, self.parameters)

    def _save_and_let_go(self) -> None:
        """The card is free before the disk is written to; nothing can be computed afterwards."""
        state = in_memory(self._state()) if self.ranks.is_first else {}
        moments = [*optimiser_state(self.optimiser, self.parameters).values()]
        moments += self.clicks.state().values() if self.clicks else ()
        network = self.model.network
        let_go([*network.parameters(), *network.buffers(), *self.average.weights.values(), *moments])
        if not self.ranks.is_first:
            return
        size = sum(tensor.nbytes for tensor in state.values())
        self.events("saving", step=self.progress.step, bytes=size)
        self.saver.save_last(self._step_name(), state, self.progress.facts())

    def _finish(self) -> None:
        if not self.progress.validations or self.progress.validations[-1]["step"] != self.progress.step:
            self._validate()
        self._checkpoint()
        self.ranks.by_first("the end", self._settle)
        if self.ranks.is_first:
            self._take_best()

    def _settle(self) -> None:
        self.saver.settle(unless_stopped=True)
        self.stop.check()

    def _take_best(self) -> None:
        best = self.folder.best()
        if best is None:
            raise TrainingError("lost_checkpoint", "The best checkpoint is gone from the run's folder: start again.")
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(best.state[name])
        self.model = as_served(self.model, self.config)
        use_training_mode(self.model.network, False)
        if self.clicks:
            self.clicks.finish(self.events, self.stop)
        if self.click_check:
            self.click_check.after(self.model, self.features, self.events)
        self._calibrate()
        self._show_kept()

    def _calibrate(self) -> None:
        """The kept weights' presence; what is shown of them from here on is as it will be served."""
        found = measured_calibration(self.model, self.features, self.val.pairs, self.config.seed, **self._judging())
        self.calibration, self.model = found, self.model.calibrated(found)
        if why := found.get("why"):
            self.events("warning", code="presence_not_calibrated", message=f"The presence score stays as it is: {why}")

    def _show_kept(self) -> None:
        """The fixed pairs with the weights that are kept, where their validation was not among those shown."""
        step = self.progress.best_step
        if not self.showing.has_shown(step):
            found = predict(self.model, self.features, self.showing.pairs, keep_score=0.5, **self._judging())
            self.showing.show(step, list(found))


def _check_sizes(pairs: list[Pair], features: TokenSource) -> None:
    for pair in pairs:
        if features.size_px(pair.image) != (pair.width_px, pair.height_px):
            width, height = features.size_px(pair.image)
            raise Refused(
                "malformed_snapshot",
                f"Pair {pair.id} says {pair.width_px} x {pair.height_px} px, its image {pair.image[:12]}… has "
                f"{width} x {height} (after EXIF transpose).",
            )
