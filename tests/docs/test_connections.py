"""docs/operate/connections.md: every variable exists, and every example is one that processes take.

The rules of Kafka's ACLs on the page are the ones with which `tests/stacks/test_secured_stack.py`
runs the whole pipeline.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from streams.settings import Settings, secret_files

_PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "connections.md").read_text()
_REST = {
    "CAMPAIGNS_KAFKA": "127.0.0.1:9092",
    "CAMPAIGNS_POSTGRES": "postgresql://127.0.0.1/campaigns",
    "CAMPAIGNS_NATS": "nats://127.0.0.1:4222",
    "CAMPAIGNS_MESSAGE_KEYS": "00" * 32,
}


def _examples() -> list[dict[str, str]]:
    """The variables of each block that sets some."""
    blocks = re.findall(r"^```text\n(.+?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    assigned = [re.findall(r"^(CAMPAIGNS_\w+)=(.+)$", block, re.MULTILINE) for block in blocks]
    return [dict(each) for each in assigned if each]


def test_every_variable_on_the_page_is_a_setting() -> None:
    known = {f"CAMPAIGNS_{name.upper()}" for name in Settings.model_fields}
    known |= {f"CAMPAIGNS_{name.upper()}_FILE" for name in secret_files.secrets(Settings)}
    assert set(re.findall(r"CAMPAIGNS_[A-Z_]+[A-Z]", _PAGE)) <= known


@pytest.mark.parametrize("server", ["kafka", "nats"])
def test_every_setting_that_lets_us_into_a_server_is_on_the_page(server: str) -> None:
    ours = {f"CAMPAIGNS_{name.upper()}" for name in Settings.model_fields if server in name}
    assert ours <= set(re.findall(r"CAMPAIGNS_[A-Z_]+[A-Z]", _PAGE))


@pytest.mark.parametrize("example", _examples())
def test_an_example_is_what_a_process_takes(
    example: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (_REST | example).items():
        monkeypatch.setenv(variable, value.replace("…", "secret"))
    made = Settings()
    read = conninfo_to_dict(made.postgres)  # as libpq reads it: it refuses what it does not know
    assert read["dbname"] == "campaigns"
    if "CAMPAIGNS_POSTGRES" in example:
        assert read["sslmode"] == "verify-full"


def test_the_page_has_an_example_of_every_way() -> None:
    found = [
        (it["CAMPAIGNS_KAFKA_SECURITY"], it.get("CAMPAIGNS_KAFKA_MECHANISM"))
        for it in _examples()
        if "CAMPAIGNS_KAFKA" in it
    ]
    assert found == [
        ("SASL_SSL", "SCRAM-SHA-512"),
        ("SASL_SSL", "PLAIN"),
        ("SSL", None),
        ("SASL_SSL", "SCRAM-SHA-512"),
        ("SASL_SSL", "OAUTHBEARER"),
    ]
