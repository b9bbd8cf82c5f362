"""A name server on loopback, over UDP and TCP on one port, that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

_TTL = 60
_STRING = 255  # bytes of one string of a TXT record
Strings = tuple[bytes, ...]


@dataclass(frozen=True)
class Reply:
    """`texts` are TXT records, each of its strings, at the name or at its `alias`; `others` are the
    other records, such as `MX 10 mx.example.`. `is_cut`: over UDP nothing but the mark that there
    is more; `is_silent`: no answer; `is_garbage`: no message.
    """

    texts: tuple[Strings, ...] = ()
    others: tuple[str, ...] = ()
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    alias: str = ""
    is_cut: bool = False
    is_silent: bool = False
    is_garbage: bool = False


def txt(*values: str) -> Reply:
    """A TXT record for each value, of one string or, for a long value, of several."""
    return Reply(tuple(_strings(value.encode()) for value in values))


def _strings(value: bytes) -> Strings:
    return tuple(value[at : at + _STRING] for at in range(0, len(value), _STRING)) or (b"",)


def others(*records: str) -> Reply:
    """Records of other kinds, each with its kind in front."""
    return Reply(others=records)


NO_SUCH_NAME = Reply(rcode=dns.rcode.NXDOMAIN)


@dataclass
class DnsServer:
    """`replies` are by name, in lower case and without the last full stop; what is not there does
    not exist. `asked` has (transport, name) of every question.
    """

    port: int = 0
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """As CAMPAIGNS_DNS_SERVERS spells it."""
        return f"127.0.0.1:{self.port}"

    def answer(self, wire: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((transport, name))
        reply = self.replies.get(name, NO_SUCH_NAME)
        if reply.is_silent:
            return None
        if reply.is_garbage:
            return b"\xff" * 40
        response = dns.message.make_response(query, recursion_available=True)
        response.set_rcode(reply.rcode)
        if reply.is_cut and transport == "udp":
            response.flags |= dns.flags.TC
            return response.to_wire()
        owner = question.name
        if reply.alias:
            target = dns.name.from_text(reply.alias)
            response.answer.append(_records(owner, "CNAME", [str(target)]))
            owner = target
        if reply.texts and question.rdtype == dns.rdatatype.TXT:
            response.answer.append(_texts(owner, reply.texts))
        kind = dns.rdatatype.to_text(question.rdtype)
        if values := [one.partition(" ")[2] for one in reply.others if one.startswith(f"{kind} ")]:
            response.answer.append(_records(owner, kind, values))
        return response.to_wire(max_size=65_535)


def _records(owner: dns.name.Name, kind: str, values: list[str]) -> dns.rrset.RRset:
    return dns.rrset.from_text(owner, _TTL, "IN", kind, *values)


def _texts(owner: dns.name.Name, texts: tuple[Strings, ...]) -> dns.rrset.RRset:
    rdatas = [
        dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, strings) for strings in texts
    ]
    return dns.rrset.from_rdata_list(owner, _TTL, rdatas)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # before Python 3.12 it is no instance of that class
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self._server.answer(data, "udp")) is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    """Raises OSError when no port is free for both transports in twenty attempts."""
    server, loop = DnsServer(), asyncio.get_running_loop()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            [size] = struct.unpack("!H", await reader.readexactly(2))
            answer = server.answer(await reader.readexactly(size), "tcp")
            if answer is not None:
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        finally:
            writer.close()

    for attempt in range(20):
        tcp = await asyncio.start_server(stream, "127.0.0.1", 0)
        server.port = tcp.sockets[0].getsockname()[1]
        try:
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(server), local_addr=("127.0.0.1", server.port)
            )
            break
        except OSError:
            tcp.close()
            if attempt == 19:
                raise
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
