"""Exact and entropic optimal transport: network simplex on a spanning tree, flows on grids, the line, Sinkhorn."""
