"""`manage.py up`: web, ML backend and workers as children of one command; Ctrl-C stops them all."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from annotator.jobs.workers import workers_alive
from annotator.operations.demo import logins_path
from annotator.operations.supervisor import Service, Supervisor
from annotator.registry.aliases import serving_aliases_refresh
from annotator.registry.trainer_process import NICENESS
from toolbox.processes import jemalloc_environment

HEALTH_SECONDS = 1.0


class Command(BaseCommand):
    help = "Run Roost: web, ML backend, workers. ROOST_PORT and ROOST_MLBACKEND_PORT choose the ports."

    def handle(self, *args: Any, **options: Any) -> None:
        self.host, self.port = os.environ.get("ROOST_HOST", "127.0.0.1"), _port("ROOST_PORT", 8000)
        self.backend_port = _port("ROOST_MLBACKEND_PORT", 9090)
        self._check_database()
        services = self._services()
        supervisor = Supervisor(services, logs=settings.VAR_DIR / "logs", folder=settings.BASE_DIR, say=self._say)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: supervisor.stop())
        self._say(f"Roost starts; logs are in {settings.VAR_DIR / 'logs'}")
        supervisor.run(when_healthy=self._announce)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _announce(self) -> None:
        self._say(f"\nRoost is ready: http://{self.host}:{self.port}/")
        if logins_path().exists():
            self._say(f"The demo log-ins are in {logins_path()}")
        self._say("Ctrl-C stops everything.")

    def _check_database(self) -> None:
        try:
            executor = MigrationExecutor(connection)
        except DatabaseError as error:
            raise CommandError(f"The database can't be opened: `manage.py doctor` says more. ({error})") from error
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("The database is not set up: run `make run`, or `python manage.py migrate` first.")
        serving_aliases_refresh()
        connection.close()

    def _services(self) -> list[Service]:
        """Web first, so that the log-in page is there while the model still loads."""
        environment = {**os.environ, "ROOST_VAR": str(settings.VAR_DIR), "PYTHONUNBUFFERED": "1"}
        own_url = f"http://127.0.0.1:{self.backend_port}"
        url = os.environ.get("ROOST_MLBACKEND_URL", own_url).rstrip("/")
        environment["ROOST_MLBACKEND_URL"] = url
        services = [self._web(environment), _worker("worker", "default,inference", 2, environment)]
        if urlsplit(url).port == self.backend_port and urlsplit(url).hostname in ("127.0.0.1", "localhost"):
            services.append(self._backend(environment))
        else:
            self._say(f"The ML backend is elsewhere: {url}; none is started here.")
        services.append(_worker("training", "training", 1, environment, nice=NICENESS // 2))
        return services

    def _web(self, environment: dict[str, str]) -> Service:
        _check_free(self.host, self.port, "ROOST_PORT")
        options = ["--worker-class", "gthread", "--workers", os.environ.get("ROOST_WEB_WORKERS", "1"), "--threads", "8"]
        options += ["--bind", f"{self.host}:{self.port}", "--graceful-timeout", "5", "--access-logfile", "-"]
        command = [sys.executable, "-m", "gunicorn", "annotator.wsgi:application", *options]
        address = f"http://{self.host}:{self.port}"
        # As the proxy would ask: by a name that is allowed, over TLS.
        names = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name != "*"] or ["localhost"]
        healthy = _answers(f"{address}/healthz", {"Host": names[0], "X-Forwarded-Proto": "https"})
        return Service("web", command, environment, healthy, f"serves {address}/")

    def _backend(self, environment: dict[str, str]) -> Service:
        _check_free("127.0.0.1", self.backend_port, "ROOST_MLBACKEND_PORT")
        environment = {**environment, **jemalloc_environment(), "ROOST_MLBACKEND_PORT": str(self.backend_port)}
        token = os.environ.get("ROOST_MLBACKEND_TOKEN", "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        healthy = _answers(f"http://127.0.0.1:{self.backend_port}/ready", headers)
        return Service("mlbackend", [sys.executable, "-m", "mlbackend"], environment, healthy, "has its model loaded")


def _worker(name: str, queues: str, threads: int, environment: dict[str, str], nice: int = 0) -> Service:
    node = f"{name}@{socket.gethostname()}"
    options = ["--queues", queues, "--pool", "threads", "--concurrency", str(threads), "--hostname", node]
    options += ["--loglevel", "info", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = [sys.executable, "-m", "celery", "-A", "annotator.celery", "worker", *options]
    return Service(
        name, command, environment, lambda pid: pid in workers_alive().values(), f"takes jobs of {queues}", nice
    )


def _answers(url: str, headers: dict[str, str]) -> Callable[[int], bool]:
    # One client: a new one for each look would read every certificate of the machine. Each look connects anew.
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.Client(timeout=HEALTH_SECONDS, headers=headers, limits=limits)

    def is_healthy(pid: int) -> bool:
        try:
            return client.get(url).status_code == 200
        except httpx.HTTPError:
            return False

    return is_healthy


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise CommandError(f"{variable}={text!r} is no port; use a number from 1 to 65535.")
    return int(text)


def _check_free(host: str, port: int, variable: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} can't be used ({error.strerror}): is Roost running already? "
                f"Else choose another one, for instance {variable}={port + 1}."
            ) from error
