"""What can happen to an image: the steps of the degradation chain, in one table that takes more of them."""

from fastdeg.degradations.registry import register, steps, unregister
from fastdeg.degradations.step import Parameter, Stage, Step

__all__ = ["Parameter", "Stage", "Step", "register", "steps", "unregister"]
