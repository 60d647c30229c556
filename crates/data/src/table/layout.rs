//! What the columns of a table are.

use crate::TableError;
use crate::error::Fault;
use crate::form::{Decimal, Form, Known, LabelColumn, Told};

use super::header::is_header;
use super::records::Records;

/// What the columns are, by position from 0.
pub(super) struct Layout {
    pub columns: usize,
    pub header: bool,
    /// The first column numbers the rows.
    pub index: bool,
    pub label: Option<usize>,
    /// Of all columns, if there is a header.
    names: Vec<String>,
}

impl Layout {
    /// Of a table with its `first` row in `line`. The rows `below` it are read where they are needed.
    pub fn find(
        (first, line): (Vec<String>, u64),
        below: &mut Records,
        decimal: Decimal,
        told: &Told,
        known: Option<&Known>,
    ) -> Result<Self, Fault> {
        let at = |problem: TableError| Fault::at(line, problem);
        let columns = first.len();
        let header = match told.header {
            Some(header) => header,
            None if known.is_some_and(|known| has_names(&first, known)) => true,
            None => {
                let label = provisional(&first, told, known).map_err(at)?;
                // The label's own name is no number, so that the line is a header whatever the features are.
                let asked = told.label.as_ref().is_some_and(|asked| asked.parse::<usize>().is_err());
                let form = known.and_then(|known| known.form.as_ref());
                let found = is_header(&first, label, decimal, below).or_else(|fault| match fault.problem {
                    TableError::MaybeHeader | TableError::LoneLabel { .. } if asked => Ok(true),
                    // As in the file of the kind.
                    TableError::MaybeHeader if let Some(form) = form => Ok(form.header),
                    // The names that are known are not in it.
                    TableError::LoneLabel { .. } if known.is_some() => Ok(false),
                    problem => Err(Fault::at(fault.line.unwrap_or(line), problem)),
                })?;
                found || asked
            }
        };
        let mut layout = Self {
            columns,
            header,
            index: header && columns > 1 && first[0].is_empty(),
            label: None,
            names: if header { first } else { Vec::new() },
        };
        match (&told.label, known) {
            (Some(asked), _) => {
                let found = layout.asked(asked).ok_or_else(|| at(TableError::NoColumn { asked: asked.clone() }))?;
                layout.index &= found != 0;
                layout.label = Some(found);
            }
            (None, Some(known)) => layout.as_known(known).map_err(at)?,
            (None, None) => layout.label = Some(columns - 1),
        }
        layout.check(known).map_err(at)?;
        Ok(layout)
    }

    /// The column that is told by its name or its number from 1. Names go first.
    fn asked(&self, asked: &str) -> Option<usize> {
        let number = || asked.parse::<usize>().ok()?.checked_sub(1).filter(|&column| column < self.columns);
        self.named(asked).or_else(number)
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|found| found == name)
    }

    /// Whether there are labels, and where: as in the known samples.
    fn as_known(&mut self, known: &Known) -> Result<(), TableError> {
        let (features, form) = (known.features, known.form.as_ref());
        let column = form.and_then(|form| form.label.as_ref());
        // A label without a name, which does not number rows.
        let nameless = column.is_some_and(|column| column.position == 1 && column.name.is_none());
        if nameless && self.index && self.columns == features + 1 {
            self.index = false;
            self.label = Some(0);
            return Ok(());
        }
        let columns = self.columns - usize::from(self.index);
        let name = column.and_then(|column| column.name.as_ref()).filter(|_| self.header);
        if let Some(label) = name.and_then(|name| self.named(name)) {
            self.label = Some(label);
            return Ok(());
        }
        match (columns, name) {
            (columns, _) if columns == features => Ok(()),
            (columns, Some(label)) if columns == features + 1 => {
                Err(TableError::OtherLabel { label: label.clone(), features })
            }
            _ => self.by_position(columns, features, form),
        }
    }

    fn by_position(&mut self, columns: usize, features: usize, form: Option<&Form>) -> Result<(), TableError> {
        let last = self.columns - 1;
        let indexed = form.is_some_and(|form| form.index);
        let position = form.and_then(|form| form.label.as_ref()).map(LabelColumn::index);
        let unnamed = indexed && !self.header;
        if unnamed && columns == features + 1 {
            return Err(TableError::MaybeIndex { columns });
        }
        // A column that numbers the rows moves those that follow.
        self.index |= unnamed && columns == features + 2;
        let moved = position.map(|position| (position + usize::from(self.index)).saturating_sub(usize::from(indexed)));
        self.label = Some(moved.unwrap_or(last).min(last));
        Ok(())
    }

    /// The positions of the features.
    pub fn features(&self) -> impl Iterator<Item = usize> + '_ {
        (usize::from(self.index)..self.columns).filter(|&column| Some(column) != self.label)
    }

    /// The features' names, if there is a header.
    pub fn names(&self) -> Vec<String> {
        self.features().filter_map(|column| self.names.get(column).cloned()).collect()
    }

    /// The label's column, as it is told to people.
    pub fn label_column(&self) -> Option<LabelColumn> {
        let column = self.label?;
        let name = self.names.get(column).filter(|name| !name.is_empty());
        Some(LabelColumn { position: column + 1, name: name.cloned() })
    }

    /// Refuses names that are missing or there twice, and features that are not those that are known.
    fn check(&self, known: Option<&Known>) -> Result<(), TableError> {
        let count = self.features().count();
        if let Some(known) = known.filter(|known| known.features != count) {
            return Err(TableError::Features { found: count, wanted: known.features });
        }
        if count == 0 {
            return Err(TableError::NoFeatures { columns: self.columns });
        }
        let mut seen = std::collections::HashMap::new();
        for (column, name) in self.names.iter().enumerate().skip(usize::from(self.index)) {
            if name.is_empty() && Some(column) != self.label {
                return Err(TableError::NoName { column: column + 1 });
            }
            if let Some(before) = seen.insert(name, column) {
                return Err(TableError::SameName { columns: [before + 1, column + 1], name: name.clone() });
            }
        }
        let (found, wanted) = (self.names(), known.map(|known| known.names.as_slice()).unwrap_or_default());
        match found.iter().zip(wanted).enumerate().find(|(_, (found, wanted))| found != wanted) {
            None => Ok(()),
            Some((j, (found, wanted))) => {
                Err(TableError::Name { feature: j + 1, found: found.clone(), wanted: wanted.clone() })
            }
        }
    }
}

/// Where the label stands in a first row that may be a header.
fn provisional(first: &[String], told: &Told, known: Option<&Known>) -> Result<Option<usize>, TableError> {
    let last = first.len() - 1;
    let Some(asked) = &told.label else {
        let position = known.and_then(|known| known.form.as_ref()?.label.as_ref()).map(LabelColumn::index);
        let labelled = known.is_none_or(|known| known.features != first.len());
        return Ok(labelled.then(|| position.unwrap_or(last).min(last)));
    };
    let named = first.iter().position(|cell| cell == asked);
    // A cell of a row may be the same number; a header of words has no other.
    let others = |place| first.iter().enumerate().any(|(column, cell)| column != place && cell.parse::<f64>().is_ok());
    let found = match asked.parse::<usize>() {
        Ok(number) if named.is_none_or(others) => number.checked_sub(1).filter(|&column| column <= last),
        _ => named,
    };
    found.map(Some).ok_or_else(|| TableError::NoColumn { asked: asked.clone() })
}

/// Whether a row has the names of known samples in it: a word of them, or all of the numbers.
fn has_names(row: &[String], known: &Known) -> bool {
    let names = known.names.as_slice();
    let word = |name: &String| name.parse::<f64>().is_err() && row.contains(name);
    if names.iter().any(word) {
        return true;
    }
    let label = known.form.as_ref().and_then(|form| form.label.as_ref());
    let label_position = label.map(LabelColumn::index);
    let without = |left_out: &[Option<usize>]| {
        let kept = row.iter().enumerate().filter(|(j, _)| !left_out.contains(&Some(*j))).map(|(_, cell)| cell);
        kept.eq(names)
    };
    !names.is_empty()
        && [vec![], vec![label_position], vec![Some(0)], vec![Some(0), label_position], vec![row.len().checked_sub(1)]]
            .iter()
            .any(|left_out| without(left_out))
}
