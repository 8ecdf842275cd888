"""Sequences of problems that differ in tau: the trade-off path, and the choice of tau."""
