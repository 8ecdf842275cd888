"""The forecast of what training on a distribution gains, in decibels."""

from fastdeg.forecast.training import Gain, TrainingForecast

__all__ = ["Gain", "TrainingForecast"]
