//! Planted bugs: with the feature `mutants` a test switches one on, in its own thread, and must turn red.
//! Without the feature every question is a constant `false`.

#[cfg(feature = "mutants")]
thread_local! {
    static ON: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") };
}

#[cfg(feature = "mutants")]
static EVERYWHERE: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Plants the named bug in this thread; the empty name removes it.
#[cfg(feature = "mutants")]
pub fn plant(name: &'static str) {
    ON.with(|on| on.set(name));
}

/// Plants the named bug in every thread of this process, for good.
#[cfg(feature = "mutants")]
pub fn plant_everywhere(name: String) {
    // The first one stays.
    let _ = EVERYWHERE.set(name);
}

#[cfg(feature = "mutants")]
pub fn on(name: &str) -> bool {
    ON.with(|on| on.get() == name) || EVERYWHERE.get().is_some_and(|planted| planted == name)
}

#[cfg(feature = "mutants")]
pub fn any() -> bool {
    ON.with(|on| !on.get().is_empty()) || EVERYWHERE.get().is_some()
}

#[cfg(not(feature = "mutants"))]
pub const fn on(_: &str) -> bool {
    false
}

#[cfg(not(feature = "mutants"))]
pub const fn any() -> bool {
    false
}
