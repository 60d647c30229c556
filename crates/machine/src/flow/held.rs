//! The slopes of samples held at their kinks.

use ndarray::{Array1, Array2, Axis};

use crate::solver::Cholesky;

/// Added to the diagonal, relative to its largest entry, so that samples that are alike share.
const RIDGE: f64 = 1e-12;

/// Moves `x: [m]` to the minimum of `1/2 x^T Q x + c^T x` between bounds `(low, high)` with `low < high`, for a positive
/// semidefinite `Q: [m, m]`, given the gradient `Q x + c` at the start. Slopes at the bounds up to `noise` are as good as 0.
///
/// An active set method: the minimum over the free variables, as far as their bounds allow; when it lies inside, the
/// variable at a bound that gains most by leaving it is freed.
pub(super) fn minimise(mut q: Array2<f64>, mut gradient: Vec<f64>, bounds: &[(f64, f64)], x: &mut [f64], noise: f64) {
    let m = x.len();
    let ridge = RIDGE * q.diag().fold(0.0, |most: f64, &value| most.max(value));
    q.diag_mut().mapv_inplace(|value| value + ridge);
    let mut free: Vec<bool> = x.iter().zip(bounds).map(|(x, (low, high))| low < x && x < high).collect();
    // In exact numbers it ends by itself; with rounding it might go in circles.
    for _ in 0..100 + 20 * m {
        let inside: Vec<usize> = (0..m).filter(|&i| free[i]).collect();
        if !inside.is_empty() {
            let step = newton(&q, &gradient, &inside);
            let room = |(&i, &d): (&usize, &f64)| match d {
                d if d > 0.0 => (bounds[i].1 - x[i]) / d,
                d if d < 0.0 => (bounds[i].0 - x[i]) / d,
                _ => f64::INFINITY,
            };
            let rooms: Vec<f64> = inside.iter().zip(&step).map(room).collect();
            let share = rooms.iter().copied().fold(1.0, f64::min);
            for ((&i, &d), room) in inside.iter().zip(&step).zip(rooms) {
                let (low, high) = bounds[i];
                let reached = share < 1.0 && room <= share;
                x[i] = match (reached, d > 0.0) {
                    (true, true) => high,
                    (true, false) => low,
                    (false, _) => (x[i] + share * d).clamp(low, high),
                };
                free[i] = !reached;
                gradient.iter_mut().zip(q.row(i)).for_each(|(g, k)| *g += share * d * k);
            }
            if share < 1.0 {
                continue;
            }
        }
        // How steeply the objective falls away from the bound.
        let fall = |i: usize| if x[i] <= bounds[i].0 { -gradient[i] } else { gradient[i] };
        let steepest = (0..m).filter(|&i| !free[i]).max_by(|&i, &j| fall(i).total_cmp(&fall(j)));
        match steepest {
            Some(i) if fall(i) > noise => free[i] = true,
            _ => return,
        }
    }
}

/// The step to the minimum over the variables `inside`, the others standing still.
fn newton(q: &Array2<f64>, gradient: &[f64], inside: &[usize]) -> Vec<f64> {
    let part = q.select(Axis(0), inside).select(Axis(1), inside);
    let right = Array1::from_iter(inside.iter().map(|&i| -gradient[i])).insert_axis(Axis(1));
    let mut jitter = 0.0;
    loop {
        let definite = &part + &Array2::from_diag_elem(inside.len(), jitter);
        if let Some(factor) = Cholesky::new(definite) {
            return factor.solve(right.view()).into_iter().collect();
        }
        // Rounding left it indefinite.
        jitter = (10.0 * jitter).max(RIDGE * part.diag().fold(f64::MIN_POSITIVE, |most, &value| most.max(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    fn minimum(q: &Array2<f64>, c: &[f64], bounds: &[(f64, f64)], start: &[f64]) -> Vec<f64> {
        let mut x = start.to_vec();
        let gradient = (q.dot(&Array1::from_vec(x.clone())) + Array1::from_vec(c.to_vec())).to_vec();
        minimise(q.clone(), gradient, bounds, &mut x, 1e-12);
        x
    }

    #[test]
    fn by_hand() {
        let q = array![[2.0, 1.0], [1.0, 2.0]];
        let far = [(-10.0, 10.0), (-10.0, 10.0)];
        let x = minimum(&q, &[-3.0, -3.0], &far, &[0.0, 0.0]);
        assert!((x[0] - 1.0).abs() < 1e-11 && (x[1] - 1.0).abs() < 1e-11);
        // The first is cut at 1/2: 2 x + 1/2 = 3.
        let x = minimum(&q, &[-3.0, -3.0], &[(0.0, 0.5), (0.0, 10.0)], &[0.0, 0.0]);
        assert!(x[0] == 0.5 && (x[1] - 1.25).abs() < 1e-11);
        // Twins share.
        let x = minimum(&array![[1.0, 1.0], [1.0, 1.0]], &[-1.0, -1.0], &[(0.0, 1.0); 2], &[0.0, 0.0]);
        assert!((x[0] + x[1] - 1.0).abs() < 1e-11, "{x:?}");
    }

    proptest! {
        /// The conditions of optimality hold wherever it starts.
        #[test]
        fn it_is_the_minimum(
            features in proptest::collection::vec(-1.0..1.0f64, 8 * 4),
            c in proptest::collection::vec(-1.0..1.0f64, 8),
            start in proptest::collection::vec(0.0..=1.0f64, 8),
        ) {
            // Of rank 4: singular.
            let features = Array2::from_shape_vec((8, 4), features).unwrap();
            let q = features.dot(&features.t());
            let x = minimum(&q, &c, &[(0.0, 1.0); 8], &start);
            let gradient = q.dot(&Array1::from_vec(x.clone())) + Array1::from_vec(c);
            for (x, g) in x.into_iter().zip(gradient) {
                let fine = (x == 0.0 && g > -1e-9) || (x == 1.0 && g < 1e-9) || ((0.0..=1.0).contains(&x) && g.abs() < 1e-9);
                prop_assert!(fine, "{x}: {g}");
            }
        }
    }
}
