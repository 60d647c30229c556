"""Reference values for infinite-width kernels where double precision needs care: activations at variances from 1e-6 to
1e6, in images too, and inputs that are nearly parallel, opposite or both.

    pip install mpmath==1.3.0 numpy
    python extreme_kernels.py        # writes extreme_kernels.json beside it, in some minutes

Closed forms and the recursion over layers are computed in mpmath with 60 digits, from the very doubles in the file.
tanh and SiLU have no closed form: their expectations are double integrals, taken in 80-bit arithmetic by Gauss-Legendre
rules (nodes and weights from mpmath) on panels that shrink towards the lines where an argument is 0. Their squares'
means are compared with mpmath's own adaptive quadrature.
"""

import json
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
OUTPUT = Path(__file__).with_suffix(".json")


# Two Gaussian expectations, E[phi(a) phi(b)] and E[phi'(a) phi'(b)], of variances q, r and cosine c with sine s >= 0.

def rectifier(a, b, q, r, c, s):
    theta = mp.atan2(s, c)
    first = mp.sqrt(q * r) * (s + (mp.pi - theta) * c) / (2 * mp.pi)
    zeroth = (mp.pi - theta) / (2 * mp.pi)
    a, b = mp.mpf(a), mp.mpf(b)
    return a * b * mp.sqrt(q * r) * c + (b - a) ** 2 * first, a * b + (b - a) ** 2 * zeroth


def erf(q, r, c, s):
    p, d = 4 * q * r, (1 + 2 * q) * (1 + 2 * r) - 4 * q * r * c * c
    return 2 / mp.pi * mp.asin(mp.sqrt(p) * c / mp.sqrt((1 + 2 * q) * (1 + 2 * r))), 4 / (mp.pi * mp.sqrt(d))


def gelu(q, r, c, s):
    cov = mp.sqrt(q * r) * c
    d = (1 + q) * (1 + r) - cov ** 2
    both = mp.mpf(1) / 4 + mp.asin(cov / mp.sqrt((1 + q) * (1 + r))) / (2 * mp.pi)
    inverses = 1 / (1 + q) + 1 / (1 + r)
    value = cov * both + (q * r - cov ** 2 + cov ** 2 * inverses) / (2 * mp.pi * mp.sqrt(d))
    return value, both + cov * (inverses + 1 / d) / (2 * mp.pi * mp.sqrt(d))


def sine(q, r, c, s):
    cov, size = mp.sqrt(q * r) * c, mp.exp(-(q + r) / 2)
    return size * mp.sinh(cov), size * mp.cosh(cov)


LEGENDRE = np.polynomial.legendre.leggauss(20)[0]
NODES = [mp.findroot(lambda x: mp.legendre(20, x), mp.mpf(float(x))) for x in LEGENDRE]
SLOPES = [mp.diff(lambda x: mp.legendre(20, x), x) for x in NODES]
WEIGHTS = [2 / ((1 - x * x) * d * d) for x, d in zip(NODES, SLOPES)]
long = lambda values: np.array([np.longdouble(mp.nstr(x, 25)) for x in values])
NODES, WEIGHTS = long(NODES), long(WEIGHTS)
REACH = 12
STEPS = np.concatenate([-2.0 ** np.arange(5, -26, -1), [0], 2.0 ** np.arange(-25, 6)]).astype(np.longdouble)
GRID = np.linspace(-REACH, REACH, 33).astype(np.longdouble)


def panels(centers):
    """Nodes and weights `[n, N]` of the normal law, on panels that shrink towards each center `[n]`."""
    ends = np.concatenate([np.broadcast_to(GRID, (len(centers), len(GRID))), centers[:, None] + STEPS], 1)
    ends = np.sort(np.clip(ends, -REACH, REACH), 1)
    middle, half = (ends[:, 1:] + ends[:, :-1]) / 2, (ends[:, 1:] - ends[:, :-1]) / 2
    z = (middle[:, :, None] + half[:, :, None] * NODES).reshape(len(centers), -1)
    w = (half[:, :, None] * WEIGHTS).reshape(len(centers), -1)
    return z, w * np.exp(-z * z / 2) / np.sqrt(2 * np.longdouble(mp.nstr(mp.pi, 25)))


def tanh_functions(z):
    with np.errstate(over="ignore"):
        return np.tanh(z), 1 / np.cosh(np.clip(z, -5000, 5000)) ** 2


def silu_functions(z):
    with np.errstate(over="ignore"):
        gate = 1 / (1 + np.exp(-z))
        rest = 1 / (1 + np.exp(z))
    return z * gate, gate * (1 + z * rest)


def integral(functions, q, r, c, s):
    q, r, c, s = [np.longdouble(mp.nstr(x, 25)) for x in (q, r, c, s)]
    outer, outer_weights = panels(np.zeros(1, np.longdouble))
    outer, outer_weights = outer[0], outer_weights[0]
    keep = outer_weights > 1e-25
    outer, outer_weights = outer[keep], outer_weights[keep]
    left = functions(np.sqrt(q) * outer)
    if s == 0:
        right = functions(np.sqrt(r) * c * outer)
    else:
        z, w = panels(-c * outer / s)
        values = functions(np.sqrt(r) * (c * outer[:, None] + s * z))
        right = [(value * w).sum(1) for value in values]
    return [mp.mpf(np.format_float_positional((a * b * outer_weights).sum(), 25)) for a, b in zip(left, right)]


EXPECTATIONS = {
    "relu": lambda *pair: rectifier(0, 1, *pair),
    "leaky_relu": lambda *pair: rectifier(0.1, 1, *pair),
    "abrelu": lambda *pair: rectifier(-0.3, 1.7, *pair),
    "erf": erf,
    "gelu": gelu,
    "sine": sine,
    "tanh": lambda *pair: integral(tanh_functions, *pair),
    "silu": lambda *pair: integral(silu_functions, *pair),
}
CONFIGS = {"leaky_relu": {"leaky_relu": {"slope": 0.1}}, "abrelu": {"abrelu": {"a": -0.3, "b": 1.7}}}


def check_integral():
    """The double integral beside mpmath's adaptive quadrature, for equal arguments."""
    with mp.workdps(20):
        for q in (1e-6, 1.5, 900, 1e6):
            root = mp.sqrt(q)
            density = lambda z: mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)
            points = [0] + [mp.mpf(10) ** k for k in range(-5, 1)] + [2, 4, 8, 12]
            tanh = 2 * mp.quad(lambda z: density(z) * mp.tanh(root * z) ** 2, points)
            slope = 2 * mp.quad(lambda z: density(z) * mp.sech(root * z) ** 4, points)
            for found, exact in zip(integral(tanh_functions, mp.mpf(q), mp.mpf(q), mp.mpf(1), mp.mpf(0)), (tanh, slope)):
                assert abs(found / exact - 1) < 1e-15, (q, found, exact)


# The recursion, with every number in 60 digits. A kernel of two images is a matrix over pairs of positions.

def moments(name, ss):
    """E of the activation for `ss = (S_xx, S_xy, S_yy)` at two positions, given their variances."""
    q, cov, r = ss
    if q <= 0 or r <= 0:
        return mp.mpf(0), EXPECTATIONS[name](mp.mpf(1), mp.mpf(1), mp.mpf(0), mp.mpf(1))[1]
    c = cov / mp.sqrt(q * r)
    # Extreme cosines are exact to 60 digits.
    c = max(min(c, mp.mpf(1)), mp.mpf(-1))
    return EXPECTATIONS[name](q, r, c, mp.sqrt((1 - c) * (1 + c)))


class Pair:
    """S and T of x with x, x with y, y with y, each `[P, P]`, for images of `shape` positions."""

    def __init__(self, shape, s, t):
        self.shape, self.s, self.t = shape, s, t

    @staticmethod
    def of_inputs(x, y, shape):
        channels, size = shape[0], shape[1] * shape[2]
        x, y = [np.array([mp.mpf(v) for v in values], object).reshape(channels, size) for values in (x, y)]
        s = [a.T.dot(b) / channels for a, b in ((x, x), (x, y), (y, y))]
        return Pair(shape[1:], s, [0 * part for part in s])

    def linear(self, weights, stride, padding, kernel, sigma_w, sigma_b):
        h, w = self.shape
        out = [(n + 2 * padding - k) // stride + 1 for n, k in zip((h, w), kernel)]
        gather = np.zeros((out[0] * out[1], kernel[0] * kernel[1]), int) - 1
        for i in range(out[0]):
            for j in range(out[1]):
                for a in range(kernel[0]):
                    for b in range(kernel[1]):
                        y, x = i * stride + a - padding, j * stride + b - padding
                        if 0 <= y < h and 0 <= x < w:
                            gather[i * out[1] + j, a * kernel[1] + b] = y * w + x
        weight, bias = mp.mpf(sigma_w) ** 2, mp.mpf(sigma_b) ** 2

        def mean(matrix):
            total = np.full((len(gather), len(gather)), mp.mpf(0), object)
            for tap in gather.T:
                rows = np.where(tap >= 0)[0]
                total[np.ix_(rows, rows)] += matrix[np.ix_(tap[rows], tap[rows])]
            return total / gather.shape[1]

        s = [weight * mean(part) + bias for part in self.s]
        t = [weight * mean(part) + new for part, new in zip(self.t, s)]
        return Pair(tuple(out), s, t)

    def activation(self, name):
        own = [np.diag(self.s[0]), np.diag(self.s[2])]
        sides = [(0, 0), (0, 1), (1, 1)]
        s, t = [], []
        for part, tangent, (a, b) in zip(self.s, self.t, sides):
            both = [[moments(name, (own[a][i], part[i, j], own[b][j])) for j in range(len(part))]
                    for i in range(len(part))]
            s.append(np.array([[value for value, _ in row] for row in both], object))
            t.append(tangent * np.array([[factor for _, factor in row] for row in both], object))
        return Pair(self.shape, s, t)

    def pool(self, window):
        h, w = self.shape
        out = (h // window[0], w // window[1])
        mean = np.full((out[0] * out[1], h * w), mp.mpf(0), object)
        for i in range(out[0] * window[0]):
            for j in range(out[1] * window[1]):
                mean[(i // window[0]) * out[1] + j // window[1], i * w + j] = mp.mpf(1) / (window[0] * window[1])
        apply = lambda part: mean.dot(part).dot(mean.T)
        return Pair(out, [apply(part) for part in self.s], [apply(part) for part in self.t])

    def layers(self, layers):
        pair = self
        for layer in layers:
            if layer == "flatten":
                continue
            if layer == "global_average_pool":
                pair = pair.pool(pair.shape)
                continue
            (kind, value), = layer.items()
            if kind == "dense":
                pair = pair.linear(None, 1, 0, pair.shape, value["sigma_w"], value["sigma_b"])
            elif kind == "conv":
                pair = pair.linear(None, value["stride"], value["padding"], (value["kernel"],) * 2, value["sigma_w"],
                                   value["sigma_b"])
            elif kind == "activation":
                name = value if isinstance(value, str) else next(iter(value))
                pair = pair.activation(name)
            elif kind == "average_pool":
                pair = pair.pool((value["window"],) * 2)
            elif kind == "residual":
                branch, shortcut = pair.layers(value["branch"]), pair.layers(value["shortcut"])
                pair = Pair(branch.shape, [a + b for a, b in zip(branch.s, shortcut.s)],
                            [a + b for a, b in zip(branch.t, shortcut.t)])
            else:
                raise ValueError(kind)
        return pair


dense = lambda sigma_w=1.0, sigma_b=0.0: {"dense": {"units": 4, "sigma_w": sigma_w, "sigma_b": sigma_b}}
conv = lambda sigma_w=1.0, sigma_b=0.0, stride=1: {
    "conv": {"channels": 4, "kernel": 3, "stride": stride, "padding": 1, "sigma_w": sigma_w, "sigma_b": sigma_b}}
act = lambda name: {"activation": CONFIGS.get(name, name)}


def row(x, y, shape, layers):
    """`[[x..., y...], nngp of (xx, xy, yy), ntk of the same]`, kernels rounded to doubles."""
    pair = Pair.of_inputs(x, y, shape).layers(layers)
    number = lambda part: float(part[0, 0])
    return {"x": x, "y": y, "nngp": [number(part) for part in pair.s], "ntk": [number(part) for part in pair.t]}


def large_variances():
    variances = [(v, v) for v in (1e-6, 0.5, 1.5, 1.6, 4.0, 10.0, 100.0, 900.0, 1e4, 65025.0, 1e6)]
    variances += [(1e6, 1e-6), (1e4, 0.55), (1e6, 1.0), (1.5, 3.0), (100.0, 1e5), (9e5, 1e6)]
    angles = [0.0, 1e-8, 1e-5, 1e-3, 0.05, 0.78, 1.5, 2.6, 3.14, 3.141592653]
    cases = []
    for name in EXPECTATIONS:
        layers = [dense(), act(name), dense()]
        pairs = []
        for q, r in variances:
            for angle in angles:
                x = [float(np.sqrt(2 * q)), 0.0]
                y = [float(np.sqrt(2 * r) * np.cos(angle)), float(np.sqrt(2 * r) * np.sin(angle))]
                pairs.append(row(x, y, (2, 1, 1), layers))
        cases.append({"name": name, "depth": 1, "architecture": {"input": {"flat": 2}, "layers": layers}, "pairs": pairs})
        print(name, flush=True)
    return cases


def deep(name, depth, sigma_w, sigma_b):
    return [dense(), act(name)] + [
        layer for _ in range(depth - 1) for layer in (dense(sigma_w, sigma_b), act(name))] + [dense(sigma_w, sigma_b)]


def large_variances_in_every_layer():
    cases = []
    for name in EXPECTATIONS:
        # Rectifiers grow by themselves; GELU and SiLU become rectifiers.
        sigma_w = 30.0 if name in ("tanh", "erf") else 2.0
        layers = deep(name, 4, sigma_w, 0.5)
        pairs = []
        for q, r in ((1e-4, 1e-4), (2.0, 2.0), (5e4, 5e4), (1e6, 0.3)):
            for angle in (0.0, 1e-4, 0.2, 1.2, 2.4, 3.1):
                x = [float(np.sqrt(2 * q)), 0.0]
                y = [float(np.sqrt(2 * r) * np.cos(angle)), float(np.sqrt(2 * r) * np.sin(angle))]
                pairs.append(row(x, y, (2, 1, 1), layers))
        cases.append({"name": name, "depth": 4, "architecture": {"input": {"flat": 2}, "layers": layers}, "pairs": pairs})
        print(name, 4, flush=True)
    return cases


def images_at_large_variances():
    """Convolutions and pooling of images whose pixels are small, large, or both; of activations with a closed form, since
    there are many pairs of positions."""
    random = np.random.default_rng(5)
    cases = []
    for head, last in (("flatten", ["flatten"]), ("global average pool", ["global_average_pool"])):
        for name in ("relu", "leaky_relu", "abrelu", "erf", "gelu", "sine"):
            layers = [conv(1.4), act(name), conv(1.2, 0.3), act(name)] + last + [dense()]
            pairs = []
            for sizes in ((1e-3, 1e-3), (1e3, 1e3), (1e3, 1.0)):
                x, y = [(size * random.normal(size=8)).tolist() for size in sizes]
                pairs.append(row(x, y, (2, 2, 2), layers))
            cases.append({"name": f"cnn, {name}, {head}", "depth": 2,
                          "architecture": {"input": {"image": [2, 2, 2]}, "layers": layers}, "pairs": pairs})
            print(name, head, flush=True)
    return cases


def near_parallel():
    random = np.random.default_rng(3)
    residual = {"residual": {"branch": [act("relu"), dense(1.2)], "shortcut": []}}
    image = [conv(1.4), act("relu"), conv(1.4, 0.3, 2), act("relu")]
    block = {"residual": {"branch": [act("relu"), conv(1.2)], "shortcut": []}}
    every = [10.0 ** -k for k in range(0, 15, 1)]
    few = [1.0, 1e-3, 1e-6, 1e-7, 1e-8, 1e-10, 1e-14]
    cases = []
    plan = [
        ("relu", 1, 5, deep("relu", 1, 1.0, 0.0), every),
        ("relu", 10, 5, deep("relu", 10, 1.4, 0.0), every),
        ("relu", 100, 5, deep("relu", 100, 1.4, 0.0), every),
        ("relu with biases", 1, 5, [dense(1.0, 0.5), act("relu"), dense(1.0, 0.5)], few),
        ("relu with biases", 20, 5, deep("relu", 20, 1.4, 0.3), few),
        ("relu with large biases", 3, 5, [dense(1.0, 3e4)] + deep("relu", 3, 1.4, 100.0)[1:], few),
        ("leaky relu", 10, 5, deep("leaky_relu", 10, 1.4, 0.1), few),
        ("abrelu", 10, 5, deep("abrelu", 10, 0.8, 0.1), few),
        ("residual", 5, 5, [dense()] + [residual] * 4 + [act("relu"), dense(1.0, 0.2)], few),
        ("gelu", 2, 5, deep("gelu", 2, 30.0, 0.0), few),
        ("cnn, flatten", 2, [1, 4, 4], image + ["flatten", dense()], few),
        ("cnn, global average pool", 2, [2, 4, 4], image + ["global_average_pool", dense()], few),
        ("cnn, average pool", 2, [1, 4, 4], [conv(1.4), act("relu"), {"average_pool": {"window": 2}}, "flatten", dense()], few),
        ("cnn, average pool and relu", 2, [1, 4, 4],
         [conv(1.4), act("relu"), {"average_pool": {"window": 2}}, conv(1.2), act("relu"), "flatten", dense()], few),
        ("resnet", 3, [1, 4, 4], [conv(), block, block, act("relu"), "global_average_pool", dense()], few),
    ]
    for name, depth, size, layers, angles in plan:
        shape = (size, 1, 1) if isinstance(size, int) else tuple(size)
        count = shape[0] * shape[1] * shape[2]
        pairs = []
        for sign, norm in ((1, 1.0), (1, 3.7), (-1, 1.0), (-1, 0.3)):
            if sign < 0 and not isinstance(size, int):
                continue
            for angle in angles if norm == 1.0 else angles[::2]:
                x = random.normal(size=count).round(3)
                across = random.normal(size=count)
                across -= x * across.dot(x) / x.dot(x)
                across *= np.sqrt(x.dot(x) / across.dot(across))
                y = norm * (sign * x * np.cos(angle) + across * np.sin(angle))
                pairs.append(row(x.tolist(), y.tolist(), shape, layers))
        input_shape = {"flat": size} if isinstance(size, int) else {"image": size}
        cases.append({"name": name, "depth": depth, "architecture": {"input": input_shape, "layers": layers},
                      "pairs": pairs})
        print(name, depth, flush=True)
    return cases


def main():
    check_integral()
    groups = {"large variances": large_variances(),
              "large variances in every layer": large_variances_in_every_layer(),
              "images at large variances": images_at_large_variances(), "nearly parallel": near_parallel()}
    parts = [json.dumps(name) + ": [\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]"
             for name, cases in groups.items()]
    versions = json.dumps({"mpmath": mp.__version__, "numpy": np.__version__})
    OUTPUT.write_text("{\n" + '"versions": ' + versions + ",\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
