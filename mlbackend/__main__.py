"""`python -m mlbackend`: serve. `python -m mlbackend predict SRC --out DIR`: label a folder and exit."""

from __future__ import annotations

import argparse
import logging
import os
import sys


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mlbackend", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("serve", help="serve HTTP (the default)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=os.environ.get("ROOST_LOG_LEVEL", "INFO"), stream=sys.stderr,
                        format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return serve(options)


def serve(options: argparse.Namespace) -> int:
    from mlbackend.settings import SettingsError, read_settings
    try:
        settings = read_settings()
        settings.check_exposure()
        settings.fetch_rules()
    except SettingsError as error:
        print(f"mlbackend: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.torch_threads))
    import uvicorn

    from mlbackend.app import build_app
    uvicorn.run(build_app(settings), host=settings.host, port=settings.port, log_level="warning",
                timeout_graceful_shutdown=5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
