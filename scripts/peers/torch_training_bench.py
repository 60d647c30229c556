"""The steps of crates/experiment/benches/training.rs in PyTorch.

    python torch_training_bench.py CASE

Prints {"case": ..., "seconds": ...}: the median of several steps (forward, backward, update) after some to warm up.
Cases whose margins are met for most samples, and those on one fixed batch, take the same steps as their plain
relatives here: autograd does not leave samples out.
"""
import json, math, statistics, sys, time

import torch
from torch import nn

case = sys.argv[1]
STEPS = 15
torch.manual_seed(0)
torch.set_num_threads(2)


class Scaled(nn.Module):
    """A layer without bias in NTK parameterisation; the scale is applied to its input, as in widenet."""

    def __init__(self, layer, fan_in, sigma_w):
        super().__init__()
        self.layer, self.scale = layer, sigma_w / math.sqrt(fan_in)
        nn.init.normal_(layer.weight)

    def forward(self, x):
        return self.layer(x * self.scale)


def dense(fan_in, units, sigma_w=1.0):
    return Scaled(nn.Linear(fan_in, units, bias=False), fan_in, sigma_w)


def conv(channels_in, channels, kernel=3, stride=1):
    layer = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
    return Scaled(layer, channels_in * kernel * kernel, math.sqrt(2))


class Residual(nn.Module):
    def __init__(self, branch, shortcut):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


def block(channels_in, channels, stride=1):
    branch = nn.Sequential(nn.ReLU(), conv(channels_in, channels, 3, stride), nn.ReLU(), conv(channels, channels))
    same = channels_in == channels and stride == 1
    return Residual(branch, nn.Identity() if same else conv(channels_in, channels, 1, stride))


def network():
    root = math.sqrt(2)
    if case.startswith("two-layer"):
        return nn.Sequential(nn.Flatten(), dense(784, 10000), nn.ReLU(), dense(10000, 1))
    if case.startswith("three-layer"):
        width = int(case.split("-")[2])
        hidden = [dense(784, width), nn.ReLU(), dense(width, width), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *hidden, dense(width, 1))
    if case.startswith("cnn"):
        features = [conv(1, 64), nn.ReLU(), conv(64, 64), nn.ReLU()]
        return nn.Sequential(*features, nn.Flatten(), dense(64 * 784, 1, root))
    features = [conv(1, 32), block(32, 32), block(32, 64, 2), nn.ReLU()]
    return nn.Sequential(*features, nn.Flatten(), dense(64 * 196, 1, root))


def batch_size():
    for word in case.split("-"):
        if word[0] in "bn" and word[1:].isdigit():
            return int(word[1:])


net = network()
batch = batch_size()
x = torch.where(torch.rand(batch, 784) < 0.2, torch.rand(batch, 784), 0.0).reshape(batch, 1, 28, 28)
y = torch.ones(batch)
with torch.no_grad():
    initial = net(x).squeeze(1)
parameters = list(net.parameters())
distance = "distance" in case
anchors = [p.detach().clone() for p in parameters] if distance else []
rate, decay = 1e-6, 1e-9


def step():
    loss = torch.relu(1 - y * (net(x).squeeze(1) - initial)).mean()
    loss.backward()
    with torch.no_grad():
        if distance:
            torch._foreach_lerp_(parameters, anchors, decay)
        torch._foreach_add_(parameters, [p.grad for p in parameters], alpha=-rate)
    for p in parameters:
        p.grad = None


times = []
for i in range(STEPS + 3):
    started = time.perf_counter()
    step()
    times.append(time.perf_counter() - started)
print(json.dumps({"case": case, "seconds": statistics.median(times[3:])}))
