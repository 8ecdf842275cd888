"""Farthest-point traversal (Gonzalez 1985): the next point is the one farthest from all chosen so far.

Each point keeps its squared distance to the nearest chosen point, summed in the order of the axes; a chosen one keeps
−1, so that none comes twice. The farthest point is the one with the largest, ties to the lowest index.

In few axes the points are sorted along a Z-order curve and cut into buckets with their bounding boxes. A new point
changes nothing in a bucket, or in a group of buckets, whose box is farther from it than the largest distance kept
there; rounding is monotone, and so is the test. (Han et al., "QuickFPS", IEEE TCAD 2023, with boxes over a
space-filling curve instead of a tree.)

In many axes no box helps. What a point keeps is a bound as long as it has not seen all chosen points, and most points
fall below the farthest one after a few of them: the others are left unseen (lazy evaluation, Minoux 1978).
"""

from __future__ import annotations

import numpy as np

from fastdeg.kernels._jit import REASSOCIATE, kernel

BUCKET = 64  # points
GROUP = 32  # buckets
NO_INDEX = 2**62
RADIX_BITS = 11
CODE_BITS = 22  # two rounds of the radix sort
MOST_CODED_AXES = 8
CHOSEN = -1.0


@kernel
def _spread(bits, gap):
    """Table of numbers below 2**bits with their bits ``gap`` places apart."""
    table = np.zeros(2**bits, np.uint32)
    for number in range(2**bits):
        for bit in range(bits):
            table[number] |= np.uint32(((number >> bit) & 1) << (bit * gap))
    return table


@kernel
def z_order(x):
    """Stable order of the points along a Z-order curve over the box around them, by radix sort."""
    n, n_axes = x.shape
    coded = min(n_axes, MOST_CODED_AXES)
    bits = min(RADIX_BITS, CODE_BITS // coded)
    low, high = np.full(coded, np.inf), np.full(coded, -np.inf)
    for i in range(n):
        for k in range(coded):
            low[k] = min(low[k], np.float64(x[i, k]))
            high[k] = max(high[k], np.float64(x[i, k]))
    table = _spread(bits, coded)
    limit = float(2**bits - 1)
    codes = np.zeros(n, np.uint32)
    for k in range(coded):
        scale = limit / (high[k] - low[k])
        if not (scale > 0.0 and scale < np.inf):
            continue
        origin, shift = low[k], np.uint32(k)
        for i in range(n):
            codes[i] |= table[np.uint32(min((x[i, k] - origin) * scale, limit))] << shift
    order = np.empty(n, np.uint32)
    for i in range(n):
        order[i] = i
    other_order, other_codes = np.empty(n, np.uint32), np.empty(n, np.uint32)
    mask = np.uint32(2**RADIX_BITS - 1)
    for begin in range(0, CODE_BITS, RADIX_BITS):
        shift = np.uint32(begin)
        starts = np.zeros(2**RADIX_BITS + 1, np.uint32)
        for i in range(n):
            starts[((codes[i] >> shift) & mask) + np.uint32(1)] += np.uint32(1)
        for digit in range(2**RADIX_BITS):
            starts[digit + 1] += starts[digit]
        for i in range(n):
            digit = (codes[i] >> shift) & mask
            position = starts[digit]
            starts[digit] += np.uint32(1)
            other_codes[position] = codes[i]
            other_order[position] = order[i]
        codes, other_codes = other_codes, codes
        order, other_order = other_order, order
    return order.astype(np.int64)


@kernel
def _boxes(low, high, size):
    """Boxes of each ``size`` consecutive boxes (points are boxes too), axis by axis."""
    n_axes, n = low.shape
    n_groups = (n + size - 1) // size
    group_low, group_high = np.empty((n_axes, n_groups)), np.empty((n_axes, n_groups))
    for group in range(n_groups):
        begin = group * size
        end = min(n, begin + size)
        for k in range(n_axes):
            lows, highs = low[k, begin:end], high[k, begin:end]
            smallest, largest = lows[0], highs[0]
            for i in range(1, end - begin):
                smallest = lows[i] if lows[i] < smallest else smallest
                largest = highs[i] if highs[i] > largest else largest
            group_low[k, group], group_high[k, group] = smallest, largest
    return group_low, group_high


@kernel
def make_buckets(x):
    """Return (order, columns, boxes, group boxes): sorted points as columns, boxes of buckets and of groups of them."""
    n, n_axes = x.shape
    order = z_order(x)
    columns = np.empty((n_axes, n))
    for i in range(n):
        for k in range(n_axes):
            columns[k, i] = x[order[i], k]
    boxes = _boxes(columns, columns, BUCKET)
    return order, columns, boxes, _boxes(boxes[0], boxes[1], GROUP)


@kernel
def _bounds(point, boxes, begin, end, bounds):
    """Write the squared distances between a point and some boxes."""
    low, high = boxes
    for box in range(end - begin):
        bounds[box] = 0.0
    for k in range(low.shape[0]):
        value = np.float64(point[k])
        lows, highs = low[k, begin:end], high[k, begin:end]
        for box in range(end - begin):
            below, above = lows[box] - value, value - highs[box]
            gap = below if below > above else above
            gap = gap if gap > 0.0 else 0.0
            bounds[box] += gap * gap


@kernel
def _update(point, columns, begin, end, distances, nearest):
    """Lower the kept distances of a bucket to those to a point."""
    n_axes = columns.shape[0]
    kept = nearest[begin:end]
    if n_axes == 3:
        v0, v1, v2 = np.float64(point[0]), np.float64(point[1]), np.float64(point[2])
        c0, c1, c2 = columns[0, begin:end], columns[1, begin:end], columns[2, begin:end]
        for i in range(end - begin):
            d0, d1, d2 = c0[i] - v0, c1[i] - v1, c2[i] - v2
            distance = d0 * d0 + d1 * d1 + d2 * d2
            kept[i] = distance if distance < kept[i] else kept[i]
        return
    for i in range(end - begin):
        distances[i] = 0.0
    for k in range(n_axes):
        value = np.float64(point[k])
        column = columns[k, begin:end]
        for i in range(end - begin):
            difference = column[i] - value
            distances[i] += difference * difference
    for i in range(end - begin):
        kept[i] = distances[i] if distances[i] < kept[i] else kept[i]


@kernel
def _best(bits, indices, begin, end):
    """Largest of some kept distances, given by their bits, and the lowest index that has it.

    Floats that are not negative are in the order of their bits; −1 is below all.
    """
    values, own = bits[begin:end], indices[begin:end]
    largest = values[0]
    for i in range(1, end - begin):
        largest = max(largest, values[i])
    index = NO_INDEX
    for i in range(end - begin):
        index = min(index, own[i] if values[i] == largest else NO_INDEX)
    return largest, index


@kernel
def bucket_steps(x, buckets, chosen, first_step, last_step, nearest, best, best_index):
    """Choose chosen[first_step:last_step], the points before them being chosen.

    State: the kept distances in the buckets' order, and the largest one of each bucket with its lowest index.
    """
    order, columns, boxes, group_boxes = buckets
    n = columns.shape[1]
    n_buckets = best.shape[0]
    n_groups = (n_buckets + GROUP - 1) // GROUP
    nearest_bits, best_bits = nearest.view(np.int64), best.view(np.int64)
    group_best, group_index = np.empty(n_groups), np.empty(n_groups, np.int64)
    group_bits = group_best.view(np.int64)
    if first_step == 1:
        for bucket in range(n_buckets):
            end = min(n, (bucket + 1) * BUCKET)
            best_bits[bucket], best_index[bucket] = _best(nearest_bits, order, bucket * BUCKET, end)
    for group in range(n_groups):
        end = min(n_buckets, (group + 1) * GROUP)
        group_bits[group], group_index[group] = _best(best_bits, best_index, group * GROUP, end)
    group_bounds, bounds, distances = np.empty(n_groups), np.empty(GROUP), np.empty(BUCKET)
    for step in range(first_step, last_step):
        latest = chosen[step - 1]
        point = x[latest]
        _bounds(point, group_boxes, 0, n_groups, group_bounds)
        for group in range(n_groups):
            if group_bounds[group] >= group_best[group] and group_bounds[group] > 0.0:
                continue
            first, last = group * GROUP, min(n_buckets, (group + 1) * GROUP)
            _bounds(point, boxes, first, last, bounds)
            for bucket in range(first, last):
                bound = bounds[bucket - first]
                if bound >= best[bucket] and bound > 0.0:
                    continue
                begin, end = bucket * BUCKET, min(n, (bucket + 1) * BUCKET)
                _update(point, columns, begin, end, distances, nearest)
                if bound == 0.0:  # the point itself may be here
                    for i in range(begin, end):
                        if order[i] == latest:
                            nearest[i] = CHOSEN
                best_bits[bucket], best_index[bucket] = _best(nearest_bits, order, begin, end)
            group_bits[group], group_index[group] = _best(best_bits, best_index, first, last)
        _, chosen[step] = _best(group_bits, group_index, 0, n_groups)


@kernel(fastmath=REASSOCIATE)
def _squared_distance(a, b):
    total = 0.0
    for k in range(a.shape[0]):
        difference = np.float64(a[k]) - np.float64(b[k])
        total += difference * difference
    return total


@kernel
def lazy_steps(x, chosen, first_step, last_step, nearest, seen):
    """Choose chosen[first_step:last_step], the points before them being chosen.

    State: each point's squared distance to the nearest of those chosen points that it has seen, the first ones.
    """
    for step in range(first_step, last_step):
        nearest[chosen[step - 1]] = CHOSEN
        index = np.argmax(nearest)  # a good one first leaves fewer to look at
        largest = -np.inf
        for candidate in range(-1, x.shape[0]):
            i = index if candidate < 0 else candidate
            while seen[i] < step and nearest[i] >= largest:
                nearest[i] = min(nearest[i], _squared_distance(x[i], x[chosen[seen[i]]]))
                seen[i] += 1
            if nearest[i] > largest or (nearest[i] == largest and i < index):
                largest, index = nearest[i], i
        chosen[step] = index
