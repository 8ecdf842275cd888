"""Distances between degradation distributions: Fréchet, earth mover's, Sinkhorn, and their weighted sum."""
