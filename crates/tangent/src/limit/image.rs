//! The recursion over pairs of positions of two images.
//!
//! Its state are the covariance `S[p, p']` and the tangent kernel `T[p, p']` of every position `p` of one image with
//! every position `p'` of the other. A convolution moves both windows together, so that what it makes of the pairs at
//! one offset `p' - p` depends on the input at one offset alone. The state is therefore kept as maps, one per offset,
//! and only the maps that the output asks for are computed: a network that ends in [`Flatten`] asks for offset 0 and
//! costs `O(P)` per pair of images with `P` positions; one with pooling asks for more, global average pooling for all
//! of them (`O(P^2)`), but never holds more than a few maps at once.
//!
//! [`Flatten`]: widenet_model::Layer::Flatten

use std::collections::BTreeMap;
use std::ops::Range;

use super::dense::add;
use super::expectation::{Expectation, Lanes, near};
use super::marginals::{Arguments, Cross, Own, Slots};
use super::near::Near;
use super::pool;
use super::program::{Linear, Program, Step};
use widenet_model::host::{Real, vectorised};

/// Rows and columns between two positions.
pub(super) type Offset = [isize; 2];

/// `S` and `T` of the pairs `(p, p + offset)`, for the positions `p` of a rectangle, row by row.
#[derive(Clone, Debug)]
pub(super) struct Map<T> {
    /// Rows of `p`, those for which `p` and `p + offset` both lie in the image.
    pub(super) rows: Range<usize>,
    /// Columns of `p`.
    pub(super) columns: Range<usize>,
    /// The offset.
    pub(super) offset: Offset,
    /// The covariances.
    pub(super) s: Vec<T>,
    /// The tangent kernels.
    pub(super) t: Vec<T>,
    /// The same with what covariances do not tell, for nearly parallel images. Empty for others, and behind pooling,
    /// whose covariances mix.
    near: Vec<Near>,
}

impl<T: Real> Map<T> {
    /// The map at an offset in an image of the given height and width, filled with zeros.
    pub(super) fn zeros(extent: [usize; 2], offset: Offset) -> Self {
        let (rows, columns) = (overlap(extent[0], offset[0]), overlap(extent[1], offset[1]));
        let zeros = vec![T::zero(); rows.len() * columns.len()];
        Self { rows, columns, offset, s: zeros.clone(), t: zeros, near: Vec::new() }
    }

    /// Adds another map of the same places.
    fn add(&mut self, term: &Self) {
        add(&mut self.s, &term.s);
        add(&mut self.t, &term.t);
        self.near = self.near.iter().zip(&term.near).map(|(near, term)| near.plus(*term)).collect();
        self.take_near();
    }

    /// Reads the covariances and tangent kernels of nearly parallel images.
    fn take_near(&mut self) {
        for ((s, t), near) in self.s.iter_mut().zip(&mut self.t).zip(&self.near) {
            (*s, *t) = (T::of(near.s), T::of(near.t));
        }
    }
}

/// The positions `p` of an axis for which `p + offset` is also a position.
fn overlap(length: usize, offset: isize) -> Range<usize> {
    let shift = offset.unsigned_abs();
    let kept = length.saturating_sub(shift);
    if offset < 0 && kept > 0 { shift..length } else { 0..kept }
}

/// Maps by offset. A map that is missing is one without positions.
pub(super) type Table<T> = BTreeMap<Offset, Map<T>>;

/// An image with its marginals at every activation, one lane per position.
pub(super) struct Image<'a, T> {
    pixels: &'a [T],
    /// The sum of the squares of the pixels.
    square: T,
    slots: Slots<T>,
}

impl<'a, T: Real> Image<'a, T> {
    /// Prepares an image, `pixels: [channels, height, width]`, and gives its own covariance and tangent kernel.
    pub(super) fn new(program: &Program, pixels: &'a [T]) -> (Self, (T, T)) {
        let slots = vec![Vec::new(); program.slots];
        let mut walk = Walk { program, pixels: [pixels, pixels], near: false, arguments: Own(slots) };
        let own = walk.output();
        (Self { pixels, square: dot(pixels, pixels), slots: walk.arguments.0 }, own)
    }

    /// The covariance and the tangent kernel of two images after the steps that mix positions.
    pub(super) fn pair(&self, other: &Self, program: &Program) -> (T, T) {
        // Pooling sums over offsets in their order, which is another one from the other image: the bits are those of one
        // order.
        let (this, other) = if other.pixels < self.pixels { (other, self) } else { (self, other) };
        let arguments = Cross { left: &this.slots, right: &other.slots };
        let cosine = dot(this.pixels, other.pixels).abs() / (this.square.sqrt() * other.square.sqrt());
        let near = cosine > T::one() - near::<T>();
        Walk { program, pixels: [this.pixels, other.pixels], near, arguments }.output()
    }
}

/// Where the maps before a list of steps come from.
#[derive(Clone, Copy)]
enum Source<'a, T> {
    Pixels,
    Table(&'a Table<T>),
}

/// The evaluation of one pair of images.
struct Walk<'a, T, A> {
    program: &'a Program,
    pixels: [&'a [T]; 2],
    /// Whether the images are nearly parallel.
    near: bool,
    arguments: A,
}

impl<T: Real, A: Arguments<T>> Walk<'_, T, A> {
    fn output(&mut self) -> (T, T) {
        let mut output = (T::zero(), T::zero());
        self.visit(&self.program.image, Source::Pixels, &[[0, 0]], &mut |map| output = (map.s[0], map.t[0]));
        output
    }

    /// Passes the maps at the given offsets after the steps to `sink`, one by one. Offset 0 must come first.
    fn visit(&mut self, steps: &[Step], source: Source<T>, offsets: &[Offset], sink: &mut dyn FnMut(Map<T>)) {
        let Some(last) = steps.iter().rposition(Step::mixes_offsets) else {
            return offsets.iter().for_each(|&offset| sink(self.map(steps, source, offset)));
        };
        let after = &steps[last + 1..];
        let table = self.mixed(&steps[last], &steps[..last], source, &pool::offsets_before(after, offsets));
        offsets.iter().for_each(|&offset| sink(self.map(after, Source::Table(&table), offset)));
    }

    /// The maps after a step that mixes offsets, which follows other steps.
    fn mixed(&mut self, step: &Step, before: &[Step], source: Source<T>, offsets: &[Offset]) -> Table<T> {
        let needed = pool::offsets_before(std::slice::from_ref(step), offsets);
        let mut output = Table::new();
        match step {
            Step::Pool(pool) => {
                output.extend(offsets.iter().map(|&offset| (offset, Map::zeros(pool.output, offset))));
                self.visit(before, source, &needed, &mut |map| pool::scatter(pool, &map, &mut output));
            }
            Step::Residual(branch, shortcut) => {
                let mut input = Table::new();
                self.visit(before, source, &needed, &mut |map| drop(input.insert(map.offset, map)));
                self.visit(branch, Source::Table(&input), offsets, &mut |map| drop(output.insert(map.offset, map)));
                self.visit(shortcut, Source::Table(&input), offsets, &mut |map| {
                    let sum = output.get_mut(&map.offset).expect("both branches visit the same offsets");
                    sum.add(&map);
                });
            }
            Step::Linear(_) | Step::Activation(..) => unreachable!("it keeps offsets apart"),
        }
        output
    }

    /// The map at one offset after steps that keep offsets apart.
    fn map(&mut self, steps: &[Step], source: Source<T>, offset: Offset) -> Map<T> {
        let Some((step, before)) = steps.split_last() else {
            return match source {
                Source::Pixels => self.input(offset),
                Source::Table(table) => table.get(&offset).cloned().unwrap_or_else(|| Map::zeros([0, 0], offset)),
            };
        };
        match step {
            Step::Linear(linear) => {
                let input = self.map(before, source, offset.map(|steps| steps * linear.stride as isize));
                convolve(linear, &input, offset)
            }
            Step::Activation(expectation, slot) => {
                let mut map = self.map(before, source, offset);
                self.activate(expectation, *slot, &mut map);
                map
            }
            Step::Residual(branch, shortcut) => {
                // Both branches nearly always start from the same map.
                let mut input = Table::new();
                for steps in [branch, shortcut] {
                    let needed = steps.iter().rev().fold(offset, offset_before);
                    input.entry(needed).or_insert_with(|| self.map(before, source, needed));
                }
                let mut sum = self.map(branch, Source::Table(&input), offset);
                let term = self.map(shortcut, Source::Table(&input), offset);
                sum.add(&term);
                sum
            }
            Step::Pool(_) => unreachable!("it mixes offsets"),
        }
    }

    /// The mean over channels of the products of the two images' values.
    fn input(&self, offset: Offset) -> Map<T> {
        let [height, width] = self.program.extent;
        let mut map = Map::zeros([height, width], offset);
        let [left, right] = self.pixels.map(|pixels| pixels.chunks_exact(height * width));
        for (left, right) in left.zip(right) {
            for (row, sums) in map.rows.clone().zip(map.s.chunks_exact_mut(map.columns.len().max(1))) {
                let [first, second] = starts(width, row, map.columns.start, offset);
                for ((sum, &left), &right) in sums.iter_mut().zip(&left[first..]).zip(&right[second..]) {
                    *sum += left * right;
                }
            }
        }
        let scale = T::of(1.0 / self.program.channels as f64);
        map.s.iter_mut().for_each(|s| *s *= scale);
        // At other offsets a window reaches beyond one image where it does not beyond the other.
        if self.near && offset == [0, 0] {
            let pixels = |pixels: &[T], at: usize| -> Vec<T> {
                pixels.iter().skip(at).step_by(height * width).copied().collect()
            };
            for row in map.rows.clone() {
                for column in map.columns.clone() {
                    let [first, second] = starts(width, row, column, offset);
                    map.near.push(Near::of_inputs(&pixels(self.pixels[0], first), &pixels(self.pixels[1], second)));
                }
            }
            map.take_near();
        }
        map
    }

    fn activate(&mut self, expectation: &Expectation, slot: usize, map: &mut Map<T>) {
        if map.s.is_empty() {
            return;
        }
        if !map.near.is_empty() {
            map.near.iter_mut().for_each(|near| *near = near.activated(expectation));
            return map.take_near();
        }
        let (left, right) = self.arguments.at(slot, expectation, &map.s);
        let width = map.columns.len() + map.offset[1].unsigned_abs();
        // Whole rows follow one another without a gap.
        let run = if map.offset[1] == 0 { map.s.len() } else { map.columns.len() };
        let runs = map.s.chunks_exact_mut(run).zip(map.t.chunks_exact_mut(run));
        let mut gaps = vec![T::one(); run];
        for (row, (s, t)) in map.rows.clone().zip(runs) {
            let [first, second] = starts(width, row, map.columns.start, map.offset);
            expectation.apply(
                Lanes { values: left, start: first },
                Lanes { values: right, start: second },
                s,
                t,
                &mut gaps,
            );
        }
    }
}

/// The indices of `p` and `p + offset` in an image of the given width.
fn starts(width: usize, row: usize, column: usize, offset: Offset) -> [usize; 2] {
    let other = [row.wrapping_add_signed(offset[0]), column.wrapping_add_signed(offset[1])];
    [row * width + column, other[0] * width + other[1]]
}

/// The offset of the input on which the output of a step at an offset depends.
fn offset_before(offset: Offset, step: &Step) -> Offset {
    match step {
        Step::Linear(linear) => offset.map(|steps| steps * linear.stride as isize),
        Step::Residual(branch, _) => branch.iter().rev().fold(offset, offset_before),
        Step::Activation(..) | Step::Pool(_) => offset,
    }
}

/// A convolution: `S <- sigma_w^2 mean(S) + sigma_b^2`, `T <- S_new + sigma_w^2 mean(T)`, with means over the windows
/// of both positions, which move together. Padding counts as zeros.
fn convolve<T: Real>(linear: &Linear, input: &Map<T>, offset: Offset) -> Map<T> {
    let mut output = Map::zeros(linear.output, offset);
    if !input.s.is_empty() {
        let target = (&output.rows, &output.columns);
        vectorised(
            #[inline(always)]
            || {
                window_sums(linear, input, &input.s, target, &mut output.s);
                window_sums(linear, input, &input.t, target, &mut output.t);
            },
        );
    }
    let weight = T::of(linear.weight / (linear.kernel[0] * linear.kernel[1]) as f64);
    let bias = T::of(linear.bias);
    for (s, t) in output.s.iter_mut().zip(&mut output.t) {
        *s = weight * *s + bias;
        *t = weight * *t + *s;
    }
    if !input.near.is_empty() {
        let rows = output.rows.clone().flat_map(|row| output.columns.clone().map(move |column| (row, column)));
        let sum = |(row, column)| {
            let columns = window(linear, 1, column, &input.columns);
            let places = window(linear, 0, row, &input.rows).flat_map(|row| {
                let start = row * input.columns.len();
                start + columns.start..start + columns.end
            });
            Near::sum(places.map(|place| input.near[place]))
        };
        let mean = linear.weight / (linear.kernel[0] * linear.kernel[1]) as f64;
        output.near = rows.map(sum).map(|near| near.scaled(mean).biased(linear.bias)).collect();
        output.take_near();
    }
    output
}

/// `<a, b>`, in lanes.
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::zero(); 8];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = chunks_a.remainder().iter().zip(chunks_b.remainder());
    let rest = rest.fold(T::zero(), |sum, (&a, &b)| sum + a * b);
    for (a, b) in chunks_a.zip(chunks_b) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().fold(rest, |sum, &lane| sum + lane)
}

/// Adds up the windows of a field given on the rectangle of `input`: along the rows first, then along the columns.
#[inline(always)]
fn window_sums<T: Real>(
    linear: &Linear,
    input: &Map<T>,
    field: &[T],
    (rows, columns): (&Range<usize>, &Range<usize>),
    output: &mut [T],
) {
    if output.is_empty() {
        return;
    }
    let width = columns.len();
    let mut narrowed = vec![T::zero(); input.rows.len() * width];
    for (field, sums) in field.chunks_exact(input.columns.len()).zip(narrowed.chunks_exact_mut(width)) {
        if linear.stride == 1 && width > 1 {
            // One shifted addition per column of the kernel.
            for tap in 0..linear.kernel[1] {
                // output column + tap = input column + padding
                let first = (input.columns.start + linear.padding).max(columns.start + tap);
                let end = (input.columns.end + linear.padding).min(columns.end + tap);
                if first < end {
                    let read = &field[first - linear.padding - input.columns.start..];
                    add(&mut sums[first - tap - columns.start..end - tap - columns.start], read);
                }
            }
        } else {
            for (sum, column) in sums.iter_mut().zip(columns.clone()) {
                let window = window(linear, 1, column, &input.columns);
                *sum = field[window].iter().fold(T::zero(), |sum, &value| sum + value);
            }
        }
    }
    for (row, sums) in rows.clone().zip(output.chunks_exact_mut(width)) {
        let window = window(linear, 0, row, &input.rows);
        for row in narrowed[window.start * width..window.end * width].chunks_exact(width) {
            add(sums, row);
        }
    }
}

/// The part of an output position's window that lies in `available`, counted from its start.
fn window(linear: &Linear, axis: usize, position: usize, available: &Range<usize>) -> Range<usize> {
    let start = position * linear.stride;
    let clip = |end: usize| end.saturating_sub(linear.padding).clamp(available.start, available.end) - available.start;
    clip(start)..clip(start + linear.kernel[axis])
}
