"""The steps that come with the package, one file a step or family."""
