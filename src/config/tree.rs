//! YAML as a tree in which every node knows its place.
//!
//! The tree keeps the text of scalars instead of typing them at once, so that `password: 007`
//! stays what was written, secrets can be put in before a number is read, and any later finding
//! can be traced to line and column by its path. Nothing in here quotes a value in a message.
//!
//! Refused: aliases, anchors, tags, several documents and duplicate keys. A configuration needs
//! none of them, and each of them has hidden a setting from a reader before.

use granit_parser::{Event, Parser, ScalarStyle, Span};

/// Deeper nesting than any configuration has; a bound on the recursion of what reads the tree.
const DEPTH_MAX: usize = 32;

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes: only such a scalar can be a number, a boolean or nothing.
    pub(super) plain: bool,
    /// Part of the text came from the environment or a file: never quoted in a message.
    pub(super) interpolated: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

/// What makes a text no configuration, before any key is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) place: Option<Place>,
    pub(super) problem: String,
}

/// Any of them may be a secret.
impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Scalar {
    /// YAML's ways to write nothing.
    pub(super) fn is_null(&self) -> bool {
        self.plain
            && !self.interpolated
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node {
    /// The place of the value at a path of keys and list indices, or of the nearest ancestor that
    /// was written: a default has no place of its own.
    pub(super) fn place_of(&self, path: &[String]) -> Place {
        self.walk(path).place
    }

    /// The value at exactly this path, where it was written.
    pub(super) fn get(&self, path: &[String]) -> Option<&Node> {
        let mut node = self;
        for step in path {
            node = node.child(step)?;
        }
        Some(node)
    }

    fn walk(&self, path: &[String]) -> &Node {
        let mut node = self;
        for step in path {
            let Some(child) = node.child(step) else { break };
            node = child;
        }
        node
    }

    fn child(&self, step: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|e| e.key == step).map(|e| &e.value),
            Kind::List(items) => items.get(step.parse::<usize>().ok()?),
            Kind::Scalar(_) => None,
        }
    }
}

/// Parses one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    parse_events(text).map_err(|malformed| explain_braces(malformed, text))
}

/// The commonest slip: in `{ … }` YAML reads the brace of an unquoted `${…}` as its own.
fn explain_braces(mut malformed: Malformed, text: &str) -> Malformed {
    let line = malformed.place.and_then(|place| text.lines().nth(place.line - 1));
    if line.is_some_and(|line| line.contains("${")) {
        malformed.problem.push_str(" (inside `{ }` and `[ ]`, a `${…}` must stand in quotes)");
    }
    malformed
}

fn parse_events(text: &str) -> Result<Node, Malformed> {
    let mut reader = Reader { events: Parser::new_from_str(text), depth: 0 };
    let mut root = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::DocumentStart(..) if root.is_some() => {
                return Err(malformed(span, "a second YAML document; a configuration is one"));
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd => {}
            event => root = Some(reader.node(event, span)?),
        }
    }
    root.ok_or_else(|| Malformed { place: None, problem: "the file is empty".to_owned() })
}

struct Reader<'i> {
    events: Parser<'i, granit_parser::StrInput<'i>>,
    depth: usize,
}

impl<'i> Reader<'i> {
    fn next(&mut self) -> Result<Option<(Event<'i>, Span)>, Malformed> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(found)) => Ok(Some(found)),
            Some(Err(error)) => Err(Malformed {
                place: Some(Place {
                    line: error.marker().line(),
                    column: error.marker().col() + 1,
                }),
                problem: error.info(),
            }),
        }
    }

    fn node(&mut self, event: Event<'i>, span: Span) -> Result<Node, Malformed> {
        let place = place(span);
        let kind = match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                let plain = style == ScalarStyle::Plain;
                Kind::Scalar(Scalar { text: text.into_owned(), plain, interpolated: false })
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.deeper(span, |reader| reader.list().map(Kind::List))?
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_extras(span, anchor, tag.is_some())?;
                self.deeper(span, |reader| reader.map().map(Kind::Map))?
            }
            Event::Alias(_) => {
                return Err(malformed(
                    span,
                    "an alias (`*name`), which a configuration may not use; quote the value if the asterisk belongs to it",
                ));
            }
            _ => return Err(malformed(span, "expected a value")),
        };
        Ok(Node { place, kind })
    }

    fn list(&mut self) -> Result<Vec<Node>, Malformed> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node(event, span)?);
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<Entry>, Malformed> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key_node = self.node(event, span)?;
            let Kind::Scalar(Scalar { text: key, .. }) = key_node.kind else {
                return Err(malformed(span, "a key must be a plain word"));
            };
            if let Some(first) = entries.iter().find(|e| e.key == key) {
                let line = first.key_place.line;
                let problem = format!("the key `{key}` was already given on line {line}");
                return Err(malformed(span, &problem));
            }
            let Some((event, value_span)) = self.next()? else { break };
            let value = self.node(event, value_span)?;
            entries.push(Entry { key, key_place: place(span), value });
        }
        Ok(entries)
    }

    fn deeper<T>(
        &mut self,
        span: Span,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(malformed(span, &format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }
}

fn refuse_extras(span: Span, anchor: usize, tagged: bool) -> Result<(), Malformed> {
    if anchor != 0 {
        return Err(malformed(
            span,
            "an anchor (`&name`), which a configuration may not use; quote the value if the ampersand belongs to it",
        ));
    }
    if tagged {
        return Err(malformed(
            span,
            "a tag (`!name`), which a configuration may not use; quote the value if the exclamation mark belongs to it",
        ));
    }
    Ok(())
}

fn place(span: Span) -> Place {
    let start = span.tag_start.unwrap_or(span.start);
    Place { line: start.line(), column: start.col() + 1 }
}

fn malformed(span: Span, problem: &str) -> Malformed {
    Malformed { place: Some(place(span)), problem: problem.to_owned() }
}
