"""What can happen to an image: the steps of the degradation chain, a table that takes more, and histories."""

# ruff: noqa: E402
from fastdeg import opencv

opencv.require()  # before any module that imports it: a sentence instead of the loader's message

from fastdeg.degradations.history import History, as_history
from fastdeg.degradations.history_nodes import Drawn, Event, HistoryStep, OneOf
from fastdeg.degradations.ranges import Choice, Integers, LogUniform, RootUniform, Uniform
from fastdeg.degradations.registry import register, steps, unregister
from fastdeg.degradations.step import Option, Parameter, Stage, Step

__all__ = [
    "Choice",
    "Drawn",
    "Event",
    "History",
    "HistoryStep",
    "Integers",
    "LogUniform",
    "OneOf",
    "Option",
    "Parameter",
    "RootUniform",
    "Stage",
    "Step",
    "Uniform",
    "as_history",
    "register",
    "steps",
    "unregister",
]
