"""Passes of the interior-point method."""
