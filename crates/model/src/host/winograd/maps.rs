//! The linear maps of `F(4x4, 3x3)`, several channels at a time.
//!
//! A product of polynomials is found from its values at `0, a, -a, b, -b` and infinity. With `a = 1/sqrt(2)` and
//! `b = sqrt(2)` rounding is amplified little, and `a b = 1`:
//!
//! ```text
//! B^T = 1   0  -5/2   0   1  0      G =  1     0     0          A = 1   0    0    0
//!       0 -2a  -2     a   1  0          -2/3 -2a/3  -1/3            1   a   1/2  a/2
//!       0  2a  -2    -a   1  0          -2/3  2a/3  -1/3            1  -a   1/2 -a/2
//!       0 -b/2 -1/2   b   1  0           1/6   b/6   1/3            1   b    2    2b
//!       0  b/2 -1/2  -b   1  0           1/6  -b/6   1/3            1  -b    2   -2b
//!       0   1   0   -5/2  0  1           0     0     1              0   0    0    1
//! ```

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::host::real::Real;

/// Outputs of a patch in one direction, the pixels that they read, and the kernel's weights.
pub(super) const OUTPUTS: usize = 4;
pub(super) const SIDE: usize = 6;
pub(super) const WEIGHTS: usize = 3;

/// Channels that are transformed together: one vector of the machine, or a few.
pub(super) const LANES: usize = 16;

/// So many neighbouring channels of one pixel.
pub(super) type Lanes<T> = [T; LANES];

/// A linear map of vectors of `I` entries to vectors of `O`.
///
/// A type for each, whose `apply` is always inlined: what is only called is compiled without the vector instructions of
/// `vectorised`.
pub(super) trait LinearMap<const I: usize, const O: usize> {
    /// The map of a vector for several channels.
    fn apply<T: Real>(numbers: &Numbers<T>, vector: [Lanes<T>; I]) -> [Lanes<T>; O];
}

/// The numbers in the matrices.
pub(super) struct Numbers<T> {
    a: T,
    b: T,
    half: T,
    two: T,
    middle: T,
    /// The factors of the rows of `G` at `a` and at `b`.
    g_a: T,
    g_b: T,
}

impl<T: Real> Numbers<T> {
    pub(super) fn new() -> Self {
        let [a, b, half, two, middle, g_a, g_b] =
            [FRAC_1_SQRT_2, SQRT_2, 0.5, 2.0, 2.5, -2.0 / 3.0, 1.0 / 6.0].map(T::of);
        Self { a, b, half, two, middle, g_a, g_b }
    }
}

// Odd and even parts at `a` and `b` give both signs' values.

/// `B^T`.
pub(super) struct BTransposed;

impl LinearMap<SIDE, SIDE> for BTransposed {
    #[inline(always)]
    fn apply<T: Real>(n: &Numbers<T>, [d0, d1, d2, d3, d4, d5]: [Lanes<T>; SIDE]) -> [Lanes<T>; SIDE] {
        let (even, odd) = (less(d4, n.two, d2), scaled(n.a, less(d3, n.two, d1)));
        let (even_b, odd_b) = (less(d4, n.half, d2), scaled(n.b, less(d3, n.half, d1)));
        let (first, last) = (less(add(d0, d4), n.middle, d2), less(add(d1, d5), n.middle, d3));
        [first, add(even, odd), subtract(even, odd), add(even_b, odd_b), subtract(even_b, odd_b), last]
    }
}

/// `B`.
pub(super) struct B;

impl LinearMap<SIDE, SIDE> for B {
    #[inline(always)]
    fn apply<T: Real>(n: &Numbers<T>, [v0, v1, v2, v3, v4, v5]: [Lanes<T>; SIDE]) -> [Lanes<T>; SIDE] {
        let (even, odd) = (add(v1, v2), scaled(n.a, subtract(v1, v2)));
        let (even_b, odd_b) = (add(v3, v4), scaled(n.b, subtract(v3, v4)));
        let d1 = less(less(v5, n.two, odd), n.half, odd_b);
        let d2 = less(less(scaled(-n.middle, v0), n.two, even), n.half, even_b);
        let d3 = less(add(odd, odd_b), n.middle, v5);
        [v0, d1, d2, d3, add(v0, add(even, even_b)), v5]
    }
}

/// `A^T`.
pub(super) struct ATransposed;

impl LinearMap<SIDE, OUTPUTS> for ATransposed {
    #[inline(always)]
    fn apply<T: Real>(n: &Numbers<T>, [m0, m1, m2, m3, m4, m5]: [Lanes<T>; SIDE]) -> [Lanes<T>; OUTPUTS] {
        let (even, odd) = (add(m1, m2), scaled(n.a, subtract(m1, m2)));
        let (even_b, odd_b) = (add(m3, m4), scaled(n.b, subtract(m3, m4)));
        let y2 = add(scaled(n.half, even), scaled(n.two, even_b));
        let y3 = add(add(scaled(n.half, odd), scaled(n.two, odd_b)), m5);
        [add(m0, add(even, even_b)), add(odd, odd_b), y2, y3]
    }
}

/// `A`.
pub(super) struct A;

impl LinearMap<OUTPUTS, SIDE> for A {
    #[inline(always)]
    fn apply<T: Real>(n: &Numbers<T>, [y0, y1, y2, y3]: [Lanes<T>; OUTPUTS]) -> [Lanes<T>; SIDE] {
        let (even, odd) = (add(y0, scaled(n.half, y2)), scaled(n.a, add(y1, scaled(n.half, y3))));
        let (even_b, odd_b) = (add(y0, scaled(n.two, y2)), scaled(n.b, add(y1, scaled(n.two, y3))));
        [y0, add(even, odd), subtract(even, odd), add(even_b, odd_b), subtract(even_b, odd_b), y3]
    }
}

/// `G`.
pub(super) struct G;

impl LinearMap<WEIGHTS, SIDE> for G {
    #[inline(always)]
    fn apply<T: Real>(n: &Numbers<T>, [w0, w1, w2]: [Lanes<T>; WEIGHTS]) -> [Lanes<T>; SIDE] {
        let (even, odd) = (scaled(n.g_a, add(w0, scaled(n.half, w2))), scaled(n.g_a * n.a, w1));
        let (even_b, odd_b) = (scaled(n.g_b, add(w0, scaled(n.two, w2))), scaled(n.g_b * n.b, w1));
        [w0, add(even, odd), subtract(even, odd), add(even_b, odd_b), subtract(even_b, odd_b), w2]
    }
}

/// `G^T`.
pub(super) struct GTransposed;

impl LinearMap<SIDE, WEIGHTS> for GTransposed {
    #[inline(always)]
    fn apply<T: Real>(n: &Numbers<T>, [u0, u1, u2, u3, u4, u5]: [Lanes<T>; SIDE]) -> [Lanes<T>; WEIGHTS] {
        let (even, odd) = (scaled(n.g_a, add(u1, u2)), scaled(n.g_a * n.a, subtract(u1, u2)));
        let (even_b, odd_b) = (scaled(n.g_b, add(u3, u4)), scaled(n.g_b * n.b, subtract(u3, u4)));
        let w2 = add(add(scaled(n.half, even), scaled(n.two, even_b)), u5);
        [add(u0, add(even, even_b)), add(odd, odd_b), w2]
    }
}

/// `F t F^T` for a map `F`. `t` is read and the result written entry by entry: whole arrays would be copied.
#[inline(always)]
pub(super) fn twice<F: LinearMap<I, O>, T: Real, const I: usize, const O: usize>(
    numbers: &Numbers<T>,
    read: impl Fn(usize, usize) -> Lanes<T>,
    mut write: impl FnMut(usize, usize, Lanes<T>),
) {
    let mut rows = [[zeros(); O]; I];
    for (i, row) in rows.iter_mut().enumerate() {
        let mut entries = [zeros(); I];
        for (j, entry) in entries.iter_mut().enumerate() {
            *entry = read(i, j);
        }
        *row = F::apply(numbers, entries);
    }
    for j in 0..O {
        let mut entries = [zeros(); I];
        for (entry, row) in entries.iter_mut().zip(&rows) {
            *entry = row[j];
        }
        let out = F::apply(numbers, entries);
        for (i, entry) in out.iter().enumerate() {
            write(i, j, *entry);
        }
    }
}

#[inline(always)]
pub(super) fn zeros<T: Real>() -> Lanes<T> {
    [T::zero(); LANES]
}

#[inline(always)]
pub(super) fn load<T: Real>(values: &[T], at: usize) -> Lanes<T> {
    let mut lanes = zeros();
    lanes.copy_from_slice(&values[at..at + LANES]);
    lanes
}

#[inline(always)]
pub(super) fn store<T: Real>(values: &mut [T], at: usize, lanes: Lanes<T>) {
    values[at..at + LANES].copy_from_slice(&lanes);
}

#[inline(always)]
pub(super) fn add<T: Real>(mut a: Lanes<T>, b: Lanes<T>) -> Lanes<T> {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
    a
}

#[inline(always)]
fn subtract<T: Real>(mut a: Lanes<T>, b: Lanes<T>) -> Lanes<T> {
    for (a, b) in a.iter_mut().zip(b) {
        *a -= b;
    }
    a
}

/// `a - factor b`.
#[inline(always)]
fn less<T: Real>(mut a: Lanes<T>, factor: T, b: Lanes<T>) -> Lanes<T> {
    for (a, b) in a.iter_mut().zip(b) {
        *a -= factor * b;
    }
    a
}

#[inline(always)]
pub(super) fn scaled<T: Real>(factor: T, mut a: Lanes<T>) -> Lanes<T> {
    for a in &mut a {
        *a *= factor;
    }
    a
}
