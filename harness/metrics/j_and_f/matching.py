"""Which proposal stands for which true object: the one assignment DAVIS 2017 unsupervised makes a video."""

from __future__ import annotations

import numpy as np

from harness.metrics.shapes import Float64, Int64


def match_proposals(J: Float64[np.ndarray, "P N T"], F: Float64[np.ndarray, "P N T"]) -> Int64[np.ndarray, " N"]:
    """For each true object the index of its proposal, so that the sum of mean J + mean F over all frames is largest.

    There must be as many proposals as objects or more (pad with empty ones). The matrix and its memory layout are
    those of davis2017-evaluation@ac7c43f, because they decide rounding. That toolkit lists its rows by matched
    proposal; here they are by true object.
    """
    agreement = (np.ascontiguousarray(J).mean(axis=2) + np.ascontiguousarray(F).mean(axis=2)) / 2
    if len(agreement) > agreement.shape[1]:
        return assign(-agreement.T)
    return np.argsort(assign(-agreement))  # as many as objects: the toolkit's solver goes by proposal then


def assign(costs: Float64[np.ndarray, "N P"]) -> Int64[np.ndarray, " N"]:
    """For each row the column that is its own, so that the sum of costs is smallest; no fewer columns than rows.

    Shortest augmenting paths (Crouse 2016, IEEE Trans. Aerosp. Electron. Syst. 52). Of equal assignments it finds the
    one that scipy's ``linear_sum_assignment`` finds, which the official toolkit calls: columns are looked at from the
    last to the first, a free one is preferred among equally near ones, and a column that is done gives its place to
    the last. scipy itself takes 0.3 s and 50 MiB to import.
    """
    rows, columns = costs.shape
    row_prices, column_prices = np.zeros(rows), np.zeros(columns)
    row_of, column_of = np.full(columns, -1), np.full(rows, -1)
    for first in range(rows):
        nearest, path = np.full(columns, np.inf), np.full(columns, -1)
        todo, done_rows, done_columns = list(range(columns - 1, -1, -1)), [first], []
        row, distance, sink = first, 0.0, -1
        while sink < 0:
            best, lowest = -1, np.inf
            for place, column in enumerate(todo):
                through = distance + costs[row, column] - row_prices[row] - column_prices[column]
                if through < nearest[column]:
                    path[column], nearest[column] = row, through
                if nearest[column] < lowest or (nearest[column] == lowest and row_of[column] < 0):
                    best, lowest = place, nearest[column]
            distance, column = lowest, todo[best]
            done_columns.append(column)
            todo[best] = todo[-1]
            todo.pop()
            if row_of[column] < 0:
                sink = column
            else:
                row = row_of[column]
                done_rows.append(row)
        row_prices[first] += distance
        for row in done_rows[1:]:
            row_prices[row] += distance - nearest[column_of[row]]
        column_prices[done_columns] -= distance - nearest[done_columns]
        column, row = sink, -1
        while row != first:
            row = path[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
    return column_of.astype(np.int64)
