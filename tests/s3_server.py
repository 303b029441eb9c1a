"""A real S3 HTTP server (moto's) for a test: a process on a free port of loopback, gone afterwards."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.stack import free_port
from toolbox.processes import child_command

START_SECONDS = 60
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class S3Server:
    """`url` is what ROOST_S3_ENDPOINT takes; `client` is boto3's own, for looking behind the code under test."""

    def __init__(self, url: str, process: subprocess.Popen) -> None:
        import boto3

        self.url, self.process = url, process
        names = {"aws_access_key_id": "tester", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client: Any = boto3.session.Session().client("s3", endpoint_url=url, **names)

    def bucket(self, name: str, objects: dict[str, bytes] | None = None) -> str:
        self.client.create_bucket(Bucket=name)
        for key, content in (objects or {}).items():
            self.client.put_object(Bucket=name, Key=key, Body=content)
        return name

    def objects(self, bucket: str) -> dict[str, bytes]:
        rows = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {row["Key"]: self.client.get_object(Bucket=bucket, Key=row["Key"])["Body"].read() for row in rows}

    def ask_for_credentials(self, after: float) -> None:
        """Refuse who is unknown after so many more calls; everybody is unknown. `float("inf")`: let all in again."""
        address, headers = f"{self.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, str(after).encode(), headers)).read()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        child_command(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **CREDENTIALS}
    )
    server = S3Server(f"http://127.0.0.1:{port}", process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server):
            assert process.poll() is None, "moto's server did not start: python -m moto.server says why"
            assert time.monotonic() < deadline, "moto's server does not answer"
            time.sleep(0.05)
        yield server
    finally:
        server.stop()


def _answers(server: S3Server) -> bool:
    try:
        urllib.request.urlopen(f"{server.url}/moto-api/data.json", timeout=5).read()
    except OSError:
        return False
    return True
