"""The outbox: effects collected during one call, handed out at its end."""

from __future__ import annotations

from engine.domain.effects import Effect, KeepStart, RaiseAlert, Severity
from engine.domain.instruments import AccountId, BotId, InstrumentId


class EffectOutbox:
    """Collects what one account's executor asks of the world."""

    __slots__ = ("_account", "effects")

    def __init__(self, account: AccountId) -> None:
        self._account = account
        self.effects: list[Effect] = []

    def take(self) -> list[Effect]:
        """Hand out, once, everything collected so far."""
        effects, self.effects = self.effects, []
        return effects

    def start(self, fence: int, snapshot: int) -> None:
        """Have the journal keep that a start begins here, and what it knew."""
        self.effects.append(KeepStart(account=self._account, fence=fence, snapshot=snapshot))

    def alert(
        self,
        severity: Severity,
        kind: str,
        text: str,
        *,
        instrument: InstrumentId | None = None,
        bot: BotId | None = None,
        numbers: dict[str, str] | None = None,
    ) -> None:
        """Tell the operator; `numbers` are figures by their names, as a person reads them."""
        self.effects.append(
            RaiseAlert(
                severity=severity,
                kind=kind,
                text=text,
                account=self._account,
                instrument=instrument,
                bot=bot,
                numbers=numbers or {},
            )
        )
