"""`manage.py sweep_jobs`: ring again for jobs whose worker died; every worker does the same by itself."""

from typing import Any

from django.core.management.base import BaseCommand

from annotator.jobs.services import jobs_sweep


class Command(BaseCommand):
    help = "Recover jobs whose worker died or whose message was lost."

    def handle(self, *args: Any, **options: Any) -> None:
        rung = jobs_sweep()
        self.stdout.write(f"rang again for {len(rung)} jobs{': ' if rung else ''}{', '.join(map(str, rung))}")
