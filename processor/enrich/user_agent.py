"""What a User-Agent header says about device, system, browser, and whether a person is behind it.

ua-parser's compiled (Rust) engine does the bulk; a distinct header costs about 0.16 ms, a fifth of it
the engine's, after 0.3 s once to build its tables. Our own words come first where it is blind: Korean
in-app browsers, and robots (of 2,658 requests by robots in a real server's log of 10,000, it knew 1,463;
the others were feed readers, fetchers and programs).

Always true:

- Any `str` has an answer, and equal headers have equal answers.
- `is_bot` and `device_type == "bot"` say the same.
- An iPad that asks for desktop sites says it is a Mac, and Windows 11 says it is Windows 10; both are
  believed, because nothing in the header tells them apart.
"""

import functools
import re
from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from contract.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from ua_parser import OS, Parser
    from ua_parser import UserAgent as Browser

DeviceType = Literal["desktop", "mobile", "tablet", "bot", "other"]

# Longer than any honest header (in-app browsers reach 500); bounds the work an attacker can ask for.
_HEADER_LENGTH_MAX: Final = 2048
_TEXT_LENGTH_MAX: Final = 64
_VERSION_PARTS_MAX: Final = 3


class UserAgentEngineError(UsageError):
    """The compiled user-agent engine is missing; install `ua-parser[regex]` from constraints.txt."""


class UserAgent(Struct, frozen=True, kw_only=True):
    """What one User-Agent header says. Absent facts are None; a version is at most `major.minor.patch`.

    `device_type` is `other` for televisions, consoles, and headers that name no device, such as an
    app's bare HTTP library.
    """

    device_type: DeviceType = "other"
    os_name: str | None = None
    os_version: str | None = None
    browser_name: str | None = None
    browser_version: str | None = None
    is_bot: bool = False


# The app around the page, most telling first: each of these also claims to be Chrome or Safari.
# Group 1, where there is one, is the version.
_IN_APP: Final = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("KakaoTalk", r"KAKAOTALK(?:[ /](\d[\d.]*))?"),
        ("KakaoStory", r"KAKAOSTORY(?:[ /](\d[\d.]*))?"),
        ("KakaoPay", r"\bKAKAOPAY(?:/(\d[\d.]*))?"),
        ("Naver", r"NAVER\((?:inapp|higgs);(?:[^;)]*;[^;)]*;\s*(\d[\d.]*))?"),
        ("Daum", r"DaumApps/(\d[\d.]*)"),
        ("Band", r"\bBAND/(\d[\d.]*)"),
        ("Toss", r"\bTossApp/(\d[\d.]*)"),
        ("Threads", r"\bBarcelona (\d[\d.]*)"),
        ("Instagram", r"\bInstagram(?: (\d[\d.]*))?"),
        (
            "Facebook Messenger",
            r"(?:MetaIAB Messenger|FBAN/Messenger|FB_IAB/(?:Orca|MESSENGER))(?:.*?FBAV/(\d[\d.]*))?",
        ),
        ("Facebook", r"(?:\bMetaIAB\b|FBAN/|FB_IAB/|(?=FBAV/))(?:.*?FBAV/(\d[\d.]*))?"),
        ("LINE", r"\bLine/(\d[\d.]*)"),
        ("TikTok", r"\b(?:musical_ly|trill|BytedanceWebview)(?:_|\b)"),
        ("LinkedIn", r"\[LinkedInApp\](?:/(\d[\d.]*))?"),
        ("Snapchat", r"\bSnapchat/(\d[\d.]*)"),
        ("Flipboard", r"\bFlipboard/(\d[\d.]*)"),
        ("Everytime", r"\beverytimeApp\b"),
        ("Samsung Internet", r"SamsungBrowser/(\d[\d.]*)"),
        ("Whale", r"\bWhale/(\d[\d.]*)"),
    )
)

# The firm's own apps, as the settings name them: the name to be shown, and what is looked for.
OwnApp = tuple[str, re.Pattern[str]]

# Read in lower case. okhttp, Dalvik and CFNetwork are absent on purpose: apps send events with them.
_BOT_WORDS: Final = (
    r"bots?(?![a-z])(?<!cubot)(?<!cubots)",  # Googlebot, YandexBot; but CUBOT makes telephones
    # `compatible` is what Internet Explorer, and few others, said of themselves at once; then every robot did, anywhere
    r"gecko[;,] ?compatible\b|compatible;(?<!mozilla/[45]\.0.\(compatible;)(?! ?(?:msie|konqueror))",
    r"crawl|spider|slurp|scrap(?:er|y|ing|/)|archiver|ezooms|siteexplorer|robosourcer|binlar",
    # what a program does, as the last word of its name
    r"(?:agent|check(?:er)?|scan|scanner|validator|verifier|fetch|fetcher|finder|detector|analyzer)(?![a-z])",
    r"(?:inspector|auditor|watcher)(?![a-z])",
    r"(?:preview|prefetch|resolver|observatory|diagnostics|transcoder|synthetics?|optimizer|screenshot|webhooks?)(?![a-z])",
    r"research|web ?capture|webcopier|httrack|sitesucker|openvas|acunetix|zmeu|gobuster|jndi:| dcv|siteimprove",
    # agents that act for somebody, and what fetches for a model
    r"-user(?![\w-])|devin/|manus[-/]|anthropic-ai|cohere-ai|spawning-ai|browser-?(?:use|base|less)",
    r"skyvern|novaact|copilotchat|firecrawl|apify|zyte|openai|operator/\d|buyforme|stagehand|multion(?![a-z])",
    # what renders a page for somebody else
    r"prerender|rendertron|jsdom|happydom|splash(?![a-z])|site ?audit|yandexmetrika",
    r"yeti/|daumoa|daum/\d|facebookexternalhit|facebookcatalog|meta-external|kakaotalk-scrap",
    r"kakaostory-og|google favicon|appengine-google|feedfetcher|bingpreview|embedly|flipboard(?:proxy|rss)",
    r"google(?:-[a-z]|other|agent|prober|sites|associationservice)|google (?:web|page speed|search console|trust)",
    r"mediapartners|apis-google|google-read-aloud|google-inspectiontool|imageproxy|imgproxy",
    # robots with a browser's face
    r"headless|phantomjs|puppeteer|playwright|selenium|lighthouse|gtmetrix|ptst/|cypress/|webdriver|testcafe",
    r"ghost ?inspector|functionize|testlocally|katalon|appium|browsershots|thousandeyes|catchpoint|rigor(?![a-z])",
    r"iplabel|appinsights|dareboost| ylt |speedcurve|debugbear|sitespeed|criticalcss|hotjar|outbrain|hardenize",
    r"dynatrace|alertsite|calibre/|mabl/",
    # programs
    r"curl/|wget|python-|python/|aiohttp/|httpx/|go-http-client|libwww-perl|lwp::|php/",
    r"apache-httpclient/\d|faraday|node-fetch|axios/|undici|postmanruntime|insomnia/",
    r"guzzle|restsharp|reactornetty|http_request|indy library|chef client|protocol discovery",
    r"libfetch|portscout|urllog|java-http-client|httpie/",
    r"jersey/|colly|lwp-|github-camo|request-promise|httpclient/|httpsclient/",
    # watchers
    r"monitor|uptime|pingdom|statuscake|nagios|check_http|zabbix|datadog|newrelic|site24x7",
    r"prometheus|blackbox|kube-probe|health-?check|googlehc|whatap|nessus|nmap|nikto|sqlmap|zgrab",
    r"nodeping|updown\.io|uptrends|panopta|hetrixtools|checkly|freshping|websitepulse|k6/|gatling|locust",
    r"jmeter|apachebench|censysinspect|varnish/",
    # feed readers
    r"feed(?!back)|rss(?:[ /]|$)|subscribers|aggregator|liferea|newsblur|netvibes|simplepie",
    r"inoreader|theoldreader|akregator|livejournal\.com",
    # people's browsers do not introduce themselves with an address, which the door has masked
    r"http://|https://|www\.|\[email]|@[\w-]+\.[a-z]|[([]at[])]|[ (;+][a-z][\w-]+\.(?:com|org|net|io|ai)(?![\w.-]|/\d)",
)
# Each begins with a character that the engine can look for: one that does not makes all of them three times as slow.
_BOT: Final = re.compile("|".join(_BOT_WORDS))
_BOT_BEGINNING: Final = re.compile(
    r"(?:java|ahc|http-client|jetty|whatsapp)/|ruby|got[ /]|http_|jennifer|expanse|amazon cloudfront"
    r"|(?:curl|node|node\.js|rss)$|rss\b"
)
# What calls itself a browser and names no system, as every browser does, is none: `Mozilla/5.0 (compatible; Any/1.0)`.
_COMPATIBLE: Final = re.compile(r"mozilla/[45]\.0[ +]?\(compatible(?:;|(?=\)))([^()]*)")
_SYSTEM: Final = re.compile(
    r"linux|android|windows|\bwin(?:9|nt)|macintosh|mac ?os|x11|bsd|sunos|unix|iphone|ipad|ipod|mobile|chrome/|gecko/"
    r"|symbian|series ?[46]0|nokia|samsung|blackberry|bb10|playbook|midp|cldc|brew|rex[;/]|palm|kaios|tizen|meego|bada"
    r"|harmony"
    r"|web ?[o0]s|\w*tv\b|playstation|ps3|nintendo|xbox|roku|astro;|maple|viera|fuchsia"
    r"|msie|trident|msoffice|opera|konqueror|risc ?os|os/2|amiga|haiku|beos|syllable|inferno"
)
# `(Linux; Android 7.0; M bot 60 Build/…`: a telephone's model, whatever it is called. A robot's own name has a version.
_MODEL: Final = re.compile(
    r"(\bandroid[ /]?[\d.]*;(?: ?(?:[a-z]{2}(?:[-_][a-z]{2,4})?|harmonyos);)?) ?[^;()/]*?(?= build/|;|\))",
    re.IGNORECASE,
)
# What ua-parser calls a robot that wears a person's browser.
_FACE: Final = re.compile(
    r"(?:mobile )?(?:chrome|chromium|safari|firefox|ie|msie|edge|opera|konqueror|android|samsung|whale|electron"
    r"|qtwebengine)\b",
    re.IGNORECASE,
)
# They call themselves Facebook's as well, whose previews sites allow.
_PREVIEW: Final = re.compile(r"(kakaotalk-scrap|kakaostory-og|line-poker)(?:[-\w]*/(\d[\d.]*))?", re.IGNORECASE)
_ROBOT_NAME: Final = re.compile(
    r"(?:Mozilla/[\d.]+ \(compatible;\s*)?(?!Mozilla\b)([A-Za-z][\w.!-]*(?: [A-Za-z][\w.!-]*)*)"
    r"(?:/v?(\d[\d.]*))?"
)
_WORDS: Final = re.compile(r"([A-Za-z][\w.!-]*(?: [Ii]nspector)?)(?:/v?(\d[\d.]*))?")
_NO_NAMES: Final = frozenset(
    {"mozilla", "compatible", "applewebkit", "khtml", "like", "gecko", "agent", "https", "http"}
)
_ADDRESS: Final = re.compile(r"https?\b|www\.|\w+@|\[email]", re.IGNORECASE)
# Our own SDKs relay other people's behaviour: a server-side event is not a robot's.
_OWN_SDK: Final = re.compile(r"^sillok[-_/ ]")

_NEITHER: Final = re.compile(
    r"smart-?tv|web0s|\btv\b|hbbtv|bravia|googletv|apple ?tv|crkey|; aft\w{1,6} build"
    r"|playstation|xbox|nintendo|\bwatch"
)
_TABLET: Final = re.compile(
    r"ipad|android; tablet|\bsm-[txp]\d|\bgt-p\d|\bgt-n[58]\d|\bkf[a-z]{2,6}\b|kindle|\bsilk/|playbook"
    r"|nexus (?:7|9|10)\b|pixel (?:tablet|c)\b|mediapad|matepad|galaxy tab|\blenovo tb|xoom"
)
_PHONE: Final = re.compile(
    r"iphone|ipod|mobi|windows phone|blackberry|bb10|symbian|series ?60|kaios|opera mini|midp|cldc|maui/"
)
_PHONE_OS: Final = frozenset({"iOS", "Android", "Windows Phone", "BlackBerry OS", "Symbian OS", "KaiOS"})
_DESKTOP_OS: Final = re.compile(
    r"windows(?! phone| mobile| ce)|mac ?os|chrome ?os|linux|ubuntu|debian|fedora|red hat|suse|mint"
    r"|mandriva|gentoo|centos|freebsd|openbsd|netbsd|dragonfly|solaris|sunos"
)
# ua-parser says "Mac OS X" of every version; Apple has said macOS since 2016.
_OS_NAMES: Final = {"Mac OS X": "macOS"}


def own_apps(tokens: Mapping[str, str]) -> tuple[OwnApp, ...]:
    """Prepare `[process] app_user_agents`, name → token; raise SettingsError for a name or token that says nothing."""
    for name, token in tokens.items():
        if not name.strip() or len(name) > _TEXT_LENGTH_MAX or not token.strip():
            raise SettingsError(
                f"[process] app_user_agents: {name!r}: a name of up to {_TEXT_LENGTH_MAX} characters and the token"
                " that the app adds to its user agent, such as FirmMTS"
            )
    return tuple(
        (name, re.compile(rf"(?<![a-z0-9]){re.escape(token.strip())}(?![a-z])(?:[/ ]?v?(\d[\d.]*))?", re.IGNORECASE))
        for name, token in tokens.items()
    )


def parse_user_agent(user_agent: str, own: tuple[OwnApp, ...] = ()) -> UserAgent:
    """Read one User-Agent header; the empty one and `-`, a log's word for none, have no facts.

    One of the firm's `own` apps is the browser, and never a robot, whatever else stands there.

    Raises UserAgentEngineError, on the first call, if the compiled engine is not installed.
    """
    header = user_agent[:_HEADER_LENGTH_MAX].strip()
    if header in {"", "-"}:
        return UserAgent()
    bare = _MODEL.sub(r"\1", header)
    parsed = _engine().parse(bare)
    lower = header.lower()
    spider = parsed.device is not None and parsed.device.family == "Spider"
    own_app = next(((name, found) for name, pattern in own if (found := pattern.search(header))), None)
    is_bot = (spider or _is_robot(bare.lower())) and not own_app and not _OWN_SDK.match(lower)
    os_name = _short(parsed.os.family) if parsed.os else None
    browser_name, browser_version = (
        (own_app[0], _first_parts(own_app[1][1])) if own_app else _browser(bare, parsed.user_agent, is_bot=is_bot)
    )
    return UserAgent(
        device_type="bot" if is_bot else _device_type(lower, os_name),
        os_name=_OS_NAMES.get(os_name, os_name) if os_name else None,
        os_version=_version(parsed.os),
        browser_name=browser_name,
        browser_version=browser_version,
        is_bot=is_bot,
    )


@functools.cache
def _engine() -> "Parser":
    """Build the parser at first use: importing this module costs nothing."""
    try:
        # ua-parser would quietly fall back to pure Python, 25 times slower, so the engine is named.
        from ua_parser import Parser  # noqa: PLC0415 - 0.1 s that only the processor should pay
        from ua_parser.loaders import load_lazy_builtins  # noqa: PLC0415 - as above
        from ua_parser.regex import Resolver  # noqa: PLC0415 - as above
    except ImportError as error:
        raise UserAgentEngineError from error
    return Parser(Resolver(load_lazy_builtins()))


def _is_robot(lower: str) -> bool:
    if _BOT_BEGINNING.match(lower) or _BOT.search(lower):
        return True
    compatible = _COMPATIBLE.match(lower)
    names_a_system = _SYSTEM.search(compatible[1] if compatible else lower)
    return not names_a_system and (compatible is not None or lower.startswith(("mozilla/5.0", "mozilla/4.0")))


def _browser(header: str, known: "Browser | None", *, is_bot: bool) -> tuple[str | None, str | None]:
    """Name and version: the app around the page if there is one, else what ua-parser knows."""
    if is_bot:
        if preview := _PREVIEW.search(header):
            return preview[1].lower(), _first_parts(preview[2])
        # ua-parser knows most robots; out of an address it makes names such as `robot` and `com/bot`.
        if known and known.family.rpartition("/")[2].lower() not in {"bot", "robot"} and not _FACE.match(known.family):
            return _short(known.family), _version(known)
        return _robot(header)
    for name, pattern in _IN_APP:
        if found := pattern.search(header):
            return name, _first_parts(found[1] if pattern.groups else None)
    if known is None or header.startswith("Dalvik/"):
        # Dalvik is an app's own request on Android; ua-parser would call it the Android browser.
        return None, None
    return _short(known.family), _version(known)


def _robot(header: str) -> tuple[str | None, str | None]:
    """Name a robot that ua-parser does not know: by how it begins, or by the words that gave it away."""
    own = _ROBOT_NAME.match(header)
    if own and not _FACE.match(own[1]):
        return _short(own[1]), _first_parts(own[2])
    for found in _BOT.finditer(header.lower()):
        words = (word for word in _WORDS.finditer(header) if header[word.start() - 1 : word.start()] != "/")
        word = next((word for word in words if word.end() >= found.end() and word[1].lower() not in _NO_NAMES), None)
        if word and not _ADDRESS.match(word[1]) and not _FACE.match(word[1]):
            return _short(word[1]), _first_parts(word[2])
    return None, None


def _device_type(lower: str, os_name: str | None) -> DeviceType:
    """Tell the device of a person's header, most particular word first."""
    if _NEITHER.search(lower):
        return "other"
    if _TABLET.search(lower):
        return "tablet"
    if "android" in lower:
        # A browser on an Android phone says Mobile and on a tablet does not; apps say neither.
        return "tablet" if lower.startswith("mozilla/") and "mobi" not in lower else "mobile"
    if _PHONE.search(lower) or os_name in _PHONE_OS:
        return "mobile"
    return "desktop" if os_name and _DESKTOP_OS.match(os_name.lower()) else "other"


def _version(known: "OS | Browser | None") -> str | None:
    """Join the parts ua-parser found: `7.0.4`, `XP`, or None."""
    if known is None:
        return None
    return _short(".".join(takewhile(bool, (known.major or "", known.minor or "", known.patch or ""))))


def _first_parts(version: str | None) -> str | None:
    """Keep `major.minor.patch` of a dotted version."""
    return _short(".".join(version.strip(".").split(".")[:_VERSION_PARTS_MAX])) if version else None


def _short(text: str) -> str | None:
    """Bound a text that came out of a header; NUL has no place in PostgreSQL."""
    text = text.replace("\0", "\ufffd").strip()[:_TEXT_LENGTH_MAX]
    return None if text in {"", "Other"} else text  # the word of ua-parser, and of its kin, for what it does not know
