"""Model files in LIBSVM's format, of scikit-learn's machines on the data sets of multiclass.json.

    python tests/reference/libsvm.py          # numpy, scikit-learn; writes libsvm.json beside this file

Written and read as LIBSVM's own svm_save_model and svm_load_model do: a sample of class p has a coefficient against every
other class, a pair's decision value is positive for its first class. The second set is reduced to two classes, whose
decision value is positive for the larger label with scikit-learn.
"""

import json
from itertools import combinations
from pathlib import Path

import numpy as np

from multiclass import LAMBDA, svc

HERE = Path(__file__).parent


def sets():
    """Name, kernel, classes."""
    for number, entry in enumerate(json.loads((HERE / "multiclass.json").read_text())["sets"]):
        x, y = np.array(entry["inputs"]), np.array(entry["classes"])
        if number == 1:
            x, y = x[y < 2], y[y < 2]
        distances = ((x[:, None] - x[None]) ** 2).sum(-1)
        yield entry["name"], np.round(np.exp(-distances / x.shape[1]) * 2**20) / 2**20 + 2**-10 * np.eye(len(x)), y


def save(model):
    labels, counts, coefficients, support = model.classes_, model.n_support_, model.dual_coef_, model.support_
    if len(labels) == 2:
        # Positive for the larger label, which therefore is the first here.
        order = np.r_[counts[0] : counts.sum(), 0 : counts[0]]
        labels, counts, coefficients, support = labels[::-1], counts[::-1], coefficients[:, order], support[order]
    lines = ["svm_type c_svc", "kernel_type precomputed", f"nr_class {len(labels)}", f"total_sv {counts.sum()}"]
    lines.append("rho " + " ".join(f"{-b:.17g}" for b in model.intercept_))
    lines.append("label " + " ".join(map(str, labels)))
    lines.append("nr_sv " + " ".join(map(str, counts)))
    lines.append("SV")
    for column, index in zip(coefficients.T, support):
        lines.append(" ".join(f"{a:.17g}" for a in column) + f" 0:{index + 1} ")
    return "\n".join(lines) + "\n"


def decision(text, K):
    """Decision values `[m, pairs]` of a model file, for kernel rows `K: [m, n]`."""
    head, body = text.split("SV\n")
    header = {key: values.split() for key, values in (line.split(" ", 1) for line in head.splitlines())}
    assert header["svm_type"] == ["c_svc"] and header["kernel_type"] == ["precomputed"]
    counts = [int(count) for count in header["nr_sv"]]
    rows = [line.split() for line in body.splitlines()]
    assert len(rows) == sum(counts) == int(header["total_sv"][0])
    index = np.array([int(row[-1].removeprefix("0:")) - 1 for row in rows])
    coefficients = np.array([[float(a) for a in row[:-1]] for row in rows])
    ends = np.cumsum([0] + counts)
    values = []
    for (p, q), rho in zip(combinations(range(len(counts)), 2), header["rho"]):
        of_p, of_q = slice(ends[p], ends[p + 1]), slice(ends[q], ends[q + 1])
        value = K[:, index[of_p]] @ coefficients[of_p, q - 1] + K[:, index[of_q]] @ coefficients[of_q, p]
        values.append(value - float(rho))
    return np.stack(values, 1)


def main():
    entries = []
    for name, K, y in sets():
        model = svc(K, y)
        theirs = model.decision_function(K).reshape(len(K), -1)
        assert np.abs(decision(save(model), K) - theirs).max() < 1e-12
        entries.append({"name": name, "model": save(model), "decision": theirs.tolist()})
    path = HERE / "libsvm.json"
    path.write_text(json.dumps({"lambda": LAMBDA, "sets": entries}) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
