"""Compiled parts of the forecast."""
