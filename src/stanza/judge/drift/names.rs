//! What is known to come from the server: a tree of names for each operation, without kinds, counts and values.
//!
//! `incoming.txt` holds the names of the table's incoming rows, so that a library need not carry the table; a test
//! compares the two. `known.csv` adds what the protocol chapters name and the table, which holds only what the official
//! client reads, lacks.

/// `=operation [type=a|b] [xmlns=c]`, then an element a line, as deep as it is indented, with its attributes.
const INCOMING: &str = include_str!("incoming.txt");
/// `op,path,attr,value,source`; `*` is every operation with that root, `attr` may be several.
const KNOWN: &str = include_str!("known.csv");

/// An element by its names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) tag: String,
    pub(super) attrs: Vec<String>,
    pub(super) children: Vec<Element>,
}

/// An operation: its root, and the values that tell it from others with that root; none: any.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) types: Vec<String>,
    pub(super) xmlns: Vec<String>,
    pub(super) root: Element,
}

/// The known names.
#[derive(Debug)]
pub struct Names {
    pub(super) operations: Vec<Operation>,
}

impl Names {
    /// Those of this build.
    #[must_use]
    pub fn built_in() -> Self {
        let mut names = Self { operations: incoming(INCOMING) };
        // What belongs to every operation comes last, when all are there.
        for of_all in [false, true] {
            for line in KNOWN.lines().skip(1).filter(|line| line.starts_with("*,") == of_all) {
                if let [op, path, attr, value, _] = line.splitn(5, ',').collect::<Vec<_>>()[..] {
                    names.add(op, path, attr, value);
                }
            }
        }
        names
    }

    /// Adds an element, or attributes of one, to the operations that are meant.
    fn add(&mut self, op: &str, path: &str, attr: &str, value: &str) {
        let root = path.split('/').next().unwrap_or(path);
        if op != "*" && !self.operations.iter().any(|known| known.name == op) {
            let root = Element { tag: root.to_owned(), ..Element::default() };
            self.operations.push(Operation { name: op.to_owned(), root, ..Operation::default() });
        }
        let meant = |known: &&mut Operation| known.root.tag == root && (op == "*" || known.name == op);
        for operation in self.operations.iter_mut().filter(meant) {
            let values = value.split('|').filter(|value| !value.is_empty()).map(str::to_owned);
            match attr {
                "type" if path == root => operation.types.extend(values),
                "xmlns" if path == root => operation.xmlns.extend(values),
                _ => {}
            }
            let below: Vec<&str> = path.split('/').skip(1).collect();
            attr.split(' ').for_each(|attr| operation.root.add(&below, attr));
        }
    }
}

impl Element {
    /// Adds what is missing on the way to a place below this element, and the attribute there.
    fn add(&mut self, below: &[&str], attr: &str) {
        let Some((tag, rest)) = below.split_first() else {
            if !attr.is_empty() && !self.attrs.iter().any(|known| known == attr) {
                self.attrs.push(attr.to_owned());
            }
            return;
        };
        if !self.children.iter().any(|child| child.tag == *tag) {
            self.children.push(Self { tag: (*tag).to_owned(), ..Self::default() });
        }
        for child in self.children.iter_mut().filter(|child| child.tag == *tag) {
            child.add(rest, attr);
        }
    }

    /// The last element that stands `depth` levels below this one.
    fn last_at(&mut self, depth: usize) -> Option<&mut Self> {
        match depth {
            0 => Some(self),
            _ => self.children.last_mut()?.last_at(depth - 1),
        }
    }
}

fn incoming(text: &str) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix('=') {
            let mut words = head.split(' ');
            let mut operation =
                Operation { name: words.next().unwrap_or_default().to_owned(), ..Operation::default() };
            for word in words {
                let values = |list: &str| list.split('|').map(str::to_owned).collect();
                match word.split_once('=') {
                    Some(("type", list)) => operation.types = values(list),
                    Some(("xmlns", list)) => operation.xmlns = values(list),
                    _ => {}
                }
            }
            operations.push(operation);
            continue;
        }
        let Some(operation) = operations.last_mut() else { continue };
        let depth = line.bytes().take_while(|byte| *byte == b' ').count();
        let mut words = line.trim_start().split(' ').map(str::to_owned);
        let tag = words.next().unwrap_or_default();
        let element = Element { tag, attrs: words.collect(), children: Vec::new() };
        match depth.checked_sub(1) {
            None => operation.root = element,
            Some(above) => {
                if let Some(parent) = operation.root.last_at(above) {
                    parent.children.push(element);
                }
            }
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::judge::kind;
    use crate::stanza::judge::table::{Direction, ElementRule, Table};

    /// The text of `incoming.txt` for a table.
    fn text_of(table: &Table) -> String {
        let incoming = table.operations.iter().filter(|op| op.direction == Direction::In);
        incoming
            .map(|op| {
                let closed = |key: &str| match op
                    .root
                    .attrs
                    .iter()
                    .find(|attr| attr.name == key)
                    .map(|attr| &attr.kind)
                {
                    Some(kind::Kind::Enum(values)) => format!(" {key}={}", values.join("|")),
                    _ => String::new(),
                };
                format!("={}{}{}\n{}", op.name, closed("type"), closed("xmlns"), lines_of(&op.root, 0))
            })
            .collect()
    }

    fn lines_of(element: &ElementRule, depth: usize) -> String {
        let names: Vec<&str> = element.attrs.iter().map(|attr| attr.name.as_str()).collect();
        let line = [&[element.tag.as_str()], names.as_slice()].concat().join(" ");
        let below: String = element.children.iter().map(|child| lines_of(child, depth + 1)).collect();
        format!("{}{line}\n{below}", " ".repeat(depth))
    }

    #[test]
    fn drift_the_names_of_a_library_build_are_those_of_the_table() {
        let expected = text_of(&Table::built_in().unwrap());
        if expected != INCOMING {
            let place = std::env::temp_dir().join("incoming.txt");
            std::fs::write(&place, &expected).unwrap();
            panic!("incoming.txt is not what the table says: take {}", place.display());
        }
        assert!(INCOMING.len() < 60 * 1024, "{} bytes", INCOMING.len());
    }

    #[test]
    fn drift_every_added_name_has_a_place_and_a_source() {
        assert_eq!(KNOWN.lines().next(), Some("op,path,attr,value,source"));
        for line in KNOWN.lines().skip(1) {
            let cells: Vec<&str> = line.splitn(5, ',').collect();
            assert_eq!(cells.len(), 5, "{line}");
            assert!(!cells[0].is_empty() && !cells[1].is_empty() && !cells[4].is_empty(), "{line}");
        }
    }

    #[test]
    fn drift_names_are_read_as_trees() {
        let names = Names::built_in();
        let devices = names.operations.iter().find(|op| op.name == "notification.devices").unwrap();
        assert_eq!(devices.types, ["devices"]);
        assert!(devices.root.attrs.iter().any(|attr| attr == "id"));
        assert!(devices.root.children.iter().any(|child| child.tag == "add"));
    }
}
