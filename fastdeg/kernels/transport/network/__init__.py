"""The network simplex: its spanning tree, pivots, pricing and first bases."""
