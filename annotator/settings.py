"""Django settings, all from the environment; the defaults serve one laptop. docs/settings.md lists the variables."""

import os
import secrets
import shlex
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from annotator.jobs.broker import REDIS_OPTIONS, broker_options
from toolbox.var_folder import var_folder_flaw

BASE_DIR = Path(__file__).resolve().parent.parent


def _var_dir() -> Path:
    folder = Path(os.environ.get("ROOST_VAR") or BASE_DIR / "var").resolve()
    if flaw := var_folder_flaw(folder):
        raise ImproperlyConfigured(flaw)
    return folder


VAR_DIR = _var_dir()


def _flag(name: str, default: bool = False) -> bool:
    return os.environ.get(name, str(int(default))).lower() in {"1", "true", "yes", "on"}


def _list(name: str, default: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def _secret_key() -> str:
    """ROOST_SECRET_KEY, else a random key made at the first start and kept in VAR_DIR, mode 0600."""
    if key := os.environ.get("ROOST_SECRET_KEY"):
        return key
    path = VAR_DIR / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _kept_key(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(64))
    return _kept_key(path)


def _kept_key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        words = f"{path} can't be read ({error.strerror}). Give it to this user, or set ROOST_SECRET_KEY."
        raise ImproperlyConfigured(words) from error


SECRET_KEY = _secret_key()
DEBUG = _flag("ROOST_DEBUG")
ALLOWED_HOSTS = _list("ROOST_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = _list("ROOST_TRUSTED_ORIGINS", "")

# Django itself would mail a broken page to nobody: its traceback goes to the log, as the page says.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"timed": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"log": {"class": "logging.StreamHandler", "level": "ERROR", "formatter": "timed"}},
    "loggers": {"django.request": {"handlers": ["log"]}},
}

INSTALLED_APPS = [
    "annotator",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "annotator.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "annotator.urls"
WSGI_APPLICATION = "annotator.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _postgres_limits() -> str:
    """Nobody waits long for a lock. A statement of a page is cut off (wsgi.py); a worker's or a migration's is not."""
    statement_ms = 1000 * int(os.environ.get("ROOST_STATEMENT_SECONDS", "0"))
    limits = {
        "statement_timeout": statement_ms,
        "lock_timeout": 5000,
        "idle_in_transaction_session_timeout": 30_000,
    }
    return " ".join(f"-c {name}={value}" for name, value in limits.items())


def _postgres_parts(uri: str) -> dict:
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        words = "ROOST_POSTGRES is set, but psycopg is not installed: pip install -r requirements-scale.txt"
        raise ImproperlyConfigured(f"{words} -c constraints.txt") from error
    try:
        return conninfo_to_dict(uri)
    except psycopg.ProgrammingError as error:
        words = "ROOST_POSTGRES is no libpq URI like postgresql://roost@db.example:5432/roost"
        raise ImproperlyConfigured(f"{words} ({' '.join(str(error).split())})") from error


def _database() -> dict:
    """SQLite under VAR_DIR, or the Postgres named by ROOST_POSTGRES (a libpq URI; the rest of it goes on to libpq)."""
    if uri := os.environ.get("ROOST_POSTGRES"):
        parts = {"connect_timeout": 5, **_postgres_parts(uri)}
        own = parts.pop("options", "")
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.pop("dbname", "roost"),
            "USER": parts.pop("user", ""),
            "PASSWORD": parts.pop("password", ""),
            "HOST": parts.pop("host", ""),
            "PORT": str(parts.pop("port", "")),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {**parts, "options": f"{_postgres_limits()} {own}".strip()},
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / "roost.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
    }


DATABASES = {"default": _database()}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "media"}},
    "staticfiles": {"BACKEND": "annotator.common.static_storage.HashedStaticStorage"},
}

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_AGE = 14 * 24 * 3600
if _flag("ROOST_HTTPS"):
    SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 5000
FILE_UPLOAD_TEMP_DIR = None

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "annotator.common.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["annotator.common.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "annotator.common.api.errors.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Roost API",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# The ML backend: the one door is annotator/ml_client.py.
MLBACKEND_URL = os.environ.get(
    "ROOST_MLBACKEND_URL", f"http://127.0.0.1:{os.environ.get('ROOST_MLBACKEND_PORT', '9090')}"
)
MLBACKEND_TOKEN = os.environ.get("ROOST_MLBACKEND_TOKEN", "")
# What a new project is served by, and where the version `sam3` lies (the ML backend reads the same two).
DEFAULT_VERSION = os.environ.get("ROOST_DEFAULT_MODEL") or "demo"
BASE_MODEL = os.environ.get("ROOST_BASE_MODEL", "")

# Celery: JSON only; the broker is a doorbell, the Job row the truth (docs/decisions/0001-job-rows.md).
CELERY_BROKER_URL = os.environ.get("ROOST_BROKER_URL", "fsatomic://localhost//")
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False  # the sweeper brings a lost worker's job back, counting its attempts
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.2, "interval_max": 0.2}
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker outlives a broker that is away for long
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
if CELERY_BROKER_URL.startswith("fsatomic://"):
    CELERY_BROKER_TRANSPORT_OPTIONS = broker_options(VAR_DIR / "broker")
    # Control messages to workers that died would pile up as files for ever.
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = REDIS_OPTIONS

# The ML backend's share of a GPU that training uses as well; 0: as much as it takes.
SERVING_GPU_MB = int(os.environ.get("ROOST_GPU_MB", "0"))
# What runs the verbs of docs/contracts.md, "Trainer".
TRAIN_PROCESSES = int(os.environ.get("ROOST_TRAIN_PROCESSES", "1"))  # of a training run here, a GPU each
TRAIN_LAUNCH = shlex.split(os.environ.get("ROOST_TRAIN_LAUNCH", ""))  # keys of a cluster's job; empty: here
TRAINER_COMMAND = shlex.split(os.environ.get("ROOST_TRAINER_COMMAND", "")) or [sys.executable, "-m", "training"]
# Where runs are kept beside their folder (docs/training.md, "Trackers"): nobody's to set but the operator's.
TRACKERS = _list("ROOST_TRACKERS", "")
MLFLOW_URI = os.environ.get("ROOST_MLFLOW_URI", "")
MLFLOW_REGISTRY = os.environ.get("ROOST_MLFLOW_REGISTRY", "0") == "1"

# Label Studio, whose webhooks the ML backend leaves in the spool (docs/label-studio.md; it reads the same variables).
LABEL_STUDIO_URL = os.environ.get("ROOST_LS_URL", "").rstrip("/")
LABEL_STUDIO_TOKEN = os.environ.get("ROOST_LS_TOKEN", "")
LABEL_STUDIO_HOSTS = frozenset(name.lower() for name in _list("ROOST_LS_HOSTS", ""))
LABEL_STUDIO_NETWORKS = _list("ROOST_LS_NETWORKS", "")
LABEL_STUDIO_IMAGE_BYTES = int(os.environ.get("ROOST_LS_MAX_IMAGE_MB", "64")) * 1024**2
LABEL_STUDIO_TRAIN_SECONDS = float(os.environ.get("ROOST_LS_TRAIN_SECONDS", "60"))
LABEL_STUDIO_SPOOL = VAR_DIR / "spool" / "label_studio"

# Claiming and drafts
LEASE_SECONDS = int(os.environ.get("ROOST_LEASE_SECONDS", "600"))
JOB_LEASE_SECONDS = int(os.environ.get("ROOST_JOB_LEASE_SECONDS", "30"))

# What ended runs leave on the disk: docs/training.md, "What is kept".
CHECKPOINT_DAYS = float(os.environ.get("ROOST_CHECKPOINT_DAYS", "14"))
FEATURES_BYTES = int(os.environ.get("ROOST_FEATURES_MB", "50000")) * 1024**2

IMAGES_DIR = VAR_DIR / "images"
MODELS_DIR = VAR_DIR / "models"
SNAPSHOTS_DIR = VAR_DIR / "snapshots"
RUNS_DIR = VAR_DIR / "runs"
EXPORTS_DIR = VAR_DIR / "exports"
UPLOADS_DIR = VAR_DIR / "uploads"
IMPORTS_DIR = VAR_DIR / "imports"
DATASETS_DIR = VAR_DIR / "datasets"
SHIPPED_MODEL_DIR = BASE_DIR / "mlbackend" / "weights" / "demo"

# Buckets, and what a web user may name as a source: docs/operations.md.
S3_ENDPOINT = os.environ.get("ROOST_S3_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL", "")
IMAGES_BUCKET = os.environ.get("ROOST_IMAGES_BUCKET", "")
SOURCES = _list("ROOST_SOURCES", "")
BUCKETS = _list("ROOST_BUCKETS", "")

# Where published data versions go, and the DVC that takes them there: docs/data.md, "Versions".
DATA_REMOTE = os.environ.get("ROOST_DATA_REMOTE", "")
DVC_PROGRAM = os.environ.get("ROOST_DVC") or str(Path(sys.executable).with_name("dvc"))

MAX_IMAGE_PIXELS = int(os.environ.get("ROOST_MAX_IMAGE_PIXELS", str(100_000_000)))
# Child processes that decode what comes in, one a core.
IMAGE_DECODERS = int(os.environ.get("ROOST_IMAGE_DECODERS", "0")) or min(os.cpu_count() or 1, 4)
MAX_UPLOAD_BYTES = int(os.environ.get("ROOST_MAX_UPLOAD_BYTES", str(2 * 1024**3)))
