"""Theorem 4.2 with its bisection, in PyTorch.

    python torch_certify_bench.py MACHINE.npz IMAGES masks|all|support

Takes every so many-th test image, one after another, in f64: over all training samples with cases told apart by boolean
masks, as the paper's code does it; with the cases chosen element by element, which is faster; and that over the samples with
a coefficient alone.
Prints {"seconds_per_image": ..., "positions": [...], "radii": [...]}: the processor's seconds, on one core.

Over the l_inf ball of a radius delta, which lies in the l_2 ball of rho = sqrt(d) delta, |x| lies within rho of itself
and <x, x_i> within rho |x_i|; h(u) = 2u (pi - arccos u) + sqrt(1 - u^2) is least at u = -0.794.
"""
import json, math, sys, time

import numpy, torch

LEAST_AT, LEAST = -0.794, -0.429738
START, BRACKET, NEAR = 0.05, 0.3, 1e-3
WARM = 3

torch.set_num_threads(1)
machine = numpy.load(sys.argv[1])
vectors, alpha, tests = (torch.from_numpy(machine[name]) for name in ("inputs", "alpha", "tests"))
if sys.argv[3] == "support":
    vectors, alpha = vectors[alpha != 0], alpha[alpha != 0]
norms = torch.linalg.vector_norm(vectors, dim=1)
d = vectors.shape[1]


def h(u):
    return 2 * u * (math.pi - torch.arccos(u)) + torch.sqrt(1 - u * u)


def bound(sign, size, dots, delta):
    """A lower bound of sign * g over the ball."""
    rho = math.sqrt(d) * delta
    small, large = max(size - rho, 0.0), size + rho
    low, high = dots - rho * norms, dots + rho * norms
    first = torch.where(low >= 0, low / large, low / small) / norms
    last = torch.clamp(torch.where(high >= 0, high / small, high / large) / norms, max=1.0)
    h1, h2 = h(first), h(last)
    least = torch.where((first <= LEAST_AT) & (last >= LEAST_AT), LEAST, torch.minimum(h1, h2))
    most = torch.maximum(h1, h2)
    below = torch.where(least >= 0, small * least, large * least)
    above = torch.where(most >= 0, large * most, small * most)
    weights = sign * alpha * norms / (2 * math.pi * d)
    return torch.sum(weights * torch.where(weights >= 0, below, above)).item()


def radius(x):
    size = torch.linalg.vector_norm(x).item()
    dots = vectors @ x
    value = size / (2 * math.pi * d) * torch.dot(alpha * norms, h(torch.clamp(dots / (size * norms), max=1.0)))
    sign = 1.0 if value >= 0 else -1.0
    low, high, delta = 0.0, BRACKET, START
    for _ in range(100):
        found = bound(sign, size, dots, delta)
        if 0 <= found < NEAR:
            return delta
        low, high = (delta, high) if found >= 0 else (low, delta)
        delta = (low + high) / 2
    return low


def bound_by_masks(sign, size, dots, delta):
    """The same, with one assignment to a masked part for every case."""
    rho = math.sqrt(d) * delta
    small, large = max(size - rho, 0.0), size + rho
    low, high = dots - rho * norms, dots + rho * norms
    first, last = torch.zeros_like(low), torch.zeros_like(high)
    first[low >= 0], first[low < 0] = low[low >= 0] / large, low[low < 0] / small
    last[high >= 0], last[high < 0] = high[high >= 0] / small, high[high < 0] / large
    first, last = first / norms, last / norms
    last[last >= 1] = 1.0
    h1, h2 = h(first), h(last)
    ends = torch.stack([torch.minimum(h1, h2), torch.maximum(h1, h2)])
    ends[0, torch.logical_and(first <= LEAST_AT, last >= LEAST_AT)] = LEAST
    kernel = torch.zeros_like(ends)
    for k, (positive, negative) in enumerate([(small, large), (large, small)]):
        kernel[k][ends[k] >= 0] = positive * ends[k][ends[k] >= 0]
        kernel[k][ends[k] < 0] = negative * ends[k][ends[k] < 0]
    kernel = kernel * norms / (2 * math.pi * d)
    below, above = kernel if sign > 0 else kernel.flip(0)
    return sign * (alpha[alpha > 0] @ below[alpha > 0] + alpha[alpha < 0] @ above[alpha < 0]).item()


if sys.argv[3] == "masks":
    bound = bound_by_masks
count = int(sys.argv[2])
positions = [k * len(tests) // count for k in range(count)]
for k in positions[:WARM]:
    radius(tests[k])
started = time.process_time()
radii = [radius(tests[k]) for k in positions]
seconds = (time.process_time() - started) / count
print(json.dumps({"seconds_per_image": seconds, "positions": positions, "radii": radii}))
