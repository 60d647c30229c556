//! The kernel that a network's whole training makes, along its path.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Zip};

/// The path kernel of Theorem 4.1: the kernel of the machine that a network trained by gradient descent *is*, whatever
/// its width,
///
/// `f_T(x) = sum_i a_i K(x, x_i) + b`, with `K(x, x_i) = e^{-lambda T} int_0^T |l'_i(t)| K_t(x, x_i) e^{lambda t} dt` and
/// `a_i = -sign(l'_i)`,
///
/// where `K_t` is the network's tangent kernel at time `t` and `l'_i(t)` the derivative of its loss on sample `i`. For
/// steps of size `eta` (of the sum of losses) it is accumulated as
///
/// `K <- (1 - eta lambda) K + eta |l'_i(t)| K_t`.
///
/// The theorem wants every `l'_i` to keep its sign. Whether it did is kept track of, and so is the same sum with the
/// signs at each step, which holds without that: [`PathKernel::integral`].
///
/// ```
/// use ndarray::array;
/// use widenet_machine::PathKernel;
///
/// // One sample, a kernel that is 2 and then 3, no decay, pushed up twice.
/// let mut path = PathKernel::new(1, 1, 0.0);
/// path.step(array![[2.0]].view(), array![-1.0].view(), 0.1);
/// path.step(array![[3.0]].view(), array![-0.5].view(), 0.1);
/// assert!((path.kernel()[[0, 0]] - (0.2 + 0.15)).abs() < 1e-15);
/// assert_eq!(path.coefficients(), array![1.0]);
/// assert!((path.outputs()[0] - 0.35).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PathKernel {
    lambda: f64,
    /// `K(x_j, x_i)`, `[m, n]`.
    kernel: Array2<f64>,
    /// `-sum_i` of the same with signs, `[m]`.
    integral: Array1<f64>,
    /// The sign that `l'_i` had first, 0 while it was 0.
    signs: Vec<f64>,
    /// Whether it had the other one later.
    changed: Vec<bool>,
}

impl PathKernel {
    /// The path kernel before training, between `points` points and `samples` training samples. `lambda` is the rate at
    /// which the regulariser makes the output decay, in the units of `eta`.
    pub fn new(points: usize, samples: usize, lambda: f64) -> Self {
        Self {
            lambda,
            kernel: Array2::zeros((points, samples)),
            integral: Array1::zeros(points),
            signs: vec![0.0; samples],
            changed: vec![false; samples],
        }
    }

    /// A step of size `eta`, with the tangent kernel `K_t(x_j, x_i): [points, samples]` and the derivatives
    /// `l'_i: [samples]` before it.
    ///
    /// # Panics
    ///
    /// When the shapes do not fit.
    pub fn step(&mut self, tangent: ArrayView2<f64>, derivatives: ArrayView1<f64>, eta: f64) {
        let keep = 1.0 - eta * self.lambda;
        Zip::from(self.kernel.rows_mut()).and(tangent.rows()).par_for_each(|path, tangent| {
            Zip::from(path).and(tangent).and(derivatives).for_each(|k, &t, &d| *k = keep * *k + eta * d.abs() * t);
        });
        self.integral *= keep;
        self.integral.scaled_add(-eta, &tangent.dot(&derivatives));
        for ((sign, changed), &derivative) in self.signs.iter_mut().zip(&mut self.changed).zip(derivatives) {
            if *sign == 0.0 && derivative != 0.0 {
                *sign = derivative.signum();
            }
            *changed |= *sign * derivative < 0.0;
        }
    }

    /// `K`, `[points, samples]`.
    pub fn kernel(&self) -> ArrayView2<'_, f64> {
        self.kernel.view()
    }

    /// `a_i = -sign(l'_i)`, `[samples]`; 0 for a sample that was never pushed.
    pub fn coefficients(&self) -> Array1<f64> {
        self.signs.iter().map(|sign| 0.0 - sign).collect()
    }

    /// `sum_i a_i K(x_j, x_i)`, `[points]`.
    pub fn outputs(&self) -> Array1<f64> {
        self.kernel.dot(&self.coefficients())
    }

    /// `-e^{-lambda T} int sum_i l'_i(t) K_t(x_j, x_i) e^{lambda t} dt`, `[points]`: equal to [`PathKernel::outputs`] as
    /// long as no sign changed.
    pub fn integral(&self) -> ArrayView1<'_, f64> {
        self.integral.view()
    }

    /// How many samples' `l'_i` changed its sign.
    pub fn sign_changes(&self) -> usize {
        self.changed.iter().filter(|changed| **changed).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Hinge, Loss, Squared};
    use crate::{Decay, Descent, Objective};
    use ndarray::array;

    /// With a kernel that stands still, the path is subgradient descent in coefficients.
    #[test]
    fn a_fixed_kernel_gives_back_the_machine() {
        let x = array![[1.0, 0.2], [-0.4, 0.9], [0.3, -1.1]];
        let (gram, labels) = (x.dot(&x.t()), array![1.0, -1.0, 1.0]);
        let objective = Objective::new(0.1, 3).unwrap();
        for loss in [&Hinge as &dyn Loss, &Squared] {
            let mut machine = Descent::new(objective, 0.6, Decay::Pegasos).unwrap();
            let mut path = PathKernel::new(3, 3, objective.lambda());
            for _ in 0..30 {
                let outputs = machine.outputs(gram.view());
                let derivatives: Array1<f64> =
                    outputs.iter().zip(&labels).map(|(&z, &y)| loss.derivative(z, y)).collect();
                path.step(gram.view(), derivatives.view(), 0.6 / 3.0);
                machine.step(gram.view(), labels.view(), loss, &[0, 1, 2]);
            }
            let outputs = machine.outputs(gram.view());
            let far = |a: &Array1<f64>| (a - &outputs).iter().fold(0.0f64, |most, d| most.max(d.abs()));
            assert!(far(&path.integral().to_owned()) < 1e-12, "{loss:?}");
            if path.sign_changes() == 0 {
                assert!(far(&path.outputs()) < 1e-12, "{loss:?}");
            }
        }
    }

    #[test]
    fn a_change_of_sign_is_seen() {
        let mut path = PathKernel::new(1, 2, 0.5);
        path.step(array![[1.0, 2.0]].view(), array![0.0, -1.0].view(), 1.0);
        assert_eq!((path.sign_changes(), path.coefficients()), (0, array![0.0, 1.0]));
        path.step(array![[1.0, 2.0]].view(), array![-1.0, 0.5].view(), 1.0);
        assert_eq!((path.sign_changes(), path.coefficients()), (1, array![1.0, 1.0]));
        // 1 and 0.5 * 2 + 0.5 * 2; with signs 0.5 * 2 + 1 - 1.
        assert_eq!(path.kernel(), array![[1.0, 2.0]]);
        assert_eq!((path.outputs(), path.integral().to_owned()), (array![3.0], array![1.0]));
    }
}
