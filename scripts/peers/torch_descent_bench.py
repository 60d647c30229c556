"""The loop of the paper's published code: minibatch subgradient descent of a kernel machine, in PyTorch.

    python torch_descent_bench.py GRAM.npy LABELS_IDX ORDER.npy ALPHA.npy      # one JSON document on stdout

The same steps as crates/machine/examples/descent.rs, whose coefficients ALPHA.npy has. After the first epoch they must
agree with this loop's in f64 on the same numbers; after the last the loop's in f32, which is what is timed, shows how far
outputs have drifted apart by rounding. Timed are the loop as published, whose indexing copies number by number, and with
index_select, which copies rows; with one thread or two, whichever took an epoch faster.
"""

import gzip
import json
import sys
import time

import numpy as np
import torch

BATCH, LEARNING_RATE, LAMBDA_MEAN = 64, 1.0, 0.001


def descend(gram, labels, order, rows=torch.index_select):
    alpha = torch.zeros(len(labels), dtype=gram.dtype)
    for epoch in order:
        for batch in epoch.split(BATCH):
            g, y = rows(gram, 0, batch) @ alpha, labels[batch]
            push = torch.where(y * g < 1, y, 0)
            alpha[batch] = (1 - LEARNING_RATE * LAMBDA_MEAN) * alpha[batch] + LEARNING_RATE / len(batch) * push
    return alpha


def seconds(run):
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def timed(gram, labels, order, rows):
    """Seconds of all epochs, with the better number of threads; that number; the coefficients."""
    def epoch(threads):
        torch.set_num_threads(threads)
        return seconds(lambda: descend(gram, labels, order[:1], rows))[0]

    threads = min([1, 2], key=epoch)
    torch.set_num_threads(threads)
    took, alpha = seconds(lambda: descend(gram, labels, order, rows))
    return took, threads, alpha


def main():
    gram = torch.from_numpy(np.load(sys.argv[1])).float()
    labels = np.frombuffer(gzip.open(sys.argv[2]).read(), np.uint8, offset=8).astype(np.float32) * 2 - 1
    labels = torch.from_numpy(labels)
    order = torch.from_numpy(np.load(sys.argv[3]))
    first, last = torch.from_numpy(np.load(sys.argv[4]))
    outputs = gram @ last.float()
    peers = []
    for name, rows in [("the published loop", lambda gram, _, batch: gram[batch]), ("index_select", torch.index_select)]:
        took, threads, alpha = timed(gram, labels, order, rows)
        drift = (gram @ alpha - outputs).abs().max() / outputs.abs().max()
        peers.append({"peer": f"PyTorch, {name}", "threads": threads, "seconds": took, "output_difference": drift.item()})
    difference = (descend(gram.double(), labels.double(), order[:1]) - first).abs().max().item()
    if difference > 1e-12:
        sys.exit(f"coefficients differ by {difference} after one epoch")
    print(json.dumps(peers))


if __name__ == "__main__":
    main()
