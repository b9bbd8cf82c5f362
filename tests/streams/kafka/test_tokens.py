"""Tokens of OAUTHBEARER: asked for once, replaced before they expire, and refusals in a
sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from connectors.local.engines.engine import free_port
from streams.kafka.access import AccessRefusedError
from streams.kafka.tokens import Token, Tokens, tokens
from tests.streams.kafka.secured import TokenEndpoint, with_kafka


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint().served() as served:
        yield served


async def test_one_token_serves_every_connection_of_a_process(endpoint: TokenEndpoint) -> None:
    settings = endpoint.settings(token_scope="kafka")
    found = await asyncio.gather(*(tokens(settings).token() for _ in range(20)))
    assert len(set(found)) == 1
    assert endpoint.asked == [{"grant_type": "client_credentials", "scope": "kafka"}]


async def test_event_loops_of_other_threads_share_the_token(endpoint: TokenEndpoint) -> None:
    shared = tokens(endpoint.settings())
    first = await shared.token()
    assert await asyncio.to_thread(lambda: asyncio.run(shared.token())) == first
    assert len(endpoint.asked) == 1


async def test_a_token_is_replaced_before_it_expires() -> None:
    now, made = 1_000.0, 0

    def fetch() -> Token:
        nonlocal made
        made += 1
        return Token(f"token {made}", now + 240)

    kept = Tokens(fetch, clock=lambda: now)
    assert await kept.token() == "token 1"
    now += 239
    assert await kept.token() == "token 1"
    now += 1
    assert await kept.token() == "token 2"


@pytest.mark.parametrize(("life", "requests"), [(300, 1), ("300", 1), (0, 2), (None, 2), ("?", 2)])
async def test_a_token_without_a_known_life_is_used_for_one_connection(
    endpoint: TokenEndpoint, life: object, requests: int
) -> None:
    endpoint.expires_in = life
    settings = endpoint.settings()
    await tokens(settings).token()
    await tokens(settings).token()
    assert len(endpoint.asked) == requests


async def test_a_refused_client_is_one_sentence_without_the_secret(endpoint: TokenEndpoint) -> None:
    settings = endpoint.settings(token_secret="forgotten")
    with pytest.raises(AccessRefusedError) as refused:
        await tokens(settings).token()
    assert str(refused.value) == (
        f"CAMPAIGNS_KAFKA_TOKEN_URL: {endpoint.url} gives no token (400, invalid_client): "
        "check CAMPAIGNS_KAFKA_TOKEN_CLIENT and CAMPAIGNS_KAFKA_TOKEN_SECRET"
    )


async def test_an_endpoint_that_is_away_or_broken_is_tried_again(endpoint: TokenEndpoint) -> None:
    endpoint.status = 503
    settings = endpoint.settings()
    with pytest.raises(KafkaConnectionError, match="answers 503 and no token"):
        await tokens(settings).token()
    endpoint.status = 200
    assert await tokens(settings).token()
    nowhere = endpoint.settings(token_url=f"http://127.0.0.1:{free_port()}/token")
    with pytest.raises(KafkaConnectionError, match="does not answer"):
        await tokens(nowhere).token()


async def test_a_token_file_is_read_again_for_every_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = with_kafka(security="SASL_SSL", mechanism="OAUTHBEARER", token_file=str(file))
    with pytest.raises(AccessRefusedError, match=r"CAMPAIGNS_KAFKA_TOKEN_FILE: .* cannot be read"):
        await tokens(settings).token()
    for text in ("first", "second"):
        file.write_text(f"{text}\n")
        assert await tokens(settings).token() == text
    file.write_text("\n")
    with pytest.raises(AccessRefusedError, match="is empty"):
        await tokens(settings).token()
