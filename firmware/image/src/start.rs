//! Start order and tasks.

use crate::network;
use embassy_executor::Spawner;
use embedded_io_async::{Read, Write};
use qemu_virt::{Board, ConsoleInput, ConsoleOutput};

/// Called once by the board with every device.
pub fn main(spawner: Spawner, board: Board) {
    defmt::info!("start");
    spawner.spawn(console(board.console_input, board.console_output).expect("spawned once"));
    if let Some(device) = board.network {
        let stack = network::start(spawner, device, board.entropy);
        for _ in 0..limits::relay::SESSIONS_IN_COUNT_MAX {
            spawner.spawn(session(stack).expect("as many tasks as sessions"));
        }
    }
}

#[embassy_executor::task]
async fn console(mut input: ConsoleInput, mut output: ConsoleOutput) {
    let _ = output.write_all(b"\r\nStargate\r\n> ").await;
    let mut buffer = [0; 64];
    loop {
        let Ok(count) = input.read(&mut buffer).await;
        let Ok(()) = output.write_all(&buffer[..count]).await;
    }
}

#[embassy_executor::task(pool_size = limits::relay::SESSIONS_IN_COUNT_MAX)]
async fn session(stack: embassy_net::Stack<'static>) {
    let mut buffers = network::inbound_buffers();
    loop {
        let (rx, tx) = &mut buffers;
        let mut socket = embassy_net::tcp::TcpSocket::new(stack, rx, tx);
        if socket.accept(25).await.is_err() {
            continue;
        }
        let _ = socket.write_all(b"220 stargate ESMTP\r\n").await;
        let _ = socket.flush().await;
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            let _ = socket.write_all(&buffer[..count]).await;
        }
        socket.close();
        let _ = socket.flush().await;
    }
}
