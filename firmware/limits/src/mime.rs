//! Bounds of the `mime` area.
