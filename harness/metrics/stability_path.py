"""The cheapest path through a matrix of costs, with the ties of Boost's Dijkstra.

Histograms hold whole numbers, so equal costs are common and the path depends on which of several equal paths is
found: the one that Dijkstra's search with a 4-ary heap gives (Boost Graph Library, ``dijkstra_shortest_paths``). A
dynamic programme finds the same path far sooner wherever no two predecessors are equally near; only where the way back
meets such a tie is the search run.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float64, Int64

from harness.metrics.stability_compile import compiled

_ARITY = 4
_WHITE, _GREY, _BLACK = range(3)


def cheapest_path(costs: Float64[np.ndarray, "P Q"]) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """Return rows and columns of the cheapest path by steps right, down, diagonal; the last corner comes first.

    A step costs what the entered node costs; the first node is free.
    """
    costs = np.ascontiguousarray(costs)
    rows, columns, is_unique = _path_back(costs, _distances(costs))
    return (rows, columns) if is_unique else cheapest_path_by_search(costs)


def cheapest_path_by_search(
    costs: Float64[np.ndarray, "P Q"],
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """The same by Dijkstra's search alone."""
    nodes = _search(np.ascontiguousarray(costs))
    return nodes // costs.shape[1], nodes % costs.shape[1]


@compiled
@no_type_check
def _distances(costs):
    """The cost of the cheapest path to every node."""
    distances = np.empty_like(costs)
    rows, columns = costs.shape
    distances[0, 0] = 0.0
    for y in range(1, columns):
        distances[0, y] = distances[0, y - 1] + costs[0, y]
    for x in range(1, rows):
        left = distances[x, 0] = distances[x - 1, 0] + costs[x, 0]
        for y in range(1, columns):
            left = min(min(distances[x - 1, y - 1], distances[x - 1, y]), left) + costs[x, y]
            distances[x, y] = left
    return distances


@compiled
@no_type_check
def _path_back(costs, distances):
    """Walk back to the nearest predecessor; the last value is False where two are equally near (the walk stops)."""
    x, y = costs.shape[0] - 1, costs.shape[1] - 1
    rows, columns = np.empty(x + y + 1, np.int64), np.empty(x + y + 1, np.int64)
    length = 0
    while x > 0 or y > 0:
        rows[length], columns[length] = x, y
        length += 1
        left = distances[x, y - 1] if y > 0 else np.inf
        above = distances[x - 1, y] if x > 0 else np.inf
        diagonal = distances[x - 1, y - 1] if x > 0 and y > 0 else np.inf
        if diagonal < left and diagonal < above:
            x, y = x - 1, y - 1
        elif left < diagonal and left < above:
            y -= 1
        elif above < diagonal and above < left:
            x -= 1
        else:
            return rows[:0], columns[:0], False
    rows[length], columns[length] = 0, 0
    return rows[: length + 1], columns[: length + 1], True


@compiled
@no_type_check
def _search(costs):
    """Dijkstra's search; out-edges in the order right, down, diagonal; a node's first cheapest predecessor stays."""
    rows, columns = costs.shape
    flat = costs.ravel()
    last = flat.size - 1
    distances = np.full(flat.size, np.inf)
    predecessors = np.zeros(flat.size, np.int32)
    colours = np.zeros(flat.size, np.int8)
    places = np.zeros(flat.size, np.int32)
    heap = np.empty(flat.size, np.int32)
    distances[0], heap[0], size = 0.0, 0, 1
    while heap[0] != last:
        node = heap[0]
        colours[node] = _BLACK
        size -= 1
        heap[0] = heap[size]
        places[heap[0]] = 0
        _sift_down(heap, places, distances, size)
        can_right, can_down = node % columns < columns - 1, node // columns < rows - 1
        for is_open, step in ((can_right, 1), (can_down, columns), (can_right and can_down, columns + 1)):
            target = node + step
            if not is_open or colours[target] == _BLACK or distances[node] + flat[target] >= distances[target]:
                continue
            distances[target] = distances[node] + flat[target]
            predecessors[target] = node
            if colours[target] == _WHITE:
                colours[target] = _GREY
                heap[size], places[target] = target, size
                size += 1
            _sift_up(heap, places, distances, places[target])
    return _walk_back(predecessors, last)


@compiled
@no_type_check
def _walk_back(predecessors, last):
    """The nodes from the last to node 0."""
    path = [np.int64(last)]
    while path[-1] != 0:
        path.append(np.int64(predecessors[path[-1]]))
    return np.array(path)


@compiled
@no_type_check
def _sift_up(heap, places, distances, place):
    node = heap[place]
    while place > 0:
        parent = (place - 1) // _ARITY
        if distances[node] >= distances[heap[parent]]:
            break
        heap[place] = heap[parent]
        places[heap[place]] = place
        place = parent
    heap[place] = node
    places[node] = place


@compiled
@no_type_check
def _sift_down(heap, places, distances, size):
    node = heap[0]
    place = 0
    while _ARITY * place + 1 < size:
        first = _ARITY * place + 1
        nearest = first
        for child in range(first + 1, min(first + _ARITY, size)):
            if distances[heap[child]] < distances[heap[nearest]]:
                nearest = child
        if distances[heap[nearest]] >= distances[node]:
            break
        heap[place] = heap[nearest]
        places[heap[place]] = place
        place = nearest
    heap[place] = node
    places[node] = place
