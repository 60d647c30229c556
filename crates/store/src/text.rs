//! Text from files, made fit to be shown.
//!
//! A label, a name or a key may hold anything: escape sequences that paint the terminal, marks that turn the direction of
//! writing, a megabyte. A person sees it through [`shown`] or [`quoted`], a message of another library through
//! [`one_line`], and a file of comma separated values through [`csv_cell`].

use crate::Checksum;

/// The longest text that is shown whole, in characters.
pub const SHOWN: usize = 64;

/// The longest message that is shown whole, in characters.
pub const MESSAGE: usize = 400;

/// The longest cell that spreadsheets take, in characters.
pub const CELL: usize = 32_767;

/// Text in one line of at most [`SHOWN`] characters: control characters and marks that cannot be seen are escaped, and
/// what is longer ends in `...`.
///
/// ```
/// use widenet_store::text::shown;
///
/// assert_eq!(shown("café"), "café");
/// assert_eq!(shown("two\nlines\u{1b}[31m"), "two\\nlines\\u{1b}[31m");
/// ```
pub fn shown(text: &str) -> String {
    escaped(text, SHOWN, hidden)
}

/// [`shown`] in quotation marks. Those within it, and backslashes, are escaped.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text, SHOWN, |c| hidden(c) || matches!(c, '"' | '\\')))
}

/// A message in one line of at most [`MESSAGE`] characters: white space is a space each, the rest as in [`shown`].
pub fn one_line(message: &str) -> String {
    let mut line = String::new();
    for word in message.split_whitespace().take(MESSAGE + 1) {
        line.push_str(if line.is_empty() { "" } else { " " });
        line.extend(word.chars().take(MESSAGE + 1));
        // Bytes: no character has more than four.
        if line.len() > 4 * MESSAGE {
            break;
        }
    }
    escaped(&line, MESSAGE, hidden)
}

/// The whole text with what cannot be seen escaped, line ends too: the last door before a terminal.
pub fn visible(text: &str) -> String {
    escaped(text, usize::MAX, hidden)
}

/// Text as the content of a cell in a file of comma separated values: control characters and backslashes escaped, and
/// [`CELL`] characters at most; what is longer ends in `...` and the beginning of its checksum. One that a spreadsheet would
/// compute (it begins with `=`, `+`, `-` or `@` and is no number) gets an apostrophe before it, which spreadsheets take for
/// "this is text", and so does one that begins with an apostrophe: different texts are different cells.
///
/// ```
/// use widenet_store::text::csv_cell;
///
/// assert_eq!(csv_cell("-1.5e3"), "-1.5e3");
/// assert_eq!(csv_cell("=1+1"), "'=1+1");
/// assert_eq!(csv_cell("'=1+1"), "''=1+1");
/// ```
pub fn csv_cell(text: &str) -> String {
    let computed = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let formula = text.trim_start_matches(' ').starts_with(computed) && !is_number(text);
    let mark = if formula || text.starts_with('\'') { "'" } else { "" };
    let escape = |length| escaped(text, length, |c| hidden(c) || c == '\\');
    let cell = escape(usize::MAX);
    if mark.len() + cell.chars().count() <= CELL {
        return format!("{mark}{cell}");
    }
    let sum = Checksum::of(text.as_bytes()).to_string();
    format!("{mark}{}{}", escape(CELL - mark.len() - SUM), &sum[..SUM])
}

/// The digits of a checksum that tell long cells apart.
const SUM: usize = 16;

/// Whether a spreadsheet reads a number, with a point or a comma.
fn is_number(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | ',' | 'e' | 'E'));
    plain && text.replacen(',', ".", 1).parse::<f64>().is_ok()
}

/// At most `length` characters, with those escaped that `unfit` says; where text is left out `...` stands for it.
fn escaped(text: &str, length: usize, unfit: impl Fn(char) -> bool) -> String {
    let mut line = String::new();
    let mut count = 0;
    // Where the line is cut if it turns out too long.
    let mut cut = 0;
    for c in text.chars() {
        let start = line.len();
        if unfit(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        count += line[start..].chars().count();
        if count.saturating_add(3) <= length {
            cut = line.len();
        }
        if count > length {
            line.truncate(cut);
            line.push_str("...");
            break;
        }
    }
    line
}

/// Whether a character cannot be seen, or changes how others are: controls, marks of direction, spaces of no width.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(shown("a b"), "a b");
        assert_eq!(shown("naïve 類 🦀 e\u{301}"), "naïve 類 🦀 e\u{301}");
        assert_eq!(shown("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(shown("a\r\n\tb\0"), "a\\r\\n\\tb\\u{0}");
        // The next line, a mark of direction, an override, an isolate, a byte order mark, a tag, the C1 escape.
        for hidden in ['\u{85}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}', '\u{9b}'] {
            assert_eq!(shown(&format!("x{hidden}y")), format!("x\\u{{{:x}}}y", hidden as u32));
        }
    }

    #[test]
    fn long_text_is_cut() {
        let long = "é".repeat(1_000_000);
        assert_eq!(shown(&long), format!("{}...", "é".repeat(61)));
        assert_eq!(shown(&"é".repeat(64)), "é".repeat(64));
        // An escape is not cut through: ten of six characters and the points fit.
        assert_eq!(shown(&"\u{1b}".repeat(64)), format!("{}...", "\\u{1b}".repeat(10)));
        assert_eq!(one_line(&"a ".repeat(1_000_000)).len(), 400);
        assert_eq!(one_line(&"a".repeat(1_000_000)), format!("{}...", "a".repeat(397)));
        assert_eq!(csv_cell(&"a".repeat(40_000)).len(), 32_767);
    }

    #[test]
    fn quotation_marks_are_told_apart() {
        assert_eq!(quoted("a \"b\" \\ \u{7f}"), "\"a \\\"b\\\" \\\\ \\u{7f}\"");
        assert_eq!(quoted("it's"), "\"it's\"");
    }

    #[test]
    fn nothing_is_cut_from_what_is_made_visible() {
        let long = "é".repeat(1000);
        assert_eq!(visible(&format!("{long}\n\u{1b}")), format!("{long}\\n\\u{{1b}}"));
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(
            one_line(" unknown field `a\u{1b}[2J`,\n  expected\tb\n"),
            "unknown field `a\\u{1b}[2J`, expected b"
        );
        assert_eq!(one_line(""), "");
    }

    #[test]
    fn formulas_are_text_and_numbers_stay() {
        for plain in ["", "cat", "0", "-1", "+1", "-1.5e-3", "+.5", "-1,5", "a=b", "1-2"] {
            assert_eq!(csv_cell(plain), plain);
        }
        for formula in ["=1+1", "+A1", "-A1", "-1+2", "@SUM(A1)", "=cmd|' /C calc'!A0", "＝1", "-", " =1", "-inf"] {
            assert_eq!(csv_cell(formula), format!("'{formula}"));
        }
        assert_eq!(csv_cell("\t=1"), "'\\t=1");
        assert_eq!(csv_cell("\r=1"), "'\\r=1");
        assert_eq!(csv_cell("a\nb"), "a\\nb");
    }

    #[test]
    fn different_texts_are_different_cells() {
        let long = "a".repeat(CELL);
        let texts = [
            "=1",
            "'=1",
            "''=1",
            "1",
            "'1",
            "a\nb",
            "a\\nb",
            "\n",
            "'\\n",
            &long,
            &format!("{long}b"),
            &format!("{long}c"),
        ];
        let cells: std::collections::BTreeSet<String> = texts.iter().map(|text| csv_cell(text)).collect();
        assert_eq!(cells.len(), texts.len());
        assert_eq!([csv_cell("'=1"), csv_cell("'1"), csv_cell("a'")], ["''=1", "''1", "a'"]);
    }

    proptest! {
        #[test]
        fn anything_is_one_short_line_without_controls(text in any::<String>()) {
            for (line, length) in [
                (shown(&text), SHOWN),
                (quoted(&text), SHOWN + 2),
                (one_line(&text), MESSAGE),
                (csv_cell(&text), CELL),
            ] {
                prop_assert!(line.chars().count() <= length);
                prop_assert!(!line.chars().any(hidden));
            }
        }

        /// The text of a cell that is not cut.
        #[test]
        fn a_cell_gives_its_text_back(text in "['=+\\\\@ \\ta-c0-2.\u{1b}\u{202e}n]{0,8}") {
            let cell = csv_cell(&text);
            let escaped = cell.strip_prefix('\'').unwrap_or(&cell);
            let mut read = String::new();
            let mut left = escaped.chars();
            while let Some(c) = left.next() {
                let control = match (c, c == '\\') {
                    (c, false) => c,
                    _ => match left.next() {
                        Some('t') => '\t',
                        Some('n') => '\n',
                        Some('u') => {
                            let code: String = left.by_ref().skip(1).take_while(|c| *c != '}').collect();
                            char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap()
                        }
                        other => other.unwrap(),
                    },
                };
                read.push(control);
            }
            prop_assert_eq!(read, text);
        }

        #[test]
        fn plain_text_is_shown_as_it_is(text in "[a-zA-Z0-9 äß_.-]{0,64}") {
            prop_assert_eq!(&shown(&text), &text);
            prop_assert_eq!(quoted(&text), format!("\"{text}\""));
        }
    }
}
