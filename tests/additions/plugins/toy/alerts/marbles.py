"""A kind of alert that a file adds."""

from engine.domain.alerts import AlertKind

FEW = AlertKind("few_marbles", "Few marbles are left", "Buy some.")
