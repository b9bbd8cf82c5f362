"""Commands that speak to the API: what they ask for, what they print, and what they complain of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from api.command_line import app, main
from api.command_line.client import Api, key_or_default
from connectors.local.engines.engine import free_port
from streams.errors import CampaignError, DependencyDownError, MalformedError, UnauthorizedError
from tests.api.command_line.recorded_api import Answer, RecordedApi, refusal, serving, success

ID = UUID(int=7)
DRAFT = {"id": str(ID), "status": "draft"}
RUNNING = {"id": str(ID), "status": "running"}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No stack, no key, no API, unless the test says so."""
    monkeypatch.setenv("CAMPAIGNS_HOME", str(tmp_path / "home"))
    for name in ("CAMPAIGNS_API_KEY", "CAMPAIGNS_API_KEY_FILE", "CAMPAIGNS_API_URL"):
        monkeypatch.delenv(name, raising=False)


def run(api: RecordedApi, *words: str, typed: str = "") -> Result:
    variables = {"CAMPAIGNS_API_URL": api.url, "CAMPAIGNS_API_KEY": "k1"}
    return CliRunner(env=variables).invoke(app, words, input=typed)


@pytest.mark.parametrize("verb", ["start", "pause", "resume", "cancel"])
def test_a_verb_is_one_request_and_prints_the_campaign(verb: str) -> None:
    with serving({("POST", f"/campaigns/{ID}/{verb}"): success(RUNNING)}) as api:
        result = run(api, verb, str(ID), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, RUNNING)
    assert api.asked == [("POST", f"/campaigns/{ID}/{verb}", "Bearer k1", None)]


@pytest.mark.parametrize("slash", ["", "/"])
def test_signing_in_prints_a_link_with_a_code_and_never_the_key(slash: str) -> None:
    with serving(
        {("POST", "/session/codes"): success({"code": "c0-de_", "expiresAt": "x"})}
    ) as api:
        url, api.url = api.url, api.url + slash
        result = run(api, "sign-in")
    assert (result.exit_code, result.stdout) == (0, f"{url}/#code=c0-de_\n")
    assert "k1" not in result.stdout + result.stderr
    assert api.asked == [("POST", "/session/codes", "Bearer k1", None)]


@pytest.mark.parametrize(("option", "status"), [([], "draft"), (["--start"], "running")])
def test_a_campaign_is_created_from_a_file_and_started_when_asked(
    option: list[str], status: str, tmp_path: Path
) -> None:
    file = tmp_path / "campaign.json"
    file.write_text('{"name": "Sale"}')
    answers = {
        ("POST", "/campaigns"): success(DRAFT),
        ("POST", f"/campaigns/{ID}/start"): success(RUNNING),
    }
    with serving(answers) as api:
        result = run(api, "create", str(file), *option, "--json")
    assert json.loads(result.stdout)["status"] == status
    assert [asked[:2] for asked in api.asked] == list(answers)[: 1 + len(option)]
    assert api.asked[0][3] == {"name": "Sale"}


def test_a_campaign_may_come_from_standard_input() -> None:
    with serving({("POST", "/campaigns"): success(DRAFT)}) as api:
        assert run(api, "create", "-", "--json", typed='{"name": "Sale"}').exit_code == 0
    assert api.asked[0][3] == {"name": "Sale"}


@pytest.mark.parametrize("content", [None, "{", "\ufeff{}"])
def test_a_file_that_cannot_be_read_is_named_before_anything_is_asked(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "campaign.json"
    if content is not None:
        file.write_text(content)
    with serving({}) as api:
        result = run(api, "create", str(file))
    assert isinstance(result.exception, CampaignError)
    assert result.exception.detail.startswith(f"{file}: ")
    assert api.asked == []


def test_stats_are_printed_as_they_come() -> None:
    with serving({("GET", f"/campaigns/{ID}/stats"): success({"sentCount": 3})}) as api:
        assert json.loads(run(api, "stats", str(ID)).stdout) == {"sentCount": 3}


def test_what_is_no_id_is_wrong_usage() -> None:
    with serving({}) as api:
        result = run(api, "start", "seven")
    assert (result.exit_code, api.asked) == (2, [])


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (refusal(409, "The campaign is paused."), "The campaign is paused."),
        (Answer(502, b"<html>bad gateway", "text/html"), "<html>bad gateway"),
    ],
)
def test_a_refusal_is_the_detail_of_the_problem(
    answer: Answer, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({("GET", "/x"): answer}) as api:
        monkeypatch.setenv("CAMPAIGNS_API_URL", api.url)
        with pytest.raises(CampaignError) as refused:
            Api("k").call("GET", "/x")
    assert refused.value.detail == detail


def test_an_answer_without_content_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({("POST", "/x"): Answer(204, b"")}) as api:
        monkeypatch.setenv("CAMPAIGNS_API_URL", api.url)
        assert Api("k").call("POST", "/x", {"a": 1}) is None
    assert api.asked == [("POST", "/x", "Bearer k", {"a": 1})]


def test_an_api_that_does_not_answer_is_a_dependency_and_the_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("CAMPAIGNS_API_URL", url)
    with pytest.raises(DependencyDownError) as refused:
        Api("k").call("GET", "/x")
    assert refused.value.detail == (
        f"{url} does not answer (ConnectError): is it running? `campaigns up` starts it."
    )


def test_the_key_given_wins_over_the_environment_and_without_any_the_way_to_one_is_said(
    monkeypatch: pytest.MonkeyPatch, key_file: Path
) -> None:
    with pytest.raises(UnauthorizedError, match="campaigns tenant create NAME"):
        key_or_default(None)
    monkeypatch.setenv("CAMPAIGNS_API_KEY_FILE", str(key_file))
    assert key_or_default(None) == "from a file"
    assert key_or_default("given") == "given"
    monkeypatch.delenv("CAMPAIGNS_API_KEY_FILE")
    monkeypatch.setenv("CAMPAIGNS_API_KEY", "from the environment")
    assert key_or_default(None) == "from the environment"
    assert key_or_default("given") == "given"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("from a file\n")
    return file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"ce_live_x\nce_live_y", "has more than one line, or control characters"),
        (b"\xff\xfe", "is not text (UTF-8)"),
    ],
)
def test_a_file_of_a_key_that_cannot_be_used_is_named_and_never_quoted(
    content: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with serving({}) as api:
        refused = run(api, "pause", str(ID), "--key-file", str(file)).exception
        monkeypatch.setenv("CAMPAIGNS_API_KEY_FILE", str(file))
        with pytest.raises(MalformedError) as named:
            key_or_default(None)
    assert isinstance(refused, MalformedError)
    assert refused.detail == f"--key-file: {file} {said}"
    assert named.value.detail == f"CAMPAIGNS_API_KEY_FILE: {file} {said}"


def test_no_command_takes_a_key_among_its_arguments(
    key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({("POST", f"/campaigns/{ID}/pause"): success(RUNNING)}) as api:
        assert run(api, "pause", str(ID), "--key", "k").exit_code == 2
        assert run(api, "pause", str(ID), "--key-file", str(key_file)).exit_code == 0
    assert [authorization for _, _, authorization, _ in api.asked] == ["Bearer from a file"]


def test_the_entry_point_says_a_refusal_in_one_sentence_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({("POST", f"/campaigns/{ID}/pause"): refusal(409, "It is [draft].")}) as api:
        monkeypatch.setenv("CAMPAIGNS_API_URL", api.url)
        monkeypatch.setattr("sys.argv", ["campaigns", "pause", str(ID)])
        monkeypatch.setenv("CAMPAIGNS_API_KEY", "k")
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "campaigns: It is [draft].\n")


def campaign(status: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "Sale",
        "status": status,
        "stats": {
            "totalRecipients": 2000,
            "sentCount": 1500,
            "skippedCount": 5,
            "deliveredCount": 1400,
            "openedCount": 70,
            "clickedCount": 7,
        },
        "progress": {"rate": 1234.5, "eta": None},
        "waiting": None,
        **more,
    }


def seen(*campaigns: dict[str, Any]) -> bytes:
    totals = {"sentCount": 1500, "rate": 1234, "openedCount": 70}
    overview = json.dumps({"campaigns": campaigns, "totals": totals})
    return f"event: overview\ndata: {overview}\n\n".encode()


def test_watching_until_done_ends_with_the_first_overview_in_which_nothing_is_to_come() -> None:
    overviews = (
        seen(campaign("running"), campaign("scheduled"))
        + seen(campaign("completed"), campaign("scheduled"))
        + seen(campaign("completed"), campaign("paused"))
        + seen(campaign("cancelled"))
    )
    with serving({("GET", "/events"): Answer(200, overviews, "text/event-stream")}) as api:
        whole = run(api, "watch")
        until = run(api, "watch", "--until-done")
    lines = [json.loads(line) for line in whole.stdout.splitlines()]
    assert [[one["status"] for one in line["campaigns"]] for line in lines] == [
        ["running", "scheduled"],
        ["completed", "scheduled"],
        ["completed", "paused"],
        ["cancelled"],
    ]
    assert until.stdout == "".join(line + "\n" for line in whole.stdout.splitlines()[:3])


def test_watching_without_a_good_key_says_why_and_ends_with_1() -> None:
    with serving({("GET", "/events"): refusal(401, "The API key is unknown.")}) as api:
        result = run(api, "watch")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "The API key is unknown." in result.stderr
