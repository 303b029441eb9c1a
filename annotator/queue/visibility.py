"""What a person may see of a pair: a known answer or one of a double is only worth something if nobody has seen it."""

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When

from annotator.common.access import Person, role_of
from annotator.models import Annotation, Membership, Pair, Project, Task

from .selectors import double_awaited


def may_be_tested(*, project: Project, user: Person) -> bool:
    """An annotator of a project that mixes in tasks whose answer is known."""
    return project.honeypot_share > 0 and role_of(user=user, project=project) == Membership.Role.ANNOTATOR


def pairs_with_visible_truth(pairs: QuerySet[Pair], *, project: Project, user: Person) -> QuerySet[Pair]:
    """`.visible_truth`: the truth as this person may know it.

    It passes for «not looked at» while anybody is asked for it blind; and to annotators of a project that asks for
    known answers, unless they have answered it themselves: any other may be asked of them.
    """
    tested = Task.objects.filter(pair=OuterRef("pk"), lane__in=Task.BLIND_REASONS, state__in=Task.OPEN_STATES)
    secret = Q(Exists(tested))
    if may_be_tested(project=project, user=user):
        secret |= ~Exists(Annotation.objects.filter(pair=OuterRef("pk"), author_id=user.pk))
    return pairs.annotate(visible_truth=Case(When(secret, then=Value(Pair.Truth.UNSEEN)), default="truth"))


def answers_visible(*, pairs: QuerySet[Pair], project: Project, user: Person) -> QuerySet[Annotation]:
    """Answers to these pairs that this person may read: their own; and for reviewers everybody's, unless the pair is
    being asked as a known one or waits for the other answer of its double."""
    answers = Annotation.objects.filter(pair__in=pairs.values("pk"))
    own = Q(author_id=user.pk)
    if role_of(user=user, project=project) == Membership.Role.ANNOTATOR:
        return answers.filter(own)
    same_pair = Task.objects.filter(pair=OuterRef("pair"))
    tested = same_pair.filter(lane__in=Task.BLIND_REASONS, state__in=Task.OPEN_STATES)
    awaited = same_pair.filter(double_awaited(), state=Task.State.SUBMITTED)
    return answers.filter(own | (~Exists(tested) & ~Exists(awaited)))
