//! The angle of a cosine, by square roots and a polynomial alone: the same on every platform, and several at a time.

use std::f64::consts::{FRAC_PI_2, PI};

/// `(arcsin(s)/s - 1)/s^2` as a polynomial in `s^2 <= 1/4`, from its values at Chebyshev's 13 nodes: right to within 1e-17.
#[allow(clippy::excessive_precision)]
const ARCSINE: [f64; 13] = [
    0.16666666666666669,
    0.07499999999998433,
    0.04464285714635543,
    0.030381944138531247,
    0.02237217294214989,
    0.017352392720869973,
    0.013971212973552933,
    0.011479177415184906,
    0.01032281435018578,
    0.005457506718640358,
    0.01740087944269402,
    -0.014851887071247204,
    0.028757851367421566,
];

/// `pi - arccos u` for `-1 <= u <= 1`, to within 8 units in the last place: near -1 nothing cancels.
///
/// `arccos a = 2 arcsin sqrt((1 - a)/2)` for `a > 1/2`, and `pi/2 - arcsin a` below. Without branches, so that loops over
/// it take several numbers at once.
#[inline(always)]
pub(crate) fn rest(u: f64) -> f64 {
    let a = u.abs();
    let near = a > 0.5;
    let square = if near { 0.5 * (1.0 - a) } else { a * a };
    let s = if near { square.sqrt() } else { a };
    let series = ARCSINE.iter().rev().fold(0.0, |sum, c| sum * square + c);
    let arcsine = s + s * square * series;
    let angle = if near { 2.0 * arcsine } else { FRAC_PI_2 - arcsine };
    if u >= 0.0 { PI - angle } else { angle }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::Exact;

    #[test]
    fn angles_by_hand() {
        assert_eq!([-1.0, 1.0].map(rest), [0.0, PI]);
        assert_eq!(rest(0.0), FRAC_PI_2);
        assert!((rest(0.5) - 2.0 * PI / 3.0).abs() < 1e-15 && (rest(-0.5) - PI / 3.0).abs() < 1e-15);
    }

    #[test]
    fn right_to_within_eight_units() {
        let even = (0..=4000).map(|k| k as f64 / 2000.0 - 1.0);
        let near = (1..=17).flat_map(|k| [3.3, 5.7, 9.1].map(|digit| digit * 10f64.powi(-k)));
        for u in even.chain(near.flat_map(|step| [step, -step, 1.0 - step, step - 1.0, 0.5 + step / 20.0])) {
            let exact = Exact::from(u).rest();
            let error = (exact - rest(u).into()).to_f64().abs();
            assert!(error <= 8.0 * f64::EPSILON * exact.to_f64(), "{u}: {error:e}");
        }
    }
}
