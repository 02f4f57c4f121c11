//! The configuration on a flash that loses power.

#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

use embassy_futures::block_on;
use flash_sim::{SimFlash, Tear};
use settings::{Loaded, SaveError, Settings, Store};

const BLOCK: usize = 16 * 1_024;
type Flash = SimFlash<BLOCK>;

fn made(hostname: &str, network: &str) -> Settings {
    let mut settings = Settings::default();
    settings.set("hostname", hostname).unwrap();
    settings.set("relay-networks", network).unwrap();
    settings
}

/// Starts on the same flash again.
fn start(flash: &Flash) -> (Store<Flash>, Settings, Loaded) {
    block_on(Store::open(flash.clone())).unwrap()
}

#[test]
fn a_blank_flash_is_a_new_appliance_and_what_is_saved_is_there_at_the_next_start() {
    let flash = Flash::new(2).program_once();
    let (mut store, settings, loaded) = start(&flash);
    assert_eq!((settings, loaded), (Settings::default(), Loaded::Fresh));
    let saved = made("gw1.example.org", "10.0.0.0/8");
    block_on(store.save(&saved)).unwrap();
    let (_, settings, loaded) = start(&flash);
    assert_eq!((settings, loaded), (saved, Loaded::Stored));
}

#[test]
fn what_does_not_fit_together_is_not_stored() {
    let flash = Flash::new(2);
    let (mut store, ..) = start(&flash);
    let mut unfit = made("gw1.example.org", "10.0.0.0/8");
    unfit.set("hostname", "none").unwrap();
    assert!(matches!(block_on(store.save(&unfit)), Err(SaveError::Problem(_))));
    assert_eq!(start(&flash).2, Loaded::Fresh);
}

#[test]
fn a_factory_reset_leaves_an_appliance_that_relays_for_nobody() {
    let flash = Flash::new(2).program_once();
    let (mut store, ..) = start(&flash);
    block_on(store.save(&made("gw1.example.org", "10.0.0.0/8"))).unwrap();
    block_on(store.factory_reset()).unwrap();
    drop(store);
    let (_, settings, loaded) = start(&flash);
    assert_eq!((settings, loaded), (Settings::default(), Loaded::Fresh));
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_or_the_new_configuration() {
    // Enough saves to go through both blocks several times, cleaning included.
    let names = ["a.example.org", "b.example.org"];
    let base = Flash::new(2).program_once();
    let (mut store, ..) = start(&base);
    block_on(store.save(&made(names[0], "10.0.0.0/8"))).unwrap();
    let mut cuts = 0;
    for turn in 1..400 {
        let (old, new) = (made(names[(turn + 1) % 2], "10.0.0.0/8"), made(names[turn % 2], "10.0.0.0/8"));
        // A save takes few operations, most of the time; a cleaning more. Every one of them is torn once.
        for after in (0..64).filter(|_| turn % 16 == 0 || turn < 3) {
            let flash = base.fork();
            let (mut store, ..) = start(&flash);
            flash.cut_after(after, Tear::Half(turn as u64 * 64 + after));
            let saved = block_on(store.save(&new));
            if !flash.is_off() {
                assert_eq!(saved, Ok(()));
                break;
            }
            cuts += 1;
            flash.power_on();
            let (mut store, settings, loaded) = start(&flash);
            assert_eq!(loaded, Loaded::Stored);
            assert!(settings == old || settings == new, "cut after {after} operations of save {turn}");
            block_on(store.save(&new)).unwrap();
            assert_eq!(start(&flash).1, new);
        }
        block_on(store.save(&new)).unwrap();
    }
    assert!(cuts > 50);
}

#[test]
fn any_flash_content_starts_with_defaults_or_what_was_stored() {
    let flash = Flash::new(2);
    let (mut store, ..) = start(&flash);
    let saved = made("gw1.example.org", "10.0.0.0/8");
    block_on(store.save(&saved)).unwrap();
    let image = flash.image();
    let used = image.iter().rposition(|octet| *octet != 0xff).unwrap() + 1;
    for at in 0..used {
        let mut damaged = image.clone();
        damaged[at] ^= 1 << (at % 8);
        let (_, settings, loaded) = start(&Flash::from_image(damaged));
        let whole = loaded == Loaded::Stored && settings == saved;
        assert!(whole || settings == Settings::default(), "octet {at}: {loaded:?}");
    }
    for fill in [0, 0x55, 0xaa, 0x01] {
        let (_, settings, loaded) = start(&Flash::from_image(vec![fill; 2 * BLOCK]));
        assert_eq!((settings, loaded), (Settings::default(), Loaded::Fresh));
    }
}
