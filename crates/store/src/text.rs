//! Text from files, made fit to be shown.
