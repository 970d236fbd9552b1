//! Filters, as far as tests and captures use them; what is not known is refused.

use std::cmp::Ordering;

use mongodb::bson::{Bson, Document};

use super::failure::Failure;
use super::order::{bracket, compare, integer};

pub(crate) fn matches(document: &Document, filter: &Document) -> Result<bool, Failure> {
    for (name, wanted) in filter {
        let fits = match name.as_str() {
            "$and" => all(document, wanted, true)?,
            "$or" => !all(document, wanted, false)?,
            "$nor" => all(document, wanted, false)?,
            "$comment" => true,
            "$expr" => expression_holds(document, wanted)?,
            _ if name.starts_with('$') => {
                return Err(Failure::bad_value(format!("unknown top level operator: {name}")));
            }
            _ => field_fits(&values(document, name), wanted)?,
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every filter of a list says `answer`.
fn all(document: &Document, filters: &Bson, answer: bool) -> Result<bool, Failure> {
    let Bson::Array(filters) = filters else {
        return Err(Failure::bad_value("$and/$or/$nor must be an array"));
    };
    for filter in filters {
        let Bson::Document(filter) = filter else {
            return Err(Failure::bad_value("$or/$and/$nor entries need to be full objects"));
        };
        if matches(document, filter)? != answer {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a path with dots leads to: through arrays, every element.
pub(crate) fn values(document: &Document, path: &str) -> Vec<Bson> {
    let Some((head, rest)) = path.split_once('.') else {
        return document.get(path).cloned().into_iter().collect();
    };
    match document.get(head) {
        Some(Bson::Document(inner)) => values(inner, rest),
        Some(Bson::Array(inner)) => {
            let mut found = vec![];
            let (index, beyond) = rest.split_once('.').map_or((rest, None), |(i, r)| (i, Some(r)));
            if let Some(element) = index.parse::<usize>().ok().and_then(|i| inner.get(i)) {
                match (beyond, element) {
                    (None, element) => found.push(element.clone()),
                    (Some(beyond), Bson::Document(d)) => found.extend(values(d, beyond)),
                    (Some(_), _) => {}
                }
            }
            for element in inner {
                if let Bson::Document(inner) = element {
                    found.extend(values(inner, rest));
                }
            }
            found
        }
        _ => vec![],
    }
}

fn field_fits(found: &[Bson], wanted: &Bson) -> Result<bool, Failure> {
    match wanted {
        Bson::Document(operators) if operators.keys().any(|name| name.starts_with('$')) => {
            operators_fit(found, operators)
        }
        Bson::RegularExpression(regex) => {
            regex_fits(found, regex.pattern.as_str(), regex.options.as_str())
        }
        wanted => Ok(equal(found, wanted)),
    }
}

fn operators_fit(found: &[Bson], operators: &Document) -> Result<bool, Failure> {
    for (name, wanted) in operators {
        let fits = match name.as_str() {
            "$eq" => equal(found, wanted),
            "$ne" => !equal(found, wanted),
            "$gt" => compares(found, wanted, |o| o == Ordering::Greater),
            "$gte" => compares(found, wanted, |o| o != Ordering::Less),
            "$lt" => compares(found, wanted, |o| o == Ordering::Less),
            "$lte" => compares(found, wanted, |o| o != Ordering::Greater),
            "$in" => any_of(found, wanted)?,
            "$nin" => !any_of(found, wanted)?,
            "$exists" => found.is_empty() != truth(wanted),
            "$type" => types(found, wanted)?,
            "$not" => !field_fits(found, wanted)?,
            "$regex" => {
                let options = operators.get_str("$options").unwrap_or("");
                match wanted {
                    Bson::RegularExpression(regex) => {
                        regex_fits(found, regex.pattern.as_str(), regex.options.as_str())?
                    }
                    Bson::String(pattern) => regex_fits(found, pattern, options)?,
                    _ => return Err(Failure::bad_value("$regex has to be a string")),
                }
            }
            "$options" => true,
            _ => return Err(Failure::bad_value(format!("unknown operator: {name}"))),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn truth(value: &Bson) -> bool {
    match value {
        Bson::Boolean(on) => *on,
        Bson::Null | Bson::Undefined => false,
        value => compare(value, &Bson::Int32(0)).is_ne(),
    }
}

fn equal(found: &[Bson], wanted: &Bson) -> bool {
    let same = |value: &Bson| compare(value, wanted).is_eq();
    let within = |value: &Bson| matches!(value, Bson::Array(all) if all.iter().any(same));
    let absent = found.is_empty() && matches!(wanted, Bson::Null);
    absent || found.iter().any(|value| same(value) || within(value))
}

/// Within the bracket of the type alone, but for the two ends, which compare with everything.
fn compares(found: &[Bson], wanted: &Bson, holds: impl Fn(Ordering) -> bool) -> bool {
    let ends = matches!(wanted, Bson::MinKey | Bson::MaxKey);
    let fits =
        |value: &Bson| (ends || bracket(value) == bracket(wanted)) && holds(compare(value, wanted));
    found
        .iter()
        .any(|value| fits(value) || matches!(value, Bson::Array(all) if all.iter().any(&fits)))
}

fn any_of(found: &[Bson], wanted: &Bson) -> Result<bool, Failure> {
    let Bson::Array(wanted) = wanted else {
        return Err(Failure::bad_value("$in needs an array"));
    };
    for one in wanted {
        let fits = match one {
            Bson::RegularExpression(regex) => {
                regex_fits(found, regex.pattern.as_str(), regex.options.as_str())?
            }
            one => equal(found, one),
        };
        if fits {
            return Ok(true);
        }
    }
    Ok(false)
}

fn types(found: &[Bson], wanted: &Bson) -> Result<bool, Failure> {
    let wanted: Vec<&Bson> = match wanted {
        Bson::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    for one in wanted {
        let fits: Box<dyn Fn(&Bson) -> bool> = match one {
            Bson::String(name) if name == "number" => Box::new(|v| bracket(v) == 3),
            Bson::String(name) => {
                let kind = type_number(name).ok_or_else(|| {
                    Failure::bad_value(format!("Unknown type name alias: {name}"))
                })?;
                Box::new(move |v| element_type(v) == kind)
            }
            number => {
                let kind =
                    integer(number).ok_or_else(|| Failure::bad_value("type must be a number"))?;
                Box::new(move |v| element_type(v) == kind)
            }
        };
        if found.iter().any(fits) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// <https://www.mongodb.com/docs/manual/reference/operator/query/type/>
fn type_number(name: &str) -> Option<i64> {
    const NAMES: [(&str, i64); 21] = [
        ("double", 1),
        ("string", 2),
        ("object", 3),
        ("array", 4),
        ("binData", 5),
        ("undefined", 6),
        ("objectId", 7),
        ("bool", 8),
        ("date", 9),
        ("null", 10),
        ("regex", 11),
        ("dbPointer", 12),
        ("javascript", 13),
        ("symbol", 14),
        ("javascriptWithScope", 15),
        ("int", 16),
        ("timestamp", 17),
        ("long", 18),
        ("decimal", 19),
        ("minKey", -1),
        ("maxKey", 127),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

pub(crate) fn element_type(value: &Bson) -> i64 {
    match value {
        Bson::MinKey => -1,
        value => i64::from(value.element_type() as u8),
    }
}

fn regex_fits(found: &[Bson], pattern: &str, options: &str) -> Result<bool, Failure> {
    let flags: String = options.chars().filter(|c| "imsx".contains(*c)).collect();
    let pattern =
        if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
    let regex = regex::Regex::new(&pattern).map_err(|error| {
        Failure::new(51091, "Location51091", format!("Regular expression is invalid: {error}"))
    })?;
    let fits = |value: &Bson| matches!(value, Bson::String(text) if regex.is_match(text));
    Ok(found
        .iter()
        .any(|value| fits(value) || matches!(value, Bson::Array(all) if all.iter().any(fits))))
}

/// Comparisons of `$expr` cross the brackets of types.
fn expression_holds(document: &Document, expression: &Bson) -> Result<bool, Failure> {
    evaluate(document, expression).map(|value| truth(&value))
}

/// The few expressions that captures and tests use.
pub(crate) fn evaluate(document: &Document, expression: &Bson) -> Result<Bson, Failure> {
    match expression {
        Bson::String(path) if path.starts_with("$$ROOT") => Ok(Bson::Document(document.clone())),
        Bson::String(path) => Ok(match path.strip_prefix('$') {
            Some(path) => values(document, path).into_iter().next().unwrap_or(Bson::Null),
            None => Bson::String(path.clone()),
        }),
        Bson::Document(call) => match call.iter().next() {
            Some((name, arguments)) if name.starts_with('$') => {
                evaluate_call(document, name, arguments)
            }
            _ => {
                let mut made = Document::new();
                for (name, value) in call {
                    made.insert(name, evaluate(document, value)?);
                }
                Ok(Bson::Document(made))
            }
        },
        Bson::Array(all) => {
            all.iter().map(|one| evaluate(document, one)).collect::<Result<_, _>>().map(Bson::Array)
        }
        other => Ok(other.clone()),
    }
}

fn evaluate_call(document: &Document, name: &str, arguments: &Bson) -> Result<Bson, Failure> {
    if name == "$literal" {
        return Ok(arguments.clone());
    }
    let arguments = match arguments {
        Bson::Array(all) => {
            all.iter().map(|a| evaluate(document, a)).collect::<Result<Vec<_>, _>>()?
        }
        one => vec![evaluate(document, one)?],
    };
    let order = |holds: fn(Ordering) -> bool| {
        let [a, b] = &arguments[..] else {
            return Err(Failure::bad_value(format!("Expression {name} takes exactly 2 arguments")));
        };
        Ok(Bson::Boolean(holds(compare(a, b))))
    };
    match name {
        "$gt" => order(Ordering::is_gt),
        "$gte" => order(Ordering::is_ge),
        "$lt" => order(Ordering::is_lt),
        "$lte" => order(Ordering::is_le),
        "$eq" => order(Ordering::is_eq),
        "$ne" => order(Ordering::is_ne),
        "$and" => Ok(Bson::Boolean(arguments.iter().all(truth))),
        "$or" => Ok(Bson::Boolean(arguments.iter().any(truth))),
        "$not" => Ok(Bson::Boolean(!arguments.iter().any(truth))),
        "$concat" => {
            let parts: Option<Vec<&str>> = arguments.iter().map(Bson::as_str).collect();
            Ok(parts.map_or(Bson::Null, |parts| Bson::String(parts.concat())))
        }
        "$add" => super::update::add(&arguments),
        "$slice" => match &arguments[..] {
            [Bson::Array(all), n] => {
                let n = usize::try_from(integer(n).unwrap_or(0)).unwrap_or(0).min(all.len());
                Ok(Bson::Array(all[..n].to_vec()))
            }
            _ => Ok(Bson::Null),
        },
        _ => Err(Failure::new(
            168,
            "InvalidPipelineOperator",
            format!("Unrecognized expression '{name}'"),
        )),
    }
}
