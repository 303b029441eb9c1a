"""What is forgotten first, and within which budget."""

from __future__ import annotations

import pytest
import torch

from mlbackend.errors import ApiError
from mlbackend.serving import desks
from mlbackend.serving.caches import CachedMask, MaskCache


def kept(side_px: int = 10) -> CachedMask:
    return CachedMask("image", "tiny", torch.zeros(side_px, side_px), 100, 100)  # 4 bytes a cell


def test_mask_that_was_asked_for_last_stays_when_room_is_made() -> None:
    masks = MaskCache(2 * 400)
    first, second = masks.put(kept()), masks.put(kept())
    masks.find(first, "image")
    masks.put(kept())
    assert masks.find(first, "image")
    with pytest.raises(ApiError, match="forgotten"):
        masks.find(second, "image")


def test_mask_larger_than_the_budget_is_not_kept_and_drives_no_other_out() -> None:
    masks = MaskCache(2 * 400)
    small, large = masks.put(kept()), masks.put(kept(100))
    assert masks.find(small, "image")
    with pytest.raises(ApiError, match="forgotten"):
        masks.find(large, "image")


def test_desk_that_clicked_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "DESKS_KEPT", 2)
    clicks = desks.Desks()
    for key, sequence in (("a", 5), ("b", 5), ("a", 6), ("c", 5)):
        clicks.arrive(key, sequence)
    clicks.check("b", 1)  # forgotten: nothing newer is known of it
    with pytest.raises(ApiError, match="newer click"):
        clicks.check("a", 1)
