//! Start order and tasks.

use crate::datagrams::Datagrams;
use crate::hardware::{Hardware, Statistics};
use crate::network::{Connector, Link, Listener};
use embassy_executor::Spawner;
use embedded_io_async::Write;
use events::{Event, Log};
use limits::net::INTERFACES_COUNT;
use limits::relay::{DECIDERS_COUNT, LISTENERS_COUNT, SESSIONS_OUT_COUNT_MAX};
use qemu_virt::{Board, ConsoleInput, ConsoleOutput, DataFlash};
use relay::{Appliance, Parts, SharedFlash};
use static_cell::{ConstStaticCell, StaticCell};

/// The appliance on this machine.
type Product = Appliance<'static, Hardware>;

/// Called once by the board with every device.
pub fn main(spawner: Spawner, board: Board) {
    spawner.spawn(start(spawner, board).expect("one start"));
}

/// Mounts the stores and then starts everything that needs them: network first, so that an address is being leased
/// while the flash is read.
#[embassy_executor::task]
async fn start(spawner: Spawner, board: Board) {
    static FLASH: StaticCell<SharedFlash<DataFlash>> = StaticCell::new();
    static LOG: ConstStaticCell<Log> = ConstStaticCell::new(Log::new());
    static PRODUCT: StaticCell<Product> = StaticCell::new();

    let link = Link::start(spawner, board.network.into_iter(), &board.entropy);
    let flash = board.flash.expect("the machine has no data flash of the right geometry");
    let flash = FLASH.init(SharedFlash::new(flash));
    let parts = Parts {
        tpm: board.tpm,
        timer: board.timer,
        clock: board.clock,
        entropy: board.entropy,
        datagrams: Datagrams::new(link),
        connectors: Connector::spare(link),
        power: board.power,
        machine: Statistics { link },
    };
    let log = &*LOG.take();
    let product = match Appliance::start(flash, log, parts).await {
        Ok(product) => &*PRODUCT.init(product),
        Err(unusable) => {
            // Nothing that the product promises can be kept; it says so and waits for a technician.
            let mut console = board.console_output;
            let Ok(()) = console.write_all(b"\r\nThe data flash cannot be used: ").await;
            let Ok(()) = console.write_all(alloc::format!("{unusable}").as_bytes()).await;
            let Ok(()) = console.write_all(b"\r\nReplace it, or the machine.\r\n").await;
            return;
        }
    };
    link.apply(&product.settings());
    defmt::info!("stores mounted");

    spawner.spawn(console(product, board.console_input, board.console_output).expect("one console"));
    spawner.spawn(supervisor(product).expect("one supervisor"));
    for index in 0..INTERFACES_COUNT {
        spawner.spawn(network_log(product, link, index).expect("one network log for each interface"));
    }
    for _ in 0..DECIDERS_COUNT {
        spawner.spawn(decider(product).expect("as many tasks as deciders"));
    }
    for connector in Connector::all(link) {
        spawner.spawn(delivery(product, connector).expect("as many tasks as connectors"));
    }
    product.record(&Event::Listening { port: limits::net::SMTP_PORT });
    for listener in Listener::all(link) {
        spawner.spawn(session(product, listener).expect("as many tasks as listeners"));
    }
}

#[embassy_executor::task]
async fn console(product: &'static Product, input: ConsoleInput, output: ConsoleOutput) {
    relay::operator::run(product, input, output).await;
}

/// Tells when the network comes and goes.
#[embassy_executor::task(pool_size = INTERFACES_COUNT)]
async fn network_log(product: &'static Product, link: Link, index: usize) {
    loop {
        link.wait_for_address(index, true).await;
        if let Some(state) = link.state().get(index) {
            for (address, gateway) in [(state.address, state.gateway), (state.address6, state.gateway6)] {
                if let Some(address) = address {
                    product.network_is_up(address, gateway);
                }
            }
        }
        link.wait_for_address(index, false).await;
        product.record(&Event::NetworkDown);
    }
}

#[embassy_executor::task]
async fn supervisor(product: &'static Product) {
    relay::supervisor::tend(product).await;
}

#[embassy_executor::task(pool_size = DECIDERS_COUNT)]
async fn decider(product: &'static Product) {
    relay::decide::worker(product).await;
}

#[embassy_executor::task(pool_size = SESSIONS_OUT_COUNT_MAX)]
async fn delivery(product: &'static Product, mut connector: Connector) {
    relay::delivery::worker(product, &mut connector).await;
}

#[embassy_executor::task(pool_size = LISTENERS_COUNT)]
async fn session(product: &'static Product, mut listener: Listener) {
    loop {
        let Some((mut stream, origin)) = listener.accept().await else { continue };
        relay::intake::session(product, &mut stream, origin).await;
        stream.finish().await;
    }
}
