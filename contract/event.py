"""The event: every field under its one name, with its type, its limit and its Korean name.

These structs are the source. The JSON Schema (`event.schema.json`), the data dictionary and the
column comments are generated from them; the SDKs' field lists are held to them by a test.

Always true:

- A field's name is the JSON key, the SDK argument and the column of `clean.events`.
- msgspec is the only decoder of events, at ingest and at load: a second parser is a second truth.
- Lengths count code points.
"""

from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, json

EventType = Literal[
    "page_view",
    "click",
    "checkbox",
    "popup",
    "tab",
    "step",
    "search",
    "login",
    "logout",
    "error",
    "exit",
    "custom",
]
EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)
# What a person does, and so what begins and prolongs a session. `error`, `exit` and `popup` happen to whoever is there,
# and only belong to it; `custom` is a person's doing where a touch caused it, which an SDK knows, or at least where no
# server sent it.
TYPES_OF_DOING: Final[frozenset[EventType]] = frozenset(
    {"page_view", "click", "checkbox", "tab", "step", "search", "login", "logout"}
)

Platform = Literal["web", "android", "ios", "server"]

# What happened to an event's own text on its way to disk. Column `flags` carries these and the
# processor's own (`late`, `future`, `clock_corrected`, `clock_wrong`, `session_derived`).
# `erased` stands alone: of such an event nothing is left but its id and type.
Flag = Literal["truncated", "sanitised", "masked", "erased"]

EVENT_BYTES_MAX: Final = 32 * 1024
PROPS_BYTES_MAX: Final = 8 * 1024
DEPTH_MAX: Final = 32

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Pixels = Annotated[int, Meta(ge=0, le=1_000_000)]


def _text(length_max: int, korean: str, note: str) -> Meta:
    return Meta(max_length=length_max, title=korean, description=note)


class Fields(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Every field an event may have of its own or take from its batch's `context`."""

    client_id: (
        Annotated[
            str,
            _text(64, "인스턴스ID", "Which SDK instance made it: one page load, process or forked child."),
        ]
        | None
    ) = None
    event_name: Annotated[str, _text(128, "이벤트명", "Required for `custom`.")] | None = None

    session_id: Annotated[str, _text(64, "세션ID", "The SDK's session; a new one after 30 minutes idle.")] | None = None
    anonymous_id: Annotated[str, _text(64, "방문자ID", "The device or browser.")] | None = None
    customer_id: (
        Annotated[str, _text(128, "고객ID", "The customer after login; may be a keyed hash made by the app.")] | None
    ) = None
    page_url: Annotated[str, _text(2048, "페이지URL", "Query values are dropped except an allow-list.")] | None = None
    referrer: (
        Annotated[str, _text(2048, "이전페이지URL", "The page before; query values are dropped likewise.")] | None
    ) = None

    utm_source: Annotated[str, _text(256, "UTM소스", "Campaign source.")] | None = None
    utm_medium: Annotated[str, _text(256, "UTM매체", "Campaign medium.")] | None = None
    utm_campaign: Annotated[str, _text(256, "UTM캠페인", "Campaign name.")] | None = None
    utm_term: Annotated[str, _text(256, "UTM검색어", "Campaign search term.")] | None = None
    utm_content: Annotated[str, _text(256, "UTM콘텐츠", "Campaign content.")] | None = None
    ad_click_id: Annotated[str, _text(256, "광고클릭ID", "With its name: `gclid:…`, `fbclid:…`, `n_ad:…`.")] | None = (
        None
    )

    page_code: Annotated[str, _text(64, "페이지코드", "The app's code of the page, e.g. `M0405`.")] | None = None
    page_name: Annotated[str, _text(256, "페이지명", "The page's name.")] | None = None
    click_text: Annotated[str, _text(256, "클릭텍스트", "The text on the control.")] | None = None
    checkbox_name: Annotated[str, _text(256, "체크박스명", "The checkbox's name.")] | None = None
    checkbox_checked: Annotated[bool, Meta(title="체크여부", description="Its state after the click.")] | None = None

    popup_name: Annotated[str, _text(256, "팝업명", "The popup's name.")] | None = None
    click_name: Annotated[str, _text(256, "클릭명", "The name the app gave the control.")] | None = None
    tab_name: Annotated[str, _text(256, "탭명", "The tab's name.")] | None = None
    flow_name: Annotated[str, _text(128, "진행명", "The flow a step belongs to, e.g. `account_opening`.")] | None = None
    step_position: (
        Annotated[int, Meta(ge=1, le=999, title="진행단계위치", description="The step's place in its flow.")] | None
    ) = None
    step_name: Annotated[str, _text(128, "진행단계명", "The step's name.")] | None = None
    search_text: Annotated[str, _text(256, "검색어", "What was searched for.")] | None = None

    exit_menu: Annotated[str, _text(256, "이탈메뉴", "The menu from which the visitor left.")] | None = None
    error_code: Annotated[str, _text(64, "에러코드", "The error's code.")] | None = None
    error_message: Annotated[str, _text(1024, "에러메시지", "The error's message.")] | None = None
    error_page: Annotated[str, _text(2048, "에러페이지", "The page on which it happened.")] | None = None

    platform: Annotated[Platform, Meta(title="플랫폼", description="`web`, `android`, `ios` or `server`.")] | None = (
        None
    )
    app_name: Annotated[str, _text(128, "앱명", "The app's name.")] | None = None
    app_version: Annotated[str, _text(64, "앱버전", "The app's version.")] | None = None
    os_name: Annotated[str, _text(64, "OS명", "The operating system.")] | None = None
    os_version: Annotated[str, _text(64, "OS버전", "Its version.")] | None = None
    device_model: Annotated[str, _text(128, "기기모델", "The device's model.")] | None = None
    screen_width: Annotated[Pixels, Meta(title="화면너비", description="CSS pixels.")] | None = None
    screen_height: Annotated[Pixels, Meta(title="화면높이", description="CSS pixels.")] | None = None
    language: Annotated[str, _text(64, "언어", "BCP 47, e.g. `ko-KR`.")] | None = None
    timezone: Annotated[str, _text(64, "시간대", "IANA name, e.g. `Asia/Seoul`.")] | None = None
    network_type: Annotated[str, _text(32, "네트워크", "e.g. `wifi`, `4g`.")] | None = None

    props: (
        Annotated[
            dict[str, Any],
            Meta(title="추가속성", description="The site's own; unknown keys are kept here. 8 KiB."),
        ]
        | None
    ) = None


class Event(Fields, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One event as an SDK sends it."""

    event_id: Annotated[UUID, Meta(title="이벤트ID", description="UUIDv7 made on the client; the same on every retry.")]
    time: Annotated[
        Int64, Meta(title="발생시각", description="Milliseconds since the epoch, by the client's own clock.")
    ]
    event_type: Annotated[EventType, Meta(title="행동정보유형", description="What kind of behaviour it is.")]
    seq: (
        Annotated[int, Meta(ge=1, le=2**63 - 1, title="순번", description="1, 2, 3 … within one `client_id`.")] | None
    ) = None


class Context(Fields, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What is the same for a whole batch; merged under each event when the segment is loaded."""

    ip: (
        Annotated[str, _text(64, "IP주소", "Address of a relayed request; honoured for keys of kind `server` only.")]
        | None
    ) = None
    user_agent: (
        Annotated[str, _text(1024, "사용자에이전트", "User agent of a relayed request; for `server` keys only.")] | None
    ) = None


class ClientReport(Struct, kw_only=True, omit_defaults=True, gc=False):
    """What one SDK instance says of itself; always cumulative, never differences."""

    id: Annotated[str, Meta(max_length=64)]
    sdk: Annotated[str, Meta(max_length=64)] | None = None
    platform: Platform | None = None
    app_version: Annotated[str, Meta(max_length=64)] | None = None
    created: Count = 0
    pending: Count = 0
    dropped: dict[Annotated[str, Meta(max_length=64)], Count] = {}


class Batch(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A request's body when nothing in it needs repair; it is stored byte for byte."""

    events: list[Event]
    sent_at: (
        Annotated[
            Int64,
            Meta(
                description="When this try was sent, by the sender's clock, in milliseconds since the epoch: the times "
                "of its events are moved by what that clock is wrong. Who hands on a body made earlier stamps it anew "
                "or leaves it out. Absent: the clock is taken as right, no time is moved."
            ),
        ]
        | None
    ) = None
    clients: list[ClientReport] = []
    context: Context | UnsetType = UNSET


class StoredEvent(Event, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An event as the spool holds it: repaired events also say what was done to them."""

    flags: list[Flag] = []


class StoredContext(Context, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A context as the spool holds it; its flags hold for every event of the batch."""

    flags: list[Flag] = []


class StoredBatch(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A batch as the spool holds it: a stored `Batch` decodes as one too."""

    events: list[StoredEvent]
    sent_at: Int64 | None = None
    clients: list[ClientReport] = []
    context: StoredContext | UnsetType = UNSET


def blank(event: StoredEvent) -> StoredEvent:
    """Return what may stay of an erased event: it counts, and says nothing."""
    return StoredEvent(event_id=event.event_id, time=0, event_type=event.event_type, flags=["erased"])


def is_blank(event: StoredEvent) -> bool:
    """Say whether the event was erased."""
    return "erased" in event.flags


FIELDS: Final[tuple[str, ...]] = Fields.__struct_fields__
EVENT_FIELDS: Final[tuple[str, ...]] = Event.__struct_fields__
# A cut identifier is a wrong identifier: longer than its limit rejects the event.
IDENTIFIER_FIELDS: Final = frozenset({"session_id", "anonymous_id", "customer_id"})
URL_FIELDS: Final = frozenset({"page_url", "referrer", "error_page"})

decode_batch = json.Decoder(Batch).decode
decode_stored_batch = json.Decoder(StoredBatch).decode
encode = json.Encoder().encode
encode_deterministic = json.Encoder(order="deterministic").encode
