//! Blocks that fail for good, bits that decay: what the queue does about them, and what it tells.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Fault, Random, SimFlash, Tear};
use spool::{Admission, Arrival, Class, MessageState, Notice, Removal, Spool, SpoolError};

const BLOCK: usize = 16 * 1_024;
const BLOCKS: usize = 12;
type Flash = SimFlash<BLOCK>;
type Letters = BTreeMap<QueueId, Vec<u8>>;

fn mount(flash: &Flash) -> Spool<Flash> {
    block_on(Spool::mount(flash.clone())).unwrap().0
}

fn put(spool: &Spool<Flash>, content: &[u8]) -> Result<QueueId, SpoolError> {
    block_on(async {
        let size = Some(content.len() as u32);
        let mut incoming =
            spool.begin(Admission { size, recipients: 1, recipients_bytes: 13, class: Class::Mail })?;
        spool.append(&mut incoming, content).await?;
        let arrival = Arrival { sender: "s@example.org", ..Arrival::default() };
        let id = spool.commit(incoming, &arrival, ["a@example.org"].into_iter()).await?;
        spool.set_recipe(id, &[1; 60]).await?;
        Ok(id)
    })
}

fn letters(spool: &Spool<Flash>) -> Letters {
    let mut out = Letters::new();
    let mut ids = Vec::new();
    spool.for_each(|brief| ids.push((brief.id, brief.size)));
    for (id, size) in ids {
        let mut content = vec![0; size as usize];
        assert_eq!(block_on(spool.read(id, 0, &mut content)), Ok(content.len()), "{id}");
        out.insert(id, content);
    }
    out
}

/// Letters until `count` are in the queue.
fn fill(spool: &Spool<Flash>, random: &mut Random, model: &mut Letters, count: usize) {
    while model.len() < count {
        let content = vec![random.next_u64() as u8; [300, 900, 2_500][random.below(3)]];
        let id = put(spool, &content).unwrap();
        model.insert(id, content);
    }
}

/// Some letters leave, others come, and the flash is cleaned.
fn traffic(spool: &Spool<Flash>, random: &mut Random, model: &mut Letters, rounds: usize, count: usize) {
    for _ in 0..rounds {
        let id = *model.keys().nth(random.below(model.len())).unwrap();
        assert_eq!(block_on(spool.remove(id, Removal::Delivered)), Ok(()));
        model.remove(&id);
        fill(spool, random, model, count);
        let _ = block_on(spool.clean_step());
    }
}

#[test]
fn what_has_ended_never_returns_though_its_block_takes_no_mark_any_more() {
    for seed in 0..60 {
        let flash = Flash::new(BLOCKS).program_once();
        let mut random = Random::new(seed);
        let mut model = Letters::new();
        let spool = mount(&flash);
        fill(&spool, &mut random, &mut model, 14);
        traffic(&spool, &mut random, &mut model, 30, 14);
        // Blocks that hold letters stop taking programs: kill marks, too.
        for _ in 0..2 {
            let part = [None, Some(seed)][random.below(2)];
            let fault = [Fault::Dead, Fault::Program { after: 0, part }][random.below(2)];
            flash.set_fault(random.below(BLOCKS), Some(fault));
        }
        traffic(&spool, &mut random, &mut model, 30, 14);
        drop(spool);
        let spool = mount(&flash);
        assert_eq!(letters(&spool), model, "seed {seed}");
        traffic(&spool, &mut random, &mut model, 60, 14);
        drop(spool);
        assert_eq!(letters(&mount(&flash)), model, "seed {seed}");
    }
}

#[test]
fn cuts_while_a_failing_block_is_emptied_bring_nothing_back() {
    let mut cuts = 0;
    for seed in 0..8 {
        let flash = Flash::new(BLOCKS).program_once();
        let mut random = Random::new(100 + seed);
        let mut model = Letters::new();
        let spool = mount(&flash);
        fill(&spool, &mut random, &mut model, 14);
        traffic(&spool, &mut random, &mut model, 40, 14);
        let victim = *model.keys().nth(random.below(5)).unwrap();
        drop(spool);
        for block in 0..BLOCKS {
            for at in (0..24).chain([40, 60, 80]) {
                let flash = flash.fork();
                flash.set_fault(
                    block,
                    Some(Fault::Program { after: 0, part: [None, Some(at)][at as usize % 2] }),
                );
                let spool = mount(&flash);
                flash.cut_after(at, [Tear::Before, Tear::Half(at), Tear::After][at as usize % 3]);
                let removed = block_on(spool.remove(victim, Removal::Delivered));
                for _ in 0..60 {
                    let _ = block_on(spool.clean_step());
                }
                drop(spool);
                cuts += u32::from(flash.is_off());
                flash.power_on();
                let mut left = model.clone();
                let spool = mount(&flash);
                if removed.is_ok() || !letters(&spool).contains_key(&victim) {
                    left.remove(&victim);
                }
                assert_eq!(letters(&spool), left, "seed {seed}, block {block}, cut {at}");
                // Each of the others ends, and stays ended, whichever copy of it was found.
                for _ in 0..30 {
                    let _ = block_on(spool.clean_step());
                }
                let others: Vec<QueueId> = left.keys().copied().collect();
                for id in others.iter().step_by(2) {
                    assert_eq!(block_on(spool.remove(*id, Removal::Delivered)), Ok(()));
                    left.remove(id);
                }
                drop(spool);
                assert_eq!(letters(&mount(&flash)), left, "seed {seed}, block {block}, cut {at}");
            }
        }
    }
    assert!(cuts > 200, "{cuts}");
}

#[test]
fn a_bad_block_is_emptied_retired_and_reported_once_and_for_ever() {
    for fault in [Fault::Dead, Fault::Erase, Fault::Program { after: 0, part: Some(3) }] {
        let flash = Flash::new(BLOCKS).program_once();
        let mut random = Random::new(1);
        let mut model = Letters::new();
        let spool = mount(&flash);
        fill(&spool, &mut random, &mut model, 8);
        traffic(&spool, &mut random, &mut model, 40, 8);
        let before = spool.usage().capacity;
        flash.set_fault(5, Some(fault));
        traffic(&spool, &mut random, &mut model, 300, 8);
        let notices = spool.take_notices();
        let retired = notices.iter().filter(|notice| **notice == Notice::BlockRetired { block: 5 }).count();
        assert_eq!((retired, spool.health().retired), (1, 1), "{fault:?} {notices:?}");
        assert_eq!((spool.take_notices().len(), spool.health().failing), (0, 0));
        let after = spool.usage().capacity;
        assert!(after < before && before - after < BLOCK as u64);
        drop(spool);
        // Whatever it answers after a restart, it is not used again.
        flash.set_fault(5, None);
        let touched = flash.programs()[5] + flash.erases()[5];
        let spool = mount(&flash);
        assert_eq!((spool.health().retired, spool.usage().capacity), (1, after));
        assert_eq!(letters(&spool), model);
        traffic(&spool, &mut random, &mut model, 200, 8);
        assert_eq!(flash.programs()[5] + flash.erases()[5], touched);
        assert_eq!(letters(&mount(&flash)), model);
    }
}

/// Runs the walk twice around.
fn scrub(spool: &Spool<Flash>) {
    let passes = spool.health().scrub.passes;
    for _ in 0..20_000 {
        if spool.health().scrub.passes >= passes + 2 {
            return;
        }
        block_on(spool.clean_step()).unwrap();
    }
    panic!("the walk does not come round");
}

/// Offsets of the payload of letters that consist of `byte`.
fn find(flash: &Flash, byte: u8, len: usize) -> usize {
    let image = flash.image();
    image.windows(len).position(|window| window.iter().all(|b| *b == byte)).unwrap()
}

#[test]
fn decayed_content_is_found_and_reported_before_anybody_asks_for_it() {
    let flash = Flash::new(BLOCKS);
    let spool = mount(&flash);
    let good = put(&spool, &[0x5a; 700]).unwrap();
    let bad = put(&spool, &[0x3c; 700]).unwrap();
    let at = find(&flash, 0x3c, 600);
    flash.poke(at + 20, &[0x3d, 0x38]);
    scrub(&spool);
    assert_eq!(spool.take_notices().as_slice(), [Notice::MessageDamaged { id: bad }]);
    let state = |id| spool.brief(id).unwrap().state;
    assert_eq!((state(good), state(bad)), (MessageState::Queued, MessageState::Damaged));
    scrub(&spool);
    assert_eq!((spool.take_notices().len(), spool.health().scrub.damaged), (0, 1));
    block_on(spool.remove(bad, Removal::Operator)).unwrap();
    assert_eq!(letters(&spool).len(), 1);
}

#[test]
fn a_cell_that_is_misread_once_has_its_block_moved() {
    let flash = Flash::new(BLOCKS);
    let spool = mount(&flash);
    let mut model = Letters::new();
    fill(&spool, &mut Random::new(4), &mut model, 16);
    let id = put(&spool, &[0x3c; 700]).unwrap();
    model.insert(id, vec![0x3c; 700]);
    fill(&spool, &mut Random::new(5), &mut model, 26);
    let at = find(&flash, 0x3c, 600);
    let erases = flash.erases()[at / BLOCK];
    flash.misread(at + 5, 0x10, 1);
    scrub(&spool);
    let block = (at / BLOCK) as u16;
    assert_eq!(spool.take_notices().as_slice(), [Notice::BlockRefreshed { block }]);
    let health = spool.health();
    assert_eq!((health.scrub.reread, health.scrub.refreshed, health.scrub.damaged), (1, 1, 0));
    assert!(health.programmed_refreshing > 700);
    traffic(&spool, &mut Random::new(6), &mut model, 60, 26);
    assert!(flash.erases()[at / BLOCK] > erases);
    assert_eq!(letters(&mount(&flash)), model);
}

/// Every unit of headers and directories carries its checksum: one flipped bit anywhere costs nothing, and where
/// it lies in a block with mail the block is moved before there is a second.
#[test]
fn one_flipped_bit_in_any_header_or_slot_costs_no_mail() {
    let flash = Flash::new(BLOCKS).program_once();
    let mut random = Random::new(9);
    let mut model = Letters::new();
    let spool = mount(&flash);
    fill(&spool, &mut random, &mut model, 14);
    traffic(&spool, &mut random, &mut model, 60, 14);
    drop(spool);
    let mut refreshed = 0;
    for block in 0..BLOCKS {
        for octet in (0..60 * 32).step_by(3) {
            let at = block * BLOCK + octet;
            if flash.peek(at / 32 * 32, 32) == [0xff; 32] && octet % 7 > 0 {
                continue;
            }
            let flash = flash.fork();
            flash.poke(at, &[flash.peek(at, 1)[0] ^ (1 << random.below(8))]);
            let spool = mount(&flash);
            assert_eq!(letters(&spool), model, "octet {octet} of block {block}");
            if octet % 21 == 0 {
                scrub(&spool);
                refreshed += spool.health().scrub.refreshed;
                drop(spool);
                assert_eq!(letters(&mount(&flash)), model);
            }
        }
    }
    assert!(refreshed > 10, "{refreshed}");
}

#[test]
fn a_cut_in_any_step_of_a_factory_reset_leaves_everything_or_nothing() {
    let flash = Flash::new(BLOCKS).program_once();
    let mut random = Random::new(2);
    let mut model = Letters::new();
    let spool = mount(&flash);
    fill(&spool, &mut random, &mut model, 14);
    traffic(&spool, &mut random, &mut model, 60, 14);
    drop(spool);
    for at in 0..60 {
        for tear in [Tear::Before, Tear::Half(at), Tear::After] {
            let flash = flash.fork();
            let spool = mount(&flash);
            flash.cut_after(at, tear);
            let _ = block_on(spool.clear());
            drop(spool);
            flash.power_on();
            let spool = mount(&flash);
            let mut found = letters(&spool);
            assert!(found.is_empty() || found == model, "cut {at} {tear:?}: {} letters", found.len());
            // And a second time, during the erasing that follows.
            flash.cut_after(at / 2, Tear::Half(at));
            for _ in 0..20 {
                let _ = block_on(spool.clean_step());
            }
            drop(spool);
            flash.power_on();
            let spool = mount(&flash);
            assert_eq!(letters(&spool), found);
            fill(&spool, &mut random, &mut found, 15);
            drop(spool);
            assert_eq!(letters(&mount(&flash)), found);
        }
    }
}
