"""The forms that take pictures in: import, and prediction on a folder or bucket."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings

from annotator.common.forms import PlainForm, names_in
from annotator.models import Image, Project

from .splits import DEFAULT, OFFERED

SPLIT_CHOICES = [
    ("", "The export's own; else by the shares"),
    *((split, f"All into {words.lower()}") for split, words in Image.Split.choices),
]


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """One or more files; cleans to a list. An empty one among them is the import's to refuse: it tells which."""

    widget = ManyFilesInput

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_empty_file=True, **more)

    def clean(self, data: Any, initial: Any = None) -> list:
        files = data if isinstance(data, list | tuple) else [data] if data else []
        if not files and self.required:
            raise forms.ValidationError("Choose at least one file.")
        return [super(ManyFilesField, self).clean(file, initial) for file in files]


class PlaceField(forms.CharField):
    """A folder of the server or a bucket, as far as its owner has opened some; the service says which may be read."""

    def __init__(self, *, label: str) -> None:
        super().__init__(max_length=1000, required=False, label=label)

    def prepare(self, opened: Sequence[str]) -> None:
        """Say what is open; with nothing open, how that is changed."""
        self.disabled = not opened
        if opened:
            self.help_text = f"Open for this: {', '.join(opened)}. Write the whole path, or s3://bucket/prefix."
        else:
            self.help_text = (
                "None is open. Who runs the server opens folders with ROOST_SOURCES and buckets with ROOST_BUCKETS."
            )


class ImportForm(PlainForm):
    KINDS = [
        ("auto", "Pictures, and whatever annotations lie beside them (COCO, YOLO, LabelMe, CVAT, Label Studio, SA-Co)"),
        ("images", "Pictures alone: annotations beside them are not read"),
        ("coco", "Only the pictures that an annotation file lists"),
    ]
    VOUCHES = [
        ("some", "Nothing: some objects may lack an outline. They teach; the gate does not count such pictures"),
        ("complete", "Of each class that is outlined in a picture, every object is"),
        ("exhaustive", "Besides, what is not outlined is not there: every picture was checked for every class"),
    ]

    BOXES = [
        ("sketch", "Keep the boxes as sketches: a person outlines each object, beginning with its box"),
        ("draw", "Let the model draw masks in them: a person takes or corrects each"),
    ]

    kind = forms.ChoiceField(choices=KINDS, label="What it is", widget=forms.RadioSelect, initial="auto")
    files = ManyFilesField(
        label="Files",
        widget=ManyFilesInput(attrs={"accept": ".zip,.json,.xml,.txt,.csv,.yaml,image/*"}),
        required=False,
        help_text="One zip, or pictures (JPEG, PNG, WEBP, BMP, TIFF) and annotation files. Annotations may be for "
        "pictures that are here already. The same picture twice is kept once.",
    )
    place = PlaceField(label="Or a folder or bucket")
    split = forms.ChoiceField(
        choices=SPLIT_CHOICES,
        required=False,
        help_text="Train teaches, validation chooses the checkpoint, the holdout is read by the gate alone.",
    )
    shares = forms.ChoiceField(
        choices=[(name, f"{name} %, train/validation{'/test' if one.test else ''}") for name, one in OFFERED.items()],
        required=False,
        initial=str(DEFAULT),
        help_text="By scene: images that show the same one are never parted. Evenly by what the annotations say.",
    )
    source = forms.CharField(
        max_length=80, required=False, help_text="Where they come from: barn 3, camera 2. The gate reports each apart."
    )
    holdout_share = forms.FloatField(
        label="Share for the holdout",
        min_value=0,
        max_value=0.9,
        required=False,
        initial=0,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="Drawn at random and kept from training. 0.1 is one in ten; the gate needs such images.",
    )
    create_concepts = forms.BooleanField(
        required=False,
        label="Make concepts of the export's categories",
        help_text="Off: categories that no concept or synonym here is called by are reported and left out.",
    )
    vouch = forms.ChoiceField(
        choices=VOUCHES,
        required=False,
        initial="some",
        label="What you vouch for",
        widget=forms.RadioSelect,
        help_text="No file tells what its makers looked for. What nobody vouches for is never a negative.",
    )

    boxes = forms.ChoiceField(
        choices=BOXES,
        required=False,
        initial="sketch",
        label="Objects with a box and no outline",
        widget=forms.RadioSelect,
        help_text="Either way the queue asks a person: neither a box nor a mask that nobody looked at is the truth.",
    )

    negative_of = forms.CharField(
        max_length=2000,
        required=False,
        label="None of these pictures shows",
        widget=forms.TextInput(attrs={"placeholder": "nothing vouched for", "list": "concepts-known"}),
        help_text="Verified negatives: concepts, separated by commas, that you vouch are in none of them. Of a list of "
        "pictures (a name a line, or CSV with file_name and concept): in none that it names.",
    )

    def __init__(self, *args: Any, opened: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.fields["place"].prepare(opened)

    def clean_negative_of(self) -> list[str]:
        return names_in(self.cleaned_data["negative_of"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        files = data.get("files") or []
        if "files" in data and not files and not data.get("place"):
            self.add_error("files", "Choose at least one file, or name a folder or bucket.")
        if files and data.get("place"):
            self.add_error("place", "Files or a folder or bucket; not both at once.")
        zips = [file for file in files if file.name.lower().endswith(".zip")]
        if zips and len(files) > 1:
            self.add_error("files", "Send one zip by itself, or images without a zip.")
        if sum(file.size for file in files) > settings.MAX_UPLOAD_BYTES:
            limit = settings.MAX_UPLOAD_BYTES // 1024**2
            self.add_error(
                "files", f"That is more than {limit} MiB at once; send it in parts, or use the command line."
            )
        return data


class SnapshotForm(PlainForm):
    name = forms.CharField(max_length=80, required=False, help_text="For people: what this version is.")
    tag = forms.CharField(
        max_length=80,
        required=False,
        help_text="For programs, such as v1.0-baseline: one of a kind in the project, and a git tag once published.",
    )
    notes = forms.CharField(max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3}))


class ExportForm(PlainForm):
    FORMATS = [
        ("coco", "COCO, masks as RLE"),
        ("coco masks polygon", "COCO, masks as polygons"),
        ("yolo", "YOLO segmentation: outlines"),
        ("yolo_detect", "YOLO detection: boxes"),
        ("labelme", "LabelMe"),
        ("saco", "SA-Co, SAM 3's own"),
        ("saco boxes px", "SA-Co, boxes in pixels"),
        ("label_studio", "Label Studio"),
    ]

    format = forms.ChoiceField(choices=FORMATS)
    snapshot = forms.TypedChoiceField(
        coerce=int, empty_value=None, required=False, label="Of", help_text="A version exports the same at any time."
    )
    splits = forms.MultipleChoiceField(
        choices=Image.Split.choices, required=False, widget=forms.CheckboxSelectMultiple, help_text="None: all of them."
    )
    with_images = forms.BooleanField(required=False, initial=True, label="Pack the images too")
    with_retired = forms.BooleanField(
        required=False, label="Retired concepts too", help_text="What was settled before they were retired."
    )
    include_unlooked = forms.BooleanField(
        required=False,
        label="Pictures that are not looked through, too",
        help_text="Off: a picture enters once every concept is settled in it, and the manifest lists the others. On: "
        "what is open stays unknown, for tools that read neg_category_ids, flags or choices. YOLO can't.",
    )
    to = forms.CharField(max_length=1000, required=False, label="To a bucket")

    def __init__(self, *args: Any, project: Project, buckets: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        versions = [
            (str(number), f"Snapshot {number}") for number in project.snapshots.values_list("number", flat=True)
        ]
        self.fields["snapshot"].choices = [("", "What is settled now"), *versions]  # type: ignore[attr-defined]
        self.fields["to"].disabled = not buckets
        opened = (
            f"Open for this: {', '.join(buckets)}." if buckets else "Who runs the server opens some: ROOST_BUCKETS."
        )
        self.fields["to"].help_text = f"s3://bucket/prefix, instead of a zip. {opened}"

    def clean(self) -> dict[str, Any]:
        """A choice of the format's own, such as `coco masks polygon`, is apart from its name."""
        data = super().clean() or self.cleaned_data
        name, *choice = data.get("format", "").split() or [""]
        more = {choice[0]: choice[1]} if choice else {}
        return {**data, "format": name, **more}
