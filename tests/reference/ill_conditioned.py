"""Optima on kernels of badly scaled features and of near duplicates, by other solvers: cvxopt's interior point method for
the hinge loss, scikit-learn's newton-cholesky for the logistic loss.

    python tests/reference/ill_conditioned.py      # numpy, scikit-learn, cvxopt; rewrites the optima in ill_conditioned.json

The samples are in the JSON: two normal features of scales 1 and 10^4 (hinge-mixed); age, income and children, all whole
numbers (logistic-income); features over ten orders of magnitude, a sample of zeros with both labels among them
(logistic-mixed). Their kernel is the tangent kernel of one hidden ReLU layer. Of 16 distinct samples in 47 rows
(near-duplicates) the JSON has the upper triangle of a kernel whose duplicates differ by 2.6e-8, as numpy's arccos makes
them.
"""

import json
from pathlib import Path

import cvxopt
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression


def kernel(x):
    s = x @ x.T / x.shape[1]
    sizes = np.sqrt((x**2).sum(1))
    unit = np.divide(x, sizes[:, None], out=np.zeros_like(x), where=sizes[:, None] > 0)
    # Kahan's formula, exact to rounding for every angle.
    apart, sum_ = (np.sqrt(((unit[:, None] + sign * unit[None]) ** 2).sum(-1)) for sign in (-1, 1))
    angle = 2 * np.arctan2(apart, sum_)
    norms = np.outer(sizes, sizes) / x.shape[1]
    return (norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) + s * (np.pi - angle)) / np.pi


def triangle(values):
    n = round((2 * len(values)) ** 0.5 - 0.5)
    K = np.zeros((n, n))
    K[np.triu_indices(n)] = values
    return np.triu(K) + np.triu(K, 1).T


def hinge(K, y, C, intercept):
    """max_a sum a - 1/2 a^T Y K Y a with 0 <= a <= C: the optimal value."""
    n = len(y)
    unit = 1 / K.max()
    P = cvxopt.matrix(K * np.outer(y, y) * unit)
    G = cvxopt.matrix(np.vstack([-np.eye(n), np.eye(n)]))
    h = cvxopt.matrix(np.r_[np.zeros(n), np.full(n, C / unit)])
    equal = (cvxopt.matrix(y[None]), cvxopt.matrix(0.0)) if intercept else ()
    tight = {"abstol": 1e-12, "reltol": 1e-11, "feastol": 1e-11, "show_progress": False, "maxiters": 300}
    found = cvxopt.solvers.qp(P, cvxopt.matrix(-np.ones(n)), G, h, *equal, options=tight)
    a = np.clip(np.array(found["x"]).ravel() * unit, 0, C)
    return a.sum() - (a * y) @ K @ (a * y) / 2


def logistic(K, y, C, intercept):
    """min 1/2 |w|^2 + C sum log(1 + exp(-y g)): the optimal value."""
    values, vectors = np.linalg.eigh(K)
    features = vectors * np.sqrt(values.clip(0))
    model = LogisticRegression(C=C, fit_intercept=intercept, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    g = model.fit(features, y).decision_function(features)
    return (model.coef_**2).sum() / 2 + C * np.logaddexp(0, -y * g).sum()


CASES = {
    "hinge-mixed": [(hinge, 1000 / 60, False), (hinge, 1e3, True), (hinge, 1e4, False)],
    "logistic-income": [(logistic, 1.0, True)],
    "logistic-mixed": [(logistic, 1000 / 60, True), (logistic, 1.0, False)],
    "near-duplicates": [(hinge, C, intercept) for C in [1e2, 1e4, 1e8] for intercept in [True, False]],
}


def main():
    path = Path(__file__).with_suffix(".json")
    sets = json.loads(path.read_text())["sets"]
    for one in sets:
        K = triangle(one["triangle"]) if "triangle" in one else kernel(np.array(one["inputs"]))
        y = np.array(one["labels"])
        one["cases"] = []
        for solve, C, intercept in CASES[one["name"]]:
            # Where no coefficient is at its bound a larger C has the same optimum, and this solver wants moderate ones.
            value = float(solve(K, y, min(C, 1e3) if one["name"] == "near-duplicates" else C, intercept))
            one["cases"].append({"loss": solve.__name__, "c": C, "intercept": intercept, "optimum": value})
            print(one["name"], one["cases"][-1])
    versions = {"scikit-learn": sklearn.__version__, "cvxopt": cvxopt.__version__}
    path.write_text(json.dumps({**versions, "sets": sets}) + "\n")


if __name__ == "__main__":
    main()
