"""Orthonormal cosine transform (DCT-II) of a grid in place, as products with the transform's matrices.

For axes of up to some hundred cells the products beat a fast transform: they run at the rate of the multipliers. Rows
of the matrix are even and odd by turns, so cells that lie opposite each other fold into sums and differences, whose
products with half the columns have half the multiplications. What is transformed at once stays in the caches.
"""

import numpy as np
from numba import prange

from fastdeg.kernels._jit import kernel, parallel_kernel

PANEL = 512  # cells, or rows along the last axis, of one product
SHORT = 16  # cells along the last axis up to which folding costs more than it saves


@kernel
def copy(source, to):
    """to = source."""
    for j in range(len(to)):
        to[j] = source[j]


@kernel
def butterfly(a, b, plus, minus):
    """plus = a + b, minus = a − b."""
    for j in range(len(a)):
        u, v = a[j], b[j]
        plus[j] = u + v
        minus[j] = u - v


@kernel
def transform_panel(x, first_outer, last_outer, first, last, even, odd, inverse):
    """x[first_outer:last_outer, :, first:last] ← its transform along the middle, with the halves of the matrix."""
    n, half, width = x.shape[1], len(odd), last - first
    size = (last_outer - first_outer) * width
    a, b = np.empty((n - half, size), x.dtype), np.empty((half, size), x.dtype)
    for o in range(first_outer, last_outer):
        cells = x[o]
        begin = (o - first_outer) * width
        end = begin + width
        for i in range(half):
            if inverse:
                copy(cells[2 * i, first:last], a[i, begin:end])
                copy(cells[2 * i + 1, first:last], b[i, begin:end])
            else:
                butterfly(cells[i, first:last], cells[n - 1 - i, first:last], a[i, begin:end], b[i, begin:end])
        if n % 2:
            copy(cells[n - 1 if inverse else half, first:last], a[half, begin:end])
    c, d = np.empty_like(a), np.empty_like(b)
    np.dot(even, a, c)
    np.dot(odd, b, d)
    for o in range(first_outer, last_outer):
        cells = x[o]
        begin = (o - first_outer) * width
        end = begin + width
        for i in range(half):
            if inverse:
                butterfly(c[i, begin:end], d[i, begin:end], cells[i, first:last], cells[n - 1 - i, first:last])
            else:
                copy(c[i, begin:end], cells[2 * i, first:last])
                copy(d[i, begin:end], cells[2 * i + 1, first:last])
        if n % 2:
            copy(c[half, begin:end], cells[half if inverse else n - 1, first:last])


@kernel
def fold_rows(x, sums, differences):
    """Sums and differences of the cells of each row that lie opposite each other."""
    n, half = x.shape[1], differences.shape[1]
    for r in range(len(x)):
        row, plus, minus = x[r], sums[r], differences[r]
        for i in range(half):
            near, far = row[i], row[np.uintp(n - 1 - i)]  # unsigned: an index that may count from the end is slow
            plus[i], minus[i] = near + far, near - far
    if n % 2:
        sums[:, half] = x[:, half]


@kernel
def unfold_rows(sums, differences, x):
    """Rows from half the sums and differences of the cells that lie opposite each other."""
    n, half = x.shape[1], differences.shape[1]
    for r in range(len(x)):
        row, plus, minus = x[r], sums[r], differences[r]
        for i in range(half):
            row[i] = plus[i] + minus[i]
        for i in range(half):
            row[np.uintp(n - 1 - i)] = plus[i] - minus[i]
    if n % 2:
        x[:, half] = sums[:, half]


@kernel
def deal_rows(x, evens, odds):
    """The cells of each row by turns."""
    half = odds.shape[1]
    for r in range(len(x)):
        row, even, odd = x[r], evens[r], odds[r]
        for i in range(half):
            even[i], odd[i] = row[2 * i], row[2 * i + 1]
    if x.shape[1] % 2:
        evens[:, half] = x[:, 2 * half]


@kernel
def merge_rows(evens, odds, x):
    """Rows with cells from one and the other by turns."""
    half = odds.shape[1]
    for r in range(len(x)):
        row, even, odd = x[r], evens[r], odds[r]
        for i in range(half):
            row[2 * i], row[2 * i + 1] = even[i], odd[i]
    if x.shape[1] % 2:
        x[:, 2 * half] = evens[:, half]


@kernel
def transform_rows(x, even, odd, inverse):
    """x ← its transform along the last axis, with the halves of the matrix, transposed."""
    n, half = x.shape[1], len(odd)
    a, b = np.empty((len(x), n - half), x.dtype), np.empty((len(x), half), x.dtype)
    if inverse:
        deal_rows(x, a, b)
        unfold_rows(np.dot(a, even), np.dot(b, odd), x)
    else:
        fold_rows(x, a, b)
        merge_rows(np.dot(a, even), np.dot(b, odd), x)


@kernel
def square(flat, first, n):
    """View of n² entries as a matrix."""
    return flat[first : first + n * n].reshape(n, n)


@kernel
def halves(matrices, at, n):
    """The even and the odd half of the matrix that stands whole at ``at``."""
    half = n // 2
    first = at + n * n
    return square(matrices, first, n - half), square(matrices, first + (n - half) * (n - half), half)


@kernel
def transform_axis(x, matrices, at, inverse):
    """x (outer, n, inner) ← its transform along n; ``matrices`` has at ``at`` the whole one and its two halves."""
    outer, n, inner = x.shape
    whole = square(matrices, at, n)
    even, odd = halves(matrices, at, n)
    if inner == 1:
        rows = x.reshape(outer, n)
        for first in range(0, outer, PANEL):
            last = min(outer, first + PANEL)
            if n < SHORT:
                copy(np.dot(rows[first:last], whole).ravel(), rows[first:last].ravel())
            else:
                transform_rows(rows[first:last], even, odd, inverse)
    elif n < SHORT:
        image = np.empty((n, inner), x.dtype)
        for o in range(outer):
            np.dot(whole, x[o], image)
            copy(image.ravel(), x[o].ravel())
    else:
        step = max(1, PANEL // inner)
        n_panels = (inner + PANEL - 1) // PANEL
        width = (inner + n_panels - 1) // n_panels
        for o in range(0, outer, step):
            for first in range(0, inner, width):
                transform_panel(x, o, min(outer, o + step), first, min(inner, first + width), even, odd, inverse)


@parallel_kernel
def transform_slabs(x, per_slab, shape, matrices, offsets, inverse):
    """x (n, cells of a grid of the shape) ← the transforms of these grids, ``per_slab`` in a task."""
    for slab in prange((len(x) + per_slab - 1) // per_slab):
        here = x[slab * per_slab : min(len(x), (slab + 1) * per_slab)]
        inner = 1
        for k in range(len(shape) - 1, -1, -1):
            n = shape[k]
            if n > 1:
                transform_axis(here.reshape(here.size // (n * inner), n, inner), matrices, offsets[k], inverse)
            inner *= n


@parallel_kernel
def transform_panels(x, matrices, at, inverse):
    """x (outer, n, inner) ← its transform along n."""
    outer, n, inner = x.shape
    even, odd = halves(matrices, at, n)
    n_panels = (inner + PANEL - 1) // PANEL
    width = (inner + n_panels - 1) // n_panels
    for task in prange(outer * n_panels):
        o, first = task // n_panels, (task % n_panels) * width
        transform_panel(x, o, o + 1, first, min(inner, first + width), even, odd, inverse)


@parallel_kernel
def divide_by_spectrum(image, first, rest):
    """image (n, m) /= −(first + rest): the inverse of a Laplacian, whose eigenvalues are sums over the axes."""
    for i in prange(len(image)):
        row, value = image[i], first[i]
        for j in range(len(rest)):
            row[j] /= -(value + rest[j])
