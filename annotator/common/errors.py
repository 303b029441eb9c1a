"""What services raise: a sentence for a person, a code for a program, a status for HTTP."""


class RoostError(Exception):
    """The request can't be done; the text says what is wrong and what to do."""

    code = "bad_request"
    http_status = 400

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        http_status: int | None = None,
        fields: dict | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.http_status = http_status or self.http_status
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds


class ConflictError(RoostError):
    """Somebody or something else got there first."""

    code = "conflict"
    http_status = 409


class MaskError(RoostError):
    """A mask that does not fit its image or is no mask."""

    code = "bad_mask"


class ImportRefusedError(RoostError):
    """An upload that can't be imported at all."""

    code = "import_refused"


class BackendError(RoostError):
    """The ML backend is away, busy or refused; manual tools still work."""

    code = "backend_unavailable"
    http_status = 503


class JobCancelled(Exception):
    """The work was asked to stop; no error, and nobody's fault."""
