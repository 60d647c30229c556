//! Configurations as TOML text.

use serde::Serialize;
use toml_edit::visit_mut::VisitMut;
use toml_edit::{DocumentMut, Formatted, Value};

/// A configuration as TOML, with every default written out.
pub fn to_toml(config: &impl Serialize) -> String {
    let text = toml_edit::ser::to_string_pretty(config).expect("a configuration is plain data");
    let mut document: DocumentMut = text.parse().expect("it was just written");
    Short.visit_document_mut(&mut document);
    document.to_string()
}

/// Writes large and small numbers in scientific form: without it, 1e-300 fills three lines.
struct Short;

impl VisitMut for Short {
    fn visit_float_mut(&mut self, node: &mut Formatted<f64>) {
        let text = format!("{:?}", node.value());
        if let (true, Ok(Value::Float(short))) = (text.contains('e'), text.parse()) {
            let decor = node.decor().clone();
            *node = short;
            *node.decor_mut() = decor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_back() {
        let values = std::collections::BTreeMap::from([
            ("a", vec![1.0, 0.001, 1e-5]),
            ("b", vec![1e300, -5e-324, f64::INFINITY]),
        ]);
        let text = to_toml(&values);
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, "a = [ 1.0, 0.001, 1e-5, ] b = [ 1e300, -5e-324, inf, ]");
        let read: std::collections::BTreeMap<String, Vec<f64>> = toml_edit::de::from_str(&text).unwrap();
        assert!(read.values().eq(values.values()));
    }
}
