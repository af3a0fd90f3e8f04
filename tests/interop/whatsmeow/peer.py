"""whatsmeow (inside neonize), driven by a test: one JSON command a line on stdin, one event or reply a line on stdout.

Start: peer.py ROOT_KEY_HEX DATABASE, with HTTPS_PROXY pointing at the simulator's CONNECT listener and
SSL_CERT_FILE at its CA. The library dials its fixed host, which only the proxy can answer; the trusted root key is
replaced in this process's memory, at exactly one place, before connecting. The library on disk is not touched.
"""

import ctypes
import json
import os
import sqlite3
import sys
import threading
from urllib.parse import urlparse

PRODUCTION_ROOT = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")


def refuse(why: str) -> None:
    print(json.dumps({"event": "refused", "why": why}), flush=True)
    sys.exit(2)


root_key, database = bytes.fromhex(sys.argv[1]), sys.argv[2]
for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
    os.environ.pop(name, None)
proxy = urlparse(os.environ.get("HTTPS_PROXY", ""))
if not (proxy.hostname or "").startswith("127."):
    refuse("HTTPS_PROXY is not a loopback address")
if not os.path.isfile(os.environ.get("SSL_CERT_FILE", "")):
    refuse("SSL_CERT_FILE names no file")

# Python wants to run signal handlers and the like on the main thread only; neonize imports nothing else of note.
from neonize.client import NewClient  # noqa: E402
from neonize import events  # noqa: E402
from neonize.proto.Neonize_pb2 import JID  # noqa: E402
from neonize.utils.enum import ReceiptType  # noqa: E402
from neonize.utils.jid import Jid2String  # noqa: E402


def trust(new: bytes) -> int:
    """Replaces the trusted root key in memory; yields how many places held it."""
    places = 0
    with open("/proc/self/maps", encoding="ascii") as maps:
        regions = [line.split() for line in maps if "neonize" in line and line.split()[1].startswith("rw")]
    for region in regions:
        start, end = (int(part, 16) for part in region[0].split("-"))
        memory = ctypes.string_at(start, end - start)
        at = memory.find(PRODUCTION_ROOT)
        while at >= 0:
            ctypes.memmove(start + at, new, 32)
            places += 1
            at = memory.find(PRODUCTION_ROOT, at + 1)
    return places


places = trust(root_key)
if places != 1:
    refuse(f"the root key stood at {places} places, not at exactly one")

lock = threading.Lock()


def say(line: dict) -> None:
    with lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def parse_jid(text: str) -> JID:
    user, _, server = text.rpartition("@")
    user, _, device = user.partition(":")
    return JID(User=user, Device=int(device or 0), Integrator=0, IsEmpty=False, RawAgent=0, Server=server)


client = NewClient(database)


@client.event(events.ConnectedEv)
def on_connected(_client, _event):
    say({"event": "open"})


@client.event(events.PairStatusEv)
def on_paired(_client, event):
    say({"event": "paired", "jid": Jid2String(event.ID), "error": event.Error})


@client.event(events.LoggedOutEv)
def on_logged_out(_client, event):
    say({"event": "logged_out", "on_connect": event.OnConnect, "reason": int(event.Reason)})


@client.event(events.DisconnectedEv)
def on_disconnected(_client, _event):
    say({"event": "close"})


@client.event(events.UndecryptableMessageEv)
def on_undecryptable(_client, event):
    say({"event": "undecryptable", "id": event.Info.ID})


@client.event(events.MessageEv)
def on_message(_client, event):
    source = event.Info.MessageSource
    text = event.Message.conversation or event.Message.extendedTextMessage.text or None
    say(
        {
            "event": "message",
            "id": event.Info.ID,
            "chat": Jid2String(source.Chat),
            "sender": Jid2String(source.Sender),
            "from_me": source.IsFromMe,
            "text": text,
        }
    )


@client.event(events.ReceiptEv)
def on_receipt(_client, event):
    say({"event": "receipt", "ids": list(event.MessageIDs), "type": int(event.Type)})


client.event.qr(lambda _client, data: say({"event": "qr", "qr": data.decode()}))
client.event.paircode(lambda _client, code, connected: say({"event": "pair_code", "code": code, "connected": connected}))


def send(arguments: dict) -> dict:
    response = client.send_message(parse_jid(arguments["to"]), arguments["text"])
    return {"message_id": response.ID}


def read(arguments: dict) -> dict:
    chat = parse_jid(arguments["chat"])
    client.mark_read(*arguments["ids"], chat=chat, sender=parse_jid(arguments["sender"]), receipt=ReceiptType.READ)
    return {}


def dial() -> None:
    try:
        client.connect()
    except Exception as error:  # the test judges
        say({"event": "failed", "error": f"{type(error).__name__}: {error}"})


def connect(_arguments: dict) -> dict:
    threading.Thread(target=dial, daemon=True).start()
    return {}


def pair_code(arguments: dict) -> dict:
    return {"code": client.PairPhone(arguments["phone"], True)}


def logout(_arguments: dict) -> dict:
    client.logout()
    return {}


def forget_sessions(_arguments: dict) -> dict:
    """Only before `connect`: deletes the Signal sessions from the library's database."""
    with sqlite3.connect(database) as db:
        return {"removed": db.execute("DELETE FROM whatsmeow_sessions").rowcount}


COMMANDS = {
    "connect": connect,
    "pair_code": pair_code,
    "send": send,
    "read": read,
    "logout": logout,
    "forget_sessions": forget_sessions,
}


def serve(command: dict) -> None:
    try:
        say({"reply": command["id"], "ok": True, **COMMANDS[command["cmd"]](command)})
    except Exception as error:  # every fault is the test's to judge
        say({"reply": command.get("id"), "ok": False, "error": f"{type(error).__name__}: {error}"})


say({"event": "started"})
for line in sys.stdin:
    command = json.loads(line)
    if command["cmd"] == "stop":
        say({"reply": command["id"], "ok": True})
        break
    # A thread each, since calls into the library block until the server has answered.
    threading.Thread(target=serve, args=(command,), daemon=True).start()
os._exit(0)
