"""The primal-dual interior-point method, by the arcs of a plan, and Newton's method in the moments."""
