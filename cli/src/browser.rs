//! Opens a browser: `BROWSER` where it is set, else the system's.

use std::process::{Command, Stdio};

/// Opens `url`; `false` if nothing could be started.
pub(crate) fn open(url: &str) -> bool {
    match std::env::var("BROWSER") {
        Ok(browsers) if !browsers.trim().is_empty() => {
            // As Python's webbrowser and xdg-open read it: several commands, separated by colons, `%s` for the URL.
            split_browsers(&browsers).iter().any(|browser| start(&argv(browser, url)))
        }
        _ => system(url),
    }
}

/// Separated by colons, but `https://…` and `C:\…` inside a command keep theirs.
fn split_browsers(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(':') {
        let next = text[at + 1..].chars().next();
        if !matches!(next, Some('/' | '\\')) {
            found.push(&text[from..at]);
            from = at + 1;
        }
    }
    found.push(&text[from..]);
    found.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Words as a POSIX shell splits them (quotes and backslashes); a trailing `&` is what we do anyway.
fn argv(browser: &str, url: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let (mut quote, mut inside) = (None, false);
    let mut characters = browser.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.extend(characters.next()),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => (quote, inside) = (Some(c), true),
            (c, None) if c.is_whitespace() => {
                if inside || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (c, None) => word.push(c),
        }
    }
    if inside || !word.is_empty() {
        words.push(word);
    }
    if words.last().is_some_and(|word| word == "&") {
        words.pop();
    }
    if words.iter().any(|word| word.contains("%s")) {
        words.iter().map(|word| word.replace("%s", url)).collect()
    } else {
        words.push(url.to_owned());
        words
    }
}

fn start(argv: &[String]) -> bool {
    let Some((program, arguments)) = argv.split_first() else { return false };
    let mut command = Command::new(program);
    // Its output would mix with our data, and Ctrl-C is meant for us.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().is_ok()
}

fn system(url: &str) -> bool {
    let mut options = webbrowser::BrowserOptions::new();
    options.with_suppress_output(true);
    webbrowser::open_browser_with_options(webbrowser::Browser::Default, url, &options).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_as_python_takes_them() {
        let url = "https://idp.example/a?b=c&d=%20";
        for (browser, expected) in [
            ("firefox", vec!["firefox", url]),
            ("node driver.mjs %s &", vec!["node", "driver.mjs", url]),
            ("'/opt/my browser' --new \"a b\"", vec!["/opt/my browser", "--new", "a b", url]),
            (r"/opt/my\ browser", vec!["/opt/my browser", url]),
        ] {
            assert_eq!(argv(browser, url), expected, "{browser}");
        }
        assert_eq!(split_browsers("one:two %s"), ["one", "two %s"]);
        assert_eq!(split_browsers("curl http://x"), ["curl http://x"]);
    }
}
