"""Passes of the crafting methods."""
