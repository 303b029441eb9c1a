"""Which cached features are of a drawn view (training/views.py): the trainer names them, the web side tidies them."""

from pathlib import Path

DRAWN_VIEW = "-view-"


def is_of_drawn_view(path: Path) -> bool:
    """By its folder, `<weights>-<preprocessing>-view-<hash>/tokens/ab/`. Another seed or strength has no use for it."""
    return DRAWN_VIEW in path.parents[2].name
