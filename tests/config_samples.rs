//! Every sample in `config/` and `docker/` is a configuration, and the reference is the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tailwater::config::{self, Loaded};

/// Loads a copy of a sample whose references point at files and values of this test.
fn load(path: &Path) -> Loaded {
    let text = std::fs::read_to_string(path).expect("a sample");
    load_text(&path.display().to_string(), text)
}

fn load_text(name: &str, mut text: String) -> Loaded {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "canary\n").expect("a secret");
    let env = BTreeMap::from([
        ("PIPELINE", "shop"),
        ("POSTGRES_DATABASE", "shop"),
        ("KAFKA_BOOTSTRAP", "kafka.example.org:9093"),
        ("PGPASSWORD", "canary"),
    ]);
    for (name, value) in env {
        text = text.replace(&format!("${{env:{name}}}"), value);
    }
    let mut pieces = text.split("${file:");
    let mut replaced = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (_, after) = piece.split_once('}').expect("a closing brace");
        replaced.push_str(&format!("${{file:{}}}{after}", secret.display()));
    }
    let copy = folder.path().join("sample.yaml");
    std::fs::write(&copy, replaced).expect("a copy");
    match config::load(&copy) {
        Ok(loaded) => loaded,
        Err(error) => panic!("{name}:\n{}", error.lines().join("\n")),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

#[test]
fn every_sample_is_a_configuration() {
    let mut n = 0;
    for entry in std::fs::read_dir(folder()).expect("the folder of samples") {
        let path = entry.expect("an entry").path();
        let Loaded { config, .. } = load(&path);
        assert!(!format!("{config:?}").contains("canary"), "{}", path.display());
        n += 1;
    }
    assert!(n >= 5, "only {n} samples");
}

#[test]
fn the_sample_of_the_compose_file_is_a_configuration() {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/tailwater.yaml"));
}

#[test]
fn every_yaml_block_of_the_readme_is_a_configuration() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("the readme");
    let blocks: Vec<&str> = readme.split("```yaml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let (yaml, _) = block.split_once("```").expect("an end");
        load_text("README.md", yaml.to_owned());
    }
}

/// What is left out means what config/reference.yaml says.
#[test]
fn the_reference_is_the_default() {
    let minimal = "\
pipeline: shop
source: { postgres: { host: db.example.org, database: shop, user: tailwater } }
format: { avro: { registry: { url: \"http://127.0.0.1:8081\" } } }
sink: { kafka: { bootstrap_servers: [\"127.0.0.1:9092\"] } }
";
    let folder_of_test = tempfile::tempdir().expect("a folder");
    let path = folder_of_test.path().join("minimal.yaml");
    std::fs::write(&path, minimal).expect("a file");
    let minimal = format!("{:#?}", load(&path).config);
    let reference = format!("{:#?}", load(&folder().join("reference.yaml")).config);
    assert_eq!(minimal, reference);
}
