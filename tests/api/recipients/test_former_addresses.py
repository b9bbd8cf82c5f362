"""What providers and recipients say of a message holds for the address that it went to, after its
contact has got another one or was erased; through the application's own routes.
"""

from __future__ import annotations

from tests.api.recipients.hooks import ADDRESS, PHONE, SETTINGS, Hooks

_CHANNELS = {"twilio": "sms", "whatsapp": "whatsapp"}


async def _closed(hooks: Hooks, channel: str, address: str) -> bool:
    query = {"channel": channel, "address": address}
    return bool((await hooks.rest.admin.get("/suppressions", params=query)).json()["data"])


async def _reported(hooks: Hooks, way: str, message_id: str) -> int:
    if way == "one click":
        return (await hooks.provider.post(hooks.unsubscribe(message_id))).status_code
    return await hooks.reported(way, message_id, "unsubscribed")


async def test_every_way_to_say_no_closes_the_address_that_was_written_to_after_a_correction(
    hooks: Hooks,
) -> None:
    before = {"email": ADDRESS, "phone": PHONE}
    path = f"/contacts/{hooks.contact}"
    for place, way in enumerate((*SETTINGS, "one click")):
        channel = _CHANNELS.get(way, "email")
        message_id = await hooks.message(channel)
        after = {"email": f"right{place}@example.com", "phone": f"+491511234560{place}"}
        assert (await hooks.rest.admin.patch(path, json=after)).status_code == 200
        assert await _reported(hooks, way, message_id) in (200, 204), way
        field = "email" if channel == "email" else "phone"
        assert await _closed(hooks, channel, before[field]), way
        assert not await _closed(hooks, channel, after[field]), way
        before = after
    answer = await hooks.rest.admin.get("/suppressions", params={"contactId": str(hooks.contact)})
    assert answer.json()["data"] == []  # who has another address now said nothing


async def test_every_way_to_say_no_closes_the_address_of_an_erased_contact(hooks: Hooks) -> None:
    messages = {
        way: await hooks.message(_CHANNELS.get(way, "email")) for way in (*SETTINGS, "one click")
    }
    path = f"/contacts/{hooks.contact}"
    assert (await hooks.rest.admin.delete(path)).status_code == 204
    for way, message_id in messages.items():
        assert await _reported(hooks, way, message_id) in (200, 204), way
    for channel, address in (("email", ADDRESS), ("sms", PHONE), ("whatsapp", PHONE)):
        assert await _closed(hooks, channel, address), channel
    listed = (await hooks.rest.admin.get("/suppressions")).json()["data"]
    assert [(one["address"], one["contactId"]) for one in listed] == [(None, None)] * 3
    again = await hooks.rest.admin.post("/contacts", json={"email": ADDRESS})
    assert again.status_code == 201  # and whoever brings the address back brings a suppressed one
    assert await _closed(hooks, "email", ADDRESS)
