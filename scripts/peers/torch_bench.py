"""The empirical cases of crates/tangent/benches/kernels.rs with torch.func, on two threads.

    python torch_bench.py CASE

Per-sample Jacobians by vmap(jacrev), contracted parameter by parameter, as PyTorch's own tutorial on tangent kernels
does it. Prints {"implementation": seconds}: the median after one run to warm up.
"""
import json, statistics, sys, time

import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap

torch.set_num_threads(2)
torch.manual_seed(1)
case = sys.argv[1]
RUNS = 5


class Block(nn.Module):
    """relu, conv, relu, conv, beside the identity or a strided 1x1 convolution."""

    def __init__(self, before, channels, stride):
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(before, channels, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x):
        return self.second(torch.relu(self.first(torch.relu(x)))) + self.shortcut(x)


class Pool(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def mlp(*widths):
    layers, before = [], 784
    for width in widths:
        layers += [nn.Linear(before, width, bias=False), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, 1, bias=False))


def cnn():
    layers, before = [], 1
    for channels in [64, 64, 64]:
        layers += [nn.Conv2d(before, channels, 3, 1, 1, bias=False), nn.ReLU()]
        before = channels
    return nn.Sequential(*layers, Pool(), nn.Linear(64, 1, bias=False))


def resnet():
    return nn.Sequential(nn.Conv2d(1, 32, 3, 1, 1, bias=False), Block(32, 32, 1), Block(32, 64, 2), nn.ReLU(), Pool(),
                         nn.Linear(64, 1, bias=False))


# With 4096 units one Jacobian of 128 samples takes 10 GB: not tried.
CASES = {
    "empirical-mlp-1024-n256": (lambda: mlp(1024, 1024), 256),
    "empirical-cnn-n64": (cnn, 64),
    "empirical-resnet-n64": (resnet, 64),
}
if case not in CASES:
    print("{}")
    sys.exit()
build, n = CASES[case]
network = build()
x = torch.where(torch.rand(n, 784) < 0.2, torch.rand(n, 784), 0.0)
x = x if "mlp" in case else x.reshape(n, 1, 28, 28)
parameters = {name: value.detach() for name, value in network.named_parameters()}


def output(parameters, sample):
    return functional_call(network, parameters, (sample.unsqueeze(0),)).squeeze()


def kernel():
    jacobians = vmap(jacrev(output), (None, 0))(parameters, x)
    flat = [jacobian.reshape(n, -1) for jacobian in jacobians.values()]
    return sum(jacobian @ jacobian.T for jacobian in flat)


kernel()
times = []
for _ in range(RUNS):
    started = time.perf_counter()
    kernel()
    times.append(time.perf_counter() - started)
print(json.dumps({"torch.func": statistics.median(times)}))
