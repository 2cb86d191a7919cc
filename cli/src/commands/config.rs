//! `config explain`: each setting, its value and where it comes from.

use std::process::ExitCode;

use flyte_auth::Result;

use crate::args::Global;
use crate::{output, setup};

pub(crate) fn explain(global: &Global, as_json: bool) -> Result<ExitCode> {
    let rows = setup::config(global)?.explain();
    if as_json {
        output::json(&rows);
    } else {
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| vec![row.key, row.value.unwrap_or_else(|| "-".to_owned()), row.origin])
            .collect();
        output::data(&output::table(&["SETTING", "VALUE", "ORIGIN"], &rows));
    }
    Ok(ExitCode::SUCCESS)
}
