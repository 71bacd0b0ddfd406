"""The nouns of the product: values that flow between rooms. No room's logic, no I/O, no clock.

Prices and sizes are `int`, counted in the instrument's own increments; money is `int` micro-units
of its currency; times are `int` nanoseconds UTC. `Decimal` appears only where `Instrument` converts
at the doors. Messages are frozen `msgspec.Struct`s; closed sets are `StrEnum`s.
"""
