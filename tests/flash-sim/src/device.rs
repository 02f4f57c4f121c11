//! The device behind the handles: content, rules, faults, power.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::{Counters, SimError, Tear, UNIT_BYTES};

/// What is lastingly wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Programs and erases fail and change nothing.
    Dead,
    /// Erases fail and change nothing; programs work.
    Erase,
    /// Programs fail after `after` further ones; erases work.
    Program {
        /// Programs that still work.
        after: u64,
        /// Seed for the bits that a failed program has changed all the same; `None`: none of them.
        part: Option<u64>,
    },
}

pub(crate) struct Device {
    pub bytes: Vec<u8>,
    pub programmed: Option<Vec<bool>>,
    pub programs: Vec<u64>,
    pub erases: Vec<u64>,
    faults: Vec<Option<Fault>>,
    /// Offset, mask, value.
    stuck: BTreeMap<usize, (u8, u8)>,
    /// Offset, mask, reads that are left.
    pub misreads: Vec<(usize, u8, u32)>,
    pub counters: Counters,
    pub cut: Option<(u64, Tear)>,
    pub off: bool,
    pub yielding: bool,
}

pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}

impl Device {
    pub(crate) fn new(bytes: Vec<u8>, blocks: usize) -> Self {
        Self {
            bytes,
            programmed: None,
            programs: vec![0; blocks],
            erases: vec![0; blocks],
            faults: vec![None; blocks],
            stuck: BTreeMap::new(),
            misreads: Vec::new(),
            counters: Counters::default(),
            cut: None,
            off: false,
            yielding: false,
        }
    }

    pub(crate) fn copy_faults(&mut self, other: &Self) {
        self.programmed.clone_from(&other.programmed);
        self.faults.clone_from(&other.faults);
        self.stuck.clone_from(&other.stuck);
    }

    pub(crate) fn set_fault(&mut self, block: usize, fault: Option<Fault>) {
        self.faults[block] = fault;
    }

    pub(crate) fn stick(&mut self, offset: usize, mask: u8, value: u8) {
        if mask == 0 {
            self.stuck.remove(&offset);
        } else {
            self.stuck.insert(offset, (mask, value));
        }
        self.settle(offset, 1);
    }

    /// Puts the stuck bits of a range to their value; whether one of them was something else.
    fn settle(&mut self, at: usize, len: usize) -> bool {
        let mut differed = false;
        for (offset, (mask, value)) in self.stuck.range(at..at + len) {
            let byte = &mut self.bytes[*offset];
            let settled = (*byte & !mask) | (value & mask);
            differed |= settled != *byte;
            *byte = settled;
        }
        differed
    }

    pub(crate) fn read(&mut self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes[offset..offset + out.len()]);
        for (at, mask, times) in &mut self.misreads {
            if (offset..offset + out.len()).contains(at) {
                out[*at - offset] ^= *mask;
                *times -= 1;
            }
        }
        self.misreads.retain(|(_, _, times)| *times > 0);
        self.counters.reads += 1;
        self.counters.bytes_read += out.len() as u64;
    }

    /// Whether a program of this block fails, and what it leaves then.
    fn program_fault(&mut self, block: usize) -> Option<Option<u64>> {
        match &mut self.faults[block] {
            Some(Fault::Dead) => Some(None),
            Some(Fault::Program { after: 0, part }) => {
                // Another part each time, still repeatable.
                *part = part.map(|seed| seed.wrapping_add(1));
                Some(*part)
            }
            Some(Fault::Program { after, .. }) => {
                *after -= 1;
                None
            }
            Some(Fault::Erase) | None => None,
        }
    }

    pub(crate) fn bounds(&self, from: usize, len: usize, granularity: usize) -> Result<(), SimError> {
        if !from.is_multiple_of(granularity) || !len.is_multiple_of(granularity) {
            return Err(SimError::NotAligned);
        }
        match from.checked_add(len) {
            Some(end) if end <= self.bytes.len() => Ok(()),
            _ => Err(SimError::OutOfBounds),
        }
    }

    pub(crate) fn powered(&self) -> Result<(), SimError> {
        if self.off { Err(SimError::PowerCut) } else { Ok(()) }
    }

    /// Counts one operation against the planned cut; `Some` if this one is torn.
    fn tear(&mut self) -> Option<Tear> {
        let (left, tear) = self.cut?;
        if left > 0 {
            self.cut = Some((left - 1, tear));
            return None;
        }
        self.cut = None;
        self.off = true;
        Some(tear)
    }

    pub(crate) fn program(&mut self, at: usize, new: &[u8], erase: usize) -> Result<(), SimError> {
        self.powered()?;
        self.bounds(at, new.len(), 4)?;
        let old = &self.bytes[at..at + new.len()];
        if old.iter().zip(new).any(|(old, new)| !old & new != 0) {
            return Err(SimError::NotErased);
        }
        if let Some(programmed) = &self.programmed {
            let units = at / UNIT_BYTES..(at + new.len()).div_ceil(UNIT_BYTES);
            if programmed[units].contains(&true) {
                return Err(SimError::ProgrammedTwice);
            }
        }
        let block = at / erase;
        let cut = self.tear();
        let fault = if cut.is_none() { self.program_fault(block) } else { None };
        let tear = match fault {
            Some(None) => return Err(SimError::Broken),
            Some(Some(seed)) => Some(Tear::Half(seed)),
            None => cut,
        };
        match tear {
            Some(Tear::Before) => return Err(SimError::PowerCut),
            None | Some(Tear::After) => self.bytes[at..at + new.len()].copy_from_slice(new),
            Some(Tear::Half(seed)) => {
                let mut random = Random::new(seed);
                for (unit, new) in self.bytes[at..at + new.len()].chunks_mut(4).zip(new.chunks(4)) {
                    let eighths = [0, 0, 1, 4, 7, 8, 8][random.below(7)];
                    for (old, new) in unit.iter_mut().zip(new) {
                        // Only bits that were changing may have changed.
                        *old &= *new | !random.mask(eighths);
                    }
                }
            }
        }
        let differs = self.settle(at, new.len());
        if let Some(programmed) = &mut self.programmed {
            let units = at / UNIT_BYTES..(at + new.len()).div_ceil(UNIT_BYTES);
            let bytes = self.bytes[units.start * UNIT_BYTES..units.end * UNIT_BYTES].chunks(UNIT_BYTES);
            programmed[units].iter_mut().zip(bytes).for_each(|(flag, unit)| *flag = !is_blank(unit));
        }
        self.programs[block] += 1;
        self.counters.programs += 1;
        self.counters.bytes_programmed += new.len() as u64;
        match (cut, fault.is_some() || differs) {
            (Some(_), _) => Err(SimError::PowerCut),
            (None, true) => Err(SimError::Broken),
            (None, false) => Ok(()),
        }
    }

    pub(crate) fn erase_block(&mut self, block: usize, erase: usize) -> Result<(), SimError> {
        let tear = self.tear();
        if matches!(self.faults[block], Some(Fault::Dead | Fault::Erase)) && tear.is_none() {
            return Err(SimError::Broken);
        }
        let range = block * erase..(block + 1) * erase;
        match tear {
            Some(Tear::Before) => return Err(SimError::PowerCut),
            None | Some(Tear::After) => self.bytes[range.clone()].fill(0xff),
            Some(Tear::Half(seed)) => {
                let mut random = Random::new(seed);
                // Some torn erases have hardly begun, some were nearly done.
                let style = random.below(4);
                for unit in self.bytes[range.clone()].chunks_mut(UNIT_BYTES) {
                    match (style, random.below(16)) {
                        (0, 1..) | (1, 8..) => {}
                        (2, 1..) | (1, 1..4) => unit.fill(0xff),
                        (_, choice) => {
                            let eighths = (choice % 8) as u64;
                            unit.iter_mut().for_each(|byte| *byte |= random.mask(eighths));
                        }
                    }
                }
            }
        }
        let differs = self.settle(range.start, erase);
        if let Some(programmed) = &mut self.programmed {
            let units = range.start / UNIT_BYTES..range.end / UNIT_BYTES;
            programmed[units].fill(tear.is_some_and(|t| t != Tear::After));
        }
        self.erases[block] += 1;
        self.counters.erases += 1;
        match (tear, differs) {
            (Some(_), _) => Err(SimError::PowerCut),
            (None, true) => Err(SimError::Broken),
            (None, false) => Ok(()),
        }
    }
}
