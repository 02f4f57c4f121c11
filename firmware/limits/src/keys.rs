//! Bounds of the `keys` area.
