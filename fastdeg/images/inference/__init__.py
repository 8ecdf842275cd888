"""From features to the distribution over bins: synthesis, regression, mixture, uncertainty."""
