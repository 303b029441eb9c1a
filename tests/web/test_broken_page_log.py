"""The page of a fault says that the log has it, with the time. A process of its own: its standard error is the log."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, types
import django
from django.conf import settings
from django.test import Client
from django.urls import path

django.setup()
from annotator import urls

broken = types.ModuleType("broken")
broken.urlpatterns = [path("api/broken/", lambda request: 1 / 0), *urls.urlpatterns]
broken.handler500 = urls.handler500
sys.modules["broken"] = broken
settings.ROOT_URLCONF = "broken"
print(Client(raise_request_exception=False, headers={"host": "localhost"}).get("/api/broken/").status_code)
"""


def test_fault_of_a_page_is_in_the_log_with_its_time_and_traceback(tmp_path):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings", "ROOST_VAR": str(tmp_path)}
    asked = [sys.executable, "-c", PROGRAM]
    ended = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == "500\n"
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR django.request: .*/api/broken/", ended.stderr)
    assert "ZeroDivisionError: division by zero" in ended.stderr
