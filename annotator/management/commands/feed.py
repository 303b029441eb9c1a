"""`manage.py feed PROJECT`: watch a folder or bucket, pause it, or look at all feeds now."""

import json
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import CommandError, CommandParser

from annotator.data.feed_looks import feed_look
from annotator.data.feeds import FeedState, feed_add, feed_states, feed_switch
from annotator.management.following import ProjectCommand
from annotator.models import Feed, Project


class Command(ProjectCommand):
    help = "List the feeds of a project; watch a folder or bucket, pause one, or look at all of them now."

    def add_own_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--add", metavar="PLACE", help="watch a folder of this machine or s3://bucket/prefix")
        what.add_argument("--pause", type=int, metavar="NUMBER", help="pause a feed")
        what.add_argument("--resume", type=int, metavar="NUMBER", help="go on with it")
        what.add_argument("--look", action="store_true", help="look at all that are not paused, whoever's turn it is")
        parser.add_argument("--source", default="", help="where the images come from (default: the place's last part)")
        parser.add_argument("--interval", type=int, default=60, help="seconds between looks (default 60)")
        parser.add_argument("--json", action="store_true", help="answer as JSON")

    def act(self, project: Project, user: AbstractBaseUser, options: dict[str, Any]) -> None:
        if options["add"]:
            seconds, source = options["interval"], options["source"]
            place = options["add"]
            feed_add(
                project=project, user=user, place=place, source=source, interval_seconds=seconds, named_by_person=False
            )
        for key, enabled in (("pause", False), ("resume", True)):
            if options[key] is not None:
                feed_switch(feed=self._feed(project, options[key]), user=user, enabled=enabled)
        if options["look"]:
            for feed in project.feeds.filter(enabled=True).select_related("project"):
                feed_look(feed=feed)
        rows = [_plain(one) for one in feed_states(project=project)]
        self.stdout.write(json.dumps(rows) if options["json"] else "\n".join(map(_line, rows)) or "no feed yet")

    def _feed(self, project: Project, number: int) -> Feed:
        feed = project.feeds.filter(pk=number).first()
        if feed is None:
            raise CommandError(f"This project has no feed {number}; without options the command lists them.")
        return feed


def _plain(one: FeedState) -> dict[str, Any]:
    feed, misses = one.feed, one.misses
    return {
        "id": feed.pk,
        "place": feed.place,
        "source": feed.source,
        "enabled": feed.enabled,
        "error": feed.error,
        **one.counts,
        "set_aside": misses.aside,
        "sampled": misses.sampled,
        "settled": misses.settled,
        "missed": misses.missed,
    }


def _line(row: dict[str, Any]) -> str:
    state = row["error"] or ("watched" if row["enabled"] else "paused")
    counts = ", ".join(f"{name} {row[name]}" for name in ("imported", "ready", "seen", "refused", "set_aside"))
    return f"{row['id']}  {row['place'] or 'posted'}  ({row['source']})  {state}  {counts}"
