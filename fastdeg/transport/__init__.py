"""Drivers of exact transport, from coarse to fine: used by distances and crafting."""
