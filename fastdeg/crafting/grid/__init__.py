"""The methods for grids with the city-block metric: ADMM, and the network simplex on a forest of flows."""
