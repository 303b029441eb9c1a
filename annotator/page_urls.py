"""The pages' addresses; docs/web.md lists them."""

from django.contrib.auth import views as auth_views
from django.urls import include, path, reverse_lazy

from annotator.concepts import views as concepts
from annotator.data import feed_views as feeds
from annotator.data import gallery_views as gallery
from annotator.data import import_views as imports
from annotator.data import snapshot_views as versions
from annotator.data import splits_views as splits
from annotator.data import views as images
from annotator.home import public, settings
from annotator.home import views as projects
from annotator.jobs import views as jobs
from annotator.label_studio import views as label_studio
from annotator.people import account, join
from annotator.people import views as people
from annotator.predict import views as predictions
from annotator.queue import views as queue
from annotator.queue.frames import views as frames
from annotator.registry import evaluation_views as evaluations
from annotator.registry import report_views as reports
from annotator.registry import version_views as models
from annotator.registry import views as runs
from annotator.review import views as reviews

PROJECT = [
    path("", projects.project_home, name="project"),
    path("images/", images.images, name="images"),
    path("imports/<int:job_id>/go/", imports.go_ahead, name="import-go"),
    path("imports/<int:job_id>/undo/", imports.undo, name="import-undo"),
    path("imports/<int:job_id>/boxes/", imports.draw_boxes, name="import-boxes"),
    path("imports/<int:job_id>/problems/", imports.problems, name="import-problems-download"),
    path("imports/<int:job_id>/samples/<int:number>/", imports.sample, name="import-sample-download"),
    path("images/act/", gallery.act, name="images-act"),
    path("images/changes/", gallery.changes, name="changes"),
    path("images/changes/<int:change_id>/undo/", gallery.undo, name="change-undo"),
    path("images/trash/", gallery.trash, name="trash"),
    path("images/<str:sha256>/", images.image, name="image"),
    path("feeds/", feeds.feeds, name="feeds"),
    path("feeds/<int:feed_id>/", feeds.switch, name="feed-switch"),
    path("splits/", splits.splits, name="splits"),
    path("splits/find/", splits.find, name="scenes-find"),
    path("splits/mend/", splits.mend, name="splits-mend"),
    path("splits/shares/", splits.reassign, name="splits-reassign"),
    path("splits/hard/", splits.hold_hard_negatives, name="hard-negatives"),
    path("queue/", queue.queue, name="queue"),
    path("queue/histogram/", queue.histogram, name="queue-histogram"),
    path("queue/band/", queue.set_band, name="band-set"),
    path("queue/checks/", queue.checks, name="queue-checks"),
    path("queue/suspects/", queue.queue_suspected_labels, name="suspects-queue"),
    path("queue/incomplete/", queue.queue_incomplete, name="incomplete-queue"),
    path("frames/", frames.frames, name="frames"),
    path("frames/link/", frames.link, name="frames-link"),
    path("mine/", queue.mine, name="mine"),
    path("desk/", queue.desk, name="desk"),
    path("desk/<int:task_id>/", queue.desk, name="desk-task"),
    path("review/", reviews.reviews, name="reviews"),
    path("review/certain/", reviews.bulk, name="reviews-certain"),
    path("review/certain/button/", reviews.bulk_button, name="certain-button"),
    path("review/<int:annotation_id>/", reviews.review, name="review"),
    path("snapshots/", images.snapshots, name="snapshots"),
    path("snapshots/take/", versions.take_snapshot, name="snapshot-take"),
    path("snapshots/<int:number>/", versions.snapshot, name="snapshot"),
    path("snapshots/<int:number>/publish/", versions.publish, name="snapshot-publish"),
    path("snapshots/<int:number>/to/<int:other>/", versions.difference, name="snapshot-difference"),
    path("snapshots/<int:number>/<str:name>", images.snapshot_download, name="snapshot-download"),
    path("exports/", images.export, name="export"),
    path("exports/<int:job_id>/", images.export_download, name="export-download"),
    path("training/", runs.training, name="training"),
    path("training/start/", runs.retrain, name="retrain"),
    path("training/compare/", runs.compare, name="run-compare"),
    path("training/plan/", runs.plan, name="memory-plan"),
    path("training/holdout/", queue.queue_holdout, name="holdout-queue"),
    path("training/second-labels/", runs.queue_second_labels, name="second-labels"),
    path("training/<int:number>/", runs.run, name="run"),
    path("training/<int:number>/series/", runs.series, name="run-series"),
    path("training/<int:number>/views.png", runs.views_image, name="run-views"),
    path("training/<int:number>/samples/", runs.run_samples, name="run-samples"),
    path("training/<int:number>/files/<str:file>", runs.run_download, name="run-download"),
    path("training/<int:number>/promote/", runs.promote, name="run-promote"),
    path("training/<int:number>/gate/", runs.ask_gate, name="run-gate"),
    path("training/<int:number>/go-on/", runs.go_on, name="run-go-on"),
    path("models/", runs.models, name="models"),
    path("models/rollback/", runs.rollback, name="rollback"),
    path("models/compare/", evaluations.compare, name="version-compare"),
    path("evaluations/", evaluations.evaluations, name="evaluations"),
    path("evaluations/<int:evaluation_id>/", evaluations.evaluation, name="evaluation"),
    path("evaluations/<int:evaluation_id>/report/", reports.report, name="evaluation-report"),
    path(
        "evaluations/<int:evaluation_id>/report/<str:file>", reports.report_download, name="evaluation-report-download"
    ),
    path("gates/", evaluations.gates, name="gates"),
    path("gates/<int:gate_id>/", evaluations.gate, name="gate"),
    path("gates/<int:gate_id>/promote/", evaluations.gate_promote, name="gate-promote"),
    path("models/retention/", models.retention, name="versions-retain"),
    path("models/<str:version_name>/", models.version, name="version"),
    path("models/<str:version_name>/archive/", models.archive, name="version-archive"),
    path("models/<str:version_name>/check/", models.check, name="version-check"),
    path("predictions/", predictions.predictions, name="predictions"),
    path("predictions/<int:job_id>/", predictions.prediction_download, name="prediction-download"),
    path("jobs/", jobs.jobs, name="jobs"),
    path("jobs/<int:job_id>/", jobs.job, name="job"),
    path("jobs/<int:job_id>/log/", jobs.job_log, name="job-log"),
    path("jobs/<int:job_id>/cancel/", jobs.cancel, name="job-cancel"),
    path("people/", people.people, name="people"),
    path("people/<int:user_id>/", people.change, name="member-change"),
    path("people/<int:user_id>/account/", people.switch, name="account-switch"),
    path("people/invitations/", people.invite, name="invitation-create"),
    path("people/invitations/<int:invitation_id>/revoke/", people.revoke, name="invitation-revoke"),
    path("people/figures/", people.figures, name="people-figures"),
    path("people/leases/<int:task_id>/release/", people.release, name="lease-release"),
    path("people/tasks/<int:task_id>/reassign/", people.reassign, name="task-reassign"),
    path("settings/", settings.settings, name="settings"),
    path("settings/concepts/", settings.concept_new, name="concept-add"),
    path("settings/concepts/<int:concept_id>/", concepts.concept, name="concept"),
    path("settings/concepts/<int:concept_id>/rename/", concepts.rename, name="concept-rename"),
    path("settings/concepts/<int:concept_id>/merge/", concepts.merge, name="concept-merge"),
    path("settings/concepts/<int:concept_id>/retire/", concepts.retire, name="concept-retire"),
    path("settings/concepts/<int:concept_id>/restore/", concepts.restore, name="concept-restore"),
    path("settings/label-studio/", label_studio.label_studio, name="label-studio"),
    path("settings/label-studio/pull/", label_studio.pull, name="label-studio-pull"),
    path("settings/label-studio/push/", label_studio.push, name="label-studio-push"),
    path("settings/label-studio/remove/", label_studio.unlink, name="label-studio-unlink"),
    path("audit/", people.audit, name="audit"),
    path("curve/", projects.curve, name="curve"),
    path("loop/", projects.loop_fragment, name="loop-fragment"),
]

PASSWORD = auth_views.PasswordChangeView.as_view(template_name="people/password.html", success_url=reverse_lazy("home"))

urlpatterns = [
    path("", projects.home, name="home"),
    path("login/", public.LogIn.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("account/password/", PASSWORD, name="password"),
    path("account/tokens/", account.tokens, name="tokens"),
    path("account/tokens/<int:token_id>/revoke/", account.revoke, name="token-revoke"),
    path("join/<str:token>/", join.join, name="join"),
    path("projects/new/", projects.project_new, name="project-new"),
    path("p/<slug:slug>/", include(PROJECT)),
    path("help/keys/", public.keys, name="keys"),
    path("healthz", public.healthz, name="healthz"),
    path("fragments/backend/", public.status_dot, name="backend-status"),
    path("fragments/jobs/<int:job_id>/", jobs.job_progress, name="job-fragment"),
]
