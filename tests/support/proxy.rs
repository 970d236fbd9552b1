//! A TCP proxy between Tailwater and one server, which can do to a connection what networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    target: Mutex<u16>,
    pairs: Mutex<Vec<Pair>>,
    /// Connections stay open and no byte moves.
    stalled: AtomicBool,
    /// New connections are closed at once.
    refusing: AtomicBool,
    delay_ms: AtomicU64,
    /// Bytes that may still pass in both directions together; negative: no limit.
    left: AtomicI64,
    /// Connections that something was done to, and reads that were held up.
    n_hurt: AtomicU64,
    closed: AtomicBool,
}

impl State {
    fn hurt(&self) {
        self.n_hurt.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection: what the client holds, and what the server does.
struct Pair {
    client: TcpStream,
    server: TcpStream,
    /// Shared with the two threads that carry its bytes: alone here, both have ended.
    alive: Arc<()>,
}

impl Pair {
    fn is_alive(&self) -> bool {
        Arc::strong_count(&self.alive) > 1
    }
}

impl Proxy {
    /// Forwards to a port of this machine; [`Self::retarget`] moves it.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { left: AtomicI64::new(-1), ..State::default() });
        *state.target.lock().unwrap() = target;
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                accept(&shared, client);
            }
        });
        Self { port, state }
    }

    pub(crate) fn retarget(&self, port: u16) {
        *self.state.target.lock().unwrap() = port;
    }

    /// Grows with everything that was done to a living connection, or to one that was asked for.
    pub(crate) fn n_hurt(&self) -> u64 {
        self.state.n_hurt.load(Ordering::Relaxed)
    }

    /// Both sides of every connection see it closed.
    pub(crate) fn cut(&self) {
        for pair in self.state.pairs.lock().unwrap().drain(..) {
            if pair.is_alive() {
                self.state.hurt();
            }
            drop(pair.client.shutdown(Shutdown::Both));
            drop(pair.server.shutdown(Shutdown::Both));
        }
    }

    /// The client sees the end of the server's bytes while it may still write, and nobody answers.
    pub(crate) fn half_close(&self) {
        for pair in &*self.state.pairs.lock().unwrap() {
            if pair.is_alive() {
                self.state.hurt();
            }
            drop(pair.client.shutdown(Shutdown::Write));
        }
    }

    pub(crate) fn stall(&self, on: bool) {
        self.state.stalled.store(on, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, on: bool) {
        self.state.refusing.store(on, Ordering::Relaxed);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Cuts after so many more bytes, wherever in a message that is; then bytes flow freely again.
    pub(crate) fn cut_after(&self, bytes: u32) {
        self.state.left.store(i64::from(bytes), Ordering::Relaxed);
    }

    /// As after [`Self::start`].
    pub(crate) fn heal(&self) {
        self.stall(false);
        self.refuse(false);
        self.delay(Duration::ZERO);
        self.state.left.store(-1, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the accepting thread, so that the port is free again.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn accept(state: &Arc<State>, client: TcpStream) {
    if state.refusing.load(Ordering::Relaxed) {
        state.hurt();
        return;
    }
    let target = *state.target.lock().unwrap();
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let alive = Arc::new(());
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (state, alive) = (Arc::clone(state), Arc::clone(&alive));
        std::thread::spawn(move || {
            pump(&state, from, to);
            drop(alive);
        });
    }
    let mut pairs = state.pairs.lock().unwrap();
    pairs.retain(Pair::is_alive);
    pairs.push(Pair { client, server, alive });
}

fn pump(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 65536];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        if state.stalled.load(Ordering::Relaxed) {
            state.hurt();
        }
        while state.stalled.load(Ordering::Relaxed) && !state.closed.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let delay = state.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            state.hurt();
            std::thread::sleep(Duration::from_millis(delay));
        }
        let left = state.left.load(Ordering::Relaxed);
        let allowed = if left < 0 { n } else { n.min(usize::try_from(left).unwrap()) };
        // Before they leave: the answer to them may be here before this thread is.
        if left >= 0 {
            state.left.fetch_sub(i64::try_from(allowed).unwrap(), Ordering::Relaxed);
        }
        if to.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        if allowed < n {
            state.hurt();
            state.left.store(-1, Ordering::Relaxed);
            drop(from.shutdown(Shutdown::Both));
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}
