//! What every database connection of ours does with its socket.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// A dead peer is noticed after idle + retries * interval = 60 s by the kernel alone, whatever
/// we are waiting for.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

const READ_BYTES: usize = 256 * 1024;
const READ_BYTES_LEFT_MIN: usize = 64 * 1024;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

pub(super) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket2::SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// Waits for bytes, then takes all that have arrived, up to a full buffer. Says how many; 0 at the
/// end. Cancel-safe.
pub(super) async fn fill(io: &mut dyn Io, input: &mut BytesMut) -> io::Result<usize> {
    make_room(input);
    let mut n_read = io.read_buf(input).await?;
    if n_read == 0 {
        return Ok(0);
    }
    // An end or an error stays for the next call, behind what came before it.
    while input.len() < READ_BYTES {
        make_room(input);
        match read_at_once(io, input).await {
            Some(Ok(n_bytes)) if n_bytes > 0 => n_read += n_bytes,
            Some(Ok(_) | Err(_)) | None => break,
        }
    }
    Ok(n_read)
}

/// Reads what is there, without waiting.
async fn read_at_once(io: &mut dyn Io, input: &mut BytesMut) -> Option<io::Result<usize>> {
    let mut read = pin!(io.read_buf(input));
    std::future::poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Grows with what has arrived, never with what a length promises.
fn make_room(input: &mut BytesMut) {
    if input.capacity() - input.len() < READ_BYTES_LEFT_MIN {
        input.reserve(READ_BYTES);
    }
}
