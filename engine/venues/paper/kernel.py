"""The compiled fast path over columns: the book, the queues, and who is woken.

The twin of `Market.changed`, `OwnLevel.shown`, `allot` and the desk's rule of the moved mid; a
differential test holds the two together. It stops *before* an event in which one of our orders
could fill, or that it does not know, and *after* one that wakes somebody. Written in the part of
Python that numba compiles; as it stands here it runs as well, only slowly.
"""

from __future__ import annotations

from typing import Any

from engine.venues.paper.columns import (
    ASK,
    AT_NS,
    BID,
    BOUGHT,
    LAST,
    NOTHING,
    OP,
    PRICE,
    SIZE,
    SIZE_MAX,
    SOLD,
)

Ints = Any  # an int64 array: the compiler sees its type, the checker does not

PERCENT, BEST_BID, BEST_ASK, MID2, MID2_KNOWN, TWO_SIDED_NS, PROOF_NS, LAST_TRADE = range(8)
PRINTS, EVENTS, LAST_NS, TOUCHED, WOKE, NEXT, FOLLOW, STOP_NS = range(8, 16)
LEVELS_AT, AHEADS_AT, TAKEN_AT, END_AT = range(16, 20)
"""Facts, at the head of `desk`. A best price of -1 = that side is empty. NEXT is the row to begin
with, afterwards the one to go on with; FOLLOW the row of an event the plain path took (-1 = none);
WOKE the first row of the event that wakes somebody (-1 = none). The last four say where, behind the
watches, our levels begin, their queues, what is taken, and where that ends."""
FACTS = 20

WATCH_KNOWN, WATCH_MID2, WATCH_LEAST, WATCH = range(4)
"""Fields of one cell's watch: was it ever woken, for which mid, by which move it is; how many."""

SIDE, PRICE_AT, PRINTED, PRINTED_NS, FROM, TO, LEVEL = range(7)
"""Fields of one of our levels, and how many; `FROM` to `TO` in the desk are its queues."""

BOOK, GONE, OWN, MARK = range(4)
"""Planes of `grid`, each by side (0 bid, 1 ask) and price: displayed sizes; displayed but taken;
where in the desk our level is described; 1 while a level is in the touched ones."""

DESK_MAX = 2048
"""Room for the facts and what follows them. Behind it stand the touched levels."""
TOUCHED_MAX, TOUCH = 512, 4
"""Levels that may change between two wakes, four numbers each: side, price, size, taken."""

PRINT_NS_MAX = 1_000_000_000
"""As in `queue`; the tests hold them together."""
CHANGES_MAX = 64
"""Most level changes in one event; one with more is taken by the plain path."""

PLAIN_FACTOR_MAX = 3_000_000_000
"""Two factors up to here have a product that fits into 64 bits."""


def share(part: int, of: int, whole: int) -> int:
    """Return ⌊part · of / whole⌋ for part ≤ 2^53, of ≤ whole < 2^60, part ≤ whole, exactly."""
    if part <= PLAIN_FACTOR_MAX and of <= PLAIN_FACTOR_MAX:
        return part * of // whole
    quotient = 0
    rest = 0
    for bit in range(53, -1, -1):
        quotient *= 2
        rest *= 2
        if rest >= whole:
            rest -= whole
            quotient += 1
        if (part >> bit) & 1:
            rest += of
            if rest >= whole:
                rest -= whole
                quotient += 1
    return quotient


def ahead_after(percent: int, ahead: int, standing: int, after: int) -> int:
    """Return the volume ahead after cancels, as `queue.ahead_after`."""
    ahead = min(ahead, standing)
    cancelled = standing - after
    if ahead == 0 or cancelled == 0:
        return ahead
    behind = standing - ahead
    gone = 0 if percent <= 0 else cancelled
    if 0 < percent < 100:
        weight = ahead * percent
        gone = share(cancelled, weight, weight + behind * (100 - percent))
    return ahead - min(max(gone, cancelled - behind, 0), ahead, cancelled)


def shown(desk: Ints, at: int, before: int, after: int, now_ns: int) -> None:
    """Move the queues of one of our levels for its new size, as `OwnLevel.shown`."""
    printed = desk[at + PRINTED]
    if printed and now_ns - desk[at + PRINTED_NS] > PRINT_NS_MAX:
        printed = 0
    fall = before - after
    if fall > 0:
        explained = min(fall, printed)
        printed -= explained
        standing = before - explained
        for place in range(desk[at + FROM], desk[at + TO]):
            desk[place] = ahead_after(desk[PERCENT], desk[place], standing, after)
    desk[at + PRINTED] = min(printed, after)


def set_level(grid: Ints, desk: Ints, side: int, price: int, size: int) -> None:
    """Set the displayed size of a level and keep the best price, as `Book.change`."""
    had = grid[BOOK, side, price]
    grid[BOOK, side, price] = size
    best = desk[BEST_BID + side]
    if size > 0:
        if best < 0 or (price > best if side == BID else price < best):
            desk[BEST_BID + side] = price
    elif had > 0 and price == best:
        step = -1 if side == BID else 1
        price += step
        while 0 <= price < grid.shape[2] and grid[BOOK, side, price] == 0:
            price += step
        desk[BEST_BID + side] = price if 0 <= price < grid.shape[2] else -1


def touch(grid: Ints, desk: Ints, side: int, price: int) -> None:
    """Note, once, that a level's size or what is taken of it may differ from the plain book."""
    if grid[MARK, side, price] == 0:
        grid[MARK, side, price] = 1
        at = DESK_MAX + TOUCH * desk[TOUCHED]
        desk[at], desk[at + 1] = side, price
        desk[TOUCHED] += 1


def end_of(rows: Ints, first: int, width: int) -> int:
    """Return the row after an event, or 0 where the plain path must take it."""
    for place in range(first, min(len(rows), first + CHANGES_MAX)):
        op, price, size = rows[place, OP], rows[place, PRICE], rows[place, SIZE]
        if op > NOTHING or op < 0:
            return 0
        if op in (SOLD, BOUGHT) and not (place == first and rows[place, LAST]):
            return 0
        if not 0 <= price < width or not 0 <= size <= SIZE_MAX:
            return 0
        if rows[place, LAST]:
            return place + 1
    return 0


def change(grid: Ints, desk: Ints, rows: Ints, first: int, end: int) -> None:
    """Hear level changes, as `Market.changed` and `MarketCache.changed` do."""
    now_ns = rows[first, AT_NS]
    for place in range(first, end):
        side, price, size = rows[place, OP], rows[place, PRICE], rows[place, SIZE]
        if side == NOTHING:
            continue
        at = grid[OWN, side, price]
        if at:
            shown(desk, at, grid[BOOK, side, price], size, now_ns)
        grid[GONE, side, price] = 0
        set_level(grid, desk, side, price, size)
        touch(grid, desk, side, price)
    desk[PROOF_NS] = now_ns
    if desk[BEST_BID] >= 0 and desk[BEST_ASK] >= 0:
        desk[MID2] = desk[BEST_BID] + desk[BEST_ASK]
        desk[MID2_KNOWN] = 1
        desk[TWO_SIDED_NS] = now_ns


def fills(desk: Ints, side: int, price: int, size: int) -> bool:
    """Say whether a print might fill one of ours: on the side it hit, or one it went beyond."""
    for at in range(desk[LEVELS_AT], desk[AHEADS_AT], LEVEL):
        ours = desk[at + PRICE_AT]
        if desk[at + SIDE] != side:
            if ours <= price if side == BID else ours >= price:
                return True
            continue
        if ours > price if side == BID else ours < price:
            return True
        if ours == price:
            for place in range(desk[at + FROM], desk[at + TO]):
                if desk[place] < size:
                    return True
    return False


def prints(grid: Ints, desk: Ints, rows: Ints, place: int) -> bool:
    """Hear a print that fills none of ours, as `Floor.printed`; False = it might, nothing done."""
    side = BID if rows[place, OP] == SOLD else ASK
    price, size, now_ns = rows[place, PRICE], rows[place, SIZE], rows[place, AT_NS]
    if fills(desk, side, price, size):
        return False
    at = grid[OWN, side, price]
    if at:
        if now_ns - desk[at + PRINTED_NS] > PRINT_NS_MAX:
            desk[at + PRINTED] = 0
        desk[at + PRINTED] += size
        desk[at + PRINTED_NS] = now_ns
        for ahead in range(desk[at + FROM], desk[at + TO]):
            desk[ahead] -= size
    if grid[BOOK, side, price] > 0:
        grid[GONE, side, price] += size
        touch(grid, desk, side, price)
    desk[LAST_TRADE] = price
    desk[PRINTS] += 1
    return True


def wakes(desk: Ints) -> bool:
    """Say whether the mid moved far enough for anybody, as `Desk` does."""
    if not desk[MID2_KNOWN]:
        return False
    for at in range(FACTS, desk[LEVELS_AT], WATCH):
        if not desk[at + WATCH_KNOWN]:
            return True
        if abs(desk[MID2] - desk[at + WATCH_MID2]) >= desk[at + WATCH_LEAST]:
            return True
    return False


def enter(grid: Ints, desk: Ints) -> None:
    """Enter our levels and what is taken in the grid."""
    for at in range(desk[LEVELS_AT], desk[AHEADS_AT], LEVEL):
        grid[OWN, desk[at + SIDE], desk[at + PRICE_AT]] = at
    for at in range(desk[TAKEN_AT], desk[END_AT], 3):
        grid[GONE, desk[at], desk[at + 1]] = desk[at + 2]


def leave(grid: Ints, desk: Ints) -> None:
    """Write down what the touched levels show now, and leave only the book in the grid."""
    for at in range(DESK_MAX, DESK_MAX + TOUCH * desk[TOUCHED], TOUCH):
        side, price = desk[at], desk[at + 1]
        desk[at + 2], desk[at + 3] = grid[BOOK, side, price], grid[GONE, side, price]
        grid[MARK, side, price] = grid[GONE, side, price] = 0
    for at in range(desk[TAKEN_AT], desk[END_AT], 3):
        grid[GONE, desk[at], desk[at + 1]] = 0
    for at in range(desk[LEVELS_AT], desk[AHEADS_AT], LEVEL):
        grid[OWN, desk[at + SIDE], desk[at + PRICE_AT]] = 0


def hear(grid: Ints, desk: Ints, rows: Ints, first: int) -> int:
    """Hear one event; return the row after it, or 0 where the plain path must take it."""
    end = end_of(rows, first, grid.shape[2])
    if end:
        op = rows[first, OP]
        if op in (SOLD, BOUGHT):
            return end if prints(grid, desk, rows, first) else 0
        change(grid, desk, rows, first, end)
    return end


def advance(grid: Ints, desk: Ints, rows: Ints) -> bool:
    """Hear rows from NEXT on while nothing is due before STOP_NS; the facts say how far it came.

    The levels that changed stand behind the desk. False = the event at FOLLOW does not fit into
    the grid: nothing was heard, and the book must be read anew.
    """
    follow, place = desk[FOLLOW], desk[NEXT]
    if follow >= 0:
        end = end_of(rows, follow, grid.shape[2])
        if end == 0:
            return False
        for row in range(follow, end):
            if rows[row, OP] <= ASK:
                set_level(grid, desk, rows[row, OP], rows[row, PRICE], rows[row, SIZE])
    enter(grid, desk)
    while place < len(rows) and desk[TOUCHED] + CHANGES_MAX < TOUCHED_MAX:
        at_ns = rows[place, AT_NS]
        if at_ns >= desk[STOP_NS] or at_ns < desk[LAST_NS]:
            break
        end = hear(grid, desk, rows, place)
        if end == 0:
            break
        desk[LAST_NS] = at_ns
        desk[EVENTS] += 1
        woken = wakes(desk)
        if woken:
            desk[WOKE] = place
        place = end
        if woken:
            break
    desk[NEXT] = place
    leave(grid, desk)
    return True
