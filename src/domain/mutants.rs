//! Planted bugs: with the feature `mutants` a test switches one on, in its own thread, and must turn red.
//! Without the feature every question is a constant `false`.

#[cfg(feature = "mutants")]
thread_local! {
    static ON: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") };
}

/// Plants the named bug in this thread; the empty name removes it.
#[cfg(feature = "mutants")]
pub fn plant(name: &'static str) {
    ON.with(|on| on.set(name));
}

#[cfg(feature = "mutants")]
pub fn on(name: &str) -> bool {
    ON.with(|on| on.get() == name)
}

#[cfg(feature = "mutants")]
pub fn any() -> bool {
    ON.with(|on| !on.get().is_empty())
}

#[cfg(not(feature = "mutants"))]
pub const fn on(_: &str) -> bool {
    false
}

#[cfg(not(feature = "mutants"))]
pub const fn any() -> bool {
    false
}
