"""The Korean calendar: what a day is, everywhere. Korea has had one offset and no summer time since 1988."""

from datetime import timedelta, timezone
from typing import Final

SEOUL: Final = timezone(timedelta(hours=9), "KST")
