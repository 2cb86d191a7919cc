//! Who started us: the parent's name for the prompt, and its identity for the ledger.

use flyte_auth::session::suspicion::Caller;

/// The parent process.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    /// For a person, for example `pyflyte`.
    pub(crate) name: String,
    /// Process id and start time; `None` where the system does not tell.
    pub(crate) caller: Option<Caller>,
}

/// Reads what the system tells of our parent.
#[cfg(target_os = "linux")]
pub(crate) fn parent() -> Parent {
    let Some(pid) = rustix::process::getppid() else { return unknown() };
    let pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return unknown() };
    parse(pid, &stat)
}

/// `pid (name) state ppid … starttime …`; the name may hold spaces and parentheses.
#[cfg(target_os = "linux")]
fn parse(pid: u32, stat: &str) -> Parent {
    let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { return unknown() };
    // proc(5): starttime is field 22; the state, field 3, is the first after the name.
    let started = stat[close + 1..].split_whitespace().nth(19).and_then(|field| field.parse().ok());
    let name: String = stat[open + 1..close].chars().filter(|c| !c.is_control()).collect();
    Parent { name, caller: started.map(|started| Caller { pid, started }) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn parent() -> Parent {
    unknown()
}

fn unknown() -> Parent {
    Parent { name: "a program".to_owned(), caller: None }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses() {
        let fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        let parent = parse(7, &format!("7 (my (odd) prog) S {}", fields[1..].join(" ")));
        assert_eq!(parent.name, "my (odd) prog");
        assert_eq!(parent.caller, Some(Caller { pid: 7, started: 22 }));
        assert!(super::parent().caller.is_some());
    }
}
