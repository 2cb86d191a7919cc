//! Who holds a port, as far as this user may see.

use std::net::SocketAddr;

/// The process that listens on `address`, for example `flytectl (pid 4711)`; `None` where that cannot be seen (another
/// user's process, another network namespace, not Linux).
pub(super) fn of(address: SocketAddr) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, address.port()))?;
    owner_of_socket(&inode)
}

/// The command that shows it.
pub(super) fn look_up(port: u16) -> String {
    if cfg!(windows) {
        format!("netstat -ano | findstr :{port}")
    } else if cfg!(target_os = "linux") {
        format!("ss -ltnp sport = :{port}")
    } else {
        format!("lsof -nP -iTCP:{port} -sTCP:LISTEN")
    }
}

/// The inode of a listening socket (state 0A) in the kernel's table.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(ToString::to_string)).flatten()
    })
}

fn owner_of_socket(inode: &str) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?;
    let pid = processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).find(|name| {
        name.bytes().all(|byte| byte.is_ascii_digit())
            && std::fs::read_dir(format!("/proc/{name}/fd")).is_ok_and(|open| {
                open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
            })
    })?;
    // `comm` is what the process calls itself: cleaned, it goes to a terminal.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = crate::protocol::reply::printable(&name);
    Some(if name.is_empty() { format!("process {pid}") } else { format!("{name} (pid {pid})") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:D159 00000000:0000 01 00000000:00000000 00:00000000 00000000  1000        0 1 1 0\n\
            1: 0100007F:D159 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0\n\
            broken\n";
        assert_eq!(listening_inode(table, 53593).as_deref(), Some("4242"));
        assert_eq!(listening_inode(table, 53594), None);
        assert_eq!(listening_inode("", 53593), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn finds_itself() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let owner = of(listener.local_addr().unwrap()).unwrap();
        assert!(owner.ends_with(&format!("(pid {})", std::process::id())), "{owner}");
    }
}
