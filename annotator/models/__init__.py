"""Roost's data, one file a subject. What a row means is in docs/data.md; what may happen to it is in the rooms."""

from .annotations import Annotation, Draft, Review
from .feeds import Feed, FeedFile
from .images import Image, Pair, Prediction
from .jobs import AuditEvent, BulkAction, Job
from .label_studio import (
    LabelStudioAnswer,
    LabelStudioBell,
    LabelStudioLink,
    LabelStudioPush,
    LabelStudioPushed,
    LabelStudioTask,
)
from .people import ApiToken, Invitation, Membership
from .projects import Concept, Project
from .registry import (
    Deployment,
    Evaluation,
    GateDecision,
    ModelVersion,
    RetrainTry,
    Snapshot,
    SnapshotPair,
    TrainingRun,
)
from .tasks import SecondLabel, Task

__all__ = [
    "Annotation",
    "ApiToken",
    "AuditEvent",
    "BulkAction",
    "Concept",
    "Deployment",
    "Draft",
    "Evaluation",
    "Feed",
    "FeedFile",
    "GateDecision",
    "Image",
    "Invitation",
    "Job",
    "LabelStudioAnswer",
    "LabelStudioBell",
    "LabelStudioLink",
    "LabelStudioPush",
    "LabelStudioPushed",
    "LabelStudioTask",
    "Membership",
    "ModelVersion",
    "Pair",
    "Prediction",
    "Project",
    "RetrainTry",
    "Review",
    "SecondLabel",
    "Snapshot",
    "SnapshotPair",
    "Task",
    "TrainingRun",
]
