//! The state of flow control as text, for its administrator.

use super::FlowControl;

/// Column widths are at least this.
const LEAST_WIDTH: usize = 8;

/// A table of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    Levels,
    /// The queues in use.
    Queues,
}

impl FlowControl {
    /// The table, in upstream's columns.
    pub(crate) fn dump(&self, which: Dump) -> String {
        let mut rows: Vec<Vec<String>> = vec![
            match which {
                Dump::Levels => &[
                    "PriorityLevelName",
                    "ActiveQueues",
                    "IsIdle",
                    "IsQuiescing",
                    "WaitingRequests",
                    "ExecutingRequests",
                    "DispatchedRequests",
                    "RejectedRequests",
                    "TimedoutRequests",
                    "CancelledRequests",
                ][..],
                Dump::Queues => &[
                    "PriorityLevelName",
                    "Index",
                    "PendingRequests",
                    "ExecutingRequests",
                    "SeatsInUse",
                    "NextDispatchR",
                ],
            }
            .iter()
            .map(|header| (*header).to_owned())
            .collect(),
        ];
        for level in self.levels.lock().all() {
            let queues = level.queues.lock();
            match which {
                Dump::Levels => {
                    let (counts, totals) = (queues.counts(), queues.totals());
                    let active = queues.each().filter(|queue| queue.waiting > 0).count();
                    let idle = counts.waiting == 0 && counts.executing == 0;
                    rows.push(vec![
                        level.name.clone(),
                        active.to_string(),
                        idle.to_string(),
                        false.to_string(),
                        counts.waiting.to_string(),
                        counts.executing.to_string(),
                        totals.dispatched.to_string(),
                        totals.rejected.to_string(),
                        0.to_string(),
                        totals.cancelled.to_string(),
                    ]);
                }
                Dump::Queues => rows.extend(queues.each().map(|queue| {
                    vec![
                        level.name.clone(),
                        queue.index.to_string(),
                        queue.waiting.to_string(),
                        queue.executing.to_string(),
                        queue.seats.to_string(),
                        format!("{:.8}ss", queue.next),
                    ]
                })),
            }
        }
        table(&rows)
    }
}

/// Rows of cells, each but the last with a comma, in columns.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].len() + 1).max().unwrap_or(0);
        (longest + 1).max(LEAST_WIDTH)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            if column + 1 < columns {
                text += &format!("{:width$}", format!("{cell},"), width = widths[column]);
            } else {
                text += cell;
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        assert_eq!(
            table(&[row(&["PriorityLevelName", "Index"]), row(&["exempt", "0"])]),
            "PriorityLevelName, Index\nexempt,            0\n"
        );
    }
}
