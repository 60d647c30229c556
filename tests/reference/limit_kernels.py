"""Reference values for the infinite-width kernels, from an independent library.

Writes limit_kernels.json beside this file: seeded samples, architectures in widenet's own format, and the NNGP and
NTK matrices that neural-tangents computes for them in double precision. crates/tangent/tests/limit_reference.rs
compares widenet with them.

    python3.11 -m venv venv
    venv/bin/pip install neural-tangents==0.6.5 jax==0.4.20 jaxlib==0.4.20 "numpy<2" "scipy<1.12"
    venv/bin/python limit_kernels.py train-images-idx3-ubyte train-labels-idx1-ubyte

The two arguments are the MNIST training files (uncompressed). Of these only the first three images of a 0 or a 1 are
used; without arguments they are taken from the existing limit_kernels.json.
"""

import json
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import jaxlib
import neural_tangents
import numpy as np
from neural_tangents import stax

OUTPUT = Path(__file__).with_name("limit_kernels.json")


# Architectures, in the format of widenet_model::Architecture.

def dense(units=1, sigma_w=1.0, sigma_b=0.0):
    return {"dense": {"units": units, "sigma_w": sigma_w, "sigma_b": sigma_b}}


def conv(channels=4, kernel=3, stride=1, padding=None, sigma_w=1.0, sigma_b=0.0):
    padding = kernel // 2 if padding is None else padding
    return {"conv": {"channels": channels, "kernel": kernel, "stride": stride, "padding": padding,
                     "sigma_w": sigma_w, "sigma_b": sigma_b}}


def act(activation):
    return {"activation": activation}


def pool(window):
    return {"average_pool": {"window": window}}


def residual(branch, shortcut=()):
    return {"residual": {"branch": list(branch), "shortcut": list(shortcut)}}


def mlp(depth, activation="relu", **scales):
    """A fully connected network with depth - 1 hidden layers."""
    layers = []
    for _ in range(depth - 1):
        layers += [dense(8, **scales), act(activation)]
    return layers + [dense(**scales)]


RELU, FLATTEN, MEAN = act("relu"), "flatten", "global_average_pool"


def block(activation, channels, stride=1, **scales):
    """A residual block in pre-activation order, with a projected shortcut where the stride is not 1."""
    branch = [act(activation), conv(channels, stride=stride, **scales), act(activation), conv(channels, **scales)]
    return residual(branch, [conv(channels, kernel=1, stride=stride, **scales)] if stride > 1 else [])


CASES = [
    # name, samples, layers
    ("mlp depth 1", "flat", mlp(1)),
    ("mlp depth 2 relu", "flat", mlp(2)),
    ("mlp depth 3 relu", "flat", mlp(3)),
    ("mlp depth 4 relu", "flat", mlp(4)),
    ("mlp depth 3 relu with biases", "flat", mlp(3, sigma_w=1.4, sigma_b=0.3)),
    ("mlp leaky relu", "flat", mlp(3, {"leaky_relu": {"slope": 0.2}}, sigma_w=1.2)),
    ("mlp abrelu", "flat", mlp(3, {"abrelu": {"a": -0.7, "b": 1.3}}, sigma_b=0.1)),
    ("mlp erf", "flat", mlp(3, "erf", sigma_w=1.5, sigma_b=0.2)),
    ("mlp gelu", "flat", mlp(4, "gelu", sigma_w=1.5, sigma_b=0.2)),
    ("mlp sine", "flat", mlp(3, "sine", sigma_w=1.5, sigma_b=0.2)),
    ("mlp identity", "flat", mlp(3, "identity", sigma_w=1.5, sigma_b=0.2)),
    ("mlp tanh", "flat", mlp(3, "tanh", sigma_w=0.7, sigma_b=0.2)),
    ("mlp silu", "flat", mlp(3, "silu", sigma_w=1.5, sigma_b=0.2)),
    ("mlp residual", "flat", [dense(8), residual([RELU, dense(8), RELU, dense(8, sigma_b=0.2)]), act("erf"),
                              residual([dense(8)], [dense(8, sigma_w=0.5)]), RELU, dense()]),
    ("mlp on an image", "image_1_7_7", [FLATTEN] + mlp(3)),
    ("cnn flatten", "image_2_6_6", [conv(), RELU, conv(), RELU, FLATTEN, dense()]),
    ("cnn flatten, then dense layers", "image_2_6_6",
     [conv(sigma_b=0.1), RELU, conv(kernel=5), RELU, FLATTEN, dense(8, sigma_b=0.2), RELU, dense()]),
    ("cnn without padding", "image_2_6_6", [conv(padding=0), RELU, conv(kernel=2, padding=0), RELU, FLATTEN, dense()]),
    ("cnn stride 2", "image_1_7_7", [conv(stride=2), RELU, conv(), RELU, FLATTEN, dense()]),
    ("cnn stride 2 on an even image", "image_2_6_6", [conv(stride=2), RELU, conv(), RELU, FLATTEN, dense()]),
    ("cnn stride 2 global average pool", "image_1_7_7",
     [conv(), RELU, conv(stride=2, sigma_b=0.1), RELU, conv(), RELU, MEAN, dense()]),
    ("cnn global average pool", "image_2_6_6", [conv(), RELU, conv(), RELU, MEAN, dense()]),
    ("cnn global average pool, then dense layers", "image_2_6_6",
     [conv(), RELU, MEAN, dense(8, sigma_b=0.1), RELU, dense()]),
    ("cnn average pool flatten", "image_2_6_6", [conv(), RELU, pool(2), conv(), RELU, FLATTEN, dense()]),
    ("cnn average pool, global average pool", "image_2_6_6",
     [conv(), RELU, pool(2), conv(sigma_b=0.1), RELU, pool(3), conv(kernel=1), RELU, MEAN, dense()]),
    ("cnn average pool first", "image_2_6_6", [pool(2), conv(), RELU, MEAN, dense()]),
    ("cnn erf", "image_2_6_6", [conv(sigma_w=1.5), act("erf"), conv(), act("erf"), MEAN, dense(sigma_b=0.1)]),
    ("cnn gelu", "image_2_6_6", [conv(sigma_w=1.5, sigma_b=0.2), act("gelu"), conv(), act("gelu"), FLATTEN, dense()]),
    ("cnn sine", "image_2_6_6", [conv(sigma_w=1.5), act("sine"), pool(2), conv(), act("sine"), FLATTEN, dense()]),
    ("cnn tanh", "image_1_7_7", [conv(sigma_w=0.7), act("tanh"), conv(stride=2), act("tanh"), FLATTEN, dense()]),
    ("resnet flatten", "image_1_7_7", [conv(), block("relu", 4), block("relu", 8, 2), RELU, FLATTEN, dense()]),
    ("resnet global average pool", "image_1_7_7",
     [conv(), block("relu", 4), block("relu", 8, 2), RELU, MEAN, dense()]),
    ("resnet with biases", "image_1_7_7",
     [conv(sigma_b=0.2), block("relu", 4, sigma_w=1.4, sigma_b=0.1), RELU, MEAN, dense(sigma_b=0.1)]),
    ("resnet leaky relu", "image_1_7_7",
     [conv(), block({"leaky_relu": {"slope": 0.1}}, 8, 2, sigma_w=1.3), act({"leaky_relu": {"slope": 0.1}}), MEAN,
      dense()]),
    ("resnet with a pooled shortcut", "image_2_6_6",
     [conv(), residual([RELU, conv(), RELU, pool(2), conv(8)], [pool(2), conv(8, kernel=1)]),
      residual([RELU, conv(8)]), RELU, MEAN, dense()]),
    ("resnet with a strided branch and a pooled shortcut", "image_2_6_6",
     [conv(), residual([RELU, conv(8, kernel=2, stride=2, padding=0)], [pool(2), conv(8, kernel=1)]), RELU, FLATTEN,
      dense()]),
    ("resnet with branches of different strides", "image_1_7_7",
     [conv(), residual([RELU, conv(8, kernel=4, padding=0)], [conv(8, stride=2)]), RELU, MEAN, dense()]),
    ("cnn on an oblong image", "image_2_4_6", [conv(), RELU, pool(2), conv(), RELU, MEAN, dense()]),
    ("cnn flatten on an oblong image", "image_2_4_6", [conv(), RELU, pool(2), conv(), RELU, FLATTEN, dense()]),
    ("mnist depth 2", "mnist", [FLATTEN] + mlp(2)),
    ("mnist depth 3", "mnist", [FLATTEN] + mlp(3)),
]


# The same architectures in neural-tangents. Its images are channels-last.

NUMERICAL = {"tanh": jnp.tanh, "silu": jax.nn.silu}
QUADRATURE = 180  # nodes per axis


def to_stax(layers, padded):
    return stax.serial(*[layer_to_stax(layer, padded and index == 0) for index, layer in enumerate(layers)])


def layer_to_stax(layer, padded):
    if layer == FLATTEN:
        return stax.Flatten()
    if layer == MEAN:
        return stax.GlobalAvgPool()
    (kind, value), = layer.items()
    if kind == "dense":
        return stax.Dense(value["units"], value["sigma_w"], value["sigma_b"] or None)
    if kind == "conv":
        # SAME pads symmetrically in every case here but the one where the input itself is padded.
        padding = "VALID" if padded or value["padding"] == 0 else "SAME"
        return stax.Conv(value["channels"], (value["kernel"],) * 2, (value["stride"],) * 2, padding,
                         value["sigma_w"], value["sigma_b"] or None)
    if kind == "average_pool":
        return stax.AvgPool((value["window"],) * 2, (value["window"],) * 2, "VALID")
    if kind == "residual":
        return stax.serial(stax.FanOut(2),
                           stax.parallel(to_stax(value["branch"], False),
                                         to_stax(value["shortcut"], False) if value["shortcut"] else stax.Identity()),
                           stax.FanInSum())
    if kind == "activation":
        simple = {"relu": stax.Relu, "erf": stax.Erf, "sine": stax.Sin, "identity": stax.Identity}
        if isinstance(value, dict):
            if "leaky_relu" in value:
                return stax.LeakyRelu(value["leaky_relu"]["slope"])
            return stax.ABRelu(value["abrelu"]["a"], value["abrelu"]["b"])
        if value == "gelu":
            return stax.Gelu(approximate=False)
        if value in NUMERICAL:
            return stax.ElementwiseNumerical(NUMERICAL[value], deg=QUADRATURE)
        return simple[value]()
    raise ValueError(f"unknown layer {layer}")


def asymmetric(layers, size):
    """Whether the first layer is a convolution whose padding is not that of SAME."""
    first = layers[0].get("conv") if isinstance(layers[0], dict) else None
    if not first or first["padding"] == 0:
        return 0
    total = max((-(-size // first["stride"]) - 1) * first["stride"] + first["kernel"] - size, 0)
    return 0 if (total // 2, total - total // 2) == (first["padding"],) * 2 else first["padding"]


def kernels(layers, shape, a, b):
    def batch(rows):
        rows = np.asarray(rows)
        if "flat" in shape:
            return rows
        images = rows.reshape(-1, *shape["image"]).transpose(0, 2, 3, 1)
        return np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))

    margin = asymmetric(layers, shape["image"][1]) if "image" in shape else 0
    _, _, kernel = to_stax(layers, margin > 0)
    values = kernel(batch(a), batch(b), ("nngp", "ntk"))
    return np.asarray(values.nngp), np.asarray(values.ntk)


def mnist_images():
    """The first three training images of a 0 or a 1, as integers."""
    if len(sys.argv) < 3:
        return json.loads(OUTPUT.read_text())["samples"]["mnist"]["pixels"]
    images = np.frombuffer(Path(sys.argv[1]).read_bytes(), np.uint8, offset=16).reshape(-1, 784)
    labels = np.frombuffer(Path(sys.argv[2]).read_bytes(), np.uint8, offset=8)
    return images[labels <= 1][:3].tolist()


def main():
    random = np.random.default_rng(0)
    draw = lambda n, d: random.normal(size=(n, d)).round(6).tolist()
    samples = {
        "flat": {"input": {"flat": 10}, "a": draw(3, 10), "b": draw(4, 10)},
        "image_2_6_6": {"input": {"image": [2, 6, 6]}, "a": draw(3, 72), "b": draw(4, 72)},
        "image_1_7_7": {"input": {"image": [1, 7, 7]}, "a": draw(3, 49), "b": draw(4, 49)},
        "image_2_4_6": {"input": {"image": [2, 4, 6]}, "a": draw(3, 48), "b": draw(4, 48)},
        "mnist": {"input": {"image": [1, 28, 28]}, "pixels": mnist_images()},
    }
    cases = []
    for name, key, layers in CASES:
        group = samples[key]
        pixels = np.array(group["pixels"]) / 255 if "pixels" in group else None
        a, b = (pixels, pixels) if pixels is not None else (group["a"], group["b"])
        nngp, ntk = kernels(layers, group["input"], a, b)
        cases.append({"name": name, "samples": key, "architecture": {"input": group["input"], "layers": layers},
                      "nngp": nngp.tolist(), "ntk": ntk.tolist()})
        print(name, ntk[0], file=sys.stderr)
    versions = {"neural-tangents": neural_tangents.__version__, "jax": jax.__version__,
                "jaxlib": jaxlib.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}
    parts = ['"versions": ' + json.dumps(versions),
             '"samples": {\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in samples.items()) + "\n}",
             '"cases": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]"]
    OUTPUT.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
