//! An address of the virtual Internet is a real server on this machine, and a real client has an address there.
//!
//! Each connection is carried by one task that copies octets both ways. The end of one direction is passed on as such,
//! because a server may still have to answer; a reset ends both.

use super::{
    executor::{Executor, Socket},
    net::WireNet,
};
use crate::net::{Connection, Net as _};
use anyhow::Result;
use embassy_futures::select::{Either, select};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
};

/// Octets that are copied at once.
const COPY_BYTES: usize = 16 << 10;

/// Connections to `at` go on to `port` of the loopback interface.
pub fn outward(executor: &Executor, net: &WireNet, at: SocketAddr, port: u16) {
    let executor = executor.clone();
    net.listen(
        at,
        Rc::new(move |inside| {
            let executor = executor.clone();
            Box::pin(async move {
                // A server that is not there is a connection that ends at once.
                if let Ok(outside) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    carry(&executor, inside, outside).await;
                }
            })
        }),
    );
}

/// A port of the loopback interface: who connects there comes from `from` in the virtual Internet, and talks to `to`.
///
/// # Errors
/// When there is no port.
pub fn inward(executor: &Executor, net: &WireNet, from: IpAddr, to: SocketAddr) -> Result<u16> {
    let listener = Rc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let (runner, net) = (executor.clone(), net.clone());
    executor.spawn(async move {
        let socket: Socket = Rc::clone(&listener) as Socket;
        loop {
            runner.ready(&socket, false).await;
            while let Ok((outside, _)) = listener.accept() {
                let (carrier, net) = (runner.clone(), net.clone());
                runner.spawn(async move {
                    if let Ok(inside) = net.connect(from, to).await {
                        carry(&carrier, inside, outside).await;
                    }
                });
            }
        }
    });
    Ok(port)
}

/// Copies until both directions have ended.
async fn carry(executor: &Executor, inside: Box<dyn Connection>, outside: TcpStream) {
    let mut inside = inside;
    if outside.set_nonblocking(true).is_err() {
        return;
    }
    let outside = Rc::new(outside);
    let socket: Socket = Rc::clone(&outside) as Socket;
    let (mut inside_ended, mut outside_ended) = (false, false);
    let mut buffer = vec![0; COPY_BYTES];
    let mut other = vec![0; COPY_BYTES];
    while !(inside_ended && outside_ended) {
        let from_inside = async {
            if inside_ended { std::future::pending().await } else { inside.read(&mut buffer).await }
        };
        let from_outside = async {
            if outside_ended { std::future::pending().await } else { executor.ready(&socket, false).await }
        };
        match select(from_inside, from_outside).await {
            Either::First(Ok(0)) => {
                inside_ended = true;
                _ = outside.shutdown(Shutdown::Write);
            }
            Either::First(Ok(count)) => {
                if !write_all(executor, &outside, &socket, buffer.get(..count).unwrap_or_default()).await {
                    return;
                }
            }
            Either::First(Err(_)) => return,
            Either::Second(()) => match (&*outside).read(&mut other) {
                Ok(0) => {
                    outside_ended = true;
                    inside.close().await;
                }
                Ok(count) => {
                    let mut rest = other.get(..count).unwrap_or_default();
                    while !rest.is_empty() {
                        let Ok(written) = inside.write(rest).await else { return };
                        rest = rest.get(written..).unwrap_or_default();
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return,
            },
        }
    }
}

/// Writes everything; `false` if the peer is gone.
async fn write_all(executor: &Executor, stream: &TcpStream, socket: &Socket, octets: &[u8]) -> bool {
    let (mut stream, mut rest) = (stream, octets);
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => executor.ready(socket, true).await,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}
