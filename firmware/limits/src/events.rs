//! Bounds of the `events` area.
