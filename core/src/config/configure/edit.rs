//! Sets keys of the `admin:` section in a YAML text, line by line.

/// The text with `wanted` set in its `admin:` section; `None` if the section's layout is not understood. The caller
/// parses the result and compares, so that a misunderstanding cannot go unnoticed.
pub(super) fn edit(text: &str, wanted: &[(&str, String)]) -> Option<String> {
    let eol = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<String> =
        text.split_inclusive('\n').map(|line| line.trim_end_matches(['\r', '\n']).to_owned()).collect();
    let bom = lines.first().is_some_and(|line| line.starts_with('\u{feff}'));
    if bom {
        lines[0].remove(0);
    }
    match lines.iter().position(|line| key_of(line, 0) == Some("admin")) {
        Some(at) => {
            let rest = lines[at].split_once(':').map_or("", |(_, rest)| rest).trim().to_owned();
            match rest.as_str() {
                "{}" | "null" | "~" => lines[at] = "admin:".to_owned(),
                rest if rest.is_empty() || rest.starts_with('#') => {}
                _ => return None,
            }
            set_keys(&mut lines, at, wanted)?;
        }
        None => {
            while lines.last().is_some_and(|line| line.trim().is_empty()) {
                lines.pop();
            }
            lines.push(String::new());
            lines.push("admin:".to_owned());
            lines.extend(wanted.iter().map(|(key, value)| format!("  {key}: {value}")));
        }
    }
    let mut edited = lines.join(eol);
    if !edited.ends_with('\n') {
        edited.push_str(eol);
    }
    Some(if bom { format!("\u{feff}{edited}") } else { edited })
}

fn set_keys(lines: &mut Vec<String>, admin: usize, wanted: &[(&str, String)]) -> Option<()> {
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let end =
        (admin + 1..lines.len()).find(|&at| is_content(&lines[at]) && indent(&lines[at]) == 0).unwrap_or(lines.len());
    let depth = (admin + 1..end).find(|&at| is_content(&lines[at])).map_or(2, |at| indent(&lines[at]));
    let mut insert_at = admin + 1;
    let mut end = end;
    for (key, value) in wanted {
        let line = format!("{}{key}: {value}", " ".repeat(depth));
        let found =
            (admin + 1..end).find(|&at| key_of(&lines[at], depth).is_some_and(|name| name.eq_ignore_ascii_case(key)));
        let Some(start) = found else {
            lines.insert(insert_at, line);
            insert_at += 1;
            end += 1;
            continue;
        };
        // The entry ends before the next key; comments and blank lines in between belong to that key.
        let next = (start + 1..end).find(|&at| key_of(&lines[at], depth).is_some()).unwrap_or(end);
        let last = (start..next).rev().find(|&at| is_content(&lines[at]))?;
        let line = if start == last {
            let old = lines[start].clone();
            if value_of(&old) == Some(value.as_str()) { old } else { format!("{line}{}", trailing_comment(&old)) }
        } else {
            line
        };
        lines.splice(start..=last, [line]);
        end -= last - start;
        insert_at = start + 1;
    }
    Some(())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The key that begins on this line at this depth; list items and deeper lines have none.
fn key_of(line: &str, depth: usize) -> Option<&str> {
    if indent(line) != depth {
        return None;
    }
    let rest = &line[depth..];
    if rest.starts_with(['#', '-', '[', '{', '}', ']']) {
        return None;
    }
    let (key, after) = rest.split_once(':')?;
    let key = key.trim().trim_matches(['"', '\'']);
    (!key.is_empty() && (after.is_empty() || after.starts_with([' ', '\t']))).then_some(key)
}

/// The plain value of a one-line entry, without comment.
fn value_of(line: &str) -> Option<&str> {
    let value = line.split_once(':')?.1;
    let value = value.split(" #").next().unwrap_or("").trim();
    Some(value)
}

/// `  # why` at the end of a line, where no quote makes it doubtful.
fn trailing_comment(line: &str) -> &str {
    if line.contains(['"', '\'']) {
        return "";
    }
    line.find(" #").map_or("", |at| {
        let start = line[..at].trim_end().len();
        &line[start..]
    })
}
