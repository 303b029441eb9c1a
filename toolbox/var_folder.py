"""The folder that holds everything Roost writes, looked at before anything is built on it."""

import os
from pathlib import Path


def var_folder_flaw(folder: Path) -> str:
    """Make it if it is not there; why it is of no use, in a sentence for who set ROOST_VAR, else empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        return _told(folder, "there is a file of that name")
    except OSError as error:
        return _told(folder, error.strerror or str(error))
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return _told(folder, "this user may not read and write there")
    return ""


def _told(folder: Path, why: str) -> str:
    return f"ROOST_VAR is {folder}, which can't be used: {why}. Name a folder that this user may write to."
