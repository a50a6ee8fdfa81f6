"""Every fate of an event. Each ends in exactly one of these, and the books count them.

received = accepted + rejected
accepted = loaded + dead_lettered (by the loader) + damaged
loaded   = clean + duplicate + dead_lettered (by the processor) + discarded + erased + purged + pending
"""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of an event, at one stage of its way."""

    RECEIVED = "received"
    """It stood in the `events` array of a batch that was answered 200."""

    ACCEPTED = "accepted"
    """It is in a valid frame on the spool's disk: the promise holds from here on."""

    REJECTED = "rejected"
    """It broke a rule of the contract; kept, masked, with its reason, in the batch's own frame."""

    LOADED = "loaded"
    """It is a row of `raw.events`."""

    DAMAGED = "damaged"
    """A frame's header or the segment's footer says it was there, but it can no longer be read."""

    CLEAN = "clean"
    """It is a row of `clean.events`: the one and only copy."""

    DUPLICATE = "duplicate"
    """The same event arrived before, with the same content; listed in `ops.duplicates`."""

    DEAD_LETTERED = "dead_lettered"
    """It could not be loaded or cleaned; kept in `ops.dead_letters` with its reason."""

    DISCARDED = "discarded"
    """An operator looked at the dead letter and gave it up."""

    ERASED = "erased"
    """Removed at the customer's request; a keyed-hash tombstone remains."""

    PURGED = "purged"
    """Removed with all of its source by an operator: a test's events."""

    PENDING = "pending"
    """Loaded and not yet processed. Final minutes have none."""


class RejectCode(StrEnum):
    """Why an event was rejected at the door. The batch's other events are not affected."""

    MISSING_FIELD = "missing_field"
    """A required field is absent: `event_id`, `time`, `event_type`, or `event_name` of a `custom`."""

    INVALID_FIELD = "invalid_field"
    """A field has the wrong type or a value outside its range, or the event is no JSON object."""

    IDENTIFIER_TOO_LONG = "identifier_too_long"
    """A session, visitor or customer id is over its limit; a cut identifier is a wrong identifier."""

    PERSONAL_IDENTIFIER = "personal_identifier"
    """A session, visitor or customer id contains a resident number, which may not be kept at all."""

    INVALID_UTF8 = "invalid_utf8"
    """A text is not well-formed UTF-8."""

    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    """A number no IEEE double or 64-bit integer can hold, such as `1e400`."""

    EVENT_TOO_LARGE = "event_too_large"
    """The event is over 32 KiB."""

    PROPS_TOO_LARGE = "props_too_large"
    """`props` is over 8 KiB."""

    TOO_DEEP = "too_deep"
    """The event is nested deeper than 32 levels."""


class DeadLetterReason(StrEnum):
    """Why an accepted event is not in `clean`."""

    ROW_REFUSED = "row_refused"
    """PostgreSQL refused the row; found by bisection, the rest of its segment was loaded."""

    FRAME_UNREADABLE = "frame_unreadable"
    """The frame's bytes are intact but this version cannot decode what is in them."""

    ID_CONFLICT = "id_conflict"
    """The same `event_id` arrived before from the same source with different content."""

    CANNOT_CLEAN = "cannot_clean"
    """PostgreSQL or the processor refused to clean it; found by bisection, the rest of its load was cleaned."""
