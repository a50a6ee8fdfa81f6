"""How long a test waits for what must come. It costs nothing where it comes, and a machine may be slow, or shared."""

from typing import Final

PATIENCE_S: Final = 300.0
