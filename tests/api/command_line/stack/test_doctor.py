"""What `campaigns doctor` says of a NATS that is not part of the local stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.command_line.stack.doctor import Finding, examine
from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.nats import Nats
from connectors.local.stack.home import Home
from tests.certificates import Authority
from tests.connectors.nats import secured


def of_nats(folder: Path, url: str, **more: str) -> Finding:
    given = {"CAMPAIGNS_KAFKA": "nowhere:1", "CAMPAIGNS_POSTGRES": "postgresql://nowhere:1/x"}
    home = Home(folder / "home", free_port(), {**given, "CAMPAIGNS_NATS": url, **more})
    (finding,) = [each for each in examine(home) if each.subject == "NATS"]
    return finding


def test_doctor_connects_to_nats_as_the_bridge_does(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    lines = secured.tls(authority) + secured.password("bridge", "secret")
    nats = Nats(tmp_path / "nats", free_port(), OPEN, configuration=lines)
    engine = RunningEngine(nats, tmp_path / "log")
    engine.start()
    try:
        who = {"CAMPAIGNS_NATS_USER": "bridge", "CAMPAIGNS_NATS_CA_FILE": str(authority.file)}
        well = of_nats(tmp_path, nats.address, CAMPAIGNS_NATS_PASSWORD="secret", **who)
        assert well.is_fine
        assert f"127.0.0.1:{nats.port} with JetStream and TLS" in well.sentence
        refused = of_nats(tmp_path, nats.address, CAMPAIGNS_NATS_PASSWORD="guess", **who)
        assert not refused.is_fine
        assert refused.sentence.startswith("NATS refuses the identity in CAMPAIGNS_NATS_USER")
    finally:
        engine.stop()


@pytest.mark.parametrize("servers", [1, 2])
def test_doctor_says_that_nats_is_away(tmp_path: Path, servers: int) -> None:
    urls = ",".join(f"nats://127.0.0.1:{free_port()}" for _ in range(servers))
    away = of_nats(tmp_path, urls)
    assert not away.is_fine and away.sentence.startswith("NATS does not answer: ")
