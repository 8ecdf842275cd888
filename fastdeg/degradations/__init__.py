"""What can happen to an image: the steps of the degradation chain."""
