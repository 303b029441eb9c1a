"""Whether a submitted annotation wants a reviewer's eye."""

import hashlib

import numpy as np
from scipy.optimize import linear_sum_assignment

from annotator.masks import rle_iou
from annotator.models import Annotation, Project, Task

from .pairs import PRESENCE_SCORE

SAME_MASK_IOU = 0.9


def review_is_due(*, annotation: Annotation) -> bool:
    """By the project's policy. What a reviewer sent back once is always looked at again."""
    task, project = annotation.task, annotation.task.project
    if annotation.revision > 1 or project.review_policy == Project.ReviewPolicy.ALL:
        return True
    if project.review_policy == Project.ReviewPolicy.SAMPLE:
        return task_is_sampled(task_id=task.pk, share=project.review_share)
    return differs_from_proposal(annotation=annotation, task=task)


def task_is_sampled(*, task_id: int, share: float, draw: str = "review") -> bool:
    """A draw that nobody can redo until it suits them: the task's id decides. Draws of other names are independent."""
    return int.from_bytes(hashlib.sha256(f"{draw} {task_id}".encode()).digest()[:8], "big") / 2**64 < share


def differs_from_proposal(*, annotation: Annotation, task: Task) -> bool:
    """Another verdict, another number of instances, or a mask that overlaps its proposal by less than 0.9."""
    prediction = task.pair.predictions.filter(model_version=task.model_version_id).first()
    if prediction is None:
        return True
    proposed = [one["mask"] for one in prediction.instances if one["score"] >= PRESENCE_SCORE]
    masks = [one["mask"] for one in annotation.instances]
    if len(masks) != len(proposed):
        return True
    return bool(masks) and lowest_matched_iou(masks, proposed) < SAME_MASK_IOU


def lowest_matched_iou(masks: list, others: list) -> float:
    """The worst overlap when each mask is matched with one of equally many others, best in total."""
    ious = np.array([[rle_iou(mask, other) for other in others] for mask in masks])
    rows, columns = linear_sum_assignment(-ious)
    return float(ious[rows, columns].min())
