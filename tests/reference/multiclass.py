"""Machines for several classes by scikit-learn, and their probabilities, on three of its data sets.

    python tests/reference/multiclass.py      # numpy, scikit-learn; writes multiclass.json beside this file

The kernel is that of machines.py. Sample i is in fold i mod 5.
"""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import sklearn
from sklearn import datasets
from sklearn.calibration import _SigmoidCalibration
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC

from machines import standardised

LAMBDA = 0.5
FOLDS = 5


def three_sets():
    """Name, inputs (standardised, rounded), classes."""
    iris, wine, digits = datasets.load_iris(), datasets.load_wine(), datasets.load_digits(n_class=5)
    yield "iris", iris.data[::2], iris.target[::2]
    yield "wine", wine.data[::2], wine.target[::2]
    yield "digits", digits.data[:80, 18:46], digits.target[:80]


def svc(K, y):
    return SVC(C=1 / LAMBDA, kernel="precomputed", tol=1e-10, decision_function_shape="ovo").fit(K, y)


def calibrated(K, y, fold):
    """Platt's a and b for labels -1/+1, from decision values of held-out folds."""
    values = np.empty(len(K))
    for k in range(FOLDS):
        rest, held = fold != k, fold == k
        values[held] = svc(K[np.ix_(rest, rest)], y[rest]).decision_function(K[np.ix_(held, rest)])
    sigmoid = _SigmoidCalibration().fit(values, y)
    return [float(sigmoid.a_), float(sigmoid.b_)]


def coupled(pairs, classes):
    """Wu, Lin and Weng's second method as constrained least squares."""
    rows = []
    for (a, b), r in zip(combinations(range(classes), 2), pairs):
        row = np.zeros(classes)
        row[a], row[b] = 1 - r, -r
        rows.append(row)
    # p = 1/c + N z with N a basis of the moves that keep the sum.
    basis = np.linalg.svd(np.ones((1, classes)))[2][1:].T
    start = np.full(classes, 1 / classes)
    z = np.linalg.lstsq(np.array(rows) @ basis, -np.array(rows) @ start, rcond=None)[0]
    return start + basis @ z


def main():
    sets = []
    for name, x, y in three_sets():
        x = x[:, x.std(0) > 0]
        x = standardised(x)
        distances = ((x[:, None] - x[None]) ** 2).sum(-1)
        K = np.round(np.exp(-distances / x.shape[1]) * 2**20) / 2**20 + 2**-10 * np.eye(len(x))
        classes, fold = int(y.max()) + 1, np.arange(len(y)) % FOLDS
        one = svc(K, y)
        decision = one.decision_function(K)
        sigmoids = []
        for a, b in combinations(range(classes), 2):
            of = (y == a) | (y == b)
            sigmoids.append(calibrated(K[np.ix_(of, of)], np.where(y[of] == a, 1, -1), fold[of]))
        s = np.array(sigmoids)
        pairs = 1 / (1 + np.exp(s[:, 0] * decision + s[:, 1]))
        targets = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
        rest = np.stack([svc(K, t).decision_function(K) for t in targets.T], 1)
        rest_sigmoids = [calibrated(K, t, fold) for t in targets.T]
        sets.append({
            "name": name, "inputs": x.tolist(), "classes": y.tolist(),
            "one_versus_one": {"decision": decision.tolist(), "predicted": one.predict(K).tolist(),
                               "sigmoids": sigmoids, "probabilities": [coupled(r, classes).tolist() for r in pairs]},
            "one_versus_rest": {"decision": rest.tolist(), "predicted": rest.argmax(1).tolist(),
                                "sigmoids": rest_sigmoids},
            "ridge": KernelRidge(alpha=LAMBDA / 2, kernel="precomputed").fit(K, targets).dual_coef_.tolist(),
        })
    document = {"scikit-learn": sklearn.__version__, "lambda": LAMBDA, "folds": FOLDS, "sets": sets}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(document) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
