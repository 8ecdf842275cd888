"""Statistics of images, and the resampling and noise of their synthesis."""
