"""The rules of bars in a peer's own words: run by the peer's Python, it reads one JSON file.

`python rules.py LIBRARY GIVEN.json` prints one line `RESULT {json}`. Of `backtesting` and
`vectorbt`: each rule's closed trades over the bars of the file, as the library books them, and the
CPU seconds of its own run. Of `metrics`: what empyrical and quantstats make of the returns.

The indicators are recomputed here in batch by pandas, apart from ours; what the library adds is
who is in the market when, and at which price. Entries and exits stand at the close of a bar and
fill at the open of the next one.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

DAYS = 365
HUGE = 1e12
"""Cash that no price exhausts: trades of one unit each, compared by their bars and prices."""


def signals(rule: str, settings: dict, close: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return at which closes a rule wants to be in, and at which it wants to be out."""
    if rule == "sma_cross":
        fast = close.rolling(settings["fast"]).mean()
        slow = close.rolling(settings["slow"]).mean()
        # Sums that roll differ in their last digit; nearer than that, the two are equal.
        apart = (fast - slow).where((fast - slow).abs() > 1e-12 * slow, 0.0)
        return (apart > 0).to_numpy(), (apart < 0).to_numpy()
    if rule == "rsi_reversion":
        value = _rsi(close.to_numpy(), settings["period"])
        return value < settings["oversold"], value > settings["recovered"]
    mean = close.rolling(settings["period"]).mean()
    wide = settings["deviations"] * close.rolling(settings["period"]).std(ddof=0)
    place = (close - mean + wide) / (2 * wide)
    return (
        (place < settings["enter_below"]).to_numpy(),
        (place > settings["leave_above"]).to_numpy(),
    )


def _rsi(close: np.ndarray, period: int) -> np.ndarray:
    """Return Wilder's index: a mean of the first changes, then each one weighs 1 / period."""
    change = np.diff(close)
    found = np.full(len(close), np.nan)
    if len(change) < period:
        return found
    up, down = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    rise, fall = up[:period].mean(), down[:period].mean()
    for i in range(period, len(close)):
        if i > period:
            rise += (up[i - 1] - rise) / period
            fall += (down[i - 1] - fall) / period
        found[i] = 100 * rise / (rise + fall) if rise + fall else 0.0
    return found


def by_backtesting(frame: pd.DataFrame, enter: np.ndarray, leave: np.ndarray) -> list[list[float]]:
    from backtesting import Backtest, Strategy

    class Rule(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            at = len(self.data) - 1
            if not self.position and enter[at]:
                self.buy(size=1)
            elif self.position and leave[at]:
                self.position.close()

    trades = Backtest(frame, Rule, cash=HUGE, commission=0.0).run()["_trades"]
    return trades[["EntryBar", "EntryPrice", "ExitBar", "ExitPrice"]].to_numpy().tolist()


def by_vectorbt(frame: pd.DataFrame, enter: np.ndarray, leave: np.ndarray) -> list[list[float]]:
    import vectorbt as vbt

    later = pd.Series(enter, frame.index), pd.Series(leave, frame.index)
    made = vbt.Portfolio.from_signals(
        frame["Close"],
        *(one.shift(1, fill_value=False) for one in later),
        price=frame["Open"],
        size=1.0,
        init_cash=HUGE,
        fees=0.0,
        freq=frame.index[1] - frame.index[0],
    )
    trades = made.trades.records
    closed = trades[trades["status"] == 1]
    return closed[["entry_idx", "entry_price", "exit_idx", "exit_price"]].to_numpy().tolist()


def played(library: str, given: dict) -> dict:
    """Return each rule's trades, and the CPU seconds a run took once it was compiled."""
    frame = pd.DataFrame(given["bars"], columns=["at", "Open", "High", "Low", "Close", "Volume"])
    frame.index = pd.to_datetime(frame.pop("at"), unit="s")
    run = by_backtesting if library == "backtesting" else by_vectorbt
    found = {}
    for rule, settings in given["rules"].items():

        def once(rule: str = rule, settings: dict = settings) -> list[list[float]]:
            return run(frame, *signals(rule, settings, frame["Close"]))

        if library == "vectorbt":
            once()  # numba compiles
        began = time.process_time()
        trades = once()
        found[rule] = {"trades": trades, "run_cpu_s": time.process_time() - began}
    return found


def metrics(given: dict) -> dict:
    """Return Sharpe, Sortino, Calmar, volatility and drawdown of each run's daily returns."""
    import empyrical
    import quantstats.stats as qs

    found = {}
    for rule, values in given["returns"].items():
        index = pd.date_range("2024-01-01", periods=len(values), freq="D")
        returns = pd.Series(values, index=index)
        found[rule] = {
            "empyrical": {
                "sharpe": empyrical.sharpe_ratio(returns, annualization=DAYS),
                "sortino": empyrical.sortino_ratio(returns, annualization=DAYS),
                "calmar": empyrical.calmar_ratio(returns, annualization=DAYS),
                "volatility": empyrical.annual_volatility(returns, annualization=DAYS),
                "drawdown": empyrical.max_drawdown(returns),
            },
            "quantstats": {
                "sharpe": qs.sharpe(returns, periods=DAYS),
                "sortino": qs.sortino(returns, periods=DAYS),
                "calmar": qs.calmar(returns, periods=DAYS),
                "volatility": qs.volatility(returns, periods=DAYS),
                "drawdown": qs.max_drawdown(returns),
            },
        }
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asked = json.loads(Path(sys.argv[2]).read_text())
    answer = metrics(asked) if sys.argv[1] == "metrics" else played(sys.argv[1], asked)
    print("RESULT " + json.dumps(answer))
