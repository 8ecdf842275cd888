"""Crafting the training distribution: the convex problem, its solvers and their certificates."""
