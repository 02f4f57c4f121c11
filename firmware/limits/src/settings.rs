//! Bounds of the `settings` area.
