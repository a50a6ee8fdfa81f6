"""What the browser SDK costs the page, in a real Chromium, beside what the browser itself takes for one write.

`python -m tests.benchmarks.browser`. A `track` with five fields and a `props` of five; times of the main thread in microseconds,
the median and the 95th percentile of runs of 20 calls and their microtasks; then 3,000 events in one loop while the server is
away, the longest task while they are sent, and the requests an outage costs. Also with the processor slowed six times.
"""

import statistics
import sys
from functools import partial

from playwright.sync_api import CDPSession, Page, sync_playwright

from collector_server.script import BUILT
from tests.benchmarks.results import record
from tests.browser.conftest import chromium
from tests.browser.faulty import Site

_CALL = """sillok.track('benchmark', {page_code: 'M0301', page_name: '국내주식 현재가', click_text: '매수',
  click_name: 'btn_buy', flow_name: 'order', props: {a: 1, b: 'two', c: '셋', d: 4.5, e: [1, 2]}})"""
_RUNS = """async (runs) => {
  const times = [];
  for (let run = 0; run < runs; run++) {
    const started = performance.now();
    for (let i = 0; i < 20; i++) { CALL; await null; }
    times.push((performance.now() - started) * 50);
    await new Promise((resume) => setTimeout(resume, 30));
  }
  return times;
}"""
_LOOP = "() => { const started = performance.now(); for (let i = 0; i < 3000; i++) { CALL; } return performance.now() - started }"
_WRITE = "localStorage.setItem('floor:' + run + ':' + i, 'x'.repeat(420))"
_LONGEST = """async () => {
  // A task of ours keeps this clock from being called: the longest gap is the longest task.
  let longest = 0, last = performance.now(), isOver = false;
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) channel.port2.postMessage(0);
  };
  channel.port2.postMessage(0);
  localStorage.removeItem('sillok:w');
  await sillok.flush();
  isOver = true;
  return longest;
}"""


def main() -> int:
    path = chromium()
    if path is None:
        sys.stderr.write("no Chromium on this machine\n")
        return 1
    site = Site()
    site.add("/", "<body>")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for slower in (1, 6):
            page = browser.new_context().new_page()
            session = page.context.new_cdp_session(page)
            sys.stdout.write(f"\nprocessor {slower} times as slow\n" if slower > 1 else "\n")
            _measure(page, session, site.url + "/", slower)
            page.context.close()
        browser.close()
    site.close()
    return 0


def _measure(page: Page, session: CDPSession, url: str, slower: int) -> None:
    answers = {"status": 503, "posts": 0}

    def answer(route: object) -> None:
        answers["posts"] += 1
        route.fulfill(status=answers["status"], headers={"Access-Control-Allow-Origin": "*"}, body="{}")  # type: ignore[attr-defined]

    page.route("**/v1/events*", answer)
    page.goto(url)
    page.evaluate(BUILT.read_text(encoding="utf-8"))
    page.evaluate(f"sillok.init({{url: '{url}', key: 'k', pages: false, gzip: false}})")
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    told = partial(_record, " on a slow processor" if slower > 1 else "")
    write_us = None
    for name, call in (("one write of the browser", _WRITE), ("track, microtasks included", _CALL)):
        times = page.evaluate(_RUNS.replace("CALL", call), 60)
        quantiles = statistics.quantiles(times, n=20)
        sys.stdout.write(f"  {name:34} {statistics.median(times):7.0f} µs, 95 % {quantiles[18]:7.0f} µs\n")
        told(name, statistics.median(times), "µs", "its own write", write_us)
        told(f"{name}: p95", quantiles[18], "µs")
        write_us = write_us or statistics.median(times)
    page.evaluate(
        "() => { for (const key of Object.keys(localStorage)) if (key.startsWith('floor')) localStorage.removeItem(key) }"
    )
    answers["status"] = 200
    page.evaluate("localStorage.removeItem('sillok:w'); sillok.flush()")
    answers.update(status=503, posts=0)
    took = page.evaluate(_LOOP.replace("CALL", _CALL))
    sys.stdout.write(f"  {'3,000 events, server away':34} {took:7.0f} ms\n")
    told("3,000 events, server away", took, "ms")
    page.wait_for_timeout(20_000)
    sys.stdout.write(
        f"  {'requests in 20 s of outage':34} {answers['posts']:7} = {answers['posts'] / 3000:.4f} an event\n"
    )
    told("requests of 20 s of outage", answers["posts"] / 3000, "an event")
    answers["status"] = 200
    longest = page.evaluate(_LONGEST)
    sys.stdout.write(f"  {'longest task while they are sent':34} {longest:7.1f} ms\n")
    told("longest task while they are sent", longest, "ms")


def _record(where: str, what: str, figure: float, unit: str, against: str = "", yardstick: float | None = None) -> None:
    record("browser", what + where, figure, unit, against, yardstick)


if __name__ == "__main__":
    raise SystemExit(main())
