"""What a browser allows a page: headers that others add to its requests, and to read why a request was refused."""

import pytest

from tests.browser.conftest import World

# As a tracing agent wraps it, before our file comes.
_AGENT = """<script>
const own = fetch;
window.fetch = (to, given = {}) => own(to, {...given, headers: {...given.headers,
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', tracestate: 'k=v', baggage: 'k=v',
    'sentry-trace': '4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7', b3: '0', 'x-datadog-trace-id': '1'}});
</script>"""


def test_a_page_with_a_tracing_agent_loses_nothing(world: World) -> None:
    world.site.add("/", f"{_AGENT}<body>", world.script(url=world.collector, pages="false", exits="false"))
    page = world.open(world.visitor())
    page.evaluate("() => { for (let n = 0; n < 6; n++) sillok.click({click_name: `n${n}`}) }")
    assert [row["click_name"] for row in world.wait_for(6)] == [f"n{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/v1/events?key=nobodys", 401, "this write key is not known here"),
        ("/v1/events", 401, "no write key was sent"),
        ("/v1/event?key=nobodys", 404, "there is only /v1/events"),
        ("/v1/events?key={key}", 400, "the body has no `events` array"),
    ],
)
def test_a_page_can_read_why_it_is_refused(world: World, path: str, status: int, sentence: str) -> None:
    """With a header of its own, so that the browser asks first."""
    world.site.add("/", "<body>", world.script())
    page = world.open(world.visitor())
    ask = (
        "to => fetch(to, {method: 'POST', body: '{}', headers: {b3: '0'}}).then(async r => [r.status, await r.text()])"
    )
    found, body = page.evaluate(ask, world.collector + path.format(key=world.key))
    assert found == status
    assert sentence in body
