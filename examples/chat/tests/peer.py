"""Clients of the chat server on the package `websockets`: `python3 peer.py TASK ADDRESS`. An assertion that fails ends it with 1."""

import asyncio
import json
import sys

import websockets

TASK, ADDRESS = sys.argv[1:]


async def enter(room, name):
    """Comes into a room, and returns the connection and the notice that it was let in."""
    client = await websockets.connect(f"ws://{ADDRESS}/ws?room={room}&name={name}")
    welcome = json.loads(await client.recv())
    assert welcome["type"] == "welcome", welcome
    return client, welcome


async def said(client):
    """The next message that is no notice: who said it, and what."""
    while True:
        event = json.loads(await client.recv())
        if event["type"] == "message":
            return event["name"], event["text"]


async def rooms():
    """A message reaches all in its room, and none in another."""
    (ada, _), (ben, _), (cleo, _) = await enter("kitchen", "Ada"), await enter("kitchen", "Ben"), await enter("bar", "Cleo")
    text = "soup, \U0001f35c and 'bread' \"<b>\"\n" + "x" * 1000
    await ada.send(text)
    assert await said(ada) == ("Ada", text)
    assert await said(ben) == ("Ada", text)
    await cleo.send("only here")
    assert await said(cleo) == ("Cleo", "only here")  # And not the soup before it.
    # A message in parts, and a ping between them, are as good as any.
    await ben.send(iter(["in ", "three ", "parts"]))
    assert await said(ada) == ("Ben", "in three parts")
    await (await ada.ping())
    await ada.close()
    assert ada.close_code == 1000, ada.close_code


async def crowd():
    """500 clients come at once, into 25 rooms. Each says something, and hears all that is said in its room."""
    names = [f"guest-{n}" for n in range(20)]
    places = [(f"room-{n}", name) for n in range(25) for name in names]
    clients = [client for client, _ in await asyncio.gather(*(enter(*place) for place in places))]
    await asyncio.gather(*(client.send(" ".join(place)) for client, place in zip(clients, places)))

    async def hears_all(client, room):
        heard = {await said(client) for _ in names}
        assert heard == {(name, f"{room} {name}") for name in names}, (room, heard)

    await asyncio.gather(*(hears_all(client, room) for client, (room, _) in zip(clients, places)))
    await asyncio.gather(*(client.close() for client in clients))


async def closing():
    """Fifty clients listen until the server says goodbye."""
    clients = [(await enter("kitchen", f"guest-{n}"))[0] for n in range(50)]
    print("all are here", flush=True)

    async def listen(client):
        async for _ in client:
            pass
        assert (client.close_code, client.close_reason) == (1001, "the server is ending")

    await asyncio.gather(*(listen(client) for client in clients))


asyncio.run({"rooms": rooms, "crowd": crowd, "closing": closing}[TASK]())
