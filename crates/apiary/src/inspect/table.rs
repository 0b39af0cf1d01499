//! Tables as text: columns as wide as they need, cells of several lines, colour by role. Pure.

use crate::ui::{Role, Ui};

/// Blanks between columns.
const GAP: usize = 2;

/// What stands in one column of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub lines: Vec<String>,
    pub role: Option<Role>,
}

impl Cell {
    #[must_use]
    pub fn in_role(self, role: Role) -> Self {
        Self {
            role: Some(role),
            ..self
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            lines: text.as_ref().lines().map(str::to_owned).collect(),
            role: None,
        }
    }
}

/// The table. Columns in which nothing stands are left out, their heads too; nothing trails.
#[must_use]
pub fn text(heads: &[&str], rows: &[Vec<Cell>], ui: &Ui) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let is_used = |column: &usize| {
        *column == 0 || cells(*column).any(|cell| cell.lines.iter().any(|line| !line.is_empty()))
    };
    let columns: Vec<usize> = (0..heads.len()).filter(is_used).collect();
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            let lines = cells(*column).flat_map(|cell| &cell.lines);
            let widest = lines.map(|line| line.chars().count()).max().unwrap_or(0);
            widest.max(heads[*column].chars().count())
        })
        .collect();
    let head: Vec<Cell> = heads
        .iter()
        .map(|head| Cell::from(head).in_role(Role::Faint))
        .collect();
    let mut lines = vec![];
    for row in [&head].into_iter().chain(rows) {
        let height = row.iter().map(|cell| cell.lines.len()).max().unwrap_or(0);
        for at in 0..height.max(1) {
            lines.push(line(row, at, &columns, &widths, ui));
        }
    }
    lines.join("\n")
}

/// One line of a row.
fn line(row: &[Cell], at: usize, columns: &[usize], widths: &[usize], ui: &Ui) -> String {
    let mut text = String::new();
    let mut blanks = 0;
    for (column, width) in columns.iter().zip(widths) {
        let cell = row.get(*column);
        let part = cell.and_then(|cell| cell.lines.get(at));
        let part = part.map_or("", String::as_str);
        if !part.is_empty() {
            text.push_str(&" ".repeat(blanks));
            blanks = 0;
            match cell.and_then(|cell| cell.role) {
                Some(role) => text.push_str(&ui.paint(role, part)),
                None => text.push_str(part),
            }
        }
        blanks += width - part.chars().count() + GAP;
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::ui::Format;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec![
                Cell::from("├─a"),
                Cell::default(),
                Cell::from("one\ntwo"),
                Cell::from("x"),
            ],
            vec![Cell::from("│ └─longer"), Cell::default(), Cell::default()],
        ];
        let ui = Ui::new(Format::Text, true);
        expect![[r#"
            NAME        MESSAGE  LAST
            ├─a         one      x
                        two
            │ └─longer"#]]
        .assert_eq(&text(&["NAME", "EMPTY", "MESSAGE", "LAST"], &rows, &ui));
    }
}
