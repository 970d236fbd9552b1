//! Who the server is, how it fares, and what tests may order.

use std::sync::MutexGuard;
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, Timestamp, doc};

use super::{Answer, Call, patience};
use crate::support::mongodb::failure::Failure;
use crate::support::mongodb::oplog::wall_ms;
use crate::support::mongodb::order::integer;
use crate::support::mongodb::state::{Fault, State};

/// `hello`, which waits for a change of the topology when it is told which one is known.
pub(super) fn hello<'a>(
    call: &mut Call<'a>,
    mut state: MutexGuard<'a, State>,
) -> (Result<Answer, Failure>, MutexGuard<'a, State>) {
    let command = &call.request.command;
    if let Ok(name) = command
        .get_document("client")
        .and_then(|client| client.get_document("application"))
        .and_then(|application| application.get_str("name"))
    {
        name.clone_into(&mut call.connection.application);
    }
    let known =
        command.get_document("topologyVersion").ok().and_then(|v| v.get_i64("counter").ok());
    if let (Some(known), Some(until)) = (known, patience(command, "maxAwaitTimeMS")) {
        while state.topology == known
            && !call.server.is_closing()
            && std::time::Instant::now() < until
        {
            state = call.server.wait(state, until);
        }
    }
    let reply = described(call, &state);
    (Ok(Answer::Plain(reply)), state)
}

fn described(call: &Call<'_>, state: &State) -> Document {
    let options = &state.options;
    let legacy = call.request.name != "hello";
    let mut reply = doc! { "topologyVersion": state.topology_version() };
    // 4.4.1 did not know it yet (recorded).
    if call.request.command.contains_key("helloOk") && options.wire > 9 {
        reply.insert("helloOk", true);
    }
    if options.router {
        reply.insert("msg", "isdbgrid");
    }
    let is_member = !options.standalone && !options.router;
    if is_member {
        reply.extend(doc! {
            "hosts": [&state.address], "setName": &options.set_name, "setVersion": 1,
        });
    }
    reply.insert(if legacy { "ismaster" } else { "isWritablePrimary" }, state.primary);
    if is_member {
        reply.insert("secondary", !state.primary);
        if state.primary {
            reply.insert("primary", &state.address);
        }
        reply.insert("me", &state.address);
        if state.primary {
            reply.insert("electionId", election(state));
        }
        let optime = |time| doc! { "ts": time, "t": state.term };
        reply.insert(
            "lastWrite",
            doc! {
                "opTime": optime(state.oplog.last()), "lastWriteDate": seconds(state.oplog.last()),
                "majorityOpTime": optime(state.committed()),
                "majorityWriteDate": seconds(state.committed()),
            },
        );
    }
    reply.extend(doc! {
        "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000, "localTime": DateTime::from_millis(wall_ms()),
        "logicalSessionTimeoutMinutes": 30, "connectionId": call.connection.number,
        "minWireVersion": 0, "maxWireVersion": options.wire, "readOnly": false,
    });
    let asked = call.request.command.get_str("saslSupportedMechs").ok();
    let name = asked.and_then(|name| name.split_once('.')).map(|(_, name)| name);
    if name.is_some_and(|name| options.users.iter().any(|u| u.name == name)) {
        reply.insert("saslSupportedMechs", vec!["SCRAM-SHA-256"]);
    }
    reply
}

fn election(state: &State) -> mongodb::bson::oid::ObjectId {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF]);
    bytes[4..].copy_from_slice(&state.term.to_be_bytes());
    mongodb::bson::oid::ObjectId::from_bytes(bytes)
}

fn seconds(time: Timestamp) -> DateTime {
    DateTime::from_millis(i64::from(time.time) * 1000)
}

pub(super) fn run(call: &mut Call<'_>, state: &mut State) -> Result<Answer, Failure> {
    let command = &call.request.command;
    let reply = match call.request.name.as_str() {
        "ping" | "logout" | "startSession" | "refreshSessions" => Document::new(),
        "endSessions" => {
            end_sessions(command, state);
            Document::new()
        }
        "buildInfo" | "buildinfo" => build_info(state),
        "replSetGetStatus" => status(state)?,
        "replSetGetConfig" => {
            is_set(state)?;
            doc! { "config": {
                "_id": &state.options.set_name, "version": 1, "term": state.term,
                "members": [{ "_id": 0, "host": &state.address, "priority": 1.0, "votes": 1 }],
                "protocolVersion": 1_i64,
                "settings": { "replicaSetId": state.replica_set, "electionTimeoutMillis": 10_000 },
            } }
        }
        "replSetStepDown" => {
            is_set(state)?;
            let seconds = command.get("replSetStepDown").and_then(integer).unwrap_or(60);
            state.step_down(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
            Document::new()
        }
        "getParameter" => parameters(state, command)?,
        "serverStatus" => server_status(state),
        "hostInfo" => doc! { "system": { "hostname": "test" } },
        "connectionStatus" => connection_status(call, state),
        "configureFailPoint" => {
            fail_point(command, state)?;
            Document::new()
        }
        other => return Err(Failure::unknown(other)),
    };
    Ok(reply.into())
}

fn is_set(state: &State) -> Result<(), Failure> {
    if state.options.standalone {
        return Err(Failure::new(76, "NoReplicationEnabled", "not running with --replSet"));
    }
    Ok(())
}

fn end_sessions(command: &Document, state: &mut State) {
    for session in command.get_array("endSessions").into_iter().flatten() {
        if let Some(Bson::Binary(id)) = session.as_document().and_then(|d| d.get("id")) {
            state.sessions.remove(&id.bytes);
        }
    }
}

fn build_info(state: &State) -> Document {
    let [major, minor, patch] = state.options.version();
    doc! {
        "version": format!("{major}.{minor}.{patch}"), "gitVersion": "unknown", "modules": [],
        "allocator": "tcmalloc", "javascriptEngine": "none", "sysInfo": "deprecated",
        "versionArray": [major, minor, patch, 0],
        "openssl": { "running": "disabled", "compiled": "disabled" },
        "buildEnvironment": { "distmod": "", "distarch": "x86_64", "target_os": "test server" },
        "bits": 64, "debug": false, "maxBsonObjectSize": 16_777_216,
        "storageEngines": ["devnull", "wiredTiger"],
    }
}

fn status(state: &State) -> Result<Document, Failure> {
    is_set(state)?;
    let optime = |time| doc! { "ts": time, "t": state.term };
    let (last, committed) = (state.oplog.last(), state.committed());
    let (number, text) = if state.primary { (1, "PRIMARY") } else { (2, "SECONDARY") };
    Ok(doc! {
        "set": &state.options.set_name, "date": DateTime::from_millis(wall_ms()), "myState": number,
        "term": state.term, "syncSourceHost": "", "syncSourceId": -1,
        "heartbeatIntervalMillis": 2000_i64, "majorityVoteCount": 1, "writeMajorityCount": 1,
        "votingMembersCount": 1, "writableVotingMembersCount": 1,
        "optimes": {
            "lastCommittedOpTime": optime(committed), "lastCommittedWallTime": seconds(committed),
            "readConcernMajorityOpTime": optime(committed), "appliedOpTime": optime(last),
            "durableOpTime": optime(last), "lastAppliedWallTime": seconds(last),
            "lastDurableWallTime": seconds(last),
        },
        "members": [{
            "_id": 0, "name": &state.address, "health": 1.0, "state": number, "stateStr": text,
            "uptime": 41, "optime": optime(last), "optimeDate": seconds(last),
            "syncSourceHost": "", "syncSourceId": -1, "infoMessage": "", "configVersion": 1,
            "configTerm": 1, "self": true, "lastHeartbeatMessage": "",
        }],
    })
}

fn parameters(state: &State, command: &Document) -> Result<Document, Failure> {
    let [major, minor, _] = state.options.version();
    let all = doc! {
        "featureCompatibilityVersion": { "version": format!("{major}.{minor}") },
        "minSnapshotHistoryWindowInSeconds": i32::try_from(state.options.history_seconds).unwrap(),
        "enableMajorityReadConcern": true, "transactionLifetimeLimitSeconds": 60,
        "enableTestCommands": true, "localLogicalSessionTimeoutMinutes": 30,
    };
    if command.get_str("getParameter").ok() == Some("*") {
        return Ok(all);
    }
    let found: Document = all.into_iter().filter(|(name, _)| command.contains_key(name)).collect();
    if found.is_empty() {
        return Err(Failure::new(72, "InvalidOptions", "no option found to get"));
    }
    Ok(found)
}

fn server_status(state: &State) -> Document {
    let [major, minor, patch] = state.options.version();
    doc! {
        "host": &state.address, "version": format!("{major}.{minor}.{patch}"), "process": "mongod",
        "uptime": 41.0, "storageEngine": { "name": "wiredTiger", "supportsCommittedReads": true },
        "repl": { "setName": &state.options.set_name, "isWritablePrimary": state.primary },
        "oplogTruncation": { "totalTimeTruncatingMicros": 0_i64 },
    }
}

fn connection_status(call: &Call<'_>, state: &State) -> Document {
    let user = call.connection.login.user.as_ref();
    let users = user.map(|name| doc! { "user": name, "db": "admin" });
    let roles = state.options.users.iter().find(|u| Some(&u.name) == user).map(|u| {
        let role = |role: &String| {
            let (role, db) = role.split_once('@').unwrap_or((role, "admin"));
            doc! { "role": role, "db": db }
        };
        u.roles.iter().map(role).collect::<Vec<_>>()
    });
    doc! { "authInfo": {
        "authenticatedUsers": users.into_iter().collect::<Vec<_>>(),
        "authenticatedUserRoles": roles.unwrap_or_default(),
    } }
}

/// `failCommand`, as a real server with test commands has it:
/// <https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point>.
fn fail_point(command: &Document, state: &mut State) -> Result<(), Failure> {
    if command.get_str("configureFailPoint").ok() != Some("failCommand") {
        return Err(Failure::new(2, "BadValue", "the test server knows failCommand alone"));
    }
    state.faults.clear();
    let times = match command.get("mode") {
        Some(Bson::Document(mode)) => mode.get("times").and_then(integer),
        Some(Bson::String(mode)) if mode == "off" => return Ok(()),
        _ => None,
    };
    let data = command.get_document("data").cloned().unwrap_or_default();
    let names = data.get_array("failCommands").cloned().unwrap_or_default();
    let commands = names.iter().filter_map(Bson::as_str).map(str::to_owned).collect();
    let failure = data.get("errorCode").and_then(integer).map(|code| {
        let code = i32::try_from(code).unwrap_or(0);
        let mut failure =
            Failure::new(code, &code_name(code), "Failing command via 'failCommand' failpoint");
        for label in data.get_array("errorLabels").into_iter().flatten().filter_map(Bson::as_str) {
            failure = failure.label(label);
        }
        failure
    });
    let block = data.get("blockTimeMS").and_then(integer).and_then(|ms| u64::try_from(ms).ok());
    state.faults.push(Fault {
        commands,
        times: times.and_then(|n| u32::try_from(n).ok()),
        skip: 0,
        failure,
        close: data.get_bool("closeConnection").unwrap_or(false),
        block: Duration::from_millis(block.unwrap_or(0)),
    });
    Ok(())
}

/// `src/mongo/base/error_codes.yml`.
pub(crate) fn code_name(code: i32) -> String {
    const NAMES: [(i32, &str); 17] = [
        (6, "HostUnreachable"),
        (13, "Unauthorized"),
        (43, "CursorNotFound"),
        (50, "MaxTimeMSExpired"),
        (89, "NetworkTimeout"),
        (91, "ShutdownInProgress"),
        (136, "CappedPositionLost"),
        (189, "PrimarySteppedDown"),
        (234, "RetryChangeStream"),
        (237, "CursorKilled"),
        (246, "SnapshotUnavailable"),
        (280, "ChangeStreamFatalError"),
        (286, "ChangeStreamHistoryLost"),
        (10107, "NotWritablePrimary"),
        (11600, "InterruptedAtShutdown"),
        (11602, "InterruptedDueToReplStateChange"),
        (13435, "NotPrimaryNoSecondaryOk"),
    ];
    let known = NAMES.iter().find(|(known, _)| *known == code);
    known.map_or_else(|| format!("Location{code}"), |(_, name)| (*name).to_owned())
}
