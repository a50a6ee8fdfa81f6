"""What an e-mail address looks like in a folded text, and what only looks like one.

Behind an `@` also stand versions (`vue@3.4.21`), pictures for sharp screens (`btn@2x.png`), and Java's objects
(`Order@6d06d69c.toString`). Beside an address stands Korean without a blank: `메일hong@example.com으로`.
"""

import re
from typing import Final

# Not RE2, which reads a text from its beginning wherever the search begins. Hangul before the address is a word beside
# it, unless the name is Hangul altogether.
_LIKE: Final = re.compile(r"([A-Za-z0-9._%+\-]{1,64}|[가-힣]{1,64})@([A-Za-z0-9가-힣.\-]{1,255})")
# All four top domains in Hangul: what follows them is a particle.
_HANGUL_TOP: Final = "한국|닷컴|닷넷|삼성"
# A last label is letters, capital ones before small ones: `comTel` is two words without a blank.
_LAST: Final = re.compile(
    rf"{_HANGUL_TOP}|xn--[A-Za-z0-9\-]{{1,59}}|(?=[A-Za-z]{{2}})[A-Z]*[a-z]*(?![A-Za-z0-9\-])|(?:com|net|org|kr|io)(?![a-z])"
)
_LABEL: Final = re.compile(r"[A-Za-z0-9가-힣](?:[A-Za-z0-9가-힣\-]{0,61}[A-Za-z0-9가-힣])?")
_VERSION_OR_SCALE: Final = re.compile(r"[0-9]+(?:\.[0-9]|x\.)")
# An object's hash; one of seven or eight hexadecimal digits, with letters and digits, is no domain's name.
_OBJECT: Final = re.compile(r"(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,8}")
_FILE: Final = re.compile("js|css|map|min|json|html|png|jpg|gif|svg|webp|pdf")


def mask_addresses(plain: str) -> str:
    """Return the folded text with e-mail addresses replaced; what stands behind one may be the next one's name."""
    parts: list[str] = []
    at = 0
    while (found := _LIKE.search(plain, at)) is not None:
        end = _end(found.group(2))
        parts += (plain[at : found.start()], "[email]") if end else (plain[at : found.start(2)],)
        at = found.start(2) + end
    return "".join((*parts, plain[at:]))


def _end(domain: str) -> int:
    """Return how long the domain is that a text behind an `@` begins with; 0 when there is none."""
    if _VERSION_OR_SCALE.match(domain):
        return 0
    labels = domain.split(".")
    ends, at = 0, len(labels[0])
    if not _LABEL.fullmatch(labels[0]) or _OBJECT.fullmatch(labels[0]):
        return 0
    for label in labels[1:]:
        last = _LAST.match(label)
        if last and not _FILE.fullmatch(last.group()):
            ends = at + 1 + last.end()
        if not _LABEL.fullmatch(label):
            break
        at += 1 + len(label)
    return ends
