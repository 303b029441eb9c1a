"""What of a database's failures passes by itself or can be fixed from outside, in words for whoever waits."""

from django.db.utils import InterfaceError, OperationalError

from .errors import RoostError

RETRY_SECONDS = 2
# Postgres' own codes: no lock in time, deadlock, cut off by a time limit, somebody else was quicker.
BUSY_STATES = ("55P03", "40P01", "57014", "40001")
FULL_STATE, TOO_MANY_STATE = "53100", "53300"
# SQLite tells by its sentence alone; its other OperationalErrors («no such table») are bugs of ours.
SQLITE_BUSY, SQLITE_FULL, SQLITE_AWAY = "locked", "disk is full", ("unable to open database file", "disk I/O error")


def database_trouble(error: BaseException | None) -> RoostError | None:
    """503 or 507 with what to do, to be sent again as it was; None when the error is a bug of ours."""
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    code = _code(error)
    if code == "busy":
        words = "The database is busy; nothing was changed and your work is kept. Try again."
    elif code == "full":
        words = "The server's disk is full; nothing was changed. Tell who runs it, leave this page open, and try again."
    elif code == "away":
        words = "The database does not answer; nothing was changed and your work is kept. Try again."
    else:
        return None
    status = 507 if code == "full" else 503
    return RoostError(words, code=code, http_status=status, retry_after_seconds=RETRY_SECONDS)


def _code(error: BaseException) -> str | None:
    cause, text = error.__cause__, str(error)
    if type(cause).__module__.startswith("sqlite3"):
        codes = ((SQLITE_BUSY, "busy"), (SQLITE_FULL, "full"), *((words, "away") for words in SQLITE_AWAY))
        return next((code for words, code in codes if words in text), None)
    state = getattr(cause, "sqlstate", None)
    if state in BUSY_STATES:
        return "busy"
    if state == FULL_STATE:
        return "full"
    # Without a code there was no server to give one; 08: connection lost, 57P: it is stopping or starting.
    return "away" if state is None or state == TOO_MANY_STATE or state.startswith(("08", "57P")) else None
