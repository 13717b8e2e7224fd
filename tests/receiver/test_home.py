"""The first page: what is worst stands first and is told in words, not in colours alone."""

import json
import re
import time
from typing import Any

from tests.receiver.client import Client, snapshot
from tests.receiver.pages import visit

LIKE_EACH_OTHER = "billing-production-eu-west-{:02}"


def finding(number: int, severity: str) -> dict[str, Any]:
    return {
        "check": "index-unused",
        "key": str(number),
        "severity": severity,
        "category": "indexes",
        "summary": f"index {number} is used by nobody",
        "subject": str(number),
        "evidence": {},
        "threshold": "",
        "remedy": "",
        "caution": "",
        "since": time.time() - 60,
    }


def post(client: Client, name: str, *severities: str, ago_s: float = 0) -> str:
    told = json.loads(snapshot(name, ago_s=ago_s).body())
    told["findings"] = [finding(number, severity) for number, severity in enumerate(severities)]
    answer = client.post(json.dumps(told).encode())
    assert answer.status == 201, answer.text
    return f"/databases/{answer.json['source_id']}"


def names(html: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', html)


def test_more_warnings_are_worse_than_fewer(receiver: Client) -> None:
    post(receiver, "analytics", "warning")
    post(receiver, "shop", *["warning"] * 7)
    post(receiver, "cart", "critical")
    post(receiver, "stock", "critical", "warning")
    assert names(visit(receiver, "/").html) == ["stock", "cart", "shop", "analytics"]


def test_a_critical_finding_hides_no_warnings(receiver: Client) -> None:
    base = post(receiver, "stock", "critical", "warning", "warning")
    for path in (f"{base}/settings", "/"):
        assert "1 critical 2 warnings" in visit(receiver, path).text


def test_the_map_tells_states_in_words_and_names_to_their_end(receiver: Client) -> None:
    for number in range(12):
        post(receiver, LIKE_EACH_OTHER.format(number), *["critical"] * (number == 5))
    page = visit(receiver, "/")
    cells = re.findall(r'<li class="(\w+)"><a href="[^"]+" title="[^"]+" aria-label="([^"]+)">(.*?)</a>', page.html)
    assert len(cells) == 12
    assert cells[0] == ("critical", "billing-production-eu-west-05: 1 critical", cells[0][2])
    assert {re.search("<b>(.*)</b>", shown)[1] for *_, shown in cells} == {  # type: ignore[index]
        f"est-{number:02}" for number in range(12)
    }


def test_what_a_silent_database_did_last_is_not_told_as_of_now(receiver: Client) -> None:
    for ago_s in (340, 280, 220):
        base = post(receiver, "silent", ago_s=ago_s)
        post(receiver, "lively", ago_s=ago_s - 220)
    active = {}
    for row in re.findall("<tr .*?</tr>", visit(receiver, "/").html):
        cells = [re.sub("<[^>]+>", "", each) for each in re.findall("<td.*?</td>", row)]
        active[base in row] = cells[2], cells[4]
    assert active == {True: ("–", "3.9 GiB"), False: ("3", "3.9 GiB")}


def test_a_wrong_token_is_told_at_its_field(receiver: Client) -> None:
    right = receiver.get("/login").text
    assert "aria-invalid" not in right
    wrong = receiver.ask("POST", "/login", b"token=wrong").text
    assert re.search('<input id="token" [^>]*aria-invalid="true" aria-describedby="wrong"', wrong)
    assert 'id="wrong"' in wrong
