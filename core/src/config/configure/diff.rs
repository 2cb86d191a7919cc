//! A unified diff of two small texts, with three lines of context.

const CONTEXT: usize = 3;
/// Beyond this many cells in the table the changed part is shown as one replacement.
const MAX_CELLS: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Keep,
    Remove,
    Add,
}

/// Unified diff; empty if the texts are equal. `name` stands in both heads.
pub(super) fn unified(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut steps = vec![Step::Keep; head];
    steps.extend(script(&old[head..old.len() - tail], &new[head..new.len() - tail]));
    steps.extend(vec![Step::Keep; tail]);

    let mut output = format!("--- {name}\n+++ {name}\n");
    let changed: Vec<usize> = (0..steps.len()).filter(|&at| steps[at] != Step::Keep).collect();
    let mut at = 0;
    while at < changed.len() {
        let first = changed[at];
        let mut last = first;
        while at < changed.len() && changed[at] <= last + 2 * CONTEXT {
            last = changed[at];
            at += 1;
        }
        hunk(&mut output, &steps, &old, &new, first.saturating_sub(CONTEXT), (last + CONTEXT + 1).min(steps.len()));
    }
    output
}

fn hunk(output: &mut String, steps: &[Step], old: &[&str], new: &[&str], from: usize, to: usize) {
    let count = |range: &[Step], not: Step| range.iter().filter(|step| **step != not).count();
    let (mut a, mut b) = (count(&steps[..from], Step::Add), count(&steps[..from], Step::Remove));
    let (length_a, length_b) = (count(&steps[from..to], Step::Add), count(&steps[from..to], Step::Remove));
    // An empty side is numbered by the line before it.
    let start = |position: usize, length: usize| if length == 0 { position } else { position + 1 };
    output.push_str(&format!("@@ -{},{length_a} +{},{length_b} @@\n", start(a, length_a), start(b, length_b)));
    for step in &steps[from..to] {
        let (sign, line) = match step {
            Step::Keep => (' ', old[a]),
            Step::Remove => ('-', old[a]),
            Step::Add => ('+', new[b]),
        };
        output.push(sign);
        output.push_str(line);
        output.push('\n');
        a += usize::from(*step != Step::Add);
        b += usize::from(*step != Step::Remove);
    }
}

/// Longest common subsequence, removals before additions.
fn script(old: &[&str], new: &[&str]) -> Vec<Step> {
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > MAX_CELLS {
        return [vec![Step::Remove; old.len()], vec![Step::Add; new.len()]].concat();
    }
    let mut table = vec![0u32; (old.len() + 1) * width];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            table[a * width + b] = if old[a] == new[b] {
                table[(a + 1) * width + b + 1] + 1
            } else {
                table[(a + 1) * width + b].max(table[a * width + b + 1])
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    let mut steps = Vec::new();
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            steps.push(Step::Keep);
            a += 1;
            b += 1;
        } else if a < old.len() && (b == new.len() || table[(a + 1) * width + b] >= table[a * width + b + 1]) {
            steps.push(Step::Remove);
            a += 1;
        } else {
            steps.push(Step::Add);
            b += 1;
        }
    }
    steps
}
