//! Whether the first line of a table is a header.

use std::collections::HashSet;

use crate::TableError;
use crate::error::Fault;
use crate::form::Decimal;

use super::cell::{Cell, counts, is_whole};
use super::records::Records;

/// Whether the row `first` has names in it, judged by its cells and the rows `below`. The label's column is `label`.
pub(super) fn is_header(
    first: &[String],
    label: Option<usize>,
    decimal: Decimal,
    below: &mut Records,
) -> Result<bool, Fault> {
    let kinds: Vec<Cell> = first.iter().map(|cell| Cell::of(cell, decimal)).collect();
    // Tables of pandas begin with a column that has no name.
    let nameless = first[0].is_empty() && first.len() > 1 && label != Some(0);
    let features: Vec<usize> = (usize::from(nameless)..first.len()).filter(|&j| Some(j) != label).collect();
    let with = |kind: Cell| features.iter().copied().find(|&j| kinds[j] == kind);
    let place = |j: usize| (j + 1, first[j].clone());
    // As pandas numbers columns, the label's among them or not.
    let count = |cells: &[usize]| counts(cells.iter().map(|&j| first[j].as_str()), 0);
    let word = label.filter(|&label| kinds[label] == Cell::Word);
    let counted = word.is_some() || count(&features) || count(&(1..first.len()).collect::<Vec<_>>());
    match (with(Cell::Number), with(Cell::Word), with(Cell::Missing)) {
        (Some(number), Some(text), _) | (Some(number), None, Some(text)) => {
            Err(TableError::HalfHeader { text: place(text), number: place(number) }.into())
        }
        (None, Some(_), _) => Ok(true),
        // A label's name alone, above rows of no features.
        (None, None, missing) => Ok(missing.is_none() && word.is_some()),
        (Some(number), None, None) if nameless => match below.next()? {
            Some((row, _)) if counted && ["0", "1"].contains(&row.get(0).unwrap_or_default().trim()) => Ok(true),
            _ => Err(TableError::HalfHeader { text: place(0), number: place(number) }.into()),
        },
        (Some(_), None, None) => above_numbers(first, &features, word, decimal, below),
    }
}

/// The same for a row whose features are numbers, and whose label is a word if it stands at `word`.
fn above_numbers(
    first: &[String],
    features: &[usize],
    word: Option<usize>,
    decimal: Decimal,
    below: &mut Records,
) -> Result<bool, Fault> {
    let counted: Vec<usize> = if word.is_some() { features.to_vec() } else { (0..first.len()).collect() };
    let from = |start: usize| {
        // Names of columns skip the label's, or do not.
        let cells = || counted.iter().map(|&j| first[j].as_str());
        counts(cells(), start) || counted.iter().all(|&j| first[j] == (j + start).to_string())
    };
    let (from_0, from_1) = (from(0), from(1));
    let counting = counted.len() > 1 && (from_0 || from_1);
    if !counting && word.is_none() {
        return Ok(false);
    }
    let (mut rows, mut numbers, mut words, mut whole) = (0, false, false, false);
    // Whether the row's label is that of another row, and whether two others have the same.
    let (mut recurs, mut others, mut seen) = (false, false, HashSet::new());
    while let Some((row, _)) = below.next()? {
        rows += 1;
        whole |= counting && features.iter().any(|&j| row.get(j).is_some_and(|cell| is_whole(cell.trim())));
        if let Some(label) = word {
            let cell = row.get(label).unwrap_or_default().trim();
            match Cell::of(cell, decimal) {
                Cell::Number => numbers = true,
                Cell::Word => words = true,
                Cell::Missing => continue,
            }
            recurs |= cell == first[label];
            others = others || !seen.insert(cell.to_string());
        }
        // Nothing that follows can change it.
        if recurs || (word.is_none() && whole) {
            break;
        }
    }
    match word {
        Some(_) if numbers && !words => return Ok(true),
        Some(_) if recurs => return Ok(false),
        Some(label) if !counting && others => return Err(TableError::LoneLabel { label: first[label].clone() }.into()),
        Some(_) if !counting => return Ok(false),
        _ => {}
    }
    let many = counted.len() > 2;
    match rows > 0 {
        true if from_0 && ((!whole && (many || word.is_some())) || (many && others)) => Ok(true),
        true if !whole || others || (from_0 && many) => Err(TableError::MaybeHeader.into()),
        _ => Ok(false),
    }
}
