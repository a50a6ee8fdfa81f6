"""Every sentence of a load test's page, in Korean and English, side by side."""

import re
from typing import Final

from commands.pages.picture import Text
from loadtest import verdict

T: Final[dict[str, Text]] = {
    "title": ("부하 시험 보고서", "Load test report"),
    "taken": ("통과", "It took the load"),
    "not taken": ("실패", "It did NOT take the load"),
    "invalid": ("무효 · 시험기 한계", "Invalid · the driver was the limit"),
    "taken says": (
        "예정된 부하를 기준대로 받아냈으며, 접수된 모든 이벤트가 정제 테이블에서 한 건까지 확인되었습니다.",
        "The load was taken as asked, and every acknowledged event is in the cleaned tables, to the single one.",
    ),
    "steps taken says": (
        "한계까지 부하를 올렸으며, 접수된 모든 이벤트가 정제 테이블에서 한 건까지 확인되었습니다.",
        "The load was raised until it broke, and every acknowledged event is in the cleaned tables, to the single one.",
    ),
    "not taken says": (
        "아래 ‘판정’에서 충족되지 않은 항목을 확인하십시오.",
        "Look below under “Verdict” for the claims that do not hold.",
    ),
    "invalid says": (
        "부하를 만드는 쪽이 먼저 한계에 이르렀으므로 서버에 대해서는 판단할 수 없습니다. 별도 장비에서 실행하거나 부하를 낮추십시오.",
        "The driver was late itself, so nothing is known of the server: give it another machine, or less to send.",
    ),
    "run": ("실행", "Run"),
    "started": ("시작", "Started"),
    "target": ("대상", "Target"),
    "load": ("부하", "Load"),
    "load is": ("{0} · 초당 최대 {1}건 · {2}초 · 요청당 {3}건", "{0} · up to {1} events/s · {2} s · {3} a request"),
    "steps are": (
        "{0} · 초당 {1}건부터 · 전송 {2}초 · 요청당 {3}건",
        "{0} · from {1} events/s on · {2} s sent · {3} a request",
    ),
    "events": ("이벤트의 행방", "Where the events went"),
    "events says": (
        "굵기는 건수에 비례합니다. 접수 이후에 사라진 이벤트는 ‘누락’으로 표시됩니다.",
        "Widths are numbers of events. What was lost after its acknowledgement would be “missing”.",
    ),
    "sent": ("전송", "Sent"),
    "acknowledged": ("접수", "Acknowledged"),
    "loaded": ("적재", "Loaded"),
    "clean": ("정제 완료", "Clean"),
    "shed": ("과부하 거절(429/503)", "Shed (429/503)"),
    "unanswered": ("정상 응답 없음", "No good answer"),
    "refused": ("거절", "Refused"),
    "duplicate": ("중복", "Duplicate"),
    "dead letter": ("격리", "Dead letters"),
    "missing": ("누락", "Missing"),
    "rate": ("초당 이벤트", "Events a second"),
    "rate says": (
        "서버의 응답과 무관하게 예정대로 전송합니다. 접수는 전송이 예정된 시각을 기준으로 집계합니다.",
        "The schedule is kept whatever the server does. What was acknowledged is counted when it had been due.",
    ),
    "wanted": ("예정", "Wanted"),
    "answers": ("응답 시간", "Time of an answer"),
    "answers says": (
        "요청이 예정된 시각부터 잰 값이며, 세로축은 한 눈금마다 10배입니다.",
        "From when a request was due; each mark is ten times the one below.",
    ),
    "p50": ("중앙값", "median"),
    "p99": ("99%", "99 %"),
    "max": ("최대", "longest"),
    "lag": ("접수에서 정제까지", "From acknowledged to clean"),
    "lag says": (
        "그 시점까지 접수된 이벤트가 모두 정제될 때까지 걸린 시간입니다.{0}",
        "How long it took until everything acknowledged by then was clean.{0}",
    ),
    "drained": (
        " 마지막 응답 뒤 {0}초 만에 모두 정제되었습니다.",
        " Everything was clean {0} s after the last answer.",
    ),
    "not drained": (" 기다린 시간 안에 모두 정제되지 않았습니다.", " Not everything was clean in the time waited for."),
    "backlog": ("정제 대기 이벤트", "Events waiting to be clean"),
    "cpu": ("CPU 사용", "CPU"),
    "cpu says": (
        "각 구성 요소가 쓴 코어 수입니다. 이 장비에서 같은 이름으로 실행 중인 모든 프로세스를 집계합니다.",
        "Cores each part used; every process of this machine that is called so is counted.",
    ),
    "memory": ("메모리", "Memory"),
    "memory says": ("공유 메모리를 제외한 각 구성 요소의 메모리입니다.", "Of each part, without what is shared."),
    "collector": ("수집기", "collector"),
    "loader": ("적재기", "loader"),
    "processor": ("처리기", "processor"),
    "database": ("데이터베이스", "database"),
    "driver": ("시험기", "driver"),
    "verdict": ("판정", "Verdict"),
    "asked": ("기준", "Wanted"),
    "claim": ("항목", "Claim"),
    "found": ("측정값", "Found"),
    "result": ("결과", "Result"),
    "holds": ("충족", "holds"),
    "fails": ("미충족", "FAILS"),
    "figures": ("요약", "In figures"),
    "steps": ("단계별 결과", "Steps"),
    "steps says": (
        "유지된 최고 부하는 초당 {0}건입니다.",
        "{0} events a second was the highest rate that was held.",
    ),
    "no steps says": ("첫 단계의 부하도 유지하지 못했습니다.", "Not even the first step was held."),
    "drain": ("전체 정제 소요(초)", "clean after s"),
    "held": ("유지", "held"),
    "not held": ("유지 못함", "broke"),
    "earlier": ("이전 실행과 비교", "Compared with earlier runs"),
    "earlier says": (
        "같은 장비에서 같은 대상에 같은 부하를 준 최근 실행입니다. 괄호는 직전 실행 대비 변화입니다.",
        "The last runs of the same load, from this machine to the same address. In brackets, the change to the one before.",
    ),
    "no earlier": ("비교할 이전 실행이 없습니다.", "There is no earlier run like this one yet."),
    "highest": ("유지된 최고 부하(초당)", "highest held"),
    "lag p95": ("정제 소요 p95(초)", "clean, 95 %, s"),
    "this run": ("이번 실행", "this run"),
}

CLAIMS: Final[dict[str, str]] = {
    verdict.KEPT: "시험기가 예정대로 전송함",
    "every acknowledged event is clean": "접수된 모든 이벤트가 정제됨",
    "nothing is clean twice": "두 번 정제된 이벤트 없음",
    "nothing became a dead letter": "격리된 이벤트 없음",
    "what was sent twice is a duplicate": "두 번 보낸 이벤트는 중복으로 처리됨",
    "only what should be is refused": "예정된 것만 형식 오류로 거절됨",
    "what was refused is kept": "거절된 이벤트가 사유와 함께 보관됨",
    "the rows carry is_test": "모든 행에 시험 표시(is_test)가 있음",
    verdict.TAKEN: "예정된 부하가 제때 접수됨",
    "every request has a good answer": "모든 요청에 정상 응답",
    "nothing was shed": "과부하 거절 없음",
    verdict.QUICK: "응답 시간이 기준 이내",
    "the backlog drains": "대기분이 제때 정제됨",
    verdict.BOOKS: "장부가 일치함",
    verdict.HELD: "유지된 부하가 있음",
}

_PHRASES: Final = (
    (r"^at most (.*)$", r"\1 이하"),
    (r"^at least (.*)$", r"\1 이상"),
    (r"^(.*)% within (.*) ms$", r"\1%가 \2 ms 이내"),
    (r"^(.*)% in time$", r"제때 \1%"),
    (r"^in every step$", "모든 단계에서"),
    (r"^not in every step$", "일부 단계에서 지연"),
    (r"^nothing was sent$", "전송된 것이 없음"),
    (r"^nothing was loaded$", "적재된 것이 없음"),
    (r"^p99 (\S+) ms$", r"p99 \1 ms"),
    (r"^(\S+) s$", r"\1초"),
    (r"^not drained$", "정제되지 않음"),
    (r"^(\S+) events a second$", r"초당 \1건"),
    (r"^not even the first step$", "첫 단계의 부하도 유지하지 못함"),
    (r"^not clean within (.*) s$", r"\1초 안에 정제되지 않음"),
    (r"^the driver was late itself: (.*)$", r"시험기가 \1 지연됨"),
    (r"^p99 (\S+) ms, wanted (\S+)$", r"p99 \1 ms(기준 \2)"),
    (r"^all$", "전체"),
    (r"^not all: use a key of kind test$", "일부 없음: test 종류의 키를 사용하십시오"),
    (r"^(\S+) missing, number (.*)$", r"누락 \1건, 번호 \2"),
    (r"^(\S+) missing$", r"누락 \1건"),
    (r"^(\S+) others$", r"그 밖 \1건"),
    (r"^(\S+) differences(.*)$", r"불일치 \1건\2"),
    (r"^(\S+) events were shed$", r"\1건 과부하 거절"),
    (r"^(\S+) events without a good answer$", r"\1건 정상 응답 없음"),
)


def claim(name: str) -> Text:
    """Return a claim of the verdict."""
    return CLAIMS[name], name[0].upper() + name[1:]


def phrase(english: str) -> Text:
    """Return what was wanted or found; figures are the same in both languages."""
    for pattern, korean in _PHRASES:
        if re.match(pattern, english):
            return re.sub(pattern, korean, english), english
    return english, english
