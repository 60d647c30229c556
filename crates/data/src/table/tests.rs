use super::*;
use ndarray::array;
use proptest::prelude::*;
use std::path::Path;

fn parsed(bytes: &[u8], told: &Told, known: Option<&Known>) -> Result<Samples, Fault> {
    let limits = Limits { memory: Some(1 << 30), samples: None };
    parse(&Source::new(Path::new("a.csv")), bytes.to_vec(), told, known, limits)
}

/// The samples of a text.
fn read(text: &str) -> Samples {
    parsed(text.as_bytes(), &Told::default(), None).unwrap_or_else(|fault| panic!("{text:?}: {fault:?}"))
}

fn told(label: Option<&str>, header: Option<bool>, decimal: Option<Decimal>) -> Told {
    Told { label: label.map(String::from), header, decimal, encoding: None }
}

fn read_as(text: &str, told: &Told) -> Samples {
    parsed(text.as_bytes(), told, None).unwrap_or_else(|fault| panic!("{text:?}: {fault:?}"))
}

/// What new samples are for a machine that was fitted to `old` ones.
fn read_for(old: &Samples, text: &str) -> Result<Samples, String> {
    parsed(text.as_bytes(), &Told::default(), Some(&known(old))).map_err(said)
}

fn known(old: &Samples) -> Known {
    Known { features: old.inputs.ncols(), names: old.names.clone(), form: old.origin.form.clone() }
}

fn said(fault: Fault) -> String {
    fault.of(Path::new("a")).to_string()
}

fn refused(text: &str) -> String {
    refused_as(text, &Told::default())
}

fn refused_as(text: &str, told: &Told) -> String {
    said(parsed(text.as_bytes(), told, None).map(|samples| panic!("{text:?}: {samples:?}")).unwrap_err())
}

fn labels(samples: &Samples) -> Vec<&str> {
    samples.target.labels.iter().map(|label| label.as_deref().unwrap_or("-")).collect()
}

fn column(samples: &Samples) -> (usize, Option<&str>) {
    let column = samples.origin.form.as_ref().unwrap().label.as_ref().unwrap();
    (column.position, column.name.as_deref())
}

#[test]
fn rows_by_hand() {
    let inputs = array![[1.0, -2.5], [0.0, 3.0]];
    let bare = read("1, -2.5, cat\n0, 3, dog\n");
    assert_eq!((&bare.inputs, labels(&bare), bare.origin.lines.as_slice()), (&inputs, vec!["cat", "dog"], &[1, 2][..]));
    assert!(bare.names.is_empty() && bare.origin.notes.is_empty() && column(&bare) == (3, None));
    for (text, separated) in [
        ("u,v,what\n1,-2.5,cat\n0,3e0,dog\n", None),
        ("\u{feff}u,v,what\r\n1,-2.5,cat\r\n0,3e0,dog\r\n", None),
        ("u;v;what\n1;-2.5;cat\n0;3e0;dog\n", Some("separated by semicolons")),
        ("u\tv\twhat\n1\t-2.5\tcat\n0\t3e0\tdog\n", Some("separated by tabs")),
        ("u|v|what\n1|-2.5|cat\n0|3e0|dog\n", Some("separated by |")),
    ] {
        let samples = read(text);
        assert_eq!((&samples.inputs, labels(&samples)), (&inputs, vec!["cat", "dog"]));
        assert_eq!((samples.names.clone(), samples.origin.lines.clone()), (vec!["u".into(), "v".into()], vec![2, 3]));
        assert_eq!(
            (column(&samples), samples.origin.notes.first().map(String::as_str)),
            ((3, Some("what")), separated)
        );
    }
    for label in ["what", "1"] {
        let samples = read_as("what,u,v\ncat,1,-2.5\ndog,0,3\n", &told(Some(label), None, None));
        assert_eq!(
            (&samples.inputs, labels(&samples), column(&samples)),
            (&inputs, vec!["cat", "dog"], (1, Some("what")))
        );
    }
    // A cell with the label column's number does not name it, except in a header.
    let numbers = read_as("7,2,1\n8,3,4\n", &told(Some("1"), None, None));
    assert_eq!((labels(&numbers), numbers.inputs.clone()), (vec!["7", "8"], array![[2.0, 1.0], [3.0, 4.0]]));
    assert_eq!(labels(&read_as("u,v,1\n7,2,9\n", &told(Some("1"), None, None))), ["9"]);
}

#[test]
fn a_spreadsheet_may_tell_the_separator() {
    let samples = read("sep=;\r\na;b;y\r\n1;2;0\r\n3;4;1\r\n");
    assert_eq!((samples.inputs, samples.origin.lines), (array![[1.0, 2.0], [3.0, 4.0]], vec![3, 4]));
    assert_eq!(samples.origin.notes, ["separated by semicolons"]);
    assert_eq!(read("SEP=|\n1|2|x\n").inputs, array![[1.0, 2.0]]);
    assert_eq!(
        refused("sep=,\n1,x,y\n1,2,3\n"),
        "a:2: column 2: \"x\" is not a number, but column 1 is \"1\": neither a header nor a row of numbers"
    );
    assert_eq!(
        refused("sep=\n"),
        "a:1: no features: one column, and it is for the label; commas, semicolons, tabs or | separate columns"
    );
}

#[test]
fn spreadsheets_of_europe() {
    let comma = told(None, None, Some(Decimal::Comma));
    let samples = read_as("\u{feff}a;b;y\r\n1,5;-2;0,25\r\n2;1,25e1;3\r\n", &comma);
    assert_eq!((samples.inputs.clone(), labels(&samples)), (array![[1.5, -2.0], [2.0, 12.5]], vec!["0.25", "3"]));
    assert_eq!(samples.origin.notes, ["separated by semicolons", "decimal commas"]);
    // Not told, or with a point that may group thousands.
    let fault = parsed(b"a;b;y\n1,5;2;0\n", &Told::default(), None).unwrap_err();
    assert!(
        matches!(fault.problem, TableError::NotANumber { other_mark: true, column: 1, .. }) && fault.line == Some(2)
    );
    assert_eq!(refused_as("a;y\n1.234,5;1\n", &comma), "a:2: column 1: \"1.234,5\" is not a finite number");
    // New samples of the kind are read the same way.
    assert_eq!(read_for(&samples, "a;b\n0,5;1\n").unwrap().inputs, array![[0.5, 1.0]]);
    // Commas between the cells too, then, in quotation marks.
    let quoted = read_as("a,b,y\n\"1,5\",2,0\n3,\"4,5\",1\n", &comma);
    assert_eq!(quoted.inputs, array![[1.5, 2.0], [3.0, 4.5]]);
}

#[test]
fn headers_are_known_by_the_whole_row() {
    let names = |text: &str| read(text).names;
    let rows = |text: &str| read(text).inputs.nrows();
    // A word over numbers.
    assert_eq!(names("0,1,2,target\n0.5,1,2,0\n3,4,5,1\n"), ["0", "1", "2"]);
    assert_eq!(names("7,9,target\n0,1,2\n"), ["7", "9"]);
    // Numbers of columns over fractions.
    assert_eq!(names("0,1,2,3\n0.5,1.5,2.5,1\n3.5,4.0,5e0,0\n"), ["0", "1", "2"]);
    assert_eq!(names("0,1,target\n0.5,1.5,yes\n3.5,4.0,no\n"), ["0", "1"]);
    // pandas with its index.
    let pandas = read(",0,1,target\n0,0.5,1,0\n1,2,3,1\n");
    assert_eq!(
        (pandas.names.clone(), pandas.inputs.clone()),
        (vec!["0".into(), "1".into()], array![[0.5, 1.0], [2.0, 3.0]])
    );
    // Samples: the first label is one of words, or comes again.
    assert_eq!(rows("5.1,3.5,setosa\n4.9,3.0,virginica\n"), 2);
    assert_eq!(rows("0,1,2,yes\n3,4,5,no\n1,1,1,yes\n"), 3);
    assert_eq!((rows("1,2,3\n4,5,6\n"), rows("1,2,1\n3,4,-1\n"), rows("1,2,cat\n3,4,dog\n")), (2, 2, 2));
    assert_eq!(rows("1,2,?\n3,4,0\n"), 2);
    // Numbers of columns over classes.
    assert_eq!(names("0,1,2,target\n5,6,7,a\n5,6,8,b\n6,6,6,a\n"), ["0", "1", "2"]);
    // A name, or the only sample of a class.
    let lone = "2019,2020,2021,region\n1,2,3,north\n4,5,6,south\n7,8,9,north\n";
    let said = "a:1: the label \"region\" is in this line alone, so it may be a header, and it may be a sample";
    assert_eq!(refused(lone), said);
    let with = |header| read_as(lone, &told(None, Some(header), None)).inputs.nrows();
    assert_eq!((with(true), with(false)), (3, 4));
    assert_eq!(read_as(lone, &told(Some("region"), None, None)).names, ["2019", "2020", "2021"]);
    // For a machine without names it is a sample.
    assert_eq!(read_for(&read_as(lone, &told(None, Some(true), None)), lone).unwrap().inputs.nrows(), 3);
    let bare = read("1,2,3,north\n4,5,6,south\n7,8,9,north\n");
    let new = read_for(&bare, "1,2,3,west\n4,5,6,south\n7,8,9,south\n").unwrap();
    assert_eq!(labels(&new), ["west", "south", "south"]);
    // It may be either.
    let maybe = "a:1: the line counts columns, so it may be a header, and it may be a sample";
    for text in ["0,1,2,3\n4,5,6,7\n", "0,1,2,cat\n3,4,5,dog\n", "1,2,3\n0.5,0.25,1\n", "0,1\n0.5,1\n"] {
        assert_eq!(refused(text), maybe, "{text:?}");
        let with = |header| read_as(text, &told(None, Some(header), None)).inputs.nrows();
        assert_eq!((with(true), with(false)), (1, 2));
    }
    let neither = |text: (usize, &str), number: (usize, &str)| {
        let ((a, text), (b, number)) = (text, number);
        format!(
            "a:1: column {a}: {text:?} is not a number, but column {b} is {number:?}: neither a header nor a row of numbers"
        )
    };
    assert_eq!(refused("1,2,oops,0\n1,2,3,1\n"), neither((3, "oops"), (1, "1")));
    assert_eq!(refused("1,,3,0\n1,2,3,1\n"), neither((2, ""), (1, "1")));
    assert_eq!(refused(",2,3,0\n1,2,3,1\n"), neither((1, ""), (2, "2")));
    assert_eq!(refused_as("what,1,oops\n0,2,3\n", &told(Some("what"), None, None)), neither((3, "oops"), (2, "1")));
    assert_eq!(read_as("age,2020,y\n1,2,3\n", &told(None, Some(true), None)).names, ["age", "2020"]);
    assert_eq!(read_as("7,8,what\n1,2,cat\n", &told(Some("what"), None, None)).names, ["7", "8"]);
    assert_eq!(refused("a,b,c\n"), "a: no samples");
}

#[test]
fn columns_without_a_name_or_with_the_same() {
    for first in [0, 1] {
        let samples = read(&format!(",a,y\n{first},5,0\n{},7,1\n", first + 1));
        assert_eq!((samples.inputs.clone(), samples.names.clone()), (array![[5.0], [7.0]], vec!["a".to_string()]));
        assert_eq!(samples.origin.notes, ["column 1 left out, which has no name and numbers the rows"]);
        // In rows taken from a larger table the numbers are any; and it may be missing.
        let new = read_for(&samples, ",a,y\n17,1,0\n3,2,1\n").unwrap();
        assert_eq!((new.inputs.clone(), labels(&new)), (array![[1.0], [2.0]], vec!["0", "1"]));
        assert_eq!(labels(&read_for(&samples, "a,y\n1,0\n").unwrap()), ["0"]);
        assert_eq!(read_for(&samples, ",a\n5,1\n").unwrap().target.labels.len(), 0);
        assert_eq!(labels(&read_for(&samples, "5,1,0\n6,2,1\n").unwrap()), ["0", "1"]);
        let told = "a:1: 2 columns without names: the first may number the rows, or the last may be missing";
        assert_eq!(read_for(&samples, "5,1\n6,2\n").unwrap_err(), told);
    }
    assert_eq!(
        refused(",a,y\n0,5,0\n2,7,1\n"),
        "a:3: column 1 has no name and does not count 0, 1, 2, ...: give it a name, or remove it"
    );
    assert_eq!(refused("a,,y\n0,5,0\n"), "a:1: column 2 has no name: give it one, or remove it");
    assert_eq!(refused("a,b,a\n0,5,0\n"), "a:1: columns 1 and 3 are both named \"a\"");
    // A label without a name stands where it stood.
    let nameless = read_as(",u,v\n1,5,2\n2,6,3\n", &told(Some("1"), Some(true), None));
    assert_eq!((labels(&nameless), column(&nameless)), (vec!["1", "2"], (1, None)));
    let again = read_for(&nameless, ",u,v\n1,5,2\n2,6,3\n").unwrap();
    assert_eq!((again.inputs, again.target), (nameless.inputs.clone(), nameless.target.clone()));
    assert_eq!(labels(&read_for(&nameless, "u,v\n1,5\n").unwrap()), [""; 0]);
    let counts = read("id,a,y\n1,5,0\n2,7,1\n3,7,1\n");
    assert_eq!(counts.origin.notes, ["column 1 counts the rows and is a feature all the same"]);
}

#[test]
fn new_samples_have_the_label_where_the_old_had_it() {
    let first = read_as("price,a,b\n10,1,2\n20,3,4\n", &told(Some("price"), None, None));
    let is = |text: &str, expected: &[&str]| {
        let new = read_for(&first, text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!((new.inputs.clone(), labels(&new)), (array![[1.0, 2.0]], expected.to_vec()), "{text:?}");
    };
    is("price,a,b\n10,1,2\n", &["10"]);
    is("a,b,price\n1,2,10\n", &["10"]);
    is("a,price,b\n1,10,2\n", &["10"]);
    is("a,b\n1,2\n", &[]);
    is("10,1,2\n", &["10"]);
    is("1,2\n", &[]);
    is("price,a,b\n?,1,2\n", &["-"]);
    let other = read_for(&first, "id,a,b\n1,1,2\n").unwrap_err();
    assert_eq!(other, "a:1: there is no column \"price\" for the label, and one column more than the 2 features");
    let turned = read_for(&first, "b,a\n1,2\n").unwrap_err();
    assert!(turned.starts_with("a:1: feature 1 is \"b\" in the header, but the machine's is \"a\""), "{turned}");
    assert_eq!(read_for(&first, "1\n").unwrap_err(), "a:1: 0 features in each row, but 2 are wanted");

    let bare = read_as("10,1,2\n20,3,4\n", &told(Some("1"), None, None));
    assert_eq!(labels(&read_for(&bare, "10,1,2\n").unwrap()), ["10"]);
    assert_eq!(read_for(&bare, "1,2\n").unwrap().target.labels.len(), 0);
    // Column numbers as names, over whole numbers and in a single row.
    let numbered = read("0,1,target\n0.5,2,0\n");
    assert_eq!(read_for(&numbered, "0,1,target\n1,2,1\n").unwrap().inputs, array![[1.0, 2.0]]);
    assert_eq!(read_for(&numbered, "0,1\n1,2\n").unwrap().inputs, array![[1.0, 2.0]]);
    // What was told of the old ones holds where the new ones leave it open.
    let plain = read_as("0,1,2,3\n4,5,6,7\n", &told(None, Some(false), None));
    assert_eq!(read_for(&plain, "0,1,2,3\n4,5,6,7\n").unwrap().inputs.nrows(), 2);
    // Without knowing more than the number of features, as for machines of images.
    let counted = Known { features: 2, ..Known::default() };
    let new = parsed(b"1,2,3\n4,5,6\n", &Told::default(), Some(&counted)).unwrap();
    assert_eq!((new.inputs.clone(), labels(&new)), (array![[1.0, 2.0], [4.0, 5.0]], vec!["3", "6"]));
}

#[test]
fn labels_may_be_missing() {
    let samples = read("1,2,a\n1,2,?\n1,2,NA\n1,2,nan\n1,2,NaN\n1,2,\n1,2,na\n");
    assert_eq!(labels(&samples), ["a", "-", "-", "-", "-", "-", "na"]);
    assert_eq!((samples.target.missing(), samples.target.known().count()), (Some(1), 2));
}

#[test]
fn cells_in_quotation_marks() {
    let samples = read("\"a, b\",\"c\"\"d\",y\n\"1\",2,\"two\nlines\"\n3,4,x\n");
    assert_eq!(
        (samples.names.clone(), labels(&samples)),
        (vec!["a, b".into(), "c\"d".into()], vec!["two\nlines", "x"])
    );
    assert_eq!(samples.origin.lines, [2, 4]);
    assert_eq!(refused("a,b,y\n1,2,\"x\n3,4,z\n"), "a:2: a quotation mark is opened and not closed");
}

#[test]
fn errors_have_the_line() {
    assert_eq!(refused("1,2,a\n1,x,b\n"), "a:2: column 2: \"x\" is not a finite number");
    assert_eq!(refused("1,2,a\r\n\r\n1,x,b\r\n"), "a:3: column 2: \"x\" is not a finite number");
    assert_eq!(refused("1,2,a\n1,inf,b\n"), "a:2: column 2: \"inf\" is not a finite number");
    assert_eq!(refused("1,2,a\n1,\u{1b}[31m,b\n"), "a:2: column 2: \"\\u{1b}[31m\" is not a finite number");
    assert!(refused(&format!("1,2,a\n1,{},b\n", "x".repeat(100_000))).len() < 200);
    assert_eq!(refused("1,2,a\n1,b\n"), "a:2: 2 columns, but 3 before");
    assert_eq!(refused("1,2,a\n1,2,b,\n"), "a:2: 4 columns, but 3 before");
    assert_eq!(refused_as("1,2,a\n", &told(Some("y"), None, None)), "a:1: there is no column \"y\" for the label");
    assert_eq!(refused_as("1,2,a\n", &told(Some("4"), None, None)), "a:1: there is no column \"4\" for the label");
    assert_eq!(refused_as("1,2,a\n", &told(Some("0"), None, None)), "a:1: there is no column \"0\" for the label");
    assert_eq!((refused(""), refused("\n \n")), ("a: no samples".into(), "a: no samples".into()));
    assert_eq!(
        refused("5\n6\n"),
        "a:1: no features: one column, and it is for the label; commas, semicolons, tabs or | separate columns"
    );
    assert_eq!(refused("1,2\0,a\n"), "a:1: a byte 0: it is no text, or UTF-16 without a mark of the byte order");
}

#[test]
fn memory_is_asked_before_it_is_taken() {
    let source = Source::new(Path::new("a"));
    let read = |text: &str, memory| {
        let limits = Limits { memory: Some(memory), samples: None };
        parse(&source, text.into(), &Told::default(), None, limits).map_err(|fault| fault.problem)
    };
    // Two features, a label and a line: 144 bytes.
    let csv = "1,2,a\n".repeat(100);
    assert!(read(&csv, 144 * 100).is_ok());
    let size = TableError::Size { samples: 100, features: 2, needed: 14_400, free: 14_399, fit: 99 };
    assert_eq!(read(&csv, 14_399).unwrap_err(), size);
    assert!(read(&"1\n".repeat(1000), 1000).is_err());
    assert!(size.to_string().ends_with("; the first 99 samples would fit"), "{size}");
    let none = TableError::Size { samples: 100, features: 2, needed: 14_400, free: 100, fit: 0 };
    assert!(none.to_string().ends_with(" are free"), "{none}");
    let size = TableError::Size { samples: 2, features: 101, needed: 1872, free: 1871, fit: 1 };
    assert_eq!(read("1 1:1\n-1 101:1\n", 1871).unwrap_err(), size);
    assert!(read("1 1:1\n-1 101:1\n", 1872).is_ok());
    // The first ones alone.
    let first = |text: &str, samples| {
        let limits = Limits { memory: Some(1500), samples: Some(samples) };
        parse(&source, text.into(), &Told::default(), None, limits).map(|samples| samples.inputs.dim()).ok()
    };
    assert_eq!((first(&csv, 10), first(&csv, 13)), (Some((10, 2)), None));
    assert_eq!((first(&"1 1:1 2:1\n".repeat(100), 10), first("1 1:1\n1 9:1\n", 1)), (Some((10, 2)), Some((1, 1))));
    // However much memory there is.
    let slip = read("1 4294967295:1\n-1 1:1\n", u64::MAX).unwrap_err();
    assert_eq!(slip, TableError::Sparse { samples: 2, features: 4_294_967_295, listed: 2, line: 1 });
    assert!(slip.to_string().starts_with("2 samples x 4294967295 features take 64.0 GiB"), "{slip}");
    assert!(matches!(read("1 18446744073709551614:1\n", u64::MAX), Err(TableError::Sparse { .. })));
    // A gigabyte of zeros in half a kilobyte.
    let empty = read(&"1 1:1 2000000:1\n".repeat(30), u64::MAX).unwrap_err();
    assert!(matches!(empty, TableError::Sparse { samples: 30, features: 2_000_000, listed: 60, line: 1 }), "{empty}");
    assert!(matches!(read("1 18446744073709551615:1\n", u64::MAX), Err(TableError::NotAPair(_))));
}

#[test]
fn libsvm_by_hand() {
    let samples = read("+1 1:0.5 3:2 # a comment\n\n# another\n-1 2:-1\n");
    assert_eq!(samples.inputs, array![[0.5, 0.0, 2.0], [0.0, -1.0, 0.0]]);
    assert_eq!((labels(&samples), samples.origin.lines.as_slice()), (vec!["+1", "-1"], &[1, 4][..]));
    let zero = read("1 qid:3 0:5 1:6\n0 qid:3 2:7\n");
    assert_eq!(zero.inputs, array![[5.0, 6.0, 0.0], [0.0, 0.0, 7.0]]);
    assert_eq!(zero.origin.notes, ["indices from 0", "qid left out"]);
    // New samples count as the old ones did, whatever is in them.
    assert_eq!(read_for(&zero, "1 1:6\n").unwrap().inputs, array![[0.0, 6.0, 0.0]]);
    assert_eq!(read_for(&samples, "1 0:6\n").unwrap_err(), "a:1: index 0, but the machine's samples count from 1");
    let more = read_for(&samples, "1 1:1 3:3 4:9 7:9\n1 4:9\n").unwrap();
    assert_eq!(more.inputs, array![[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]]);
    assert_eq!(more.origin.notes, ["2 features beyond the 3 known left out, 3 values"]);
    assert_eq!(read_for(&samples, "1 1:1\n").unwrap().inputs.dim(), (1, 3));
    assert_eq!(labels(&read_for(&samples, "? 1:1\n1:2 2:3\nnan 1:1\n").unwrap()), ["-", "-", "-"]);

    assert_eq!(read("1 1:2 qid:3\n-1\n").inputs, array![[2.0], [0.0]]);
    assert_eq!(refused("1 1:2\n1 2=3\n"), "a:2: \"2=3\" is not index:value");
    assert_eq!(refused("1 2:2 1:1\n"), "a:1: index 1 after 2: indices count up from 1, each once");
    assert_eq!(refused("1 1:2 1:1\n"), "a:1: index 1 after 1: indices count up from 1, each once");
    assert_eq!(refused("1 1:nan\n"), "a:1: \"1:nan\" is not index:value");
    assert_eq!(refused("1 +1:2 2:3\n"), "a:1: \"+1:2\" is not index:value");
    assert_eq!(
        refused_as("1 1:2\n", &told(Some("y"), None, None)),
        "a: has no column \"y\" for the label: LIBSVM's format begins every line with it"
    );
}

#[test]
fn forms_are_read_as_they_are_written() {
    for text in ["u;v;y\n1;2;3\n", ",u,y\n0,2,3\n", "1 0:2\n", "1\t2\t3\n"] {
        let form = read(text).origin.form.unwrap();
        let toml = toml_edit::ser::to_string_pretty(&form).unwrap();
        assert_eq!(toml_edit::de::from_str::<Form>(&toml).unwrap(), form, "{toml}");
    }
}

/// What every reading keeps, whatever the bytes are.
fn keeps_the_contract(bytes: &[u8], told: &Told, known: Option<&Known>) {
    match parsed(bytes, told, known) {
        Ok(samples) => {
            let (n, d) = samples.inputs.dim();
            assert!(n > 0 && d > 0 && samples.inputs.iter().all(|value| value.is_finite()));
            assert!([0, n].contains(&samples.target.labels.len()) && [0, d].contains(&samples.names.len()));
            assert!(samples.origin.lines.len() == n && samples.origin.lines.windows(2).all(|two| two[0] < two[1]));
            assert!(known.is_none_or(|known| known.features == d));
        }
        Err(fault) => {
            let text = said(fault);
            assert!(!text.contains(char::is_control) && text.chars().count() < 1000, "{text}");
        }
    }
}

/// Texts like tables.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("1"),
        Just("0"),
        Just("2.5"),
        Just("-1e3"),
        Just("1,5"),
        Just(","),
        Just(";"),
        Just("\t"),
        Just("|"),
        Just("\n"),
        Just("\r\n"),
        Just("\r"),
        Just("\""),
        Just("a"),
        Just("target"),
        Just("?"),
        Just(""),
        Just(" "),
        Just("nan"),
        Just("é"),
        Just("1:2"),
        Just("0:1"),
        Just("qid:1"),
        Just("#"),
        Just("4294967295:1"),
        Just("\u{feff}"),
        Just("\u{202e}"),
        Just("\0"),
        Just("0,1,2,3\n"),
        Just("1.5,2.5,3.5,4\n"),
        Just(",a,b,y\n"),
        Just("0,1,2,x\n"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// What may be told.
fn tellings() -> impl Strategy<Value = Told> {
    let label = prop::option::of(prop_oneof![Just("1"), Just("2"), Just("a"), Just("0"), Just("99")]);
    let encoding = prop::option::of(prop_oneof![Just("latin1"), Just("utf-16le"), Just("utf-8"), Just("shift_jis")]);
    (label, any::<Option<bool>>(), any::<Option<bool>>(), encoding).prop_map(|(label, header, comma, encoding)| Told {
        label: label.map(String::from),
        header,
        decimal: comma.map(|comma| if comma { Decimal::Comma } else { Decimal::Point }),
        encoding: encoding.map(|name| name.parse().unwrap()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read_or_refused(text in texts(), told in tellings(), old in texts()) {
        keeps_the_contract(text.as_bytes(), &told, None);
        if let Ok(old) = parsed(old.as_bytes(), &told, None) {
            keeps_the_contract(text.as_bytes(), &told, Some(&known(&old)));
            keeps_the_contract(text.as_bytes(), &Told::default(), Some(&known(&old)));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), told in tellings()) {
        keeps_the_contract(&bytes, &told, None);
    }

    /// A table written in any of the ways is the same table; and rows read again for its machine are the same rows.
    #[test]
    fn what_is_written_is_read(
        values in prop::collection::vec(prop::array::uniform3(prop::num::f64::NORMAL), 1..8),
        separator in prop_oneof![Just(','), Just(';'), Just('\t'), Just('|')],
        crlf: bool, header: bool, position in 0..3_usize,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let row = |cells: [String; 3]| cells.join(&separator.to_string()) + end;
        let mut text = if header { row(["u", "v", "w"].map(String::from)) } else { String::new() };
        values.iter().for_each(|three| text += &row(three.map(|value| format!("{value:e}"))));
        let position_told = told(Some(&(position + 1).to_string()), Some(header), None);
        let samples = parsed(text.as_bytes(), &position_told, None).unwrap();
        let features: Vec<f64> = values.iter().flat_map(|three| (0..3).filter(|&j| j != position).map(|j| three[j])).collect();
        prop_assert_eq!(samples.inputs.iter().copied().collect::<Vec<_>>(), features);
        let found: Vec<f64> = labels(&samples).iter().map(|label| label.parse().unwrap()).collect();
        prop_assert_eq!(found, values.iter().map(|three| three[position]).collect::<Vec<_>>());
        let again = parsed(text.as_bytes(), &Told::default(), Some(&known(&samples))).unwrap();
        prop_assert_eq!((again.inputs, again.target), (samples.inputs, samples.target));
    }
}
