"""`python -m mlbackend`: serve. `python -m mlbackend predict SRC --out DIR`: label a folder of pictures and exit."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from mlbackend.settings import Settings, SettingsError, read_settings

log = logging.getLogger("mlbackend")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=os.environ.get("ROOST_LOG_LEVEL", "INFO"),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        settings = read_settings()
        settings.check_folder()
        settings.check_exposure()
        settings.fetch_rules()
        settings.check_buckets()
    except SettingsError as error:
        print(f"mlbackend: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.torch_threads))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(settings.var / "torchinductor"))  # else a temporary folder
    verbs = {"predict": predict, "golden": record_golden}
    return verbs[options.verb](settings, options) if options.verb in verbs else serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlbackend", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("serve", help="serve HTTP (the default)")
    predict = verbs.add_parser("predict", help="label a folder of pictures: SA-Co pairs and COCO results")
    predict.add_argument("source", type=Path)
    predict.add_argument("--out", type=Path, required=True)
    predict.add_argument("--version", help="model version (ROOST_DEFAULT_MODEL)")
    predict.add_argument("--concepts", help="noun phrases, separated by commas (ROOST_CONCEPTS)")
    predict.add_argument("--threshold", type=float, default=0.5, help="least instance score, presence included (0.5)")
    golden = verbs.add_parser("golden", help="record a version's answers to the golden prompts, to be met at each load")
    golden.add_argument("version")
    return parser


def serve(settings: Settings) -> int:
    import uvicorn

    from mlbackend.server.app import build_app

    log.info("serving on http://%s:%d; /ready tells when the model is there", settings.host, settings.port)
    uvicorn.run(
        build_app(settings), host=settings.host, port=settings.port, log_level="warning", timeout_graceful_shutdown=5
    )
    return 0


def predict(settings: Settings, options: argparse.Namespace) -> int:
    concepts = [word.strip() for word in options.concepts.split(",")] if options.concepts else list(settings.concepts)
    if not concepts or not all(concepts):
        print("mlbackend: name what to look for with --concepts or ROOST_CONCEPTS", file=sys.stderr)
        return 2
    if not 0 <= options.threshold <= 1:
        print("mlbackend: --threshold must lie between 0 and 1", file=sys.stderr)
        return 2
    from mlbackend.model.network import WeightsError
    from mlbackend.serving.batch import predict_folder

    try:
        refused = predict_folder(
            settings,
            options.source,
            options.out,
            concepts=concepts,
            threshold=options.threshold,
            version=options.version or settings.default_model,
        )
    except WeightsError as error:
        print(f"mlbackend: {error}", file=sys.stderr)
        return 2
    if refused:
        print(f"mlbackend: {refused} pictures were refused; see {options.out / 'report.json'}", file=sys.stderr)
    return 0


def record_golden(settings: Settings, options: argparse.Namespace) -> int:
    from mlbackend.model.golden import write_golden
    from mlbackend.model.network import WeightsError
    from mlbackend.serving.registry import Registry

    registry = Registry(settings)
    try:
        write_golden(registry.read_now(options.version), registry.folder(options.version))
    except WeightsError as error:
        print(f"mlbackend: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
