"""Order statistics by counting: whole numbers, two ranks at a time, no branch within a pass."""

from __future__ import annotations

import math

import numpy as np

from fastdeg.kernels._jit import kernel

COUNTED = 16_384  # numbers counted at a time: their count fits in 16 bits


@kernel
def classify(bits, least, most, step, classes):
    """Classes (int16) of non-negative floats, given as bits, which are in the order of the floats; 0 up to `least`."""
    for k in range(bits.shape[0]):
        classes[k] = np.int16((min(max(bits[k], least), most) - least) >> step)


@kernel
def middle_of_class(number, classes_per_octave_log2, lowest_octave):
    """The float in the middle of a class, of which there are so many in an octave."""
    octave = number >> classes_per_octave_log2
    part = (number - (octave << classes_per_octave_log2) + 0.5) / (1 << classes_per_octave_log2)
    return math.ldexp(1 + part, int(octave + lowest_octave))


@kernel
def counts_up_to(values, first, second):
    """How many values are at most the first limit, and how many at most the second."""
    total, other_total = 0, 0
    for start in range(0, values.shape[0], COUNTED):
        part = values[start : start + COUNTED]
        count, other_count = np.int16(0), np.int16(0)
        for k in range(part.shape[0]):
            count = np.int16(count + (np.int16(1) if part[k] <= first else np.int16(0)))
            other_count = np.int16(other_count + (np.int16(1) if part[k] <= second else np.int16(0)))
        total, other_total = total + count, other_total + other_count
    return total, other_total


@kernel
def of_ranks(values, below, highest, first, second):
    """The values of two ranks, counted from 0 in ascending order; they lie above `below` and not above `highest`."""
    low, high = int(below), int(highest)
    other_low, other_high = low, high
    while high - low > 1 or other_high - other_low > 1:
        middle, other = (low + high + 1) >> 1, (other_low + other_high + 1) >> 1
        count, other_count = counts_up_to(values, values.dtype.type(middle), values.dtype.type(other))
        enough, other_enough = count > first, other_count > second
        low, high = (low, middle) if enough else (middle, high)
        other_low, other_high = (other_low, other) if other_enough else (other, other_high)
    return high, other_high
