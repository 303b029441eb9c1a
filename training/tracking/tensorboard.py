"""TensorBoard: one folder of event files a run. `tensorboard --logdir FOLDER` shows all of them side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toolbox.run_figures import Figures
from training.tracking.base import Picture, RunFacts, Started


class TensorboardTracker:
    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._new_writer = SummaryWriter
        self._writer: Any = None

    def start(self, facts: RunFacts) -> Started:
        folder = (facts.folder / "tensorboard" / facts.project / facts.name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = self._new_writer(str(folder), flush_secs=10)
        self._writer.add_text("hyperparameters", _table(facts.params))
        self._writer.add_text("lineage", _table(facts.lineage))
        return Started(f"TensorBoard's event files of this run lie in {folder}.", str(folder))

    def figures(self, figures: Figures) -> None:
        for name, value in figures.values.items():
            self._writer.add_scalar(name, value, figures.step, walltime=figures.at_s)

    def picture(self, picture: Picture) -> None:
        if picture.png is not None:
            self._image("samples", picture.png, picture.step)

    def _image(self, name: str, png: Any, step: int = 0) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(png) as image:
            self._writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def file(self, path: Path) -> None:
        if path.suffix == ".png":
            self._image(f"files/{path.name}", path)
            return
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            text = json.dumps(json.loads(text), indent=1)
        self._writer.add_text(f"files/{path.name}", "".join(f"    {line}\n" for line in text.splitlines()))

    def finish(self, how: str) -> None:
        self._writer.add_text("ended", how)
        self._writer.close()


def _table(rows: dict[str, str]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *lines])
