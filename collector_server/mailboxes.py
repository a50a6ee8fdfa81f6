"""What an e-mail address looks like in a folded text, and what only looks like one.

Behind an `@` also stand versions (`vue@3.4.21`), pictures for sharp screens (`btn@2x.png`), variants of a file
(`vue@next.global.js`), and Java's objects (`Order@6d06d69c.toString`). Beside an address stands Korean without a blank:
`메일hong@example.com으로`.
"""

import re
from typing import Final

_NAME_LENGTH_MAX: Final = 64
# Read from the `@` to the left. Hangul before the address is a word beside it, unless the name is Hangul altogether.
_NAME: Final = re.compile(r"(?:[^\W가-힣]|[.%+\-])+|[가-힣]+")
_DOMAIN: Final = re.compile(r"(?:[^\W_]|[.\-]){1,255}")
_LABEL: Final = re.compile(r"(?:[^\W_]|-){1,63}")
# Last labels that mean an address whatever is before them, and whatever is glued to them.
_WIDE_TOP: Final = r"(?i:com|net|org|kr|jp|io|co)(?![a-z])"
_KNOWN: Final = re.compile(_WIDE_TOP)
# All four top domains in Hangul: what follows them is a particle.
_HANGUL_TOP: Final = "한국|닷컴|닷넷|삼성"
# A last label is letters, capital ones before small ones: `comTel` is two words without a blank.
_LAST: Final = re.compile(
    rf"{_HANGUL_TOP}|xn--[A-Za-z0-9\-]{{1,59}}|(?=[A-Za-z]{{2}})[A-Z]*[a-z]*(?![A-Za-z0-9\-])|{_WIDE_TOP}"
    r"|[^\W\d_A-Za-z가-힣]{2,63}"
)
_VERSION_OR_SCALE: Final = re.compile(r"[0-9]+(?:\.[0-9]|x\.)")
# An object's hash: seven or eight hexadecimal digits with a figure among them are few domains' names.
_OBJECT: Final = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{7,8}")
_FILE: Final = re.compile(
    "[cm]?jsx?|tsx?|vue|s?css|map|min|json|x?html|xml|txt|png|jpe?g|gif|svg|webp|avif|ico|pdf|woff|apk", re.IGNORECASE
)


def mask_addresses(plain: str) -> str:
    """Return the folded text with e-mail addresses replaced; what stands behind one may be the next one's name."""
    parts: list[str] = []
    done = 0
    sign = plain.find("@")
    while sign >= 0:
        name = _NAME.match(plain[max(done, sign - _NAME_LENGTH_MAX) : sign][::-1])
        domain = _DOMAIN.match(plain, sign + 1) if name else None
        end = _end(domain.group()) if domain else 0
        if name and end:
            parts += (plain[done : sign - name.end()], "[email]")
            done = sign + 1 + end
        sign = plain.find("@", sign + 1)
    return "".join((*parts, plain[done:]))


def _end(domain: str) -> int:
    """Return how long the domain is that a text behind an `@` begins with; 0 when there is none."""
    labels = domain.split(".")
    if not _LABEL.fullmatch(labels[0]):
        return 0
    is_doubtful = (
        _VERSION_OR_SCALE.match(domain) or _OBJECT.fullmatch(labels[0]) or any(map(_FILE.fullmatch, labels[1:]))
    )
    top = _KNOWN if is_doubtful else _LAST
    ends, at = 0, len(labels[0])
    for label in labels[1:]:
        if last := top.match(label):
            ends = at + 1 + last.end()
        if not _LABEL.fullmatch(label):
            break
        at += 1 + len(label)
    return ends
