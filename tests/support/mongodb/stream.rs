//! Change streams: a place in the log, a view, and filters behind it.

use std::collections::VecDeque;

use mongodb::bson::{Bson, Document, Timestamp};

use super::event::{Before, Full, Made, Scope, View, events, split};
use super::failure::Failure;
use super::oplog::after;
use super::query;
use super::raw::{INTERNAL_BYTES_MAX, Raw};
use super::state::State;
use super::token::{self, Given, Token};

pub(crate) struct Stream {
    view: View,
    /// What follows `$changeStream`.
    stages: Vec<Document>,
    splits: bool,
    /// Number of the entry that is read next.
    next: u64,
    /// Events of the entry before it that did not fit into a batch.
    ready: VecDeque<(Token, Raw)>,
    /// The event to resume after must be met, unless it is only a time.
    sought: Option<Given>,
    /// Only what is beyond this token leaves.
    floor: Token,
    /// The post-batch resume token.
    token: Token,
    ended: bool,
}

pub(crate) struct Batch {
    pub(crate) documents: Vec<Raw>,
    pub(crate) token: Document,
    pub(crate) ended: bool,
}

fn unknown_field(name: &str) -> Failure {
    let message = format!("BSON field '$changeStream.{name}' is an unknown field.");
    Failure::new(40415, "Location40415", message)
}

impl Stream {
    pub(crate) fn open(
        state: &State,
        scope: Scope,
        options: &Document,
        stages: &[Document],
    ) -> Result<Self, Failure> {
        if state.options.standalone {
            let message = "The $changeStream stage is only supported on replica sets";
            return Err(Failure::new(40573, "Location40573", message));
        }
        let view = view(state, scope, options)?;
        let (splits, stages) = behind(state, stages)?;
        let start = start(state, options, view.version)?;
        let lost = state.oplog.first() > 0 && start.time < state.oplog.oldest();
        // 4.4 looked for the event alone (recorded: 280); later servers look at the oplog first.
        let looks_first = state.options.wire >= 13 || start.given.is_none();
        if lost && looks_first {
            let message = "Resume of change stream was not possible, as the resume point may no \
                           longer be in the oplog.";
            return Err(Failure::new(286, "ChangeStreamHistoryLost", message)
                .label("NonResumableChangeStreamError"));
        }
        Ok(Self {
            view,
            stages,
            splits,
            next: state.oplog.seek(start.time),
            ready: VecDeque::new(),
            sought: start.given.filter(|given| !given.high_water_mark && !given.from_invalidate),
            floor: start.floor.clone(),
            token: start.floor,
            ended: false,
        })
    }

    /// Whether a batch would have events: what an awaiting `getMore` waits for.
    pub(crate) fn batch(&mut self, state: &State, n_max: usize) -> Result<Batch, Failure> {
        let mut documents: Vec<Raw> = vec![];
        let mut bytes = 0;
        let full = loop {
            if documents.len() >= n_max {
                break true;
            }
            let Some((_, first)) = self.ready.front() else {
                if self.ended || !self.read(state)? {
                    break false;
                }
                continue;
            };
            if first.len() > INTERNAL_BYTES_MAX && documents.is_empty() {
                return Err(self.too_large());
            }
            if !documents.is_empty() && bytes + first.len() > INTERNAL_BYTES_MAX {
                break true;
            }
            let (token, event) = self.ready.pop_front().expect("it was looked at");
            bytes += event.len();
            documents.push(event);
            self.token = token;
        };
        if !full && !self.ended {
            let seen = token::high_water_mark(state.committed(), self.view.version);
            // Also while the event to resume after is still looked for.
            if seen.key > self.token.key {
                self.token = seen;
            }
        }
        let ended = self.ended && self.ready.is_empty();
        Ok(Batch { documents, token: token::document(&self.token), ended })
    }

    fn too_large(&self) -> Failure {
        let (token, event) = self.ready.front().expect("it was looked at");
        let n = event.len();
        let message = format!(
            "BSONObj size: {n} (0x{n:X}) is invalid. Size must be between 0 and 16793600(16MB) \
             First element: _id: {{ {} }}",
            token::shown(token)
        );
        Failure::new(10334, "BSONObjectTooLarge", message)
    }

    /// Reads one entry; `false` when there is none that a majority has.
    fn read(&mut self, state: &State) -> Result<bool, Failure> {
        if self.next < state.oplog.first() {
            let message = "CollectionScan died due to position in capped collection being deleted.";
            return Err(Failure::new(136, "CappedPositionLost", message));
        }
        let Some(entry) = state.oplog.get(self.next) else { return Ok(false) };
        if entry.time > state.committed() {
            return Ok(false);
        }
        self.next += 1;
        for made in events(state, entry, &self.view)? {
            // One that was resumed after has ended an earlier stream, not this one.
            let ends = is_invalidate(&made) && made.token.key > self.floor.key;
            let pieces = if self.splits { split(made)? } else { vec![made] };
            for piece in pieces {
                self.take(state, piece)?;
            }
            if ends {
                self.ended = true;
                break;
            }
        }
        Ok(true)
    }

    fn take(&mut self, state: &State, made: Made) -> Result<(), Failure> {
        let passes = self.passes(&made)?;
        // From 6.0 on filters are a part of the oplog's scan, and what they leave out is not met.
        if (passes || state.options.wire < 17)
            && let Some(sought) = self.sought.take_if(|sought| made.token.key >= sought.token.key)
        {
            self.found(&made, &sought.token)?;
        }
        if made.token.key <= self.floor.key || !passes {
            return Ok(());
        }
        let raw = made.raw();
        self.ready.push_back((made.token, raw));
        Ok(())
    }

    /// The event of the token, or the first behind it.
    fn found(&self, made: &Made, sought: &Token) -> Result<(), Failure> {
        if made.token.key > sought.key {
            let shown = token::shown(&made.token);
            let message =
                format!("cannot resume stream; the resume token was not found. {{{shown}}}");
            return Err(Failure::new(280, "ChangeStreamFatalError", message)
                .label("NonResumableChangeStreamError"));
        }
        // Stricter than a real one, which reads numbers of other types and goes on.
        if !made.token.bits.same(&sought.bits) {
            let message = "KeyString format error: _typeBits are not those of the event";
            return Err(Failure::new(50811, "Location50811", message));
        }
        Ok(())
    }

    fn passes(&self, made: &Made) -> Result<bool, Failure> {
        for stage in &self.stages {
            let Ok(filter) = stage.get_document("$match") else { continue };
            // Filters on namespaces need not read documents.
            let whole = format!("{filter}").contains("fullDocument");
            if !query::matches(&made.document(whole), filter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn is_invalidate(made: &Made) -> bool {
    made.document(false).get_str("operationType").ok() == Some("invalidate")
}

fn view(state: &State, scope: Scope, options: &Document) -> Result<View, Failure> {
    let wire = state.options.wire;
    let mut view = View {
        scope,
        full: Full::Default,
        before: Before::Off,
        expanded: false,
        version: token::version(wire),
    };
    for (name, value) in options {
        let text = value.as_str().unwrap_or("");
        match name.as_str() {
            "resumeAfter" | "startAfter" | "startAtOperationTime" => {}
            "allChangesForCluster" => {
                if value.as_bool() == Some(true) {
                    view.scope = Scope::Deployment;
                }
            }
            "fullDocument" => {
                view.full = match text {
                    "default" => Full::Default,
                    "updateLookup" => Full::Lookup,
                    "whenAvailable" if wire >= 17 => Full::WhenAvailable,
                    "required" if wire >= 17 => Full::Required,
                    _ => return Err(not_a_value("fullDocument", text)),
                }
            }
            "fullDocumentBeforeChange" if wire >= 17 => {
                view.before = match text {
                    "off" => Before::Off,
                    "whenAvailable" => Before::WhenAvailable,
                    "required" => Before::Required,
                    _ => return Err(not_a_value("fullDocumentBeforeChange", text)),
                }
            }
            "showExpandedEvents" if wire >= 17 && !state.options.plain => {
                view.expanded = value.as_bool() == Some(true)
            }
            _ => return Err(unknown_field(name)),
        }
    }
    Ok(view)
}

fn not_a_value(field: &str, text: &str) -> Failure {
    let message = format!(
        "Enumeration value '{text}' for field '$changeStream.{field}' is not a valid value."
    );
    Failure::bad_value(message)
}

/// The stages behind, and whether large events are split by the last of them.
fn behind(state: &State, stages: &[Document]) -> Result<(bool, Vec<Document>), Failure> {
    let mut splits = false;
    let mut rest = vec![];
    for (at, stage) in stages.iter().enumerate() {
        let name = stage.keys().next().map_or("", String::as_str);
        match name {
            "$match" => {
                // A filter that is not understood is refused when the stream is opened.
                query::matches(&Document::new(), stage.get_document("$match").unwrap_or(stage))?;
                rest.push(stage.clone());
            }
            // 6.0.9 and later; the 6.0 that is played here is later than that.
            "$changeStreamSplitLargeEvent" if state.options.wire >= 17 && !state.options.plain => {
                if at + 1 != stages.len() {
                    let message =
                        "$changeStreamSplitLargeEvent must be the last stage in the pipeline";
                    return Err(Failure::new(7_182_802, "Location7182802", message));
                }
                splits = true;
            }
            "$out" | "$merge" | "$group" | "$sort" | "$skip" | "$limit" | "$lookup" => {
                let message = format!("{name} is not permitted in a $changeStream pipeline");
                return Err(Failure::new(20, "IllegalOperation", message));
            }
            _ => {
                let message = format!("Unrecognized pipeline stage name: '{name}'");
                return Err(Failure::new(40324, "Location40324", message));
            }
        }
    }
    Ok((splits, rest))
}

struct Start {
    time: Timestamp,
    given: Option<Given>,
    floor: Token,
}

fn start(state: &State, options: &Document, version: i64) -> Result<Start, Failure> {
    let names = ["resumeAfter", "startAfter", "startAtOperationTime"];
    let asked: Vec<&str> = names.into_iter().filter(|n| options.contains_key(n)).collect();
    if asked.len() > 1 {
        let message = "Only one type of resume option is allowed, but multiple were found.";
        return Err(Failure::new(50674, "Location50674", message));
    }
    let of_time = |time| Start { time, given: None, floor: token::high_water_mark(time, version) };
    let Some(&name) = asked.first() else { return Ok(of_time(after(state.oplog.last()))) };
    match options.get(name) {
        Some(Bson::Timestamp(time)) if name == "startAtOperationTime" => Ok(of_time(*time)),
        Some(Bson::Document(token)) if name != "startAtOperationTime" => {
            let given = token::given(token)?;
            if given.from_invalidate && name == "resumeAfter" {
                let message = "Attempting to resume a change stream using 'resumeAfter' is not \
                               allowed from an invalidate notification.";
                return Err(Failure::new(260, "InvalidResumeToken", message));
            }
            let floor = given.token.clone();
            Ok(Start { time: given.time, given: Some(given), floor })
        }
        _ => {
            let message = format!("BSON field '$changeStream.{name}' is the wrong type");
            Err(Failure::new(14, "TypeMismatch", message))
        }
    }
}
