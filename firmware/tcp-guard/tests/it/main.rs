//! The guard between real stacks.

mod attack;
mod link;
mod stories;
