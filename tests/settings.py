"""Roost's settings for tests: an own folder that is gone afterwards, shared with the processes that a test starts."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="roost-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["ROOST_VAR"] = _folder
# Tests empty their database: never the one that this machine's Roost works on.
os.environ.pop("ROOST_POSTGRES", None)
os.environ.pop("ROOST_BROKER_URL", None)
if _uri := os.environ.get("ROOST_TEST_POSTGRES"):
    # Side by side every worker has a database of its own there, as it has a folder of its own.
    os.environ["ROOST_POSTGRES"] = _uri + os.environ.get("PYTEST_XDIST_WORKER", "")

from annotator.settings import *  # noqa: E402, F403
from annotator.settings import DATABASES, STATIC_ROOT, STORAGES  # noqa: E402

STATIC_ROOT.mkdir()  # WhiteNoise warns of its absence
# The test database is the one that a worker started by a test opens as its own.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}
# Argon2 is slow on purpose; hashed names need collectstatic.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
