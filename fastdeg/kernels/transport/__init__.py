"""Exact optimal transport: network simplex on points, on cost matrices and on grids; Sinkhorn."""
