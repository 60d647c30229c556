//! Reports: one HTML file with text, tables and figures, which needs nothing else to be read.
//!
//! ```
//! use widenet::report::Report;
//!
//! # fn main() -> Result<(), widenet::plot::PlotError> {
//! let mut report = Report::new("Dynamics", "MNIST 0/1, width 4096, seed 1");
//! report.key_values([("λ", "0.01"), ("objective", "sum of hinge losses")]);
//! report.table(["model", "test accuracy"], vec![vec!["network", "0.9981"], vec!["machine", "0.9986"]]);
//! report.note("The network left its linear regime at step 900.");
//! let html = report.html()?;
//! assert!(html.contains("<td class=\"number\">0.9981</td>"));
//! # Ok(())
//! # }
//! ```

use crate::error::Error;
use crate::plot::{Figure, HeatMaps, PlotError, escape};
use crate::run_folder::RunFolder;

/// The style sheet, for light and dark screens, narrow and wide, and for paper.
const STYLE: &str = include_str!("../assets/report.css");

/// A document made of blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The headline, also the title of the browser's window.
    pub title: String,
    /// A line below it: what ran, on what, when.
    pub subtitle: String,
    /// The content, from top to bottom.
    pub blocks: Vec<Block>,
}

/// A piece of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// The title of a section.
    Heading(String),
    /// Running text.
    Paragraph(String),
    /// A table. Columns that hold only numbers are aligned on the right.
    Table {
        /// The names of the columns.
        header: Vec<String>,
        /// The cells. Rows may be shorter than the header.
        rows: Vec<Vec<String>>,
    },
    /// A figure with its caption below.
    Figure(Figure),
    /// Matrices as pictures, with their caption below.
    HeatMaps(HeatMaps),
    /// Names and values, such as the conventions a result depends on.
    KeyValues(Vec<(String, String)>),
    /// A line that must not be overlooked, such as a warning.
    Note(String),
}

impl Report {
    /// A report without content.
    pub fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Report {
        Report { title: title.into(), subtitle: subtitle.into(), blocks: Vec::new() }
    }

    /// Starts a section.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    /// Adds running text.
    pub fn paragraph(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Paragraph(text.into()));
    }

    /// Adds a table.
    pub fn table<H, R, C>(&mut self, header: H, rows: R)
    where
        H: IntoIterator<Item: Into<String>>,
        R: IntoIterator<Item = C>,
        C: IntoIterator<Item: Into<String>>,
    {
        let header = header.into_iter().map(Into::into).collect();
        let rows = rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect();
        self.blocks.push(Block::Table { header, rows });
    }

    /// Adds a figure.
    pub fn figure(&mut self, figure: Figure) {
        self.blocks.push(Block::Figure(figure));
    }

    /// Adds names and values.
    pub fn key_values<K: Into<String>, V: Into<String>>(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self.blocks.push(Block::KeyValues(pairs));
    }

    /// Adds a highlighted line.
    pub fn note(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Note(text.into()));
    }

    /// Writes the document as report.html, and every picture in it as SVG and PNG into `plots/`.
    ///
    /// # Errors
    ///
    /// When a picture cannot be drawn or a file not written.
    pub fn write(&self, folder: &RunFolder) -> Result<(), Error> {
        for block in &self.blocks {
            let (name, svg, png) = match block {
                Block::Figure(figure) => (&figure.name, figure.svg()?, figure.png()?),
                Block::HeatMaps(maps) => (&maps.name, maps.svg()?, maps.png()?),
                _ => continue,
            };
            for (extension, bytes) in [("svg", svg.as_bytes()), ("png", &png)] {
                folder.write(&format!("plots/{name}.{extension}"), bytes)?;
            }
        }
        Ok(folder.write("report.html", self.html()?.as_bytes())?)
    }

    /// The whole document. It loads nothing from elsewhere and runs no script.
    pub fn html(&self) -> Result<String, PlotError> {
        let title = escape(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        if !self.subtitle.is_empty() {
            html.push_str(&format!("<p class=\"subtitle\">{}</p>\n", escape(&self.subtitle)));
        }
        for block in &self.blocks {
            html.push_str(&block.html()?);
        }
        html.push_str("</main>\n</body>\n</html>\n");
        Ok(html)
    }
}

impl Block {
    fn html(&self) -> Result<String, PlotError> {
        Ok(match self {
            Block::Heading(text) => format!("<h2>{}</h2>\n", escape(text)),
            Block::Paragraph(text) => format!("<p>{}</p>\n", escape(text)),
            Block::Note(text) => format!("<p class=\"note\" role=\"note\">{}</p>\n", escape(text)),
            Block::Table { header, rows } => table(header, rows),
            Block::KeyValues(pairs) => {
                let pair =
                    |(key, value): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(key), escape(value));
                format!("<dl>\n{}</dl>\n", pairs.iter().map(pair).collect::<String>())
            }
            Block::Figure(figure) => picture(&figure.name, &figure.caption, &figure.svg()?),
            Block::HeatMaps(maps) => picture(&maps.name, &maps.caption, &maps.svg()?),
        })
    }
}

fn picture(name: &str, caption: &str, svg: &str) -> String {
    let caption = match caption {
        "" => String::new(),
        caption => format!("<figcaption>{}</figcaption>\n", escape(caption)),
    };
    format!("<figure id=\"{}\">\n<div class=\"card\">\n{svg}</div>\n{caption}</figure>\n", escape(name))
}

fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    let cell_of = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let numeric: Vec<bool> = (0..columns)
        .map(|column| {
            let mut filled = rows.iter().map(|row| cell_of(row, column)).filter(|cell| !is_blank(cell)).peekable();
            filled.peek().is_some() && filled.all(|cell| is_number(&cell))
        })
        .collect();
    let line = |row: &[String], tag: &str| {
        let cell = |column: usize| {
            let class = if numeric[column] { " class=\"number\"" } else { "" };
            let scope = if tag == "th" { " scope=\"col\"" } else { "" };
            format!("<{tag}{scope}{class}>{}</{tag}>", escape(&cell_of(row, column)))
        };
        format!("<tr>{}</tr>\n", (0..columns).map(cell).collect::<String>())
    };
    let head = if header.is_empty() { String::new() } else { format!("<thead>\n{}</thead>\n", line(header, "th")) };
    let body: String = rows.iter().map(|row| line(row, "td")).collect();
    format!("<div class=\"scroll\" tabindex=\"0\">\n<table>\n{head}<tbody>\n{body}</tbody>\n</table>\n</div>\n")
}

/// A cell that says that there is no value.
fn is_blank(cell: &str) -> bool {
    matches!(cell.trim(), "" | "-" | "–" | "—")
}

/// A number, maybe with a power of ten and a short unit such as "%" or "ms", or two of them around "±".
fn is_number(cell: &str) -> bool {
    let part = |part: &str| {
        let part = part.trim().replace('−', "-");
        let number = match part.split_once(char::is_whitespace) {
            Some((number, unit)) if unit.trim().chars().count() <= 3 => number,
            _ => part.trim_end_matches('%'),
        };
        let digits = number.split_once("×10").map_or(number, |(digits, _)| digits);
        digits.parse::<f64>().is_ok()
    };
    cell.split('±').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Axis, Series};

    #[test]
    fn all_text_is_escaped() {
        let bad = "<b>&\"'";
        let mut report = Report::new(bad, bad);
        report.heading(bad);
        report.paragraph(bad);
        report.note(bad);
        report.key_values([(bad, bad)]);
        report.table([bad], [[bad]]);
        let axis = || Axis::linear(bad);
        report.figure(Figure::new(bad, bad, axis(), axis()).caption(bad).series(Series::new(bad, vec![(0.0, 0.0)])));
        let html = report.html().expect("a report");
        assert!(!html.contains("<b>") && !html.contains("&\""));
        assert_eq!(html.matches("<svg").count(), 1);
        assert_eq!(html.matches("<figcaption>&lt;b&gt;&amp;&quot;&#39;</figcaption>").count(), 1);
    }

    #[test]
    fn a_report_needs_nothing_from_elsewhere() {
        let mut report = Report::new("title", "");
        report.figure(Figure::new("f", "figure", Axis::linear("x"), Axis::log("y")));
        let html = report.html().expect("a report");
        let links = html.matches("http").count();
        assert_eq!(links, html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
        assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("url("));
        assert!(!html.contains("subtitle\">"));
        assert_eq!(html, report.html().expect("a report"));
    }

    #[test]
    fn columns_of_numbers_are_aligned_on_the_right() {
        let rows =
            [["network", "0.99", "1e-3", "a"], ["machine", "", "2.0 ± 0.1 %", "1"], ["limit", "—", "−3×10⁻⁵", "2"]];
        let mut report = Report::new("", "");
        report.table(["model", "accuracy", "gap", "mixed"], rows);
        let html = report.html().expect("a report");
        assert_eq!(html.matches("<td class=\"number\">").count(), 6);
        assert_eq!(html.matches("<th scope=\"col\" class=\"number\">").count(), 2);
    }

    #[test]
    fn numbers_may_have_units_but_text_is_no_number() {
        for number in ["1", "−0.5", "98.6%", "98.6 %", "41 s", "12 ms", "1e-3", "3×10⁻⁵", "1 ± 0.1", "NaN", "2 ± 1 %"]
        {
            assert!(is_number(number), "{number}");
        }
        for text in ["", "a", "1 ± b", "2 layers", "s 1", "mnist01", "1,2"] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn ragged_and_empty_tables_have_whole_rows() {
        let ragged = table(&["a".to_owned()], &[vec!["1".to_owned(), "2".to_owned()], vec![]]);
        assert_eq!(ragged.matches("<th ").count(), 2);
        assert_eq!(ragged.matches("<td").count(), 4);
        assert!(table(&[], &[]).contains("<tbody>\n</tbody>"));
    }
}
