"""Rebuild the demo model from nothing: python -m training.demo.build --out DIR

Resumable: run it again after a kill and it goes on. Drawings and checkpoints live under --work (several GB).
Somewhat over half an hour on two idle CPU cores. Under glibc's allocator every step is about four times slower, so
preload jemalloc: LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from mlbackend.model.inputs import PhraseTokenizer, load_tokenizer
from mlbackend.model.network import Sam3Network
from training.demo.architecture import IMAGE_SIZE_PX, demo_config, write_tokenizer
from training.demo.calibrate import presence_logits, scale_for_doubt, scale_presence
from training.demo.card import describe, examine, write_card
from training.demo.detector_stage import encode_drawings, train_detector
from training.demo.drawings import Drawings, load_or_draw
from training.demo.exemplar_stage import train_exemplars
from training.demo.stage import load_learned
from training.demo.start import start_network
from training.demo.world_stage import train_world
from training.errors import Stopped
from training.launch import StopRequest, watch

STAGES = ("draw", "world", "detector", "release")
CALIBRATION_SEED = 900_000
_CALIBRATION = """Mixtures of two easy pictures taught the presence head to hesitate. Its logits are scaled by
{scale:.2f}, for {share:.0%} of the pairs of 300 hard scenes (from seed {seed} on, labels unread) in 0.4-0.6."""


STOP = StopRequest()


def main() -> int:
    """0, or 143 where a stage was asked to stop: it has saved what it learned."""
    options = _options()
    watch(STOP)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES if options.stage == "all" else (options.stage,):
        print(f"stage {stage}", flush=True)
        try:
            _RUN[stage](options)
        except Stopped:
            print("stopped; the same command goes on from here", flush=True)
            return 143
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the model folder is written")
    parser.add_argument("--work", type=Path, default=Path("var/demo_build"), help="drawings and checkpoints")
    parser.add_argument("--stage", choices=("all", *STAGES), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=8000, help="scenes a domain")
    parser.add_argument("--world-steps", type=int, default=2000)
    parser.add_argument("--lesson-scenes", type=int, default=5000, help="easy scenes that teach the detector")
    parser.add_argument("--detector-steps", type=int, default=1500)
    parser.add_argument("--exemplar-steps", type=int, default=600)
    parser.add_argument("--exemplar-scenes", type=int, default=1200, help="scenes a domain that teach examples")
    parser.add_argument("--doubt-share", type=float, default=0.1, help="of hard pairs, in the 0.4-0.6 presence band")
    parser.add_argument("--exam-scenes", type=int, default=300, help="fresh scenes a domain for the card")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _drawings(options: argparse.Namespace) -> list[Drawings]:
    """Easy first: it is the one whose concepts are told."""
    return [
        load_or_draw(options.work / "drawings", domain, options.seed * options.scenes, options.scenes, options.threads)
        for domain in ("easy", "hard")
    ]


def _world(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    network = Sam3Network.from_config(demo_config())
    start_network(network)
    seconds = train_world(
        network,
        _drawings(options),
        steps=options.world_steps,
        folder=options.work / "world",
        stop=STOP,
        seed=options.seed,
    )
    _note(
        options,
        world_steps=options.world_steps,
        world_seconds=round(seconds),
        seed=options.seed,
        world_scenes=2 * options.scenes,
        train_seeds=f"{options.seed * options.scenes} to {(options.seed + 1) * options.scenes - 1} of each domain",
    )


def _detector(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    network = Sam3Network.from_config(demo_config())
    load_learned(network, options.work / "world", "network")
    write_tokenizer(options.work)
    lesson = encode_drawings(network, _drawings(options)[0].first(options.lesson_scenes), options.work / "tokens.npy")
    seconds = train_detector(
        network,
        load_tokenizer(options.work),
        lesson,
        steps=options.detector_steps,
        folder=options.work / "detector",
        stop=STOP,
        seed=options.seed,
    )
    _note(
        options,
        lesson_scenes=options.lesson_scenes,
        detector_steps=options.detector_steps,
        detector_seconds=round(seconds),
    )


def _release(options: argparse.Namespace) -> None:
    """Soften the presence score, teach what an example means, write the model folder, examine it, describe it."""
    network = Sam3Network.from_config(demo_config())
    load_learned(network, options.work / "detector", "network")
    write_tokenizer(options.out)
    tokenizer = load_tokenizer(options.out)
    unlabelled = load_or_draw(options.work / "drawings", "hard", CALIBRATION_SEED, 300, options.threads)
    scale = scale_for_doubt(presence_logits(network, tokenizer, unlabelled), options.doubt_share)
    scale_presence(network, scale)
    _teach_exemplars(options, network, tokenizer)
    network.save(options.out)
    (options.out / "preprocessor_config.json").write_text(json.dumps(preprocessor_config(), indent=1) + "\n")
    _note(
        options,
        presence_scale=round(scale, 3),
        calibration=_CALIBRATION.format(scale=scale, share=options.doubt_share, seed=CALIBRATION_SEED),
    )
    network = Sam3Network.load(options.out)
    card = describe(
        network,
        examine(network, tokenizer, options.exam_scenes),
        json.loads((options.work / "training.json").read_text()),
    )
    write_card(options.out, card)
    print(json.dumps(card["quality"], indent=1))


def _teach_exemplars(options: argparse.Namespace, network: Sam3Network, tokenizer: PhraseTokenizer) -> None:
    lessons = [
        encode_drawings(network, drawings.first(options.exemplar_scenes), options.work / f"exemplars{i}.npy")
        for i, drawings in enumerate(_drawings(options))
    ]
    seconds = train_exemplars(
        network,
        tokenizer,
        lessons,
        steps=options.exemplar_steps,
        folder=options.work / "exemplars",
        stop=STOP,
        seed=options.seed,
    )
    _note(
        options,
        exemplar_scenes=options.exemplar_scenes,
        exemplar_steps=options.exemplar_steps,
        exemplar_seconds=round(seconds),
    )


def preprocessor_config() -> dict:
    """What transformers' Sam3ImageProcessor would read; mlbackend.model.inputs.preprocess does the same."""
    return {
        "image_processor_type": "Sam3ImageProcessor",
        "size": {"height": IMAGE_SIZE_PX, "width": IMAGE_SIZE_PX},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
    }


def _note(options: argparse.Namespace, **facts) -> None:
    """What was run, for the card; kept beside the checkpoints because stages may run on different days."""
    path = options.work / "training.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | facts, indent=1) + "\n")


_RUN = {"draw": _drawings, "world": _world, "detector": _detector, "release": _release}

if __name__ == "__main__":
    sys.exit(main())
