//! Bounds of the `console` area.
