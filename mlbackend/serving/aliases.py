"""Names that follow a promotion: `$ROOST_VAR/aliases.json` maps an alias to a version, e.g. {"champion": "v7"}.

The annotator rewrites the file (atomically) when it promotes; it is read again when it changes. `default` is the
default version unless the file says otherwise; any other name stands for itself.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from mlbackend.serving.requests import VERSION

log = logging.getLogger(__name__)


class Aliases:
    def __init__(self, path: Path, default_version: str) -> None:
        self._path, self._default = path, default_version
        self._stamp: tuple[int, int] | None = None
        self._table: dict[str, str] = {}

    def resolve(self, alias: str) -> str:
        self._refresh()
        return self._table.get(alias) or (self._default if alias == "default" else alias)

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
        except OSError:
            self._stamp, self._table = None, {}
            return
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._table = {
                str(alias): version
                for alias, version in json.loads(self._path.read_text()).items()
                if isinstance(version, str) and VERSION.fullmatch(version)
            }
        except (OSError, ValueError, AttributeError) as error:
            log.error("%s is not usable (%s); the aliases read before stay", self._path, error)
