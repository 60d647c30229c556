"""Optimal kernel machines by scikit-learn (its SVC and SVR are LIBSVM), on three of its data sets.

    python tests/reference/machines.py      # numpy, scikit-learn; writes machines.json beside this file

The kernel is K(x, x') = exp(-|x - x'|^2 / d) on the inputs as stored, rounded to multiples of 2^-20, plus 2^-10 on the
diagonal: LIBSVM holds kernels in single precision, which these values survive.
Where scikit-learn has only a linear machine, it gets features whose inner products are K.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn import datasets
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, SVR, LinearSVC

SAMPLES = 100
EPSILON = 0.1


def three_sets():
    """Name, inputs (standardised, rounded), classes -1/+1, values."""
    iris = datasets.load_iris()
    yield "iris", iris.data[50:], np.where(iris.target[50:] == 1, -1, 1), iris.data[50:, 0]
    cancer = datasets.load_breast_cancer()
    yield "breast-cancer", cancer.data[:SAMPLES, :8], 2 * cancer.target[:SAMPLES] - 1, cancer.data[:SAMPLES, 8]
    diabetes = datasets.load_diabetes()
    values = diabetes.target[:SAMPLES]
    yield "diabetes", diabetes.data[:SAMPLES], np.where(values > 140, 1, -1), values


def standardised(x):
    return np.round((x - x.mean(0)) / x.std(0), 4)


def cases(K, y, v, lambda_mean):
    n = len(y)
    lam = n * lambda_mean
    C = 1 / lam
    features = np.linalg.cholesky(K)

    def dense(model):
        alpha = np.zeros(n)
        alpha[model.support_] = model.dual_coef_[0]
        return alpha.tolist()

    def case(loss, intercept, decision, alpha=None, b=0.0):
        return {"loss": loss, "lambda_mean": lambda_mean, "intercept": intercept, "decision": list(decision),
                "alpha": alpha, "b": float(b)}

    svc = SVC(C=C, kernel="precomputed", tol=1e-10).fit(K, y)
    yield case("hinge", True, svc.decision_function(K), dense(svc), svc.intercept_[0])
    svr = SVR(C=C, kernel="precomputed", epsilon=EPSILON, tol=1e-10).fit(K, v)
    yield case("epsilon-insensitive", True, svr.predict(K), dense(svr), svr.intercept_[0])
    ridge = KernelRidge(alpha=lam / 2, kernel="precomputed").fit(K, v)
    yield case("squared", False, ridge.predict(K), ridge.dual_coef_.tolist())
    for loss, name in [("hinge", "hinge"), ("squared_hinge", "squared hinge")]:
        model = LinearSVC(C=C, loss=loss, fit_intercept=False, dual=True, tol=1e-8, max_iter=1_000_000, random_state=0)
        yield case(name, False, model.fit(features, y).decision_function(features))
    for intercept in [False, True]:
        model = LogisticRegression(C=C, fit_intercept=intercept, solver="newton-cholesky", tol=1e-12, max_iter=1000)
        model.fit(features, y)
        yield case("logistic", intercept, model.decision_function(features), b=np.ravel(model.intercept_)[0])


def main():
    sets = []
    for name, x, y, v in three_sets():
        x, v = standardised(x), standardised(v)
        distances = ((x[:, None] - x[None]) ** 2).sum(-1)
        K = np.round(np.exp(-distances / x.shape[1]) * 2**20) / 2**20 + 2**-10 * np.eye(len(x))
        both = [case for lambda_mean in [0.01, 0.001] for case in cases(K, y, v, lambda_mean)]
        sets.append({"name": name, "inputs": x.tolist(), "classes": y.tolist(), "values": v.tolist(), "cases": both})
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"scikit-learn": sklearn.__version__, "epsilon": EPSILON, "sets": sets}) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
