//! Bounds of the `net` area.
