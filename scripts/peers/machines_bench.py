"""Times LIBSVM (through scikit-learn) and LAPACK's Cholesky (through scipy) on a saved Gram matrix.

    python machines_bench.py GRAM.npy LABELS_IDX      # one JSON document on stdout

The support vector machine has an intercept, as LIBSVM's always has; both run on the matrix in memory.
"""

import gzip
import json
import sys
import time

import numpy as np
import scipy.linalg
from sklearn.svm import SVC

LAMBDA_MEAN = 0.001


def seconds(run):
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def main():
    gram = np.load(sys.argv[1])
    n = len(gram)
    labels = np.frombuffer(gzip.open(sys.argv[2]).read(), np.uint8, offset=8).astype(float) * 2 - 1
    rows = []
    for tolerance in [1e-3, 1e-6]:
        model = SVC(C=1 / (n * LAMBDA_MEAN), kernel="precomputed", tol=tolerance, cache_size=2000)
        took, _ = seconds(lambda: model.fit(gram, labels))
        alpha = np.zeros(n)
        alpha[model.support_] = model.dual_coef_[0]
        outputs = gram @ alpha + model.intercept_
        half = alpha @ (gram @ alpha) / 2
        primal = half + model.C * np.maximum(0, 1 - labels * outputs).sum()
        dual = np.abs(alpha).sum() - half
        rows.append({"case": "svm-intercept", "peer": "LIBSVM (scikit-learn SVC)", "tolerance": tolerance,
                     "seconds": took, "primal": primal, "dual": dual, "relative_gap": (primal - dual) / primal,
                     "support": len(model.support_)})
    regularised = gram + 0.5 * np.eye(n)
    took, _ = seconds(lambda: scipy.linalg.cho_solve(scipy.linalg.cho_factor(regularised, lower=True), labels))
    rows.append({"case": "ridge", "peer": "LAPACK Cholesky (scipy)", "seconds": took})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
