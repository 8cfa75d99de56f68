"""
A convolution by hand, in numbers
=================================

One filter and one small picture, as chapter 9 of *Neural Networks from Scratch* treats a neuron:
each number of the way forward and of the way back worked out with plain loops, and then held
against `Conv2D` and against central differences.

Usage: python examples/convolution_by_hand.py [BACKEND]

Prints the numbers. The layer computes its own on BACKEND: numpy (the default), cupy, torch, …
"""

import sys

import numpy as np

import nnfs_xp as nn

backend = nn.get_backend(sys.argv[1] if len(sys.argv) > 1 else "numpy")


def show(title, rows):
    """Print rows of numbers under a title."""
    digits = np.array2string(np.round(np.array(rows, dtype=np.float64), 7) + 0.0, separator=", ")
    print(f"{title}\n{digits}\n")


def zeros(height, width):
    """Rows of zeros."""
    return [[0.0] * width for _ in range(height)]


def same(one, other):
    """Whether numbers are equal but for rounding."""
    return bool(np.allclose(nn.to_numpy(one).ravel(), np.array(other).ravel(), 1e-7, 1e-7))


picture = [[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 3.0, 2.0], [2.0, -1.0, 1.0, 0.0], [1.0, 0.0, 2.0, 1.0]]
filter_ = [[1.0, -2.0], [0.5, 3.0]]
bias = 1.0
places = [(y, x) for y in range(3) for x in range(3)]  # of a 2 x 2 window in 4 x 4 pixels
taps = [(i, j) for i in range(2) for j in range(2)]

print(f"# On {backend.name}\n")
show("The picture", picture)
show("The filter", filter_)

print("## One place: a neuron that sees four pixels\n")
seen = [picture[i][j] for i, j in taps]
weights = [filter_[i][j] for i, j in taps]
products = [pixel * weight for pixel, weight in zip(seen, weights, strict=True)]
show("What the window sees, top left", seen)
show("Times the weights", products)
print(f"Their sum and the bias: {sum(products)} + {bias} = {sum(products) + bias}\n")

print("## Forward: the same neuron at each place, then ReLU\n")
z, output = zeros(3, 3), zeros(3, 3)
for y, x in places:
    z[y][x] = sum(picture[y + i][x + j] * filter_[i][j] for i, j in taps) + bias
    output[y][x] = max(z[y][x], 0.0)
show("z", z)
show("Output", output)

print("## Back: the loss is half the sum of the outputs squared\n")
dvalues = output  # the derivative of half a square is the number itself
dz = zeros(3, 3)
for y, x in places:
    dz[y][x] = dvalues[y][x] if z[y][x] > 0 else 0.0
show("dz: the ReLU lets through where z is above 0", dz)

dfilter = zeros(2, 2)
for i, j in taps:
    dfilter[i][j] = sum(dz[y][x] * picture[y + i][x + j] for y, x in places)
show("dweights: a weight is used at all places, and gets the sum over them", dfilter)

dbias = sum(dz[y][x] for y, x in places)
print(f"dbias: so is the bias: {dbias}\n")

dpicture = zeros(4, 4)
for y, x in places:
    for i, j in taps:
        dpicture[y + i][x + j] += dz[y][x] * filter_[i][j]
show("dinputs: a pixel gets something from each window that sees it", dpicture)

windows = zeros(4, 4)
for y, x in places:
    for i, j in taps:
        windows[y + i][x + j] += 1
show("So many windows see each pixel", windows)

print("## The same as products of matrices, each window a row\n")
patches = np.array([[picture[y + i][x + j] for i, j in taps] for y, x in places])
column, rows = np.array(weights)[:, None], np.array(dz).reshape(-1, 1)
show("Patches", patches)
show("patches @ weights + bias, in a row", (patches @ column + bias).T)
show("patches.T @ dz, in a row", (patches.T @ rows).T)
show("dz @ weights.T: what each window sends back to its pixels", rows @ column.T)

print("## The layer\n")
layer = nn.Conv2D(1, 1, 2, dtype="float64")
layer.weights = np.array(filter_)[:, :, None, None]
layer.biases = [[bias]]
model = nn.Sequential(layer, nn.ReLU()).to(backend)
batch = backend.asarray(np.array(picture)[None, :, :, None])  # one picture of one channel
found = model.forward(batch, training=True)
dinputs = model.backward(found)
for name, array, by_hand in (
    ("output", found, output),
    ("dweights", layer.dweights, dfilter),
    ("dbiases", layer.dbiases, dbias),
    ("dinputs", dinputs, dpicture),
):
    assert same(array, by_hand), name
    print(f"{name}: as by hand")

print("\n## Central differences: move a number a little, and see how far the loss moves\n")


def loss(pixels, weights, bias):
    """Half the sum of the outputs squared, from the layer."""
    layer.weights, layer.biases = weights[:, :, None, None], [[bias]]
    outputs = model.forward(backend.asarray(pixels[None, :, :, None]))
    return 0.5 * float(np.sum(nn.to_numpy(outputs) ** 2))


def differences(function, array, step=1e-5):
    """The derivative by each number of an array: up a little, down a little."""
    found = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[index] += step
        down[index] -= step
        found[index] = (function(up) - function(down)) / (2 * step)
    return found


pixels, weights = np.array(picture), np.array(filter_)
for name, numeric, by_hand in (
    ("dweights", differences(lambda moved: loss(pixels, moved, bias), weights), dfilter),
    ("dbias", differences(lambda moved: loss(pixels, weights, moved[0]), np.array([bias])), dbias),
    ("dinputs", differences(lambda moved: loss(moved, weights, bias), pixels), dpicture),
):
    assert same(numeric, by_hand), name
    print(f"{name}: the largest difference is {np.abs(numeric - np.array(by_hand)).max():.0e}")
