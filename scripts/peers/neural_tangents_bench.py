"""The kernel cases of crates/tangent/benches/kernels.rs in neural-tangents.

    python neural_tangents_bench.py CASE

Prints {"implementation": seconds, ...}: medians after JIT compilation, the result waited for.
"""
import json, statistics, sys, time

case = sys.argv[1]
import jax

if case.startswith("limit"):
    jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from neural_tangents import stax

RUNS = 5
rng = np.random.default_rng(0)


def images(n, flat):
    x = np.where(rng.random((n, 784)) < 0.2, rng.random((n, 784)), 0.0)
    dtype = np.float64 if case.startswith("limit") else np.float32
    return jnp.asarray(x if flat else x.reshape(n, 28, 28, 1), dtype)


def mlp(widths):
    layers = []
    for width in widths:
        layers += [stax.Dense(width), stax.Relu()]
    return stax.serial(*layers, stax.Dense(1))


def conv(channels, stride=1, kernel=3):
    return stax.Conv(channels, (kernel, kernel), (stride, stride), padding="SAME")


def cnn(channels, head):
    layers = []
    for c in channels:
        layers += [conv(c), stax.Relu()]
    return stax.serial(*layers, head, stax.Dense(1))


def block(channels, stride, shortcut):
    branch = stax.serial(stax.Relu(), conv(channels, stride), stax.Relu(), conv(channels))
    return stax.serial(stax.FanOut(2), stax.parallel(branch, shortcut), stax.FanInSum())


def resnet():
    return stax.serial(conv(32), block(32, 1, stax.Identity()), block(64, 2, conv(64, 2, 1)), stax.Relu(),
                       stax.GlobalAvgPool(), stax.Dense(1))


CASES = {
    "empirical-mlp-1024-n256": (lambda: mlp([1024, 1024]), 256, True),
    "empirical-mlp-1024-n1024": (lambda: mlp([1024, 1024]), 1024, True),
    "empirical-mlp-4096-n128": (lambda: mlp([4096, 4096]), 128, True),
    "empirical-cnn-n64": (lambda: cnn([64] * 3, stax.GlobalAvgPool()), 64, False),
    "empirical-resnet-n64": (resnet, 64, False),
    "limit-two-layer-n4000": (lambda: mlp([1]), 4000, True),
    "limit-two-layer-n12665": (lambda: mlp([1]), 12665, True),
    "limit-cnn-flatten-n200": (lambda: cnn([1] * 3, stax.Flatten()), 200, False),
}


def median(run):
    run().block_until_ready()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run().block_until_ready()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


build, n, flat = CASES[case]
init_fn, apply_fn, kernel_fn = build()
x = images(n, flat)
found = {}
if case.startswith("limit"):
    kernel = jax.jit(lambda x: kernel_fn(x, None, "ntk"))
    found["closed form"] = median(lambda: kernel(x))
else:
    _, params = init_fn(jax.random.PRNGKey(1), x.shape)
    for name in ["JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES"]:
        # On dense networks the other two are a hundred times slower than structured derivatives (tried on the
        # smallest case: 3.1 s and 2.2 s against 0.02 s), and vector products are out of reach on images.
        if name != "STRUCTURED_DERIVATIVES" and (flat or name == "NTK_VECTOR_PRODUCTS"):
            continue
        implementation = getattr(nt.NtkImplementation, name)
        kernel = jax.jit(nt.empirical_ntk_fn(apply_fn, trace_axes=(-1,), vmap_axes=0, implementation=implementation))
        found[name.lower()] = median(lambda: kernel(x, None, params))
print(json.dumps(found))
