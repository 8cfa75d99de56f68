"""Convolutions in float64 as plain loops over windows, written from their formulas."""

from __future__ import annotations

import numpy as np


def sides(padding, size, strides, dilation, lengths):
    """Rows above and below, and columns left and right."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding != "same":
        return padding
    found = []
    for length, k, s, d in zip(lengths, size, strides, dilation, strict=True):
        n_windows = -(-length // s)
        missing = max(0, (n_windows - 1) * s + d * (k - 1) + 1 - length)
        found.append((missing // 2, missing - missing // 2))
    return tuple(found)


def convolved(x, weights, biases, strides=(1, 1), padding="valid", dilation=(1, 1)):
    """Each output by itself; how many groups there are follows from the weights."""
    kh, kw, each, n_filters = weights.shape
    n_groups = x.shape[3] // each
    around = np.pad(x, ((0, 0), *sides(padding, (kh, kw), strides, dilation, x.shape[1:3]), (0, 0)))
    (sh, sw), (dh, dw) = strides, dilation
    down = (around.shape[1] - dh * (kh - 1) - 1) // sh + 1
    across = (around.shape[2] - dw * (kw - 1) - 1) // sw + 1
    output = np.zeros((len(x), down, across, n_filters)) + biases
    of_group = n_filters // n_groups
    for group in range(n_groups):
        channels = slice(group * each, (group + 1) * each)
        filters = slice(group * of_group, (group + 1) * of_group)
        for y in range(down):
            for z in range(across):
                rows = slice(y * sh, y * sh + dh * (kh - 1) + 1, dh)
                columns = slice(z * sw, z * sw + dw * (kw - 1) + 1, dw)
                seen = around[:, rows, columns, channels]
                output[:, y, z, filters] += np.tensordot(seen, weights[..., filters], axes=3)
    return output


def transposed(x, weights, biases, strides=(1, 1), padding="valid", dilation=(1, 1), more=(0, 0)):
    """Each pixel of the inputs adds its windows to the output."""
    kh, kw, each, channels = weights.shape
    (sh, sw), (dh, dw) = strides, dilation
    n, height, width, _ = x.shape
    full = np.zeros(
        (
            n,
            (height - 1) * sh + dh * (kh - 1) + 1 + more[0],
            (width - 1) * sw + dw * (kw - 1) + 1 + more[1],
            biases.shape[1],
        )
    )
    n_groups = biases.shape[1] // each
    of_group = channels // n_groups
    for group in range(n_groups):
        given = slice(group * of_group, (group + 1) * of_group)
        filters = slice(group * each, (group + 1) * each)
        for y in range(height):
            for z in range(width):
                for i in range(kh):
                    for j in range(kw):
                        added = x[:, y, z, given] @ weights[i, j, :, given].T
                        full[:, y * sh + i * dh, z * sw + j * dw, filters] += added
    if padding == "same":
        # Cut as the convolution pads that makes pictures of this size from larger ones.
        size = height * sh, width * sw
        (top, _), (left, _) = sides("same", (kh, kw), strides, dilation, size)
        wide = np.zeros((n, top + size[0] + sh, left + size[1] + sw, full.shape[3]))
        kept = full[:, : wide.shape[1], : wide.shape[2], :]
        wide[:, : kept.shape[1], : kept.shape[2], :] = kept
        return wide[:, top : top + size[0], left : left + size[1], :] + biases
    (top, bottom), (left, right) = ((0, 0), (0, 0)) if padding == "valid" else padding
    return full[:, top : full.shape[1] - bottom, left : full.shape[2] - right, :] + biases
