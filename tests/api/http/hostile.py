"""What an attacker, a broken client or a fuzzer sends: bodies, values, ids and queries that no
route may answer with a 500.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MEBIBYTE = 1 << 20
# Not JSON, whatever the route: 400.
BROKEN: Mapping[str, bytes] = {
    "cut": b'{"name": ',
    "not UTF-8": b'{"name": "caf\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "an overlong encoding": b'{"name": "\xc0\xaf"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "a NUL byte": b'{"name": "\0"}',
    "a number beyond everything": b'{"name": 1e999}',
    "a number without end": b'{"name": ' + b"9" * 100_000 + b"}",
    "10,000 objects deep": b'{"name":' * 10_000 + b"1" + b"}" * 10_000,
    "10,000 lists deep": b"[" * 10_000 + b"]" * 10_000,
    "a name twice": b'{"name": "x", "name": "y"}',
    "a name twice, inside": b'{"settings": [{"a": 1, "\\u0061": 2}]}',
    "two documents": b"{}{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a form": b"name=x&channel=email",
}
# JSON, and hardly ever what is wanted.
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    -(2**63) - 1,
    1e308,
    "",
    " ",
    "\0",
    "a\0b",
    "\u202e\ufffe\U0010ffff",
    "a" * 60,
    "x" * 5_000,
    "9999-12-31T23:59:59.999999-23:59",
    "0001-01-01T00:00:00+23:59",
    "http://a" + ")" * 50_000,
    "{{ contact.firstName | x }}{% for a in range(10**9) %}",
    [],
    [[]],
    [None],
    {},
    {"a": {"b": [{}]}},
    ["x"] * 2_000,
)
IDS = (
    "1",
    "not-a-uuid",
    "%00",
    "%ff",
    "x" * 3_000,
    "..%2f..%2fetc%2fpasswd",
    "%ed%a0%80",
    "{campaignId}",
    "0" * 32,
    "00000000-0000-0000-0000",
)
QUERIES = (
    "",
    "0",
    "-1",
    "9" * 40,
    "1e3",
    "NaN",
    "%00",
    "%ff",
    "x" * 2_000,
    "'; DROP TABLE campaigns; --",
    "%",
    "[1]",
    "+",
    "\u0661",
)


def variants(
    example: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """(path, body): each member of an example, however deep, with each of VALUES in its place."""
    members = (
        example.items()
        if isinstance(example, dict)
        else enumerate(example[:1])
        if isinstance(example, list)
        else ()
    )
    for name, member in members:
        yield from (((*path, name), value) for value in VALUES)
        yield from variants(member, (*path, name))


def changed(example: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The example with this value at this place."""
    copy = json.loads(json.dumps(example))
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


# What has choked a regular expression or a loop, or looks as if it could.
_CHOKING = ("{{ a }}", "<a ", "a", "http://a" + ")" * 50_000)


def _texts(example: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where texts are."""
    for name, member in example.items() if isinstance(example, dict) else ():
        yield from ((*path, name),) if isinstance(member, str) else _texts(member, (*path, name))


def huge(example: Mapping[str, Any]) -> Iterator[bytes]:
    """Bodies of almost a megabyte that a parser, a validator or a list of errors may choke on."""
    many, most = ({f"x{number}": number for number in range(count)} for count in (55_000, 9_900))
    yield json.dumps({**example, **many}).encode()
    yield json.dumps({**example, **most}).encode()
    for name, value in example.items():
        if isinstance(value, list):
            yield json.dumps({**example, name: [1] * 300_000}).encode()
            yield json.dumps({**example, name: [{}] * 200_000}).encode()
        if isinstance(value, dict):
            yield json.dumps({**example, name: most}).encode()
    for path in _texts(example):
        for pattern in _CHOKING:
            yield json.dumps(changed(example, path, pattern * (250_000 // len(pattern)))).encode()
    yield b'{"name":' + b"[" * 900 + b"]" * 900 + b"}"
    yield b"[" + b"{}," * 300_000 + b"{}]"
