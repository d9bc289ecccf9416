"""The errors every part raises: what happened, where, and what to do next."""


class TelestreamError(Exception):
    """Base of all our errors; `transient` says whether the same call may succeed later.

    The message is a lower-case fact without a full stop; `detail` and `hint` are sentences.
    None of the three may hold personal data or a secret.
    """

    transient = False
    exit_code = 1

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail
        self.hint = hint


class TransientError(TelestreamError):
    """The same call may succeed later: a lost connection, a lock timeout, a full disk once freed."""

    transient = True
    exit_code = 75


class TerminalError(TelestreamError):
    """The same call will fail again until someone changes the input, the settings or the code."""


class UsageError(TerminalError):
    """What was asked for does not exist or does not fit together: a missing file, an unknown time zone."""

    exit_code = 2


class StackError(TerminalError):
    """The embedded stack cannot run or start on this machine."""


class DatabaseUnavailableError(TransientError):
    """The database does not answer or went away in the middle of the work."""


class SchemaOutdatedError(TerminalError):
    """The database is at another revision than this code needs."""


class SourceError(TerminalError):
    """A source file cannot be read: missing, empty, truncated, or in another encoding."""


class ProfileError(TerminalError):
    """A profile is wrong, or no profile fits the file."""


class FencedError(TransientError):
    """Another consumer has claimed a partition that this one was reading; nothing of its batch was written."""


class BadShareError(TerminalError):
    """More of the latest messages cannot be decoded than is allowed: a bad deployment, not bad luck."""


class GapError(TerminalError):
    """The log no longer holds what has not been read yet, or is shorter than what has been."""


class TamperedError(TerminalError):
    """The access log was changed by somebody: its chain does not hold."""
