"""The API's addresses, below /api/v1/. docs/web.md says who may call what."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from annotator.common.api import unknown
from annotator.concepts import api as concepts
from annotator.data import api as data
from annotator.data import feed_api as feeds
from annotator.data import gallery_api as gallery
from annotator.data import import_api as imports
from annotator.home import api as projects
from annotator.jobs import api as jobs
from annotator.label_studio import api as label_studio
from annotator.predict import api as predict
from annotator.queue import api as tasks
from annotator.queue.frames import api as frames
from annotator.registry import api as registry
from annotator.registry import evaluation_api as evaluations
from annotator.registry import version_api as versions
from annotator.review import api as reviews

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("projects/", projects.projects, name="api-projects"),
    path("projects/<slug:slug>/", projects.project, name="api-project"),
    path("projects/<slug:slug>/curve", projects.curve, name="api-curve"),
    path("projects/<slug:slug>/claim", tasks.claim, name="api-claim"),
    path("projects/<slug:slug>/reviews/", reviews.reviews, name="api-reviews"),
    path("projects/<slug:slug>/reviews/certain", reviews.bulk, name="api-certain"),
    path("projects/<slug:slug>/reviews/approve", reviews.approve, name="api-approve"),
    path("projects/<slug:slug>/concepts/", concepts.concepts, name="api-concepts"),
    path("projects/<slug:slug>/concepts/<int:concept_id>/rename", concepts.rename, name="api-concept-rename"),
    path("projects/<slug:slug>/concepts/<int:concept_id>/merge", concepts.merge, name="api-concept-merge"),
    path("projects/<slug:slug>/concepts/<int:concept_id>/retire", concepts.retire, name="api-concept-retire"),
    path("projects/<slug:slug>/concepts/<int:concept_id>/restore", concepts.restore, name="api-concept-restore"),
    path("projects/<slug:slug>/frames", frames.frames, name="api-frames"),
    path("projects/<slug:slug>/progress", tasks.progress, name="api-progress"),
    path("projects/<slug:slug>/mine", tasks.mine, name="api-mine"),
    path("projects/<slug:slug>/suspects", tasks.suspected_labels, name="api-suspects"),
    path("projects/<slug:slug>/imports", imports.imports, name="api-imports"),
    path("projects/<slug:slug>/boxes", imports.boxes, name="api-boxes"),
    path("jobs/<int:job_id>/undo", imports.import_undo, name="api-import-undo"),
    path("projects/<slug:slug>/images", gallery.images, name="api-images"),
    path("projects/<slug:slug>/images/act", gallery.images_act, name="api-images-act"),
    path("projects/<slug:slug>/changes/<int:change_id>/undo", gallery.change_undo, name="api-change-undo"),
    path("projects/<slug:slug>/incomplete", tasks.incomplete, name="api-incomplete"),
    path("projects/<slug:slug>/snapshots", data.snapshots, name="api-snapshots"),
    path("projects/<slug:slug>/snapshots/<int:number>", data.snapshot, name="api-snapshot"),
    path("projects/<slug:slug>/snapshots/<int:number>/publish", data.snapshot_publish, name="api-snapshot-publish"),
    path("projects/<slug:slug>/snapshots/<int:number>/diff/<str:other>", data.snapshot_diff, name="api-snapshot-diff"),
    path("projects/<slug:slug>/feeds", feeds.feeds, name="api-feeds"),
    path("projects/<slug:slug>/splits", data.splits, name="api-splits"),
    path("projects/<slug:slug>/splits/mend", data.mend, name="api-splits-mend"),
    path("projects/<slug:slug>/exports", data.exports, name="api-exports"),
    path("projects/<slug:slug>/label-studio/pushes", label_studio.pushes, name="api-label-studio-pushes"),
    path("projects/<slug:slug>/holdout", tasks.holdout, name="api-holdout"),
    path("projects/<slug:slug>/second-labels", registry.second_labels, name="api-second-labels"),
    path("projects/<slug:slug>/retrain", registry.retrain, name="api-retrain"),
    path("projects/<slug:slug>/predict", predict.predict, name="api-predict"),
    path("projects/<slug:slug>/gate", registry.gate, name="api-gate"),
    path("projects/<slug:slug>/gates", evaluations.gates, name="api-gates"),
    path("projects/<slug:slug>/gates/<int:gate_id>", evaluations.gate, name="api-gate-decision"),
    path("projects/<slug:slug>/evaluations", evaluations.evaluations, name="api-evaluations"),
    path("projects/<slug:slug>/evaluations/compare", evaluations.compare, name="api-compare"),
    path("projects/<slug:slug>/evaluations/<int:evaluation_id>", evaluations.evaluation, name="api-evaluation"),
    path("projects/<slug:slug>/models", versions.models, name="api-models"),
    path("projects/<slug:slug>/models/<str:name>", versions.model, name="api-model"),
    path("projects/<slug:slug>/models/<str:name>/learnt", versions.learnt, name="api-model-learnt"),
    path("projects/<slug:slug>/promote", registry.promote, name="api-promote"),
    path("projects/<slug:slug>/rollback", registry.rollback, name="api-rollback"),
    path("tasks/<int:task_id>", tasks.task, name="api-task"),
    path("tasks/<int:task_id>/heartbeat", tasks.heartbeat, name="api-heartbeat"),
    path("tasks/<int:task_id>/release", tasks.release, name="api-release"),
    path("tasks/<int:task_id>/skip", tasks.skip, name="api-skip"),
    path("tasks/<int:task_id>/click", tasks.click, name="api-click"),
    path("tasks/<int:task_id>/similar", tasks.similar, name="api-similar"),
    path("tasks/<int:task_id>/mask", tasks.mask, name="api-mask"),
    path("tasks/<int:task_id>/draft", tasks.draft, name="api-draft"),
    path("tasks/<int:task_id>/submit", tasks.submit, name="api-submit"),
    path("tasks/<int:task_id>/reopen", tasks.reopen, name="api-reopen"),
    path("tasks/<int:task_id>/reassign", tasks.reassign, name="api-reassign"),
    path("annotations/<int:annotation_id>", reviews.annotation, name="api-annotation"),
    path("annotations/<int:annotation_id>/models", versions.readers, name="api-annotation-models"),
    path("annotations/<int:annotation_id>/review", reviews.review, name="api-review"),
    path("jobs/<int:job_id>", jobs.job, name="api-job"),
    path("jobs/<int:job_id>/file", predict.file, name="api-job-file"),
    path("jobs/<int:job_id>/cancel", jobs.cancel, name="api-job-cancel"),
    path("<path:rest>", unknown.unknown, name="api-unknown"),
]
