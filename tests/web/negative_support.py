"""What the tests of verified negatives share: numbered pictures, imports and looks that run, and what came of them."""

import json
from io import StringIO

from django.core.management import call_command

from annotator.data.imports import import_start
from annotator.models import Pair
from tests import factories
from tests.web.box_support import job_done
from tests.web.format_trees import tree

SQUARE = [[2, 2, 6, 2, 6, 6, 2, 6]]


def picture(number: int) -> bytes:
    return factories.image_bytes(seed=number)


def imported(barn, path, **options) -> dict:
    return job_done(import_start(project=barn.project, user=barn.admin, upload_path=path, **options)).report


def look_done(barn, path, **options) -> dict:
    return imported(barn, path, dry_run=True, **options)


def truths(barn, concept="chicken") -> dict[str, str]:
    rows = Pair.objects.filter(project=barn.project, concept__name=concept)
    return {name: truth for name, truth in rows.values_list("image__original_name", "truth")}


def coco(outlined: list[str], *, category="chicken", **row) -> dict:
    images = [{"id": n, "file_name": name, "width": 16, "height": 16} for n, name in enumerate(outlined, 1)]
    shape = row or {"segmentation": SQUARE}
    annotations = [{"id": n, "image_id": n, "category_id": 1, **shape} for n in range(1, len(outlined) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": category}]}


def whys(report: dict) -> str:
    return " ".join(f"{row['files']} {row['why']}" for row in report["problem_groups"])


def settled_before(barn, folder, number: int, truth: str, source: str) -> Pair:
    name = f"{number}.png"
    imported(barn, tree(folder / f"before-{number}", {name: picture(number)}), kind="images")
    masks = [{"mask": factories.box_rle()}] if truth == "present" else []
    pairs = Pair.objects.filter(image__original_name=name, concept=barn.chicken)
    pairs.update(truth=truth, truth_source=source, instances=masks)
    return pairs.get()


def import_command(*arguments: str) -> dict:
    out = StringIO()
    call_command("import_data", "barn", *arguments, "--json", "--here", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())
