"""A look at what an import would do: what the files are, which class would be which concept, what would be written.

Nothing is stored but sample pictures for the page; sizes are the documents' own, or the picture's where they give none.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.concepts.selectors import concepts_by_name, plain_name
from annotator.jobs.services import JobContext
from annotator.models import Concept, Image, Job

from .formats.documents import Document, Size
from .formats.negatives import Negatives
from .formats.records import ImageRecord, Problem
from .import_documents import Gathered, Word, names_elsewhere
from .import_files import files_gathered
from .import_negatives import NegativeWishes, Offer, negatives_of
from .import_report import Tally
from .import_truth import LEAVE_OUT, concept_alike, images_known
from .look_negatives import NegativesTold
from .look_samples import Probed, Samples, picture_probed
from .sources import ImportSource
from .verdicts import ONLY_BOXES, UNDECIDED, Classes, Mention, Verdict, Vouch, below_of, disputed_words, verdicts_of


def samples_folder(job: Job) -> Path:
    return settings.IMPORTS_DIR / f"{job.pk}-look"


def import_look(context: JobContext, source: ImportSource) -> dict[str, Any]:
    """The report of a dry run: `documents`, `classes`, `counts` of pairs by what would become of them, `samples`."""
    tally = Tally()
    tally.add_problems(source.problems)
    wishes = NegativeWishes.of(context.job.params)
    gathered, files, offers = files_gathered(source, context.job.params["kind"], wishes)
    tally.add_problems(gathered.problems)
    here = images_known(project=context.job.project, documents=names_elsewhere(gathered))
    lost = [word for word in gathered.elsewhere if word.listed.file_name not in here]
    tally.add_problems(Problem(word.listed.file_name, word.why) for word in lost)
    rows = classes_proposed(gathered.documents, context.job)
    look = _Look(context, source, gathered.documents, rows)
    look.over(files, gathered.words, tally)
    look.over_known(gathered.elsewhere, here, tally)
    samples = look.finished(offers, tally)
    return {
        "look": True,
        "documents": [_document(one) for one in gathered.documents],
        "classes": rows,
        "pictures": len(files),
        "pictures_known": len({image.pk for image in here.values()}),
        "negatives": negatives_shown(gathered),
        "offers": [offer_shown(one, context.job) for one in offers],
        "pictures_without_word": len([file for file in files if file not in gathered.words]),
        "counts": dict(look.counts),
        "samples": samples,
        **{key: value for key, value in tally.as_report().items() if "problem" in key},
    }


def classes_proposed(documents: Sequence[Document], job: Job) -> list[dict[str, Any]]:
    """A row a class. `how`: decided, left out, concept, synonym, new, alike (a proposal), or undecided."""
    decided, create = job.params.get("classes", {}), job.params["create_concepts"]
    known = concepts_by_name(project=job.project)
    counts: Counter[str] = sum((document.counts for document in documents), Counter())
    names = dict.fromkeys(one.name for document in documents for one in document.categories)
    said = sum((one.statements for one in documents if isinstance(one, Negatives)), Counter[str]())
    shown = {name: {"name": name, "count": counts[name], "negatives": said[name]} for name in names}
    return [{**shown[name], **_matched(name, known, decided, create)} for name in names]


def negatives_shown(gathered: Gathered) -> list[dict[str, Any]]:
    """What is vouched for or stated: where, of which class, and for how many pictures."""
    said = [(one.where, name, count) for one in negatives_of(gathered) for name, count in one.statements.items()]
    return [{"where": where, "class": name, "pictures": count} for where, name, count in said]


def offer_shown(offer: Offer, job: Job) -> dict[str, Any]:
    """`concept`: the one that its name means, as far as there is one; `how` as in classes_proposed."""
    known, create = concepts_by_name(project=job.project), job.params["create_concepts"]
    only = next(iter(known.values())).name if len({one.pk for one in known.values()}) == 1 else ""
    told = offer.concept or ("" if offer.concepts else only)
    found = _matched(told, known, {}, create) if told else {"concept": "", "how": "undecided"}
    shown = {"where": offer.where, "kind": offer.kind, "pictures": len(offer.pictures), "name": offer.concept}
    return {**shown, "concepts": list(offer.concepts), **found}


def _matched(name: str, known: Mapping[str, Concept], decided: Mapping[str, str], create: bool) -> dict[str, str]:
    if name in decided:
        return {"concept": decided[name], "how": "left out" if decided[name] == LEAVE_OUT else "decided"}
    concept = known.get(plain_name(name))
    if concept:
        return {"concept": concept.name, "how": "concept" if plain_name(name) == concept.name else "synonym"}
    if alike := concept_alike(name, known):
        return {"concept": alike.name, "how": "alike"}
    return {"concept": plain_name(name) if create else "", "how": "new" if create else "undecided"}


def look_classes(rows: Sequence[Mapping[str, Any]], documents: Sequence[Document]) -> Classes[str]:
    """As the page offers them: proposals are taken, since its button takes them up."""
    taken = ("decided", "concept", "synonym", "new", "alike")
    mapped = {row["name"]: row["concept"] for row in rows if row["how"] in taken}
    left_out = {row["name"] for row in rows if row["how"] == "left out"}
    undecided = [row["name"] for row in rows if row["name"] not in mapped and row["name"] not in left_out]
    below = below_of(one for document in documents for one in document.categories)
    return Classes(mapped, left_out, undecided, below)


class _Look:
    """Reads every picture's words once, and counts the verdicts."""

    def __init__(
        self, context: JobContext, source: ImportSource, documents: Sequence[Document], rows: Sequence[dict]
    ) -> None:
        params = context.job.params
        self._context, self._source = context, source
        self._classes = look_classes(rows, documents)
        self._vouch = Vouch(params.get("complete", False), params["exhaustive"])
        self._judges = {id(one): frozenset(category.name for category in one.categories) for one in documents}
        self._samples = Samples(source, samples_folder(context.job))
        self._told = NegativesTold(context.job.project)
        self.counts = Counter(present=0, instances=0, not_exhaustive=0, absent=0, withheld=0, boxes=0, left_open=0)

    def over(self, files: Sequence[str], words: Mapping[str, list[Word]], tally: Tally) -> None:
        for number, file in enumerate(files):
            self._context.progress_of(number, len(files), "pictures looked at")
            if file not in words:
                continue
            probed = self._probed(file, words[file])
            mentions = self._mentions(words[file], probed.size_px, tally)
            names = self._counted(file, probed.sha256, mentions, tally)
            self._samples.offer(file, [mention.record for mention in mentions], names)

    def over_known(self, words: Sequence[Word], here: Mapping[str, Image], tally: Tally) -> None:
        """Pictures that the project has and the source has not."""
        by_image: dict[Image, list[Word]] = defaultdict(list)
        for word in words:
            if image := here.get(word.listed.file_name):
                by_image[image].append(word)
        for image, said in by_image.items():
            mentions = self._mentions(said, (image.width, image.height), tally)
            names = self._counted(image.original_name, image.sha256, mentions, tally)
            self._samples.offer_known(image, [mention.record for mention in mentions], names)

    def finished(self, offers: Sequence[Offer], tally: Tally) -> list[dict[str, Any]]:
        """The samples, once the project was asked what it knows of the negatives."""
        self.counts.update(self._told.known())
        tally.add_problems(self._told.problems)
        return self._samples.drawn({offer.where: offer.pictures for offer in offers if offer.kind == "folder"})

    def _counted(self, file: str, sha256: str, mentions: Sequence[Mention], tally: Tally) -> list[str]:
        """The concepts that this picture would be a negative of."""
        absent = []
        for concept, verdict in verdicts_of(mentions, self._classes, self._vouch).items():
            _count(verdict, self.counts)
            if verdict.disputed:
                self.counts["contradicted"] += 1
                tally.add_problems([Problem(file, disputed_words(concept))])
            if verdict.truth == "absent":
                absent.append(concept)
                self._told.add(file, sha256, concept)
        return absent

    def _mentions(self, words: Sequence[Word], own: Size | None, tally: Tally) -> list[Mention]:
        mentions = []
        for word in words:
            judges = self._judges[id(word.document)]
            if size := word.listed.size_px or own:
                record, problems = word.document.read(word.listed, size)
                tally.add_problems(problems)
                if word.in_doubt:
                    record = ImageRecord(record.file_name, *size, unsure=set(judges))
                mentions.append(Mention(word.listed, record, judges))
        return mentions

    def _probed(self, file: str, words: Sequence[Word]) -> Probed:
        """Where a word needs more than the documents say: the size, or which bytes a negative is told of."""
        needed = any(not word.listed.size_px for word in words)
        return picture_probed(self._source, file) if needed else Probed()


def _count(verdict: Verdict, counts: Counter[str]) -> None:
    if verdict.truth == "present":
        counts.update(present=1, instances=len(verdict.instances), not_exhaustive=int(not verdict.is_exhaustive))
    elif verdict.truth == "absent":
        counts["absent"] += 1
    else:
        counts[{UNDECIDED: "withheld", ONLY_BOXES: "boxes"}.get(verdict.why, "left_open")] += 1


def _document(document: Document) -> dict[str, Any]:
    return {
        "where": document.where,
        "format": document.format,
        "images": len(document.images),
        "annotations": document.counts.total(),
        "classes": len(document.categories),
    }
