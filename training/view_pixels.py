"""A picture as a view shows it, and the part of a mask that lies in it: one cut for both, so that they can't differ."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from mlbackend.model.inputs import resized
from training.views import View

GROUND = 128  # beyond the picture's edge: what the network reads as 0
NOISE = 0.06
# Luma and the two axes of colour of NTSC television, from RGB.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def cut(array: np.ndarray, view: View, *, beyond: int | bool) -> np.ndarray:
    """(H, W, ...) -> (h, w, ...) of the view, pixel by pixel the same; `beyond` where the crop leaves the picture."""
    if view.crop_xywh is not None:
        x, y, width, height = view.crop_xywh
        part = np.full((height, width, *array.shape[2:]), beyond, dtype=array.dtype)
        top, bottom = max(0, y), min(array.shape[0], y + height)
        left, right = max(0, x), min(array.shape[1], x + width)
        if top < bottom and left < right:
            part[top - y : bottom - y, left - x : right - x] = array[top:bottom, left:right]
        array = part
    return np.ascontiguousarray(array[:, ::-1]) if view.mirrored else array


def seen_picture(image_HWC: np.ndarray, view: View, side_px: int) -> np.ndarray:
    """RGB uint8, ready for preprocess(): a view that changes light is square by then, as large as the network sees it.

    So blur and noise are as large on a photograph of 48 megapixels as on a small one, and cost no more.
    """
    part_HWC = cut(image_HWC, view, beyond=GROUND)
    return relit(square(part_HWC, side_px), view) if view.changes_light else part_HWC


def square(image_HWC: np.ndarray, side_px: int) -> np.ndarray:
    """RGB uint8 (side_px, side_px, 3), resized as preprocess() does it."""
    return resized(image_HWC, side_px).permute(1, 2, 0).numpy()


def relit(image_HWC: np.ndarray, view: View) -> np.ndarray:
    """In other light: colours, then dusk, then the lens, then the sensor's noise. RGB uint8."""
    if not view.changes_light:
        return image_HWC
    light = image_HWC.astype(np.float32) / 255 * view.brightness
    mean = light.mean()
    light = mean + view.contrast * (light - mean)
    light = np.clip(light @ _colours(view).T, 0, 1)
    light = light ** (1 + 0.8 * view.dusk) * (1 - 0.6 * view.dusk)
    light = light * np.array([1 - 0.25 * view.blue, 1 - 0.1 * view.blue, 1], np.float32)
    if view.blur:
        sigma = view.blur * max(image_HWC.shape[:2])
        light = gaussian_filter(light, (sigma, sigma, 0), mode="nearest")
    if view.dusk:
        noise = np.random.default_rng(view.noise_seed).standard_normal(light.shape, dtype=np.float32)
        light = light + NOISE * view.dusk * noise
    return (np.clip(light, 0, 1) * 255).round().astype(np.uint8)


def _colours(view: View) -> np.ndarray:
    """(3, 3) float32: RGB with its hue turned and its saturation changed; grey stays grey."""
    turn = np.deg2rad(view.hue_deg)
    cos, sin = view.saturation * np.cos(turn), view.saturation * np.sin(turn)
    changed = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return (np.linalg.inv(YIQ) @ changed @ YIQ).astype(np.float32)
