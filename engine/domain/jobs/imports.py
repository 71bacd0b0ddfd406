"""The arguments of the job that imports market data of files."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.domain.jobs import JobArguments


class ImportJob(JobArguments):
    """Make one data set of a file, or of a folder of files.

    A bad line is refused by file and line and leaves nothing. An interrupted import goes on.
    """

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1_000,
            title="File or folder",
            description="a name under data, or a path on the machine of this desk",
        ),
    ]
    instrument: Annotated[
        str,
        Field(
            max_length=100,
            title="Market",
            description="venue:MARKET, e.g. binance:BTC/USDT; its currency is what follows the "
            "slash; a preview needs none",
        ),
    ] = ""
    name: Annotated[
        str,
        Field(
            max_length=100,
            title="Name of the data set",
            description="letters, digits, dot, dash, underscore; empty = made of the market",
        ),
    ] = ""
    rows: Annotated[
        str,
        Field(
            pattern="^(|bars|trades|prices|quotes|funding)$",
            title="Rows are",
            description="bars, trades, prices, quotes or funding; empty = as the columns say",
        ),
    ] = ""
    columns: Annotated[
        str,
        Field(
            max_length=1_000,
            title="Columns of the file",
            description="which column holds what where no format knows the file: "
            "time=date,price=px,size=4",
        ),
    ] = ""
    only: Annotated[
        str,
        Field(
            max_length=1_000,
            title="Rows of",
            description="the rows that are meant, of a file that holds several markets: "
            "symbol=BTCUSDT",
        ),
    ] = ""
    sort: Annotated[
        bool,
        Field(title="Sort by time", description="each file's rows, in memory"),
    ] = False
    look: Annotated[
        bool,
        Field(title="Preview only", description="read the first rows, and keep nothing"),
    ] = False
