"""Trades as freqtrade keeps them: arrays of time, id, type, side, price, amount and cost."""

from __future__ import annotations

from engine.lab.formats.door import Format
from engine.lab.formats.tables import FileHead, is_number
from storage.datasets import DataKind

PLACES = {"time": 0, "id": 1, "side": 3, "price": 4, "size": 5}
WIDTH = 7


class FreqtradeTrades(Format):
    """Files `*-trades.json` and `*-trades.json.gz`; the id is the exchange's."""

    title = "freqtrade trades"
    source = "freqtrade, DEFAULT_TRADES_COLUMNS"
    kind = DataKind.TRADES
    example = (
        "XRP_ETH-trades.json\n"
        '[[1570752011620,"13519807",null,"sell",0.00141342,23.0,0.03250866],\n'
        ' [1570752017964,"13519809",null,"buy",0.00141266,54.0,0.07628364]]\n'
    )

    def places(self, head: FileHead) -> dict[str, int]:
        """Return where things stand in seven cells, the fourth of which is buy or sell."""
        if head.header or not head.rows:
            return {}
        alike = all(
            len(row) == WIDTH and row[3] in ("buy", "sell") and is_number(row[4])
            for row in head.rows
        )
        return PLACES if alike else {}
