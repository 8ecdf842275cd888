"""Bin assignment, moments, Fréchet distances and diverse subsets."""
