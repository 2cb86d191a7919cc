//! flytekit's legacy INI files, as Python's `configparser` reads them: `[section]`, `option = value` or `option: value`,
//! comments with `#` or `;` at the start of a line, continuation by indentation, `%%` for a percent sign.

/// Why a text is not INI.
pub(super) struct Problem {
    /// 1-based.
    pub(super) line: usize,
    pub(super) what: String,
}

/// One option.
pub(super) struct Item {
    pub(super) section: String,
    /// Lower case, as configparser makes it.
    pub(super) option: String,
    pub(super) value: String,
}

/// Parses a file. A repeated option in a section is an error, as in flytekit; values are never quoted in errors.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, Problem> {
    let mut items: Vec<Item> = Vec::new();
    let mut section: Option<String> = None;
    let mut open = false;
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let problem = |what: String| Err(Problem { line, what });
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if raw.starts_with([' ', '\t'])
            && open
            && let Some(last) = items.last_mut()
        {
            if !last.value.is_empty() {
                last.value.push('\n');
            }
            last.value.push_str(&trimmed.replace("%%", "%"));
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let Some((name, _)) = rest.split_once(']') else {
                return problem("a section without its closing bracket".to_owned());
            };
            section = Some(name.to_owned());
            open = false;
            continue;
        }
        let Some(section) = &section else {
            return problem("text before the first [section]".to_owned());
        };
        let Some(at) = trimmed.find(['=', ':']) else {
            return problem("a line that is no option = value".to_owned());
        };
        let option = trimmed[..at].trim().to_ascii_lowercase();
        if items.iter().any(|item| item.section == *section && item.option == option) {
            return problem(format!("the option {option:?} stands there twice"));
        }
        items.push(Item { section: section.clone(), option, value: trimmed[at + 1..].trim().replace("%%", "%") });
        open = true;
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_configparser_does() {
        let text = "# c\n[platform]\nURL = a.example\ninsecure: true\n\n[credentials]\nscopes =\n  a,\n  b\n; c\nclient_secret = 50%% = x\n";
        let items = parse(text).unwrap_or_else(|problem| panic!("{}", problem.what));
        let found: Vec<(&str, &str, &str)> =
            items.iter().map(|i| (i.section.as_str(), i.option.as_str(), i.value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("platform", "url", "a.example"),
                ("platform", "insecure", "true"),
                ("credentials", "scopes", "a,\nb"),
                ("credentials", "client_secret", "50% = x"),
            ]
        );
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, line) in [
            ("url = a\n", 1),
            ("[platform\nurl = a\n", 1),
            ("[platform]\nurl = a\nURL = b\n", 3),
            ("[platform]\njust words\n", 2),
        ] {
            match parse(text) {
                Ok(_) => panic!("{text}"),
                Err(problem) => assert_eq!(problem.line, line, "{text}"),
            }
        }
    }
}
