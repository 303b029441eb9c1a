"""Which model versions there are, which are loaded, and how a new version goes into service without dropping a
click."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mlbackend.errors import ApiError, unknown_version
from mlbackend.model.compiled import compile_vit
from mlbackend.model.golden import check_golden
from mlbackend.model.loader import LoadOptions, load_predictor, parameter_bytes, read_manifest, resolve_source
from mlbackend.model.network import WeightsError
from mlbackend.model.onnx_decoder import attach_onnx_decoder
from mlbackend.model.predictor import Predictor
from mlbackend.serving.encoding import encode_batch
from mlbackend.serving.requests import VERSION
from mlbackend.settings import MIB, Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
DEMO_FOLDER = Path(__file__).parents[1] / "weights" / "demo"
BASE_VERSION = "sam3"
DEMO_VERSION = "demo"
WAIT_FOR_LOAD_S = 8.0
RETRY_FAILED_AFTER_S = 30.0


@dataclass(frozen=True)
class Loaded:
    predictor: Predictor
    fingerprint: tuple[int, int]


@dataclass(frozen=True)
class Failure:
    reason: str
    at_s: float


class Registry:
    """Used from one event loop; weights are read on a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._options = LoadOptions(settings.device, settings.dtype, settings.image_size_px)
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Predictor]] = {}
        self._failures: dict[str, Failure] = {}
        self._reader = ThreadPoolExecutor(1, "loader")

    def names(self) -> list[str]:
        """Every version that a request may name, loaded or not."""
        names = {DEMO_VERSION} if (DEMO_FOLDER / "config.json").is_file() else set()
        if self._settings.base_model:
            names.add(BASE_VERSION)
        if self._settings.models_dir.is_dir():
            names |= {
                path.name
                for path in self._settings.models_dir.iterdir()
                if VERSION.fullmatch(path.name) and (path / "config.json").is_file()
            }
        return sorted(names)

    def state(self) -> tuple[str, str]:
        """("ready" | "loading" | "failed", reason) of the default version."""
        default = self._settings.default_model
        if default in self._loaded:
            return "ready", ""
        if default in self._failures:
            return "failed", self._failures[default].reason
        return "loading", f"the weights of '{default}' are being read"

    def start(self) -> None:
        self._begin(self._settings.default_model)

    def read_now(self, version: str) -> Predictor:
        """Load a version in this thread, for a command that has no event loop; WeightsError if that can't be."""
        if version not in self.names():
            raise WeightsError(f"there is no model version '{version}'; there are: {', '.join(self.names()) or 'none'}")
        return self._read(version, []).predictor

    async def get(self, version: str) -> Predictor:
        """The predictor of a version, loaded first if need be; ApiError unknown_version, loading or failed."""
        if version in self._loaded:
            self._loaded.move_to_end(version)
            return self._loaded[version].predictor
        if version not in self._loading:
            self._check_known(version)
            failure = self._failures.get(version)
            if failure is not None and time.monotonic() - failure.at_s < RETRY_FAILED_AFTER_S:
                raise _failed(version, failure.reason)
        return await self._wait(version, self._begin(version))

    async def load(self, version: str) -> dict[str, Any]:
        """Load a version, or again if its file changed; the one in service goes on until the new one is good."""
        if version not in self._loading:
            self._check_known(version)
            current = self._loaded.get(version)
            if current is not None and current.fingerprint == await self._on_reader(self._fingerprint_of, version):
                return self.row(version)
        task = self._begin(version)
        try:
            await asyncio.shield(task)
        except WeightsError as error:
            raise _failed(version, str(error)) from None
        return self.row(version)

    def row(self, version: str) -> dict[str, Any]:
        loaded = self._loaded.get(version)
        if loaded is None:
            manifest = self._manifest(version)
            return {
                "version": version,
                "backbone_hash": manifest.get("backbone_hash"),
                "weights_hash": manifest.get("weights_hash"),
                "loaded": False,
                "device": None,
                "bytes": 0,
                "taught_words": manifest.get("taught_words"),
            }
        predictor = loaded.predictor
        words = None if predictor.taught_words is None else sorted(predictor.taught_words)
        return {
            "version": version,
            "backbone_hash": predictor.backbone_hash,
            "weights_hash": predictor.weights_hash,
            "loaded": True,
            "device": str(predictor.device),
            "vit": "compiled" if predictor.compiled else "eager",
            "click_decoder": "torch" if predictor.decoder is None else "onnxruntime",
            "bytes": parameter_bytes(predictor),
            "taught_words": words,
        }

    def bytes(self) -> int:
        """Memory of all loaded versions; a shared ViT counts once."""
        parameters = {id(p): p.nbytes for entry in self._loaded.values() for p in entry.predictor.network.parameters()}
        return sum(parameters.values())

    def close(self) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _check_known(self, version: str) -> None:
        names = self.names()
        if version not in names:
            raise unknown_version(version, names)

    def _begin(self, version: str) -> asyncio.Task[Predictor]:
        task = self._loading.get(version)
        if task is None:
            task = asyncio.create_task(self._load(version))
            self._loading[version] = task
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _load(self, version: str) -> Predictor:
        start = time.monotonic()
        others = [entry.predictor for entry in self._loaded.values()]
        try:
            entry = await self._on_reader(self._read, version, others)
        except Exception as error:
            reason = str(error) if isinstance(error, WeightsError) else f"{type(error).__name__}: {error}"
            log.error("version '%s' not loaded: %s", version, reason)
            self._failures[version] = Failure(reason, time.monotonic())
            raise WeightsError(reason) from error
        finally:
            self._loading.pop(version, None)
        self._failures.pop(version, None)
        self._loaded[version] = entry
        self._loaded.move_to_end(version)
        self._make_room(version)
        log.info("version '%s' loaded in %.1f s", version, time.monotonic() - start)
        return entry.predictor

    async def _on_reader(self, function: Callable[..., T], *arguments: Any) -> T:
        """Disk and hub are read on the loader's thread, never on the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, function, *arguments)

    def _fingerprint_of(self, version: str) -> tuple[int, int]:
        return _fingerprint(self.folder(version))

    def _read(self, version: str, others: list[Predictor]) -> Loaded:
        folder = self.folder(version)
        if not (folder / "config.json").is_file():
            raise WeightsError(f"version '{version}' has no weights at {folder}; there are: {', '.join(self.names())}")
        fingerprint = _fingerprint(folder)
        predictor = load_predictor(folder, self._options, share_with=others)
        if self._settings.torch_compile:
            compile_vit(predictor, batch=encode_batch(self._settings))
        check_golden(predictor, folder)
        if self._settings.onnx_click:
            attach_onnx_decoder(predictor, self._settings.var / "onnx", threads=self._settings.torch_threads)
        return Loaded(predictor, fingerprint)

    def _make_room(self, keep: str) -> None:
        """Unload the least recently used versions; running calls keep theirs until they end."""
        keep_also = self._settings.default_model
        for version in list(self._loaded):
            if self.bytes() <= self._settings.models_mb * MIB:
                return
            if version not in (keep, keep_also):
                log.info("version '%s' unloaded to make room", version)
                del self._loaded[version]

    def folder(self, version: str) -> Path:
        if version == BASE_VERSION and self._settings.base_model:
            return resolve_source(self._settings.base_model, hub_token=self._settings.hub_token)
        shipped = version == DEMO_VERSION and (DEMO_FOLDER / "config.json").is_file()
        return DEMO_FOLDER if shipped else self._settings.models_dir / version

    def _manifest(self, version: str) -> dict[str, Any]:
        if version == BASE_VERSION:
            return {}
        try:
            return read_manifest(self.folder(version))
        except WeightsError:
            return {}

    async def _wait(self, version: str, task: asyncio.Task[Predictor]) -> Predictor:
        try:
            return await asyncio.wait_for(asyncio.shield(task), WAIT_FOR_LOAD_S)
        except TimeoutError:
            raise ApiError(
                503, "loading", f"Version '{version}' is being loaded; try again in a few seconds.", retry_after_s=5
            ) from None
        except WeightsError as error:
            raise _failed(version, str(error)) from None


def _fingerprint(folder: Path) -> tuple[int, int]:
    """Changes when the weights file is replaced."""
    path = folder / "model.safetensors"
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _failed(version: str, reason: str) -> ApiError:
    return ApiError(503, "failed", f"Version '{version}' could not be loaded: {reason}")
