"""Forests of flows on a grid: their pivots and their Newton steps."""
