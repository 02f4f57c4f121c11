//! Every test of the real image but the power cuts write by write, in one program: the appliance that they copy is set up
//! once, and whichever processor is free takes the next.

mod commit;
mod fill;
mod malformed;
mod memory;
mod power;
mod signing;
