"""The web process's entry for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
# A person waits for what this process asks the database (read by the settings, on Postgres).
os.environ.setdefault("ROOST_STATEMENT_SECONDS", "15")

application = get_wsgi_application()
