"""Everything an operator may set, read once from the environment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlbackend.label_studio.fetch import FetchRules
from mlbackend.store.buckets import SCHEME, check_place
from toolbox.var_folder import var_folder_flaw

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
MIB = 1024 * 1024


class SettingsError(Exception):
    """The environment asks for something that cannot be; the message names the variable."""


@dataclass(frozen=True)
class Settings:
    """Defaults suit a laptop. `_mb` values are MiB."""

    var: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = 9090
    token: str | None = None
    default_model: str = "demo"
    base_model: str | None = None
    hub_token: str | None = field(default=None, repr=False)
    device: str = "auto"
    dtype: str = "auto"
    image_size_px: int | None = None
    torch_compile: bool = False
    torch_threads: int = 1
    onnx_click: bool = False
    models_mb: int = 16_384
    hot_mb: int = 1_024
    warm_mb: int = 4_096
    masks_mb: int = 256
    embeddings: Path | None = None
    shared_embeddings: str | None = None  # a folder or s3://bucket/prefix
    images_bucket: str | None = None
    s3_endpoint: str | None = None
    encode_batch: int = 0  # 0: by device
    gpu_mb: int = 0  # 0: as much as there is
    click_queue: int = 64
    click_batch: int = 8
    click_wait_s: float = 8.0
    predict_queue: int = 256
    warm_queue: int = 2_048
    max_image_pixels: int = 100_000_000
    concepts: tuple[str, ...] = ()
    ls_url: str | None = None
    ls_hosts: tuple[str, ...] = ()
    ls_networks: tuple[str, ...] = ()
    ls_threshold: float = 0.5
    ls_token: str | None = field(default=None, repr=False)
    ls_spool_files: int = 10_000
    ls_max_image_mb: int = 64

    @property
    def images_dir(self) -> Path:
        return self.var / "images"

    @property
    def models_dir(self) -> Path:
        return self.var / "models"

    @property
    def embeddings_dir(self) -> Path:
        return self.embeddings or self.var / "embeddings"

    @property
    def spool_dir(self) -> Path:
        return self.var / "spool" / "label_studio"

    def fetch_rules(self) -> FetchRules:
        try:
            networks = tuple(ipaddress.ip_network(text) for text in self.ls_networks)
        except ValueError as error:
            raise SettingsError(f"ROOST_LS_NETWORKS: {error}") from None
        return FetchRules(self.ls_url, frozenset(self.ls_hosts), networks, self.ls_token, self.ls_max_image_mb * MIB)

    def check_folder(self) -> None:
        if flaw := var_folder_flaw(self.var):
            raise SettingsError(flaw)

    def check_buckets(self) -> None:
        """At the start, and not when the first image is asked for."""
        places = {"ROOST_IMAGES_BUCKET": self.images_bucket}
        if self.shared_embeddings and SCHEME in self.shared_embeddings:
            places["ROOST_SHARED_EMBEDDINGS"] = self.shared_embeddings
        for variable, place in places.items():
            trouble = check_place(variable, place) if place else None
            if trouble:
                raise SettingsError(trouble)

    def check_exposure(self) -> None:
        """A service that others can reach needs a token (MONAI Label's open default is what we avoid)."""
        if self.host not in LOOPBACK_HOSTS and not self.token:
            raise SettingsError(
                f"ROOST_MLBACKEND_HOST={self.host} is reachable from other machines: set ROOST_MLBACKEND_TOKEN, "
                "or bind to 127.0.0.1"
            )


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    env = os.environ if environ is None else environ
    return Settings(
        var=Path(env.get("ROOST_VAR") or "var").resolve(),
        host=env.get("ROOST_MLBACKEND_HOST") or "127.0.0.1",
        port=_integer(env, "ROOST_MLBACKEND_PORT", 9090, 0, 65_535),
        token=env.get("ROOST_MLBACKEND_TOKEN") or None,
        default_model=env.get("ROOST_DEFAULT_MODEL") or "demo",
        base_model=env.get("ROOST_BASE_MODEL") or None,
        hub_token=env.get("HF_TOKEN") or None,
        device=_choice(env, "ROOST_DEVICE", "auto", ("auto", "cpu", "cuda")),
        dtype=_choice(env, "ROOST_DTYPE", "auto", ("auto", "float32", "bfloat16")),
        image_size_px=_integer(env, "ROOST_IMAGE_SIZE", 0, 0, 16_384) or None,
        torch_compile=_flag(env, "ROOST_TORCH_COMPILE"),
        torch_threads=_integer(env, "ROOST_TORCH_THREADS", 1, 1, 512),
        onnx_click=_flag(env, "ROOST_ONNX_CLICK"),
        models_mb=_integer(env, "ROOST_MODELS_MB", 16_384, 1),
        hot_mb=_integer(env, "ROOST_HOT_MB", 1_024, 0),
        warm_mb=_integer(env, "ROOST_WARM_MB", 4_096, 0),
        masks_mb=_integer(env, "ROOST_MASKS_MB", 256, 1),
        embeddings=_folder(env, "ROOST_EMBEDDINGS"),
        shared_embeddings=env.get("ROOST_SHARED_EMBEDDINGS") or None,
        images_bucket=env.get("ROOST_IMAGES_BUCKET") or None,
        s3_endpoint=env.get("ROOST_S3_ENDPOINT") or env.get("AWS_ENDPOINT_URL") or None,
        gpu_mb=_integer(env, "ROOST_GPU_MB", 0, 0),
        encode_batch=_integer(env, "ROOST_ENCODE_BATCH", 0, 0, 64),
        click_queue=_integer(env, "ROOST_CLICK_QUEUE", 64, 1),
        click_wait_s=_integer(env, "ROOST_CLICK_WAIT_S", 8, 0, 3_600),
        click_batch=_integer(env, "ROOST_CLICK_BATCH", 8, 1, 64),
        predict_queue=_integer(env, "ROOST_PREDICT_QUEUE", 256, 16),
        warm_queue=_integer(env, "ROOST_WARM_QUEUE", 2_048, 1),
        max_image_pixels=_integer(env, "ROOST_MAX_IMAGE_PIXELS", 100_000_000, 1),
        concepts=_words(env, "ROOST_CONCEPTS"),
        ls_url=env.get("ROOST_LS_URL") or None,
        ls_networks=_words(env, "ROOST_LS_NETWORKS"),
        ls_threshold=_integer(env, "ROOST_LS_THRESHOLD_PCT", 50, 0, 100) / 100,
        ls_hosts=tuple(host.lower() for host in _words(env, "ROOST_LS_HOSTS")),
        ls_token=env.get("ROOST_LS_TOKEN") or None,
        ls_spool_files=_integer(env, "ROOST_LS_SPOOL_FILES", 10_000, 1),
        ls_max_image_mb=_integer(env, "ROOST_LS_MAX_IMAGE_MB", 64, 1),
    )


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int = 2**40) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(f"{name}={text!r} is not a whole number") from None
    if not low <= value <= high:
        raise SettingsError(f"{name}={value} must lie between {low} and {high}")
    return value


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name) or default
    if value not in allowed:
        raise SettingsError(f"{name}={value!r} must be one of {', '.join(allowed)}")
    return value


def _flag(env: Mapping[str, str], name: str) -> bool:
    return _choice(env, name, "0", ("0", "1")) == "1"


def _folder(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]).resolve() if env.get(name) else None


def _words(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in env.get(name, "").split(",") if word.strip())
