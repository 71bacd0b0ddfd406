"""One beat of the heartbeat: the chain of ids (`heartbeat.Beats`) carried to the venue and back."""

from __future__ import annotations

import asyncio

from engine.errors import BadInput, BrokenInvariant, PitbossError
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.heartbeat_chain import Beats
from engine.venues.polymarket.account.outcomes import BeatRefused, VenueRefusal
from engine.venues.polymarket.account.sdk import Wire

PATH = "/v1/heartbeats"


async def beat(wire: Wire, beats: Beats) -> None:
    """Send one beat, and a second one at once where the venue names another id.

    Raises SecondWriter where a second program beats with this key, and what a question raises.
    """
    for _ in range(2):
        body = f'{{"heartbeat_id":"{beats.next_id}"}}'.encode()
        try:
            answer = await wire.post(PATH, body)
        except BeatRefused as refused:
            beats.refused(refused.expected)
            continue
        except VenueRefusal as refusal:
            beats.lost()
            outcomes.question_refused(refusal)
        except (PitbossError, asyncio.CancelledError):
            beats.lost()
            raise
        next_id = answer.get("heartbeat_id") if isinstance(answer, dict) else None
        if not isinstance(next_id, str):
            beats.lost()
            raise BadInput("the venue's answer to a heartbeat names no next id")
        beats.answered(next_id)
        return
    raise BrokenInvariant("a chain of heartbeats takes one correction, not two")
