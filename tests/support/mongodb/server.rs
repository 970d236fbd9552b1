//! Threads and sockets: one thread for each connection, one that lets time pass.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::commands::{self, Connection};
use super::state::{Options, State};
use super::wire;

pub(crate) struct Server {
    pub(crate) port: u16,
    state: Mutex<State>,
    /// The log grew, or the role changed.
    changed: Condvar,
    closing: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    tls: Option<Arc<ServerConfig>>,
}

trait Link: Read + Write {}

impl<T: Read + Write> Link for T {}

impl Server {
    pub(crate) fn start(options: Options, port: u16) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let port = listener.local_addr()?.port();
        let tls = options.tls.as_ref().map(|(certificate, key)| tls(certificate, key));
        let state = State::new(options, format!("127.0.0.1:{port}"));
        let server = Arc::new(Self {
            port,
            state: Mutex::new(state),
            changed: Condvar::new(),
            closing: AtomicBool::new(false),
            connections: Mutex::new(vec![]),
            tls,
        });
        let accepting = Arc::clone(&server);
        std::thread::spawn(move || accepting.accept(&listener));
        let ticking = Arc::clone(&server);
        std::thread::spawn(move || ticking.tick());
        Ok(server)
    }

    /// A test that failed elsewhere must not hide behind a poisoned lock.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Gives the lock away until something happened, or the time is over.
    pub(crate) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: Instant,
    ) -> MutexGuard<'a, State> {
        let left = until.saturating_duration_since(Instant::now());
        match self.changed.wait_timeout(state, left) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Every connection ends, as when a server is killed.
    pub(crate) fn cut(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..) {
            drop(connection.shutdown(Shutdown::Both));
        }
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.cut();
        self.notify();
        // Wakes the accepting thread.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.is_closing() {
                return;
            }
            drop(stream.set_nodelay(true));
            let server = Arc::clone(self);
            if let Ok(shared) = stream.try_clone() {
                self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(shared);
            }
            std::thread::spawn(move || server.serve(stream));
        }
    }

    /// No-ops of an idle primary, and the end of a step down.
    fn tick(&self) {
        let mut last = Instant::now();
        while !self.is_closing() {
            std::thread::sleep(Duration::from_millis(20));
            let mut state = self.state();
            if state.elected_at.is_some_and(|at| Instant::now() >= at) {
                state.elect();
                self.notify();
            }
            if last.elapsed() >= state.options.noop && state.primary {
                last = Instant::now();
                state.noop();
                self.notify();
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        let closer = stream.try_clone();
        let link: Box<dyn Link> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let Ok(connection) = ServerConnection::new(Arc::clone(config)) else { return };
                Box::new(StreamOwned::new(connection, stream))
            }
        };
        drop(self.talk(link));
        if let Ok(closer) = closer {
            drop(closer.shutdown(Shutdown::Both));
        }
    }

    fn talk(&self, mut link: Box<dyn Link>) -> io::Result<()> {
        let mut connection = {
            let mut state = self.state();
            state.n_connections += 1;
            Connection::new(state.n_connections)
        };
        while let Some(request) = wire::read(&mut link)? {
            let Some(reply) = commands::answer(self, &mut connection, &request) else { break };
            if !request.silent {
                wire::write(&mut link, &request, &reply)?;
            }
        }
        Ok(())
    }
}

fn tls(certificate: &Path, key: &Path) -> Arc<ServerConfig> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .expect("the certificate can be read")
        .map(|one| one.expect("it is a certificate"))
        .collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("the key can be read");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Arc::new(config.expect("key and certificate belong together"))
}
