"""The names that advertising systems give a click in a page's address: kept at the door, read by the processor."""

from typing import Final

# The surest evidence of a paid click first; fbclid comes last because Facebook adds it to unpaid links too. Naver and
# Daum give no id: n_ad, n_media and DMKW name the advertisement, the place and the keyword that was bought. What the
# person typed (n_query, DMSKW) is not among them, and igshid (Instagram) names the person who shared a link.
CLICK_ID_NAMES: Final = (
    "gclid",
    "wbraid",
    "gbraid",
    "dclid",
    "n_ad",
    "NaPm",
    "n_media",
    "DMKW",
    "msclkid",
    "yclid",
    "kclid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "rdt_cid",
    "ScCid",
    "fbclid",
)
