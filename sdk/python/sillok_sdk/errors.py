"""What this package raises.

    SillokError
    ├── FieldError    (TypeError)   a call named a field that does not exist, or has no name for its event
    └── SettingError  (ValueError)  a client was built with a setting that cannot work

Both are mistakes in a program, raised where they are made. Trouble with the network or the server is
never raised: events wait, and what is given up on is counted and reported.
"""


class SillokError(Exception):
    """The root of everything this package raises."""


class FieldError(SillokError, TypeError):
    """The call named a field that does not exist, or gave what cannot be the name of an event.

    Correct the name at the place of the call. No event was made, and no `seq` was used.
    """


class SettingError(SillokError, ValueError):
    """A setting cannot work: correct it where the client is built."""
