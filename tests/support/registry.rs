//! A schema registry of our own: Apicurio, which speaks the Confluent API.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::postgres::tail;
use super::process::{Process, Spec};
use super::{cached, eventually, free_port, new_folder, runtime, seconds};

pub(crate) struct Registry {
    pub(crate) port: u16,
    log: PathBuf,
    process: Mutex<Option<Process>>,
    schemas: Mutex<HashMap<u32, String>>,
}

impl Registry {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Its database is a file: what was registered survives [`Self::stop`].
    pub(crate) fn start() -> Self {
        let registry = Self {
            port: free_port(),
            log: new_folder("registry").join("log"),
            process: Mutex::new(None),
            schemas: Mutex::default(),
        };
        registry.resume();
        registry
    }

    pub(crate) fn resume(&self) {
        let home = cached("apicurio-");
        let jar = std::fs::read_dir(&home).unwrap().flatten().map(|e| e.path());
        let jar = jar.filter(|p| p.to_string_lossy().ends_with("-runner.jar")).max();
        let jar = jar.expect("the registry's jar is in its folder").display().to_string();
        let database = self.log.with_file_name("database");
        *self.process.lock().unwrap() = Some(Process::start(&Spec {
            program: "java".as_ref(),
            args: vec!["-Xmx512m".into(), "-jar".into(), jar],
            env: vec![
                ("QUARKUS_HTTP_HOST".into(), "127.0.0.1".into()),
                ("QUARKUS_HTTP_PORT".into(), self.port.to_string()),
                ("REGISTRY_DATASOURCE_URL".into(), format!("jdbc:h2:file:{}", database.display())),
            ],
            unprivileged: false,
            death_signal: "KILL",
            stdout: self.log.clone(),
            stderr: self.log.clone(),
        }));
        let up = eventually(seconds(180), || self.get("/subjects"));
        assert!(up.is_some(), "the registry did not start: {}", tail(&self.log));
    }

    pub(crate) fn stop(&self) {
        let process = self.process.lock().unwrap().take().expect("the registry runs");
        process.signal("TERM");
        assert!(process.wait(seconds(30)).is_some(), "the registry did not stop");
    }

    /// What goes into `registry.url`.
    pub(crate) fn url(&self) -> String {
        Self::url_at(self.port)
    }

    pub(crate) fn url_at(port: u16) -> String {
        format!("http://127.0.0.1:{port}/apis/ccompat/v7")
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let request = client().get(self.url() + path);
        let answer = runtime().block_on(async {
            let response = request.send().await.ok()?.error_for_status().ok()?;
            response.text().await.ok()
        })?;
        serde_json::from_str(&answer).ok()
    }

    /// The text of a schema by its id.
    pub(crate) fn schema(&self, id: u32) -> String {
        let mut schemas = self.schemas.lock().unwrap();
        let text = schemas.entry(id).or_insert_with(|| {
            let answer = self.get(&format!("/schemas/ids/{id}"));
            let answer = answer.unwrap_or_else(|| panic!("the registry has no schema {id}"));
            answer["schema"].as_str().expect("a schema is a string").to_owned()
        });
        text.clone()
    }

    pub(crate) fn register(&self, subject: &str, schema: &Value) -> u32 {
        let body = json!({ "schema": schema.to_string() });
        let answer =
            self.send(reqwest::Method::POST, &format!("/subjects/{subject}/versions"), &body);
        u32::try_from(answer["id"].as_u64().expect("an id")).unwrap()
    }

    pub(crate) fn set_compatibility(&self, subject: &str, level: &str) {
        let body = json!({ "compatibility": level });
        self.send(reqwest::Method::PUT, &format!("/config/{subject}"), &body);
    }

    /// For every subject that has no level of its own.
    pub(crate) fn set_global_compatibility(&self, level: &str) {
        self.send(reqwest::Method::PUT, "/config", &json!({ "compatibility": level }));
    }

    /// Whether the subject's rule lets the schema pass.
    pub(crate) fn would_take(&self, subject: &str, schema: &Value) -> bool {
        let path = format!("/compatibility/subjects/{subject}/versions/latest");
        let body = json!({ "schema": schema.to_string() });
        let answer = self.send(reqwest::Method::POST, &path, &body);
        answer["is_compatible"].as_bool().expect("it says so")
    }

    fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = client()
            .request(method, self.url() + path)
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .body(body.to_string());
        let text =
            runtime().block_on(async { request.send().await?.error_for_status()?.text().await });
        serde_json::from_str(&text.unwrap()).unwrap()
    }
}

pub(crate) fn client() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let build = || {
        runtime();
        reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap()
    };
    CLIENT.get_or_init(build).clone()
}
