"""Whether a submitted annotation needs a review."""

from annotator.common.agreement import lowest_matched_iou
from annotator.common.chance import task_is_drawn
from annotator.models import Annotation, Project, Task

from .second_labels import second_label_agrees
from .selectors import prediction_of, proposed_instances

SAME_MASK_IOU = 0.9


def review_is_due(*, annotation: Annotation) -> bool:
    """By the project's policy. What a reviewer sent back once is always looked at again, and so is a second label that
    differs from the first; one that agrees says all there is to say."""
    task, project = annotation.task, annotation.task.project
    if task.lane == Task.Reason.SECOND_LABEL:
        return annotation.revision > 1 or not second_label_agrees(annotation=annotation)
    if annotation.revision > 1 or project.review_policy == Project.ReviewPolicy.ALL:
        return True
    if project.review_policy == Project.ReviewPolicy.SAMPLE:
        return task_is_drawn(task_id=task.pk, share=project.review_share, draw="review")
    return differs_from_proposal(annotation=annotation, task=task)


def differs_from_proposal(*, annotation: Annotation, task: Task) -> bool:
    """Another number of instances than were shown, or a mask that overlaps its proposal by less than 0.9.

    Compared with what the desk showed (query score alone), not with detections (query score x presence): between 0.4
    and 0.6, where the queue's pairs lie, the two differ.
    """
    prediction = prediction_of(task)
    if prediction is None:
        return True
    proposed = [one["mask"] for one in proposed_instances(prediction)]
    masks = [one["mask"] for one in annotation.instances]
    if len(masks) != len(proposed):
        return True
    return bool(masks) and lowest_matched_iou(masks, proposed) < SAME_MASK_IOU
