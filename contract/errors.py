"""The error tree. A class's docstring is its default message and says what to do next.

SillokError
├── UsageError              wrong command line, settings or surroundings: exit 2, one sentence
│   ├── SettingsError
│   │   └── RuleFileBroken
│   ├── KeyFileBroken
│   ├── FolderInUse
│   ├── PortInUse
│   ├── FolderNotWritable
│   ├── DatabaseRefused
│   ├── ExpectationsBroken
│   └── SchemaTooNew
├── RefusedRequest          an HTTP answer that is not 200, from the one table in `wire`
├── SpoolError
│   ├── SpoolUnavailable    full, failed, busy or closing: 503, the client waits
│   ├── SpoolFormatError    a file that this version cannot read
│   └── SegmentChanged      the name of a loaded segment with other contents
├── AuditBroken             a log of operators' actions is not as it was written
├── BooksStayOpen           a day that cannot be closed yet; the message says why
└── DatabaseUnavailable     passing: the loader and the processor wait and try again
"""

from typing import ClassVar


class SillokError(Exception):
    """Something went wrong in Sillok."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class UsageError(SillokError):
    """The command cannot run as asked; see `sillok --help`."""


class SettingsError(UsageError):
    """The settings file has an error; the message names the key and the file."""


class RuleFileBroken(SettingsError):
    """A file that operators edit has an error; the message names the file, the line and why. Mend it there."""


class KeyFileBroken(UsageError):
    """The key file cannot be read; the message names the line. Make the change again with `sillok keys`."""


class FolderInUse(UsageError):
    """Another Sillok process works in this folder; stop it first or choose another folder."""


class PortInUse(UsageError):
    """The port is taken; stop the other program or choose another port in the settings."""


class FolderNotWritable(UsageError):
    """The data folder cannot be written; check its owner and permissions."""


class DatabaseRefused(UsageError):
    """PostgreSQL refused the connection for a reason that waiting does not mend; check the DSN."""


class ExpectationsBroken(UsageError):
    """The file of what should have happened has an error; the message names the line and the reason."""


class SchemaTooNew(UsageError):
    """The database has migrations this version does not know; install the newer Sillok."""


class SpoolError(SillokError):
    """The spool cannot do what was asked."""


class SpoolUnavailable(SpoolError):
    """The spool cannot take events now: the server answers 503 and the client waits.

    Run `sillok doctor` to see why.
    """

    retryable = True


class SpoolFormatError(SpoolError):
    """A spool file is not one this version can read; nothing was changed."""


class SegmentChanged(SpoolError):
    """A segment has the name of one already loaded but other contents; it is kept and not loaded."""


class AuditBroken(SillokError):
    """A log of operators' actions is not as it was written; keep it and find out who changed it."""


class BooksStayOpen(SillokError):
    """The day cannot be closed: it is not over, not final, or does not balance."""


class DatabaseUnavailable(SillokError):
    """PostgreSQL cannot be reached now; Sillok keeps trying, nothing is lost."""

    retryable = True
