"""A trainer without a model: speaks the contract's event lines, so that tests can stop, kill and break it.

Called as the trainer is: `VERB --config FILE --out DIR`; the config's `act` says what it does.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def emit(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": "2026-01-01T00:00:00Z", **fields}), flush=True)


def checkpoint_and_leave(*_: object) -> None:
    emit("checkpoint", step=1, path="checkpoints/1", best=False)
    sys.exit(143)


def save_slowly(*_: object) -> None:
    emit("saving", step=7, bytes=6_900_000_000)
    time.sleep(3)
    checkpoint_and_leave()


def main() -> None:
    config, out = json.loads(Path(sys.argv[3]).read_text()), Path(sys.argv[5])
    act = config["act"]
    (out / "pid").write_text(str(os.getpid()))
    if act == "finish":
        print("a library's print", flush=True)
        emit("progress", step=1, of=1, phase="train", eta_s=0.0)
        manifest = {"metrics": {"cgf1": 0.5}, "nice": os.nice(0), "threads": os.environ.get("OMP_NUM_THREADS")}
        (out / "manifest.json").write_text(json.dumps(manifest))
        emit("done", manifest=str(out / "manifest.json"))
    elif act == "refuse":
        emit("error", code="ungateable_holdout", message="The holdout has no negatives; add some.")
        sys.exit(2)
    elif act == "crash":
        sys.exit("Traceback: a crash of the stand-in")
    else:
        ends = {"hang": signal.SIG_IGN, "save": save_slowly}
        signal.signal(signal.SIGTERM, ends.get(act, checkpoint_and_leave))
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (out / "helper").write_text(str(helper.pid))
        emit("progress", step=0, of=100, phase="train", eta_s=600.0)
        time.sleep(600)


main()
