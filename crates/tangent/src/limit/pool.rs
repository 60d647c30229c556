//! Average pooling of pairs of positions.

use super::image::{Map, Offset, Table};
use super::program::{Pool, Step};
use widenet_model::host::Real;

/// The offsets of the input on which the output of the steps at the given offsets depends; offset 0 first.
pub(super) fn offsets_before(steps: &[Step], offsets: &[Offset]) -> Vec<Offset> {
    steps.iter().rev().fold(offsets.to_vec(), |offsets, step| match step {
        Step::Activation(..) => offsets,
        Step::Linear(linear) => offsets.into_iter().map(|offset| offset.map(|n| n * linear.stride as isize)).collect(),
        Step::Pool(pool) => distinct(offsets.iter().flat_map(|&offset| offsets_in_windows(pool, offset)).collect()),
        Step::Residual(branch, shortcut) => {
            distinct([offsets_before(branch, &offsets), offsets_before(shortcut, &offsets)].concat())
        }
    })
}

fn distinct(mut offsets: Vec<Offset>) -> Vec<Offset> {
    offsets.sort_unstable_by_key(|&offset| (offset != [0, 0], offset));
    offsets.dedup();
    offsets
}

/// The offsets between the positions of two windows that are `offset` windows apart.
fn offsets_in_windows(pool: &Pool, offset: Offset) -> impl Iterator<Item = Offset> + use<> {
    let [rows, columns] = [0, 1].map(|axis| {
        let (window, limit) = (pool.window[axis] as isize, pool.input[axis] as isize);
        let center = offset[axis] * window;
        (center - window + 1).max(1 - limit)..(center + window).min(limit)
    });
    rows.flat_map(move |row| columns.clone().map(move |column| [row, column]))
}

/// Adds a map's share to the means over pairs of windows.
pub(super) fn scatter<T: Real>(pool: &Pool, map: &Map<T>, output: &mut Table<T>) {
    let scale = T::of(1.0 / (pool.window[0] * pool.window[1]).pow(2) as f64);
    let rows = windows(map.rows.clone(), map.offset[0], pool.window[0]);
    let columns = windows(map.columns.clone(), map.offset[1], pool.window[1]);
    // Pairs at one offset lie in windows at no more than two offsets along each axis.
    for (row_offset, rows) in &rows {
        for (column_offset, columns) in &columns {
            let Some(sums) = output.get_mut(&[*row_offset, *column_offset]) else { continue };
            let width = sums.columns.len();
            for &(row, row_window) in rows {
                let start = (row_window - sums.rows.start) * width;
                for &(column, column_window) in columns {
                    let from = row * map.columns.len() + column;
                    let to = start + column_window - sums.columns.start;
                    sums.s[to] += scale * map.s[from];
                    sums.t[to] += scale * map.t[from];
                }
            }
        }
    }
}

/// Positions of one axis, counted from the map's first, with their windows; grouped by the offset between their window
/// and that of the position `offset` away.
fn windows(positions: std::ops::Range<usize>, offset: isize, window: usize) -> [(isize, Vec<(usize, usize)>); 2] {
    let first = offset.div_euclid(window as isize);
    let mut groups = [(first, Vec::new()), (first + 1, Vec::new())];
    let start = positions.start;
    for position in positions {
        let own = position / window;
        let other = position.wrapping_add_signed(offset) / window;
        let group = usize::from(other as isize - own as isize != first);
        groups[group].1.push((position - start, own));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_two_on_a_row_of_four() {
        let pool = Pool { window: [1, 2], input: [1, 4], output: [1, 2] };
        let steps = [Step::Pool(pool.clone())];
        assert_eq!(offsets_before(&steps, &[[0, 0]]), [[0, 0], [0, -1], [0, 1]]);
        assert_eq!(offsets_before(&steps, &[[0, 0], [0, 1]]).len(), 5);

        // S[p, p'] = p + 10 p'. The mean over p in {0, 1} and p' in {2, 3} is 0.5 + 25.
        let mut output = Table::from([[0, 0], [0, 1]].map(|offset| (offset, Map::zeros(pool.output, offset))));
        for offset in offsets_before(&steps, &[[0, 0], [0, 1]]) {
            let mut map = Map::<f64>::zeros(pool.input, offset);
            for (s, p) in map.s.iter_mut().zip(map.columns.clone()) {
                *s = p as f64 + 10.0 * (p as f64 + offset[1] as f64);
            }
            scatter(&pool, &map, &mut output);
        }
        assert_eq!(output[&[0, 0]].s, [5.5, 27.5]);
        assert_eq!(output[&[0, 1]].s, [25.5]);
    }
}
