//! The binary as a person or a script meets it: exit codes, and what stands where.

use std::process::{Command, Output};

fn tailwater(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tailwater"))
        .args(arguments)
        .env("RUST_LOG", "trace")
        .env("CANARY", "canary-secret")
        .output()
        .expect("the binary runs")
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn said(arguments: &[&str]) -> Said {
    let output = tailwater(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A file with this text, checked.
fn check(text: &str) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.yaml");
    std::fs::write(&path, text).expect("a file");
    let mut said = said(&["check", "-c", path.to_str().expect("UTF-8")]);
    for stream in [&mut said.stdout, &mut said.stderr] {
        *stream = stream.replace(path.to_str().expect("UTF-8"), "shop.yaml");
    }
    said
}

const FINE: &str = "\
pipeline: shop
source:
  postgres:
    host: 127.0.0.1
    database: shop
    user: tailwater
    password: ${env:CANARY}
sink: { stdout: {} }
";

#[test]
fn a_good_file_is_summed_up_on_stdout() {
    let said = check(FINE);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert!(said.stdout.starts_with("shop.yaml: OK\n  pipeline  shop\n"), "{}", said.stdout);
    assert!(!said.stdout.contains("canary"));
}

#[test]
fn a_bad_file_ends_with_2_and_three_parts_on_stderr() {
    let said = check(&FINE.replace("host:", "hots:"));
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    let lines: Vec<&str> = said.stderr.lines().collect();
    assert_eq!(lines[0], "error: failed to load the configuration shop.yaml");
    assert!(
        lines[1].starts_with(
            "  shop.yaml:4:5: source.postgres: unknown key `hots`; did you mean `host`? (known: "
        ),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("hint: "), "{}", lines[2]);
    assert!(!said.stderr.contains("canary"));
}

#[test]
fn run_ends_with_2_where_check_does() {
    let said = said(&["run", "-c", "/nowhere/shop.yaml"]);
    assert_eq!(said.code, Some(2));
    let last: serde_json::Value =
        serde_json::from_str(said.stderr.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["error"], "failed to load the configuration /nowhere/shop.yaml");
    assert_eq!(last["causes"], "/nowhere/shop.yaml: No such file or directory (os error 2)");
    assert_eq!((last["level"].as_str(), last["exit_code"].as_u64()), (Some("ERROR"), Some(2)));
}

#[test]
fn a_taken_admin_port_ends_with_2_before_anything_starts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("shop.yaml");
    std::fs::write(&path, format!("{FINE}admin: {{ listen: \"{address}\" }}\n")).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let said = said(&["run", "-c", path, "--log-format", "text"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    let expected = format!("error: failed to listen on {address} for health and metrics\n");
    assert!(said.stderr.contains(&expected), "{}", said.stderr);
    assert!(said.stderr.contains("hint: give this pipeline an `admin.listen` of its own"));
    assert!(!said.stderr.contains("canary"));
}

#[test]
fn wrong_arguments_end_with_2_and_help_with_0() {
    for arguments in [
        &["run"][..],
        &["run", "-c", "x", "--source", "y"],
        &["nonsense"],
        &["offsets", "set", "-c", "x", "--lsn", "12"],
        &["check", "-c", "x", "--log", "=,="],
        &["man", "nonsense"],
    ] {
        assert_eq!(said(arguments).code, Some(2), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let said = said(arguments);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn generated_texts_go_to_stdout() {
    let schema: serde_json::Value = serde_json::from_str(&said(&["schema"]).stdout).expect("JSON");
    assert_eq!(schema["title"], "Tailwater configuration");
    assert!(schema["properties"]["source"].is_object());
    for (arguments, start) in [
        (&["completions", "bash"][..], "_tailwater()"),
        (&["man"], ".ie"),
        (&["man", "run"], ".ie"),
    ] {
        let said = said(arguments);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(said.stdout.starts_with(start), "{arguments:?}");
    }
}
