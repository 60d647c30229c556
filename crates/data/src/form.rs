//! How a table is written: what is told about it, what was found, and what is known from samples of before.

use serde::{Deserialize, Serialize};

use crate::Encoding;

/// What is told about a file. What is not told is found, and said in [`Origin`](crate::Origin).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The label's column: a name of the header, or a number from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the first line is a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What stands before the fraction of a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
    /// How text is written in bytes. A mark of the byte order is surer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
}

/// What stands before the fraction of a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decimal {
    /// `1.5`
    #[default]
    Point,
    /// `1,5`
    Comma,
}

/// The column that the labels stand in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelColumn {
    /// Its position, from 1.
    pub position: usize,
    /// Its name, if there is a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl LabelColumn {
    /// Its position, from 0.
    pub(crate) fn index(&self) -> usize {
        self.position.saturating_sub(1)
    }
}

/// The kind of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Rows of cells.
    Columns {
        /// What stands between them: a comma, a semicolon, a tab, or `|`.
        separator: char,
    },
    /// Lines of `label index:value index:value ...`, as LIBSVM has them.
    Libsvm {
        /// The index of the first feature: 0 or 1.
        first: u64,
    },
}

/// How a file was read: enough to read another of the kind in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The kind of table.
    pub format: Format,
    /// How text is written in bytes.
    #[serde(default)]
    pub encoding: Encoding,
    /// What stands before the fraction of a number.
    #[serde(default)]
    pub decimal: Decimal,
    /// Whether the first line is a header.
    #[serde(default)]
    pub header: bool,
    /// Whether the first column numbers the rows, and is left out.
    #[serde(default)]
    pub index: bool,
    /// The labels' column, if the table has columns and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelColumn>,
}

/// What is known of the samples that a model was fitted to, when new ones are read for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The number of features, `d`.
    pub features: usize,
    /// Their names, `[d]`; empty where they have none.
    pub names: Vec<String>,
    /// How their file was read; none for images.
    pub form: Option<Form>,
}
