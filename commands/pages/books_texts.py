"""Every sentence of the HTML report, in Korean and English, side by side in one table."""

from typing import Final

from commands.pages.picture import Text

T: Final[dict[str, Text]] = {
    "title": ("행동정보 대사 보고서", "Reconciliation report"),
    "of": ("수신 기간", "Received"),
    "made": ("작성 시각", "Read at"),
    "watermark": ("처리 완료 시각(워터마크)", "Finished until (watermark)"),
    "nothing": ("없음", "nothing yet"),
    "balanced": ("일치 · 확정", "Balanced · final"),
    "so far": ("현재까지 일치 · 미확정", "Balanced so far · open"),
    "differs": ("불일치", "Does not balance"),
    "stalled": ("미확정 · 처리 정지", "Not final · processing stands still"),
    "expected missing": ("내부 일치 · 외부 기준 불일치", "Balanced · differs from the outside account"),
    "balanced says": (
        "수신된 모든 이벤트의 행방이 건수와 해시 합계로 한 건까지 확인되었습니다. 이 기간의 수치는 더 이상 바뀌지 않습니다.",
        (
            "Every event received is accounted for to the single one, by counts and hash sums. "
            "The figures of this period no longer change."
        ),
    ),
    "so far says": (
        "처리 완료 시각까지는 한 건까지 일치합니다. 그 이후의 분은 아직 처리 중이며 확정되지 않았습니다.",
        "Up to the watermark everything agrees to the single event. Later minutes are still being processed.",
    ),
    "differs says": (
        "아래 ‘불일치 내역’의 항목에서 건수 또는 해시 합계가 맞지 않습니다. 각 항목의 의미와 조치를 확인하십시오.",
        "Counts or hash sums disagree in the places listed under “Differences”, each with its meaning and what to do.",
    ),
    "stalled says": (
        "처리 완료 시각이 진행되지 않고 있습니다. 아래 사유를 해소하기 전에는 이 기간을 일치로 볼 수 없습니다.",
        "The watermark stands still. Until the reason below is dealt with, this period is no balance.",
    ),
    "expected missing says": (
        "수신분은 모두 일치하지만, 외부에서 제시한 건수와 허용 오차를 넘는 차이가 있습니다.",
        "What was received balances, but it is further from the outside figures than the tolerance allows.",
    ),
    "flow": ("이벤트의 흐름", "Where the events went"),
    "flow says": (
        "굵기는 건수에 비례하며, 아래로 갈라지는 선은 본류를 벗어난 건수입니다. ‘생성’은 SDK의 자체 보고로, 별도 기준입니다.",
        (
            "Widths are numbers of events; what bends down left the stream. “Created” is what the SDKs report of "
            "themselves, on its own ground."
        ),
    ),
    "timeline": ("시간대별 현황", "Over time"),
    "timeline says": (
        "막대 하나는 {0}분입니다. 검은 선은 접수 건수입니다. 시각은 한국 표준시(KST)입니다.",
        "One bar is {0} min. The black line is what was accepted. Times are Korean (KST).",
    ),
    "open from here": ("이후 미확정", "open from here"),
    "created": ("생성(SDK 보고)", "Created (SDKs say)"),
    "received": ("수신", "Received"),
    "accepted": ("접수", "Accepted"),
    "loaded": ("적재", "Loaded"),
    "clean": ("정제 완료", "Clean"),
    "rejected": ("거절", "Rejected"),
    "duplicate": ("중복", "Duplicate"),
    "dead letter": ("격리", "Dead letter"),
    "damaged": ("손상", "Damaged"),
    "removed": ("파기·폐기", "Erased, purged, discarded"),
    "pending": ("처리 대기", "Pending"),
    "client pending": ("단말 대기", "Queued"),
    "client dropped": ("단말 폐기", "Dropped"),
    "vanished": ("미도착", "Vanished"),
    "arrived": ("도착", "Arrived"),
    "difference": ("불일치", "Difference"),
    "no events": ("이 기간에 수신된 이벤트가 없습니다.", "No event was received in this period."),
    "by source": ("앱(소스)별 건수", "Events by source"),
    "source": ("소스", "Source"),
    "all": ("합계", "All"),
    "any": ("전체", "all"),
    "identities": ("검산식", "Identities"),
    "identities says": (
        "분·소스·이벤트 유형별로 건수와 식별자 해시 합계를 허용 오차 0으로 비교합니다.",
        "Held by minute, source and event type, counts and hash sums of the ids, tolerance zero.",
    ),
    "identity": ("검산식", "Identity"),
    "meaning": ("의미", "Meaning"),
    "result": ("결과", "Result"),
    "holds": ("일치", "holds"),
    "fails": ("불일치", "FAILS"),
    "differences": ("불일치 내역", "Differences"),
    "no differences": ("불일치가 없습니다.", "There is none."),
    "more": (
        "외 {0}건은 생략했습니다. 전체는 `sillok reconcile --json`에 있습니다.",
        "… and {0} more; `sillok reconcile --json` lists all.",
    ),
    "when": ("시각", "When"),
    "where": ("위치", "Where"),
    "left": ("좌변", "Left"),
    "right": ("우변", "Right"),
    "what to do": ("의미와 조치", "What it means, and what to do"),
    "explained": ("설명됨", "explained"),
    "unexplained": ("미설명", "UNEXPLAINED"),
    "still open": (
        "아직 처리 중인 분입니다. 처리가 끝나면 다시 확인하십시오.",
        "This minute is still being processed: look again when it is final.",
    ),
    "same count": ("건수는 같으나 이벤트가 다릅니다.", "Equal counts, other events."),
    "rows less": ("{0}건이 부족합니다.", "{0} too few on the right."),
    "rows more": ("{0}건이 더 많습니다.", "{0} too many on the right."),
    "slots": ("처리 대기 사유", "What the watermark waits for"),
    "slot": ("수집 슬롯", "Slot"),
    "waits gap": (
        "세그먼트 {0}이(가) 적재되지 않은 채 다음 번호가 적재되었습니다. 파일을 찾거나 손실로 확정하십시오.",
        "Segment {0} was never loaded, later ones were: find its file, or write it off.",
    ),
    "waits loader": (
        "세그먼트 {0}을(를) 기다립니다. 수집기와 `sillok load`가 동작하는지 확인하십시오.",
        "Segment {0} is not loaded yet: is the collector running, and `sillok load`?",
    ),
    "waits processor": (
        "세그먼트 {0}이(가) 적재되었으나 정제되지 않았습니다. `sillok process`를 확인하십시오.",
        "Segment {0} is loaded and not cleaned: is `sillok process` running?",
    ),
    "waits clock": (
        "슬롯 {0}의 수집기 시계가 데이터베이스보다 앞서 있습니다. 시계를 맞추십시오(NTP). 그때까지 이후 분은 확정되지 않습니다.",
        "The clock of slot {0}'s collector is ahead of the database's: set it right (NTP). Nothing is final until then.",
    ),
    "clients": ("SDK 자체 보고", "What the SDKs say"),
    "clients says": (
        "앱 버전별 SDK의 누적 보고와 도착 건수입니다. 참고용이며 강제로 맞추지 않습니다. 7일간 소식이 없는 단말의 대기분은 미도착으로 봅니다.",
        "Shown beside, never forced to balance. What an instance silent for 7 days held is counted as vanished.",
    ),
    "day": ("일자", "Day"),
    "platform": ("플랫폼", "Platform"),
    "version": ("앱 버전", "App version"),
    "instances": ("단말 수", "Instances"),
    "reasons": ("폐기 사유", "Dropped, by reason"),
    "outside": ("외부 기준 대사", "The outside account"),
    "outside says": (
        "허용 오차 {0}. 테스트 키의 이벤트는 제외합니다.",
        "Within {0}; events of test keys are left out.",
    ),
    "type": ("이벤트 유형", "Event type"),
    "name": ("이벤트명", "Event name"),
    "expected": ("외부 기준", "Expected"),
    "found": ("정제 건수", "Found"),
    "apart": ("차이", "Apart"),
    "open": ("미확정", "open"),
    "written off": ("손상으로 확정한 손실", "Losses written off as damaged"),
    "written off says": (
        "읽을 수 없어 건수를 알 수 없는 손실을 운영자가 사유와 함께 확정한 내역입니다.",
        "How many events these held nobody knows: an operator said by name, and why, that they are lost.",
    ),
    "segment": ("세그먼트", "Segment"),
    "what is lost": ("손실", "What is lost"),
    "lost groups": ("묶음 {0}개", "groups: {0}"),
    "lost segment": ("세그먼트 전체", "the whole segment"),
    "written off at": ("확정 시각", "Written off"),
    "reason": ("사유", "Reason"),
    "closes": ("일 마감", "Daily closes"),
    "received_day": ("수신일 마감", "received day"),
    "event_day": ("발생일 마감", "event day"),
    "kind": ("구분", "Close"),
    "closed at": ("마감 시각", "Closed at"),
    "by": ("마감자", "By"),
    "digest": ("다이제스트(SHA-256)", "Digest (SHA-256)"),
    "restated": ("정정 {0}차", "restatement {0}"),
    "to be restated": ("다음 마감 때 정정 예정", "to be restated by the next close"),
    "restatements": ("발생일 수치의 정정", "Restatements of event days"),
    "before": ("이전", "Before"),
    "after": ("이후", "After"),
    "test keys": ("(테스트 키)", "(test keys)"),
    "raw gone": (
        "{0}의 raw 원본은 보존 기간이 지나 마감 수치와 대조했습니다.",
        "raw.events of {0} is past its retention: held against the close instead.",
    ),
    "signed": ("작성자", "Prepared by"),
    "checked": ("확인자", "Checked by"),
    "date": ("일자", "Date"),
    "repeat": ("다시 만들기", "To make this page again"),
}

# What a broken identity means, and what to do.
MEANINGS: Final[dict[str, tuple[Text, Text]]] = {
    "received = accepted + rejected": (
        ("응답한 배치의 이벤트는 접수 또는 거절 중 하나입니다.", "Every event of an answered batch was accepted or refused."),
        ("수집 단계의 집계가 서로 다릅니다. ops.audit의 spool 행이 바뀌었는지 확인하십시오.",
         "The door's own counts disagree: look whether rows of stage `spool` in ops.audit were changed."),
    ),
    "accepted = loaded + dead-lettered + damaged": (
        ("디스크에 저장된 이벤트는 모두 적재, 격리 또는 손상으로 집계됩니다.",
         "What is on the disk was loaded, dead-lettered, or found damaged."),
        ("수집기와 적재기의 집계가 다릅니다. 해당 분의 세그먼트와 ops.loads를 대조하십시오.",
         "Writer and loader count differently: compare the minute's segments with ops.loads."),
    ),
    "lost groups = written off": (
        ("머리부까지 손상된 묶음은 운영자가 손실로 확정해야 합니다.", "A group whose header is lost is written off by name."),
        ("복구 중 읽을 수 없는 묶음이 발견되었습니다. 원인을 확인하고 손실로 확정하십시오.",
         "Recovery found a group that nobody can read: find out why, then write it off."),
    ),
    "loaded = clean + duplicate + dead-lettered + discarded + erased + purged + pending": (
        ("적재된 이벤트의 결말은 정확히 하나입니다.", "Every loaded event has exactly one outcome."),
        ("적재와 정제의 집계가 다릅니다. `sillok trace`로 이벤트를 찾고 ops.audit 변경 여부를 확인하십시오.",
         "Loader and processor count differently: find the event with `sillok trace`; were rows of ops.audit changed?"),
    ),
    "rejected = rows of ops.rejected": (
        ("거절 건수는 보관된 거절 행의 수와 같습니다.", "Every reject is kept as a row."),
        ("ops.rejected의 행이 삭제되거나 추가되었습니다.", "Rows of ops.rejected were removed or added."),
    ),
    "loaded = rows of raw.events": (
        ("적재 건수는 raw.events의 행 수와 같습니다.", "Every loaded event is a row of raw.events."),
        ("적재 후 raw.events의 행이 삭제·추가·변경되었습니다. 보관 세그먼트에서 다시 적재할 수 있습니다.",
         "Rows of raw.events were removed, added or changed after the load; the archived segment still has them."),
    ),
    "clean = rows of clean.events": (
        ("정제 건수는 clean.events의 행 수와 같습니다.", "Every clean event is a row of clean.events."),
        ("정제 후 clean.events의 행이 삭제·추가·변경되었습니다. `sillok replay`로 raw와 대조하십시오.",
         "Rows of clean.events were removed, added or changed afterwards: `sillok replay` compares them with raw."),
    ),
    "duplicate = rows of ops.duplicates": (
        ("중복 건수는 ops.duplicates의 행 수와 같습니다.", "Every duplicate is listed."),
        ("ops.duplicates의 행이 바뀌었습니다.", "Rows of ops.duplicates were removed, added or changed."),
    ),
    "dead-lettered = rows of ops.dead_letters": (
        ("격리 건수는 ops.dead_letters의 행 수와 같습니다.", "Every dead letter is kept with its reason."),
        ("격리 행이 처리 기록 없이 바뀌었습니다.", "Dead letters were removed or added without a movement."),
    ),
    "raw.events = clean + duplicates + dead letters, row by row": (
        ("두 번째 해시로 행 하나하나를 대조합니다.", "The same rows again, under a second hash."),
        ("건수와 합계는 같으나 식별자가 서로 다릅니다. 행이 맞바뀐 흔적입니다.",
         "Counts and sums agree, the ids do not: rows were exchanged for others."),
    ),
    "each row of clean.events = its row of raw.events": (
        ("정제된 행의 내용은 원본과 같습니다.", "A clean event says what was sent."),
        ("정제된 행의 내용이 원본과 다릅니다. 좌변은 그러한 행의 수입니다.",
         "Rows of clean.events say another thing than raw.events; the left side is how many."),
    ),
    "pending = 0 in a final minute": (
        ("확정된 분에는 처리 대기가 없습니다.", "A final minute has nothing left to do."),
        ("확정된 분에 정제되지 않은 적재분이 있습니다. ops.processed를 확인하십시오.",
         "A load of a final minute was never cleaned: look at ops.processed."),
    ),
    "ledger and runs = their counts": (
        ("적재 원장과 정제 기록은 각각의 집계와 같습니다.", "Each load's and run's own row says what its counts add up to."),
        ("ops.loads, ops.runs 또는 ops.audit가 나중에 변경되었습니다. 위치에 적힌 세그먼트·실행을 확인하십시오.",
         "ops.loads, ops.runs or ops.audit was changed afterwards: look at the segment or run that is named."),
    ),
    "every count is of a known account": (
        ("집계 행의 결말은 모두 알려진 것입니다.", "No count has an outcome that nobody knows."),
        ("알 수 없는 결말의 집계 행이 있습니다.", "A row of ops.audit has an outcome this version does not know."),
    ),
    "what was closed has not changed": (
        ("마감된 수치는 운영자의 기록된 처리 외에는 바뀌지 않습니다.", "A closed figure moves by dated movements of operators only."),
        ("마감 이후 행이나 집계가 바뀌었습니다. 좌변은 마감 당시, 우변은 현재입니다.",
         "Rows or counts were changed after the close; left is what was closed, right is now."),
    ),
}  # fmt: skip
